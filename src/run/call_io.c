/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls on placeholder descriptors (placeholder.c).
 *
 * call                                  | what becomes of it
 * --------------------------------------|--------------------------------------------------------
 * read, write and their kind, lseek,    | done by the library, or on the real file once there is
 * fadvise, fcntl(F_GETFL, F_SETFL), ... | one
 * copy_file_range                       | done by the library between two of them, else EXDEV
 * dup, F_DUPFD, dup2 to such a number   | another number of the range
 * mmap, dup2 to a low number, sendfile, | the descriptor becomes a real one, and the kernel does it
 * splice, locks                         |
 */
#include "run/internal.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE    (1u << 20)
#define MOST     0x7ffff000u /* bytes of one call, as the kernel has it */
#define AT_POS   (-1)        /* as offset: at the position */
#define KERNEL_O 0100000     /* O_LARGEFILE, which F_GETFL tells of on 64 bits */

/* ---- read, write ----------------------------------------------------------------------------- */

/* The caller's buffers. */
struct span {
	struct iovec iov[IOV_MAX];
	unsigned n;
	size_t total;
};

static bool is_beyond(const struct iovec *v)
{
	return v->iov_len > INT64_MAX - ((uintptr_t)v->iov_base & INT64_MAX);
}

static int read_span(const struct pf__call *call, bool vector, struct span *s)
{
	const uint64_t *a = call->args;
	int err;

	s->total = 0;
	if (!vector) {
		s->n = 1;
		s->iov[0] = (struct iovec){(void *)(uintptr_t)a[1], (size_t)a[2]};
	} else {
		if ((unsigned)a[2] > IOV_MAX)
			return -EINVAL;
		s->n = (unsigned)a[2];
		err = s->n ? pf__call_read(call, a[1], s->iov, s->n * sizeof s->iov[0]) : 0;
		if (err)
			return err;
	}
	for (unsigned i = 0; i < s->n; i++) {
		if (vector && (ssize_t)s->iov[i].iov_len < 0)
			return -EINVAL;
		if (is_beyond(&s->iov[i])) /* of all memory */
			return -EFAULT;
		if (s->iov[i].iov_len > MOST - s->total)
			s->iov[i].iov_len = MOST - s->total;
		s->total += s->iov[i].iov_len;
	}
	return 0;
}

/* size bytes of it from at on. */
static unsigned part_of(const struct span *s, size_t at, size_t size, struct iovec *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n && size; i++) {
		size_t len = s->iov[i].iov_len;

		if (at >= len) {
			at -= len;
			continue;
		}
		len -= at;
		len = len < size ? len : size;
		out[n++] = (struct iovec){(char *)s->iov[i].iov_base + at, len};
		size -= len;
		at = 0;
	}
	return n;
}

/* Between buf and the caller: so many bytes; 0: a bad address. */
static ssize_t carry(const struct pf__call *call, const struct span *s, size_t at, char *buf,
		     size_t size, bool to_caller)
{
	struct iovec here = {buf, size}, there[IOV_MAX];
	unsigned n = part_of(s, at, size, there);
	ssize_t got = to_caller ? pf__call_writev(call, &here, 1, there, n)
				: pf__call_readv(call, &here, 1, there, n);

	return got == -EFAULT ? 0 : got;
}

/* What a call wants of the file. */
struct io {
	struct object *o;
	bool write;
	off_t at; /* or AT_POS */
	int rwf;  /* RWF_* */
};

static ssize_t on_real(const struct io *io, struct iovec *iov)
{
	ssize_t n = io->write ? pwritev2(io->o->real, iov, 1, io->at, io->rwf)
			      : preadv2(io->o->real, iov, 1, io->at, io->rwf);

	return n < 0 ? -errno : n;
}

static ssize_t by_library(const struct io *io, struct iovec *iov)
{
	struct pf_file *f = io->o->through;

	if (io->write)
		io->o->wrote = true;
	if (io->rwf)
		return io->write ? pf_pwritev2(f, iov, 1, io->at, io->rwf)
				 : pf_preadv2(f, iov, 1, io->at, io->rwf);
	if (io->at == AT_POS)
		return io->write ? pf_writev(f, iov, 1) : pf_readv(f, iov, 1);
	return io->write ? pf_pwritev(f, iov, 1, io->at) : pf_preadv(f, iov, 1, io->at);
}

