/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * json.h -- jansson with our ownership and our errors. Every getter borrows; every error names WHERE
 * (a file name, say) and the key.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

static inline void auto_json(json_t **j)
{
	json_decref(*j);
}

/* Parse TEXT; duplicates of a key are an error. The caller owns *out. WHERE names the source. */
int json_parse(json_t **out, const char *text, size_t len, const char *where,
	       struct err *err) MUST_CHECK;
/* The same for a line that we wrote, as json_loadb with FLAGS reads it, but much faster. NULL when it is no JSON. The caller owns it. */
json_t *json_line(const char *text, size_t len, size_t flags);
/* JSON of an agent or a provider, NULL when it is none: what a strict reader refuses for one odd token is mended. Text that
 * is not Unicode becomes U+FFFD, whole numbers beyond 64 bits reals, NaN and numbers beyond a real null; control
 * characters in strings and a byte order mark are taken. NULL as well for more than 400,000 values, whatever their size: memory
 * would be twenty times the text. The caller owns it. */
json_t *json_foreign(const char *text, size_t len);
/* Append TEXT mended so; what is JSON stays as it is. */
void json_mend(struct buf *out, const char *text, size_t len);
/* Read PATH relative to DIR_FD (regular file of at most MAX bytes, no link followed at the end). */
int json_read(json_t **out, int dir_fd, const char *path, size_t max, struct err *err) MUST_CHECK;

/* Required members: -1 and ERR_USAGE when absent or of another type. */
int json_need_str(const json_t *obj, const char *key, const char *where, const char **out,
		  struct err *err) MUST_CHECK;
int json_need_int(const json_t *obj, const char *key, const char *where, int64_t *out,
		  struct err *err) MUST_CHECK;
/* Optional members: the default when absent, null or of another type. */
const char *json_get_str(const json_t *obj, const char *key, const char *fallback);
int64_t json_get_int(const json_t *obj, const char *key, int64_t fallback);
double json_get_real(const json_t *obj, const char *key, double fallback);
bool json_get_bool(const json_t *obj, const char *key, bool fallback);

/* Append the strings of the array KEY; nothing when it is none. */
void json_get_strv(const json_t *obj, const char *key, struct strv *out);

/* Set KEY to a string; text that is not UTF-8 has its bad bytes replaced. NULL sets null. */
void json_put_str(json_t *obj, const char *key, const char *value);
void json_put_strn(json_t *obj, const char *key, const char *value, size_t len);
void json_put_int(json_t *obj, const char *key, int64_t value);
void json_put_real(json_t *obj, const char *key, double value); /* NaN and infinity set null */
void json_put_bool(json_t *obj, const char *key, bool value);
/* Set KEY to a list of strings, each as json_put_str would. */
void json_put_strv(json_t *obj, const char *key, const struct strv *values);
void json_put(json_t *obj, const char *key, json_t *value_take);

/* Append the text of J: compact and key-ordered as inserted, or indented by two. */
void json_format(struct buf *out, const json_t *j, bool pretty);
/* Write J, indented and newline-ended, to a temporary name beside PATH and rename. SYNC: fsync first. */
int json_write(int dir_fd, const char *path, const json_t *j, bool sync,
	       struct err *err) MUST_CHECK;
