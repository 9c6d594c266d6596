/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * poll(2): each look is a POLL request. Who will wait says so in it, and sleeps until the server
 * sends a notification for the file's handle; then it looks again.
 */
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/futex.h"
#include "vfs/internal.h"
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

#define ALWAYS       (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)
#define EVENTS_SINCE 21 /* minor: before, the field was padding */

struct pf__polls {
	struct pf__mutex lock;
	struct pf__list waiters; /* struct poller.link */
};

/* A call that waits, on its own stack. */
struct poller {
	struct pf__list link;
	uint64_t kh;
	const void *group;
	_Atomic uint32_t turn; /* goes on with each reason to look again */
	_Atomic bool interrupted;
};

int pf__polls_open(struct pf__polls **out)
{
	struct pf__polls *p = pf__calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	pf__mutex_init(&p->lock, PF_RANK_LOCKS);
	pf__list_init(&p->waiters);
	*out = p;
	return 0;
}

void pf__polls_close(struct pf__polls *p)
{
	pf__mutex_destroy(&p->lock);
	pf__free(p);
}

static void wake(struct poller *w)
{
	atomic_fetch_add(&w->turn, 1);
	pf__futex_wake(&w->turn, INT_MAX);
}

void pf__polls_wake(struct pf__polls *p, uint64_t kh)
{
	struct pf__list *link;

	pf__mutex_lock(&p->lock);
	pf__list_for_each (link, &p->waiters) {
		struct poller *w = pf__list_entry(link, struct poller, link);

		if (w->kh == kh)
			wake(w);
	}
	pf__mutex_unlock(&p->lock);
}

void pf__polls_wake_all(struct pf__polls *p)
{
	struct pf__list *link;

	pf__mutex_lock(&p->lock);
	pf__list_for_each (link, &p->waiters)
		wake(pf__list_entry(link, struct poller, link));
	pf__mutex_unlock(&p->lock);
}

int pf__polls_interrupt(struct pf__polls *p, const void *group)
{
	struct pf__list *link;
	int n = 0;

	pf__mutex_lock(&p->lock);
	pf__list_for_each (link, &p->waiters) {
		struct poller *w = pf__list_entry(link, struct poller, link);

		if (w->group != group)
			continue;
		atomic_store(&w->interrupted, true);
		wake(w);
		n++;
	}
	pf__mutex_unlock(&p->lock);
	return n;
}

static void poller_add(struct pf__polls *p, struct poller *w)
{
	pf__mutex_lock(&p->lock);
	pf__list_add_tail(&p->waiters, &w->link);
	pf__mutex_unlock(&p->lock);
}

static void poller_del(struct pf__polls *p, struct poller *w)
{
	pf__mutex_lock(&p->lock);
	pf__list_del(&w->link);
	pf__mutex_unlock(&p->lock);
}

/* The events that hold now, of those asked for and the three that always are. */
static int look(struct pf__open_file *of, const struct pf__from *f, short events, bool will_wait)
{
	struct pf__conn *conn = of->super->conn;
	struct fuse_poll_in in = {.fh = of->io.fh, .kh = of->kh};
	struct fuse_poll_out out;
	struct pf__req r;

	if (of->is_dir || pf__conn_nosys(conn, FUSE_POLL))
		return events & ALWAYS;
	if (of->super->got->dialect.minor >= EVENTS_SINCE)
		in.events = (uint16_t)events;
	if (will_wait)
		in.flags = FUSE_POLL_SCHEDULE_NOTIFY;
	pf__req_init(&r, &f->caller, FUSE_POLL, pf__inode_nodeid(of->inode));
	r.marks |= PF_REQ_NODEADLINE;
	pf__req_in(&r, &in, sizeof in);
	pf__req_out(&r, &out, sizeof out);
	pf__request(conn, &r);
	if (r.error == -ENOSYS) {
		pf__conn_set_nosys(conn, FUSE_POLL);
		return events & ALWAYS;
	}
	if (r.error == -EINTR || pf__conn_dead(conn))
		return r.error;
	if (r.error)
		return POLLERR;
	return (int)out.revents & ((uint16_t)events | POLLERR | POLLHUP | POLLNVAL);
}

static int poll_until(struct pf__open_file *of, const struct pf__from *f, short events,
		      uint64_t deadline)
{
	struct poller w = {.kh = of->kh, .group = f->caller.group};
	uint32_t turn;
	int r;

	poller_add(of->super->polls, &w);
	for (;;) {
		turn = atomic_load(&w.turn);
		r = look(of, f, events, true);
		if (r)
			break;
		if (!atomic_load(&w.interrupted))
			r = pf__conn_watch(of->super->conn, &w.turn, turn, deadline);
		if (atomic_load(&w.interrupted))
			r = -EINTR;
		if (pf__conn_dead(of->super->conn))
			r = -ENOTCONN;
		/* A server that wakes us again and again does not keep us for longer. */
		if ((!r || r == -EAGAIN) && deadline != PF_TIME_FOREVER && pf__now() >= deadline)
			r = -ETIMEDOUT;
		if (r && r != -EAGAIN)
			break;
	}
	poller_del(of->super->polls, &w);
	return r == -ETIMEDOUT ? 0 : r;
}

int pf_poll(struct pf_file *file, short events, int timeout_ms)
{
	struct pf__open_file *of;
	struct pf__from f;
	uint64_t deadline = PF_TIME_FOREVER;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of);

	if (r)
		return pf__fail_op(r, "poll", NULL);
	pf__from_open(&f, of);
	if (timeout_ms > 0)
		deadline = pf__now() + (uint64_t)timeout_ms * PF_NSEC_PER_MSEC;
	r = timeout_ms ? poll_until(of, &f, events, deadline) : look(of, &f, events, false);
	return r < 0 ? pf__fail_op(r, "poll", NULL) : r;
}
