// SPDX-License-Identifier: BSD-2-Clause
/* Threads on shared files: see threads.h. */
#include "tests/model/threads.h"
#include "tests/model/dice.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define STRIPE 1000ull
#define ROOM   700000ull /* no file is larger */
#define WIDE   20000ull

/* What all threads share. gate: one for a part of a file, or alone for all of it. */
struct shared {
	struct run run;
	struct mfile files[FILES];
	pthread_rwlock_t gate;
	unsigned threads;
	size_t ops;  /* of each thread */
	bool direct; /* some of the handles are O_DIRECT */
};

struct worker {
	struct shared *sh;
	unsigned number;
	uint64_t dice;
	struct pf_file *handles[FILES];
	bool direct[FILES];
	pthread_t thread;
	uint8_t buf[WIDE];
};

static void open_one(struct worker *w, unsigned file)
{
	char name[] = "/f0";

	name[2] = (char)('0' + file);
	w->direct[file] = w->sh->direct && dice_hit(&w->dice, 250);
	run_ok(&w->sh->run,
	       pf_open(w->sh->run.fs, name, O_RDWR | (w->direct[file] ? O_DIRECT : 0), 0,
		       &w->handles[file]),
	       "open");
}

/* ---- parts: the gate is shared, sizes stay */

/* One of the worker's own stripes, and a piece of it; false: the file is too short. */
static bool own_piece(struct worker *w, const struct mfile *m, uint64_t *off, uint64_t *len)
{
	uint64_t rounds = m->size / (STRIPE * w->sh->threads);
	uint64_t stripe = dice_below(&w->dice, rounds) * w->sh->threads + w->number, from;

	if (!rounds)
		return false;
	from = dice_below(&w->dice, STRIPE);
	*off = stripe * STRIPE + from;
	*len = dice_hit(&w->dice, 300) ? STRIPE - from : 1 + dice_below(&w->dice, STRIPE - from);
	return true;
}

/* Of what came, the worker's own stripes are as it wrote them. */
static void compare_own(struct worker *w, const struct mfile *m, const uint8_t *buf, int64_t n,
			uint64_t len, uint64_t off, const char *call)
{
	uint64_t want = off >= m->size ? 0 : m->size - off < len ? m->size - off : len, end;

	if (n < 0)
		run_ok(&w->sh->run, (int)n, call);
	if ((uint64_t)n != want)
		run_fail(&w->sh->run, "%s: %lld bytes came of %llu at %llu, the file has %llu",
			 call, (long long)n, (unsigned long long)len, (unsigned long long)off,
			 (unsigned long long)m->size);
	for (uint64_t at = off; at < off + want; at = end) {
		end = (at / STRIPE + 1) * STRIPE;
		end = end < off + want ? end : off + want;
		if (at / STRIPE % w->sh->threads == w->number)
			run_compare(&w->sh->run, m, buf + (at - off), (int64_t)(end - at), end - at,
				    at, call);
	}
}

static void part_write(struct worker *w, unsigned file, struct mfile *m)
{
	uint64_t off, len;
	ssize_t n;

	if (!own_piece(w, m, &off, &len))
		return;
	dice_fill(w->buf, len, dice_next(&w->dice));
	if (len > 2 && dice_hit(&w->dice, 200)) {
		struct iovec iov[2] = {{w->buf, len / 2}, {w->buf + len / 2, len - len / 2}};

		n = pf_pwritev(w->handles[file], iov, 2, (off_t)off);
	} else {
		n = pf_pwrite(w->handles[file], w->buf, len, (off_t)off);
	}
	if (n < 0)
		run_ok(&w->sh->run, (int)n, "pwrite");
	if (n != (ssize_t)len)
		run_fail(&w->sh->run, "pwrite takes %zd bytes of %llu", n, (unsigned long long)len);
	memcpy(m->data + off, w->buf, len);
}

static void part_read(struct worker *w, unsigned file, struct mfile *m)
{
	uint64_t off, len;

	if (dice_hit(&w->dice, 400)) {
		off = dice_below(&w->dice, m->size + 10);
		len = 1 + dice_below(&w->dice, WIDE);
	} else if (!own_piece(w, m, &off, &len)) {
		return;
	}
	compare_own(w, m, w->buf, pf_pread(w->handles[file], w->buf, len, (off_t)off), len, off,
		    "pread");
}

static void part_borrow(struct worker *w, unsigned file, struct mfile *m)
{
	uint64_t off = dice_below(&w->dice, m->size + 1), len = 1 + dice_below(&w->dice, WIDE);
	struct pf_borrow b = {0};
	ssize_t n = pf_read_borrow(w->handles[file], len, (off_t)off, &b);

	if (n == -EOPNOTSUPP)
		return;
	compare_own(w, m, b.data, n, n > 0 ? (uint64_t)n : len, off, "read_borrow");
	if (n > 0)
		pf_read_return(&b);
}

