// SPDX-License-Identifier: BSD-2-Clause
/* The test's side of the server: its files seen and changed behind the client's back. */
#include "tests/model/server_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define RETRIEVE_WAIT_S 10

struct server *server_new(const struct server_config *config)
{
	struct server *s = calloc(1, sizeof *s);

	s->c = *config;
	s->dice = dice_mix(config->seed);
	s->fd = -1;
	s->clock = 1700000000ull * 1000000000ull;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->send_lock, NULL);
	pthread_mutex_init(&s->late_lock, NULL);
	pthread_cond_init(&s->retrieved, NULL);
	return s;
}

void server_stop(struct server *s)
{
	channel_free(s);
	for (size_t i = 0; i < s->nhandles; i++)
		if (s->handles[i].node)
			server_complain(s, "handle %zu was never released", i + 1);
}

void server_free(struct server *s)
{
	for (size_t i = 0; i < s->nnodes; i++) {
		free(s->nodes[i]->data);
		free(s->nodes[i]->synced);
		free(s->nodes[i]);
	}
	free(s->nodes);
	free(s->handles);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->send_lock);
	pthread_mutex_destroy(&s->late_lock);
	pthread_cond_destroy(&s->retrieved);
	free(s);
}

const char *server_complaint(struct server *s)
{
	const char *c;

	pthread_mutex_lock(&s->lock);
	c = s->complaint[0] ? s->complaint : NULL; /* never changes once it is there */
	pthread_mutex_unlock(&s->lock);
	return c;
}

void server_strict(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->strict = true;
	pthread_mutex_unlock(&s->lock);
}

unsigned long server_requests(struct server *s)
{
	unsigned long n;

	pthread_mutex_lock(&s->lock);
	n = s->requests;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void server_kill_after(struct server *s, unsigned n)
{
	pthread_mutex_lock(&s->lock);
	s->kill_after = n;
	pthread_mutex_unlock(&s->lock);
}

uint64_t server_find(struct server *s, const char *name)
{
	uint64_t id = 0;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < NAMES; i++)
		if (s->names[i].node && !strcmp(s->names[i].name, name))
			id = s->names[i].node->id;
	pthread_mutex_unlock(&s->lock);
	return id;
}

/* With the lock held. The test knows its nodes: there is no other id. */
static struct node *lock_node(struct server *s, uint64_t id)
{
	pthread_mutex_lock(&s->lock);
	return s->nodes[id - 2];
}

uint64_t server_size(struct server *s, uint64_t node)
{
	uint64_t size = lock_node(s, node)->size;

	pthread_mutex_unlock(&s->lock);
	return size;
}

static int64_t first_difference(const uint8_t *have, uint64_t have_size, const uint8_t *want,
				uint64_t want_size, int *got)
{
	uint64_t both = have_size < want_size ? have_size : want_size, i;

	if (both && memcmp(have, want, both)) {
		for (i = 0; have[i] == want[i]; i++)
			;
		*got = have[i];
		return (int64_t)i;
	}
	*got = have_size > both ? have[both] : -1;
	return have_size == want_size ? -1 : (int64_t)both;
}

int64_t server_differs(struct server *s, uint64_t node, bool synced, const void *data, size_t size,
		       int *got)
{
	struct node *n = lock_node(s, node);
	int64_t at = first_difference(synced ? n->synced : n->data,
				      synced ? n->synced_size : n->size, data, size, got);

	pthread_mutex_unlock(&s->lock);
	return at;
}

void server_copy_out(struct server *s, uint64_t node, void *data, size_t size)
{
	struct node *n = lock_node(s, node);
	size_t have = n->size < size ? n->size : size;

	if (have)
		memcpy(data, n->data, have);
	memset((char *)data + have, 0, size - have);
	pthread_mutex_unlock(&s->lock);
}

