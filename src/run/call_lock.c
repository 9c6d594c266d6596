/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flock(2) and the fcntl(2)s about locks. Of files whose server keeps locks (FUSE_POSIX_LOCKS,
 * FUSE_FLOCK_LOCKS) all kinds are the library's matter, which asks the server or, for a kind that
 * it does not keep, knows them itself; of others the kernel's.
 */
#include "run/locks.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

struct asked {
	struct job *j;
	struct object *o;
	struct descriptor d;
	struct locker *l;
	struct pf_file *file;
	int cmd;           /* of fcntl(2), or */
	int operation;     /* of flock(2), with cmd 0 */
	struct flock lock; /* counted from the beginning */
};

bool is_lock(const struct pf__call *call)
{
	int cmd = (int)call->args[1];

	return call->nr == __NR_flock ||
	       (call->nr == __NR_fcntl && ((cmd >= F_GETLK && cmd <= F_SETLKW) ||
					   (cmd >= F_OFD_GETLK && cmd <= F_OFD_SETLKW)));
}

/* ---- what is asked --------------------------------------------------------------------------- */

static bool is_posix(const struct asked *a)
{
	return a->cmd >= F_GETLK && a->cmd <= F_SETLKW;
}

static bool is_test(const struct asked *a)
{
	return a->cmd == F_GETLK || a->cmd == F_OFD_GETLK;
}

static bool is_unlock(const struct asked *a)
{
	return a->cmd ? !is_test(a) && a->lock.l_type == F_UNLCK
		      : (a->operation & ~LOCK_NB) == LOCK_UN;
}

static bool waits(const struct asked *a)
{
	return !is_unlock(a) &&
	       (a->cmd ? a->cmd == F_SETLKW || a->cmd == F_OFD_SETLKW : !(a->operation & LOCK_NB));
}

static unsigned kind_of(const struct asked *a)
{
	return a->cmd ? LOCKS_RECORDS : LOCKS_FLOCK;
}

/* All of a file that the program itself has open, of the only kind that it has had. */
static bool is_last_unlock(const struct asked *a)
{
	return is_unlock(a) && a->o->native && !(atomic_load(&a->l->kinds) & ~kind_of(a)) &&
	       (!a->cmd || (!a->lock.l_start && a->lock.l_len == MARKS));
}

/* Of a file that the program itself has open marks lie beyond what anybody locks. */
static int keep_off_marks(struct asked *a)
{
	if (!a->o->native || a->lock.l_len < 0)
		return 0;
	if (a->lock.l_start >= MARKS)
		return -EOVERFLOW;
	if (!a->lock.l_len || a->lock.l_len > MARKS - a->lock.l_start)
		a->lock.l_len = MARKS - a->lock.l_start;
	return 0;
}

/* The kernel knows the position, and how long the file is that is held. */
static int from_beginning(struct asked *a)
{
	off_t base = 0;
	struct stat st;

	if (a->lock.l_whence == SEEK_CUR) {
		base = a->d.pos;
	} else if (a->lock.l_whence == SEEK_END) {
		if (fstat(a->o->fd, &st) < 0)
			return -errno;
		base = st.st_size;
	} else if (a->lock.l_whence != SEEK_SET) {
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, a->lock.l_start, &a->lock.l_start))
		return -EOVERFLOW;
	a->lock.l_whence = SEEK_SET;
	return keep_off_marks(a);
}

static int check_mode(const struct asked *a)
{
	int mode = a->d.flags & O_ACCMODE;

	if (!a->cmd || is_test(a))
		return 0;
	return (a->lock.l_type == F_RDLCK && mode == O_WRONLY) ||
		       (a->lock.l_type == F_WRLCK && mode == O_RDONLY)
		   ? -EBADF
		   : 0;
}

/* 0 or negative errno. */
static int read_call(struct asked *a)
{
	const struct pf__call *call = a->j->call;
	int err;

	if (call->nr == __NR_flock) {
		a->operation = (int)call->args[1];
		return 0;
	}
	a->cmd = (int)call->args[1];
	err = pf__call_read(call, call->args[2], &a->lock, sizeof a->lock);
	if (!err)
		err = from_beginning(a);
	return err ? err : check_mode(a);
}

/* ---- F_GETLK --------------------------------------------------------------------------------- */

