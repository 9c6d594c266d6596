/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the seeds of fuzz_reply into a directory: a good reply for every operation (the old form
 * too where there is one), some bad ones, and every notification.
 *
 *     build/fuzz/make_corpus fuzz/corpus
 */
#include "input.h"
#include "proto/proto.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *dir;
static struct input_head head;
static char body[4096];
static size_t len;

static void begin(uint32_t opcode, unsigned minor)
{
	head = (struct input_head){.opcode = opcode, .minor = minor, .size = 4096, .nodeid = 40};
	len = 0;
}

static void put(const void *p, size_t n)
{
	memcpy(body + len, p, n);
	len += n;
}

static void pad(void)
{
	while (len % 8)
		body[len++] = 0;
}

static void end(const char *name, int32_t error, uint64_t unique)
{
	struct fuse_out_header out = {.len = sizeof out + len, .error = error, .unique = unique};
	char path[4096];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "wb");
	if (!f || !fwrite(&head, sizeof head, 1, f) || !fwrite(&out, sizeof out, 1, f) ||
	    (len && !fwrite(body, len, 1, f)) || fclose(f)) {
		perror(path);
		exit(1);
	}
}

static struct fuse_attr attr(uint32_t mode)
{
	return (struct fuse_attr){
	    .ino = 5, .size = 12, .blocks = 8, .mode = mode, .nlink = 1, .blksize = 4096};
}

static struct fuse_entry_out entry(uint32_t mode)
{
	return (struct fuse_entry_out){
	    .nodeid = 5, .generation = 1, .entry_valid = 1, .attr_valid = 1, .attr = attr(mode)};
}

static void put_entry(uint32_t mode, unsigned minor)
{
	struct fuse_entry_out e = entry(mode);

	put(&e, minor < 9 ? FUSE_COMPAT_ENTRY_OUT_SIZE : sizeof e);
}

static void put_open(uint32_t flags)
{
	struct fuse_open_out o = {.fh = 7, .open_flags = flags, .backing_id = 1};

	put(&o, sizeof o);
}

static void entries(void)
{
	static const struct {
		const char *name, *old_name;
		uint32_t opcode, mode;
		bool opens;
	} makers[] = {
	    {"lookup", "lookup-7.8", FUSE_LOOKUP, S_IFREG | 0644, false},
	    {"mknod", "mknod-7.8", FUSE_MKNOD, S_IFIFO | 0644, false},
	    {"mkdir", "mkdir-7.8", FUSE_MKDIR, S_IFDIR | 0755, false},
	    {"symlink", "symlink-7.8", FUSE_SYMLINK, S_IFLNK | 0777, false},
	    {"link", "link-7.8", FUSE_LINK, S_IFREG | 0644, false},
	    {"create", "create-7.8", FUSE_CREATE, S_IFREG | 0644, true},
	    {"tmpfile", NULL, FUSE_TMPFILE, S_IFREG | 0644, true},
	};

	for (size_t i = 0; i < 2 * sizeof makers / sizeof makers[0]; i++) {
		unsigned minor = i % 2 ? 8 : 45;
		const char *name = i % 2 ? makers[i / 2].old_name : makers[i / 2].name;

		if (!name)
			continue;
		begin(makers[i / 2].opcode, minor);
		head.mode = makers[i / 2].mode;
		put_entry(makers[i / 2].mode, minor);
		if (makers[i / 2].opens)
			put_open(FOPEN_KEEP_CACHE);
		end(name, 0, 2);
	}
}

static void bad_entries(void)
{
	struct fuse_entry_out e = {.entry_valid = 1};

	begin(FUSE_LOOKUP, 45);
	put(&e, sizeof e);
	end("lookup-negative", 0, 2);
	begin(FUSE_LOOKUP, 45);
	end("lookup-enoent", -2, 2);
	e = entry(S_IFDIR | 0755);
	e.nodeid = FUSE_ROOT_ID;
	begin(FUSE_LOOKUP, 45);
	head.bits = INPUT_DOT;
	put(&e, sizeof e);
	end("lookup-root", 0, 2);
	e.nodeid = 40;
	begin(FUSE_MKDIR, 45);
	put(&e, sizeof e);
	end("mkdir-parent", 0, 2);
	begin(FUSE_LOOKUP, 45);
	put(&e, 100);
	end("lookup-cut", 0, 2);
}

