/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harbor/schema.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

enum kind {
	KIND_ANY,
	KIND_TEXT,
	KIND_NUMBER,
	KIND_WHOLE,
	KIND_BOOL,
	KIND_TEXTS,
	KIND_ENV,  /* table of texts */
	KIND_USER, /* text or whole number */
	KIND_CHOICE,
	KIND_ARTIFACTS, /* texts or tables */
	KIND_GATE,	/* number or table of numbers */
	KIND_TABLE,
	KIND_TABLES,
};

struct field {
	const char *key;
	enum kind kind;
	bool required;
	const char *choices;	    /* "a|b"; compared without case */
	const struct field *fields; /* of a table */
};

#define NETWORK                                                                                    \
	{"network_mode", KIND_CHOICE, .choices = "public|no-network|allowlist"},                   \
	{                                                                                          \
		"allowed_hosts", KIND_TEXTS                                                        \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, KIND_ANY                                                                     \
	}

static const struct field task[] = {{"name", KIND_TEXT, .required = true},
				    {"version", KIND_TEXT},
				    {"description", KIND_TEXT},
				    {"authors", KIND_ANY},
				    {"keywords", KIND_TEXTS},
				    END};
static const struct field agent[] = {
	{"timeout_sec", KIND_NUMBER}, {"user", KIND_USER}, NETWORK, END};
static const struct field health[] = {{"command", KIND_TEXT, .required = true},
				      {"interval_sec", KIND_NUMBER},
				      {"timeout_sec", KIND_NUMBER},
				      {"start_period_sec", KIND_NUMBER},
				      {"start_interval_sec", KIND_NUMBER},
				      {"retries", KIND_WHOLE},
				      END};
static const struct field server[] = {
	{"name", KIND_TEXT, .required = true},
	{"transport", KIND_CHOICE, .choices = "sse|streamable-http|http|stdio"},
	{"url", KIND_TEXT},
	{"command", KIND_TEXT},
	{"args", KIND_TEXTS},
	{"headers", KIND_ENV},
	END};
static const struct field environment[] = {{"docker_image", KIND_TEXT},
					   {"build_timeout_sec", KIND_NUMBER},
					   {"os", KIND_CHOICE, .choices = "linux|windows"},
					   {"cpus", KIND_NUMBER},
					   {"memory_mb", KIND_WHOLE},
					   {"storage_mb", KIND_WHOLE},
					   {"gpus", KIND_WHOLE},
					   {"gpu_types", KIND_ANY},
					   {"tpu", KIND_ANY},
					   {"env", KIND_ENV},
					   {"workdir", KIND_TEXT},
					   {"skills_dir", KIND_TEXT},
					   NETWORK,
					   {"allow_internet", KIND_BOOL},
					   {"memory", KIND_ANY},
					   {"storage", KIND_ANY},
					   {"healthcheck", KIND_TABLE, .fields = health},
					   {"mcp_servers", KIND_TABLES, .fields = server},
					   END};
static const struct field collect[] = {{"command", KIND_TEXT, .required = true},
				       {"service", KIND_TEXT},
				       {"timeout_sec", KIND_NUMBER},
				       {"user", KIND_USER},
				       END};
static const struct field verifier[] = {
	{"timeout_sec", KIND_NUMBER},
	{"env", KIND_ENV},
	{"user", KIND_USER},
	NETWORK,
	{"environment_mode", KIND_CHOICE, .choices = "shared|separate"},
	{"environment", KIND_TABLE, .fields = environment},
	{"collect", KIND_TABLES, .fields = collect},
	END};
static const struct field solution[] = {{"env", KIND_ENV}, END};
static const struct field step[] = {{"name", KIND_TEXT, .required = true},
				    {"min_reward", KIND_GATE},
				    {"artifacts", KIND_ARTIFACTS},
				    {"agent", KIND_TABLE, .fields = agent},
				    {"verifier", KIND_TABLE, .fields = verifier},
				    {"healthcheck", KIND_TABLE, .fields = health},
				    END};
static const struct field artifact[] = {{"source", KIND_TEXT, .required = true},
					{"destination", KIND_TEXT},
					{"exclude", KIND_TEXTS},
					{"service", KIND_TEXT},
					END};
static const struct field document[] = {
	{"schema_version", KIND_TEXT},
	{"version", KIND_ANY},
	{"source", KIND_TEXT},
	{"multi_step_reward_strategy", KIND_CHOICE, .choices = "mean|final"},
	{"multi_step_reward_mode", KIND_ANY},
	{"artifacts", KIND_ARTIFACTS},
	{"task", KIND_TABLE, .fields = task},
	{"metadata", KIND_ANY},
	{"agent", KIND_TABLE, .fields = agent},
	{"verifier", KIND_TABLE, .fields = verifier},
	{"solution", KIND_TABLE, .fields = solution},
	{"environment", KIND_TABLE, .fields = environment},
	{"steps", KIND_TABLES, .fields = step},
	END};

struct check {
	struct strv *issues, *unknown;
};

static json_t *check_table(const struct check *c, const json_t *t, const struct field *fields,
			   const char *where);

static void wrong(const struct check *c, const char *where, const char *what)
{
	strv_pushf(c->issues, "task.toml: %s must be %s", where, what);
}