/* "NSpid:\t17\t3": its numbers from our name space inwards. How many; 0: it is gone. */
static unsigned numbers_of(pid_t pid, pid_t *numbers, unsigned room)
{
	char name[64], text[8192], *p;
	PF_AUTO_CLOSE int fd = -1;
	unsigned n = 0;
	ssize_t got;

	snprintf(name, sizeof name, "/proc/%d/status", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (got <= 0)
		return 0;
	text[got] = '\0';
	p = strstr(text, "\nNSpid:");
	for (p = p ? p + 7 : text + got; n < room; n++) {
		char *end;

		numbers[n] = (pid_t)strtol(p, &end, 10);
		if (end == p || memchr(p, '\n', (size_t)(end - p)))
			break;
		p = end;
	}
	return n;
}

/* What the caller knows that process by; 0: it is none that he can see. */
static pid_t pid_for(const struct pf__call *call, pid_t pid)
{
	enum { DEPTH = 33 };
	pid_t his[DEPTH], own[DEPTH];
	unsigned level = numbers_of(call->tid, own, DEPTH);

	if (level <= 1)
		return pid;
	return numbers_of(pid, his, DEPTH) >= level ? his[level - 1] : 0;
}

static int64_t tell(struct asked *a)
{
	const struct pf__call *call = a->j->call;
	struct flock out;
	int err = pf__call_read(call, call->args[2], &out, sizeof out);

	if (err)
		return err;
	if (a->lock.l_type != F_UNLCK) {
		out = a->lock;
		if (a->o->native && out.l_start + out.l_len >= MARKS)
			out.l_len = 0;
		/* An open file has no process; nor has a lock that the library says is one's. */
		out.l_pid = a->cmd == F_OFD_GETLK || out.l_pid <= 0 ? -1 : pid_for(call, out.l_pid);
	}
	out.l_type = a->lock.l_type;
	return pf__call_write(call, call->args[2], &out, sizeof out);
}

static int64_t test(struct asked *a)
{
	int err = locker_file(a->j, a->l, a->d.flags & O_ACCMODE, &a->file);

	if (!err)
		err = pf__lock_as(&a->j->view, a->file, a->cmd, &a->lock);
	return err ? err : tell(a);
}

/* ---- locking --------------------------------------------------------------------------------- */

static int ask(struct asked *a)
{
	return a->cmd ? pf__lock_as(&a->j->view, a->file, a->cmd, &a->lock)
		      : pf__flock_as(&a->j->view, a->file, a->operation);
}

/* The caller has not got what the server has granted. */
static void give_back(struct asked *a)
{
	a->lock.l_type = F_UNLCK;
	a->cmd = !a->cmd ? 0 : is_posix(a) ? F_SETLK : F_OFD_SETLK;
	a->operation = LOCK_UN;
	ask(a);
}

static int64_t ask_and_wait(struct asked *a)
{
	struct job *j = a->j;
	unsigned calls = atomic_load(&a->l->calls);
	bool first = !a->l->marked;
	struct lock_wait w;
	int64_t result = lock_wait_begin(j->r, &w, j->call, &j->view, j->who->tgid), end;

	if (result)
		return result;
	result = ask(a);
	end = lock_wait_end(j->r, &w, result);
	/* Too late. But it may be a part of what the program has had before, or has asked for
	 * since: then it stays until that goes. */
	if (!result && end == ANSWERED && first && atomic_load(&a->l->calls) == calls)
		give_back(a);
	return end;
}

/* What access the lock asks for; else the descriptor's. */
static int access_of(const struct asked *a)
{
	if (!is_posix(a))
		return a->d.flags & O_ACCMODE;
	return a->lock.l_type == F_WRLCK ? a->d.flags & O_ACCMODE : O_RDONLY;
}

static int64_t lock(struct asked *a)
{
	struct job *j = a->j;
	int64_t result = locker_file(j, a->l, access_of(a), &a->file);

	if (result)
		return result;
	/* It may be weaker than the one before. */
	lock_data_ends(a->o);
	atomic_store(&a->l->tried, true);
	atomic_fetch_or(&a->l->kinds, kind_of(a));
	result = waits(a) ? ask_and_wait(a) : ask(a);
	if (result)
		return result;
	lock_data_took(j, a->o, a->file);
	if (!locker_mark(j, a->l, &a->d))
		give_back(a);
	return ANSWERED;
}

static int64_t unlock(struct asked *a)
{
	struct job *j = a->j;
	int64_t result = 0;

	a->file = a->l->files[0] ? a->l->files[0] : a->l->files[1];
	lock_data_ends(a->o);
	if (a->file)
		result = ask(a);
	if (result || !is_last_unlock(a))
		return result;
	/* Others shall not find it where there is no lock. */
	locker_unmark(j, a->l, &a->d);
	return ANSWERED;
}

/* An unlock without a lock is none. */
static int64_t with_locker(struct asked *a)
{
	int64_t result = locker_of(a->j, a->o, &a->d, is_posix(a), !is_unlock(a), &a->l);

	if (result)
		return result == -ENOENT ? 0 : result;
	a->j->view.caller.lock_owner = a->l->owner;
	if (!is_test(a))
		atomic_fetch_add(&a->l->calls, 1);
	result = is_test(a) ? test(a) : is_unlock(a) ? unlock(a) : lock(a);
	locker_put(a->l);
	return result;
}

static int64_t lock_at_server(struct job *j, struct object *o)
{
	struct asked a = {.j = j, .o = o};
	int64_t result;

	if (descriptor_read(j->call, (int)j->call->args[0], &a.d) || a.d.flags & O_PATH)
		return CONTINUE;
	result = read_call(&a);
	if (result)
		return result;
	pf__call_blocks();
	flush_closed_at(j->r, o->m);
	result = locks_await(j, o);
	return result ? result : with_locker(&a);
}

int64_t do_lock(struct job *j)
{
	struct object *o = object_of_fd(j->r, j->call, (int)j->call->args[0]);
	int64_t result = CONTINUE;

	if (o && o->kind == OBJECT_FILE && !o->through) {
		result = job_view(j, o->m);
		if (!result)
			result = pf__locks_at_server(&j->view) ? lock_at_server(j, o) : CONTINUE;
	}
	object_put(o);
	return result;
}
