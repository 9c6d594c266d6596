/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks that the client keeps by itself. */
#include "vfs/localock.h"
#include "../unit.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

static int file_a, file_b;
static _Atomic bool server_gone;
static struct pf__locks *l;

static bool gone(const void *ctx)
{
	return server_gone;
}

static int set(int *file, uint64_t owner, short type, uint64_t start, uint64_t end, bool wait)
{
	struct pf__lock want = {.inode = file,
				.kind = PF_LOCK_POSIX,
				.type = type,
				.owner = owner,
				.start = start,
				.end = end,
				.pid = (uint32_t)owner};

	return pf__locks_set(l, &want, wait, (void *)(uintptr_t)owner, gone, NULL);
}

static int flock_set(uint64_t owner, short type, bool wait)
{
	struct pf__lock want = {.inode = &file_a,
				.kind = PF_LOCK_FLOCK,
				.type = type,
				.owner = owner,
				.end = INT64_MAX};

	return pf__locks_set(l, &want, wait, NULL, gone, NULL);
}

/* What stops a stranger from writing at this byte? */
static struct pf__lock at(uint64_t byte)
{
	struct pf__lock found, want = {.inode = &file_a,
				       .kind = PF_LOCK_POSIX,
				       .type = F_WRLCK,
				       .owner = 999,
				       .start = byte,
				       .end = byte};

	pf__locks_test(l, &want, &found);
	return found;
}

static int setup(void **state)
{
	server_gone = false;
	return pf__locks_open(&l);
}

static int teardown(void **state)
{
	pf__locks_close(l);
	return 0;
}

static void readers_share_writers_do_not(void **state)
{
	assert_err(set(&file_a, 1, F_RDLCK, 0, 9, false), 0);
	assert_err(set(&file_a, 2, F_RDLCK, 5, 9, false), 0);
	assert_err(set(&file_a, 2, F_WRLCK, 0, 9, false), -EAGAIN);
	assert_err(set(&file_a, 2, F_WRLCK, 10, 19, false), 0);
	assert_err(set(&file_b, 2, F_WRLCK, 0, 9, false), 0);
	assert_err(set(&file_a, 1, F_UNLCK, 0, 9, false), 0);
	assert_err(set(&file_a, 2, F_WRLCK, 0, 9, false), 0);
}

static void ranges_split_and_merge(void **state)
{
	assert_err(set(&file_a, 1, F_WRLCK, 0, 99, false), 0);
	assert_err(set(&file_a, 1, F_UNLCK, 40, 59, false), 0);
	assert_int_equal(at(39).end, 39);
	assert_int_equal(at(40).type, F_UNLCK);
	assert_int_equal(at(60).start, 60);
	assert_int_equal(at(60).end, 99);
	assert_err(set(&file_a, 1, F_WRLCK, 40, 59, false), 0);
	assert_int_equal(at(50).start, 0);
	assert_int_equal(at(50).end, 99);
	assert_err(set(&file_a, 1, F_RDLCK, 10, 19, false), 0);
	assert_int_equal(at(15).type, F_RDLCK);
	assert_int_equal(at(9).end, 9);
	assert_int_equal(at(20).start, 20);
}

static void owners_lose_what_is_theirs(void **state)
{
	assert_err(set(&file_a, 1, F_WRLCK, 0, 9, false), 0);
	assert_err(set(&file_a, 2, F_WRLCK, 10, 19, false), 0);
	assert_err(flock_set(1, F_WRLCK, false), 0);
	pf__locks_remove(l, &file_a, 1, false);
	assert_int_equal(at(0).type, F_UNLCK);
	assert_int_equal(at(10).pid, 2);
	assert_err(flock_set(2, F_RDLCK, false), -EAGAIN);
	pf__locks_remove(l, &file_a, 1, true);
	assert_err(flock_set(2, F_RDLCK, false), 0);
}

struct call {
	uint64_t owner, start;
	int result;
};

static void *wait_for_lock(void *arg)
{
	struct call *c = arg;

	c->result = set(&file_a, c->owner, F_WRLCK, c->start, c->start, true);
	return NULL;
}

/* Until the thread waits: interrupting finds it only then. */
static void interrupt(uint64_t owner)
{
	while (!pf__locks_interrupt(l, (void *)(uintptr_t)owner))
		sched_yield();
}

static void a_waiter_gets_the_lock(void **state)
{
	struct call c = {2, 0, 1};
	pthread_t t;

	assert_err(set(&file_a, 1, F_WRLCK, 0, 9, false), 0);
	pthread_create(&t, NULL, wait_for_lock, &c);
	assert_err(set(&file_a, 1, F_UNLCK, 0, 9, false), 0);
	pthread_join(t, NULL);
	assert_err(c.result, 0);
	assert_int_equal(at(0).pid, 2);
}

static void a_waiter_is_interrupted(void **state)
{
	struct call c = {2, 0, 1};
	pthread_t t;

	assert_err(set(&file_a, 1, F_WRLCK, 0, 9, false), 0);
	pthread_create(&t, NULL, wait_for_lock, &c);
	interrupt(2);
	pthread_join(t, NULL);
	assert_err(c.result, -EINTR);
	assert_int_equal(pf__locks_interrupt(l, (void *)2), 0);
}

static void a_waiter_does_not_outlive_the_server(void **state)
{
	struct call c = {2, 0, 1};
	pthread_t t;

	assert_err(set(&file_a, 1, F_WRLCK, 0, 9, false), 0);
	pthread_create(&t, NULL, wait_for_lock, &c);
	server_gone = true;
	pf__locks_wake_all(l);
	pthread_join(t, NULL);
	assert_err(c.result, -ENOTCONN);
}

/* Whoever is refused gives up what it holds, as a program would. */
static void *lock_or_let_go(void *arg)
{
	struct call *c = arg;

	wait_for_lock(c);
	if (c->result)
		set(&file_a, c->owner, F_UNLCK, 0, 9, false);
	return NULL;
}

/* 1 holds 0 and wants 1; 2 holds 1 and wants 0: exactly one is refused, the other gets its lock. */
static void a_circle_is_refused(void **state)
{
	struct call c[2] = {{1, 1, 1}, {2, 0, 1}};
	pthread_t t[2];

	assert_err(set(&file_a, 1, F_WRLCK, 0, 0, false), 0);
	assert_err(set(&file_a, 2, F_WRLCK, 1, 1, false), 0);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, lock_or_let_go, &c[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_err(c[0].result + c[1].result, -EDEADLK);
}

static void flock_converts_by_letting_go(void **state)
{
	assert_err(flock_set(1, F_RDLCK, false), 0);
	assert_err(flock_set(2, F_RDLCK, false), 0);
	assert_err(flock_set(1, F_WRLCK, false), -EAGAIN);
	assert_err(flock_set(2, F_WRLCK, false), 0); /* 1 has lost its own */
}

#define test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    test(readers_share_writers_do_not), test(ranges_split_and_merge),
	    test(owners_lose_what_is_theirs),   test(a_waiter_gets_the_lock),
	    test(a_waiter_is_interrupted),      test(a_waiter_does_not_outlive_the_server),
	    test(a_circle_is_refused),          test(flock_converts_by_letting_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
