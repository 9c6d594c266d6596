/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a run. */
#include "base/errmsg.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/sys.h"
#include "run/internal.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define HOLD_BYTES_MAX   (1ull << 28)
#define PATIENCE_MS      5000         /* without an answer, until we say so */
#define FIRST_LOCKER     (1ull << 40) /* no pid: by these FLUSH tells of others' descriptors */
#define LAST_PATIENCE_MS 2000         /* until we give up who waits in vain for a killed program */

int64_t run_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void run_say(struct pf__run *r, const char *fmt, ...)
{
	char line[PATH_MAX + 512];
	va_list args;

	if (!r->config.say)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof line, fmt, args);
	va_end(args);
	r->config.say(r->config.ctx, line);
}

/* A sixteenth of the memory, within reason. */
static uint64_t default_hold(void)
{
	uint64_t bytes = pf__memory() / 16;

	return bytes < HOLD_BYTES_MAX ? bytes : HOLD_BYTES_MAX;
}

static void init_locks(struct pf__run *r)
{
	pthread_rwlockattr_t fair;
	pthread_condattr_t attr;

	pthread_rwlock_init(&r->mounts_lock, NULL);
	pthread_mutex_init(&r->who_lock, NULL);
	pthread_mutex_init(&r->objects_lock, NULL);
	pthread_mutex_init(&r->number_lock, NULL);
	/* Who makes a file real shall not wait for as long as others read. */
	pthread_rwlockattr_init(&fair);
	pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	for (int i = 0; i < TURNS; i++)
		pthread_rwlock_init(&r->turns[i], &fair);
	pthread_rwlockattr_destroy(&fair);
	pthread_mutex_init(&r->flush_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->settled, &attr);
	pthread_mutex_init(&r->lockers_lock, NULL);
	pthread_cond_init(&r->lockers_change, &attr);
	pthread_mutex_init(&r->waits_lock, NULL);
	pthread_cond_init(&r->waits_change, &attr);
	pf__list_init(&r->lockers);
	pf__list_init(&r->waits);
	pthread_condattr_destroy(&attr);
	pf__list_init(&r->closing);
	pf__list_init(&r->mounts);
	pf__list_init(&r->objects);
	for (size_t i = 0; i < sizeof r->who / sizeof r->who[0]; i++)
		pf__list_init(&r->who[i]);
	for (size_t i = 0; i < OBJECT_BUCKETS; i++) {
		pf__list_init(&r->by_watch[0][i]);
		pf__list_init(&r->by_watch[1][i]);
		pf__list_init(&r->by_id[i]);
		pf__list_init(&r->by_inode[i]);
	}
	r->seed = pf__hash_seed();
}

static int add_roles(struct pf__run *r)
{
	size_t n;
	const struct pf__trap *traps = run_traps(r, &n);
	int err = pf__supervisor_add_parallel_role(r->s, traps, n, r);

	/* What we pass on is the device's: mount, and what is opened as /dev/fuse. */
	return err ? err : pf__devices_new(&r->devices, r->s, &run_device_ops, r);
}

int pf__run_new(struct pf__run **out, const struct pf__run_config *config)
{
	struct pf__run *r = pf__calloc(1, sizeof *r);
	int err;

	if (!r)
		return pf__fail(-ENOMEM, "run:");
	r->config = *config;
	r->inotify[0] = r->inotify[1] = r->flush_wake = r->private_fd = r->shared_fd = -1;
	r->next_mount = 1;
	r->next_locker = FIRST_LOCKER;
	err = pf__options_read(&r->options, config->options);
	r->hold_bytes = config->hold_bytes ? config->hold_bytes : default_hold();
	r->hold_total = config->hold_total ? config->hold_total : pf__memory() / 2;
	disk_init(r);
	init_locks(r);
	if (!err)
		err = shared_open(r);
	if (!err)
		err = objects_open(r);
	if (!err)
		err = pf__supervisor_new(&r->s);
	if (!err)
		shared_pass(r);
	if (!err)
		err = add_roles(r);
	if (!err)
		err = flush_thread_start(r);
	if (err) {
		pf__run_free(r);
		return err == -ENOMEM ? pf__fail(err, "run:") : err;
	}
	*out = r;
	return 0;
}

const char *pf__run_private(struct pf__run *run)
{
	return run->private;
}