static ssize_t transfer(struct job *j, const struct io *io, char *buf, size_t size)
{
	struct iovec iov = {buf, size};
	ssize_t n = placeholder_begin(j, io->o);

	if (n)
		return n;
	n = io->o->real >= 0 ? on_real(io, &iov) : by_library(io, &iov);
	placeholder_end(j, io->o);
	return n;
}

/* They did not reach the caller. */
static void step_back(const struct io *io, size_t n)
{
	if (io->at != AT_POS || !n)
		return;
	if (io->o->real >= 0)
		lseek(io->o->real, -(off_t)n, SEEK_CUR);
	else
		pf_lseek(io->o->through, -(off_t)n, SEEK_CUR);
}

static ssize_t read_piece(struct job *j, const struct io *io, const struct span *s, size_t done,
			  char *buf, size_t size)
{
	ssize_t n = transfer(j, io, buf, size), put;

	if (n <= 0)
		return n;
	put = carry(j->call, s, done, buf, (size_t)n, true);
	if (put < n)
		step_back(io, (size_t)(n - (put < 0 ? 0 : put)));
	return put ? put : -EFAULT;
}

static ssize_t write_piece(struct job *j, const struct io *io, const struct span *s, size_t done,
			   char *buf, size_t size)
{
	ssize_t n = carry(j->call, s, done, buf, size, false);

	if (n > 0 && !pf__call_alive(j->call))
		return -EINTR; /* whose bytes were they? */
	return n > 0 ? transfer(j, io, buf, (size_t)n) : n ? n : -EFAULT;
}

static int64_t in_pieces(struct job *j, struct io *io, const struct span *s)
{
	size_t room = s->total < PIECE ? s->total : PIECE, done = 0;
	PF_AUTO_FREE char *buf = pf__malloc(room ? room : 1);
	ssize_t n = 0;

	if (!buf)
		return -ENOMEM;
	if (!s->total) /* what is wrong with the descriptor, if something is */
		return transfer(j, io, buf, 0);
	while (done < s->total) {
		size_t want = s->total - done < PIECE ? s->total - done : PIECE;

		n = (io->write ? write_piece : read_piece)(j, io, s, done, buf, want);
		if (n <= 0)
			break;
		done += (size_t)n;
		if (io->at != AT_POS)
			io->at += n;
		if ((size_t)n < want)
			break;
	}
	return done ? (int64_t)done : n;
}

static int64_t do_io(struct job *j, struct object *o, bool write, bool vector, off_t at, int rwf)
{
	struct io io = {.o = o, .write = write, .at = at, .rwf = rwf};
	struct span s;
	int64_t result;
	int err;

	if (at != AT_POS && at < 0)
		return -EINVAL;
	if ((pf_getfl(o->through) & O_ACCMODE) == (write ? O_RDONLY : O_WRONLY))
		return -EBADF;
	err = read_span(j->call, vector, &s);
	if (err)
		return err;
	if (at != AT_POS && s.total > (uint64_t)(INT64_MAX - at))
		return -EINVAL;
	if (at != AT_POS)
		return in_pieces(j, &io, &s);
	pthread_mutex_lock(&o->lock); /* the position is one's at a time */
	result = in_pieces(j, &io, &s);
	pthread_mutex_unlock(&o->lock);
	return result;
}

/* Without an offset of its own -1 is none, to the newer calls; else it is a bad one. */
static int64_t do_positioned(struct job *j, struct object *o, bool write, bool vector)
{
	off_t at = (off_t)j->call->args[3];

	return at < 0 ? -EINVAL : do_io(j, o, write, vector, at, 0);
}

static int64_t do_io_call(struct job *j, struct object *o)
{
	const uint64_t *a = j->call->args;

	switch (j->call->nr) {
	case __NR_read:
		return do_io(j, o, false, false, AT_POS, 0);
	case __NR_write:
		return do_io(j, o, true, false, AT_POS, 0);
	case __NR_readv:
		return do_io(j, o, false, true, AT_POS, 0);
	case __NR_writev:
		return do_io(j, o, true, true, AT_POS, 0);
	case __NR_pread64:
		return do_positioned(j, o, false, false);
	case __NR_pwrite64:
		return do_positioned(j, o, true, false);
	case __NR_preadv:
		return do_positioned(j, o, false, true);
	case __NR_pwritev:
		return do_positioned(j, o, true, true);
	default:
		return do_io(j, o, j->call->nr == __NR_pwritev2, true, (off_t)a[3], (int)a[5]);
	}
}

