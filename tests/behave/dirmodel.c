// SPDX-License-Identifier: BSD-2-Clause
/*
 * The directory cache against a directory that changes at random: each listing must be what the
 * server has, unless the client could not know. And the same from several threads at once.
 */
#include "tests/behave/served.h"

#define CACHED  (FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE)
#define HANDLES 3
#define POOL    40
#define STEPS   3000

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

struct run {
	struct served *s;
	struct pf_file *d[HANDLES];
	uint64_t x;
	uint64_t listings, stats;
};

static unsigned pick(struct run *r, unsigned n)
{
	return (unsigned)(next_random(&r->x) >> 20) % n;
}

/* A name of the pool that is there, or is not; NULL when there is none such. */
static const char *pick_name(struct run *r, bool there, char *name)
{
	for (unsigned i = 0; i < POOL; i++) {
		snprintf(name, 24, "n%u", pick(r, POOL));
		if (!served_find(r->s, name) == !there)
			return name;
	}
	return NULL;
}

static void own_change(struct run *r)
{
	struct pf_fs *fs = r->s->m->fs;
	char a[24], b[24];

	switch (pick(r, 3)) {
	case 0:
		if (pick_name(r, false, a))
			ok(pf_mknod(fs, a, S_IFREG | 0644, 0));
		return;
	case 1:
		if (pick_name(r, true, a))
			ok(pf_unlink(fs, a));
		return;
	default:
		if (pick_name(r, true, a) && pick_name(r, false, b))
			ok(pf_rename(fs, a, b));
	}
}

/* Told by a notification, or by the mtime alone. */
static void servers_change(struct run *r)
{
	bool there = pick(r, 2), told = pick(r, 2);
	struct mock *m = r->s->m;
	char name[24];

	if (!pick_name(r, there, name))
		return;
	if (there)
		served_del(r->s, name);
	else
		served_add(r->s, name, REG);
	if (!told) {
		pthread_mutex_lock(&r->s->lock);
		r->s->mtime++;
		pthread_mutex_unlock(&r->s->lock);
		return;
	}
	if (pick(r, 4))
		mock_notify_inval_entry(m, 1, name, 0);
	else
		mock_notify_inval_inode(m, 1, (int64_t)pick(r, 2) - 1, 0);
	mock_settle(m);
}

static void reopen(struct run *r)
{
	static const uint32_t flags[] = {CACHED, CACHED, CACHED, FOPEN_CACHE_DIR, FOPEN_KEEP_CACHE};
	struct pf_file **d = &r->d[pick(r, HANDLES)];

	ok(pf_close(*d));
	r->s->open_flags = flags[pick(r, 5)];
	r->s->per_reply = pick(r, 4) * 5;
	r->s->entry_valid = pick(r, 2) ? MOCK_FOREVER : 0;
	*d = served_open(r->s);
}

/* From where d stands, n entries of what the server has from place i on. */
static void compare(struct run *r, struct pf_file *d, unsigned i, unsigned n)
{
	struct pf_dirent e;

	for (; n && i < r->s->n; i++, n--) {
		const struct served_name *want = &r->s->names[i];

		assert_int_equal(pf_readdir(d, &e), 1);
		assert_string_equal(e.name, want->name);
		assert_int_equal(e.ino, want->ino);
		assert_int_equal(e.off, want->cookie);
		if (e.has_stat) {
			r->stats++;
			assert_int_equal(e.st.st_ino, want->ino);
			assert_int_equal(e.st.st_mode, want->mode);
		}
	}
	if (n)
		assert_int_equal(pf_readdir(d, &e), 0);
}

static void list(struct run *r)
{
	struct pf_file *d = r->d[pick(r, HANDLES)];
	unsigned n = r->s->n;

	r->listings++;
	ok(pf_seekdir(d, 0));
	if (pick(r, 3) || !n) {
		compare(r, d, 0, UINT32_MAX);
		return;
	}
	/* A part, and another part: between them lies perhaps a gap. */
	compare(r, d, 0, pick(r, n) + 1);
	n = pick(r, n);
	ok(pf_seekdir(d, r->s->names[n].cookie));
	compare(r, d, n + 1, UINT32_MAX);
}

