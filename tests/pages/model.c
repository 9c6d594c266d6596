/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything at random against plain arrays: what the server has, what the file's bytes are, and
 * which of them are dirty. After each step: a page that is up to date has the file's bytes, exactly
 * the bytes that should be dirty are, and the invariants hold. PF_SEED and PF_STEPS make it
 * another, or a longer one.
 */
#include "base/arith.h"
#include "pagetest.h"

#define PAGES 140
#define BYTES (PAGES * (uint64_t)PF_PAGE)
#define FILLS 3
#define WBS   2
#define PINS  3

struct span {
	unsigned lo, hi; /* of a page; hi 0: none */
};

static struct model {
	struct file f;
	uint64_t dicer;
	unsigned seed; /* of the bytes written next */
	char server[BYTES], file[BYTES];
	uint64_t server_size, size;
	struct span dirty[PAGES], wb[PAGES];
	struct {
		struct pf__fill fill;
		bool early; /* the answer was made when it began */
		char *answer;
		size_t got;
	} fills[FILLS];
	struct pf__wb wbs[WBS];
	struct {
		struct pf__block *block;
		bool map;
	} pins[PINS];
	unsigned done[16];
} m;

static uint64_t roll(uint64_t n)
{
	return dice(&m.dicer, n);
}

/* Places where something happens: few pages, mostly at the blocks' borders. */
static uint64_t some_offset(void)
{
	static const unsigned pages[] = {0, 1, 62, 63, 64, 65, 66, 127, 128, 129, 130};
	static const unsigned at[] = {0, 0, 0, 1, 100, 2048, 4095};
	uint64_t page = pages[roll(sizeof pages / sizeof pages[0])];

	return page * PF_PAGE + (roll(3) ? at[roll(7)] : roll(PF_PAGE));
}

static size_t some_length(uint64_t offset)
{
	static const unsigned len[] = {1, 50, 1000, 4095, 4096, 4096, 8192};
	size_t n = roll(3) ? len[roll(7)] : 1 + roll(5 * PF_PAGE);

	if (roll(3) == 0) /* to the end of a page */
		n = PF_PAGE - offset % PF_PAGE + PF_PAGE * roll(3);
	return (size_t)pf__min_u64(n, BYTES - offset);
}

static struct span part(uint64_t page, uint64_t from, uint64_t to)
{
	uint64_t start = page * PF_PAGE;

	if (to <= start || from >= start + PF_PAGE || from >= to)
		return (struct span){0, 0};
	return (struct span){from > start ? (unsigned)(from - start) : 0,
			     (unsigned)pf__min_u64(to - start, PF_PAGE)};
}

static void make_dirty(uint64_t from, uint64_t to)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		struct span s = part(i, from, to), *d = &m.dirty[i];

		if (s.hi && d->hi) {
			d->lo = s.lo < d->lo ? s.lo : d->lo;
			d->hi = s.hi > d->hi ? s.hi : d->hi;
		} else if (s.hi) {
			*d = s;
		}
	}
}

static bool within(const struct span *s, uint64_t offset)
{
	return s[offset / PF_PAGE].lo <= offset % PF_PAGE &&
	       offset % PF_PAGE < s[offset / PF_PAGE].hi;
}

static void forget(const struct span *s, uint64_t page)
{
	for (unsigned i = s->lo; i < s->hi; i++)
		m.file[page * PF_PAGE + i] = m.server[page * PF_PAGE + i];
}

static void grow(uint64_t end)
{
	if (end > m.size) {
		pf__pages_extend(&m.f.p, m.size);
		m.size = end;
	}
}

static void server_gets(uint64_t offset, const char *bytes, size_t n)
{
	memcpy(m.server + offset, bytes, n);
	m.server_size = pf__max_u64(m.server_size, offset + n);
}

/* ---- reading */

static void answer(unsigned i)
{
	struct pf__fill *fill = &m.fills[i].fill;
	uint64_t end = pf__min_u64(m.server_size, fill->offset + fill->length);

	m.fills[i].got = end > fill->offset ? (size_t)(end - fill->offset) : 0;
	memcpy(m.fills[i].answer, m.server + fill->offset, m.fills[i].got);
}

