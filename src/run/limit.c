/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much memory held files may take. Files that are only read are held on disk when many are
 * large; what is written is held on disk anyway. Where there is none, what programs write is looked
 * at every few milliseconds, and when it is too much in all, the largest file takes no more: a seal
 * makes writing to it fail with EPERM. That is better than the end of the run by the kernel.
 */
#include "run/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

/* The largest of those in memory that are written, referenced; NULL. And what all of them take. */
static struct object *largest(struct pf__run *r, uint64_t *total)
{
	struct object *found = NULL;
	struct pf__list *pos;
	blkcnt_t most = 0;
	struct stat st;

	*total = 0;
	pthread_mutex_lock(&r->objects_lock);
	pf__list_for_each (pos, &r->objects) {
		struct object *o = pf__list_entry(pos, struct object, all);

		if (!o->written || o->on_disk || fstat(o->fd, &st) < 0)
			continue;
		*total += (uint64_t)st.st_blocks * 512;
		if (o->sealed || st.st_blocks <= most)
			continue;
		most = st.st_blocks;
		found = o;
	}
	if (found)
		atomic_fetch_add(&found->refs, 1);
	pthread_mutex_unlock(&r->objects_lock);
	return found;
}

static void refuse(struct object *o, uint64_t total)
{
	PF_AUTO_CLOSE int fd = fd_reopen(o->fd, O_RDWR);
	char path[PATH_MAX];

	if (fd < 0)
		return;
	o->sealed =
	    true; /* also if its program has seen to it that it cannot be: then the next one */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_FUTURE_WRITE) < 0)
		return;
	object_path(o, path, sizeof path);
	run_say(o->run,
		"%s: writing to it fails from now on: what programs write takes %llu MiB of memory "
		"by now (--hold-total), and there is no disk that has room for it (--hold-dir)",
		path, (unsigned long long)(total >> 20));
}

void limit_look(struct pf__run *r)
{
	struct object *o;
	uint64_t total;

	if (!atomic_load(&r->n_in_memory))
		return;
	o = largest(r, &total);
	if (o && total > r->hold_total)
		refuse(o, total);
	object_put(o);
}
