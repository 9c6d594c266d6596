/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioctl(2), restricted as the kernel restricts it for mounted file systems: the command's own
 * number says how many bytes go each way, and the server may not ask for others.
 */
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>
#include <linux/fs.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define DIR_IOCTL_SINCE 18 /* minor */

/* Bytes each way. The numbers of the two flag calls say long, their data is an int. */
static void sizes(unsigned long cmd, uint32_t *in, uint32_t *out)
{
	uint32_t size = _IOC_SIZE(cmd);

	if (cmd == FS_IOC_GETFLAGS || cmd == FS_IOC_SETFLAGS)
		size = sizeof(int);
	*in = _IOC_DIR(cmd) & _IOC_WRITE ? size : 0;
	*out = _IOC_DIR(cmd) & _IOC_READ ? size : 0;
}

static int control(struct pf__open_file *of, unsigned long cmd, void *arg)
{
	struct fuse_ioctl_in in = {.fh = of->io.fh,
				   .flags = of->is_dir ? FUSE_IOCTL_DIR : 0,
				   .cmd = (uint32_t)cmd,
				   .arg = (uintptr_t)arg};
	struct fuse_ioctl_out out;
	struct pf__from f;
	struct pf__req r;

	if (of->is_dir && of->super->got->dialect.minor < DIR_IOCTL_SINCE)
		return -ENOTTY;
	pf__from_open(&f, of);
	r.error = pf__caller_allowed(of->super, &f.caller);
	if (r.error)
		return r.error;
	sizes(cmd, &in.in_size, &in.out_size);
	if ((in.in_size || in.out_size) && !arg)
		return -EFAULT;
	pf__req_init(&r, &f.caller, FUSE_IOCTL, pf__inode_nodeid(of->inode));
	pf__req_in(&r, &in, sizeof in);
	if (in.in_size)
		pf__req_in(&r, arg, in.in_size);
	pf__req_out(&r, &out, sizeof out);
	if (in.out_size)
		pf__req_out(&r, arg, in.out_size);
	r.expect_size = in.out_size;
	pf__request(of->super->conn, &r);
	if (r.error)
		return r.error == -ENOSYS ? -ENOTTY : r.error;
	return out.result == -ENOSYS ? -ENOTTY : out.result;
}

int pf_ioctl(struct pf_file *file, unsigned long cmd, void *arg)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of);

	if (!r)
		r = control(of, cmd, arg);
	return r < 0 ? pf__fail_op(r, "ioctl", NULL) : r;
}
