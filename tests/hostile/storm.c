// SPDX-License-Identifier: BSD-2-Clause
#include "tests/hostile/storm.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAX_WRITE (64u << 10)

/* ---- sending; all under the lock */

static void send_it(struct storm *s, uint64_t unique, int error, const void *body, size_t len)
{
	struct fuse_out_header h = {(uint32_t)(sizeof h + len), error, unique};
	struct iovec iov[2] = {{&h, sizeof h}, {(void *)body, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = len ? 2 : 1};

	if (s->dead)
		return;
	if (s->inproc)
		(void)pf_inproc_reply(s->channel, iov, len ? 2 : 1);
	else
		(void)!sendmsg(s->fd, &msg, MSG_NOSIGNAL);
}

static void die(struct storm *s)
{
	if (s->dead)
		return;
	s->dead = true;
	if (s->inproc && s->channel)
		pf_inproc_close(s->channel);
	else if (!s->inproc)
		shutdown(s->fd, SHUT_RDWR);
}

/* ---- notifications */

static uint64_t some_node(struct storm *s)
{
	return 2 + dice_below(&s->d, STORM_FILES);
}

static uint64_t some_place(struct storm *s)
{
	return dice_below(&s->d, 10) ? dice_below(&s->d, STORM_SIZE) : dice_odd(&s->d);
}

static void notify_store(struct storm *s)
{
	struct {
		struct fuse_notify_store_out h;
		unsigned char data[20000];
	} o = {.h = {.nodeid = some_node(s), .offset = some_place(s)}};

	o.h.size = dice_below(&s->d, sizeof o.data);
	memset(o.data, 's', o.h.size);
	send_it(s, 0, FUSE_NOTIFY_STORE, &o, sizeof o.h + o.h.size);
}

static void notify_name(struct storm *s, int32_t code)
{
	struct {
		union {
			struct fuse_notify_inval_entry_out inval;
			struct fuse_notify_delete_out del;
		} u;
		char name[3];
	} o = {0};
	char text[64];
	size_t n;

	if (code == FUSE_NOTIFY_DELETE) {
		n = sizeof o.u.del;
		o.u.del = (struct fuse_notify_delete_out){
		    .parent = 1, .child = some_node(s), .namelen = 2};
	} else {
		n = sizeof o.u.inval;
		o.u.inval = (struct fuse_notify_inval_entry_out){
		    .parent = 1, .namelen = 2, .flags = dice_below(&s->d, 2)};
	}
	memcpy(text, &o.u, n);
	text[n] = 'f';
	text[n + 1] = (char)('0' + dice_below(&s->d, STORM_FILES));
	text[n + 2] = '\0';
	send_it(s, 0, code, text, n + 3);
}

static void notify(struct storm *s)
{
	struct fuse_notify_inval_inode_out inval = {.ino = some_node(s)};
	struct fuse_notify_retrieve_out ask = {.notify_unique = dice_next(&s->d) | 1,
					       .nodeid = some_node(s),
					       .offset = some_place(s),
					       .size = dice_below(&s->d, 1 << 20)};
	struct {
		struct fuse_notify_prune_out h;
		uint64_t nodes[2];
	} prune = {.h = {.count = 2}, .nodes = {some_node(s), some_node(s)}};

	switch (dice_below(&s->d, 10)) {
	case 0 ... 2:
		inval.off = (int64_t)(dice_below(&s->d, 4) ? some_place(s) : UINT64_MAX);
		inval.len = dice_below(&s->d, 3) ? dice_below(&s->d, 100000) : 0;
		send_it(s, 0, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof inval);
		break;
	case 3 ... 4:
		notify_store(s);
		break;
	case 5:
		send_it(s, 0, FUSE_NOTIFY_RETRIEVE, &ask, sizeof ask);
		break;
	case 6:
		notify_name(s, FUSE_NOTIFY_INVAL_ENTRY);
		break;
	case 7:
		notify_name(s, FUSE_NOTIFY_DELETE);
		break;
	case 8:
		send_it(s, 0, FUSE_NOTIFY_PRUNE, &prune, sizeof prune);
		break;
	default:
		send_it(s, 0, dice_below(&s->d, 2) ? FUSE_NOTIFY_RESEND : FUSE_NOTIFY_INC_EPOCH,
			NULL, 0);
	}
}

/* ---- answers: the length of the body in s->out, or a negative errno */

static struct storm_file *file_of(struct storm *s, uint64_t nodeid)
{
	return nodeid >= 2 && nodeid < 2 + STORM_FILES ? &s->files[nodeid - 2] : NULL;
}

static struct fuse_attr attr_of(struct storm *s, uint64_t nodeid)
{
	struct storm_file *f = file_of(s, nodeid);

	if (!f)
		return (struct fuse_attr){.ino = 1, .mode = S_IFDIR | 0777, .nlink = 2};
	return (struct fuse_attr){.ino = nodeid,
				  .mode = S_IFREG | f->mode,
				  .nlink = 1,
				  .size = f->size,
				  .mtime = f->mtime,
				  .blksize = 4096};
}

static uint64_t valid(struct storm *s)
{
	return dice_below(&s->d, 3) ? 1000 : 0;
}

static int do_init(struct storm *s)
{
	struct fuse_init_out o = {.major = 7,
				  .minor = 45,
				  .max_readahead = 1 << 20,
				  .max_background = (uint16_t)(1 + dice_below(&s->d, 20)),
				  .congestion_threshold = (uint16_t)dice_below(&s->d, 20),
				  .max_write = MAX_WRITE,
				  .max_pages = 16,
				  .time_gran = 1};

	o.flags = (uint32_t)s->flags | FUSE_INIT_EXT;
	o.flags2 = (uint32_t)(s->flags >> 32);
	memcpy(s->out, &o, sizeof o);
	return sizeof o;
}

static int do_lookup(struct storm *s, const char *name)
{
	struct fuse_entry_out e = {.entry_valid = valid(s), .attr_valid = valid(s)};

	if (name[0] != 'f' || name[1] < '0' || name[1] >= '0' + STORM_FILES)
		return -ENOENT;
	e.nodeid = (uint64_t)(2 + name[1] - '0');
	e.attr = attr_of(s, e.nodeid);
	memcpy(s->out, &e, sizeof e);
	return sizeof e;
}

static int do_attr(struct storm *s, uint64_t nodeid)
{
	struct fuse_attr_out o = {.attr_valid = valid(s), .attr = attr_of(s, nodeid)};

	memcpy(s->out, &o, sizeof o);
	return sizeof o;
}

static void resize(struct storm_file *f, uint64_t size)
{
	if (size < f->size && size < STORM_SIZE)
		memset(f->data + size, 0, STORM_SIZE - size);
	f->size = size;
}

static int do_setattr(struct storm *s, uint64_t nodeid, const struct fuse_setattr_in *in)
{
	struct storm_file *f = file_of(s, nodeid);

	if (f && (in->valid & FATTR_SIZE))
		resize(f, in->size);
	if (f && (in->valid & FATTR_MODE))
		f->mode = in->mode & 0777;
	if (f && (in->valid & FATTR_MTIME))
		f->mtime = in->mtime;
	return do_attr(s, nodeid);
}

static int do_open(struct storm *s, uint64_t nodeid, const struct fuse_open_in *in)
{
	static const uint32_t flags[] = {0,
					 0,
					 FOPEN_KEEP_CACHE,
					 FOPEN_KEEP_CACHE | FOPEN_NOFLUSH,
					 FOPEN_DIRECT_IO,
					 FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES,
					 FOPEN_STREAM};
	struct fuse_open_out o = {.fh = dice_next(&s->d),
				  .open_flags = flags[dice_below(&s->d, 7)]};
	struct storm_file *f = file_of(s, nodeid);

	if (f && (in->flags & 01000) && (s->flags & FUSE_ATOMIC_O_TRUNC))
		resize(f, 0);
	memcpy(s->out, &o, sizeof o);
	return sizeof o;
}

static int do_read(struct storm *s, uint64_t nodeid, const struct fuse_read_in *in)
{
	struct storm_file *f = file_of(s, nodeid);
	uint64_t n = in->size;

	if (!f)
		return -EIO;
	if (in->offset >= f->size)
		return 0;
	if (n > f->size - in->offset)
		n = f->size - in->offset;
	if (dice_hit(&s->d, s->trouble))
		n = dice_below(&s->d, (unsigned)n + 1);
	memset(s->out, 0, n);
	if (in->offset < STORM_SIZE)
		memcpy(s->out, f->data + in->offset,
		       n < STORM_SIZE - in->offset ? n : STORM_SIZE - in->offset);
	return (int)n;
}

static int do_write(struct storm *s, uint64_t nodeid, const struct fuse_write_in *in)
{
	struct storm_file *f = file_of(s, nodeid);
	struct fuse_write_out o = {.size = in->size};

	if (!f)
		return -EIO;
	if (dice_hit(&s->d, s->trouble))
		o.size = dice_below(&s->d, in->size + 1);
	if (in->offset + o.size > f->size)
		f->size = in->offset + o.size;
	if (in->offset < STORM_SIZE)
		memcpy(f->data + in->offset, in + 1,
		       o.size < STORM_SIZE - in->offset ? o.size : STORM_SIZE - in->offset);
	memcpy(s->out, &o, sizeof o);
	return sizeof o;
}

static int perform(struct storm *s, const struct fuse_in_header *h)
{
	const void *arg = h + 1;

	switch (h->opcode) {
	case FUSE_INIT:
		return do_init(s);
	case FUSE_LOOKUP:
		return do_lookup(s, arg);
	case FUSE_GETATTR:
		return do_attr(s, h->nodeid);
	case FUSE_SETATTR:
		return do_setattr(s, h->nodeid, arg);
	case FUSE_OPEN:
		return do_open(s, h->nodeid, arg);
	case FUSE_READ:
		return do_read(s, h->nodeid, arg);
	case FUSE_WRITE:
		return do_write(s, h->nodeid, arg);
	case FUSE_FALLOCATE:
	case FUSE_FLUSH:
	case FUSE_FSYNC:
	case FUSE_RELEASE:
	case FUSE_DESTROY:
		return 0;
	default:
		return -ENOSYS;
	}
}

/* The file changes by itself. */
static void change(struct storm *s)
{
	struct storm_file *f = &s->files[dice_below(&s->d, STORM_FILES)];

	switch (dice_below(&s->d, 4)) {
	case 0:
		resize(f, dice_below(&s->d, STORM_SIZE));
		break;
	case 1:
		resize(f, dice_odd(&s->d) & INT64_MAX);
		break;
	default:
		memset(f->data + dice_below(&s->d, STORM_SIZE / 2), 'c', 5000);
	}
	f->mtime++;
}

static void answer(struct storm *s, const struct fuse_in_header *h)
{
	static const int errors[] = {EIO, EINTR, EAGAIN, ETIMEDOUT, ENOSPC, ENOENT, ESTALE};
	bool vital = h->opcode == FUSE_INIT || h->opcode == FUSE_DESTROY;
	int n = perform(s, h);

	if (!vital && dice_hit(&s->d, s->trouble))
		n = -errors[dice_below(&s->d, 7)];
	if (!vital && dice_hit(&s->d, 2 * s->trouble))
		notify(s);
	send_it(s, h->unique, n < 0 ? n : 0, s->out, n < 0 ? 0 : (size_t)n);
	if (!vital && dice_hit(&s->d, s->trouble))
		send_it(s, h->unique, n < 0 ? n : 0, s->out, n < 0 ? 0 : (size_t)n);
	if (!vital && dice_hit(&s->d, s->trouble))
		change(s);
}

static bool wants_answer(const struct fuse_in_header *h)
{
	return h->opcode != FUSE_FORGET && h->opcode != FUSE_BATCH_FORGET &&
	       h->opcode != FUSE_INTERRUPT && h->opcode != FUSE_NOTIFY_REPLY;
}

static void queue(struct storm *s, const struct fuse_in_header *h, size_t len)
{
	struct storm_msg *m = malloc(sizeof *m + len);

	memcpy(m->bytes, h, len);
	m->next = NULL;
	*s->last = m;
	s->last = &m->next;
	pthread_cond_signal(&s->cond);
}

static void received(struct storm *s, const struct fuse_in_header *h, size_t len)
{
	bool later;

	pthread_mutex_lock(&s->lock);
	s->requests++;
	if (s->dies_at && s->requests >= s->dies_at)
		die(s);
	later = h->opcode != FUSE_INIT && dice_below(&s->d, 3) == 0;
	if (s->dead || !wants_answer(h))
		;
	else if (later)
		queue(s, h, len);
	else
		answer(s, h);
	pthread_mutex_unlock(&s->lock);
}

/* ---- threads */

static void *work(void *arg)
{
	struct storm *s = arg;
	struct storm_msg *m;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		m = s->first;
		if (!m) {
			pthread_cond_wait(&s->cond, &s->lock);
			continue;
		}
		s->first = m->next;
		if (!s->first)
			s->last = &s->first;
		if (dice_below(&s->d, 4) == 0) {
			struct timespec t = {0, dice_below(&s->d, 2000000)};

			pthread_mutex_unlock(&s->lock);
			nanosleep(&t, NULL);
			pthread_mutex_lock(&s->lock);
		}
		answer(s, (struct fuse_in_header *)m->bytes);
		free(m);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void *read_all(void *arg)
{
	static char buf[(1 << 20) + 65536] __attribute__((aligned(8)));
	struct storm *s = arg;
	ssize_t n;

	while ((n = recv(s->fd, buf, sizeof buf, 0)) > 0)
		received(s, (const struct fuse_in_header *)buf, (size_t)n);
	return NULL;
}

static void request(void *ctx, struct pf_inproc *channel, const void *message, size_t length)
{
	struct storm *s = ctx;

	pthread_mutex_lock(&s->lock);
	if (!s->channel)
		s->channel = channel;
	pthread_mutex_unlock(&s->lock);
	received(s, message, length);
}

const struct pf_inproc_ops storm_ops = {.request = request};

static void set_flags(struct storm *s)
{
	s->flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES;
	s->writeback = dice_below(&s->d, 3);
	if (s->writeback)
		s->flags |= FUSE_WRITEBACK_CACHE;
	if (dice_below(&s->d, 3))
		s->flags |= FUSE_ASYNC_READ;
	if (dice_below(&s->d, 2))
		s->flags |= FUSE_AUTO_INVAL_DATA;
	else if (dice_below(&s->d, 2))
		s->flags |= FUSE_EXPLICIT_INVAL_DATA;
	if (dice_below(&s->d, 2))
		s->flags |= FUSE_ATOMIC_O_TRUNC;
	if (dice_below(&s->d, 2))
		s->flags |= FUSE_ASYNC_DIO;
	if (dice_below(&s->d, 2))
		s->flags |= FUSE_DIRECT_IO_ALLOW_MMAP;
	s->flags |= FUSE_HAS_RESEND;
}

struct storm *storm_new(uint64_t seed)
{
	struct storm *s = calloc(1, sizeof *s);
	int sv[2], room = 2 << 20;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
	s->d.s = seed;
	s->last = &s->first;
	s->out = malloc(HOSTILE_MESSAGE);
	s->inproc = dice_below(&s->d, 2);
	s->trouble = dice_below(&s->d, 3) * 10;
	s->dies_at = dice_below(&s->d, 2) ? 20 + dice_below(&s->d, 3000) : 0;
	s->fd = s->client_fd = -1;
	set_flags(s);
	for (int i = 0; i < STORM_FILES; i++) {
		s->files[i] = (struct storm_file){.size = dice_below(&s->d, STORM_SIZE),
						  .mode = 0666,
						  .data = calloc(1, STORM_SIZE)};
		memset(s->files[i].data, 'a' + i, s->files[i].size);
	}
	for (int i = 0; i < STORM_WORKERS; i++)
		pthread_create(&s->workers[i], NULL, work, s);
	if (s->inproc)
		return s;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		abort();
	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	setsockopt(sv[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	s->fd = sv[0];
	s->client_fd = sv[1];
	pthread_create(&s->reader, NULL, read_all, s);
	return s;
}

void storm_free(struct storm *s)
{
	struct storm_msg *m;

	pthread_mutex_lock(&s->lock);
	s->stop = true;
	die(s);
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < STORM_WORKERS; i++)
		pthread_join(s->workers[i], NULL);
	if (!s->inproc) {
		pthread_join(s->reader, NULL);
		close(s->fd);
	}
	while ((m = s->first)) {
		s->first = m->next;
		free(m);
	}
	for (int i = 0; i < STORM_FILES; i++)
		free(s->files[i].data);
	free(s->out);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->cond);
	free(s);
}

int storm_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
