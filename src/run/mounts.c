/* SPDX-License-Identifier: BSD-2-Clause */
/* What the run shows where: mounts from outside (pf__run_add) and those that its programs make. */
#include "base/errmsg.h"
#include "base/memfd.h"
#include "base/sys.h"
#include "launch/serverpid.h"
#include "run/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DRAIN_MS      10000 /* what calls in flight may take before the connection is broken */
#define FORMER_MS     60000 /* in which a server that was unmounted ends */
#define DRAIN_STEP_MS 5
#define FIRST_ID      100000 /* of ours in mountinfo; the kernel's are small */

struct mount *mount_get(struct mount *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

void mount_put(struct mount *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
		return;
	shared_hide(m);
	pthread_cond_destroy(&m->ready);
	pthread_mutex_destroy(&m->lock);
	pf__free(m->point);
	pf__free(m->source);
	pf__free(m->type);
	pf__free(m->options);
	pf__free(m);
}

static struct mount *mount_new(struct pf__run *r, const char *point, const char *source,
			       const char *type, const char *options)
{
	struct mount *m = pf__calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->refs = 1;
	m->run = r;
	m->id = FIRST_ID + atomic_fetch_add(&r->next_mount, 1);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->ready, NULL);
	pf__list_init(&m->link);
	m->point = pf__strdup(point);
	m->source = pf__strdup(*source ? source : "portfire");
	m->type = pf__strdup(type);
	m->options = pf__strdup(options);
	if (!m->point || !m->source || !m->type || !m->options) {
		mount_put(m);
		return NULL;
	}
	m->len = strlen(m->point);
	return m;
}

/* A later mount at the same place covers the earlier one: newest first. */
static void publish(struct pf__run *r, struct mount *m)
{
	pthread_rwlock_wrlock(&r->mounts_lock);
	pf__list_add_head(&r->mounts, &m->link);
	atomic_fetch_add(&r->shared->mounts, 1);
	pthread_rwlock_unlock(&r->mounts_lock);
	places_change(r);
}

/* The list's reference goes; the caller has one. */
static void withdraw(struct pf__run *r, struct mount *m)
{
	pthread_rwlock_wrlock(&r->mounts_lock);
	if (!pf__list_empty(&m->link)) {
		pf__list_del(&m->link);
		atomic_fetch_sub(&r->shared->mounts, 1);
		mount_put(m);
	}
	pthread_rwlock_unlock(&r->mounts_lock);
	places_change(r);
}

bool mounts_any(struct pf__run *r)
{
	return atomic_load_explicit(&r->shared->mounts, memory_order_relaxed) != 0;
}

struct mount *mount_of(struct pf__run *r, const char *path, size_t len, bool *exact)
{
	struct mount *best = NULL;
	struct pf__list *pos;

	if (exact)
		*exact = false;
	if (!mounts_any(r))
		return NULL;
	pthread_rwlock_rdlock(&r->mounts_lock);
	pf__list_for_each (pos, &r->mounts) {
		struct mount *m = pf__list_entry(pos, struct mount, link);

		if (m->len > len || memcmp(m->point, path, m->len) != 0 ||
		    (len > m->len && path[m->len] != '/'))
			continue;
		if (!best || m->len > best->len)
			best = m;
	}
	if (best) {
		mount_get(best);
		if (exact)
			*exact = best->len == len;
	}
	pthread_rwlock_unlock(&r->mounts_lock);
	return best;
}

int mount_wait(struct mount *m)
{
	enum mount_state state;

	if (atomic_load_explicit(&m->fs, memory_order_acquire))
		return 0;
	pthread_mutex_lock(&m->lock);
	while (m->state == MOUNT_STARTING)
		pthread_cond_wait(&m->ready, &m->lock);
	state = m->state;
	pthread_mutex_unlock(&m->lock);
	return state == MOUNT_READY ? 0 : -ENOTCONN;
}

