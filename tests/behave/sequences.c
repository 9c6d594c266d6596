// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sequences of reads, writes and truncations that went wrong somewhere once: each read is compared
 * with what plain memory would hold, and at the end so is what the server has. Each runs on all
 * paths, with readahead in the background and without, and with small and large WRITEs.
 */
#include "tests/behave/cached.h"

#define ROOM MIB

enum path { DIRECT, THROUGH, BACK };

struct seq {
	struct mock *m;
	struct mock_data *d;
	struct pf_file *f;
	enum path path;
	bool async;
	uint32_t max_write, minor;
	unsigned char *want; /* as the file should be */
	size_t size;
	unsigned seed;
	char what[64]; /* the instance, for failures */
};

static void begin(struct seq *s)
{
	struct mock_options o = {.minor = s->minor,
				 .flags = FUSE_BIG_WRITES | (s->async ? FUSE_ASYNC_READ : 0) |
					  (s->path == BACK ? FUSE_WRITEBACK_CACHE : 0),
				 .init = {.max_write = s->max_write}};

	s->m = mock_start(&o);
	s->d = mock_data_new(s->m, "foo", 42, 0, ROOM);
	mock_data_writable(s->d);
	s->d->loose = true; /* its size may be behind ours */
	s->d->open_flags = s->path == DIRECT ? FOPEN_DIRECT_IO : 0;
	s->want = calloc(1, ROOM);
	s->size = 0;
	snprintf(s->what, sizeof(s->what), "path %d, async %d, max_write %u, minor %u", s->path,
		 s->async, s->max_write, s->minor);
	ok(pf_open(s->m->fs, "foo", O_RDWR, 0, &s->f));
}

static void compare(struct seq *s, const unsigned char *got, size_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (got[i] != s->want[off + i])
			fail_msg("%s: byte %#zx is %#x, not %#x", s->what, off + i, got[i],
				 s->want[off + i]);
}

static void end(struct seq *s)
{
	ok(pf_close(s->f));
	if (s->d->size != s->size)
		fail_msg("%s: the server has %#" PRIx64 " bytes, not %#zx", s->what, s->d->size,
			 s->size);
	compare(s, s->d->bytes, 0, s->size);
	mock_end(s->m);
	free(s->want);
}

static void fresh_bytes(struct seq *s, unsigned char *buf, size_t len)
{
	s->seed++;
	for (size_t i = 0; i < len; i++)
		buf[i] = mock_data_byte(s->seed, i);
}

static void grown(struct seq *s, size_t end)
{
	if (end > s->size)
		s->size = end;
}

static void write_at(struct seq *s, size_t off, size_t len)
{
	ssize_t n;

	fresh_bytes(s, s->want + off, len);
	n = pf_pwrite(s->f, s->want + off, len, off);
	if (n != (ssize_t)len)
		fail_msg("%s: writing %#zx at %#zx gave %zd", s->what, len, off, n);
	grown(s, off + len);
}

static void read_at(struct seq *s, size_t off, size_t len)
{
	unsigned char *buf = malloc(len);
	ssize_t n;

	memset(buf, 0xee, len);
	n = pf_pread(s->f, buf, len, off);
	if (n != (ssize_t)len)
		fail_msg("%s: reading %#zx at %#zx gave %zd", s->what, len, off, n);
	compare(s, buf, off, len);
	free(buf);
}

static void truncate_to(struct seq *s, size_t size)
{
	ok(pf_ftruncate(s->f, size));
	if (size < s->size)
		memset(s->want + size, 0, s->size - size);
	s->size = size;
}

/* Through a shared mapping, inside the file; without mappings by writing. */
static void map_write(struct seq *s, size_t off, size_t len)
{
	size_t from = off / PAGE * PAGE;
	struct pf_mapping *map;

	if (s->path == DIRECT) {
		write_at(s, off, len);
		return;
	}
	ok(pf_mmap(s->f, off + len - from, PROT_READ | PROT_WRITE, MAP_SHARED, from, &map));
	fresh_bytes(s, s->want + off, len);
	memcpy((char *)pf_mapping_address(map) + (off - from), s->want + off, len);
	ok(pf_munmap(map));
}

static void copy(struct seq *s, size_t from, size_t to, size_t len)
{
	off_t in = from, out = to;

	assert_int_equal(pf_copy_file_range(s->f, &in, s->f, &out, len, 0), len);
	memmove(s->want + to, s->want + from, len);
	grown(s, to + len);
}

static void on_all_paths(void (*run)(struct seq *s))
{
	static const uint32_t sizes[] = {4 * KIB, 64 * KIB, 128 * KIB};

	for (int k = 0; k < 18; k++) {
		struct seq s = {
		    .path = k % 3, .async = k / 3 % 2, .max_write = sizes[k / 6], .minor = 28};

		begin(&s);
		run(&s);
		end(&s);
	}
}

