/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs wrote into the memfds goes to the servers: what differs from what the server has
 * (the base), at fsync, when the last writer has closed it (inotify tells), by a timer, and at the
 * end. The base is there from the moment on that a file is given out for writing.
 *
 * What cannot be written back when nobody is left who could be told is kept in a file, named to the
 * user and counted.
 */
#include "base/sys.h"
#include "run/base.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK        BASE_BLOCK
#define PIECE        (1u << 20)
#define TIMER_MS     1000
#define MAPPED_TURNS 5 /* how often what seems unchanged is compared: mappings */
#define QUICK_MS     100
#define READERS_MS   20 /* how long those that were only read stay open at the server */
#define AGAIN_MS     50
#define SHARE        10 /* of the time that looking through a file may take: one part */
#define UNSEEN_MS    20 /* how far a file's mtime may move at close, if nobody has asked for it */

/* ---- the base -------------------------------------------------------------------------------- */

void flush_truncated(struct object *o, size_t length)
{
	base_resize(o, length);
}

void flush_allocated(struct object *o, int mode, off_t offset, off_t length)
{
	if (mode & FALLOC_FL_PUNCH_HOLE)
		base_punch(o, (size_t)offset, (size_t)length);
	else if (!(mode & FALLOC_FL_KEEP_SIZE) && (size_t)(offset + length) > o->base_size)
		base_resize(o, (size_t)(offset + length));
}

