/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where does a path lead? Into one of our mounts, or elsewhere; over symbolic links and ".." in and
 * out of them.
 *
 * The path is made canonical from left to right. Outside, each component is asked of the kernel
 * (readlink). Inside, components are first taken for what they seem to be (PF_ELINK of the library
 * tells when one was a symlink after all), or, with PLACE_CAREFUL, asked of the library one by one.
 *
 * What was found to be no link is remembered for a second, by a hash of its path; so are whole
 * paths that have nothing to do with us. A program of the run that makes a link, renames or mounts
 * makes all of that void.
 */
#include "base/hash.h"
#include "run/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINKS 40

/* ---- what is known ---------------------------------------------------------------------------
 */

static bool is_known(struct pf__run *r, enum pf__known what, const char *path, size_t len)
{
	return pf__shared_knows(r->shared, what, path, len, (uint64_t)run_now_ms());
}

bool places_settled(struct pf__run *r)
{
	return run_now_ms() - atomic_load(&r->shared->places_changed) >= PF_CHANGE_MS;
}

/* It was so when the call began; who changes places meanwhile makes it void. */
static void know(const struct job *j, enum pf__known what, const char *path, size_t len)
{
	static pthread_mutex_t writer = PTHREAD_MUTEX_INITIALIZER;
	struct pf__run *r = j->r;
	uint64_t h = pf__shared_key(r->shared, what, path, len);
	_Atomic uint64_t *slot = &r->shared->known[h % PF_KNOWN_SLOTS * 2];

	if (!places_settled(r))
		return;
	pthread_mutex_lock(&writer);
	atomic_store(&slot[1], 0); /* never with another's time */
	atomic_store(&slot[0], h);
	atomic_store(&slot[1], (uint64_t)(j->places & 0xffffff) << 40 |
				   ((uint64_t)run_now_ms() & 0xffffffffff));
	pthread_mutex_unlock(&writer);
}

void places_change(struct pf__run *r)
{
	atomic_store(&r->shared->places_changed, run_now_ms());
	atomic_fetch_add(&r->shared->places, 1);
}

bool place_known_outside(struct job *j, const char *path, size_t len, bool follow)
{
	return is_known(j->r, follow ? PF_KNOWN_OUTSIDE_FOLLOWED : PF_KNOWN_OUTSIDE, path, len);
}

void place_know_outside(struct job *j, int dirfd, const char *path, size_t len, bool follow)
{
	enum pf__known what = follow ? PF_KNOWN_OUTSIDE_FOLLOWED : PF_KNOWN_OUTSIDE;
	char link[64], text[PATH_MAX];
	ssize_t n;

	if (path[0] == '/')
		know(j, what, path, len);
	if (path[0] == '/' || dirfd == AT_FDCWD || !j->r->config.preload)
		return;
	/* Programs find these by themselves. */
	snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)j->call->tid, dirfd);
	n = readlink(link, text, sizeof text - 1);
	if (n <= 0 || text[0] != '/' || (size_t)n + len + 2 > sizeof text)
		return;
	text[n] = '/';
	memcpy(text + n + 1, path, len);
	know(j, what, text, (size_t)n + 1 + len);
}

/* ---- the walk --------------------------------------------------------------------------------
 */

struct walk {
	struct job *j;
	unsigned flags;
	char *cur; /* canonical so far, without a slash at its end; of PATH_MAX */
	size_t len;
	char rest[2 * PATH_MAX];
	const char *p;    /* what is left of it */
	struct mount *m;  /* that owns cur; referenced */
	struct object *o; /* at the end of a magic link */
	unsigned links;
	bool missing; /* outside: nothing is there any more, the kernel will say so */
	bool detour;
	bool slash; /* the path ended in one */
	bool fleeting;
};

static void own(struct walk *w)
{
	mount_put(w->m);
	w->m = mount_of(w->j->r, w->cur, w->len, NULL);
	if (w->m)
		w->detour = true; /* from here on the kernel does not know the way */
}