/* A number, also where it stands as text. NULL: it is none. */
static json_t *number(const json_t *v, bool whole)
{
	const char *text = json_string_value(v);
	char *end = NULL;
	double n = json_number_value(v);

	if (text) {
		n = strtod(text, &end);
		if (end == text || *end)
			return NULL;
	} else if (!json_is_number(v)) {
		return NULL;
	}
	if (!isfinite(n) || n < 0 || n > 1e12 || (whole && n != floor(n)))
		return NULL;
	return n == floor(n) ? json_integer((json_int_t)n) : json_real(n);
}

static bool all_texts(const json_t *v)
{
	const json_t *item;
	const char *key;
	size_t i;

	if (json_is_object(v)) {
		json_object_foreach ((json_t *)v, key, item)
			if (!json_is_string(item))
				return false;
		return true;
	}
	json_array_foreach ((json_t *)v, i, item)
		if (!json_is_string(item))
			return false;
	return json_is_array(v);
}

/* The choice that V is, as the schema writes it. */
static json_t *choice(const char *choices, const json_t *v)
{
	const char *text = json_string_value(v);

	for (const char *at = choices; text && *at;) {
		const size_t n = strcspn(at, "|");
		if (strlen(text) == n && !strncasecmp(at, text, n))
			return json_stringn(at, n);
		at += n + (at[n] == '|');
	}
	return NULL;
}

static bool is_gate(const json_t *v)
{
	const json_t *item;
	const char *key;

	if (json_is_number(v))
		return true;
	json_object_foreach ((json_t *)v, key, item)
		if (!json_is_number(item))
			return false;
	return json_is_object(v);
}

static json_t *check_list(const struct check *c, const json_t *list, const struct field *fields,
			  bool or_text, const char *where)
{
	json_t *out = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)list, i, item) {
		AUTO(free) char *place = xasprintf("%s[%zu]", where, i);
		if (json_is_object(item))
			json_array_append_new(out, check_table(c, item, fields, place));
		else if (or_text && json_is_string(item))
			json_array_append(out, (json_t *)item);
		else
			wrong(c, place, or_text ? "a string or a table" : "a table");
	}
	return out;
}

static json_t *check_value(const struct check *c, const json_t *v, const struct field *f,
			   const char *where)
{
	json_t *own = (json_t *)v, *made = NULL;

	switch (f->kind) {
	case KIND_ANY:
		return json_incref(own);
	case KIND_TEXT:
		if (json_is_string(v))
			return json_incref(own);
		wrong(c, where, "a string");
		return NULL;
	case KIND_NUMBER:
	case KIND_WHOLE:
		made = number(v, f->kind == KIND_WHOLE);
		if (!made)
			wrong(c, where,
			      f->kind == KIND_WHOLE ? "a whole number, not negative"
						    : "a number, not negative");
		return made;
	case KIND_BOOL:
		if (json_is_boolean(v))
			return json_incref(own);
		wrong(c, where, "true or false");
		return NULL;
	case KIND_TEXTS:
	case KIND_ENV:
		if ((f->kind == KIND_ENV) == json_is_object(v) && all_texts(v))
			return json_incref(own);
		wrong(c, where, f->kind == KIND_ENV ? "a table of strings" : "a list of strings");
		return NULL;
	case KIND_USER:
		if (json_is_string(v) || json_is_integer(v))
			return json_incref(own);
		wrong(c, where, "a user's name or number");
		return NULL;
	case KIND_CHOICE:
		made = choice(f->choices, v);
		if (!made)
			strv_pushf(c->issues, "task.toml: %s must be one of %s", where, f->choices);
		return made;
	case KIND_GATE:
		if (is_gate(v))
			return json_incref(own);
		wrong(c, where, "a number or a table of numbers");
		return NULL;
	case KIND_TABLE:
		if (json_is_object(v))
			return check_table(c, v, f->fields, where);
		wrong(c, where, "a table");
		return NULL;
	case KIND_TABLES:
	case KIND_ARTIFACTS:
		if (json_is_array(v))
			return check_list(c, v, f->kind == KIND_TABLES ? f->fields : artifact,
					  f->kind == KIND_ARTIFACTS, where);
		wrong(c, where, "a list");
	}
	return NULL;
}

static json_t *check_table(const struct check *c, const json_t *t, const struct field *fields,
			   const char *where)
{
	json_t *out = json_object();
	const json_t *v;
	const char *key;

	json_object_foreach ((json_t *)t, key, v) {
		AUTO(free) char *place = *where ? xasprintf("%s.%s", where, key) : xstrdup(key);
		const struct field *f = fields;
		while (f->key && strcmp(f->key, key) != 0)
			f++;
		if (!f->key) {
			strv_push(c->unknown, place);
			continue;
		}
		json_t *checked = check_value(c, v, f, place);
		if (checked)
			json_object_set_new(out, key, checked);
	}
	for (const struct field *f = fields; f->key; f++)
		if (f->required && !json_object_get(t, f->key))
			strv_pushf(c->issues, "task.toml: %s.%s is missing", where, f->key);
	return out;
}

json_t *harbor_schema_check(const json_t *doc, struct strv *issues, struct strv *unknown)
{
	const struct check c = {issues, unknown};

	return check_table(&c, doc, document, "");
}
