// SPDX-License-Identifier: BSD-2-Clause
#include "tests/hostile/answers.h"
#include "base/arith.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NODES    40 /* nodes 2 .. 41 */
#define ENTRY_98 120
#define ATTR_98  96

int answers_errno(struct dice *d)
{
	static const int some[] = {ENOENT, EIO,       EAGAIN, EINTR,    ENOSYS, ESTALE,     EACCES,
				   EPERM,  ENODEV,    EEXIST, ENOTDIR,  EISDIR, EOPNOTSUPP, ERANGE,
				   ENOMEM, ETIMEDOUT, ELOOP,  ENOTCONN, EINVAL, ENOSPC};

	return dice_hit(d, 100) ? 1 + (int)dice_below(d, 511)
				: some[dice_below(d, PF_ARRAY_SIZE(some))];
}

static uint32_t mode_of(uint64_t nodeid)
{
	static const uint32_t modes[] = {S_IFREG | 0644, S_IFDIR | 0755, S_IFREG | 06777,
					 S_IFLNK | 0777, S_IFDIR | 01777};

	return nodeid == FUSE_ROOT_ID ? S_IFDIR | 0755 : modes[nodeid % PF_ARRAY_SIZE(modes)];
}

static uint64_t child_of(uint64_t parent, const char *name)
{
	return 2 + (parent * 7 + (unsigned char)name[0]) % NODES;
}

static void attr_fill(struct fuse_attr *a, uint64_t nodeid, uint32_t mode)
{
	*a = (struct fuse_attr){.ino = nodeid,
				.size = nodeid * 1000,
				.blocks = 8,
				.mtime = 1700000000,
				.mode = mode,
				.nlink = 1,
				.blksize = 4096};
}

static uint64_t validity(struct dice *d)
{
	return dice_hit(d, 500) ? dice_below(d, 2) : dice_odd(d);
}

static void entry_fill(struct hostile *h, struct fuse_entry_out *e, uint64_t nodeid, uint32_t mode)
{
	*e = (struct fuse_entry_out){.nodeid = nodeid,
				     .generation = dice_hit(&h->dice, 20),
				     .entry_valid = validity(&h->dice),
				     .attr_valid = validity(&h->dice)};
	attr_fill(&e->attr, nodeid, mode);
}

static size_t put_entry(struct hostile *h, unsigned char *body, uint64_t nodeid, uint32_t mode)
{
	entry_fill(h, (struct fuse_entry_out *)body, nodeid, mode);
	return h->minor < 9 ? ENTRY_98 : sizeof(struct fuse_entry_out);
}

static size_t put_attr(struct hostile *h, unsigned char *body, uint64_t nodeid)
{
	struct fuse_attr_out *o = (struct fuse_attr_out *)body;

	*o = (struct fuse_attr_out){.attr_valid = validity(&h->dice)};
	attr_fill(&o->attr, nodeid, mode_of(nodeid));
	return h->minor < 9 ? ATTR_98 : sizeof(*o);
}

static size_t put_open(struct hostile *h, unsigned char *body, bool dir)
{
	struct fuse_open_out *o = (struct fuse_open_out *)body;
	uint32_t flags = dice_hit(&h->dice, 500) ? 0 : dice_next(&h->dice) & 0xff;

	if (!dice_hit(&h->dice, 50))
		flags &= ~FOPEN_PASSTHROUGH;
	*o = (struct fuse_open_out){.fh = 1 + dir, .open_flags = flags};
	return sizeof(*o);
}

static size_t put_create(struct hostile *h, unsigned char *body, uint64_t nodeid)
{
	size_t n = put_entry(h, body, nodeid, S_IFREG | 0644);

	return n + put_open(h, body + n, false);
}

static size_t put_init(struct hostile *h, unsigned char *body)
{
	struct fuse_init_out *o = (struct fuse_init_out *)body;
	uint64_t flags = dice_next(&h->dice);
	struct dice *d = &h->dice;

	if (dice_hit(d, 200)) /* mostly the ones that change much are not all there */
		flags &= dice_next(d);
	*o = (struct fuse_init_out){.major = 7,
				    .minor = h->minor,
				    .max_readahead = dice_odd(d),
				    .flags = (uint32_t)flags,
				    .max_background = dice_odd(d),
				    .congestion_threshold = dice_odd(d),
				    .max_write = dice_hit(d, 500) ? 128u << 10 : dice_odd(d),
				    .time_gran = dice_odd(d),
				    .max_pages = dice_odd(d),
				    .flags2 = flags >> 32,
				    .request_timeout = dice_hit(d, 100) ? dice_below(d, 5) : 0};
	return h->minor < 23 ? 24 : sizeof(*o);
}