/* What mountinfo says of it, as the kernel would. */
static int describe(struct mount *m, const struct pf__mount_options *o)
{
	char type[80], options[160];
	char *t, *p;

	snprintf(type, sizeof type, "fuse%s%s", o->subtype[0] ? "." : "", o->subtype);
	snprintf(options, sizeof options, "user_id=%u,group_id=%u%s%s", o->user_id, o->group_id,
		 o->default_permissions ? ",default_permissions" : "",
		 o->allow_other ? ",allow_other" : "");
	t = pf__strdup(type);
	p = pf__strdup(options);
	if (!t || !p) {
		pf__free(t);
		pf__free(p);
		return -ENOMEM;
	}
	pf__free(m->type);
	pf__free(m->options);
	m->type = t;
	m->options = p;
	m->read_only = o->read_only;
	return 0;
}

int pf__run_add(struct pf__run *r, struct pf_fs *fs, const char *mountpoint)
{
	struct mount *m;

	if (!mountpoint)
		mountpoint = pf_mountpoint(fs);
	if (mountpoint[0] != '/' || !mountpoint[1])
		return pf__fail(-EINVAL, "'%s' is no place to show files at", mountpoint);
	m = mount_new(r, mountpoint, fs->super->mount.fsname, "fuse", "");
	if (!m || describe(m, &fs->super->mount)) {
		mount_put(m);
		return pf__fail(-ENOMEM, "run:");
	}
	m->state = MOUNT_READY;
	atomic_store(&fs->super->io->shared, true);
	atomic_store(&m->fs, fs);
	publish(r, m);
	return 0;
}

/* ---- mounts made inside ---------------------------------------------------------------------- */

/* What the thread that waits for INIT needs. */
struct pf__device_mount {
	struct pf__mount m;
};

static const char *owner_mountpoint(void *owner)
{
	struct mount *m = owner;

	return m->point;
}

/* The server is a program's of the run, which waits for it. */
static int owner_stop(void *owner)
{
	mount_put(owner);
	return 0;
}

static pid_t owner_pid(void *owner)
{
	struct mount *m = owner;

	return pf__socket_holder(m->peer_ino, 0);
}

/* Before INIT, while it is pending. */
static struct pf__backings *owner_backings(void *owner)
{
	struct mount *m = owner;

	return m->pending->m.backings;
}

static const struct pf__owner_ops owner_ops = {
    .stop = owner_stop,
    .mountpoint = owner_mountpoint,
    .server_pid = owner_pid,
    .backings = owner_backings,
};

static void thread_ended(struct pf__run *r)
{
	pthread_rwlock_wrlock(&r->mounts_lock);
	r->mounting--;
	pthread_rwlock_unlock(&r->mounts_lock);
}

static int start_thread(struct pf__run *r, void *(*fn)(void *), void *arg)
{
	unsigned long thread;
	int err;

	pthread_rwlock_wrlock(&r->mounts_lock);
	r->mounting++;
	pthread_rwlock_unlock(&r->mounts_lock);
	err = pf__sys.thread_create(&thread, fn, arg);
	if (err)
		thread_ended(r);
	else
		pthread_detach(thread);
	return err;
}

static int open_super(struct mount *m, struct pf_fs **fs)
{
	struct pf__mount *d = &m->pending->m;
	struct pf__transport *t;
	int err;

	err = pf__super_transport(&t, pf__take(d->fd, -1), d->peer_sndbuf, &m->run->options);
	if (err)
		return err;
	mount_get(m); /* the owner */
	return pf__super_open(fs, t, &m->run->options, d->options, &owner_ops, m);
}

static void *await_init(void *arg)
{
	struct mount *m = arg;
	struct pf__run *r = m->run;
	struct pf_fs *fs = NULL;
	int err = open_super(m, &fs);

	if (err && !atomic_load(&r->ending))
		run_say(r, "%s: the mount failed: %s", m->point,
			*pf__errmsg() ? pf__errmsg() : strerror(-err));
	pf__device_answer_mount(r->devices, err ? -ENOTCONN : 0);
	pthread_mutex_lock(&m->lock);
	m->state = err ? MOUNT_FAILED : MOUNT_READY;
	if (!err) {
		pthread_rwlock_wrlock(&r->mounts_lock); /* who reads the table */
		describe(m, &fs->super->mount);
		pthread_rwlock_unlock(&r->mounts_lock);
		atomic_store(&fs->super->io->shared, true);
		atomic_store_explicit(&m->fs, fs, memory_order_release);
	}
	pthread_cond_broadcast(&m->ready);
	pthread_mutex_unlock(&m->lock);
	pf__mount_clear(&m->pending->m);
	pf__free(pf__take(m->pending, NULL));
	mount_put(m);
	thread_ended(r);
	return NULL;
}

