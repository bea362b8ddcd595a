/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/request-chain.h"
#include <string.h>
#include "base/json.h"
#include "base/mem.h"

enum {
	LEAST = 64,	/* less in common is not worth a mention */
	KEPT = 8 << 20, /* bytes, of all links but the first */
	BLOCK = 1024,
};

static size_t common_head(const char *a, const char *b, size_t n)
{
	size_t i = 0;

	while (n - i >= BLOCK && memcmp(a + i, b + i, BLOCK) == 0)
		i += BLOCK;
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

static size_t common_tail(const char *a_end, const char *b_end, size_t n)
{
	size_t i = 0;

	while (n - i >= BLOCK && memcmp(a_end - i - BLOCK, b_end - i - BLOCK, BLOCK) == 0)
		i += BLOCK;
	while (i < n && a_end[-1 - (ptrdiff_t)i] == b_end[-1 - (ptrdiff_t)i])
		i++;
	return i;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t kept_bytes(const struct request_chain *c)
{
	size_t sum = 0;

	for (size_t i = 1; i < c->n; i++)
		sum += c->links[i].body.len;
	return sum;
}

static struct request_link take_out(struct request_chain *c, size_t at)
{
	struct request_link l = c->links[at];

	c->n--;
	memmove(&c->links[at], &c->links[at + 1], (c->n - at) * sizeof *c->links);
	return l;
}

/* Goes to the front: in place of the request that it continues, else of the one that was longest ago. What stands
 * behind the messages, all tools say, two conversations may have in common, too. */
static void keep(struct request_chain *c, struct request_link l, size_t base,
		 const struct request_part *p)
{
	const size_t most = ARRAY_SIZE(c->links);
	struct request_link old = {0, BUF_INIT};

	if (base < c->n && p->head >= LEAST && p->head >= (c->links[base].body.len - p->tail) / 2)
		old = take_out(c, base);
	else if (c->n == most)
		old = take_out(c, most - 1);
	buf_release(&old.body);
	memmove(&c->links[1], &c->links[0], c->n * sizeof *c->links);
	c->links[0] = l;
	c->n++;
	while (kept_bytes(c) > KEPT)
		buf_release(&c->links[--c->n].body);
}

struct request_part request_chain_cut(struct request_chain *c, int64_t call, const char *body,
				      size_t n)
{
	struct request_link l = {call, BUF_INIT};
	struct request_part p = {0};
	size_t base = c->n;

	for (size_t i = 0; i < c->n; i++) {
		const struct buf *b = &c->links[i].body;
		size_t head = common_head(b->data, body, least(b->len, n));
		if (head <= p.head)
			continue;
		base = i;
		p.head = head;
	}
	if (base < c->n) {
		const struct buf *b = &c->links[base].body;
		p.tail = common_tail(b->data + b->len, body + n, least(b->len, n) - p.head);
		p.base = c->links[base].call;
	}
	if (p.head + p.tail < LEAST) {
		p = (struct request_part){0};
		base = c->n;
	}
	buf_add(&l.body, body, n);
	keep(c, l, base, &p);
	return p;
}

int request_part_read(struct request_part *out, const json_t *head, struct err *err)
{
	int64_t v = json_get_int(head, "v", 0), base = json_get_int(head, "base", 0);
	int64_t first = json_get_int(head, "head", 0), last = json_get_int(head, "tail", 0);

	if (v != REQUEST_CHAIN_VERSION)
		return err_set(err, ERR_USAGE, 0,
			       "the recording has version %lld, this program knows %d",
			       (long long)v, REQUEST_CHAIN_VERSION);
	if (base < 0 || first < 0 || last < 0)
		return err_set(err, ERR_USAGE, 0, "the recording is damaged: a number below 0");
	*out = (struct request_part){base, (size_t)first, (size_t)last};
	return 0;
}

const struct buf *request_chain_join(struct request_chain *c, int64_t call,
				     const struct request_part *p, const char *data, size_t n)
{
	struct request_link l = {call, BUF_INIT};
	size_t base = 0;

	while (p->base && base < c->n && c->links[base].call != p->base)
		base++;
	if (!p->base)
		base = c->n;
	else if (base == c->n)
		return NULL;
	const struct buf *b = p->base ? &c->links[base].body : &l.body;
	if (p->head > b->len || p->tail > b->len - p->head)
		return NULL;
	struct buf whole = BUF_INIT;
	buf_add(&whole, b->data, p->head);
	buf_add(&whole, data, n);
	buf_add(&whole, b->data + b->len - p->tail, p->tail);
	l.body = whole;
	keep(c, l, base, p);
	return &c->links[0].body;
}

void request_chain_release(struct request_chain *c)
{
	while (c->n)
		buf_release(&c->links[--c->n].body);
}
