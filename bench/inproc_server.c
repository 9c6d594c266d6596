/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server inside the process: a root directory, a file "data" in it and a directory "many" of N
 * files, all answered at once from what came in, with no memory of its own per file. Thread-safe.
 */
#include "bench.h"
#include <errno.h>
#include <linux/fuse.h>
#include <portfire/portfire.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { INO_ROOT = FUSE_ROOT_ID, INO_DATA, INO_MANY, INO_FIRST };

#define NAME_SIZE    9 /* f0000000 and its NUL */
#define READDIR_ROOM (64 << 10)
#define FOREVER      1000000

struct inproc_server {
	unsigned files;
	uint64_t attr_valid;
	atomic_ulong requests;
};

static void reply(struct pf_inproc *channel, uint64_t unique, const void *body, size_t size)
{
	struct fuse_out_header out = {.len = sizeof(out) + size, .unique = unique};
	struct iovec iov[2] = {{&out, sizeof(out)}, {(void *)body, size}};

	pf_inproc_reply(channel, iov, size ? 2 : 1);
}

static void reply_error(struct pf_inproc *channel, uint64_t unique, int error)
{
	struct fuse_out_header out = {.len = sizeof(out), .error = -error, .unique = unique};
	struct iovec iov = {&out, sizeof(out)};

	pf_inproc_reply(channel, &iov, 1);
}

static void fill_attr(uint64_t ino, struct fuse_attr *attr)
{
	bool dir = ino == INO_ROOT || ino == INO_MANY;

	*attr = (struct fuse_attr){.ino = ino,
				   .nlink = dir ? 2 : 1,
				   .mode = dir ? S_IFDIR | 0755 : S_IFREG | 0644,
				   .blksize = 4096};
}

static void fill_entry(const struct inproc_server *server, uint64_t ino, struct fuse_entry_out *e)
{
	*e = (struct fuse_entry_out){
	    .nodeid = ino, .entry_valid = FOREVER, .attr_valid = server->attr_valid};
	fill_attr(ino, &e->attr);
}

static void make_name(unsigned n, char name[NAME_SIZE])
{
	name[0] = 'f';
	name[NAME_SIZE - 1] = 0;
	for (int digit = NAME_SIZE - 2; digit > 0; digit--, n /= 10)
		name[digit] = '0' + n % 10;
}

static uint64_t find(const struct inproc_server *server, uint64_t parent, const char *name)
{
	unsigned long n;

	if (parent == INO_ROOT)
		return !strcmp(name, "data") ? INO_DATA : !strcmp(name, "many") ? INO_MANY : 0;
	if (parent != INO_MANY || name[0] != 'f')
		return 0;
	n = strtoul(name + 1, NULL, 10);
	return n < server->files ? INO_FIRST + n : 0;
}

static void answer_readdirplus(struct inproc_server *server, struct pf_inproc *channel,
			       const struct fuse_in_header *in)
{
	const struct fuse_read_in *arg = (const void *)(in + 1);
	const size_t one = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + NAME_SIZE - 1);
	size_t room = arg->size < READDIR_ROOM ? arg->size : READDIR_ROOM, used = 0;
	char buf[READDIR_ROOM] __attribute__((aligned(8))), name[NAME_SIZE];
	struct fuse_direntplus *d;

	for (uint64_t n = arg->offset;
	     in->nodeid == INO_MANY && n < server->files && used + one <= room; n++) {
		d = (void *)(buf + used);
		memset(d, 0, one);
		make_name(n, name);
		fill_entry(server, INO_FIRST + n, &d->entry_out);
		d->dirent =
		    (struct fuse_dirent){INO_FIRST + n, n + 1, NAME_SIZE - 1, S_IFREG >> 12};
		memcpy(d->dirent.name, name, NAME_SIZE - 1);
		used += one;
	}
	reply(channel, in->unique, buf, used);
}

static void answer_init(struct pf_inproc *channel, const struct fuse_in_header *in)
{
	const struct fuse_init_in *arg = (const void *)(in + 1);
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
				    .minor = FUSE_KERNEL_MINOR_VERSION,
				    .max_readahead = arg->max_readahead,
				    .flags =
					arg->flags & (FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS),
				    .max_write = 1 << 20,
				    .time_gran = 1};

	reply(channel, in->unique, &out, sizeof(out));
}

static void answer_lookup(struct inproc_server *server, struct pf_inproc *channel,
			  const struct fuse_in_header *in)
{
	uint64_t ino = find(server, in->nodeid, (const char *)(in + 1));
	struct fuse_entry_out entry;

	if (!ino) {
		reply_error(channel, in->unique, ENOENT);
		return;
	}
	fill_entry(server, ino, &entry);
	reply(channel, in->unique, &entry, sizeof(entry));
}

static void request(void *ctx, struct pf_inproc *channel, const void *message, size_t length)
{
	const struct fuse_in_header *in = message;
	struct inproc_server *server = ctx;
	struct fuse_open_out open = {.open_flags = FOPEN_DIRECT_IO};
	struct fuse_attr_out attr = {.attr_valid = server->attr_valid};

	atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
	switch (in->opcode) {
	case FUSE_GETATTR:
		fill_attr(in->nodeid, &attr.attr);
		reply(channel, in->unique, &attr, sizeof(attr));
		break;
	case FUSE_LOOKUP:
		answer_lookup(server, channel, in);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		reply(channel, in->unique, &open, sizeof(open));
		break;
	case FUSE_READDIRPLUS:
		answer_readdirplus(server, channel, in);
		break;
	case FUSE_INIT:
		answer_init(channel, in);
		break;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
	case FUSE_DESTROY:
		reply_error(channel, in->unique, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply_error(channel, in->unique, ENOSYS);
	}
}

struct inproc_server *inproc_server_start(struct pf_fs **fs, unsigned files, double attr_timeout)
{
	static const struct pf_inproc_ops ops = {.request = request};
	struct inproc_server *server = calloc(1, sizeof(*server));
	struct pf_options options = PF_OPTIONS_INIT;

	if (!server)
		return NULL;
	server->files = files;
	server->attr_valid = attr_timeout;
	options.max_names = files + files / 4 + 1000;
	if (pf_attach_inproc(fs, &ops, server, &options)) {
		free(server);
		return NULL;
	}
	return server;
}

unsigned long inproc_server_requests(const struct inproc_server *server)
{
	return atomic_load(&server->requests);
}

void inproc_server_free(struct inproc_server *server)
{
	free(server);
}
