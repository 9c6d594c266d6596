/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * realpath(3), by our own readlink(): libc's own makes a call for each component that is trapped.
 * Compilers ask for the real path of every header that they read.
 */
#include "preload/preload.h"
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT    __attribute__((visibility("default")))
#define MAX_LINKS 40

struct walk {
	char *to; /* PATH_MAX; what was resolved */
	size_t len;
	char rest[PATH_MAX]; /* what was not, from p on */
	const char *p;
	unsigned links;
	bool unsure; /* whether to is a directory */
};

static int fail(int error)
{
	errno = error;
	return -1;
}

static void go_up(struct walk *w)
{
	while (w->len && w->to[--w->len] != '/')
		;
	w->to[w->len] = '\0';
}

/* It has to be a directory. */
static int check(struct walk *w)
{
	struct stat st;

	if (!w->unsure)
		return 0;
	w->unsure = false;
	if (stat(w->to, &st))
		return -1;
	return S_ISDIR(st.st_mode) ? 0 : fail(ENOTDIR);
}

/* Behind to, that is a link to the n bytes in target. */
static int follow(struct walk *w, const char *target, size_t n)
{
	char rest[PATH_MAX];
	size_t k = strlen(w->p);

	if (++w->links > MAX_LINKS)
		return fail(ELOOP);
	if (!n)
		return fail(ENOENT);
	if (n + k + 1 > sizeof rest)
		return fail(ENAMETOOLONG);
	memcpy(rest, target, n);
	memcpy(rest + n, w->p, k + 1);
	memcpy(w->rest, rest, n + k + 1);
	w->p = w->rest;
	go_up(w);
	if (*target == '/')
		w->to[w->len = 0] = '\0';
	return 0;
}

static int step(struct walk *w, const char *name, size_t n)
{
	char target[PATH_MAX];
	ssize_t got;

	if (n == 1 && name[0] == '.')
		return check(w);
	if (n == 2 && name[0] == '.' && name[1] == '.') {
		if (check(w))
			return -1;
		go_up(w);
		return 0;
	}
	w->unsure = false; /* what stands before a name: the kernel says so */
	if (w->len + n + 2 > PATH_MAX)
		return fail(ENAMETOOLONG);
	w->to[w->len] = '/';
	memcpy(w->to + w->len + 1, name, n);
	w->len += n + 1;
	w->to[w->len] = '\0';
	got = readlink(w->to, target, sizeof target);
	if (got >= 0)
		return follow(w, target, (size_t)got);
	w->unsure = true;
	return errno == EINVAL ? 0 : -1;
}

static int resolve(struct walk *w)
{
	for (;;) {
		size_t slashes = strspn(w->p, "/");
		const char *name;

		w->p += slashes;
		if (!*w->p && slashes && check(w))
			return -1;
		if (!*w->p)
			break;
		name = w->p;
		w->p += strcspn(name, "/");
		if (step(w, name, (size_t)(w->p - name)))
			return -1;
	}
	if (!w->len)
		memcpy(w->to, "/", 2);
	return 0;
}

static int real(const char *path, char *to)
{
	struct walk w = {.to = to};
	size_t n;

	if (!path)
		return fail(EINVAL);
	n = strlen(path);
	if (!n)
		return fail(ENOENT);
	if (n >= PATH_MAX)
		return fail(ENAMETOOLONG);
	memcpy(w.rest, path, n + 1);
	w.p = w.rest;
	to[0] = '\0';
	if (path[0] != '/') {
		if (syscall(SYS_getcwd, to, (size_t)PATH_MAX, 0L, 0L, 0L, 0L) < 0)
			return -1;
		if (to[0] != '/')
			return fail(ENOENT);
		w.len = strlen(to);
		if (w.len == 1)
			to[w.len = 0] = '\0';
	}
	return resolve(&w);
}

EXPORT char *realpath(const char *path, char *resolved)
{
	int error = errno;
	char *to = resolved ? resolved : malloc(PATH_MAX);

	if (!to)
		return NULL;
	if (real(path, to)) {
		error = errno;
		if (!resolved)
			free(to);
		errno = error;
		return NULL;
	}
	if (!resolved) { /* some programs keep many */
		char *less = realloc(to, strlen(to) + 1);

		to = less ? less : to;
	}
	errno = error;
	return to;
}

EXPORT char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}

char *__realpath_chk(const char *path, char *resolved, size_t size);
void __chk_fail(void) __attribute__((noreturn, weak));

/* With _FORTIFY_SOURCE. */
EXPORT char *__realpath_chk(const char *path, char *resolved, size_t size)
{
	if (size < PATH_MAX)
		__chk_fail ? __chk_fail() : abort();
	return realpath(path, resolved);
}
