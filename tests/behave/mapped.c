// SPDX-License-Identifier: BSD-2-Clause
/*
 * Changes through a shared mapping: found and written back by msync and munmap, as pages of the
 * cache in every mode.
 */
#include "tests/behave/writes.h"

#include <sys/mman.h>

struct map {
	struct pf_mapping *m;
	unsigned char *p;
};

static struct map map(struct pf_file *f, size_t len, int flags, off_t offset)
{
	struct map map;

	ok(pf_mmap(f, len, PROT_READ | PROT_WRITE, flags, offset, &map.m));
	map.p = pf_mapping_address(map.m);
	assert_non_null(map.p);
	return map;
}

static struct map map_shared(struct pf_file *f, size_t len)
{
	return map(f, len, MAP_SHARED, 0);
}

static bool cached_write(struct t *t, int n, uint64_t offset, uint64_t size)
{
	struct wdata_event e = wdata_nth(t->w, FUSE_WRITE, n);

	return e.op_flags & FUSE_WRITE_CACHE && e.offset == offset && e.size == size && !e.pid;
}

/* It is read in first, and written with the mark of the cache, also without WRITEBACK_CACHE. */
static void changed_page_is_written_at_munmap(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		struct t t = begin(.writeback = wb, .size = PAGE);
		struct map map = map_shared(t.f, PAGE);

		assert_true(wdata_place(t.w, FUSE_READ, 0) >= 0);
		assert_int_equal(map.p[7], wdata_byte(7));
		memset(map.p + 100, 'M', 50);
		assert_came(&t, FUSE_WRITE, 0);
		ok(pf_munmap(map.m));
		ok(pf_close(t.f));
		t.f = NULL;
		assert_came(&t, FUSE_WRITE, 1);
		assert_true(cached_write(&t, 0, 0, PAGE));
		assert_server_old(&t, 0, 100);
		wdata_assert_at(t.w, 100, "MMMM", 4);
		assert_server_old(&t, 150, PAGE - 150);
		finish(&t);
	}
}

static void msync_writes_changed_pages_of_the_range(void **state)
{
	struct t t = begin(.writeback = true, .size = 8 * PAGE);
	struct map map = map_shared(t.f, 8 * PAGE);

	map.p[PAGE] = 'a';
	map.p[3 * PAGE] = 'b';
	map.p[6 * PAGE] = 'c';
	ok(pf_msync(map.m, 0, 4 * PAGE));
	assert_came(&t, FUSE_WRITE, 2);
	assert_true(cached_write(&t, 0, PAGE, PAGE) || cached_write(&t, 1, PAGE, PAGE));
	wdata_assert_at(t.w, PAGE, "a", 1);
	wdata_assert_at(t.w, 3 * PAGE, "b", 1);
	ok(pf_msync(map.m, 0, 4 * PAGE)); /* nothing is new */
	assert_came(&t, FUSE_WRITE, 2);
	map.p[PAGE + 1] = 'd'; /* and again */
	ok(pf_msync(map.m, 0, 8 * PAGE));
	assert_came(&t, FUSE_WRITE, 4);
	wdata_assert_at(t.w, PAGE, "ad", 2);
	wdata_assert_at(t.w, 6 * PAGE, "c", 1);
	ok(pf_munmap(map.m));
	assert_came(&t, FUSE_WRITE, 4);
	finish(&t);
}

static void unchanged_is_not_written(void **state)
{
	struct t t = begin(.writeback = true, .size = 4 * PAGE);
	struct map map = map_shared(t.f, 4 * PAGE);
	volatile unsigned char sum = 0;

	for (uint64_t i = 0; i < 4 * PAGE; i++)
		sum += map.p[i];
	ok(pf_msync(map.m, 0, 4 * PAGE));
	ok(pf_munmap(map.m));
	ok(pf_close(t.f));
	t.f = NULL;
	assert_came(&t, FUSE_WRITE, 0);
	assert_came(&t, FUSE_SETATTR, 0);
	finish(&t);
}

static void nothing_beyond_the_end_is_written(void **state)
{
	struct t t = begin(.writeback = true, .size = 100);
	struct map map = map_shared(t.f, PAGE);

	assert_int_equal(map.p[100], 0);
	assert_int_equal(map.p[PAGE - 1], 0);
	memset(map.p, 'M', PAGE);
	ok(pf_munmap(map.m));
	ok(pf_close(t.f));
	t.f = NULL;
	assert_came(&t, FUSE_WRITE, 1);
	assert_true(cached_write(&t, 0, 0, 100));
	assert_int_equal(wdata_size(t.w), 100);
	finish(&t);
}

