/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A FUSE server without a FUSE library, that does what it is told: fakeserver MOUNTPOINT WORD...
 * Words in their order:
 *   say=TEXT         to stderr
 *   exit=N           exit with status N
 *   die              by SIGKILL
 *   sleep            for ever
 *   pids=FILE        append this process's pid, and those of all that it forks
 *   ask              for "sesame" on the terminal; exits with 80 when it hears something else
 *   stdio            exits with 88 unless descriptors 0 to 2 are open
 *   ignore-term      SIGTERM
 *   daemon           double fork and setsid
 *   stubborn         fork two children, one of them in a session of its own, that ignore SIGTERM
 *   data=OPTIONS     further mount data
 *   ro               MS_RDONLY
 *   type=FSTYPE      instead of fuse.fake
 *   relative         open the device and mount by relative paths
 *   sync-init        the ioctl
 *   open             the device; close: it again
 *   hoard            open it again and again, until that fails
 *   mount            open it if need be, and mount; exits with errno + 100 when that fails
 *   second-mount     mount once more on another device; same exit
 *   clone            a second descriptor of it, to serve from
 *   backing          BACKING_OPEN and BACKING_CLOSE in all ways; exits with 90 when one is answered
 * wrongly no-backing       the same, which must fail with EPERM, for a device that is not mounted
 *   await=FIFO       until somebody has opened it for writing
 *   orphan=FILE      open FILE read-write and mount, which must work and fail with EPERM; then
 * write "fine" into FILE umount           umount2; same exit remount          MS_REMOUNT; same exit
 *   read-hack        what go-fuse does below its mountpoint; exits with 92 when it fails
 *   serve-beside     serve in a child and go on
 *   note=FILE        make the file
 *   serve            answer until the client hangs up (INIT, GETATTR, DESTROY; else ENOSYS)
 */
#include "proto/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static const char *mountpoint, *data = "", *fstype = "fuse.fake", *pids;
static unsigned long mount_flags;
static int device = -1;
static int relative;

static void note_pid(void)
{
	char text[32];
	int fd, n;

	if (!pids)
		return;
	fd = open(pids, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	n = snprintf(text, sizeof text, "%d\n", (int)getpid());
	if (write(fd, text, (size_t)n) != n)
		exit(99);
	close(fd);
}

static void become_daemon(void)
{
	if (fork())
		_exit(0);
	setsid();
	if (fork())
		_exit(0);
	note_pid();
}

static void fork_stubborn(void)
{
	for (int i = 0; i < 2; i++) {
		int ready[2];
		char c;

		if (pipe(ready) < 0)
			exit(98);
		if (fork() == 0) {
			if (i)
				setsid();
			signal(SIGTERM, SIG_IGN);
			note_pid();
			if (write(ready[1], "", 1) != 1)
				_exit(98);
			for (;;)
				pause();
		}
		if (read(ready[0], &c, 1) != 1)
			exit(98);
		close(ready[0]);
		close(ready[1]);
	}
}

static void ask(void)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios quiet;
	char line[64];
	ssize_t n;

	if (tty < 0 || tcgetattr(tty, &quiet) < 0)
		exit(81);
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0 || write(tty, "Secret? ", 8) != 8)
		exit(82);
	n = read(tty, line, sizeof line);
	if (n != 7 || memcmp(line, "sesame\n", 7) != 0)
		exit(80);
	quiet.c_lflag |= ECHO;
	tcsetattr(tty, TCSAFLUSH, &quiet);
	close(tty);
}

static void refused(const char *what)
{
	int err = errno;

	fprintf(stderr, "fakeserver: %s: %s\n", what, strerror(err));
	exit(err + 100);
}

