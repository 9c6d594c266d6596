// SPDX-License-Identifier: BSD-2-Clause
/* The run itself: opening, closing, comparing, and who does which operation. */
#include "tests/model/run.h"
#include "tests/model/dice.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SETTLE 64 /* operations until all requests sent before a truncation are past */

/* ---- telling */

void run_fail(struct run *r, const char *fmt, ...)
{
	const char *complaint = server_complaint(r->server);
	size_t at;
	va_list ap;

	if (atomic_exchange(&r->report->failed, 1))
		for (;;) /* another thread was first, and ends us all */
			pause();
	va_start(ap, fmt);
	vsnprintf(r->report->what, REPORT_SIZE, fmt, ap);
	va_end(ap);
	at = strlen(r->report->what);
	if (complaint && strcmp(complaint, r->report->what))
		snprintf(r->report->what + at, REPORT_SIZE - at, " (the server: %s)", complaint);
	_exit(1);
}

void run_inconclusive(struct run *r)
{
	atomic_fetch_add(&r->report->inconclusive, 1);
	_exit(0);
}

void run_missing(struct run *r)
{
	if (r->op)
		atomic_fetch_add(&r->report->missing[r->op->kind], 1);
}

void run_ok(struct run *r, int result, const char *call)
{
	if (result == -EINTR && r->config->server.eintr)
		run_inconclusive(r);
	if (result < 0)
		run_fail(r, "%s gives %s: %s", call, strerrorname_np(-result), pf_error());
}

bool run_synced(struct run *r, int result, const char *call)
{
	if (result == -EINTR && r->config->server.eintr)
		return false;
	run_ok(r, result, call);
	return true;
}

static void differ(struct run *r, const struct mfile *m, const uint8_t *got, uint64_t n,
		   uint64_t off, const char *call)
{
	uint64_t i = 0, wrong = 0;

	for (uint64_t k = 0; k < n; k++)
		wrong += got[k] != m->data[off + k];
	while (got[i] == m->data[off + i])
		i++;
	run_fail(r,
		 "%s: %llu bytes at %llu: byte %llu (page %llu + %llu) is %02x and should be %02x; "
		 "%llu bytes are wrong; the file has %llu",
		 call, (unsigned long long)n, (unsigned long long)off,
		 (unsigned long long)(off + i), (unsigned long long)(off + i) / 4096,
		 (unsigned long long)(off + i) % 4096, got[i], m->data[off + i],
		 (unsigned long long)wrong, (unsigned long long)m->size);
}

void run_compare(struct run *r, const struct mfile *m, const void *buf, int64_t n, uint64_t len,
		 uint64_t off, const char *call)
{
	uint64_t want = off >= m->size ? 0 : m->size - off < len ? m->size - off : len;

	if (n < 0)
		run_ok(r, (int)n, call);
	if ((uint64_t)n != want)
		run_fail(r, "%s: %lld bytes came of %llu at %llu, it should be %llu of %llu", call,
			 (long long)n, (unsigned long long)len, (unsigned long long)off,
			 (unsigned long long)want, (unsigned long long)m->size);
	if (n && memcmp(buf, m->data + off, (size_t)n))
		differ(r, m, buf, (uint64_t)n, off, call);
}

void run_server_has(struct run *r, const struct mfile *m, bool synced, const char *call)
{
	char has[16];
	int got = 0;
	int64_t at;

	if (m->stored)
		return;
	at = server_differs(r->server, m->node, synced, m->data, m->size, &got);
	if (at < 0)
		return;
	snprintf(has, sizeof has, got < 0 ? "nothing" : "%02x", (unsigned)got);
	run_fail(r, "after %s the server's %s has %s at %llu, it should be %02x; sizes %llu, %llu",
		 call, synced ? "disk" : "file", has, (unsigned long long)at,
		 (uint64_t)at < m->size ? m->data[at] : 0u,
		 (unsigned long long)server_size(r->server, m->node), (unsigned long long)m->size);
}

void run_server_has_range(struct run *r, const struct mfile *m, uint64_t off, uint64_t len,
			  const char *call)
{
	uint64_t end = off + len < m->size ? off + len : m->size;
	uint8_t *have;

	if (m->stored || off >= end)
		return;
	have = malloc(end);
	server_copy_out(r->server, m->node, have, end);
	if (memcmp(have + off, m->data + off, end - off))
		differ(r, m, have + off, end - off, off, call);
	free(have);
}

/* ---- the model's files */

void run_may_grow(struct run *r, struct mfile *m, uint64_t end)
{
	server_limit(r->server, m->node, end > m->size ? end : m->size);
}

static void changed(struct mfile *m)
{
	m->version++;
	m->mtime_set = false;
}

