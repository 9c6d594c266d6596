/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every trapped call: where it has its path and who answers it; and the way that all of them go.
 */
#include "run/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- one call -------------------------------------------------------------------------------- */

void job_begin(struct job *j)
{
	j->places = atomic_load(&j->r->shared->places);
	j->shown = __atomic_load_n(&j->r->shared->shown.gen, __ATOMIC_SEQ_CST);
}

struct who *job_who(struct job *j)
{
	if (!j->who)
		j->who = who_of(j->r, j->call);
	return j->who;
}

int job_view(struct job *j, struct mount *m)
{
	int err;

	if (j->view_of == m)
		return 0;
	if (!job_who(j))
		return -ESRCH;
	err = mount_wait(m);
	if (err)
		return err;
	pf__view_of(&j->view, atomic_load(&m->fs), &j->who->caller);
	j->view_of = m;
	return 0;
}

void job_end(struct job *j)
{
	who_put(j->r, pf__take(j->who, NULL));
}

enum pf__call_end call_end(struct job *j, int64_t result)
{
	struct pf__call *call = j->call;

	job_end(j);
	if (result == PASS)
		return PF_CALL_PASS;
	if (result == CONTINUE)
		pf__call_continue(call);
	else if (result != ANSWERED)
		pf__call_return(call, result == -PF_ELINK ? -ELOOP : result);
	return PF_CALL_TAKEN;
}

ssize_t job_read_path(struct job *j, uint64_t address, char *path)
{
	return pf__call_peek_string(j->call, address, path, PATH_MAX);
}

/* ---- paths ----------------------------------------------------------------------------------- */

static unsigned flags_of(const struct spec *s, const struct pf__call *call)
{
	uint64_t at = s->flags >= 0 ? call->args[(int)s->flags] : 0;
	unsigned flags = 0;

	if (s->path_fn == on_open) {
		int fl = open_flags(call);

		return fl & O_NOFOLLOW || (fl & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)
			   ? 0
			   : PLACE_FOLLOW;
	}
	if (s->how & HOW_FOLLOW || (s->how & HOW_NOFOLLOW_AT && !(at & AT_SYMLINK_NOFOLLOW)) ||
	    (s->how & HOW_FOLLOW_AT && at & AT_SYMLINK_FOLLOW))
		flags |= PLACE_FOLLOW;
	if (s->how & HOW_EMPTY || (s->how & HOW_EMPTY_AT && at & AT_EMPTY_PATH))
		flags |= PLACE_EMPTY;
	return flags;
}

bool nothing_is_ours(const struct pf__run *r)
{
	return pf__shared_idle(r->shared);
}

/*
 * The quick way out for what has nothing to do with us. A path relative to an outside directory is
 * made absolute for that (in abs), and *path then points there.
 */
static bool quickly_outside(struct job *j, int dirfd, const char **path, size_t *n, char *abs,
			    unsigned flags)
{
	struct object *dir;

	if (nothing_is_ours(j->r))
		return !pf__shared_special(*path, *n);
	if ((*path)[0] != '/') {
		size_t k;

		if (dirfd != AT_FDCWD || !*n || !job_who(j) ||
		    who_cwd(j->r, j->who, &dir, abs, PATH_MAX))
			return false;
		object_put(dir);
		k = dir ? 0 : strlen(abs);
		if (!k || abs[0] != '/' || k + *n + 2 > PATH_MAX)
			return false;
		abs[k] = '/';
		memcpy(abs + k + 1, *path, *n + 1);
		*path = abs;
		*n += k + 1;
	}
	return place_known_outside(j, *path, *n, flags & PLACE_FOLLOW);
}

static int64_t lead_there(struct job *j, const struct spec *s, const struct place *p)
{
	const unsigned index = (unsigned)s->path;
	const char *text = p->path;

	if (s->how & HOW_CWD)
		who_cwd_changes(j->r); /* before it goes on, and when it has */
	redirect_paths(j, &index, &text, 1);
	if (s->how & HOW_CWD)
		who_cwd_changes(j->r);
	return ANSWERED;
}

