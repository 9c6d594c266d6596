/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server that the figures are taken with: an ordinary libfuse 3 low-level server which does as
 * little as a server can, so that what is measured is the way to it and back. It is the same
 * program for every client; nothing in it knows who asks.
 *
 * The tree: /data and /few, files that read as zeros and take writes; /a/b/c/d, a file four deep;
 * /many, a directory of N files f000000 .... Files are opened FOPEN_DIRECT_IO unless -o cached or
 * -o keep (with FOPEN_KEEP_CACHE) say otherwise. -o writeback asks for WRITEBACK_CACHE. Other
 * options: -o size=BYTES,files=N,attr_timeout=SECONDS,entry_timeout=SECONDS,readahead=BYTES and
 * those of libfuse.
 *
 * The file /counters tells how often each operation was called and how many bytes were read and
 * written; what is done to it is not counted. A file and not an xattr: a server that answers
 * GETXATTR is asked by the kernel for security.capability before each write.
 */
#define FUSE_USE_VERSION 34
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	INO_ROOT = FUSE_ROOT_ID,
	INO_DATA,
	INO_A,
	INO_B,
	INO_C,
	INO_D,
	INO_MANY,
	INO_COUNTERS,
	INO_FEW,
	INO_FIRST
};

#define MAX_READ (1u << 20)
#define NAME_LEN 7 /* f000000 */

static struct config {
	unsigned long size;
	unsigned files;
	double attr_timeout;
	double entry_timeout;
	unsigned readahead; /* 0: what the client offers */
	int cached, keep, writeback;
} config = {.size = 1ul << 30, .files = 0, .attr_timeout = 3600, .entry_timeout = 3600};

static const struct fuse_opt config_opts[] = {
    {"size=%lu", offsetof(struct config, size), 0},
    {"files=%u", offsetof(struct config, files), 0},
    {"attr_timeout=%lf", offsetof(struct config, attr_timeout), 0},
    {"entry_timeout=%lf", offsetof(struct config, entry_timeout), 0},
    {"readahead=%u", offsetof(struct config, readahead), 0},
    {"cached", offsetof(struct config, cached), 1},
    {"keep", offsetof(struct config, keep), 1},
    {"writeback", offsetof(struct config, writeback), 1},
    FUSE_OPT_END,
};

static char zeros[MAX_READ];
static uid_t owner;
static char (*names)[NAME_LEN + 1];

#define COUNTERS(X)                                                                                \
	X(lookup)                                                                                  \
	X(forget)                                                                                  \
	X(getattr)                                                                                 \
	X(setattr)                                                                                 \
	X(open)                                                                                    \
	X(read)                                                                                    \
	X(write)                                                                                   \
	X(flush)                                                                                   \
	X(fsync)                                                                                   \
	X(release)                                                                                 \
	X(readdir)                                                                                 \
	X(readdirplus)                                                                             \
	X(bytes_read)                                                                              \
	X(bytes_written)
#define FIELD(name) unsigned long name;
static struct {
	COUNTERS(FIELD)
} counters;

/* ---- the tree ---------------------------------------------------------------------------- */

struct node {
	fuse_ino_t parent;
	const char *name;
	fuse_ino_t ino;
};
static const struct node nodes[] = {
    {INO_ROOT, "data", INO_DATA},
    {INO_ROOT, "a", INO_A},
    {INO_A, "b", INO_B},
    {INO_B, "c", INO_C},
    {INO_C, "d", INO_D},
    {INO_ROOT, "many", INO_MANY},
    {INO_ROOT, "counters", INO_COUNTERS},
    {INO_ROOT, "few", INO_FEW},
};
#define NODES (sizeof(nodes) / sizeof(nodes[0]))

static int is_dir(fuse_ino_t ino)
{
	return ino == INO_ROOT || (ino >= INO_A && ino <= INO_C) || ino == INO_MANY;
}

static void fill_attr(fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){.st_ino = ino, .st_nlink = 1, .st_mode = S_IFREG | 0666};
	st->st_blksize = 4096;
	st->st_uid = owner;
	if (is_dir(ino)) {
		st->st_mode = S_IFDIR | 0777;
		st->st_nlink = 2;
	} else if (ino == INO_DATA || ino == INO_FEW) {
		st->st_size = config.size;
		st->st_blocks = config.size / 512;
	}
}

static fuse_ino_t find(fuse_ino_t parent, const char *name)
{
	unsigned long n;
	char *end;

	for (size_t i = 0; i < NODES; i++)
		if (nodes[i].parent == parent && !strcmp(nodes[i].name, name))
			return nodes[i].ino;
	if (parent != INO_MANY || name[0] != 'f' || strlen(name) != NAME_LEN)
		return 0;
	n = strtoul(name + 1, &end, 10);
	return *end || n >= config.files ? 0 : INO_FIRST + n;
}

/* ---- operations -------------------------------------------------------------------------- */

static void fill_entry(fuse_ino_t ino, struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
	    .ino = ino, .attr_timeout = config.attr_timeout, .entry_timeout = config.entry_timeout};
	fill_attr(ino, &e->attr);
}

