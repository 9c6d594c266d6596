/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One server: guardian, device and output put together, and why it failed.
 *
 * lock guards what the loop thread tells us; only the output's lock is taken under it.
 */
#include "launch/launch.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/errmsg.h"
#include "launch/claim.h"
#include "launch/command.h"
#include "launch/output.h"
#include "launch/serverpid.h"
#include "supervise/guard.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 30000
#define PATIENCE_MS        250    /* for a server to end by itself when its device hangs up */
#define LAST_WORK_MS       300000 /* for one that has let go of its device to finish its work */
#define NEWS_MS            500    /* how late the news of a death may come */

enum state { STARTING, MOUNTED, UNMOUNTED };

struct pf__launch {
	struct pf__supervisor *s;
	struct pf__devices *devices;
	struct pf__guard *guard;
	struct pf__output output;
	struct pf__command command;
	char *name;    /* of the program, for sentences */
	char *private; /* the directory for {}; NULL: none */
	bool by_dev_fd;
	struct pf__watch claim; /* below another supervisor of ours: mounts come here (claim.h) */
	uint32_t grace_ms;      /* when we die */
	pid_t server;           /* who serves, found before we hang up; 0: nobody we can see */
	int server_pidfd;       /* -1: none */
	pthread_mutex_t lock;
	pthread_cond_t news; /* CLOCK_MONOTONIC */
	enum state state;    /* lock, and the next ones */
	struct pf__mount mount;
	int hangup; /* our end once more, to hang up when the server unmounts; -1 */
	bool twice; /* it tried to mount again */
	bool exited, gone;
	int status; /* once exited */
};

/* ---- news from the loop ------------------------------------------------------------------------
 */

static int on_mount(void *ctx, struct pf__mount *m)
{
	struct pf__launch *l = ctx;
	int err = 0;

	pthread_mutex_lock(&l->lock);
	if (l->state == STARTING) {
		l->state = MOUNTED;
		l->mount = *m;
		l->hangup = fcntl(m->fd, F_DUPFD_CLOEXEC, 3);
	} else {
		l->twice = true;
		err = -EBUSY;
	}
	pthread_cond_broadcast(&l->news);
	pthread_mutex_unlock(&l->lock);
	return err;
}

static bool on_mounted(void *ctx, const char *path, bool unmount)
{
	struct pf__launch *l = ctx;
	bool yes;

	pthread_mutex_lock(&l->lock);
	yes = l->state == MOUNTED && strcmp(path, l->mount.mountpoint) == 0;
	if (yes && unmount) {
		l->state = UNMOUNTED;
		if (l->hangup >= 0)
			shutdown(l->hangup, SHUT_RDWR);
	}
	pthread_mutex_unlock(&l->lock);
	return yes;
}

/* The supervisor above us has answered our server's mount. */
static void claim_ready(void *ctx, short revents)
{
	struct pf__launch *l = ctx;
	struct pf__mount m;
	int got = pf__claim_receive(l->claim.fd, &m);

	(void)revents;
	if (got <= 0)
		pf__supervisor_unwatch(l->s, &l->claim); /* it has gone, and we shall soon */
	else if (on_mount(l, &m))
		pf__mount_clear(&m);
}

static const struct pf__device_ops device_ops = {on_mount, on_mounted};

static void on_guard(void *ctx, enum pf__guard_event event, int status)
{
	struct pf__launch *l = ctx;

	pthread_mutex_lock(&l->lock);
	if (event == PF_GUARD_EXITED) {
		l->exited = true;
		l->status = status;
	} else {
		l->gone = true;
	}
	pthread_cond_broadcast(&l->news);
	pthread_mutex_unlock(&l->lock);
}

/* ---- why
 * ----------------------------------------------------------------------------------------- */

/* What stood in its way, if something did. */
static const char *obstacle(const struct pf__launch *l)
{
	bool untraceable = false;

	if (!l->devices || !pf__devices_no_mount(l->devices, &untraceable))
		return "";
	if (untraceable)
		return " (neither mount(2) nor ptrace(2) is permitted here, by the container's "
		       "seccomp profile perhaps: one of them is needed)";
	if (l->state == STARTING)
		return " (mount(2) is not permitted here, by the container's seccomp profile "
		       "perhaps: only servers that mount by fusermount can be started)";
	return "";
}

