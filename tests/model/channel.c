// SPDX-License-Identifier: BSD-2-Clause
/* How the server's messages travel: in process or by a socket, at once or late. */
#include "tests/model/server_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_BUFFER (4 << 20)
#define MESSAGE_ROOM  ((1 << 20) + 4096)

uint64_t channel_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void send_now(struct server *s, const struct iovec *iov, int n)
{
	struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
	int r = 0;

	pthread_mutex_lock(&s->send_lock);
	if (!s->hung && s->channel)
		r = pf_inproc_reply(s->channel, iov, n);
	else if (!s->hung && s->fd >= 0)
		r = sendmsg(s->fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
	pthread_mutex_unlock(&s->send_lock);
	if (r && r != -EPIPE && r != -ENODEV && r != -ENOTCONN && r != -ECONNRESET)
		fprintf(stderr, "server: sending: errno %d\n", -r);
}

/* ---- late answers */

static struct late *late_take(struct server *s)
{
	struct late *l;

	pthread_mutex_lock(&s->late_lock);
	while (!s->late_stop) {
		struct timespec until;

		l = s->late;
		if (l && l->due <= channel_now()) {
			s->late = l->next;
			break;
		}
		until = (struct timespec){0};
		if (l) {
			until.tv_sec = (time_t)(l->due / 1000000000ull);
			until.tv_nsec = (long)(l->due % 1000000000ull);
			pthread_cond_timedwait(&s->late_cond, &s->late_lock, &until);
		} else {
			pthread_cond_wait(&s->late_cond, &s->late_lock);
		}
	}
	if (s->late_stop) {
		l = s->late;
		s->late = l ? l->next : NULL;
	}
	pthread_mutex_unlock(&s->late_lock);
	return l;
}

static void *late_thread(void *arg)
{
	struct server *s = arg;
	struct late *l;

	while ((l = late_take(s))) {
		send_now(s, &(struct iovec){l->data, l->len}, 1);
		free(l);
	}
	return NULL;
}

static void late_put(struct server *s, const struct iovec *iov, int n, uint64_t us)
{
	size_t len = 0;
	struct late *l, **at;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	l = malloc(sizeof *l + len);
	l->due = channel_now() + us * 1000;
	l->len = 0;
	for (int i = 0; i < n; i++) {
		memcpy(l->data + l->len, iov[i].iov_base, iov[i].iov_len);
		l->len += iov[i].iov_len;
	}
	pthread_mutex_lock(&s->late_lock);
	for (at = &s->late; *at && (*at)->due <= l->due; at = &(*at)->next)
		;
	l->next = *at;
	*at = l;
	pthread_cond_signal(&s->late_cond);
	pthread_mutex_unlock(&s->late_lock);
}

void channel_send(struct server *s, const struct iovec *iov, int n, uint64_t late_us)
{
	if (late_us)
		late_put(s, iov, n, late_us);
	else
		send_now(s, iov, n);
}

static void late_start(struct server *s)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->late_cond, &attr);
	pthread_condattr_destroy(&attr);
	if (s->c.late)
		s->late_runs = !pthread_create(&s->late_thread, NULL, late_thread, s);
}

/* ---- in process */

static void request(void *ctx, struct pf_inproc *channel, const void *message, size_t length)
{
	struct server *s = ctx;

	pthread_mutex_lock(&s->send_lock);
	if (!s->channel && !s->hung)
		s->channel = channel;
	pthread_mutex_unlock(&s->send_lock);
	server_message(s, message, length);
}

/* ---- behind a socket */

static void *receive(void *arg)
{
	struct server *s = arg;
	char *buf = malloc(MESSAGE_ROOM);
	ssize_t n;

	while ((n = recv(s->fd, buf, MESSAGE_ROOM, 0)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			server_message(s, buf, (size_t)n);
	free(buf);
	return NULL;
}

static int attach_socket(struct server *s, struct pf_fs **fs, const struct pf_options *options)
{
	int sv[2], size = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		if (setsockopt(sv[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
			(void)setsockopt(sv[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	s->fd = sv[1];
	for (; s->nthreads < SERVER_THREADS; s->nthreads++)
		if (pthread_create(&s->threads[s->nthreads], NULL, receive, s))
			break;
	return pf_attach(fs, sv[0], options);
}

int server_attach(struct server *s, struct pf_fs **fs, const struct pf_options *options)
{
	static const struct pf_inproc_ops ops = {.request = request};

	late_start(s);
	return s->c.socket ? attach_socket(s, fs, options) : pf_attach_inproc(fs, &ops, s, options);
}

/* ---- the end */

void server_kill(struct server *s)
{
	pthread_mutex_lock(&s->send_lock);
	if (!s->hung && s->channel)
		pf_inproc_close(s->channel);
	if (!s->hung && s->fd >= 0)
		shutdown(s->fd, SHUT_RDWR);
	s->hung = true;
	s->channel = NULL;
	pthread_mutex_unlock(&s->send_lock);
}

bool server_dead(struct server *s)
{
	bool hung;

	pthread_mutex_lock(&s->send_lock);
	hung = s->hung;
	pthread_mutex_unlock(&s->send_lock);
	return hung;
}

void channel_free(struct server *s)
{
	server_kill(s);
	for (unsigned i = 0; i < s->nthreads; i++)
		pthread_join(s->threads[i], NULL);
	if (s->fd >= 0)
		close(s->fd);
	pthread_mutex_lock(&s->late_lock);
	s->late_stop = true;
	pthread_cond_signal(&s->late_cond);
	pthread_mutex_unlock(&s->late_lock);
	if (s->late_runs)
		pthread_join(s->late_thread, NULL);
	pthread_cond_destroy(&s->late_cond);
}
