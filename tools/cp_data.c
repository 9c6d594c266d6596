/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One regular file. Large files are read by a second thread into a ring of buffers while this one
 * writes, so that neither side waits for the other. Holes stay holes: found with SEEK_DATA where
 * the source tells them, else as blocks of zeros.
 */
#include "cp.h"
#include "interrupt.h"
#include "report.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BUFFER = 1 << 20,
	BUFFERS = 4,          /* read ahead from here */
	LOANS = 16,           /* the same from a server, where pieces may be small */
	AHEAD_FROM = 4 << 20, /* bytes from which a second thread pays */
	ZERO_BLOCK = 4096,
	RANGE = 16 << 20, /* for copy_file_range: how often progress and signals are looked at */
};

struct copy {
	struct file *src, *dst;
	bool skip_zeros;
	bool at_source; /* which side failed */
};

/* ---- writing ---------------------------------------------------------------------------- */

static int write_all(struct copy *c, const char *data, size_t size, off_t offset)
{
	while (size) {
		ssize_t n = file_pwrite(c->dst, data, size, offset);

		if (n == -ESPIPE)
			n = file_write(c->dst, data, size);
		if (n == -EINTR && !interrupted())
			continue;
		if (n <= 0)
			return n ? (int)n : -EIO;
		data += n;
		size -= (size_t)n;
		offset += n;
	}
	return 0;
}

static bool is_zero(const char *data, size_t size)
{
	return !size || (!*data && !memcmp(data, data + 1, size - 1));
}

/* The length of the run of blocks at data that are all zero, or all not, by the first one. */
static size_t block_run(const char *data, size_t size, bool *zero)
{
	size_t length = size < ZERO_BLOCK ? size : ZERO_BLOCK;

	*zero = is_zero(data, length);
	while (length < size) {
		size_t next = size - length < ZERO_BLOCK ? size - length : ZERO_BLOCK;

		if (is_zero(data + length, next) != *zero)
			break;
		length += next;
	}
	return length;
}

static int write_data(struct copy *c, const char *data, size_t size, off_t offset)
{
	int err = 0;

	cp_progress_add(size);
	if (!c->skip_zeros)
		return write_all(c, data, size, offset);
	while (size && !err) {
		bool zero;
		size_t run = block_run(data, size, &zero);

		if (!zero)
			err = write_all(c, data, run, offset);
		data += run;
		size -= run;
		offset += (off_t)run;
	}
	return err;
}

/* Fill buf as far as the file goes: a short count is its end. */
static ssize_t read_full(struct file *src, char *buf, size_t size, off_t offset)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = file_pread(src, buf + got, size - got, offset + (off_t)got);

		if (n == -ESPIPE)
			n = file_read(src, buf + got, size - got);
		if (n == -EINTR && !interrupted())
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* The next bytes, on loan or in buf. *last: the file ends with them. */
static ssize_t lend(struct file *src, char *buf, size_t want, off_t offset, struct loan *loan,
		    bool *last)
{
	ssize_t n;

	if (!file_remote(src)) {
		*loan = (struct loan){.data = buf};
		n = read_full(src, buf, want, offset);
		*last = n >= 0 && (size_t)n < want;
		return n;
	}
	do
		n = file_lend(src, buf, want, offset, loan);
	while (n == -EINTR && !interrupted());
	*last = n == 0;
	return n;
}

/* ---- one thread: read, write ------------------------------------------------------------ */

/* Copy [offset, end) or to the end of the file; returns where that was, or -errno. */
static off_t copy_span(struct copy *c, off_t offset, off_t end, char *buf)
{
	bool last = false;

	while (offset < end && !last) {
		size_t want = end - offset < BUFFER ? (size_t)(end - offset) : BUFFER;
		struct loan loan = {0};
		ssize_t n = interrupted() ? -EINTR : lend(c->src, buf, want, offset, &loan, &last);
		int err;

		if (n < 0) {
			c->at_source = true;
			return n;
		}
		err = write_data(c, loan.data, (size_t)n, offset);
		loan_return(&loan);
		if (err)
			return err;
		offset += n;
	}
	return offset;
}

