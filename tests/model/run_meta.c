// SPDX-License-Identifier: BSD-2-Clause
/* Sizes, holes, positions, flags, times, and what goes to the disk. */
#include "tests/model/run.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- positions */

static void seek_hole(struct run *r, const struct op *op, struct mhandle *h, off_t got)
{
	const struct mfile *m = h->m;
	uint64_t end = got < 0 ? m->size : (uint64_t)got;

	if (got < 0 && got != -ENXIO)
		run_fail(r, "lseek gives %s", strerrorname_np(-(int)got));
	if (op->off >= m->size) {
		if (got != -ENXIO)
			run_fail(r, "lseek behind the end gives %lld", (long long)got);
		return;
	}
	if (got >= 0 && (end < op->off || end > m->size))
		run_fail(r, "lseek from %llu to %llu, the file has %llu",
			 (unsigned long long)op->off, (unsigned long long)end,
			 (unsigned long long)m->size);
	if (m->stored) /* not known at the server yet */
		return;
	if (op->arg == SEEK_HOLE && (got < 0 || (end < m->size && m->data[end])))
		run_fail(r, "SEEK_HOLE from %llu gives %lld, there is data",
			 (unsigned long long)op->off, (long long)got);
	for (uint64_t i = op->off; op->arg == SEEK_DATA && i < end; i++)
		if (m->data[i])
			run_fail(r, "SEEK_DATA from %llu gives %lld, there is data at %llu",
				 (unsigned long long)op->off, (long long)got,
				 (unsigned long long)i);
}

void do_seek(struct run *r, const struct op *op, struct mhandle *h)
{
	off_t by = (off_t)op->off, got;

	if (op->arg == SEEK_CUR)
		by -= (off_t)h->pos;
	else if (op->arg == SEEK_END)
		by -= (off_t)h->m->size;
	got = pf_lseek(h->file, by, (int)op->arg);
	if (op->arg == SEEK_DATA || op->arg == SEEK_HOLE)
		seek_hole(r, op, h, got);
	else if (got != (off_t)op->off)
		run_fail(r, "lseek(%lld, %u) gives %lld and should give %llu", (long long)by,
			 op->arg, (long long)got, (unsigned long long)op->off);
	if (got >= 0)
		h->pos = (uint64_t)got;
}

/* ---- sizes */

void do_trunc(struct run *r, const struct op *op, struct mhandle *h)
{
	int e;

	if (h->m->maps)
		return;
	run_may_grow(r, h->m, op->off);
	e = pf_ftruncate(h->file, (off_t)op->off);
	if (can_write(h)) {
		run_ok(r, e, "ftruncate");
		run_resize(r, h->m, op->off);
	} else {
		if (e != -EINVAL)
			run_fail(r, "ftruncate on a handle for reading gives %d", e);
		server_limit(r->server, h->m->node, h->m->size);
	}
}

void do_path_trunc(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mfile *m = r->names[op->arg % FILES];
	char name[] = "/f0";

	name[2] = (char)('0' + op->arg % FILES);
	if (!m || m->maps)
		return;
	run_may_grow(r, m, op->off);
	run_ok(r, pf_truncate(r->fs, name, (off_t)op->off), "truncate");
	run_resize(r, m, op->off);
}

static void clear(struct run *r, struct mfile *m, uint64_t off, uint64_t len)
{
	uint64_t end = off + len < m->size ? off + len : m->size;

	if (off < end)
		memset(m->data + off, 0, end - off);
	m->version++;
}

