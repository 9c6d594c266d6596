/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of `hostile` share. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>
#include <stddef.h>

struct hostile_case {
	const char *name;
	void (*fn)(void);
	unsigned need; /* NEED_* */
};
#define NEED_ROOT   (1u << 0)
#define NEED_OTHERS (1u << 2) /* looks into programs of other users: CAP_SYS_PTRACE */
#define NEED_PLAIN  (1u << 1) /* its output is to be the same as without Portfire */

extern const struct hostile_case args_cases[], file_cases[], proc_cases[];

/* Prints where and what, and ends the process with status 1. */
#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			wrong(__FILE__, __LINE__, #cond);                                          \
	} while (0)
_Noreturn void wrong(const char *file, int line, const char *what);

/* One answer of many that are compared with the kernel's. */
void result(const char *what, long value);

/* Run fn(arg) on a thread until stop_threads(). */
void start_thread(void (*fn)(void *arg), void *arg);
bool stopping(void);
void stop_threads(void);
/* Has this many milliseconds passed since the first call? */
bool time_is_up(unsigned ms);

/* The child must end well. */
void expect_child(int pid);
void make_file(const char *name, const char *text);
/* The file holds just this. */
void expect_file(const char *name, const char *text);

#endif
