/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of a traced thread that stands at the end of a system call, without having gone
 * back to its program: what differs between architectures.
 */
#ifndef PF_SUPERVISE_INJECT_REGS_H
#define PF_SUPERVISE_INJECT_REGS_H

#include "supervise/supervise.h"
#if defined(__aarch64__)
#include <asm/ptrace.h>
typedef struct user_pt_regs pf__regs;
#else
#include <sys/user.h>
typedef struct user_regs_struct pf__regs;
#endif

/* The kernel's own error: "again, or EINTR, as the handler of the signal has it". */
#define PF_ERESTARTSYS 512

/* 0 or negative errno (-ESRCH: killed). */
int pf__regs_get(pid_t tid, pf__regs *r);
int pf__regs_set(pid_t tid, const pf__regs *r);
/* Does it stand at the end of just this call, which was interrupted and would begin again? */
bool pf__regs_in_call(const pf__regs *r, const struct pf__call *call);
/* The lowest address that its program may have in use below its stack pointer. */
uint64_t pf__regs_stack(const pf__regs *r);

/* saved: as the thread stood at its first stop, in its interrupted call. */
/* What makes it do another call with the same instruction, as soon as it runs. */
void pf__regs_call(pf__regs *r, const pf__regs *saved, int nr, const uint64_t args[6]);
/* Then, when it has entered the kernel. 0 or negative errno. */
int pf__regs_entered(pid_t tid, const pf__regs *r, const uint64_t args[6]);
int64_t pf__regs_result(const pf__regs *r);
/* It goes on as if the first call had returned value. */
void pf__regs_return(pf__regs *r, const pf__regs *saved, int64_t value);
/* After another call, which was interrupted with error (-ERESTART...): as if the first had been. */
void pf__regs_interrupt(pf__regs *r, const pf__regs *saved, int64_t error);

#endif
