/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has locks at a server, and who has not any more (locks.h). */
#include "run/locks.h"
#include "base/hash.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MARKS_MS 200
#define AWAIT_MS 20
#define NAMES_MS 100 /* so long what changes names waits for handles to be closed */

/* ---- descriptors ----------------------------------------------------------------------------- */

/* "lock:\t1: OFDLCK ADVISORY  READ -1 00:01:1025 START END" */
static off_t mark_of(const char *text)
{
	for (const char *p = text; (p = strstr(p, "OFDLCK")); p++) {
		const char *inode = strchr(p, ':'), *start = inode ? strchr(inode, ' ') : NULL;
		long long at = start ? strtoll(start, NULL, 10) : 0;

		if (at >= MARKS)
			return at;
	}
	return 0;
}

int descriptor_read(const struct pf__call *call, int fd, struct descriptor *d)
{
	const char *flags;
	char text[4096];

	if (!fdinfo_read(call, fd, text, sizeof text))
		return -EBADF;
	flags = strstr(text, "flags:");
	*d = (struct descriptor){.fd = fd};
	d->pos = !strncmp(text, "pos:", 4) ? (off_t)strtoll(text + 4, NULL, 10) : 0;
	d->flags = flags ? (int)strtoul(flags + 6, NULL, 8) : 0;
	d->mark = mark_of(text);
	return 0;
}

static bool is_same_open_file(const struct locker *l, const struct pf__call *call, int fd)
{
	return syscall(SYS_kcmp, l->tid, call->tid, KCMP_FILE, l->fd, fd) == 0;
}

/* ---- marks ----------------------------------------------------------------------------------- */

static void mark_fill(const struct locker *l, struct flock *lock, short type)
{
	*lock =
	    (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = l->mark, .l_len = 1};
}

/* It could not be marked. */
static bool has_it_open(const struct locker *l)
{
	char name[32];
	struct object *o;

	snprintf(name, sizeof name, "fd/%d", l->fd);
	o = object_of_proc(l->o->run, l->tgid, name);
	object_put(o);
	return o == l->o;
}

bool locker_lives(struct locker *l)
{
	struct flock lock;

	if (l->unmarkable)
		return has_it_open(l);
	mark_fill(l, &lock, F_WRLCK);
	/* Whoever has it is another one than we are. */
	return fcntl(l->probe >= 0 ? l->probe : l->o->fd, F_GETLK, &lock) < 0 ||
	       lock.l_type != F_UNLCK;
}

static short type_of(const struct descriptor *d)
{
	return (d->flags & O_ACCMODE) == O_WRONLY ? F_WRLCK : F_RDLCK;
}