/* Where data begins at or after at, in a file that ends at end. */
off_t next_data(int fd, off_t at, off_t end)
{
	off_t data;

	data = lseek(fd, at, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? end : at;
	data -= data % BLOCK;
	return data < at ? at : data < end ? data : end;
}

static unsigned blocks_of(size_t size)
{
	return (unsigned)((size + BLOCK - 1) / BLOCK);
}

static void sum_up(const struct object *o, const char *data, size_t size, struct pf__sum *sums)
{
	for (size_t at = 0; at < size; at += BLOCK)
		sums[at / BLOCK] = base_sum(o, data + at, size - at < BLOCK ? size - at : BLOCK);
}

static int base_fill(struct object *o, off_t size)
{
	PF_AUTO_FREE char *buf = pf__malloc(PIECE);
	struct pf__sum sums[PIECE / BLOCK];
	off_t at = 0;
	int err = buf ? 0 : -ENOMEM;

	while (!err && (at = next_data(o->fd, at, size)) < size) {
		ssize_t n = pread(o->fd, buf, PIECE, at);

		if (n <= 0)
			return n < 0 ? -errno : 0;
		sum_up(o, buf, (size_t)n, sums);
		base_note(o, (size_t)at, sums, blocks_of((size_t)n));
		at += n;
	}
	if (!err)
		base_resize(o, (size_t)size);
	return err;
}

/* Before it is given out for writing: what it holds is what the server has. */
int flush_begin(struct object *o)
{
	struct stat st;
	int err;

	if (o->written)
		return 0;
	if (objects_full(o->run))
		return -ENFILE;
	if (fstat(o->fd, &st) < 0)
		return -errno;
	base_close(o);
	err = base_fill(o, st.st_size);
	if (err)
		return err;
	o->written = true;
	o->compare_next = 0;
	atomic_fetch_add(&o->run->n_written, 1);
	atomic_fetch_add(&o->run->n_in_memory, !o->on_disk);
	shared_busy(o->run, 1);
	return 0;
}

/* ---- what differs ---------------------------------------------------------------------------- */

/* What is compared: a piece of the memfd, taken out so that it stays as it is while it is sent. */
struct piece {
	char data[PIECE];
	struct pf__sum sums[PIECE / BLOCK],
	    base[PIECE / BLOCK]; /* of data, of what the server has */
	off_t at;
	size_t size;
	bool last; /* it will not be compared again: no need to note what was sent */
};

static int send_bytes(struct object *o, const struct piece *p, size_t from, size_t size)
{
	while (size) {
		ssize_t n = pf_pwrite(o->writer, p->data + from, size, p->at + (off_t)from);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		from += (size_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/* A run of blocks that differ. */
static int send_run(struct object *o, const struct piece *p, size_t from, size_t size)
{
	size_t at = (size_t)p->at + from;
	int err;

	o->sent = true;
	err = send_bytes(o, p, from, size);
	if (err) { /* some of it has arrived */
		base_forget(o, at, size);
		return err;
	}
	if (at + size > o->base_size)
		o->base_size = at + size;
	if (!p->last)
		base_note(o, at, p->sums + from / BLOCK, blocks_of(size));
	return 0;
}

static bool differs(const struct object *o, const struct piece *p, size_t at, size_t n)
{
	return (size_t)p->at + at + n > o->base_size ||
	       !base_same(p->sums[at / BLOCK], p->base[at / BLOCK]);
}

/* Adjacent blocks that differ go together. */
static int send_differences(struct object *o, const struct piece *p)
{
	size_t from = 0, pos;
	bool open = false;
	int err = 0;

	for (pos = 0; pos < p->size && !err; pos += BLOCK) {
		size_t n = p->size - pos < BLOCK ? p->size - pos : BLOCK;
		bool d = differs(o, p, pos, n);

		if (d && !open)
			from = pos;
		if (!d && open)
			err = send_run(o, p, from, pos - from);
		open = d;
	}
	return open && !err ? send_run(o, p, from, p->size - from) : err;
}

/* Where neither has data nothing differs. */
static off_t next_difference(const struct object *o, off_t at, off_t size)
{
	off_t ours = next_data(o->fd, at, size), base = base_next_data(o, at, size);

	return ours < base ? ours : base;
}

static int send_data(struct object *o, off_t at, off_t size, bool last)
{
	PF_AUTO_FREE struct piece *p = pf__malloc(sizeof *p);
	int err = p ? 0 : -ENOMEM;

	if (p)
		p->last = last;
	while (!err && (at = next_difference(o, at, size)) < size) {
		ssize_t n =
		    pread(o->fd, p->data, (size_t)(size - at < PIECE ? size - at : PIECE), at);

		if (n < 0)
			err = -errno;
		if (n <= 0) /* truncated meanwhile */
			break;
		p->at = at;
		p->size = (size_t)n;
		sum_up(o, p->data, p->size, p->sums);
		base_read(o, (size_t)at, p->base, blocks_of(p->size));
		err = send_differences(o, p);
		at += n;
	}
	return err;
}

static int send_size(struct object *o, off_t size)
{
	int err;

	if ((size_t)size == o->base_size)
		return 0;
	o->sent = true;
	err = pf_ftruncate(o->writer, size);
	if (!err)
		base_resize(o, (size_t)size);
	return err;
}

/* Its time of this write is as good as ours: nobody has seen ours, and they are not far apart. */
static bool server_time_will_do(const struct object *o, const struct stat *st)
{
	struct timespec now;

	if (atomic_load(&o->seen))
		return false;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (now.tv_sec - st->st_mtim.tv_sec) * 1000 +
		   (now.tv_nsec - st->st_mtim.tv_nsec) / 1000000 <
	       UNSEEN_MS;
}

/* The time of the last access, as it is known: some servers (bindfs, sshfs) do not know how to set
 * one time alone. */
static struct timespec access_time(const struct object *o)
{
	struct statx x;

	if (pf_statxat(o->writer, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_ATIME, &x))
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	return (struct timespec){x.stx_atime.tv_sec, x.stx_atime.tv_nsec};
}

/* Programs have seen this time: it stays. */
static void send_mtime(struct object *o, const struct stat *st)
{
	struct timespec times[2] = {access_time(o), st->st_mtim};

	if (!o->sent && hold_time(st->st_mtim) == atomic_load(&o->sent_mtime))
		return;
	if (!server_time_will_do(o, st) && pf_futimens(o->writer, times))
		return;
	atomic_store(&o->sent_mtime, hold_time(st->st_mtim));
	o->sent = false;
	atomic_store(&o->seen, false);
}

static int send_all(struct object *o, bool last)
{
	struct stat st;
	int err;

	if (fstat(o->fd, &st) < 0)
		return -errno;
	err = (size_t)st.st_size < o->base_size ? send_size(o, st.st_size) : 0;
	if (!err)
		err = send_data(o, 0, st.st_size, last);
	if (!err)
		err = send_size(o, st.st_size);
	if (!err) {
		send_mtime(o, &st);
		o->compared_size = st.st_size;
		o->compared_mtime = st.st_mtim;
	}
	return err;
}

/*
 * By the timer: a large file that grows is not looked through from its beginning each second, but
 * for a tenth of the time at most. What is behind the end of what the server has is new.
 */
static int send_in_time(struct object *o)
{
	int64_t began = run_now_ms();
	struct stat st;
	int err;

	if (began < o->compare_next && fstat(o->fd, &st) == 0) {
		off_t from = (off_t)(o->base_size - o->base_size % BLOCK);

		return st.st_size > from ? send_data(o, from, st.st_size, false) : 0;
	}
	err = send_all(o, false);
	o->compare_next = run_now_ms() + (run_now_ms() - began) * (SHARE - 1);
	return err;
}

/* Nothing was written to it since it was compared, but perhaps through a mapping. */
static bool seems_unchanged(const struct object *o)
{
	struct stat st;

	return fstat(o->fd, &st) == 0 && st.st_size == o->compared_size &&
	       st.st_mtim.tv_sec == o->compared_mtime.tv_sec &&
	       st.st_mtim.tv_nsec == o->compared_mtime.tv_nsec;
}

int flush_object(struct object *o)
{
	return o->written && o->writer ? send_all(o, false) : 0;
}

/* What was written to just now may be written to again at the same time. */
static bool is_recent(struct timespec t)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (now.tv_sec - t.tv_sec) * 1000 + (now.tv_nsec - t.tv_nsec) / 1000000 < UNSEEN_MS;
}

int flush_changed(struct object *o)
{
	return seems_unchanged(o) && !is_recent(o->compared_mtime) ? 0 : flush_object(o);
}

/* ---- closed files ---------------------------------------------------------------------------- */

static bool is_unlinked(struct object *o)
{
	struct stat st;

	return o->gone && !pf_fstat(o->handle, &st) && st.st_nlink == 0;
}

/* Nobody can write to it any more: what is left goes, and the server's handle. Under o->lock. */
static void end_writing(struct object *o)
{
	struct pf_file *writer = pf__take(o->writer, NULL);
	bool unlinked = is_unlinked(o);
	int err = 0, closed;

	o->writer = writer;
	if (!unlinked)
		err = writer ? send_all(o, true) : 0;
	o->writer = NULL;
	closed = writer ? pf_close(writer) : 0;
	if (!err && !unlinked)
		err = closed;
	if (err) {
		keep_held(o, err);
		o->error = err; /* for who renames it, or asks by fsync */
	}
	o->written = false;
	atomic_fetch_sub(&o->run->n_written, 1);
	atomic_fetch_sub(&o->run->n_in_memory, !o->on_disk);
	shared_busy(o->run, -1);
	base_close(o);
	o->held = false; /* the next open looks at what the server has now */
}

static void end_reading(struct object *o)
{
	if (o->reader)
		pf__close_unflushed(pf__take(o->reader, NULL));
	/* Somebody may be on his way to execute it, and must not find it being written to. */
	if (!o->exec)
		o->held = false;
}

bool flush_if_closed(struct object *o)
{
	bool open;

	if (o->written)
		pthread_mutex_lock(&o->lock);
	else if (pthread_mutex_trylock(&o->lock)) /* as in end_listing() */
		return true;
	if (o->written && !hold_has_writers(o))
		end_writing(o);
	open = o->written || ((o->held || o->reader) && hold_in_use(o));
	if (!open)
		end_reading(o);
	pthread_mutex_unlock(&o->lock);
	return open;
}

/* Who is being answered may hang at the server: then it is closed with the object. */
static void end_listing(struct object *o)
{
	if (pthread_mutex_trylock(&o->lock))
		return;
	if (o->listing)
		pf_close(pf__take(o->listing, NULL));
	pthread_mutex_unlock(&o->lock);
}

/*
 * One of r->closing, under flush_lock, which is not held meanwhile: a server may take its time, and
 * nobody shall wait for it who has no need to.
 *
 * The kernel tells of a close before it counts one writer or reader less. Who is told in between
 * finds it in use: it is looked at again for a while.
 */
static void settle(struct pf__run *r, struct object *o)
{
	bool open = false, other = false;

	o->settling = run_now_ms();
	pthread_mutex_unlock(&r->flush_lock);
	if (o->kind == OBJECT_DIR && o->strangers && object_is_open(o))
		other = true; /* that was another one's */
	else if (o->kind == OBJECT_DIR)
		end_listing(o);
	else if (o->through)
		/* There was one open file of it. */
		o->over = !o->strangers || !object_is_open(o);
	else
		open = flush_if_closed(o);
	pthread_mutex_lock(&r->flush_lock);
	o->settling = 0;
	pthread_cond_broadcast(&r->settled);
	if (open && run_now_ms() - o->told < AGAIN_MS)
		return;
	atomic_store(&o->is_closing, false);
	pf__list_del(&o->closing);
	atomic_fetch_sub(&r->n_closing, 1);
	pthread_mutex_unlock(&r->flush_lock);
	if (other)
		object_put(o);
	else
		object_drop(o);
	pthread_mutex_lock(&r->flush_lock);
}

/* The next that this round has not looked at. Under flush_lock. */
static struct object *next_closing(struct pf__run *r, const struct mount *m, unsigned round)
{
	struct pf__list *pos;

	pf__list_for_each (pos, &r->closing) {
		struct object *o = pf__list_entry(pos, struct object, closing);

		if (!o->settling && o->looked != round && (!m || o->m == m)) {
			o->looked = round;
			return o;
		}
	}
	return NULL;
}

static void settle_all(struct pf__run *r, const struct mount *m)
{
	unsigned round = ++r->look;
	struct object *o;

	while ((o = next_closing(r, m, round)))
		settle(r, o);
}

/* Into r->closing. Under flush_lock. */
static void drain(struct pf__run *r, bool writes)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n;

	while ((n = read(r->inotify[writes], buf, sizeof buf)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(buf + at);
			struct object *o = e->mask & (IN_CLOSE | IN_OPEN)
					       ? object_by_watch(r, writes, e->wd)
					       : NULL;

			at += (ssize_t)(sizeof *e + e->len);
			if (!o)
				continue;
			if (e->mask & IN_OPEN) {
				o->strangers = true;
				object_put(o);
				continue;
			}
			if (o->native) {
				atomic_store(&r->native_told, true);
				object_put(o);
				continue;
			}
			o->told = run_now_ms();
			if (!pf__list_empty(&o->closing)) {
				object_put(o);
				continue;
			}
			pf__list_add_tail(&r->closing, &o->closing);
			atomic_store(&o->is_closing, true);
			atomic_fetch_add(&r->n_closing, 1);
		}
	}
}

/* What others have begun, unless that takes too long. Under flush_lock. */
static void await_others(struct pf__run *r)
{
	struct timespec until;
	struct pf__list *pos;
	bool wait;

	do {
		int64_t now = run_now_ms();

		wait = false;
		pf__list_for_each (pos, &r->closing) {
			const struct object *o = pf__list_entry(pos, struct object, closing);

			wait |= o->settling && now - o->settling < QUICK_MS;
		}
		if (!wait)
			return;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += QUICK_MS / 4 * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_nsec -= 1000000000L;
			until.tv_sec++;
		}
		pthread_cond_timedwait(&r->settled, &r->flush_lock, &until);
	} while (wait);
}

void flush_closed_at(struct pf__run *r, const struct mount *m)
{
	pthread_mutex_lock(&r->flush_lock);
	atomic_store(&r->flush_since, run_now_ms());
	drain(r, true);
	drain(r, false);
	settle_all(r, m);
	await_others(r);
	pthread_mutex_unlock(&r->flush_lock);
}

void flush_closed(struct pf__run *r)
{
	flush_closed_at(r, NULL);
	locks_settle(r);
}

/*
 * Whoever closed a file and goes on sees what it did, also by ways that are not ours. But nobody
 * shall hang for a server that he does not use.
 */
void flush_closed_quick(struct pf__run *r)
{
	bool through = atomic_load_explicit(&r->n_through, memory_order_relaxed);

	if (!hold_any_written(r) && !through)
		return;
	pthread_mutex_lock(&r->flush_lock);
	drain(r, true);
	if (through)
		drain(r, false);
	settle_all(r, NULL);
	await_others(r);
	pthread_mutex_unlock(&r->flush_lock);
}

/* Before a name goes: what was closed shall be closed at the server, too. Some hide files instead
 * of removing them while they are open. */
void flush_closed_for_names(struct pf__run *r)
{
	if (!atomic_load_explicit(&r->shared->given, memory_order_relaxed))
		return;
	flush_closed(r);
	locks_settle_now(r);
}

/* ---- all ------------------------------------------------------------------------------------- */

static struct object *next_written(struct pf__run *r, const struct mount *m, unsigned round)
{
	struct object *found = NULL;
	struct pf__list *pos;

	pthread_mutex_lock(&r->objects_lock);
	pf__list_for_each (pos, &r->objects) {
		struct object *o = pf__list_entry(pos, struct object, all);

		if (o->written && o->round != round && (!m || o->m == m)) {
			found = o;
			o->round = round;
			atomic_fetch_add(&o->refs, 1);
			break;
		}
	}
	pthread_mutex_unlock(&r->objects_lock);
	return found;
}

/* all: whatever it takes; mapped: also what seems unchanged. */
static int flush_each(struct pf__run *r, struct mount *m, bool all, bool mapped)
{
	unsigned round = atomic_fetch_add(&r->round, 1) + 1;
	int first = 0;
	struct object *o;

	while ((o = next_written(r, m, round))) {
		int err;

		flush_if_closed(o);
		pthread_mutex_lock(&o->lock);
		err = 0;
		if (all)
			err = flush_object(o);
		else if (o->written && o->writer && (mapped || !seems_unchanged(o)))
			err = send_in_time(o);
		if (err && !o->error)
			o->error = err;
		pthread_mutex_unlock(&o->lock);
		object_put(o);
		first = first ? first : err;
	}
	return first;
}

int flush_all(struct pf__run *r, struct mount *m)
{
	flush_closed_at(r, m);
	locks_settle_now(r);
	return flush_each(r, m, true, true);
}

static void wake(struct pf__run *r)
{
	uint64_t one = 1;

	while (write(r->flush_wake, &one, sizeof one) < 0 && errno == EINTR)
		;
}

void flush_given(struct pf__run *r)
{
	/* Nobody has looked for what is closed until now. */
	if (!atomic_load_explicit(&r->shared->given, memory_order_relaxed) &&
	    !atomic_exchange(&r->shared->given, 1))
		wake(r);
}

static void *flush_loop(void *arg)
{
	struct pf__run *r = arg;
	int64_t next = run_now_ms() + TIMER_MS;
	int native = TIMER_MS;
	unsigned turn = 0;

	pthread_setname_np(pthread_self(), "pf-flush");
	while (!atomic_load(&r->ending)) {
		struct pollfd p[2] = {{r->inotify[1], POLLIN, 0}, {r->flush_wake, POLLIN, 0}};
		int64_t left = next - run_now_ms();

		if (atomic_load(&r->n_closing))
			left = 1;
		else if (left > READERS_MS && atomic_load(&r->shared->given))
			left = READERS_MS;
		left = left < native ? left : native;
		poll(p, 2, left < 0 ? 0 : (int)left);
		if (p[1].revents & POLLIN)
			(void)!read(r->flush_wake, &(uint64_t){0}, sizeof(uint64_t));
		flush_closed(r);
		limit_look(r);
		native = native_settle(r);
		if (run_now_ms() < next)
			continue;
		next = run_now_ms() + TIMER_MS;
		if (hold_any_written(r))
			flush_each(r, NULL, false, ++turn % MAPPED_TURNS == 0);
		if (r->n_objects > 512)
			objects_sweep(r, NULL);
	}
	return NULL;
}

int flush_thread_start(struct pf__run *r)
{
	int err;

	r->flush_wake = pf__sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->flush_wake < 0)
		return r->flush_wake;
	err = pf__sys.thread_create(&r->flush_thread, flush_loop, r);
	r->flush_running = !err;
	return err;
}

void flush_thread_stop(struct pf__run *r)
{
	if (r->flush_running) {
		wake(r);
		pthread_join(r->flush_thread, NULL);
		r->flush_running = false;
	}
	if (r->flush_wake >= 0)
		close(pf__take(r->flush_wake, -1));
}
