// SPDX-License-Identifier: BSD-2-Clause
/*
 * List the root of any FUSE server's file system:
 *
 *	cc list.c -o list $(pkg-config --cflags --libs portfire)
 *	./list squashfuse image.sqfs {}
 */
#include <portfire/portfire.h>
#include <stdio.h>

static int list(struct pf_fs *fs)
{
	struct pf_dirent e;
	struct pf_file *dir;
	int r = pf_open(fs, "/", 0, 0, &dir);

	if (r < 0)
		return r;
	while ((r = pf_readdir(dir, &e)) == 1) {
		struct stat st;

		if (e.name[0] != '.' && pf_lstat(fs, e.name, &st) == 0)
			printf("%10lld %s\n", (long long)st.st_size, e.name);
	}
	pf_close(dir);
	return r;
}

int main(int argc, char **argv)
{
	struct pf_fs *fs;
	int r;

	if (argc < 2) {
		fprintf(stderr, "usage: %s SERVER [ARGUMENT...]\n", argv[0]);
		return 2;
	}
	r = pf_start(&fs, argv + 1, NULL);
	if (r == 0) {
		r = list(fs);
		if (r < 0)
			fprintf(stderr, "%s: %s\n", argv[0], pf_error());
		pf_stop(fs);
		return r < 0;
	}
	fprintf(stderr, "%s: %s\n", argv[0], pf_error());
	return 1;
}
