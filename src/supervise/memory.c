/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A caller's memory: by process_vm_readv() and its sister, or by /proc/TID/mem where these are
 * forbidden (Docker before 23). The file writes where the caller itself may not, as debuggers need
 * it. The kernel would say EFAULT there, which collectors of garbage count upon; so what may be
 * written is asked for before.
 */
#include "base/cleanup.h"
#include "supervise/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* Linux 6.11; newer than Debian 12's headers. */
struct map_query {
	uint64_t size, flags, address;
	uint64_t start, end, vma_flags, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define MAP_QUERY          _IOWR('f', 17, struct map_query)
#define MAP_QUERY_WRITABLE 0x02

static int open_of(const struct pf__call *call, const char *what, int flags)
{
	char name[64];

	snprintf(name, sizeof name, "/proc/%d/%s", (int)call->tid, what);
	return open(name, flags | O_CLOEXEC);
}

/* ---- what may be written ----------------------------------------------------------------------
 */

/* The line of /proc/TID/maps: the end of the mapping, 0: no address of it, or it is not writable.
 */
static uint64_t end_by_line(const char *line, uint64_t address)
{
	uint64_t start, end;
	char mode[8];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end, mode) != 3)
		return 0;
	return address >= start && address < end && mode[1] == 'w' ? end : 0;
}

static uint64_t end_by_text(int fd, uint64_t address)
{
	PF_AUTO_CLOSE int copy = dup(fd);
	FILE *maps = copy < 0 ? NULL : fdopen(copy, "re");
	char line[8192]; /* one with the longest path */
	uint64_t end = 0;

	if (!maps)
		return 0;
	copy = -1; /* the stream's */
	rewind(maps);
	while (!end && fgets(line, sizeof line, maps))
		end = end_by_line(line, address);
	fclose(maps);
	return end;
}

/* The end of the mapping that is there and may be written; 0: there is none. */
static uint64_t writable_until(int maps, uint64_t address)
{
	struct map_query q = {.size = sizeof q, .flags = MAP_QUERY_WRITABLE, .address = address};

	if (ioctl(maps, MAP_QUERY, &q) == 0)
		return q.end;
	return errno == ENOENT ? 0 : end_by_text(maps, address);
}

static size_t writable_of(int maps, const struct iovec *v)
{
	uint64_t start = (uintptr_t)v->iov_base, at = start, end;

	while (at - start < v->iov_len && (end = writable_until(maps, at)))
		at = end;
	return at - start < v->iov_len ? at - start : v->iov_len;
}

/* How many bytes from the first on; negative errno: nobody tells. */
static ssize_t writable(const struct pf__call *call, const struct iovec *there, unsigned nthere)
{
	PF_AUTO_CLOSE int maps = open_of(call, "maps", O_RDONLY);
	size_t sum = 0;

	if (maps < 0)
		return -EPERM;
	for (unsigned i = 0; i < nthere; i++) {
		size_t n = writable_of(maps, &there[i]);

		sum += n;
		if (n < there[i].iov_len)
			break;
	}
	return (ssize_t)sum;
}

/* ---- copying --------------------------------------------------------------------------------- */

/* What the file has at such an address: none of it (EIO), or it is below 0 (EINVAL). */
static int memory_error(ssize_t got)
{
	return got == 0 || errno == EIO || errno == EINVAL ? -EFAULT : -errno;
}

/* The file takes one piece at a time. At most "limit" bytes. */
static ssize_t copy_by_file(const struct pf__call *call, bool write, size_t limit,
			    const struct iovec *here, unsigned nhere, const struct iovec *there,
			    unsigned nthere)
{
	PF_AUTO_CLOSE int fd = open_of(call, "mem", write ? O_WRONLY : O_RDONLY);
	size_t h = 0, t = 0, done = 0; /* places in *here and *there */

	if (fd < 0)
		return -EPERM;
	while (nhere && nthere && done < limit) {
		size_t left = here->iov_len - h, n = there->iov_len - t;
		char *at = (char *)here->iov_base + h;
		off_t address = (off_t)((uintptr_t)there->iov_base + t);
		ssize_t got;

		n = n < left ? n : left;
		n = n < limit - done ? n : limit - done;
		got = write ? pwrite(fd, at, n, address) : pread(fd, at, n, address);
		if (got < 0 || (n && !got))
			return done ? (ssize_t)done : memory_error(got);
		done += (size_t)got;
		h += (size_t)got;
		t += (size_t)got;
		if (h == here->iov_len) {
			here++, nhere--;
			h = 0;
		}
		if (t == there->iov_len) {
			there++, nthere--;
			t = 0;
		}
	}
	return (ssize_t)done;
}

ssize_t pf__call_copy_by_file(const struct pf__call *call, bool write, const struct iovec *here,
			      unsigned nhere, const struct iovec *there, unsigned nthere)
{
	return copy_by_file(call, write, SIZE_MAX, here, nhere, there, nthere);
}

static bool is_empty(const struct iovec *v, unsigned n)
{
	while (n && !v->iov_len)
		v++, n--;
	return !n;
}

ssize_t pf__call_copy(const struct pf__call *call, bool write, const struct iovec *here,
		      unsigned nhere, const struct iovec *there, unsigned nthere)
{
	ssize_t n = write ? process_vm_writev(call->tid, here, nhere, there, nthere, 0)
			  : process_vm_readv(call->tid, here, nhere, there, nthere, 0);
	ssize_t limit = SSIZE_MAX;

	if (n >= 0 || (errno != EPERM && errno != ENOSYS))
		return n < 0 ? -errno : n;
	if (write && !is_empty(there, nthere)) {
		limit = writable(call, there, nthere);
		if (limit <= 0)
			return limit ? limit : -EFAULT;
	}
	return copy_by_file(call, write, (size_t)limit, here, nhere, there, nthere);
}
