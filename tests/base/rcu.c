/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/rcu.h"
#include "base/alloc.h"
#include "base/list.h"
#include "base/lock.h"
#include "unit.h"
#include <pthread.h>
#include <stdatomic.h>

static _Atomic unsigned called;

struct thing {
	struct pf__rcu_head head;
	unsigned chain; /* how many further ones its end defers */
	_Atomic unsigned alive;
};

static void thing_end(struct pf__rcu_head *head);

static void thing_defer(unsigned chain)
{
	struct thing *t = pf__calloc(1, sizeof *t);

	assert_non_null(t);
	t->chain = chain;
	t->alive = 1;
	pf__rcu_defer(&t->head, thing_end);
}

static void thing_end(struct pf__rcu_head *head)
{
	struct thing *t = pf__container_of(head, struct thing, head);

	t->alive = 0;
	called++;
	if (t->chain)
		thing_defer(t->chain - 1);
	pf__free(t);
}

static void barrier_calls_all(void **state)
{
	called = 0;
	for (int i = 0; i < 10; i++)
		thing_defer(0);
	pf__rcu_barrier();
	assert_int_equal(called, 10);
	pf__rcu_barrier();
	assert_int_equal(called, 10);
}

static void barrier_follows_chains(void **state)
{
	called = 0;
	thing_defer(20);
	pf__rcu_barrier();
	assert_int_equal(called, 21);
}

static void batches_without_barrier(void **state)
{
	called = 0;
	for (int i = 0; i < 2000; i++)
		thing_defer(0);
	assert_true(called >= 1500);
	pf__rcu_barrier();
	assert_int_equal(called, 2000);
}

static void nothing_is_called_in_a_read_section(void **state)
{
	called = 0;
	pf__rcu_read_lock();
	for (int i = 0; i < 2000; i++)
		thing_defer(0);
	assert_int_equal(called, 0);
	pf__rcu_read_unlock();
	thing_defer(0);
	assert_int_equal(called, 2001);
}

/* A reader that waits for a lock whose holder defers: nobody may wait for the other. */
static struct pf__mutex lock;
static _Atomic int reading;

static void *read_then_lock(void *arg)
{
	pf__rcu_read_lock();
	reading = 1;
	pf__mutex_lock(&lock);
	pf__mutex_unlock(&lock);
	pf__rcu_read_unlock();
	return NULL;
}

static void locked_reader_does_not_deadlock(void **state)
{
	pthread_t t;

	called = 0;
	assert_int_equal(pf__mutex_init(&lock, PF_RANK_INODE), 0);
	pf__mutex_lock(&lock);
	assert_int_equal(pthread_create(&t, NULL, read_then_lock, NULL), 0);
	while (!reading)
		sched_yield();
	for (int i = 0; i < 2000; i++)
		thing_defer(0);
	assert_int_equal(called, 0);
	pf__mutex_unlock(&lock); /* the last lock: now they are called */
	assert_int_equal(called, 2000);
	pthread_join(t, NULL);
	pf__mutex_destroy(&lock);
}

static struct thing *shared;
static _Atomic int stop;

static void *reader(void *arg)
{
	while (!stop) {
		struct thing *t;

		pf__rcu_read_lock();
		t = pf__rcu_load(shared);
		if (t && !t->alive)
			stop = 2;
		pf__rcu_read_unlock();
	}
	return NULL;
}

static void readers_see_only_the_living(void **state)
{
	pthread_t t[2];

	shared = NULL;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		struct thing *new = pf__calloc(1, sizeof *new), *old = shared;

		new->alive = 1;
		pf__rcu_store(shared, new);
		if (old)
			pf__rcu_defer(&old->head, thing_end);
	}
	assert_int_equal(stop, 0);
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	pf__rcu_barrier();
	pf__free(shared);
	assert_int_equal(stop, 1);
}

static void nothing_is_left(void **state)
{
	pf__rcu_barrier();
	assert_err(pf__alloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(barrier_calls_all),
	    cmocka_unit_test(barrier_follows_chains),
	    cmocka_unit_test(batches_without_barrier),
	    cmocka_unit_test(nothing_is_called_in_a_read_section),
	    cmocka_unit_test(locked_reader_does_not_deadlock),
	    cmocka_unit_test(readers_see_only_the_living),
	    cmocka_unit_test(nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
