/* SPDX-License-Identifier: BSD-2-Clause */
/* INTERRUPT: who sends it, how often, and what the server's answers do. */
#include "tests/conn/peer.h"
#include "tests/unit.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct script {
	struct fuse_in_header target; /* the GETATTR that is kept */
	_Atomic unsigned asked, interrupts;
	int answer_first; /* to the first INTERRUPT; 0 nothing */
	int finish_at;    /* the INTERRUPT at which the target is answered, with finish */
	int finish;       /* errno (negative), 0: success */
	uint64_t wrong;
};

static void finish(struct peer *p, struct script *s)
{
	if (s->finish)
		peer_reply(p, s->target.unique, s->finish, NULL, 0);
	else
		peer_default(p, &s->target, NULL);
}

static bool play(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct script *s = p->ctx;
	const struct fuse_interrupt_in *in = arg;
	unsigned n;

	if (h->opcode == FUSE_GETATTR && h->nodeid < 1000) {
		s->target = *h;
		atomic_fetch_add(&s->asked, 1);
		return true;
	}
	if (h->opcode != FUSE_INTERRUPT)
		return false;
	if (h->unique != (in->unique | 1) || h->nodeid || h->uid || h->gid || h->pid)
		s->wrong++;
	n = s->interrupts + 1;
	if (n == 1 && s->answer_first)
		peer_reply(p, h->unique, s->answer_first, NULL, 0);
	/* Before what ends the request: whoever waits for either must find both. */
	atomic_store(&s->interrupts, n);
	if ((int)n == s->finish_at)
		finish(p, s);
	return true;
}

static void on_signal(int sig)
{
}

struct asker {
	pthread_t thread;
	struct peer *p;
	uint64_t nodeid;
	unsigned marks;
	const void *group;
	_Atomic unsigned ended;
	int result;
};

static void *ask(void *arg)
{
	struct asker *a = arg;
	struct fuse_getattr_in in;
	struct fuse_attr_out out;
	struct pf__req req = getattr_req(a->nodeid, &in, &out);

	req.marks = a->marks;
	req.group = a->group;
	a->result = pf__request(a->p->conn, &req);
	atomic_store(&a->ended, 1);
	return NULL;
}

static void start(struct asker *a, struct peer *p, struct script *s)
{
	unsigned n = s->asked;

	a->p = p;
	assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
	wait_for(&s->asked, n + 1);
}

/* Until the server has seen n INTERRUPTs. A signal that comes before the thread sleeps is lost to
 * it, as with any system call, so repeat. */
static void signal_until(struct asker *a, _Atomic unsigned *n, unsigned least)
{
	for (int i = 0; atomic_load(n) < least && !a->ended && i < 500; i++) {
		pthread_kill(a->thread, SIGUSR1);
		poll(NULL, 0, 10);
	}
	assert_true(atomic_load(n) >= least);
}

static void test_signal(void **state)
{
	struct script s = {.finish_at = 1, .finish = -EINTR};
	struct asker a = {.nodeid = 1};
	struct pf__conn_stats st;
	struct peer p;

	peer_init(&p, play, &s);
	peer_open(&p);
	start(&a, &p, &s);
	signal_until(&a, &s.interrupts, 1);
	pthread_join(a.thread, NULL);
	assert_err(a.result, -EINTR);
	assert_int_equal(s.wrong, 0);
	pf__conn_stats(p.conn, &st);
	assert_int_equal(st.interrupts, 1);
	peer_end(&p);
}

/* The server ignores it, and the caller signals again and again: one INTERRUPT, and success. */
static void test_ignored(void **state)
{
	struct script s = {0};
	struct asker a = {.nodeid = 1};
	struct peer p;

	peer_init(&p, play, &s);
	peer_open(&p);
	start(&a, &p, &s);
	signal_until(&a, &s.interrupts, 1);
	for (int i = 0; i < 5; i++) {
		pthread_kill(a.thread, SIGUSR1);
		poll(NULL, 0, 5);
	}
	finish(&p, &s);
	pthread_join(a.thread, NULL);
	assert_err(a.result, 0);
	assert_int_equal(s.interrupts, 1);
	peer_end(&p);
}

static void test_too_soon(void **state)
{
	struct script s = {.answer_first = -EAGAIN, .finish_at = 2, .finish = -EINTR};
	struct asker a = {.nodeid = 1};
	struct peer p;

	peer_init(&p, play, &s);
	peer_open(&p);
	start(&a, &p, &s);
	signal_until(&a, &s.interrupts, 1);
	pthread_join(a.thread, NULL);
	assert_err(a.result, -EINTR);
	assert_int_equal(s.interrupts, 2);
	peer_end(&p);
}

static void test_enosys(void **state)
{
	struct script s = {.answer_first = -ENOSYS};
	struct asker a = {.nodeid = 1}, b = {.nodeid = 2};
	struct peer p;

	peer_init(&p, play, &s);
	peer_open(&p);
	start(&a, &p, &s);
	signal_until(&a, &s.interrupts, 1);
	finish(&p, &s);
	pthread_join(a.thread, NULL);
	assert_err(a.result, 0);
	start(&b, &p, &s);
	for (int i = 0; i < 5; i++) {
		pthread_kill(b.thread, SIGUSR1);
		poll(NULL, 0, 5);
	}
	finish(&p, &s);
	pthread_join(b.thread, NULL);
	assert_err(b.result, 0);
	assert_int_equal(s.interrupts, 1);
	peer_end(&p);
}