static void attributes(void)
{
	struct fuse_attr_out a = {.attr_valid = 1, .attr = attr(S_IFREG | 0644)};
	struct fuse_statx_out s = {.attr_valid = 1,
				   .stat = {.mask = 0xfff, .mode = S_IFREG | 0644, .size = 12}};

	begin(FUSE_GETATTR, 45);
	head.mode = S_IFREG;
	put(&a, sizeof a);
	end("getattr", 0, 2);
	begin(FUSE_SETATTR, 8);
	put(&a, FUSE_COMPAT_ATTR_OUT_SIZE);
	end("setattr-7.8", 0, 2);
	begin(FUSE_STATX, 45);
	put(&s, sizeof s);
	end("statx", 0, 2);
}

static void open_replies(void)
{
	begin(FUSE_OPEN, 45);
	put_open(FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES);
	end("open", 0, 2);
	begin(FUSE_OPEN, 45);
	head.flags = FUSE_PASSTHROUGH;
	put_open(FOPEN_PASSTHROUGH);
	end("open-passthrough", 0, 2);
	begin(FUSE_OPENDIR, 45);
	put_open(FOPEN_CACHE_DIR);
	end("opendir", 0, 2);
}

static void fixed(const char *name, uint32_t opcode, const void *p, size_t n)
{
	begin(opcode, 45);
	put(p, n);
	end(name, 0, 2);
}

static void fixed_replies(void)
{
	struct fuse_write_out w = {.size = 100};
	struct fuse_statfs_out st = {.st = {.blocks = 100, .bsize = 4096, .namelen = 255}};
	struct fuse_lk_out lk = {{.start = 0, .end = INT64_MAX, .type = 1, .pid = 9}};
	struct fuse_bmap_out bmap = {.block = 3};
	struct fuse_poll_out poll = {.revents = 5};
	struct fuse_lseek_out seek = {.offset = 4096};
	struct fuse_copy_file_range_out copy = {.bytes_copied = 100};

	fixed("write", FUSE_WRITE, &w, sizeof w);
	fixed("statfs", FUSE_STATFS, &st, sizeof st);
	fixed("getlk", FUSE_GETLK, &lk, sizeof lk);
	fixed("bmap", FUSE_BMAP, &bmap, sizeof bmap);
	fixed("poll", FUSE_POLL, &poll, sizeof poll);
	fixed("lseek", FUSE_LSEEK, &seek, sizeof seek);
	fixed("copy_file_range", FUSE_COPY_FILE_RANGE, &w, sizeof w);
	fixed("copy_file_range_64", FUSE_COPY_FILE_RANGE_64, &copy, sizeof copy);
	fixed("unlink", FUSE_UNLINK, "", 0);
	fixed("forget", FUSE_FORGET, "", 0);
}

static void variable_replies(void)
{
	struct fuse_getxattr_out size = {.size = 100};
	struct fuse_ioctl_out io = {.result = 0};
	struct fuse_ioctl_out retry = {.flags = FUSE_IOCTL_RETRY, .in_iovs = 1, .out_iovs = 1};
	struct fuse_ioctl_iovec iov[2] = {{1, 8}, {2, 16}};
	struct cuse_init_out cuse = {.major = 7, .minor = 45};

	fixed("readlink", FUSE_READLINK, "../target", 9);
	fixed("read", FUSE_READ, "some data", 9);
	fixed("getxattr", FUSE_GETXATTR, "value", 5);
	fixed("listxattr", FUSE_LISTXATTR, "user.a\0user.b", 14);
	fixed("listxattr-unterminated", FUSE_LISTXATTR, "user.a\0user.b", 13);
	begin(FUSE_GETXATTR, 45);
	head.size = 0;
	put(&size, sizeof size);
	end("getxattr-size", 0, 2);
	begin(FUSE_IOCTL, 45);
	put(&io, sizeof io);
	put("data", 4);
	end("ioctl", 0, 2);
	begin(FUSE_IOCTL, 45);
	head.bits = INPUT_UNRESTRICTED | INPUT_IOV_MAX;
	put(&retry, sizeof retry);
	put(iov, sizeof iov);
	end("ioctl-retry", 0, 2);
	begin(FUSE_CUSE_INIT, 45);
	put(&cuse, sizeof cuse);
	put("DEVNAME=x", 10);
	end("cuse_init", 0, 2);
}

