/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files on disk without a name: what programs write is held in them, since it may grow without end
 * and the kernel writes a file on disk out of memory when that is short. Many files are written
 * that are small and short-lived, and making one on disk takes ten times as long as making a memfd;
 * so those that nobody has any more are emptied and used again.
 *
 * Not every directory will do. It must not be memory; leases have to tell who has a file open, as
 * those of a memfd do (not on NFS). Of an overlay they do not tell of mappings: there /proc does.
 */
#include "base/cleanup.h"
#include "run/internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SPARE_BYTES (1u << 20)   /* what was larger is not used again: its blocks are freed */
#define LEAST_ROOM  (64u << 20)  /* with less, further files are held in memory */
#define LOOK_MS     100          /* between two looks at how much room there is */
#define MOST        (1ull << 43) /* bytes that a file may have */
#define LEAST       (1ull << 33) /* a disk on which they may not is of no use */
#define NS          123456789    /* a time that coarse clocks do not know */

/* ---- one file -------------------------------------------------------------------------------- */

static int make_and_unlink(int dir)
{
	static _Atomic unsigned next;
	char name[64];
	int fd;

	snprintf(name, sizeof name, ".portfire-held-%d-%u", (int)getpid(),
		 atomic_fetch_add(&next, 1));
	fd = openat(dir, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		unlinkat(dir, name, 0);
	return fd;
}

/* For whoever was asked already whether he may. */
static int make(int dir)
{
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT))
		fd = make_and_unlink(dir);
	if (fd < 0)
		return -errno;
	fchmod(fd, 0777);
	return fd;
}

/* ---- which directory ------------------------------------------------------------------------- */

static bool is_memory(int fd)
{
	struct statfs s;

	return fstatfs(fd, &s) < 0 || s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC;
}

static bool keeps_times(int fd)
{
	const struct timespec times[2] = {{1, NS}, {1, NS}};
	struct stat st;

	return !futimens(fd, times) && !fstat(fd, &st) && st.st_mtim.tv_nsec == NS;
}

/* How large a file may be, which need not take all of that at once; 0: of no use. More than the
 * limit of this process would end it. */
static uint64_t largest(int fd)
{
	uint64_t size = MOST, least = LEAST;
	struct rlimit limit;
	struct stat st;
	bool sparse;

	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < size)
		size = limit.rlim_cur;
	least = size < least ? size : least;
	while (ftruncate(fd, (off_t)size) < 0) {
		size /= 2;
		if (size < least)
			return 0;
	}
	sparse = !fstat(fd, &st) && !st.st_blocks;
	return !ftruncate(fd, 0) && sparse ? size : 0;
}

static bool lease(int fd, int kind)
{
	bool had = fcntl(fd, F_SETLEASE, kind) == 0;

	if (had)
		fcntl(fd, F_SETLEASE, F_UNLCK);
	return had;
}

/* fd is closed. */
static bool leases_tell(int fd, bool *of_mappings)
{
	PF_AUTO_CLOSE int reader = fd_reopen(fd, O_RDONLY);
	bool told = reader >= 0 && !lease(reader, F_RDLCK), mapped;
	void *p = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	mapped = p != MAP_FAILED && !lease(reader, F_RDLCK);
	if (p != MAP_FAILED)
		munmap(p, 1);
	*of_mappings = mapped;
	return told && p != MAP_FAILED && lease(reader, F_RDLCK) && lease(reader, F_WRLCK);
}

static uint64_t room(int fd)
{
	struct statvfs s;

	return fstatvfs(fd, &s) < 0 ? 0 : (uint64_t)s.f_bavail * s.f_frsize;
}

/* How good it is; 0: of no use. */
enum { USELESS, USABLE, ROOMY, GOOD };

