/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands for a regular file: a memfd, or a file on disk without a name.
 *
 * On disk is what a program opens for writing, since it may become larger than any memory, and what
 * is read and large, or one too many. What is only read and small is in memory. Once one has been
 * given out it stays: who has it sees what others write to it. So who opens a file for writing that
 * others read, held in memory, writes to memory.
 */
#include "base/memfd.h"
#include "run/internal.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where nothing runs from disk (noexec) so many times as large a file is held in memory: it may be
 * a library. */
#define MEMORY 4
#define SMALL  65536 /* is always held in memory, if it is only read */
#define MANY   1024  /* files on disk; further ones take long to make */

static bool writes(struct pf_file *file)
{
	return (pf_getfl(file) & O_ACCMODE) != O_RDONLY;
}

/* ---- where ----------------------------------------------------------------------------------- */

/* Bytes that it takes; a server need not say, or not yet. */
static uint64_t bytes_of(const struct stat *st)
{
	uint64_t size = st->st_size > 0 ? (uint64_t)st->st_size : 0;
	uint64_t blocks = (uint64_t)st->st_blocks * 512;

	return blocks && blocks < size ? blocks : size;
}

/* Of one that is only read. */
static bool is_much(struct object *o, const struct stat *st)
{
	struct pf__run *r = o->run;
	uint64_t bytes = bytes_of(st);
	bool many = bytes > SMALL && bytes + atomic_load(&r->bytes_in_memory) > r->hold_total / 2;

	if (bytes <= r->hold_bytes && !many)
		return false;
	if (disk_runs(r))
		return true;
	return !(st->st_mode & 0111) && (many || bytes / MEMORY > r->hold_bytes);
}

/* What is executable has to be somewhere where it can be executed. */
static bool belongs_on_disk(struct object *o, struct pf_file *file)
{
	struct stat st;

	if (o->kind != OBJECT_FILE)
		return false;
	if (writes(file) && disk_runs(o->run))
		return true;
	if (pf_fstat(file, &st) || st.st_size < 0 || !disk_can(o->run, (uint64_t)st.st_size))
		return false;
	if (writes(file))
		return !(st.st_mode & 0111);
	if (is_much(o, &st))
		return true;
	o->in_memory = bytes_of(&st);
	atomic_fetch_add(&o->run->bytes_in_memory, o->in_memory);
	return false;
}

static int open_memfd(const struct object *o)
{
	char name[128];
	const char *base = strrchr(o->path, '/');

	snprintf(name, sizeof name, "portfire:%.100s", base ? base + 1 : o->path);
	return pf__memfd_sealable(name);
}

/* ---- making, letting go ---------------------------------------------------------------------- */

/* A file that is only read, and too large for memory, where the disk is full. */
static bool has_no_room(const struct object *o, struct pf_file *file)
{
	struct stat st;

	return !writes(file) && !pf_fstat(file, &st) && bytes_of(&st) > o->run->hold_bytes;
}

int stand_in_make(struct object *o, struct pf_file *file, bool empty)
{
	bool many = !empty && writes(file) && atomic_load(&o->run->n_written) >= MANY;
	int fd = -1;

	if (!empty && !many && belongs_on_disk(o, file)) {
		fd = disk_take(o->run);
		if (fd == -ENOSPC && has_no_room(o, file))
			return fd;
	}
	o->on_disk = fd >= 0;
	if (fd < 0)
		fd = open_memfd(o);
	if (fd < 0)
		return -errno;
	o->fd = fd_reopen(fd, O_RDONLY);
	if (o->fd < 0) {
		close(fd);
		return o->fd;
	}
	if (empty)
		close(fd);
	else
		o->fresh = fd;
	/* Should an open meet a lease of ours (hold.c): not SIGIO, which would end us. */
	fcntl(o->fd, F_SETSIG, SIGURG);
	return 0;
}

/* Nobody has it, or ever will. Leases do not tell of O_PATH; of mappings, on an overlay, /proc
 * does, but not of those of a program that nobody may look into. */
static bool can_be_used_again(const struct object *o)
{
	return o->on_disk && o->fd >= 0 && !o->as_path &&
	       (o->run->disk.sees_mappings || !o->mappable) && !hold_in_use(o);
}

void stand_in_free(struct object *o)
{
	int fd = -1;

	if (o->fresh >= 0)
		close(o->fresh);
	if (can_be_used_again(o))
		fd = fd_reopen(o->fd, O_RDWR);
	if (o->fd >= 0)
		close(o->fd);
	if (fd >= 0)
		disk_give(o->run, fd);
	atomic_fetch_sub(&o->run->bytes_in_memory, o->in_memory);
}

/* ---- another one ----------------------------------------------------------------------------- */

/* But by the caller; and by who looks whether it was closed. Under objects_lock. */
static bool is_unused(struct object *o)
{
	int others = atomic_load(&o->is_closing) ? 3 : 2;

	return atomic_load(&o->refs) <= others && !atomic_load(&o->holders) && !o->written &&
	       !o->as_path && !o->exec && !o->error && !hold_in_use(o);
}

static bool is_of_no_use(struct object *o, struct pf_file *file)
{
	if (o->kept)
		return true;
	return (o->sealed || (writes(file) && !o->on_disk && disk_has_room(o->run))) &&
	       is_unused(o);
}

static void set_aside(struct object *o)
{
	o->aside = true;
	object_put(o);
}

bool stand_in_set_aside(struct object *o, struct pf_file *file)
{
	bool aside;

	if (o->kind != OBJECT_FILE || (!o->kept && !o->sealed && (o->on_disk || !writes(file))))
		return false;
	pthread_mutex_lock(&o->run->objects_lock);
	aside = is_of_no_use(o, file);
	if (aside)
		set_aside(o);
	pthread_mutex_unlock(&o->run->objects_lock);
	return aside;
}

int stand_in_for_exec(struct object *o)
{
	if (!o->on_disk || disk_runs(o->run))
		return 0;
	if (hold_has_writers(o))
		return -ETXTBSY;
	flush_if_closed(o);
	if (o->written)
		return -ETXTBSY;
	pthread_mutex_lock(&o->run->objects_lock);
	set_aside(o);
	pthread_mutex_unlock(&o->run->objects_lock);
	return 1;
}
