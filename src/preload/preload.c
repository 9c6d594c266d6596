/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes programs of `portfire run` faster, never possible: what it does not know it asks
 * by the system call that the program would have made, which is trapped as ever.
 *
 * Loaded by LD_PRELOAD, behind the libraries that the user preloads. It stands in for the calls of
 * libc that look at paths. In the memory that the run lets it see (run/shared.h) it finds that a
 * path leads elsewhere: then it makes the call from a page that the filter lets pass. Or it
 * finds the attributes that the run's cache has. Neither while a program may be writing files: then
 * the run wants to be asked, so that what was closed is seen.
 *
 * It is not linked to a libc, so that it suits any: it uses few functions of the program's own.
 * Async-signal-safe and thread-safe as the calls that it stands in for; keeps errno where these do.
 */
#include "preload/preload.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct pf__shared *pf__seen;

/* Where the page is taken, or may not be executed, programs go on as without us. */
static bool map_pass(int fd)
{
	long at =
	    syscall(SYS_mmap, PF_PASS_PAGE, 4096L, (long)(PROT_READ | PROT_EXEC),
		    (long)(MAP_PRIVATE | MAP_FIXED_NOREPLACE), (long)fd, (long)PF_PASS_OFFSET);

	return at == (long)PF_PASS_PAGE;
}

/* The process that the directories below are of: a page that fork() zeroes, and vfork() does not.
 */
static pid_t *owner;

static pid_t *new_owner(void)
{
	pid_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (madvise(p, 4096, MADV_WIPEONFORK)) {
		munmap(p, 4096);
		return NULL;
	}
	*p = (pid_t)syscall(SYS_getpid);
	return p;
}

/* Not so in a child that has our memory, but a working directory of its own. */
static bool is_ours_alone(void)
{
	pid_t pid = (pid_t)syscall(SYS_getpid);

	if (owner && !*owner)
		*owner = pid;
	return owner && *owner == pid;
}

/* Who preloads a clock of his own would keep attributes for longer than they are good. */
static bool is_true_clock(void)
{
	struct timespec t;
	uint64_t now = pf__shared_ns(), kernel;

	if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &t))
		return false;
	kernel = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	return kernel >= now && kernel - now < 1000000000u;
}

/* Valgrind makes the calls of its programs itself, and complains of our probes. And who has little
 * address space left has better use for it. */
static bool is_wanted(void)
{
	const char *preloaded = getenv("LD_PRELOAD");
	struct rlimit limit;

	return !(preloaded && strstr(preloaded, "vgpreload_")) &&
	       !syscall(SYS_prlimit64, 0, RLIMIT_AS, NULL, &limit) &&
	       limit.rlim_cur == RLIM_INFINITY;
}

static bool is_good(const struct pf__shared *s, int fd)
{
	return s->version == PF_SHARED_VERSION && is_true_clock() && map_pass(fd);
}

__attribute__((constructor)) static void see(void)
{
	int error = errno, fd = -1;
	struct pf__shared *s;

	if (is_wanted())
		fd = (int)syscall(SYS_openat, AT_FDCWD, PF_SHARED_NAME, O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		s = mmap(NULL, sizeof *s, PROT_READ, MAP_SHARED, fd, 0);
		if (s != MAP_FAILED && is_good(s, fd)) {
			/* In nobody's core dump. */
			syscall(SYS_madvise, s, sizeof *s, (long)MADV_DONTDUMP);
			owner = new_owner();
			pf__seen = s;
		} else if (s != MAP_FAILED) {
			munmap(s, sizeof *s);
		}
		syscall(SYS_close, fd);
	}
	errno = error;
}

long pf__call(bool pass, long nr, long a, long b, long c, long d, long e)
{
	long result;

	if (!pass)
		return syscall(nr, a, b, c, d, e);
	result = PF_PASS(nr, a, b, c, d, e);
	if (result >= 0 || result < -4095)
		return result;
	errno = (int)-result;
	return -1;
}

/* ---- addresses -------------------------------------------------------------------------------
 *
 * The kernel answers a bad address with EFAULT, where we would crash. It says of eight bytes
 * whether they can be read, and of others whether they can be written, when it is asked to change
 * the mask of signals: in a way that there is not, or in none.
 */

#define PAGE 4096 /* at least: what of them is there is there as a whole */

static bool may_read(const char *p)
{
	long word = (long)((uintptr_t)p & ~(uintptr_t)7);

	return PF_PASS(SYS_rt_sigprocmask, -1, word, 0, 8, 0) != -EFAULT;
}

bool pf__may_write(void *p, size_t size)
{
	uintptr_t first = (uintptr_t)p, last = first + size - 8;

	return PF_PASS(SYS_rt_sigprocmask, 0, 0, (long)first, 8, 0) != -EFAULT &&
	       (first / PAGE == last / PAGE ||
		PF_PASS(SYS_rt_sigprocmask, 0, 0, (long)last, 8, 0) != -EFAULT);
}

