/* SPDX-License-Identifier: BSD-2-Clause */
/* How much memory there is, who has to leave, and who stays. */
#include "base/clock.h"
#include "pagetest.h"
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pf__arena_stats stats_of(struct pf__arena *a)
{
	struct pf__arena_stats s;

	pf__arena_stats(a, &s);
	return s;
}

static uint64_t promised(struct pf__arena *a)
{
	return atomic_load(&a->promised);
}

/* What the system says that the memfd takes. */
static uint64_t memfd_bytes(struct pf__arena *a)
{
	struct stat st;

	assert_int_equal(fstat(pf__arena_fd(a), &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static bool is_there(struct file *f, uint64_t page)
{
	return pf__pages_state(&f->p, page) == PF_PAGE_UPTODATE;
}

/* As a reader of whole pages does it. */
static void use(struct file *f, uint64_t page)
{
	size_t n;

	assert_non_null(file_peek(f, page * PF_PAGE, PF_PAGE, &n));
}

/* A page made clean: the cheapest way to fill memory. */
static void put_page(struct file *f, uint64_t page)
{
	respare(f, 1, 1);
	file_clean(f, page * PF_PAGE, PF_PAGE, UINT64_MAX / 2, 1);
	assert_true(is_there(f, page));
	pf__spare_put(&f->spare);
}

static void put_block(struct file *f, uint64_t number)
{
	respare(f, 1, 64);
	file_clean(f, number * PF_BLOCK, PF_BLOCK, UINT64_MAX / 2, 1);
	pf__spare_put(&f->spare);
}

static void nothing_at_first(void **state)
{
	struct pf__arena *a;

	assert_err(pf__arena_open(&a, 0), 0);
	assert_int_equal(pf__arena_limit(a), MIB);
	assert_int_equal(pf__arena_fd(a), -1);
	assert_int_equal(stats_of(a).bytes, 0);
	pf__arena_trim(a, true);
	pf__arena_close(a);
	pf__arena_close(NULL);
	pf__alloc_fail_at(1, 0);
	assert_err(pf__arena_open(&a, MIB), -ENOMEM);
	assert_null(a);
	pf__alloc_fail_at(0, 0);
	assert_err(pf__alloc_live(), 0);
}

static void spares_are_counted(void **state)
{
	struct pf__spare s = {0}, t = {0};
	struct pf__arena *a;

	assert_err(pf__arena_open(&a, MIB), 0);
	pf__spare_put(&s); /* never taken */
	assert_err(pf__spare_take(&s, a, PF_SPARES + 1, 0), -ENOMEM);
	assert_err(pf__spare_take(&s, a, 1, 257), -ENOMEM);
	assert_err(pf__spare_take(&s, a, PF_SPARES, 200), 0);
	assert_int_equal(s.n, PF_SPARES);
	assert_int_equal(promised(a), 200);
	assert_err(pf__spare_take(&t, a, 1, 57), -ENOMEM);
	assert_int_equal(t.n, 0);
	assert_int_equal(promised(a), 200);
	assert_err(pf__spare_take(&t, a, 1, 56), 0);
	assert_int_equal(promised(a), 256);
	pf__spare_put(&s);
	assert_int_equal(s.n + s.pages, 0);
	pf__spare_put(&s);
	assert_int_equal(promised(a), 56);
	pf__spare_put(&t);
	assert_int_equal(promised(a), 0);
	assert_int_equal(stats_of(a).bytes, 0);
	pf__arena_close(a);
	assert_err(pf__alloc_live(), 0);
}

static void a_promise_keeps_others_out(void **state)
{
	struct pf__spare s = {0};
	struct file f;

	file_open(&f, MIB);
	assert_err(pf__spare_take(&s, f.arena, 2, 255), 0);
	respare(&f, 1, 1);
	file_clean(&f, 0, 2 * PF_PAGE, 1 << 30, 1); /* one has room */
	assert_true(is_there(&f, 0));
	assert_false(is_there(&f, 1));
	assert_int_equal(stats_of(f.arena).bytes, PF_PAGE);
	pf__spare_put(&s);
	file_clean(&f, 0, 2 * PF_PAGE, 1 << 30, 1);
	assert_true(is_there(&f, 1));
	file_close(&f);
}

static void the_limit_is_kept(void **state)
{
	uint64_t dicer = random_seed();
	struct file f;

	file_open(&f, 2 * MIB);
	for (unsigned i = 0; i < 4000; i++) {
		unsigned pages = 1 + (unsigned)dice(&dicer, 300);
		struct pf__arena_stats s;

		respare(&f, 1 + (unsigned)dice(&dicer, PF_SPARES), pages);
		file_clean(&f, dice(&dicer, 4000) * PF_PAGE, (1 + dice(&dicer, 8)) * PF_PAGE,
			   UINT64_MAX / 2, 1);
		s = stats_of(f.arena);
		assert_true(s.bytes + promised(f.arena) * PF_PAGE <= s.limit);
		assert_true(s.pages * PF_PAGE <= s.bytes && s.bytes <= s.peak);
		if (i % 200 == 0) {
			assert_sound(&f.p);
			assert_true(memfd_bytes(f.arena) <= s.bytes);
		}
	}
	assert_in_range(stats_of(f.arena).peak, MIB, 2 * MIB);
	assert_true(stats_of(f.arena).evicted > 1000);
	file_close(&f);
}

/* A file larger than the cache goes through it with the memory that is there: nothing is given back
 * and asked for again. The last pages of each piece are in a block that the file has already. */
static void a_full_cache_keeps_its_memory(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, 4 * MIB);
	for (uint64_t at = 0; at < 64 * PF_BLOCK_PAGES;) {
		struct pf__spare s = {0};
		int r;

		assert_err(pf__spare_take_for(&s, &f.p, at, 48), 0);
		r = pf__fill_begin(&f.p, at, 48, 1ull << 40, false, &s, &fill);
		assert_true(r > 0);
		fill_answer(&fill, 1);
		pf__fill_end(&fill, fill.length, 0, false);
		pf__spare_put(&s);
		at += (unsigned)r;
	}
	assert_true(stats_of(f.arena).evicted >= 40 * PF_BLOCK_PAGES);
	assert_int_equal(stats_of(f.arena).punched, 0);
	assert_int_equal(stats_of(f.arena).peak, 4 * MIB);
	assert_file(&f, 63 * PF_BLOCK, PF_BLOCK, 1);
	file_close(&f);
}

/* What spares have counts only where it is wanted: in blocks that the file lacks. */
static void spares_for_a_range(void **state)
{
	struct pf__spare s = {0};
	struct file f;

	file_open(&f, MIB);
	put_page(&f, 1);
	pf__spare_put(&f.spare);
	assert_err(pf__spare_take_for(&s, &f.p, 1, 1), 0); /* it is there */
	assert_int_equal(s.n, 0);
	assert_err(pf__spare_take_for(&s, &f.p, 0, 64), 0);
	assert_int_equal(s.n, 0);
	assert_int_equal(promised(f.arena), 63);
	pf__spare_put(&s);
	s = (struct pf__spare){0};
	assert_err(pf__spare_take_for(&s, &f.p, 60, 6), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(promised(f.arena), 6);
	pf__spare_put(&s);
	s = (struct pf__spare){0};
	assert_err(pf__spare_take_for(&s, &f.p, 64, 100 * PF_BLOCK_PAGES), -ENOMEM);
	assert_int_equal(promised(f.arena), 0);
	file_close(&f);
}

/* Blocks that were read twice outlive one pass over a file larger than memory. */
static void what_is_used_again_stays(void **state, uint64_t limit, unsigned hot)
{
	uint64_t blocks = limit / PF_BLOCK;
	struct file f;

	file_open(&f, limit);
	for (unsigned i = 0; i < hot; i++) {
		put_block(&f, i);
		for (unsigned k = 0; k < 2; k++)
			use(&f, i * 64ull);
	}
	for (uint64_t n = 100; n < 100 + 4 * blocks; n++) {
		put_block(&f, n);
		use(&f, n * 64);
	}
	for (unsigned i = 0; i < hot; i++)
		assert_true(is_there(&f, i * 64ull));
	assert_true(is_there(&f, (100 + 4 * blocks - 1) * 64));
	assert_false(is_there(&f, 100 * 64));
	file_close(&f);
}

static void used_again_stays_in_a_small_cache(void **state)
{
	what_is_used_again_stays(state, MIB, 1);
}

static void used_again_stays_in_a_larger_cache(void **state)
{
	what_is_used_again_stays(state, 8 * MIB, 8);
}

static void seen_once_goes_in_order(void **state)
{
	struct file f;

	file_open(&f, MIB);
	for (unsigned i = 0; i < 4; i++)
		put_block(&f, i);
	for (unsigned i = 4; i < 20; i++) {
		unsigned oldest = i;

		put_block(&f, i);
		while (is_there(&f, (oldest - 1) * 64ull))
			oldest--;
		/* The new one's memory may be free already, and counts until it is used. */
		assert_in_range(i - oldest, 2, 3);
		for (unsigned k = 0; k < oldest; k++)
			assert_false(is_there(&f, k * 64ull));
	}
	assert_int_equal(stats_of(f.arena).evicted + stats_of(f.arena).pages, 20 * 64);
	assert_int_equal(stats_of(f.arena).dropped, 0);
	file_close(&f);
}

/* The same without telling bytes. */
static void put_zeros(struct file *f, uint64_t number)
{
	static char zeros[PF_BLOCK];
	struct iovec iov = {zeros, sizeof zeros};
	struct pf__slice s = {&iov, 1, 0};

	respare(f, 1, 64);
	pf__pages_put_clean(&f->p, number * PF_BLOCK, PF_BLOCK, UINT64_MAX / 2, &s, &f->spare);
	pf__spare_put(&f->spare);
}

/* Blocks of a file, again and again: how often were they not there in the last round? */
static unsigned go_round(struct file *f, uint64_t base, unsigned n, unsigned rounds)
{
	unsigned missed = 0;

	for (unsigned round = 0; round < rounds; round++) {
		missed = 0;
		for (uint64_t i = base; i < base + n; i++) {
			if (!is_there(f, i * 64)) {
				put_zeros(f, i);
				missed++;
			}
			use(f, i * 64);
		}
	}
	return missed;
}

/* What was used again but not for long leaves as well. */
static void the_working_set_can_change(void **state)
{
	for (unsigned n = 4; n <= 12; n += 4) { /* of 16 */
		struct file f;

		file_open(&f, 4 * MIB);
		for (uint64_t base = 0; base < 300; base += 100) {
			unsigned missed = go_round(&f, base, n, 200);

			if (missed)
				fail_msg("%u blocks from %u on: %u are missing each time", n,
					 (unsigned)base, missed);
		}
		file_close(&f);
	}
}

static void fill_up(struct file *f, uint64_t from)
{
	for (unsigned i = 0; i < 12; i++)
		put_page(f, from + i * 64);
	for (unsigned i = 12; i < 24; i++) {
		struct pf__spare s = {0};

		if (pf__spare_take(&s, f->arena, 1, 64))
			return;
		pf__spare_put(&f->spare);
		f->spare = s;
		file_clean(f, (from + i * 64) * PF_PAGE, PF_BLOCK, UINT64_MAX / 2, 1);
		pf__spare_put(&f->spare);
	}
}

static void busy_blocks_never_go(void **state)
{
	struct pf__block *pinned, *mapped;
	struct pf__fill fill;
	struct pf__wb wb;
	struct file f;
	const char *at;

	file_open(&f, MIB);
	file_write(&f, 0, 10, 0, 1); /* in write-back */
	assert_true(pf__wb_begin(&f.p, 0, 10, MIB, &wb));
	file_write(&f, PF_BLOCK, 10, 0, 2); /* dirty */
	assert_int_equal(fill_begin(&f, 128, 1, 1 << 30, &fill), 1);
	put_page(&f, 192);
	at = lend_page(&f.p, 192, &pinned);
	assert_non_null(at);
	put_page(&f, 256);
	assert_err(
	    pf__pages_pin_range(&f.p, 4 * PF_BLOCK, 1, 4 * PF_BLOCK + 1, false, &f.spare, &mapped),
	    0);
	fill_up(&f, 1000 * 64);
	assert_true(stats_of(f.arena).evicted > 0);
	assert_ptr_equal(wb.iov[0].iov_base, page_memory(&f, 0));
	assert_dirty(&f, 64, 0, 10);
	assert_file(&f, PF_BLOCK, 10, 2);
	assert_int_equal(pf__pages_state(&f.p, 128), PF_PAGE_BUSY);
	assert_ptr_equal(page_memory(&f, 192), at);
	assert_file(&f, 192 * PF_PAGE, PF_PAGE, 1);
	assert_file(&f, 256 * PF_PAGE, PF_PAGE, 1);
	/* Now they may. */
	pf__wb_end(&wb, PF_WB_WRITTEN, 10);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	pf__wb_end(&wb, PF_WB_WRITTEN, 10);
	pf__fill_end(&fill, 0, -EIO, false);
	pf__pages_unpin(&f.p, pinned);
	pf__pages_unpin_range(&f.p, mapped, false);
	respare(&f, 4, 256);
	assert_int_equal(f.p.nblocks, 0);
	file_close(&f);
}

static void nothing_can_go(void **state)
{
	struct pf__wb wb;
	struct file f;
	size_t done;

	file_open(&f, MIB);
	for (unsigned i = 0; i < 4; i++) {
		respare(&f, 1, 63);
		assert_int_equal(file_put(&f, i * PF_BLOCK, PF_BLOCK - PF_PAGE, 0, 1, &done),
				 PF_PUT_DONE);
	}
	pf__spare_put(&f.spare);
	assert_err(pf__spare_take(&f.spare, f.arena, 1, 64), -ENOMEM);
	assert_err(pf__spare_take(&f.spare, f.arena, 1, 4), 0);
	assert_int_equal(file_put(&f, 9 * PF_BLOCK, 6 * PF_PAGE, 0, 1, &done), PF_PUT_SPARE);
	assert_int_equal(done, 4 * PF_PAGE);
	assert_int_equal(stats_of(f.arena).bytes, MIB);
	pf__spare_put(&f.spare);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, 1 << 20, &wb));
	pf__wb_end(&wb, PF_WB_WRITTEN, wb.length);
	assert_err(pf__spare_take(&f.spare, f.arena, 1, 63), 0);
	assert_int_equal(stats_of(f.arena).evicted, 63);
	file_close(&f);
}

static void trim_gives_memory_back(void **state)
{
	struct file f;

	file_open(&f, 8 * MIB);
	for (unsigned i = 0; i < 16; i++)
		put_block(&f, i);
	assert_int_equal(stats_of(f.arena).bytes, 4 * MIB);
	assert_int_equal(memfd_bytes(f.arena), 4 * MIB);
	pf__arena_trim(f.arena, true);
	assert_int_equal(memfd_bytes(f.arena), 4 * MIB); /* it is in use */
	pf__pages_drop(&f.p, 4 * PF_BLOCK, UINT64_MAX);
	pf__arena_trim(f.arena, false); /* somebody took some just now */
	assert_int_equal(memfd_bytes(f.arena), 4 * MIB);
	pf__clock_advance(2 * PF_NSEC_PER_SEC);
	pf__arena_trim(f.arena, false);
	assert_int_equal(stats_of(f.arena).bytes, MIB);
	assert_int_equal(memfd_bytes(f.arena), MIB);
	for (unsigned i = 0; i < 4; i++)
		assert_file(&f, i * PF_BLOCK, PF_BLOCK, 1);
	pf__pages_truncate(&f.p, 0);
	pf__arena_trim(f.arena, true);
	assert_int_equal(memfd_bytes(f.arena), 0);
	assert_int_equal(stats_of(f.arena).peak, 4 * MIB);
	file_close(&f);
}

static void positions_are_those_of_the_memfd(void **state)
{
	struct file f;

	file_open(&f, 64 * MIB);
	for (unsigned i = 0; i < 150; i++) { /* three chunks */
		char byte = 0;

		put_page(&f, i * 64ull);
		assert_int_equal(pread(pf__arena_fd(f.arena), &byte, 1,
				       (off_t)pf__block_position(pf__index_find(&f.p.index, i))),
				 1);
		assert_int_equal(byte, pattern(i * PF_BLOCK, 1));
	}
	file_close(&f);
}

static void many_files_of_a_page(void **state)
{
	enum { FILES = 2000 };
	struct file *files = calloc(FILES, sizeof *files);
	struct pf__arena *a;
	unsigned there = 0;

	assert_non_null(files);
	assert_err(pf__arena_open(&a, MIB), 0);
	for (unsigned i = 0; i < FILES; i++) {
		file_in(&files[i], a);
		put_page(&files[i], 0);
		assert_true(stats_of(a).bytes <= MIB);
	}
	assert_true(memfd_bytes(a) <= MIB);
	for (unsigned i = 0; i < FILES; i++) {
		there += is_there(&files[i], 0);
		assert_int_equal(files[i].p.nblocks, is_there(&files[i], 0));
		file_out(&files[i]);
	}
	assert_in_range(there, 128, 256);
	assert_int_equal(stats_of(a).evicted, FILES - there);
	pf__arena_trim(a, true);
	assert_int_equal(memfd_bytes(a), 0);
	pf__arena_close(a);
	free(files);
	assert_err(pf__alloc_live(), 0);
}

/* A reader holds the victims' memory as it was. */
static void readers_keep_what_they_see(void **state)
{
	struct pf__stamp stamp;
	struct file f;
	const char *at;
	size_t n;

	file_open(&f, MIB);
	put_block(&f, 0);
	pf__rcu_read_lock();
	at = pf__pages_peek(&f.p, 0, PF_BLOCK, &n, &stamp);
	assert_true(pf__pages_unchanged(&stamp));
	pf__pages_drop(&f.p, 0, 1);
	assert_false(pf__pages_unchanged(&stamp));
	assert_pattern(at, 0, n, 1);
	pf__rcu_read_unlock();
	file_close(&f);
}

static void allocations_fail(void **state)
{
	struct file f;

	file_open(&f, MIB);
	for (unsigned nth = 1;; nth++) {
		struct pf__spare s = {0};
		int r;

		pf__alloc_fail_at(nth, 1);
		r = pf__spare_take(&s, f.arena, 1, 1);
		f.spare = s;
		if (!r) {
			file_clean(&f, PF_BLOCK << 12, PF_PAGE, UINT64_MAX / 2, 1);
			pf__spare_put(&f.spare);
		}
		pf__alloc_fail_at(0, 0);
		assert_sound(&f.p);
		assert_int_equal(promised(f.arena), 0);
		if (is_there(&f, 64ull << 12))
			break;
		assert_int_equal(f.p.nblocks, 0);
		assert_true(nth < 20);
	}
	file_close(&f);
}

/* ---- threads */

static struct file crowd_files[3];

static void *crowd(void *arg)
{
	struct file *f = arg;
	uint64_t dicer = 77 + (uintptr_t)(f - crowd_files);

	for (unsigned i = 0; i < 1500; i++) {
		unsigned pages = 1 + (unsigned)dice(&dicer, 64);
		uint64_t at = dice(&dicer, 20) * PF_BLOCK;

		if (pf__spare_take(&f->spare, f->arena, 1, pages))
			continue;
		file_clean(f, at, pages * (size_t)PF_PAGE, UINT64_MAX / 2, 1);
		pf__spare_put(&f->spare);
		if (dice(&dicer, 8) == 0)
			pf__pages_drop(&f->p, at, PF_BLOCK);
		if (dice(&dicer, 64) == 0)
			pf__arena_trim(f->arena, true);
	}
	return NULL;
}

static void threads_share_it(void **state)
{
	struct pf__arena *a;
	pthread_t t[3];

	assert_err(pf__arena_open(&a, MIB), 0);
	for (unsigned i = 0; i < 3; i++) {
		file_in(&crowd_files[i], a);
		assert_int_equal(pthread_create(&t[i], NULL, crowd, &crowd_files[i]), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_true(stats_of(a).peak <= MIB);
	assert_true(memfd_bytes(a) <= MIB);
	for (unsigned i = 0; i < 3; i++)
		file_out(&crowd_files[i]);
	assert_int_equal(promised(a), 0);
	pf__arena_trim(a, true);
	assert_int_equal(stats_of(a).bytes, 0);
	assert_int_equal(memfd_bytes(a), 0);
	pf__arena_close(a);
	assert_err(pf__alloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_at_first),
	    cmocka_unit_test(spares_are_counted),
	    cmocka_unit_test(a_promise_keeps_others_out),
	    cmocka_unit_test(the_limit_is_kept),
	    cmocka_unit_test(used_again_stays_in_a_small_cache),
	    cmocka_unit_test(used_again_stays_in_a_larger_cache),
	    cmocka_unit_test(seen_once_goes_in_order),
	    cmocka_unit_test(the_working_set_can_change),
	    cmocka_unit_test(busy_blocks_never_go),
	    cmocka_unit_test(nothing_can_go),
	    cmocka_unit_test(a_full_cache_keeps_its_memory),
	    cmocka_unit_test(spares_for_a_range),
	    cmocka_unit_test(trim_gives_memory_back),
	    cmocka_unit_test(positions_are_those_of_the_memfd),
	    cmocka_unit_test(many_files_of_a_page),
	    cmocka_unit_test(readers_keep_what_they_see),
	    cmocka_unit_test(allocations_fail),
	    cmocka_unit_test(threads_share_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