static int open_device(void)
{
	int fd;

	if (relative && chdir("/dev") < 0)
		exit(97);
	fd = open(relative ? "./fuse" : "/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		refused("/dev/fuse");
	return fd;
}

static void do_mount(int fd)
{
	char text[4096];
	const char *target = mountpoint;

	if (relative) {
		if (chdir(mountpoint) < 0)
			exit(97);
		target = ".";
	}
	snprintf(text, sizeof text, "fd=%d,rootmode=40000,user_id=%d,group_id=%d%s%s", fd,
		 (int)getuid(), (int)getgid(), *data ? "," : "", data);
	if (mount("fake,source", target, fstype, mount_flags, text) < 0)
		refused("mount");
}

static void clone_device(void)
{
	int fd = open_device();
	uint32_t old = (uint32_t)device;

	if (ioctl(fd, 0x8004e500u, &old) < 0)
		refused("clone");
	if (ioctl(fd, 0x8004e500u, &old) == 0 || errno != EINVAL)
		exit(91); /* attached already */
	device = fd;
}

struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

static void backing(struct backing_map map, int want)
{
	int r = ioctl(device, 0x4010e501u, &map);

	if ((r < 0 ? -errno : r) != want) {
		fprintf(stderr, "fakeserver: backing %d: %d, not %d\n", map.fd, r < 0 ? -errno : r,
			want);
		exit(90);
	}
}

static void backing_close(uint32_t id, int want)
{
	int r = ioctl(device, 0x4004e502u, &id);

	if ((r < 0 ? -errno : r) != want)
		exit(90);
}

static void try_backing(void)
{
	char name[] = "/tmp/fakeserver-XXXXXX";
	int fd = mkstemp(name), dir = open("/", O_RDONLY), p[2];

	unlink(name);
	if (fd < 0 || dir < 0 || pipe(p) < 0)
		exit(90);
	backing((struct backing_map){fd, 1, 0}, -EINVAL);
	backing((struct backing_map){fd, 0, 1}, -EINVAL);
	backing((struct backing_map){-1, 0, 0}, -EBADF);
	backing((struct backing_map){987654, 0, 0}, -EBADF);
	backing((struct backing_map){dir, 0, 0}, -EISDIR);
	backing((struct backing_map){p[0], 0, 0}, -EINVAL);
	backing((struct backing_map){device, 0, 0}, -EINVAL);
	if (ioctl(device, 0x4010e501u, (void *)8) == 0 || errno != EFAULT)
		exit(90);
	backing((struct backing_map){fd, 0, 0}, 1);
	backing((struct backing_map){fd, 0, 0}, 2);
	backing_close(1, 0);
	backing_close(1, -ENOENT);
	backing_close(0, -EINVAL);
	backing_close(0x80000000u, -EINVAL);
	close(fd);
	close(dir);
}

static void try_no_backing(void)
{
	backing((struct backing_map){0, 0, 0}, -EPERM);
	backing_close(1, -EPERM);
}

static void reply(uint64_t unique, int error, const void *body, size_t n)
{
	char buf[512];
	struct fuse_out_header h = {(uint32_t)(sizeof h + n), error, unique};

	memcpy(buf, &h, sizeof h);
	if (n)
		memcpy(buf + sizeof h, body, n);
	if (write(device, buf, h.len) != (ssize_t)h.len)
		exit(96);
}

static void serve(void)
{
	static char buf[1 << 20];
	struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 65536};
	struct fuse_attr_out attr = {.attr = {.ino = 1, .mode = S_IFDIR | 0755, .nlink = 2}};
	ssize_t n;

	while ((n = read(device, buf, sizeof buf)) >= (ssize_t)sizeof(struct fuse_in_header)) {
		struct fuse_in_header h;

		memcpy(&h, buf, sizeof h);
		if (h.opcode == FUSE_INIT)
			reply(h.unique, 0, &init, sizeof init);
		else if (h.opcode == FUSE_GETATTR)
			reply(h.unique, 0, &attr, sizeof attr);
		else if (h.opcode == FUSE_DESTROY)
			reply(h.unique, 0, NULL, 0);
		else if (h.opcode != FUSE_FORGET && h.opcode != FUSE_BATCH_FORGET)
			reply(h.unique, -ENOSYS, NULL, 0);
	}
}

