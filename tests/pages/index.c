/* SPDX-License-Identifier: BSD-2-Clause */
/* The radix tree against a plain array, without memory, and while others read it. */
#include "pages/index.h"
#include "base/lock.h"
#include "pagetest.h"
#include <pthread.h>

#define POOL 400

/* Which numbers may be in the tree, in order; and what is. */
static struct entry {
	uint64_t n;
	bool present, dirty;
	uint64_t block; /* its address goes into the tree */
} pool[POOL];

static int by_number(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->n < y->n ? -1 : x->n > y->n;
}

static void make_pool(uint64_t *state)
{
	unsigned count = 0;

	memset(pool, 0, sizeof pool);
	while (count < POOL) {
		uint64_t base = dice(state, 2) ? 1ull << dice(state, 46) : dice(state, 5000);
		uint64_t n = base + dice(state, 5) - (base >= 2 ? 2 : 0);
		bool known = false;

		for (unsigned i = 0; i < count; i++)
			known |= pool[i].n == n;
		if (!known)
			pool[count++].n = n;
	}
	qsort(pool, POOL, sizeof pool[0], by_number);
}

static void *next_of(uint64_t from, bool dirty, uint64_t *n)
{
	for (unsigned i = 0; i < POOL; i++) {
		if (pool[i].n < from || !pool[i].present || (dirty && !pool[i].dirty))
			continue;
		*n = pool[i].n;
		return &pool[i].block;
	}
	return NULL;
}

static void compare(const struct pf__index *x, uint64_t from)
{
	for (int dirty = 0; dirty < 2; dirty++) {
		uint64_t n = from, m = from;
		void *expect = next_of(from, dirty, &m);

		assert_ptr_equal(pf__index_next(x, &n, dirty), expect);
		if (expect)
			assert_int_equal(n, m);
	}
}

static void compare_all(const struct pf__index *x)
{
	for (int dirty = 0; dirty < 2; dirty++) {
		uint64_t n = 0, m = 0;

		for (;; n++, m++) {
			void *expect = next_of(m, dirty, &m);

			assert_ptr_equal(pf__index_next(x, &n, dirty), expect);
			if (!expect)
				break;
			assert_int_equal(n, m);
		}
	}
	for (unsigned i = 0; i < POOL; i++)
		assert_ptr_equal(pf__index_find(x, pool[i].n),
				 pool[i].present ? &pool[i].block : NULL);
}

static void change(struct pf__index *x, struct entry *e, uint64_t what)
{
	if (!e->present) {
		if (pf__index_insert(x, e->n, &e->block))
			return; /* no memory */
		e->present = true;
		e->dirty = false;
	} else if (what == 0) {
		pf__index_remove(x, e->n);
		e->present = e->dirty = false;
	} else {
		e->dirty = what == 1;
		pf__index_tag(x, e->n, e->dirty);
	}
}

static void as_an_array(void **state)
{
	uint64_t dicer = random_seed();
	struct pf__index x = {0};

	for (unsigned round = 0; round < 6; round++) {
		make_pool(&dicer);
		for (unsigned step = 0; step < 4000; step++) {
			/* few at first, then more, then few */
			unsigned some = step < 2000 ? 1 + step / 5 : 1 + (4000 - step) / 5;
			struct entry *e = &pool[dice(&dicer, some < POOL ? some : POOL)];

			change(&x, e, dice(&dicer, 3));
			assert_ptr_equal(pf__index_find(&x, e->n), e->present ? &e->block : NULL);
			compare(&x, dice(&dicer, 2) ? pool[dice(&dicer, POOL)].n + 1
						    : 1ull << dice(&dicer, 64));
			if (step % 200 == 0)
				compare_all(&x);
		}
		for (unsigned i = 0; i < POOL; i++)
			if (pool[i].present)
				change(&x, &pool[i], 0);
		compare_all(&x);
		assert_null(x.root); /* no node is left */
		assert_false(x.root_dirty);
	}
	pf__rcu_barrier();
	assert_err(pf__alloc_live(), 0);
}