static size_t put_records(struct hostile *h, const struct fuse_in_header *in, unsigned char *body,
			  bool plus)
{
	const struct fuse_read_in *r = (const void *)(in + 1);
	size_t head = plus ? sizeof(struct fuse_direntplus) : sizeof(struct fuse_dirent), len = 0;
	bool endless = dice_hit(&h->dice, 200), same = dice_hit(&h->dice, 200);
	unsigned n = dice_hit(&h->dice, 100) ? 1000 : 8;

	if (r->offset > 100 && !endless)
		return 0;
	for (unsigned i = 0; i < n && len + head + 8 <= r->size; i++) {
		char name[8] = {same ? 'a' : (char)('a' + dice_below(&h->dice, 8)), 0};
		uint64_t nodeid = child_of(in->nodeid, name);
		struct fuse_dirent *d = (struct fuse_dirent *)(body + len);

		if (plus) {
			struct fuse_direntplus *p = (struct fuse_direntplus *)(body + len);

			entry_fill(h, &p->entry_out, dice_hit(&h->dice, 100) ? 0 : nodeid,
				   mode_of(nodeid));
			d = &p->dirent;
		}
		if (dice_hit(&h->dice, 50))
			memcpy(name, "..", 3);
		*d = (struct fuse_dirent){.ino = nodeid,
					  .off = same ? r->offset : r->offset + i + 1,
					  .namelen = strlen(name),
					  .type = mode_of(nodeid) >> 12};
		memcpy(body + len + head, name, 8);
		len += head + 8;
	}
	return len;
}

static size_t put_link(struct hostile *h, unsigned char *body)
{
	static const char *const to[] = {"a",         "../b", "/c/d", "h/../a", ".",    "/",
					 "b/b/b/b/b", "..",   "//",   "d",      "./e/", "f"};
	const char *t = to[dice_below(&h->dice, PF_ARRAY_SIZE(to))];

	if (dice_hit(&h->dice, 50)) {
		memset(body, 'x', 4095);
		return 4095;
	}
	memcpy(body, t, strlen(t));
	return strlen(t);
}

static size_t put_xattr(struct hostile *h, const struct fuse_in_header *in, unsigned char *body)
{
	const struct fuse_getxattr_in *x = (const void *)(in + 1);
	struct fuse_getxattr_out *o = (struct fuse_getxattr_out *)body;
	static const char list[] = "user.a\0user.b";

	if (!x->size) {
		*o = (struct fuse_getxattr_out){
		    .size = dice_hit(&h->dice, 500) ? sizeof(list) : dice_odd(&h->dice)};
		return sizeof(*o);
	}
	if (in->opcode == FUSE_GETXATTR && dice_hit(&h->dice, 500)) {
		size_t n = dice_next(&h->dice) % (x->size + 1);

		for (size_t i = 0; i < n; i++)
			body[i] = dice_hit(&h->dice, 800) ? (i & 3) == 0 : dice_next(&h->dice);
		if (n >= 4)
			memcpy(body, "\2\0\0\0", 4); /* looks like an ACL */
		return n;
	}
	memcpy(body, list, sizeof(list));
	return x->size < sizeof(list) ? 0 : sizeof(list);
}

static size_t put_lock(struct hostile *h, unsigned char *body)
{
	struct fuse_lk_out *o = (struct fuse_lk_out *)body;

	*o = (struct fuse_lk_out){
	    .lk = {.start = 0, .end = dice_odd(&h->dice), .type = dice_below(&h->dice, 4)}};
	return sizeof(*o);
}

static size_t put_statx(struct hostile *h, const struct fuse_in_header *in, unsigned char *body)
{
	struct fuse_statx_out *o = (struct fuse_statx_out *)body;

	*o = (struct fuse_statx_out){.attr_valid = validity(&h->dice)};
	o->stat.mask = dice_hit(&h->dice, 500) ? STATX_BASIC_STATS : dice_next(&h->dice);
	o->stat.mode = mode_of(in->nodeid);
	return sizeof(*o);
}

