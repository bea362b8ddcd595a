/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/strv.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"

void strv_take(struct strv *s, char *item)
{
	if (s->n + 1 >= s->cap) {
		s->cap = s->cap ? s->cap * 2 : 4;
		s->v = xreallocarray(s->v, s->cap, sizeof *s->v);
	}
	s->v[s->n++] = item;
	s->v[s->n] = NULL;
}

void strv_push(struct strv *s, const char *item)
{
	strv_take(s, xstrdup(item));
}

void strv_pushf(struct strv *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strv_take(s, xvasprintf(fmt, ap));
	va_end(ap);
}

void strv_pushv(struct strv *s, const char *const *items)
{
	for (; *items; items++)
		strv_push(s, *items);
}

void strv_setenv(struct strv *s, const char *key, const char *value)
{
	size_t len = strlen(key);
	char *item = xasprintf("%s=%s", key, value);

	for (size_t i = 0; i < s->n; i++) {
		if (strncmp(s->v[i], key, len) || s->v[i][len] != '=')
			continue;
		free(s->v[i]);
		s->v[i] = item;
		return;
	}
	strv_take(s, item);
}

bool strv_has(const struct strv *s, const char *item)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i], item))
			return true;
	return false;
}

static int compare_items(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(struct strv *s)
{
	if (s->n)
		qsort(s->v, s->n, sizeof *s->v, compare_items);
}

const char *const *strv_items(const struct strv *s)
{
	static const char *const none[] = {NULL};

	return s->v ? (const char *const *)s->v : none;
}

void strv_release(struct strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strv)STRV_INIT;
}
