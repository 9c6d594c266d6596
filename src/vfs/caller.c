/* SPDX-License-Identifier: BSD-2-Clause */
/* Who calls: views of a file system as single callers, and what a request says of them. */
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A process asks for its own id once: the library is told of forks. */
static _Atomic pid_t own_pid;

static void forget_own_pid(void)
{
	atomic_store_explicit(&own_pid, 0, memory_order_relaxed);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, forget_own_pid);
}

static pid_t self_pid(void)
{
	pid_t pid = atomic_load_explicit(&own_pid, memory_order_relaxed);

	if (!pid) {
		pid = getpid();
		atomic_store_explicit(&own_pid, pid, memory_order_relaxed);
	}
	return pid;
}

/* umask(2) cannot read without writing, which other threads would see; /proc tells it. */
static mode_t process_umask(void)
{
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char text[256];
	const char *p;
	ssize_t n;

	if (fd < 0)
		return 022; /* no /proc: the usual one */
	n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	p = strstr(text, "\nUmask:");
	return p ? (mode_t)strtoul(p + sizeof "\nUmask:" - 1, NULL, 8) & 0777 : 022;
}

void pf__view_init_self(struct pf_fs *view, struct pf__super *s)
{
	memset(view, 0, sizeof *view);
	view->super = s;
	view->self = true;
	view->caller.size = sizeof view->caller;
	view->caller.umask = process_umask();
	view->group = (const void *)(uintptr_t)atomic_fetch_add(&s->next_group, 1);
}

void pf__view_drop(struct pf_fs *view)
{
	pf__free((void *)view->caller.groups);
	pf__free((void *)view->caller.security_context);
	pf__free((void *)view->caller.security_context_name);
	view->caller.groups = NULL;
	view->caller.security_context = NULL;
	view->caller.security_context_name = NULL;
}

static int copy_bytes(const void **to, const void *from, size_t size)
{
	*to = from && size ? pf__memdup(from, size) : NULL;
	return from && size && !*to ? -ENOMEM : 0;
}

static int copy_caller(struct pf_caller *to, const struct pf_caller *from)
{
	size_t name = from->security_context_name ? strlen(from->security_context_name) + 1 : 0;

	if (copy_bytes((const void **)&to->groups, from->groups,
		       from->ngroups * sizeof *from->groups) ||
	    copy_bytes(&to->security_context, from->security_context,
		       from->security_context_size) ||
	    copy_bytes((const void **)&to->security_context_name, from->security_context_name,
		       name))
		return -ENOMEM;
	return 0;
}

int pf__view_copy(struct pf_fs *to, const struct pf_fs *from)
{
	int r;

	*to = *from;
	to->is_root_view = false;
	to->caller.groups = NULL;
	to->caller.security_context = NULL;
	to->caller.security_context_name = NULL;
	r = copy_caller(&to->caller, &from->caller);
	if (r)
		pf__view_drop(to);
	return r;
}

/* The caller as given by a program built against perhaps another version of the header. */
static int caller_read(struct pf_caller *to, const struct pf_caller *from)
{
	if (from->size < offsetof(struct pf_caller, lock_owner))
		return -EINVAL;
	memset(to, 0, sizeof *to);
	memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
	to->size = sizeof *to;
	if (to->ngroups > 65536 || (to->ngroups && !to->groups))
		return -EINVAL;
	if (to->security_context && !to->security_context_name)
		return -EINVAL;
	return 0;
}

int pf_as(struct pf_fs *fs, const struct pf_caller *caller, struct pf_fs **view)
{
	struct pf_fs given, *v;
	int r;

	*view = NULL;
	memset(&given, 0, sizeof given);
	r = caller_read(&given.caller, caller);
	if (r)
		return pf__fail(r, "as: the caller's description is not valid");
	given.super = fs->super;
	given.group = (const void *)(uintptr_t)atomic_fetch_add(&fs->super->next_group, 1);
	v = pf__malloc(sizeof *v);
	r = v ? pf__view_copy(v, &given) : -ENOMEM;
	if (r) {
		pf__free(v);
		return pf__fail_op(r, "as", NULL);
	}
	pf__super_get(v->super);
	*view = v;
	return 0;
}

