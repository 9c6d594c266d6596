/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files whose server passes them through (FUSE_PASSTHROUGH): programs get the backing file itself,
 * opened anew with their flags. Nothing is held, nothing is sent: reads, writes and mappings are
 * the kernel's, seen at once by everybody. What is asked of such a descriptor otherwise (fstat,
 * fchmod, ftruncate, fsync ...) is the server's to answer.
 *
 * The stand-in is a file that others open, too, its server first of all, with the same device and
 * inode number; so what we give out has a mark, O_ASYNC, which means nothing to regular files. It
 * goes with the open file wherever that goes, shows in /proc/PID/fdinfo, and F_SETFL leaves it
 * alone.
 *
 * Leases would tell of the others as well, and inotify does, so who has one open is looked for in
 * /proc (in_use.c) some time after a close of the file.
 */
#include "run/internal.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define MARK     O_ASYNC
#define LEAST_MS 50   /* between two looks into /proc */
#define MOST_MS  1000 /* a close of which nobody told is found by then */
#define SHARE    10   /* of the time that it may take: one part */
#define KEEP_MS  20   /* it was given out while we looked, perhaps: our clock is coarse */
#define ROOM_MS  400  /* to wait for others' descriptors to be closed at the server */

bool native_wanted(const struct pf_file *file, int flags)
{
	return pf__file_backing(file) >= 0 && !(flags & O_PATH);
}

/* Of a descriptor of it. Its server may have a lease on it, which nobody shall wait for. */
static int reopen(int fd, int flags)
{
	const int kept = O_ACCMODE | O_SYNC | O_DSYNC | O_DIRECT | O_NOATIME;
	const int status = O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK;
	int copy = fd_reopen(fd, (flags & kept) | O_NONBLOCK | MARK);

	if (copy == -EPERM) /* O_NOATIME is for its owner alone */
		copy = fd_reopen(fd, (flags & kept & ~O_NOATIME) | O_NONBLOCK | MARK);
	if (copy >= 0)
		fcntl(copy, F_SETFL, flags & status);
	return copy;
}

int native_open(const struct pf_file *file, int flags)
{
	return reopen(pf__file_backing(file), flags);
}

/* With the rights that its handles have: ours may be more than its server's. */
int native_reopen(struct object *o, int flags)
{
	int wants = flags & O_ACCMODE, has;
	bool may;

	pthread_mutex_lock(&o->lock);
	has = o->writer ? pf_getfl(o->writer) & O_ACCMODE : O_RDONLY;
	may = wants == has ? o->writer || o->reader : has == O_RDWR || (!wants && o->reader);
	pthread_mutex_unlock(&o->lock);
	return may ? reopen(o->fd, flags) : -EACCES;
}

static bool is_marked(pid_t tid, const char *name, int *flags)
{
	char path[64];

	if (strncmp(name, "fd/", 3) != 0)
		return false;
	snprintf(path, sizeof path, "/proc/%d/fdinfo/%s", (int)tid, name + 3);
	*flags = fdinfo_flags(path);
	return *flags & MARK;
}

bool native_is_given(pid_t tid, const char *name)
{
	int flags;

	return is_marked(tid, name, &flags);
}

void native_mark(struct object *o, pid_t tid, const char *name)
{
	int flags;

	if (!is_marked(tid, name, &flags))
		return;
	o->marked = o->run->sweep;
	if ((flags & O_ACCMODE) != O_RDONLY)
		o->marked_writing = o->run->sweep;
}

/* ---- finding ----------------------------------------------------------------------------------
 */

struct object *native_find(struct pf__run *r, const void *inode, const struct stat *st)
{
	struct pf__list *pos, *head = objects_of_inode(r, inode);

	pf__list_for_each (pos, head) {
		struct object *o = pf__list_entry(pos, struct object, by_inode);

		if (o->native && o->inode == inode &&
		    (!st || (o->dev == st->st_dev && o->ino == st->st_ino))) {
			atomic_fetch_add(&o->refs, 1);
			return o;
		}
	}
	return NULL;
}

struct object *native_by_inode(struct pf__run *r, const void *inode)
{
	struct object *o;

	pthread_mutex_lock(&r->objects_lock);
	o = native_find(r, inode, NULL);
	pthread_mutex_unlock(&r->objects_lock);
	return o;
}

int object_of_native(struct pf__run *r, struct mount *m, struct pf_file *file, const char *path,
		     struct object **out)
{
	struct object *o, *other;
	struct stat st;
	int err;