/* ---- others that the library does ------------------------------------------------------------ */

static int64_t result_of(int64_t n)
{
	return n < 0 ? -errno : n;
}

static int64_t do_lseek(struct job *j, struct object *o)
{
	const uint64_t *a = j->call->args;
	int64_t result;

	pthread_mutex_lock(&o->lock);
	result = placeholder_begin(j, o);
	if (!result) {
		result = o->real >= 0 ? result_of(lseek(o->real, (off_t)a[1], (int)a[2]))
				      : pf_lseek(o->through, (off_t)a[1], (int)a[2]);
		placeholder_end(j, o);
	}
	pthread_mutex_unlock(&o->lock);
	return result;
}

static int64_t do_advice(struct job *j, struct object *o)
{
	const uint64_t *a = j->call->args;

	if (j->call->nr == __NR_readahead && (pf_getfl(o->through) & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	if (o->real >= 0)
		return 0; /* it is all there */
	if (j->call->nr == __NR_sync_file_range)
		return pf_sync_file_range(o->through, (off_t)a[1], (off_t)a[2], (unsigned)a[3]);
	return pf_fadvise(o->through, (off_t)a[1], (off_t)a[2],
			  j->call->nr == __NR_readahead ? POSIX_FADV_WILLNEED : (int)a[3]);
}

static int64_t get_flags(struct object *o)
{
	int flags = o->real >= 0 ? fcntl(o->real, F_GETFL) : pf_getfl(o->through);

	return flags < 0 ? -EBADF : flags | KERNEL_O;
}

static int64_t set_flags(struct job *j, struct object *o, int flags)
{
	const int can = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC;
	int64_t result = placeholder_begin(j, o);

	if (result)
		return result;
	result = o->real >= 0 ? result_of(fcntl(o->real, F_SETFL, flags & can & ~O_DIRECT))
			      : pf_setfl(o->through, flags & can);
	placeholder_end(j, o);
	return result;
}

/* An offset that the caller has, or the position. */
static int read_offset(struct job *j, uint64_t address, off_t *at)
{
	int err = address ? pf__call_read(j->call, address, at, sizeof *at) : 0;

	return !err && address && *at < 0 ? -EINVAL : err;
}

static int64_t copy_between(struct job *j, struct object *in, struct object *out)
{
	const uint64_t *a = j->call->args;
	off_t from, to;
	ssize_t n;
	int err = read_offset(j, a[1], &from);

	if (!err)
		err = read_offset(j, a[3], &to);
	if (err)
		return err;
	out->wrote = true;
	n = pf_copy_file_range(in->through, a[1] ? &from : NULL, out->through, a[3] ? &to : NULL,
			       (size_t)a[4], (unsigned)a[5]);
	if (n > 0 && a[1])
		err = pf__call_write(j->call, a[1], &from, sizeof from);
	if (n > 0 && a[3] && !err)
		err = pf__call_write(j->call, a[3], &to, sizeof to);
	return err ? err : n;
}

static int64_t copy_in_turn(struct job *j, struct object *in, struct object *out)
{
	int64_t result = -EXDEV;

	if (placeholder_begin_both(j, in, out))
		return result;
	if (in->real < 0 && out->real < 0)
		result = copy_between(j, in, out);
	placeholder_end_both(j, in, out);
	return result;
}

/* What the kernel would say of a descriptor that is no placeholder; -EXDEV: programs copy by hand.
 */
static int64_t judge(const struct pf__call *call, int fd)
{
	char name[48];
	struct stat st;

	snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)call->tid, fd);
	return fd < 0 || stat(name, &st) ? -EBADF
	       : S_ISDIR(st.st_mode)     ? -EISDIR
	       : S_ISREG(st.st_mode)     ? -EXDEV
					 : -EINVAL;
}