void server_limit(struct server *s, uint64_t node, uint64_t limit)
{
	struct node *n = lock_node(s, node);

	if (n->limit != NO_LIMIT && limit < n->limit)
		n->unsettled = true;
	n->limit = limit;
	pthread_mutex_unlock(&s->lock);
}

void server_settled(struct server *s, uint64_t node)
{
	lock_node(s, node)->unsettled = false;
	pthread_mutex_unlock(&s->lock);
}

void server_mapped(struct server *s, uint64_t node)
{
	lock_node(s, node)->mapped = true;
	pthread_mutex_unlock(&s->lock);
}

unsigned server_fail_writes(struct server *s, uint64_t node, unsigned n, int error)
{
	struct node *file = lock_node(s, node);
	unsigned left = file->fail;

	file->fail = n;
	file->fail_error = error;
	pthread_mutex_unlock(&s->lock);
	return left;
}

/* ---- another client */

void server_write(struct server *s, uint64_t node, const void *data, size_t len, uint64_t offset)
{
	struct node *n = lock_node(s, node);

	server_put(s, n, data, len, offset);
	if (n->limit != NO_LIMIT && n->size > n->limit)
		n->limit = n->size;
	pthread_mutex_unlock(&s->lock);
}

void server_truncate(struct server *s, uint64_t node, uint64_t size)
{
	struct node *n = lock_node(s, node);

	n->untold = n->untold || size < n->size;
	server_resize(s, n, size);
	pthread_mutex_unlock(&s->lock);
}

static void notify(struct server *s, int code, const void *body, size_t len, const void *data,
		   size_t data_len)
{
	struct fuse_out_header out = {(uint32_t)(sizeof out + len + data_len), code, 0};
	struct iovec iov[3] = {{&out, sizeof out}, {(void *)body, len}, {(void *)data, data_len}};

	channel_send(s, iov, data_len ? 3 : 2, 0);
}

void server_inval(struct server *s, uint64_t node, int64_t offset, int64_t len)
{
	struct fuse_notify_inval_inode_out o = {node, offset, len};

	if (s->c.plant != PLANT_SILENT)
		notify(s, FUSE_NOTIFY_INVAL_INODE, &o, sizeof o, NULL, 0);
}

void server_store(struct server *s, uint64_t node, uint64_t offset, uint32_t len)
{
	struct fuse_notify_store_out o = {node, offset, len, 0};
	void *data = malloc(len + 1);
	struct node *n = lock_node(s, node);

	memcpy(data, n->data + offset, len);
	pthread_mutex_unlock(&s->lock);
	if (s->c.plant != PLANT_SILENT)
		notify(s, FUSE_NOTIFY_STORE, &o, sizeof o, data, len);
	free(data);
}

void server_retrieve(struct server *s, uint64_t node, void *data, uint32_t len, uint64_t offset)
{
	struct fuse_notify_retrieve_out o = {1, node, offset, len, 0};

	pthread_mutex_lock(&s->lock);
	s->retrieve_unique = o.notify_unique = 0x5245000000000000ull + 2 * ++s->clock;
	s->retrieve_data = data;
	s->retrieve_got = -1;
	pthread_mutex_unlock(&s->lock);
	notify(s, FUSE_NOTIFY_RETRIEVE, &o, sizeof o, NULL, 0);
}

int64_t server_retrieved(struct server *s)
{
	struct timespec until;
	int64_t got;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += RETRIEVE_WAIT_S;
	pthread_mutex_lock(&s->lock);
	while (s->retrieve_unique && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&s->retrieved, &s->lock, &until);
	s->retrieve_unique = 0;
	got = s->retrieve_got;
	pthread_mutex_unlock(&s->lock);
	return got;
}

bool server_opened_direct(struct server *s)
{
	bool direct;

	pthread_mutex_lock(&s->lock);
	direct = s->nhandles && s->handles[s->nhandles - 1].direct;
	pthread_mutex_unlock(&s->lock);
	return direct;
}
