/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answering system calls of other processes, by seccomp user notification.
 *
 * A supervisor has roles: tables "system call -> handler". Processes that are started under it
 * (guard.h) stand under a filter that traps what the roles name and nothing else; one loop thread
 * receives the trapped calls and asks the handlers. It knows nothing of FUSE and nothing of files.
 *
 * This is no security boundary: a call that a handler passes on is done by the kernel with
 * arguments read anew from the caller's memory, which another of its threads may have changed.
 *
 * Thread-safety: everything here may be called from any thread unless it says otherwise. Handlers
 * and watch callbacks run on the loop thread, one at a time, without a lock; they must not block
 * for what a supervised process would have to do first (keep the call instead).
 */
#ifndef PF_SUPERVISE_H
#define PF_SUPERVISE_H

#include "base/list.h"
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pf__supervisor;

/* ---- trapped calls -------------------------------------------------------------------------- */

/* One call of a supervised thread, that waits for its answer. May be copied. */
struct pf__call {
	uint64_t id;  /* the kernel's number for it */
	int listener; /* where it came from; the supervisor's own */
	pid_t tid;    /* the calling thread, as we see it */
	int nr;
	uint64_t args[6];
	int64_t value; /* for PF_CALL_RETURN: the result, or a negative errno */
};

enum pf__call_end {
	PF_CALL_PASS,   /* not this role's: ask the next; if none wants it, the kernel does the call
			 */
	PF_CALL_RETURN, /* it returns call->value */
	PF_CALL_TAKEN,  /* the handler has answered it, or will, from a copy, by the functions below
			 */
};

typedef enum pf__call_end (*pf__call_fn)(void *ctx, struct pf__call *call);

/* A call is trapped when for each of its tests (args[arg] & mask) == value. */
struct pf__trap_test {
	unsigned arg;
	uint64_t mask, value;
};
#define PF_TRAP_TESTS 3
struct pf__trap {
	int nr;         /* SCMP_SYS(name); negative (not on this architecture): left out */
	pf__call_fn fn; /* NULL: the kernel refuses the call with refuse, without asking us */
	int refuse;     /* a positive errno */
	unsigned ntests;
	struct pf__trap_test tests[PF_TRAP_TESTS];
};

/*
 * The handler that a call reaches is the first whose nr matches, whatever the tests, and so must
 * look at the arguments itself. Add all roles before the first process is started. traps must live
 * as long as the supervisor. 0 or -ENOMEM.
 */
int pf__supervisor_add_role(struct pf__supervisor *s, const struct pf__trap *traps, size_t ntraps,
			    void *ctx);

/* ---- answers: 0 or negative errno (-ENOENT: the caller is gone) ---------------------------------
 */

int pf__call_return(const struct pf__call *call, int64_t value); /* a result or negative errno */
int pf__call_continue(const struct pf__call *call);              /* let the kernel do it */
/* The call returns a new descriptor for what fd is (fd stays ours). cloexec as for open(2). */
int pf__call_return_fd(const struct pf__call *call, int fd, bool cloexec);
/* Make fd the caller's descriptor number `number`, as dup2 would. The call still waits. */
int pf__call_replace_fd(const struct pf__call *call, int fd, int number, bool cloexec);

/* ---- the caller's world ---------------------------------------------------------------------- */

/* Is the caller still waiting? What was read of it before is its own only if so. */
bool pf__call_alive(const struct pf__call *call);
/* Its memory: 0, or -EFAULT for a bad address, -ENOENT when it is gone, -EPERM. */
int pf__call_read(const struct pf__call *call, uint64_t address, void *buf, size_t size);
int pf__call_write(const struct pf__call *call, uint64_t address, const void *buf, size_t size);
/* A NUL-terminated string: its length, or -ENAMETOOLONG when it needs more than size. */
ssize_t pf__call_read_string(const struct pf__call *call, uint64_t address, char *buf, size_t size);
/*
 * An absolute path for the caller's (dirfd, path): relative ones are joined to its working or open
 * directory. Neither ".", ".." nor symbolic links are resolved. 0, -ENAMETOOLONG, -ENOENT,
 * -ENOTDIR.
 */
int pf__call_absolute_path(const struct pf__call *call, int dirfd, const char *path, char *buf,
			   size_t size);
/* What /proc says that the caller's descriptor is ("socket:[123]", a path). Its length or errno. */
ssize_t pf__call_fd_link(const struct pf__call *call, int fd, char *buf, size_t size);
/* A copy of the caller's descriptor, close-on-exec, or negative errno. */
int pf__call_get_fd(const struct pf__call *call, int fd);

/* ---- the supervisor -----------------------------------------------------------------------------
 */

/* Starts the loop thread. 0, or negative errno with a sentence. */
int pf__supervisor_new(struct pf__supervisor **s);
/*
 * Ends the loop thread and frees all. No process may be left under it (their trapped calls would
 * get ENOSYS), and the caller must be the last user. Not from the loop thread. NULL is fine.
 */
void pf__supervisor_free(struct pf__supervisor *s);

/*
 * Descriptors that the loop watches besides (not regular files: epoll refuses those with EPERM).
 * ready() may be called for nothing. The owner keeps the struct until it is removed.
 */
struct pf__watch {
	int fd;
	short events; /* as for poll(2) */
	void (*ready)(void *ctx, short revents);
	void *ctx;
	struct pf__list link; /* the supervisor's */
};
int pf__supervisor_watch(struct pf__supervisor *s, struct pf__watch *w);
/* Afterwards ready() does not run and will not. From ready() itself too. */
void pf__supervisor_unwatch(struct pf__supervisor *s, struct pf__watch *w);

/* A SOCK_SEQPACKET pair, close-on-exec, above the standard descriptors (which may be closed, and
 * must not become ours: a child's are put there). 0 or negative errno. */
int pf__message_pair(int sv[2]);

/* ---- for guard.c -------------------------------------------------------------------------------
 */

/* The filter that traps what the roles name; *prog->filter is malloc'ed (pf__free). */
int pf__filter_build(const struct pf__supervisor *s, struct sock_fprog *prog);
/* Receive calls from this listener, which is the supervisor's from now on, on failure too. */
int pf__supervisor_listen(struct pf__supervisor *s, int listener);
/* Load prog for the calling thread: the listener or negative errno. Async-signal-safe. */
int pf__filter_load(const struct sock_fprog *prog);

/* ---- between supervise.c and filter.c ----------------------------------------------------------
 */
struct pf__role {
	const struct pf__trap *traps;
	size_t ntraps;
	void *ctx;
	struct pf__list link;
};
const struct pf__list *pf__supervisor_roles(const struct pf__supervisor *s);

#endif