/* What became of the server, with a trailing ": last words" where there are any. Locked. */
static void describe_end(struct pf__launch *l, const char *when, char *buf, size_t size)
{
	char words[300];

	pf__output_last_words(&l->output, words, sizeof words);
	if (l->exited && WIFSIGNALED(l->status))
		snprintf(buf, size, "%s was killed by signal %d (%s)%s%s%s", l->name,
			 WTERMSIG(l->status), strsignal(WTERMSIG(l->status)), when,
			 *words ? ": " : "", words);
	else if (l->exited && !l->status)
		snprintf(buf, size, "%s has ended%s%s%s", l->name, when, *words ? ": " : "", words);
	else if (l->exited)
		snprintf(buf, size, "%s exited with status %d%s%s%s%s", l->name,
			 WEXITSTATUS(l->status), when, *words ? ": " : "", words, obstacle(l));
	else /* the guardian tells of its end before its own */
		snprintf(buf, size, "the process that watches over %s was killed%s%s%s", l->name,
			 when, *words ? ": " : "", words);
}

/* Locked. */
static int fail_unmounted(struct pf__launch *l, uint32_t timeout_ms)
{
	char text[600], words[300];

	if (l->devices && pf__devices_blind(l->devices))
		return pf__fail(-EPERM,
				"cannot look into the memory of %s to supervise it (see "
				"kernel.yama.ptrace_scope, or the container's filter)",
				l->name);
	if (l->gone || (l->exited && l->status)) {
		describe_end(l, " before it mounted", text, sizeof text);
		return pf__fail(-ENOTCONN, "%s", text);
	}
	pf__output_last_words(&l->output, words, sizeof words);
	return pf__fail(-ETIMEDOUT, "%s did not mount within %g s%s%s", l->name,
			timeout_ms / 1000.0, *words ? ": " : "", words);
}

static void time_from_now(struct timespec *t, uint32_t ms)
{
	clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_sec += ms / 1000;
	t->tv_nsec += (long)(ms % 1000) * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
}

int pf__launch_obituary(struct pf__launch *l, char *buf, size_t size)
{
	struct timespec until;
	int err = 0;

	*buf = '\0';
	time_from_now(&until, NEWS_MS);
	pthread_mutex_lock(&l->lock);
	while (!l->exited && !l->twice && !err)
		err = pthread_cond_timedwait(&l->news, &l->lock, &until);
	err = 0;
	if (l->twice) {
		err = -EBUSY;
		snprintf(buf, size, "%s mounts twice", l->name);
	} else if (l->gone || (l->exited && l->status)) {
		err = -ENOTCONN;
		describe_end(l, "", buf, size);
	}
	pthread_mutex_unlock(&l->lock);
	return err;
}

/* ---- starting
 * ------------------------------------------------------------------------------------- */

/* A daemon's first process ends well before or after it mounts: wait while anything lives. */
static int await_mount(struct pf__launch *l, uint32_t timeout_ms)
{
	struct timespec until;
	int err = 0;

	time_from_now(&until, timeout_ms);
	pthread_mutex_lock(&l->lock);
	while (l->state == STARTING && !l->gone && !(l->exited && l->status) && !err)
		err = pthread_cond_timedwait(&l->news, &l->lock, &until);
	err = l->state == STARTING ? fail_unmounted(l, timeout_ms) : 0;
	pthread_mutex_unlock(&l->lock);
	return err;
}

static int start_guard(struct pf__launch *l, int output, int pass_fd)
{
	struct pf__guard_start how = {.file = l->command.file,
				      .argv = l->command.argv,
				      .filtered = !l->by_dev_fd && l->claim.fd < 0,
				      .out_fd = output,
				      .err_fd = output,
				      .pass_fd = pass_fd,
				      .remove = l->private,
				      .patience_ms = PATIENCE_MS,
				      .grace_ms = l->grace_ms,
				      .event = on_guard,
				      .ctx = l};
	int err = pf__guard_start(&l->guard, l->s, &how);

	/* The caller's own sentence stands for what it has said already. */
	if (err == -ENOENT || err == -EACCES || err == -ENOEXEC || err == -E2BIG || err == -ELOOP)
		return pf__fail(err, "cannot run %s:", l->command.file);
	return err;
}

static int set_up(struct pf__launch *l, const struct pf__launch_config *config, int *output)
{
	int err = pf__supervisor_new(&l->s);

	if (err)
		return err;
	if (!l->by_dev_fd && l->claim.fd < 0)
		err = pf__devices_new(&l->devices, l->s, &device_ops, l);
	if (l->claim.fd >= 0)
		err = pf__supervisor_watch(l->s, &l->claim);
	if (!err)
		err = pf__output_open(&l->output, l->s,
				      config->stderr_fd < 0 ? 2 : config->stderr_fd, output);
	return err ? pf__fail(err, "cannot start %s:", l->name) : 0;
}

