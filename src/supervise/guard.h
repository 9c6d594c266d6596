/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting processes so that nothing of them outlives us.
 *
 * Between us and the program stands a guardian, a process of ours that becomes the parent of every
 * orphan below it (child subreaper), so daemons too stay its children. It ends them all when it is
 * told to, or when we die, by whatever signal. It sits in a process group of its own, and so does
 * the program: the terminal's Ctrl-C reaches us only, and we end things in order. When the program
 * wants the terminal before it has settled (a password), the guardian puts it into the foreground
 * as a shell's `fg` does, and takes us back when it has settled.
 *
 * The guardian is no child that wait(-1) of the program using us could see: it sends no SIGCHLD.
 */
#ifndef PF_SUPERVISE_GUARD_H
#define PF_SUPERVISE_GUARD_H

#include "supervise/supervise.h"
#include <signal.h>

struct pf__guard;

enum pf__guard_event {
	PF_GUARD_EXITED, /* the program itself ended, with status as from waitpid() */
	PF_GUARD_GONE,   /* it and all that it started have ended; the last event */
	/* Of a job only, and of the program itself only: */
	PF_GUARD_STOPPED, /* by the signal `status` */
	PF_GUARD_CONTINUED,
};

/*
 * The program is the user's job, as it would be if the shell had started it: in a process group
 * that is there already, with standard descriptors and signals as they are given, and stopped by
 * Ctrl-Z. The guardian goes into a session of its own. For the kernel the program's group then
 * depends on nobody of ours: it is orphaned (where Ctrl-Z stops nothing) just when it would be
 * without us.
 */
struct pf__guard_job {
	pid_t group;           /* of our session */
	sigset_t mask;         /* of signals that it begins with */
	sigset_t ignored;      /* which it ignores; the others have their default actions */
	char *const *programs; /* the first of these that can be is executed; ends with NULL */
	/* Called in pf__guard_start() when the process is there, a member of the group, but with
	 * all signals blocked: what comes now it gets once, when it begins. */
	void (*ready)(void *ctx, pid_t program);
	void *ctx;
};

struct pf__guard_start {
	const char *file;   /* what to execute, with a slash; argv[0] is its name only */
	char *const *argv;  /* an interpreter-less script runs under /bin/sh, as in a shell */
	bool filtered;      /* under the supervisor's filter; this sets no_new_privs */
	int out_fd, err_fd; /* its standard output and error; -1: ours */
	int pass_fd;        /* above 2, inherited although close-on-exec; -1: none */
	const char *remove; /* a directory that the guardian removes at the end; NULL: none */
	/* NULL: a group of its own, default signals, standard descriptors that are open, a terminal
	 * that is lent. Else `file` stands in messages only, out_fd, err_fd, pass_fd are -1. */
	const struct pf__guard_job *job;
	const char *sweep; /* the same, with files and directories of files in it; NULL: none */
	unsigned patience_ms, grace_ms; /* as for pf__guard_stop(), when we die */
	void (*event)(void *ctx, enum pf__guard_event event, int status); /* on the loop thread */
	void *ctx;
};

/*
 * Start argv. Waits until it has been executed. 0, or what execve() said, or with a sentence:
 * -EBUSY the caller itself stands under another listener, -ENOSYS no notification in this kernel.
 */
int pf__guard_start(struct pf__guard **g, struct pf__supervisor *s,
		    const struct pf__guard_start *how);
pid_t pf__guard_pid(const struct pf__guard *g); /* of the program itself */
/* Of us who sees, as pids go, what becomes of the program: the parent of its orphans. */
pid_t pf__guard_guardian(const struct pf__guard *g);
/*
 * Let a job go on, if it still stands in the stop that was the nth to be told of. Who asks may be
 * late: the program may have gone on, and been stopped anew, meanwhile.
 */
void pf__guard_continue(struct pf__guard *g, int nth);
/* The program needs the terminal no more. On return it is ours again. Not on the loop thread. */
void pf__guard_settled(struct pf__guard *g);
/*
 * End all: what has not ended by itself within patience_ms gets SIGTERM, and SIGKILL grace_ms after
 * that. Waits for it, not on the loop thread. 0, or -ETIMEDOUT when something survives even that
 * (it hangs in the kernel); the guardian keeps trying.
 */
int pf__guard_stop(struct pf__guard *g, unsigned patience_ms, unsigned grace_ms);
/* After stop. NULL is fine. */
void pf__guard_free(struct pf__guard *g);

/* ---- between guard.c and guardian.c ------------------------------------------------------------
 */

enum pf__guard_word {
	PF_WORD_EXITED = 1, /* up: value = status */
	PF_WORD_GONE,       /* up */
	PF_WORD_STOP,       /* down */
	PF_WORD_SETTLED,    /* down; and up, when it is done */
	PF_WORD_STARTING,   /* from the child: value = its pid */
	PF_WORD_GO,         /* to the child of a job */
	PF_WORD_LISTENER,   /* from the child, with the descriptor; and down */
	PF_WORD_NO_FILTER,  /* from the child: value = negative errno */
	PF_WORD_NO_EXEC,    /* from the child: value = negative errno */
	PF_WORD_STOPPED,    /* up: value = signal */
	PF_WORD_CONTINUED,  /* up */
	PF_WORD_CONTINUE,   /* down: value = which stop */
};
struct pf__guard_message {
	uint32_t word;
	int32_t value;
	uint32_t patience_ms, grace_ms;
};
/* Send with an optional descriptor (-1: none); async-signal-safe. 0 or negative errno. */
int pf__guard_send(int fd, const struct pf__guard_message *m, int passed);
/* 1 a message, 0 the end, or negative errno. *passed is -1 or a descriptor, close-on-exec. */
int pf__guard_recv(int fd, struct pf__guard_message *m, int *passed);

/* What the guardian needs, made before the clone(). */
struct pf__guardian {
	const struct pf__guard_start *how;
	const struct sock_fprog *filter; /* NULL: none */
	char **sh_argv;                  /* /bin/sh file argv[1]... */
	int control;                     /* to us */
	int setup;                       /* to us, the starting child's */
	int parent;                      /* pidfd of us */
};
/* The guardian's life. Async-signal-safe code only: our other threads' locks may be taken. */
_Noreturn void pf__guardian_main(const struct pf__guardian *g);

#endif