/* An open file's by a descriptor of ours, where such are to be had: that is quick. */
static bool mark_ourselves(struct job *j, const struct locker *l, const struct descriptor *d)
{
	PF_AUTO_CLOSE int fd = -1;
	struct flock lock;

	if (l->process)
		return false;
	fd = pf__call_get_fd_of(j->call, j->who->tgid, d->fd);
	mark_fill(l, &lock, type_of(d));
	return fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* The caller makes it itself: a POSIX lock is its process's. */
static int64_t call_fcntl(struct job *j, const struct locker *l, const struct descriptor *d,
			  bool sets)
{
	struct flock lock;
	struct pf__inject in = {
	    .nr = __NR_fcntl,
	    .fd = -1,
	    .args = {(uint64_t)d->fd, (uint64_t)(l->process ? F_SETLK : F_OFD_SETLK)},
	    .arg_in_data = 1 << 2,
	    .data = &lock,
	    .size = sizeof lock,
	    .has_value = true,
	    .unanswered = true};

	mark_fill(l, &lock, sets ? type_of(d) : F_UNLCK);
	return pf__call_instead(j->call, &in);
}

/* It need not be set, or cannot. */
static bool answer_marked(struct job *j, struct locker *l, bool cannot)
{
	bool lives = cannot || locker_lives(l);

	pthread_mutex_lock(&j->r->lockers_lock);
	l->unmarkable |= cannot;
	l->marked = true;
	lives &= !l->left;
	pthread_mutex_unlock(&j->r->lockers_lock);
	/* It was closed meanwhile. */
	return !pf__call_return(j->call, lives ? 0 : -EBADF) && lives;
}

/*
 * The program goes on as soon as it has set the mark, and may have unlocked, and taken the mark
 * away, before we know: so it counts as marked from before.
 */
static bool answer_marking(struct job *j, struct locker *l, const struct descriptor *d)
{
	struct pf__run *r = j->r;
	int64_t result = call_fcntl(j, l, d, true);

	pthread_mutex_lock(&r->lockers_lock);
	l->marking--;
	pthread_cond_broadcast(&r->lockers_change);
	if (result && result != PF_CALL_UNTRACEABLE)
		l->marked = l->marked && locker_lives(l); /* by another call */
	result = l->left && !result ? -EBADF : result;
	pthread_mutex_unlock(&r->lockers_lock);
	return result == PF_CALL_UNTRACEABLE ? answer_marked(j, l, true) : !result;
}

bool locker_mark(struct job *j, struct locker *l, const struct descriptor *d)
{
	struct pf__run *r = j->r;
	bool there;

	pthread_mutex_lock(&r->lockers_lock);
	there = l->marked && !l->marking;
	pthread_mutex_unlock(&r->lockers_lock);
	if (there || mark_ourselves(j, l, d))
		return answer_marked(j, l, false);
	pthread_mutex_lock(&r->lockers_lock);
	l->marking++;
	l->marked = true;
	pthread_mutex_unlock(&r->lockers_lock);
	return answer_marking(j, l, d);
}

void locker_unmark(struct job *j, struct locker *l, const struct descriptor *d)
{
	bool cannot;

	pthread_mutex_lock(&j->r->lockers_lock);
	cannot = l->unmarkable;
	l->marked = cannot;
	pthread_mutex_unlock(&j->r->lockers_lock);
	if (cannot || call_fcntl(j, l, d, false) == PF_CALL_UNTRACEABLE)
		pf__call_return(j->call, 0);
}

static void settle(struct pf__run *r, const struct object *o, bool all);

/* ---- the list -------------------------------------------------------------------------------- */

/* Under lockers_lock. */
static struct locker *find(struct job *j, const struct object *o, const struct descriptor *d,
			   bool process)
{
	struct pf__list *pos;

	pf__list_for_each (pos, &j->r->lockers) {
		struct locker *l = pf__list_entry(pos, struct locker, link);

		if (l->o != o || l->left || l->process != process)
			continue;
		if (process                     ? l->tgid == j->who->tgid
		    : d->mark && !l->unmarkable ? l->mark == d->mark
						: (!l->marked || l->marking || l->unmarkable) &&
						      is_same_open_file(l, j->call, d->fd))
			return l;
	}
	return NULL;
}

static struct locker *locker_new(struct job *j, struct object *o, const struct descriptor *d,
				 bool process)
{
	struct locker *l = pf__calloc(1, sizeof *l);
	uint64_t number = atomic_fetch_add(&j->r->next_locker, 1);

	if (!l)
		return NULL;
	l->o = o;
	l->process = process;
	l->tid = j->call->tid;
	l->tgid = j->who->tgid;
	l->fd = d->fd;
	/* Other runs may have marks in the same backing file. */
	l->mark = MARKS + (off_t)(pf__hash_u64(j->r->seed, number) >> 3);
	l->owner = number;
	l->probe = o->native ? fd_reopen(o->fd, O_RDONLY) : -1;
	return l;
}

/* Nobody knows it. */
static void locker_free(struct locker *l)
{
	if (l->files[1] && l->files[1] != l->files[0])
		pf__close_unflushed(l->files[1]);
	if (l->files[0])
		pf__close_unflushed(l->files[0]);
	if (l->probe >= 0)
		close(l->probe);
	pf__free(l);
}

int locker_of(struct job *j, struct object *o, const struct descriptor *d, bool process, bool make,
	      struct locker **out)
{
	struct pf__run *r = j->r;
	struct locker *fresh = make ? locker_new(j, o, d, process) : NULL, *l;

	if (make && !fresh)
		return -ENOMEM;
	pthread_mutex_lock(&r->lockers_lock);
	l = find(j, o, d, process);
	if (!l && fresh) {
		l = pf__take(fresh, NULL);
		atomic_fetch_add(&o->refs, 1);
		pf__list_add_tail(&r->lockers, &l->link);
		atomic_fetch_add(&r->n_lockers, 1);
	}
	if (l)
		l->users++;
	pthread_mutex_unlock(&r->lockers_lock);
	if (fresh)
		locker_free(fresh);
	*out = l;
	return l ? 0 : -ENOENT;
}

void locker_put(struct locker *l)
{
	struct object *o = l->o;
	struct pf__run *r = o->run;
	bool unused;

	pthread_mutex_lock(&r->lockers_lock);
	unused = !--l->users && !l->marked && !l->left;
	pthread_mutex_unlock(&r->lockers_lock);
	if (unused) /* it has got nothing */
		settle(r, o, false);
}

/* Is there one that will do? */
static struct pf_file *file_of(struct pf__run *r, struct locker *l, int accmode,
			       struct pf_file **fresh)
{
	bool reads = accmode != O_WRONLY, writes = accmode != O_RDONLY;
	struct pf_file *file;

	pthread_mutex_lock(&r->lockers_lock);
	file = reads && !writes ? l->files[0] : l->files[1];
	if (!file && *fresh) {
		file = pf__take(*fresh, NULL);
		if (reads && !l->files[0])
			l->files[0] = file;
		if (writes && !l->files[1])
			l->files[1] = file;
	}
	pthread_mutex_unlock(&r->lockers_lock);
	return file;
}

int locker_file(struct job *j, struct locker *l, int accmode, struct pf_file **file)
{
	struct pf_file *fresh = NULL;
	int err;

	*file = file_of(j->r, l, accmode, &fresh);
	if (*file)
		return 0;
	err = open_once_more(j, l->o->handle, accmode, &fresh);
	if (err)
		return err == -EINTR ? err : -ENOLCK;
	*file = file_of(j->r, l, accmode, &fresh);
	if (fresh)
		pf__close_unflushed(fresh);
	return 0;
}

/* ---- the end of them ------------------------------------------------------------------------- */

static void all_dropped(void *ctx)
{
	struct locker *l = ctx;
	struct pf__run *r = l->o->run;

	pthread_mutex_lock(&r->lockers_lock);
	atomic_store(&l->dropped, true);
	pthread_cond_broadcast(&r->lockers_change);
	pthread_mutex_unlock(&r->lockers_lock);
}

/* What was written under it goes to the server before who waits for it gets it. */
static void drop(struct locker *l)
{
	struct pf_file *file = l->files[0] ? l->files[0] : l->files[1];

	if (!file || !atomic_load(&l->tried)) {
		all_dropped(l);
		return;
	}
	lock_data_ends(l->o);
	if (pf__locks_drop(file, l->process ? l->owner : 0, all_dropped, l))
		all_dropped(l); /* the server's own end of its handle has to do */
}

/* The next that the kernel does not know any more, in use until locker_put(). */
static struct locker *next_left(struct pf__run *r, const struct object *o, bool all)
{
	struct locker *found = NULL;
	struct pf__list *pos;

	pthread_mutex_lock(&r->lockers_lock);
	pf__list_for_each (pos, &r->lockers) {
		struct locker *l = pf__list_entry(pos, struct locker, link);

		if (l->left || (o && l->o != o) ||
		    (!all && (l->marking || (l->marked ? locker_lives(l) : l->users != 0))))
			continue;
		l->left = true;
		l->users++;
		found = l;
		break;
	}
	pthread_mutex_unlock(&r->lockers_lock);
	return found;
}

static struct locker *take_dropped(struct pf__run *r)
{
	struct locker *found = NULL;
	struct pf__list *pos;

	pthread_mutex_lock(&r->lockers_lock);
	pf__list_for_each (pos, &r->lockers) {
		struct locker *l = pf__list_entry(pos, struct locker, link);

		if (!l->left || !atomic_load(&l->dropped) || l->users)
			continue;
		pf__list_del(&l->link);
		found = l;
		break;
	}
	pthread_mutex_unlock(&r->lockers_lock);
	return found;
}

static void settle(struct pf__run *r, const struct object *o, bool all)
{
	struct locker *l;

	while ((l = next_left(r, o, all))) {
		drop(l);
		locker_put(l);
	}
	while ((l = take_dropped(r))) {
		struct object *its = l->o;

		locker_free(l);
		object_drop(its);
		atomic_fetch_sub(&r->n_lockers, 1);
	}
}

void locks_settle(struct pf__run *r)
{
	if (atomic_load(&r->n_lockers))
		settle(r, NULL, false);
}

static bool any_left(struct pf__run *r, const struct object *o)
{
	struct pf__list *pos;

	pf__list_for_each (pos, &r->lockers) {
		struct locker *l = pf__list_entry(pos, struct locker, link);

		if (l->left && !atomic_load(&l->dropped) && (!o || l->o == o))
			return true;
	}
	return false;
}

/* Under lockers_lock. */
static void sleep_a_little(struct pf__run *r)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += AWAIT_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&r->lockers_change, &r->lockers_lock, &until);
}

