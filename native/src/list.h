/*
 * list.h: doubly linked lists of record ids.
 *
 * The links live inside the records; a list knows them only through link_of, a constant at every call,
 * so that the compiler sees through it.
 *
 *      list.first -> [id] <-> [id] <-> [id] <- list.last        id 0 ends both ways
 *
 * Invariants: 1. first == 0 iff last == 0 iff count == 0.  2. a record is in at most one list per link.
 */
#ifndef TMS_LIST_H
#define TMS_LIST_H

#include "check.h"

struct link {
	uint32_t prev;
	uint32_t next;
};

struct list {
	uint32_t first;
	uint32_t last;
	uint32_t count;
};

typedef struct link *(*link_of_fn)(const void *table, uint32_t id);

static inline void list_push_front(struct list *list, const void *table, link_of_fn link_of, uint32_t id)
{
	struct link *link = link_of(table, id);

	link->prev = 0;
	link->next = list->first;
	if (list->first)
		link_of(table, list->first)->prev = id;
	else
		list->last = id;
	list->first = id;
	list->count++;
}

static inline void list_push_back(struct list *list, const void *table, link_of_fn link_of, uint32_t id)
{
	struct link *link = link_of(table, id);

	link->next = 0;
	link->prev = list->last;
	if (list->last)
		link_of(table, list->last)->next = id;
	else
		list->first = id;
	list->last = id;
	list->count++;
}

static inline void list_remove(struct list *list, const void *table, link_of_fn link_of, uint32_t id)
{
	struct link *link = link_of(table, id);

	if (link->prev)
		link_of(table, link->prev)->next = link->next;
	else
		list->first = link->next;
	if (link->next)
		link_of(table, link->next)->prev = link->prev;
	else
		list->last = link->prev;
	link->prev = link->next = 0;
	list->count--;
}

#endif
