/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/dockerfile.h"
#include <ctype.h>
#include <fnmatch.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789"

struct parser {
	struct dockerfile *d;
	struct strv words;
	struct strv heredocs; /* begun by the instruction: what ends each */
	struct strv stages;   /* names so far; "" for those without */
	struct kvs defaults;  /* of ARG before the first FROM, under what was given */
	const struct kvs *given;
	int line;
};

char *dockerfile_clean(const char *path)
{
	AUTO(free) char *copy = xstrdup(path);
	AUTO(strv) struct strv parts = STRV_INIT;
	AUTO(buf) struct buf out = BUF_INIT;
	char *save = NULL;

	for (char *p = strtok_r(copy, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		if (!strcmp(p, "."))
			continue;
		if (strcmp(p, "..")) {
			strv_push(&parts, p);
		} else if (parts.n) {
			free(parts.v[--parts.n]);
			parts.v[parts.n] = NULL;
		} else {
			return NULL;
		}
	}
	for (size_t i = 0; i < parts.n; i++)
		buf_addf(&out, "%s%s", i ? "/" : "", parts.v[i]);
	return xstrdup(out.data ? out.data : "");
}

/* NAME with $A, ${A} and ${A:-default} of the ARGs before FROM; NULL where one is not known. The caller frees. */
static char *expand(const struct parser *p, const char *name)
{
	AUTO(buf) struct buf out = BUF_INIT;

	for (const char *c = name; *c;) {
		if (*c != '$') {
			buf_addc(&out, *c++);
			continue;
		}
		const bool braced = *++c == '{';
		c += braced;
		size_t n = strspn(c, NAME_CHARS);
		AUTO(free) char *key = xstrndup(c, n);
		const char *given = kvs_get(p->given, key);
		const char *value = given ? given : kvs_get(&p->defaults, key);
		c += n;
		size_t rest = braced ? strcspn(c, "}") : 0;
		const bool fallback = rest >= 2 && c[0] == ':' && c[1] == '-';
		if (value && *value)
			buf_adds(&out, value);
		else if (fallback)
			buf_add(&out, c + 2, rest - 2);
		else
			return NULL;
		c += rest + (braced && c[rest] == '}');
	}
	return xstrdup(out.data ? out.data : "");
}

static bool holds(const struct strv *list, const char *word)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcasecmp(list->v[i], word))
			return true;
	return false;
}

static void take_base(struct parser *p, const char *word)
{
	AUTO(free) char *name = expand(p, word);

	if (name && *name && strcmp(name, "scratch") != 0 && !holds(&p->stages, name) &&
	    name[strspn(name, "0123456789")] && !holds(&p->d->bases, name))
		strv_push(&p->d->bases, name);
}

/* FROM [--platform=...] IMAGE [AS NAME] */
static void take_from(struct parser *p)
{
	const struct strv *w = &p->words;
	size_t at = 1;

	while (at < w->n && !strncmp(w->v[at], "--", 2))
		at++;
	if (at >= w->n)
		return;
	take_base(p, w->v[at]);
	strv_push(&p->stages, at + 2 < w->n && !strcasecmp(w->v[at + 1], "AS") ? w->v[at + 2] : "");
}

static void take_arg(struct parser *p)
{
	for (size_t i = 1; i < p->words.n; i++) {
		const char *word = p->words.v[i];
		size_t len = strcspn(word, "=");
		AUTO(free) char *key = xstrndup(word, len);
		strv_push(&p->d->args, key);
		if (p->stages.n || !word[len])
			continue;
		const bool quoted = word[len + 1] == '"' || word[len + 1] == '\'';
		AUTO(free) char *value = xstrdup(word + len + 1 + quoted);
		if (quoted)
			value[strcspn(value, "\"'")] = '\0';
		kvs_set(&p->defaults, key, value);
	}
}

static void take_source(struct parser *p, const char *word)
{
	struct dockerfile *d = p->d;

	/* "git@host:path" is a repository; a name of a file may hold an @ as well, but hardly a colon behind it. */
	const char *at = strchr(word, '@'), *slash = strchr(word, '/'),
		   *colon = at ? strchr(at, ':') : NULL;
	if (strstr(word, "://") || (colon && !(slash && slash < colon)) ||
	    !strncmp(word + strspn(word, "0123456789"), "<<", 2))
		return;
	char *source = strpbrk(word, "$\\\"'") ? NULL : dockerfile_clean(word);
	if (!source) {
		d->wants_all = true;
		return;
	}
	GROW(d->copies, d->copies_n, d->cap);
	d->copies[d->copies_n++] = (struct dockerfile_copy){p->line, xstrdup(word), source};
}

/* ["a b", "to"]: the words from FIRST on, as JSON. */
static void take_json(struct parser *p, size_t first)
{
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = first; i < p->words.n; i++)
		buf_addf(&text, "%s ", p->words.v[i]);
	json_t *list = json_loadb(text.data, text.len, 0, NULL);
	p->d->wants_all |= !json_is_array(list);
	for (size_t i = 0; i + 1 < json_array_size(list); i++) {
		const char *word = json_string_value(json_array_get(list, i));
		if (word)
			take_source(p, word);
	}
	json_decref(list);
}

static void take_copy(struct parser *p)
{
	const struct strv *w = &p->words;
	size_t first = 1;

	for (; first < w->n && !strncmp(w->v[first], "--", 2); first++)
		if (!strncmp(w->v[first], "--from=", 7)) {
			take_base(p, w->v[first] + 7);
			return;
		}
	if (first < w->n && w->v[first][0] == '[') {
		take_json(p, first);
		return;
	}
	for (size_t i = first; i + 1 < w->n; i++)
		take_source(p, w->v[i]);
}

