/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placeholder descriptors: of files that are too large to hold (or to look through), of those that
 * the server wants read and written directly (FOPEN_DIRECT_IO), and of those opened with O_SYNC or
 * O_DSYNC. Nothing is read at open.
 *
 * A placeholder is an object of its own for each open: an empty memfd, opened for neither reading
 * nor writing, so that what we do not see fails (EBADF) rather than finds an empty file. It gets
 * one of a range of numbers whose calls are trapped (call_io.c), and they go to the library's file,
 * which knows position and flags.
 *
 * What the kernel alone can do (a mapping, a lock, a low number for it) makes it real: the file is
 * held as others are, the descriptor replaced, and what copies of it others have leads to the same
 * open file. The same happens when somebody else holds the file.
 */
#include "base/hash.h"
#include "run/internal.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define IN_PLACE (8u << 20) /* bytes of a file that is opened for writing and not truncated */

/* ---- numbers --------------------------------------------------------------------------------- */

/* The last of what select() can do with, if that many are allowed. */
unsigned placeholder_first(void)
{
	struct rlimit files;
	rlim_t most;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return 0;
	most = files.rlim_cur < 1024 ? files.rlim_cur & ~(rlim_t)(PLACEHOLDERS - 1) : 1024;
	return most < 2 * PLACEHOLDERS ? 0 : (unsigned)most - PLACEHOLDERS;
}

/* Only what is certain. */
static bool is_free(const struct pf__call *call, unsigned number)
{
	char name[48];
	struct stat st;

	snprintf(name, sizeof name, "/proc/%d/fd/%u", (int)call->tid, number);
	return lstat(name, &st) < 0 && errno == ENOENT;
}

