/* SPDX-License-Identifier: BSD-2-Clause */
/* The largest messages, cut as a cache of blocks cuts them: 1 MiB out of blocks of 256 KiB,
 * beginning inside of one, is five vectors. The server is in this process: no socket's buffer is so
 * large. */
#include "base/futex.h"
#include "tests/conn/peer.h"
#include "tests/unit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB     (1u << 20)
#define BLOCK   (256u << 10)
#define INSIDE  12345u /* where in its first block the range begins */
#define VECTORS 5

static char byte_at(uint64_t i)
{
	return (char)(i * 7 + i / 4099);
}

struct server {
	struct pf_inproc *channel;
	unsigned wrong, written;
	char body[MIB];
};

static void serve_write(struct server *s, const struct fuse_write_in *in, size_t len)
{
	const char *data = (const char *)(in + 1);

	if (len != sizeof(*in) + in->size)
		s->wrong++;
	for (uint32_t i = 0; i < in->size; i++)
		s->wrong += data[i] != byte_at(in->offset + i);
	s->written += in->size;
}

static void on_request(void *ctx, struct pf_inproc *ch, const void *msg, size_t len)
{
	struct fuse_init_out init = {
	    .major = 7, .minor = 45, .max_write = MIB, .max_pages = 256, .flags = FUSE_MAX_PAGES};
	const struct fuse_in_header *h = msg;
	const struct fuse_read_in *read = (const void *)(h + 1);
	struct fuse_write_out w = {0};
	struct fuse_out_header o = {.unique = h->unique};
	struct iovec iov[2] = {{&o, sizeof(o)}, {NULL, 0}};
	struct server *s = ctx;

	if (h->opcode == FUSE_INIT) {
		iov[1] = (struct iovec){&init, sizeof(init)};
	} else if (h->opcode == FUSE_WRITE) {
		serve_write(s, (const void *)(h + 1), len - sizeof(*h));
		w.size = s->written;
		iov[1] = (struct iovec){&w, sizeof(w)};
	} else if (h->opcode == FUSE_READ) {
		for (uint32_t i = 0; i < read->size; i++)
			s->body[i] = byte_at(read->offset + i);
		iov[1] = (struct iovec){s->body, read->size};
	}
	o.len = sizeof(o) + iov[1].iov_len;
	(void)pf_inproc_reply(ch, iov, 2);
}

static struct pf__conn *open_conn(struct server *s)
{
	static const struct pf_inproc_ops ops = {on_request, NULL};
	struct pf__transport *t;
	struct pf__conn *conn;
	struct peer p;

	peer_init(&p, NULL, NULL);
	p.config.want.max_write = MIB;
	p.config.want.max_pages = 256;
	p.config.want.flags |= FUSE_MAX_PAGES;
	p.config.ops = NULL;
	assert_err(pf__transport_inproc(&t, &ops, s, 100, &s->channel), 0);
	assert_err(pf__conn_open(&conn, t, &p.config), 0);
	return conn;
}

static void done(struct pf__req *req)
{
	_Atomic uint32_t *word = req->done_ctx;

	atomic_store(word, 1);
	pf__futex_wake(word, 1);
}

static int run(struct pf__conn *conn, struct pf__req *req, bool background)
{
	_Atomic uint32_t word = 0;

	if (!background)
		return pf__request(conn, req);
	req->done = done;
	req->done_ctx = &word;
	pf__request_background(conn, req);
	while (!word)
		(void)pf__conn_sleep(conn, &word, 0, PF_TIME_FOREVER);
	return req->error;
}

/* The i-th vector of a range that begins INSIDE the first of five blocks. */
static struct iovec part(char *blocks, int i)
{
	size_t from = i ? 0 : INSIDE, to = i == VECTORS - 1 ? INSIDE : BLOCK;

	return (struct iovec){blocks + (size_t)i * BLOCK + from, to - from};
}

static void read_blocks(bool background)
{
	struct fuse_read_in in = {.size = MIB, .offset = INSIDE};
	struct pf__req req = {.opcode = FUSE_READ, .nodeid = 2, .expect_size = MIB};
	struct server *s = calloc(1, sizeof(*s));
	char *blocks = calloc(VECTORS, BLOCK);
	struct pf__conn *conn = open_conn(s);

	pf__req_in(&req, &in, sizeof(in));
	for (int i = 0; i < VECTORS; i++)
		req.out[req.nout++] = part(blocks, i);
	assert_err(run(conn, &req, background), 0);
	assert_int_equal(req.out_len, MIB);
	for (size_t i = 0; i < (size_t)VECTORS * BLOCK; i++)
		if (blocks[i] != (i < INSIDE || i >= INSIDE + MIB ? 0 : byte_at(i)))
			fail_msg("byte %zu", i);
	pf__conn_close(conn, 1000);
	pf_inproc_close(s->channel);
	free(blocks);
	free(s);
}

static void test_read(void **state)
{
	read_blocks(false);
	read_blocks(true);
}

static void write_blocks(bool background)
{
	struct fuse_write_in in = {.size = MIB, .offset = INSIDE};
	struct fuse_write_out out = {0};
	struct pf__req req = {.opcode = FUSE_WRITE, .nodeid = 2, .expect_size = MIB};
	struct server *s = calloc(1, sizeof(*s));
	char *blocks = calloc(VECTORS, BLOCK);
	struct pf__conn *conn = open_conn(s);

	for (size_t i = 0; i < (size_t)VECTORS * BLOCK; i++)
		blocks[i] = byte_at(i);
	pf__req_in(&req, &in, sizeof(in));
	for (int i = 0; i < VECTORS; i++)
		req.in[req.nin++] = part(blocks, i);
	pf__req_out(&req, &out, sizeof(out));
	assert_err(run(conn, &req, background), 0);
	assert_int_equal(out.size, MIB);
	assert_int_equal(s->wrong, 0);
	assert_int_equal(s->written, MIB);
	pf__conn_close(conn, 1000);
	pf_inproc_close(s->channel);
	free(blocks);
	free(s);
}

static void test_write(void **state)
{
	write_blocks(false);
	write_blocks(true);
}

_Static_assert(PF_REQ_OUT_MAX >= VECTORS, "a read of 1 MiB out of blocks");
_Static_assert(PF_REQ_IN_MAX >= 1 + VECTORS, "a write of 1 MiB out of blocks");

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