static int64_t do_copy(struct job *j)
{
	struct object *in = object_of_fd(j->r, j->call, (int)j->call->args[0]);
	struct object *out = object_of_fd(j->r, j->call, (int)j->call->args[2]);
	int64_t result = CONTINUE;

	if ((in && in->through) || (out && out->through)) {
		result = judge(j->call, (int)j->call->args[0]);
		if (result == -EXDEV)
			result = judge(j->call, (int)j->call->args[2]);
	}
	if (result == -EXDEV && in && out && in->through && out->through && in->m == out->m)
		result = copy_in_turn(j, in, out);
	placeholder_put(in);
	placeholder_put(out);
	return result;
}

/* ---- copies of the descriptor ---------------------------------------------------------------- */

/* number: -1: any of the range from least on. -ENOSYS: a real one is needed. */
static int64_t copy_descriptor(struct job *j, int number, unsigned least, bool cloexec)
{
	PF_AUTO_CLOSE int fd = -1;

	if (!job_who(j) || (number >= 0 ? !placeholder_may_be(j->r, number)
					: least >= j->r->first_number + PLACEHOLDERS))
		return -ENOSYS;
	fd = pf__call_get_fd_of(j->call, j->who->tgid, (int)j->call->args[0]);
	if (fd < 0)
		return -ENOSYS;
	if (number >= 0) {
		int err = pf__call_replace_fd(j->call, fd, number, cloexec);

		return err ? err : number;
	}
	number = placeholder_number(j, fd, least, cloexec);
	/* EBADF: the caller may have no such number any more. */
	return number == -EMFILE || number == -EBADF ? -ENOSYS : number;
}

/* The caller's own call does it then. */
static int64_t as_real(struct job *j, struct object *o, int number)
{
	int err = placeholder_replace(j, o, number);

	return err ? err : CONTINUE;
}

/* It has a number that the caller's limit, lowered since, does not allow to be replaced. */
static int64_t copy_real(struct job *j, struct object *o)
{
	const uint64_t *a = j->call->args;
	int err;

	if (o->real < 0 || j->call->nr == __NR_fcntl)
		return -EBADF;
	if (j->call->nr == __NR_dup)
		return pf__call_add_fd(j->call, o->real, false);
	err = pf__call_replace_fd(j->call, o->real, (int)a[1],
				  j->call->nr == __NR_dup3 && a[2] & O_CLOEXEC);
	return err ? err : (int)a[1];
}

static int64_t do_dup(struct job *j, struct object *o)
{
	const uint64_t *a = j->call->args;
	int64_t result = -ENOSYS;

	if (j->call->nr == __NR_dup)
		result = copy_descriptor(j, -1, 0, false);
	else if (j->call->nr == __NR_fcntl)
		result = (int)a[2] < 0
			     ? -EINVAL
			     : copy_descriptor(j, -1, (unsigned)a[2], (int)a[1] == F_DUPFD_CLOEXEC);
	else if ((int)a[0] == (int)a[1] || (int)a[1] < 0 ||
		 (j->call->nr == __NR_dup3 && a[2] & ~(uint64_t)O_CLOEXEC))
		return CONTINUE; /* nothing is copied */
	else
		result =
		    copy_descriptor(j, (int)a[1], 0, j->call->nr == __NR_dup3 && a[2] & O_CLOEXEC);
	if (result != -ENOSYS)
		return result;
	result = as_real(j, o, (int)a[0]);
	return result == -EBADF ? copy_real(j, o) : result;
}

static int64_t do_fcntl(struct job *j, struct object *o)
{
	const uint64_t *a = j->call->args;

	switch ((int)a[1]) {
	case F_GETFL:
		return get_flags(o);
	case F_SETFL:
		return set_flags(j, o, (int)a[2]);
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return do_dup(j, o);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return as_real(j, o, (int)a[0]);
	case F_SETLEASE:
		return (int)a[2] == F_UNLCK ? CONTINUE : -EINVAL;
	case F_ADD_SEALS: /* the memfd could be sealed */
	case F_GET_SEALS:
		return -EINVAL;
	default:
		return CONTINUE;
	}
}

/* ---- the calls ------------------------------------------------------------------------------- */

