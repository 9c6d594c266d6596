/* SPDX-License-Identifier: BSD-2-Clause */
#include "launch/fusermount.h"
#include "base/alloc.h"
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_WORDS  64
#define MAX_ENV    65536
#define SOCKET_ENV "_FUSE_COMMFD="

/* The kernel looks at the path first. */
bool pf__mount_is_forbidden(void)
{
	return syscall(SYS_mount, NULL, NULL, NULL, 0, NULL) < 0 && errno != EFAULT;
}

bool pf__is_fusermount(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	return strcmp(name, "fusermount3") == 0 || strcmp(name, "fusermount") == 0;
}

/* ---- the words ------------------------------------------------------------------------------- */

/* "-uz", "--unmount", "-o OPTIONS", "-oOPTIONS". The words taken: 1 or 2; or -ENOTSUP. */
static int parse_option(struct pf__fusermount *f, const char *word, const char *next,
			const char **options)
{
	if (strcmp(word, "--unmount") == 0)
		f->unmount = true;
	else if (strcmp(word, "--lazy") == 0)
		f->lazy = true;
	else if (strcmp(word, "--options") == 0 && next)
		return *options = next, 2;
	else if (strncmp(word, "--options=", 10) == 0)
		*options = word + 10;
	else if (strcmp(word, "--quiet") == 0)
		f->quiet = true;
	else if (word[1] == '-')
		return -ENOTSUP;
	for (const char *p = word + 1; word[1] != '-' && *p; p++) {
		if (*p == 'o') {
			*options = p[1] ? p + 1 : next;
			return p[1] ? 1 : next ? 2 : -ENOTSUP;
		}
		f->unmount |= *p == 'u';
		f->lazy |= *p == 'z';
		f->quiet |= *p == 'q';
		if (!strchr("uzq", *p))
			return -ENOTSUP;
	}
	return 1;
}

int pf__fusermount_parse(struct pf__fusermount *f, unsigned argc, char *const *argv)
{
	const char *options = "", *mountpoint = NULL;
	bool words_only = false;

	*f = (struct pf__fusermount){.socket = -1};
	for (unsigned i = 1; i < argc;) {
		int n = 1;

		if (!words_only && strcmp(argv[i], "--") == 0)
			words_only = true;
		else if (!words_only && argv[i][0] == '-' && argv[i][1])
			n = parse_option(f, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &options);
		else if (mountpoint)
			n = -ENOTSUP;
		else
			mountpoint = argv[i];
		if (n < 0)
			return n;
		i += (unsigned)n;
	}
	if (!mountpoint)
		return -ENOTSUP;
	f->options = pf__strdup(options);
	f->mountpoint = pf__strdup(mountpoint);
	return f->options && f->mountpoint ? 0 : -ENOMEM;
}

void pf__fusermount_clear(struct pf__fusermount *f)
{
	pf__free(f->options);
	pf__free(f->mountpoint);
	*f = (struct pf__fusermount){.socket = -1};
}

/* ---- from the caller ------------------------------------------------------------------------- */

/* The nth string of an array: its length, -ENOENT behind the last, or errno. */
static ssize_t read_word(const struct pf__call *call, uint64_t array, unsigned n, char *buf,
			 size_t size)
{
	uint64_t address;
	int err = array ? pf__call_read(call, array + 8ull * n, &address, 8) : -ENOENT;

	if (err)
		return err;
	return address ? pf__call_read_string(call, address, buf, size) : -ENOENT;
}

static int read_argv(const struct pf__call *call, char *argv[MAX_WORDS], unsigned *argc)
{
	char word[PATH_MAX];

	for (*argc = 0; *argc < MAX_WORDS; ++*argc) {
		ssize_t n = read_word(call, call->args[1], *argc, word, sizeof word);

		if (n == -ENOENT)
			return 0;
		if (n < 0)
			return -ENOTSUP;
		argv[*argc] = pf__strdup(word);
		if (!argv[*argc])
			return -ENOMEM;
	}
	return -ENOTSUP;
}

/* Most words of an environment are longer than this; they are not ours. */
static int read_socket(const struct pf__call *call)
{
	char word[64];

	for (unsigned i = 0; i < MAX_ENV; i++) {
		ssize_t n = read_word(call, call->args[2], i, word, sizeof word);

		if (n < 0 && n != -ENAMETOOLONG)
			break;
		if (n > 0 && strncmp(word, SOCKET_ENV, strlen(SOCKET_ENV)) == 0)
			return atoi(word + strlen(SOCKET_ENV));
	}
	return -1;
}

int pf__fusermount_read(struct pf__fusermount *f, const struct pf__call *call)
{
	char *argv[MAX_WORDS];
	unsigned argc;
	int err;

	*f = (struct pf__fusermount){.socket = -1};
	err = read_argv(call, argv, &argc);
	if (!err)
		err = pf__fusermount_parse(f, argc, argv);
	if (!err && !f->unmount) {
		f->socket = read_socket(call);
		err = f->socket < 0 ? -ENOTSUP : 0;
	}
	while (argc > 0)
		pf__free(argv[--argc]);
	if (err)
		pf__fusermount_clear(f);
	return err;
}

/* ---- the mount ------------------------------------------------------------------------------- */

