/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fnmatch.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "core/kv.h"

static struct kv *kvs_find(const struct kvs *s, const char *key)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].key, key))
			return &s->v[i];
	return NULL;
}

void kvs_set(struct kvs *s, const char *key, const char *value)
{
	struct kv *kv = kvs_find(s, key);
	if (!kv) {
		GROW(s->v, s->n, s->cap);
		s->v[s->n++] = (struct kv){xstrdup(key), xstrdup(value)};
		return;
	}
	/* Copied first: VALUE may be the very text it replaces. */
	char *old = kv->value;
	kv->value = xstrdup(value);
	free(old);
}

const char *kvs_get(const struct kvs *s, const char *key)
{
	const struct kv *kv = kvs_find(s, key);
	return kv ? kv->value : NULL;
}

void kvs_copy(struct kvs *to, const struct kvs *from)
{
	for (size_t i = 0; i < from->n; i++)
		kvs_set(to, from->v[i].key, from->v[i].value);
}

bool kvs_equal(const struct kvs *a, const struct kvs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const char *other = kvs_get(b, a->v[i].key);
		if (!other || strcmp(other, a->v[i].value) != 0)
			return false;
	}
	return true;
}

void kvs_release(struct kvs *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].key);
		free(s->v[i].value);
	}
	free(s->v);
	*s = (struct kvs)KVS_INIT;
}

json_t *kvs_to_json(const struct kvs *s)
{
	json_t *obj = json_object();
	for (size_t i = 0; i < s->n; i++)
		if (!kv_is_secret(s->v[i].key))
			json_put_str(obj, s->v[i].key, s->v[i].value);
	return obj;
}

void kvs_from_json(struct kvs *s, const json_t *obj)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)obj, key, value)
		if (json_is_string(value))
			kvs_set(s, key, json_string_value(value));
}

/* Upper case or lower: some tools read openai_api_key as well. */
static const char *const secret_names[] = {
	"API_KEY",
	"*_API_KEY*",
	"*APIKEY*",
	"TOKEN",
	"*_TOKEN",
	"SECRET*",
	"*_SECRET*",
	"*PASSWORD*",
	"*_PASS*",
	"*_PWD",
	"*_PAT",
	"*_AUTH",
	"*_SK",
	"*JWT*",
	"*DATABASE_URL",
	"*CREDENTIAL*",
	"*_ACCESS_KEY*",
	"*PRIVATE*",
	"*_CONNECTION_STRING",
	"AWS_*",
	"OPENAI_*KEY*",
	"AZURE_*KEY*",
	"ANTHROPIC_*KEY*",
	"GEMINI_*KEY*",
	"GOOGLE_*KEY*",
	"GROQ_*KEY*",
	"MISTRAL_*KEY*",
	"OPENROUTER_*KEY*",
	"DEEPSEEK_*KEY*",
};

bool kv_is_secret(const char *name)
{
	if (strstr(name, "GOPRIVATE")) /* names of modules */
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(secret_names); i++)
		if (!fnmatch(secret_names[i], name, FNM_CASEFOLD))
			return true;
	return false;
}
