/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posix DIR [OPTION...] [CASE...]: does the file system of DIR do what POSIX and Linux promise?
 *
 *  --list             the names of the cases
 *  --without=WORD,... leave out what needs these
 *  --known=FILE       failed checks that are no failures: lines as --results writes them, '*' for
 * anything
 *  --results=FILE     write a line "CASE: CHECK: SEEN" for each check, to compare runs by
 *  --no-fork          all cases in this process, for a debugger
 *
 * A word of CASE may also be the beginning of names. Prints a line a case, and one for each check
 * that failed; exits with 1 when one did.
 */
#include "posix.h"

#include <err.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

static const struct test *const all_tests[] = {
    path_tests, open_tests,  name_tests,  rename_tests, node_tests, attr_tests,
    time_tests, owner_tests, xattr_tests, dir_tests,    cwd_tests,  data_tests,
    map_tests,  copy_tests,  lock_tests,  exec_tests,
};

/* Shared with the cases' processes. */
static struct state {
	unsigned checks, failures, known;
	bool gave_up;
	char reason[200];
} * state;

char here[PATH_MAX];
static char top[PATH_MAX];
static const char *case_name, *without = "";
static const char *known_lines = "";
static char row_text[200];
static FILE *results;
static bool forking = true;

bool is_root(void)
{
	return geteuid() == 0;
}

/* Root of a container has some of them only. */
bool may(int capability)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long effective = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	if (f)
		fclose(f);
	return effective >> capability & 1;
}

bool lacks(const char *word)
{
	size_t length = strlen(word);

	for (const char *p = without; (p = strstr(p, word)); p += length)
		if ((p == without || p[-1] == ',') && (p[length] == ',' || p[length] == '\0'))
			return true;
	return false;
}

/* ---- checks ------------------------------------------------------------------------------------
 */

void row(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(row_text, sizeof(row_text), format, ap);
	va_end(ap);
}

/* Is the line one of the known ones, up to its end? A '*' there stands for anything. */
static bool matches(const char *known, const char *line)
{
	for (; *known != '\0' && *known != '\n'; known++, line++) {
		if (*known == '*') {
			do
				if (matches(known + 1, line))
					return true;
			while (*line++);
			return false;
		}
		if (*known != *line)
			return false;
	}
	return *line == '\0';
}

static bool is_known(const char *line)
{
	for (const char *p = known_lines; *p; p = strchrnul(p, '\n'), p += *p == '\n')
		if (matches(p, line))
			return true;
	return false;
}

static void result(bool good, const char *text, const char *seen, const char *wanted)
{
	char line[1000];

	snprintf(line, sizeof(line), "%s: %s%s%s: %s", case_name, row_text, row_text[0] ? ": " : "",
		 text, seen);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = '?';
	state->checks++;
	if (results) {
		fprintf(results, "%s\n", line);
		fflush(results);
	}
	if (good)
		return;
	if (is_known(line)) {
		state->known++;
		return;
	}
	state->failures++;
	printf("  # %s, not %s\n", line, wanted);
	fflush(stdout);
}

/* "0", or the errno's name. Of a success only that it was one: numbers of descriptors differ. */
static const char *outcome(int error, char *buf, size_t size)
{
	const char *name = strerrorname_np(error);

	if (name)
		return error ? name : "ok";
	snprintf(buf, size, "errno %d", error);
	return buf;
}

long check_ok(const char *text, long value)
{
	char buf[40];

	result(value >= 0, text, value >= 0 ? "ok" : outcome(errno, buf, sizeof(buf)), "ok");
	return value;
}

long check_fails(int error, const char *text, long value)
{
	char a[40], b[40];
	int seen = value == -1 ? errno : 0;

	result(seen == error, text, outcome(seen, a, sizeof(a)), outcome(error, b, sizeof(b)));
	return value;
}

long check_is(long wanted, const char *text, long seen)
{
	char a[40], b[40];

	snprintf(a, sizeof(a), "%ld", seen);
	snprintf(b, sizeof(b), "%ld", wanted);
	result(wanted == seen, text, a, b);
	return seen;
}

bool check_true(const char *text, bool seen)
{
	result(seen, text, seen ? "true" : "false", "true");
	return seen;
}