static int device_mounts(void *ctx, struct pf__mount *d)
{
	struct pf__run *r = ctx;
	struct mount *m = mount_new(r, d->mountpoint, d->source, d->fstype, "");
	int err;

	if (!m)
		return -ENOMEM;
	m->pending = pf__calloc(1, sizeof *m->pending);
	if (!m->pending) {
		mount_put(m);
		return -ENOMEM;
	}
	m->inside = true;
	m->peer_ino = d->peer_ino;
	m->pending->m = *d;
	publish(r, m);
	err = start_thread(r, await_init, mount_get(m));
	if (err) {
		withdraw(r, m);
		pf__free(m->pending);
		mount_put(m);
	}
	return err;
}

static bool device_mounted(void *ctx, const char *path, bool unmount)
{
	bool exact;
	struct mount *m = mount_of(ctx, path, strlen(path), &exact);

	mount_put(m);
	return m && exact && !unmount;
}

/* A mountpoint may lie in what we show. */
static int device_resolve(void *ctx, const struct pf__call *call, const char *path, char *real)
{
	struct pf__call copy = *call;
	struct job j = {.r = ctx, .call = &copy};
	struct place p;
	struct stat st;
	int err = place_find(&j, AT_FDCWD, path, PLACE_FOLLOW | PLACE_CAREFUL, &p);

	if (!err && p.o)
		err = object_path(p.o, p.path, sizeof p.path);
	if (!err && p.m && !p.o)
		err = job_view(&j, p.m);
	if (!err && !p.o) {
		if (p.m)
			err = pf_stat(&j.view, place_inside(&p), &st);
		else
			err = stat(p.path, &st) < 0 ? -errno : 0;
	}
	if (!err) {
		size_t n = strlen(p.path);

		while (n > 1 && p.path[n - 1] == '/')
			p.path[--n] = '\0';
		strcpy(real, p.path);
	}
	place_clear(&p);
	job_end(&j);
	return err;
}

const struct pf__device_ops run_device_ops = {device_mounts, device_mounted, device_resolve};

/* ---- the end of a mount ---------------------------------------------------------------------- */

/* Calls in flight and objects hold it. */
static void await_last_user(struct mount *m, int refs)
{
	struct pf_fs *fs = atomic_load(&m->fs);
	int waited = 0;

	while (atomic_load(&m->refs) > refs) {
		if (waited == DRAIN_MS && fs)
			pf_abort(fs);
		poll(NULL, 0, DRAIN_STEP_MS);
		waited += DRAIN_STEP_MS;
	}
}

/* Takes over a reference. Nobody finds it any more. */
static void end_mount(struct mount *m)
{
	struct pf__run *r = m->run;
	struct patience p;
	struct pf_fs *fs;

	if (mount_wait(m)) {
		mount_put(m);
		return;
	}
	fs = atomic_load(&m->fs);
	patience_begin(&p, r, m, DRAIN_MS, false);
	flush_all(r, m);
	patience_end(&p);
	while (objects_sweep(r, m) && !atomic_load(&r->ending))
		poll(NULL, 0, 100); /* detached, but in use */
	if (m->inside) {
		/* This one, and the owner's of the file system. */
		await_last_user(m, 2);
		if (pf_stop(fs) && !atomic_load(&r->ending) && m->state == MOUNT_READY)
			run_say(r, "%s: %s", m->point, pf_error());
	}
	mount_put(m);
}

static void *end_thread(void *arg)
{
	struct mount *m = arg;
	struct pf__run *r = m->run;

	end_mount(m);
	thread_ended(r);
	return NULL;
}

/*
 * Servers that see their device hang up unmount once more (libfuse looks for POLLERR, which a
 * socket does not have), by a fusermount that would complain.
 */
