/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects: what programs hold open of a file system, and the stand-ins by which it is found again.
 *
 * The table holds one reference to each; it goes by objects_sweep() alone, when nobody else has one
 * and no program has the stand-in open: a file's stand-in tells by a lease, a directory's is looked
 * for in /proc (working directories send no event when they change).
 */
#include "base/errmsg.h"
#include "base/hash.h"
#include "base/memfd.h"
#include "launch/command.h"
#include "run/internal.h"
#include "vfs/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

#define SWEEP_KEEP_MS 100   /* before the sweep began: our clock is a coarse one */
#define FULL_MS       1000  /* until another look for what is not in use, when all is */
#define ERROR_KEEP_MS 60000 /* an error that nobody has been told of */
#define MANY_OBJECTS  2048  /* directories are swept beyond that */

int objects_open(struct pf__run *r)
{
	PF_AUTO_CLOSE int fd = pf__memfd("portfire");
	struct stat st;
	int err;

	if (fd < 0)
		return pf__fail(
		    -errno, "there is no memfd_create(2) here, by which files are held in memory");
	err = private_open(r);
	if (err)
		return err;
	pf__run_limits(r, false);
	snprintf(r->shared->where, sizeof r->shared->where, "%s/", r->private);
	if (fstat(r->private_fd, &st) < 0)
		return -errno;
	r->shared->private = st.st_dev;
	if (fstat(fd, &st) < 0)
		return -errno;
	r->shared->memfd = st.st_dev;
	for (int i = 0; i < 2; i++) {
		r->inotify[i] = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (r->inotify[i] < 0)
			return -errno;
	}
	return 0;
}

static struct pf__list *id_bucket(struct pf__run *r, dev_t dev, ino_t ino)
{
	return &r->by_id[pf__hash_u64(r->seed, ino ^ (uint64_t)dev << 40) % OBJECT_BUCKETS];
}

struct pf__list *objects_of_inode(struct pf__run *r, const void *inode)
{
	return &r->by_inode[pf__hash_u64(r->seed, (uintptr_t)inode) % OBJECT_BUCKETS];
}

/* ---- finding --------------------------------------------------------------------------------- */

struct object *object_by_id(struct pf__run *r, dev_t dev, ino_t ino)
{
	struct object *found = NULL;
	struct pf__list *pos, *head = id_bucket(r, dev, ino);

	if (dev != r->shared->memfd && dev != r->shared->private &&
	    dev != atomic_load(&r->shared->disk) && !atomic_load(&r->n_native))
		return NULL;
	pthread_mutex_lock(&r->objects_lock);
	pf__list_for_each (pos, head) {
		struct object *o = pf__list_entry(pos, struct object, by_id);

		if (o->dev == dev && o->ino == ino) {
			found = o;
			atomic_fetch_add(&o->refs, 1);
			break;
		}
	}
	pthread_mutex_unlock(&r->objects_lock);
	return found;
}

static struct object *find_inode(struct pf__run *r, const void *inode)
{
	struct pf__list *pos, *head = objects_of_inode(r, inode);

	pf__list_for_each (pos, head) {
		struct object *o = pf__list_entry(pos, struct object, by_inode);

		if (o->inode == inode && !o->through && !o->native && !o->aside) {
			atomic_fetch_add(&o->refs, 1);
			return o;
		}
	}
	return NULL;
}

struct object *object_by_inode(struct pf__run *r, const void *inode)
{
	struct object *o;

	pthread_mutex_lock(&r->objects_lock);
	o = find_inode(r, inode);
	pthread_mutex_unlock(&r->objects_lock);
	return o;
}

bool placeholder_exists(struct pf__run *r, const void *inode)
{
	struct pf__list *pos, *head = objects_of_inode(r, inode);
	bool found = false;

	pthread_mutex_lock(&r->objects_lock);
	pf__list_for_each (pos, head) {
		struct object *o = pf__list_entry(pos, struct object, by_inode);

		found |= o->inode == inode && o->through && !o->over;
	}
	pthread_mutex_unlock(&r->objects_lock);
	return found;
}

/* On the disk where files are held most are others': they have names, as ours has once in a while
 * (flush.c, keep_itself()). */
static bool is_others(struct pf__run *r, const struct stat *st)
{
	return st->st_nlink && st->st_dev == atomic_load(&r->shared->disk) &&
	       !atomic_load(&r->n_native) && !atomic_load(&r->lost) &&
	       st->st_dev != r->shared->private;
}

struct object *object_of_proc(struct pf__run *r, pid_t tid, const char *name)
{
	char path[96];
	struct object *o;
	struct stat st;