void check_says(const char *wanted, const char *text, const char *seen)
{
	char a[200];

	snprintf(a, sizeof(a), "\"%s\"", seen);
	result(!strcmp(wanted, seen), text, a, wanted);
}

void give_up(const char *why)
{
	state->gave_up = true;
	snprintf(state->reason, sizeof(state->reason), "%s", why);
	fflush(NULL);
	_exit(0);
}

/* ---- helpers -----------------------------------------------------------------------------------
 */

const char *at(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%.2000s/%.2000s", here, name);
	return path;
}

void put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0)
		result(false, "a file to begin with", strerror(errno), "ok");
}

const char *text_of(const char *name)
{
	static char text[4096];
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		snprintf(text, sizeof(text), "errno %s", strerrorname_np(errno));
	else
		text[n] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

void pattern(void *buf, size_t length, unsigned seed)
{
	unsigned x = seed * 2654435761u + 12345;

	for (size_t i = 0; i < length; i++) {
		x = x * 1103515245 + 12345;
		((unsigned char *)buf)[i] = x >> 16;
	}
}

struct stat stat_of(const char *name)
{
	struct stat st;

	if (stat(name, &st) < 0)
		memset(&st, 0, sizeof(st));
	return st;
}

struct stat lstat_of(const char *name)
{
	struct stat st;

	if (lstat(name, &st) < 0)
		memset(&st, 0, sizeof(st));
	return st;
}

mode_t mode_of(const char *name)
{
	return lstat_of(name).st_mode & 07777;
}

const char *long_name(size_t length)
{
	static char name[2 * PATH_MAX];

	memset(name, 'n', length);
	name[length] = '\0';
	return name;
}

const char *long_path(size_t length)
{
	static char path[3 * PATH_MAX];

	for (size_t i = 0; i < length; i++)
		path[i] = i % 2 ? '/' : '.';
	path[length - 1] = 'f';
	path[length] = '\0';
	return path;
}

int in_child(uid_t uid, gid_t gid, void (*run)(void))
{
	int status = -1;

	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		if ((uid || gid) && (setgid(gid) < 0 || setuid(uid) < 0))
			give_up("cannot become another user");
		run();
		fflush(NULL);
		_exit(0);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- running -----------------------------------------------------------------------------------
 */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static int open_up(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	if (flag == FTW_D || flag == FTW_DNR)
		chmod(path, 0700);
	return 0;
}

static void clean(void)
{
	if (chdir(top) < 0)
		err(2, "%s", top);
	if (!is_root())
		nftw(case_name, open_up, 20, FTW_PHYS);
	nftw(case_name, remove_one, 20, FTW_PHYS | FTW_DEPTH);
}

static void run_inside(const struct test *test)
{
	umask(022);
	signal(SIGALRM, SIG_DFL);
	row("%s", "");
	if (chdir(here) < 0)
		give_up("its directory cannot be entered");
	test->run();
}

/* $PF_SLOWER: so many times as long as usual a case may take (scripts/test-kernels emulates
 * machines). */
static unsigned seconds_for_case(void)
{
	const char *slower = getenv("PF_SLOWER");

	return 60 * (slower && atoi(slower) > 0 ? (unsigned)atoi(slower) : 1);
}

/* A case is a process group, which is ended when it takes too long and when it is over. */
static pid_t running;

static void on_limit(int signal)
{
	kill(-running, SIGKILL);
}

static int run_apart(const struct test *test)
{
	int status = 0;

	fflush(NULL);
	running = fork();
	if (running == 0) {
		setpgid(0, 0);
		run_inside(test);
		fflush(NULL);
		_exit(0);
	}
	setpgid(running, running);
	alarm(seconds_for_case());
	while (waitpid(running, &status, 0) < 0 && errno == EINTR)
		;
	alarm(0);
	kill(-running, SIGKILL);
	return status;
}

static const char *cannot(const struct test *test)
{
	if (!test->needs)
		return NULL;
	if (strstr(test->needs, "root") && (!is_root() || !may(CAP_DAC_OVERRIDE)))
		return "needs root, and what root may";
	if (strstr(test->needs, "others") && is_root() && !may(CAP_SYS_PTRACE))
		return "programs that become another user see nothing of a run without "
		       "CAP_SYS_PTRACE";
	char words[200], *rest = words, *word;
	snprintf(words, sizeof(words), "%s", test->needs);
	while ((word = strsep(&rest, ",")))
		if (lacks(word))
			return "left out";
	return NULL;
}

enum outcome { PASSED, FAILED, SKIPPED };

static enum outcome run_case(const struct test *test)
{
	const char *why = cannot(test);
	int status = 0;

	case_name = test->name;
	if (why) {
		printf("ok - %s # SKIP %s\n", test->name, why);
		return SKIPPED;
	}
	memset(state, 0, sizeof(*state));
	clean();
	snprintf(here, sizeof(here), "%.2000s/%s", top, test->name);
	if (mkdir(here, 0755) < 0) {
		printf("not ok - %s: no directory: %s\n", test->name, strerror(errno));
		return FAILED;
	}
	if (forking)
		status = run_apart(test);
	else
		run_inside(test);
	clean();
	if (status) {
		printf("not ok - %s: ended by %s %d\n", test->name,
		       WIFSIGNALED(status) ? "signal" : "status",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		return FAILED;
	}
	if (state->gave_up && !state->failures) {
		printf("ok - %s # SKIP %s\n", test->name, state->reason);
		return SKIPPED;
	}
	printf("%s - %s (%u checks%s)\n", state->failures ? "not ok" : "ok", test->name,
	       state->checks, state->known ? ", some known to differ" : "");
	return state->failures ? FAILED : PASSED;
}

static bool is_wanted(const char *name, char **wanted, int count)
{
	for (int i = 0; i < count; i++)
		if (!strncmp(name, wanted[i], strlen(wanted[i])))
			return true;
	return count == 0;
}

static void read_known(const char *name)
{
	FILE *f = fopen(name, "re");
	struct stat st;

	if (!f || fstat(fileno(f), &st) < 0)
		err(2, "%s", name);
	char *lines = calloc(1, st.st_size + 1);
	if (!lines || fread(lines, 1, st.st_size, f) != (size_t)st.st_size)
		err(2, "%s", name);
	known_lines = lines;
	fclose(f);
}

static void list(void)
{
	for (size_t i = 0; i < sizeof(all_tests) / sizeof(all_tests[0]); i++)
		for (const struct test *t = all_tests[i]; t->name; t++)
			puts(t->name);
	exit(0);
}

static void options(int argc, char **argv)
{
	enum { LIST, WITHOUT, KNOWN, RESULTS, NO_FORK };
	static const struct option long_options[] = {
	    {"list", no_argument, NULL, LIST},
	    {"without", required_argument, NULL, WITHOUT},
	    {"known", required_argument, NULL, KNOWN},
	    {"results", required_argument, NULL, RESULTS},
	    {"no-fork", no_argument, NULL, NO_FORK},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == LIST)
			list();
		else if (c == WITHOUT)
			without = optarg;
		else if (c == KNOWN)
			read_known(optarg);
		else if (c == RESULTS && !(results = fopen(optarg, "we")))
			err(2, "%s", optarg);
		else if (c == NO_FORK)
			forking = false;
		else if (c == '?')
			exit(2);
	}
	if (optind == argc)
		errx(2, "usage: posix [OPTION...] DIR [CASE...], posix --list");
}

int main(int argc, char **argv)
{
	unsigned counts[3] = {0};

	options(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, on_limit);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!realpath(argv[optind], top))
		err(2, "%s", argv[optind]);
	state =
	    mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (state == MAP_FAILED)
		err(2, "mmap");
	for (size_t i = 0; i < sizeof(all_tests) / sizeof(all_tests[0]); i++)
		for (const struct test *t = all_tests[i]; t->name; t++)
			if (is_wanted(t->name, argv + optind + 1, argc - optind - 1))
				counts[run_case(t)]++;
	printf("%u passed, %u failed, %u skipped\n", counts[PASSED], counts[FAILED],
	       counts[SKIPPED]);
	return counts[FAILED] ? 1 : 0;
}