/* Inside, or an object. A symlink on the way sends us round again, more carefully. */
static int64_t answer(struct job *j, const struct spec *s, int dirfd, const char *path,
		      unsigned flags, struct place *p)
{
	int64_t result = -PF_ELINK;

	for (int i = 0; i < 4 && result == -PF_ELINK; i++) {
		int err;

		if (p->m) {
			err = is_poll_hack(p) ? 0 : job_view(j, p->m);
			result = err ? err : s->path_fn(j, p, s);
		} else {
			return p->detour ? lead_there(j, s, p) : CONTINUE;
		}
		if (result != -PF_ELINK)
			break;
		place_clear(p);
		err = place_find(j, dirfd, path, flags | PLACE_CAREFUL, p);
		if (err)
			return err;
	}
	return result;
}

/* The kernel does a call elsewhere that may change where paths lead. */
static int64_t let_pass(struct job *j, const struct spec *s)
{
	if (s->how & HOW_LINKS)
		places_change(j->r);
	if (s->how & HOW_CWD)
		who_cwd_changes(j->r);
	return CONTINUE;
}

/* No path, but a descriptor: what fstat(3) does. */
static int64_t do_descriptor(struct job *j, const struct spec *s, int fd, struct place *p)
{
	int err;

	p->o = object_of_fd(j->r, j->call, fd);
	if (!p->o)
		return CONTINUE;
	p->m = mount_get(p->o->m);
	p->magic = p->detour = false;
	p->path[0] = '\0';
	err = job_view(j, p->m);
	return err ? err : s->path_fn(j, p, s);
}

/*
 * Without a path the descriptor is meant: by the calls that set times always, but not the working
 * directory; by those that look if they say so. Else the kernel says EFAULT.
 */
static bool null_is_fd(const struct spec *s, const struct pf__call *call, int dirfd)
{
	if (!(s->how & HOW_NULL_FD) || call->args[(int)s->path])
		return false;
	return s->path_fn == on_stat ? (call->args[(int)s->flags] & AT_EMPTY_PATH) != 0
				     : dirfd != AT_FDCWD;
}

static int64_t do_path(struct job *j, const struct spec *s, char *buf, char *abs, struct place *p)
{
	struct pf__call *call = j->call;
	int dirfd = s->dirfd >= 0 ? (int)call->args[(int)s->dirfd] : AT_FDCWD;
	unsigned flags = flags_of(s, call);
	const char *path = buf;
	ssize_t got;
	size_t n;
	int err;

	if (null_is_fd(s, call, dirfd)) {
		buf[0] = '\0';
		got = 0;
		flags |= PLACE_EMPTY;
	} else {
		got = job_read_path(j, call->args[(int)s->path], buf);
	}
	if (got < 0)
		return CONTINUE; /* the kernel says what is wrong */
	n = (size_t)got;
	if (!n && flags & PLACE_EMPTY && dirfd != AT_FDCWD)
		return do_descriptor(j, s, dirfd, p);
	if (quickly_outside(j, dirfd, &path, &n, abs, flags))
		return let_pass(j, s);
	err = place_find(j, dirfd, path, flags, p);
	if (err)
		return err;
	if (p->m)
		return answer(j, s, dirfd, path, flags, p);
	if (p->detour)
		return lead_there(j, s, p);
	if (s->path_fn == on_open || s->path_fn == on_readlink) {
		int64_t result = open_special(j, p, s);

		if (result != CONTINUE)
			return result;
	}
	/* In /proc a name means this now and that then. */
	if (!p->fleeting && !pf__shared_special(path, n) && strncmp(p->path, "/proc/", 6) != 0)
		place_know_outside(j, dirfd, path, n, flags & PLACE_FOLLOW);
	return let_pass(j, s);
}