/* The usual way: the filter. */
static int start_supervised(struct pf__launch *l, char *const argv[],
			    const struct pf__launch_config *config)
{
	uint32_t timeout_ms = config->timeout_ms ? config->timeout_ms : DEFAULT_TIMEOUT_MS;
	PF_AUTO_CLOSE int output = -1;
	int err;

	err = set_up(l, config, &output);
	/* Just before the guardian comes, who removes it even if we are killed. */
	if (!err && pf__command_has_braces(argv))
		err = pf__private_directory(&l->private);
	if (!err)
		err = pf__command_make(&l->command, argv, l->private);
	if (!err)
		err = start_guard(l, output, -1);
	if (output >= 0)
		close(pf__take(output, -1)); /* else its end would not be told */
	return err ? err : await_mount(l, timeout_ms);
}

/* The socket itself is the mountpoint's name: nothing is trapped, and no mount options are known.
 */
static int start_by_dev_fd(struct pf__launch *l, char *const argv[],
			   const struct pf__launch_config *config)
{
	PF_AUTO_CLOSE int output = -1;
	PF_AUTO_CLOSE int peer = -1;
	char place[32];
	struct stat st;
	int err;

	if (!pf__command_has_braces(argv))
		return pf__fail(-EINVAL, "%s: no {} stands in the command for /dev/fd/N", argv[0]);
	err = pf__device_pair(&l->mount, &l->mount.fd, &peer);
	if (err)
		return pf__fail(err, "cannot start %s: socket:", argv[0]);
	if (fstat(peer, &st) == 0)
		l->mount.peer_ino = st.st_ino;
	snprintf(place, sizeof place, "/dev/fd/%d", peer);
	l->mount.mountpoint = pf__strdup(place);
	l->mount.source = pf__strdup("");
	l->mount.fstype = pf__strdup("");
	l->mount.options = pf__strdup("");
	if (!l->mount.mountpoint || !l->mount.source || !l->mount.fstype || !l->mount.options)
		return pf__fail(-ENOMEM, "cannot start %s:", argv[0]);
	l->state = MOUNTED;
	err = pf__command_make(&l->command, argv, place);
	if (!err)
		err = set_up(l, config, &output);
	return err ? err : start_guard(l, output, peer);
}

static struct pf__launch *launch_new(char *const argv[])
{
	struct pf__launch *l = pf__calloc(1, sizeof *l);
	const char *slash = strrchr(argv[0], '/');
	pthread_condattr_t attr;

	if (!l)
		return NULL;
	l->mount.fd = -1;
	l->hangup = l->server_pidfd = -1;
	l->claim = (struct pf__watch){-1, POLLIN, claim_ready, l};
	pf__list_init(&l->claim.link);
	l->name = pf__strdup(slash && slash[1] ? slash + 1 : argv[0]);
	if (!l->name) {
		pf__free(l);
		return NULL;
	}
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->news, &attr);
	pthread_condattr_destroy(&attr);
	return l;
}

enum way { SUPERVISED, BY_CLAIM, BY_DEV_FD };

static int launch_one_way(struct pf__launch **out, char *const argv[],
			  const struct pf__launch_config *config, enum way way)
{
	struct pf__launch *l = launch_new(argv);
	int err;

	if (!l)
		return pf__fail(-ENOMEM, "cannot start %s:", argv[0]);
	l->by_dev_fd = way == BY_DEV_FD;
	l->grace_ms = config->grace_ms ? config->grace_ms : PF_LAUNCH_GRACE_MS;
	if (way == BY_CLAIM)
		l->claim.fd = pf__claim_open();
	err = way == BY_CLAIM && l->claim.fd < 0 ? -EBUSY
	      : l->by_dev_fd                     ? start_by_dev_fd(l, argv, config)
						 : start_supervised(l, argv, config);
	if (err) {
		pf__launch_stop(l, 500, NULL);
		return err;
	}
	*out = l;
	return 0;
}

/* Did the filter fail, rather than the server? */
static bool cannot_supervise(int err)
{
	return err == -EBUSY || err == -ENOSYS || err == -EINVAL || err == -EPERM;
}

