/* SPDX-License-Identifier: BSD-2-Clause */
/* What -p keeps. ACLs are extended attributes of their own names and need no other care. */
#include "cp.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SET_IDS = S_ISUID | S_ISGID };

/*
 * The owner, where we may: it is no failure when an ordinary user cannot give files away. The
 * set-ID bits are only kept along with the ids that they are about.
 */
static int keep_owner(int err, const struct stat *st, mode_t *mode)
{
	if (!err)
		return 0;
	*mode &= ~(mode_t)SET_IDS;
	return err == -EPERM || err == -EINVAL || err == -EACCES ? 0 : err;
}

static int chown_open(struct file *dst, const struct stat *st, mode_t *mode)
{
	int err = file_fchown(dst, st->st_uid, st->st_gid);

	if (err == -EPERM)
		file_fchown(dst, (uid_t)-1, st->st_gid);
	return keep_owner(err, st, mode);
}

/* ---- extended attributes ---------------------------------------------------------------- */

/* What the target cannot have, or we may not give it, is left out in silence, as cp -p does. */
static bool tolerable(int err)
{
	return err == -EOPNOTSUPP || err == -EPERM || err == -EACCES || err == -ENOSYS ||
	       err == -ENODATA;
}

static int copy_xattr(struct file *src, struct file *dst, const char *name)
{
	ssize_t size = file_fgetxattr(src, name, NULL, 0);
	void *value;
	int err;

	if (size < 0)
		return tolerable((int)size) ? 0 : (int)size;
	value = malloc(size ? (size_t)size : 1);
	if (!value)
		return -ENOMEM;
	size = file_fgetxattr(src, name, value, (size_t)size);
	err = size < 0 ? (int)size : file_fsetxattr(dst, name, value, (size_t)size);
	free(value);
	return tolerable(err) ? 0 : err;
}

static int copy_xattrs(struct file *src, struct file *dst)
{
	ssize_t size = file_flistxattr(src, NULL, 0);
	char *list;
	int err = 0;

	if (size <= 0)
		return 0;
	list = malloc((size_t)size + 1);
	if (!list)
		return -ENOMEM;
	size = file_flistxattr(src, list, (size_t)size);
	if (size < 0)
		size = 0;
	list[size] = '\0';
	for (char *name = list; name < list + size && !err; name += strlen(name) + 1)
		err = copy_xattr(src, dst, name);
	free(list);
	return err;
}

/* ---- the calls -------------------------------------------------------------------------- */

int cp_preserve_open(struct file *src, struct file *dst, const struct stat *st)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};
	mode_t mode = st->st_mode & 07777;
	int err = chown_open(dst, st, &mode);

	/* The mode after the owner, whose change drops set-ID bits; the times after everything. */
	if (!err)
		err = copy_xattrs(src, dst);
	if (!err)
		err = file_fchmod(dst, mode);
	if (!err)
		err = file_futimens(dst, times);
	return err;
}

int cp_preserve_name(const struct file *dir, const char *name, const struct stat *st)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};
	mode_t mode = st->st_mode & 07777;
	int err;

	err = file_fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW);
	err = keep_owner(err, st, &mode);
	if (!err && !S_ISLNK(st->st_mode))
		err = file_fchmodat(dir, name, mode);
	if (!err)
		err = file_utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
	return err;
}
