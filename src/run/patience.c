/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * At its end a run waits for servers: that they take what was written, that they answer those who
 * were killed meanwhile. While the one that ends waits, a thread here looks whether any server
 * still answers, and whether the user has had enough of it.
 */
#include "base/sys.h"
#include "run/internal.h"
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOK_MS 100 /* has the user asked? */

/* Answers of this server, or of all, so far. */
static uint64_t answers(struct pf__run *r, const struct mount *m)
{
	struct pf__list *pos;
	uint64_t n = 0;

	if (m) {
		struct pf_fs *fs = atomic_load(&m->fs);
		struct pf__conn_stats s = {0};

		if (fs)
			pf__conn_stats(fs->super->conn, &s);
		return s.replies;
	}
	pthread_rwlock_rdlock(&r->mounts_lock);
	pf__list_for_each (pos, &r->mounts)
		n += answers(r, pf__list_entry(pos, struct mount, link));
	pthread_rwlock_unlock(&r->mounts_lock);
	return n;
}

/* What waits for an answer fails. */
static void give_up(struct pf__run *r, const struct mount *m)
{
	struct pf__list *pos;

	if (m) {
		struct pf_fs *fs = atomic_load(&m->fs);

		if (fs)
			pf_abort(fs);
		return;
	}
	pthread_rwlock_rdlock(&r->mounts_lock);
	pf__list_for_each (pos, &r->mounts)
		give_up(r, pf__list_entry(pos, struct mount, link));
	pthread_rwlock_unlock(&r->mounts_lock);
}

static void *watch(void *arg)
{
	struct patience *p = arg;
	uint64_t before = answers(p->r, p->m), now;
	unsigned waited = 0;
	bool asked = false;

	for (;;) {
		struct pollfd wake = {p->wake, POLLIN, 0};

		if (poll(&wake, 1, LOOK_MS) > 0)
			return NULL;
		asked = p->r->config.interrupted && p->r->config.interrupted();
		if (asked && !p->given_up) {
			p->given_up = true;
			give_up(p->r, p->m);
		}
		now = answers(p->r, p->m);
		waited = now == before ? waited + LOOK_MS : 0;
		before = now;
		if (waited < p->ms || p->told)
			continue;
		p->told = true;
		if (p->gives_up)
			give_up(p->r, p->m);
		else if (!asked)
			run_say(p->r, "%s does not answer; what was written waits for it",
				p->m ? p->m->point : "a server");
	}
}

void patience_begin(struct patience *p, struct pf__run *r, const struct mount *m, unsigned ms,
		    bool gives_up)
{
	*p = (struct patience){.r = r, .m = m, .ms = ms, .gives_up = gives_up};
	p->wake = pf__sys.eventfd(0, EFD_CLOEXEC);
	p->runs = p->wake >= 0 && !pf__sys.thread_create(&p->thread, watch, p);
}

void patience_end(struct patience *p)
{
	uint64_t one = 1;

	if (p->runs) {
		while (write(p->wake, &one, sizeof one) < 0 && errno == EINTR)
			;
		pthread_join(p->thread, NULL);
	}
	if (p->wake >= 0)
		close(p->wake);
}