/* Nor is it seen when the file grows over it. */
static void what_was_beyond_the_end_is_zero(void **state)
{
	struct t t = begin(.writeback = true, .size = 100);
	struct map map = map_shared(t.f, PAGE);

	memset(map.p, 'M', PAGE);
	ok(pf_munmap(map.m));
	put_at(t.f, 1, 3000, 100);
	assert_reads(t.f, 0, "MMMM", 4);
	assert_reads_zeros(t.f, 100, 2900);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(wdata_size(t.w), 3100);
	finish(&t);
}

/* The same memory: calls see the mapping, the mapping sees calls. */
static void calls_and_mapping_agree(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		struct t t = begin(.writeback = wb, .size = 2 * PAGE);
		struct map map = map_shared(t.f, 2 * PAGE);
		unsigned char *p = bytes_of(1, 200, 50);

		memcpy(map.p + 100, "mapped", 6);
		assert_reads(t.f, 100, "mapped", 6);
		put_at(t.f, 1, 200, 50);
		assert_memory_equal(map.p + 200, p, 50);
		ok(pf_munmap(map.m));
		ok(pf_close(t.f));
		t.f = NULL;
		wdata_assert_at(t.w, 100, "mapped", 6);
		assert_server_turn(&t, 1, 200, 50);
		free(p);
		finish(&t);
	}
}

static void private_changes_stay_private(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct map map;

	ok(pf_mmap(t.f, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, &map.m));
	map.p = pf_mapping_address(map.m);
	assert_int_equal(map.p[5], wdata_byte(5));
	memset(map.p, 'M', PAGE);
	assert_reads_old(t.f, 0, PAGE);
	ok(pf_msync(map.m, 0, PAGE));
	ok(pf_munmap(map.m));
	assert_came(&t, FUSE_WRITE, 0);
	finish(&t);
}

/* The descriptor may go before the mapping: there is a handle for the WRITE. */
static void mapping_outlives_the_descriptor(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct map map = map_shared(t.f, PAGE);

	ok(pf_close(t.f));
	t.f = NULL;
	mock_settle(t.m);
	assert_came(&t, FUSE_RELEASE, 0);
	map.p[10] = 'M';
	ok(pf_munmap(map.m));
	mock_settle(t.m);
	wdata_assert_at(t.w, 10, "M", 1);
	assert_came(&t, FUSE_RELEASE, 1);
	assert_before(&t, FUSE_WRITE, FUSE_RELEASE);
	finish(&t);
}

static void msync_tells_of_errors(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct map map = map_shared(t.f, PAGE);

	map.p[10] = 'M';
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_FAIL, ENOSPC});
	fails(pf_msync(map.m, 0, PAGE), ENOSPC);
	ok(pf_fsync(t.f, 0)); /* the open file has been told */
	ok(pf_munmap(map.m));
	finish(&t);
}

static void mapped_change_sets_the_times(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct map map = map_shared(t.f, PAGE);
	struct stat st;

	map.p[10] = 'M';
	ok(pf_msync(map.m, 0, PAGE));
	ok(pf_fstat(t.f, &st));
	assert_true(st.st_mtim.tv_sec > 1000000);
	ok(pf_munmap(map.m));
	ok(pf_close(t.f));
	t.f = NULL;
	assert_came(&t, FUSE_SETATTR, 1);
	finish(&t);
}

/* A file made longer by truncation, written through mappings, then read across them. */
static void extend_and_write_through_mappings(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		static const size_t at[2] = {0x29a3a, 0x3c7d8}, len[2] = {0x849e, 0x3994};
		struct t t = begin(.writeback = wb);

		for (int i = 0; i < 2; i++) {
			struct map map;

			ok(pf_ftruncate(t.f, at[i] + len[i]));
			map = map_shared(t.f, at[i] + len[i]);
			memset(map.p + at[i], 'a' + i, len[i]);
			ok(pf_munmap(map.m));
		}
		assert_reads_zeros(t.f, 0x30c16 + 0x12c2, 0x3c7d8 - 0x31ed8);
		for (int i = 0; i < 2; i++) {
			unsigned char *p = malloc(len[i]);

			memset(p, 'a' + i, len[i]);
			assert_reads(t.f, at[i], p, len[i]);
			free(p);
		}
		finish(&t);
	}
}

