/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that wait for a lock. Until its call is answered a thread gets no signal but one that kills
 * it; so a thread here looks whether one is there for it, and interrupts the wait: INTERRUPT goes
 * to the server. The caller's call is then begun again, or fails with EINTR, as the signal's
 * handler has it. A server that does not answer INTERRUPT has a second; then the caller goes on
 * without it, and a lock that comes later is given back.
 *
 * A signal for the process as a whole is one thread's to handle, which need not be this one: the
 * kernel chooses when it comes. It is if there is no other that would take it.
 */
#include "base/sys.h"
#include "run/locks.h"
#include "supervise/inject_regs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST        512  /* who may wait: half of the threads that calls may have */
#define MOST_GIVEN  64   /* of them, those whose callers have gone on */
#define LOOK_MS     10   /* and half a millisecond for each who waits */
#define PATIENCE_MS 1000 /* until the caller goes on without the server's answer */
#define OFTEN       10   /* so often in a row nobody else has taken the signal */

/* ---- signals --------------------------------------------------------------------------------- */

struct signals {
	uint64_t own, shared, blocked;
	unsigned long threads;
};

static uint64_t number_after(const char *text, const char *name, int base)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, base) : 0;
}

static bool read_signals(const char *path, struct signals *s)
{
	PF_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[8192];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	s->own = number_after(text, "\nSigPnd:", 16);
	s->shared = number_after(text, "\nShdPnd:", 16);
	s->blocked = number_after(text, "\nSigBlk:", 16);
	s->threads = number_after(text, "\nThreads:", 10);
	return true;
}

/* Would another thread of the process take one of these? */
static bool others_take(pid_t tgid, pid_t tid, uint64_t signals)
{
	char path[300];
	struct dirent *e;
	bool take = false;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/task", (int)tgid);
	d = opendir(path);
	while (d && !take && (e = readdir(d))) {
		struct signals s;

		if (e->d_name[0] == '.' || strtol(e->d_name, NULL, 10) == tid)
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)tgid, e->d_name);
		take = read_signals(path, &s) && signals & ~s.blocked;
	}
	if (d)
		closedir(d);
	return take;
}

enum news { NOTHING, PERHAPS, A_SIGNAL };

static enum news look_for_signals(pid_t tgid, pid_t tid)
{
	char path[64];
	struct signals s;

	snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
	if (!read_signals(path, &s) || !((s.own | s.shared) & ~s.blocked))
		return NOTHING;
	/* The kernel asks the first thread first. */
	if (s.own & ~s.blocked || tid == tgid || s.threads < 2 ||
	    !others_take(tgid, tid, s.shared & ~s.blocked))
		return A_SIGNAL;
	return PERHAPS;
}

/* ---- the thread that looks ------------------------------------------------------------------- */

static void look_at(struct lock_wait *w)
{
	enum news news;

	if (w->answered || w->interrupted || w->gone)
		return;
	if (!pf__call_alive(w->call)) {
		w->gone = true;
	} else {
		news = look_for_signals(w->tgid, w->call->tid);
		w->seen = news == PERHAPS ? w->seen + 1 : 0;
		w->certain = news == A_SIGNAL;
		w->interrupted = w->certain || w->seen >= OFTEN;
	}
	w->since = run_now_ms();
}

/* What becomes of a call that a signal has interrupted: begun again only if the signal is there for
 * certain, since else the kernel would let its number for that through. */
static int64_t result_of(const struct lock_wait *w)
{
	return w->certain ? -PF_ERESTARTSYS : -EINTR;
}

static void act(struct pf__run *r, struct lock_wait *w)
{
	look_at(w);
	if (!w->interrupted && !w->gone)
		return;
	if (!w->told) /* it may not have been sent yet */
		w->told = pf_interrupt(w->view) > 0;
	if (w->gone || w->answered || run_now_ms() - w->since < PATIENCE_MS ||
	    r->n_waits_given >= MOST_GIVEN)
		return;
	pf__call_return(w->call, result_of(w));
	w->answered = true;
	r->n_waits_given++;
}

static void *look(void *arg)
{
	struct pf__run *r = arg;

	pthread_setname_np(pthread_self(), "pf-locks");
	pthread_mutex_lock(&r->waits_lock);
	while (!r->waits_end) {
		unsigned ms = LOOK_MS + r->n_waits / 2;
		struct timespec until;
		struct pf__list *pos;

		pf__list_for_each (pos, &r->waits)
			act(r, pf__list_entry(pos, struct lock_wait, link));
		if (!r->n_waits) {
			pthread_cond_wait(&r->waits_change, &r->waits_lock);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += ms * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		while (!r->waits_end &&
		       !pthread_cond_timedwait(&r->waits_change, &r->waits_lock, &until))
			;
	}
	pthread_mutex_unlock(&r->waits_lock);
	return NULL;
}

/* ---- who waits ------------------------------------------------------------------------------- */

int lock_wait_begin(struct pf__run *r, struct lock_wait *w, const struct pf__call *call,
		    struct pf_fs *view, pid_t tgid)
{
	int err = 0;

	*w = (struct lock_wait){.call = call, .view = view, .tgid = tgid};
	pthread_mutex_lock(&r->waits_lock);
	if (r->n_waits >= MOST)
		err = -ENOLCK;
	if (!err && !r->waits_run)
		err = pf__sys.thread_create(&r->waits_thread, look, r);
	if (!err) {
		r->waits_run = true;
		pf__list_add_tail(&r->waits, &w->link);
		if (!r->n_waits++)
			pthread_cond_signal(&r->waits_change);
	}
	pthread_mutex_unlock(&r->waits_lock);
	return err;
}

int64_t lock_wait_end(struct pf__run *r, struct lock_wait *w, int64_t result)
{
	pthread_mutex_lock(&r->waits_lock);
	pf__list_del(&w->link);
	r->n_waits--;
	r->n_waits_given -= w->answered;
	pthread_mutex_unlock(&r->waits_lock);
	if (w->answered)
		return ANSWERED;
	return result == -EINTR && w->interrupted ? result_of(w) : result;
}

void lock_waits_stop(struct pf__run *r)
{
	pthread_mutex_lock(&r->waits_lock);
	r->waits_end = true;
	pthread_cond_signal(&r->waits_change);
	pthread_mutex_unlock(&r->waits_lock);
	if (r->waits_run)
		pthread_join(r->waits_thread, NULL);
	r->waits_run = false;
}