void pf__view_of(struct pf_fs *view, const struct pf_fs *fs, const struct pf_caller *caller)
{
	*view = (struct pf_fs){.super = fs->super, .caller = *caller, .no_links = true};
	view->group = (const void *)(uintptr_t)atomic_fetch_add(&fs->super->next_group, 1);
}

void pf_view_free(struct pf_fs *view)
{
	struct pf__super *s;

	if (!view || view->is_root_view)
		return;
	s = view->super;
	pf__view_drop(view);
	pf__free(view);
	pf__super_put(s);
}

int pf_interrupt(struct pf_fs *view)
{
	struct pf__super *s = view->super;
	int n;

	if (atomic_load(&s->stopped))
		return 0;
	n = pf__aio_interrupt(s, view->group); /* first: none begins between */
	return n + pf__conn_interrupt(s->conn, view->group) + pf__gates_interrupt(s, view->group) +
	       pf__locks_interrupt(s->locks, view->group) +
	       pf__polls_interrupt(s->polls, view->group);
}

void pf__caller_of(const struct pf_fs *fs, struct pf__caller *c)
{
	c->who = &fs->caller;
	c->super = fs->super;
	c->group = fs->group;
	c->self = fs->self;
	c->no_links = fs->no_links;
	c->cred.pid = fs->self ? (uint32_t)self_pid() : (uint32_t)fs->caller.pid;
	if (fs->self && !fs->opener) {
		c->cred.uid = geteuid();
		c->cred.gid = getegid();
	} else {
		c->cred.uid = fs->caller.uid;
		c->cred.gid = fs->caller.gid;
	}
	c->cap_override = c->cred.uid == 0 && !fs->caller.unprivileged;
}

int pf__caller_allowed(const struct pf__super *s, const struct pf__caller *c)
{
	if (atomic_load_explicit(&s->stopped, memory_order_relaxed))
		return -ENOTCONN;
	if (s->mount.allow_other)
		return 0;
	return c->cred.uid == s->mount.user_id && c->cred.gid == s->mount.group_id ? 0 : -EACCES;
}

static bool self_in_group(gid_t gid)
{
	gid_t few[64], *many = few;
	int n = getgroups(64, few);
	bool found = false;

	if (n < 0) { /* more than 64 */
		n = getgroups(0, NULL);
		many = n > 0 ? pf__malloc((size_t)n * sizeof *many) : NULL;
		n = many ? getgroups(n, many) : 0;
	}
	for (int i = 0; i < n && !found; i++)
		found = many[i] == gid;
	if (many != few)
		pf__free(many);
	return found;
}

bool pf__caller_in_group(const struct pf__caller *c, gid_t gid)
{
	if (c->cred.gid == gid)
		return true;
	if (c->self)
		return self_in_group(gid);
	for (size_t i = 0; i < c->who->ngroups; i++)
		if (c->who->groups[i] == gid)
			return true;
	return false;
}

mode_t pf__caller_umask(const struct pf__caller *c)
{
	return __atomic_load_n(&c->who->umask, __ATOMIC_RELAXED) & 0777;
}

mode_t pf_umask(struct pf_fs *view, mode_t mask)
{
	return __atomic_exchange_n(&view->caller.umask, mask & 0777, __ATOMIC_RELAXED);
}

uint64_t pf__caller_lock_owner(const struct pf__caller *c)
{
	uint64_t owner = c->who->lock_owner ? c->who->lock_owner : c->cred.pid;

	return pf__lock_owner_id(c->super, owner);
}

/* One to one, so that two owners never become one; the keys keep pointers from the server. */
uint64_t pf__lock_owner_id(const struct pf__super *s, uint64_t owner)
{
	uint64_t x = owner ^ s->owner_key[0];

	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
	return x ^ x >> 32 ^ s->owner_key[1];
}

void pf__req_init(struct pf__req *r, const struct pf__caller *c, uint32_t opcode, uint64_t nodeid)
{
	memset(r, 0, sizeof *r);
	r->opcode = opcode;
	r->nodeid = nodeid;
	r->cred = c->cred;
	r->group = c->group;
}