int placeholder_number(struct job *j, int fd, unsigned least, bool cloexec)
{
	struct pf__run *r = j->r;
	int result = -EMFILE;

	/* Another thread of the caller may be given one, too. */
	pthread_mutex_lock(&r->number_lock);
	for (unsigned i = 0; r->first_number && i < PLACEHOLDERS && result == -EMFILE; i++) {
		unsigned n = r->first_number + r->next_number++ % PLACEHOLDERS;

		if (n < least || !is_free(j->call, n))
			continue;
		result = pf__call_replace_fd(j->call, fd, (int)n, cloexec);
		result = result ? result : (int)n;
	}
	pthread_mutex_unlock(&r->number_lock);
	return result;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Once its last writer has closed it, it is not held as far as we go (flush.c); readers have it. */
static bool is_held(struct pf__run *r, const void *inode)
{
	struct object *o = object_by_inode(r, inode);
	bool held = o && (o->held || atomic_load(&o->holders) || hold_in_use(o));

	object_put(o);
	return held;
}

/*
 * What is written in place and synced often, as databases do, is better written at once: an fsync
 * of what is held has to look through all of it.
 */
static bool is_too_large(struct pf__run *r, struct pf_file *file, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	uint64_t most = writes && r->hold_bytes > IN_PLACE ? IN_PLACE : r->hold_bytes;
	struct stat st;

	return !(flags & O_TRUNC) && !pf_fstat(file, &st) && (uint64_t)st.st_size > most &&
	       (uint64_t)st.st_blocks * 512 > most;
}

bool placeholder_wanted(struct pf__run *r, struct pf_file *file, int flags)
{
	if (!r->first_number || atomic_load(&r->uses_aio) || flags & O_PATH ||
	    pf__inode_type(file->of->inode) != S_IFREG)
		return false;
	/* As others have it, so that all see the same. */
	if (!file->of->io.wants_direct && !native_wanted(file, flags) && !(flags & O_DSYNC) &&
	    !is_too_large(r, file, flags) && !placeholder_exists(r, file->of->inode))
		return false;
	return !is_held(r, file->of->inode);
}

int placeholder_open(const struct object *o)
{
	return fd_reopen(o->fd, O_ACCMODE); /* for nothing */
}

/* ---- becoming real --------------------------------------------------------------------------- */

/*
 * Who reads and writes by placeholders shares this, who makes one real, or opens the file to hold
 * it, has it alone: else what one writes meanwhile would be missing in what the other holds.
 */
pthread_rwlock_t *placeholder_turn(struct pf__run *r, const void *inode)
{
	return &r->turns[pf__hash_u64(r->seed, (uintptr_t)inode) % TURNS];
}

/* If the name of the same file is no more, and o has no other, it has none either. */
static void gone_with(struct object *o, const struct object *other)
{
	pthread_mutex_lock(&o->run->objects_lock);
	if (other->gone && !strcmp(o->path, other->path))
		o->gone = true;
	pthread_mutex_unlock(&o->run->objects_lock);
}

/* The file as it is held, where the placeholder stands in it. With the turn. */
static int make_real(struct job *j, struct object *o)
{
	int flags = pf_getfl(o->through), fd;
	off_t at = pf_lseek(o->through, 0, SEEK_CUR);
	struct pf_file *file;
	struct object *held;
	char path[PATH_MAX];
	int err;

	object_path(o, path, sizeof path);
	err = pf_dup(o->through, &file);
	if (err)
		return err;
	err = object_of_file(j->r, o->m, o->through, path, false, &held);
	if (err) {
		pf_close(file);
		return err;
	}
	gone_with(held, o);
	pf_setfl(o->through, 0); /* O_APPEND is the memfd's matter now */
	fd = held_fd(j, held, file, flags & ~O_TRUNC);
	object_put(held);
	if (fd < 0) {
		pf_setfl(o->through, flags);
		return fd;
	}
	if (at > 0)
		lseek(fd, at, SEEK_SET);
	o->real = fd;
	return 0;
}

int placeholder_become_real(struct job *j, struct object *o)
{
	pthread_rwlock_t *turn = placeholder_turn(j->r, o->inode);
	int err = job_view(j, o->m);

	if (err)
		return err;
	pthread_rwlock_wrlock(turn);
	if (o->real < 0)
		err = make_real(j, o);
	pthread_rwlock_unlock(turn);
	return err;
}

int placeholder_follow(struct job *j, struct object *o)
{
	return o->real < 0 && is_held(j->r, o->inode) ? placeholder_become_real(j, o) : 0;
}

int placeholder_begin(struct job *j, struct object *o)
{
	pthread_rwlock_t *turn = placeholder_turn(j->r, o->inode);

	for (;;) {
		int err;

		pthread_rwlock_rdlock(turn);
		if (o->real >= 0 || !is_held(j->r, o->inode))
			return 0;
		pthread_rwlock_unlock(turn);
		err = placeholder_become_real(j, o);
		if (err)
			return err;
	}
}

void placeholder_end(struct job *j, struct object *o)
{
	pthread_rwlock_unlock(placeholder_turn(j->r, o->inode));
}

/* In one order, since who waits to make one real goes before later readers; and each once. */
int placeholder_begin_both(struct job *j, struct object *a, struct object *b)
{
	pthread_rwlock_t *first = placeholder_turn(j->r, a->inode);
	pthread_rwlock_t *second = placeholder_turn(j->r, b->inode);

	pthread_rwlock_rdlock(first < second ? first : second);
	if (first != second)
		pthread_rwlock_rdlock(first < second ? second : first);
	if ((a->real >= 0 || !is_held(j->r, a->inode)) &&
	    (b->real >= 0 || !is_held(j->r, b->inode)))
		return 0;
	placeholder_end_both(j, a, b);
	return -EAGAIN;
}

void placeholder_end_both(struct job *j, struct object *a, struct object *b)
{
	pthread_rwlock_t *first = placeholder_turn(j->r, a->inode);
	pthread_rwlock_t *second = placeholder_turn(j->r, b->inode);

	pthread_rwlock_unlock(first);
	if (first != second)
		pthread_rwlock_unlock(second);
}

int placeholder_replace(struct job *j, struct object *o, int number)
{
	int err = placeholder_become_real(j, o);
	bool cloexec = fd_flags(j->call, number) & O_CLOEXEC;

	return err ? err : pf__call_replace_fd(j->call, o->real, number, cloexec);
}

void placeholder_put(struct object *o)
{
	if (o && o->over)
		object_drop(o);
	else
		object_put(o);
}

/* What was written goes to the server now if it was cached, and nobody is left who could be told.
 */
void placeholder_close(struct object *o)
{
	bool writes = (pf_getfl(o->through) & O_ACCMODE) != O_RDONLY;
	int err = pf_close(pf__take(o->through, NULL));

	if (writes) {
		atomic_fetch_sub(&o->run->n_through, 1);
		shared_busy(o->run, -1);
	}
	if (!err || !o->wrote)
		return;
	atomic_fetch_add(&o->run->lost, 1);
	run_say(o->run, "%s: closing it failed (%s); what was written last may be lost", o->path,
		strerror(-err));
}
