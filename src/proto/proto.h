/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes <-> structures: what each operation looks like, how it is encoded for an older minor, and
 * the only validator of bytes that a server sent. Pure functions: no I/O, no locks, no allocation.
 *
 * The operations stand in one table, ops.def, from which sizes, names and the switches follow.
 */
#ifndef PF_PROTO_PROTO_H
#define PF_PROTO_PROTO_H

#include "proto/wire.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/uio.h>

/* How a reply body is judged before anyone looks at it. */
enum pf__reply_kind {
	PF_REPLY_NONE,  /* the operation has no reply (FORGET ...) */
	PF_REPLY_EMPTY, /* header only */
	PF_REPLY_FIXED, /* exactly reply_size */
	PF_REPLY_UPTO,  /* reply_size, and behind it as much as the request allows */
};

struct pf__op {
	const char *name; /* "LOOKUP" */
	uint32_t opcode;
	uint32_t since;      /* minor that brought it */
	uint32_t in_size;    /* first fixed argument, newest minor; 0 none */
	uint32_t reply_size; /* fixed part, newest minor */
	enum pf__reply_kind reply;
	uint8_t names; /* NUL-terminated names after the fixed part: 0, 1, 2 */
	bool creates;  /* may carry extensions */
};

/* NULL for an opcode that does not exist. */
const struct pf__op *pf__op_get(uint32_t opcode);
/* "LOOKUP"; for an unknown one "OP-99" in a static thread-local buffer. */
const char *pf__op_name(uint32_t opcode);
const char *pf__notify_name(int32_t code); /* "POLL", "NOTIFY-99" */
const char *pf__errno_name(int err);       /* "ENOENT" for 2 or -2; "E-999" */

/* ---- sizes by minor */
/* The sizes that hold once INIT has told the server's minor and flags. */
struct pf__dialect {
	uint32_t minor;
	uint64_t flags;    /* negotiated INIT flags */
	uint32_t name_max; /* longest name in bytes */
};
uint32_t pf__in_size(const struct pf__dialect *d, uint32_t opcode);    /* fixed request part */
uint32_t pf__reply_size(const struct pf__dialect *d, uint32_t opcode); /* fixed reply part */
/* Shorten or re-shape one fixed request argument in place for an older minor; returns its size. */
uint32_t pf__in_compat(const struct pf__dialect *d, uint32_t opcode, void *arg);
/* Widen a reply's fixed part, received with pf__reply_size() bytes at buf, to the newest layout in
 * place (buf has room for it). Missing fields become 0. */
void pf__reply_expand(const struct pf__dialect *d, uint32_t opcode, void *buf);

/* ---- the validator */
/*
 * What the client knows about a request when its reply comes. All fields not named by an opcode
 * are ignored.
 */
struct pf__expect {
	struct pf__dialect dialect;
	uint32_t opcode;
	uint64_t nodeid; /* the request's nodeid: for create types and LOOKUP the parent's, which
			  * the reply must not repeat */
	uint32_t mode; /* create types, LINK, GETATTR/SETATTR/STATX: expected S_IFMT bits, 0 any */
	uint64_t size; /* READ, READDIR*, WRITE, COPY, *XATTR, IOCTL out, READLINK: most allowed;
			* GETXATTR and LISTXATTR: 0 is a size query */
	bool dot;      /* LOOKUP of "." or "..": its answer may be the root, or the parent itself */
	bool ioctl_unrestricted; /* IOCTL: RETRY is allowed */
	uint64_t ioctl_iov_max;  /* IOCTL: most bytes that RETRY may ask for each way, 0 any */
};

/*
 * May this header answer a request, or (unique 0) carry a notification? len: bytes of the whole
 * message. 0, or -EINVAL when the message must be ignored and the request stays pending (12.3).
 */
int pf__check_out_header(const struct fuse_out_header *h, size_t len);

/* The size rules (12.1, 12.2, 12.14, 12.17): body_len bytes follow the header.
 * 0, or -EIO: the request fails with it. */
int pf__check_reply_size(const struct pf__expect *e, int32_t error, size_t body_len);

/*
 * The content rules (12.4 .. 12.26) for a reply whose size was right and whose error is 0. body is
 * 8-aligned and in the newest layout (pf__reply_expand). Not called for READ data; directory
 * records are judged one by one by pf__dir_next().
 *
 * In place: nsec fields and xattr sizes are clamped, open flags that others overrule are dropped.
 *
 * 0, or the negative errno that the caller gets. GETATTR, SETATTR and STATX: -EIO means that the
 * inode went bad. IOCTL: -ENOTTY also stands for a result of -ENOSYS.
 * *forget is set only beside an error, when the entry was sound enough to be given back with
 * FORGET(nodeid, 1). A failed OPEN, and a failed CREATE or TMPFILE with *forget set, leave a
 * handle open at the server: send RELEASE with the fh in body.
 */
int pf__check_reply(const struct pf__expect *e, void *body, size_t body_len, bool *forget);

/* True if mode's type is one of the seven and size fits a signed 64-bit number. */
bool pf__attr_ok(const struct fuse_attr *a);
/* The same for STATX, judging only fields that mask has. */
bool pf__statx_ok(const struct fuse_statx *s);
/* STATX's reply as attributes, for the cache; false when BASIC_STATS is not whole. */
bool pf__statx_to_attr(const struct fuse_statx *s, struct fuse_attr *a);

