/* SPDX-License-Identifier: BSD-2-Clause */
/* What a server sends, as lines of a trace: " = #2 0 {node 5, ...}", "NOTIFY INVAL_INODE(...)". */
#include "base/arith.h"
#include "proto/print.h"
#include <string.h>
#include <sys/sysmacros.h>

typedef unsigned long long ull;

/* Each puts what stands between the braces. */
typedef void print_fn(struct pf__line *l, struct pf__bytes *b);

static const char *const fopen_flags[] = {
    "DIRECT_IO",
    "KEEP_CACHE",
    "NONSEEKABLE",
    "CACHE_DIR",
    "STREAM",
    "NOFLUSH",
    "PARALLEL_DIRECT_WRITES",
    "PASSTHROUGH",
};

static void put_attr(struct pf__line *l, const struct fuse_attr *a)
{
	pf__put(l, "mode 0%o, size %llu", a->mode, (ull)a->size);
	if (a->nlink != 1)
		pf__put(l, ", nlink %u", a->nlink);
	if (a->uid || a->gid)
		pf__put(l, ", owner %u:%u", a->uid, a->gid);
}

static void put_entry(struct pf__line *l, const struct fuse_entry_out *e)
{
	if (e->nodeid) {
		pf__put(l, "node %llu, gen %llu, ", (ull)e->nodeid, (ull)e->generation);
	} else {
		pf__put(l, "negative, entry ");
		pf__put_seconds(l, e->entry_valid, e->entry_valid_nsec);
		return;
	}
	pf__put(l, "entry ");
	pf__put_seconds(l, e->entry_valid, e->entry_valid_nsec);
	pf__put(l, ", attr ");
	pf__put_seconds(l, e->attr_valid, e->attr_valid_nsec);
	pf__put(l, ", ");
	put_attr(l, &e->attr);
}

static void put_open(struct pf__line *l, const struct fuse_open_out *o)
{
	pf__put(l, "fh %llu, ", (ull)o->fh);
	pf__put_flags(l, o->open_flags, fopen_flags, PF_ARRAY_SIZE(fopen_flags));
	if (o->open_flags & FOPEN_PASSTHROUGH)
		pf__put(l, ", backing %d", o->backing_id);
}

/* Take a structure that had compat bytes before 7.9. */
static void take_either(struct pf__bytes *b, void *dst, size_t size, size_t compat, size_t behind)
{
	bool old = b->left == compat + behind;

	memset(dst, 0, size);
	pf__take(b, dst, old ? compat : size);
}

static void print_entry(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_entry_out e;

	take_either(b, &e, sizeof e, FUSE_COMPAT_ENTRY_OUT_SIZE, 0);
	put_entry(l, &e);
}

static void print_open(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_open_out o;

	pf__take(b, &o, sizeof o);
	put_open(l, &o);
}

static void print_create(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_entry_out e;

	take_either(b, &e, sizeof e, FUSE_COMPAT_ENTRY_OUT_SIZE, sizeof(struct fuse_open_out));
	put_entry(l, &e);
	pf__put(l, ", ");
	print_open(l, b);
}

static void print_attr(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_attr_out o;

	take_either(b, &o, sizeof o, FUSE_COMPAT_ATTR_OUT_SIZE, 0);
	pf__put(l, "attr ");
	pf__put_seconds(l, o.attr_valid, o.attr_valid_nsec);
	pf__put(l, ", ");
	put_attr(l, &o.attr);
}

static void print_statx(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_statx_out o;

	pf__take(b, &o, sizeof o);
	pf__put(l, "attr ");
	pf__put_seconds(l, o.attr_valid, o.attr_valid_nsec);
	pf__put(l, ", mask 0x%x, mode 0%o, size %llu", o.stat.mask, o.stat.mode, (ull)o.stat.size);
}

static void print_statfs(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_kstatfs st;

	pf__take(b, &st, sizeof st);
	pf__put(l, "blocks %llu, free %llu, files %llu, free %llu, bsize %u, namelen %u",
		(ull)st.blocks, (ull)st.bfree, (ull)st.files, (ull)st.ffree, st.bsize, st.namelen);
}

static void print_write(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_write_out o;

	pf__take(b, &o, sizeof o);
	pf__put(l, "size %u", o.size);
}

static void print_copied(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_copy_file_range_out o;

	pf__take(b, &o, sizeof o);
	pf__put(l, "size %llu", (ull)o.bytes_copied);
}

