/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one cached name with its inode takes: list a directory of many files with READDIRPLUS from
 * a server that keeps nothing itself, and see by how much the process grew.
 */
#include "bench.h"
#include <fcntl.h>
#include <malloc.h>
#include <portfire/portfire.h>
#include <unistd.h>

#define FOREVER 1000000
#define CHECKS  1000

static double resident_bytes(void)
{
	unsigned long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return (double)resident * sysconf(_SC_PAGESIZE);
}

static unsigned list(struct pf_fs *fs)
{
	struct pf_dirent entry;
	struct pf_file *dir;
	unsigned n = 0;

	if (pf_open(fs, "many", O_RDONLY | O_DIRECTORY, 0, &dir))
		return 0;
	while (pf_readdir(dir, &entry) > 0)
		n++;
	pf_close(dir);
	return n;
}

/* Only what answers without a request is cached. */
static bool all_cached(struct pf_fs *fs, const struct inproc_server *server, unsigned names)
{
	unsigned long before = inproc_server_requests(server);
	struct stat st;
	char path[32];

	for (unsigned i = 0; i < CHECKS; i++) {
		snprintf(path, sizeof(path), "many/f%07u",
			 (unsigned)((uint64_t)i * names / CHECKS));
		if (pf_stat(fs, path, &st))
			return false;
	}
	return inproc_server_requests(server) == before;
}

int memory_main(unsigned names)
{
	struct inproc_server *server;
	struct pf_fs *fs;
	double before, after;
	int ret = 1;

	server = inproc_server_start(&fs, names, FOREVER);
	if (!server)
		return 1;
	malloc_trim(0);
	before = resident_bytes();
	if (list(fs) < names) {
		fprintf(stderr, "bench: the listing is not complete: %s\n", pf_error());
	} else {
		malloc_trim(0);
		after = resident_bytes();
		if (all_cached(fs, server, names)) {
			printf("%.1f\n", (after - before) / names);
			ret = 0;
		} else {
			fprintf(stderr, "bench: not every listed name is cached\n");
		}
	}
	pf_stop(fs);
	inproc_server_free(server);
	return ret;
}