static void op_fill_begin(void)
{
	unsigned i = (unsigned)roll(FILLS);
	uint64_t page = some_offset() / PF_PAGE;

	if (m.fills[i].answer || page * PF_PAGE >= m.size)
		return;
	if (fill_begin(&m.f, page, 1 + (unsigned)roll(80), m.size, &m.fills[i].fill) <= 0)
		return;
	m.fills[i].answer = malloc(m.fills[i].fill.length);
	assert_non_null(m.fills[i].answer);
	m.fills[i].early = roll(2);
	if (m.fills[i].early)
		answer(i);
}

static void fill_finish(unsigned i, int error)
{
	struct pf__fill *fill = &m.fills[i].fill;
	const char *from = m.fills[i].answer;
	size_t left;

	if (!m.fills[i].answer)
		return;
	if (!m.fills[i].early)
		answer(i);
	left = m.fills[i].got;
	for (int k = 0; k < fill->niov; k++) {
		size_t n = (size_t)pf__min_u64(left, fill->iov[k].iov_len);

		memcpy(fill->iov[k].iov_base, from, n);
		from += n;
		left -= n;
	}
	pf__fill_end(fill, m.fills[i].got, error, true);
	free(m.fills[i].answer);
	m.fills[i].answer = NULL;
}

static void op_fill_end(void)
{
	fill_finish((unsigned)roll(FILLS), roll(8) ? 0 : -EIO);
}

static void read_now(uint64_t page)
{
	unsigned i = 0;

	while (i < FILLS && m.fills[i].answer)
		i++;
	if (i == FILLS)
		return;
	assert_int_equal(fill_begin(&m.f, page, 1, m.size, &m.fills[i].fill), 1);
	m.fills[i].answer = malloc(PF_PAGE);
	m.fills[i].early = false;
	fill_finish(i, 0);
}

/* ---- writing */

static void op_write(void)
{
	uint64_t offset = some_offset();
	size_t left = some_length(offset), n;

	m.seed++;
	for (unsigned rounds = 0; left && rounds < 3; rounds++) {
		enum pf__put r;

		respare(&m.f, 3, 16);
		if (offset > m.size)
			pf__pages_extend(&m.f.p, m.size);
		r = file_put(&m.f, offset, left, m.size, m.seed, &n);
		pattern_fill(m.file + offset, offset, n, m.seed);
		make_dirty(offset, offset + n);
		offset += n;
		left -= n;
		if (n)
			m.size = pf__max_u64(m.size, offset);
		if (r == PF_PUT_BUSY)
			return;
		if (r == PF_PUT_READ)
			read_now(offset / PF_PAGE);
	}
}

static void op_wb_begin(void)
{
	struct pf__wb *wb = &m.wbs[roll(WBS)];
	uint64_t from = roll(2) ? 0 : some_offset(), at;

	if (wb->pages)
		return;
	if (!pf__wb_begin(&m.f.p, from, roll(2) ? UINT64_MAX : from + some_length(from),
			  PF_PAGE * (1 + roll(20)), wb)) {
		wb->pages = NULL;
		return;
	}
	at = wb->offset;
	for (int i = 0; i < wb->niov; i++) {
		assert_memory_equal(wb->iov[i].iov_base, m.file + at, wb->iov[i].iov_len);
		at += wb->iov[i].iov_len;
	}
	assert_int_equal(at, wb->offset + wb->length);
	for (uint64_t page = wb->first; page < wb->first + wb->n; page++) {
		struct span s = part(page, wb->offset, at);

		assert_int_equal(s.lo, m.dirty[page].lo);
		assert_int_equal(s.hi, m.dirty[page].hi);
		m.wb[page] = s;
		m.dirty[page].hi = 0;
	}
}

static void wb_finish(struct pf__wb *wb, enum pf__wb_end how, size_t n)
{
	uint64_t at = wb->offset, end = wb->offset + wb->length;
	size_t left = how == PF_WB_WRITTEN ? n : 0;

	if (!wb->pages)
		return;
	for (int i = 0; i < wb->niov; i++) {
		size_t k = (size_t)pf__min_u64(left, wb->iov[i].iov_len);

		if (k)
			server_gets(at, wb->iov[i].iov_base, k);
		at += k;
		left -= k;
	}
	for (uint64_t page = wb->first; page < wb->first + wb->n; page++) {
		if (how == PF_WB_LOST)
			forget(&m.wb[page], page);
		m.wb[page].hi = 0;
	}
	if (how != PF_WB_LOST)
		make_dirty(at, end);
	pf__wb_end(wb, how, n);
	wb->pages = NULL;
}

