/* SPDX-License-Identifier: BSD-2-Clause */
/* From the roles' traps to a loaded filter. */
#include "base/alloc.h"
#include "base/errmsg.h"
#include "supervise/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than Debian 12's <linux/seccomp.h>. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* Is what t traps or refuses asked of us anyway, by a rule without tests? */
static bool covered(const struct pf__supervisor *s, const struct pf__trap *t)
{
	const struct pf__list *pos;
	bool before = true;

	pf__list_for_each (pos, &s->roles) {
		const struct pf__role *r = pf__list_entry(pos, struct pf__role, link);

		for (const struct pf__trap *o = r->traps; o < r->traps + r->ntraps; o++) {
			if (o == t)
				before = false; /* of equal ones the first is the rule */
			else if (o->nr == t->nr && o->fn && !o->ntests)
				if (before || t->ntests || !t->fn)
					return true;
		}
	}
	return false;
}

/* What we make callers do ourselves (inject.c) bears the token, and passes. */
static int add_trap(scmp_filter_ctx ctx, const struct pf__supervisor *s, const struct pf__trap *t)
{
	struct scmp_arg_cmp cmp[PF_TRAP_TESTS + 1];
	uint32_t action = t->fn ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO(t->refuse);
	unsigned n = 0;
	int err;

	if (t->nr < 0 || covered(s, t))
		return 0;
	for (; n < t->ntests; n++)
		cmp[n] = (struct scmp_arg_cmp){t->tests[n].arg, SCMP_CMP_MASKED_EQ,
					       t->tests[n].mask, t->tests[n].value};
	if (s->parallel && t->fn)
		cmp[n++] = (struct scmp_arg_cmp){5, SCMP_CMP_NE, s->token};
	err = seccomp_rule_add_array(ctx, action, t->nr, n, cmp);
	return err == -EEXIST ? 0 : err;
}

/* ---- calls that are hardly ever trapped -------------------------------------------------------
 */

/*
 * read(2), write(2) and the like are trapped for a few descriptors. Programs make them all the
 * time, and what libseccomp takes to find that they are let through can be measured; so some
 * instructions come before its own. They know the calls of a window of 32 numbers whose traps have
 * one and the same test, of args[0].
 */
#define WINDOW    32u
#define PROLOGUE  13u
#define LOW_WORD  (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0u : 4u)
#define MASK_BITS 0xffffffffu

/* The test of args[0] that all traps of this call have; NULL: they do not, or there are none. */
static const struct pf__trap_test *only_test(const struct pf__supervisor *s, unsigned nr)
{
	const struct pf__trap_test *found = NULL;
	const struct pf__list *pos;

	pf__list_for_each (pos, &s->roles) {
		const struct pf__role *r = pf__list_entry(pos, struct pf__role, link);

		for (const struct pf__trap *t = r->traps; t < r->traps + r->ntraps; t++) {
			const struct pf__trap_test *test = &t->tests[0];

			if (t->nr != (int)nr)
				continue;
			if (t->ntests != 1 || test->arg || test->mask > MASK_BITS ||
			    (found && (found->mask != test->mask || found->value != test->value)))
				return NULL;
			found = test;
		}
	}
	return found;
}

static bool is_same(const struct pf__trap_test *a, const struct pf__trap_test *b)
{
	return a && a->mask == b->mask && a->value == b->value;
}

/* The calls of the window from base on that have base's test, as bits. */
static uint32_t window_of(const struct pf__supervisor *s, unsigned base)
{
	const struct pf__trap_test *first = only_test(s, base);
	uint32_t calls = 0;

	for (unsigned i = 0; first && i < WINDOW; i++)
		if (is_same(only_test(s, base + i), first))
			calls |= 1u << i;
	return calls;
}

/* How many instructions. */
static unsigned write_window(const struct pf__supervisor *s, struct sock_filter *out)
{
	unsigned base = 0;
	uint32_t calls = 0;

	for (unsigned nr = 0; nr < 512; nr++) {
		uint32_t more = window_of(s, nr);

		if (__builtin_popcount(more) > __builtin_popcount(calls)) {
			calls = more;
			base = nr;
		}
	}
	if (!calls)
		return 0;
	const struct pf__trap_test *test = only_test(s, base);
	const struct sock_filter code[PROLOGUE] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_arch_native(), 0, 11),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, base),
	    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, WINDOW, 8, 0),
	    BPF_STMT(BPF_MISC | BPF_TAX, 0),
	    BPF_STMT(BPF_LD | BPF_IMM, 1),
	    BPF_STMT(BPF_ALU | BPF_LSH | BPF_X, 0),
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, calls, 0, 4),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + LOW_WORD),
	    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t)test->mask),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)test->value, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	memcpy(out, code, sizeof code);
	return PROLOGUE;
}

