/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"
#include "command.h"
#include "report.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- brackets --------------------------------------------------------------------------- */

/* The index of the "]" that closes the "[" at start, 0: none does. */
static int closing_bracket(int start, int argc, char **argv)
{
	int depth = 0;

	for (int i = start; i < argc; i++) {
		if (!strcmp(argv[i], "["))
			depth++;
		else if (!strcmp(argv[i], "]") && --depth == 0)
			return i;
	}
	return 0;
}

/* A bracket that the shell leaves in one word with its neighbour, NULL: none in these. */
static const char *glued_opening(int n, char **words)
{
	for (int i = 0; i < n; i++)
		if (words[i][0] == '[' && words[i][1] && !strchr(words[i], ']'))
			return words[i];
	return NULL;
}

static const char *glued_closing(int n, char **words)
{
	for (int i = 0; i < n; i++) {
		size_t length = strlen(words[i]);

		if (length > 1 && words[i][length - 1] == ']' && !strchr(words[i], '['))
			return words[i];
	}
	return NULL;
}

static int complain_bracket(const char *what, const char *glued)
{
	if (glued)
		return complain_usage("'%s': a bracket is a word of its own, with a space on each "
				      "side: [ server {} ]",
				      glued);
	return complain_usage("%s", what);
}

static int add_server(struct session *session, char **words, size_t n)
{
	struct server *servers, *server;

	servers = reallocarray(session->servers, session->n_servers + 1, sizeof(*servers));
	if (!servers)
		return -ENOMEM;
	session->servers = servers;
	server = &servers[session->n_servers];
	*server = (struct server){.session = session, .number = session->n_servers + 1};
	server->argv = calloc(n + 1, sizeof(*server->argv));
	if (!server->argv)
		return -ENOMEM;
	session->n_servers++;
	for (size_t i = 0; i < n; i++) {
		server->argv[i] = words[i];
		server->placeholder |= strstr(words[i], "{}") != NULL;
	}
	return 0;
}