static void one_block_takes_no_node(void **state)
{
	struct pf__index x = {0};
	uint64_t block, other, n = 0;

	assert_err(pf__index_insert(&x, 0, &block), 0);
	assert_err(pf__alloc_live(), 0);
	assert_ptr_equal(pf__index_find(&x, 0), &block);
	assert_null(pf__index_find(&x, 1));
	assert_null(pf__index_next(&x, &n, true));
	pf__index_tag(&x, 0, true);
	assert_ptr_equal(pf__index_next(&x, &n, true), &block);
	n = 1;
	assert_null(pf__index_next(&x, &n, false));
	/* The tag goes down with it. */
	assert_err(pf__index_insert(&x, 64, &other), 0);
	n = 0;
	assert_ptr_equal(pf__index_next(&x, &n, true), &block);
	n = 1;
	assert_null(pf__index_next(&x, &n, true));
	pf__index_remove(&x, 0);
	assert_false(x.root_dirty);
	pf__index_remove(&x, 64);
	assert_null(x.root);
	pf__rcu_barrier();
	assert_err(pf__alloc_live(), 0);
}

static void the_highest_numbers(void **state)
{
	const uint64_t numbers[] = {0, 1ull << 45, 1ull << 60, UINT64_MAX - 1, UINT64_MAX};
	struct pf__index x = {0};
	uint64_t blocks[5], n = 0;

	for (unsigned i = 0; i < 5; i++)
		assert_err(pf__index_insert(&x, numbers[i], &blocks[i]), 0);
	for (unsigned i = 0; i < 5; i++, n++) {
		assert_ptr_equal(pf__index_find(&x, numbers[i]), &blocks[i]);
		assert_ptr_equal(pf__index_next(&x, &n, false), &blocks[i]);
		assert_int_equal(n, numbers[i]);
	}
	pf__index_destroy(&x);
	assert_null(x.root);
	assert_err(pf__alloc_live(), 0);
}

/* What a failed insertion leaves are nodes without blocks: nothing may trip over them. */
static void without_memory(void **state)
{
	uint64_t dicer = random_seed() + 1;
	struct pf__index x = {0};

	for (unsigned round = 0; round < 20; round++) {
		make_pool(&dicer);
		for (unsigned step = 0; step < 400; step++) {
			struct entry *e = &pool[dice(&dicer, step % 100 < 50 ? 4 : POOL)];
			bool was = e->present;
			uint64_t what = dice(&dicer, 3);

			pf__alloc_fail_at(dice(&dicer, 4), 1);
			change(&x, e, what);
			if (!was && !e->present) /* again: it takes what the failed one left */
				pf__alloc_fail_at(0, 0), change(&x, e, what);
			pf__alloc_fail_at(0, 0);
			compare(&x, pool[dice(&dicer, POOL)].n);
			if (step % 50 == 0)
				compare_all(&x);
		}
		pf__index_destroy(&x);
		memset(pool, 0, sizeof pool);
	}
	pf__rcu_barrier();
	assert_err(pf__alloc_live(), 0);
}

/* ---- what is deferred is out of sight: others may be done with it at once */

static const struct pf__index *watched;
static unsigned deferred;

static bool reaches(const struct pf__index_node *from, const struct pf__index_node *node)
{
	bool found = from == node;

	for (unsigned i = 0; from && from->shift && i < PF_INDEX_WAYS && !found; i++)
		found = from->slot[i] && reaches(from->slot[i], node);
	return found;
}

void __real_pf__rcu_defer(struct pf__rcu_head *head, void (*fn)(struct pf__rcu_head *));
void __wrap_pf__rcu_defer(struct pf__rcu_head *head, void (*fn)(struct pf__rcu_head *));
void __wrap_pf__rcu_defer(struct pf__rcu_head *head, void (*fn)(struct pf__rcu_head *))
{
	if (watched) {
		deferred++;
		assert_false(reaches(pf__index_node_of(watched->root),
				     pf__container_of(head, struct pf__index_node, rcu)));
	}
	__real_pf__rcu_defer(head, fn);
}

