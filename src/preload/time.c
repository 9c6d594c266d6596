/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * localtime(3): glibc's looks at /etc/localtime each time, by a call of its own that is trapped;
 * for `find -ls` or a log that is once a line. Its localtime_r(3) does not. So it is we who look,
 * and tell it when there is something new.
 */
#include "preload/preload.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#define EXPORT    __attribute__((visibility("default")))
#define LOCALTIME "/etc/localtime"

/* What the zone was read from. Who does not get the lock asks libc, which costs time alone. */
static struct {
	_Atomic int busy;
	bool known;
	uint64_t dev, ino, size;
	struct timespec mtime;
	/* And what libc had of it at last: by tzset() or mktime() it may have got another. */
	const char *names[2];
	long west;
	int daylight;
} zone;

/* As glibc compares it. */
static bool is_same(const struct stat *st)
{
	return zone.known && zone.dev == st->st_dev && zone.ino == st->st_ino &&
	       zone.size == (uint64_t)st->st_size && zone.mtime.tv_sec == st->st_mtim.tv_sec &&
	       zone.mtime.tv_nsec == st->st_mtim.tv_nsec && zone.names[0] == tzname[0] &&
	       zone.names[1] == tzname[1] && zone.west == timezone && zone.daylight == daylight;
}

static void remember(const struct stat *st)
{
	zone.known = true;
	zone.dev = st->st_dev;
	zone.ino = st->st_ino;
	zone.size = (uint64_t)st->st_size;
	zone.mtime = st->st_mtim;
}

/* Is the zone that libc uses still the one that is set? */
static bool is_current(void)
{
	bool same = false;
	struct stat st;

	if (atomic_exchange_explicit(&zone.busy, 1, memory_order_acquire))
		return false;
	if (getenv("TZ") || stat(LOCALTIME, &st)) {
		zone.known = false;
	} else {
		same = is_same(&st);
		remember(&st);
	}
	atomic_store_explicit(&zone.busy, 0, memory_order_release);
	return same;
}

static void remember_names(void)
{
	if (atomic_exchange_explicit(&zone.busy, 1, memory_order_acquire))
		return;
	zone.names[0] = tzname[0];
	zone.names[1] = tzname[1];
	zone.west = timezone;
	zone.daylight = daylight;
	atomic_store_explicit(&zone.busy, 0, memory_order_release);
}

EXPORT struct tm *localtime(const time_t *t)
{
	static struct tm tm;
	int error = errno;
	struct tm *result;

	if (!pf__seen || !is_current())
		tzset();
	errno = error;
	result = localtime_r(t, &tm);
	remember_names();
	return result;
}
