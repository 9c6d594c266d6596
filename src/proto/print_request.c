/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests as lines of a trace: LOOKUP(#2, node 1, "foo"). */
#include "base/arith.h"
#include "proto/print.h"
#include <string.h>
#include <sys/sysmacros.h>

typedef unsigned long long ull;

/* Each puts the arguments that follow the node, with a leading ", ". */
typedef void print_fn(struct pf__line *l, struct pf__bytes *b);

static void put_mode(struct pf__line *l, uint32_t mode)
{
	pf__put(l, ", mode 0%o", mode);
}

static void put_a_name(struct pf__line *l, struct pf__bytes *b)
{
	pf__put(l, ", ");
	pf__put_name(l, b);
}

static void put_two_names(struct pf__line *l, struct pf__bytes *b)
{
	put_a_name(l, b);
	put_a_name(l, b);
}

/* An old minor's argument is 8 bytes shorter: then what follows fills the message exactly. */
static bool is_short_form(const struct pf__bytes *b, size_t old_size, size_t behind_name)
{
	size_t n;

	if (b->left < old_size)
		return false;
	n = strnlen(b->p + old_size, b->left - old_size);
	return old_size + n + 1 + behind_name == b->left;
}

static void take_either(struct pf__bytes *b, void *dst, size_t size, size_t old_size, bool old)
{
	memset(dst, 0, size);
	pf__take(b, dst, old ? old_size : size);
}

static void print_forget(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_forget_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", nlookup %llu", (ull)a.nlookup);
}

static void print_batch_forget(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_batch_forget_in a;
	struct fuse_forget_one one;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", count %u:", a.count);
	for (uint32_t i = 0; i < a.count && !b->cut; i++) {
		if (i == 8) {
			pf__put(l, " ...");
			b->left = 0;
			break;
		}
		pf__take(b, &one, sizeof one);
		pf__put(l, " node %llu nlookup %llu", (ull)one.nodeid, (ull)one.nlookup);
	}
}

static void print_getattr(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_getattr_in a;

	if (!b->left) /* before 7.9 */
		return;
	pf__take(b, &a, sizeof a);
	if (a.getattr_flags & FUSE_GETATTR_FH)
		pf__put(l, ", fh %llu", (ull)a.fh);
}

static void print_statx(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_statx_in a;

	pf__take(b, &a, sizeof a);
	if (a.getattr_flags & FUSE_GETATTR_FH)
		pf__put(l, ", fh %llu", (ull)a.fh);
	pf__put(l, ", mask 0x%x", a.sx_mask);
}

static void put_set_time(struct pf__line *l, const char *name, bool set, bool now, uint64_t sec,
			 uint32_t nsec)
{
	if (now)
		pf__put(l, ", %s now", name);
	else if (set)
		pf__put(l, ", %s %lld.%09u", name, (long long)sec, nsec);
}

static void print_setattr(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_setattr_in a;

	pf__take(b, &a, sizeof a);
	if (a.valid & FATTR_FH)
		pf__put(l, ", fh %llu", (ull)a.fh);
	if (a.valid & FATTR_MODE)
		put_mode(l, a.mode);
	if (a.valid & FATTR_UID)
		pf__put(l, ", uid %u", a.uid);
	if (a.valid & FATTR_GID)
		pf__put(l, ", gid %u", a.gid);
	if (a.valid & FATTR_SIZE)
		pf__put(l, ", size %llu", (ull)a.size);
	put_set_time(l, "atime", a.valid & FATTR_ATIME, a.valid & FATTR_ATIME_NOW, a.atime,
		     a.atimensec);
	put_set_time(l, "mtime", a.valid & FATTR_MTIME, a.valid & FATTR_MTIME_NOW, a.mtime,
		     a.mtimensec);
	put_set_time(l, "ctime", a.valid & FATTR_CTIME, false, a.ctime, a.ctimensec);
	if (a.valid & FATTR_LOCKOWNER)
		pf__put(l, ", lock_owner 0x%llx", (ull)a.lock_owner);
	if (a.valid & FATTR_KILL_SUIDGID)
		pf__put(l, ", KILL_SUIDGID");
}

static void print_mknod(struct pf__line *l, struct pf__bytes *b)
{
	bool old = is_short_form(b, FUSE_COMPAT_MKNOD_IN_SIZE, 0);
	struct fuse_mknod_in a;
	dev_t dev;

	take_either(b, &a, sizeof a, FUSE_COMPAT_MKNOD_IN_SIZE, old);
	put_a_name(l, b);
	put_mode(l, a.mode);
	dev = pf__decode_dev(a.rdev);
	if (a.rdev)
		pf__put(l, ", rdev %u:%u", major(dev), minor(dev));
	if (!old)
		pf__put(l, ", umask 0%o", a.umask);
}

