/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop: one thread that waits for listeners and watches (epoll). A listener is a watch too.
 *
 * lock guards the lists and `running`; it is a leaf: nothing else is taken and no callback runs
 * under it.
 */
#include "base/alloc.h"
#include "base/errmsg.h"
#include "base/sys.h"
#include "supervise/internal.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.6; newer than Debian 12's <linux/seccomp.h>. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* ---- calls --------------------------------------------------------------------------------- */

static const struct pf__trap *search_trap(const struct pf__role *r, int nr)
{
	for (size_t i = 0; i < r->ntraps; i++)
		if (r->traps[i].nr == nr && r->traps[i].fn)
			return &r->traps[i];
	return NULL;
}

static enum pf__call_end ask(struct pf__role *r, struct pf__call *call, bool receivers)
{
	const struct pf__trap *t =
	    (unsigned)call->nr < PF_ROLE_NRS ? r->by_nr[call->nr] : search_trap(r, call->nr);
	enum pf__call_end end;

	if (!t)
		return PF_CALL_PASS;
	if (!receivers || r->parallel)
		return t->fn(r->ctx, call);
	if (pthread_mutex_trylock(&r->turn)) {
		pf__call_blocks();
		pthread_mutex_lock(&r->turn);
	}
	end = t->fn(r->ctx, call);
	pthread_mutex_unlock(&r->turn);
	return end;
}

void pf__supervisor_dispatch(struct pf__supervisor *s, struct pf__call *call)
{
	struct pf__list *pos;

	pf__list_for_each (pos, &s->roles) {
		enum pf__call_end end =
		    ask(pf__list_entry(pos, struct pf__role, link), call, s->parallel);

		if (end == PF_CALL_RETURN)
			pf__call_return(call, call->value);
		if (end != PF_CALL_PASS)
			return;
	}
	pf__call_continue(call);
}

void pf__call_from(struct pf__call *call, const struct pf__supervisor *s, int listener,
		   const struct seccomp_notif *n)
{
	*call = (struct pf__call){.id = n->id,
				  .listener = listener,
				  .tid = (pid_t)n->pid,
				  .nr = n->data.nr,
				  .token = s->token};
	for (int i = 0; i < 6; i++)
		call->args[i] = n->data.args[i];
}

static void listener_ready(void *ctx, short revents)
{
	struct pf__listener *l = ctx;
	struct seccomp_notif *n = l->s->notif;
	struct pf__call call;

	if (!(revents & EPOLLIN)) { /* nobody is left under this filter */
		pf__supervisor_unwatch(l->s, &l->watch);
		if (l->pooled)
			pf__pool_cancel(l);
		return;
	}
	memset(n, 0, l->s->notif_size); /* the kernel asks for that */
	if (ioctl(l->watch.fd, SECCOMP_IOCTL_NOTIF_RECV, n) < 0)
		return; /* ENOENT: the caller was killed meanwhile */
	pf__call_from(&call, l->s, l->watch.fd, n);
	pf__supervisor_dispatch(l->s, &call);
}

static void listener_free(struct pf__listener *l)
{
	pf__pool_free(l);
	close(l->watch.fd);
	pf__free(l);
}

/* The listener stays open until the supervisor goes: kept calls name it by number. */
/* A descriptor that is none: its number is looked at last. */
static bool can_give_fds(int listener)
{
	struct seccomp_notif_addfd a = {.srcfd = (uint32_t)-1};

	return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a) >= 0 || errno != EINVAL;
}

