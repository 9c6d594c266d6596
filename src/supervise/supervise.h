/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answering system calls of other processes, by seccomp user notification.
 *
 * A supervisor has roles: tables "system call -> handler". Processes that are started under it
 * (guard.h) stand under a filter that traps what the roles name and nothing else; we receive the
 * trapped calls and ask the handlers. It knows nothing of FUSE and nothing of files.
 *
 * This is no security boundary: a call that a handler passes on is done by the kernel with
 * arguments read anew from the caller's memory, which another of its threads may have changed.
 *
 * Thread-safety: everything here may be called from any thread unless it says otherwise. Watch
 * callbacks run on the loop thread, one at a time, without a lock. So do the handlers, as long as
 * all roles are serial ones (pf__supervisor_add_role()); these must not block for what a supervised
 * process would have to do first (keep the call instead). With a parallel role, handlers run on
 * receiver threads: those of a parallel role many at a time, and they may block for as long as they
 * like; those of a serial role still one at a time, under a lock of the role, but beside the loop.
 */
#ifndef PF_SUPERVISE_H
#define PF_SUPERVISE_H

#include "base/list.h"
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct pf__supervisor;

/* ---- trapped calls -------------------------------------------------------------------------- */

/* One call of a supervised thread, that waits for its answer. May be copied. */
struct pf__call {
	uint64_t id;  /* the kernel's number for it */
	int listener; /* where it came from; the supervisor's own */
	pid_t tid;    /* the calling thread, as we see it */
	int nr;
	uint64_t args[6];
	int64_t value;  /* for PF_CALL_RETURN: the result, or a negative errno */
	uint64_t token; /* the supervisor's */
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
/*
 * The same, but the handlers run on many threads at once and may block: there is always a thread
 * that receives the next call (up to 1,024 of them). Calls that are trapped without a test are
 * asked of us whatever the narrower traps and refusals of other roles say of them. No trap of the
 * supervisor may test args[5].
 */
int pf__supervisor_add_parallel_role(struct pf__supervisor *s, const struct pf__trap *traps,
				     size_t ntraps, void *ctx);
/*
 * Let these calls pass without being trapped when they are made by instructions of the page at
 * `page` (a multiple of 4096 below 4 TiB), wherever a program of ours maps code there. Before the
 * first process is started; calls must live as long as the supervisor.
 */
void pf__supervisor_pass(struct pf__supervisor *s, uint64_t page, const int *calls, size_t n);
/*
 * For a handler of a parallel role, before it waits for long (for a server's answer, say): another
 * thread receives from now on. Without it that happens within some milliseconds. Costs nothing the
 * second time, nor elsewhere than in such a handler.
 */
void pf__call_blocks(void);
/*
 * A random number. With a parallel role, a call that has it in args[5] passes the filter without
 * being trapped: so pf__call_instead() does. Programs under the filter could find it out.
 */
uint64_t pf__supervisor_token(const struct pf__supervisor *s);

/* ---- answers: 0 or negative errno (-ENOENT: the caller is gone) ---------------------------------
 */

int pf__call_return(const struct pf__call *call, int64_t value); /* a result or negative errno */
int pf__call_continue(const struct pf__call *call);              /* let the kernel do it */
/* The call returns a new descriptor for what fd is (fd stays ours). cloexec as for open(2). */
int pf__call_return_fd(const struct pf__call *call, int fd, bool cloexec);
/* The caller gets a new descriptor for what fd is: its number there, or negative errno. The call
 * still waits: so who closes fd before he answers leaves the caller the only one who has it open.
 */
int pf__call_add_fd(const struct pf__call *call, int fd, bool cloexec);
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
 * The same without asking whether the caller still waits, which is a system call: it need not have
 * been the caller's memory. Who has read all that he wants vouches for it once, by
 * pf__call_alive(), before he acts upon it.
 */
int pf__call_peek(const struct pf__call *call, uint64_t address, void *buf, size_t size);
ssize_t pf__call_peek_string(const struct pf__call *call, uint64_t address, char *buf, size_t size);
/*
 * Many ranges at once: from there, in the caller, to here, and back. The bytes copied, fewer than
 * both sides have room for when an address is bad, and -EFAULT if the first is. At most IOV_MAX
 * ranges a side. readv() is as peek(); writev() asks first.
 */
ssize_t pf__call_readv(const struct pf__call *call, const struct iovec *here, unsigned nhere,
		       const struct iovec *there, unsigned nthere);
ssize_t pf__call_writev(const struct pf__call *call, const struct iovec *here, unsigned nhere,
			const struct iovec *there, unsigned nthere);
/*
 * An absolute path for the caller's (dirfd, path): relative ones are joined to its working or open
 * directory. Neither ".", ".." nor symbolic links are resolved. 0, -ENAMETOOLONG, -ENOENT,
 * -ENOTDIR.
 */
int pf__call_absolute_path(const struct pf__call *call, int dirfd, const char *path, char *buf,
			   size_t size);
/* What /proc says that the caller's descriptor is ("socket:[123]", a path). Its length or errno. */
ssize_t pf__call_fd_link(const struct pf__call *call, int fd, char *buf, size_t size);
/* The process that the calling thread belongs to, or -1. */
pid_t pf__call_process(const struct pf__call *call);
/* A copy of the caller's descriptor, close-on-exec, or negative errno: -ENOSYS when pidfd_getfd(2)
 * is not to be had here at all, as in many containers. */
int pf__call_get_fd(const struct pf__call *call, int fd);
int pf__call_get_fd_of(const struct pf__call *call, pid_t process, int fd); /* who knows that */
/* The thread that traces the caller; 0: none. */
pid_t pf__call_tracer(const struct pf__call *call);

/* ---- another call in the caller's place ------------------------------------------------------ */

/* Another call that the caller shall make instead, and return the result of. */
struct pf__inject {
	int nr;
	uint64_t args[6]; /* args[5] becomes the token, unless keep_arg5 */
	bool keep_arg5;
	/* Signals may interrupt it, as they would any call: for what may take for ever. Else they
	 * wait until it has returned. */
	bool interruptible;
	const void *data; /* goes below its stack for that time, aligned to 16; NULL: nothing */
	size_t size;
	unsigned arg_in_data;  /* bit i: args[i] is an offset into data: its address is added */
	const uint32_t *words; /* offsets of 8-byte words in data to which its address is added */
	size_t nwords;
	int fd; /* one of ours, not O_PATH, that it gets first, close-on-exec; -1: none */
	unsigned arg_is_fd; /* bit i: args[i] becomes the number that fd has there */
	bool fd_is_in_data; /* and so do the 4 bytes of data at fd_at */
	uint32_t fd_at;
	bool close_fd; /* the caller closes fd again afterwards, unless it has executed */
	/* If it succeeds: what the caller gets in the place of its result, or how the caller ends.
	 */
	bool has_value, then_exit;
	int64_t value;
	int exit_status;
	bool unanswered; /* where it cannot be traced, it still waits for an answer */
};
/* The caller cannot be traced: somebody else does, or we may not. It got EPERM, if not unanswered.
 */
#define PF_CALL_UNTRACEABLE INT64_MIN
/*
 * Answers the call, whatever happens. The calling thread is traced (ptrace) for a moment, and makes
 * the call itself, with its own credentials, descriptors and memory; its registers, stack and
 * signal mask are then as after the trapped call. Blocks while the call does.
 *
 * The result or negative errno, which the caller has got as well:
 * PF_CALL_UNTRACEABLE
 * -EINTR   a signal has interrupted it: the caller gets EINTR, or makes its original call again,
 *          as its handler has it (SA_RESTART)
 * -ENOENT  it does not wait any more: a signal had interrupted the trapped call before
 * -ESRCH   it is gone. For an execve() that could be at any point
 * After execve() and execveat() 0 says that the new program runs, and with then_exit that it ends.
 *
 * Our process gets SIGCHLDs. The caller should not be a child of ours (but of a guardian, say): who
 * waits for a child that another thread of his process traces is told of its stops.
 */
int64_t pf__call_instead(const struct pf__call *call, const struct pf__inject *what);
/* May a descendant of ours be traced, here and now? Neither Yama nor a container forbids it. */
bool pf__supervisor_may_inject(void);

/* ---- the supervisor -----------------------------------------------------------------------------
 */

/* Starts the loop thread. 0, or negative errno with a sentence. */
int pf__supervisor_new(struct pf__supervisor **s);
/*
 * Ends the loop thread and frees all. No process may be left under it (their trapped calls would
 * get ENOSYS), and the caller must be the last user. Waits for handlers that still run: of calls
 * whose callers were killed. Not from the loop thread, nor a handler. NULL is fine.
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
/* What that errno means, as a sentence. Returns it. */
int pf__filter_refused(int err);

#endif
