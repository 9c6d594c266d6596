/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The servers of one command line: "[ server argv ... ]" groups are taken out of argv, started with
 * pf_start(), and the words that are left are told apart: at or below a server's mountpoint they
 * are that file system's, all others are local.
 */
#ifndef TOOLS_SESSION_H
#define TOOLS_SESSION_H

#include "files.h"
#include <portfire/portfire.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

struct session;

struct server {
	struct session *session;
	size_t number;    /* from 1, in the order of the command line */
	char **argv;      /* owned array of borrowed words; ends with NULL */
	bool placeholder; /* "{}" stands in argv */
	char *mountpoint; /* canonical, once started; "" when the server has none */
	struct tree tree; /* tree.fs: NULL before the start and after the end */
	bool ending;      /* it is being stopped; under session.lock */
	bool resting;     /* stopped by session_server_stop(); under session.lock */
};

struct session {
	struct server *servers;
	size_t n_servers;
	struct tree local;
	struct pf_options options; /* for every server; main.c fills it from the command line */
	bool tracing;
	FILE *trace_file;
	bool counting;
	FILE *stats_file;
	pthread_mutex_t lock; /* guards tree.fs of the servers against the signal watcher */
	/* What else has to be torn down when a server does not let go; NULL: nothing. Called by the
	 * signal watcher. */
	void (*abort_more)(void);
};

/* Where a word of the command line leads. */
struct place {
	struct tree *tree;
	char *path;       /* owned; inside the tree: absolute at a server */
	const char *word; /* as it was typed, for messages */
};

/*
 * Take the bracket groups in front of any "--" out of argv. Brackets nest; "]" ends a group.
 * 0, or STATUS_USAGE after it has said why. Release with session_end(), also on failure.
 */
int session_parse(struct session *session, int *argc, char **argv);

/* Start all servers; on failure says why, stops those that run, and returns STATUS_FAILED. */
int session_start(struct session *session);

/*
 * Stop one server, and start it again; what was opened at it must be closed before. 0, or
 * STATUS_FAILED after they have said why.
 */
int session_server_stop(struct server *server);
int session_server_start(struct server *server);

/*
 * Stop what runs and free everything. Returns 0, or STATUS_FAILED after it has said what went
 * wrong.
 */
int session_end(struct session *session);

/* For the signal watcher. Interrupt: false when a server is still being started. */
bool session_interrupt(struct session *session);
void session_abort(struct session *session);

/* Trace to a file, or to stderr when path is NULL. 0 or -errno. */
int session_trace_to(struct session *session, const char *path);

/* When a server is stopped, write all of pf_info() to a file, or to stderr when path is NULL. 0 or
 * -errno. */
int session_stats_to(struct session *session, const char *path);

/*
 * Where a word leads. "{}" is the first server that has a "{}" in its own words, "{2}" the second
 * server. follow: a symbolic link as the last component is followed when looking for mountpoints.
 * 0, or STATUS_USAGE after it has said why. Release with place_free().
 */
int session_resolve(struct session *session, const char *word, bool follow, struct place *place);
void place_free(struct place *place);
/* The root of a server, its word the way a user would type it. */
int session_root(struct server *server, struct place *place);

#endif