static int append(struct walk *w, const char *name, size_t n)
{
	if (w->len + n + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	w->cur[w->len] = '/';
	memcpy(w->cur + w->len + 1, name, n);
	w->len += n + 1;
	w->cur[w->len] = '\0';
	return 0;
}

static void go_up(struct walk *w)
{
	while (w->len && w->cur[--w->len] != '/')
		;
	w->cur[w->len] = '\0';
	own(w);
}

/* Go on along target, which stood where cur ends. The link is not part of cur any more. */
static int expand(struct walk *w, const char *target, size_t n)
{
	char rest[PATH_MAX];
	size_t k = strlen(w->p);

	if (++w->links > MAX_LINKS)
		return -ELOOP;
	if (n == 0)
		return -ENOENT;
	if (n + k + 2 > sizeof w->rest || k + 1 > sizeof rest)
		return -ENAMETOOLONG;
	memcpy(rest, w->p, k + 1);
	memcpy(w->rest, target, n);
	w->rest[n] = '/';
	memcpy(w->rest + n + 1, rest, k + 1);
	if (k == 0)
		w->rest[n] = '\0'; /* the end stays the end */
	w->p = w->rest;
	if (target[0] == '/') {
		w->len = 0;
		w->cur[0] = '\0';
		own(w);
	}
	return 0;
}

/* ---- outside ---------------------------------------------------------------------------------
 */

/* Is cur /proc/PID/fd/N, /proc/PID/cwd, root or exe (or of a task)? *name points at "fd/N". */
pid_t place_magic(const char *cur, const char **name)
{
	char *end;
	pid_t pid;

	if (strncmp(cur, "/proc/", 6) != 0)
		return 0;
	pid = (pid_t)strtol(cur + 6, &end, 10);
	if (pid <= 0 || *end != '/')
		return 0;
	if (strncmp(end, "/task/", 6) == 0) {
		pid = (pid_t)strtol(end + 6, &end, 10);
		if (pid <= 0 || *end != '/')
			return 0;
	}
	*name = end + 1;
	if (strncmp(*name, "fd/", 3) == 0 && (*name)[3] && !strchr(*name + 3, '/'))
		return pid;
	return !strcmp(*name, "cwd") || !strcmp(*name, "root") || !strcmp(*name, "exe") ? pid : 0;
}

/* The caller's own /proc directories, which are ours to the kernel when we ask. */
static bool is_self(struct walk *w, char *to, size_t size)
{
	struct who *who;

	if (w->cur[1] != 'p' || strncmp(w->cur, "/proc/", 6) != 0)
		return false;
	if (strcmp(w->cur, "/proc/self") != 0 && strcmp(w->cur, "/proc/thread-self") != 0)
		return false;
	w->fleeting = true;
	who = job_who(w->j);
	if (!who)
		return false;
	if (w->cur[6] == 's')
		snprintf(to, size, "/proc/%d", (int)who->tgid);
	else
		snprintf(to, size, "/proc/%d/task/%d", (int)who->tgid, (int)who->tid);
	return true;
}

/* What a magic link leads to: one of ours, or what its text says if that is a path. 0: go on. */
static int follow_magic(struct walk *w, pid_t pid, const char *name, bool last)
{
	struct object *o = object_of_proc(w->j->r, pid, name);
	char target[PATH_MAX];
	ssize_t n;

	w->fleeting = true;
	if (o && last) {
		w->o = o;
		return 0;
	}
	if (o) {
		int err = object_path(o, target, sizeof target);

		object_put(o);
		n = err ? err : (ssize_t)strlen(target);
		w->detour = true;
	} else {
		n = last ? 0 : readlink(w->cur, target, sizeof target);
		if (n < 0)
			return -errno;
	}
	if (n <= 0 || target[0] != '/')
		return (int)(n < 0 ? n : 0);
	return expand(w, target, (size_t)n);
}

/* cur was just appended to, outside. */
static int step_outside(struct walk *w, bool last)
{
	const char *name;
	char target[PATH_MAX], self[64];
	pid_t pid;
	ssize_t n;

	if (w->missing || (last && !(w->flags & PLACE_FOLLOW) && !w->slash))
		return 0;
	if (is_self(w, self, sizeof self)) {
		strcpy(w->cur, self);
		w->len = strlen(self);
		return 0;
	}
	if (is_known(w->j->r, PF_KNOWN_NO_LINK, w->cur, w->len))
		return 0;
	pid = place_magic(w->cur, &name);
	if (pid)
		return follow_magic(w, pid, name, last);
	n = readlink(w->cur, target, sizeof target);
	if (n >= 0) {
		while (w->cur[w->len] != '/')
			w->len--;
		w->cur[w->len] = '\0';
		return expand(w, target, (size_t)n);
	}
	if (errno == EINVAL)
		know(w->j, PF_KNOWN_NO_LINK, w->cur, w->len);
	else
		w->missing = true;
	return 0;
}

/* ---- inside ----------------------------------------------------------------------------------
 */

static const char *inside(const struct walk *w)
{
	return w->cur[w->m->len] ? w->cur + w->m->len : "/";
}

static int step_inside(struct walk *w, bool last)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;
	int err;

	if (!(w->flags & PLACE_CAREFUL) || (last && !(w->flags & PLACE_FOLLOW) && !w->slash))
		return 0;
	err = job_view(w->j, w->m);
	if (!err)
		err = pf_lstat(&w->j->view, inside(w), &st);
	if (err == -ENOENT && last)
		return 0;
	if (err)
		return err;
	if (!S_ISLNK(st.st_mode))
		return last || S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	n = pf_readlink(&w->j->view, inside(w), target, sizeof target);
	if (n < 0)
		return (int)n;
	while (w->cur[w->len] != '/')
		w->len--;
	w->cur[w->len] = '\0';
	own(w);
	return expand(w, target, (size_t)n);
}