static size_t put_ioctl(struct hostile *h, const struct fuse_in_header *in, unsigned char *body)
{
	const struct fuse_ioctl_in *i = (const void *)(in + 1);
	struct fuse_ioctl_out *o = (struct fuse_ioctl_out *)body;
	size_t n = i->out_size ? dice_next(&h->dice) % (i->out_size + 1) : 0;

	*o = (struct fuse_ioctl_out){.result = dice_hit(&h->dice, 500) ? 0 : dice_odd(&h->dice),
				     .flags =
					 dice_hit(&h->dice, 100) ? dice_below(&h->dice, 32) : 0};
	memset(o + 1, 'i', n);
	return sizeof(*o) + n;
}

static size_t put_some(struct hostile *h, uint32_t size, unsigned char *body)
{
	size_t n = dice_hit(&h->dice, 700) ? size : dice_next(&h->dice) % ((uint64_t)size + 1);

	if (n > HOSTILE_MESSAGE - 16)
		n = HOSTILE_MESSAGE - 16;
	memset(body, 'r', n);
	return n;
}

static size_t put_number(unsigned char *body, size_t size, uint64_t n)
{
	memset(body, 0, size);
	memcpy(body, &n, 8);
	return size;
}

static size_t put_write(unsigned char *body, uint32_t n)
{
	return put_number(body, sizeof(struct fuse_write_out), n);
}

static size_t right_names(struct hostile *h, const struct fuse_in_header *in, unsigned char *body,
			  int32_t *error)
{
	const char *arg = (const char *)(in + 1);

	switch (in->opcode) {
	case FUSE_LOOKUP:
		if (arg[0] == 'h') {
			*error = dice_hit(&h->dice, 500) ? -ENOENT : 0;
			return put_entry(h, body, 0, 0);
		}
		return put_entry(h, body, child_of(in->nodeid, arg),
				 mode_of(child_of(in->nodeid, arg)));
	case FUSE_MKDIR:
		return put_entry(h, body, 2 + dice_below(&h->dice, NODES), S_IFDIR | 0755);
	case FUSE_SYMLINK:
		return put_entry(h, body, 2 + dice_below(&h->dice, NODES), S_IFLNK | 0777);
	case FUSE_MKNOD:
		return put_entry(h, body, 2 + dice_below(&h->dice, NODES),
				 ((const struct fuse_mknod_in *)arg)->mode);
	default: { /* LINK */
		uint64_t old = ((const struct fuse_link_in *)arg)->oldnodeid;

		return put_entry(h, body, old, mode_of(old));
	}
	}
}

size_t answers_right(struct hostile *h, const struct fuse_in_header *in, unsigned char *body,
		     int32_t *error)
{
	const void *arg = in + 1;

	switch (in->opcode) {
	case FUSE_INIT:
		return put_init(h, body);
	case FUSE_LOOKUP:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_MKNOD:
	case FUSE_LINK:
		return right_names(h, in, body, error);
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		return put_create(h, body, 2 + dice_below(&h->dice, NODES));
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return put_attr(h, body, in->nodeid);
	case FUSE_STATX:
		return put_statx(h, in, body);
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		return put_open(h, body, in->opcode == FUSE_OPENDIR);
	case FUSE_READ:
		return put_some(h, ((const struct fuse_read_in *)arg)->size, body);
	case FUSE_WRITE:
		return put_write(body, ((const struct fuse_write_in *)arg)->size);
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return put_records(h, in, body, in->opcode == FUSE_READDIRPLUS);
	case FUSE_READLINK:
		return put_link(h, body);
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return put_xattr(h, in, body);
	case FUSE_STATFS:
		return put_number(body, h->minor < 4 ? 48 : sizeof(struct fuse_statfs_out), 100);
	case FUSE_GETLK:
		return put_lock(h, body);
	case FUSE_IOCTL:
		return put_ioctl(h, in, body);
	case FUSE_POLL:
		return put_number(body, sizeof(struct fuse_poll_out), dice_odd(&h->dice));
	case FUSE_LSEEK:
		return put_number(body, sizeof(struct fuse_lseek_out), dice_odd(&h->dice));
	case FUSE_COPY_FILE_RANGE:
		return put_write(body, dice_below(&h->dice, 5000));
	case FUSE_COPY_FILE_RANGE_64:
		return put_number(body, sizeof(struct fuse_copy_file_range_out),
				  dice_below(&h->dice, 5000));
	case FUSE_INTERRUPT:
		*error = dice_hit(&h->dice, 950) ? -EAGAIN : -ENOSYS;
		return 0;
	default:
		return 0;
	}
}

