/* SPDX-License-Identifier: BSD-2-Clause */
#include "report.h"
#include "command.h"
#include "interrupt.h"
#include <errno.h>
#include <portfire/portfire.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static const char *command_name;
static pthread_mutex_t terminal = PTHREAD_MUTEX_INITIALIZER;
static void (*eraser)(void);

void report_set_command(const char *name)
{
	command_name = name;
}

void report_set_eraser(void (*erase)(void))
{
	eraser = erase;
}

void terminal_take(void)
{
	pthread_mutex_lock(&terminal);
	if (eraser)
		eraser();
}

void terminal_give(void)
{
	pthread_mutex_unlock(&terminal);
}

/* A name from a server must not drive the terminal: control bytes become '?'. */
static void defuse(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static void print(char *text, const char *reason)
{
	defuse(text);
	terminal_take();
	fprintf(stderr, "portfire: %s%s%s%s%s\n", command_name ? command_name : "",
		command_name ? ": " : "", text, reason ? ": " : "", reason ? reason : "");
	terminal_give();
}

static void say(const char *what, va_list ap, const char *reason)
{
	char text[8192];

	/* Calls that fail because we were asked to end are no news. */
	if (interrupted())
		return;
	vsnprintf(text, sizeof(text), what, ap);
	print(text, reason);
}

void announce(const char *line)
{
	char text[8192];

	snprintf(text, sizeof(text), "%s", line);
	print(text, NULL);
}

/* Does the library's sentence say more than operation, name and the number's own text? */
static bool says_more(const char *sentence, const char *plain)
{
	size_t length = strlen(sentence), tail = strlen(plain);

	return length && (length < tail || strcmp(sentence + length - tail, plain));
}

void complain(bool remote, int err, const char *what, ...)
{
	char plain[256], sentence[4096] = "";
	va_list ap;

	if (remote) {
		snprintf(sentence, sizeof(sentence), "%s", pf_error());
		defuse(sentence);
	}
	snprintf(plain, sizeof(plain), "%s", strerror(-err));
	va_start(ap, what);
	say(what, ap, says_more(sentence, plain) ? sentence : plain);
	va_end(ap);
}

void complain_plain(const char *message, ...)
{
	va_list ap;

	va_start(ap, message);
	say(message, ap, NULL);
	va_end(ap);
}

int hint_usage(void)
{
	fprintf(stderr, "Try 'portfire %s%s--help'.\n", command_name ? command_name : "",
		command_name ? " " : "");
	return STATUS_USAGE;
}

int complain_usage(const char *message, ...)
{
	va_list ap;

	va_start(ap, message);
	say(message, ap, NULL);
	va_end(ap);
	return hint_usage();
}

int stdout_finish(void)
{
	errno = 0;
	if (fflush(stdout) || ferror(stdout))
		return -(errno ? errno : EIO);
	return 0;
}
