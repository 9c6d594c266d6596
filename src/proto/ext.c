/* SPDX-License-Identifier: BSD-2-Clause */
/* The blocks after the names of a request that makes an inode: security context, then groups. */
#include "base/arith.h"
#include "proto/proto.h"
#include <string.h>

#define GROUPS_SIZE                                                                                \
	(sizeof(struct fuse_ext_header) + sizeof(struct fuse_supp_groups) + sizeof(uint32_t))

static size_t secctx_size(const char *ctx_name, size_t ctx_size)
{
	size_t n = sizeof(struct fuse_secctx_header);

	if (ctx_name)
		n += PF_ALIGN_UP(sizeof(struct fuse_secctx) + strlen(ctx_name) + 1 + ctx_size, 8);
	return n;
}

size_t pf__ext_size(const char *ctx_name, size_t ctx_size, bool groups)
{
	return secctx_size(ctx_name, ctx_size) + (groups ? GROUPS_SIZE : 0);
}

static size_t put_secctx(char *p, const char *ctx_name, const void *ctx, size_t ctx_size)
{
	size_t n = secctx_size(ctx_name, ctx_size);
	struct fuse_secctx_header h = {.size = n, .nr_secctx = ctx_name ? 1 : 0};
	struct fuse_secctx c = {.size = ctx_size};

	memset(p, 0, n);
	memcpy(p, &h, sizeof h);
	if (!ctx_name)
		return n;
	p += sizeof h;
	memcpy(p, &c, sizeof c);
	p += sizeof c;
	memcpy(p, ctx_name, strlen(ctx_name) + 1);
	p += strlen(ctx_name) + 1;
	if (ctx_size)
		memcpy(p, ctx, ctx_size);
	return n;
}

static size_t put_groups(char *p, uint32_t gid)
{
	struct fuse_ext_header h = {.size = GROUPS_SIZE, .type = FUSE_EXT_GROUPS};
	uint32_t groups[2] = {1, gid}; /* how many, then the ids */

	memcpy(p, &h, sizeof h);
	memcpy(p + sizeof h, groups, sizeof groups);
	return GROUPS_SIZE;
}

size_t pf__ext_encode(void *buf, bool secctx, const char *ctx_name, const void *ctx,
		      size_t ctx_size, bool groups, uint32_t gid)
{
	size_t n = 0;

	if (secctx)
		n += put_secctx(buf, ctx_name, ctx, ctx_size);
	if (groups)
		n += put_groups((char *)buf + n, gid);
	return n;
}
