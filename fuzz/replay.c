/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a fuzz target over files, and over all files of directories, in any ordinary build. */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int replay_file(const char *path, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);
	FILE *f = fopen(path, "rb");
	int ok = data && f && fread(data, 1, size, f) == size;

	if (ok) {
		LLVMFuzzerTestOneInput(data, size);
		replayed++;
	} else {
		fprintf(stderr, "replay: cannot read %s\n", path);
	}
	if (f)
		fclose(f);
	free(data);
	return ok ? 0 : 1;
}

static int replay_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	struct stat st;
	int bad = !dir;

	while (dir && (d = readdir(dir))) {
		char name[PATH_MAX];

		snprintf(name, sizeof name, "%s/%s", path, d->d_name);
		if (!stat(name, &st) && S_ISREG(st.st_mode))
			bad |= replay_file(name, st.st_size);
	}
	if (dir)
		closedir(dir);
	return bad;
}

int main(int argc, char **argv)
{
	struct stat st;
	int bad = 0;

	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &st)) {
			perror(argv[i]);
			bad = 1;
		} else {
			bad |= S_ISDIR(st.st_mode) ? replay_dir(argv[i])
						   : replay_file(argv[i], st.st_size);
		}
	}
	printf("%u inputs replayed\n", replayed);
	return bad || !replayed;
}
