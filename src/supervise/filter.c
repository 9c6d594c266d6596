/* SPDX-License-Identifier: BSD-2-Clause */
/* From the roles' traps to a loaded filter. */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/errmsg.h"
#include "supervise/supervise.h"
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than Debian 12's <linux/seccomp.h>. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static int add_trap(scmp_filter_ctx ctx, const struct pf__trap *t)
{
	struct scmp_arg_cmp cmp[PF_TRAP_TESTS];
	uint32_t action = t->fn ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO(t->refuse);

	if (t->nr < 0)
		return 0;
	for (unsigned i = 0; i < t->ntests; i++)
		cmp[i] = (struct scmp_arg_cmp){t->tests[i].arg, SCMP_CMP_MASKED_EQ,
					       t->tests[i].mask, t->tests[i].value};
	return seccomp_rule_add_array(ctx, action, t->nr, t->ntests, cmp);
}

/* libseccomp writes programs to descriptors only. */
static int export_program(scmp_filter_ctx ctx, struct sock_fprog *prog)
{
	PF_AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
	struct stat st;
	void *code;
	int err;

	if (fd < 0)
		return -errno;
	err = seccomp_export_bpf(ctx, fd);
	if (err < 0)
		return err;
	if (fstat(fd, &st) < 0)
		return -errno;
	code = pf__malloc((size_t)st.st_size);
	if (!code)
		return -ENOMEM;
	if (pread(fd, code, (size_t)st.st_size, 0) != st.st_size) {
		pf__free(code);
		return -EIO;
	}
	prog->filter = code;
	prog->len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
	return 0;
}

int pf__filter_build(const struct pf__supervisor *s, struct sock_fprog *prog)
{
	const struct pf__list *roles = pf__supervisor_roles(s), *pos;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err = ctx ? 0 : -ENOMEM;

	/* Calls by another architecture's numbers (a 32-bit program) are not ours to judge. */
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	for (pos = roles->next; !err && pos != roles; pos = pos->next) {
		const struct pf__role *r = pf__list_entry(pos, struct pf__role, link);

		for (size_t i = 0; !err && i < r->ntraps; i++)
			err = add_trap(ctx, &r->traps[i]);
	}
	if (!err)
		err = export_program(ctx, prog);
	if (ctx)
		seccomp_release(ctx);
	return err ? pf__fail(err, "cannot build the system call filter:") : 0;
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
