/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/form.h"
#include <limits.h>
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

void form_copy(char *to, size_t size, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	if (n >= size)
		n = text_cut(s, size - 1);
	memcpy(to, s ? s : "", n);
	to[n] = '\0';
}

static void write_field(json_t *obj, const struct form_field *f, const void *p)
{
	switch (f->kind) {
	case FORM_INT:
		json_put_int(obj, f->key, *(const int *)p);
		break;
	case FORM_INT64:
		json_put_int(obj, f->key, *(const int64_t *)p);
		break;
	case FORM_REAL:
		json_put_real(obj, f->key, *(const double *)p);
		break;
	case FORM_BOOL:
		json_put_bool(obj, f->key, *(const bool *)p);
		break;
	case FORM_STR:
		json_put_str(obj, f->key, *(char *const *)p);
		break;
	case FORM_TEXT:
	case FORM_DIGEST:
		json_put_str(obj, f->key, p);
		break;
	case FORM_KNOWN64:
		if (*(const int64_t *)p >= 0)
			json_put_int(obj, f->key, *(const int64_t *)p);
		else
			json_put(obj, f->key, json_null());
		break;
	case FORM_KNOWN:
		if (*(const double *)p >= 0)
			json_put_real(obj, f->key, *(const double *)p);
		else
			json_put(obj, f->key, json_null());
		break;
	}
}

void form_write(json_t *obj, const void *base, const struct form_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		write_field(obj, &fields[i], (const char *)base + fields[i].offset);
}

static bool is_digest(const char *s)
{
	return !*s || (strlen(s) == HASH_HEX - 1 && strspn(s, "0123456789abcdef") == HASH_HEX - 1);
}

static bool read_integer(const struct form_field *f, void *p, const json_t *v)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return false;
	if (f->kind != FORM_INT) {
		*(int64_t *)p = n;
		return true;
	}
	if (n < INT_MIN || n > INT_MAX)
		return false;
	*(int *)p = (int)n;
	return true;
}

static bool read_string(const struct form_field *f, void *p, const json_t *v)
{
	const char *s = json_string_value(v);

	if (!s || (f->kind == FORM_DIGEST && !is_digest(s)))
		return false;
	if (f->kind == FORM_STR) {
		free(*(char **)p);
		*(char **)p = xstrdup(s);
	} else {
		form_copy(p, f->size, s);
	}
	return true;
}

static bool read_value(const struct form_field *f, void *p, const json_t *v)
{
	switch (f->kind) {
	case FORM_INT:
	case FORM_INT64:
	case FORM_KNOWN64:
		return read_integer(f, p, v);
	case FORM_REAL:
	case FORM_KNOWN:
		if (!json_is_number(v))
			return false;
		*(double *)p = json_number_value(v);
		return true;
	case FORM_BOOL:
		if (!json_is_boolean(v))
			return false;
		*(bool *)p = json_is_true(v);
		return true;
	case FORM_STR:
	case FORM_TEXT:
	case FORM_DIGEST:
		return read_string(f, p, v);
	}
	return false;
}

static void set_unknown(const struct form_field *f, void *p)
{
	if (f->kind == FORM_KNOWN64)
		*(int64_t *)p = -1;
	else if (f->kind == FORM_KNOWN)
		*(double *)p = -1;
}

int form_read(void *base, const struct form_field *fields, size_t n, const json_t *obj,
	      const char *where, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct form_field *f = &fields[i];
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

int form_check(const json_t *j, const char *where, struct err *err)
{
	int64_t v;

	if (!json_is_object(j))
		return err_set(err, ERR_USAGE, 0, "%s: not a JSON object", where);
	if (json_need_int(j, "v", where, &v, err))
		return -1;
	if (v < 1 || v > FORM_VERSION)
		return err_set(err, ERR_USAGE, 0,
			       "%s: format version %lld, this program reads up to %d: use a newer "
			       "rollouts",
			       where, (long long)v, FORM_VERSION);
	return 0;
}