static void nodes_go_out_of_sight_first(void **state)
{
	struct pf__index x = {0};
	uint64_t blocks[3];

	assert_err(pf__index_insert(&x, 1ull << 40, &blocks[0]), 0);
	assert_err(pf__index_insert(&x, (1ull << 40) + (1 << 15), &blocks[1]), 0);
	assert_err(pf__index_insert(&x, (1ull << 40) + (1 << 15) + 1, &blocks[2]), 0);
	watched = &x;
	pf__index_remove(&x, (1ull << 40) + (1 << 15));
	assert_int_equal(deferred, 0);
	pf__index_remove(&x, (1ull << 40) + (1 << 15) + 1);
	assert_int_equal(deferred, 2);
	pf__index_remove(&x, 1ull << 40);
	assert_int_equal(deferred, 2 + 7);
	assert_null(x.root);
	watched = NULL;
	pf__rcu_barrier();
	assert_err(pf__alloc_live(), 0);
}

static void empty_nodes_stay_usable(void **state)
{
	struct pf__index x = {0};
	uint64_t a, n = 0;

	pf__alloc_fail_at(4, 1);
	assert_err(pf__index_insert(&x, 1ull << 40, &a), -ENOMEM);
	pf__alloc_fail_at(0, 0);
	assert_non_null(x.root);
	assert_null(pf__index_find(&x, 0));
	assert_null(pf__index_find(&x, 1ull << 40));
	assert_null(pf__index_next(&x, &n, false));
	assert_err(pf__index_insert(&x, 0, &a), 0);
	pf__index_tag(&x, 0, true);
	n = 0;
	assert_ptr_equal(pf__index_next(&x, &n, true), &a);
	pf__index_remove(&x, 0);
	assert_null(pf__index_find(&x, 0));
	n = 0;
	assert_null(pf__index_next(&x, &n, true));
	assert_null(pf__index_next(&x, &n, false));
	pf__index_destroy(&x);
	pf__rcu_barrier();
	assert_err(pf__alloc_live(), 0);
}

/* ---- readers meanwhile */

static struct shared {
	struct pf__index x;
	struct pf__mutex lock;
	uint64_t blocks[8];
	_Atomic bool stop;
	_Atomic uint64_t looked, wrong;
} shared;

/* Two that stay (the tree keeps its height), the others come and go. */
static const uint64_t shared_numbers[8] = {0, 1ull << 36, 1, 77, 5000, 1ull << 20, 1ull << 33, 65};

static void *look(void *arg)
{
	while (!shared.stop) {
		pf__rcu_read_lock();
		for (unsigned i = 0; i < 8; i++) {
			void *b = pf__index_find(&shared.x, shared_numbers[i]);

			if (b ? b != &shared.blocks[i] : i < 2)
				shared.wrong++;
		}
		pf__rcu_read_unlock();
		shared.looked++;
	}
	return NULL;
}

/* What is deferred goes as soon as it may: also that of a thread stopped in the middle. */
static void *sweep(void *arg)
{
	while (!shared.stop) {
		pf__rcu_barrier();
		sched_yield();
	}
	return NULL;
}

static void readers_while_it_changes(void **state)
{
	uint64_t dicer = random_seed();
	bool present[8] = {true, true};
	pthread_t t[3];

	assert_int_equal(pf__mutex_init(&shared.lock, PF_RANK_PAGES), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_err(pf__index_insert(&shared.x, shared_numbers[i], &shared.blocks[i]), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, i ? look : sweep, NULL), 0);
	for (unsigned i = 0; i < 30000 || shared.looked < 1000; i++) {
		unsigned k = 2 + (unsigned)dice(&dicer, 6);

		pf__mutex_lock(&shared.lock);
		if (present[k])
			pf__index_remove(&shared.x, shared_numbers[k]);
		else
			assert_err(
			    pf__index_insert(&shared.x, shared_numbers[k], &shared.blocks[k]), 0);
		present[k] = !present[k];
		if (present[k])
			pf__index_tag(&shared.x, shared_numbers[k], true);
		pf__mutex_unlock(&shared.lock);
	}
	shared.stop = true;
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(shared.wrong, 0);
	pf__index_destroy(&shared.x);
	pf__mutex_destroy(&shared.lock);
	pf__rcu_barrier();
	assert_err(pf__alloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_block_takes_no_node),
	    cmocka_unit_test(the_highest_numbers),
	    cmocka_unit_test(as_an_array),
	    cmocka_unit_test(without_memory),
	    cmocka_unit_test(nodes_go_out_of_sight_first),
	    cmocka_unit_test(empty_nodes_stay_usable),
	    cmocka_unit_test(readers_while_it_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
