/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * queue.h -- what is still to be started: items that were never started, in their order, and items
 * that wait for another try.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_wait {
	int64_t due_ms;
	size_t item;
};

struct queue {
	size_t next, n;		 /* items next..n-1 were never started */
	struct queue_wait *heap; /* smallest due_ms first */
	size_t heap_n, heap_cap;
};

void queue_init(struct queue *q, size_t n);
void queue_release(struct queue *q);
/* The item to start now, or false. A retry that is due goes first. Items that were never started
 * count only when FRESH. */
bool queue_peek(const struct queue *q, int64_t now_ms, bool fresh, size_t *item);
/* Take what queue_peek with the same arguments showed. */
void queue_pop(struct queue *q, int64_t now_ms);
void queue_retry(struct queue *q, size_t item, int64_t due_ms);
/* When the next retry is due; -1: none waits. */
int64_t queue_next_due(const struct queue *q);
/* Nothing is left; without FRESH, items that were never started do not count. */
bool queue_is_empty(const struct queue *q, bool fresh);