static void op_wb_end(void)
{
	struct pf__wb *wb = &m.wbs[roll(WBS)];
	enum pf__wb_end how = roll(5) ? PF_WB_WRITTEN : roll(2) ? PF_WB_AGAIN : PF_WB_LOST;

	wb_finish(wb, how, roll(3) ? wb->length : roll(wb->length + 1));
}

static void op_forget(void)
{
	uint64_t n = 0;

	if (roll(10))
		return;
	for (uint64_t i = 0; i < PAGES; i++) {
		n += m.dirty[i].hi != 0;
		forget(&m.dirty[i], i);
		m.dirty[i].hi = 0;
	}
	assert_int_equal(pf__pages_forget_dirty(&m.f.p), n);
}

/* ---- the server's side changes */

/* The server's bytes in a range are others now. all: those that are dirty become so too. */
static void change_server(uint64_t offset, size_t n, bool all)
{
	m.seed++;
	pattern_fill(m.server + offset, offset, n, m.seed);
	m.server_size = pf__max_u64(m.server_size, offset + n);
	for (uint64_t i = offset; i < offset + n; i++)
		if (!within(m.wb, i) && (all || !within(m.dirty, i)))
			m.file[i] = m.server[i];
}

static void op_drop(void)
{
	uint64_t offset = some_offset();
	size_t n = some_length(offset);

	if (roll(2)) {
		grow(offset + n);
		change_server(offset, n, false);
	}
	pf__pages_drop(&m.f.p, offset, roll(8) ? n : UINT64_MAX);
}

static void op_clean(void)
{
	uint64_t offset = some_offset();
	size_t n = some_length(offset);

	grow(offset + n);
	change_server(offset, n, true);
	m.f.spares_missing = roll(3) == 0;
	respare(&m.f, 3, 16);
	m.f.spares_missing = false;
	file_clean(&m.f, offset, n, m.size, m.seed);
}

/* Would a write past the cache leave dirty bytes on both sides of it? Who writes waits for those
 * first. */
static bool in_the_middle(uint64_t offset, uint64_t end)
{
	for (uint64_t i = offset / PF_PAGE; i <= end / PF_PAGE && i < PAGES; i++) {
		struct span s = part(i, offset, end), d = m.dirty[i];

		if (s.hi && d.hi && s.lo > d.lo && s.hi < d.hi)
			return true;
	}
	return false;
}

static void op_overtake(void)
{
	uint64_t offset = some_offset();
	size_t n = some_length(offset);

	if (in_the_middle(offset, offset + n) ||
	    pf__pages_busy_writing(&m.f.p, offset, offset + n, false))
		return;
	grow(offset + n);
	change_server(offset, n, true);
	for (uint64_t i = 0; i < PAGES; i++) {
		struct span s = part(i, offset, offset + n), *d = &m.dirty[i];

		if (!s.hi || !d->hi || s.hi <= d->lo || s.lo >= d->hi)
			continue;
		if (s.lo <= d->lo)
			d->lo = s.hi;
		else
			d->hi = s.lo;
		if (d->lo >= d->hi)
			d->hi = 0;
	}
	pf__pages_drop_overtaken(&m.f.p, offset, n);
}

static void op_truncate(void)
{
	uint64_t size = some_offset();

	if (roll(4) || pf__pages_busy_writing(&m.f.p, size, UINT64_MAX, false))
		return;
	for (uint64_t i = 0; i < PAGES; i++) {
		struct span keep = part(i, 0, size), *d = &m.dirty[i];

		if (d->hi > keep.hi)
			d->hi = d->lo < keep.hi ? keep.hi : 0;
	}
	if (size > m.size)
		pf__pages_extend(&m.f.p, m.size);
	pf__pages_truncate(&m.f.p, size);
	memset(m.file + size, 0, BYTES - size);
	memset(m.server + size, 0, BYTES - size);
	m.size = m.server_size = size;
}

/* ---- memory */

static void op_pin(void)
{
	unsigned i = (unsigned)roll(PINS);
	uint64_t page = some_offset() / PF_PAGE;

	if (m.pins[i].block && m.pins[i].map)
		pf__pages_unpin_range(&m.f.p, m.pins[i].block, false);
	else if (m.pins[i].block)
		pf__pages_unpin(&m.f.p, m.pins[i].block);
	m.pins[i].block = NULL;
	m.pins[i].map = roll(2);
	if (m.pins[i].map)
		respare(&m.f, 1, 4);
	if (m.pins[i].map)
		(void)pf__pages_pin_range(&m.f.p, page * PF_PAGE, 1 + roll(PF_PAGE), m.size, false,
					  &m.f.spare, &m.pins[i].block);
	else
		(void)lend_page(&m.f.p, page, &m.pins[i].block);
}

