// SPDX-License-Identifier: BSD-2-Clause
/*
 * A session that writes through the cache (writes, a read into a dirty page, fsync, truncate,
 * close), spoilt at every message and every allocation. What was acknowledged arrives, or some call
 * tells that it did not; each call returns within the deadline; memory comes back.
 */
#include "tests/behave/writes.h"

#include "base/alloc.h"
#include "base/rcu.h"

#define LOST_MS     100
#define PATIENCE_MS 20000 /* for a busy machine; what hangs does so for ever */
#define ALARM_S     120
#define ROOM        65536

struct play {
	struct mock *m;
	struct wdata *w;
	unsigned char *data; /* what the file must be */
	size_t size;
	bool told; /* a call failed */
};

static bool good(struct play *p, const char *what, long r, long want, uint64_t since)
{
	if (pf__now() - since > PATIENCE_MS * MS)
		fail_msg("%s took %" PRIu64 " ms", what, (pf__now() - since) / MS);
	if (r == want)
		return true;
	if (r < -4095)
		fail_msg("%s gave %ld", what, r);
	p->told = true;
	return false;
}

/* The result of a call, judged. */
#define TRY(p, call, want)                                                                         \
	({                                                                                         \
		uint64_t try_since = pf__now();                                                    \
		good(p, #call, (call), (want), try_since);                                         \
	})

static void put(struct play *p, struct pf_file *f, int turn, size_t at, size_t len)
{
	unsigned char *bytes = bytes_of(turn, at, len);

	if (TRY(p, pf_pwrite(f, bytes, len, at), (long)len)) {
		memcpy(p->data + at, bytes, len);
		if (at + len > p->size)
			p->size = at + len;
	}
	free(bytes);
}

static void session(struct play *p)
{
	struct pf_file *f = NULL;
	char buf[100];

	if (!TRY(p, pf_open(p->m->fs, "foo", O_RDWR, 0, &f), 0))
		return;
	put(p, f, 1, 10, 100);
	put(p, f, 2, 5000, 9000);
	put(p, f, 3, 1000, 50); /* apart in the first page: its rest is needed */
	TRY(p, pf_pread(f, buf, 100, 0), 100);
	TRY(p, pf_fsync(f, 0), 0);
	put(p, f, 4, 12000, 9000);
	if (TRY(p, pf_ftruncate(f, 13000), 0)) {
		memset(p->data + 13000, 0, ROOM - 13000);
		p->size = 13000;
	}
	put(p, f, 5, 20000, 10);
	TRY(p, pf_close(f), 0);
}

struct before {
	int64_t blocks;
	int fds;
};

static struct before measure(void)
{
	pf__rcu_barrier();
	return (struct before){pf__alloc_live(), mock_open_fds()};
}

static void set_up(struct play *p, bool writeback, const char *faults)
{
	struct how h = {.writeback = writeback, .max_write = 8192};
	struct mock_options o = options_of(&h);

	o.pf.faults = faults;
	/* Where nothing is lost, no deadline may pass, however busy the machine is. */
	o.pf.request_timeout_ms = faults ? LOST_MS : PATIENCE_MS;
	o.pf.start_timeout_ms = o.pf.request_timeout_ms;
	o.lookup_leak = true;
	p->m = mock_new(&o);
	p->w = wdata_new(p->m, "foo", FOO, 4096);
	p->data = calloc(1, ROOM);
	p->size = 4096;
	for (size_t i = 0; i < p->size; i++)
		p->data[i] = wdata_byte(i);
}

static uint64_t requests(const struct play *p)
{
	uint64_t n = 0;

	for (uint32_t op = 0; op < 64; op++)
		n += mock_count(p->m, op);
	return n;
}

/* One whole life. exact: replies are not altered, so that contents can be compared. */
static uint64_t live(bool writeback, const char *faults, uint64_t alloc_at, bool exact)
{
	struct before before = measure(), after;
	struct play p = {0};
	uint64_t n;

	set_up(&p, writeback, faults);
	if (alloc_at)
		pf__alloc_fail_at(alloc_at, 0);
	if (TRY(&p, mock_attach(p.m), 0))
		session(&p);
	if (p.m->fs)
		TRY(&p, pf_stop(p.m->fs), 0);
	p.m->fs = NULL;
	if (alloc_at)
		pf__alloc_fail_at(0, 0);
	n = requests(&p);
	p.m->errors[0] = 0; /* what reached the server was spoilt on purpose */
	mock_end(p.m);
	if (!p.told && exact)
		wdata_assert(p.w, p.data, p.size);
	if (!faults && !alloc_at)
		assert_false(p.told);
	wdata_free(p.w);
	free(p.data);
	after = measure();
	if (after.blocks != before.blocks || after.fds != before.fds)
		fail_msg("%s, allocation %" PRIu64 ": %" PRId64
			 " blocks and %d descriptors are left",
			 faults ? faults : "no faults", alloc_at, after.blocks - before.blocks,
			 after.fds - before.fds);
	return n;
}

static uint64_t steps[2]; /* requests of an unspoilt session, without and with write-back */

static int unspoilt(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		live(wb, NULL, 0, true); /* first time: what the process keeps for ever */
		steps[wb] = live(wb, NULL, 0, true);
		assert_true(steps[wb] > 5);
	}
	return 0;
}

static void each_message(const char *format, bool exact)
{
	char plan[64];

	for (int wb = 0; wb < 2; wb++)
		for (uint64_t n = 1; n <= steps[wb] + 1; n++) {
			snprintf(plan, sizeof(plan), format, (int)n);
			alarm(ALARM_S);
			live(wb, plan, 0, exact);
		}
}

static void lost(void **state)
{
	each_message("drop=%d", true);
}

static void lost_on_the_way(void **state)
{
	each_message("tx-drop=%d", true);
}

static void cut(void **state)
{
	each_message("seed=7,short=%d", false);
}

static void doubled(void **state)
{
	each_message("dup=%d", true);
}

static void delayed(void **state)
{
	each_message("delay=%d:20", true);
}

static void reordered(void **state)
{
	each_message("reorder=%d", true);
}

static void corrupted(void **state)
{
	for (int seed = 1; seed <= 3; seed++) {
		char format[32];

		snprintf(format, sizeof(format), "seed=%d,corrupt=%%d", seed);
		each_message(format, false);
	}
}

static void disconnected(void **state)
{
	each_message("disconnect=%d", true);
	each_message("tx-disconnect=%d", true);
}

static void allocations(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		uint64_t most;

		pf__alloc_fail_at(0, 0);
		live(wb, NULL, 0, true);
		most = pf__alloc_count();
		assert_true(most > 5);
		for (uint64_t n = 1; n <= most + 2; n++) {
			alarm(ALARM_S);
			live(wb, NULL, n, true);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(lost),      write_test(lost_on_the_way), write_test(cut),
	    write_test(doubled),   write_test(delayed),         write_test(reordered),
	    write_test(corrupted), write_test(disconnected),    write_test(allocations),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, unspoilt, NULL);
}