static int take_groups(struct session *session, int *argc, char **argv)
{
	int kept = 0, i = 0;

	for (; i < *argc && strcmp(argv[i], "--"); i++) {
		int end;

		if (!strcmp(argv[i], "]"))
			return complain_bracket("']' without a '[' before it",
						glued_opening(kept, argv));
		if (strcmp(argv[i], "[")) {
			argv[kept++] = argv[i];
			continue;
		}
		end = closing_bracket(i, *argc, argv);
		if (!end)
			return complain_bracket("'[' without a ']' after it",
						glued_closing(*argc - i, argv + i));
		if (end == i + 1)
			return complain_usage("no server between '[' and ']'");
		if (add_server(session, argv + i + 1, end - i - 1)) {
			complain_plain("%s", strerror(ENOMEM));
			return STATUS_FAILED;
		}
		i = end;
	}
	if (!session->n_servers) { /* [server {}] without any space? Unless a file has that name. */
		const char *opening = glued_opening(kept, argv);

		if (opening && access(opening, F_OK) && glued_closing(kept, argv))
			return complain_bracket(NULL, opening);
	}
	while (i < *argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	*argc = kept;
	return 0;
}

int session_parse(struct session *session, int *argc, char **argv)
{
	*session = (struct session){.options = PF_OPTIONS_INIT};
	pthread_mutex_init(&session->lock, NULL);
	return take_groups(session, argc, argv);
}

/* ---- trace ------------------------------------------------------------------------------ */

static void trace_line(void *ctx, const char *line)
{
	struct server *server = ctx;
	struct session *session = server->session;
	FILE *out = session->trace_file ? session->trace_file : stderr;

	if (!session->trace_file)
		terminal_take();
	if (session->n_servers > 1)
		fprintf(out, "[%zu] %s\n", server->number, line);
	else
		fprintf(out, "%s\n", line);
	if (!session->trace_file)
		terminal_give();
}

/* Lines are written as they come: someone may be watching. */
static int open_log(const char *path, FILE **file)
{
	if (!path)
		return 0;
	*file = fopen(path, "we");
	if (!*file)
		return -errno;
	setvbuf(*file, NULL, _IOLBF, 0);
	return 0;
}

/* Also what could not be written long before is told here. */
static int close_log(FILE **file, const char *what)
{
	FILE *f = *file;

	*file = NULL;
	if (!f || !fclose(f))
		return STATUS_OK;
	complain(false, -errno, "%s", what);
	return STATUS_FAILED;
}

int session_trace_to(struct session *session, const char *path)
{
	session->tracing = true;
	return open_log(path, &session->trace_file);
}

/* ---- counters --------------------------------------------------------------------------- */

int session_stats_to(struct session *session, const char *path)
{
	session->counting = true;
	return open_log(path, &session->stats_file);
}

static void print_pair(void *ctx, const char *key, const char *value)
{
	fprintf(ctx, "%s: %s\n", key, value);
}

/* All files are closed by now, so that what closing them wrote counts too. */
static void write_stats(const struct server *server)
{
	const struct session *session = server->session;
	FILE *out = session->stats_file ? session->stats_file : stderr;

	if (!session->counting)
		return;
	terminal_take();
	if (session->n_servers > 1)
		fprintf(out, "server: %zu\n", server->number);
	pf_info(server->tree.fs, print_pair, out);
	terminal_give();
}

/* ---- start and end ---------------------------------------------------------------------- */

/* The server may say "/mnt/" or come by a link: compare what realpath makes of it. */
static char *canonical_mountpoint(const char *said)
{
	char *real = *said ? realpath(said, NULL) : NULL;

	return real ? real : strdup(said);
}

/* Does it? Beside what it serves there is at least one more word. */
static bool names_mountpoint(char *const *argv)
{
	unsigned words = 0;

	for (size_t i = 1; argv[i]; i++) {
		if (strstr(argv[i], "{}"))
			return true;
		words += argv[i][0] != '-';
	}
	return words > 1;
}

int session_server_start(struct server *server)
{
	struct session *session = server->session;
	struct pf_options options = session->options;
	struct pf_fs *fs = NULL;
	int err;

	pthread_mutex_lock(&session->lock);
	server->ending = server->resting = false;
	pthread_mutex_unlock(&session->lock);
	if (session->tracing) {
		options.trace = trace_line;
		options.trace_ctx = server;
	}
	err = pf_start(&fs, server->argv, &options);
	if (err) {
		const char *sentence = pf_error();

		if (*sentence)
			complain_plain("%s", sentence);
		else
			complain_plain("%s: %s", server->argv[0], strerror(-err));
		if (err == -ENOTCONN && !names_mountpoint(server->argv))
			complain_plain(
			    "(no {} among its words: it stands where its mountpoint does)");
		return STATUS_FAILED;
	}
	server->mountpoint = canonical_mountpoint(pf_mountpoint(fs));
	pthread_mutex_lock(&session->lock);
	server->tree.fs = fs;
	pthread_mutex_unlock(&session->lock);
	err = server->mountpoint ? tree_open(&server->tree) : -ENOMEM;
	if (err) {
		complain(true, err, "%s", server->argv[0]);
		return STATUS_FAILED;
	}
	return 0;
}

int session_start(struct session *session)
{
	int status = tree_open(&session->local) ? STATUS_FAILED : STATUS_OK;

	for (size_t i = 0; i < session->n_servers && !status; i++)
		status = session_server_start(&session->servers[i]);
	return status;
}

int session_server_stop(struct server *server)
{
	struct session *session = server->session;
	struct pf_fs *fs = server->tree.fs;
	int err;

	if (!fs)
		return 0;
	tree_close(&server->tree);
	write_stats(server);
	pthread_mutex_lock(&session->lock);
	server->ending = true;
	pthread_mutex_unlock(&session->lock);
	err = pf_stop(fs);
	pthread_mutex_lock(&session->lock);
	server->tree.fs = NULL;
	server->resting = true;
	pthread_mutex_unlock(&session->lock);
	free(server->mountpoint);
	server->mountpoint = NULL;
	if (err &&
	    strstr(pf_error(), server->argv[0])) /* it says who, as in "sshfs was killed ..." */
		complain_plain("%s", pf_error());
	else if (err)
		complain_plain("%s: %s", server->argv[0],
			       *pf_error() ? pf_error() : strerror(-err));
	return err ? STATUS_FAILED : STATUS_OK;
}

int session_end(struct session *session)
{
	int status = STATUS_OK;

	for (size_t i = session->n_servers; i-- > 0;) {
		status |= session_server_stop(&session->servers[i]);
		free(session->servers[i].argv);
	}
	pthread_mutex_lock(&session->lock);
	free(session->servers);
	session->servers = NULL;
	session->n_servers = 0;
	pthread_mutex_unlock(&session->lock);
	status |= close_log(&session->trace_file, "trace");
	status |= close_log(&session->stats_file, "stats");
	return status;
}

bool session_interrupt(struct session *session)
{
	bool all_started = true;

	pthread_mutex_lock(&session->lock);
	for (size_t i = 0; i < session->n_servers; i++) {
		struct server *server = &session->servers[i];

		if (!server->tree.fs)
			all_started &= server->resting;
		else if (!server->ending)
			pf_interrupt(server->tree.fs);
	}
	pthread_mutex_unlock(&session->lock);
	return all_started;
}

void session_abort(struct session *session)
{
	pthread_mutex_lock(&session->lock);
	for (size_t i = 0; i < session->n_servers; i++) {
		struct server *server = &session->servers[i];

		if (server->tree.fs && !server->ending)
			pf_abort(server->tree.fs);
	}
	pthread_mutex_unlock(&session->lock);
	if (session->abort_more)
		session->abort_more();
}
