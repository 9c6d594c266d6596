/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is the work what the row says it is? The server knows: it counts what it is asked, and tells in a
 * file that is not counted itself. A row whose work is another one has no figure.
 */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define VERIFIED 100 /* pieces of work whose requests are counted */
/* Linux 6.18 reads single pages of a cached file again, a few in a million, when two threads read.
 */
#define KERNEL_SLACK 200
#define SETTLE_US    20000
#define SETTLE_TRIES 50

static int read_counters(struct side *side, char *text, size_t size)
{
	const struct client *client = side->client;
	struct handle h = {.fs = &side->fs};
	ssize_t n;

	if (client->counters)
		n = client->counters(&side->fs, side->buffer, size);
	else
		n = client->open(&side->fs, "counters", O_RDONLY, 0, &h);
	if (!n) {
		n = client->pread(&h, side->buffer, size, 0);
		client->close(&h);
	}
	if (n <= 0 || n >= (ssize_t)size) {
		fail("%s: cannot read the server's counters: %s", client->name,
		     strerror(n < 0 ? -n : EIO));
		return n < 0 ? n : -EIO;
	}
	memcpy(text, side->buffer, n);
	text[n] = 0;
	return 0;
}

/* How often the named operation was called, and all others together; the bytes of a bytes_ name. */
static int count(struct side *side, const char *name, unsigned long *named, unsigned long *others)
{
	char text[1024], word[64], *line;
	unsigned long value;
	int ret = read_counters(side, text, sizeof(text));

	*named = *others = 0;
	if (ret)
		return ret;
	for (line = text; sscanf(line, "%63s %lu", word, &value) == 2;) {
		if (!strcmp(word, name))
			*named += value;
		else if (strncmp(word, "bytes_", 6))
			*others += value;
		line = strchr(line, '\n');
		if (!line)
			break;
		line++;
	}
	return 0;
}

int check_counter(struct side *side, const char *name, unsigned long *value)
{
	unsigned long others;

	return count(side, name, value, &others);
}

int check_work(struct side *side)
{
	const char *name = side->row->expect;
	unsigned long named[2], others[2], wanted = *name ? VERIFIED : 0;
	double took;
	int ret;

	side->iterations = VERIFIED;
	ret = count(side, name, &named[0], &others[0]);
	if (ret)
		return ret;
	took = side->row->sample(side);
	if (took < 0) {
		if (!*failure())
			fail("%s: %s", side->client->name, strerror(-(int)took));
		return took;
	}
	ret = count(side, name, &named[1], &others[1]);
	if (ret)
		return ret;
	if (named[1] - named[0] == wanted && others[1] == others[0])
		return 0;
	if (*name)
		fail("%s: %d pieces of work made %lu %s requests and %lu others",
		     side->client->name, VERIFIED, named[1] - named[0], name,
		     others[1] - others[0]);
	else
		fail("%s: nothing cached, the server got %lu requests", side->client->name,
		     others[1] - others[0]);
	return REFUSED;
}

int check_begin(struct side *side)
{
	unsigned long named, before;
	int ret = count(side, "", &named, &side->requests);

	for (int i = 0; i < SETTLE_TRIES && !ret; i++) {
		before = side->requests;
		usleep(SETTLE_US);
		ret = count(side, "", &named, &side->requests);
		if (side->requests == before)
			break;
	}
	return ret;
}

int check_quiet(struct side *side)
{
	unsigned long named, requests;
	unsigned long slack = side->client == &client_kernel ? KERNEL_SLACK : 0;
	int ret = count(side, "", &named, &requests);

	if (ret || requests <= side->requests + slack)
		return ret;
	fail("%s: not all cached, the server got %lu requests", side->client->name,
	     requests - side->requests);
	return REFUSED;
}
