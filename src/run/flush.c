/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs wrote into the memfds goes to the servers: what differs from what the server has
 * (the base), at fsync, when the last writer has closed it (inotify tells), by a timer, and at the
 * end. The base is there from the moment on that a file is given out for writing.
 *
 * What cannot be written back when nobody is left who could be told is kept in a file, named to the
 * user and counted.
 */
#include "run/internal.h"
#include "base/sys.h"
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

#define BLOCK    4096u
#define PIECE    (1u << 20)
#define TIMER_MS 1000
#define QUICK_MS 100
#define AGAIN_MS 50

/* ---- the base -------------------------------------------------------------------------------- */

static int base_reserve(struct object *o, size_t size)
{
	void *more;
	size_t room;

	if (size <= o->base_room)
		return 0;
	room = size + size / 4 + BLOCK;
	more = realloc(o->base, room);
	if (!more)
		return -ENOMEM;
	o->base = more;
	o->base_room = room;
	return 0;
}

/* Bytes that the server has now. */
static int base_set(struct object *o, size_t at, const void *data, size_t size)
{
	int err = base_reserve(o, at + size);

	if (err)
		return err;
	if (at > o->base_size)
		memset((char *)o->base + o->base_size, 0, at - o->base_size);
	memcpy((char *)o->base + at, data, size);
	if (at + size > o->base_size)
		o->base_size = at + size;
	return 0;
}

static int base_resize(struct object *o, size_t size)
{
	int err = base_reserve(o, size);

	if (err)
		return err;
	if (size > o->base_size)
		memset((char *)o->base + o->base_size, 0, size - o->base_size);
	o->base_size = size;
	return 0;
}

int flush_truncated(struct object *o, size_t length)
{
	return base_resize(o, length);
}

/* Before it is given out for writing: what it holds is what the server has. */
int flush_begin(struct object *o)
{
	struct stat st;
	int err = 0;

	if (o->written)
		return 0;
	if (fstat(o->fd, &st) < 0)
		return -errno;
	err = base_reserve(o, (size_t)st.st_size);
	if (!err && st.st_size && pread(o->fd, o->base, (size_t)st.st_size, 0) != st.st_size)
		err = -EIO;
	if (err)
		return err;
	o->base_size = (size_t)st.st_size;
	o->written = true;
	atomic_fetch_add(&o->run->n_written, 1);
	return 0;
}

/* ---- what differs ---------------------------------------------------------------------------- */