	if (!atomic_load_explicit(&r->shared->given, memory_order_relaxed))
		return NULL;
	snprintf(path, sizeof path, "/proc/%d/%s", (int)tid, name);
	if (stat(path, &st) < 0 || is_others(r, &st))
		return NULL;
	o = object_by_id(r, st.st_dev, st.st_ino);
	if (!o || !o->native || native_is_given(tid, name))
		return o;
	object_put(o);
	return NULL;
}

struct object *object_of_fd(struct pf__run *r, const struct pf__call *call, int fd)
{
	char name[32];

	if (fd < 0)
		return NULL;
	snprintf(name, sizeof name, "fd/%d", fd);
	return object_of_proc(r, call->tid, name);
}

void object_put(struct object *o)
{
	if (o)
		atomic_fetch_sub(&o->refs, 1);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int make_native(struct object *o, const struct pf_file *file)
{
	o->fd = fd_reopen(pf__file_backing(file), O_PATH);
	return o->fd < 0 ? o->fd : 0;
}

static int make_directory(struct object *o)
{
	struct pf__run *r = o->run;
	char name[32];

	o->private_number = atomic_fetch_add(&r->next_private, 1);
	snprintf(name, sizeof name, "d%u", o->private_number);
	if (mkdirat(r->private_fd, name, 0555) < 0)
		return -errno;
	/* Anybody may work in it, but make nothing: calls that we do not see would (object_free()).
	 */
	fchmodat(r->private_fd, name, 0555, 0);
	o->fd = openat(r->private_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return o->fd < 0 ? -errno : 0;
}

/*
 * Each object has a descriptor of ours, each that may be written to a second one (the base); one
 * that is passed through has those of its handles besides, and the registered one.
 * Without any left nothing would work, not even to see who has files open; so they leave us some.
 */
static unsigned n_fds(const struct pf__run *r)
{
	return atomic_load(&r->n_objects) + atomic_load(&r->n_written) +
	       3 * atomic_load(&r->n_native);
}

bool objects_full(const struct pf__run *r)
{
	return n_fds(r) >= r->max_fds;
}

/* Where a program works it shall get to also then. */
static bool directories_full(const struct pf__run *r, bool work)
{
	return n_fds(r) >= r->max_fds + r->max_fds / (work ? 8 : 16);
}

static int make_stand_in(struct object *o, struct pf_file *file, unsigned what)
{
	struct stat st;
	int err;

	if (o->kind == OBJECT_DIR ? directories_full(o->run, what & FOR_WORK)
				  : objects_full(o->run))
		return -ENFILE;
	o->native = what & FOR_NATIVE;
	if (o->native) /* a preloaded library would take its descriptors for others */
		shared_busy(o->run, 1);
	err = o->kind == OBJECT_DIR ? make_directory(o)
	      : o->native           ? make_native(o, file)
				    : stand_in_make(o, file, what & FOR_PLACEHOLDER);
	if (err)
		return err;
	if (fstat(o->fd, &st) < 0)
		return -errno;
	o->dev = st.st_dev;
	o->ino = st.st_ino;
	return 0;
}

static bool writes(struct pf_file *file)
{
	return (pf_getfl(file) & O_ACCMODE) != O_RDONLY;
}

/* What it was executed by. */
static void remove_link(struct object *o)
{
	char name[32];

	snprintf(name, sizeof name, "x%u", o->private_number);
	private_remove(o->run->private_fd, name);
}

/* Programs may remember what a directory is called. */
static void name_changed(const struct object *o)
{
	if (o->kind == OBJECT_DIR)
		atomic_fetch_add(&o->run->shared->places, 1);
}

/* Nobody else knows it. */
void object_free(struct object *o)
{
	struct pf__run *r = o->run;
	char name[32];

	if (o->listing)
		pf_close(o->listing);
	if (o->reader)
		pf__close_unflushed(o->reader);
	if (o->writer)
		pf_close(o->writer);
	if (o->through)
		placeholder_close(o);
	if (o->real >= 0)
		close(o->real);
	if (o->handle)
		pf_close(o->handle);
	for (int i = 0; i < 2; i++) /* else they would stay as long as the backing file */
		if (o->native && o->watch[i] >= 0)
			inotify_rm_watch(r->inotify[i], o->watch[i]);
	stand_in_free(o);
	if (o->kind == OBJECT_DIR) /* programs may remember what it is called, by its number */
		atomic_fetch_add(&r->shared->dirs, 1);
	if (o->kind == OBJECT_DIR && o->private_number != (unsigned)-1) {
		snprintf(name, sizeof name, "d%u", o->private_number);
		if (unlinkat(r->private_fd, name, AT_REMOVEDIR) < 0 && errno == ENOTEMPTY) {
			atomic_fetch_add(&r->lost, 1);
			run_say(
			    r, "%s: what programs that could not be seen to made there is in %s/%s",
			    o->path, r->private, name);
		}
	}
	if (o->exec)
		remove_link(o);
	base_close(o);
	if (o->native) /* what was written to it is known by now */
		shared_busy(r, -1);
	pf__free(o->path);
	pf__free(o->far);
	mount_put(o->m);
	pthread_mutex_destroy(&o->lock);
	pf__free(o);
}

static enum object_kind kind_of(uint32_t type)
{
	return type == S_IFREG ? OBJECT_FILE : type == S_IFDIR ? OBJECT_DIR : OBJECT_OTHER;
}

struct object *object_new(struct pf__run *r, struct mount *m, struct pf_file *file,
			  const char *path, unsigned what, int *err)
{
	struct object *o = pf__calloc(1, sizeof *o);
	struct pf__inode *inode = file->of->inode;

	*err = -ENOMEM;
	if (!o)
		return NULL;
	o->run = r;
	o->m = mount_get(m);
	pf__list_init(&o->closing);
	pf__list_init(&o->by_watch[0]);
	pf__list_init(&o->by_watch[1]);
	o->refs = 2; /* the table's and the caller's */
	o->kind = kind_of(pf__inode_type(inode));
	o->inode = inode;
	o->fd = o->fresh = o->watch[0] = o->watch[1] = o->base = -1;
	atomic_init(&o->real, -1);
	o->private_number = (unsigned)-1;
	o->used = run_now_ms();
	pthread_mutex_init(&o->lock, NULL);
	o->path = pf__strdup(path);
	if (o->path)
		*err = pf__file_as(NULL, file, &o->handle);
	if (!*err)
		*err = make_stand_in(o, file, what);
	if (*err) {
		object_free(o);
		return NULL;
	}
	return o;
}

void object_enter(struct pf__run *r, struct object *o)
{
	pf__list_add_head(id_bucket(r, o->dev, o->ino), &o->by_id);
	pf__list_add_head(objects_of_inode(r, o->inode), &o->by_inode);
	pf__list_add_tail(&r->objects, &o->all);
	r->n_objects++;
	r->n_native += o->native;
}

/* Under objects_lock. */
void object_leave(struct pf__run *r, struct object *o)
{
	pf__list_del(&o->by_id);
	pf__list_del(&o->by_inode);
	pf__list_del(&o->by_watch[0]);
	pf__list_del(&o->by_watch[1]);
	pf__list_del(&o->all);
	r->n_objects--;
	r->n_native -= o->native;
}

static struct pf__list *watch_bucket(struct pf__run *r, bool writes, int watch)
{
	return &r->by_watch[writes][(unsigned)watch % OBJECT_BUCKETS];
}

void object_watch(struct object *o, bool writes)
{
	struct pf__run *r = o->run;
	char link[32];

	if (o->watch[writes] >= 0)
		return;
	snprintf(link, sizeof link, "/proc/self/fd/%d", o->fd);
	o->watch[writes] = inotify_add_watch(r->inotify[writes], link,
					     writes       ? IN_CLOSE_WRITE
					     : o->through ? IN_CLOSE_NOWRITE | IN_OPEN
							  : IN_CLOSE_NOWRITE);
	pthread_mutex_lock(&r->objects_lock);
	if (o->watch[writes] >= 0 && !pf__list_empty(&o->all))
		pf__list_add_head(watch_bucket(r, writes, o->watch[writes]), &o->by_watch[writes]);
	pthread_mutex_unlock(&r->objects_lock);
}

struct object *object_by_watch(struct pf__run *r, bool writes, int watch)
{
	struct object *found = NULL;
	struct pf__list *pos, *head = watch_bucket(r, writes, watch);

	pthread_mutex_lock(&r->objects_lock);
	pf__list_for_each (pos, head) {
		struct object *o = pf__list_entry(pos, struct object, by_watch[writes]);

		if (o->watch[writes] == watch) {
			found = o;
			atomic_fetch_add(&o->refs, 1);
			break;
		}
	}
	pthread_mutex_unlock(&r->objects_lock);
	return found;
}

/* Nothing more can be had: some of what is there may be nobody's any more. Not again soon if most
 * of it was in use. */
void objects_make_room(struct pf__run *r)
{
	int64_t before = atomic_load(&r->full_until), now = run_now_ms();
	unsigned n = atomic_load(&r->n_objects);

	native_make_room(r);
	if (now < before || !atomic_compare_exchange_strong(&r->full_until, &before, now + FULL_MS))
		return;
	if (objects_sweep(r, NULL) < n - n / 8)
		atomic_store(&r->full_until, 0);
	else
		atomic_store(&r->full_until, run_now_ms() + FULL_MS);
}

int object_of_directory(struct pf__run *r, struct mount *m, struct pf_file *file, const char *path,
			struct object **out)
{
	struct object *found = NULL;
	struct pf__list *pos, *head = objects_of_inode(r, file->of->inode);
	int err = 0;

	pthread_mutex_lock(&r->objects_lock);
	pf__list_for_each (pos, head) {
		struct object *o = pf__list_entry(pos, struct object, by_inode);

		if (o->inode == file->of->inode && o->to_work_in && !o->gone &&
		    !strcmp(o->path, path)) {
			found = o;
			atomic_fetch_add(&o->refs, 1);
			break;
		}
	}
	pthread_mutex_unlock(&r->objects_lock);
	if (!found)
		err = object_of_file(r, m, file, path, true, &found);
	if (err)
		return err;
	found->to_work_in = found->worked_in = true;
	found->used = run_now_ms();
	*out = found;
	return 0;
}

int object_of_file(struct pf__run *r, struct mount *m, struct pf_file *file, const char *path,
		   bool work, struct object **out)
{
	/* Each open directory is one of its own: servers count on a handle being read in order. */
	bool dir = S_ISDIR(pf__inode_type(file->of->inode)), sweep;
	struct object *o = dir ? NULL : object_by_inode(r, file->of->inode), *other;
	int err;

	if (o && !stand_in_set_aside(o, file)) {
		o->used = run_now_ms();
		*out = o;
		return 0;
	}
	if (dir ? directories_full(r, work) : objects_full(r))
		objects_make_room(r);
	o = object_new(r, m, file, path, work ? FOR_WORK : 0, &err);
	if (!o)
		return err;
	pthread_mutex_lock(&r->objects_lock);
	other = dir ? NULL : find_inode(r, o->inode);
	if (!other)
		object_enter(r, o);
	sweep = r->n_objects > MANY_OBJECTS && r->n_objects % (MANY_OBJECTS / 2) == 0;
	pthread_mutex_unlock(&r->objects_lock);
	if (other)
		object_free(o);
	if (sweep)
		objects_sweep(r, NULL);
	*out = other ? other : o;
	return 0;
}

int object_of_placeholder(struct pf__run *r, struct mount *m, struct pf_file *file,
			  const char *path, struct object **out)
{
	struct object *o;
	int err;

	if (objects_full(r))
		objects_make_room(r);
	o = object_new(r, m, file, path, FOR_PLACEHOLDER, &err);
	if (!o)
		return err;
	o->through = file;
	if (writes(file)) {
		atomic_fetch_add(&r->n_through, 1);
		shared_busy(r, 1);
	}
	pthread_mutex_lock(&r->objects_lock);
	object_enter(r, o);
	pthread_mutex_unlock(&r->objects_lock);
	*out = o;
	return 0;
}

void object_undo(struct object *o)
{
	pthread_mutex_lock(&o->run->objects_lock);
	object_leave(o->run, o);
	pthread_mutex_unlock(&o->run->objects_lock);
	if (writes(o->through)) {
		atomic_fetch_sub(&o->run->n_through, 1);
		shared_busy(o->run, -1);
	}
	o->through = NULL;
	object_free(o);
}

/* ---- names ----------------------------------------------------------------------------------- */

int object_path(struct object *o, char *buf, size_t size)
{
	bool gone;

	pthread_mutex_lock(&o->run->objects_lock);
	snprintf(buf, size, "%s", o->path);
	gone = o->gone;
	pthread_mutex_unlock(&o->run->objects_lock);
	return gone ? -ENOENT : 0;
}

/* Is path at or below top? */
static bool is_below(const char *path, const char *top, size_t len)
{
	return strncmp(path, top, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static void set_path(struct object *o, const char *head, const char *tail)
{
	size_t n = strlen(head), k = strlen(tail);
	char *path = pf__malloc(n + k + 1);

	if (!path)
		return; /* it keeps its old name */
	memcpy(path, head, n);
	memcpy(path + n, tail, k + 1);
	pf__free(o->path);
	o->path = path;
	name_changed(o);
}

/* Under objects_lock. */
static void move_below(struct pf__run *r, const char *from, const char *to)
{
	size_t len = strlen(from);
	struct pf__list *pos;

	pf__list_for_each (pos, &r->objects) {
		struct object *o = pf__list_entry(pos, struct object, all);

		if (!o->gone && is_below(o->path, from, len))
			set_path(o, to, o->path + len);
	}
}

static void remove_at(struct pf__run *r, const char *path)
{
	struct pf__list *pos;

	pf__list_for_each (pos, &r->objects) {
		struct object *o = pf__list_entry(pos, struct object, all);

		if (!o->gone && strcmp(o->path, path) == 0) {
			o->gone = true;
			name_changed(o);
		}
	}
}

void objects_renamed(struct pf__run *r, const char *from, const char *to)
{
	if (strcmp(from, to) == 0)
		return;
	pthread_mutex_lock(&r->objects_lock);
	remove_at(r, to);
	move_below(r, from, to);
	pthread_mutex_unlock(&r->objects_lock);
	who_cwd_changes(r);
}

void objects_exchanged(struct pf__run *r, const char *from, const char *to)
{
	/* No path begins like this one. */
	static const char between[] = "\1exchange";

	pthread_mutex_lock(&r->objects_lock);
	move_below(r, from, between);
	move_below(r, to, from);
	move_below(r, between, to);
	pthread_mutex_unlock(&r->objects_lock);
	who_cwd_changes(r);
}

void objects_removed(struct pf__run *r, const char *path)
{
	pthread_mutex_lock(&r->objects_lock);
	remove_at(r, path);
	pthread_mutex_unlock(&r->objects_lock);
}

void objects_linked(struct object *o, const char *path)
{
	pthread_mutex_lock(&o->run->objects_lock);
	if (o->gone) {
		set_path(o, path, "");
		o->gone = false;
	}
	pthread_mutex_unlock(&o->run->objects_lock);
}

/* ---- sweeping -------------------------------------------------------------------------------- */

/* Who was given it before the sweep began has been asked. */
static bool in_use(const struct object *o, int64_t began, bool all, bool marks)
{
	if (!all && o->used >= began - SWEEP_KEEP_MS)
		return true;
	if (o->kind == OBJECT_DIR || o->as_path || o->through || o->native)
		return !marks || o->marked == o->run->sweep;
	return hold_in_use(o);
}

/* Under objects_lock. */
static void take_unused(struct pf__run *r, const struct mount *m, int64_t began, bool marks,
			struct pf__list *dead)
{
	struct pf__list *pos, *tmp;

	pf__list_for_each_safe (pos, tmp, &r->objects) {
		struct object *o = pf__list_entry(pos, struct object, all);

		if ((m && o->m != m) || atomic_load(&o->refs) > 1 || o->written ||
		    in_use(o, began, m, marks))
			continue;
		/* Somebody shall be told yet. */
		if (o->error && !m && began - o->used < ERROR_KEEP_MS)
			continue;
		object_leave(r, o);
		pf__list_add_tail(dead, &o->all);
	}
}

void object_drop(struct object *o)
{
	struct pf__run *r = o->run;
	bool drop;

	pthread_mutex_lock(&r->objects_lock);
	drop = atomic_load(&o->refs) == 2 && !o->as_path && !o->written && !o->error &&
	       !o->native &&
	       (o->kind == OBJECT_DIR ? !o->worked_in
		: o->through          ? o->over
				      : !hold_in_use(o));
	if (drop) {
		object_leave(r, o);
	}
	pthread_mutex_unlock(&r->objects_lock);
	if (drop)
		object_free(o);
	else
		object_put(o);
}

static unsigned count_of(struct pf__run *r, const struct mount *m)
{
	struct pf__list *pos;
	unsigned n = 0;

	pf__list_for_each (pos, &r->objects)
		n += pf__list_entry(pos, struct object, all)->m == m;
	return n;
}

unsigned objects_sweep(struct pf__run *r, struct mount *m)
{
	struct pf__list dead, *l;
	int64_t began = run_now_ms();
	unsigned left;
	bool marks;

	pf__list_init(&dead);
	who_forget_cwds(r);
	marks = objects_mark(r);
	pthread_mutex_lock(&r->objects_lock);
	take_unused(r, m, began, marks, &dead);
	left = m ? count_of(r, m) : r->n_objects;
	pthread_mutex_unlock(&r->objects_lock);
	objects_marked();
	while ((l = pf__list_pop(&dead)))
		object_free(pf__list_entry(l, struct object, all));
	return left;
}

void objects_close(struct pf__run *r)
{
	struct pf__list *l;

	while ((l = pf__list_pop(&r->objects)))
		object_free(pf__list_entry(l, struct object, all));
	for (int i = 0; i < 2; i++)
		if (r->inotify[i] >= 0)
			close(r->inotify[i]);
	private_close(r);
}
