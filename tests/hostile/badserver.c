/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server that means harm, without a FUSE library: badserver MOUNTPOINT WORD...
 * Words in their order:
 *   bomb=N           fork N children in sessions of their own that ignore SIGTERM
 *   chain=SECONDS    a process that forks itself and exits, again and again
 *   ignore-term      SIGTERM
 *   close-all        every descriptor
 *   kill-parent=SIG  the process that watches over it; where that kills, it is the last word
 *   stop             itself, by SIGSTOP
 *   exec             become sleep(1)
 *   target=PATH      mount there; target-long: a path of 4096 bytes
 *   data=TEXT        exactly this mount data, DEV in it stands for the device's descriptor
 *   data-long        4 KiB of options without an end
 *   try-mount        and say what became of it
 *   bad-pointers     in every call that is trapped; exits with 70 unless each fails
 *   open-many=N      the device, and keeps what it gets
 *   open-close=N     the device, N times
 *   open, mount      as a server does; exits with errno + 100 when mount fails
 *   garbage          written to the device, before anything was asked
 *   give-away        the device to a child that serves, and exit
 *   say-much=MB      to stderr; say-forever: from a child
 *   say-control      control characters as last words, and exit with 3
 *   entry=NAME       every directory has one directory in it, of this name; N stands for a NUL
 *   serve            answer INIT and the root's GETATTR, all else ENOSYS; stop-at=N, die-at=N and
 *                    close-at=N before it: what to do at the N-th request
 */
#include "proto/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *target, *raw_data, *entry;
static int device = -1, stop_at, die_at, close_at;
static char long_text[8192];

static void bomb(int n)
{
	while (n--)
		if (fork() == 0) {
			setsid();
			signal(SIGTERM, SIG_IGN);
			for (;;)
				pause();
		}
}

static void chain(int seconds)
{
	time_t until = time(NULL) + seconds;

	if (fork())
		return;
	while (time(NULL) < until)
		if (fork())
			_exit(0);
	_exit(0);
}

/* The watcher's death is ours, too, but it takes a moment in which we could go on to serve. */
static void kill_parent(int sig)
{
	kill(getppid(), sig);
	if (sig == SIGKILL)
		pause();
}

static void close_all(void)
{
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
}

static int open_device(void)
{
	return open("/dev/fuse", O_RDWR | O_CLOEXEC);
}

/* With DEV replaced. */
static const char *mount_data(char *text, size_t size)
{
	const char *dev = raw_data ? strstr(raw_data, "DEV") : NULL;

	if (!raw_data)
		snprintf(text, size, "fd=%d,rootmode=40000,user_id=%d,group_id=%d", device,
			 (int)getuid(), (int)getgid());
	else if (dev)
		snprintf(text, size, "%.*s%d%s", (int)(dev - raw_data), raw_data, device, dev + 3);
	else
		return raw_data;
	return text;
}

static int do_mount(void)
{
	char text[8192];

	if (device < 0)
		device = open_device();
	return mount("bad", target, "fuse.bad", 0, mount_data(text, sizeof text)) < 0 ? errno : 0;
}

static void bad_pointers(void)
{
	int fd = open_device();
	long bad[] = {0, 1, -1, 0x7ffffffff000, (long)0x8000000000000000};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		long p = bad[i];

		if (syscall(SYS_openat, AT_FDCWD, p, O_RDWR) >= 0 ||
		    syscall(SYS_openat2, AT_FDCWD, p, p, 24) >= 0 ||
		    syscall(SYS_mount, p, p, p, 0, p) >= 0 || syscall(SYS_umount2, p, 0) >= 0 ||
		    syscall(SYS_mount, "x", target, "fuse", 0, p) >= 0 ||
		    syscall(SYS_mount, "x", target, p, 0, "fd=3") >= 0 ||
		    syscall(SYS_mount, "x", p, "fuse", 0, "fd=3") >= 0 ||
		    syscall(SYS_ioctl, fd, 0x8004e500u, p) >= 0 ||
		    syscall(SYS_ioctl, fd, 0x4010e501u, p) >= 0 ||
		    syscall(SYS_ioctl, fd, 0x4004e502u, p) >= 0 ||
		    syscall(SYS_ioctl, -1, 0x8004e500u, p) >= 0 ||
		    syscall(SYS_ioctl, 99999, 0xe503u, p) >= 0)
			exit(70);
	}
	close(fd);
}

static void open_many(int n, int keep)
{
	while (n--) {
		int fd = open_device();

		if (fd >= 0 && !keep)
			close(fd);
	}
}

