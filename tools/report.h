/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the command says to its user on stderr, and the one lock around the terminal: messages,
 * cp's progress bar and its -v lines come from several threads.
 */
#ifndef TOOLS_REPORT_H
#define TOOLS_REPORT_H

#include <stdbool.h>
#include <stdio.h>

/* Say "portfire: NAME: " before each message from now on; NULL: "portfire: ". Main thread only. */
void report_set_command(const char *name);

/*
 * "portfire: ls: WHAT: reason" for the negative errno err. remote: the call was one to a server,
 * so pf_error() may know more than the number; call before this thread's next pf_ call.
 */
void complain(bool remote, int err, const char *what, ...) __attribute__((format(printf, 3, 4)));
/* "portfire: ls: MESSAGE" */
/* The same, even when we were asked to end: where the user's data is. */
void announce(const char *line);
void complain_plain(const char *message, ...) __attribute__((format(printf, 1, 2)));
/* Where to read how it is done. Returns STATUS_USAGE. */
int hint_usage(void);
/* A message on a mistake in the command line, and the hint. Returns STATUS_USAGE. */
int complain_usage(const char *message, ...) __attribute__((format(printf, 1, 2)));

/*
 * Take and give back the terminal. While one thread has it no other writes to stdout or stderr.
 * report_set_eraser: called with the terminal taken, before anything else is written to it.
 */
void terminal_take(void);
void terminal_give(void);
void report_set_eraser(void (*erase)(void));

/* Flush stdout and tell whether all that was written to it went through: 0 or -errno. */
int stdout_finish(void);

#endif