/* ---- two threads: one reads ahead ------------------------------------------------------- */

struct slot {
	struct loan loan;
	ssize_t n; /* or negative errno */
	bool last;
};

struct ring {
	struct copy *copy;
	off_t offset, end;
	char *buffers;
	unsigned nslots;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under lock; a slot belongs to the reader before it counts as filled, then to the writer
	 */
	struct slot slots[LOANS];
	uint64_t filled, drained;
	bool stop; /* the writer has given up */
};

static struct slot *ring_slot(struct ring *r, uint64_t i)
{
	return &r->slots[i % r->nslots];
}

/* Wait for an empty slot; false: stop. */
static bool ring_wait_empty(struct ring *r)
{
	bool go;

	pthread_mutex_lock(&r->lock);
	while (!r->stop && r->filled - r->drained == r->nslots)
		pthread_cond_wait(&r->changed, &r->lock);
	go = !r->stop;
	pthread_mutex_unlock(&r->lock);
	return go;
}

static void *read_ahead(void *arg)
{
	struct ring *r = arg;
	off_t offset = r->offset;
	bool more = true;

	while (more && offset < r->end && ring_wait_empty(r)) {
		struct slot *slot = ring_slot(r, r->filled); /* only this thread changes filled */
		char *buf = r->buffers + r->filled % BUFFERS * BUFFER;
		size_t want = r->end - offset < BUFFER ? (size_t)(r->end - offset) : BUFFER;

		slot->n = lend(r->copy->src, buf, want, offset, &slot->loan, &slot->last);
		more = slot->n >= 0 && !slot->last;
		offset += slot->n;
		pthread_mutex_lock(&r->lock);
		r->filled++;
		pthread_cond_signal(&r->changed);
		pthread_mutex_unlock(&r->lock);
	}
	return NULL;
}

static struct slot *ring_wait_filled(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->filled == r->drained)
		pthread_cond_wait(&r->changed, &r->lock);
	pthread_mutex_unlock(&r->lock);
	return ring_slot(r, r->drained);
}

static void ring_advance(struct ring *r, bool stop)
{
	pthread_mutex_lock(&r->lock);
	r->drained++;
	r->stop = stop;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

/* As copy_span(): write what the other thread reads. */
static off_t drain(struct ring *r)
{
	off_t offset = r->offset;
	bool last = false;

	while (offset < r->end && !last) {
		struct slot *slot = ring_wait_filled(r);
		ssize_t n = slot->n;
		int err = interrupted() ? -EINTR : 0;

		last = slot->last;
		if (n < 0) {
			r->copy->at_source = true;
			err = (int)n;
		}
		if (!err)
			err = write_data(r->copy, slot->loan.data, (size_t)n, offset);
		loan_return(&slot->loan);
		ring_advance(r, err != 0);
		if (err)
			return err;
		offset += n;
	}
	return offset;
}

static off_t copy_span_ahead(struct copy *c, off_t offset, off_t end)
{
	struct ring r = {.copy = c, .offset = offset, .end = end};
	pthread_t reader;
	off_t reached;

	/* What a server lends needs no buffer, unless the file does not seek: then it has this one.
	 */
	r.nslots = file_remote(c->src) && file_lseek(c->src, 0, SEEK_CUR) >= 0 ? LOANS : BUFFERS;
	r.buffers = malloc((size_t)BUFFERS * BUFFER);
	if (!r.buffers)
		return -ENOMEM;
	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.changed, NULL);
	if (pthread_create(&reader, NULL, read_ahead, &r)) {
		reached = copy_span(c, offset, end, r.buffers);
	} else {
		reached = drain(&r);
		pthread_join(reader, NULL);
		for (; r.drained < r.filled; r.drained++)
			loan_return(&ring_slot(&r, r.drained)->loan);
	}
	pthread_cond_destroy(&r.changed);
	pthread_mutex_destroy(&r.lock);
	free(r.buffers);
	return reached;
}

