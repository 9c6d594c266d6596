/* SPDX-License-Identifier: BSD-2-Clause */
/* access(2). */
#include "base/errmsg.h"
#include "vfs/names.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int access_at(const struct pf__from *f, const char *path, int mode, int flags)
{
	unsigned walk = (flags & AT_SYMLINK_NOFOLLOW ? 0 : PF_WALK_FOLLOW) |
			(flags & AT_EMPTY_PATH ? PF_WALK_EMPTY : 0);
	struct pf__inode *inode;
	int err;

	if ((mode & ~(R_OK | W_OK | X_OK)) ||
	    (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS)))
		return -EINVAL;
	for (int again = 0;; again++) {
		err = pf__walk(f, path, walk, &inode);
		if (!err) {
			err = pf__access(f, inode, (unsigned)mode);
			pf__inode_put(f->super->cache, inode);
		}
		if (err != -ESTALE || again)
			return err;
		walk |= PF_WALK_REVAL;
	}
}

int pf_access(struct pf_fs *fs, const char *path, int mode)
{
	struct pf__from f;
	int err = pf__from_fs(&f, fs);

	if (!err)
		err = access_at(&f, path, mode, 0);
	return err ? pf__fail_op(err, "access", path) : 0;
}

/* Callers have one uid, so that AT_EACCESS makes no difference. */
int pf_faccessat(struct pf_file *dir, const char *path, int mode, int flags)
{
	struct pf__from f;
	int err = pf__from_file(&f, dir);

	if (!err)
		err = access_at(&f, path, mode, flags);
	return err ? pf__fail_op(err, "access", path) : 0;
}
