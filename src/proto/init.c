/* SPDX-License-Identifier: BSD-2-Clause */
/* INIT: what both sides can do, and what holds from then on. */
#include "base/arith.h"
#include "base/clock.h"
#include "proto/proto.h"
#include <errno.h>
#include <string.h>

#define DEFAULT_MAX_BACKGROUND       12
#define DEFAULT_CONGESTION_THRESHOLD 9
#define DEFAULT_MAX_PAGES            32
#define MIN_MAX_WRITE                4096
#define MAX_STACK_DEPTH              2
#define MAX_MAP_ALIGNMENT            21 /* log2 of the 2 MiB that one mapping covers */

void pf__init_encode(const struct pf__init_want *w, struct fuse_init_in *in)
{
	*in = (struct fuse_init_in){
	    .major = FUSE_MAJOR,
	    .minor = w->minor,
	    .max_readahead = w->max_readahead,
	    .flags = (uint32_t)(w->flags | FUSE_INIT_EXT),
	    .flags2 = w->flags >> 32,
	};
}

static uint64_t flags_of(const struct pf__init_want *w, const struct fuse_init_out *out)
{
	uint64_t flags = out->flags;

	if (flags & FUSE_INIT_EXT)
		flags |= (uint64_t)out->flags2 << 32;
	return flags & (w->flags | FUSE_INIT_EXT);
}

/* Flags that the minor or other flags overrule. */
static uint64_t settle_flags(const struct pf__init_want *w, uint32_t minor, uint64_t flags)
{
	if (minor < 9)
		flags &= ~FUSE_EXPORT_SUPPORT;
	if (minor < 17) { /* flock had no flag of its own yet */
		flags &= ~FUSE_FLOCK_LOCKS;
		if (flags & FUSE_POSIX_LOCKS)
			flags |= w->flags & FUSE_FLOCK_LOCKS;
	}
	if (flags & FUSE_AUTO_INVAL_DATA)
		flags &= ~FUSE_EXPLICIT_INVAL_DATA;
	if (!(flags & FUSE_DO_READDIRPLUS))
		flags &= ~FUSE_READDIRPLUS_AUTO;
	return flags;
}

static const char *refusal(const struct pf__init_want *w, const struct fuse_init_out *out,
			   uint64_t flags)
{
	if (out->major != FUSE_MAJOR)
		return "it speaks another major version of the protocol than 7";
	if (out->minor < FUSE_MINOR_OLDEST)
		return "it speaks a protocol older than 7.8";
	if (flags & FUSE_ALLOW_IDMAP && !(w->default_permissions || flags & FUSE_POSIX_ACL))
		return "it wants id-mapped mounts without default_permissions";
	if (flags & FUSE_MAP_ALIGNMENT && w->dax_window && out->map_alignment > MAX_MAP_ALIGNMENT)
		return "it wants mappings aligned to more than 2 MiB";
	return NULL;
}

static uint32_t limited(uint32_t wish, uint32_t fallback, uint32_t limit)
{
	uint32_t n = wish ? wish : fallback;

	return limit ? pf__min_u64(n, limit) : n;
}

static void take_limits(const struct pf__init_want *w, const struct fuse_init_out *out,
			struct pf__init_got *got)
{
	bool has_limits = got->dialect.minor >= 13;

	got->max_background = limited(has_limits ? out->max_background : 0, DEFAULT_MAX_BACKGROUND,
				      w->max_background_limit);
	got->congestion_threshold = limited(has_limits ? out->congestion_threshold : 0,
					    DEFAULT_CONGESTION_THRESHOLD, w->max_background_limit);
	got->max_readahead = pf__min_u64(w->max_readahead, out->max_readahead);
	got->max_write = pf__max_u64(pf__min_u64(out->max_write, w->max_write), MIN_MAX_WRITE);
	got->time_gran = out->time_gran && out->time_gran <= PF_NSEC_PER_SEC ? out->time_gran : 1;
}

static void take_max_pages(const struct pf__init_want *w, const struct fuse_init_out *out,
			   struct pf__init_got *got)
{
	got->max_pages = DEFAULT_MAX_PAGES;
	got->dialect.name_max = FUSE_NAME_MAX_SHORT;
	if (!(got->dialect.flags & FUSE_MAX_PAGES))
		return;
	got->max_pages = pf__clamp_u64(out->max_pages, 1, pf__max_u64(w->max_pages, 1));
	if (got->max_pages > 1)
		got->dialect.name_max = FUSE_NAME_MAX_LONG;
}

/* What is only valid beside its flag. */
static void take_flagged(const struct pf__init_want *w, const struct fuse_init_out *out,
			 struct pf__init_got *got)
{
	uint64_t *flags = &got->dialect.flags;

	if (*flags & FUSE_REQUEST_TIMEOUT)
		got->request_timeout = out->request_timeout;
	if (*flags & FUSE_MAP_ALIGNMENT && w->dax_window)
		got->map_alignment = out->map_alignment;
	if (*flags & FUSE_PASSTHROUGH) {
		if (out->max_stack_depth && out->max_stack_depth <= MAX_STACK_DEPTH &&
		    !(*flags & FUSE_WRITEBACK_CACHE))
			got->max_stack_depth = out->max_stack_depth;
		else
			*flags &= ~FUSE_PASSTHROUGH;
	}
}

int pf__init_decode(const struct pf__init_want *w, const void *body, size_t len,
		    struct pf__init_got *got, const char **why)
{
	struct fuse_init_out out = {0};
	uint64_t flags;

	memset(got, 0, sizeof *got);
	if (len > sizeof out) {
		*why = "its answer to INIT is too long";
		return -ECONNREFUSED;
	}
	if (len)
		memcpy(&out, body, len);
	flags = flags_of(w, &out);
	*why = refusal(w, &out, flags);
	if (*why)
		return -ECONNREFUSED;
	got->dialect.minor = pf__min_u64(w->minor, out.minor);
	got->dialect.flags = settle_flags(w, got->dialect.minor, flags);
	take_limits(w, &out, got);
	take_max_pages(w, &out, got);
	take_flagged(w, &out, got);
	return 0;
}