/* -1: not all of it can be read, or it is too long for a path. */
static ssize_t length_of(const char *path)
{
	size_t n = 0;

	while (n < PATH_MAX) {
		size_t room = PAGE - (uintptr_t)(path + n) % PAGE, k;

		if (!may_read(path + n))
			return -1;
		k = strnlen(path + n, room);
		n += k;
		if (k < room)
			return (ssize_t)n;
	}
	return -1;
}

bool pf__is_empty(const char *path)
{
	return may_read(path) && !*path;
}

/* ---- directories ----------------------------------------------------------------------------- */

/*
 * What directories are called that calls are relative to, asked for once in a while. Nobody waits
 * for a lock: who does not get it does without, also in a signal handler, and in a child whose
 * parent held it when it forked.
 */
#define DIRECTORIES 8
#define VALID_MS    1000
#define ASK_AFTER   2 /* calls; many programs make no more */

struct directory {
	_Atomic int busy;
	unsigned calls;
	uint64_t dev, ino, mount, at;
	uint32_t places, dirs;
	size_t len;
	char text[PF_TEXT_MAX];
};
static struct directory directories[DIRECTORIES]; /* the first: the working directory */

/* A directory, as it was looked at: device, number, type and links of st. */
struct spot {
	struct stat st;
	uint64_t mount;
};

static dev_t dev_of(uint32_t major, uint32_t minor)
{
	return (dev_t)(major & 0xfff) << 8 | (dev_t)(major & ~0xfffu) << 32 | (minor & 0xff) |
	       (dev_t)(minor & ~0xffu) << 12;
}

/* On a disk there are others' files, too; they have names. */
static bool is_ours(const struct pf__shared *s, const struct stat *st)
{
	return st->st_dev == s->private || st->st_dev == s->memfd ||
	       (st->st_dev == atomic_load_explicit(&s->disk, memory_order_relaxed) &&
		S_ISREG(st->st_mode) && st->st_nlink == 0);
}

/* Ours it is called what the run says; the kernel would name what stands for it. */
static ssize_t ask_cwd(const struct pf__shared *s, char *text)
{
	size_t k = strlen(s->where);
	int error = errno;
	long n = PF_PASS(SYS_getcwd, (long)text, PF_TEXT_MAX, 0, 0, 0);

	if (n > 1 && text[0] == '/' && !strncmp(text, s->where, k))
		n = syscall(SYS_getcwd, text, (long)PF_TEXT_MAX);
	errno = error;
	return n > 1 && text[0] == '/' ? n - 1 : -1;
}

static ssize_t ask_fd(const struct pf__shared *s, int fd, const struct spot *spot, char *text)
{
	/* Threads may have descriptors of their own. */
	char name[40] = "/proc/thread-self/fd/", digits[12];
	unsigned n = 0, k = 21;
	int error = errno;
	long got;

	do
		digits[n++] = (char)('0' + fd % 10);
	while (fd /= 10);
	while (n)
		name[k++] = digits[--n];
	name[k] = '\0';
	got = pf__call(!is_ours(s, &spot->st), SYS_readlinkat, AT_FDCWD, (long)name, (long)text,
		       PF_TEXT_MAX, 0);
	errno = error;
	return got > 0 && got < PF_TEXT_MAX && text[0] == '/' ? got : -1;
}

/* By which mount, too: a directory may have two names. */
static bool look_at(int fd, struct spot *spot)
{
	struct statx x;

	if (PF_PASS(SYS_statx, fd, (long)"", AT_EMPTY_PATH,
		    STATX_TYPE | STATX_NLINK | STATX_INO | STATX_MNT_ID, (long)&x) < 0)
		return false;
	spot->st.st_dev = dev_of(x.stx_dev_major, x.stx_dev_minor);
	spot->st.st_ino = x.stx_ino;
	spot->st.st_mode = x.stx_mode;
	spot->st.st_nlink = x.stx_nlink;
	spot->mount = x.stx_mnt_id;
	return x.stx_mask & STATX_MNT_ID;
}

/* Is it? Another thread may have put another directory there. */
static bool is_still(int fd, const struct spot *spot)
{
	struct spot now;

	return look_at(fd, &now) && now.st.st_dev == spot->st.st_dev &&
	       now.st.st_ino == spot->st.st_ino && now.mount == spot->mount;
}

static bool is_settled(const struct pf__shared *s, uint64_t now)
{
	return (int64_t)now - atomic_load(&s->places_changed) >= PF_CHANGE_MS;
}

/* Under d->busy. A name is good for the directory that it was asked of, not for what fd is later.
 */
