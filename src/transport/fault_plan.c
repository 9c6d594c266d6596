/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/arith.h"
#include "transport/fault.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *word;
	enum pf__fault_kind kind;
} words[] = {
    {"drop", PF_FAULT_DROP},
    {"delay", PF_FAULT_DELAY},
    {"short", PF_FAULT_SHORT},
    {"dup", PF_FAULT_DUP},
    {"reorder", PF_FAULT_REORDER},
    {"corrupt", PF_FAULT_CORRUPT},
    {"disconnect", PF_FAULT_DISCONNECT},
};

/* A decimal number at *s, which moves behind it. */
static bool number(const char **s, uint64_t *n)
{
	char *end;

	if (!isdigit((unsigned char)**s))
		return false;
	errno = 0;
	*n = strtoull(*s, &end, 10);
	*s = end;
	return !errno;
}

static enum pf__fault_kind kind_of(const char *word, size_t len)
{
	for (size_t i = 0; i < PF_ARRAY_SIZE(words); i++)
		if (strlen(words[i].word) == len && !strncmp(word, words[i].word, len))
			return words[i].kind;
	return PF_FAULT_NONE;
}

/* "[tx-]word=N[:MS]" at *s. */
static bool parse_fault(const char **s, struct pf__fault *f)
{
	size_t len = strcspn(*s, "=,");
	uint64_t ms = 0;

	f->tx = len > 3 && !strncmp(*s, "tx-", 3);
	f->kind = kind_of(*s + 3 * f->tx, len - 3 * f->tx);
	*s += len;
	if (!f->kind || *(*s)++ != '=' || !number(s, &f->nth) || !f->nth)
		return false;
	if (f->kind != PF_FAULT_DELAY)
		return true;
	if (*(*s)++ != ':' || !number(s, &ms) || ms > 3600000)
		return false;
	f->ms = ms;
	return true;
}

static bool parse_word(const char **s, struct pf__fault_plan *plan)
{
	if (!strncmp(*s, "seed=", 5)) {
		*s += 5;
		return number(s, &plan->seed);
	}
	if (plan->n == PF__FAULTS_MAX)
		return false;
	return parse_fault(s, &plan->faults[plan->n++]);
}

int pf__fault_plan_parse(struct pf__fault_plan *plan, const char *text)
{
	*plan = (struct pf__fault_plan){.seed = 1};
	while (*text) {
		if (!parse_word(&text, plan))
			return -EINVAL;
		if (*text && *text++ != ',')
			return -EINVAL;
	}
	return 0;
}

const struct pf__fault *pf__fault_at(const struct pf__fault_plan *plan, bool tx, uint64_t nth)
{
	for (unsigned i = 0; i < plan->n; i++)
		if (plan->faults[i].tx == tx && plan->faults[i].nth == nth)
			return &plan->faults[i];
	return NULL;
}