void do_falloc(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mfile *m = h->m;
	bool grows = !(op->arg & FALLOC_FL_KEEP_SIZE);
	int e;

	if (m->maps || !can_write(h))
		return;
	run_may_grow(r, m, grows ? op->off + op->len : 0);
	e = pf_fallocate(h->file, (int)op->arg, (off_t)op->off, (off_t)op->len);
	server_limit(r->server, m->node, m->size);
	if (e == -EOPNOTSUPP) {
		run_missing(r);
		return;
	}
	run_ok(r, e, "fallocate");
	if (op->arg & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		clear(r, m, op->off, op->len);
	run_resize(r, m, grows && op->off + op->len > m->size ? op->off + op->len : m->size);
}

static int64_t copy_expected(const struct op *op, const struct mhandle *in,
			     const struct mhandle *out)
{
	if (!can_read(in) || !can_write(out) || (out->flags & O_APPEND))
		return -EBADF;
	if (in->m == out->m && op->off < op->off2 + op->len && op->off2 < op->off + op->len)
		return -EINVAL;
	if (op->off >= in->m->size)
		return 0;
	return (int64_t)(in->m->size - op->off < op->len ? in->m->size - op->off : op->len);
}

void do_copy(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mhandle *out = &r->handles[op->h2];
	off_t from = (off_t)op->off, to = (off_t)op->off2;
	int64_t want, n;

	if (!out->file || h->m->maps || out->m->maps || op->off2 + op->len > MAX_SIZE)
		return;
	want = copy_expected(op, h, out);
	run_may_grow(r, out->m, want > 0 ? op->off2 + (uint64_t)want : 0);
	n = pf_copy_file_range(h->file, &from, out->file, &to, op->len, 0);
	if (n == -EINTR)
		run_ok(r, (int)n, "copy_file_range");
	/* Less may come, but not nothing. */
	if (n > want || (n < want && n <= 0))
		run_fail(r, "copy_file_range gives %lld and should give %lld", (long long)n,
			 (long long)want);
	if (n > 0)
		run_put(r, out->m, h->m->data + op->off, (uint64_t)n, op->off2);
	server_limit(r->server, out->m->node, out->m->size);
}

/* ---- to the disk */

void do_fsync(struct run *r, const struct op *op, struct mhandle *h)
{
	if (run_synced(r, pf_fsync(h->file, (int)op->arg & 1), "fsync"))
		run_server_has(r, h->m, true, "fsync");
}

void do_syncfs(struct run *r, const struct op *op, struct mhandle *h)
{
	if (!run_synced(r, pf_syncfs(r->fs), "syncfs"))
		return;
	for (struct mfile *m = r->all; m; m = m->next)
		run_server_has(r, m, false, "syncfs");
}

void do_sync_range(struct run *r, const struct op *op, struct mhandle *h)
{
	unsigned flags =
	    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
	int e = pf_sync_file_range(h->file, (off_t)op->off, (off_t)op->len, flags);

	if (run_synced(r, e, "sync_file_range"))
		run_server_has_range(r, h->m, op->off, op->len, "sync_file_range");
}

void do_drop(struct run *r, const struct op *op, struct mhandle *h)
{
	run_synced(r, pf_drop_caches(r->fs), "drop_caches");
}

void do_advise(struct run *r, const struct op *op, struct mhandle *h)
{
	run_ok(r, pf_fadvise(h->file, (off_t)op->off, (off_t)op->len, (int)op->arg), "fadvise");
}

/* ---- attributes */

void do_stat(struct run *r, const struct op *op, struct mhandle *h)
{
	const struct mfile *m = h->m;
	struct stat st;
	char name[] = "/f0";

	for (int i = 0; i < FILES; i++)
		if (r->names[i] == m)
			name[2] = (char)('0' + i);
	if (op->arg && r->names[name[2] - '0'] == m)
		run_ok(r, pf_stat(r->fs, name, &st), "stat");
	else
		run_ok(r, pf_fstat(h->file, &st), "fstat");
	if ((uint64_t)st.st_size != m->size)
		run_fail(r, "the size is %llu and should be %llu", (unsigned long long)st.st_size,
			 (unsigned long long)m->size);
	if (m->mtime_set &&
	    (st.st_mtim.tv_sec != m->mtime.tv_sec || st.st_mtim.tv_nsec != m->mtime.tv_nsec))
		run_fail(r, "mtime is %lld.%09ld and was set to %lld.%09ld",
			 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
			 (long long)m->mtime.tv_sec, m->mtime.tv_nsec);
}

void do_utimens(struct run *r, const struct op *op, struct mhandle *h)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
				    {(time_t)op->off, (long)(op->seed % 1000000000)}};

	if (h->m->maps)
		return;
	run_ok(r, pf_futimens(h->file, times), "futimens");
	h->m->mtime = times[1];
	h->m->mtime_set = true;
}

void do_setfl(struct run *r, const struct op *op, struct mhandle *h)
{
	int can = O_APPEND | O_DIRECT, flags = (h->flags & ~can) | ((int)op->arg & can);
	int e = pf_setfl(h->file, flags & ~(O_CREAT | O_TRUNC | O_ACCMODE));

	if (e == -EINVAL && (op->arg & O_DIRECT)) {
		run_missing(r);
		return;
	}
	run_ok(r, e, "setfl");
	h->flags = flags;
}
