/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A directory (the root) at the scripted server that changes: names with numbers and cookies of
 * their own, READDIR and READDIRPLUS in replies of a few records, what makes and removes names. For
 * the tests of the directory cache. All under the lock; handlers run on any thread.
 */
#ifndef TESTS_BEHAVE_SERVED_H
#define TESTS_BEHAVE_SERVED_H

#include "tests/behave/behave.h"
#include <dirent.h>

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

#define SERVED_MAX 4096

struct served_name {
	char name[24];
	uint64_t ino, cookie; /* cookies only grow: a listing goes by age */
	uint32_t mode;
};

struct served {
	struct mock *m;
	pthread_mutex_t lock;
	struct served_name names[SERVED_MAX];
	unsigned n;
	uint64_t next; /* ino and cookie of the next name */
	uint64_t mtime;
	unsigned per_reply;               /* records of one reply; 0: as fit */
	uint32_t open_flags;              /* of OPENDIR */
	uint64_t dir_valid;               /* seconds, of the root's attributes */
	uint64_t entry_valid, attr_valid; /* seconds, of the names */
	int fail;      /* what makes, removes and moves names fails with this and does nothing */
	uint64_t seen; /* READDIR and READDIRPLUS until the last look */
};

static inline struct served_name *served_find(struct served *s, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!strcmp(s->names[i].name, name))
			return &s->names[i];
	return NULL;
}

static inline void served_add_locked(struct served *s, const char *name, uint32_t mode)
{
	struct served_name *e = &s->names[s->n++];

	assert_true(s->n <= SERVED_MAX);
	*e = (struct served_name){.ino = 100 + s->next, .cookie = 10 * (s->next + 1), .mode = mode};
	s->next++;
	snprintf(e->name, sizeof e->name, "%s", name);
}

static inline void served_del_locked(struct served *s, struct served_name *e)
{
	memmove(e, e + 1, (char *)(s->names + s->n) - (char *)(e + 1));
	s->n--;
}

/* Behind the client's back. */
static inline void served_add(struct served *s, const char *name, uint32_t mode)
{
	pthread_mutex_lock(&s->lock);
	served_add_locked(s, name, mode);
	pthread_mutex_unlock(&s->lock);
}

static inline void served_del(struct served *s, const char *name)
{
	pthread_mutex_lock(&s->lock);
	served_del_locked(s, served_find(s, name));
	pthread_mutex_unlock(&s->lock);
}

static inline struct fuse_entry_out served_entry(const struct served *s,
						 const struct served_name *e)
{
	return mock_entry(e->ino, e->mode, e->ino, s->entry_valid, s->attr_valid);
}

static inline void serve_readdir(struct mock_req *req, void *ctx)
{
	const struct fuse_read_in *in = req->arg;
	struct served *s = ctx;
	bool plus = req->h.opcode == FUSE_READDIRPLUS;
	char *buf = calloc(1, in->size);
	size_t len = 0;
	unsigned n = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++) {
		const struct served_name *e = &s->names[i];
		struct fuse_entry_out out = served_entry(s, e);

		if (e->cookie <= in->offset)
			continue;
		if ((s->per_reply && n == s->per_reply) || len + 200 > in->size)
			break;
		n++;
		len = plus ? mock_direntplus(buf, len, &out, e->cookie, e->name)
			   : mock_dirent(buf, len, e->ino, e->cookie, (e->mode & S_IFMT) >> 12,
					 e->name);
	}
	pthread_mutex_unlock(&s->lock);
	mock_answer(req, buf, len);
	free(buf);
}

static inline void serve_getattr(struct mock_req *req, void *ctx)
{
	struct served *s = ctx;
	struct fuse_attr_out out = {.attr = mock_attr(1, DIR_, 0)};

	pthread_mutex_lock(&s->lock);
	out.attr_valid = s->dir_valid;
	out.attr.mtime = s->mtime;
	pthread_mutex_unlock(&s->lock);
	mock_answer(req, &out, sizeof out);
}

static inline void serve_opendir(struct mock_req *req, void *ctx)
{
	struct served *s = ctx;
	struct fuse_open_out out = {.fh = MOCK_FH, .open_flags = s->open_flags};

	mock_answer(req, &out, sizeof out);
}

static inline void serve_lookup(struct mock_req *req, void *ctx)
{
	struct fuse_entry_out out = {0};
	struct served *s = ctx;
	struct served_name *e;

	pthread_mutex_lock(&s->lock);
	e = served_find(s, req->name);
	if (e)
		out = served_entry(s, e);
	pthread_mutex_unlock(&s->lock);
	if (e)
		mock_answer(req, &out, sizeof out);
	else
		mock_answer_error(req, ENOENT);
}

