/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who calls. What /proc tells of a thread is kept for a second: it takes longer for a thread id to
 * come back. Calls that change it (setuid, umask, chdir ...) are trapped and say so before the
 * kernel does them.
 *
 * state of what is known | left by
 * -----------------------|-------------------------------------------------
 * valid                  | a second; a change by anyone (the generation)
 * not to be kept         | PF_CHANGE_MS after a change: it may not be done yet
 */
#include "run/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALID_MS 1000
#define MAX_WHO  4096

static struct pf__list *bucket(struct pf__run *r, pid_t tid)
{
	return &r->who[(unsigned)tid % (sizeof r->who / sizeof r->who[0])];
}

/* who_lock is held, or nobody else knows it. */
static void who_free(struct who *w)
{
	if (w->cwd.dir)
		object_put(w->cwd.dir);
	pf__free(w->cwd.path);
	pf__free(w->groups);
	pf__free(w);
}

void who_put(struct pf__run *r, struct who *w)
{
	(void)r;
	if (w && atomic_fetch_sub(&w->refs, 1) == 1)
		who_free(w);
}

/* ---- /proc/TID/status ------------------------------------------------------------------------ */

static const char *field(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? p + strlen(name) : "";
}

static int read_groups(struct who *w, const char *p)
{
	size_t n = 0, room = 0;

	for (;;) {
		char *end;
		unsigned long gid = strtoul(p, &end, 10);

		if (end == p || memchr(p, '\n', (size_t)(end - p)))
			break;
		if (n == room) {
			gid_t *more = pf__realloc(w->groups, (room += 32) * sizeof *more);

			if (!more)
				return -ENOMEM;
			w->groups = more;
		}
		w->groups[n++] = (gid_t)gid;
		p = end;
	}
	w->caller.groups = w->groups;
	w->caller.ngroups = n;
	return 0;
}

/* "Uid:\treal\teffective\tsaved\tfs" */
static void read_ids(const char *p, unsigned *real, unsigned *fs)
{
	unsigned effective, saved;

	if (sscanf(p, "%u %u %u %u", real, &effective, &saved, fs) != 4)
		*real = *fs = (unsigned)-1;
}

/* DAC_OVERRIDE and FOWNER: without them uid 0 is as any other. */
static bool is_unprivileged(const char *effective)
{
	const unsigned long long needed = 1ull << 1 | 1ull << 3;

	return (strtoull(effective, NULL, 16) & needed) != needed;
}

