// SPDX-License-Identifier: BSD-2-Clause
/*
 * A server in the same process: a file system with one file, "hello", without a socket or a second
 * process. The structures are those of <linux/fuse.h>; the client asks for nothing newer than 7.31
 * here, so that any Debian's header will do.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <portfire/portfire.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HELLO_ID 2
static const char text[] = "Hello from this very process!\n";

static void reply(struct pf_inproc *ch, const struct fuse_in_header *in, int error,
		  const void *body, size_t len)
{
	struct fuse_out_header out = {
	    .len = sizeof(out) + len, .error = error, .unique = in->unique};
	struct iovec iov[2] = {{&out, sizeof(out)}, {(void *)body, len}};

	pf_inproc_reply(ch, iov, len ? 2 : 1);
}

static struct fuse_attr attr(uint64_t nodeid)
{
	struct fuse_attr a = {.ino = nodeid, .nlink = 1, .mode = S_IFDIR | 0755};

	if (nodeid == HELLO_ID) {
		a.mode = S_IFREG | 0444;
		a.size = sizeof(text) - 1;
	}
	return a;
}

static void lookup(struct pf_inproc *ch, const struct fuse_in_header *in, const char *name)
{
	struct fuse_entry_out e = {
	    .nodeid = HELLO_ID, .entry_valid = 60, .attr_valid = 60, .attr = attr(HELLO_ID)};

	if (strcmp(name, "hello"))
		reply(ch, in, -ENOENT, NULL, 0);
	else
		reply(ch, in, 0, &e, sizeof(e));
}

static void read_file(struct pf_inproc *ch, const struct fuse_in_header *in,
		      const struct fuse_read_in *r)
{
	size_t size = sizeof(text) - 1, n = 0;

	if (r->offset < size)
		n = size - r->offset < r->size ? size - r->offset : r->size;
	reply(ch, in, 0, text + (n ? r->offset : 0), n);
}

static void request(void *ctx, struct pf_inproc *ch, const void *message, size_t length)
{
	const struct fuse_in_header *in = message;
	const void *arg = in + 1;
	struct pf_inproc **channel = ctx;
	struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 131072};
	struct fuse_attr_out attr_out = {.attr_valid = 60, .attr = attr(in->nodeid)};
	struct fuse_open_out open = {.fh = 1};

	switch (in->opcode) {
	case FUSE_INIT:
		*channel = ch; /* to be given back in the end */
		reply(ch, in, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		lookup(ch, in, arg);
		break;
	case FUSE_GETATTR:
		reply(ch, in, 0, &attr_out, sizeof(attr_out));
		break;
	case FUSE_OPEN:
		reply(ch, in, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		read_file(ch, in, arg);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		break; /* no answer */
	case FUSE_RELEASE:
	case FUSE_DESTROY:
		reply(ch, in, 0, NULL, 0);
		break;
	default:
		reply(ch, in, -ENOSYS, NULL, 0);
	}
	(void)length;
}

int main(void)
{
	const struct pf_inproc_ops ops = {.request = request};
	struct pf_inproc *channel = NULL;
	struct pf_file *f;
	struct pf_fs *fs;
	char buf[100];
	ssize_t n;

	if (pf_attach_inproc(&fs, &ops, &channel, NULL) < 0 ||
	    pf_open(fs, "/hello", 0, 0, &f) < 0) {
		fprintf(stderr, "%s\n", pf_error());
		return 1;
	}
	n = pf_pread(f, buf, sizeof(buf), 0);
	fwrite(buf, 1, n > 0 ? n : 0, stdout);
	pf_close(f);
	pf_stop(fs);
	pf_inproc_close(channel);
	return n != sizeof(text) - 1;
}
