/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/sigbus.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE  ((uintptr_t)4096)
#define BATCH 64

/* Slots are used again, never freed: the handler looks at them without a lock. */
struct slot {
	_Atomic uintptr_t start; /* 0: free */
	_Atomic uintptr_t end;
	_Atomic int prot;
};
struct batch {
	struct slot slots[BATCH];
	struct batch *_Atomic next;
};

static struct batch first;
static pthread_mutex_t lock =
    PTHREAD_MUTEX_INITIALIZER;     /* who changes slots; held for nothing else */
static struct sigaction before[2]; /* the handler that was there, and the next one */
static _Atomic unsigned which;
static __thread bool passing __attribute__((tls_model("initial-exec")));

static struct slot *find(uintptr_t address)
{
	for (struct batch *b = &first; b; b = atomic_load(&b->next))
		for (int i = 0; i < BATCH; i++) {
			struct slot *s = &b->slots[i];
			uintptr_t start = atomic_load(&s->start);

			if (start && address >= start && address < atomic_load(&s->end))
				return s;
		}
	return NULL;
}

/* What would have happened without us. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *sa = &before[atomic_load(&which)];

	/* That one may pass it on to us. */
	if (passing || (!(sa->sa_flags & SA_SIGINFO) &&
			(sa->sa_handler == SIG_DFL || sa->sa_handler == SIG_IGN))) {
		signal(sig, SIG_DFL); /* it comes again */
		return;
	}
	passing = true;
	if (sa->sa_flags & SA_SIGINFO)
		sa->sa_sigaction(sig, info, context);
	else
		sa->sa_handler(sig);
	passing = false;
}

static void handle(int sig, siginfo_t *info, void *context)
{
	uintptr_t address = (uintptr_t)info->si_addr & ~(PAGE - 1);
	const struct slot *s = info->si_code == BUS_ADRERR ? find(address) : NULL;
	int err = errno;

	/* Not mmap(), which others may stand in for. */
	if (!s || syscall(SYS_mmap, address, PAGE, atomic_load(&s->prot),
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0L) < 0)
		pass_on(sig, info, context);
	errno = err;
}

/* With the lock. */
static void install(void)
{
	struct sigaction sa = {.sa_sigaction = handle,
			       .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESTART};
	unsigned next = !atomic_load(&which);

	sigaction(SIGBUS, NULL, &before[next]);
	if (before[next].sa_flags & SA_SIGINFO && before[next].sa_sigaction == handle)
		return;
	atomic_store(&which, next);
	sigemptyset(&sa.sa_mask);
	sigaction(SIGBUS, &sa, NULL);
}

static struct slot *free_slot(void)
{
	struct batch *b = &first;

	for (;;) {
		struct batch *next;

		for (int i = 0; i < BATCH; i++)
			if (!atomic_load(&b->slots[i].start))
				return &b->slots[i];
		next = atomic_load(&b->next);
		if (!next) {
			next = mmap(NULL, sizeof *next, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (next == MAP_FAILED)
				return NULL;
			atomic_store(&b->next, next);
		}
		b = next;
	}
}

int pf__sigbus_guard(void *start, size_t len, int writable)
{
	struct slot *s;

	pthread_mutex_lock(&lock);
	install();
	s = free_slot();
	if (s) {
		atomic_store(&s->prot, PROT_READ | (writable ? PROT_WRITE : 0));
		atomic_store(&s->end, (uintptr_t)start + len);
		atomic_store(&s->start, (uintptr_t)start);
	}
	pthread_mutex_unlock(&lock);
	return s ? 0 : -ENOMEM;
}

void pf__sigbus_forget(void *start)
{
	struct slot *s;

	pthread_mutex_lock(&lock);
	s = find((uintptr_t)start);
	if (s)
		atomic_store(&s->start, 0);
	pthread_mutex_unlock(&lock);
}
