// SPDX-License-Identifier: BSD-2-Clause
/*
 * A storm over the data cache: threads that do anything to a few files, against a server that is
 * nearly right: it delays, fails, shortens, answers twice, changes the files, sends notifications,
 * also from inside of a request, and dies in the middle. Nothing is expected of the results; every
 * call returns, and at the end nothing is left.
 *
 *	hostile-data-storm [SEED [RUNS [CALLS]]]
 */
#include "base/alloc.h"
#include "tests/hostile/storm.h"
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 5
#define OPEN    3
#define LOANS   3
#define LEN_MAX (300u << 10)

struct player {
	struct storm *s;
	struct pf_fs *root, *fs; /* fs: a view of its own */
	struct dice d;
	unsigned calls;
	pthread_t thread;
	struct pf_file *f[OPEN];
	struct pf_borrow loan[LOANS];
	struct pf_mapping *map;
	size_t map_len;
	_Atomic int aio; /* under way */
	char *buf;
};

static bool verbose;

static off_t place(struct dice *d)
{
	switch (dice_below(d, 40)) {
	case 0:
		return INT64_MAX - dice_below(d, 10000);
	case 1:
		return (off_t)(dice_odd(d) & INT64_MAX);
	default:
		return dice_below(d, STORM_SIZE);
	}
}

static const char *name(struct dice *d)
{
	static const char *const names[] = {"f0", "f1", "f2", "f3"};

	return names[dice_below(d, STORM_FILES)];
}

static void reopen(struct player *p, struct pf_file **f)
{
	static const int flags[] = {O_RDWR, O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_DIRECT};
	int more = dice_below(&p->d, 12) ? 0 : O_TRUNC;

	if (dice_below(&p->d, 8) == 0)
		more |= O_APPEND;
	if (dice_below(&p->d, 16) == 0)
		more |= O_SYNC;
	if (*f)
		(void)pf_close(*f);
	(void)pf_open(p->fs, name(&p->d), flags[dice_below(&p->d, 5)] | more, 0, f);
}

static void aio_done(void *ctx, ssize_t result)
{
	struct player *p = ctx;

	atomic_fetch_sub(&p->aio, 1);
}

static void aio(struct player *p, struct pf_file *f, size_t len)
{
	static const char source[4096];
	int r;

	if (len > 4096)
		len = 4096;
	atomic_fetch_add(&p->aio, 1);
	if (dice_below(&p->d, 3))
		r = pf_aio_write(f, source, len, place(&p->d), aio_done, p);
	else
		r = pf_aio_fsync(f, 1, aio_done, p);
	if (r)
		atomic_fetch_sub(&p->aio, 1);
}

static void map(struct player *p, struct pf_file *f, size_t len)
{
	int prot = PROT_READ | (dice_below(&p->d, 2) ? PROT_WRITE : 0);
	int flags = dice_below(&p->d, 3) ? MAP_SHARED : MAP_PRIVATE;

	if (p->map) {
		char *m = pf_mapping_address(p->map);

		if (p->map_len & 1)
			m[dice_below(&p->d, p->map_len)]++;
		(void)pf_msync(p->map, 0, p->map_len);
		if (dice_below(&p->d, 2))
			(void)pf_munmap(p->map);
		else
			return;
		p->map = NULL;
		return;
	}
	len = (len & ~1u) + 2;
	if (pf_mmap(f, len, prot, flags, dice_below(&p->d, 30) * 4096, &p->map))
		p->map = NULL;
	p->map_len = len - (prot & PROT_WRITE ? 1 : 0); /* odd: may be written */
}

static void borrow(struct player *p, struct pf_file *f, size_t len)
{
	struct pf_borrow *b = &p->loan[dice_below(&p->d, LOANS)];

	if (b->owner)
		pf_read_return(b);
	else if (pf_read_borrow(f, len, place(&p->d), b) > 0)
		p->buf[0] ^= ((const char *)b->data)[b->length - 1];
}