/* The request is answered before the INTERRUPT; the late EAGAIN means nothing. */
static void test_already_complete(void **state)
{
	struct script s = {0};
	struct asker a = {.nodeid = 1};
	struct peer p;

	peer_init(&p, play, &s);
	peer_open(&p);
	start(&a, &p, &s);
	signal_until(&a, &s.interrupts, 1);
	finish(&p, &s);
	peer_reply(&p, s.target.unique | 1, -EAGAIN, NULL, 0);
	pthread_join(a.thread, NULL);
	assert_err(a.result, 0);
	assert_err(ask_getattr(p.conn, 1000), 0);
	assert_int_equal(s.interrupts, 1);
	peer_end(&p);
}

static void never(unsigned marks)
{
	struct script s = {0};
	struct asker a = {.nodeid = 1, .marks = marks};
	struct peer p;

	peer_init(&p, play, &s);
	peer_open(&p);
	start(&a, &p, &s);
	for (int i = 0; i < 5; i++) {
		pthread_kill(a.thread, SIGUSR1);
		poll(NULL, 0, 5);
	}
	finish(&p, &s);
	pthread_join(a.thread, NULL);
	assert_err(a.result, 0);
	assert_int_equal(s.interrupts, 0);
	peer_end(&p);
}

static void test_never(void **state)
{
	never(PF_REQ_NOINTR);
	never(PF_REQ_FORCE);
}

/* A group is interrupted, and only it; leader and follower alike. */
static void test_group(void **state)
{
	struct script s = {0};
	int mine, others;
	struct asker a[4] = {{.nodeid = 1, .group = &mine},
			     {.nodeid = 2, .group = &others},
			     {.nodeid = 3, .group = &mine},
			     {.nodeid = 4, .group = &others}};
	struct fuse_in_header targets[4];
	struct peer p;

	peer_init(&p, play, &s);
	peer_open(&p);
	for (int i = 0; i < 4; i++) {
		start(&a[i], &p, &s);
		targets[i] = s.target;
	}
	assert_int_equal(pf__conn_interrupt(p.conn, &mine), 2);
	assert_int_equal(pf__conn_interrupt(p.conn, &mine), 0);
	wait_for(&s.interrupts, 2);
	for (int i = 0; i < 4; i++)
		peer_default(&p, &targets[i], NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(a[i].thread, NULL);
	assert_int_equal(s.interrupts, 2);
	assert_int_equal(s.wrong, 0);
	peer_end(&p);
}

/* ---- not yet sent: the server does not read, the socket is full */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned taken; /* WRITEs that the server has read */

static bool stuck(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	if (h->opcode == FUSE_WRITE) {
		atomic_fetch_add(&taken, 1);
		pthread_mutex_lock(&gate);
		pthread_mutex_unlock(&gate);
	}
	return false;
}

static void write_done(struct pf__req *req)
{
	atomic_fetch_add((_Atomic unsigned *)req->done_ctx, 1);
}

static void test_unsent(void **state)
{
	static struct pf__req w[200];
	static struct fuse_write_in in = {.size = 128 << 10};
	static struct fuse_write_out out;
	int group;
	char *data = calloc(1, 128 << 10);
	_Atomic unsigned ended = 0;
	struct asker a = {.nodeid = 5, .group = &group};
	struct peer p;

	pthread_mutex_lock(&gate);
	peer_init(&p, stuck, NULL);
	p.config.max_background = 200;
	peer_open(&p);
	for (int i = 0; i < 200; i++) {
		w[i] = (struct pf__req){.opcode = FUSE_WRITE, .nodeid = 9, .done = write_done};
		pf__req_in(&w[i], &in, sizeof(in));
		pf__req_in(&w[i], data, 128 << 10);
		pf__req_out(&w[i], &out, sizeof(out));
		w[i].done_ctx = &ended;
		pf__request_background(p.conn, &w[i]);
		/* What it reads later would make room for the request that must not be sent. */
		if (i == 0)
			wait_for(&taken, 1);
	}
	a.p = &p;
	pthread_create(&a.thread, NULL, ask, &a);
	for (int i = 0; !a.ended && i < 1000; i++) {
		pf__conn_interrupt(p.conn, &group);
		poll(NULL, 0, 5);
	}
	pthread_join(a.thread, NULL);
	assert_err(a.result, -EINTR);
	pthread_mutex_unlock(&gate);
	wait_for(&ended, 200);
	assert_int_equal(p.seen[FUSE_GETATTR] + p.seen[FUSE_INTERRUPT], 0);
	free(data);
	peer_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_signal),
	    cmocka_unit_test(test_ignored),
	    cmocka_unit_test(test_too_soon),
	    cmocka_unit_test(test_enosys),
	    cmocka_unit_test(test_already_complete),
	    cmocka_unit_test(test_never),
	    cmocka_unit_test(test_group),
	    cmocka_unit_test(test_unsent),
	};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigaction(SIGUSR1, &sa, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
