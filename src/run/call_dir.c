/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directories: a real, empty one stands for each that a program opens or works in, so that the
 * kernel itself keeps working directories and descriptors, through fork and exec. What is in them
 * is told here. How far a descriptor has read is kept where the kernel keeps it, too: the position
 * of the stand-in is the server's cookie, shared by dup and fork, moved by lseek.
 */
#include "run/internal.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIST_MAX 65536 /* bytes of one answer */

/* ---- the working directory ------------------------------------------------------------------- */

int64_t on_chdir(struct job *j, struct place *p, const struct spec *s)
{
	struct object *o = p->o;
	struct pf_file *file;
	int err, fd;

	(void)s;
	if (o && o->kind != OBJECT_DIR)
		return -ENOTDIR;
	if (!o) {
		err = pf_open(&j->view, place_inside(p), O_PATH | O_DIRECTORY, 0, &file);
		if (err)
			return err;
		err = pf_access(&j->view, place_inside(p), X_OK);
		if (!err) {
			size_t n = strlen(p->path);

			while (n > 1 && p->path[n - 1] == '/')
				p->path[--n] = '\0';
			err = object_of_directory(j->r, p->m, file, p->path, &o);
		}
		pf_close(file);
		if (err)
			return err;
	}
	flush_given(j->r);
	atomic_store(&j->r->given_dirs, 1);
	o->used = run_now_ms();
	o->worked_in = true;
	who_cwd_changes(j->r); /* it goes on before we come back here */
	fd = reopen_directory(o, 0);
	if (fd >= 0) {
		redirect_chdir(j, fd, p->path);
		close(fd);
	}
	who_cwd_changes(j->r);
	if (!p->o)
		object_put(o);
	return fd < 0 ? fd : ANSWERED;
}

enum pf__call_end on_fchdir(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};

	struct object *o = object_of_fd(j.r, call, (int)call->args[0]);

	/* A stand-in is as good as any directory. */
	if (o)
		o->worked_in = true;
	object_put(o);
	who_cwd_changes(j.r);
	return call_end(&j, CONTINUE);
}

enum pf__call_end on_getcwd(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	char path[PATH_MAX];
	struct object *o;
	int64_t result;
	size_t n;

	if (!atomic_load(&j.r->given_dirs))
		return call_end(&j, CONTINUE);
	o = object_of_proc(j.r, call->tid, "cwd");
	if (!o)
		return call_end(&j, CONTINUE);
	result = object_path(o, path, sizeof path);
	object_put(o);
	n = strlen(path) + 1;
	if (!result && n > call->args[1])
		result = -ERANGE;
	if (!result)
		result = pf__call_write(call, call->args[0], path, n);
	return call_end(&j, result ? result : (int64_t)n);
}

/* ---- listing --------------------------------------------------------------------------------- */