	if (fstat(pf__file_backing(file), &st) < 0)
		return -errno;
	pthread_mutex_lock(&r->objects_lock);
	o = native_find(r, file->of->inode, &st);
	pthread_mutex_unlock(&r->objects_lock);
	*out = o;
	if (o)
		return 0;
	if (objects_full(r))
		objects_make_room(r);
	o = object_new(r, m, file, path, FOR_NATIVE, &err);
	if (!o)
		return err;
	pthread_mutex_lock(&r->objects_lock);
	other = native_find(r, o->inode, &st);
	if (!other)
		object_enter(r, o);
	pthread_mutex_unlock(&r->objects_lock);
	if (other)
		object_free(o);
	*out = other ? other : o;
	return 0;
}

/* ---- the end of one -------------------------------------------------------------------------- */

/* Forget those that nobody has open; mark those that nobody writes to any more. */
static void sweep(struct pf__run *r)
{
	struct pf__list dead, *l, *pos, *tmp;
	int64_t began = run_now_ms();
	bool marks = objects_mark(r);

	pf__list_init(&dead);
	pthread_mutex_lock(&r->objects_lock);
	pf__list_for_each_safe (pos, tmp, &r->objects) {
		struct object *o = pf__list_entry(pos, struct object, all);

		if (!o->native)
			continue;
		if (!marks || o->used >= began - KEEP_MS || atomic_load(&o->refs) > 1) {
			atomic_store(&r->native_told, true); /* another time */
			continue;
		}
		o->unwritten = o->writer && o->marked_writing != r->sweep;
		if (o->marked == r->sweep)
			continue;
		object_leave(r, o);
		pf__list_add_tail(&dead, &o->all);
	}
	pthread_mutex_unlock(&r->objects_lock);
	objects_marked();
	while ((l = pf__list_pop(&dead)))
		object_free(pf__list_entry(l, struct object, all));
}

void native_make_room(struct pf__run *r)
{
	for (int ms = 0; objects_full(r) && atomic_load(&r->n_native) && ms < ROOM_MS;
	     ms += KEEP_MS) {
		pf__call_blocks();
		sweep(r);
		if (objects_full(r))
			poll(NULL, 0, KEEP_MS);
	}
}

/* Nobody writes to it any more, though some may read. */
static void end_writing(struct object *o)
{
	struct pf_file *writer = NULL;

	if (pthread_mutex_trylock(&o->lock)) /* it is being opened */
		return;
	if (o->unwritten)
		writer = pf__take(o->writer, NULL);
	o->unwritten = false;
	pthread_mutex_unlock(&o->lock);
	if (writer)
		pf_close(writer);
}

/* The next of those that the sweep has found so, referenced; NULL. */
static struct object *next_unwritten(struct pf__run *r, unsigned round)
{
	struct object *found = NULL;
	struct pf__list *pos;

	pthread_mutex_lock(&r->objects_lock);
	pf__list_for_each (pos, &r->objects) {
		struct object *o = pf__list_entry(pos, struct object, all);

		if (!o->unwritten || o->round == round)
			continue;
		o->round = round;
		atomic_fetch_add(&o->refs, 1);
		found = o;
		break;
	}
	pthread_mutex_unlock(&r->objects_lock);
	return found;
}

int native_settle(struct pf__run *r)
{
	int64_t now = run_now_ms(), next = r->native_next;
	unsigned round;
	struct object *o;

	if (!atomic_load(&r->n_native))
		return MOST_MS;
	if (!atomic_load(&r->native_told))
		next += MOST_MS;
	if (now < next)
		return (int)(next - now);
	atomic_store(&r->native_told, false);
	sweep(r);
	round = atomic_fetch_add(&r->round, 1) + 1;
	while ((o = next_unwritten(r, round))) {
		end_writing(o);
		object_put(o);
	}
	r->native_next = run_now_ms() + LEAST_MS + (run_now_ms() - now) * (SHARE - 1);
	return LEAST_MS;
}

/* ---- executing ------------------------------------------------------------------------------- */

bool native_is_written(struct pf__run *r, const void *inode)
{
	struct object *o = native_by_inode(r, inode);
	bool written = false;

	if (o && o->writer) {
		written = objects_mark(r) && o->marked_writing == r->sweep;
		objects_marked();
	}
	object_put(o);
	return written;
}