static enum pf__call_end on_path(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	struct place p;
	char buf[PATH_MAX], abs[PATH_MAX];
	int64_t result;

	p.m = NULL;
	p.o = NULL;
	job_begin(&j);
	flush_closed_quick(j.r);
	result = do_path(&j, spec_of(call->nr), buf, abs, &p);
	place_clear(&p);
	return call_end(&j, result);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

bool fdinfo_read(const struct pf__call *call, int fd, char *text, size_t size)
{
	PF_AUTO_CLOSE int info = -1;
	char name[64];
	ssize_t n;

	snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", (int)call->tid, fd);
	info = open(name, O_RDONLY | O_CLOEXEC);
	n = info < 0 ? -1 : read(info, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

int fdinfo_flags(const char *path)
{
	PF_AUTO_CLOSE int info = open(path, O_RDONLY | O_CLOEXEC);
	char text[512], *flags;
	ssize_t n;

	n = info < 0 ? -1 : read(info, text, sizeof text - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	flags = strstr(text, "flags:");
	return flags ? (int)strtoul(flags + 6, NULL, 8) : 0;
}

int fd_flags(const struct pf__call *call, int fd)
{
	char name[64];

	snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", (int)call->tid, fd);
	return fdinfo_flags(name);
}

/* O_PATH descriptors do for a few calls only. */
static bool is_path_only(const struct pf__call *call, int fd)
{
	return fd_flags(call, fd) & O_PATH;
}

static int64_t answer_fd(struct job *j, const struct spec *s, struct object *o)
{
	int err = job_view(j, o->m);

	if (err)
		return err;
	if (o->as_path && s->fd_fn != on_fstat && s->fd_fn != on_fstatfs &&
	    is_path_only(j->call, (int)j->call->args[(int)s->dirfd]))
		return -EBADF;
	return s->fd_fn(j, o);
}

static enum pf__call_end on_fd(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	const struct spec *s = spec_of(call->nr);
	struct object *o;
	int64_t result;

	if (!atomic_load_explicit(&j.r->shared->given, memory_order_relaxed))
		return call_end(&j, CONTINUE);
	job_begin(&j);
	flush_closed_quick(j.r);
	o = object_of_fd(j.r, call, (int)call->args[(int)s->dirfd]);
	if (!o)
		return call_end(&j, CONTINUE);
	result = answer_fd(&j, s, o);
	object_put(o);
	return call_end(&j, result);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define PATH(name, fn, dirfd, path, flags, how)                                                    \
	{                                                                                          \
		__NR_##name, fn, NULL, NULL, dirfd, path, flags, how                               \
	}
#define FD(name, fn)                                                                               \
	{                                                                                          \
		__NR_##name, NULL, fn, NULL, 0, -1, -1, 0                                          \
	}
#define OWN(name, fn)                                                                              \
	{                                                                                          \
		__NR_##name, NULL, NULL, fn, -1, -1, -1, 0                                         \
	}
/* Newer than Debian 12's headers. */
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_statmount
#define __NR_statmount 457
#define __NR_listmount 458
#endif
#ifndef __NR_setxattrat
#define __NR_setxattrat    463
#define __NR_getxattrat    464
#define __NR_listxattrat   465
#define __NR_removexattrat 466
#endif
#ifndef __NR_open_tree_attr
#define __NR_open_tree_attr 467
#endif
#ifndef __NR_file_getattr
#define __NR_file_getattr 468
#define __NR_file_setattr 469
#endif

static const struct spec specs[] = {
#ifdef __NR_open
    PATH(open, on_open, -1, 0, -1, HOW_FOLLOW),
    PATH(creat, on_open, -1, 0, -1, HOW_FOLLOW),
    PATH(stat, on_stat, -1, 0, -1, HOW_FOLLOW),
    PATH(lstat, on_stat, -1, 0, -1, 0),
    PATH(access, on_access, -1, 0, -1, HOW_FOLLOW),
    PATH(readlink, on_readlink, -1, 0, -1, 0),
    PATH(mkdir, on_mkdir, -1, 0, -1, 0),
    PATH(rmdir, on_unlink, -1, 0, -1, 0),
    PATH(unlink, on_unlink, -1, 0, -1, 0),
    PATH(mknod, on_mknod, -1, 0, -1, 0),
    PATH(chmod, on_chmod, -1, 0, -1, HOW_FOLLOW),
    PATH(chown, on_chown, -1, 0, -1, HOW_FOLLOW),
    PATH(lchown, on_chown, -1, 0, -1, 0),
    PATH(utime, on_utimens, -1, 0, -1, HOW_FOLLOW),
    PATH(utimes, on_utimens, -1, 0, -1, HOW_FOLLOW),
    PATH(futimesat, on_utimens, 0, 1, -1, HOW_FOLLOW | HOW_NULL_FD),
    PATH(symlink, on_symlink, -1, 1, -1, HOW_LINKS),
    OWN(rename, on_rename),
    OWN(link, on_link),
    FD(getdents, on_getdents),
#endif
    PATH(openat, on_open, 0, 1, -1, HOW_FOLLOW),
    OWN(openat2, on_openat2),
    PATH(newfstatat, on_stat, 0, 1, 3, HOW_NOFOLLOW_AT | HOW_EMPTY_AT | HOW_NULL_FD),
    PATH(statx, on_stat, 0, 1, 2, HOW_NOFOLLOW_AT | HOW_EMPTY_AT | HOW_NULL_FD),
    FD(fstat, on_fstat),
    PATH(faccessat, on_access, 0, 1, -1, HOW_FOLLOW),
    PATH(faccessat2, on_access, 0, 1, 3, HOW_NOFOLLOW_AT | HOW_EMPTY_AT),
    PATH(readlinkat, on_readlink, 0, 1, -1, HOW_EMPTY),
    PATH(mkdirat, on_mkdir, 0, 1, -1, 0),
    PATH(unlinkat, on_unlink, 0, 1, -1, 0),
    PATH(mknodat, on_mknod, 0, 1, -1, 0),
    PATH(fchmodat, on_chmod, 0, 1, -1, HOW_FOLLOW),
    PATH(fchmodat2, on_chmod, 0, 1, 3, HOW_NOFOLLOW_AT | HOW_EMPTY_AT),
    FD(fchmod, on_fchmod),
    PATH(fchownat, on_chown, 0, 1, 4, HOW_NOFOLLOW_AT | HOW_EMPTY_AT),
    FD(fchown, on_fchown),
    PATH(utimensat, on_utimens, 0, 1, 3, HOW_NOFOLLOW_AT | HOW_EMPTY_AT | HOW_NULL_FD),
    PATH(truncate, on_truncate, -1, 0, -1, HOW_FOLLOW),
    FD(ftruncate, on_ftruncate),
    FD(fallocate, on_fallocate),
    PATH(symlinkat, on_symlink, 1, 2, -1, HOW_LINKS),
#ifdef __NR_renameat
    OWN(renameat, on_rename),
#endif
    OWN(renameat2, on_rename),
    OWN(linkat, on_link),
    PATH(getxattr, on_xattr, -1, 0, -1, HOW_FOLLOW),
    PATH(lgetxattr, on_xattr, -1, 0, -1, 0),
    FD(fgetxattr, on_fxattr),
    PATH(setxattr, on_xattr, -1, 0, -1, HOW_FOLLOW),
    PATH(lsetxattr, on_xattr, -1, 0, -1, 0),
    FD(fsetxattr, on_fxattr),
    PATH(listxattr, on_xattr, -1, 0, -1, HOW_FOLLOW),
    PATH(llistxattr, on_xattr, -1, 0, -1, 0),
    FD(flistxattr, on_fxattr),
    PATH(removexattr, on_xattr, -1, 0, -1, HOW_FOLLOW),
    PATH(lremovexattr, on_xattr, -1, 0, -1, 0),
    FD(fremovexattr, on_fxattr),
    PATH(statfs, on_statfs, -1, 0, -1, HOW_FOLLOW),
    FD(fstatfs, on_fstatfs),
    PATH(chdir, on_chdir, -1, 0, -1, HOW_FOLLOW | HOW_CWD),
    OWN(fchdir, on_fchdir),
    OWN(getcwd, on_getcwd),
    OWN(chroot, on_chroot),
    FD(getdents64, on_getdents),
    FD(fsync, on_fsync),
    FD(fdatasync, on_fsync),
    FD(syncfs, on_fsync),
    OWN(sync, on_sync),
    OWN(msync, on_msync),
    PATH(inotify_add_watch, on_refuse, -1, 1, -1, HOW_FOLLOW),
    PATH(fanotify_mark, on_refuse, 3, 4, -1, HOW_FOLLOW | HOW_NULL_FD),
    PATH(name_to_handle_at, on_refuse, 0, 1, 4, HOW_FOLLOW_AT | HOW_EMPTY_AT),
    PATH(open_tree, on_refuse, 0, 1, 2, HOW_NOFOLLOW_AT | HOW_EMPTY_AT),
    PATH(swapon, on_refuse, -1, 0, -1, HOW_FOLLOW),
    PATH(acct, on_refuse, -1, 0, -1, HOW_FOLLOW),
    OWN(bind, on_bind),
    OWN(connect, on_bind),
    OWN(io_setup, on_io_setup),
    OWN(execve, on_exec),
    OWN(execveat, on_exec),
    OWN(umount2, on_umount),
    OWN(mount, on_mount),
    /* Who the caller is, and where, changes. */
    OWN(setuid, on_creds),
    OWN(setgid, on_creds),
    OWN(setreuid, on_creds),
    OWN(setregid, on_creds),
    OWN(setresuid, on_creds),
    OWN(setresgid, on_creds),
    OWN(setfsuid, on_creds),
    OWN(setfsgid, on_creds),
    OWN(setgroups, on_creds),
    OWN(capset, on_creds),
    OWN(umask, on_creds),
    OWN(unshare, on_creds),
    OWN(setns, on_creds),
};
enum { N_SPECS = sizeof specs / sizeof specs[0], MAX_NR = 512 };

/* Calls that would get past us, and newer ones for which there are older ones. */
static const int refused[] = {
    __NR_io_uring_setup, __NR_open_by_handle_at, __NR_statmount,    __NR_listmount,
    __NR_setxattrat,     __NR_getxattrat,        __NR_listxattrat,  __NR_removexattrat,
    __NR_open_tree_attr, __NR_file_getattr,      __NR_file_setattr,
};
enum { N_REFUSED = sizeof refused / sizeof refused[0] };

/* Of fcntl() only these are ours to answer, which costs other fcntl()s next to nothing. */
#define FCNTL(mask, command)                                                                       \
	{                                                                                          \
		.nr = __NR_fcntl, .fn = on_placeholder, .ntests = 1, .tests = {                    \
			{1, (mask), (command)}                                                     \
		}                                                                                  \
	}
static const struct pf__trap fcntl_traps[] = {
    FCNTL(0xffffffff, F_SETLEASE),   FCNTL(0xffffffff, F_GETLK),
    FCNTL(0xfffffffe, F_SETLK),     /* and F_SETLKW */
    FCNTL(0xfffffffe, F_OFD_GETLK), /* and F_OFD_SETLK */
    FCNTL(0xffffffff, F_OFD_SETLKW),
};
_Static_assert(F_SETLKW == (F_SETLK | 1) && F_OFD_SETLK == (F_OFD_GETLK | 1), "as pairs");
enum { N_FCNTL = sizeof fcntl_traps / sizeof fcntl_traps[0] };
static const struct pf__trap flock_trap = {.nr = __NR_flock, .fn = on_placeholder};

/* Room for those of placeholders. */
enum { N_MORE = 32 };

static struct pf__trap traps[N_SPECS + N_REFUSED + N_FCNTL + 1 + N_MORE];
static size_t n_traps;
static unsigned first_number;
static const struct spec *by_number[MAX_NR];

const struct spec *spec_of(int nr)
{
	return by_number[nr];
}

static void fill_tables(void)
{
	for (size_t i = 0; i < N_SPECS; i++) {
		const struct spec *s = &specs[i];

		traps[i].nr = s->nr;
		traps[i].fn = s->own_fn ? s->own_fn : s->path_fn ? on_path : on_fd;
		by_number[s->nr] = s;
	}
	for (size_t i = 0; i < N_REFUSED; i++) {
		traps[N_SPECS + i].nr = refused[i];
		traps[N_SPECS + i].refuse = ENOSYS;
	}
	n_traps = N_SPECS + N_REFUSED;
	traps[n_traps++] = flock_trap;
	for (size_t i = 0; i < N_FCNTL; i++)
		traps[n_traps++] = fcntl_traps[i];
	first_number = placeholder_first();
	n_traps += placeholder_traps(traps + n_traps, N_MORE, first_number);
}

const struct pf__trap *run_traps(struct pf__run *r, size_t *n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fill_tables);
	r->first_number = first_number;
	atomic_store(&r->shared->first_number, first_number);
	*n = n_traps;
	return traps;
}