/* All that can go goes. */
static void op_evict(void)
{
	struct pf__spare s = {0};

	pf__spare_put(&m.f.spare);
	if (!pf__spare_take(&s, m.f.arena, PF_SPARES, 2 * 256 - 1 - (unsigned)roll(300)))
		pf__spare_put(&s);
	if (roll(4) == 0)
		pf__arena_trim(m.f.arena, true);
}

/* ---- */

static void compare(void)
{
	uint64_t ndirty = 0;

	assert_sound(&m.f.p);
	for (uint64_t i = 0; i < PAGES; i++) {
		const char *expect = m.file + i * PF_PAGE;
		unsigned lo = 0, hi = 0;
		size_t n;
		const char *at = file_peek(&m.f, i * PF_PAGE, PF_PAGE, &n);

		if (at && memcmp(at, expect, PF_PAGE))
			fail_msg("page %u is not what it should be", (unsigned)i);
		if (dirty_range(&m.f, i, &lo, &hi) != (m.dirty[i].hi != 0))
			fail_msg("page %u: dirty %u..%u", (unsigned)i, lo, hi);
		if (!hi)
			continue;
		ndirty++;
		assert_int_equal(lo, m.dirty[i].lo);
		assert_int_equal(hi, m.dirty[i].hi);
		if (memcmp(page_memory(&m.f, i) + lo, expect + lo, hi - lo))
			fail_msg("page %u has wrong dirty bytes", (unsigned)i);
	}
	assert_int_equal(m.f.p.ndirty, ndirty);
}

static void finish(void)
{
	for (unsigned i = 0; i < FILLS; i++)
		fill_finish(i, 0);
	for (unsigned i = 0; i < WBS; i++)
		wb_finish(&m.wbs[i], PF_WB_WRITTEN, m.wbs[i].length);
	while (pf__wb_begin(&m.f.p, 0, UINT64_MAX, MIB, &m.wbs[0])) {
		for (uint64_t i = 0; i < PAGES; i++)
			if (i >= m.wbs[0].first && i < m.wbs[0].first + m.wbs[0].n)
				m.dirty[i].hi = 0;
		wb_finish(&m.wbs[0], PF_WB_WRITTEN, m.wbs[0].length);
	}
	m.wbs[0].pages = NULL;
	for (unsigned i = 0; i < PINS; i++)
		if (m.pins[i].block && m.pins[i].map)
			pf__pages_unpin_range(&m.f.p, m.pins[i].block, false);
		else if (m.pins[i].block)
			pf__pages_unpin(&m.f.p, m.pins[i].block);
	compare();
	assert_memory_equal(m.server, m.file, BYTES);
}

static const struct {
	const char *name;
	void (*run)(void);
	unsigned weight;
} ops[] = {
    {"write", op_write, 8},       {"fill_begin", op_fill_begin, 5},
    {"fill_end", op_fill_end, 6}, {"wb_begin", op_wb_begin, 3},
    {"wb_end", op_wb_end, 4},     {"forget", op_forget, 1},
    {"drop", op_drop, 2},         {"clean", op_clean, 2},
    {"overtake", op_overtake, 2}, {"truncate", op_truncate, 2},
    {"pin", op_pin, 2},           {"evict", op_evict, 1},
};

static unsigned some_op(void)
{
	unsigned sum = 0, n = sizeof ops / sizeof ops[0], at;

	for (unsigned i = 0; i < n; i++)
		sum += ops[i].weight;
	at = (unsigned)roll(sum);
	for (unsigned i = 0; i < n; i++) {
		if (at < ops[i].weight)
			return i;
		at -= ops[i].weight;
	}
	return 0;
}

static void as_plain_arrays(void **state)
{
	const char *s = getenv("PF_STEPS");
	unsigned steps = s ? (unsigned)strtoul(s, NULL, 0) : 3000, seed = random_seed();

	for (unsigned round = 0; round < 4; round++) {
		memset(&m, 0, sizeof m);
		m.dicer = seed + round;
		file_open(&m.f, 2 * MIB);
		for (unsigned i = 0; i < steps; i++) {
			unsigned op = some_op();

			if (getenv("PF_TRACE"))
				print_message("%u %s\n", i, ops[op].name);
			ops[op].run();
			compare();
		}
		finish();
		file_close(&m.f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(as_plain_arrays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
