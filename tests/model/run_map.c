// SPDX-License-Identifier: BSD-2-Clause
/* Mappings. What the interface leaves open is left alone: a mapped file keeps its size from below,
 * and is neither written directly nor changed at the server. */
#include "tests/model/dice.h"
#include "tests/model/run.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096ull

/* What the mapping should show: the file, and zeros behind its end. */
static void map_compare(struct run *r, const struct mmapping *map, uint64_t off, uint64_t len,
			const char *call)
{
	const uint8_t *have = pf_mapping_address(map->map);

	for (uint64_t i = off; i < off + len; i++) {
		uint64_t at = map->off + i;
		uint8_t want = at < map->m->size ? map->m->data[at] : 0;

		if (have[i] != want)
			run_fail(r, "%s: byte %llu is %02x and should be %02x; the file has %llu",
				 call, (unsigned long long)at, have[i], want,
				 (unsigned long long)map->m->size);
	}
}

static bool fits(const struct mhandle *h, uint32_t how)
{
	return can_read(h) && !(how == 1 && !can_write(h));
}

void do_mmap(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mmapping *map = &r->maps[op->h2 % MAPS];
	uint64_t off = op->off / PAGE * PAGE;
	int prot = op->arg ? PROT_READ | PROT_WRITE : PROT_READ;
	int e;

	if (map->map || h->m->maps)
		return;
	if (op->arg == 1)
		server_mapped(r->server, h->m->node);
	e = pf_mmap(h->file, op->len, prot, op->arg == 2 ? MAP_PRIVATE : MAP_SHARED, (off_t)off,
		    &map->map);
	if (!fits(h, op->arg)) {
		if (e != -EACCES && e != -EOPNOTSUPP)
			run_fail(r, "mmap on a handle that is not open for it gives %d", e);
		map->map = NULL;
		return;
	}
	if (e == -EOPNOTSUPP || e == -ENOMEM || (e == -ENODEV && h->direct)) {
		run_missing(r);
		map->map = NULL;
		return;
	}
	run_ok(r, e, "mmap");
	map->m = h->m;
	map->off = off;
	map->len = op->len;
	map->shared = op->arg != 2;
	map->writes = op->arg != 0;
	h->m->maps++;
	map_compare(r, map, 0, map->len, "a new mapping");
}

/* A part of the mapping that op means; false: there is none. */
static bool part(const struct mmapping *map, const struct op *op, uint64_t limit, uint64_t *off,
		 uint64_t *len)
{
	uint64_t end = map->len;

	if (map->off + end > limit)
		end = limit > map->off ? limit - map->off : 0;
	if (!end)
		return false;
	*off = op->off % end;
	*len = op->len < end - *off ? op->len : end - *off;
	return true;
}

void do_mstore(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mmapping *map = &r->maps[op->h2 % MAPS];
	uint64_t off, len;
	uint8_t *to;

	if (!map->map || !map->writes || !part(map, op, map->m->size, &off, &len))
		return;
	to = (uint8_t *)pf_mapping_address(map->map) + off;
	dice_fill(to, len, op->seed);
	if (!map->shared) /* nobody else sees it: back to what can be compared */
		memcpy(to, map->m->data + map->off + off, len);
	else
		run_put(r, map->m, to, len, map->off + off);
	map->m->stored |= map->shared;
}

void do_mread(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mmapping *map = &r->maps[op->h2 % MAPS];
	uint64_t off, len;

	if (map->map && map->shared && part(map, op, UINT64_MAX, &off, &len))
		map_compare(r, map, off, len, "a mapping");
}

void do_msync(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mmapping *map = &r->maps[op->h2 % MAPS];
	uint64_t off, len;
	bool stored;

	if (!map->map || !part(map, op, UINT64_MAX, &off, &len))
		return;
	len += off % PAGE;
	off = off / PAGE * PAGE;
	if (!run_synced(r, pf_msync(map->map, off, len), "msync") || !map->shared)
		return;
	stored = map->m->stored;
	map->m->stored = false; /* for the comparison */
	run_server_has_range(r, map->m, map->off + off, len, "msync");
	map->m->stored = stored && (off || len < map->len);
}

void run_unmap(struct run *r, struct mmapping *map)
{
	struct mfile *m = map->m;

	if (!map->map)
		return;
	run_synced(r, pf_munmap(map->map), "munmap");
	map->map = NULL;
	m->maps--;
	if (map->shared)
		m->stored = false;
}
