/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stress DIR [--seed=N] [--ops=N] [--processes=N]: processes that change one tree at once, by
 * chance, with all calls that change trees. Afterwards the tree must agree with itself: two walks,
 * readdir with stat, link counts with the names there are, and each file with the sum that stands
 * in its first bytes.
 *
 * Files are whole whenever they have a name: written under a name of the process's own, renamed in.
 * So what anybody reads, at any time, is right or is not there.
 */
#include "stress.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NAMES = 12, MAX_FILE = 60000, MAX_ENTRIES = 20000 };

static char buf[MAX_FILE];
static int me;
static unsigned problems;

static void problem(const char *path, const char *what)
{
	printf("  # %s: %s\n", path, what);
	problems++;
}

/* One of some hundred paths, up to three directories deep; the same for all processes. */
static const char *some_path(void)
{
	static char paths[4][100];
	static unsigned next;
	char *path = paths[next++ % 4], *p = path;
	unsigned depth = chance() % 4;

	for (unsigned i = 0; i < depth; i++)
		p += sprintf(p, "d%u/", chance() % 4);
	sprintf(p, "%c%u", chance() % 3 ? 'f' : 'd', chance() % NAMES);
	return path;
}

static uint32_t sum(const char *data, size_t length)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < length; i++)
		h = (h ^ (unsigned char)data[i]) * 16777619;
	return h;
}

/* ---- what is done -------------------------------------------------------------------------------
 */

static void make_file(void)
{
	char name[40];
	size_t length = 8 + chance() % (chance() % 5 ? 2000 : MAX_FILE - 8);
	uint32_t head[2];

	snprintf(name, sizeof(name), "tmp%d", me);
	fill(buf + 8, length - 8);
	head[0] = length;
	head[1] = sum(buf + 8, length - 8);
	memcpy(buf, head, 8);
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600 | chance() % 0100);
	if (fd < 0)
		return problem(name, strerror(errno));
	size_t first = chance() % length;
	if (pwrite(fd, buf + first, length - first, first) != (ssize_t)(length - first) ||
	    pwrite(fd, buf, first, 0) != (ssize_t)first)
		problem(name, "written in part");
	if (chance() % 4 == 0)
		fsync(fd);
	const char *path = some_path();
	unsigned how = chance() % 3;
	if ((how == 0   ? link(name, path)
	     : how == 1 ? rename(name, path)
			: renameat2(AT_FDCWD, name, AT_FDCWD, path, RENAME_NOREPLACE)) < 0 ||
	    how == 0)
		unlink(name);
	close(fd);
}

static bool is_whole(int fd)
{
	uint32_t head[2];
	static char data[MAX_FILE + 1];
	ssize_t n = pread(fd, data, sizeof(data), 0);

	if (n < 8)
		return false;
	memcpy(head, data, 8);
	return head[0] == n && head[1] == sum(data + 8, n - 8);
}

static void look(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0)
		problem(path, "fstat of an open file");
	else if (S_ISREG(st.st_mode) && !is_whole(fd))
		problem(path, "is not whole");
	if (S_ISREG(st.st_mode) && chance() % 4 == 0) {
		char *map = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			problem(path, "mmap");
		else if (sum(map + 8, st.st_size - 8) != ((uint32_t *)map)[1])
			problem(path, "is not whole when mapped");
		if (map != MAP_FAILED)
			munmap(map, st.st_size);
	}
	close(fd);
}

static void list(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		/* libfuse keeps what is unlinked while it is open under such a name. */
		if (strlen(e->d_name) > 8 && strncmp(e->d_name, ".fuse_hidden", 12))
			problem(e->d_name, "a name that nobody made");
	if (dir)
		closedir(dir);
}

static void small_change(const char *path)
{
	struct stat st;
	char value[10];
	int fd;

	switch (chance() % 10) {
	case 0:
		(void)!chmod(path, 0700 | chance() % 0100);
		break;
	case 1:
		utimensat(AT_FDCWD, path, (struct timespec[]){{chance(), 0}, {chance(), 0}},
			  AT_SYMLINK_NOFOLLOW);
		break;
	case 2:
		(void)!lchown(path, -1, -1);
		break;
	case 3:
		lsetxattr(path, "user.x", value, chance() % 10, 0);
		break;
	case 4:
		lremovexattr(path, "user.x");
		break;
	case 5:
		(void)!readlink(path, value, sizeof(value));
		break;
	case 6:
		(void)!access(path, R_OK);
		break;
	case 7: /* appending a byte and taking it away leaves the file whole only for who comes
		   after: not done */
		fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0)
			close(fd);
		break;
	case 8:
		lstat(path, &st);
		break;
	default:
		stat(path, &st);
	}
}

static void operate(void)
{
	const char *a = some_path(), *b = some_path();
	unsigned what = chance() % 100;

	if (what < 22)
		make_file();
	else if (what < 40)
		look(a);
	else if (what < 52)
		(void)!rename(a, b);
	else if (what < 54)
		(void)!renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
	else if (what < 60)
		(void)!link(a, b);
	else if (what < 66)
		(void)!mkdir(a, 0755);
	else if (what < 68)
		rmdir(a);
	else if (what < 74)
		unlink(a);
	else if (what < 77)
		(void)!symlink(b, a);
	else if (what < 79)
		mkfifo(a, 0644);
	else if (what < 86)
		list(what < 82 ? "." : a);
	else
		small_change(a);
}

