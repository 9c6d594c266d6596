/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for background requests: a thread that sleeps on a word which done() or notify() changes.
 * It has no request of its own, but the principle is the same: who waits reads. It becomes the
 * reader of every channel that nobody reads and that has background requests under way, and reads
 * and completes until its word has changed. While others read all of them it sleeps on its word,
 * and is woken when one of these stops (it is called) as well as when the word changes.
 *
 * The word is the caller's, and others change it: also while this thread waits for a message. So it
 * waits for both in poll(): who has changed words looks whether such a thread is concerned
 * (pf__sleepers_poke()).
 */
#include "base/arith.h"
#include "base/futex.h"
#include "base/sys.h"
#include "conn/internal.h"
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FOLLOW_NS PF_NSEC_PER_SEC /* finite: a signal ends it, SA_RESTART or not */
#define DEAD_NS   (10 * PF_NSEC_PER_MSEC)
#define LEAD_NS   (100 * PF_NSEC_PER_MSEC) /* then it looks for more channels to read */
#define STAND_IN_NS                                                                                \
	(5 * PF_NSEC_PER_MSEC) /* between looks at what is due, without a service thread */

struct pf__sleeper {
	struct pf__list all; /* conn->asleep; lock */
	const void *group;   /* NULL: it cannot be interrupted */
	_Atomic bool interrupted;
	struct pf__list link; /* conn->sleepers, while it reads nothing; lock */
	_Atomic uint32_t *word;
	uint32_t expected;
	bool listed, called;  /* lock; called: to read, since it looked last */
	_Atomic bool polling; /* or about to: who changes the word must poke */
	_Atomic bool more;    /* nobody reads some channel any more; set under the lock */
	uint64_t work_at;
	unsigned n;
	struct pf__channel *held[PF__CHANNELS_MAX]; /* it is their reader */
};

static bool waits(const struct pf__sleeper *s)
{
	return atomic_load(s->word) == s->expected;
}

/* ---- calling and poking */

/* Under the lock: wake one who sleeps to read ch; false: there is none, or none that surely hears
 * it. */
static bool call_one(struct pf__channel *ch)
{
	struct pf__list *l;

	pf__list_for_each (l, &ch->conn->sleepers) {
		struct pf__sleeper *s = pf__list_entry(l, struct pf__sleeper, link);

		if (!waits(s))
			continue; /* on its way out */
		/* Nobody woken: it was called before and is coming, or else it is only just about
		 * to sleep and will not know. Woken is who sleeps on the same word; any will do. */
		if (!pf__futex_wake(s->word, 1) && !s->called)
			return false;
		s->called = true;
		ch->called = s->word;
		return true;
	}
	return false;
}

bool pf__channel_call(struct pf__channel *ch)
{
	pf__assert_held(&ch->conn->lock);
	return pf__channel_unattended(ch) && call_one(ch);
}

static void wake_poll(struct pf__sleeper *s)
{
	if (atomic_exchange(&s->polling, false))
		(void)!write(s->held[0]->efd, &(uint64_t){1}, sizeof(uint64_t));
}

/* Under the lock, without a service thread: who reads another channel takes this one as well. It
 * may be busy for ever with what comes there for others. */
static void nudge(struct pf__conn *conn)
{
	for (unsigned i = 0; i < conn->nchannels; i++) {
		struct pf__sleeper *s = conn->channels[i]->sleeper;

		if (!s || !waits(s))
			continue;
		atomic_store(&s->more, true);
		wake_poll(s);
		return;
	}
}

void pf__channel_attend(struct pf__channel *ch)
{
	struct pf__conn *conn = ch->conn;

	pf__assert_held(&conn->lock);
	if (!pf__channel_unattended(ch) || call_one(ch))
		return;
	if (conn->svc.started)
		pf__service_kick(conn);
	else
		nudge(conn);
}

static void poke_one(struct pf__sleeper *s)
{
	if (!waits(s))
		wake_poll(s);
}

void pf__sleepers_poke(struct pf__conn *conn)
{
	/* Between the word's change and the look: either this sees who polls, or that one sees the
	 * change before it polls. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load(&conn->polling))
		return;
	pf__mutex_lock(&conn->lock);
	for (unsigned i = 0; i < conn->nchannels; i++)
		if (conn->channels[i]->sleeper)
			poke_one(conn->channels[i]->sleeper);
	pf__mutex_unlock(&conn->lock);
}

void pf__conn_wake(struct pf__conn *conn, _Atomic uint32_t *word)
{
	pf__futex_wake(word, INT_MAX);
	pf__sleepers_poke(conn);
}

int pf__sleepers_interrupt(struct pf__conn *conn, const void *group)
{
	struct pf__list *l;
	int n = 0;

	pf__mutex_lock(&conn->lock);
	pf__list_for_each (l, &conn->asleep) {
		struct pf__sleeper *s = pf__list_entry(l, struct pf__sleeper, all);

		if (s->group != group || atomic_exchange(&s->interrupted, true))
			continue;
		pf__futex_wake(s->word, INT_MAX); /* the others on it sleep on */
		wake_poll(s);
		n++;
	}
	pf__mutex_unlock(&conn->lock);
	return n;
}