/* The kernel would look for ".." in it. */
static int may_search(struct walk *w)
{
	int err = job_view(w->j, w->m);

	return err ? err : pf_access(&w->j->view, inside(w), X_OK);
}

/* ---- components ------------------------------------------------------------------------------
 */

static int step(struct walk *w, const char *name, size_t n, bool last)
{
	int err;

	if (n == 1 && name[0] == '.') {
		w->slash |= last; /* it must be a directory */
		return 0;
	}
	if (n == 2 && name[0] == '.' && name[1] == '.') {
		if (w->m && !(w->flags & PLACE_CAREFUL) && w->flags & PLACE_NAMED)
			return -PF_ELINK; /* is what it goes up from a link? */
		err = w->m && w->flags & PLACE_NAMED ? may_search(w) : 0;
		if (!err)
			go_up(w);
		return err;
	}
	err = append(w, name, n);
	if (err)
		return err;
	if (mounts_any(w->j->r))
		own(w);
	w->flags |= PLACE_NAMED;
	return w->m ? step_inside(w, last) : step_outside(w, last);
}

static int run_walk(struct walk *w)
{
	while (!w->o) {
		const char *name;
		size_t n;
		bool last;
		int err;

		w->p += strspn(w->p, "/");
		if (!*w->p)
			return 0;
		name = w->p;
		n = strcspn(name, "/");
		w->p += n;
		last = !w->p[strspn(w->p, "/")];
		w->slash = last && *w->p == '/';
		err = step(w, name, n, last);
		if (err)
			return err;
	}
	return 0;
}

/* ---- where it begins ------------------------------------------------------------------------- */

static bool is_only(const char *path, const char *name)
{
	size_t n = strlen(name);

	return strncmp(path, name, n) == 0 && !path[n + strspn(path + n, "/")];
}

static bool begins_with_dots(const char *path)
{
	return path[0] == '.' && path[1] == '.' && (!path[2] || path[2] == '/');
}

