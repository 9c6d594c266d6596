/* SPDX-License-Identifier: BSD-2-Clause */
/* The library as a client: the public calls and nothing else. */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <portfire/portfire.h>
#include <stdlib.h>

#define DEADLINE_MS 60000 /* a benchmark that hangs says so */

static int portfire_start(struct fs *fs, char *const argv[])
{
	struct pf_options options = PF_OPTIONS_INIT;
	int ret;

	options.request_timeout_ms = DEADLINE_MS;
	options.cache_bytes = fs->cache_bytes;
	ret = pf_start(&fs->pf, argv, &options);
	if (ret)
		fail("pf_start: %s", pf_error());
	return ret;
}

static void portfire_stop(struct fs *fs)
{
	pf_stop(fs->pf);
}

static int portfire_open(struct fs *fs, const char *path, int flags, mode_t mode, struct handle *h)
{
	return pf_open(fs->pf, path, flags, mode, &h->file);
}

static int portfire_close(struct handle *h)
{
	return pf_close(h->file);
}

static int portfire_fstat(struct handle *h, struct stat *st)
{
	return pf_fstat(h->file, st);
}

static ssize_t portfire_pread(struct handle *h, void *buf, size_t size, off_t off)
{
	return pf_pread(h->file, buf, size, off);
}

static ssize_t portfire_pwrite(struct handle *h, const void *buf, size_t size, off_t off)
{
	return pf_pwrite(h->file, buf, size, off);
}

static int portfire_fsync(struct handle *h)
{
	return pf_fsync(h->file, 0);
}

static int portfire_stat(struct fs *fs, const char *path, struct stat *st)
{
	return pf_stat(fs->pf, path, st);
}

static int portfire_unlink(struct fs *fs, const char *path)
{
	return pf_unlink(fs->pf, path);
}

static long portfire_list(struct fs *fs, const char *path)
{
	struct pf_dirent entry;
	struct pf_file *dir;
	struct stat st;
	long count = 0;
	int ret = pf_open(fs->pf, path, O_RDONLY | O_DIRECTORY, 0, &dir);

	if (ret)
		return ret;
	while ((ret = pf_readdir(dir, &entry)) > 0) {
		ret = pf_fstatat(dir, entry.name, &st, AT_SYMLINK_NOFOLLOW);
		if (ret)
			break;
		count++;
	}
	pf_close(dir);
	return ret < 0 ? ret : count;
}

static int portfire_give_back(struct fs *fs)
{
	return pf_drop_caches(fs->pf);
}

#define CALLS                                                                                      \
	.open = portfire_open, .close = portfire_close, .fstat = portfire_fstat,                   \
	.pread = portfire_pread, .pwrite = portfire_pwrite, .fsync = portfire_fsync,               \
	.stat = portfire_stat, .unlink = portfire_unlink, .list = portfire_list,                   \
	.give_back = portfire_give_back

const struct client client_portfire = {
    .name = "portfire",
    .start = portfire_start,
    .stop = portfire_stop,
    CALLS,
};

/* ---- the same library, the server in this process ------------------------------------------ */

static int inproc_start(struct fs *fs, char *const argv[])
{
	fs->server = inproc_server_start(&fs->pf, 0, 0);
	if (!fs->server) {
		fail("pf_attach_inproc: %s", pf_error());
		return -EIO;
	}
	return 0;
}

static void inproc_stop(struct fs *fs)
{
	pf_stop(fs->pf);
	inproc_server_free(fs->server);
}

const struct client client_inproc = {
    .name = "inproc",
    .start = inproc_start,
    .stop = inproc_stop,
    CALLS,
};
