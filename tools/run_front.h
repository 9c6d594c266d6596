/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the user's shell sees of a run is its front: the process that the shell has started. The run
 * itself is the business of another one, the supervisor, which the front forks as its first deed.
 * The program stands in the front's process group:
 *
 *     the user's shell ── front ── supervisor ── guardian ── PROGRAM ── ...
 *                         `---- one group ----- | ------------'
 *                                               ` sessions of their own, once PROGRAM runs
 *
 * The terminal's Ctrl-C and Ctrl-Z reach front and program, as one group. Signals that somebody
 * sends to the front it passes on; when the program stops, the front stops in the same way, and
 * when the front is continued, so is the program.
 *
 * phase    | until                   | a signal sent to the front | one that the terminal sends
 * ---------|-------------------------|----------------------------|-----------------------------
 * STARTING | the program runs        | goes to the supervisor     | the supervisor has got it too
 * RUNNING  | it has ended            | goes to the program        | the program has got it too
 * ENDING   | the supervisor's end    | goes to the supervisor     | goes to the supervisor
 */
#ifndef TOOLS_RUN_FRONT_H
#define TOOLS_RUN_FRONT_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* What a process was started with and its program shall find again. */
struct run_origin {
	pid_t group;
	sigset_t mask, ignored;
};
void run_origin_get(struct run_origin *origin);

/* ---- the front's part ----------------------------------------------------------------------- */

/*
 * Divide into front and supervisor; no thread may have been started. In the supervisor: -1, at
 * once. In the front: the exit status, when it is time for it.
 */
int front_divide(void);

/* ---- the supervisor's part: after front_divide() ----------------------------------------------
 */

const struct run_origin *front_origin(void);
/* To wait for what the front says, and for its end; -1: it is gone. */
int front_socket(void);
/* The program has all files of our caller; held by us too, they would stay open in its name. */
void front_let_go_of_files(void);
/* The program is there and shall run. Returns when the front knows it: so that it can tell for whom
 * a signal of the terminal was. */
void front_started(pid_t program);
/* It stands; the front is to do so too. */
void front_stopped(int sig);
/* It goes on, or has ended. Both see to it that the front, if it stands, does not stay so. */
void front_continued(void);
void front_ended(void);
/* The front shall exit with this status now, and we are on our own. */
void front_leave(int status);
/* What the front has said: n: it was continued, with n stops of the program known to it; 0: nothing
 * of interest; -1: it is gone. */
int front_hear(void);

/* ---- for who stands in the front's place itself (run_nested.c) ------------------------------- */

/* Every signal comes by the descriptor from now on. Or -errno. */
int front_catch_signals(void);
/* As sig does by default: for those that stop. Returns when we were continued. */
void front_stop_self(int sig);
/* Has the terminal sent it, to the whole group? */
struct signalfd_siginfo;
bool front_from_terminal(const struct signalfd_siginfo *info);
/* Where the group in the terminal's foreground has died out, ours takes its place. */
void front_take_terminal(void);
/* What a status from waitpid() is as an exit status. */
int front_exit_status(int wait_status);

#endif