static void what_mmap_refuses(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE, .oflags = O_WRONLY);
	struct pf_mapping *m;
	struct pf_file *g;

	fails(pf_mmap(t.f, PAGE, PROT_READ, MAP_SHARED, 0, &m), EACCES);
	ok(pf_open(t.m->fs, "foo", O_RDONLY, 0, &g));
	fails(pf_mmap(g, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &m), EACCES);
	fails(pf_mmap(g, 0, PROT_READ, MAP_SHARED, 0, &m), EINVAL);
	fails(pf_mmap(g, PAGE, PROT_READ, MAP_SHARED, 100, &m), EINVAL);
	fails(pf_mmap(g, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, 0, &m), EINVAL);
	fails(pf_mmap(g, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, 0, &m), EINVAL);
	fails(pf_mmap(g, 1ull << 40, PROT_READ, MAP_SHARED, 0, &m), ENOMEM);
	assert_non_null(strstr(pf_error(), "half of the cache"));
	ok(pf_mmap(g, PAGE, PROT_READ, MAP_SHARED, 0, &m));
	ok(pf_munmap(m));
	ok(pf_close(g));
	finish(&t);
}

/* Whoever looks at it sees a direct write at once, and so does a cached read. */
static void direct_write_is_seen(void **state)
{
	struct t t = begin(.size = 2 * PAGE);
	struct map map = map_shared(t.f, 2 * PAGE);
	char c = 0;

	ok(pf_setfl(t.f, O_DIRECT));
	assert_int_equal(pf_pwrite(t.f, "DDDD", 4, 100), 4);
	assert_memory_equal(map.p + 100, "DDDD", 4);
	ok(pf_setfl(t.f, 0));
	assert_int_equal(pf_pread(t.f, &c, 1, 101), 1);
	assert_int_equal(c, 'D');
	ok(pf_munmap(map.m));
	assert_int_equal(pf_pread(t.f, &c, 1, 102), 1);
	assert_int_equal(c, 'D');
	ok(pf_close(t.f));
	t.f = NULL;
	wdata_assert_at(t.w, 100, "DDDD", 4);
	finish(&t);
}

/* What a writable mapping keeps from going goes with the mapping. */
static void invalidated_while_mapped(void **state)
{
	struct t t = begin(.size = PAGE);
	struct map map = map_shared(t.f, PAGE);
	char c = 0;

	wdata_put(t.w, 50, "new", 3);
	mock_notify_inval_inode(t.m, FOO, 0, PAGE);
	mock_settle(t.m);
	ok(pf_munmap(map.m));
	assert_int_equal(pf_pread(t.f, &c, 1, 50), 1);
	assert_int_equal(c, 'n');
	finish(&t);
}

/* What is left of a small cache is not enough for all of a mapping: room for its last page must not
 * be made by its first. */
static void without_memory(void **state)
{
	const uint64_t block = 64 * PAGE;
	struct t t = begin(.writeback = true, .cache_bytes = 1 << 20, .dirty_bytes = 512 << 10,
			   .max_write = 4 * PAGE, .size = 8 * block);
	struct pf_mapping *none;
	struct map held[3], last;

	for (unsigned i = 0; i < 3; i++)
		held[i] = map(t.f, block, MAP_SHARED, i * block);
	for (unsigned i = 0; i < 20; i++) /* dirty, and will be for long */
		put_at(t.f, 1, 7 * block + i * 2 * PAGE, PAGE);
	fails(pf_mmap(t.f, block, PROT_READ, MAP_SHARED, 3 * block, &none), ENOMEM);
	last = map(t.f, block - 20 * PAGE, MAP_SHARED, 3 * block);
	ok(pf_munmap(last.m));
	for (unsigned i = 0; i < 3; i++)
		ok(pf_munmap(held[i].m));
	last = map(t.f, block, MAP_SHARED, 3 * block);
	for (uint64_t at = 0; at < block; at += 61)
		assert_int_equal(last.p[at], wdata_byte(3 * block + at));
	ok(pf_munmap(last.m));
	finish(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(changed_page_is_written_at_munmap),
	    write_test(msync_writes_changed_pages_of_the_range),
	    write_test(unchanged_is_not_written),
	    write_test(nothing_beyond_the_end_is_written),
	    write_test(what_was_beyond_the_end_is_zero),
	    write_test(calls_and_mapping_agree),
	    write_test(private_changes_stay_private),
	    write_test(mapping_outlives_the_descriptor),
	    write_test(msync_tells_of_errors),
	    write_test(mapped_change_sets_the_times),
	    write_test(extend_and_write_through_mappings),
	    write_test(what_mmap_refuses),
	    write_test(direct_write_is_seen),
	    write_test(invalidated_while_mapped),
	    write_test(without_memory),
	};

	return run_write_tests(argc, argv, tests);
}