/* ---- spans ------------------------------------------------------------------------------ */

/* Let the file system copy; returns where that ended, which may be short of end. */
static off_t copy_range(struct copy *c, off_t offset, off_t end)
{
	while (offset < end && !interrupted()) {
		size_t want = end - offset < RANGE ? (size_t)(end - offset) : RANGE;
		ssize_t n = file_copy_range(c->src, offset, c->dst, offset, want);

		if (n <= 0)
			break;
		cp_progress_add((uint64_t)n);
		offset += n;
	}
	return offset;
}

/* [offset, end) by the best way there is. */
static off_t copy_extent(struct copy *c, off_t offset, off_t end, off_t size)
{
	char *buf;
	off_t reached;

	if (!c->skip_zeros && file_remote(c->src) == file_remote(c->dst) && size > 0)
		offset = copy_range(c, offset, end < size ? end : size);
	if (offset < end && size - offset >= AHEAD_FROM)
		return copy_span_ahead(c, offset, end);
	buf = malloc(BUFFER);
	if (!buf)
		return -ENOMEM;
	reached = copy_span(c, offset, end, buf);
	free(buf);
	return reached;
}

/* The extents that SEEK_DATA tells. 1: it cannot tell; 0 done; -errno. */
static int copy_extents(struct copy *c, off_t size)
{
	off_t data = file_lseek(c->src, 0, SEEK_DATA), hole = 0;

	if (data < 0 && data != -ENXIO)
		return 1;
	/* One extent of everything where blocks are missing: it does not really know. */
	if (data == 0 && file_lseek(c->src, 0, SEEK_HOLE) >= size)
		return 1;
	while (data >= 0 && data < size) {
		off_t reached;

		cp_progress_add((uint64_t)(data - hole));
		hole = file_lseek(c->src, data, SEEK_HOLE);
		if (hole <= data)
			return hole == -ENXIO ? 0 : hole < 0 ? (int)hole : -EIO;
		reached = copy_extent(c, data, hole < size ? hole : size, size);
		if (reached < 0)
			return (int)reached;
		data = file_lseek(c->src, hole, SEEK_DATA);
	}
	if (size > hole)
		cp_progress_add((uint64_t)(size - hole));
	return data < 0 && data != -ENXIO ? (int)data : 0;
}

static bool looks_sparse(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_size > 0 && st->st_blocks < (st->st_size + 511) / 512;
}

static bool is_regular(struct file *f)
{
	struct stat st;

	return !file_fstat(f, &st) && S_ISREG(st.st_mode);
}

int cp_copy_data(struct file *src, struct file *dst, const struct stat *st, bool *at_source)
{
	enum cp_sparse sparse = is_regular(dst) ? cp_options.sparse : CP_SPARSE_NEVER;
	struct copy c = {.src = src, .dst = dst};
	off_t reached = st->st_size;
	int err = 1;

	c.skip_zeros = sparse == CP_SPARSE_ALWAYS;
	if (sparse == CP_SPARSE_AUTO && looks_sparse(st)) {
		err = copy_extents(&c, st->st_size);
		c.skip_zeros = true;
	}
	if (err > 0) {
		/* To where the file really ends: sizes may be 0, or old. */
		reached = copy_extent(&c, 0, INT64_MAX, st->st_size);
		err = reached < 0 ? (int)reached : 0;
	}
	/* A hole at the end has written nothing. */
	if (!err && c.skip_zeros)
		err = file_ftruncate(dst, reached);
	*at_source = c.at_source;
	return err;
}

/* ---- the whole file --------------------------------------------------------------------- */