static void part_nowait(struct worker *w, unsigned file, struct mfile *m)
{
	uint64_t off = dice_below(&w->dice, m->size + 1), len = 1 + dice_below(&w->dice, WIDE);
	struct iovec iov = {w->buf, len};
	ssize_t n = pf_preadv2(w->handles[file], &iov, 1, (off_t)off, RWF_NOWAIT);

	if (n != -EOPNOTSUPP && n != -EAGAIN)
		compare_own(w, m, w->buf, n, n > 0 ? (uint64_t)n : len, off,
			    "preadv2 with RWF_NOWAIT");
}

static void part_sync(struct worker *w, unsigned file, struct mfile *m)
{
	switch (dice_below(&w->dice, 4)) {
	case 0:
		run_synced(&w->sh->run, pf_fsync(w->handles[file], 0), "fsync");
		break;
	case 1:
		run_synced(&w->sh->run, pf_fsync(w->handles[file], 1), "fdatasync");
		break;
	case 2:
		run_synced(&w->sh->run, pf_drop_caches(w->sh->run.fs), "drop_caches");
		break;
	default:
		run_synced(&w->sh->run, pf_sync_file_range(w->handles[file], 0, 100000, 7),
			   "sync_file_range");
	}
}

static void part_other(struct worker *w, unsigned file, struct mfile *m)
{
	struct stat st;

	switch (dice_below(&w->dice, 4)) {
	case 0:
		run_ok(&w->sh->run, pf_fstat(w->handles[file], &st), "fstat");
		if ((uint64_t)st.st_size != m->size)
			run_fail(&w->sh->run, "the size is %llu and should be %llu",
				 (unsigned long long)st.st_size, (unsigned long long)m->size);
		break;
	case 1:
		run_synced(&w->sh->run, pf_close(w->handles[file]), "close");
		open_one(w, file);
		break;
	case 2:
		run_ok(&w->sh->run,
		       pf_fadvise(w->handles[file], (off_t)dice_below(&w->dice, m->size + 1),
				  100000, (int)dice_below(&w->dice, 6)),
		       "fadvise");
		break;
	default:
		part_sync(w, file, m);
	}
}

/* ---- all of a file: the others wait */

static void whole_size(struct worker *w, unsigned file, struct mfile *m)
{
	uint64_t size = dice_below(&w->dice, ROOM);

	if (dice_hit(&w->dice, 500))
		size = m->size / 2 + dice_below(&w->dice, m->size / 2 + 1000);
	if (size > ROOM)
		size = ROOM;
	run_may_grow(&w->sh->run, m, size);
	run_ok(&w->sh->run, pf_ftruncate(w->handles[file], (off_t)size), "ftruncate");
	run_resize(&w->sh->run, m, size);
}

static void whole_append(struct worker *w, unsigned file, struct mfile *m)
{
	uint64_t len = 1 + dice_below(&w->dice, WIDE);
	ssize_t n;

	if (m->size + len > ROOM)
		return;
	dice_fill(w->buf, len, dice_next(&w->dice));
	run_may_grow(&w->sh->run, m, m->size + len);
	n = pf_pwrite(w->handles[file], w->buf, len, (off_t)m->size);
	if (n != (ssize_t)len)
		run_fail(&w->sh->run, "pwrite takes %zd bytes of %llu", n, (unsigned long long)len);
	run_put(&w->sh->run, m, w->buf, len, m->size);
}

static void whole_fsync(struct worker *w, unsigned file, struct mfile *m)
{
	if (run_synced(&w->sh->run, pf_fsync(w->handles[file], 0), "fsync"))
		run_server_has(&w->sh->run, m, true, "fsync");
}

static void whole_check(struct worker *w, unsigned file, struct mfile *m)
{
	struct mhandle h = {.file = w->handles[file], .m = m, .flags = O_RDWR};

	run_check(&w->sh->run, &h);
}

static void whole_punch(struct worker *w, unsigned file, struct mfile *m)
{
	uint64_t off = dice_below(&w->dice, m->size + 1), len = 1 + dice_below(&w->dice, WIDE);
	int e = pf_fallocate(w->handles[file], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     (off_t)off, (off_t)len);

	if (e == -EOPNOTSUPP)
		return;
	run_ok(&w->sh->run, e, "fallocate");
	if (off < m->size)
		memset(m->data + off, 0, off + len < m->size ? len : m->size - off);
}