static int try_directory(struct pf__run *r, const char *path, bool any, struct held_disk *d)
{
	struct statvfs s;
	struct stat st;
	int fd;

	*d = (struct held_disk){.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	if (d->dir < 0)
		return USELESS;
	fd = (!any && is_memory(d->dir)) || fstatvfs(d->dir, &s) < 0 ? -1 : make(d->dir);
	d->most = fd < 0 ? 0 : largest(fd);
	if (fd >= 0 && (!d->most || !keeps_times(fd) || fstat(fd, &st) < 0 ||
			st.st_nlink)) { /* a FUSE server may have renamed it */
		close(fd);
		fd = -1;
	}
	if (fd < 0 || !leases_tell(fd, &d->sees_mappings)) {
		close(d->dir);
		return USELESS;
	}
	d->dev = st.st_dev;
	d->runs = !(s.f_flag & ST_NOEXEC);
	d->path = path;
	return room(d->dir) / 4 < r->hold_bytes ? USABLE : d->runs ? GOOD : ROOMY;
}

/* The first of the best. */
static void find_directory(struct pf__run *r)
{
	const char *wanted = r->config.hold_dir, *tmp = getenv("TMPDIR");
	const char *const paths[] = {wanted ? wanted : tmp, "/var/tmp", "/tmp"};
	int best = USELESS;

	for (int i = 0; i < (wanted ? 1 : 3) && best < GOOD; i++) {
		struct held_disk d;
		int how =
		    paths[i] && paths[i][0] == '/' ? try_directory(r, paths[i], wanted, &d) : 0;

		if (how > best) {
			if (r->disk.dir >= 0)
				close(r->disk.dir);
			r->disk = d;
			best = how;
		} else if (how) {
			close(d.dir);
		}
	}
	if (best)
		atomic_store(&r->shared->disk, r->disk.dev);
	if (wanted && !best && strcmp(wanted, "none") != 0)
		run_say(r,
			"%s is of no use to hold files (it has to be an absolute path of a "
			"directory where leases work); what is written is held in memory",
			wanted);
}

static void find_once(struct pf__run *r)
{
	pthread_mutex_lock(&r->disk_lock);
	if (!r->disk_looked)
		find_directory(r);
	r->disk_looked = true;
	pthread_mutex_unlock(&r->disk_lock);
}

void disk_init(struct pf__run *r)
{
	pthread_mutex_init(&r->disk_lock, NULL);
	r->disk.dir = -1;
}

bool disk_runs(struct pf__run *r)
{
	find_once(r);
	return r->disk.runs;
}

/* ---- taking and giving back ------------------------------------------------------------------ */

/* Under disk_lock. */
static bool has_room(struct pf__run *r)
{
	int64_t now = run_now_ms();
	uint64_t least = r->hold_bytes < LEAST_ROOM / 4 ? 4 * r->hold_bytes : LEAST_ROOM;

	if (r->disk_checked && now - r->disk_checked < LOOK_MS)
		return !r->disk_full;
	r->disk_checked = now;
	r->disk_full = room(r->disk.dir) < least;
	return !r->disk_full;
}

bool disk_has_room(struct pf__run *r)
{
	bool yes;

	find_once(r);
	pthread_mutex_lock(&r->disk_lock);
	yes = r->disk.dir >= 0 && has_room(r);
	pthread_mutex_unlock(&r->disk_lock);
	return yes;
}

int disk_take(struct pf__run *r)
{
	int fd = -1, err = 0;
	struct stat st;

	find_once(r);
	pthread_mutex_lock(&r->disk_lock);
	if (r->disk.dir < 0)
		err = -ENODEV;
	else if (!has_room(r))
		err = -ENOSPC;
	else if (r->n_spare)
		fd = r->spare[--r->n_spare];
	pthread_mutex_unlock(&r->disk_lock);
	if (err || fd >= 0)
		return err ? err : fd;
	fd = make(r->disk.dir);
	if (fd < 0 || (!fstat(fd, &st) && st.st_dev == r->disk.dev))
		return fd;
	close(fd);
	return -ENODEV;
}

/*
 * ext4 writes out what is in a file when it is closed after it was emptied; unless it is closed
 * once before anything is in it.
 */
static void settle(int fd)
{
	int copy = fd_reopen(fd, O_RDONLY);

	if (copy >= 0)
		close(copy);
}

void disk_give(struct pf__run *r, int fd)
{
	struct stat st;
	bool use = r->disk.dir >= 0 && !atomic_load(&r->ending) && !fstat(fd, &st) &&
		   st.st_dev == r->disk.dev && !st.st_nlink && st.st_blocks * 512 <= SPARE_BYTES &&
		   !ftruncate(fd, 0);

	if (use)
		settle(fd);
	pthread_mutex_lock(&r->disk_lock);
	use = use && r->n_spare < SPARES && r->n_spare < atomic_load(&r->max_fds) / SPARES;
	if (use)
		r->spare[r->n_spare++] = fd;
	pthread_mutex_unlock(&r->disk_lock);
	if (!use)
		close(fd);
}

void disk_close(struct pf__run *r)
{
	while (r->n_spare)
		close(r->spare[--r->n_spare]);
	if (r->disk.dir >= 0)
		close(r->disk.dir);
	pthread_mutex_destroy(&r->disk_lock);
}

bool disk_can(struct pf__run *r, uint64_t size)
{
	find_once(r);
	return size <= r->disk.most;
}

/* ---- mappings that leases do not tell of ----------------------------------------------------- */

/* Has that process it mapped (for writing)? Another user's, whom we cannot ask, has nothing of
 * ours. */
static bool maps_it(const char *pid, const char *name, bool writable)
{
	char path[300], line[PATH_MAX + 128];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%s/maps", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof line, f)) {
		char perms[8] = "";
		size_t n = strlen(line), k = strlen(name);

		if (n && line[n - 1] == '\n')
			line[--n] = '\0';
		if (n <= k || strcmp(line + n - k, name) != 0)
			continue;
		found = !writable || (sscanf(line, "%*s %7s", perms) == 1 && perms[3] == 's');
	}
	if (f)
		fclose(f);
	return found;
}

/* Twice, as in in_use.c: it may be handed on meanwhile. */
bool disk_is_mapped(const struct object *o, bool writable)
{
	char link[32], name[PATH_MAX];
	bool found = false;
	ssize_t n;

	if (!o->on_disk || !o->mappable || o->run->disk.sees_mappings)
		return false;
	snprintf(link, sizeof link, "/proc/self/fd/%d", o->fd);
	n = readlink(link, name, sizeof name - 1);
	if (n <= 0)
		return true;
	name[n] = '\0';
	for (int i = 0; i < 2 && !found; i++) {
		DIR *d = opendir("/proc");
		struct dirent *e;

		while (d && !found && (e = readdir(d)))
			found = e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
				maps_it(e->d_name, name, writable);
		if (!d)
			return true;
		closedir(d);
	}
	return found;
}