/* A file system of the folder's may be mounted where a command runs. */
static void take_run(struct parser *p)
{
	for (size_t i = 1; i < p->words.n && !strncmp(p->words.v[i], "--", 2); i++) {
		const char *word = p->words.v[i], *from = strstr(word, "from=");
		if (strncmp(word, "--mount=", 8))
			continue;
		if (from)
			take_base(p, from + 5);
		else if (strstr(word, "type=bind") || !strstr(word, "type="))
			p->d->wants_all = true;
	}
}

static void take_instruction(struct parser *p)
{
	static const struct {
		const char *name;
		void (*take)(struct parser *p);
	} known[] = {
		{"COPY", take_copy}, {"ADD", take_copy}, {"ARG", take_arg},
		{"FROM", take_from}, {"RUN", take_run},
	};

	for (size_t i = 0; p->words.n && i < ARRAY_SIZE(known); i++)
		if (!strcasecmp(p->words.v[0], known[i].name))
			known[i].take(p);
}

/* The words that end the here-documents begun in LINE, in order: each is begun by a word of its own, "<<EOF", "3<<-'A'", and
 * not within one, as in $((1<<3)). */
static void find_heredocs(const char *line, struct strv *out)
{
	for (const char *word = line + strspn(line, " \t"); *word; word += strspn(word, " \t")) {
		size_t len = strcspn(word, " \t");
		const char *at = word + strspn(word, "0123456789");
		bool begun = !strncmp(at, "<<", 2);
		at += begun ? 2 : 0;
		at += begun && *at == '-';
		char quote = *at == '"' || *at == '\'' ? *at : '\0';
		at += quote != '\0';
		size_t n = begun ? strspn(at, NAME_CHARS) : 0;
		if (n && at + n + (quote && at[n] == quote) == word + len) {
			AUTO(free) char *end = xstrndup(at, n);
			strv_push(out, end);
		}
		word += len;
	}
}

static bool may_begin_heredoc(const struct parser *p)
{
	return p->words.n &&
	       (!strcasecmp(p->words.v[0], "RUN") || !strcasecmp(p->words.v[0], "COPY") ||
		!strcasecmp(p->words.v[0], "ADD"));
}

static char *skip_heredoc(struct parser *p, char *rest, const char *word, int *number)
{
	while (rest && *rest) {
		char *line = rest + strspn(rest, "\t");
		rest = strchr(rest, '\n');
		if (rest)
			*rest++ = '\0';
		++*number;
		line[strcspn(line, "\r")] = '\0';
		if (!strcmp(line, word))
			break;
	}
	return rest;
}

static void read_lines(struct parser *p, char *text)
{
	int number = 0;
	bool goes_on = false;
	char *end;

	for (char *line = text; line && *line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		number++;
		size_t len = strlen(line);
		while (len && isspace((unsigned char)line[len - 1]))
			line[--len] = '\0';
		if (line[strspn(line, " \t")] == '#' || (goes_on && !len))
			continue;
		if (!goes_on) {
			strv_release(&p->words);
			p->line = number;
		}
		if (!goes_on)
			strv_release(&p->heredocs);
		find_heredocs(line, &p->heredocs);
		goes_on = len && line[len - 1] == '\\';
		if (goes_on)
			line[len - 1] = '\0';
		char *save = NULL;
		for (char *w = strtok_r(line, " \t", &save); w; w = strtok_r(NULL, " \t", &save))
			strv_push(&p->words, w);
		if (goes_on)
			continue;
		take_instruction(p);
		for (size_t i = 0; i < p->heredocs.n && may_begin_heredoc(p); i++)
			end = skip_heredoc(p, end, p->heredocs.v[i], &number);
	}
}

void dockerfile_parse(struct dockerfile *out, char *text, const struct kvs *given)
{
	struct parser p = {.d = out,
			   .words = STRV_INIT,
			   .heredocs = STRV_INIT,
			   .stages = STRV_INIT,
			   .defaults = KVS_INIT,
			   .given = given};

	*out = (struct dockerfile){.bases = STRV_INIT, .args = STRV_INIT};
	read_lines(&p, text);
	strv_release(&p.words);
	strv_release(&p.heredocs);
	strv_release(&p.stages);
	kvs_release(&p.defaults);
}

void dockerfile_release(struct dockerfile *d)
{
	for (size_t i = 0; i < d->copies_n; i++) {
		free(d->copies[i].word);
		free(d->copies[i].source);
	}
	free(d->copies);
	strv_release(&d->bases);
	strv_release(&d->args);
	*d = (struct dockerfile){.bases = STRV_INIT, .args = STRV_INIT};
}

bool dockerfile_names(const char *source, const char *path)
{
	return !fnmatch(source, path, FNM_PATHNAME);
}

static size_t parts_of(const char *path)
{
	size_t n = 1;

	for (const char *c = path; *c; c++)
		n += *c == '/';
	return n;
}

/* The first N parts of PATH. The caller frees. */
static char *first_parts(const char *path, size_t n)
{
	const char *c = path;

	for (; *c; c++)
		if (*c == '/' && !--n)
			break;
	return xstrndup(path, (size_t)(c - path));
}

bool dockerfile_wants(const struct dockerfile *d, const char *path)
{
	for (size_t i = 0; i < d->copies_n && !d->wants_all; i++) {
		const char *source = d->copies[i].source;
		size_t a = parts_of(source), b = parts_of(path), n = a < b ? a : b;
		AUTO(free) char *theirs = first_parts(source, n);
		AUTO(free) char *ours = first_parts(path, n);
		if (!*source || dockerfile_names(theirs, ours))
			return true;
	}
	return d->wants_all;
}
