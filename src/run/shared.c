/* SPDX-License-Identifier: BSD-2-Clause */
/* The writer's side of shared.h. */
#include "run/shared.h"
#include "base/errmsg.h"
#include "base/memfd.h"
#include "run/internal.h"
#include "vfs/super.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 5.1. */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* The six arguments of a function are those of a call, moved by one. */
#if defined(__x86_64__)
static const uint8_t pass_code[] = {
    0x48, 0x89, 0xf8, /* mov %rdi, %rax */
    0x48, 0x89, 0xf7, /* mov %rsi, %rdi */
    0x48, 0x89, 0xd6, /* mov %rdx, %rsi */
    0x48, 0x89, 0xca, /* mov %rcx, %rdx */
    0x4d, 0x89, 0xc2, /* mov %r8, %r10 */
    0x4d, 0x89, 0xc8, /* mov %r9, %r8 */
    0x0f, 0x05,       /* syscall */
    0xc3,             /* ret */
};
#elif defined(__aarch64__)
static const uint32_t pass_code[] = {
    0xaa0003e8, /* mov x8, x0 */
    0xaa0103e0, /* mov x0, x1 */
    0xaa0203e1, /* mov x1, x2 */
    0xaa0303e2, /* mov x2, x3 */
    0xaa0403e3, /* mov x3, x4 */
    0xaa0503e4, /* mov x4, x5 */
    0xd4000001, /* svc #0 */
    0xd65f03c0, /* ret */
};
#else
static const uint8_t pass_code[1]; /* programs do not get what they would call */
#define NO_PASS
#endif

/* What src/preload/ calls there. */
static const int passed[] = {__NR_openat,    __NR_newfstatat, __NR_fstat, __NR_statx,
			     __NR_faccessat, __NR_readlinkat, __NR_getcwd};

/* Pages of it are taken from memory when they are first written to. */
int shared_open(struct pf__run *r)
{
	void *p;

	r->shared_fd = pf__memfd("portfire");
	if (r->shared_fd < 0 || ftruncate(r->shared_fd, PF_PASS_OFFSET + 4096) < 0 ||
	    pwrite(r->shared_fd, pass_code, sizeof pass_code, PF_PASS_OFFSET) < 0)
		return pf__fail(
		    -errno, "there is no memfd_create(2) here, by which files are held in memory");
	p = mmap(NULL, sizeof *r->shared, PROT_READ | PROT_WRITE, MAP_SHARED, r->shared_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	fcntl(r->shared_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
	r->shared = p;
	r->shared->version = PF_SHARED_VERSION;
	r->shared->seed = pf__hash_seed();
	return 0;
}

void shared_pass(struct pf__run *r)
{
#ifndef NO_PASS
	if (r->config.preload)
		pf__supervisor_pass(r->s, PF_PASS_PAGE, passed, sizeof passed / sizeof passed[0]);
#else
	r->config.preload = false;
#endif
}

void shared_close(struct pf__run *r)
{
	if (r->shared)
		munmap(r->shared, sizeof *r->shared);
	if (r->shared_fd >= 0)
		close(r->shared_fd);
}

int shared_give(struct pf__run *r)
{
	char name[64];
	int fd;

	if (!r->config.preload)
		return -ENOENT;
	snprintf(name, sizeof name, "/proc/self/fd/%d", r->shared_fd);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void shared_busy(struct pf__run *r, int n)
{
	atomic_fetch_add(&r->shared->busy, (uint32_t)n);
}

/* ---- attributes ------------------------------------------------------------------------------ */

/*
 * What a program may have written is known to the kernel alone; and who else may pass where this
 * one may, nobody has asked. Programs ask for the same before they look.
 */
static bool may_show(const struct job *j)
{
	const struct pf__shared *s = j->r->shared;

	return j->r->config.preload && !atomic_load(&s->busy) && !atomic_load(&s->mixed) &&
	       places_settled(j->r);
}

static struct pf__super *shown_super(struct mount *m)
{
	struct pf__super *super = atomic_load(&m->fs)->super;

	if (!atomic_load_explicit(&m->shown, memory_order_acquire)) {
		pf__cache_show(super->cache, &m->run->shared->shown);
		atomic_store(&m->shown, true);
	}
	return super;
}

static bool begin(struct job *j, struct mount *m, const char *path, size_t len,
		  struct pf__showing *s)
{
	struct pf__super *super = shown_super(m);

	return pf__show_begin(s, super->cache, path + m->len, len - m->len, j->shown, j->places,
			      super->dev);
}

/* A file system that was mounted inside has ended before. */
void shared_hide(struct mount *m)
{
	struct pf_fs *fs = atomic_load(&m->fs);

	if (!m->inside && fs && atomic_load(&m->shown))
		pf__cache_show(fs->super->cache, NULL);
}

static uint64_t key_of(const struct job *j, const char *path, size_t len)
{
	return pf__shared_key(j->r->shared, PF_KNOWN_INSIDE, path, len);
}

/* The root, which is a mountpoint besides, is not shown. */
void shared_show(struct job *j, struct mount *m, const char *path)
{
	const char *name = strrchr(path, '/');
	size_t n = strlen(path);
	struct pf__showing s;

	if (!may_show(j) || !name || !name[1] || n == m->len ||
	    !begin(j, m, path, (size_t)(name - path), &s))
		return;
	pf__show_name(&s, name + 1, strlen(name + 1), key_of(j, path, n));
	pf__show_end(&s);
}

/* Something may be mounted over a directory that was opened before. */
static bool leads_into(struct mount *m, const char *path, size_t n)
{
	struct mount *there = mount_of(m->run, path, n, NULL);

	mount_put(there);
	return there == m;
}

/* Then it is another's root. */
static bool is_mountpoint(struct pf__run *r, const char *path, size_t n)
{
	bool exact;

	mount_put(mount_of(r, path, n, &exact));
	return exact;
}

/* Who has a directory open may list it, and yet not look at what is in it. */
bool shared_show_begin(struct job *j, struct object *dir, struct pf__showing *s, char *path)
{
	size_t n;

	if (!may_show(j) || object_path(dir, path, PATH_MAX))
		return false;
	n = strlen(path);
	if (!leads_into(dir->m, path, n))
		return false;
	if (pf_access(&j->view, n > dir->m->len ? path + dir->m->len : "/", X_OK))
		return false;
	return begin(j, dir->m, path, n, s);
}

void shared_show_name(struct job *j, const struct pf__showing *s, char *path, const char *name,
		      size_t n)
{
	size_t k = strlen(path);

	if (k + n + 2 > PATH_MAX || (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.'))))
		return;
	path[k] = '/';
	memcpy(path + k + 1, name, n);
	if (!is_mountpoint(j->r, path, k + 1 + n))
		pf__show_name(s, name, n, key_of(j, path, k + 1 + n));
	path[k] = '\0';
}

/* That we read it to fill it makes the time of last access doubtful, but no program has. */
void shared_show_held(struct job *j, struct object *o)
{
	const struct pf__shared *s = j->r->shared;
	struct pf__super *super;

	if (!may_show(j))
		return;
	super = shown_super(o->m);
	pf__show_inode(super->cache, (struct pf__inode *)(uintptr_t)o->inode,
		       PF_ATTR_ALL & ~PF_ATTR_ATIME, pf__shared_held_key(s, o->dev, o->ino),
		       j->shown, j->places, super->dev);
}
