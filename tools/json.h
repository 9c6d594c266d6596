/* SPDX-License-Identifier: BSD-2-Clause */
/* Strings and summaries as JSON, on stdout. */
#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

#include "stats.h"

/* In quotes. Bytes that are no UTF-8 stand as U+FFFD, since JSON can hold nothing else. */
void json_string(const char *text);
/* , "name": {"median": ...}, or null where nothing was measured. */
void json_summary(const char *name, const struct summary *s);

#endif
