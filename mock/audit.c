// SPDX-License-Identifier: BSD-2-Clause
/* What is true of every request of a good client, whatever the test is about. */
#include "base/arith.h"
#include "mock/mock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Sizes of the fixed argument as this server's minor has them, told independently of the library.
 */
static size_t arg_size(const struct mock *m, uint32_t opcode)
{
	uint32_t minor = m->minor_effective;

	switch (opcode) {
	case FUSE_FORGET:
		return 8;
	case FUSE_GETATTR:
		return 16;
	case FUSE_SETATTR:
		return 88;
	case FUSE_MKNOD:
		return minor < 12 ? 8 : 16;
	case FUSE_MKDIR:
		return 8;
	case FUSE_RENAME:
		return 8;
	case FUSE_LINK:
		return 8;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		return 8;
	case FUSE_READ:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return 40;
	case FUSE_WRITE:
		return minor < 9 ? 24 : 40;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return 24;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
		return 16;
	case FUSE_SETXATTR:
		return m->o.flags & FUSE_SETXATTR_EXT ? 16 : 8;
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return 8;
	case FUSE_FLUSH:
		return 24;
	case FUSE_INIT:
		return 64;
	case FUSE_GETLK:
	case FUSE_SETLK:
	case FUSE_SETLKW:
		return 48;
	case FUSE_ACCESS:
		return 8;
	case FUSE_CREATE:
		return minor < 12 ? 8 : 16;
	case FUSE_TMPFILE:
		return 16;
	case FUSE_INTERRUPT:
		return 8;
	case FUSE_BMAP:
		return 16;
	case FUSE_IOCTL:
		return 32;
	case FUSE_POLL:
		return 24;
	case FUSE_NOTIFY_REPLY:
		return 40;
	case FUSE_BATCH_FORGET:
		return 8;
	case FUSE_FALLOCATE:
		return 32;
	case FUSE_RENAME2:
		return 16;
	case FUSE_LSEEK:
		return 24;
	case FUSE_COPY_FILE_RANGE:
	case FUSE_COPY_FILE_RANGE_64:
		return 56;
	case FUSE_SYNCFS:
		return 8;
	case FUSE_STATX:
		return 24;
	default:
		return 0;
	}
}

static int name_count(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_LINK:
	case FUSE_SETXATTR:
	case FUSE_GETXATTR:
	case FUSE_REMOVEXATTR:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		return 1;
	case FUSE_SYMLINK:
	case FUSE_RENAME:
	case FUSE_RENAME2:
		return 2;
	default:
		return 0;
	}
}

static bool known_opcode(uint32_t op)
{
	return arg_size(&(struct mock){.minor_effective = 45}, op) || name_count(op) ||
	       op == FUSE_READLINK || op == FUSE_STATFS || op == FUSE_DESTROY;
}

static const char *take_name(struct mock *m, const struct mock_req *r, const unsigned char **p,
			     const unsigned char *end)
{
	const char *name = (const char *)*p;
	const unsigned char *nul = *p < end ? memchr(*p, 0, end - *p) : NULL;

	if (!nul) {
		mock_fail(m, "opcode %u: a name is not terminated", r->h.opcode);
		*p = end;
		return "";
	}
	*p = nul + 1;
	return name;
}

/* Take a message apart. The copy's fixed argument is followed by zeros, so that handlers may read
 * the newest layout. */
struct mock_req *mock_parse(struct mock *m, const void *msg, size_t len)
{
	struct mock_req *r = calloc(1, sizeof(*r) + 2 * len + 512);
	const unsigned char *p, *end;
	size_t fixed;

	r->m = m;
	pf__list_init(&r->link);
	memcpy(r->bytes, msg, len);
	if (len < sizeof(r->h)) {
		mock_fail(m, "a message of %zu bytes", len);
		return r;
	}
	memcpy(&r->h, msg, sizeof(r->h));
	if (r->h.len != len)
		mock_fail(m, "opcode %u: header says %u bytes, %zu came", r->h.opcode, r->h.len,
			  len);
	p = r->bytes + sizeof(r->h);
	end = r->bytes + len;
	if ((size_t)r->h.total_extlen * 8 > len - sizeof(r->h)) {
		mock_fail(m, "opcode %u: extensions longer than the message", r->h.opcode);
	} else {
		end -= (size_t)r->h.total_extlen * 8;
		r->ext = end;
		r->ext_len = (size_t)r->h.total_extlen * 8;
	}
	fixed = arg_size(m, r->h.opcode);
	if ((size_t)(end - p) < fixed) {
		mock_fail(m, "opcode %u: argument of %zu bytes, %td there", r->h.opcode, fixed,
			  end - p);
		return r;
	}
	if (fixed) {
		unsigned char *copy = r->bytes + PF_ALIGN_UP(len, (size_t)8);

		memcpy(copy, p, fixed);
		r->arg = copy;
	}
	p += fixed;
	if (name_count(r->h.opcode) >= 1)
		r->name = take_name(m, r, &p, end);
	if (name_count(r->h.opcode) == 2)
		r->name2 = take_name(m, r, &p, end);
	r->data = p;
	r->data_len = end - p;
	return r;
}

/* The data that must follow: exactly so many bytes. */
static size_t data_size(const struct mock_req *r)
{
	switch (r->h.opcode) {
	case FUSE_WRITE:
		return ((const struct fuse_write_in *)r->arg)->size;
	case FUSE_SETXATTR:
		return ((const struct fuse_setxattr_in *)r->arg)->size;
	case FUSE_IOCTL:
		return ((const struct fuse_ioctl_in *)r->arg)->in_size;
	case FUSE_BATCH_FORGET:
		return ((const struct fuse_batch_forget_in *)r->arg)->count * 16ull;
	case FUSE_NOTIFY_REPLY:
		return ((const struct fuse_notify_retrieve_in *)r->arg)->size;
	default:
		return 0;
	}
}

