/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service thread: reads what nobody waits for (background answers, notifications) and does what
 * time brings (forgets, deadlines, ticks, what could not be sent).
 *
 * It must not be woken by every answer of a synchronous call. So while such calls come it does not
 * watch the transports but looks again after a few milliseconds; when they have stopped it polls.
 * Whoever stops reading with background requests outstanding wakes it.
 */
#include "base/arith.h"
#include "base/futex.h"
#include "base/sys.h"
#include "conn/internal.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUSY_NS      (5 * PF_NSEC_PER_MSEC)   /* between looks while synchronous calls come */
#define TICK_NS      (100 * PF_NSEC_PER_MSEC) /* while something goes on */
#define IDLE_TICK_NS PF_NSEC_PER_SEC
#define CHECK_SHARE  8 /* deadlines are looked at this often within a timeout */

void pf__service_kick(struct pf__conn *conn)
{
	struct pf__service *svc = &conn->svc;

	pf__assert_held(&conn->lock);
	svc->kicked = true;
	if (svc->state == SVC_FUTEX) {
		atomic_fetch_add(&svc->kicks, 1);
		pf__futex_wake(&svc->kicks, 1);
	} else if (svc->state == SVC_POLL) {
		(void)!write(svc->efd, &(uint64_t){1}, sizeof(uint64_t));
	} else {
		return;
	}
	svc->state = SVC_RUN;
	svc->far = svc->idle = false;
}

/* ---- what time brings */

static void check_deadlines(struct pf__conn *conn, uint64_t now)
{
	struct pf__service *svc = &conn->svc;

	if (!conn->timeout || now < svc->next_check)
		return;
	svc->next_check = now + conn->timeout / CHECK_SHARE;
	pf__check_deadlines(conn, now);
}

static void tick(struct pf__conn *conn, uint64_t now)
{
	const struct pf__conn_ops *ops = conn->config.ops;

	if (now < conn->svc.next_tick)
		return;
	conn->svc.next_tick = now + TICK_NS;
	atomic_fetch_add(&conn->svc.ticking, 1);
	if (ops && ops->tick && !atomic_load(&conn->svc.no_ticks))
		ops->tick(conn->config.ctx, now);
	atomic_fetch_sub(&conn->svc.ticking, 1);
}

void pf__conn_stop_ticks(struct pf__conn *conn)
{
	static const struct timespec some = {.tv_nsec = 50 * PF_NSEC_PER_USEC};

	atomic_store(&conn->svc.no_ticks, true);
	while (atomic_load(&conn->svc.ticking)) /* it waits for nobody */
		nanosleep(&some, NULL);
}

/* Under the lock: does the queue, the interrupts, the resends have something that is due? */
static void look(struct pf__conn *conn, uint64_t now, bool *pump, bool *interrupts, bool *resend)
{
	pf__mutex_lock(&conn->lock);
	*pump = !pf__list_empty(&conn->queue);
	*interrupts = now >= conn->intr_at;
	*resend = conn->resend;
	pf__mutex_unlock(&conn->lock);
}

void pf__maintain(struct pf__conn *conn, uint64_t now)
{
	bool pump, interrupts, resend;

	if (atomic_load(&conn->dead))
		return;
	look(conn, now, &pump, &interrupts, &resend);
	if (now >= pf__forgets_due(conn))
		pf__conn_flush_forgets(conn);
	if (pump)
		pf__bg_pump(conn);
	if (interrupts)
		pf__interrupt_retry(conn, now);
	if (resend)
		pf__resend(conn);
}

void pf__service_work(struct pf__conn *conn, uint64_t now)
{
	pf__maintain(conn, now);
	check_deadlines(conn, now);
	tick(conn, now);
}

/* ---- the thread */

static unsigned channels(struct pf__conn *conn)
{
	unsigned n;

	pf__mutex_lock(&conn->lock);
	n = conn->nchannels;
	pf__mutex_unlock(&conn->lock);
	return n;
}

static void drain_all(struct pf__conn *conn)
{
	unsigned n = channels(conn);

	for (unsigned i = 0; i < n; i++)
		pf__channel_drain(conn->channels[i], true);
}

struct plan {
	enum pf__svc_state how;
	uint64_t until;
	struct pollfd fds[1 + PF__CHANNELS_MAX];
	struct pf__channel *polled[PF__CHANNELS_MAX];
	unsigned n;
};

/* Under the lock: when something is due at the latest. */
static uint64_t next_due(struct pf__conn *conn, uint64_t now, bool outstanding)
{
	uint64_t until = now + (outstanding ? TICK_NS : IDLE_TICK_NS);

	if (conn->bg_blocked || conn->resend)
		until = pf__min_u64(until, now + PF_SEND_RETRY_NS);
	if (outstanding && conn->timeout)
		until = pf__min_u64(until, now + conn->timeout / CHECK_SHARE);
	return pf__min_u64(until, conn->intr_at);
}

/* Under the lock: what goes on at the channels. */
static void survey(struct pf__conn *conn, bool *outstanding, bool *unattended, bool *led)
{
	*outstanding = !pf__list_empty(&conn->queue);
	*unattended = *led = false;
	for (unsigned i = 0; i < conn->nchannels; i++) {
		struct pf__channel *ch = conn->channels[i];

		*outstanding |= ch->inflight > 0;
		*unattended |= pf__channel_unattended(ch);
		*led |= ch->reading;
	}
}

/* Under the lock: poll the channels that nobody reads. */
static void plan_poll(struct pf__conn *conn, struct plan *p)
{
	p->fds[0] = (struct pollfd){conn->svc.efd, POLLIN, 0};
	p->n = 0;
	for (unsigned i = 0; i < conn->nchannels; i++) {
		struct pf__channel *ch = conn->channels[i];

		if (ch->reading || ch->dead)
			continue;
		ch->polled = true;
		p->polled[p->n++] = ch;
		p->fds[p->n] = (struct pollfd){ch->t->ops->fd(ch->t), POLLIN, 0};
	}
}