/* ---- directory records */
struct pf__dir_record {
	uint64_t ino, off;
	uint32_t type, namelen;
	const char *name; /* inside the buffer, not terminated */
	struct fuse_entry_out
	    *entry;  /* READDIRPLUS: the entry, clamped; else NULL. May be unaligned: copied
			    to 8-aligned buffers records are always aligned */
	bool link;   /* READDIRPLUS: the entry was counted and may be put into the cache (12.19) */
	bool forget; /* READDIRPLUS: it was counted but is unusable: FORGET(nodeid, 1) (12.19) */
};
/*
 * The next record of a READDIR (plus false) or READDIRPLUS reply at *pos of len; *pos starts at 0
 * and buf is 8-aligned. 1 a record (pos moved on), 0 the end (a partial record is the end), -EIO a
 * bad name (12.18): empty, longer than 4095, or with a '/'. A NUL inside a name is not judged.
 */
int pf__dir_next(const struct pf__dialect *d, bool plus, void *buf, size_t len, size_t *pos,
		 struct pf__dir_record *r);

/* ---- notifications */
struct pf__notify {
	int32_t code;
	uint64_t nodeid;  /* INVAL_INODE, STORE, RETRIEVE; parent for INVAL_ENTRY and DELETE */
	uint64_t child;   /* DELETE */
	uint64_t kh;      /* POLL */
	uint64_t unique;  /* RETRIEVE: notify_unique */
	int64_t off, len; /* INVAL_INODE; STORE and RETRIEVE: offset and size */
	uint32_t flags;   /* INVAL_ENTRY */
	const char *name; /* INVAL_ENTRY, DELETE: NUL-terminated, inside body */
	uint32_t namelen;
	const void *data; /* STORE: len bytes. PRUNE: node ids, 8-aligned only if body is */
	uint32_t count;   /* PRUNE */
};
/* Take a notification's body apart. 0; -EINVAL size or code wrong; -ENAMETOOLONG. Pointers in n
 * point into body. */
int pf__parse_notify(const struct pf__dialect *d, int32_t code, const void *body, size_t len,
		     struct pf__notify *n);

/* ---- INIT */
struct pf__init_want { /* what the client offers and allows */
	uint32_t minor;
	uint64_t flags;
	uint32_t max_readahead;        /* bytes */
	uint32_t max_write;            /* bytes: the most the transport carries */
	uint32_t max_pages;            /* limit for the server's wish */
	uint32_t max_background_limit; /* clamp for the server's wish; 0 none */
	bool default_permissions, dax_window;
};
struct pf__init_got { /* what holds from now on */
	struct pf__dialect dialect;
	uint32_t max_readahead; /* bytes */
	uint32_t max_write;     /* bytes, at least 4096 */
	uint32_t max_pages;     /* pages in one READ or WRITE, which max_write bounds as well */
	uint32_t max_background, congestion_threshold;
	uint32_t time_gran;
	uint32_t request_timeout; /* seconds, 0 none */
	uint32_t max_stack_depth;
	uint32_t map_alignment;
};
void pf__init_encode(const struct pf__init_want *w, struct fuse_init_in *in);
/* Rules 3.2 .. 3.15; body may be 0 .. 64 bytes. 0; -ECONNREFUSED when the server must be refused
 * (*why, never NULL then, says what is wrong with it: "it speaks ..."). Flags that were not offered
 * are masked, and so are those that the minor or another flag overrules. */
int pf__init_decode(const struct pf__init_want *w, const void *body, size_t len,
		    struct pf__init_got *got, const char **why);
/* The name of INIT flag bit n ("ASYNC_READ"), or NULL. */
const char *pf__init_flag_name(unsigned bit);

/* ---- extensions of create-type requests */
/* Room for both blocks: security context of namelen + size, and one group. */
size_t pf__ext_size(const char *ctx_name, size_t ctx_size, bool groups);
/* Encode into buf (of pf__ext_size() bytes): the context header if secctx (ctx_name NULL: an empty
 * header), the group block if groups. Returns the bytes written, a multiple of 8. */
size_t pf__ext_encode(void *buf, bool secctx, const char *ctx_name, const void *ctx,
		      size_t ctx_size, bool groups, uint32_t gid);

/* ---- values */
uint32_t pf__encode_dev(dev_t dev);
static inline dev_t pf__decode_dev(uint32_t rdev)
{
	return makedev((rdev & 0xfff00) >> 8, (rdev & 0xff) | ((rdev >> 12) & 0xfff00));
}

/* ---- traces */
/*
 * One line, without newline, for a whole message to the server or from it, with a NUL; never more
 * than size bytes. Reads nothing past len, believes no length in the message, and puts out nothing
 * but printable ASCII.
 *
 *     LOOKUP(#2, node 1, "foo")
 *      = #2 0 {node 5, gen 0, entry 1s, attr 1s, mode 0100644, size 12}
 *      = #2 -ENOENT
 *     NOTIFY INVAL_ENTRY(node 1, "foo")
 *
 * opcode: of the request that is answered, 0 when unknown.
 */
void pf__print_request(char *line, size_t size, const void *msg, size_t len);
void pf__print_reply(char *line, size_t size, uint32_t opcode, const void *msg, size_t len);

#endif