void run_put(struct run *r, struct mfile *m, const void *data, uint64_t len, uint64_t off)
{
	if (len) {
		memcpy(m->data + off, data, len);
		if (off + len > m->size)
			m->size = off + len;
		changed(m);
	}
	server_limit(r->server, m->node, m->size);
}

void run_resize(struct run *r, struct mfile *m, uint64_t size)
{
	if (size < m->size) {
		memset(m->data + size, 0, m->size - size);
		r->shrunk = 0;
	}
	m->size = size;
	changed(m);
	server_limit(r->server, m->node, m->size);
}

static struct mfile *file_new(struct run *r, const char *name)
{
	struct mfile *m = calloc(1, sizeof *m);

	m->data = calloc(1, MAX_SIZE);
	m->node = server_find(r->server, name);
	m->next = r->all;
	r->all = m;
	if (!m->node)
		run_fail(r, "%s was created, but not at the server", name);
	return m;
}

/* ---- opening and closing */

static void file_name(uint32_t file, char name[8])
{
	memcpy(name, "/f0", 4);
	name[2] = (char)('0' + file);
}

static int open_flags(uint32_t arg)
{
	int flags = O_CREAT | (int)(arg >> 4 & 3);

	flags |= arg & OPEN_TRUNC ? O_TRUNC : 0;
	flags |= arg & OPEN_APPEND ? O_APPEND : 0;
	flags |= arg & OPEN_DIRECT ? O_DIRECT : 0;
	flags |= arg & OPEN_DSYNC ? O_DSYNC : 0;
	return flags;
}

void do_open(struct run *r, const struct op *op, struct mhandle *h)
{
	uint32_t file = op->arg & 15;
	int flags = open_flags(op->arg);
	char name[8];
	struct mfile *m;

	if (h->file)
		run_close(r, h);
	if (file >= FILES)
		return;
	m = r->names[file];
	if (m && m->maps && (flags & O_TRUNC))
		return;
	file_name(file, name);
	run_ok(r, pf_open(r->fs, name, flags, 0666, &h->file), "open");
	if (!m)
		m = r->names[file] = file_new(r, name + 1);
	if (flags & O_TRUNC)
		run_resize(r, m, 0);
	h->m = m;
	h->flags = flags;
	h->pos = 0;
	h->direct = server_opened_direct(r->server) || r->config->options.cache == PF_CACHE_NONE;
	m->handles++;
}

void run_close(struct run *r, struct mhandle *h)
{
	int e = pf_close(h->file);

	h->file = NULL;
	h->m->handles--;
	if (run_synced(r, e, "close"))
		run_server_has(r, h->m, false, "close");
}

static void do_close(struct run *r, const struct op *op, struct mhandle *h)
{
	run_close(r, h);
}

static void do_unlink(struct run *r, const struct op *op, struct mhandle *h)
{
	uint32_t file = op->arg % FILES;
	char name[8];

	if (!r->names[file])
		return;
	file_name(file, name);
	run_ok(r, pf_unlink(r->fs, name), "unlink");
	r->names[file] = NULL;
}

void run_check(struct run *r, struct mhandle *h)
{
	uint8_t *buf;
	uint64_t len = h->m->size + 100;

	if (!can_read(h) || reads_past_stores(h, O_DIRECT))
		return;
	buf = malloc(len);
	run_compare(r, h->m, buf, pf_pread(h->file, buf, len, 0), len, 0, "reading all of it");
	free(buf);
}

static void do_check(struct run *r, const struct op *op, struct mhandle *h)
{
	run_check(r, h);
}

static void do_return(struct run *r, const struct op *op, struct mhandle *h)
{
	run_return(r, &r->borrows[op->h2 % BORROWS]);
}

static void do_munmap(struct run *r, const struct op *op, struct mhandle *h)
{
	run_unmap(r, &r->maps[op->h2 % MAPS]);
}

/* ---- all of it */

