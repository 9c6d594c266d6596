/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * execve: programs that live inside. The kernel executes the memfd, by a link of the program's name
 * in our private directory. Scripts we take apart ourselves, as the kernel would: the interpreter
 * gets the path that the caller gave, which leads inside for it, too.
 */
#include "launch/fusermount.h"
#include "run/internal.h"
#include "vfs/file.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HEAD_SIZE 256 /* as the kernel's BINPRM_BUF_SIZE */
#define MAX_DEPTH 5
#define MAX_ARGS  131072

/* What shall be executed. */
struct exec {
	struct job *j;
	int dirfd;
	uint64_t argv, envp; /* the caller's */
	int flags;
	char *given; /* the path as the caller has it */
	struct place p;
	/* The words put before argv[1], in strings; none: argv as it is. */
	unsigned nwords;
	char *word[2 * MAX_DEPTH + 1];
	char path[PATH_MAX]; /* what the kernel executes in the end */
	/* Those inside, referenced until the kernel has opened them by their names. */
	struct object *object[MAX_DEPTH];
	unsigned nobjects;
	int fd;       /* of the one that path names; -1: it names none */
	bool changed; /* not the path that the caller gave */
	bool suits;   /* it may have the preloaded library; if not: */
	struct environment env;
};

/* ---- a name to execute by -------------------------------------------------------------------- */