static void note_former(struct pf__run *r, struct mount *m)
{
	pid_t server = m->inside ? pf__socket_holder(m->peer_ino, 0) : 0;
	struct former *f;

	if (server <= 0)
		return;
	pthread_rwlock_wrlock(&r->mounts_lock);
	f = &r->former[r->next_former++ % (sizeof r->former / sizeof r->former[0])];
	pf__free(f->point);
	f->point = pf__strdup(m->point);
	f->server = server;
	f->when = run_now_ms();
	pthread_rwlock_unlock(&r->mounts_lock);
}

static bool is_former(struct pf__run *r, const char *path, pid_t caller)
{
	int64_t since = run_now_ms() - FORMER_MS; /* its number may come back some day */
	bool found = false;

	pthread_rwlock_rdlock(&r->mounts_lock);
	for (size_t i = 0; i < sizeof r->former / sizeof r->former[0]; i++)
		found |= r->former[i].point && r->former[i].server == caller &&
			 r->former[i].when > since && strcmp(r->former[i].point, path) == 0;
	pthread_rwlock_unlock(&r->mounts_lock);
	return found;
}

/*
 * The server of a mount that has ended, by itself or by a fusermount that it executes: what is
 * mounted there now, before or after, is not meant, unless that is its own, too.
 */
static bool is_late(struct pf__run *r, const struct mount *m, const char *path, pid_t caller)
{
	for (int depth = 0; caller > 1 && depth < 8; depth++, caller = pf__parent_of(caller))
		if (is_former(r, path, caller))
			return !m || pf__socket_holder(m->peer_ino, 0) != caller;
	return false;
}

/* Takes over the reference, unless it fails. */
static int end_found(struct pf__run *r, struct mount *m, int flags)
{
	bool again;

	flush_all(r, m);
	if (objects_sweep(r, m) && !(flags & (MNT_DETACH | MNT_FORCE)))
		return -EBUSY;
	pthread_mutex_lock(&m->lock);
	again = m->ended;
	m->ended = true;
	pthread_mutex_unlock(&m->lock);
	if (again)
		return -EINVAL;
	note_former(r, m);
	withdraw(r, m);
	/* Detached, it goes on for those who have it open. */
	if (!objects_sweep(r, m) || start_thread(r, end_thread, m))
		end_mount(m);
	return 0;
}

int mount_end(struct pf__run *r, const char *path, int flags, pid_t caller)
{
	bool exact;
	struct mount *m = mount_of(r, path, strlen(path), &exact);
	int err = is_late(r, m && exact ? m : NULL, path, caller) ? 1 : -EINVAL;

	if (err < 0 && m && exact)
		err = end_found(r, m, flags);
	if (err)
		mount_put(m);
	return err;
}

void pf__run_unmount_all(struct pf__run *r)
{
	struct mount *m;
	bool busy;

	do {
		struct pf__list *pos;

		m = NULL;
		pthread_rwlock_rdlock(&r->mounts_lock);
		pf__list_for_each (pos, &r->mounts) {
			if (pf__list_entry(pos, struct mount, link)->inside) {
				m = mount_get(pf__list_entry(pos, struct mount, link));
				break;
			}
		}
		pthread_rwlock_unlock(&r->mounts_lock);
		if (m) {
			withdraw(r, m);
			if (start_thread(r, end_thread, m))
				end_mount(m);
		}
	} while (m);
	do {
		pthread_rwlock_rdlock(&r->mounts_lock);
		busy = r->mounting > 0;
		pthread_rwlock_unlock(&r->mounts_lock);
		if (busy)
			poll(NULL, 0, DRAIN_STEP_MS);
	} while (busy);
}

/* ---- what the tool asks ---------------------------------------------------------------------- */

bool pf__run_serves(struct pf__run *r, pid_t pid)
{
	pid_t servers[64];
	unsigned n = 0;
	struct pf__list *pos;

	pthread_rwlock_rdlock(&r->mounts_lock);
	pf__list_for_each (pos, &r->mounts) {
		struct mount *m = pf__list_entry(pos, struct mount, link);

		if (m->inside && n < sizeof servers / sizeof servers[0])
			servers[n++] = pf__socket_holder(m->peer_ino, 0);
	}
	pthread_rwlock_unlock(&r->mounts_lock);
	for (int depth = 0; n && pid > 1 && depth < 32; depth++, pid = pf__parent_of(pid))
		for (unsigned i = 0; i < n; i++)
			if (servers[i] == pid)
				return true;
	return false;
}

