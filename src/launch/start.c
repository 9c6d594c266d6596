/* SPDX-License-Identifier: BSD-2-Clause */
/* pf_start(): a launched server below a file system. */
#include "base/alloc.h"
#include "base/errmsg.h"
#include "launch/launch.h"
#include "vfs/super.h"
#include <errno.h>

/* What the file system owns. */
struct server {
	struct pf__launch *launch;
	int *verdict; /* for the pf_start() that has not returned yet: what the obituary means */
	char obituary[700];
};

static void server_hanging_up(void *owner)
{
	struct server *s = owner;

	pf__launch_hanging_up(s->launch);
}

static int server_stop(void *owner)
{
	struct server *s = owner;
	int err = pf__launch_stop(s->launch, PF_LAUNCH_GRACE_MS, NULL);

	pf__free(s);
	return err;
}

static const char *server_mountpoint(void *owner)
{
	struct server *s = owner;

	return pf__launch_mount(s->launch)->mountpoint;
}

static pid_t server_pid(void *owner)
{
	struct server *s = owner;

	return pf__launch_server_pid(s->launch);
}

static const char *server_obituary(void *owner)
{
	struct server *s = owner;
	int err = pf__launch_obituary(s->launch, s->obituary, sizeof s->obituary);

	if (s->verdict)
		*s->verdict = err;
	return err ? s->obituary : NULL;
}

static struct pf__backings *server_backings(void *owner)
{
	struct server *s = owner;

	return pf__launch_mount(s->launch)->backings;
}

static const struct pf__owner_ops server_ops = {
    .hanging_up = server_hanging_up,
    .stop = server_stop,
    .mountpoint = server_mountpoint,
    .server_pid = server_pid,
    .backings = server_backings,
    .obituary = server_obituary,
};

/* INIT and all that follows from it. Takes over s. */
static int open_super(struct pf_fs **fs, struct server *s, const struct pf_options *options)
{
	const struct pf__mount *m = pf__launch_mount(s->launch);
	struct pf__launch *launch = s->launch;
	struct pf__transport *t;
	int err;

	err = pf__super_transport(&t, pf__launch_take_fd(launch), m->peer_sndbuf, options);
	if (err) {
		server_stop(s);
		return err;
	}
	err = pf__super_open(fs, t, options, m->options, &server_ops, s);
	if (!err)
		pf__launch_init_done(launch, 0);
	return err;
}

int pf_start(struct pf_fs **fs, char *const argv[], const struct pf_options *options)
{
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	struct server *s = pf__calloc(1, sizeof *s);
	struct pf_options o;
	int verdict = 0;
	int err;

	*fs = NULL;
	if (!s)
		return pf__fail(-ENOMEM, "start:");
	err = pf__options_read(&o, options);
	config.timeout_ms = o.start_timeout_ms;
	config.stderr_fd = o.stderr_fd;
	if (!err)
		err = pf__launch(&s->launch, argv, &config);
	if (err) {
		pf__free(s);
		return err;
	}
	s->verdict = &verdict;
	err = open_super(fs, s, &o);
	if (!err)
		s->verdict = NULL;
	return err && verdict ? verdict : err; /* the sentence is the obituary then */
}