/* A run of bytes that differ, taken out of the memfd, so that it stays as it is while it is sent. */
static int send_piece(struct object *o, const char *data, size_t at, size_t size)
{
	while (size) {
		ssize_t n = pf_pwrite(o->writer, data, size, (off_t)at);
		int err;

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		err = base_set(o, at, data, (size_t)n);
		if (err)
			return err;
		data += n;
		at += (size_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static bool differs(const struct object *o, const char *block, size_t at, size_t n)
{
	return at + n > o->base_size || memcmp((const char *)o->base + at, block, n) != 0;
}

/* Adjacent blocks that differ go together. */
static int send_differences(struct object *o, const char *buf, size_t at, size_t size)
{
	size_t from = 0, pos = 0;
	bool open = false;
	int err = 0;

	for (; pos < size && !err; pos += BLOCK) {
		size_t n = size - pos < BLOCK ? size - pos : BLOCK;
		bool d = differs(o, buf + pos, at + pos, n);

		if (d && !open)
			from = pos;
		if (!d && open)
			err = send_piece(o, buf + from, at + from, pos - from);
		open = d;
	}
	if (open && !err)
		err = send_piece(o, buf + from, at + from, size - from);
	return err;
}

/* Holes behind what the server has need not be sent. */
static off_t skip_hole(struct object *o, off_t at, off_t end)
{
	off_t data;

	if ((size_t)at < o->base_size)
		return at;
	data = lseek(o->fd, at, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? end : at;
	return data < end ? data - data % BLOCK > at ? data - data % BLOCK : at : end;
}

static int send_data(struct object *o, off_t size)
{
	PF_AUTO_FREE char *buf = pf__malloc(PIECE);
	off_t at = 0;
	int err = buf ? 0 : -ENOMEM;

	while (!err && at < size) {
		ssize_t n;

		at = skip_hole(o, at, size);
		if (at >= size)
			break;
		n = pread(o->fd, buf, (size_t)(size - at < PIECE ? size - at : PIECE), at);
		if (n <= 0) /* truncated meanwhile */
			break;
		err = send_differences(o, buf, (size_t)at, (size_t)n);
		at += n;
	}
	return err;
}

static int send_size(struct object *o, off_t size)
{
	int err;

	if ((size_t)size == o->base_size)
		return 0;
	err = pf_ftruncate(o->writer, size);
	return err ? err : base_resize(o, (size_t)size);
}

/* Programs have seen this time: it stays. */
static void send_mtime(struct object *o, const struct stat *st)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};

	if (st->st_mtim.tv_sec == o->sent_mtime.tv_sec &&
	    st->st_mtim.tv_nsec == o->sent_mtime.tv_nsec)
		return;
	if (!pf_futimens(o->writer, times))
		o->sent_mtime = st->st_mtim;
}

static int send_all(struct object *o)
{
	struct stat st;
	int err;

	if (fstat(o->fd, &st) < 0)
		return -errno;
	err = (size_t)st.st_size < o->base_size ? send_size(o, st.st_size) : 0;
	if (!err)
		err = send_data(o, st.st_size);
	if (!err)
		err = send_size(o, st.st_size);
	if (!err)
		send_mtime(o, &st);
	return err;
}

int flush_object(struct object *o)
{
	int err;

	if (!o->written || !o->writer)
		return 0;
	err = send_all(o);
	if (err)
		o->failed = true;
	else
		o->failed = false;
	return err;
}

/* ---- what cannot be written back ------------------------------------------------------------- */

static int copy_out(const struct object *o, int to)
{
	char buf[65536];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(o->fd, buf, sizeof buf, at)) > 0) {
		if (write(to, buf, (size_t)n) != n)
			return -EIO;
		at += n;
	}
	return n < 0 ? -errno : 0;
}

static void keep(struct object *o, int why)
{
	const char *dir = getenv("TMPDIR"), *base;
	char path[PATH_MAX], name[PATH_MAX];
	int fd, err;

	object_path(o, path, sizeof path);
	base = strrchr(path, '/');
	snprintf(name, sizeof name, "%s/portfire-%.100s-XXXXXX", dir && *dir ? dir : "/tmp",
		 base && base[1] ? base + 1 : "file");
	fd = mkostemp(name, O_CLOEXEC);
	err = fd < 0 ? -errno : copy_out(o, fd);
	if (fd >= 0)
		close(fd);
	atomic_fetch_add(&o->run->lost, 1);
	if (err)
		run_say(o->run, "%s: could not be written back (%s) and not be kept in %s (%s)",
			path, strerror(-why), name, strerror(-err));
	else
		run_say(o->run, "%s: could not be written back (%s); what it held is kept in %s",
			path, strerror(-why), name);
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
		err = flush_object(o);
	o->writer = NULL;
	closed = writer ? pf_close(writer) : 0;
	if (!err && !unlinked)
		err = closed;
	if (err)
		keep(o, err);
	o->written = o->failed = false;
	atomic_fetch_sub(&o->run->n_written, 1);
	free(o->base);
	o->base = NULL;
	o->base_size = o->base_room = 0;
	o->held = false; /* the next open looks at what the server has now */
}

static void end_reading(struct object *o)
{
	if (o->reader)
		pf_close(pf__take(o->reader, NULL));
	o->held = false;
}

static void look_at_closed(struct object *o)
{
	pthread_mutex_lock(&o->lock);
	if (o->written && !hold_has_writers(o))
		end_writing(o);
	if (!o->written && o->held && !hold_in_use(o))
		end_reading(o);
	pthread_mutex_unlock(&o->lock);
}

static struct object *object_by_watch(struct pf__run *r, int watch)
{
	struct object *found = NULL;
	struct pf__list *pos;

