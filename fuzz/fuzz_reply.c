/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that looks at bytes from a server, in the order in which the client does it. Blocks
 * are exactly as long as what they hold, so that AddressSanitizer sees one byte too many; what the
 * validator lets pass is held against what the rest of the client relies on.
 */
#include "input.h"
#include "proto/proto.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void *copy_of(const void *p, size_t len, size_t room)
{
	void *copy = malloc(room ? room : 1);

	must(copy != NULL);
	memset(copy, 0xa5, room);
	if (len)
		memcpy(copy, p, len);
	return copy;
}

/* Read every byte, so that a pointer that leads outside is caught. */
static void touch(const void *p, size_t len)
{
	const volatile unsigned char *c = p;

	for (size_t i = 0; i < len; i++)
		(void)c[i];
}

static void check_entry(const struct pf__expect *e, const struct fuse_entry_out *o)
{
	must(o->entry_valid_nsec < 1000000000 && o->attr_valid_nsec < 1000000000);
	if (!o->nodeid) {
		must(e->opcode == FUSE_LOOKUP);
		return;
	}
	must(e->dot || (o->nodeid != FUSE_ROOT_ID && o->nodeid != e->nodeid));
	must(pf__attr_ok(&o->attr));
}

static void check_names(const char *list, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t n = strnlen(list + at, len - at);

		must(n && at + n < len);
		at += n + 1;
	}
}

/* What the callers of pf__check_reply() take for granted. */
static void check_accepted(const struct pf__expect *e, const void *body, size_t len)
{
	const struct pf__op *op = pf__op_get(e->opcode);

	if (op->reply == PF_REPLY_FIXED && op->reply_size >= sizeof(struct fuse_entry_out) &&
	    e->opcode != FUSE_STATX)
		check_entry(e, body);
	else if (e->opcode == FUSE_GETATTR || e->opcode == FUSE_SETATTR)
		must(pf__attr_ok(&((const struct fuse_attr_out *)body)->attr));
	else if (e->opcode == FUSE_LISTXATTR && e->size)
		check_names(body, len);
	else if (e->opcode == FUSE_READLINK)
		must(len <= 4095 && (!len || !memchr(body, 0, len)));
	else if (e->opcode == FUSE_LSEEK)
		must(((const struct fuse_lseek_out *)body)->offset <= INT64_MAX);
	touch(body, len);
}

static void run_records(const struct pf__dialect *d, bool plus, const void *body, size_t len)
{
	void *buf = copy_of(body, len, len);
	struct pf__dir_record r;
	size_t pos = 0, before = 0;

	while (pf__dir_next(d, plus, buf, len, &pos, &r) == 1) {
		must(pos > before && pos <= len && pos % 8 == 0);
		before = pos;
		must(r.namelen && r.namelen <= 4095 && !memchr(r.name, '/', r.namelen));
		touch(r.name, r.namelen);
		must((r.entry != NULL) == plus && !(r.link && r.forget));
		if (r.link)
			must(r.entry->nodeid > FUSE_ROOT_ID && pf__attr_ok(&r.entry->attr));
	}
	free(buf);
}

static void run_init(const struct input_head *h, const void *body, size_t len)
{
	struct pf__init_want want = {
	    .minor = h->minor,
	    .flags = h->flags,
	    .max_readahead = h->mode,
	    .max_write = h->size,
	    .max_pages = h->nodeid,
	    .max_background_limit = h->mode,
	    .default_permissions = h->bits & INPUT_DEFAULT_PERM,
	    .dax_window = h->bits & INPUT_DAX,
	};
	void *copy = copy_of(body, len, len);
	struct pf__init_got got;
	const char *why;

	if (pf__init_decode(&want, copy, len, &got, &why)) {
		must(why && *why);
	} else {
		must(!(got.dialect.flags & ~(want.flags | FUSE_INIT_EXT)));
		must(got.dialect.minor <= want.minor && got.max_write >= 4096);
		must(got.max_pages && got.time_gran && got.time_gran <= 1000000000);
		must(got.max_background && got.congestion_threshold);
		must(got.dialect.name_max == 1024 || got.dialect.name_max == 4095);
	}
	free(copy);
}

static void run_notify(const struct pf__dialect *d, int32_t code, const void *body, size_t len)
{
	void *copy = copy_of(body, len, len);
	struct pf__notify n;

	if (!pf__parse_notify(d, code, copy, len, &n)) {
		/* A RETRIEVE may ask beyond any file: its offset is used as 64 bits without a sign.
		 */
		must(n.off >= 0 || code == FUSE_NOTIFY_INVAL_INODE || code == FUSE_NOTIFY_RETRIEVE);
		if (n.name) {
			must(n.namelen <= d->name_max && n.name[n.namelen] == '\0');
			touch(n.name, n.namelen);
		}
		if (code == FUSE_NOTIFY_STORE)
			touch(n.data, n.len);
		if (code == FUSE_NOTIFY_PRUNE)
			touch(n.data, n.count * sizeof(uint64_t));
	}
	free(copy);
}

static void run_reply(const struct pf__expect *e, int32_t error, const void *body, size_t len)
{
	const struct pf__op *op = pf__op_get(e->opcode);
	size_t missing;
	bool forget;
	void *buf;

	if (pf__check_reply_size(e, error, len) || error)
		return;
	missing = op->reply_size - pf__reply_size(&e->dialect, e->opcode);
	buf = copy_of(body, len, len + missing);
	pf__reply_expand(&e->dialect, e->opcode, buf);
	if (!pf__check_reply(e, buf, len + missing, &forget)) {
		must(!forget);
		check_accepted(e, buf, len + missing);
	}
	free(buf);
	if (e->opcode == FUSE_READDIR || e->opcode == FUSE_READDIRPLUS)
		run_records(&e->dialect, e->opcode == FUSE_READDIRPLUS, body, len);
}

static void run_prints(uint32_t opcode, const void *msg, size_t len)
{
	size_t size = len % 512; /* lines of any size */
	char *copy = copy_of(msg, len, len), *line = copy_of(NULL, 0, size);

	pf__print_reply(line, size, opcode, copy, len);
	must(!size || strlen(line) < size);
	pf__print_request(line, size, copy, len);
	must(!size || strlen(line) < size);
	free(line);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuse_out_header out;
	struct input_head h;
	struct pf__expect e;
	const uint8_t *msg;
	size_t len;

	if (size < sizeof h)
		return 0;
	memcpy(&h, data, sizeof h);
	msg = data + sizeof h;
	len = size - sizeof h;
	e = (struct pf__expect){
	    .dialect = {h.minor, h.flags, h.bits & INPUT_SHORT_NAMES ? 1024 : 4095},
	    .opcode = h.opcode,
	    .nodeid = h.nodeid,
	    .mode = h.mode,
	    .size = h.size,
	    .dot = h.bits & INPUT_DOT,
	    .ioctl_unrestricted = h.bits & INPUT_UNRESTRICTED,
	    .ioctl_iov_max = h.bits & INPUT_IOV_MAX ? 131072 : 0,
	};
	run_prints(h.opcode, msg, len);
	if (len < sizeof out)
		return 0;
	memcpy(&out, msg, sizeof out);
	out.len = len; /* a mutated input seldom has it right, and it says nothing else */
	if (pf__check_out_header(&out, len))
		return 0;
	msg += sizeof out;
	len -= sizeof out;
	if (!out.unique)
		run_notify(&e.dialect, out.error, msg, len);
	else if (h.opcode == FUSE_INIT && !out.error)
		run_init(&h, msg, len);
	else
		run_reply(&e, out.error, msg, len);
	return 0;
}
