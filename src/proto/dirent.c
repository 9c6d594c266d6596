/* SPDX-License-Identifier: BSD-2-Clause */
/* The records of READDIR and READDIRPLUS replies. */
#include "base/arith.h"
#include "proto/judge.h"
#include <errno.h>
#include <string.h>

static bool is_dot_or_dotdot(const struct pf__dir_record *r)
{
	return (r->namelen == 1 && r->name[0] == '.') ||
	       (r->namelen == 2 && r->name[0] == '.' && r->name[1] == '.');
}

/* nodeid 0 says "attributes not given": nothing was counted. An unusable entry was. */
static void judge_entry(struct pf__dir_record *r, struct fuse_entry_out *e)
{
	pf__entry_clamp(e);
	r->entry = e;
	if (!e->nodeid || is_dot_or_dotdot(r))
		return;
	if (e->nodeid == FUSE_ROOT_ID || !pf__attr_ok(&e->attr))
		r->forget = true;
	else
		r->link = true;
}

int pf__dir_next(const struct pf__dialect *d, bool plus, void *buf, size_t len, size_t *pos,
		 struct pf__dir_record *r)
{
	size_t head = plus ? sizeof(struct fuse_direntplus) : sizeof(struct fuse_dirent);
	char *p = (char *)buf + *pos;
	size_t left = *pos < len ? len - *pos : 0;
	struct fuse_dirent *de;
	size_t size;

	if (left < head)
		return 0;
	de = plus ? &((struct fuse_direntplus *)p)->dirent : (struct fuse_dirent *)p;
	if (!de->namelen || de->namelen > FUSE_NAME_MAX_LONG)
		return -EIO;
	size = PF_ALIGN_UP(head + de->namelen, 8);
	if (size > left)
		return 0;
	if (memchr(p + head, '/', de->namelen))
		return -EIO;
	*r = (struct pf__dir_record){
	    .ino = de->ino,
	    .off = de->off,
	    .type = de->type,
	    .namelen = de->namelen,
	    .name = p + head,
	};
	if (plus)
		judge_entry(r, (struct fuse_entry_out *)p);
	*pos += size;
	return 1;
}
