/* SPDX-License-Identifier: BSD-2-Clause */
#include "launch/output.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LAST_READS 64 /* more than a pipe holds */

static void keep(struct pf__output *o, const char *p, size_t n)
{
	size_t drop;

	if (n > PF_OUTPUT_KEPT) {
		p += n - PF_OUTPUT_KEPT;
		n = PF_OUTPUT_KEPT;
	}
	drop = o->nkept + n > PF_OUTPUT_KEPT ? o->nkept + n - PF_OUTPUT_KEPT : 0;
	memmove(o->kept, o->kept + drop, o->nkept - drop);
	memcpy(o->kept + o->nkept - drop, p, n);
	o->nkept += n - drop;
}

/* Pass on what is pending, as far as that does not block. True when nothing is left of it. */
static bool flush(struct pf__output *o)
{
	while (o->at < o->npending && !o->muted) {
		struct pollfd p = {o->out.fd, POLLOUT, 0};
		size_t n = o->npending - o->at;
		ssize_t done;

		if (poll(&p, 1, 0) != 1)
			return false;
		/* A pipe that polls as writable takes this much at least. */
		done = write(o->out.fd, o->pending + o->at, n < 512 ? n : 512);
		if (done < 0 && errno == EAGAIN)
			return false;
		if (done < 0 && errno != EINTR)
			o->muted = true; /* nobody reads it */
		o->at += done > 0 ? (size_t)done : 0;
	}
	o->at = o->npending = 0;
	return true;
}

/* One read; false at the end or when there is nothing. */
static bool fill(struct pf__output *o)
{
	ssize_t n = read(o->in.fd, o->pending, sizeof o->pending);

	if (n <= 0)
		return false;
	o->npending = (size_t)n;
	o->at = 0;
	keep(o, o->pending, o->npending);
	return true;
}

static void in_ready(void *ctx, short revents)
{
	struct pf__output *o = ctx;
	bool more, done;

	pthread_mutex_lock(&o->lock);
	done = flush(o);
	more = done && fill(o);
	done = flush(o);
	pthread_mutex_unlock(&o->lock);
	if (!done) { /* wait for the reader instead */
		pf__supervisor_unwatch(o->s, &o->in);
		if (pf__supervisor_watch(o->s, &o->out) == 0)
			return;
	}
	if (!more && revents & EPOLLHUP)
		pf__supervisor_unwatch(o->s, &o->in);
}

static void out_ready(void *ctx, short revents)
{
	struct pf__output *o = ctx;
	bool done;

	pthread_mutex_lock(&o->lock);
	done = flush(o);
	pthread_mutex_unlock(&o->lock);
	if (done || revents & (EPOLLERR | EPOLLHUP)) {
		pf__supervisor_unwatch(o->s, &o->out);
		pf__supervisor_watch(o->s, &o->in);
	}
}

int pf__output_open(struct pf__output *o, struct pf__supervisor *s, int to, int *pipe_end)
{
	int p[2], err;

	*o = (struct pf__output){.s = s};
	pthread_mutex_init(&o->lock, NULL);
	o->in.fd = -1;
	pf__list_init(&o->in.link);
	o->out = (struct pf__watch){fcntl(to, F_DUPFD_CLOEXEC, 3), EPOLLOUT, out_ready, o};
	pf__list_init(&o->out.link);
	o->muted = o->out.fd < 0; /* closed: then there is nobody to tell */
	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	o->in = (struct pf__watch){fcntl(p[0], F_DUPFD_CLOEXEC, 3), EPOLLIN, in_ready, o};
	pf__list_init(&o->in.link);
	*pipe_end = fcntl(p[1], F_DUPFD_CLOEXEC, 3);
	close(p[0]);
	close(p[1]);
	if (o->in.fd < 0 || *pipe_end < 0)
		return -errno;
	fcntl(o->in.fd, F_SETFL, O_NONBLOCK);
	err = pf__supervisor_watch(s, &o->in);
	if (err)
		close(*pipe_end);
	return err;
}

void pf__output_mute(struct pf__output *o)
{
	pthread_mutex_lock(&o->lock);
	o->muted = true;
	pthread_mutex_unlock(&o->lock);
	/* Whatever the reader does, the server shall not wait for it now. */
	pf__supervisor_unwatch(o->s, &o->in);
	pf__supervisor_unwatch(o->s, &o->out);
	pf__supervisor_watch(o->s, &o->in);
}

/* The bytes of the character at p of at most n, if it is one to show: UTF-8, and no control. */
static size_t printable(const unsigned char *p, size_t n)
{
	size_t len = *p < 0x80   ? 1
		     : *p < 0xc2 ? 0
		     : *p < 0xe0 ? 2
		     : *p < 0xf0 ? 3
		     : *p < 0xf5 ? 4
				 : 0;

	if (!len || len > n || *p < ' ' || *p == 0x7f)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return *p == 0xc2 && p[1] < 0xa0 ? 0 : len;
}

/* For a sentence: what could move a terminal's cursor or change its colours becomes a '?'. */
static void put_words(char *buf, size_t size, const char *words, size_t n)
{
	size_t at = 0, len;

	for (size_t i = 0; i < n; i += len ? len : 1) {
		len = printable((const unsigned char *)words + i, n - i);
		if (at + (len ? len : 1) >= size)
			break;
		if (len)
			memcpy(buf + at, words + i, len);
		else
			buf[at] = '?';
		at += len ? len : 1;
	}
	buf[at] = '\0';
}

void pf__output_last_words(struct pf__output *o, char *buf, size_t size)
{
	size_t end, start;

	pthread_mutex_lock(&o->lock);
	/* Who never stops talking does not keep us listening. */
	for (int i = 0; i < LAST_READS && o->in.fd >= 0 && flush(o) && fill(o); i++)
		;
	end = o->nkept;
	while (end > 0 && strchr(" \t\r\n", o->kept[end - 1]))
		end--;
	start = end;
	while (start > 0 && o->kept[start - 1] != '\n')
		start--;
	put_words(buf, size, o->kept + start, end - start);
	pthread_mutex_unlock(&o->lock);
}

void pf__output_close(struct pf__output *o)
{
	if (!o->s)
		return;
	pf__supervisor_unwatch(o->s, &o->in);
	pf__supervisor_unwatch(o->s, &o->out);
	if (o->in.fd >= 0)
		close(o->in.fd);
	if (o->out.fd >= 0)
		close(o->out.fd);
	pthread_mutex_destroy(&o->lock);
	o->s = NULL;
}
