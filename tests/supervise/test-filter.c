/* SPDX-License-Identifier: BSD-2-Clause */
/* The filters that libseccomp makes of our rules, asked about calls and compared with the rules. */
#include "../unit.h"
#include "base/alloc.h"
#include "supervise/supervise.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#if defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH AUDIT_ARCH_X86_64
#endif

static uint32_t jump(const struct sock_filter *i, uint32_t a)
{
	bool yes = false;

	switch (BPF_OP(i->code)) {
	case BPF_JA:
		return i->k;
	case BPF_JEQ:
		yes = a == i->k;
		break;
	case BPF_JGT:
		yes = a > i->k;
		break;
	case BPF_JGE:
		yes = a >= i->k;
		break;
	case BPF_JSET:
		yes = a & i->k;
		break;
	default:
		fail_msg("a jump %#x", i->code);
	}
	return yes ? i->jt : i->jf;
}

/* What the kernel would do, as far as libseccomp makes use of it. */
static uint32_t verdict(const struct sock_fprog *p, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (unsigned pc = 0; pc < p->len; pc++) {
		const struct sock_filter *i = &p->filter[pc];

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			memcpy(&a, (const char *)d + i->k, sizeof a);
			break;
		case BPF_ALU:
			assert_int_equal(i->code, BPF_ALU | BPF_AND | BPF_K);
			a &= i->k;
			break;
		case BPF_JMP:
			pc += jump(i, a);
			break;
		case BPF_RET:
			return i->k;
		default:
			fail_msg("an instruction %#x", i->code);
		}
	}
	fail_msg("no verdict");
	return 0;
}

static enum pf__call_end pass(void *ctx, struct pf__call *call)
{
	return PF_CALL_PASS;
}

/* The narrow rules of the launcher, in short. */
static const struct pf__trap narrow[] = {
    {SCMP_SYS(openat),
     pass,
     0,
     2,
     {{0, 0xffffffff, (uint32_t)AT_FDCWD}, {2, O_ACCMODE | O_CREAT, O_RDWR}}},
    {SCMP_SYS(openat),
     pass,
     0,
     3,
     {{0, 0xffffffff, (uint32_t)AT_FDCWD},
      {2, 0xffffffff, O_RDONLY},
      {1, ~0x3fffffffffull, 0xc000000000ull}}},
    {SCMP_SYS(mount), pass},
    {SCMP_SYS(ioctl), pass, 0, 1, {{1, 0xffffffff, 0x8004e500u}}},
    {SCMP_SYS(ioctl), pass, 0, 1, {{1, 0xffffffff, 0x4010e501u}}},
    {SCMP_SYS(fsopen), NULL, ENOSYS},
    {SCMP_SYS(move_mount), NULL, ENOSYS},
};
#define NNARROW (sizeof narrow / sizeof narrow[0])

/* Every third call, among them those of the narrow rules, whatever its arguments. */
static struct pf__trap wide[160];
static size_t nwide;

static void make_wide(void)
{
	const int always[] = {SCMP_SYS(openat), SCMP_SYS(mount), SCMP_SYS(move_mount)};

	nwide = 0;
	for (int nr = 0; nr < 440 && nwide < 150; nr += 3)
		if (nr != SCMP_SYS(ioctl) && nr != SCMP_SYS(fsopen))
			wide[nwide++] = (struct pf__trap){nr, pass};
	for (int i = 0; i < 3; i++)
		wide[nwide++] = (struct pf__trap){always[i], pass};
}

static bool is_wide(int nr)
{
	for (size_t i = 0; i < nwide; i++)
		if (wide[i].nr == nr)
			return true;
	return false;
}

static bool matches(const struct pf__trap *t, const struct seccomp_data *d)
{
	for (unsigned i = 0; i < t->ntests; i++)
		if ((d->args[t->tests[i].arg] & t->tests[i].mask) != t->tests[i].value)
			return false;
	return t->nr == d->nr;
}

