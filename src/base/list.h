/* SPDX-License-Identifier: BSD-2-Clause */
/* A doubly linked list with its links inside the elements. No locking: the owner of the head locks.
 */
#ifndef PF_BASE_LIST_H
#define PF_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct pf__list {
	struct pf__list *next, *prev;
};

#define pf__container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define pf__list_entry(ptr, type, member)   pf__container_of(ptr, type, member)

#define pf__list_for_each(pos, head) for (pos = (head)->next; pos != (head); pos = pos->next)
#define pf__list_for_each_safe(pos, tmp, head)                                                     \
	for (pos = (head)->next, tmp = pos->next; pos != (head); pos = tmp, tmp = pos->next)

static inline void pf__list_init(struct pf__list *l)
{
	l->next = l->prev = l;
}

static inline bool pf__list_empty(const struct pf__list *l)
{
	return l->next == l;
}

static inline void pf__list_insert(struct pf__list *n, struct pf__list *after)
{
	n->prev = after;
	n->next = after->next;
	after->next->prev = n;
	after->next = n;
}

static inline void pf__list_add_head(struct pf__list *head, struct pf__list *n)
{
	pf__list_insert(n, head);
}

static inline void pf__list_add_tail(struct pf__list *head, struct pf__list *n)
{
	pf__list_insert(n, head->prev);
}

/* Afterwards n is an empty list, so that removing it again does nothing. */
static inline void pf__list_del(struct pf__list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	pf__list_init(n);
}

static inline struct pf__list *pf__list_pop(struct pf__list *head)
{
	struct pf__list *n = head->next;

	if (n == head)
		return NULL;
	pf__list_del(n);
	return n;
}

#endif
