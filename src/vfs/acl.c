/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * POSIX ACLs, where the server left them to the client (POSIX_ACL): the xattr value is cached with
 * the inode and judged as acl(5) says.
 */
#include "base/alloc.h"
#include "vfs/names.h"
#include <errno.h>
#include <string.h>

#define ACL_SIZE 4096 /* longest value */
#define ACL_NAME "system.posix_acl_access"

/* The value: little-endian. */
struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};
#define ACL_VERSION   2u
#define TAG_USER_OBJ  0x01
#define TAG_USER      0x02
#define TAG_GROUP_OBJ 0x04
#define TAG_GROUP     0x08
#define TAG_MASK      0x10
#define TAG_OTHER     0x20

struct acl {
	size_t n;
	struct acl_entry e[(ACL_SIZE - 4) / 8];
};

/* Ask the server; value of ACL_SIZE bytes. The length, 0 there is none, or an errno. */
static ssize_t fetch(const struct pf__from *f, struct pf__inode *inode, void *value)
{
	struct fuse_getxattr_in in = {.size = ACL_SIZE};
	struct pf__req r;

	if (pf__conn_nosys(f->super->conn, FUSE_GETXATTR))
		return 0;
	pf__req_init(&r, &f->caller, FUSE_GETXATTR, pf__inode_nodeid(inode));
	pf__req_in(&r, &in, sizeof in);
	pf__req_in(&r, ACL_NAME, sizeof ACL_NAME);
	pf__req_out(&r, value, ACL_SIZE);
	r.expect_size = ACL_SIZE;
	pf__request(f->super->conn, &r);
	switch (r.error) {
	case 0:
		return (ssize_t)r.out_len;
	case -ENOSYS:
		pf__conn_set_nosys(f->super->conn, FUSE_GETXATTR);
		return 0;
	case -ENODATA:
	case -EOPNOTSUPP:
		return 0;
	case -ERANGE:
		return -E2BIG;
	default:
		return r.error;
	}
}

static uint32_t le32(const unsigned char *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The order of tags that a valid list has: user_obj, users, group_obj, groups, mask, other. */
static int parse(const unsigned char *v, size_t len, struct acl *acl)
{
	uint16_t before = 0;

	acl->n = 0;
	if (len < 4 || (len - 4) % 8)
		return -EINVAL;
	if (le32(v) != ACL_VERSION)
		return -EOPNOTSUPP;
	for (size_t i = 4; i < len; i += 8) {
		struct acl_entry *e = &acl->e[acl->n++];

		*e = (struct acl_entry){v[i] | v[i + 1] << 8, v[i + 2] | v[i + 3] << 8,
					le32(v + i + 4)};
		if (e->tag < before || (e->tag & (e->tag - 1)) || !e->tag || e->tag > TAG_OTHER ||
		    (e->perm & ~7))
			return -EINVAL;
		if (e->tag == before && e->tag != TAG_USER && e->tag != TAG_GROUP)
			return -EINVAL;
		before = e->tag;
	}
	return 0;
}

static ssize_t value_of(const struct pf__from *f, struct pf__inode *inode, void *value)
{
	ssize_t n = pf__inode_acl(inode, 0, value, ACL_SIZE);

	if (n != -ENODATA)
		return n;
	n = fetch(f, inode, value);
	if (n >= 0)
		pf__inode_set_acl(f->super->cache, inode, 0, value, n); /* else asked for again */
	return n;
}

static const struct acl_entry *find_tag(const struct acl *acl, uint16_t tag)
{
	for (size_t i = 0; i < acl->n; i++)
		if (acl->e[i].tag == tag)
			return &acl->e[i];
	return NULL;
}

static bool within(const struct acl_entry *e, const struct acl_entry *mask, unsigned want)
{
	unsigned perm = e->perm & (mask ? mask->perm : 7);

	return (perm & want) == want;
}

/* The owner has been dealt with by the mode. */
static int judge(const struct acl *acl, const struct pf__from *f, const struct fuse_attr *a,
		 unsigned want)
{
	const struct acl_entry *mask = find_tag(acl, TAG_MASK), *other;
	bool member = false;

	for (size_t i = 0; i < acl->n; i++) {
		const struct acl_entry *e = &acl->e[i];

		if (e->tag == TAG_USER && e->id == f->caller.cred.uid)
			return within(e, mask, want) ? 0 : -EACCES;
		if (e->tag != TAG_GROUP_OBJ && e->tag != TAG_GROUP)
			continue;
		if (!pf__caller_in_group(&f->caller, e->tag == TAG_GROUP ? e->id : a->gid))
			continue;
		member = true;
		/* Any group of the caller that grants it all will do. */
		if (within(e, mask, want))
			return 0;
	}
	if (member)
		return -EACCES;
	other = find_tag(acl, TAG_OTHER);
	if (!other)
		return -EIO;
	return within(other, NULL, want) ? 0 : -EACCES;
}

int pf__acl_check(const struct pf__from *f, struct pf__inode *inode, const struct fuse_attr *attr,
		  unsigned mask)
{
	unsigned char value[ACL_SIZE];
	struct acl acl;
	ssize_t n = value_of(f, inode, value);
	int err;

	if (n < 0)
		return (int)n;
	if (!n)
		return -ENODATA;
	err = parse(value, n, &acl);
	return err ? err : judge(&acl, f, attr, mask);
}

bool pf__acl_known_none(const struct pf__inode *inode)
{
	char none;

	return pf__inode_acl((struct pf__inode *)inode, 0, &none, 0) == 0;
}
