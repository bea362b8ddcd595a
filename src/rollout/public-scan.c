/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <ctype.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "core/kv.h"
#include "rollout/public-words.h"

enum { FOUND_MAX = 20, VALUE_MIN = 20, NAME_MAX_ = 64 };

/* What keys of providers and hosts of code begin with, and how long they are at least behind it. */
static const struct {
	const char *begin;
	size_t more;
	bool upper; /* nothing but capitals and digits */
} keys[] = {
	{"sk-", 12, false},    {"ghp_", 30, false},  {"gho_", 30, false},
	{"ghs_", 30, false},   {"ghu_", 30, false},  {"github_pat_", 20, false},
	{"glpat-", 16, false}, {"hf_", 20, false},   {"gsk_", 20, false},
	{"xai-", 20, false},   {"AIza", 30, false},  {"npm_", 30, false},
	{"xoxb-", 20, false},  {"xoxp-", 20, false}, {"AKIA", 16, true},
	{"ASIA", 16, true},    {"pypi-", 40, false}, {"nvapi-", 20, false},
	{"r8_", 30, false},    {"dapi", 32, false},
};

static bool is_of_key(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static bool is_allowed(const struct public_words *w, const char *at, size_t n)
{
	for (size_t i = 0; i < w->allowed.n; i++)
		if (strlen(w->allowed.v[i]) == n && !memcmp(w->allowed.v[i], at, n))
			return true;
	return false;
}

static void tell(const struct public_words *w, const char *path, const struct buf *text,
		 const char *at, size_t n, const char *what, struct strv *found)
{
	size_t line = 1;

	if (found->n >= FOUND_MAX || is_allowed(w, at, n))
		return;
	for (const char *c = text->data; c < at; c++)
		line += *c == '\n';
	strv_pushf(found, "%s:%zu: %s", path, line, what);
}

/* A key has digits; a word that only begins so has none, or few letters. */
static size_t key_at(const char *at, const char *end, size_t i)
{
	size_t n = strlen(keys[i].begin), digits = 0;

	if ((size_t)(end - at) < n || memcmp(at, keys[i].begin, n) != 0)
		return 0;
	for (; at + n < end && is_of_key(at[n]); n++) {
		digits += isdigit((unsigned char)at[n]) != 0;
		if (keys[i].upper && !isupper((unsigned char)at[n]) &&
		    !isdigit((unsigned char)at[n]))
			return 0;
	}
	return digits >= 2 && n >= strlen(keys[i].begin) + keys[i].more ? n : 0;
}

static void scan_keys(const struct public_words *w, const char *path, const struct buf *text,
		      struct strv *found)
{
	const char *end = text->data + text->len;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		for (const char *at = text->data;
		     (at = memmem(at, (size_t)(end - at), keys[i].begin, strlen(keys[i].begin)));
		     at++) {
			size_t n = at > text->data && isalnum((unsigned char)at[-1])
					   ? 0
					   : key_at(at, end, i);
			AUTO(free)
			char *what = xasprintf("looks like a key (%s...)", keys[i].begin);
			if (n)
				tell(w, path, text, at, n, what, found);
		}
}

static bool is_of_value(char c)
{
	return isalnum((unsigned char)c) || strchr("_-+/.=", c);
}

/* How long what stands at AT is, if it could be a credential: long, with letters and digits, and no path. */
static size_t value_at(const char *at, const char *end)
{
	size_t n = 0, digits = 0, letters = 0, marks = 0;

	for (; at + n < end && at[n] && is_of_value(at[n]); n++) {
		digits += isdigit((unsigned char)at[n]) != 0;
		letters += isalpha((unsigned char)at[n]) != 0;
		marks += at[n] == '/' || at[n] == '.';
	}
	return n >= VALUE_MIN && digits >= 4 && letters >= 2 && marks <= 2 ? n : 0;
}

/* The name before AT, which stands behind "=", ":" or quotes, in capitals. */
static void name_before(char out[NAME_MAX_], const char *at, const char *begin)
{
	size_t n = 0;

	while (at > begin && strchr("=: \"'\\", at[-1]))
		at--;
	const char *last = at;
	while (at > begin && (isalnum((unsigned char)at[-1]) || at[-1] == '_' || at[-1] == '-'))
		at--;
	for (; at < last && n + 1 < NAME_MAX_; at++)
		out[n++] = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
	out[n] = '\0';
}

static bool is_credential(const char *name)
{
	static const char *const plain[] = {
		"APIKEY", "API_KEY",	   "TOKEN",	  "PASSWORD",	  "PASSWD",    "SECRET",
		"BEARER", "SECURITYTOKEN", "ACCESSTOKEN", "CLIENTSECRET", "ACCESS_KEY"};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (!strcmp(name, plain[i]))
			return true;
	return kv_is_secret(name);
}

/* NAME=value, "name": "value", ?name=value, Bearer value, where the name says that it is one. */
static void scan_named(const struct public_words *w, const char *path, const struct buf *text,
		       struct strv *found)
{
	const char *end = text->data + text->len;
	char name[NAME_MAX_];

	for (const char *at = text->data + 1; at < end; at++) {
		if (!strchr("=: \"'", at[-1]) || !at[-1] || !is_of_value(*at))
			continue;
		size_t n = value_at(at, end);
		if (!n)
			continue;
		name_before(name, at, text->data);
		if (is_credential(name))
			tell(w, path, text, at, n, "is named like a credential", found);
		at += n;
	}
}

static void scan_text(const struct public_words *w, const char *path, const struct buf *text,
		      const char *word, const char *what, struct strv *found)
{
	const char *at = memmem(text->data, text->len, word, strlen(word));

	if (at)
		tell(w, path, text, at, strlen(word), what, found);
}

static bool is_private_key(const struct buf *text, const char **at)
{
	static const char begin[] = "-----BEGIN ", end[] = "PRIVATE KEY-----";

	*at = memmem(text->data, text->len, begin, strlen(begin));
	return *at && memmem(*at, text->len - (size_t)(*at - text->data), end, strlen(end));
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool stands_for_another(const struct public_words *w, const char *word)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->v[i].to, word))
			return true;
	return false;
}

