/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An owner's records are OFD locks of a descriptor that he has for himself; flock's are those of
 * the descriptor that was opened. Who waits tries again and again.
 */
#include "passthrough_locks.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGAIN_US 2000

struct owner {
	struct owner *next;
	ino_t ino;
	uint64_t id;
	int fd;
	uint32_t pid; /* of his last lock */
};
static struct owner *owners; /* for good: there are few */

struct waiting {
	struct waiting *next;
	int device;
	struct fuse_in_header h;
	struct fuse_lk_in in;
	bool interrupted;
};
static struct waiting *all_waiting;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of both lists */

static void reply(int device, uint64_t unique, int error, const struct fuse_lk_out *out)
{
	struct {
		struct fuse_out_header h;
		struct fuse_lk_out lk;
	} r = {.h = {.len = sizeof r.h, .error = -error, .unique = unique}};

	if (out) {
		r.lk = *out;
		r.h.len = sizeof r;
	}
	if (write(device, &r, r.h.len) < 0 && errno == ENODEV)
		exit(0);
}

static struct owner *owner_of(int fd, uint64_t id)
{
	struct stat st = {0};
	struct owner *o;
	char name[64];

	fstat(fd, &st);
	pthread_mutex_lock(&lock);
	for (o = owners; o && (o->ino != st.st_ino || o->id != id); o = o->next)
		;
	if (!o) {
		o = calloc(1, sizeof *o);
		snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		*o = (struct owner){owners, st.st_ino, id, open(name, O_RDWR | O_CLOEXEC), 0};
		owners = o;
	}
	pthread_mutex_unlock(&lock);
	return o;
}

static struct flock record_of(const struct fuse_lk_in *in)
{
	return (struct flock){
	    .l_type = (short)in->lk.type,
	    .l_whence = SEEK_SET,
	    .l_start = (off_t)in->lk.start,
	    .l_len = in->lk.end >= INT64_MAX ? 0 : (off_t)(in->lk.end - in->lk.start + 1)};
}

/* 0 or errno; never waits. */
static int set(const struct fuse_lk_in *in)
{
	struct owner *o;
	struct flock l = record_of(in);

	if (in->lk_flags & FUSE_LK_FLOCK) {
		int op = in->lk.type == F_UNLCK   ? LOCK_UN
			 : in->lk.type == F_RDLCK ? LOCK_SH
						  : LOCK_EX;

		return flock((int)in->fh, op | LOCK_NB) < 0 ? errno : 0;
	}
	o = owner_of((int)in->fh, in->owner);
	if (fcntl(o->fd, F_OFD_SETLK, &l) < 0)
		return errno;
	if (in->lk.type != F_UNLCK)
		o->pid = in->lk.pid;
	return 0;
}

/* Whose is it? The one in whose own way it is not. */
static uint32_t pid_of(const struct owner *mine, struct flock l)
{
	uint32_t pid = 0;

	pthread_mutex_lock(&lock);
	for (struct owner *o = owners; o && !pid; o = o->next) {
		struct flock his = l;

		his.l_type = F_WRLCK;
		his.l_pid = 0;
		if (o != mine && o->ino == mine->ino && !fcntl(o->fd, F_OFD_GETLK, &his) &&
		    his.l_type == F_UNLCK)
			pid = o->pid;
	}
	pthread_mutex_unlock(&lock);
	return pid;
}

static void test(int device, const struct fuse_in_header *h, const struct fuse_lk_in *in)
{
	struct owner *o = owner_of((int)in->fh, in->owner);
	struct fuse_lk_out out = {.lk = in->lk};
	struct flock l = record_of(in);

	if (fcntl(o->fd, F_OFD_GETLK, &l) < 0) {
		reply(device, h->unique, errno, NULL);
		return;
	}
	out.lk.type = (uint32_t)l.l_type;
	if (l.l_type != F_UNLCK) {
		out.lk.start = (uint64_t)l.l_start;
		out.lk.end = l.l_len ? (uint64_t)(l.l_start + l.l_len - 1) : INT64_MAX;
		out.lk.pid = pid_of(o, l);
	}
	reply(device, h->unique, 0, &out);
}

static void *wait_for(void *arg)
{
	struct waiting *w = arg, **at;
	int err;

	while ((err = set(&w->in)) == EAGAIN) {
		bool over;

		pthread_mutex_lock(&lock);
		over = w->interrupted;
		pthread_mutex_unlock(&lock);
		err = EINTR;
		if (over)
			break;
		usleep(AGAIN_US);
	}
	pthread_mutex_lock(&lock);
	for (at = &all_waiting; *at != w; at = &(*at)->next)
		;
	*at = w->next;
	pthread_mutex_unlock(&lock);
	reply(w->device, w->h.unique, err, NULL);
	free(w);
	return NULL;
}

void lock_interrupt(uint64_t unique)
{
	pthread_mutex_lock(&lock);
	for (struct waiting *w = all_waiting; w; w = w->next)
		w->interrupted |= w->h.unique == unique;
	pthread_mutex_unlock(&lock);
}

void lock_request(int device, const struct fuse_in_header *h, const struct fuse_lk_in *in)
{
	struct waiting *w;
	pthread_t thread;
	int err;

	if (h->opcode == FUSE_GETLK) {
		test(device, h, in);
		return;
	}
	err = set(in);
	if (err != EAGAIN || h->opcode == FUSE_SETLK) {
		reply(device, h->unique, err, NULL);
		return;
	}
	w = calloc(1, sizeof *w);
	*w = (struct waiting){.device = device, .h = *h, .in = *in};
	pthread_mutex_lock(&lock);
	w->next = all_waiting;
	all_waiting = w;
	pthread_mutex_unlock(&lock);
	pthread_create(&thread, NULL, wait_for, w);
	pthread_detach(thread);
}