static bool refresh(const struct pf__shared *s, struct directory *d, int fd,
		    const struct spot *spot, uint64_t now)
{
	uint32_t places = atomic_load(&s->places), dirs = atomic_load(&s->dirs);
	ssize_t n;

	if (d->len && d->places == places && d->dirs == dirs && now - d->at < VALID_MS &&
	    d->dev == spot->st.st_dev && d->ino == spot->st.st_ino && d->mount == spot->mount)
		return true;
	if (!is_ours_alone())
		return false;
	d->len = 0;
	if (d->calls++ < ASK_AFTER && fd == AT_FDCWD)
		return false;
	n = fd == AT_FDCWD ? ask_cwd(s, d->text) : ask_fd(s, fd, spot, d->text);
	if (n <= 0 || !is_still(fd, spot))
		return false;
	d->places = places;
	d->dirs = dirs;
	d->at = is_settled(s, now) ? now : 0;
	d->len = (size_t)n;
	d->dev = spot->st.st_dev;
	d->ino = spot->st.st_ino;
	d->mount = spot->mount;
	return true;
}

/* text := what fd is called, "/", path. */
static bool join(const struct pf__shared *s, int fd, const char *path, size_t n, uint64_t now,
		 struct text *t)
{
	struct directory *d = directories;
	struct spot spot;
	bool known;

	if ((fd < 0 && fd != AT_FDCWD) || !look_at(fd, &spot) || !S_ISDIR(spot.st.st_mode))
		return false;
	if (fd != AT_FDCWD)
		d += 1 + (spot.st.st_ino ^ (uint64_t)spot.st.st_dev) % (DIRECTORIES - 1);
	else if (atomic_load_explicit(&s->apart, memory_order_relaxed))
		return false;
	if (atomic_exchange_explicit(&d->busy, 1, memory_order_acquire))
		return false;
	known = refresh(s, d, fd, &spot, now) && d->len + n + 2 <= sizeof t->buf;
	if (known) {
		memcpy(t->buf, d->text, d->len);
		t->buf[d->len] = '/';
		memcpy(t->buf + d->len + 1, path, n + 1);
		t->path = t->buf;
		t->len = d->len + 1 + n;
	}
	atomic_store_explicit(&d->busy, 0, memory_order_release);
	return known;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* Neither "//", "." nor "..", nor a slash at the end: it may be what the run calls it. */
static bool is_plain(const struct text *t)
{
	for (const char *p = t->path; *p; p++) {
		if (*p != '/')
			continue;
		if (!p[1] || p[1] == '/')
			return false;
		if (p[1] == '.' &&
		    (!p[2] || p[2] == '/' || (p[2] == '.' && (!p[3] || p[3] == '/'))))
			return false;
	}
	return true;
}

const struct pf__shared *pf__see(void)
{
	const struct pf__shared *s = pf__seen;

	return s && !atomic_load_explicit(&s->busy, memory_order_acquire) ? s : NULL;
}

static bool is_known_outside(const struct pf__shared *s, const struct text *t, bool follow,
			     uint64_t now)
{
	return pf__shared_knows(s, follow ? PF_KNOWN_OUTSIDE_FOLLOWED : PF_KNOWN_OUTSIDE, t->path,
				t->len, now);
}

bool pf__leads_elsewhere(const struct pf__shared *s, int dirfd, const char *path, bool follow,
			 struct text *t)
{
	uint64_t now = pf__shared_ns() / 1000000;
	ssize_t n = path ? length_of(path) : 0;

	t->len = 0;
	if (n <= 0)
		return false;
	if (pf__shared_idle(s))
		return !pf__shared_special(path, (size_t)n);
	if (*path == '/') {
		t->path = path;
		t->len = (size_t)n;
	} else if (!join(s, dirfd, path, (size_t)n, now, t)) {
		t->len = 0;
		return false;
	}
	return is_known_outside(s, t, follow, now);
}

bool pf__is_shown(const struct pf__shared *s, const struct text *t, bool follow, uint64_t *dev,
		  struct fuse_attr *attr)
{
	if (!t->len || atomic_load_explicit(&s->mixed, memory_order_relaxed) || !is_plain(t) ||
	    !pf__shown_find(&s->shown, pf__shared_key(s, PF_KNOWN_INSIDE, t->path, t->len),
			    atomic_load(&s->places), pf__shared_ns(), dev, attr))
		return false;
	return !(follow && S_ISLNK(attr->mode));
}

bool pf__see_fd(const struct pf__shared *s, int fd, struct stat *st)
{
	uint32_t first = atomic_load_explicit(&s->first_number, memory_order_relaxed);
	struct fuse_attr a;
	uint64_t dev;

	if (!pf__shared_idle(s) && first && (uint32_t)fd >= first)
		return false;
	if (PF_PASS(SYS_fstat, fd, (long)st, 0, 0, 0) < 0)
		return false;
	if (pf__shared_idle(s) || !is_ours(s, st))
		return true;
	/* A stand-in. Once it was read the server is asked for the time of last access. */
	if (!S_ISREG(st->st_mode) || st->st_atim.tv_sec != PF_UNREAD_SEC ||
	    st->st_atim.tv_nsec != PF_UNREAD_NSEC ||
	    !pf__shown_find(&s->shown, pf__shared_held_key(s, st->st_dev, st->st_ino),
			    atomic_load(&s->places), pf__shared_ns(), &dev, &a))
		return false;
	pf__stat_of_attr(dev, &a, st);
	return true;
}