static void serve_beside(void)
{
	if (fork() == 0) {
		note_pid();
		serve();
		_exit(0);
	}
}

/* With the path where Go would have it: its heap. */
static void read_hack(void)
{
#ifdef __aarch64__
	void *place = (void *)0x4000000000;
#else
	void *place = (void *)0xc000000000;
#endif
	char *path = mmap(place, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	int fd;

	if (path == MAP_FAILED)
		exit(93);
	snprintf(path, 4096, "%s/.go-fuse-epoll-hack", mountpoint);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		exit(92);
	close(fd);
	snprintf(path, 4096, "%s/.go-fuse-epoll-hack/x", mountpoint);
	if (open(path, O_RDONLY) >= 0 || errno != ENOENT)
		exit(94);
}

static void note(const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		exit(95);
	close(fd);
}

static void orphan(const char *file)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	int failed = mount("x", mountpoint, "fuse", 0, "fd=0");

	if (fd < 0 || !failed || errno != EPERM || write(fd, "fine", 4) != 4)
		exit(89);
}

static int is(const char *word, const char *name, const char **value)
{
	size_t n = strlen(name);

	if (strncmp(word, name, n) != 0)
		return 0;
	*value = word + n;
	return 1;
}

static void do_device_word(const char *w)
{
	if (!strcmp(w, "open"))
		device = open_device();
	else if (!strcmp(w, "close"))
		close(device);
	else if (!strcmp(w, "sync-init") && ioctl(device, 0xe503u) < 0)
		exit(errno + 100);
	else if (!strcmp(w, "mount"))
		do_mount(device < 0 ? device = open_device() : device);
	else if (!strcmp(w, "second-mount"))
		do_mount(open_device());
	else if (!strcmp(w, "hoard"))
		for (;;)
			open_device();
	else if (!strcmp(w, "clone"))
		clone_device();
	else if (!strcmp(w, "backing"))
		try_backing();
	else if (!strcmp(w, "no-backing"))
		try_no_backing();
	else if (!strcmp(w, "umount") && umount2(mountpoint, 0) < 0)
		exit(errno + 100);
	else if (!strcmp(w, "remount") && mount("none", mountpoint, "", MS_REMOUNT, "") < 0)
		exit(errno + 100);
	else if (!strcmp(w, "read-hack"))
		read_hack();
	else if (!strcmp(w, "serve-beside"))
		serve_beside();
	else if (!strcmp(w, "serve"))
		serve();
}

static void check_stdio(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			exit(88);
}

static void do_word(const char *w)
{
	const char *v;

	if (is(w, "say=", &v))
		fprintf(stderr, "%s\n", v);
	else if (is(w, "exit=", &v))
		exit(atoi(v));
	else if (!strcmp(w, "die"))
		kill(getpid(), SIGKILL);
	else if (!strcmp(w, "sleep"))
		for (;;)
			pause();
	else if (is(w, "note=", &v))
		note(v);
	else if (is(w, "await=", &v))
		close(open(v, O_RDONLY | O_CLOEXEC));
	else if (is(w, "orphan=", &v))
		orphan(v);
	else if (is(w, "pids=", &v))
		pids = v, note_pid();
	else if (!strcmp(w, "stdio"))
		check_stdio();
	else if (!strcmp(w, "ask"))
		ask();
	else if (!strcmp(w, "ignore-term"))
		signal(SIGTERM, SIG_IGN);
	else if (!strcmp(w, "daemon"))
		become_daemon();
	else if (!strcmp(w, "stubborn"))
		fork_stubborn();
	else if (is(w, "data=", &data) || is(w, "type=", &fstype))
		;
	else if (!strcmp(w, "ro"))
		mount_flags |= MS_RDONLY;
	else if (!strcmp(w, "relative"))
		relative = 1;
	else
		do_device_word(w);
}

int main(int argc, char **argv)
{
	mountpoint = argc > 1 ? argv[1] : "";
	for (int i = 2; i < argc; i++)
		do_word(argv[i]);
	return 0;
}