static const struct {
	run_op run;
	bool handle; /* it needs an open one */
	bool reads;
} table[OP_COUNT] = {
    [OP_OPEN] = {do_open, false},
    [OP_CLOSE] = {do_close, true},
    [OP_PREAD] = {do_pread, true, true},
    [OP_PREADV] = {do_preadv, true, true},
    [OP_PREADV_NOWAIT] = {do_preadv_nowait, true, true},
    [OP_PWRITE] = {do_pwrite, true},
    [OP_PWRITEV] = {do_pwritev, true},
    [OP_PWRITEV2] = {do_pwritev2, true},
    [OP_READ] = {do_read, true, true},
    [OP_WRITE] = {do_write, true},
    [OP_SEEK] = {do_seek, true},
    [OP_AIO] = {do_aio, true, true},
    [OP_TRUNC] = {do_trunc, true},
    [OP_PATH_TRUNC] = {do_path_trunc, false},
    [OP_FALLOC] = {do_falloc, true},
    [OP_COPY] = {do_copy, true, true},
    [OP_FSYNC] = {do_fsync, true},
    [OP_SYNCFS] = {do_syncfs, false},
    [OP_SYNC_RANGE] = {do_sync_range, true},
    [OP_DROP] = {do_drop, false},
    [OP_ADVISE] = {do_advise, true},
    [OP_STAT] = {do_stat, true},
    [OP_UTIMENS] = {do_utimens, true},
    [OP_SETFL] = {do_setfl, true},
    [OP_BORROW] = {do_borrow, true, true},
    [OP_RETURN] = {do_return, false},
    [OP_MMAP] = {do_mmap, true},
    [OP_MSTORE] = {do_mstore, false},
    [OP_MREAD] = {do_mread, false},
    [OP_MSYNC] = {do_msync, false},
    [OP_MUNMAP] = {do_munmap, false},
    [OP_UNLINK] = {do_unlink, false},
    [OP_SERVER] = {do_server, true},
    [OP_RETRIEVE] = {do_retrieve, true},
    [OP_NOSPACE] = {do_nospace, true},
    [OP_CHECK] = {do_check, true},
};

static void start(struct run *r)
{
	struct pf_borrow b = {0};
	struct pf_file *f;
	int e;

	r->server = server_new(&r->config->server);
	e = server_attach(r->server, &r->fs, &r->config->options);
	if (e)
		run_fail(r, "attaching: %s", pf_error());
	/* Is there a cache at all? */
	run_ok(r, pf_open(r->fs, "/probe", O_CREAT | O_RDWR, 0666, &f), "open");
	e = (int)pf_read_borrow(f, 1, 0, &b);
	run_ok(r, pf_close(f), "close");
	run_ok(r, pf_unlink(r->fs, "/probe"), "unlink");
	r->cached = e != -EOPNOTSUPP;
	if (r->cached && r->config->options.cache != PF_CACHE_NONE)
		server_strict(r->server);
}

static void settle(struct run *r)
{
	if (++r->shrunk != SETTLE)
		return;
	for (struct mfile *m = r->all; m; m = m->next)
		server_settled(r->server, m->node);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void step(struct run *r, const struct op *op)
{
	struct mhandle *h = &r->handles[op->h];
	uint64_t start = now_ns();

	r->op = op;
	if (table[op->kind].handle && !h->file)
		return;
	if (table[op->kind].reads && reads_past_stores(h, O_DIRECT))
		return;
	table[op->kind].run(r, op, h);
	atomic_fetch_add_explicit(&r->report->counts[op->kind], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->report->ns[op->kind], now_ns() - start, memory_order_relaxed);
	settle(r);
	if (server_complaint(r->server))
		run_fail(r, "%s", server_complaint(r->server));
}

static void finish(struct run *r)
{
	int e;

	r->op = NULL;
	for (int i = 0; i < BORROWS; i++)
		run_return(r, &r->borrows[i]);
	for (int i = 0; i < MAPS; i++)
		run_unmap(r, &r->maps[i]);
	for (int i = 0; i < HANDLES; i++)
		if (r->handles[i].file) {
			run_check(r, &r->handles[i]);
			run_close(r, &r->handles[i]);
		}
	r->report->stats.size = sizeof r->report->stats;
	run_ok(r, pf_stats(r->fs, &r->report->stats), "stats");
	e = pf_stop(r->fs);
	if (!r->lost)
		run_synced(r, e, "stop");
	server_stop(r->server);
	for (struct mfile *m = r->all; m; m = m->next)
		run_server_has(r, m, false, "stop");
	if (server_complaint(r->server))
		run_fail(r, "%s", server_complaint(r->server));
	atomic_fetch_add(&r->report->requests, server_requests(r->server));
	server_free(r->server);
	for (struct mfile *m = r->all, *next; m; m = next) {
		next = m->next;
		free(m->data);
		free(m);
	}
}

void run_ops(const struct config *config, const struct op *ops, size_t n, struct report *report)
{
	struct run r = {.config = config, .report = report};

	start(&r);
	for (size_t i = 0; i < n; i++) {
		atomic_store_explicit(&report->at, (uint32_t)i, memory_order_relaxed);
		step(&r, &ops[i]);
		atomic_fetch_add_explicit(&report->done, 1, memory_order_relaxed);
	}
	atomic_store(&report->at, (uint32_t)n);
	finish(&r);
}