static int64_t do_placeholder(struct job *j, struct object *o, int number)
{
	int64_t result = placeholder_follow(j, o);

	if (result)
		return result;
	switch (j->call->nr) {
	case __NR_lseek:
		return do_lseek(j, o);
	case __NR_fadvise64:
	case __NR_readahead:
	case __NR_sync_file_range:
		return do_advice(j, o);
	case __NR_fcntl:
		return do_fcntl(j, o);
	case __NR_dup:
#ifdef __NR_dup2
	case __NR_dup2:
#endif
	case __NR_dup3:
		return do_dup(j, o);
	case __NR_mmap:
	case __NR_flock:
	case __NR_sendfile:
	case __NR_splice:
		return as_real(j, o, number);
	default:
		return do_io_call(j, o);
	}
}

/* The arguments of a call that may be descriptors of files. */
static unsigned descriptors_of(int nr)
{
	switch (nr) {
	case __NR_mmap:
		return 1 << 4;
	case __NR_sendfile:
		return 1 << 0 | 1 << 1;
	case __NR_splice:
	case __NR_copy_file_range:
		return 1 << 0 | 1 << 2;
	default:
		return 1 << 0;
	}
}

/* Of two placeholders each becomes real, as its turn comes. */
static int64_t each_placeholder(struct job *j)
{
	unsigned which = descriptors_of(j->call->nr);
	int64_t result = CONTINUE;

	for (unsigned i = 0; i < 6 && result == CONTINUE; i++) {
		int number = (int)j->call->args[i];
		struct object *o;

		if (!(which & 1u << i) || !placeholder_may_be(j->r, number))
			continue;
		o = object_of_fd(j->r, j->call, number);
		if (o && o->through)
			result = do_placeholder(j, o, number);
		placeholder_put(o);
	}
	return result;
}

enum pf__call_end on_placeholder(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	bool given = atomic_load_explicit(&j.r->shared->given, memory_order_relaxed);
	bool may_be = placeholder_may_be(j.r, (int)call->args[0]), locks = given && is_lock(call);
	int64_t result = CONTINUE;

	if (call->nr == __NR_fcntl && (int)call->args[1] == F_SETLEASE && !may_be)
		return on_lease(ctx, call);
	/* Locks of an open file end when we, too, have closed it: first what others had, */
	if (locks && may_be)
		flush_closed(j.r);
	if (given)
		result = call->nr == __NR_copy_file_range ? do_copy(&j) : each_placeholder(&j);
	if (locks && may_be) /* then the placeholder that this one was. */
		flush_closed(j.r);
	if (locks && result == CONTINUE)
		result = do_lock(&j);
	return call_end(&j, result);
}

/* Its calls name descriptors in memory, where no filter sees them: no placeholders from now on. */
enum pf__call_end on_io_setup(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};

	atomic_store(&j.r->uses_aio, true);
	for (unsigned i = 0; j.r->n_objects && j.r->first_number && i < PLACEHOLDERS; i++) {
		struct object *o = object_of_fd(j.r, call, (int)(j.r->first_number + i));

		if (o && o->through)
			placeholder_replace(&j, o, (int)(j.r->first_number + i));
		placeholder_put(o);
	}
	return call_end(&j, CONTINUE);
}

/* ---- the traps ------------------------------------------------------------------------------- */

static const int placeholder_calls[] = {
    __NR_read,      __NR_write,           __NR_readv,
    __NR_writev,    __NR_pread64,         __NR_pwrite64,
    __NR_preadv,    __NR_pwritev,         __NR_preadv2,
    __NR_pwritev2,  __NR_lseek,           __NR_mmap,
    __NR_sendfile,  __NR_splice,          __NR_fcntl,
    __NR_dup,
#ifdef __NR_dup2
    __NR_dup2,
#endif
    __NR_dup3,      __NR_flock,           __NR_fadvise64,
    __NR_readahead, __NR_sync_file_range, __NR_copy_file_range,
};

size_t placeholder_traps(struct pf__trap *traps, size_t room, unsigned first)
{
	size_t n = 0;

	for (size_t i = 0; first && i < sizeof placeholder_calls / sizeof placeholder_calls[0]; i++)
		for (unsigned arg = 0; arg < 6 && n < room; arg++)
			if (descriptors_of(placeholder_calls[i]) & 1u << arg)
				traps[n++] = (struct pf__trap){
				    .nr = placeholder_calls[i],
				    .fn = on_placeholder,
				    .ntests = 1,
				    .tests = {{arg, 0xffffffff & ~(PLACEHOLDERS - 1), first}}};
	return n;
}
