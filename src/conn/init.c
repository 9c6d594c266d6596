/* SPDX-License-Identifier: BSD-2-Clause */
/* The first and the last request of a connection. */
#include "base/arith.h"
#include "base/errmsg.h"
#include "conn/internal.h"
#include <errno.h>

#define HEADROOM                                                                                   \
	80 /* in header and WRITE's argument: what every server's buffer has beside max_write */

static void take_limits(struct pf__conn *conn)
{
	uint64_t ours = conn->config.request_timeout_ms * PF_NSEC_PER_MSEC;
	uint64_t theirs = conn->got.request_timeout * PF_NSEC_PER_SEC;

	conn->max_message = pf__max_u64(FUSE_MIN_READ_BUFFER, HEADROOM + conn->got.max_write);
	conn->max_background =
	    conn->config.max_background ? conn->config.max_background : conn->got.max_background;
	conn->timeout = ours && theirs ? pf__min_u64(ours, theirs) : ours + theirs;
}

static int refused(int err, const struct pf__conn *conn)
{
	switch (err) {
	case -ETIMEDOUT:
		return pf__fail(err, "INIT: the server did not answer within %g s",
				conn->config.init_timeout_ms / 1000.0);
	case -ENOTCONN:
	case -ECONNABORTED:
		return pf__fail(-ENOTCONN, "INIT: the server hung up before it answered");
	case -ENOMEM:
		return err;
	default:
		return pf__fail(-ECONNREFUSED, "INIT: the server answered %s", pf__errno_name(err));
	}
}

int pf__init(struct pf__conn *conn)
{
	struct fuse_init_in in;
	struct fuse_init_out out;
	struct pf__req req = {
	    .opcode = FUSE_INIT,
	    .marks = PF_REQ_FORCE | PF_REQ_NOCREDS,
	};
	const char *why = "";
	uint64_t deadline;
	int err;

	conn->got.dialect.minor = conn->config.want.minor;
	conn->max_message = FUSE_MIN_READ_BUFFER;
	pf__init_encode(&conn->config.want, &in);
	pf__req_in(&req, &in, sizeof(in));
	pf__req_out(&req, &out, sizeof(out));
	deadline = PF_TIME_FOREVER;
	if (conn->config.init_timeout_ms)
		deadline = pf__now() + conn->config.init_timeout_ms * PF_NSEC_PER_MSEC;
	err = pf__request_until(conn, &req, deadline);
	if (err)
		return refused(err, conn);
	err = pf__init_decode(&conn->config.want, &out, req.out_len, &conn->got, &why);
	if (err)
		return pf__fail(err, "INIT: the server cannot be used: %s", why);
	take_limits(conn);
	/* Release: a thread that sees ready sees what INIT agreed on. */
	atomic_store_explicit(&conn->ready, true, memory_order_release);
	return 0;
}

void pf__destroy(struct pf__conn *conn, uint64_t deadline)
{
	struct pf__req req = {
	    .opcode = FUSE_DESTROY,
	    .marks = PF_REQ_FORCE | PF_REQ_NOCREDS,
	};

	if (!conn->ready || conn->dead)
		return;
	(void)pf__request_until(conn, &req, deadline);
}