static void null_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->want &= ~FUSE_CAP_READDIRPLUS_AUTO; /* READDIRPLUS always */
	if (config.writeback)
		conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
	if (config.readahead && config.readahead < conn->max_readahead)
		conn->max_readahead = config.readahead;
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	fuse_ino_t ino = find(parent, name);

	counters.lookup += ino != INO_COUNTERS;
	if (!ino) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	fill_entry(ino, &e);
	fuse_reply_entry(req, &e);
}

static void null_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	counters.forget++;
	fuse_reply_none(req);
}

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	counters.getattr += ino != INO_COUNTERS;
	fill_attr(ino, &st);
	fuse_reply_attr(req, &st, config.attr_timeout);
}

static void null_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			 struct fuse_file_info *fi)
{
	struct stat st;

	counters.setattr++;
	fill_attr(ino, &st);
	fuse_reply_attr(req, &st, config.attr_timeout);
}

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	counters.open += ino != INO_COUNTERS;
	fi->direct_io = ino == INO_COUNTERS || !(config.cached || config.keep);
	fi->keep_cache = config.keep;
	fuse_reply_open(req, fi);
}

#define FORMAT(name) #name " %lu\n"
#define VALUE(name)  , counters.name
static void read_counters(fuse_req_t req, size_t size, off_t off)
{
	char text[1024];
	size_t len = snprintf(text, sizeof(text), COUNTERS(FORMAT) "%s" COUNTERS(VALUE), "");

	if (off || size < len) /* it is read in one piece */
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, text, len);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	size_t left = off < (off_t)config.size ? config.size - off : 0;

	if (ino == INO_COUNTERS) {
		read_counters(req, size, off);
		return;
	}
	if (size > left)
		size = left;
	if (size > MAX_READ)
		size = MAX_READ;
	counters.read++;
	counters.bytes_read += size;
	fuse_reply_buf(req, zeros, size);
}

static void null_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	counters.write++;
	counters.bytes_written += size;
	fuse_reply_write(req, size);
}

static void null_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	counters.flush += ino != INO_COUNTERS;
	fuse_reply_err(req, 0);
}

static void null_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	counters.fsync++;
	fuse_reply_err(req, 0);
}

static void null_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	counters.release += ino != INO_COUNTERS;
	fuse_reply_err(req, 0);
}

/* The index-th entry of a directory, without "." and "..". */
static const char *child(fuse_ino_t dir, size_t index, fuse_ino_t *ino)
{
	if (dir == INO_MANY) {
		*ino = INO_FIRST + index;
		return index < config.files ? names[index] : NULL;
	}
	for (size_t i = 0; i < NODES; i++) {
		if (nodes[i].parent == dir && !index--) {
			*ino = nodes[i].ino;
			return nodes[i].name;
		}
	}
	return NULL;
}

static void reply_dir(fuse_req_t req, fuse_ino_t dir, size_t size, off_t off, int plus)
{
	static char buf[MAX_READ];
	struct fuse_entry_param e;
	size_t used = 0, len;
	const char *name;
	fuse_ino_t ino;

	if (size > sizeof(buf))
		size = sizeof(buf);
	while ((name = child(dir, off, &ino))) {
		fill_entry(ino, &e);
		off++;
		len = plus ? fuse_add_direntry_plus(req, buf + used, size - used, name, &e, off)
			   : fuse_add_direntry(req, buf + used, size - used, name, &e.attr, off);
		if (len > size - used)
			break;
		used += len;
	}
	fuse_reply_buf(req, buf, used);
}

static void null_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			 struct fuse_file_info *fi)
{
	counters.readdir++;
	reply_dir(req, ino, size, off, 0);
}

static void null_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			     struct fuse_file_info *fi)
{
	counters.readdirplus++;
	reply_dir(req, ino, size, off, 1);
}

static const struct fuse_lowlevel_ops ops = {
    .init = null_init,
    .lookup = null_lookup,
    .forget = null_forget,
    .getattr = null_getattr,
    .setattr = null_setattr,
    .open = null_open,
    .read = null_read,
    .write = null_write,
    .flush = null_flush,
    .fsync = null_fsync,
    .release = null_release,
    .readdir = null_readdir,
    .readdirplus = null_readdirplus,
};

static int make_names(void)
{
	names = calloc(config.files + 1, sizeof(*names));
	if (!names)
		return -1;
	for (unsigned i = 0; i < config.files; i++) {
		unsigned n = i;

		names[i][0] = 'f';
		for (int digit = NAME_LEN - 1; digit > 0; digit--, n /= 10)
			names[i][digit] = '0' + n % 10;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts;
	struct fuse_session *se;
	int ret = 1;

	owner = getuid();
	if (fuse_parse_cmdline(&args, &opts) || !opts.mountpoint ||
	    fuse_opt_parse(&args, &config, config_opts, NULL) || make_names()) {
		fprintf(stderr, "usage: nullserver [-f] [-s] [-o options] mountpoint\n");
		return 1;
	}
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se)
		return 1;
	if (!fuse_set_signal_handlers(se)) {
		if (!fuse_session_mount(se, opts.mountpoint)) {
			fuse_daemonize(opts.foreground);
			ret = fuse_session_loop(se);
			fuse_session_unmount(se);
		}
		fuse_remove_signal_handlers(se);
	}
	fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	free(opts.mountpoint);
	free(names);
	return ret ? 1 : 0;
}