/* From the caller's directory, or that of dirfd. 1: the object itself is meant. */
static int begin_relative(struct walk *w, int dirfd, bool empty)
{
	struct job *j = w->j;
	struct object *dir = NULL;
	char link[64];
	ssize_t n;
	int err = 0;

	if (dirfd == AT_FDCWD) {
		err = job_who(j) ? who_cwd(j->r, j->who, &dir, w->cur, PATH_MAX) : -ENOENT;
	} else {
		dir = object_of_fd(j->r, j->call, dirfd);
	}
	if (err)
		return err;
	if (dir && empty) {
		w->o = dir;
		return 1;
	}
	if (dir) {
		err = dir->kind == OBJECT_DIR ? object_path(dir, w->cur, PATH_MAX) : -ENOTDIR;
		w->detour = true;
		if (err == -ENOENT && is_only(w->p, ".")) {
			w->o = dir;
			return 1;
		}
		object_put(dir);
		if (err == -ENOENT && begins_with_dots(w->p))
			err = 0; /* its parent it still has */
	} else if (dirfd != AT_FDCWD) {
		snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)j->call->tid, dirfd);
		n = readlink(link, w->cur, PATH_MAX - 1);
		w->cur[n > 0 ? n : 0] = '\0';
		if (w->cur[0] != '/') /* the kernel says what is wrong with it */
			return n < 0 ? -EBADF : -ENOTDIR;
	}
	w->len = strlen(w->cur);
	if (w->len == 1)
		w->cur[w->len = 0] = '\0';
	if (!err)
		own(w);
	return err;
}

/* Outside it is the kernel that says what is wrong. */
static int outside(struct walk *w, struct place *p, int err)
{
	if (err == -ENOMEM)
		return err;
	p->detour = false;
	p->error = err;
	(void)w;
	return 0;
}

static int walk_path(struct walk *w, int dirfd, const char *path, struct place *p)
{
	bool empty = !*path;
	int err = 0;

	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(w->rest, path);
	w->p = w->rest;
	w->cur[0] = '\0';
	if (empty && !(w->flags & PLACE_EMPTY))
		return outside(w, p, -ENOENT);
	if (path[0] != '/')
		err = begin_relative(w, dirfd, empty);
	if (err < 0)
		return w->detour ? err : outside(w, p, err);
	if (err == 0)
		err = run_walk(w);
	if (err == -PF_ELINK)
		return err;
	if (err < 0)
		return w->detour ? err : outside(w, p, err);
	if (w->slash && w->len + 2 < PATH_MAX)
		strcpy(w->cur + w->len, "/");
	else if (!w->len)
		strcpy(w->cur, "/");
	p->o = pf__take(w->o, NULL);
	p->m = p->o ? mount_get(p->o->m) : pf__take(w->m, NULL);
	p->magic = p->o && !empty;
	p->detour = !p->m && w->detour;
	return 0;
}

int place_find(struct job *j, int dirfd, const char *path, unsigned flags, struct place *p)
{
	PF_AUTO_FREE struct walk *w = pf__malloc(sizeof *w);
	int err, tries = 0;

	p->m = NULL;
	p->o = NULL;
	p->detour = p->magic = false;
	p->error = 0;
	if (!w)
		return -ENOMEM;
	do {
		w->j = j;
		w->flags = flags;
		w->cur = p->path;
		w->len = 0;
		w->m = NULL;
		w->o = NULL;
		w->links = 0;
		w->missing = w->detour = w->slash = w->fleeting = false;
		err = walk_path(w, dirfd, path, p);
		p->fleeting = w->fleeting;
		mount_put(w->m);
		object_put(w->o);
		flags |= PLACE_CAREFUL;
	} while (err == -PF_ELINK && ++tries < 4);
	if (err == -PF_ELINK)
		err = -ELOOP; /* what is there changes faster than we look */
	if (err)
		place_clear(p);
	return err;
}

void place_clear(struct place *p)
{
	mount_put(pf__take(p->m, NULL));
	object_put(pf__take(p->o, NULL));
}