int pf__launch(struct pf__launch **out, char *const argv[], const struct pf__launch_config *config)
{
	int err;

	if (!argv || !argv[0])
		return pf__fail(-EINVAL, "no server command is given");
	if (config->way == PF_LAUNCH_DEV_FD)
		return launch_one_way(out, argv, config, BY_DEV_FD);
	err = launch_one_way(out, argv, config, SUPERVISED);
	if (err == -EBUSY && pf__claims_here()) /* keeps the sentence, if not */
		return launch_one_way(out, argv, config, BY_CLAIM);
	if (!cannot_supervise(err) || config->way == PF_LAUNCH_SUPERVISED)
		return err;
	if (!pf__command_has_braces(argv))
		return pf__fail(
		    err,
		    "%s; without that only a server that takes {} for its mountpoint, as "
		    "/dev/fd/N, can be started",
		    pf__errmsg());
	return launch_one_way(out, argv, config, BY_DEV_FD);
}

/* ---- afterwards
 * ------------------------------------------------------------------------------------ */

const struct pf__mount *pf__launch_mount(const struct pf__launch *l)
{
	return &l->mount;
}

int pf__launch_take_fd(struct pf__launch *l)
{
	return pf__take(l->mount.fd, -1);
}

pid_t pf__launch_server_pid(struct pf__launch *l)
{
	pid_t first = pf__guard_pid(l->guard);

	pthread_mutex_lock(&l->lock);
	if (l->exited)
		first = 0;
	pthread_mutex_unlock(&l->lock);
	return pf__socket_holder(l->mount.peer_ino, first);
}

void pf__launch_init_done(struct pf__launch *l, int err)
{
	if (l->devices)
		pf__device_answer_mount(l->devices, err ? -ENOTCONN : 0);
	pf__guard_settled(l->guard);
}

void pf__launch_hanging_up(struct pf__launch *l)
{
	pf__output_mute(&l->output);
	if (l->server_pidfd >= 0)
		return;
	l->server = pf__launch_server_pid(l);
	if (l->server > 0)
		l->server_pidfd = (int)syscall(SYS_pidfd_open, l->server, 0);
}

static bool ends_within(int pidfd, int ms)
{
	struct pollfd p = {pidfd, POLLIN, 0};
	int n;

	do
		n = poll(&p, 1, ms);
	while (n < 0 && errno == EINTR);
	return n != 0;
}

/*
 * A server that lives on after it has let go of its device is writing down what it holds, as
 * archivemount does with its archive: a signal now would destroy that. One that still holds the
 * device has not heard us hang up; it gets the signal.
 */
static void await_last_work(struct pf__launch *l)
{
	if (l->server_pidfd < 0 || ends_within(l->server_pidfd, PATIENCE_MS) ||
	    pf__socket_holder(l->mount.peer_ino, 0) > 0)
		return;
	ends_within(l->server_pidfd, LAST_WORK_MS);
}

int pf__launch_stop(struct pf__launch *l, unsigned grace_ms, int *status)
{
	unsigned patience_ms;
	int err = 0;

	pthread_mutex_lock(&l->lock);
	/* What never mounted has no device that could hang up. */
	patience_ms = l->state == STARTING ? 0 : PATIENCE_MS;
	if (l->hangup >= 0)
		close(pf__take(l->hangup, -1));
	pthread_mutex_unlock(&l->lock);
	if (l->output.s)
		pf__output_mute(&l->output);
	if (l->mount.fd >= 0)
		close(pf__take(l->mount.fd, -1));
	if (l->claim.fd >= 0) {
		pf__supervisor_unwatch(l->s, &l->claim);
		close(l->claim.fd);
	}
	if (l->devices) /* INIT was never answered */
		pf__device_answer_mount(l->devices, -ENOTCONN);
	await_last_work(l);
	if (l->server_pidfd >= 0)
		close(pf__take(l->server_pidfd, -1));
	if (l->guard)
		err = pf__guard_stop(l->guard, patience_ms, grace_ms);
	pthread_mutex_lock(&l->lock);
	if (status)
		*status = l->status;
	pthread_mutex_unlock(&l->lock);
	pf__guard_free(l->guard);
	pf__output_close(&l->output);
	pf__supervisor_free(l->s);
	pf__devices_free(l->devices);
	pf__mount_clear(&l->mount);
	if (l->private)
		rmdir(l->private); /* the guardian has done it, if there was one */
	pf__command_clear(&l->command);
	pthread_cond_destroy(&l->news);
	pthread_mutex_destroy(&l->lock);
	pf__free(l->private);
	pf__free(l->name);
	pf__free(l);
	return err;
}