static void print_mkdir(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_mkdir_in a;

	pf__take(b, &a, sizeof a);
	put_a_name(l, b);
	put_mode(l, a.mode);
	pf__put(l, ", umask 0%o", a.umask);
}

static void put_rename(struct pf__line *l, struct pf__bytes *b, uint64_t newdir)
{
	put_a_name(l, b);
	pf__put(l, ", node %llu", (ull)newdir);
	put_a_name(l, b);
}

static void print_rename(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_rename_in a;

	pf__take(b, &a, sizeof a);
	put_rename(l, b, a.newdir);
}

static void print_rename2(struct pf__line *l, struct pf__bytes *b)
{
	static const char *const names[] = {"NOREPLACE", "EXCHANGE", "WHITEOUT"};
	struct fuse_rename2_in a;

	pf__take(b, &a, sizeof a);
	put_rename(l, b, a.newdir);
	pf__put(l, ", ");
	pf__put_flags(l, a.flags, names, PF_ARRAY_SIZE(names));
}

static void print_link(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_link_in a;

	pf__take(b, &a, sizeof a);
	put_a_name(l, b);
	pf__put(l, ", node %llu", (ull)a.oldnodeid);
}

static void put_open_flags(struct pf__line *l, uint32_t flags, uint32_t open_flags)
{
	pf__put(l, ", ");
	pf__put_open_flags(l, flags);
	if (open_flags & FUSE_OPEN_KILL_SUIDGID)
		pf__put(l, ", KILL_SUIDGID");
}

static void print_open(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_open_in a;

	pf__take(b, &a, sizeof a);
	put_open_flags(l, a.flags, a.open_flags);
}

static void print_create(struct pf__line *l, struct pf__bytes *b)
{
	bool old = is_short_form(b, FUSE_COMPAT_CREATE_IN_SIZE, 0);
	struct fuse_create_in a;

	take_either(b, &a, sizeof a, FUSE_COMPAT_CREATE_IN_SIZE, old);
	put_a_name(l, b);
	put_open_flags(l, a.flags, a.open_flags);
	put_mode(l, a.mode);
	if (!old)
		pf__put(l, ", umask 0%o", a.umask);
}

static void put_range(struct pf__line *l, uint64_t fh, uint64_t offset, uint64_t size)
{
	pf__put(l, ", fh %llu, offset %llu, size %llu", (ull)fh, (ull)offset, (ull)size);
}

static void put_owner(struct pf__line *l, bool has, uint64_t owner)
{
	if (has)
		pf__put(l, ", lock_owner 0x%llx", (ull)owner);
}

static void print_read(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_read_in a;

	pf__take(b, &a, sizeof a);
	put_range(l, a.fh, a.offset, a.size);
	put_owner(l, a.read_flags & FUSE_READ_LOCKOWNER, a.lock_owner);
}

static void print_write(struct pf__line *l, struct pf__bytes *b)
{
	static const char *const names[] = {"CACHE", "LOCKOWNER", "KILL_SUIDGID"};
	struct fuse_write_in a;

	pf__take(b, &a, FUSE_COMPAT_WRITE_IN_SIZE);
	if (b->left != a.size) { /* not the short form of before 7.9 */
		char *rest = (char *)&a + FUSE_COMPAT_WRITE_IN_SIZE;

		pf__take(b, rest, sizeof a - FUSE_COMPAT_WRITE_IN_SIZE);
	}
	put_range(l, a.fh, a.offset, a.size);
	if (a.write_flags) {
		pf__put(l, ", ");
		pf__put_flags(l, a.write_flags, names, PF_ARRAY_SIZE(names));
	}
	if (b->left < a.size)
		b->cut = true;
	else
		b->left -= a.size;
}

static void print_release(struct pf__line *l, struct pf__bytes *b)
{
	static const char *const names[] = {"FLUSH", "FLOCK_UNLOCK"};
	struct fuse_release_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", fh %llu", (ull)a.fh);
	put_open_flags(l, a.flags, 0);
	if (a.release_flags) {
		pf__put(l, ", ");
		pf__put_flags(l, a.release_flags, names, PF_ARRAY_SIZE(names));
	}
	put_owner(l, a.release_flags & FUSE_RELEASE_FLOCK_UNLOCK, a.lock_owner);
}

static void print_flush(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_flush_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", fh %llu", (ull)a.fh);
	put_owner(l, true, a.lock_owner);
}

static void print_fsync(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_fsync_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", fh %llu%s", (ull)a.fh,
		a.fsync_flags & FUSE_FSYNC_FDATASYNC ? ", FDATASYNC" : "");
}

