// SPDX-License-Identifier: GPL-3.0-or-later
#include "sched/queue.h"
#include <stdlib.h>
#include "base/mem.h"

void queue_init(struct queue *q, size_t n)
{
	*q = (struct queue){.n = n};
}

void queue_release(struct queue *q)
{
	free(q->heap);
	*q = (struct queue){0};
}

static bool retry_is_due(const struct queue *q, int64_t now_ms)
{
	return q->heap_n && q->heap[0].due_ms <= now_ms;
}

bool queue_peek(const struct queue *q, int64_t now_ms, bool fresh, size_t *item)
{
	if (retry_is_due(q, now_ms)) {
		*item = q->heap[0].item;
		return true;
	}
	*item = q->next;
	return fresh && q->next < q->n;
}

static void sink(struct queue *q, size_t i)
{
	for (size_t child; (child = 2 * i + 1) < q->heap_n; i = child) {
		if (child + 1 < q->heap_n && q->heap[child + 1].due_ms < q->heap[child].due_ms)
			child++;
		if (q->heap[i].due_ms <= q->heap[child].due_ms)
			return;
		struct queue_wait w = q->heap[i];
		q->heap[i] = q->heap[child];
		q->heap[child] = w;
	}
}

void queue_pop(struct queue *q, int64_t now_ms)
{
	if (!retry_is_due(q, now_ms)) {
		q->next++;
		return;
	}
	q->heap[0] = q->heap[--q->heap_n];
	sink(q, 0);
}

void queue_retry(struct queue *q, size_t item, int64_t due_ms)
{
	GROW(q->heap, q->heap_n, q->heap_cap);
	size_t i = q->heap_n++;
	for (size_t parent; i && q->heap[parent = (i - 1) / 2].due_ms > due_ms; i = parent)
		q->heap[i] = q->heap[parent];
	q->heap[i] = (struct queue_wait){due_ms, item};
}

int64_t queue_next_due(const struct queue *q)
{
	return q->heap_n ? q->heap[0].due_ms : -1;
}

bool queue_is_empty(const struct queue *q, bool fresh)
{
	return !q->heap_n && (!fresh || q->next >= q->n);
}
