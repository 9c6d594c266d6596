/* SPDX-License-Identifier: BSD-2-Clause */
/* Names and sizes as people read them. Knows nothing of files or servers. */
#ifndef TOOLS_TEXT_H
#define TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A copy of name in which what a terminal would act on, or cannot show, stands as a C escape
 * ("\n", "\033"), as does the backslash; spaces too where escape_spaces. NULL: no memory.
 */
char *text_escape(const char *name, bool escape_spaces);

/* Columns that text fills on a terminal; bytes that are no character count as one, controls as
 * none. */
size_t text_width(const char *text);
/* The longest beginning of text that fills at most columns, in bytes. */
size_t text_fit(const char *text, size_t columns);

/* Bytes of the UTF-8 character at text, 0: there is none that is well formed. Any locale. */
size_t text_utf8(const char *text);

/* "1.5K", "12M" as ls -h does, rounded up. */
enum { TEXT_SIZE = 32 };
char *text_human(uint64_t bytes, char buf[static TEXT_SIZE]);

/* Bytes as people type them: "64M", "4096"; K, M, G and T are powers of 1024. */
bool text_bytes(const char *text, uint64_t *bytes);

/* Columns of the terminal on fd; $COLUMNS, else 80, when that cannot be told. */
size_t terminal_columns(int fd);

#endif