int pf__supervisor_listen(struct pf__supervisor *s, int fd)
{
	struct pf__listener *l = pf__calloc(1, sizeof *l);
	int err;

	if (!can_give_fds(fd))
		err = pf__fail(-ENOSYS,
			       "this kernel cannot give descriptors to programs (Linux 5.9 can)");
	else
		err = l ? 0 : -ENOMEM;
	if (err) {
		pf__free(l);
		close(fd);
		return err;
	}
	/* The answer wakes the caller on this core: 2 instead of 10 microseconds. Linux 6.6. */
	ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	l->s = s;
	/* With receivers the loop waits for the hang-up alone, which is always told. */
	l->watch = (struct pf__watch){fd, s->parallel ? 0 : EPOLLIN, listener_ready, l};
	pthread_mutex_lock(&s->lock);
	pf__list_add_tail(&s->listeners, &l->link);
	pthread_mutex_unlock(&s->lock);
	err = s->parallel ? pf__pool_start(l) : 0;
	if (!err)
		err = pf__supervisor_watch(s, &l->watch);
	if (err) { /* it was never polled: take it back */
		pthread_mutex_lock(&s->lock);
		pf__list_del(&l->link);
		pthread_mutex_unlock(&s->lock);
		listener_free(l);
	}
	return err;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static int watch_ctl(struct pf__supervisor *s, int op, struct pf__watch *w)
{
	struct epoll_event e = {.events = (uint32_t)(unsigned short)w->events, .data.ptr = w};

	return epoll_ctl(s->epoll, op, w->fd, &e) < 0 ? -errno : 0;
}

int pf__supervisor_watch(struct pf__supervisor *s, struct pf__watch *w)
{
	int err;

	pthread_mutex_lock(&s->lock);
	pf__list_add_tail(&s->watches, &w->link);
	err = watch_ctl(s, EPOLL_CTL_ADD, w);
	if (err)
		pf__list_del(&w->link);
	pthread_mutex_unlock(&s->lock);
	return err;
}

void pf__supervisor_unwatch(struct pf__supervisor *s, struct pf__watch *w)
{
	pthread_mutex_lock(&s->lock);
	if (!pf__list_empty(&w->link)) {
		watch_ctl(s, EPOLL_CTL_DEL, w);
		pf__list_del(&w->link);
	}
	while (s->running == w && !pthread_equal(pthread_self(), s->thread))
		pthread_cond_wait(&s->ran, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* May w run? It may have been removed since epoll told us of it. Marks it as running. */
static bool begin(struct pf__supervisor *s, struct pf__watch *w)
{
	struct pf__list *pos;
	bool found = false;

	pthread_mutex_lock(&s->lock);
	pf__list_for_each (pos, &s->watches) {
		found = pos == &w->link;
		if (found)
			break;
	}
	if (found)
		s->running = w;
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void finish(struct pf__supervisor *s)
{
	pthread_mutex_lock(&s->lock);
	s->running = NULL;
	pthread_cond_broadcast(&s->ran);
	pthread_mutex_unlock(&s->lock);
}

static void *loop(void *arg)
{
	struct pf__supervisor *s = arg;
	struct epoll_event e;

	pthread_setname_np(pthread_self(), "pf-supervisor");
	for (;;) {
		int n = epoll_wait(s->epoll, &e, 1, -1);
		struct pf__watch *w = n == 1 ? e.data.ptr : NULL;

		if (n < 0 && errno != EINTR)
			return NULL;
		if (n == 1 && w == &s->end)
			return NULL;
		if (w && begin(s, w)) {
			w->ready(w->ctx, (short)e.events);
			finish(s);
		}
	}
}

/* ---- life ----------------------------------------------------------------------------------- */

void pf__supervisor_pass(struct pf__supervisor *s, uint64_t page, const int *calls, size_t n)
{
	s->pass_page = page;
	s->passed = calls;
	s->n_passed = n;
}

uint64_t pf__supervisor_token(const struct pf__supervisor *s)
{
	return s->token;
}

static int add_role(struct pf__supervisor *s, const struct pf__trap *traps, size_t ntraps,
		    void *ctx, bool parallel)
{
	struct pf__role *r = pf__calloc(1, sizeof *r);

	if (!r)
		return -ENOMEM;
	r->traps = traps;
	r->ntraps = ntraps;
	r->ctx = ctx;
	r->parallel = parallel;
	pthread_mutex_init(&r->turn, NULL);
	for (int nr = 0; nr < PF_ROLE_NRS; nr++)
		r->by_nr[nr] = search_trap(r, nr);
	pf__list_add_tail(&s->roles, &r->link);
	s->parallel |= parallel;
	return 0;
}

int pf__supervisor_add_role(struct pf__supervisor *s, const struct pf__trap *traps, size_t ntraps,
			    void *ctx)
{
	return add_role(s, traps, ntraps, ctx, false);
}

int pf__supervisor_add_parallel_role(struct pf__supervisor *s, const struct pf__trap *traps,
				     size_t ntraps, void *ctx)
{
	return add_role(s, traps, ntraps, ctx, true);
}

static void role_free(struct pf__role *r)
{
	pthread_mutex_destroy(&r->turn);
	pf__free(r);
}

static void supervisor_release(struct pf__supervisor *s)
{
	struct pf__list *l;

	while ((l = pf__list_pop(&s->listeners)))
		listener_free(pf__list_entry(l, struct pf__listener, link));
	while ((l = pf__list_pop(&s->roles)))
		role_free(pf__list_entry(l, struct pf__role, link));
	if (s->end.fd >= 0)
		close(s->end.fd);
	if (s->epoll >= 0)
		close(s->epoll);
	pthread_cond_destroy(&s->ran);
	pthread_mutex_destroy(&s->lock);
	pf__free(s->notif);
	pf__free(s);
}

/* The kernel may write more than the struct that we were compiled with. Without an answer there
 * will be no filter; who needs none can do without. */
static int ask_sizes(struct pf__supervisor *s)
{
	struct seccomp_notif_sizes sizes = {0};

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		s->no_filter = -errno;
	s->notif_size = sizes.seccomp_notif > sizeof(struct seccomp_notif)
			    ? sizes.seccomp_notif
			    : sizeof(struct seccomp_notif);
	s->notif = pf__malloc(s->notif_size);
	return s->notif ? 0 : -ENOMEM;
}

int pf__supervisor_new(struct pf__supervisor **out)
{
	struct pf__supervisor *s = pf__calloc(1, sizeof *s);
	int err;

	if (!s)
		return pf__fail(-ENOMEM, "supervisor:");
	pf__list_init(&s->roles);
	pf__list_init(&s->watches);
	pf__list_init(&s->listeners);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->ran, NULL);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->end.events = EPOLLIN;
	s->end.fd = s->epoll < 0 ? -errno : pf__sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = s->end.fd < 0 ? s->end.fd : ask_sizes(s);
	if (!err && getrandom(&s->token, sizeof s->token, 0) != sizeof s->token)
		err = -EIO;
	if (!err)
		err = watch_ctl(s, EPOLL_CTL_ADD, &s->end);
	if (!err)
		err = pf__sys.thread_create(&s->thread, loop, s);
	if (err) {
		supervisor_release(s);
		return err == -ENOMEM || err == -EAGAIN ? pf__fail(err, "supervisor:") : err;
	}
	*out = s;
	return 0;
}

void pf__supervisor_free(struct pf__supervisor *s)
{
	uint64_t one = 1;

	if (!s)
		return;
	while (write(s->end.fd, &one, sizeof one) < 0 && errno == EINTR)
		;
	pthread_join(s->thread, NULL);
	supervisor_release(s);
}