static void print_target(struct pf__line *l, struct pf__bytes *b)
{
	pf__put_string(l, b->p, b->left);
	b->left = 0;
}

static void print_data(struct pf__line *l, struct pf__bytes *b)
{
	pf__put(l, "%zu bytes", b->left);
	b->left = 0;
}

static void print_lk(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_lk_out o;

	pf__take(b, &o, sizeof o);
	pf__put(l, "type %u, %llu..%llu, pid %u", o.lk.type, (ull)o.lk.start, (ull)o.lk.end,
		o.lk.pid);
}

static void print_bmap(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_bmap_out o;

	pf__take(b, &o, sizeof o);
	pf__put(l, "block %llu", (ull)o.block);
}

static void print_lseek(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_lseek_out o;

	pf__take(b, &o, sizeof o);
	pf__put(l, "offset %llu", (ull)o.offset);
}

static void print_poll(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_poll_out o;

	pf__take(b, &o, sizeof o);
	pf__put(l, "revents 0x%x", o.revents);
}

static void print_ioctl(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_ioctl_out o;

	pf__take(b, &o, sizeof o);
	pf__put(l, "result %d", o.result);
	if (o.flags & FUSE_IOCTL_RETRY)
		pf__put(l, ", RETRY, in %u, out %u", o.in_iovs, o.out_iovs);
	pf__put(l, ", ");
	print_data(l, b);
}

static void print_init(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_init_out o = {0};

	/* Any shorter form is good: what is missing reads as 0. */
	pf__take(b, &o, pf__min_u64(b->left, sizeof o));
	pf__put(l, "%u.%u, max_readahead %u, ", o.major, o.minor, o.max_readahead);
	pf__put_init_flags(l, (uint64_t)o.flags2 << 32 | o.flags);
	pf__put(l, ", max_background %u, congestion %u, max_write %u, time_gran %u, max_pages %u",
		o.max_background, o.congestion_threshold, o.max_write, o.time_gran, o.max_pages);
	if (o.flags2 & FUSE_REQUEST_TIMEOUT >> 32)
		pf__put(l, ", request_timeout %us", o.request_timeout);
	if (o.flags2 & FUSE_PASSTHROUGH >> 32)
		pf__put(l, ", max_stack_depth %u", o.max_stack_depth);
}

/* The first few records, out of a copy: the one parser wants its buffer aligned and writable. */
static void put_records(struct pf__line *l, struct pf__bytes *b, bool plus)
{
	char buf[1024] __attribute__((aligned(8)));
	struct pf__dialect d = {.minor = FUSE_MINOR, .name_max = FUSE_NAME_MAX_LONG};
	size_t len = pf__min_u64(b->left, sizeof buf), pos = 0;
	struct pf__dir_record r;
	int n;

	pf__put(l, "%zu bytes", b->left);
	if (len)
		memcpy(buf, b->p, len);
	while ((n = pf__dir_next(&d, plus, buf, len, &pos, &r)) > 0) {
		pf__put(l, ", ");
		pf__put_string(l, r.name, r.namelen);
		if (plus && r.entry->nodeid)
			pf__put(l, " node %llu", (ull)r.entry->nodeid);
	}
	if (n < 0)
		pf__put(l, ", <bad name>");
	else if (pos < b->left)
		pf__put(l, ", ...");
	b->left = 0;
}

static void print_readdir(struct pf__line *l, struct pf__bytes *b)
{
	put_records(l, b, false);
}

static void print_readdirplus(struct pf__line *l, struct pf__bytes *b)
{
	put_records(l, b, true);
}

static void print_cuse_init(struct pf__line *l, struct pf__bytes *b)
{
	struct cuse_init_out o;

	pf__take(b, &o, sizeof o);
	pf__put(l, "%u.%u, max_read %u, max_write %u, dev %u:%u, ", o.major, o.minor, o.max_read,
		o.max_write, o.dev_major, o.dev_minor);
	print_target(l, b);
}