static uint32_t expected(const struct seccomp_data *d, bool with_wide, uint64_t token)
{
	if (d->arch != ARCH)
		return SECCOMP_RET_ALLOW;
	if (with_wide && d->args[5] == token) {
		for (size_t i = 0; i < NNARROW; i++)
			if (!narrow[i].fn && narrow[i].nr == d->nr && !is_wide(d->nr))
				return SECCOMP_RET_ERRNO | (uint32_t)narrow[i].refuse;
		return SECCOMP_RET_ALLOW;
	}
	if (with_wide && is_wide(d->nr))
		return SECCOMP_RET_USER_NOTIF;
	for (size_t i = 0; i < NNARROW; i++)
		if (matches(&narrow[i], d))
			return narrow[i].fn ? SECCOMP_RET_USER_NOTIF
					    : SECCOMP_RET_ERRNO | (uint32_t)narrow[i].refuse;
	return SECCOMP_RET_ALLOW;
}

static uint64_t pick_argument(int arg, uint64_t token)
{
	const uint64_t some[] = {0,
				 (uint32_t)AT_FDCWD,
				 (uint64_t)AT_FDCWD,
				 O_RDWR,
				 O_RDWR | O_CLOEXEC,
				 O_RDWR | O_CREAT,
				 0xc000001000ull,
				 0x8004e500u,
				 0x4010e501u,
				 token,
				 token ^ 1,
				 token ^ 1ull << 32,
				 token & 0xffffffff,
				 token & ~0xffffffffull};
	const unsigned n = sizeof some / sizeof some[0];

	if (arg == 5 && lrand48() % 2)
		return token;
	return some[lrand48() % n];
}

static void ask_all(const struct sock_fprog *p, bool with_wide, uint64_t token)
{
	for (int turn = 0; turn < 400; turn++)
		for (int nr = 0; nr < 470; nr++) {
			struct seccomp_data d = {.nr = nr,
						 .arch = turn % 50 ? ARCH : AUDIT_ARCH_I386};
			uint32_t got, want;

			for (int i = 0; i < 6; i++)
				d.args[i] = pick_argument(i, token);
			got = verdict(p, &d);
			want = expected(&d, with_wide, token);
			if (got != want)
				fail_msg("call %d(%#llx, %#llx, %#llx): %#x, not %#x", nr,
					 (unsigned long long)d.args[0],
					 (unsigned long long)d.args[1],
					 (unsigned long long)d.args[2], got, want);
		}
}

static void check(bool with_wide, bool wide_first)
{
	struct sock_fprog p = {0};
	struct pf__supervisor *s;

	make_wide();
	assert_err(pf__supervisor_new(&s), 0);
	if (with_wide && wide_first)
		assert_err(pf__supervisor_add_parallel_role(s, wide, nwide, NULL), 0);
	assert_err(pf__supervisor_add_role(s, narrow, NNARROW, NULL), 0);
	if (with_wide && !wide_first)
		assert_err(pf__supervisor_add_parallel_role(s, wide, nwide, NULL), 0);
	assert_err(pf__filter_build(s, &p), 0);
	print_message("%u instructions\n", p.len);
	ask_all(&p, with_wide, pf__supervisor_token(s));
	pf__free(p.filter);
	pf__supervisor_free(s);
}

static void narrow_alone(void **state)
{
	(void)state;
	check(false, false);
}

static void wide_before_narrow(void **state)
{
	(void)state;
	check(true, true);
}

static void narrow_before_wide(void **state)
{
	(void)state;
	check(true, false);
}

static void tokens_differ(void **state)
{
	struct pf__supervisor *a, *b;

	(void)state;
	assert_err(pf__supervisor_new(&a), 0);
	assert_err(pf__supervisor_new(&b), 0);
	assert_true(pf__supervisor_token(a) != pf__supervisor_token(b));
	pf__supervisor_free(a);
	pf__supervisor_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(narrow_alone),
	    cmocka_unit_test(wide_before_narrow),
	    cmocka_unit_test(narrow_before_wide),
	    cmocka_unit_test(tokens_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