static void audit_unique(struct mock *m, const struct mock_req *r)
{
	uint64_t u = r->h.unique;

	if (r->h.opcode == FUSE_NOTIFY_REPLY || u & FUSE_UNIQUE_RESEND)
		return;
	if (r->h.opcode == FUSE_INTERRUPT) {
		uint64_t target = ((const struct fuse_interrupt_in *)r->arg)->unique;

		if (u != (target | FUSE_UNIQUE_INTERRUPT))
			mock_fail(m, "INTERRUPT's unique %" PRIu64 " for %" PRIu64, u, target);
		return;
	}
	if (!u || u & 1)
		mock_fail(m, "unique %" PRIu64 " is zero or odd", u);
	for (size_t i = 0; i < m->nuniques; i++)
		if (m->uniques[i] == u)
			mock_fail(m, "unique %" PRIu64 " used twice", u);
	if (!(m->nuniques & (m->nuniques + 1)))
		m->uniques = realloc(m->uniques, sizeof(u) * 2 * (m->nuniques + 1));
	/* Old ones are let go, so that long tests stay linear. */
	if (m->nuniques >= 1023)
		m->nuniques = 0;
	m->uniques[m->nuniques++] = u;
}

static void audit_nodeid(struct mock *m, const struct mock_req *r)
{
	bool zero = r->h.opcode == FUSE_INIT || r->h.opcode == FUSE_DESTROY ||
		    r->h.opcode == FUSE_INTERRUPT || r->h.opcode == FUSE_BATCH_FORGET;

	if (zero != !r->h.nodeid)
		mock_fail(m, "opcode %u on node %" PRIu64, r->h.opcode, r->h.nodeid);
	if (r->h.opcode == FUSE_FORGET && r->h.nodeid == FUSE_ROOT_ID && !m->o.root_forget)
		mock_fail(m, "FORGET of the root");
}

static void audit_fields(struct mock *m, const struct mock_req *r)
{
	switch (r->h.opcode) {
	case FUSE_OPEN:
	case FUSE_OPENDIR: {
		const struct fuse_open_in *in = r->arg;

		if (in->flags & (O_CREAT | O_EXCL | O_NOCTTY))
			mock_fail(m, "OPEN with O_CREAT, O_EXCL or O_NOCTTY: %o", in->flags);
		if (in->flags & O_TRUNC && !(m->o.flags & FUSE_ATOMIC_O_TRUNC))
			mock_fail(m, "OPEN with O_TRUNC without ATOMIC_O_TRUNC");
		break;
	}
	case FUSE_WRITE: {
		const struct fuse_write_in *in = r->arg;

		if (!(in->write_flags & FUSE_WRITE_CACHE) && m->minor_effective >= 9 &&
		    (in->flags & O_ACCMODE) == O_RDONLY)
			mock_fail(m, "WRITE through a read-only handle");
		if (!(in->write_flags & FUSE_WRITE_CACHE) && !r->h.pid)
			mock_fail(m, "WRITE without the writer's pid");
		break;
	}
	case FUSE_READ: {
		const struct fuse_read_in *in = r->arg;

		if ((in->flags & O_ACCMODE) == O_WRONLY && !(m->o.flags & FUSE_WRITEBACK_CACHE))
			mock_fail(m, "READ through a write-only handle");
		if (!in->size)
			mock_fail(m, "READ of nothing");
		break;
	}
	case FUSE_COPY_FILE_RANGE:
	case FUSE_COPY_FILE_RANGE_64:
		if (((const struct fuse_copy_file_range_in *)r->arg)->flags)
			mock_fail(m, "COPY_FILE_RANGE with flags");
		break;
	case FUSE_FORGET:
		if (!((const struct fuse_forget_in *)r->arg)->nlookup)
			mock_fail(m, "FORGET of nothing");
		break;
	case FUSE_BATCH_FORGET:
		if (m->minor_effective < 16)
			mock_fail(m, "BATCH_FORGET before minor 16");
		break;
	}
	if (r->h.total_extlen && r->h.opcode != FUSE_CREATE && r->h.opcode != FUSE_TMPFILE &&
	    r->h.opcode != FUSE_MKNOD && r->h.opcode != FUSE_MKDIR && r->h.opcode != FUSE_SYMLINK)
		mock_fail(m, "opcode %u with extensions", r->h.opcode);
}

void mock_audit(struct mock *m, const struct mock_req *r)
{
	if (!known_opcode(r->h.opcode)) {
		mock_fail(m, "unknown opcode %u", r->h.opcode);
		return;
	}
	if (arg_size(m, r->h.opcode) && !r->arg)
		return; /* said already */
	if (r->data_len != data_size(r))
		mock_fail(m, "opcode %u: %zu bytes of data, %zu promised", r->h.opcode, r->data_len,
			  data_size(r));
	if (!m->init_done && r->h.opcode != FUSE_INIT)
		mock_fail(m, "opcode %u before INIT", r->h.opcode);
	if (m->destroyed)
		mock_fail(m, "opcode %u after DESTROY", r->h.opcode);
	if (r->h.padding)
		mock_fail(m, "opcode %u: padding in the header", r->h.opcode);
	audit_unique(m, r);
	audit_nodeid(m, r);
	audit_fields(m, r);
}