static void whole_fs(struct player *p)
{
	struct stat st;

	switch (dice_below(&p->d, 8)) {
	case 0:
		(void)pf_drop_caches(p->root);
		break;
	case 1:
		(void)pf_syncfs(p->fs);
		break;
	case 2:
		(void)pf_interrupt(p->fs);
		break;
	case 3:
		(void)pf_truncate(p->fs, name(&p->d), place(&p->d));
		break;
	case 4: {
		struct pf_caller c = {.size = sizeof c, .uid = dice_below(&p->d, 2), .pid = 1};
		struct pf_fs *view;

		if (!pf_as(p->root, &c, &view)) {
			pf_view_free(p->fs);
			p->fs = view;
		}
		break;
	}
	default:
		(void)pf_stat(p->fs, name(&p->d), &st);
	}
}

static void rare(struct player *p, struct pf_file *f, size_t len)
{
	static const int advice[] = {POSIX_FADV_NORMAL, POSIX_FADV_RANDOM, POSIX_FADV_SEQUENTIAL,
				     POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED};
	struct pf_file *other = p->f[dice_below(&p->d, OPEN)];
	struct stat st;

	switch (dice_below(&p->d, 8)) {
	case 0:
		(void)pf_fadvise(f, place(&p->d), len, advice[dice_below(&p->d, 5)]);
		break;
	case 1:
		(void)pf_sync_file_range(f, place(&p->d), len, dice_below(&p->d, 8));
		break;
	case 2:
		(void)pf_fallocate(f, dice_below(&p->d, 4), place(&p->d), len + 1);
		break;
	case 3:
		(void)pf_setfl(f, dice_below(&p->d, 2) ? O_DIRECT : 0);
		break;
	case 4:
		(void)pf_fchmod(f, 0600 + dice_below(&p->d, 64));
		break;
	case 5:
		if (other)
			(void)pf_copy_file_range(f, NULL, other, NULL, len, 0);
		break;
	case 6:
		(void)pf_lseek(f, dice_below(&p->d, STORM_SIZE), SEEK_SET);
		break;
	default:
		(void)pf_fstat(f, &st);
	}
}

static void call(struct player *p)
{
	struct pf_file **f = &p->f[dice_below(&p->d, OPEN)];
	size_t len = dice_below(&p->d, dice_below(&p->d, 4) ? 9000 : LEN_MAX);
	struct iovec iov = {p->buf, len};

	if (!*f || dice_below(&p->d, 20) == 0) {
		reopen(p, f);
		return;
	}
	switch (dice_below(&p->d, 16)) {
	case 0 ... 3:
		(void)pf_pread(*f, p->buf, len, place(&p->d));
		break;
	case 4 ... 7:
		(void)pf_pwrite(*f, p->buf, len, place(&p->d));
		break;
	case 8:
		(void)pf_preadv2(*f, &iov, 1, place(&p->d), RWF_NOWAIT);
		(void)pf_pwritev2(*f, &iov, 1, place(&p->d), RWF_NOWAIT);
		break;
	case 9:
		(void)pf_read(*f, p->buf, len);
		(void)pf_write(*f, p->buf, len);
		break;
	case 10:
		(void)pf_ftruncate(*f, place(&p->d));
		break;
	case 11:
		(void)pf_fsync(*f, 0);
		break;
	case 12:
		map(p, *f, len);
		break;
	case 13:
		borrow(p, *f, len);
		break;
	case 14:
		aio(p, *f, len);
		break;
	default:
		if (dice_below(&p->d, 2))
			rare(p, *f, len);
		else
			whole_fs(p);
	}
}

static void *play(void *arg)
{
	struct player *p = arg;

	for (unsigned i = 0; i < p->calls; i++)
		call(p);
	return NULL;
}

