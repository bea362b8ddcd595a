/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/tag.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define TAG_MAX 64

/* The beginning of one is enough to be taken for it: 2025, 20250824__12. */
static bool looks_like_stamp(const char *tag)
{
	return strspn(tag, "0123456789_-") == strlen(tag);
}

int tag_check(const char *tag, struct err *err)
{
	size_t n = strlen(tag);
	bool good = n && n <= TAG_MAX && isalnum((unsigned char)tag[0]);

	for (size_t i = 0; good && i < n; i++)
		good = isalnum((unsigned char)tag[i]) || strchr("._-", tag[i]);
	if (!good)
		return err_set(err, ERR_USAGE, 0,
			       "\"%s\" cannot be a tag: letters, digits, \".\", \"_\" and \"-\", "
			       "at most %d",
			       tag, TAG_MAX);
	if (looks_like_stamp(tag))
		return err_set(err, ERR_USAGE, 0,
			       "\"%s\" cannot be a tag: it reads as a stamp; add a letter", tag);
	return 0;
}
