/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server's messages: passed on to where the user reads them, and the last of them kept to say why
 * it ended. Runs on the supervisor's loop and never blocks it: when the reader is slow the server
 * waits for it, as it would without us.
 */
#ifndef PF_LAUNCH_OUTPUT_H
#define PF_LAUNCH_OUTPUT_H

#include "supervise/supervise.h"
#include <pthread.h>

#define PF_OUTPUT_KEPT 1024

struct pf__output {
	struct pf__supervisor *s;
	struct pf__watch in;  /* the pipe from the server */
	struct pf__watch out; /* where it goes, watched while it is slow */
	pthread_mutex_t lock;
	bool muted;                /* lock: pass nothing on */
	char kept[PF_OUTPUT_KEPT]; /* lock: the last bytes, in order */
	size_t nkept;              /* lock */
	char pending[4096];        /* the loop's: read and not yet passed on */
	size_t npending, at;
};

/* to: where it goes, not ours. *pipe_end: for the server, close it after the start. 0 or errno. */
int pf__output_open(struct pf__output *o, struct pf__supervisor *s, int to, int *pipe_end);
/* Pass nothing on any more (what a server says when its device hangs up at an ordinary end). */
void pf__output_mute(struct pf__output *o);
/* The last line with something in it, without what surrounds it; reads what is in the pipe first.
 */
void pf__output_last_words(struct pf__output *o, char *buf, size_t size);
/* Not on the loop. Fine after a failed open. */
void pf__output_close(struct pf__output *o);

#endif
