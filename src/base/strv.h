/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * strv.h -- a growing, NULL-terminated array of owned strings: argv, environ, lists of names.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct strv {
	char **v; /* NULL while empty and never pushed to; use strv_items() for a vector */
	size_t n, cap;
};

#define STRV_INIT                                                                                  \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}

void strv_push(struct strv *s, const char *item);
void strv_take(struct strv *s, char *item); /* owns ITEM from now on */
void strv_pushf(struct strv *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_pushv(struct strv *s, const char *const *items); /* up to its NULL */
/* For environment vectors of "K=V": replace or add. */
void strv_setenv(struct strv *s, const char *key, const char *value);
bool strv_has(const struct strv *s, const char *item);
void strv_sort(struct strv *s);
const char *const *strv_items(const struct strv *s); /* never NULL; valid until the next change */
void strv_release(struct strv *s);

static inline void auto_strv(struct strv *s)
{
	strv_release(s);
}