static int read_status(struct who *w)
{
	char name[64], text[8192];
	PF_AUTO_CLOSE int fd = -1;
	ssize_t n;

	snprintf(name, sizeof name, "/proc/%d/status", (int)w->tid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return -ENOENT;
	text[n] = '\0';
	w->tgid = (pid_t)strtol(field(text, "\nTgid:"), NULL, 10);
	w->caller.size = sizeof w->caller;
	w->caller.pid = w->tgid;
	w->caller.umask = (mode_t)strtoul(field(text, "\nUmask:"), NULL, 8);
	read_ids(field(text, "\nUid:"), &w->uid, &w->caller.uid);
	read_ids(field(text, "\nGid:"), &w->gid, &w->caller.gid);
	w->caller.unprivileged = w->caller.uid == 0 && is_unprivileged(field(text, "\nCapEff:"));
	return read_groups(w, field(text, "\nGroups:"));
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool is_valid(const struct pf__run *r, const struct who *w, int64_t now)
{
	return now - w->checked < VALID_MS && w->gen == atomic_load(&r->creds_gen);
}

/* Under who_lock. */
static struct who *find(struct pf__run *r, pid_t tid)
{
	struct pf__list *pos;

	pf__list_for_each (pos, bucket(r, tid)) {
		struct who *w = pf__list_entry(pos, struct who, link);

		if (w->tid == tid)
			return w;
	}
	return NULL;
}

/* Under who_lock: those who have not called for long. */
static void make_room(struct pf__run *r, int64_t now)
{
	for (size_t i = 0; i < sizeof r->who / sizeof r->who[0]; i++) {
		struct pf__list *pos, *tmp;

		pf__list_for_each_safe (pos, tmp, &r->who[i]) {
			struct who *w = pf__list_entry(pos, struct who, link);

			if (now - w->checked < VALID_MS)
				continue;
			pf__list_del(&w->link);
			r->n_who--;
			who_put(r, w);
		}
	}
}

static void enter(struct pf__run *r, struct who *w)
{
	struct who *old;

	pthread_mutex_lock(&r->who_lock);
	old = find(r, w->tid);
	if (old) {
		pf__list_del(&old->link);
		r->n_who--;
		who_put(r, old);
	}
	if (r->n_who >= MAX_WHO)
		make_room(r, w->checked);
	pf__list_add_head(bucket(r, w->tid), &w->link);
	r->n_who++;
	atomic_fetch_add(&w->refs, 1);
	pthread_mutex_unlock(&r->who_lock);
}

struct who *who_of(struct pf__run *r, const struct pf__call *call)
{
	int64_t now = run_now_ms();
	struct who *w;

	pthread_mutex_lock(&r->who_lock);
	w = find(r, call->tid);
	if (w && !is_valid(r, w, now))
		w = NULL;
	if (w)
		atomic_fetch_add(&w->refs, 1);
	pthread_mutex_unlock(&r->who_lock);
	if (w)
		return w;
	w = pf__calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->refs = 1;
	w->tid = call->tid;
	w->checked = now;
	w->gen = atomic_load(&r->creds_gen);
	pf__list_init(&w->link);
	if (read_status(w)) {
		who_free(w);
		return NULL;
	}
	enter(r, w);
	return w;
}

void who_creds_change(struct pf__run *r)
{
	atomic_fetch_add(&r->creds_gen, 1);
}

/* ---- the working directory ------------------------------------------------------------------- */

void who_cwd_changes(struct pf__run *r)
{
	atomic_store(&r->shared->cwds_changed, run_now_ms());
	atomic_fetch_add(&r->shared->cwds, 1);
}

static int read_cwd(struct pf__run *r, pid_t tid, struct object **dir, char *buf, size_t size)
{
	char name[64];
	ssize_t n;

	*dir = object_of_proc(r, tid, "cwd");
	if (*dir)
		return 0;
	snprintf(name, sizeof name, "/proc/%d/cwd", (int)tid);
	n = readlink(name, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

static void remember(struct pf__run *r, struct who *w, unsigned gen, int64_t now,
		     struct object *dir, const char *path)
{
	if (now - atomic_load(&r->shared->cwds_changed) < PF_CHANGE_MS)
		return;
	pthread_mutex_lock(&r->who_lock);
	if (w->cwd.dir)
		object_put(pf__take(w->cwd.dir, NULL));
	pf__free(w->cwd.path);
	w->cwd.path = dir ? NULL : pf__strdup(path);
	w->cwd.known = dir || w->cwd.path;
	if (dir) {
		atomic_fetch_add(&dir->refs, 1);
		w->cwd.dir = dir;
	}
	w->cwd.gen = gen;
	w->cwd.checked = now;
	pthread_mutex_unlock(&r->who_lock);
}

/* What is remembered; false: nothing valid. */
static bool recall(struct pf__run *r, struct who *w, int64_t now, struct object **dir, char *buf,
		   size_t size)
{
	bool valid;

	pthread_mutex_lock(&r->who_lock);
	valid = w->cwd.known && w->cwd.gen == atomic_load(&r->shared->cwds) &&
		now - w->cwd.checked < VALID_MS;
	*dir = NULL;
	if (valid && w->cwd.dir) {
		*dir = w->cwd.dir;
		atomic_fetch_add(&w->cwd.dir->refs, 1);
	} else if (valid) {
		snprintf(buf, size, "%s", w->cwd.path);
	}
	pthread_mutex_unlock(&r->who_lock);
	return valid;
}

int who_cwd(struct pf__run *r, struct who *w, struct object **dir, char *buf, size_t size)
{
	unsigned gen = atomic_load(&r->shared->cwds);
	int64_t now = run_now_ms();
	int err;

	if (recall(r, w, now, dir, buf, size))
		return 0;
	err = read_cwd(r, w->tid, dir, buf, size);
	if (!err)
		remember(r, w, gen, now, *dir, buf);
	return err;
}

void who_free_all(struct pf__run *r)
{
	for (size_t i = 0; i < sizeof r->who / sizeof r->who[0]; i++) {
		struct pf__list *l;

		while ((l = pf__list_pop(&r->who[i])))
			who_put(r, pf__list_entry(l, struct who, link));
	}
}

void who_forget_cwds(struct pf__run *r)
{
	pthread_mutex_lock(&r->who_lock);
	for (size_t i = 0; i < sizeof r->who / sizeof r->who[0]; i++) {
		struct pf__list *pos;

		pf__list_for_each (pos, &r->who[i]) {
			struct who *w = pf__list_entry(pos, struct who, link);

			if (w->cwd.dir)
				object_put(pf__take(w->cwd.dir, NULL));
			w->cwd.known = false;
		}
	}
	pthread_mutex_unlock(&r->who_lock);
}