/* Bits for a new file: nobody else gets in before owner and ACL stand. */
static mode_t creation_mode(const struct stat *st)
{
	return cp_options.preserve ? st->st_mode & 0700 : st->st_mode & 0777;
}

static int create_target(const struct cp_item *item, struct file *dst)
{
	return file_openat(&item->dir->dst, item->dst_name,
			   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, creation_mode(&item->st), dst);
}

static int replace_target(const struct cp_item *item, struct file *dst)
{
	int err = file_unlinkat(&item->dir->dst, item->dst_name, 0);

	return err && err != -ENOENT ? err : create_target(item, dst);
}

/*
 * Open the target for writing: new, or emptied. Below a directory that is copied a link is
 * replaced, never written through; a word of the command line may be a link to a file.
 */
static int open_target(const struct cp_item *item, struct file *dst)
{
	/* Nor may a FIFO that stands there make us wait. */
	int flags = O_WRONLY | (item->dir->frame ? 0 : O_NOFOLLOW | O_NONBLOCK);
	int err = create_target(item, dst);

	if (err != -EEXIST)
		return err;
	err = file_openat(&item->dir->dst, item->dst_name, flags, 0, dst);
	if ((err == -ELOOP || err == -ENXIO) && !item->dir->frame)
		return replace_target(item, dst);
	if (err && err != -EISDIR && cp_options.force)
		return replace_target(item, dst);
	return err;
}

/* Not onto itself: the target is opened without O_TRUNC so that this can still be seen. */
static int empty_target(const struct cp_item *item, struct file *src, struct file *dst)
{
	struct stat from, to;
	int err = file_fstat(dst, &to);

	if (!err && item->dir->src_tree == item->dir->dst_tree && !file_fstat(src, &from) &&
	    from.st_dev == to.st_dev && from.st_ino == to.st_ino) {
		cp_refuse(item, "'%s' and '%s' are the same file");
		return -EEXIST;
	}
	if (!err && S_ISREG(to.st_mode) && to.st_size > 0)
		err = file_ftruncate(dst, 0);
	if (err)
		cp_complain_dst(item, err, NULL);
	return err;
}

static int copy_open(const struct cp_item *item, struct file *src, struct file *dst)
{
	bool at_source;
	int err = empty_target(item, src, dst);

	if (err)
		return err;
	err = cp_copy_data(src, dst, &item->st, &at_source);
	/* Attributes would have it sent too, and take the blame for what the server does not take.
	 */
	if (!err && cp_options.preserve)
		err = file_flush(dst);
	if (err) {
		at_source ? cp_complain_src(item, err, NULL) : cp_complain_dst(item, err, NULL);
		return err;
	}
	if (!cp_options.preserve)
		return 0;
	err = cp_preserve_open(src, dst, &item->st);
	if (err)
		cp_complain_dst(item, err, "cannot keep attributes");
	return err;
}

/* What has been replaced since it was looked at must not be followed, nor make us wait. */
static int source_flags(const struct cp_item *item)
{
	int flags = O_RDONLY;

	if (S_ISREG(item->st.st_mode))
		flags |= O_NONBLOCK;
	if (!item->dir->frame && cp_options.follow != CP_FOLLOW_ALWAYS)
		flags |= O_NOFOLLOW;
	return flags;
}

int cp_copy_file(const struct cp_item *item)
{
	struct file src = FILE_NONE, dst = FILE_NONE;
	int err, close_err;

	cp_progress_file(item->src_name);
	err = file_openat(&item->dir->src, item->src_name, source_flags(item), 0, &src);
	if (err) {
		cp_complain_src(item, err, NULL);
		return err;
	}
	err = open_target(item, &dst);
	if (err)
		cp_complain_dst(item, err, NULL);
	else
		err = copy_open(item, &src, &dst);
	close_err = file_close(&dst);
	if (close_err && !err) {
		cp_complain_dst(item, close_err, NULL);
		err = close_err;
	}
	file_close(&src);
	return err;
}