static void player_start(struct player *p, struct storm *s, struct pf_fs *fs, uint64_t seed,
			 unsigned calls)
{
	struct pf_caller c = {.size = sizeof c, .uid = 0, .pid = 1};

	*p = (struct player){.s = s, .root = fs, .d = {seed}, .calls = calls};
	p->buf = calloc(1, LEN_MAX);
	if (pf_as(fs, &c, &p->fs) || pthread_create(&p->thread, NULL, play, p))
		abort();
}

/* What it has open: given back before pf_stop(), or some of it after. */
static void player_drop(struct player *p, bool some)
{
	for (unsigned i = 0; i < LOANS; i++)
		if (!some || dice_below(&p->d, 2))
			pf_read_return(&p->loan[i]);
	if (p->map && (!some || dice_below(&p->d, 2))) {
		(void)pf_munmap(p->map);
		p->map = NULL;
	}
	for (unsigned i = 0; i < OPEN; i++) {
		if (!p->f[i] || (some && dice_below(&p->d, 2)))
			continue;
		(void)pf_close(p->f[i]);
		p->f[i] = NULL;
	}
}

static void player_end(struct player *p)
{
	player_drop(p, false);
	while (atomic_load(&p->aio))
		sched_yield();
	pf_view_free(p->fs);
	free(p->buf);
}

static struct pf_options options(struct dice *d)
{
	static const uint64_t sizes[] = {1 << 20, 1 << 20, 4 << 20, 64 << 20};
	struct pf_options o = PF_OPTIONS_INIT;

	o.cache_bytes = sizes[dice_below(d, 4)];
	o.dirty_bytes = dice_below(d, 2) ? 64 * 4096 : 0;
	o.dirty_expire_ms = 1 + dice_below(d, 300);
	o.no_service_thread = dice_below(d, 4) == 0;
	o.cache = dice_below(d, 3) == 0 ? PF_CACHE_ALWAYS : PF_CACHE_AUTO;
	o.mount_options = "allow_other";
	return o;
}

static void run(uint64_t seed, unsigned calls)
{
	static struct player players[THREADS];
	struct dice d = {seed};
	struct storm *s = storm_new(dice_next(&d));
	struct pf_options o = options(&d);
	struct pf_fs *fs;
	int r;

	if (verbose)
		fprintf(stderr, "seed %llu: cache %llu, %s, writeback %d, dies %u\n",
			(unsigned long long)seed, (unsigned long long)o.cache_bytes,
			s->inproc ? "inproc" : "socket", s->writeback, s->dies_at);
	r = s->inproc ? pf_attach_inproc(&fs, &storm_ops, s, &o) : pf_attach(&fs, s->client_fd, &o);
	if (!r) {
		for (int i = 0; i < THREADS; i++)
			player_start(&players[i], s, fs, dice_next(&d), calls);
		for (int i = 0; i < THREADS; i++)
			pthread_join(players[i].thread, NULL);
		for (int i = 0; i < THREADS; i++)
			player_drop(&players[i], true);
		(void)pf_stop(fs);
		for (int i = 0; i < THREADS; i++)
			player_end(&players[i]);
	}
	storm_free(s);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	unsigned runs = argc > 2 ? (unsigned)atoi(argv[2]) : 12;
	unsigned calls = argc > 3 ? (unsigned)atoi(argv[3]) : 400;
	int64_t live;
	int fds;

	verbose = getenv("STORM_VERBOSE");
	alarm(110);
	run(seed, 10); /* what is made once for all */
	live = pf__alloc_live();
	fds = storm_open_fds();
	for (unsigned i = 0; i < runs; i++) {
		alarm(60);
		run(seed + i, calls);
		if (pf__alloc_live() != live || storm_open_fds() != fds) {
			fprintf(stderr, "seed %llu: %lld blocks, %d descriptors are left\n",
				(unsigned long long)seed + i, (long long)(pf__alloc_live() - live),
				storm_open_fds() - fds);
			return 1;
		}
	}
	return 0;
}