static inline bool served_fails(struct served *s, struct mock_req *req)
{
	if (s->fail)
		mock_answer_error(req, s->fail);
	return s->fail;
}

/* MKDIR, MKNOD, SYMLINK, CREATE. */
static inline void serve_make(struct mock_req *req, void *ctx)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {.open = {.fh = MOCK_FH}};
	uint32_t op = req->h.opcode, mode = REG;
	struct served *s = ctx;

	if (served_fails(s, req))
		return;
	if (op == FUSE_MKDIR)
		mode = DIR_;
	else if (op == FUSE_SYMLINK)
		mode = S_IFLNK | 0777;
	pthread_mutex_lock(&s->lock);
	served_add_locked(s, req->name, mode);
	s->mtime++;
	out.entry = served_entry(s, served_find(s, req->name));
	pthread_mutex_unlock(&s->lock);
	mock_answer(req, &out, op == FUSE_CREATE ? sizeof out : sizeof out.entry);
}

static inline void serve_remove(struct mock_req *req, void *ctx)
{
	struct served *s = ctx;

	if (served_fails(s, req))
		return;
	pthread_mutex_lock(&s->lock);
	served_del_locked(s, served_find(s, req->name));
	s->mtime++;
	pthread_mutex_unlock(&s->lock);
	mock_answer(req, NULL, 0);
}

/* Within the root, or from there to elsewhere. */
static inline void serve_rename(struct mock_req *req, void *ctx)
{
	const struct fuse_rename_in *in = req->arg;
	struct served *s = ctx;
	struct served_name *e;

	if (served_fails(s, req))
		return;
	pthread_mutex_lock(&s->lock);
	e = served_find(s, req->name);
	if (in->newdir == 1)
		snprintf(e->name, sizeof e->name, "%s", req->name2);
	else
		served_del_locked(s, e);
	s->mtime++;
	pthread_mutex_unlock(&s->lock);
	mock_answer(req, NULL, 0);
}

static inline void serve(struct served *s, uint32_t op, mock_fn fn)
{
	struct mock_expect *e = mock_expect(s->m, op, 1, NULL);

	/* The server's thread may be looking through them for the last request. */
	pthread_mutex_lock(&s->m->lock);
	mock_fn_set(mock_any_times(e), fn, s);
	pthread_mutex_unlock(&s->m->lock);
}

/* flags: of INIT. READDIR itself is served from serve_listings() on. */
static inline struct served *served_start(uint32_t open_flags, uint64_t flags)
{
	struct mock_options o = {.flags = flags | FUSE_PARALLEL_DIROPS, .no_root_auto = true};
	struct served *s = calloc(1, sizeof *s);

	pthread_mutex_init(&s->lock, NULL);
	s->open_flags = open_flags;
	s->dir_valid = s->entry_valid = s->attr_valid = MOCK_FOREVER;
	s->mtime = 1000;
	s->m = mock_start(&o);
	serve(s, FUSE_OPENDIR, serve_opendir);
	mock_any_times(mock_releasedir(s->m, 1));
	serve(s, FUSE_GETATTR, serve_getattr);
	serve(s, FUSE_LOOKUP, serve_lookup);
	serve(s, FUSE_MKDIR, serve_make);
	serve(s, FUSE_MKNOD, serve_make);
	serve(s, FUSE_SYMLINK, serve_make);
	serve(s, FUSE_CREATE, serve_make);
	serve(s, FUSE_UNLINK, serve_remove);
	serve(s, FUSE_RMDIR, serve_remove);
	serve(s, FUSE_RENAME, serve_rename);
	return s;
}

static inline void serve_listings(struct served *s)
{
	serve(s, FUSE_READDIR, serve_readdir);
	serve(s, FUSE_READDIRPLUS, serve_readdir);
}

static inline void served_end(struct served *s)
{
	mock_end(s->m);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static inline struct pf_file *served_open(struct served *s)
{
	struct pf_file *d;

	ok(pf_open(s->m->fs, "/", O_RDONLY | O_DIRECTORY, 0, &d));
	return d;
}

/* How many requests for records since the last look. */
static inline int asked(struct served *s)
{
	uint64_t now = mock_count(s->m, FUSE_READDIR) + mock_count(s->m, FUSE_READDIRPLUS);
	int n = (int)(now - s->seen);

	s->seen = now;
	return n;
}

/* What is left of d, as "a b c". */
static inline const char *rest(struct pf_file *d)
{
	static __thread char text[SERVED_MAX * 24];
	struct pf_dirent e;
	size_t len = 0;
	int r;

	text[0] = '\0';
	while ((r = pf_readdir(d, &e)) == 1)
		len +=
		    (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? " " : "", e.name);
	ok(r);
	return text;
}

static inline const char *listing(struct pf_file *d)
{
	ok(pf_seekdir(d, 0));
	return rest(d);
}

#endif
