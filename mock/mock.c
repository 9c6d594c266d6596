// SPDX-License-Identifier: BSD-2-Clause
/* Start and end of a scripted server, and what a test asks it. */
#include "mock/mock.h"
#include "base/arith.h"
#include "io/backing.h"
#include "proto/proto.h"
#include "transport/transport.h"
#include "vfs/super.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TICK_MS 100

static void *serve(void *arg)
{
	struct mock *m = arg;
	size_t size = 2 << 20;
	char *buf = malloc(size);
	ssize_t n;

	while ((n = recv(m->fd, buf, size, 0)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			mock_dispatch(m, buf, n);
	free(buf);
	return NULL;
}

static void inproc_request(void *ctx, struct pf_inproc *channel, const void *msg, size_t len)
{
	struct mock *m = ctx;

	pthread_mutex_lock(&m->lock);
	if (!m->hung_up)
		m->channel = channel;
	pthread_mutex_unlock(&m->lock);
	mock_dispatch(m, msg, len);
}

static void inproc_gone(void *ctx)
{
	struct mock *m = ctx;

	pthread_mutex_lock(&m->lock);
	m->hung_up = true;
	pthread_mutex_unlock(&m->lock);
}

/* What a launcher is for a launched server. */
static struct pf__backings *backings_of(void *owner)
{
	return ((struct mock *)owner)->backings;
}

static const struct pf__owner_ops owner_ops = {.backings = backings_of};

static int attach(struct mock *m, struct pf__transport *t, const struct pf_options *pf)
{
	m->backings = pf__backings_new();
	return pf__super_open(&m->fs, t, pf, NULL, &owner_ops, m);
}

int mock_backing_open(struct mock *m, int fd)
{
	return pf__backings_add(m->backings, fd, true);
}

int mock_backing_open_weak(struct mock *m, int fd)
{
	return pf__backings_add(m->backings, fd, false);
}

int mock_backing_close(struct mock *m, int id)
{
	return pf__backings_remove(m->backings, id);
}

static int attach_socket(struct mock *m, const struct pf_options *pf)
{
	int sv[2], size = 4 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	for (int i = 0; i < 2; i++)
		setsockopt(sv[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	m->fd = sv[1];
	assert_int_equal(pthread_create(&m->thread, NULL, serve, m), 0);
	m->thread_started = true;
	if (m->o.passthrough) {
		struct pf__transport *t;
		int r = pf__super_transport(&t, sv[0], 0, pf);

		return r ? r : attach(m, t, pf);
	}
	return pf_attach(&m->fs, sv[0], pf);
}

struct mock *mock_new(const struct mock_options *o)
{
	struct mock *m = calloc(1, sizeof(*m));

	if (o)
		m->o = *o;
	m->fd = -1;
	m->minor_effective = m->o.minor ? m->o.minor : FUSE_MINOR;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->cond, NULL);
	pf__list_init(&m->expects);
	pf__list_init(&m->kept);
	return m;
}

int mock_attach(struct mock *m)
{
	static const struct pf_inproc_ops ops = {inproc_request, inproc_gone};
	struct pf_options pf = PF_OPTIONS_INIT;
	const char *env = getenv("MOCK_INPROC");

	if (m->o.pf_set)
		pf = m->o.pf;
	if (m->o.passthrough && (m->o.inproc || (env && *env == '1'))) {
		struct pf__transport *t;
		int r = pf__transport_inproc(&t, &ops, m, TICK_MS, NULL);

		return r ? r : attach(m, t, &pf);
	}
	if (m->o.inproc || (env && *env == '1'))
		return pf_attach_inproc(&m->fs, &ops, m, &pf);
	return attach_socket(m, &pf);
}

struct mock *mock_start(const struct mock_options *o)
{
	struct mock *m = mock_new(o);
	int r = mock_attach(m);

	if (r != m->o.expect_attach)
		fail_msg("attaching gave %d (%s), not %d", r, pf_error(), m->o.expect_attach);
	return m;
}

void mock_hang_up(struct mock *m)
{
	struct pf_inproc *channel;

	pthread_mutex_lock(&m->lock);
	channel = m->channel; /* ours to close even when the client has gone first */
	m->channel = NULL;
	m->hung_up = true;
	pthread_mutex_unlock(&m->lock);
	if (channel)
		pf_inproc_close(channel);
	if (m->fd >= 0)
		shutdown(m->fd, SHUT_RDWR);
}

void mock_check(struct mock *m)
{
	char errors[sizeof(m->errors)];

	pthread_mutex_lock(&m->lock);
	memcpy(errors, m->errors, sizeof(errors));
	pthread_mutex_unlock(&m->lock);
	if (errors[0])
		fail_msg("the server saw:\n%s", errors);
}

static void check_ended(struct mock *m)
{
	struct pf__list *l;

	pf__list_for_each (l, &m->expects) {
		struct mock_expect *e = pf__list_entry(l, struct mock_expect, link);

		if (e->seen < e->min)
			mock_fail(m, "%s(%" PRIu64 ",%s) came %d times, not %d",
				  pf__op_name(e->opcode), e->nodeid, e->name ? e->name : "",
				  e->seen, e->min);
	}
	for (size_t i = 0; i < m->ncounts; i++) {
		struct mock_count *c = &m->counts[i];

		if (c->nodeid != FUSE_ROOT_ID && c->given != c->taken && m->destroyed &&
		    !m->o.lookup_leak)
			mock_fail(m,
				  "node %" PRIu64 " was given %" PRIu64 " times, %" PRIu64
				  " came back",
				  c->nodeid, c->given, c->taken);
	}
}

static void free_requests(struct pf__list *list)
{
	struct pf__list *l;

	while ((l = pf__list_pop(list)))
		free(pf__list_entry(l, struct mock_req, link));
}

static void free_expects(struct mock *m)
{
	struct pf__list *l;

	while ((l = pf__list_pop(&m->expects))) {
		struct mock_expect *e = pf__list_entry(l, struct mock_expect, link);

		free_requests(&e->held);
		free(e->own_ctx);
		free(e->name);
		free(e->name2);
		free(e->body);
		free(e);
	}
}

void mock_end(struct mock *m)
{
	char errors[sizeof(m->errors)];

	if (m->fs)
		pf_stop(m->fs);
	mock_hang_up(m);
	if (m->thread_started)
		pthread_join(m->thread, NULL);
	if (m->fd >= 0)
		close(m->fd);
	check_ended(m);
	memcpy(errors, m->errors, sizeof(errors));
	free_expects(m);
	free_requests(&m->kept);
	free(m->uniques);
	free(m->counts);
	free(m->log);
	pf__backings_put(m->backings);
	pthread_cond_destroy(&m->cond);
	pthread_mutex_destroy(&m->lock);
	free(m);
	if (errors[0])
		fail_msg("the server saw:\n%s", errors);
}

/* ---- waiting */

static struct timespec patience(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += MOCK_PATIENCE_S;
	return t;
}

struct mock_req *mock_wait(struct mock_expect *e)
{
	struct timespec until = patience();
	struct mock *m = e->m;
	struct pf__list *l;
	int r = 0;

	pthread_mutex_lock(&m->lock);
	while (!(l = pf__list_pop(&e->held)) && !r)
		r = pthread_cond_timedwait(&m->cond, &m->lock, &until);
	if (l)
		pf__list_add_tail(&m->kept, l);
	pthread_mutex_unlock(&m->lock);
	if (!l) {
		mock_check(m);
		fail_msg("%s(%" PRIu64 ",%s) did not come", pf__op_name(e->opcode), e->nodeid,
			 e->name ? e->name : "");
	}
	return pf__list_entry(l, struct mock_req, link);
}

void mock_wait_seen(struct mock_expect *e, int n)
{
	struct timespec until = patience();
	struct mock *m = e->m;
	int r = 0;

	pthread_mutex_lock(&m->lock);
	while (e->seen < n && !r)
		r = pthread_cond_timedwait(&m->cond, &m->lock, &until);
	pthread_mutex_unlock(&m->lock);
	if (r)
		fail_msg("%s(%" PRIu64 ",%s) came %d times, not %d", pf__op_name(e->opcode),
			 e->nodeid, e->name ? e->name : "", e->seen, n);
}

void mock_wait_forgotten(struct mock *m, uint64_t nodeid, uint64_t n)
{
	struct timespec until = patience();
	uint64_t got;
	int r = 0;

	for (;;) {
		got = mock_forgotten(m, nodeid);
		if (got >= n || r)
			break;
		pthread_mutex_lock(&m->lock);
		r = pthread_cond_timedwait(&m->cond, &m->lock, &until);
		pthread_mutex_unlock(&m->lock);
	}
	if (got != n)
		fail_msg("node %" PRIu64 ": %" PRIu64 " lookups came back, not %" PRIu64, nodeid,
			 got, n);
}

/* ---- what came */

const char *mock_log(struct mock *m)
{
	static char *last;

	pthread_mutex_lock(&m->lock);
	free(last);
	last = strdup(m->log ? m->log : "");
	m->log_len = 0;
	if (m->log)
		m->log[0] = 0;
	pthread_mutex_unlock(&m->lock);
	return last;
}

uint64_t mock_count(struct mock *m, uint32_t opcode)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = opcode < PF_ARRAY_SIZE(m->opcodes) ? m->opcodes[opcode] : 0;
	pthread_mutex_unlock(&m->lock);
	return n;
}

/*
 * Messages are read in order, so when the answer to a STATFS that was asked after them has come,
 * all before it were read.
 */
void mock_settle(struct mock *m)
{
	struct fuse_statfs_out out = {.st = {.bsize = 4096}};
	struct mock_expect *e =
	    mock_body(mock_expect(m, FUSE_STATFS, MOCK_ANY, NULL), &out, sizeof(out));
	struct statvfs st;

	pthread_mutex_lock(&m->lock); /* the server may be looking through the list */
	mock_any_times(e);
	e->quiet = true;
	pthread_mutex_unlock(&m->lock);
	assert_int_equal(pf_statvfs(m->fs, "/", &st), 0);
	pthread_mutex_lock(&m->lock);
	e->max = e->seen; /* used up */
	pthread_mutex_unlock(&m->lock);
}

int mock_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
