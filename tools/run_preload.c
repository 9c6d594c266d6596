/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the library that makes programs faster, beside the command (in a build tree) or where it
 * was installed. Its path may hold neither blanks nor colons, which separate the words of
 * LD_PRELOAD: else it is named by a link in the run's own directory.
 */
#include "run_preload.h"
#include "report.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "libportfire-preload.so"

/* A file below the directory of the command. */
static bool is_there(const char *command, const char *below, char *path)
{
	return snprintf(path, PATH_MAX, "%s/%s" NAME, command, below) < PATH_MAX &&
	       !access(path, R_OK);
}

static bool find(char *path)
{
	char command[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", command, sizeof(command) - 1);
	char *slash;

	command[n > 0 ? n : 0] = '\0';
	slash = strrchr(command, '/');
	if (slash)
		*slash = '\0';
	if (slash && (is_there(command, "src/preload/", path) || is_there(command, "", path)))
		return true;
	return snprintf(path, PATH_MAX, "%s", PORTFIRE_PRELOAD) < PATH_MAX && !access(path, R_OK);
}

int preload_find(enum preload how, char path[PATH_MAX])
{
	if (how == PRELOAD_NO)
		return 0;
	/* Programs that cannot have it have it taken away as they are executed, by ptrace. */
	if (how == PRELOAD_IF_POSSIBLE)
		return pf__supervisor_may_inject() && find(path);
	if (find(path))
		return 1;
	complain_plain("--preload: there is no " NAME ", neither beside the command nor as %s",
		       PORTFIRE_PRELOAD);
	return -1;
}

int preload_export(struct pf__run *run, const char *path)
{
	const char *others = getenv("LD_PRELOAD");
	char link[PATH_MAX], *value = NULL;
	int err = 0;

	if (strpbrk(path, " \t:")) {
		snprintf(link, sizeof(link), "%s/" NAME, pf__run_private(run));
		if (symlink(path, link))
			err = -errno;
		path = link;
	}
	if (!err)
		err = pf__run_preloads(run, path);
	if (!err &&
	    (asprintf(&value, "%s%s%s", others ? others : "", others ? ":" : "", path) < 0 ||
	     setenv("LD_PRELOAD", value, 1)))
		err = -ENOMEM;
	free(value);
	if (err)
		complain(false, err, "--preload: %s", path);
	return err ? -1 : 0;
}
