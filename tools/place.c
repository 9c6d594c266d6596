/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which file system a word leads to. A server's mountpoint is not in the kernel's mount table, so
 * the walk that the kernel would make is made here, component by component, until it stands on a
 * mountpoint; what is left of the word then is the path inside.
 */
#include "command.h"
#include "report.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINKS = 40 };

static int set_place(struct place *place, struct tree *tree, const char *path)
{
	place->tree = tree;
	place->path = strdup(path);
	if (place->path)
		return 0;
	complain_plain("%s", strerror(ENOMEM));
	return STATUS_FAILED;
}

/* "/rest", also for "" and "rest": a path inside starts at the root. */
static int set_inside(struct place *place, struct server *server, const char *rest)
{
	char path[PATH_MAX + 2];

	snprintf(path, sizeof(path), "/%s", rest + strspn(rest, "/"));
	return set_place(place, &server->tree, path);
}

/* ---- {} and {N} ------------------------------------------------------------------------- */

/* The number in a leading "{N}", 0 for "{}", -1: the word begins otherwise. *rest: what follows. */
static long placeholder_number(const char *word, const char **rest)
{
	char *end;
	long number;

	if (word[0] != '{')
		return -1;
	if (word[1] == '}') {
		*rest = word + 2;
		number = 0;
	} else {
		if (word[1] < '1' || word[1] > '9')
			return -1;
		errno = 0;
		number = strtol(word + 1, &end, 10);
		if (errno || *end != '}')
			return -1;
		*rest = end + 1;
	}
	return **rest == '\0' || **rest == '/' ? number : -1;
}

static struct server *placeholder_server(struct session *session, long number)
{
	if (number)
		return (size_t)number <= session->n_servers ? &session->servers[number - 1] : NULL;
	for (size_t i = 0; i < session->n_servers; i++)
		if (session->servers[i].placeholder)
			return &session->servers[i];
	return NULL;
}

/* ---- the walk --------------------------------------------------------------------------- */

struct walk {
	char at[PATH_MAX];      /* canonical, without a last slash; "" is the root */
	char pending[PATH_MAX]; /* what is still to walk */
	int links;
};

static struct server *server_at(struct session *session, const char *at)
{
	for (size_t i = session->n_servers; i-- > 0;) {
		const char *mountpoint = session->servers[i].mountpoint;

		if (*mountpoint && !strcmp(mountpoint, *at ? at : "/"))
			return &session->servers[i];
	}
	return NULL;
}

/* Cut the first component off pending. false: there is none. */
static bool next_component(struct walk *walk, char name[static NAME_MAX + 1])
{
	const char *start = walk->pending + strspn(walk->pending, "/");
	size_t length = strcspn(start, "/");

	if (length > NAME_MAX)
		length = 0;
	memcpy(name, start, length);
	name[length] = '\0';
	memmove(walk->pending, start + length, strlen(start + length) + 1);
	return length > 0;
}

/* Put a link's target in front of pending. false: not a link, or nothing that can be walked. */
static bool expand_link(struct walk *walk, const char *path)
{
	char target[PATH_MAX], joined[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length <= 0 || ++walk->links > MAX_LINKS)
		return false;
	target[length] = '\0';
	if (snprintf(joined, sizeof(joined), "%s%s", target, walk->pending) >= (int)sizeof(joined))
		return false;
	strcpy(walk->pending, joined);
	if (target[0] == '/')
		walk->at[0] = '\0';
	return true;
}

static void step(struct walk *walk, const char *name, bool follow)
{
	char path[PATH_MAX];
	char *slash;

	if (!strcmp(name, "."))
		return;
	if (!strcmp(name, "..")) {
		slash = strrchr(walk->at, '/');
		if (slash)
			*slash = '\0';
		return;
	}
	if (snprintf(path, sizeof(path), "%s/%s", walk->at, name) >= (int)sizeof(path)) {
		walk->pending[0] = '\0';
		return;
	}
	if ((follow || *walk->pending) && expand_link(walk, path))
		return;
	strcpy(walk->at, path);
}

static bool walk_begin(struct walk *walk, const char *word)
{
	char cwd[PATH_MAX] = "";

	if (word[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return false;
	walk->at[0] = '\0';
	walk->links = 0;
	return snprintf(walk->pending, sizeof(walk->pending), "%s/%s", cwd, word) <
	       (int)sizeof(walk->pending);
}

/*
 * Where a path inside a server leaves it again by "..", NULL: it does not. Links inside are not
 * looked at: a server's root has no parent for it.
 */
static const char *way_out(const char *inside)
{
	int depth = 0;

	for (const char *at = inside + strspn(inside, "/"); *at; at += strspn(at, "/")) {
		size_t length = strcspn(at, "/");

		if (length == 2 && !memcmp(at, "..", 2)) {
			if (--depth < 0)
				return at;
		} else if (length != 1 || *at != '.') {
			depth++;
		}
		at += length;
	}
	return NULL;
}

/* The server whose mountpoint the word's way crosses; walk.pending is then the path inside. */
static struct server *walk_to_server(struct session *session, struct walk *walk, const char *word,
				     bool follow)
{
	char name[NAME_MAX + 1];

	if (!session->n_servers || !*word || !walk_begin(walk, word))
		return NULL;
	for (;;) {
		struct server *server = server_at(session, walk->at);
		const char *out = server ? way_out(walk->pending) : NULL;

		if (server && !out)
			return server;
		if (out)
			memmove(walk->pending, out, strlen(out) + 1);
		if (!next_component(walk, name))
			return NULL;
		step(walk, name, follow);
	}
}

/* ---- the calls -------------------------------------------------------------------------- */

int session_resolve(struct session *session, const char *word, bool follow, struct place *place)
{
	struct server *server;
	struct walk walk;
	const char *rest;
	long number;

	*place = (struct place){.word = word};
	number = placeholder_number(word, &rest);
	if (number >= 0) {
		server = placeholder_server(session, number);
		if (server)
			return set_inside(place, server, rest);
		if (!session->n_servers)
			return complain_usage(
			    "'%s': which server? Put its command line between '[' and ']'", word);
		if (number)
			return complain_usage("'%s': there is no server number %ld", word, number);
		return complain_usage("'%s': no server has a {} among its own words", word);
	}
	server = walk_to_server(session, &walk, word, follow);
	if (server)
		return set_inside(place, server, walk.pending);
	return set_place(place, &session->local, word);
}

int session_root(struct server *server, struct place *place)
{
	static const char *const words[] = {"{1}", "{2}", "{3}", "{4}", "{5}", "{6}", "{7}", "{8}"};
	bool many = server->session->n_servers > 1;

	*place = (struct place){.word = "{}"};
	if (many && server->number <= sizeof(words) / sizeof(*words))
		place->word = words[server->number - 1];
	else if (!server->placeholder || many)
		place->word = server->mountpoint;
	return set_place(place, &server->tree, "/");
}

void place_free(struct place *place)
{
	free(place->path);
	place->path = NULL;
}
