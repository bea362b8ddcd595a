/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/json-fields.h"
#include <limits.h>
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

void json_fields_copy(char *to, size_t size, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	if (n >= size)
		n = text_cut(s, size - 1);
	memcpy(to, s ? s : "", n);
	to[n] = '\0';
}

static void write_field(json_t *obj, const struct json_field *f, const void *p)
{
	switch (f->kind) {
	case FIELD_INT:
		json_put_int(obj, f->key, *(const int *)p);
		break;
	case FIELD_INT64:
		json_put_int(obj, f->key, *(const int64_t *)p);
		break;
	case FIELD_REAL:
		json_put_real(obj, f->key, *(const double *)p);
		break;
	case FIELD_BOOL:
		json_put_bool(obj, f->key, *(const bool *)p);
		break;
	case FIELD_STR:
		json_put_str(obj, f->key, *(char *const *)p);
		break;
	case FIELD_TEXT:
	case FIELD_DIGEST:
		json_put_str(obj, f->key, p);
		break;
	case FIELD_KNOWN64:
		if (*(const int64_t *)p >= 0)
			json_put_int(obj, f->key, *(const int64_t *)p);
		else
			json_put(obj, f->key, json_null());
		break;
	case FIELD_KNOWN:
		if (*(const double *)p >= 0)
			json_put_real(obj, f->key, *(const double *)p);
		else
			json_put(obj, f->key, json_null());
		break;
	}
}

void json_fields_write(json_t *obj, const void *base, const struct json_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		write_field(obj, &fields[i], (const char *)base + fields[i].offset);
}

static bool is_digest(const char *s)
{
	return !*s || (strlen(s) == HASH_HEX - 1 && strspn(s, "0123456789abcdef") == HASH_HEX - 1);
}

static bool read_integer(const struct json_field *f, void *p, const json_t *v)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return false;
	if (f->kind != FIELD_INT) {
		*(int64_t *)p = n;
		return true;
	}
	if (n < INT_MIN || n > INT_MAX)
		return false;
	*(int *)p = (int)n;
	return true;
}

static bool read_string(const struct json_field *f, void *p, const json_t *v)
{
	const char *s = json_string_value(v);

	if (!s || (f->kind == FIELD_DIGEST && !is_digest(s)))
		return false;
	if (f->kind == FIELD_STR) {
		free(*(char **)p);
		*(char **)p = xstrdup(s);
	} else {
		json_fields_copy(p, f->size, s);
	}
	return true;
}

static bool read_value(const struct json_field *f, void *p, const json_t *v)
{
	switch (f->kind) {
	case FIELD_INT:
	case FIELD_INT64:
	case FIELD_KNOWN64:
		return read_integer(f, p, v);
	case FIELD_REAL:
	case FIELD_KNOWN:
		if (!json_is_number(v))
			return false;
		*(double *)p = json_number_value(v);
		return true;
	case FIELD_BOOL:
		if (!json_is_boolean(v))
			return false;
		*(bool *)p = json_is_true(v);
		return true;
	case FIELD_STR:
	case FIELD_TEXT:
	case FIELD_DIGEST:
		return read_string(f, p, v);
	}
	return false;
}

static void set_unknown(const struct json_field *f, void *p)
{
	if (f->kind == FIELD_KNOWN64)
		*(int64_t *)p = -1;
	else if (f->kind == FIELD_KNOWN)
		*(double *)p = -1;
}

int json_fields_read(void *base, const struct json_field *fields, size_t n, const json_t *obj,
		     const char *where, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct json_field *f = &fields[i];
		const json_t *v = json_object_get(obj, f->key);
		void *p = (char *)base + f->offset;

		if (!v || json_is_null(v)) {
			if (f->required)
				return err_set(err, ERR_USAGE, 0, "%s: \"%s\" is missing", where,
					       f->key);
			set_unknown(f, p);
		} else if (!read_value(f, p, v)) {
			return err_set(err, ERR_USAGE, 0, "%s: \"%s\" has a wrong type or value",
				       where, f->key);
		}
	}
	return 0;
}

int json_fields_check(const json_t *j, const char *where, struct err *err)
{
	int64_t v;

	if (!json_is_object(j))
		return err_set(err, ERR_USAGE, 0, "%s: not a JSON object", where);
	if (json_need_int(j, "v", where, &v, err))
		return -1;
	if (v < 1 || v > JSON_FIELDS_VERSION)
		return err_set(err, ERR_USAGE, 0,
			       "%s: format version %lld, this program reads up to %d: use a newer "
			       "rollouts",
			       where, (long long)v, JSON_FIELDS_VERSION);
	return 0;
}
