/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/inject_regs.h"
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

int pf__regs_get(pid_t tid, pf__regs *r)
{
	struct iovec v = {r, sizeof *r};

	return ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &v) < 0 ? -errno : 0;
}

int pf__regs_set(pid_t tid, const pf__regs *r)
{
	struct iovec v = {(void *)(uintptr_t)r, sizeof *r};

	return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &v) < 0 ? -errno : 0;
}

#if defined(__x86_64__)
/*
 * At the first stop the instruction pointer stands behind `syscall`, rax has the result and
 * orig_rax the number. After the stop the kernel looks at both: an -ERESTART... makes it begin the
 * call again, or return EINTR, unless orig_rax says that this is no system call.
 */
#define SYSCALL_SIZE 2
#define RED_ZONE     128

bool pf__regs_in_call(const pf__regs *r, const struct pf__call *call)
{
	const uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};

	return (int64_t)r->rax == -PF_ERESTARTSYS && (int)r->orig_rax == call->nr &&
	       !memcmp(args, call->args, sizeof args);
}

uint64_t pf__regs_stack(const pf__regs *r)
{
	return r->rsp - RED_ZONE;
}

void pf__regs_call(pf__regs *r, const pf__regs *saved, int nr, const uint64_t args[6])
{
	*r = *saved;
	r->rip -= SYSCALL_SIZE;
	r->orig_rax = (unsigned long long)-1;
	r->rax = (unsigned)nr;
	r->rdi = args[0];
	r->rsi = args[1];
	r->rdx = args[2];
	r->r10 = args[3];
	r->r8 = args[4];
	r->r9 = args[5];
}

int pf__regs_entered(pid_t tid, const pf__regs *r, const uint64_t args[6])
{
	return 0;
}

int64_t pf__regs_result(const pf__regs *r)
{
	return (int64_t)r->rax;
}

void pf__regs_return(pf__regs *r, const pf__regs *saved, int64_t value)
{
	*r = *saved;
	r->rax = (unsigned long long)value;
	r->orig_rax = (unsigned long long)-1;
}

void pf__regs_interrupt(pf__regs *r, const pf__regs *saved, int64_t error)
{
	*r = *saved;
	r->rax = (unsigned long long)error;
}

#elif defined(__aarch64__)
/*
 * Here the kernel prepares to begin an interrupted call again before it stops: pc stands at `svc`,
 * x0 has its argument again. Afterwards it only looks whether to return EINTR instead. When the
 * call is entered, the kernel puts x0 aside for the case that it has to be begun again: so it gets
 * that of the first call first, and its own once it is in the kernel.
 */
#define SVC_SIZE 4

bool pf__regs_in_call(const pf__regs *r, const struct pf__call *call)
{
	uint32_t instruction = 0;

	return !pf__call_peek(call, r->pc, &instruction, sizeof instruction) &&
	       instruction == 0xd4000001 && (int)r->regs[8] == call->nr &&
	       !memcmp(r->regs, call->args, sizeof call->args);
}

uint64_t pf__regs_stack(const pf__regs *r)
{
	return r->sp;
}

void pf__regs_call(pf__regs *r, const pf__regs *saved, int nr, const uint64_t args[6])
{
	*r = *saved;
	r->regs[8] = (unsigned)nr;
	for (int i = 1; i < 6; i++)
		r->regs[i] = args[i];
}

int pf__regs_entered(pid_t tid, const pf__regs *r, const uint64_t args[6])
{
	pf__regs now = *r;
	int err = pf__regs_get(tid, &now);

	now.regs[0] = args[0];
	return err ? err : pf__regs_set(tid, &now);
}

int64_t pf__regs_result(const pf__regs *r)
{
	return (int64_t)r->regs[0];
}

void pf__regs_return(pf__regs *r, const pf__regs *saved, int64_t value)
{
	*r = *saved;
	r->regs[0] = (uint64_t)value;
	r->pc += SVC_SIZE;
}

void pf__regs_interrupt(pf__regs *r, const pf__regs *saved, int64_t error)
{
	pf__regs_return(r, saved, error);
}
#else
#error "no registers of this architecture are known"
#endif
