// SPDX-License-Identifier: BSD-2-Clause
/* What happens at the server: another client's changes, a full disk, what it asks of the cache. */
#include "base/clock.h"
#include "tests/model/dice.h"
#include "tests/model/run.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define EXPIRY_NS                                                                                  \
	(30 * PF_NSEC_PER_MSEC) /* beyond the validity of attributes and the clock's step */
#define MANY         100000u
#define RETRIEVE_MAX (64u << 10)

/*
 * Ask for cached bytes, and have all notifications up to this one looked at: a call that waits for
 * the server reads them on its way, else it would take the library a moment to do so.
 */
static int64_t retrieve(struct run *r, const struct mfile *m, void *buf, uint32_t len, uint64_t off)
{
	bool can = r->config->server.minor >= 15;
	struct statvfs st;
	int64_t n = 0;

	if (can)
		server_retrieve(r->server, m->node, buf, len, off);
	run_ok(r, pf_statvfs(r->fs, "/", &st), "statvfs");
	if (can)
		n = server_retrieved(r->server);
	if (n < 0 || n > len)
		run_fail(r, "RETRIEVE is answered with %lld bytes", (long long)n);
	return n;
}

static void barrier(struct run *r, const struct mfile *m)
{
	uint8_t byte;

	retrieve(r, m, &byte, 1, 0);
}

/* Nobody has the file open for writing: then its size is the server's. What is borrowed keeps an
 * open file, too. */
static void close_writers(struct run *r, struct mfile *m)
{
	for (int i = 0; i < BORROWS; i++)
		if (r->borrows[i].m == m)
			run_return(r, &r->borrows[i]);
	for (int i = 0; i < HANDLES; i++)
		if (r->handles[i].file && r->handles[i].m == m && can_write(&r->handles[i]))
			run_close(r, &r->handles[i]);
}

static void change(struct run *r, const struct op *op, struct mfile *m, uint64_t off, uint64_t len)
{
	uint8_t *buf = malloc(len + 1);

	dice_fill(buf, len, op->seed);
	server_write(r->server, m->node, buf, len, off);
	run_put(r, m, buf, len, off);
	free(buf);
}

static void change_size(struct run *r, struct mfile *m, uint64_t size)
{
	uint64_t from = size < m->size ? size : m->size;

	server_truncate(r->server, m->node, size);
	run_resize(r, m, size);
	server_inval(r->server, m->node, (int64_t)from, 0);
}

static void change_silently(struct run *r, const struct op *op, struct mfile *m, uint64_t len)
{
	if (op->seed % 4 == 0) {
		server_truncate(r->server, m->node, op->off);
		run_resize(r, m, op->off);
	} else {
		change(r, op, m, op->off, len);
	}
	pf__clock_advance(EXPIRY_NS);
}

void do_server(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mfile *m = h->m;
	bool ours = r->config->writeback; /* the size is the client's while it may write */
	uint32_t kind = op->arg;
	uint64_t len = op->len;

	if (m->maps || op->off + len > MAX_SIZE)
		return;
	if (ours && !run_synced(r, pf_fsync(h->file, 0), "fsync"))
		return;
	if (kind == SERVER_SILENT && !r->config->silent)
		kind = SERVER_WRITE;
	if (kind == SERVER_STORE && r->config->server.minor < 15)
		kind = SERVER_WRITE;
	if ((kind == SERVER_SHRINK || kind == SERVER_GROW) && ours) {
		if (can_write(h))
			return;
		close_writers(r, m);
	}
	if (ours && (kind == SERVER_WRITE || kind == SERVER_STORE)) {
		if (op->off >= m->size)
			return;
		len = len < m->size - op->off ? len : m->size - op->off;
	}
	if (kind == SERVER_GROW) {
		change_size(r, m, m->size + len / 2 < MAX_SIZE ? m->size + len / 2 : MAX_SIZE);
	} else if (kind == SERVER_SHRINK) {
		change_size(r, m, op->off % (m->size + 1));
	} else if (kind == SERVER_SILENT) {
		change_silently(r, op, m, len);
	} else {
		change(r, op, m, op->off, len);
		if (kind == SERVER_STORE)
			server_store(r->server, m->node, op->off, (uint32_t)len);
		else
			server_inval(r->server, m->node, (int64_t)op->off, (int64_t)len);
	}
	barrier(r, m);
}

void do_retrieve(struct run *r, const struct op *op, struct mhandle *h)
{
	uint32_t len = op->len < RETRIEVE_MAX ? (uint32_t)op->len : RETRIEVE_MAX;
	uint8_t *buf = malloc(len);
	int64_t n;

	n = retrieve(r, h->m, buf, len, op->off);
	if (!r->config->silent) /* there old data stays until somebody reads */
		run_compare(r, h->m, buf, n, (uint64_t)n, op->off, "RETRIEVE");
	free(buf);
}

/* ---- no space */

/* Each open file of m learns of the loss, once. h knows already. */
static void all_learn(struct run *r, struct mfile *m, struct mhandle *h)
{
	for (int i = 0; i < HANDLES; i++) {
		struct mhandle *other = &r->handles[i];
		int e;

		if (!other->file || other->m != m)
			continue;
		if (other != h && (e = pf_fsync(other->file, 0)) != -ENOSPC)
			run_fail(r, "data was lost, and fsync of another open file gives %d", e);
		run_synced(r, pf_fsync(other->file, 0), "fsync after the loss was told");
	}
}

/* Write-back meets a full disk: the error comes out once, and what can be read is what the server
 * has. Within the size of the file, so that its size stays out of it. */
void do_nospace(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mfile *m = h->m;
	uint64_t len = op->len;
	uint8_t *buf;
	int64_t n;
	int e;

	if (!r->config->writeback || h->direct || (h->flags & (O_DIRECT | O_APPEND | O_DSYNC)) ||
	    (h->flags & O_ACCMODE) != O_RDWR || m->maps || op->off >= m->size)
		return;
	if (!run_synced(r, pf_fsync(h->file, 0), "fsync"))
		return;
	len = len < m->size - op->off ? len : m->size - op->off;
	buf = malloc(len);
	dice_fill(buf, len, op->seed);
	server_fail_writes(r->server, m->node, MANY, ENOSPC);
	n = pf_pwrite(h->file, buf, len, (off_t)op->off);
	e = pf_fsync(h->file, 0);
	if (server_fail_writes(r->server, m->node, 0, 0) == MANY) { /* it was not written back */
		run_ok(r, e, "fsync");
		if (n != (int64_t)len)
			run_fail(r, "pwrite gives %lld", (long long)n);
	} else {
		if (e == -EINTR)
			run_inconclusive(r);
		if (e != -ENOSPC && n != -ENOSPC)
			run_fail(r, "no space to write back: pwrite gives %lld, fsync %d",
				 (long long)n, e);
		r->lost = true;
		all_learn(r, m, h);
	}
	free(buf);
	server_copy_out(r->server, m->node, m->data, m->size);
	m->version++;
	m->mtime_set = false;
	run_check(r, h);
}