/*
 * Calls that are made from a page of code that programs have of us (pf__supervisor_pass()). The
 * others do not come to where the address is looked at: so the kernel knows beforehand that it can
 * let them through.
 */
#define MAX_PASSED 16u
#define HIGH_WORD  (4u - LOW_WORD)

static unsigned write_passed(const struct pf__supervisor *s, struct sock_filter *out)
{
	const unsigned ip = offsetof(struct seccomp_data, instruction_pointer);
	unsigned n = s->n_passed < MAX_PASSED ? (unsigned)s->n_passed : MAX_PASSED, at = 0;

	if (!n)
		return 0;
	out[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, arch));
	out[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_arch_native(),
						 0, (unsigned char)(n + 8));
	out[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < n; i++) /* to the address */
		out[at++] = (struct sock_filter)BPF_JUMP(
		    BPF_JMP | BPF_JEQ | BPF_K, (unsigned)s->passed[i], (unsigned char)(n - i), 0);
	const struct sock_filter code[] = {
	    BPF_STMT(BPF_JMP | BPF_JA, 6),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip + HIGH_WORD),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(s->pass_page >> 32), 0, 4),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip + LOW_WORD),
	    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~0xfffu),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)s->pass_page, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	memcpy(out + at, code, sizeof code);
	return at + (unsigned)(sizeof code / sizeof *code);
}

/* ---- the program ------------------------------------------------------------------------------
 */

/* libseccomp writes programs to descriptors only. The longest that the kernel takes fits in a pipe.
 */
static int export_program(scmp_filter_ctx ctx, const struct pf__supervisor *s,
			  struct sock_fprog *prog)
{
	const size_t size = BPF_MAXINSNS * sizeof(struct sock_filter);
	struct sock_filter *code = pf__malloc(size);
	unsigned before;
	int fds[2], err;
	ssize_t n;

	if (!code)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		pf__free(code);
		return -errno;
	}
	before = write_passed(s, code);
	before += write_window(s, code + before);
	err = seccomp_export_bpf(ctx, fds[1]);
	n = err < 0 ? err : read(fds[0], code + before, size - before * sizeof *code);
	close(fds[0]);
	close(fds[1]);
	if (n <= 0 || (size_t)n % sizeof *code) {
		pf__free(code);
		return n < 0 && err < 0 ? err : -EIO;
	}
	prog->filter = code;
	prog->len = (unsigned short)((size_t)n / sizeof *code + before);
	return 0;
}

int pf__filter_build(const struct pf__supervisor *s, struct sock_fprog *prog)
{
	const struct pf__list *roles = &s->roles, *pos;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err = ctx ? 0 : -ENOMEM;

	if (s->no_filter) {
		if (ctx)
			seccomp_release(ctx);
		return pf__filter_refused(s->no_filter);
	}
	/* Calls by another architecture's numbers (a 32-bit program) are not ours to judge. */
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	/* Many calls: find their rules by halves rather than one by one. */
	if (!err && s->parallel)
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (pos = roles->next; !err && pos != roles; pos = pos->next) {
		const struct pf__role *r = pf__list_entry(pos, struct pf__role, link);

		for (size_t i = 0; !err && i < r->ntraps; i++)
			err = add_trap(ctx, s, &r->traps[i]);
	}
	if (!err)
		err = export_program(ctx, s, prog);
	if (ctx)
		seccomp_release(ctx);
	return err ? pf__fail(err, "cannot build the system call filter:") : 0;
}

int pf__filter_refused(int err)
{
	if (err == -EBUSY)
		return pf__fail(err, "cannot supervise the server: this process itself runs under "
				     "another supervisor's system call filter");
	if (err == -EINVAL || err == -ENOSYS)
		return pf__fail(err, "the kernel has no notification of system calls (seccomp; "
				     "Linux 5.9 has it, gVisor has not):");
	return pf__fail(err, "no system call filter may be installed here (seccomp):");
}

/*
 * WAIT_KILLABLE_RECV (Linux 5.19): signals do not interrupt a call that we are answering; Go's
 * preemption would do so all the time. SPEC_ALLOW: before 5.16 a filter would also have switched
 * on speculation barriers, which cost more than all that we do.
 */
int pf__filter_load(const struct sock_fprog *prog)
{
	const unsigned long base =
	    SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	long fd;

	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		     base | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, prog);
	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, base, prog);
	return fd < 0 ? -errno : (int)fd;
}