/* Once it is there it stays: others may be on their way through it. */
static int link_name(struct object *o, const char *base, char *path)
{
	struct pf__run *r = o->run;
	char dir[32], target[64];

	pthread_mutex_lock(&o->lock);
	if (o->private_number == (unsigned)-1)
		o->private_number = atomic_fetch_add(&r->next_private, 1);
	pthread_mutex_unlock(&o->lock);
	snprintf(dir, sizeof dir, "x%u", o->private_number);
	if (mkdirat(r->private_fd, dir, 0711) < 0 && errno != EEXIST)
		return -errno;
	fchmodat(r->private_fd, dir, 0711, 0);
	if (snprintf(path, PATH_MAX, "%s/%s/%s", r->private, dir, base) >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(target, sizeof target, "/proc/%d/fd/%d", (int)getpid(), o->fd);
	return symlink(target, path) < 0 && errno != EEXIST ? -errno : 0;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

int object_for_exec(struct job *j, struct place *p, struct object **out)
{
	struct pf_file *file = NULL;
	struct object *o = NULL;
	struct stat st;
	int err;

	if (p->o)
		err = object_path(p->o, p->path, PATH_MAX);
	else
		err = 0;
	if (!err)
		err = pf_stat(&j->view, place_inside(p), &st);
	if (!err && !S_ISREG(st.st_mode))
		err = -EACCES;
	if (!err)
		err = pf_access(&j->view, place_inside(p), X_OK);
	if (!err && !(st.st_mode & 0111))
		err = -EACCES; /* also for root */
	if (!err)
		err = open_to_read(j, p, &file);
	if (!err && native_is_written(j->r, file->of->inode))
		err = -ETXTBSY;
	if (!err)
		err = object_of_file(j->r, p->m, file, p->path, false, &o);
	if (!err)
		err = stand_in_for_exec(o);
	if (err > 0) {
		o = NULL;
		err = object_of_file(j->r, p->m, file, p->path, false, &o);
	}
	if (!err) {
		pthread_mutex_lock(&o->lock);
		o->exec = true;
		err = hold_fill(o, j->call, file, false);
		pthread_mutex_unlock(&o->lock);
	}
	if (file)
		pf_close(file);
	if (err)
		object_put(o);
	else
		*out = o;
	return err;
}

/* ---- scripts --------------------------------------------------------------------------------- */

static size_t span(const char *p, bool blank)
{
	return blank ? strspn(p, " \t") : strcspn(p, " \t\n");
}

/* "#!interpreter [argument]": 1; 0 no script; or -ENOEXEC. The two point into head. */
static int parse_script(char head[HEAD_SIZE + 1], char **interp, char **arg)
{
	char *p = head + 2, *end;
	size_t n;

	if (head[0] != '#' || head[1] != '!')
		return 0;
	end = strchr(p, '\n');
	if (end)
		*end = '\0';
	p += span(p, true);
	n = span(p, false);
	if (!n || (!end && !p[n])) /* nothing, or cut off */
		return -ENOEXEC;
	*interp = p;
	*arg = p + n + span(p + n, true);
	p[n] = '\0';
	n = strlen(*arg);
	while (n && strchr(" \t", (*arg)[n - 1]))
		(*arg)[--n] = '\0';
	return 1;
}

/* words := interp [arg] path words-without-their-first */
static int prepend(struct exec *e, const char *interp, const char *arg, const char *path)
{
	unsigned add = *arg ? 2 : 1, n = e->nwords ? e->nwords - 1 : 0;
	char *copy[3] = {pf__strdup(interp), *arg ? pf__strdup(arg) : pf__strdup(path),
			 *arg ? pf__strdup(path) : NULL};

	if (!copy[0] || !copy[1] || (*arg && !copy[2]) ||
	    n + add + 1 > sizeof e->word / sizeof e->word[0])
		return -ELOOP;
	if (e->nwords)
		pf__free(e->word[0]);
	memmove(e->word + add + 1, e->word + (e->nwords ? 1 : 0), n * sizeof e->word[0]);
	memcpy(e->word, copy, (add + 1) * sizeof copy[0]);
	e->nwords = n + add + 1;
	return 0;
}

/* ---- making the call ------------------------------------------------------------------------- */

/* The caller's argv from the second word on. Their number, or negative errno. */
static ssize_t read_argv(struct exec *e, uint64_t *to, size_t max)
{
	size_t n = 0;

	if (!e->argv)
		return 0;
	for (;;) {
		int err;

		if (n + 1 >= max)
			return -E2BIG;
		err = pf__call_peek(e->j->call, e->argv + 8 * n, &to[n], 8);
		if (err)
			return err;
		if (!to[n])
			break;
		n++;
	}
	if (n)
		memmove(to, to + 1, (n - 1) * sizeof *to);
	return n ? (ssize_t)n - 1 : 0;
}

/* The caller's environment, if it has to be another one. 0 or negative errno. */
static int find_environment(struct exec *e)
{
	int got = 0;

	if (e->j->r->preload_path && !(e->suits && preload_is_seen(e->j)))
		got = environment_without(e->j, e->envp, &e->env);
	return got < 0 ? got : 0;
}

static size_t size_of_environment(const struct exec *e)
{
	return e->env.entry ? 8 * (e->env.n + 1) + (e->env.words ? strlen(e->env.words) + 1 : 0)
			    : 0;
}

/* At `at` in data, aligned to 8; with its one word behind it, of which words[] is told. */
static size_t put_environment(const struct exec *e, struct pf__inject *in, char *data, size_t at,
			      uint32_t *words)
{
	size_t size = 8 * (e->env.n + 1);
	uint64_t offset = at + size;

	memcpy(data + at, e->env.entry, size - 8);
	if (e->env.words) {
		words[in->nwords++] = (uint32_t)(at + 8 * e->env.index);
		memcpy(data + at + 8 * e->env.index, &offset, 8);
		strcpy(data + offset, e->env.words);
	}
	return at + size_of_environment(e);
}

static size_t put(char *data, size_t at, const char *text)
{
	size_t n = strlen(text) + 1;

	memcpy(data + at, text, n);
	return at + n;
}

/*
 * The name leads through our /proc/PID/fd, which other users may not look into (the program has
 * given up root): they execute a descriptor instead.
 */
static void execute_by(const struct exec *e, struct pf__inject *in)
{
	struct who *who = job_who(e->j);

	if (e->fd < 0 || !who || who->caller.uid == geteuid())
		return;
	in->nr = __NR_execveat;
	in->args[3] = in->args[2];
	in->args[2] = in->args[1];
	in->args[1] = in->args[0] + strlen(e->path); /* "" */
	in->args[4] = AT_EMPTY_PATH;
	in->arg_in_data <<= 1;
	in->fd = e->fd;
	in->arg_is_fd = 1 << 0;
	in->close_fd = true;
}

/* The same call, in another environment if need be. */
static int64_t exec_unchanged(struct exec *e)
{
	struct pf__inject in = {.nr = e->j->call->nr, .fd = -1, .unanswered = true};
	const unsigned envp = in.nr == __NR_execveat ? 3 : 2;
	PF_AUTO_FREE char *data = NULL;
	uint32_t word;
	int err = find_environment(e);

	if (err || !e->env.entry)
		return err ? err : CONTINUE;
	data = pf__calloc(1, size_of_environment(e));
	if (!data)
		return -ENOMEM;
	memcpy(in.args, e->j->call->args, sizeof in.args);
	in.args[envp] = 0;
	in.arg_in_data = 1u << envp;
	in.words = &word;
	in.size = put_environment(e, &in, data, 0, &word);
	in.data = data;
	/* Whom somebody else traces takes the library along. */
	return pf__call_instead(e->j->call, &in) == PF_CALL_UNTRACEABLE ? CONTINUE : ANSWERED;
}

/* argv's own words, and the path, from `at` on. The end. */
static size_t put_words(const struct exec *e, struct pf__inject *in, char *data, size_t at,
			uint32_t *words)
{
	for (unsigned i = 0; i < e->nwords; i++) {
		uint64_t offset = at;

		memcpy(data + 8 * i, &offset, 8);
		words[in->nwords++] = 8 * i;
		at = put(data, at, e->word[i]);
	}
	in->args[0] = at;
	return put(data, at, e->path);
}

/* data: the new argv and the new environment, where there are such, argv's own words, the path. */
static int64_t exec_changed(struct exec *e)
{
	PF_AUTO_FREE uint64_t *argv = e->nwords ? pf__malloc(MAX_ARGS * sizeof *argv) : NULL;
	PF_AUTO_FREE char *data = NULL;
	uint32_t words[2 * MAX_DEPTH + 2];
	struct pf__inject in = {
	    .nr = __NR_execve, .fd = -1, .args = {0, e->argv, e->envp}, .arg_in_data = 1 << 0};
	size_t size = strlen(e->path) + 1 + size_of_environment(e), at = 0;
	ssize_t n = 0;

	if (e->nwords && !argv)
		return -ENOMEM;
	if (e->nwords) {
		n = read_argv(e, argv, MAX_ARGS);
		if (n < 0)
			return n;
		in.args[1] = 0;
		in.arg_in_data |= 1 << 1;
		at = ((size_t)n + e->nwords + 1) * 8;
	}
	for (unsigned i = 0; i < e->nwords; i++)
		size += strlen(e->word[i]) + 1;
	data = pf__calloc(1, at + size);
	if (!data)
		return -ENOMEM;
	memcpy(data + (size_t)8 * e->nwords, argv ? argv : &e->argv, (size_t)n * 8);
	if (e->env.entry) {
		in.args[2] = at;
		in.arg_in_data |= 1 << 2;
		at = put_environment(e, &in, data, at, words);
	}
	in.size = put_words(e, &in, data, at, words);
	in.data = data;
	in.words = words;
	execute_by(e, &in);
	call_instead(e->j, &in, "executed", e->given);
	return ANSWERED;
}

static int64_t exec_path(struct exec *e)
{
	int err;

	if (!e->nwords && !e->changed)
		return exec_unchanged(e);
	err = find_environment(e);
	return err ? err : exec_changed(e);
}

/* ---- finding out ----------------------------------------------------------------------------- */

static int read_head(int fd, char head[HEAD_SIZE + 1])
{
	ssize_t n = pread(fd, head, HEAD_SIZE, 0);

	if (n < 0)
		return -errno;
	memset(head + n, 0, HEAD_SIZE + 1 - (size_t)n);
	return 0;
}

/* e->p leads inside: its head, and what is to be executed for it should it be no script. */
static int head_inside(struct exec *e, char head[HEAD_SIZE + 1])
{
	struct object *o;
	int err = job_view(e->j, e->p.m);

	if (!err)
		err = object_for_exec(e->j, &e->p, &o);
	if (err)
		return err;
	e->object[e->nobjects++] = o;
	e->fd = o->fd;
	e->suits = preload_suits(o->fd);
	err = link_name(o, base_of(e->nwords ? e->word[0] : e->p.path), e->path);
	if (!err)
		err = read_head(o->fd, head);
	e->changed = true;
	return err;
}

static int head_outside(struct exec *e, char head[HEAD_SIZE + 1])
{
	PF_AUTO_CLOSE int fd = open(e->p.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	memset(head, 0, HEAD_SIZE + 1);
	strcpy(e->path, e->p.path);
	e->fd = -1;
	e->suits = fd < 0 || preload_suits(fd);
	e->changed |= e->p.detour || e->nwords;
	/* A directory, a fifo: the kernel says what it thinks of that. */
	if (fd >= 0 && read_head(fd, head))
		memset(head, 0, HEAD_SIZE + 1);
	return 0;
}

/* Does the program there, or the interpreter of that script, suit the preloaded library? */
static bool suits_at(const char *path, int depth)
{
	PF_AUTO_CLOSE int way = open(path, O_PATH | O_CLOEXEC);
	PF_AUTO_CLOSE int fd = -1;
	char head[HEAD_SIZE + 1], *interp, *arg;
	struct stat st;

	/* To open a device may do something. */
	if (way >= 0 && !fstat(way, &st) && S_ISREG(st.st_mode))
		fd = fd_reopen(way, O_RDONLY);
	if (fd < 0 || read_head(fd, head))
		return true;
	if (parse_script(head, &interp, &arg) > 0)
		return depth > 1 ? suits_at(interp, depth - 1) : true;
	return preload_suits(fd);
}

/* Nothing of ours has to do with it. */
static int64_t exec_elsewhere(struct exec *e)
{
	char path[PATH_MAX + 64];
	int tid = (int)e->j->call->tid;

	if (!e->j->r->preload_path)
		return CONTINUE;
	if (e->given[0] == '/')
		snprintf(path, sizeof path, "%s", e->given);
	else if (e->dirfd == AT_FDCWD)
		snprintf(path, sizeof path, "/proc/%d/cwd/%s", tid, e->given);
	else
		snprintf(path, sizeof path, "/proc/%d/fd/%d%s%s", tid, e->dirfd,
			 e->given[0] ? "/" : "", e->given);
	e->suits = suits_at(path, MAX_DEPTH);
	return exec_unchanged(e);
}

/* An interpreter outside, of a script outside: the kernel finds both by itself. */
static bool kernel_can(const struct exec *e, bool was_inside)
{
	return !was_inside && !e->p.m && !e->p.detour && !e->nwords;
}

static int find_interpreter(struct exec *e, const char *interp)
{
	place_clear(&e->p);
	return place_find(e->j, AT_FDCWD, interp, PLACE_FOLLOW | PLACE_CAREFUL, &e->p);
}

static int64_t resolve(struct exec *e)
{
	char head[HEAD_SIZE + 1], *interp, *arg;
	char path[PATH_MAX];

	strcpy(path, e->dirfd == AT_FDCWD || e->given[0] == '/' ? e->given : e->p.path);
	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		bool inside = e->p.m, detour = e->p.detour;
		int got = inside ? head_inside(e, head) : head_outside(e, head);

		if (got)
			return got;
		got = parse_script(head, &interp, &arg);
		if (got <= 0)
			return got ? got : exec_path(e);
		got = find_interpreter(e, interp);
		if (got)
			return got;
		if (!detour && kernel_can(e, inside)) {
			e->suits = suits_at(e->p.path, MAX_DEPTH);
			return exec_unchanged(e);
		}
		got = prepend(e, interp, arg, e->nwords ? e->word[0] : path);
		if (got)
			return got;
	}
	return -ELOOP;
}

/* Its server may have it open for writing, whatever programs have. */
static int copy_of_native(struct exec *e, const struct object *held)
{
	bool cloexec = fd_flags(e->j->call, e->dirfd) & O_CLOEXEC;
	int fd = hold_reopen(held, O_RDONLY), err;

	if (fd < 0)
		return fd;
	err = pf__call_replace_fd(e->j->call, fd, e->dirfd, cloexec);
	close(fd);
	return err;
}

/* By descriptor: the kernel has it, if it is filled. */
static int64_t exec_descriptor(struct exec *e)
{
	struct object *o = NULL;
	int64_t result = job_view(e->j, e->p.m);

	if (!result)
		result = object_for_exec(e->j, &e->p, &o);
	if (!result && e->p.o->through)
		result = placeholder_replace(e->j, e->p.o, e->dirfd);
	if (!result && e->p.o->native)
		result = copy_of_native(e, o);
	if (!result)
		e->suits = preload_suits(o->fd);
	object_put(o);
	return result ? result : exec_unchanged(e);
}

static int64_t do_exec(struct exec *e, const char *given)
{
	unsigned flags = PLACE_CAREFUL | (e->flags & AT_SYMLINK_NOFOLLOW ? 0 : PLACE_FOLLOW) |
			 (e->flags & AT_EMPTY_PATH ? PLACE_EMPTY : 0);
	int err = place_find(e->j, e->dirfd, given, flags, &e->p);

	if (err)
		return err;
	if (e->p.o && !e->p.magic)
		return exec_descriptor(e);
	if (!e->p.m && !*given)
		return exec_elsewhere(e);
	if (e->p.o) /* /proc/self/exe and the like */
		object_path(e->p.o, e->p.path, PATH_MAX);
	return resolve(e);
}

enum pf__call_end on_exec(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	bool at = call->nr == __NR_execveat, no_mount, idle = nothing_is_ours(j.r);
	const uint64_t *a = call->args + at;
	char given[PATH_MAX];
	struct exec *e;
	int64_t result;

	flush_closed_quick(j.r);
	no_mount = !at && pf__devices_no_mount(j.r->devices, NULL);
	if ((idle && !no_mount && !j.r->preload_path) || job_read_path(&j, a[0], given) < 0)
		return call_end(&j, CONTINUE);
	if (no_mount && pf__is_fusermount(given))
		return call_end(&j, exec_fusermount(&j));
	if (idle && !j.r->preload_path)
		return call_end(&j, CONTINUE);
	e = pf__calloc(1, sizeof *e);
	if (!e)
		return call_end(&j, -ENOMEM);
	e->j = &j;
	e->dirfd = at ? (int)call->args[0] : AT_FDCWD;
	e->argv = a[1];
	e->envp = a[2];
	e->flags = at ? (int)call->args[4] : 0;
	e->given = given;
	result = idle ? exec_elsewhere(e) : do_exec(e, given);
	place_clear(&e->p);
	environment_free(&e->env);
	for (unsigned i = 0; i < e->nwords; i++)
		pf__free(e->word[i]);
	for (unsigned i = 0; i < e->nobjects; i++)
		object_put(e->object[i]);
	pf__free(e);
	return call_end(&j, result);
}