static void put_record(const char *name, bool plus, uint64_t nodeid)
{
	struct fuse_dirent d = {.ino = 5, .off = len + 1, .namelen = strlen(name), .type = 8};
	struct fuse_entry_out e = entry(S_IFREG | 0644);

	e.nodeid = nodeid;
	if (plus)
		put(&e, sizeof e);
	put(&d, sizeof d);
	put(name, strlen(name));
	pad();
}

static void directories(void)
{
	for (int plus = 0; plus < 2; plus++) {
		uint32_t opcode = plus ? FUSE_READDIRPLUS : FUSE_READDIR;

		begin(opcode, 45);
		put_record(".", plus, 0);
		put_record("..", plus, 0);
		put_record("a file", plus, 6);
		put_record("another", plus, FUSE_ROOT_ID);
		end(plus ? "readdirplus" : "readdir", 0, 2);
		len -= 5;
		end(plus ? "readdirplus-cut" : "readdir-cut", 0, 2);
		begin(opcode, 45);
		put_record("good", plus, 6);
		put_record("not/good", plus, 6);
		end(plus ? "readdirplus-slash" : "readdir-slash", 0, 2);
	}
}

static void inits(void)
{
	struct fuse_init_out out = {.major = 7,
				    .minor = 45,
				    .max_readahead = 131072,
				    .flags = UINT32_MAX,
				    .max_background = 12,
				    .congestion_threshold = 9,
				    .max_write = 131072,
				    .time_gran = 1,
				    .max_pages = 256,
				    .flags2 = UINT32_MAX,
				    .max_stack_depth = 1,
				    .request_timeout = 30};

	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"init", "init-7.22", "init-7.4"};
		static const size_t sizes[] = {64, 24, 8};

		begin(FUSE_INIT, 45);
		head.flags = ~0ull;
		head.bits = INPUT_DEFAULT_PERM | INPUT_DAX;
		head.nodeid = 256;
		put(&out, sizes[i]);
		end(names[i], 0, 2);
	}
	begin(FUSE_INIT, 45);
	end("init-refused", -71, 2);
}

static void notification(const char *name, int32_t code, const void *p, size_t n, const char *tail,
			 size_t tail_len)
{
	begin(0, 45);
	put(p, n);
	put(tail, tail_len);
	end(name, code, 0);
}

static void notifications(void)
{
	struct fuse_notify_poll_wakeup_out poll = {.kh = 1};
	struct fuse_notify_inval_inode_out inode = {.ino = 5, .off = 0, .len = -1};
	struct fuse_notify_inval_entry_out name = {.parent = 1, .namelen = 3, .flags = 1};
	struct fuse_notify_store_out store = {.nodeid = 5, .offset = 4096, .size = 4};
	struct fuse_notify_retrieve_out retrieve = {.notify_unique = 9, .nodeid = 5, .size = 10};
	struct fuse_notify_delete_out delete = {.parent = 1, .child = 5, .namelen = 3};
	struct fuse_notify_prune_out prune = {.count = 1};

	notification("notify-poll", FUSE_NOTIFY_POLL, &poll, sizeof poll, "", 0);
	notification("notify-inval_inode", FUSE_NOTIFY_INVAL_INODE, &inode, sizeof inode, "", 0);
	notification("notify-inval_entry", FUSE_NOTIFY_INVAL_ENTRY, &name, sizeof name, "foo", 4);
	notification("notify-store", FUSE_NOTIFY_STORE, &store, sizeof store, "data", 4);
	notification("notify-retrieve", FUSE_NOTIFY_RETRIEVE, &retrieve, sizeof retrieve, "", 0);
	notification("notify-delete", FUSE_NOTIFY_DELETE, &delete, sizeof delete, "foo", 4);
	notification("notify-resend", FUSE_NOTIFY_RESEND, "", 0, "", 0);
	notification("notify-inc_epoch", FUSE_NOTIFY_INC_EPOCH, "", 0, "", 0);
	notification("notify-prune", FUSE_NOTIFY_PRUNE, &prune, sizeof prune, "\5\0\0\0\0\0\0", 8);
	notification("notify-unknown", 99, "", 0, "x", 1);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: make_corpus directory\n");
		return 2;
	}
	dir = argv[1];
	entries();
	bad_entries();
	attributes();
	open_replies();
	fixed_replies();
	variable_replies();
	directories();
	inits();
	notifications();
	return 0;
}