void answers_absurd(struct hostile *h, uint32_t opcode, unsigned char *body, size_t len)
{
	struct fuse_entry_out *e = (struct fuse_entry_out *)body;
	struct dice *d = &h->dice;

	if (opcode == FUSE_LOOKUP && len >= ENTRY_98 && dice_hit(d, 700)) {
		static const uint64_t nodes[] = {0, 1, 2, 3, 4, 5, 6, UINT64_MAX};

		e->nodeid = nodes[dice_below(d, PF_ARRAY_SIZE(nodes))];
		e->attr.mode = mode_of(dice_below(d, 5));
		e->attr.flags = dice_hit(d, 300) ? dice_below(d, 4) : 0;
	}
	if ((opcode == FUSE_GETATTR || opcode == FUSE_SETATTR) && len >= ATTR_98 &&
	    dice_hit(d, 500)) {
		struct fuse_attr_out *o = (struct fuse_attr_out *)body;

		o->attr.size = dice_odd(d);
		o->attr.mode = mode_of(dice_below(d, 5));
	}
}

/* ---- notifications */

static size_t notify_entry(struct hostile *h, unsigned char *msg, int32_t *code)
{
	struct dice *d = &h->dice;
	struct fuse_out_header *o = (struct fuse_out_header *)msg;
	uint64_t parent = dice_below(d, 43);
	char name[2] = {(char)('a' + dice_below(d, 8)), 0};

	if (*code == FUSE_NOTIFY_DELETE) {
		struct fuse_notify_delete_out *n = (void *)(o + 1);

		*n = (struct fuse_notify_delete_out){
		    .parent = parent, .child = child_of(parent, name), .namelen = 1};
		memcpy(n + 1, name, 2);
		return sizeof(*n) + 2;
	} else {
		struct fuse_notify_inval_entry_out *n = (void *)(o + 1);

		*n = (struct fuse_notify_inval_entry_out){
		    .parent = parent, .namelen = 1, .flags = dice_below(d, 3)};
		memcpy(n + 1, name, 2);
		return sizeof(*n) + 2;
	}
}

static size_t notify_data(struct hostile *h, unsigned char *body, int32_t code)
{
	struct fuse_notify_retrieve_out *r = (void *)body;
	struct fuse_notify_store_out *s = (void *)body;
	struct dice *d = &h->dice;

	if (code == FUSE_NOTIFY_RETRIEVE) {
		*r = (struct fuse_notify_retrieve_out){.notify_unique = dice_next(d),
						       .nodeid = dice_below(d, 43),
						       .offset = dice_odd(d),
						       .size = dice_odd(d)};
		return sizeof(*r);
	}
	*s = (struct fuse_notify_store_out){
	    .nodeid = dice_below(d, 43), .offset = dice_odd(d), .size = dice_below(d, 5000)};
	memset(s + 1, 's', s->size);
	return sizeof(*s) + s->size;
}

static size_t notify_body(struct hostile *h, unsigned char *msg, int32_t *code)
{
	unsigned char *body = msg + sizeof(struct fuse_out_header);
	struct dice *d = &h->dice;
	uint64_t words[64];
	size_t n;

	switch (*code) {
	case FUSE_NOTIFY_INVAL_ENTRY:
	case FUSE_NOTIFY_DELETE:
		return notify_entry(h, msg, code);
	case FUSE_NOTIFY_STORE:
	case FUSE_NOTIFY_RETRIEVE:
		return notify_data(h, body, *code);
	case FUSE_NOTIFY_INVAL_INODE:
		words[0] = dice_below(d, 43);
		words[1] = dice_odd(d);
		words[2] = dice_odd(d);
		memcpy(body, words, 24);
		return 24;
	case FUSE_NOTIFY_POLL:
		return put_number(body, 8, dice_below(d, 20));
	case FUSE_NOTIFY_PRUNE:
		n = dice_below(d, 60);
		memset(body, 0, 16);
		memcpy(body, &n, 4);
		for (size_t i = 0; i < n; i++)
			words[i] = dice_below(d, 43);
		memcpy(body + 16, words, n * 8);
		return 16 + n * 8;
	}
	n = dice_below(d, 64);
	memset(body, dice_below(d, 256), n);
	return *code == FUSE_NOTIFY_RESEND || *code == FUSE_NOTIFY_INC_EPOCH ? 0 : n;
}

size_t answers_notify(struct hostile *h, unsigned char *msg)
{
	struct fuse_out_header *o = (struct fuse_out_header *)msg;
	int32_t code = 1 + dice_below(&h->dice, 10);
	size_t body = notify_body(h, msg, &code);

	*o = (struct fuse_out_header){.len = sizeof(*o) + body, .error = code};
	return o->len;
}