/* The value of a word of the options, or, without a '=', whether it is there: "". */
static bool option_value(const char *options, const char *name, char *value, size_t size)
{
	size_t n = strlen(name);

	for (const char *p = options; *p;) {
		size_t at = 0;

		if (!strncmp(p, name, n) && (p[n - 1] == '=' || !p[n] || p[n] == ',')) {
			for (p += n; *p && *p != ','; p++) {
				p += *p == '\\' && p[1];
				if (at + 1 < size)
					value[at++] = *p;
			}
			value[at] = '\0';
			return true;
		}
		for (; *p && *p != ','; p++)
			p += *p == '\\' && p[1];
		p += *p == ',';
	}
	return false;
}

/* What the kernel would be told in other ways than by its data. */
static bool is_data(const char *word, size_t n)
{
	static const char *const others[] = {"fsname=", "subtype=", "rw", "ro", "blkdev", NULL};

	for (const char *const *o = others; *o; o++) {
		size_t k = strlen(*o);

		if (n >= k && !memcmp(word, *o, k) && (n == k || (*o)[k - 1] == '='))
			return false;
	}
	return n > 0;
}

/* The options that are the kernel's data, and behind them room for n bytes. */
static char *data_of(const char *options, size_t room, char **end)
{
	char *data = pf__malloc(strlen(options) + room + 2), *to = data;

	if (!data)
		return NULL;
	for (const char *p = options; *p;) {
		const char *word = p;

		for (; *p && *p != ','; p++)
			p += *p == '\\' && p[1];
		if (is_data(word, (size_t)(p - word))) {
			to = mempcpy(to, word, (size_t)(p - word));
			*to++ = ',';
		}
		p += *p == ',';
	}
	*end = to;
	return data;
}

int pf__fusermount_describe(const struct pf__fusermount *f, struct pf__mount *m)
{
	char source[PATH_MAX] = "", subtype[256] = "", type[300], none[8], proc[32], *data, *end;
	struct stat root = {.st_mode = S_IFDIR}, who = {0};
	bool blkdev = option_value(f->options, "blkdev", none, sizeof none);
	bool ro = option_value(f->options, "ro", none, sizeof none);

	option_value(f->options, "subtype=", subtype, sizeof subtype);
	if (!option_value(f->options, "fsname=", source, sizeof source))
		snprintf(source, sizeof source, "%s", *subtype ? subtype : "/dev/fuse");
	snprintf(type, sizeof type, "fuse%s%s%s", blkdev ? "blk" : "", *subtype ? "." : "",
		 subtype);
	snprintf(proc, sizeof proc, "/proc/%d", (int)m->tid);
	stat(m->mountpoint, &root);
	stat(proc, &who);
	data = data_of(f->options, 100, &end);
	if (!data)
		return -ENOMEM;
	snprintf(end, 100, "rootmode=%o,user_id=%u,group_id=%u", root.st_mode & S_IFMT, who.st_uid,
		 who.st_gid);
	m->source = pf__strdup(source);
	m->fstype = pf__strdup(type);
	m->options = pf__mount_options_text(data, source, type, ro ? MS_RDONLY : 0);
	pf__free(data);
	return m->source && m->fstype && m->options ? 0 : -ENOMEM;
}

/* ---- the answer ------------------------------------------------------------------------------ */

int64_t pf__fusermount_done(const struct pf__fusermount *f, const struct pf__call *call, int fd)
{
	struct {
		struct msghdr head;
		struct iovec iov;
		union {
			struct cmsghdr head;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control;
		char byte;
	} d = {.head = {.msg_iovlen = 1, .msg_controllen = sizeof d.control}};
	const uint32_t words[] = {offsetof(__typeof__(d), head.msg_iov),
				  offsetof(__typeof__(d), head.msg_control),
				  offsetof(__typeof__(d), iov.iov_base)};
	const uint64_t targets[] = {offsetof(__typeof__(d), iov), offsetof(__typeof__(d), control),
				    offsetof(__typeof__(d), byte)};
	struct pf__inject in = {.nr = SYS_getpid, .fd = -1, .then_exit = true, .unanswered = true};

	if (fd >= 0) {
		d.control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
						  .cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS};
		d.iov.iov_len = 1;
		for (int i = 0; i < 3; i++)
			memcpy((char *)&d + words[i], &targets[i], 8);
		in.nr = SYS_sendmsg;
		in.args[0] = (uint64_t)f->socket;
		in.args[2] = MSG_NOSIGNAL;
		in.arg_in_data = 1 << 1;
		in.data = &d;
		in.size = sizeof d;
		in.words = words;
		in.nwords = 3;
		in.fd = fd;
		in.fd_is_in_data = true;
		in.fd_at = offsetof(__typeof__(d), control) + (uint32_t)CMSG_LEN(0);
	}
	return pf__call_instead(call, &in);
}

int64_t pf__fusermount_failed(const struct pf__fusermount *f, const struct pf__call *call, int err)
{
	char text[PATH_MAX + 128];
	struct pf__inject in = {.nr = f->quiet ? SYS_getpid : SYS_write,
				.args = {2},
				.arg_in_data = 1 << 1,
				.data = text,
				.fd = -1,
				.interruptible = true,
				.then_exit = true,
				.exit_status = 1,
				.unanswered = true};

	in.size = (size_t)snprintf(text, sizeof text, "fusermount: failed to unmount %s: %s\n",
				   f->mountpoint, strerror(-err));
	in.args[2] = in.size;
	return pf__call_instead(call, &in);
}
