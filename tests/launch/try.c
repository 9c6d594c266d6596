/* SPDX-License-Identifier: BSD-2-Clause */
/* By hand: start a server, list its root directory, stop it, telling all on the way. */
#include "base/errmsg.h"
#include "launch/launch.h"
#include "miniclient.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static double ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	const struct pf__mount *m;
	struct pf__launch *l;
	char why[600];
	int fd, err, status = 0;
	double t0 = ms(), t1;

	if (getenv("TRY_TIMEOUT"))
		config.timeout_ms = (uint32_t)atoi(getenv("TRY_TIMEOUT"));
	if (getenv("TRY_DEV_FD"))
		config.way = PF_LAUNCH_DEV_FD;
	err = pf__launch(&l, argv + 1, &config);
	if (err) {
		printf("error %d: %s (after %.0f ms)\n", err, pf__errmsg(), ms() - t0);
		return 1;
	}
	m = pf__launch_mount(l);
	printf(
	    "mounted after %.0f ms: mountpoint %s, source '%s', type '%s', message %zu, sync %d\n"
	    "options %s\n",
	    ms() - t0, m->mountpoint, m->source, m->fstype, m->max_message, m->sync_init,
	    m->options);
	fd = pf__launch_take_fd(l);
	err = mini_init(fd);
	pf__launch_init_done(l, err);
	printf("INIT %d\n", err);
	printf("GETATTR %d, server pid %d\n", mini_getattr(fd), (int)pf__launch_server_pid(l));
	printf("READDIR %d\n", mini_list(fd, stdout));
	if (getenv("TRY_WAIT")) {
		fflush(stdout);
		sleep((unsigned)atoi(getenv("TRY_WAIT")));
	}
	printf("GETATTR %d, server pid %d\n", mini_getattr(fd), (int)pf__launch_server_pid(l));
	printf("DESTROY %d\n", mini_destroy(fd));
	if (err && pf__launch_obituary(l, why, sizeof why))
		printf("obituary: %s\n", why);
	close(fd);
	t1 = ms();
	err = pf__launch_stop(l, 5000, &status);
	printf("stop %d after %.0f ms, exit status %d signal %d\n", err, ms() - t1,
	       WEXITSTATUS(status), WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return 0;
}