static void run(uint64_t seed, uint64_t flags)
{
	struct run r = {.s = served_start(CACHED, flags | FUSE_AUTO_INVAL_DATA), .x = seed};

	r.s->dir_valid = 0;
	serve_listings(r.s);
	for (int i = 0; i < HANDLES; i++)
		r.d[i] = served_open(r.s);
	for (int i = 0; i < STEPS; i++) {
		unsigned what = pick(&r, 20);

		if (what == 0)
			own_change(&r);
		else if (what == 1)
			servers_change(&r);
		else if (what == 2)
			reopen(&r);
		else
			list(&r);
	}
	/* Both ways were used: it would be no test otherwise. */
	assert_in_range(asked(r.s), 100, r.listings);
	if (flags & FUSE_DO_READDIRPLUS)
		assert_true(r.stats > 0);
	for (int i = 0; i < HANDLES; i++)
		ok(pf_close(r.d[i]));
	served_end(r.s);
}

static void random_readdir(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		run(seed, 0);
}

static void random_readdirplus(void **state)
{
	for (uint64_t seed = 4; seed <= 6; seed++)
		run(seed,
		    seed == 6 ? FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO : FUSE_DO_READDIRPLUS);
}

/* ---- threads */

#define READERS 4
#define STABLE  200
#define ROUNDS  150

struct reader {
	struct served *s;
	pthread_t thread;
	struct pf_file *shared;
};

/* What stays is there, each name once and in its order, whatever comes and goes between. */
static void *read_again_and_again(void *arg)
{
	struct reader *r = arg;
	struct pf_file *d = served_open(r->s);
	struct pf_dirent e;

	for (int round = 0; round < ROUNDS; round++) {
		int next = 0, n;

		ok(pf_seekdir(d, 0));
		while ((n = pf_readdir(d, &e)) == 1)
			if (e.name[0] == 's')
				assert_int_equal(atoi(e.name + 1), next++);
		ok(n);
		assert_int_equal(next, STABLE);
		if (round % 16 == 0) {
			ok(pf_close(d));
			d = served_open(r->s);
		}
	}
	ok(pf_close(d));
	return NULL;
}

/* Two threads at one open directory share its position: what they see does not count here. */
static void *read_shared(void *arg)
{
	struct reader *r = arg;
	struct pf_dirent e;

	for (int round = 0; round < ROUNDS; round++) {
		ok(pf_seekdir(r->shared, 0));
		while (pf_readdir(r->shared, &e) == 1)
			;
	}
	return NULL;
}

static void disturb(struct served *s)
{
	char name[24];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof name, "t%d", i % 8);
		ok(pf_mknod(s->m->fs, name, S_IFREG | 0644, 0));
		if (i % 4 == 0)
			mock_notify_inval_inode(s->m, 1, 0, 0);
		if (i % 4 == 2)
			mock_notify_inval_entry(s->m, 1, name, 0);
		usleep(500);
		ok(pf_unlink(s->m->fs, name));
	}
}

static void from_threads(uint64_t flags)
{
	struct served *s = served_start(CACHED, flags);
	struct pf_file *shared = served_open(s);
	struct reader r[READERS + 2];
	char name[24];

	for (int i = 0; i < STABLE; i++) {
		snprintf(name, sizeof name, "s%d", i);
		served_add(s, name, REG);
	}
	s->per_reply = 30;
	serve_listings(s);
	for (int i = 0; i < READERS + 2; i++) {
		r[i] = (struct reader){.s = s, .shared = shared};
		assert_int_equal(pthread_create(&r[i].thread, NULL,
						i < READERS ? read_again_and_again : read_shared,
						&r[i]),
				 0);
	}
	disturb(s);
	for (int i = 0; i < READERS + 2; i++)
		pthread_join(r[i].thread, NULL);
	listing(shared);
	asked(s);
	listing(shared);
	assert_int_equal(asked(s), 0);
	ok(pf_close(shared));
	served_end(s);
}

static void threads_readdir(void **state)
{
	from_threads(0);
}

static void threads_readdirplus(void **state)
{
	from_threads(FUSE_DO_READDIRPLUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_readdir),
	    cmocka_unit_test(random_readdirplus),
	    cmocka_unit_test(threads_readdir),
	    cmocka_unit_test(threads_readdirplus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
