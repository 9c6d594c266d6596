/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/backing.h"
#include "base/alloc.h"
#include "base/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAX_IDS   65536u
#define FIRST_IDS 16u

/* Of file systems whose regular files are none: reading them may wait, or do things. */
static const long no_disks[] = {0x9fa0 /* proc */, 0x62656572 /* sysfs */, 0x64626720 /* debugfs */,
				0x74726163 /* tracefs */};
#define FUSE_MAGIC 0x65735546

struct pf__backings {
	_Atomic int refs;
	struct pf__mutex lock; /* PF_RANK_BACKING: the following */
	enum { UNDECIDED, ON, OFF } state;
	struct pf__backing **ids; /* id - 1 is the index; NULL: free */
	unsigned size, used, next;
};

/* ---- one file */

static struct pf__backing *get(struct pf__backing *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void pf__backing_put(struct pf__backing *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	close(b->fd);
	pf__free(b);
}

int pf__backing_reopen(const struct pf__backing *b, int flags)
{
	const int kept = O_ACCMODE | O_APPEND | O_DIRECT | O_SYNC | O_DSYNC | O_NOATIME;
	char link[32];
	int fd;

	if (!b->as_we && !pf__backing_suffices(b, flags))
		return -EACCES;
	snprintf(link, sizeof link, "/proc/self/fd/%d", b->fd);
	/* Its server may have a lease on it: then this would wait for what it does about that. */
	fd = open(link, (flags & kept) | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == EPERM && flags & O_NOATIME) /* only the owner may */
		return pf__backing_reopen(b, flags & ~O_NOATIME);
	if (fd < 0)
		return -errno;
	fcntl(fd, F_SETFL, flags & (O_APPEND | O_DIRECT | O_NOATIME));
	return fd;
}

bool pf__backing_suffices(const struct pf__backing *b, int flags)
{
	int has = fcntl(b->fd, F_GETFL);

	if (has < 0 || has & (O_PATH | O_APPEND | O_DIRECT))
		return false;
	return (has & O_ACCMODE) == O_RDWR || (has & O_ACCMODE) == (flags & O_ACCMODE);
}

/* ---- ids */

struct pf__backings *pf__backings_new(void)
{
	struct pf__backings *t = pf__calloc(1, sizeof *t);

	if (!t)
		return NULL;
	atomic_init(&t->refs, 1);
	pf__mutex_init(&t->lock, PF_RANK_BACKING);
	return t;
}

struct pf__backings *pf__backings_get(struct pf__backings *t)
{
	if (t)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

static void drop_all(struct pf__backings *t)
{
	for (unsigned i = 0; i < t->size; i++)
		pf__backing_put(t->ids[i]);
	pf__free(t->ids);
	t->ids = NULL;
	t->size = t->used = 0;
}

void pf__backings_put(struct pf__backings *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	drop_all(t);
	pf__mutex_destroy(&t->lock);
	pf__free(t);
}

void pf__backings_decide(struct pf__backings *t, bool yes)
{
	if (!t)
		return;
	pf__mutex_lock(&t->lock);
	t->state = yes ? ON : OFF;
	if (!yes)
		drop_all(t);
	pf__mutex_unlock(&t->lock);
}

int pf__backings_allowed(struct pf__backings *t)
{
	bool yes;

	if (!t)
		return -EPERM;
	pf__mutex_lock(&t->lock);
	yes = t->state != OFF;
	pf__mutex_unlock(&t->lock);
	return yes ? 0 : -EPERM;
}

/* A file whose bytes can be had without waiting for anybody. */
static int check_file(int fd)
{
	struct statfs fs;
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -EBADF;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	/* Open for neither reading nor writing: a placeholder of portfire run, say. */
	if (!(flags & O_PATH) && (flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (fs.f_type == FUSE_MAGIC)
		return -ELOOP;
	for (unsigned i = 0; i < sizeof no_disks / sizeof no_disks[0]; i++)
		if (fs.f_type == no_disks[i])
			return -EINVAL;
	return 0;
}

/* Half of the descriptors that we may have are for others. */
static int copy_of(int fd)
{
	struct rlimit most;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return -errno;
	if (!getrlimit(RLIMIT_NOFILE, &most) && (rlim_t)copy >= most.rlim_cur / 2) {
		close(copy);
		return -EMFILE;
	}
	return copy;
}

static struct pf__backing *backing_new(int fd, bool as_we, int *err)
{
	struct pf__backing *b = pf__calloc(1, sizeof *b);

	*err = -ENOMEM;
	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->as_we = as_we;
	b->fd = copy_of(fd);
	if (b->fd >= 0)
		return b;
	*err = b->fd;
	pf__free(b);
	return NULL;
}

static int make_room(struct pf__backings *t)
{
	unsigned size = t->size ? 2 * t->size : FIRST_IDS;
	struct pf__backing **ids;

	if (t->used < t->size)
		return 0;
	if (t->size >= MAX_IDS)
		return -ENOSPC;
	ids = pf__calloc(size, sizeof *ids);
	if (!ids)
		return -ENOMEM;
	for (unsigned i = 0; i < t->size; i++)
		ids[i] = t->ids[i];
	pf__free(t->ids);
	t->next = t->size;
	t->ids = ids;
	t->size = size;
	return 0;
}

/* Under the lock. One that was given back is not given again soon: its server may mix them up. */
static int enter(struct pf__backings *t, struct pf__backing *b)
{
	int err = t->state == OFF ? -EPERM : make_room(t);

	if (err)
		return err;
	while (t->ids[t->next % t->size])
		t->next++;
	t->next %= t->size;
	t->ids[t->next] = b;
	t->used++;
	return (int)++t->next;
}

int pf__backings_add(struct pf__backings *t, int fd, bool as_we)
{
	int err = pf__backings_allowed(t), id;
	struct pf__backing *b;

	if (!err)
		err = check_file(fd);
	if (err)
		return err;
	b = backing_new(fd, as_we, &err);
	if (!b)
		return err;
	pf__mutex_lock(&t->lock);
	id = enter(t, b);
	pf__mutex_unlock(&t->lock);
	if (id < 0)
		pf__backing_put(b);
	return id;
}

int pf__backings_remove(struct pf__backings *t, int id)
{
	int err = pf__backings_allowed(t);
	struct pf__backing *b = NULL;

	if (err)
		return err;
	if (id <= 0)
		return -EINVAL;
	pf__mutex_lock(&t->lock);
	if ((unsigned)id <= t->size && t->ids[id - 1]) {
		b = t->ids[id - 1];
		t->ids[id - 1] = NULL;
		t->used--;
	}
	pf__mutex_unlock(&t->lock);
	pf__backing_put(b);
	return b ? 0 : -ENOENT;
}

struct pf__backing *pf__backings_find(struct pf__backings *t, int id)
{
	struct pf__backing *b = NULL;

	if (!t)
		return NULL;
	pf__mutex_lock(&t->lock);
	if (id > 0 && (unsigned)id <= t->size && t->ids[id - 1])
		b = get(t->ids[id - 1]);
	pf__mutex_unlock(&t->lock);
	return b;
}