/* ---- the readership */

/* Under the lock: become the reader of ch. */
static void hold(struct pf__sleeper *s, struct pf__channel *ch)
{
	/* Without it (-1) it looks at its word more often instead. */
	if (!s->n && ch->efd < 0)
		ch->efd = pf__sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ch->reading = true;
	ch->called = NULL;
	ch->sleeper = s;
	s->held[s->n++] = ch;
}

/* Under the lock: read what nobody reads; if there is nothing, stand in line to. */
static void look(struct pf__conn *conn, struct pf__sleeper *s)
{
	if (!waits(s))
		return;
	if (s->listed)
		pf__list_del(&s->link);
	for (unsigned i = 0; i < conn->nchannels; i++) {
		struct pf__channel *ch = conn->channels[i];

		if (ch->called == s->word)
			ch->called = NULL;
		if (!ch->reading && !ch->dead && (ch->background || !conn->svc.started))
			hold(s, ch);
	}
	s->called = false;
	atomic_store(&s->more, false);
	s->listed = !s->n;
	if (s->listed)
		pf__list_add_tail(&conn->sleepers, &s->link);
	else
		conn->sync_seq++; /* the service thread need not watch */
}

static void look_again(struct pf__conn *conn, struct pf__sleeper *s)
{
	pf__mutex_lock(&conn->lock);
	look(conn, s);
	pf__mutex_unlock(&conn->lock);
}

/* Under the lock: not the reader of held[i] any more. */
static void let_go(struct pf__sleeper *s, unsigned i)
{
	struct pf__channel *ch = s->held[i];

	s->held[i] = s->held[--s->n];
	ch->sleeper = NULL;
	pf__channel_release(ch);
}

static void leave(struct pf__conn *conn, struct pf__sleeper *s)
{
	pf__mutex_lock(&conn->lock);
	conn->nsleepers--;
	pf__list_del(&s->all);
	if (s->listed)
		pf__list_del(&s->link);
	while (s->n)
		let_go(s, s->n - 1);
	for (unsigned i = 0; i < conn->nchannels; i++) {
		if (conn->channels[i]->called == s->word)
			conn->channels[i]->called = NULL; /* somebody else, then */
		else if (!atomic_load(&s->more))
			continue;
		pf__channel_attend(conn->channels[i]);
	}
	pf__mutex_unlock(&conn->lock);
}

/* ---- reading */

/* Nothing came. Leave the channels on which nothing is under way but other threads' calls: these
 * read for themselves. */
static void trim(struct pf__conn *conn, struct pf__sleeper *s)
{
	if (!conn->svc.started)
		return;
	pf__mutex_lock(&conn->lock);
	for (unsigned i = 0; i < s->n; i++)
		if (!s->held[i]->background)
			let_go(s, i--);
	if (!s->n)
		look(conn, s);
	pf__mutex_unlock(&conn->lock);
}

/* A message of each channel; true: one came, or a channel ended. */
static bool read_held(struct pf__conn *conn, struct pf__sleeper *s)
{
	bool some = false;

	for (unsigned i = 0; i < s->n && waits(s); i++) {
		ssize_t len = pf__channel_read_any(s->held[i], true);

		some |= len >= 0;
		if (len)
			continue;
		pf__channel_ended(s->held[i]);
		pf__mutex_lock(&conn->lock);
		let_go(s, i--);
		pf__mutex_unlock(&conn->lock);
	}
	return some;
}

/* As a leader does, see leader.c, but with a count of its own: these answers are other ones. */
static bool read_spinning(struct pf__conn *conn, struct pf__sleeper *s)
{
	struct pf__spin *spin = &s->held[0]->sleeper_spin;
	uint64_t until = 0;
	bool some;

	if (!pf__spin_worthwhile(spin))
		return read_held(conn, s);
	for (;;) {
		some = read_held(conn, s);
		if (some || !s->n || !waits(s))
			break;
		if (!until)
			until = pf__now() + PF_SPIN_NS;
		else if (pf__now() >= until)
			break;
		sched_yield();
	}
	if (until && waits(s) == !some)
		pf__spin_judged(conn, spin, some && pf__now() < until);
	return some;
}