/* ---- what there is afterwards
 * --------------------------------------------------------------------- */

struct entry {
	char path[200];
	struct stat st;
	unsigned names;
};

struct walk {
	struct entry entries[MAX_ENTRIES];
	int count;
};

static void walk_into(struct walk *walk, const char *top)
{
	DIR *dir = opendir(*top ? top : ".");
	struct dirent *d;

	if (!dir)
		return problem(top, strerror(errno));
	while ((d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (walk->count == MAX_ENTRIES) {
			problem(top, "too many entries");
			break;
		}
		struct entry *e = &walk->entries[walk->count++];
		snprintf(e->path, sizeof(e->path), "%.100s%s%.50s", top, *top ? "/" : "",
			 d->d_name);
		if (lstat(e->path, &e->st) < 0)
			problem(e->path, "is listed, but not there");
		else if (d->d_type != DT_UNKNOWN && DTTOIF(d->d_type) != (e->st.st_mode & S_IFMT))
			problem(e->path, "is listed as something else");
		if (S_ISDIR(e->st.st_mode))
			walk_into(walk, e->path);
	}
	closedir(dir);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static struct walk *walk_all(void)
{
	struct walk *walk = calloc(1, sizeof(*walk));

	walk_into(walk, "");
	qsort(walk->entries, walk->count, sizeof(walk->entries[0]), by_path);
	return walk;
}

static void compare(const struct walk *a, const struct walk *b)
{
	if (a->count != b->count)
		problem(".", "two walks find different numbers of entries");
	for (int i = 0; i < a->count && i < b->count; i++) {
		const struct stat *s = &a->entries[i].st, *t = &b->entries[i].st;
		if (strcmp(a->entries[i].path, b->entries[i].path))
			return problem(a->entries[i].path, "is not found twice");
		if (i && !by_path(&a->entries[i], &a->entries[i - 1]))
			problem(a->entries[i].path, "is listed twice");
		if (s->st_mode != t->st_mode || s->st_size != t->st_size ||
		    s->st_ino != t->st_ino || s->st_nlink != t->st_nlink ||
		    s->st_mtim.tv_nsec != t->st_mtim.tv_nsec)
			problem(a->entries[i].path, "differs between two walks");
	}
}

static void check_links(const struct walk *walk, bool counted)
{
	for (int i = 0; i < walk->count; i++) {
		const struct entry *e = &walk->entries[i];
		unsigned names = 0;
		if (S_ISDIR(e->st.st_mode))
			continue;
		for (int k = 0; k < walk->count; k++)
			names += walk->entries[k].st.st_ino == e->st.st_ino;
		if (counted && names != e->st.st_nlink)
			problem(e->path, "has another number of names than of links");
		if (!S_ISREG(e->st.st_mode))
			continue;
		int fd = open(e->path, O_RDONLY);
		if (fd < 0 || !is_whole(fd))
			problem(e->path, "is not whole in the end");
		if (fd >= 0)
			close(fd);
	}
}

static void remove_all(const struct walk *walk)
{
	for (int i = walk->count - 1; i >= 0; i--)
		if (remove(walk->entries[i].path) < 0)
			problem(walk->entries[i].path, "cannot be removed");
	struct walk *left = walk_all();
	if (left->count)
		problem(left->entries[0].path, "is left after all was removed");
	free(left);
}

static unsigned run_processes(int processes, long ops, long seed)
{
	unsigned bad = 0;
	int status;

	fflush(NULL);
	for (me = 0; me < processes; me++)
		if (fork() == 0) {
			seed_chance(seed * 1000 + me);
			for (long i = 0; i < ops; i++)
				operate();
			fflush(NULL);
			_exit(problems ? 1 : 0);
		}
	for (int i = 0; i < processes; i++)
		if (wait(&status) > 0 && status)
			bad++;
	return bad;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
						{"ops", required_argument, NULL, 'o'},
						{"processes", required_argument, NULL, 'p'},
						{"no-links", no_argument, NULL, 'l'},
						{NULL, 0, NULL, 0}};
	long ops = 2000, seed = 1;
	int processes = 4, c;
	bool counted = true;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			seed = atol(optarg);
		else if (c == 'o')
			ops = atol(optarg);
		else if (c == 'p')
			processes = atoi(optarg);
		else if (c == 'l')
			counted = false; /* of servers whose files have an inode a name */
		else
			return 2;
	}
	if (optind != argc - 1 || chdir(argv[optind]) < 0 ||
	    (mkdir("stress", 0755), chdir("stress") < 0))
		err(2, "usage: stress [OPTION...] DIR");
	setvbuf(stdout, NULL, _IOLBF, 0);
	problems += run_processes(processes, ops, seed);
	struct walk *first = walk_all(), *second = walk_all();
	compare(first, second);
	check_links(first, counted);
	int entries = first->count;
	remove_all(first);
	if (chdir("..") < 0 || rmdir("stress") < 0)
		problem("stress", "cannot be removed");
	printf(
	    "%sok - stress: %d processes, %ld operations each, seed %ld, %d entries at the end\n",
	    problems ? "not " : "", processes, ops, seed, entries);
	printf("%d passed, %d failed, 0 skipped\n", !problems, !!problems);
	free(first);
	free(second);
	return problems ? 1 : 0;
}
