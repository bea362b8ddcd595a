/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/dotenv.h"
#include <errno.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"

#define DOTENV_MAX ((size_t)256 << 10)

static const char name_start[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
static const char blanks[] = " \t\r";

bool dotenv_is_name(const char *name)
{
	return *name && strchr(name_start, *name) && !name[strspn(name, name_chars)];
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, blanks);
}

/* The quoted text at P (past its opening quote); the place behind the closing one, NULL without. */
static const char *read_quoted(struct buf *out, const char *p, char quote)
{
	for (; *p && *p != quote; p++) {
		if (quote == '"' && *p == '\\' && p[1]) {
			p++;
			buf_addc(out, *p == 'n' ? '\n' : *p == 't' ? '\t' : *p);
		} else {
			buf_addc(out, *p);
		}
	}
	return *p ? p + 1 : NULL;
}

/* The value at *AT, past which *AT moves; quoted text may go over several lines. */
static bool read_value(struct buf *out, const char **at)
{
	const char *p = *at;

	if (*p == '"' || *p == '\'') {
		p = read_quoted(out, p + 1, *p);
		if (!p)
			return false;
		*at = p = skip_blanks(p);
		return !*p || *p == '#' || *p == '\n';
	}
	size_t n = strcspn(p, "#\n");
	/* "a#b" is a value; " #" begins a comment. */
	while (p[n] == '#' && n && !strchr(blanks, p[n - 1]))
		n += 1 + strcspn(p + n + 1, "#\n");
	*at = p + n;
	while (n && strchr(blanks, p[n - 1]))
		n--;
	buf_add(out, p, n);
	return true;
}

/* One entry at *AT, which moves to the line behind it. Why it cannot be read, or NULL; *NAME, which the caller frees, stays
 * NULL when there is nothing in it. */
static const char *read_entry(char **name, struct buf *value, const char **at)
{
	const char *p = skip_blanks(*at), *why = NULL;

	if (!strncmp(p, "export", 6) && p[6] && strchr(" \t", p[6]) && *skip_blanks(p + 6) != '=')
		p = skip_blanks(p + 6);
	size_t n = strspn(p, name_chars);
	const char *sign = skip_blanks(p + n), *rest = skip_blanks(sign + (*sign == '='));
	if (!*p || *p == '#' || *p == '\n')
		rest = p;
	else if (!n || !strchr(name_start, *p) || *sign != '=')
		why = "not NAME=VALUE";
	else if (!read_value(value, &rest))
		why = "the quote is not closed, or something follows it";
	else
		*name = xstrndup(p, n);
	*at = strchrnul(rest, '\n');
	*at += **at == '\n';
	return why;
}

/* Behind a byte order mark, which some editors write. */
static const char *behind_mark(const struct buf *text)
{
	return text->data + (strncmp(text->data, "\xef\xbb\xbf", 3) ? 0 : 3);
}

static const char *take_entry(struct kvs *env, const char *file, size_t number, const char **at,
			      struct strv *notes, struct strv *withheld)
{
	AUTO(buf) struct buf value = BUF_INIT;
	AUTO(free) char *name = NULL;
	const char *why = read_entry(&name, &value, at);

	if (!name)
		return why;
	if (!kv_is_secret(name)) {
		kvs_set(env, name, value.data);
		return NULL;
	}
	issues_note(notes, file, NULL,
		    "line %zu: %s names a credential, which never enters a sandbox: left out",
		    number, name);
	if (!strv_has(withheld, name))
		strv_push(withheld, name);
	return NULL;
}

void dotenv_read(struct kvs *env, int dir_fd, const char *file, struct issues *m,
		 struct strv *notes, struct strv *withheld)
{
	struct err err = {0};
	AUTO(buf) struct buf text = BUF_INIT;
	size_t number = 1;

	if (path_read(dir_fd, file, DOTENV_MAX, &text, &err)) {
		if (err.sys != ENOENT)
			issues_add(m, file, NULL, "cannot be read: %s", err.msg);
		return;
	}
	if (!text_is_utf8(text.data, text.len) || strlen(text.data) != text.len) {
		issues_add(m, file, NULL, "must be UTF-8 text");
		return;
	}
	for (const char *p = behind_mark(&text), *from; *p;) {
		from = p;
		const char *why = take_entry(env, file, number, &p, notes, withheld);
		/* The line itself stays unsaid: it may hold a secret. */
		if (why)
			issues_add(m, file, NULL, "line %zu: %s", number, why);
		for (; from < p; from++)
			number += *from == '\n';
	}
}

bool dotenv_find(int dir_fd, const char *file, const char *name, struct buf *value)
{
	AUTO(buf) struct buf text = BUF_INIT;
	bool found = false;
	struct err ignored;

	if (path_read(dir_fd, file, DOTENV_MAX, &text, &ignored))
		return false;
	for (const char *p = text.len ? behind_mark(&text) : ""; *p;) {
		AUTO(buf) struct buf here = BUF_INIT;
		AUTO(free) char *key = NULL;

		if (read_entry(&key, &here, &p) || !key || strcmp(key, name) != 0)
			continue;
		buf_reset(value);
		buf_add(value, here.data, here.len);
		found = true;
	}
	if (text.cap)
		explicit_bzero(text.data, text.len);
	return found;
}