/*
 * A quarter of the descriptors, but 2,048 at most, are not for files of programs. Who may have more
 * than his hard limit says is told to have enough.
 */
void pf__run_limits(struct pf__run *r, bool raise)
{
	const rlim_t enough = 400000;
	struct rlimit files, more;
	rlim_t n;

	if (getrlimit(RLIMIT_NOFILE, &files)) {
		atomic_store(&r->max_fds, 768);
		return;
	}
	if (raise) {
		more.rlim_cur = more.rlim_max = files.rlim_max < enough ? enough : files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &more)) {
			more.rlim_cur = more.rlim_max = files.rlim_max;
			setrlimit(RLIMIT_NOFILE, &more);
		}
		getrlimit(RLIMIT_NOFILE, &files);
	}
	n = files.rlim_cur < enough ? files.rlim_cur : enough;
	atomic_store(&r->max_fds, (unsigned)(n - (n < 8192 ? n / 4 : 2048)));
}

struct pf__supervisor *pf__run_supervisor(struct pf__run *run)
{
	return run->s;
}

/* One server's files, on a thread of their own: others need not wait for it. */
struct flushing {
	struct mount *m;
	unsigned long thread;
	bool runs;
};

static void *flush_mount(void *arg)
{
	struct flushing *f = arg;

	flush_all(f->m->run, f->m);
	return NULL;
}

static void flush_mounts(struct pf__run *r)
{
	enum { MOST = 64 };
	struct flushing f[MOST];
	unsigned n = 0;
	struct pf__list *pos;

	pthread_rwlock_rdlock(&r->mounts_lock);
	pf__list_for_each (pos, &r->mounts)
		if (n < MOST)
			f[n++].m = mount_get(pf__list_entry(pos, struct mount, link));
	pthread_rwlock_unlock(&r->mounts_lock);
	for (unsigned i = 0; n > 1 && i < n; i++)
		f[i].runs = !pf__sys.thread_create(&f[i].thread, flush_mount, &f[i]);
	for (unsigned i = 0; n > 1 && i < n; i++) {
		if (f[i].runs)
			pthread_join(f[i].thread, NULL);
	}
	flush_all(r, NULL); /* of what was unmounted, too */
	for (unsigned i = 0; i < n; i++)
		mount_put(f[i].m);
}

unsigned pf__run_flush(struct pf__run *r)
{
	struct patience p;

	patience_begin(&p, r, NULL, PATIENCE_MS, false);
	flush_mounts(r);
	patience_end(&p);
	return atomic_load(&r->lost);
}

unsigned pf__run_free(struct pf__run *r)
{
	struct patience p;
	unsigned lost;

	if (!r)
		return 0;
	atomic_store(&r->ending, true);
	/* All is written. Who is waited for now was killed, or is our own. */
	patience_begin(&p, r, NULL, LAST_PATIENCE_MS, true);
	flush_thread_stop(r);
	locks_close(r);
	pf__run_unmount_all(r);
	pf__supervisor_free(r->s);
	lock_waits_stop(r);
	locks_close(r); /* of calls that have hung until now */
	patience_end(&p);
	pf__devices_free(r->devices);
	who_free_all(r);
	pf__free(r->preload_path);
	objects_close(r);
	disk_close(r);
	while (!pf__list_empty(&r->mounts)) {
		struct pf__list *l = pf__list_pop(&r->mounts);

		mount_put(pf__list_entry(l, struct mount, link));
	}
	for (size_t i = 0; i < sizeof r->former / sizeof r->former[0]; i++)
		pf__free(r->former[i].point);
	pthread_rwlock_destroy(&r->mounts_lock);
	pthread_mutex_destroy(&r->who_lock);
	pthread_mutex_destroy(&r->objects_lock);
	pthread_mutex_destroy(&r->number_lock);
	for (int i = 0; i < TURNS; i++)
		pthread_rwlock_destroy(&r->turns[i]);
	pthread_mutex_destroy(&r->flush_lock);
	pthread_cond_destroy(&r->settled);
	pthread_mutex_destroy(&r->lockers_lock);
	pthread_cond_destroy(&r->lockers_change);
	pthread_mutex_destroy(&r->waits_lock);
	pthread_cond_destroy(&r->waits_change);
	shared_close(r);
	lost = atomic_load(&r->lost);
	pf__free(r);
	return lost;
}
