/* SPDX-License-Identifier: BSD-2-Clause */
/* The threads that copy regular files, and the short queue between the walk and them. */
#include "cp.h"
#include "interrupt.h"
#include <pthread.h>
#include <stdlib.h>

/* Each queued file keeps its directories open: the queue is short for the sake of descriptors. */
enum { QUEUE = 64, MAX_THREADS = 64 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t has_work, has_room;
	struct cp_item items[QUEUE]; /* under lock, as all below */
	unsigned first, n;
	bool closed;
	pthread_t threads[MAX_THREADS]; /* main thread only */
	unsigned n_threads;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
	  .has_work = PTHREAD_COND_INITIALIZER,
	  .has_room = PTHREAD_COND_INITIALIZER};

static bool take(struct cp_item *item)
{
	bool got;

	pthread_mutex_lock(&pool.lock);
	while (!pool.n && !pool.closed)
		pthread_cond_wait(&pool.has_work, &pool.lock);
	got = pool.n > 0;
	if (got) {
		*item = pool.items[pool.first];
		pool.first = (pool.first + 1) % QUEUE;
		pool.n--;
		pthread_cond_signal(&pool.has_room);
	}
	pthread_mutex_unlock(&pool.lock);
	return got;
}

static void copy_item(struct cp_item *item)
{
	if (!interrupted())
		cp_copy_file(item);
	cp_dir_put(item->dir);
	free(item->src_name);
	free(item->dst_name);
}

static void *work(void *arg)
{
	struct cp_item item;

	while (take(&item))
		copy_item(&item);
	return NULL;
}

int cp_pool_start(unsigned threads)
{
	int err = 0;

	while (pool.n_threads < threads && pool.n_threads < MAX_THREADS && !err) {
		err = pthread_create(&pool.threads[pool.n_threads], NULL, work, NULL);
		pool.n_threads += !err;
	}
	return pool.n_threads ? 0 : -err;
}

void cp_pool_submit(const struct cp_item *item)
{
	pthread_mutex_lock(&pool.lock);
	while (pool.n == QUEUE)
		pthread_cond_wait(&pool.has_room, &pool.lock);
	pool.items[(pool.first + pool.n++) % QUEUE] = *item;
	pthread_cond_signal(&pool.has_work);
	pthread_mutex_unlock(&pool.lock);
}

void cp_pool_finish(void)
{
	pthread_mutex_lock(&pool.lock);
	pool.closed = true;
	pthread_cond_broadcast(&pool.has_work);
	pthread_mutex_unlock(&pool.lock);
	for (unsigned i = 0; i < pool.n_threads; i++)
		pthread_join(pool.threads[i], NULL);
	pool.n_threads = 0;
}