/* In whatever case, and in files that are no text and so stay as they are. */
static void scan_machine(const struct public_words *w, const char *path, const struct buf *text,
			 const struct buf *lower, struct strv *found)
{
	for (size_t i = 0; i < w->n; i++) {
		if (stands_for_another(w, w->v[i].from))
			continue;
		AUTO(free) char *word = xstrdup(w->v[i].from);
		const size_t n = strlen(word);
		for (char *c = word; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		const char *end = lower->data + lower->len;
		for (const char *at = lower->data; (at = memmem(at, (size_t)(end - at), word, n));
		     at++) {
			if ((at > lower->data && is_word(at[-1]) && is_word(*word)) ||
			    (at + n < end && is_word(at[n])))
				continue;
			AUTO(free)
			char *what =
				xasprintf("names this machine, its user or its folders (\"%s\")",
					  w->v[i].from);
			tell(w, path, text, text->data + (at - lower->data), n, what, found);
			break;
		}
	}
}

void public_scan(const struct public_words *w, const char *path, const struct buf *text,
		 struct strv *found)
{
	AUTO(buf) struct buf lower = BUF_INIT;
	const char *at;

	buf_add(&lower, text->data, text->len);
	for (size_t i = 0; i < lower.len; i++)
		lower.data[i] = (char)tolower((unsigned char)lower.data[i]);
	scan_keys(w, path, text, found);
	scan_named(w, path, text, found);
	if (is_private_key(text, &at))
		tell(w, path, text, at, strcspn(at, "\r\n\\\""), "holds a private key", found);
	for (size_t i = 0; i < w->secrets.n; i++)
		scan_text(w, path, text, w->secrets.v[i],
			  "holds the value of a variable that names a credential here", found);
	scan_machine(w, path, text, &lower, found);
}
