/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gateway/key-mask.h"
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

enum {
	KEY_MIN = 8,	     /* bytes that make a secret, or a good part of one */
	EVENTS_PATIENCE = 4, /* letters */
	HELD_MAX = 4 << 20,  /* a key of 1 KB, a letter an event */
	ESCAPE_CODE = 6,     /* bytes of \u0000 */
};

/* Members whose strings in one event go on in the next. */
static const char *const texts[KEY_MASK_TEXTS] = {
	"content",	     "text",	 "delta",   "arguments",
	"partial_json",	     "thinking", "refusal", "reasoning",
	"reasoning_content", "input",	 "output",  "data",
};

static int text_named(const char *name, size_t len)
{
	for (int i = 0; i < KEY_MASK_TEXTS; i++)
		if (strlen(texts[i]) == len && !memcmp(texts[i], name, len))
			return i;
	return -1;
}

static void release_match(struct key_match *t)
{
	free(t->at);
	free(t->width);
	*t = (struct key_match){0};
}

void key_mask_release(struct key_mask *m)
{
	if (m->key)
		explicit_bzero(m->key, m->len);
	free(m->key);
	free(m->fallback);
	release_match(&m->all);
	for (int i = 0; i < KEY_MASK_TEXTS; i++)
		release_match(&m->texts[i]);
	buf_release(&m->held);
	*m = (struct key_mask)KEY_MASK_INIT;
}

void key_mask_begin(struct key_mask *m, const char *key, bool events)
{
	key_mask_release(m);
	m->text = m->named = -1;
	if (!key || strlen(key) < KEY_MIN)
		return;
	m->len = strlen(key);
	m->key = xstrdup(key);
	m->patience = events ? EVENTS_PATIENCE : 1;
	m->fallback = xcalloc(m->len, sizeof *m->fallback);
	for (size_t i = 1, n = 0; i < m->len; i++) {
		while (n && key[i] != key[n])
			n = m->fallback[n - 1];
		n += key[i] == key[n];
		m->fallback[i] = n;
	}
}

/* The bytes of the last letters that T has seen of the key. */
static void hide(struct key_mask *m, struct key_match *t)
{
	for (uint64_t i = t->seen - t->n; i < t->seen; i++) {
		const uint64_t at = t->at[i % m->len];
		if (at >= m->base)
			memset(m->held.data + (at - m->base), '*', t->width[i % m->len]);
	}
	t->n = 0;
}

/* LETTER stands at AT in the answer, WIDTH bytes long. */
static void look(struct key_mask *m, struct key_match *t, char letter, uint64_t at, size_t width)
{
	if (!t->n && letter != *m->key)
		return;
	if (!t->at) {
		t->at = xcalloc(m->len, sizeof *t->at);
		t->width = xcalloc(m->len, sizeof *t->width);
	}
	t->at[t->seen % m->len] = at;
	t->width[t->seen++ % m->len] = (uint8_t)width;
	while (t->n && letter != m->key[t->n])
		t->n = m->fallback[t->n - 1];
	t->n += letter == m->key[t->n];
	if (t->n == m->len)
		hide(m, t);
}

static void take_letter(struct key_mask *m, char letter, uint64_t at, size_t width)
{
	look(m, &m->all, letter, at, width);
	if (!m->in_string)
		return;
	if (m->text >= 0)
		look(m, &m->texts[m->text], letter, at, width);
	if (m->name_len < sizeof m->name)
		m->name[m->name_len++] = letter;
}

/* A byte that no escape has to do with. */
static void take_plain(struct key_mask *m, char byte, uint64_t at)
{
	if (byte == '"') {
		m->in_string = !m->in_string;
		m->text = m->in_string && m->after_colon ? m->named : -1;
		m->name_len = m->in_string ? 0 : m->name_len;
		m->after_colon = false;
		look(m, &m->all, byte, at, 1);
		return;
	} else if (byte == '\n') { /* no string of JSON has one */
		m->in_string = m->after_colon = false;
	} else if (!m->in_string && byte == ':') {
		m->after_colon = true;
		m->named = text_named(m->name, m->name_len);
		m->name_len = 0;
	} else if (!m->in_string && byte != ' ') {
		m->after_colon = false;
	}
	take_letter(m, byte, at, 1);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'		    ? c - '0'
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
						    : -1;
}

/* A byte of an escape that has begun. */
static void take_escaped(struct key_mask *m, char byte, uint64_t at)
{
	const int digit = m->escaped >= 2 ? hex_digit(byte) : -1;

	if (m->escaped == 1 && byte == 'u') {
		m->escaped = 2;
		m->code = 0;
	} else if (m->escaped == 1 || digit < 0) { /* \/ and its kind; or none at all */
		m->escaped = 0;
		take_letter(m, byte, m->escape_at, (size_t)(at - m->escape_at) + 1);
	} else {
		m->code = m->code * 16 + (unsigned)digit;
		if (++m->escaped < ESCAPE_CODE)
			return;
		m->escaped = 0;
		take_letter(m, m->code < 128 ? (char)m->code : '\x7f', m->escape_at, ESCAPE_CODE);
	}
}

static uint64_t kept_from(const struct key_mask *m, const struct key_match *t, uint64_t end)
{
	const uint64_t at = t->n && t->n >= m->patience ? t->at[(t->seen - t->n) % m->len] : end;

	return at < end ? at : end;
}

static void pass(struct key_mask *m, uint64_t until, struct buf *out)
{
	const size_t n = until > m->base ? (size_t)(until - m->base) : 0;

	buf_add(out, m->held.data, n);
	memmove(m->held.data, m->held.data + n, m->held.len - n);
	m->held.len -= n;
	m->base += n;
}

static void hide_parts(struct key_mask *m)
{
	if (m->all.n >= KEY_MIN)
		hide(m, &m->all);
	for (int i = 0; i < KEY_MASK_TEXTS; i++)
		if (m->texts[i].n >= KEY_MIN)
			hide(m, &m->texts[i]);
}

void key_mask_feed(struct key_mask *m, const char *data, size_t n, struct buf *out)
{
	if (!m->key) {
		buf_add(out, data, n);
		return;
	}
	const uint64_t begin = m->base + m->held.len, end = begin + n;
	buf_add(&m->held, data, n);
	for (size_t i = 0; i < n; i++) {
		if (m->escaped)
			take_escaped(m, data[i], begin + i);
		else if (data[i] == '\\') {
			m->escaped = 1;
			m->escape_at = begin + i;
		} else
			take_plain(m, data[i], begin + i);
	}
	if (m->held.len > HELD_MAX)
		hide_parts(m);
	uint64_t until = kept_from(m, &m->all, m->escaped ? m->escape_at : end);
	for (int i = 0; i < KEY_MASK_TEXTS; i++)
		until = kept_from(m, &m->texts[i], until);
	pass(m, m->held.len > HELD_MAX ? end : until, out);
}

void key_mask_end(struct key_mask *m, struct buf *out)
{
	hide_parts(m);
	pass(m, m->base + m->held.len, out);
}