static void whole_server(struct worker *w, unsigned file, struct mfile *m)
{
	uint64_t off = dice_below(&w->dice, m->size + 1), len = 1 + dice_below(&w->dice, WIDE);
	struct run *r = &w->sh->run;
	struct statvfs st;
	uint8_t byte;

	if (off >= m->size || r->config->server.minor < 15 ||
	    !run_synced(r, pf_fsync(w->handles[file], 0), "fsync"))
		return;
	len = len < m->size - off ? len : m->size - off;
	dice_fill(w->buf, len, dice_next(&w->dice));
	server_write(r->server, m->node, w->buf, len, off);
	run_put(r, m, w->buf, len, off);
	if (dice_hit(&w->dice, 500))
		server_store(r->server, m->node, off, (uint32_t)len);
	else
		server_inval(r->server, m->node, (int64_t)off, (int64_t)len);
	server_retrieve(r->server, m->node, &byte, 1, 0);
	run_ok(r, pf_statvfs(r->fs, "/", &st), "statvfs");
	if (server_retrieved(r->server) < 0)
		run_fail(r, "RETRIEVE is not answered");
}

/* ---- the workers */

typedef void (*work_fn)(struct worker *w, unsigned file, struct mfile *m);

static void work_once(struct worker *w)
{
	static const work_fn parts[] = {part_write,  part_write, part_write, part_write,
					part_read,   part_read,  part_read,  part_borrow,
					part_nowait, part_other};
	static const work_fn wholes[] = {whole_size,  whole_append, whole_fsync,
					 whole_check, whole_punch,  whole_server};
	unsigned file = (unsigned)dice_below(&w->dice, 5) % FILES;
	bool whole = dice_hit(&w->dice, 20);

	if (whole)
		pthread_rwlock_wrlock(&w->sh->gate);
	else
		pthread_rwlock_rdlock(&w->sh->gate);
	if (whole)
		wholes[dice_below(&w->dice, 6)](w, file, &w->sh->files[file]);
	else
		parts[dice_below(&w->dice, 10)](w, file, &w->sh->files[file]);
	pthread_rwlock_unlock(&w->sh->gate);
	if (server_complaint(w->sh->run.server))
		run_fail(&w->sh->run, "%s", server_complaint(w->sh->run.server));
	atomic_fetch_add_explicit(&w->sh->run.report->done, 1, memory_order_relaxed);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (size_t i = 0; i < w->sh->ops; i++)
		work_once(w);
	for (int i = 0; i < FILES; i++)
		run_synced(&w->sh->run, pf_close(w->handles[i]), "close");
	return NULL;
}

static void make_files(struct shared *sh)
{
	char name[] = "/f0";
	struct pf_file *f;

	for (int i = 0; i < FILES; i++) {
		name[2] = (char)('0' + i);
		run_ok(&sh->run, pf_open(sh->run.fs, name, O_CREAT | O_RDWR, 0666, &f), "open");
		sh->files[i] = (struct mfile){.data = calloc(1, ROOM + WIDE),
					      .node = server_find(sh->run.server, name + 1)};
		run_ok(&sh->run, pf_ftruncate(f, (off_t)(ROOM / 3)), "ftruncate");
		run_resize(&sh->run, &sh->files[i], ROOM / 3);
		run_ok(&sh->run, pf_close(f), "close");
	}
}

static void all_done(struct shared *sh)
{
	struct run *r = &sh->run;

	run_synced(r, pf_stop(r->fs), "stop");
	server_stop(r->server);
	for (int i = 0; i < FILES; i++) {
		run_server_has(r, &sh->files[i], false, "stop");
		free(sh->files[i].data);
	}
	if (server_complaint(r->server))
		run_fail(r, "%s", server_complaint(r->server));
	atomic_fetch_add(&r->report->requests, server_requests(r->server));
	server_free(r->server);
}

/* ---- in a child */

struct args {
	struct trial *t;
	unsigned threads;
	uint64_t seed;
	size_t n;
};

static void child(void *ctx)
{
	const struct args *a = ctx;
	struct shared sh = {.run = {.config = a->t->config, .report = a->t->report},
			    .gate = PTHREAD_RWLOCK_INITIALIZER,
			    .threads = a->threads,
			    .ops = a->n / a->threads,
			    .direct = a->t->config->server.seed % 3 == 0};
	struct worker *workers = calloc(a->threads, sizeof *workers);
	int e;

	sh.run.server = server_new(&a->t->config->server);
	e = server_attach(sh.run.server, &sh.run.fs, &a->t->config->options);
	if (e)
		run_fail(&sh.run, "attaching: %s", pf_error());
	make_files(&sh);
	for (unsigned i = 0; i < a->threads; i++) {
		workers[i].sh = &sh;
		workers[i].number = i;
		workers[i].dice = dice_mix(a->seed * THREADS_MAX + i);
		for (unsigned f = 0; f < FILES; f++)
			open_one(&workers[i], f);
	}
	for (unsigned i = 0; i < a->threads; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			run_fail(&sh.run, "no thread to be had");
	for (unsigned i = 0; i < a->threads; i++)
		pthread_join(workers[i].thread, NULL);
	free(workers);
	all_done(&sh);
}

bool threads_run(struct trial *t, unsigned threads, uint64_t seed, size_t n)
{
	struct args a = {t, threads < THREADS_MAX ? threads : THREADS_MAX, seed, n};

	return trial_call(t, child, &a);
}
