/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIGINT, SIGTERM and SIGHUP end the command in order: calls in progress are interrupted, the
 * servers are stopped, and the exit status is 128 + the signal. A second signal, or a server that
 * does not let go within a few seconds, cuts this short. SIGPIPE becomes EPIPE of the write.
 *
 * Handlers, not masks or SIG_IGN: those would be inherited by the servers.
 */
#ifndef TOOLS_INTERRUPT_H
#define TOOLS_INTERRUPT_H

#include "session.h"

/* Begin to watch; the calling thread is the one whose blocking system calls get EINTR. */
int interrupt_watch(struct session *session);
/*
 * Signals come as bytes by this descriptor instead, and end nothing; -1: no longer. For who has
 * something of his own to end in order.
 */
void interrupt_divert(int fd);
/* The signal that asked us to end, 0: none. */
int interrupted(void);

#endif
