/* SPDX-License-Identifier: BSD-2-Clause */
/* Bad addresses are answered with EFAULT, as by the kernel. */
#include "preload.h"
#include <sys/mman.h>

/* At the end of a page, behind which there is nothing. */
static char *last_bytes(size_t n)
{
	static char *page;

	if (!page) {
		page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (page == MAP_FAILED || munmap(page + 4096, 4096))
			exit(1);
	}
	return page + 4096 - n;
}

static void no_crash(const char *path)
{
	struct stat st;
	struct statx x;
	char *end = last_bytes(6);

	memcpy(end, "/nowhe", 6); /* no end */
	MUST(stat(end, &st) && errno == EFAULT);
	MUST(open(end, O_RDONLY) < 0 && errno == EFAULT);
	MUST(access(end, F_OK) && errno == EFAULT);
	MUST(access((char *)8, F_OK) && errno == EFAULT);
	MUST(readlink((char *)-1, end, 1) < 0 && errno == EFAULT);
	MUST(fstatat(0, (char *)8, &st, AT_EMPTY_PATH) && errno == EFAULT);
	MUST(statx(AT_FDCWD, (char *)8, 0, STATX_BASIC_STATS, &x) && errno == EFAULT);
	MUST(fstat(0, (void *)8) && errno == EFAULT);
	/* A path that can be read, attributes that cannot be written. */
	end = strcpy(last_bytes(strlen(path) + 1), path);
	MUST(!stat(end, &st) && !access(end, F_OK));
	MUST(stat(end, (void *)8) && errno == EFAULT);
	MUST(
	    stat(
		end,
		(void
		     *)(uintptr_t) "constant, and so long that there is room for attributes in it: "
				   "st_dev st_ino st_nlink st_mode st_uid st_gid st_rdev "
				   "st_size st_blksize st_blocks st_atim st_mtim st_ctim") &&
	    errno == EFAULT);
	MUST(stat(path, (void *)last_bytes(sizeof st - 8)) && errno == EFAULT);
	MUST(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, (void *)last_bytes(sizeof x - 8)) &&
	     errno == EFAULT);
	MUST(!stat(path, (void *)last_bytes(sizeof st)));
}

void bad_addresses(void)
{
	for (int i = 0; i < 4; i++) {
		no_crash(in(inside, "file"));
		no_crash(in(outside, "file"));
	}
	MUST(!chdir(inside));
	for (int i = 0; i < 4; i++)
		no_crash("file");
	MUST(!chdir("/"));
}