static bool lost(struct mount *m, char *buf, size_t size)
{
	struct pf_fs *fs = atomic_load(&m->fs);

	if (!fs || !pf__conn_dead(fs->super->conn))
		return false;
	snprintf(buf, size, "the server of %s was lost", m->point);
	return true;
}

bool pf__run_lost(struct pf__run *r, char *buf, size_t size)
{
	struct pf__list *pos;
	bool found = false;

	pthread_rwlock_rdlock(&r->mounts_lock);
	pf__list_for_each (pos, &r->mounts) {
		found = lost(pf__list_entry(pos, struct mount, link), buf, size);
		if (found)
			break;
	}
	pthread_rwlock_unlock(&r->mounts_lock);
	return found;
}

/* ---- the table of mounts --------------------------------------------------------------------- */

/* Space, tab, newline and backslash as octal, as the kernel prints them. */
static void put_escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (strchr(" \t\n\\", *s))
			fprintf(f, "\\%03o", (unsigned char)*s);
		else
			fputc(*s, f);
	}
}

static void put_line(FILE *f, const struct mount *m, bool info)
{
	struct pf_fs *fs = atomic_load(&m->fs);
	dev_t dev = fs ? fs->super->dev : 0;
	const char *access = m->read_only ? "ro" : "rw";
	const char *options = m->options;

	if (info) {
		fprintf(f, "%u 1 %u:%u / ", m->id, major(dev), minor(dev));
		put_escaped(f, m->point);
		fprintf(f, " %s,nosuid,nodev,relatime - %s ", access, m->type);
		put_escaped(f, m->source);
		fprintf(f, " %s%s%s\n", access, *options ? "," : "", options);
	} else {
		put_escaped(f, m->source);
		fputc(' ', f);
		put_escaped(f, m->point);
		fprintf(f, " %s %s,nosuid,nodev,relatime%s%s 0 0\n", m->type, access,
			*options ? "," : "", options);
	}
}

static void copy_text(FILE *to, pid_t tgid, const char *kind)
{
	char name[64], buf[4096];
	FILE *from;
	size_t n;

	snprintf(name, sizeof name, "/proc/%d/%s", (int)tgid, kind);
	from = fopen(name, "re");
	if (!from)
		return;
	while ((n = fread(buf, 1, sizeof buf, from)) > 0)
		fwrite(buf, 1, n, to);
	fclose(from);
}

int mount_table(struct pf__run *r, pid_t tgid, const char *kind)
{
	int fd = pf__memfd(kind), copy;
	struct pf__list *pos;
	FILE *f;

	if (fd < 0)
		return -errno;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	f = copy < 0 ? NULL : fdopen(copy, "w");
	if (!f) {
		close(fd);
		if (copy >= 0)
			close(copy);
		return -ENOMEM;
	}
	copy_text(f, tgid, kind);
	pthread_rwlock_rdlock(&r->mounts_lock);
	for (pos = r->mounts.prev; pos != &r->mounts; pos = pos->prev)
		put_line(f, pf__list_entry(pos, struct mount, link),
			 strcmp(kind, "mountinfo") == 0);
	pthread_rwlock_unlock(&r->mounts_lock);
	fclose(f);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* One after the other: the list may change meanwhile. */
void mounts_sync(struct pf__run *r)
{
	unsigned last = ~0u;

	for (;;) {
		struct mount *next = NULL;
		struct pf__list *pos;

		pthread_rwlock_rdlock(&r->mounts_lock);
		pf__list_for_each (pos, &r->mounts) {
			struct mount *m = pf__list_entry(pos, struct mount, link);

			if (m->id < last && (!next || m->id > next->id))
				next = m;
		}
		if (next)
			mount_get(next);
		pthread_rwlock_unlock(&r->mounts_lock);
		if (!next)
			return;
		last = next->id;
		if (atomic_load(&next->fs))
			pf_syncfs(atomic_load(&next->fs));
		mount_put(next);
	}
}