struct entry64 {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

/* getdents(2): the type stands behind the name. */
struct entry_old {
	unsigned long ino, off;
	unsigned short reclen;
	char name[];
};

/* One entry into buf: its size; 0: no room. */
static size_t put_entry(char *buf, size_t room, const struct pf_dirent *e, bool old)
{
	size_t head = old ? offsetof(struct entry_old, name) : offsetof(struct entry64, name);
	size_t n = (head + e->namelen + (old ? 2 : 1) + 7) & ~(size_t)7;

	if (n > room)
		return 0;
	memset(buf, 0, n);
	if (old) {
		struct entry_old *o = (struct entry_old *)buf;

		o->ino = e->ino;
		o->off = e->off;
		o->reclen = (unsigned short)n;
		memcpy(o->name, e->name, e->namelen);
		buf[n - 1] = (char)e->type;
	} else {
		struct entry64 *o = (struct entry64 *)buf;

		o->ino = e->ino;
		o->off = (int64_t)e->off;
		o->reclen = (unsigned short)n;
		o->type = e->type;
		memcpy(o->name, e->name, e->namelen);
	}
	return n;
}

/*
 * Positions are not negative, cookies are 64 bits of the server's own. One that is no position gets
 * a number in this range, which is good until the directory is read from its beginning.
 */
#define FAR_BEGIN (1ull << 62)

static uint64_t cookie_at(const struct object *o, uint64_t pos)
{
	return pos >= FAR_BEGIN && pos - FAR_BEGIN < o->nfar ? o->far[pos - FAR_BEGIN] : pos;
}

/* (uint64_t)-1: out of memory. Under o->lock. */
static uint64_t position_of(struct object *o, uint64_t cookie)
{
	if (cookie <= INT64_MAX)
		return cookie;
	if (o->nfar && o->far[o->nfar - 1] == cookie)
		return FAR_BEGIN + o->nfar - 1;
	if (!(o->nfar & (o->nfar - 1))) { /* no room */
		size_t room = o->nfar ? 2 * (size_t)o->nfar : 1;
		uint64_t *more = pf__realloc(o->far, room * sizeof *more);

		if (!more)
			return (uint64_t)-1;
		o->far = more;
	}
	o->far[o->nfar] = cookie;
	return FAR_BEGIN + o->nfar++;
}

/* Entries from position *at on. Bytes in buf, or negative errno. Under o->lock. */
static ssize_t list(struct job *j, struct object *o, uint64_t *at, char *buf, size_t room, bool old)
{
	char path[PATH_MAX];
	struct pf__showing showing;
	struct pf_dirent e;
	size_t have = 0;
	bool shown;
	int got = 0;

	if (*at == 0)
		o->nfar = 0;
	if (o->listing_at != *at || *at == 0) {
		int err = pf_seekdir(o->listing, cookie_at(o, *at));

		if (err)
			return err;
	}
	shown = shared_show_begin(j, o, &showing, path);
	for (;;) {
		size_t n;

		got = pf_readdir(o->listing, &e);
		if (got <= 0)
			break;
		e.off = position_of(o, e.off);
		n = e.off == (uint64_t)-1 ? 0 : put_entry(buf + have, room - have, &e, old);
		if (!n) {
			pf_seekdir(o->listing, cookie_at(o, *at));
			break;
		}
		have += n;
		*at = e.off;
		if (shown)
			shared_show_name(j, &showing, path, e.name, e.namelen);
	}
	if (shown)
		pf__show_end(&showing);
	o->listing_at = *at;
	if (got > 0 && !have)
		return -EINVAL; /* no room for a single one */
	return have ? (ssize_t)have : got;
}

static int open_listing(struct job *j, struct object *o)
{
	char path[PATH_MAX];
	int err;

	if (o->listing)
		return 0;
	err = object_path(o, path, sizeof path);
	if (!err)
		err = pf_open(&j->view, path[o->m->len] ? path + o->m->len : "/",
			      O_RDONLY | O_DIRECTORY, 0, &o->listing);
	o->listing_at = (uint64_t)-1;
	return err;
}

/*
 * Where a descriptor stands, and how it is moved. In containers pidfd_getfd() is often forbidden:
 * there /proc tells, and the program does the lseek() itself; or, where it cannot be traced either,
 * it gets another descriptor for its number (which then is no longer the same as its copies).
 */
struct position {
	int fd; /* a copy of the program's; -1: there is none to be had */
	uint64_t at;
	int flags;
};

static int read_position(struct job *j, struct position *pos)
{
	char text[512], *at, *flags;

	if (!fdinfo_read(j->call, (int)j->call->args[0], text, sizeof text))
		return -EBADF;
	at = strstr(text, "pos:");
	flags = strstr(text, "flags:");
	if (!at || !flags)
		return -EBADF;
	pos->at = strtoull(at + 4, NULL, 10);
	pos->flags = (int)strtoul(flags + 6, NULL, 8);
	return 0;
}

static int find_position(struct job *j, const struct object *o, struct position *pos)
{
	struct stat st;
	off_t at;

	pos->fd = pf__call_get_fd_of(j->call, j->who->tgid, (int)j->call->args[0]);
	if (pos->fd == -ENOSYS || pos->fd == -EPERM)
		return read_position(j, pos);
	if (pos->fd < 0)
		return pos->fd;
	/* Another thread may have put something else in its place, that we must not touch. */
	if (fstat(pos->fd, &st) < 0 || st.st_dev != o->dev || st.st_ino != o->ino)
		return -EBADF;
	at = lseek(pos->fd, 0, SEEK_CUR);
	pos->at = (uint64_t)at;
	return at < 0 ? -errno : 0;
}

static int64_t replace_descriptor(struct job *j, struct object *o, const struct position *pos)
{
	PF_AUTO_CLOSE int fd = reopen_directory(o, pos->flags & ~(O_CREAT | O_EXCL | O_TRUNC));

	if (fd < 0)
		return fd;
	if (lseek(fd, (off_t)pos->at, SEEK_SET) < 0)
		return -errno;
	o->strangers = true; /* what is replaced is closed by that */
	return pf__call_replace_fd(j->call, fd, (int)j->call->args[0], pos->flags & O_CLOEXEC);
}

/* To pos->at; the call returns n. */
static int64_t move_position(struct job *j, struct object *o, const struct position *pos, int64_t n)
{
	struct pf__inject in = {.nr = __NR_lseek,
				.args = {j->call->args[0], pos->at, SEEK_SET},
				.fd = -1,
				.has_value = true,
				.value = n,
				.unanswered = true};
	int64_t err;

	if (pos->fd >= 0)
		return lseek(pos->fd, (off_t)pos->at, SEEK_SET) < 0 ? -errno : n;
	if (pf__call_instead(j->call, &in) != PF_CALL_UNTRACEABLE)
		return ANSWERED;
	err = replace_descriptor(j, o, pos);
	return err ? err : n;
}

static int64_t list_from(struct job *j, struct object *o, struct position *pos, bool old)
{
	int count = (int)j->call->args[2];
	size_t room = (size_t)count;
	PF_AUTO_FREE char *buf = NULL;
	ssize_t n;
	int err;

	if (count < 0)
		return -EINVAL;
	if (room > LIST_MAX)
		room = LIST_MAX;
	buf = pf__malloc(room ? room : 1);
	if (!buf)
		return -ENOMEM;
	pthread_mutex_lock(&o->lock);
	err = open_listing(j, o);
	n = err ? err : list(j, o, &pos->at, buf, room, old);
	pthread_mutex_unlock(&o->lock);
	if (n <= 0)
		return n;
	err = pf__call_write(j->call, j->call->args[1], buf, (size_t)n);
	return err ? err : move_position(j, o, pos, n);
}

int64_t on_getdents(struct job *j, struct object *o)
{
	struct position pos = {.fd = -1};
	int64_t result;

	if (o->kind != OBJECT_DIR)
		return -ENOTDIR;
	if (o->gone)
		return -ENOENT;
	result = find_position(j, o, &pos);
	if (!result)
		result = list_from(j, o, &pos, j->call->nr != __NR_getdents64);
	if (pos.fd >= 0)
		close(pos.fd);
	return result;
}