static int poll_held(struct pf__conn *conn, struct pf__sleeper *s, uint64_t deadline)
{
	struct pollfd fds[1 + PF__CHANNELS_MAX] = {{s->held[0]->efd, POLLIN, 0}};
	bool patient = conn->svc.started && s->held[0]->efd >= 0, ready = false;
	uint64_t now = pf__now();
	uint64_t until = pf__min_u64(deadline, now + (patient ? LEAD_NS : STAND_IN_NS));
	int n = 0;

	for (unsigned i = 0; i < s->n; i++) {
		struct pf__transport *t = s->held[i]->t;

		ready |= t->ops->arm(t);
		fds[1 + i] = (struct pollfd){t->ops->fd(t), POLLIN, 0};
	}
	if (ready)
		return 0;
	atomic_store(&s->polling, true);
	atomic_fetch_add(&conn->polling, 1);
	if (waits(s) && !atomic_load(&s->more) && !atomic_load(&s->interrupted))
		n = pf__sys.poll(fds, 1 + s->n, pf__poll_ms(until, now));
	atomic_fetch_sub(&conn->polling, 1);
	atomic_store(&s->polling, false);
	if (fds[0].revents)
		(void)!read(fds[0].fd, &(uint64_t){0}, sizeof(uint64_t));
	if (n < 0 && n != -EINTR) /* it will pass: want of memory */
		(void)pf__futex_wait(s->word, s->expected, now + PF_SEND_RETRY_NS);
	if (!n)
		look_again(conn, s);
	return n == -EINTR ? -EINTR : 0;
}

static int lead(struct pf__conn *conn, struct pf__sleeper *s, uint64_t deadline)
{
	if (atomic_load_explicit(&s->more, memory_order_relaxed))
		look_again(conn, s);
	if (read_spinning(conn, s) || !s->n || !waits(s))
		return 0;
	trim(conn, s);
	return s->n ? poll_held(conn, s, deadline) : 0;
}

static int follow(struct pf__conn *conn, struct pf__sleeper *s, uint64_t deadline)
{
	uint64_t slice = FOLLOW_NS;
	int err;

	if (!conn->svc.started)
		slice = STAND_IN_NS;
	else if (atomic_load(&conn->dead))
		slice = DEAD_NS;
	err = pf__futex_wait(s->word, s->expected, pf__min_u64(deadline, pf__now() + slice));
	look_again(conn, s);
	return err == -EINTR ? -EINTR : 0;
}

/* After each step: what else is due? 0 or the reason to stop. */
static int go_on(struct pf__conn *conn, struct pf__sleeper *s, uint64_t deadline)
{
	uint64_t now = pf__now();

	if (!conn->svc.started && now >= s->work_at) {
		pf__service_work(conn, now);
		s->work_at = now + STAND_IN_NS;
	}
	if (atomic_load(&s->interrupted))
		return -EINTR;
	return now >= deadline ? -ETIMEDOUT : 0;
}

int pf__conn_sleep(struct pf__conn *conn, _Atomic uint32_t *word, uint32_t expected,
		   uint64_t deadline)
{
	return pf__conn_sleep_as(conn, NULL, word, expected, deadline);
}

int pf__conn_sleep_as(struct pf__conn *conn, const void *group, _Atomic uint32_t *word,
		      uint32_t expected, uint64_t deadline)
{
	struct pf__sleeper s;
	int err, cancel;

	s.word = word;
	s.expected = expected;
	s.listed = s.called = false;
	s.n = 0;
	s.work_at = 0;
	atomic_init(&s.polling, false);
	atomic_init(&s.more, false);
	s.group = group;
	atomic_init(&s.interrupted, false);
	if (!waits(&s))
		return -EAGAIN;
	pf__assert_no_locks("pf__conn_sleep");
	/* A thread that were cancelled in here would leave the channels without a reader. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pf__mutex_lock(&conn->lock);
	conn->nsleepers++;
	pf__list_add_tail(&conn->asleep, &s.all);
	look(conn, &s);
	pf__mutex_unlock(&conn->lock);
	do {
		err = s.n ? lead(conn, &s, deadline) : follow(conn, &s, deadline);
		if (!err)
			err = go_on(conn, &s, deadline);
		/* Of a dead connection no more can be read: the caller looks for itself. */
	} while (!err && waits(&s) && (s.n || !atomic_load(&conn->dead)));
	leave(conn, &s);
	if (!conn->svc.started)
		pf__service_rearm(conn);
	pthread_setcancelstate(cancel, NULL);
	return waits(&s) ? err : 0;
}

int pf__conn_watch(struct pf__conn *conn, _Atomic uint32_t *word, uint32_t expected,
		   uint64_t deadline)
{
	if (!conn->svc.started)
		return pf__conn_sleep(conn, word, expected, deadline);
	return pf__futex_wait(word, expected, deadline);
}