static void print_setxattr(struct pf__line *l, struct pf__bytes *b)
{
	static const char *const names[] = {"CREATE", "REPLACE"};
	struct fuse_setxattr_in a = {0};
	uint32_t size = 0;
	bool old;

	if (b->left >= sizeof size)
		memcpy(&size, b->p, sizeof size);
	old = is_short_form(b, FUSE_COMPAT_SETXATTR_IN_SIZE, size);
	take_either(b, &a, sizeof a, FUSE_COMPAT_SETXATTR_IN_SIZE, old);
	put_a_name(l, b);
	pf__put(l, ", size %u, ", a.size);
	pf__put_flags(l, a.flags, names, PF_ARRAY_SIZE(names));
	if (a.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)
		pf__put(l, ", ACL_KILL_SGID");
	if (b->left < a.size)
		b->cut = true;
	else
		b->left -= a.size;
}

static void print_getxattr(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_getxattr_in a;

	pf__take(b, &a, sizeof a);
	put_a_name(l, b);
	pf__put(l, ", size %u", a.size);
}

static void print_listxattr(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_getxattr_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", size %u", a.size);
}

static void print_init(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_init_in a;

	memset(&a, 0, sizeof a);
	pf__take(b, &a, b->left < sizeof a ? offsetof(struct fuse_init_in, flags2) : sizeof a);
	pf__put(l, ", %u.%u, max_readahead %u, ", a.major, a.minor, a.max_readahead);
	pf__put_init_flags(l, (uint64_t)a.flags2 << 32 | a.flags);
}

static void print_lk(struct pf__line *l, struct pf__bytes *b)
{
	static const char *const types[] = {"RDLCK", "WRLCK", "UNLCK"};
	struct fuse_lk_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", fh %llu, %s %llu..%llu, pid %u", (ull)a.fh,
		a.lk.type < PF_ARRAY_SIZE(types) ? types[a.lk.type] : "?", (ull)a.lk.start,
		(ull)a.lk.end, a.lk.pid);
	put_owner(l, true, a.owner);
	if (a.lk_flags & FUSE_LK_FLOCK)
		pf__put(l, ", FLOCK");
}

static void print_access(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_access_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", mask 0%o", a.mask);
}

static void print_interrupt(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_interrupt_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", request #%llu", (ull)a.unique);
}

static void print_bmap(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_bmap_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", block %llu, blocksize %u", (ull)a.block, a.blocksize);
}

static void print_ioctl(struct pf__line *l, struct pf__bytes *b)
{
	static const char *const names[] = {"COMPAT", "UNRESTRICTED", "RETRY",
					    "32BIT",  "DIR",          "COMPAT_X32"};
	struct fuse_ioctl_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", fh %llu, cmd 0x%x, arg 0x%llx, in %u, out %u, ", (ull)a.fh, a.cmd, (ull)a.arg,
		a.in_size, a.out_size);
	pf__put_flags(l, a.flags, names, PF_ARRAY_SIZE(names));
	if (b->left < a.in_size)
		b->cut = true;
	else
		b->left -= a.in_size;
}

static void print_poll(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_poll_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", fh %llu, kh %llu, events 0x%x%s", (ull)a.fh, (ull)a.kh, a.events,
		a.flags & FUSE_POLL_SCHEDULE_NOTIFY ? ", SCHEDULE_NOTIFY" : "");
}

static void print_notify_reply(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_notify_retrieve_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", offset %llu, size %u", (ull)a.offset, a.size);
	if (b->left < a.size)
		b->cut = true;
	else
		b->left -= a.size;
}

static void print_fallocate(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_fallocate_in a;

	pf__take(b, &a, sizeof a);
	put_range(l, a.fh, a.offset, a.length);
	put_mode(l, a.mode);
}

static void print_lseek(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_lseek_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", fh %llu, offset %llu, ", (ull)a.fh, (ull)a.offset);
	if (a.whence == 3 || a.whence == 4)
		pf__put(l, "%s", a.whence == 3 ? "SEEK_DATA" : "SEEK_HOLE");
	else
		pf__put(l, "whence %u", a.whence);
}

static void print_copy(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_copy_file_range_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", fh %llu, offset %llu, to node %llu, fh %llu, offset %llu, size %llu",
		(ull)a.fh_in, (ull)a.off_in, (ull)a.nodeid_out, (ull)a.fh_out, (ull)a.off_out,
		(ull)a.len);
	if (a.flags)
		pf__put(l, ", flags 0x%llx", (ull)a.flags);
}

static void print_setupmapping(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_setupmapping_in a;

	pf__take(b, &a, sizeof a);
	put_range(l, a.fh, a.foffset, a.len);
	pf__put(l, ", at %llu%s%s", (ull)a.moffset, a.flags & 2 ? ", READ" : "",
		a.flags & 1 ? ", WRITE" : "");
}

static void print_removemapping(struct pf__line *l, struct pf__bytes *b)
{
	struct fuse_removemapping_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", count %u", a.count);
	if (b->left / sizeof(struct fuse_removemapping_one) < a.count)
		b->cut = true;
	else
		b->left -= a.count * sizeof(struct fuse_removemapping_one);
}