/* Operations that are not here have nothing behind the header. */
static print_fn *const printers[FUSE_OPCODE_END] = {
    [FUSE_LOOKUP] = print_entry,
    [FUSE_GETATTR] = print_attr,
    [FUSE_SETATTR] = print_attr,
    [FUSE_READLINK] = print_target,
    [FUSE_SYMLINK] = print_entry,
    [FUSE_MKNOD] = print_entry,
    [FUSE_MKDIR] = print_entry,
    [FUSE_LINK] = print_entry,
    [FUSE_OPEN] = print_open,
    [FUSE_READ] = print_data,
    [FUSE_WRITE] = print_write,
    [FUSE_STATFS] = print_statfs,
    [FUSE_GETXATTR] = print_data,
    [FUSE_LISTXATTR] = print_data,
    [FUSE_INIT] = print_init,
    [FUSE_OPENDIR] = print_open,
    [FUSE_READDIR] = print_readdir,
    [FUSE_GETLK] = print_lk,
    [FUSE_CREATE] = print_create,
    [FUSE_BMAP] = print_bmap,
    [FUSE_IOCTL] = print_ioctl,
    [FUSE_POLL] = print_poll,
    [FUSE_READDIRPLUS] = print_readdirplus,
    [FUSE_LSEEK] = print_lseek,
    [FUSE_COPY_FILE_RANGE] = print_write,
    [FUSE_TMPFILE] = print_create,
    [FUSE_STATX] = print_statx,
    [FUSE_COPY_FILE_RANGE_64] = print_copied,
};

static void put_notify_range(struct pf__line *l, const struct pf__notify *n)
{
	pf__put(l, "node %llu, offset %lld, size %lld", (ull)n->nodeid, (long long)n->off,
		(long long)n->len);
}

static void put_notify(struct pf__line *l, const struct pf__notify *n)
{
	switch (n->code) {
	case FUSE_NOTIFY_POLL:
		pf__put(l, "kh %llu", (ull)n->kh);
		break;
	case FUSE_NOTIFY_RETRIEVE:
		pf__put(l, "#%llu, ", (ull)n->unique);
		put_notify_range(l, n);
		break;
	case FUSE_NOTIFY_INVAL_INODE:
	case FUSE_NOTIFY_STORE:
		put_notify_range(l, n);
		break;
	case FUSE_NOTIFY_INVAL_ENTRY:
		pf__put(l, "node %llu, ", (ull)n->nodeid);
		pf__put_string(l, n->name, n->namelen);
		pf__put(l, "%s", n->flags & FUSE_EXPIRE_ONLY ? ", EXPIRE_ONLY" : "");
		break;
	case FUSE_NOTIFY_DELETE:
		pf__put(l, "node %llu, ", (ull)n->nodeid);
		pf__put_string(l, n->name, n->namelen);
		pf__put(l, ", child %llu", (ull)n->child);
		break;
	case FUSE_NOTIFY_PRUNE:
		pf__put(l, "count %u", n->count);
		break;
	}
}

static void print_notify(struct pf__line *l, int32_t code, const struct pf__bytes *b)
{
	struct pf__dialect d = {.minor = FUSE_MINOR, .name_max = FUSE_NAME_MAX_LONG};
	struct pf__notify n;

	pf__put(l, "NOTIFY %s(", pf__notify_name(code));
	if (pf__parse_notify(&d, code, b->p, b->left, &n))
		pf__put(l, "<bad, %zu bytes>", b->left);
	else
		put_notify(l, &n);
	pf__put(l, ")");
}

static void print_body(struct pf__line *l, uint32_t opcode, struct pf__bytes *b)
{
	print_fn *print = NULL;

	if (opcode == FUSE_CUSE_INIT)
		print = print_cuse_init;
	else if (opcode < FUSE_OPCODE_END)
		print = printers[opcode];
	if (!print && !b->left)
		return;
	pf__put(l, " {");
	(print ? print : print_data)(l, b);
	if (b->cut)
		pf__put(l, ", <cut>");
	else if (b->left)
		pf__put(l, ", %zu bytes more", b->left);
	pf__put(l, "}");
}

void pf__print_reply(char *line, size_t size, uint32_t opcode, const void *msg, size_t len)
{
	struct pf__bytes b = {msg, len, false};
	struct fuse_out_header h;
	struct pf__line l;

	pf__line_init(&l, line, size);
	pf__take(&b, &h, sizeof h);
	if (b.cut) {
		pf__put(&l, " = <reply cut after %zu bytes>", len);
	} else if (!h.unique) {
		print_notify(&l, h.error, &b);
	} else if (h.error) {
		pf__put(&l, " = #%llu %s%s", (ull)h.unique, h.error < 0 ? "-" : "",
			pf__errno_name(h.error));
		if (b.left)
			pf__put(&l, " %zu bytes more", b.left);
	} else {
		pf__put(&l, " = #%llu 0", (ull)h.unique);
		print_body(&l, opcode, &b);
	}
}