	pthread_mutex_lock(&r->objects_lock);
	pf__list_for_each (pos, &r->objects) {
		struct object *o = pf__list_entry(pos, struct object, all);

		if (o->watch == watch) {
			found = o;
			atomic_fetch_add(&o->refs, 1);
			break;
		}
	}
	pthread_mutex_unlock(&r->objects_lock);
	return found;
}

/*
 * The kernel tells of a close before it counts one writer less. Who is told in between finds a
 * writer: it is looked at again for a while.
 */
static void look_again(struct pf__run *r)
{
	struct pf__list *pos, *tmp;

	pf__list_for_each_safe (pos, tmp, &r->closing) {
		struct object *o = pf__list_entry(pos, struct object, closing);

		look_at_closed(o);
		if (o->written && run_now_ms() - o->told < AGAIN_MS)
			continue;
		pf__list_del(&o->closing);
		object_drop(o);
	}
}

/* Takes over the reference. */
static void told_of_close(struct pf__run *r, struct object *o)
{
	look_at_closed(o);
	if (!o->written) {
		object_drop(o);
		return;
	}
	o->told = run_now_ms();
	if (pf__list_empty(&o->closing))
		pf__list_add_tail(&r->closing, &o->closing);
	else
		object_put(o);
}

static void drain(struct pf__run *r)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n;

	look_again(r);
	while ((n = read(r->inotify, buf, sizeof buf)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(buf + at);
			struct object *o =
			    e->mask & IN_CLOSE ? object_by_watch(r, e->wd) : NULL;

			if (o)
				told_of_close(r, o);
			at += (ssize_t)(sizeof *e + e->len);
		}
	}
}

void flush_closed(struct pf__run *r)
{
	pthread_mutex_lock(&r->flush_lock);
	drain(r);
	pthread_mutex_unlock(&r->flush_lock);
}

/*
 * Whoever closed a file and goes on sees what it did, also by ways that are not ours. But nobody
 * shall hang for a server that he does not use.
 */
void flush_closed_quick(struct pf__run *r)
{
	struct timespec until;

	if (!hold_any_written(r))
		return;
	if (pthread_mutex_trylock(&r->flush_lock)) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += QUICK_MS * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_nsec -= 1000000000L;
			until.tv_sec++;
		}
		if (pthread_mutex_timedlock(&r->flush_lock, &until))
			return;
	}
	drain(r);
	pthread_mutex_unlock(&r->flush_lock);
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

void flush_all(struct pf__run *r, struct mount *m)
{
	unsigned round = atomic_fetch_add(&r->round, 1) + 1;
	struct object *o;

	flush_closed(r);
	while ((o = next_written(r, m, round))) {
		look_at_closed(o);
		pthread_mutex_lock(&o->lock);
		if (flush_object(o))
			o->error = o->error ? o->error : -EIO;
		pthread_mutex_unlock(&o->lock);
		object_put(o);
	}
}

static void *flush_loop(void *arg)
{
	struct pf__run *r = arg;
	int64_t next = run_now_ms() + TIMER_MS;

	pthread_setname_np(pthread_self(), "pf-flush");
	while (!atomic_load(&r->ending)) {
		struct pollfd p[2] = {{r->inotify, POLLIN, 0}, {r->flush_wake, POLLIN, 0}};
		int64_t left = pf__list_empty(&r->closing) ? next - run_now_ms() : 1;

		poll(p, 2, left < 0 ? 0 : (int)left);
		if (p[0].revents || left == 1)
			flush_closed(r);
		if (run_now_ms() < next)
			continue;
		next = run_now_ms() + TIMER_MS;
		if (hold_any_written(r))
			flush_all(r, NULL);
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
	uint64_t one = 1;

	if (r->flush_running) {
		while (write(r->flush_wake, &one, sizeof one) < 0 && errno == EINTR)
			;
		pthread_join(r->flush_thread, NULL);
		r->flush_running = false;
	}
	if (r->flush_wake >= 0)
		close(pf__take(r->flush_wake, -1));
}
