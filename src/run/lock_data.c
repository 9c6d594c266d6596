/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs of several runs, or machines, that take turns with a file by locks expect to see what
 * the one before has written. Of a file that is held in memory that is our care: before a lock ends
 * what was written goes to the server, and when one is granted what the server has is compared, if
 * it may have changed, and taken over by blocks that no program has written to meanwhile.
 */
#include "run/base.h"
#include "run/locks.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK   BASE_BLOCK
#define PIECE   (1u << 18)
#define TICK_MS 20 /* file systems' times may be as coarse as that */

static struct timespec time_of(struct statx_timestamp t)
{
	return (struct timespec){t.tv_sec, t.tv_nsec};
}

static int look(struct pf_file *file, struct stat *st)
{
	struct statx x;
	int err = pf_statxat(file, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &x);

	if (err)
		return err;
	*st = (struct stat){.st_size = (off_t)x.stx_size,
			    .st_mtim = time_of(x.stx_mtime),
			    .st_ctim = time_of(x.stx_ctime)};
	return 0;
}

/* What was changed just now may be changed again at the same time. */
static bool is_old(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (now.tv_sec - st->st_ctim.tv_sec) * 1000 +
		   (now.tv_nsec - st->st_ctim.tv_nsec) / 1000000 >
	       TICK_MS;
}

/* What the memfd's time is now the server knows: it is not set there when the file is closed, when
 * others may have written to it. */
static void adopt_times(struct object *o)
{
	struct stat mem;

	if (!fstat(o->fd, &mem))
		atomic_store(&o->sent_mtime, hold_time(mem.st_mtim));
	o->sent = false;
}

void lock_data_is(struct object *o, const struct stat *st)
{
	o->mtime = st->st_mtim;
	o->ctime = st->st_ctim;
	o->known_size = st->st_size;
	o->known = is_old(st);
}

static bool is_as_known(const struct object *o, const struct stat *st)
{
	return o->known && o->known_size == st->st_size &&
	       hold_time(o->mtime) == hold_time(st->st_mtim) &&
	       hold_time(o->ctime) == hold_time(st->st_ctim);
}

/* ---- taking over ----------------------------------------------------------------------------- */

struct taking {
	struct object *o;
	int memfd;
	size_t edge; /* the block where the file has ended, if it ends elsewhere now; else -1 */
	off_t at;
	size_t size; /* of theirs */
	char theirs[PIECE], ours[PIECE];
	struct pf__sum base[PIECE / BLOCK];
};

/* One that the server has otherwise. What programs have written is theirs. */
static int take_block(struct taking *t, size_t from, size_t n)
{
	size_t at = (size_t)t->at + from;
	struct pf__sum sum;

	if (t->o->written && at < t->o->base_size && at / BLOCK != t->edge &&
	    !base_same(base_sum(t->o, t->ours + from, n), t->base[from / BLOCK]))
		return 0;
	if (pwrite(t->memfd, t->theirs + from, n, t->at + (off_t)from) != (ssize_t)n)
		return -ENOMEM;
	if (!t->o->written)
		return 0;
	sum = base_sum(t->o, t->theirs + from, n);
	base_note(t->o, at, &sum, 1);
	return 0;
}

static int take_piece(struct taking *t)
{
	ssize_t have = pread(t->memfd, t->ours, t->size, t->at);
	int err = have < 0 ? -errno : 0;

	if (err)
		return err;
	memset(t->ours + have, 0, t->size - (size_t)have);
	if (t->o->written)
		base_read(t->o, (size_t)t->at, t->base, (t->size + BLOCK - 1) / BLOCK);
	for (size_t from = 0; !err && from < t->size; from += BLOCK) {
		size_t n = t->size - from < BLOCK ? t->size - from : BLOCK;

		/* Of the block where it has ended nobody knows yet what the server has. */
		if (from + n > (size_t)have || ((size_t)t->at + from) / BLOCK == t->edge ||
		    memcmp(t->ours + from, t->theirs + from, n) != 0)
			err = take_block(t, from, n);
	}
	return err;
}

/* Its end, if programs have not moved ours. */
static int take_size(struct taking *t, off_t size)
{
	struct object *o = t->o;
	struct stat mem;

	if (fstat(t->memfd, &mem) < 0)
		return -errno;
	if (o->written && (size_t)mem.st_size != o->base_size)
		return 0;
	if (o->written && (size_t)size != o->base_size) {
		size_t less = (size_t)size < o->base_size ? (size_t)size : o->base_size;

		base_resize(o, (size_t)size);
		t->edge = less / BLOCK;
	}
	return mem.st_size != size && ftruncate(t->memfd, size) < 0 ? -errno : 0;
}

static int take_all(struct taking *t, struct pf_file *file, const struct stat *st)
{
	int err = take_size(t, st->st_size);

	for (t->at = 0; !err && t->at < st->st_size; t->at += (off_t)t->size) {
		off_t left = st->st_size - t->at;
		ssize_t n = pf_pread(file, t->theirs, left < PIECE ? (size_t)left : PIECE, t->at);

		if (n <= 0)
			return n < 0 ? (int)n : 0;
		t->size = (size_t)n;
		err = take_piece(t);
	}
	return err;
}

static int take_over(struct job *j, struct object *o, struct pf_file *file, const struct stat *st)
{
	PF_AUTO_FREE struct taking *t = pf__malloc(sizeof *t);
	PF_AUTO_CLOSE int memfd = fd_reopen(o->fd, O_RDWR | O_NOATIME);
	struct pf_file *reader;
	int err = !t ? -ENOMEM : memfd < 0 ? memfd : 0;

	if (err)
		return err;
	t->o = o;
	t->memfd = memfd;
	t->edge = (size_t)-1;
	/* Anew: what is cached of it goes. */
	err = open_once_more(j, file, O_RDONLY, &reader);
	if (err)
		return err;
	err = take_all(t, reader, st);
	pf__close_unflushed(reader);
	return err;
}

/* ---- locks ----------------------------------------------------------------------------------- */

/* Under o->lock. */
static int flush_noting(struct object *o)
{
	int err = o->written && o->writer ? flush_changed(o) : 0;

	if (err && !o->error)
		o->error = err;
	return err;
}

void lock_data_took(struct job *j, struct object *o, struct pf_file *file)
{
	struct stat st;

	if (o->native)
		return;
	pthread_mutex_lock(&o->lock);
	flush_noting(o);
	if (o->held && !look(file, &st) && !is_as_known(o, &st)) {
		int err = take_over(j, o, file, &st);

		if (!err)
			adopt_times(o);
		lock_data_is(o, &st);
		o->known &= !err;
	}
	pthread_mutex_unlock(&o->lock);
}

void lock_data_ends(struct object *o)
{
	if (o->native || !o->written)
		return;
	pthread_mutex_lock(&o->lock);
	if (!flush_noting(o))
		adopt_times(o);
	pthread_mutex_unlock(&o->lock);
}