void locks_settle_now(struct pf__run *r)
{
	if (!atomic_load(&r->n_lockers))
		return;
	settle(r, NULL, false);
	pthread_mutex_lock(&r->lockers_lock);
	for (int ms = 0; ms < NAMES_MS && any_left(r, NULL); ms += AWAIT_MS)
		sleep_a_little(r);
	pthread_mutex_unlock(&r->lockers_lock);
	settle(r, NULL, false);
}

static bool any_marking(struct pf__run *r, const struct object *o)
{
	struct pf__list *pos;

	pf__list_for_each (pos, &r->lockers) {
		struct locker *l = pf__list_entry(pos, struct locker, link);

		if (l->marking && l->o == o)
			return true;
	}
	return false;
}

/* Who has set his mark goes on before we know, and may have ended. A stopped one takes its time. */
static void await_marks(struct pf__run *r, const struct object *o)
{
	pthread_mutex_lock(&r->lockers_lock);
	for (int ms = 0; ms < MARKS_MS && any_marking(r, o); ms += AWAIT_MS)
		sleep_a_little(r);
	pthread_mutex_unlock(&r->lockers_lock);
}

int locks_await(struct job *j, struct object *o)
{
	struct pf__run *r = j->r;
	bool alive = true;

	await_marks(r, o);
	settle(r, o, false);
	pthread_mutex_lock(&r->lockers_lock);
	while (alive && any_left(r, o)) {
		sleep_a_little(r);
		alive = pf__call_alive(j->call);
	}
	pthread_mutex_unlock(&r->lockers_lock);
	return alive ? 0 : -EINTR;
}

/* No program is left. Who is waited for by a call that hangs has gone already. */
void locks_close(struct pf__run *r)
{
	settle(r, NULL, true);
	pthread_mutex_lock(&r->lockers_lock);
	while (any_left(r, NULL))
		sleep_a_little(r);
	pthread_mutex_unlock(&r->lockers_lock);
	settle(r, NULL, true);
}
