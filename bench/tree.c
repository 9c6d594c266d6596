/* SPDX-License-Identifier: BSD-2-Clause */
/* The trees that whole programs work on, made in the plain directory that the servers show. */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRS      40
#define PER_DIR   50 /* files; with DIRS: 2,000 */
#define UNITS     60 /* files of C */
#define DATA_SIZE (4u << 20)

/* 0 or -errno. */
static int write_file(const char *dir, const char *name, const char *text, size_t repeat)
{
	char path[600];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	for (size_t i = 0; i < repeat; i++)
		fputs(text, f);
	return fclose(f) ? -EIO : 0;
}

static int make_directory(const char *dir, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", dir, name);
	return mkdir(path, 0755) ? -errno : 0;
}

/* Its error goes to ours. */
static int shell(const char *dir, const char *command)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		if (!chdir(dir))
			execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return status ? -ECHILD : 0;
}

/* 4 MiB to read and map. */
int tree_data(struct side *side)
{
	return write_file(side->source, "data", "0123456789abcde\n", DATA_SIZE / 16);
}

/* 2,000 files of 1 to 8 KiB in 40 directories. */
int tree_source(struct side *side)
{
	char text[64], name[32], top[400], dir[500];
	int ret = make_directory(side->source, "tree", top, sizeof(top));

	if (ret)
		return ret == -EEXIST ? 0 : ret; /* the server was started again */
	for (int d = 0; d < DIRS && !ret; d++) {
		snprintf(name, sizeof(name), "d%02d", d);
		ret = make_directory(top, name, dir, sizeof(dir));
		for (int i = 0; i < PER_DIR && !ret; i++) {
			snprintf(name, sizeof(name), "file%03d.txt", i);
			snprintf(text, sizeof(text), "line of file %06d in dir %02d\n", i, d);
			ret = write_file(dir, name, text, 32 + (size_t)(i % 8) * 32);
		}
	}
	return ret;
}

/* The same, and known to git. */
int tree_git(struct side *side)
{
	int ret = tree_source(side);

	return ret ? ret
		   : shell(side->source,
			   "cd tree && test -d .git || { git init -q -b main && git add -A && "
			   "git -c user.name=b -c user.email=b@b commit -qm tree; }");
}

static const char makefile[] = "CFLAGS = -O1 -Wall\n"
			       "OBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))\n"
			       "program: $(OBJECTS)\n"
			       "\t$(CC) -o $@ $(OBJECTS)\n"
			       "$(OBJECTS): common.h\n"
			       "clean:\n"
			       "\trm -f program *.o\n";
static const char header[] = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
			     "struct item { struct item *next; char name[64]; int count; };\n"
			     "static inline int sum(const struct item *i)\n"
			     "{\n\tint n = 0;\n\tfor (; i; i = i->next)\n\t\tn += i->count;\n"
			     "\treturn n;\n}\n";
static const char function[] = "static int f%d_%d(struct item *i, int n)\n{\n"
			       "\tsnprintf(i->name, sizeof i->name, \"%%d\", n * %d);\n"
			       "\ti->count = (int)strlen(i->name) + sum(i);\n"
			       "\treturn i->count %% %d;\n}\n";

static void write_unit(FILE *f, int unit)
{
	enum { FUNCTIONS = 30 };

	fprintf(f, "#include \"common.h\"\n");
	for (int i = 0; i < FUNCTIONS; i++)
		fprintf(f, function, unit, i, i + 3, i + 7);
	fprintf(f, "int unit%d(struct item *i)\n{\n\treturn 0", unit);
	for (int i = 0; i < FUNCTIONS; i++)
		fprintf(f, " + f%d_%d(i, %d)", unit, i, i);
	fprintf(f, ";\n}\n");
	if (unit == 0)
		fprintf(f, "int main(void)\n{\n\tstruct item i = {0};\n\treturn unit0(&i);\n}\n");
}

/* 60 files of C, a header, a Makefile. */
int tree_project(struct side *side)
{
	char dir[400], path[500];
	int ret = make_directory(side->source, "project", dir, sizeof(dir));

	if (ret)
		return ret == -EEXIST ? 0 : ret;
	ret = write_file(dir, "Makefile", makefile, 1);
	if (!ret)
		ret = write_file(dir, "common.h", header, 1);
	for (int unit = 0; unit < UNITS && !ret; unit++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/unit%02d.c", dir, unit);
		f = fopen(path, "we");
		if (!f)
			return -errno;
		write_unit(f, unit);
		ret = fclose(f) ? -EIO : 0;
	}
	return ret;
}