/* ---- the sequences */

/* The tail of the last dirty page reads as zeros when the file grows. */
static void run_extend_from_dirty_page(struct seq *s)
{
	write_at(s, 0x21a0, 0xf0a8);
	truncate_to(s, 0x28702);
	read_at(s, 0xb284, 0x9b22);
}

static void run_extend_by_mapwrite(struct seq *s)
{
	truncate_to(s, 0x29a3a + 0x849e);
	map_write(s, 0x29a3a, 0x849e);
	truncate_to(s, 0x3c7d8 + 0x3994);
	map_write(s, 0x3c7d8, 0x3994);
	read_at(s, 0x30c16, 0xf556);
}

/* What holds the old end stays right when the file grows behind a gap. */
static void run_last_page(struct seq *s)
{
	write_at(s, 0x1134f, 0xcc77);
	write_at(s, 0x2096a, 0xdfa7);
	read_at(s, 0x1a3aa, 0xb5b7);
}

/* From a hole that was never written into what is only partly cached. */
static void run_read_hole(struct seq *s)
{
	write_at(s, 0x160c5, 0xa996);
	read_at(s, 0x472e, 0xd8d5);
}

/* No old data, and nothing written beyond the end. */
static void run_truncate_into_dirty(struct seq *s)
{
	write_at(s, 0x3bad7, 0x4529);
	write_at(s, 0xc30d, 0x5f77);
	truncate_to(s, 0x10916);
	read_at(s, 0xdf17, 0x29ff);
	truncate_to(s, 0x152b4);
}

/* A page is shrunk into and grown over again and again. */
static void run_breathe(struct seq *s)
{
	write_at(s, 0, 3 * PAGE);
	for (int i = 1; i < 12; i++) {
		truncate_to(s, 3 * PAGE - i * 1000);
		truncate_to(s, 4 * PAGE - i);
		read_at(s, 0, 4 * PAGE - i);
	}
}

/* Overlapping writes smaller than pages, read between. */
static void run_patchwork(struct seq *s)
{
	for (int i = 0; i < 60; i++) {
		write_at(s, i * 7919 % 20000, 1 + i * 613 % 5000);
		if (i % 3 == 0)
			read_at(s, s->size / 3, s->size / 2);
		if (i % 7 == 0)
			ok(pf_fsync(s->f, 0));
		if (i % 11 == 0)
			ok(pf_drop_caches(s->m->fs));
	}
	read_at(s, 0, s->size);
}

static void run_copy_dirty(struct seq *s)
{
	truncate_to(s, 0x6000);
	map_write(s, 0, 0x3000);
	copy(s, 0, 0x3000, 0x3000);
	read_at(s, 0x3000, 0x3000);
	write_at(s, 0x2ff0, 0x20);
	copy(s, 0x2f00, 0x5f00, 0x1000);
	read_at(s, 0, s->size);
}

static void extend_from_dirty_page(void **state)
{
	on_all_paths(run_extend_from_dirty_page);
}

static void extend_by_mapwrite(void **state)
{
	on_all_paths(run_extend_by_mapwrite);
}

static void last_page(void **state)
{
	on_all_paths(run_last_page);
}

static void read_hole_from_cached_block(void **state)
{
	on_all_paths(run_read_hole);
}

static void truncate_into_dirty_buffer(void **state)
{
	on_all_paths(run_truncate_into_dirty);
}

static void breathe(void **state)
{
	on_all_paths(run_breathe);
}

static void patchwork(void **state)
{
	on_all_paths(run_patchwork);
}

static void copy_of_dirty_data(void **state)
{
	on_all_paths(run_copy_dirty);
}

/* Minor 27 has no such request: reads and writes do it; 45 has a newer one. */
static void copy_from_mapped_write(void **state)
{
	static const uint32_t minors[] = {27, 28, 45};

	for (int k = 0; k < 9; k++) {
		struct seq s = {
		    .path = k % 3, .async = true, .max_write = 64 * KIB, .minor = minors[k / 3]};

		begin(&s);
		truncate_to(&s, 0x1000);
		map_write(&s, 0, 0x1000);
		copy(&s, 0, 0x1000, 0x1000);
		read_at(&s, 0x1000, 0x1000);
		end(&s);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(extend_from_dirty_page),
	    timed(extend_by_mapwrite),
	    timed(last_page),
	    timed(read_hole_from_cached_block),
	    timed(truncate_into_dirty_buffer),
	    timed(breathe),
	    timed(patchwork),
	    timed(copy_of_dirty_data),
	    timed(copy_from_mapped_write),
	};

	return run_cached_tests(argc, argv, tests);
}