/* Decide how to sleep; false: do not. */
static bool plan_sleep(struct pf__conn *conn, uint64_t now, struct plan *p)
{
	struct pf__service *svc = &conn->svc;
	uint64_t forgets = pf__forgets_due(conn);
	bool outstanding, unattended, led, busy;

	pf__mutex_lock(&conn->lock);
	if (svc->kicked || svc->stop) {
		svc->kicked = false;
		pf__mutex_unlock(&conn->lock);
		return false;
	}
	survey(conn, &outstanding, &unattended, &led);
	busy = conn->sync_seq != svc->seen_seq;
	svc->seen_seq = conn->sync_seq;
	p->until = pf__min_u64(next_due(conn, now, outstanding), forgets);
	p->how = SVC_POLL;
	p->n = 0;
	if (busy && !unattended) {
		p->how = SVC_FUTEX;
		p->until = pf__min_u64(p->until, now + BUSY_NS);
	} else {
		plan_poll(conn, p);
	}
	svc->far = p->how == SVC_POLL && led;
	svc->idle = !outstanding && !busy;
	svc->wake_at = p->until;
	svc->state = conn->dead ? SVC_FUTEX : p->how;
	p->how = svc->state;
	pf__mutex_unlock(&conn->lock);
	return true;
}

static void sleep_poll(struct pf__conn *conn, struct plan *p)
{
	bool ready = false;

	for (unsigned i = 0; i < p->n; i++)
		ready |= p->polled[i]->t->ops->arm(p->polled[i]->t);
	if (ready)
		return;
	if (pf__sys.poll(p->fds, 1 + p->n, pf__poll_ms(p->until, pf__now())) < 0)
		(void)pf__futex_wait(&conn->svc.kicks, atomic_load(&conn->svc.kicks),
				     pf__now() + PF_SEND_RETRY_NS);
	if (p->fds[0].revents)
		(void)!read(conn->svc.efd, &(uint64_t){0}, sizeof(uint64_t));
}

static void service_sleep(struct pf__conn *conn)
{
	struct pf__service *svc = &conn->svc;
	uint32_t kicks = atomic_load(&svc->kicks);
	struct plan p;

	if (!plan_sleep(conn, pf__now(), &p))
		return;
	if (p.how == SVC_FUTEX)
		(void)pf__futex_wait(&svc->kicks, kicks, conn->dead ? PF_TIME_FOREVER : p.until);
	else
		sleep_poll(conn, &p);
	pf__mutex_lock(&conn->lock);
	for (unsigned i = 0; i < p.n; i++)
		p.polled[i]->polled = false;
	svc->state = SVC_RUN;
	svc->kicked = svc->far = svc->idle = false;
	svc->wake_at = 0;
	pf__mutex_unlock(&conn->lock);
}

static void *service_main(void *arg)
{
	struct pf__conn *conn = arg;

	while (!conn->svc.stop) {
		uint64_t now = pf__now();

		drain_all(conn);
		pf__service_work(conn, now);
		service_sleep(conn);
	}
	return NULL;
}

int pf__service_start(struct pf__conn *conn)
{
	struct pf__service *svc = &conn->svc;
	int err;

	svc->efd = svc->epfd = -1;
	if (!conn->config.service_thread)
		return 0;
	svc->efd = pf__sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (svc->efd < 0)
		return svc->efd;
	svc->state = SVC_RUN;
	svc->next_tick = pf__now() + TICK_NS;
	err = pf__sys.thread_create(&svc->thread, service_main, conn);
	svc->started = !err;
	return err;
}

void pf__service_stop(struct pf__conn *conn)
{
	struct pf__service *svc = &conn->svc;

	pf__mutex_lock(&conn->lock);
	svc->stop = true;
	pf__service_kick(conn);
	pf__mutex_unlock(&conn->lock);
	if (svc->started)
		pthread_join(svc->thread, NULL);
	svc->started = false;
	if (svc->efd >= 0)
		pf__sys.close(svc->efd);
	if (svc->epfd >= 0)
		close(svc->epfd);
	svc->efd = svc->epfd = -1;
}

/* ---- instead of the thread */

static int epoll_add(int epfd, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};

	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0 && errno != EEXIST ? -errno : 0;
}

static void arm_all(struct pf__conn *conn)
{
	unsigned n = channels(conn);

	for (unsigned i = 0; i < n; i++)
		while (!conn->channels[i]->dead &&
		       conn->channels[i]->t->ops->arm(conn->channels[i]->t))
			pf__channel_drain(conn->channels[i], true);
}

void pf__service_rearm(struct pf__conn *conn)
{
	if (conn->svc.epfd >= 0)
		arm_all(conn);
}

int pf__conn_fd(struct pf__conn *conn)
{
	struct pf__service *svc = &conn->svc;
	unsigned n = channels(conn);
	int err;

	if (svc->epfd < 0)
		svc->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (svc->epfd < 0)
		return -errno;
	for (unsigned i = 0; i < n; i++) {
		struct pf__transport *t = conn->channels[i]->t;

		err = epoll_add(svc->epfd, t->ops->fd(t));
		if (err)
			return err;
	}
	arm_all(conn);
	return svc->epfd;
}

int pf__conn_service(struct pf__conn *conn)
{
	uint64_t now = pf__now();

	drain_all(conn);
	pf__service_work(conn, now);
	pf__service_rearm(conn);
	return pf__conn_dead(conn) ? -ENOTCONN : 0;
}
