/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/json-pointer.h"
#include <errno.h>
#include "base/mem.h"

enum { TOKEN_MAX = 256 };

/* Copy the first token of "/a~1b/c" into TOKEN, unescaped; returns what follows it, NULL when too
 * long. */
static const char *next_token(const char *pointer, char token[TOKEN_MAX])
{
	size_t n = 0;

	for (pointer++; *pointer && *pointer != '/'; pointer++) {
		char c = *pointer;

		if (c == '~' && (pointer[1] == '0' || pointer[1] == '1'))
			c = *++pointer == '0' ? '~' : '/';
		if (n + 1 >= TOKEN_MAX)
			return NULL;
		token[n++] = c;
	}
	token[n] = '\0';
	return pointer;
}

static const json_t *element(const json_t *array, const char *token)
{
	char *end;
	long long i;

	errno = 0;
	i = strtoll(token, &end, 10);
	if (errno || end == token || *end)
		return NULL;
	if (i < 0)
		i += (long long)json_array_size(array);
	return i < 0 ? NULL : json_array_get(array, (size_t)i);
}

size_t json_pointer_walk(const json_t *doc, const char *pointer,
			 void (*visit)(void *arg, const json_t *v), void *arg)
{
	char token[TOKEN_MAX];
	const char *rest, *key;
	size_t found = 0, i;
	json_t *v;

	if (!doc)
		return 0;
	if (!*pointer) {
		visit(arg, doc);
		return 1;
	}
	rest = *pointer == '/' ? next_token(pointer, token) : NULL;
	if (!rest)
		return 0;
	if (strcmp(token, "*") == 0) {
		json_array_foreach (doc, i, v)
			found += json_pointer_walk(v, rest, visit, arg);
		json_object_foreach ((json_t *)doc, key, v)
			found += json_pointer_walk(v, rest, visit, arg);
		return found;
	}
	return json_pointer_walk(json_is_array(doc) ? element(doc, token)
						    : json_object_get(doc, token),
				 rest, visit, arg);
}
