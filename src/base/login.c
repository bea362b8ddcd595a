/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/login.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

#define BLANK "***"

static bool is_here(const char *host, const char *end)
{
	static const char *const names[] = {"localhost", "127.", "[::1]", "0.0.0.0"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(names[i]);
		if ((size_t)(end - host) >= n && !memcmp(host, names[i], n))
			return true;
	}
	return false;
}

/* The password of a URL whose authority begins at BEGIN, up to the @ of *END; NULL: there is none. */
static const char *password_of(const char *begin, const char **end, enum login_which which)
{
	const char *stop = begin + strcspn(begin, "/ \t\r\n\"'<>\\`");
	const char *sign = memrchr(begin, '@', (size_t)(stop - begin));
	const char *colon = sign ? memchr(begin, ':', (size_t)(sign - begin)) : NULL;

	*end = sign ? sign : stop;
	if (!colon || colon + 1 == sign)
		return NULL;
	const size_t user = (size_t)(colon - begin), n = (size_t)(sign - colon - 1);
	if ((n == strlen(BLANK) && !memcmp(colon + 1, BLANK, n)) || colon[1] == '$' ||
	    colon[1] == '{')
		return NULL; /* blanked already, or a place that is filled in */
	if (which == LOGIN_SECRET &&
	    ((n == user && !memcmp(begin, colon + 1, n)) || is_here(sign + 1, stop)))
		return NULL;
	return colon + 1;
}

bool login_blank(struct buf *text, enum login_which which)
{
	AUTO(buf) struct buf out = BUF_INIT;
	const char *at = text->data, *slashes, *end;
	bool found = false;

	while ((slashes = memmem(at, text->len - (size_t)(at - text->data), "://", 3))) {
		const char *password = password_of(slashes + 3, &end, which);
		const char *keep = password ? password : end;
		buf_add(&out, at, (size_t)(keep - at));
		if (password)
			buf_adds(&out, BLANK);
		found |= password != NULL;
		at = end;
	}
	buf_add(&out, at, text->len - (size_t)(at - text->data));
	if (found) {
		buf_reset(text);
		buf_add(text, out.data, out.len);
	}
	return found;
}

bool login_is_in(const char *text, enum login_which which)
{
	const char *end;

	for (; (text = strstr(text, "://")); text = end)
		if (password_of(text + 3, &end, which))
			return true;
	return false;
}
