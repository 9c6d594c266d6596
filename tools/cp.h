/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of "portfire cp".
 *
 *   cmd_cp.c       options and words
 *   cp_dir.c       the directories in work, and what is said about things in them
 *   cp_walk.c      one thread walks the sources, makes directories, links and special files
 *   cp_pool.c      several threads copy the regular files that the walk finds
 *   cp_data.c      one file's bytes: holes, ranges, reading ahead of writing
 *   cp_meta.c      modes, owners, times, extended attributes
 *   cp_progress.c  the bar on a terminal
 *
 * All names are looked up in open directories (*at calls), so that what is renamed or replaced
 * meanwhile, here or by a hostile server, does not lead a copy elsewhere.
 */
#ifndef TOOLS_CP_H
#define TOOLS_CP_H

#include "session.h"
#include <stdatomic.h>

enum cp_follow { CP_FOLLOW_UNSET, CP_FOLLOW_NEVER, CP_FOLLOW_WORDS, CP_FOLLOW_ALWAYS };
enum cp_sparse { CP_SPARSE_AUTO, CP_SPARSE_ALWAYS, CP_SPARSE_NEVER };

struct cp_options {
	enum cp_follow follow;
	enum cp_sparse sparse;
	bool recursive, preserve, preserve_links, force, no_clobber, verbose, no_progress;
	bool whole_target; /* -T: the target is never a directory to copy into */
	unsigned jobs;     /* files in flight */
	mode_t umask;
};
extern struct cp_options cp_options;

#define CP_DEPTH_MAX 4000 /* directories in each other; each takes its share of the stack */

/*
 * A directory being copied, and the frame in which its entries are looked up. Counted: each entry
 * in work holds it; with the last one gone its own mode and times are set and it is closed.
 */
struct cp_dir {
	unsigned depth;    /* below the words of the command line */
	struct cp_dir *up; /* NULL: the words' own directories */
	atomic_uint refs;
	struct file src, dst; /* open directories */
	char *src_shown;      /* for messages and -v; in a frame those of the word itself */
	char *dst_shown;
	char *dst_path; /* below the frame's dst; "" in a frame */
	struct stat st; /* of the source */
	bool open;      /* both sides are: with the last entry they are settled and closed */
	bool created;   /* by us: it was not there before */
	bool frame;     /* not itself copied: src and dst, borrowed, hold the names of a word */
	const struct tree *src_tree, *dst_tree;
};

/* A frame; copies the strings. NULL: no memory. */
struct cp_dir *cp_dir_new_frame(const struct tree *src_tree, const struct file *src,
				const char *src_shown, const struct tree *dst_tree,
				const struct file *dst, const char *dst_shown);
struct cp_dir *cp_dir_get(struct cp_dir *dir);
void cp_dir_put(struct cp_dir *dir);

/* One thing to copy: names in dir->src and dir->dst. */
struct cp_item {
	struct cp_dir *dir;
	char *src_name, *dst_name;
	struct stat st;
};

/* ---- the status of the whole copy; any thread ------------------------------------------- */
void cp_failed(void);
bool cp_has_failed(void);
/* Complain on an item: which side, what was tried (NULL: nothing to add), negative errno. Counts.
 */
void cp_complain_src(const struct cp_item *item, int err, const char *what);
void cp_complain_dst(const struct cp_item *item, int err, const char *what);
/* A message whose two %s are source and target. */
void cp_refuse(const struct cp_item *item, const char *format);
/* What -v says. */
void cp_say_copied(const struct cp_item *item);
/* "dir/name", in a buffer of the calling thread that the next call overwrites. */
const char *cp_src_shown(const struct cp_item *item);
const char *cp_dst_shown(const struct cp_item *item);

/* ---- cp_walk.c -------------------------------------------------------------------------- */

/* Copy what a word names. */
void cp_walk_word(struct cp_dir *frame, const char *src_name, const char *dst_name);
/* Free what was remembered of hard links. After cp_pool_finish(). */
void cp_walk_finish(void);

/* ---- cp_pool.c -------------------------------------------------------------------------- */

int cp_pool_start(unsigned threads);
/* Copy a regular file by and by. Takes the item's strings and its reference on dir. */
void cp_pool_submit(const struct cp_item *item);
/* Wait until everything submitted is done, and end the threads. */
void cp_pool_finish(void);

/* ---- cp_data.c -------------------------------------------------------------------------- */

/* Open, copy and finish one regular file; says itself what goes wrong. 0 or -errno. */
int cp_copy_file(const struct cp_item *item);
/* Copy the bytes. *at_source: which side failed. */
int cp_copy_data(struct file *src, struct file *dst, const struct stat *st, bool *at_source);

/* ---- cp_meta.c -------------------------------------------------------------------------- */

/* What -p keeps, onto an open file or directory. 0 or -errno, of the target. */
int cp_preserve_open(struct file *src, struct file *dst, const struct stat *st);
/* Owner and times of what cannot be opened: links and special files. */
int cp_preserve_name(const struct file *dir, const char *name, const struct stat *st);

/* ---- cp_progress.c ---------------------------------------------------------------------- */

/* Start when stderr is a terminal. words: to find out how much there is to copy. */
void cp_progress_start(struct place *sources, size_t n);
void cp_progress_add(uint64_t bytes);
void cp_progress_file(const char *name);
void cp_progress_finish(void);

#endif
