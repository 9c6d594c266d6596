/* SPDX-License-Identifier: BSD-2-Clause */
/* pf_info(): what was negotiated, and counters, as names that stay and values. */
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct out {
	pf_info_fn fn;
	void *ctx;
};

__attribute__((format(printf, 3, 4))) static void say(const struct out *o, const char *key,
						      const char *fmt, ...)
{
	char value[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	o->fn(o->ctx, key, value);
}

static void say_flags(const struct out *o, uint64_t flags)
{
	char text[2048] = "";
	size_t n = 0;

	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = pf__init_flag_name(bit);

		if (!(flags >> bit & 1))
			continue;
		if (name)
			n +=
			    (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "", name);
		else
			n += (size_t)snprintf(text + n, sizeof text - n, "%sBIT_%u", n ? " " : "",
					      bit);
		if (n >= sizeof text)
			break;
	}
	o->fn(o->ctx, "flags", text);
}

static void say_negotiated(const struct out *o, const struct pf__super *s)
{
	const struct pf__init_got *g = s->got;

	say(o, "version", "%s", PF_VERSION_STRING);
	say(o, "protocol", "%u.%u", FUSE_MAJOR, g->dialect.minor);
	say(o, "minor", "%u", g->dialect.minor);
	say_flags(o, g->dialect.flags);
	say(o, "max_write", "%u", s->max_write);
	say(o, "max_read", "%u", s->max_read);
	say(o, "max_readahead", "%u", g->max_readahead);
	say(o, "max_pages", "%u", g->max_pages);
	say(o, "max_background", "%u", g->max_background);
	say(o, "congestion_threshold", "%u", g->congestion_threshold);
	say(o, "time_gran", "%u", g->time_gran);
	if (g->dialect.flags & FUSE_PASSTHROUGH)
		say(o, "max_stack_depth", "%u", g->max_stack_depth);
	say(o, "request_timeout", "%u", g->request_timeout);
	say(o, "name_max", "%u", g->dialect.name_max);
	say(o, "transport", "%s", s->transport);
}

static void say_mount(const struct out *o, struct pf_fs *fs)
{
	const struct pf__mount_options *m = &fs->super->mount;

	say(o, "mountpoint", "%s", pf_mountpoint(fs));
	say(o, "server_pid", "%ld", (long)pf_server_pid(fs));
	say(o, "fsname", "%s", m->fsname);
	say(o, "subtype", "%s", m->subtype);
	say(o, "read_only", "%s", m->read_only ? "yes" : "no");
	say(o, "default_permissions", "%s", fs->super->default_permissions ? "yes" : "no");
	say(o, "allow_other", "%s", m->allow_other ? "yes" : "no");
	say(o, "rootmode", "0%o", m->rootmode); /* octal, and no number for JSON */
	say(o, "user_id", "%u", m->user_id);
	say(o, "group_id", "%u", m->group_id);
}

static void say_conn(const struct out *o, struct pf__conn *conn)
{
	struct pf__conn_stats st;

	pf__conn_stats(conn, &st);
#define SAY(field) say(o, "conn." #field, "%" PRIu64, st.field)
	SAY(requests);
	SAY(replies);
	SAY(background);
	SAY(forgets);
	SAY(forget_messages);
	SAY(interrupts);
	SAY(notifications);
	SAY(bad_replies);
	SAY(unknown_replies);
	SAY(aborted);
	SAY(read_by_leader);
	SAY(read_by_service);
	SAY(spin_hits);
	SAY(spin_misses);
	SAY(waiting);
	SAY(num_background);
#undef SAY
	for (uint32_t op = 0; op < 64; op++) {
		char key[64];

		if (!st.by_opcode[op])
			continue;
		snprintf(key, sizeof key, "requests.%s", pf__op_name(op));
		say(o, key, "%" PRIu64, st.by_opcode[op]);
	}
}

static void say_cache(const struct out *o, struct pf__super *s)
{
	struct pf__cache_stats st;

	pf__cache_stats(s->cache, &st);
#define SAY(field) say(o, "cache." #field, "%" PRIu64, st.field)
	SAY(names);
	SAY(negative_names);
	SAY(inodes);
	SAY(hits);
	SAY(misses);
	SAY(expired);
	SAY(evicted);
	SAY(bytes);
	SAY(listings);
	SAY(listing_bytes);
#undef SAY
}

static void say_io(const struct out *o, const struct pf__super *s)
{
	static const char *const modes[] = {"auto", "none", "always"};
	unsigned mode = (unsigned)s->io->config.cache;
	struct pf_stats st = {.size = sizeof st};

	pf__stats(s, &st);
	say(o, "cache", "%s", mode < 3 ? modes[mode] : "auto");
	say(o, "writeback", "%s", s->io->writeback ? "yes" : "no");
#define SAY(field) say(o, "io." #field, "%" PRIu64, st.field)
	SAY(reads_cached);
	SAY(reads_direct);
	SAY(writes_through);
	SAY(writes_back);
	SAY(writes_direct);
	SAY(writes_parallel);
	SAY(bytes_read);
	SAY(bytes_written);
	SAY(page_hits);
	SAY(page_misses);
	SAY(readahead_pages);
	SAY(readahead_hits);
	SAY(readahead_waste);
	SAY(pages);
	SAY(pages_dirty);
	SAY(pages_writeback);
	SAY(pages_flushed);
	SAY(pages_evicted);
	SAY(pages_dropped);
	SAY(pages_lost);
	SAY(cache_bytes);
	SAY(cache_limit);
	SAY(cache_peak);
	SAY(dirty_waits);
	SAY(dir_cache_hits);
	SAY(reads_passthrough);
	SAY(writes_passthrough);
#undef SAY
}

int pf_info(struct pf_fs *fs, pf_info_fn fn, void *ctx)
{
	struct out o = {fn, ctx};

	if (atomic_load(&fs->super->stopped))
		return pf__fail_op(-ENOTCONN, "info", NULL);
	say_negotiated(&o, fs->super);
	say_mount(&o, fs);
	say_conn(&o, fs->super->conn);
	say_cache(&o, fs->super);
	say_io(&o, fs->super);
	return 0;
}