static void garbage(void)
{
	char bytes[300];

	for (int n = 0; n < 300; n++) {
		memset(bytes, n, sizeof bytes);
		if (n % 3 == 0) {
			struct fuse_out_header h = {(uint32_t)n, -n, (uint64_t)n};

			memcpy(bytes, &h, sizeof h);
		}
		(void)!send(device, bytes, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

static void say_much(long mb)
{
	static char line[1000];

	memset(line, 'm', sizeof line - 1);
	line[sizeof line - 1] = '\n';
	for (long n = mb * 1000; n-- > 0;)
		if (write(2, line, sizeof line) < 0)
			exit(71);
}

static void say_forever(void)
{
	if (fork())
		return;
	for (;;)
		say_much(1);
}

static void say_control(void)
{
	static const char words[] = "\033]0;owned\007\033[31mred\r\001\177\x9b\b end";

	(void)!write(2, words, sizeof words - 1);
	_exit(3);
}

static void reply(uint64_t unique, int error, const void *body, size_t n)
{
	char buf[512];
	struct fuse_out_header h = {(uint32_t)(sizeof h + n), error, unique};

	memcpy(buf, &h, sizeof h);
	if (n)
		memcpy(buf + sizeof h, body, n);
	(void)!write(device, buf, h.len);
}

/* A directory with one directory in it, whose name is what entry says: N for a NUL. */
static void list(const struct fuse_in_header *h, const struct fuse_read_in *in)
{
	struct {
		struct fuse_dirent d;
		char name[64];
	} e = {{.ino = 1, .off = 1, .type = S_IFDIR >> 12}, ""};
	size_t n = strlen(entry);

	for (size_t i = 0; i < n; i++)
		e.name[i] = (char)(entry[i] == 'N' ? 0 : entry[i]);
	e.d.namelen = (uint32_t)n;
	n = (sizeof e.d + n + 7) / 8 * 8;
	reply(h->unique, 0, &e, in->offset ? 0 : n);
}

/* Every name leads to another directory. */
static void look_up(const struct fuse_in_header *h)
{
	static uint64_t next = 2;
	struct fuse_entry_out out = {.nodeid = next,
				     .attr = {.ino = next, .mode = S_IFDIR | 0755, .nlink = 2}};

	next++;
	reply(h->unique, 0, &out, sizeof out);
}

static int answer_names(const struct fuse_in_header *h)
{
	static const struct fuse_open_out opened;

	if (!entry)
		return 0;
	if (h->opcode == FUSE_LOOKUP)
		look_up(h);
	else if (h->opcode == FUSE_OPENDIR)
		reply(h->unique, 0, &opened, sizeof opened);
	else if (h->opcode == FUSE_READDIR)
		list(h, (const struct fuse_read_in *)(h + 1));
	else
		return 0;
	return 1;
}

static void at(int count)
{
	if (count == stop_at)
		raise(SIGSTOP);
	if (count == die_at)
		raise(SIGKILL);
	if (count == close_at)
		close_all();
}

static void serve(void)
{
	static char buf[1 << 20] __attribute__((aligned(8)));
	struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 65536};
	struct fuse_attr_out attr = {.attr = {.ino = 1, .mode = S_IFDIR | 0755, .nlink = 2}};
	int count = 0;
	ssize_t n;

	while ((n = read(device, buf, sizeof buf)) >= (ssize_t)sizeof(struct fuse_in_header)) {
		struct fuse_in_header h;

		memcpy(&h, buf, sizeof h);
		at(++count);
		if (answer_names((const struct fuse_in_header *)buf))
			continue;
		attr.attr.ino = h.nodeid;
		if (h.opcode == FUSE_INIT)
			reply(h.unique, 0, &init, sizeof init);
		else if (h.opcode == FUSE_GETATTR)
			reply(h.unique, 0, &attr, sizeof attr);
		else if (h.opcode != FUSE_FORGET && h.opcode != FUSE_BATCH_FORGET)
			reply(h.unique, -ENOSYS, NULL, 0);
	}
}

static int is(const char *word, const char *name, const char **value)
{
	size_t n = strlen(name);

	*value = word + n;
	return strncmp(word, name, n) == 0;
}

static void mount_word(const char *w)
{
	int err;

	if (!strcmp(w, "open")) {
		device = open_device();
	} else if (!strcmp(w, "mount")) {
		err = do_mount();
		if (err)
			exit(err + 100);
	} else if (!strcmp(w, "try-mount")) {
		err = do_mount();
		fprintf(stderr, "mount: %s\n", err ? strerror(err) : "fine");
	} else if (!strcmp(w, "target-long")) {
		memset(long_text, 'x', 4096);
		long_text[0] = '/';
		target = long_text;
	} else if (!strcmp(w, "data-long")) {
		memset(long_text, 'o', sizeof long_text - 1);
		raw_data = long_text;
	}
}

static void plain_word(const char *w)
{
	if (!strcmp(w, "ignore-term"))
		signal(SIGTERM, SIG_IGN);
	else if (!strcmp(w, "close-all"))
		close_all();
	else if (!strcmp(w, "stop"))
		raise(SIGSTOP);
	else if (!strcmp(w, "exec"))
		execlp("sleep", "sleep", "1000", (char *)NULL);
	else if (!strcmp(w, "bad-pointers"))
		bad_pointers();
	else if (!strcmp(w, "garbage"))
		garbage();
	else if (!strcmp(w, "give-away") && fork())
		_exit(0);
	else if (!strcmp(w, "say-forever"))
		say_forever();
	else if (!strcmp(w, "say-control"))
		say_control();
	else if (!strcmp(w, "serve"))
		serve();
	else if (!strcmp(w, "sleep"))
		pause();
	else
		mount_word(w);
}

static void do_word(const char *w)
{
	const char *v;

	if (is(w, "bomb=", &v))
		bomb(atoi(v));
	else if (is(w, "entry=", &v))
		entry = v;
	else if (is(w, "chain=", &v))
		chain(atoi(v));
	else if (is(w, "kill-parent=", &v))
		kill_parent(atoi(v));
	else if (is(w, "target=", &v))
		target = v;
	else if (is(w, "data=", &v))
		raw_data = v;
	else if (is(w, "open-many=", &v))
		open_many(atoi(v), 1);
	else if (is(w, "open-close=", &v))
		open_many(atoi(v), 0);
	else if (is(w, "say-much=", &v))
		say_much(atol(v));
	else if (is(w, "stop-at=", &v))
		stop_at = atoi(v);
	else if (is(w, "die-at=", &v))
		die_at = atoi(v);
	else if (is(w, "close-at=", &v))
		close_at = atoi(v);
	else
		plain_word(w);
}

int main(int argc, char **argv)
{
	target = argc > 1 ? argv[1] : "";
	for (int i = 2; i < argc; i++)
		do_word(argv[i]);
	return 0;
}