static void print_padding(struct pf__line *l, struct pf__bytes *b)
{
	uint64_t padding;

	(void)l;
	pf__take(b, &padding, sizeof padding);
}

static void print_nothing(struct pf__line *l, struct pf__bytes *b)
{
	(void)l;
	(void)b;
}

static void print_cuse_init(struct pf__line *l, struct pf__bytes *b)
{
	struct cuse_init_in a;

	pf__take(b, &a, sizeof a);
	pf__put(l, ", %u.%u, flags 0x%x", a.major, a.minor, a.flags);
}

static print_fn *const printers[FUSE_OPCODE_END] = {
    [FUSE_LOOKUP] = put_a_name,
    [FUSE_FORGET] = print_forget,
    [FUSE_GETATTR] = print_getattr,
    [FUSE_SETATTR] = print_setattr,
    [FUSE_READLINK] = print_nothing,
    [FUSE_SYMLINK] = put_two_names,
    [FUSE_MKNOD] = print_mknod,
    [FUSE_MKDIR] = print_mkdir,
    [FUSE_UNLINK] = put_a_name,
    [FUSE_RMDIR] = put_a_name,
    [FUSE_RENAME] = print_rename,
    [FUSE_LINK] = print_link,
    [FUSE_OPEN] = print_open,
    [FUSE_READ] = print_read,
    [FUSE_WRITE] = print_write,
    [FUSE_STATFS] = print_nothing,
    [FUSE_RELEASE] = print_release,
    [FUSE_FSYNC] = print_fsync,
    [FUSE_SETXATTR] = print_setxattr,
    [FUSE_GETXATTR] = print_getxattr,
    [FUSE_LISTXATTR] = print_listxattr,
    [FUSE_REMOVEXATTR] = put_a_name,
    [FUSE_FLUSH] = print_flush,
    [FUSE_INIT] = print_init,
    [FUSE_OPENDIR] = print_open,
    [FUSE_READDIR] = print_read,
    [FUSE_RELEASEDIR] = print_release,
    [FUSE_FSYNCDIR] = print_fsync,
    [FUSE_GETLK] = print_lk,
    [FUSE_SETLK] = print_lk,
    [FUSE_SETLKW] = print_lk,
    [FUSE_ACCESS] = print_access,
    [FUSE_CREATE] = print_create,
    [FUSE_INTERRUPT] = print_interrupt,
    [FUSE_BMAP] = print_bmap,
    [FUSE_DESTROY] = print_nothing,
    [FUSE_IOCTL] = print_ioctl,
    [FUSE_POLL] = print_poll,
    [FUSE_NOTIFY_REPLY] = print_notify_reply,
    [FUSE_BATCH_FORGET] = print_batch_forget,
    [FUSE_FALLOCATE] = print_fallocate,
    [FUSE_READDIRPLUS] = print_read,
    [FUSE_RENAME2] = print_rename2,
    [FUSE_LSEEK] = print_lseek,
    [FUSE_COPY_FILE_RANGE] = print_copy,
    [FUSE_SETUPMAPPING] = print_setupmapping,
    [FUSE_REMOVEMAPPING] = print_removemapping,
    [FUSE_SYNCFS] = print_padding,
    [FUSE_TMPFILE] = print_create,
    [FUSE_STATX] = print_statx,
    [FUSE_COPY_FILE_RANGE_64] = print_copy,
};

static void put_unique(struct pf__line *l, uint64_t unique)
{
	pf__put(l, "#%llu%s", (ull)(unique & ~FUSE_UNIQUE_RESEND),
		unique & FUSE_UNIQUE_RESEND ? " resent" : "");
}

void pf__print_request(char *line, size_t size, const void *msg, size_t len)
{
	struct pf__bytes b = {msg, len, false};
	struct fuse_in_header h;
	struct pf__line l;
	print_fn *print = NULL;

	pf__line_init(&l, line, size);
	pf__take(&b, &h, sizeof h);
	if (b.cut) {
		pf__put(&l, "<request cut after %zu bytes>", len);
		return;
	}
	if (h.opcode == FUSE_CUSE_INIT)
		print = print_cuse_init;
	else if (h.opcode < FUSE_OPCODE_END)
		print = printers[h.opcode];
	pf__put(&l, "%s(", pf__op_name(h.opcode));
	put_unique(&l, h.unique);
	if (h.nodeid)
		pf__put(&l, ", node %llu", (ull)h.nodeid);
	if (print)
		print(&l, &b);
	if (b.cut)
		pf__put(&l, ", <cut>");
	else if (b.left)
		pf__put(&l, ", %zu bytes more", b.left);
	pf__put(&l, ")");
}
