/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gateway/setup.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

enum { MAX_IN_FLIGHT = 256 };

static int refuse_others(const json_t *obj, const char *where, const char *const *known,
			 struct err *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(obj))
		return err_set(err, ERR_USAGE, 0, "%s: must be an object", where);
	json_object_foreach ((json_t *)obj, key, value) {
		const char *const *k = known;
		while (*k && strcmp(*k, key))
			k++;
		if (!*k)
			return err_set(err, ERR_USAGE, 0, "%s: unknown member \"%s\"", where, key);
	}
	return 0;
}
#define REFUSE_OTHERS(obj, where, err, ...)                                                        \
	refuse_others(obj, where, (const char *const[]){__VA_ARGS__, NULL}, err)

/* A whole number of at least MIN, or the default that *out holds. */
static int get_count(const json_t *obj, const char *key, const char *where, int64_t min,
		     int64_t *out, struct err *err)
{
	const json_t *v = json_object_get(obj, key);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < min)
		return err_set(err, ERR_USAGE, 0,
			       "%s: \"%s\" must be a whole number of at least %lld", where, key,
			       (long long)min);
	*out = json_integer_value(v);
	return 0;
}

/* Nothing that ends a header line may come into one. */
static bool is_header_text(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 32 || *s == 127)
			return false;
	return true;
}

/* The same key under two names, or in two places, is one: its quota is. */
static size_t add_key(struct upstream *p, const char *id, const char *key)
{
	size_t i = 0;

	while (i < p->keys_n && strcmp(p->keys[i].key, key))
		i++;
	if (i == p->keys_n)
		p->keys[p->keys_n++] = (struct provider_key){xstrdup(id), xstrdup(key)};
	return i;
}

static bool holds(const struct key_set *s, size_t key)
{
	for (size_t i = 0; i < s->keys_n; i++)
		if (s->keys[i] == key)
			return true;
	return false;
}

static int read_key_set(struct upstream *p, const char *task, const json_t *keys, const char *where,
			struct err *err)
{
	struct key_set *s = &p->sets[p->sets_n++];
	size_t i;
	json_t *k;

	if (keys && !json_is_array(keys))
		return err_set(err, ERR_USAGE, 0, "%s: keys must be a list", where);
	s->task = task ? xstrdup(task) : NULL;
	s->keys = xcalloc(json_array_size(keys) + 1, sizeof *s->keys);
	p->keys = xreallocarray(p->keys, p->keys_n + json_array_size(keys) + 1, sizeof *p->keys);
	json_array_foreach (keys, i, k) {
		const char *id, *key;
		if (REFUSE_OTHERS(k, where, err, "id", "key") ||
		    json_need_str(k, "id", where, &id, err) ||
		    json_need_str(k, "key", where, &key, err))
			return -1;
		if (!is_header_text(key) || !is_header_text(id))
			return err_set(err, ERR_USAGE, 0, "%s: key %zu holds a control character",
				       where, i);
		size_t at = add_key(p, id, key);
		if (!holds(s, at))
			s->keys[s->keys_n++] = at;
	}
	return 0;
}

static int read_keys(struct upstream *p, const json_t *j, const char *where, struct err *err)
{
	const json_t *tasks = json_object_get(j, "task_keys");
	const char *task;
	json_t *keys;

	p->sets = xcalloc(1 + json_object_size(tasks), sizeof *p->sets);
	if (read_key_set(p, NULL, json_object_get(j, "keys"), where, err))
		return -1;
	if (tasks && !json_is_object(tasks))
		return err_set(err, ERR_USAGE, 0, "%s: \"task_keys\" must be an object", where);
	json_object_foreach ((json_t *)tasks, task, keys)
		if (read_key_set(p, task, keys, where, err))
			return -1;
	if (!p->keys_n) /* the one lane that sends none */
		p->sets[0].keys_n = 1;
	return 0;
}

/* How the only key of everybody is got anew. */
static int read_key_command(struct upstream *p, const json_t *j, const char *where, struct err *err)
{
	const char *command;

	if (!j || json_is_null(j))
		return 0;
	if (REFUSE_OTHERS(j, where, err, "command", "env", "ttl_ms", "got_ms") ||
	    json_need_str(j, "command", where, &command, err) ||
	    get_count(j, "ttl_ms", where, 0, &p->key_ttl_ms, err) ||
	    get_count(j, "got_ms", where, 0, &p->key_got_ms, err))
		return -1;
	if (p->sets[0].keys_n != 1 || p->sets[0].keys[0])
		return err_set(err, ERR_USAGE, 0, "%s: \"key_command\" goes with one key", where);
	p->key_command = xstrdup(command);
	json_get_strv(j, "env", &p->key_command_env);
	return 0;
}

static int read_apis(struct upstream *p, const json_t *apis, const char *where, struct err *err)
{
	size_t i;
	json_t *a;

	json_array_foreach (apis, i, a) {
		int n = json_is_string(a) ? api_find(json_string_value(a)) : -1;
		if (n < 0)
			return err_set(err, ERR_USAGE, 0,
				       "%s: \"apis\" may list responses, chat, anthropic, gemini",
				       where);
		p->apis |= 1u << n;
	}
	if (!p->apis)
		return err_set(err, ERR_USAGE, 0, "%s: \"apis\" is missing or empty", where);
	return 0;
}

static int read_paths(struct upstream *p, const json_t *paths, const char *where, struct err *err)
{
	const char *name;
	json_t *value;

	if (paths && !json_is_object(paths))
		return err_set(err, ERR_USAGE, 0, "%s: \"paths\" must be an object", where);
	json_object_foreach ((json_t *)paths, name, value) {
		const char *text = json_string_value(value);
		int api = api_find(name);
		if (api < 0 || !text || *text != '/' || !is_header_text(text))
			return err_set(err, ERR_USAGE, 0, "%s: \"paths\" holds a bad one", where);
		p->paths[api] = xstrdup(text);
	}
	return 0;
}

static int read_headers(struct upstream *p, const json_t *headers, const char *where,
			struct err *err)
{
	const char *name;
	json_t *value;

	if (headers && !json_is_object(headers))
		return err_set(err, ERR_USAGE, 0, "%s: \"headers\" must be an object", where);
	json_object_foreach ((json_t *)headers, name, value) {
		const char *text = json_string_value(value);
		if (!text || !is_header_text(text) || !is_header_text(name) ||
		    strpbrk(name, ": ") || !*name)
			return err_set(err, ERR_USAGE, 0, "%s: \"headers\" holds a bad one", where);
		strv_pushf(&p->headers, "%s: %s", name, text);
	}
	return 0;
}

static int read_provider(struct upstream *p, const char *name, const json_t *j, struct err *err)
{
	char where[128];
	const char *url;
	int64_t in_flight = MAX_IN_FLIGHT;

	snprintf(where, sizeof where, "provider %.80s", name);
	p->name = xstrdup(name);
	if (REFUSE_OTHERS(j, where, err, "base_url", "apis", "keys", "task_keys", "headers",
			  "max_in_flight", "paths", "key_header", "key_command",
			  "anthropic_version") ||
	    json_need_str(j, "base_url", where, &url, err) ||
	    read_apis(p, json_object_get(j, "apis"), where, err) || read_keys(p, j, where, err) ||
	    read_key_command(p, json_object_get(j, "key_command"), where, err) ||
	    read_headers(p, json_object_get(j, "headers"), where, err) ||
	    read_paths(p, json_object_get(j, "paths"), where, err) ||
	    get_count(j, "max_in_flight", where, 1, &in_flight, err))
		return -1;
	if ((strncmp(url, "http://", 7) && strncmp(url, "https://", 8)) || !is_header_text(url))
		return err_set(err, ERR_USAGE, 0,
			       "%s: \"base_url\" must start with http:// or https://", where);
	const char *header = json_get_str(j, "key_header", NULL);
	if (header && (!is_header_text(header) || !strstr(header, "{key}")))
		return err_set(err, ERR_USAGE, 0, "%s: \"key_header\" holds no {key}", where);
	p->key_header = xstrdup(header);
	const char *version = json_get_str(j, "anthropic_version", NULL);
	if (version && (!is_header_text(version) || strpbrk(version, "\"\\")))
		return err_set(err, ERR_USAGE, 0, "%s: \"anthropic_version\" is a bad one", where);
	p->anthropic_version = xstrdup(version);
	p->base_url = xstrdup(url);
	for (size_t n = strlen(url); n && url[n - 1] == '/'; n--)
		p->base_url[n - 1] = '\0';
	p->max_in_flight = in_flight > 1000000 ? 1000000 : (int)in_flight;
	return 0;
}

static int read_providers(struct setup *d, const json_t *providers, struct err *err)
{
	const char *name;
	json_t *j;

	if (!json_is_object(providers))
		return err_set(err, ERR_USAGE, 0, "\"providers\" must be an object");
	d->providers = xcalloc(json_object_size(providers), sizeof *d->providers);
	json_object_foreach ((json_t *)providers, name, j)
		if (read_provider(&d->providers[d->providers_n++], name, j, err))
			return -1;
	return 0;
}

static int read_price(struct price *out, const json_t *j, const char *where, struct err *err)
{
	if (j && !json_is_null(j) &&
	    REFUSE_OTHERS(j, where, err, "input", "cached", "cache_write", "cache_write_1h",
			  "output", "above", "service", "web_search", "date", "from", "until"))
		return -1;
	return price_from_json(out, j, where, err);
}

static int read_models(struct setup *d, const json_t *models, struct err *err)
{
	size_t i;
	json_t *m;

	if (models && !json_is_array(models))
		return err_set(err, ERR_USAGE, 0, "\"models\" must be a list");
	d->models = xcalloc(json_array_size(models), sizeof *d->models);
	json_array_foreach (models, i, m) {
		char where[40];
		const char *match, *provider;
		struct model_route *r = &d->models[i];
		snprintf(where, sizeof where, "model %zu", i);
		if (REFUSE_OTHERS(m, where, err, "match", "provider", "price") ||
		    json_need_str(m, "match", where, &match, err) ||
		    json_need_str(m, "provider", where, &provider, err) ||
		    read_price(&r->price, json_object_get(m, "price"), where, err))
			return -1;
		r->provider = setup_provider(d, provider);
		if (!r->provider)
			return err_set(err, ERR_USAGE, 0, "%s: no provider \"%s\"", where,
				       provider);
		r->match = xstrdup(match);
		d->models_n = i + 1;
	}
	return 0;
}

static int read_limits(struct setup *d, const json_t *limits, struct err *err)
{
	d->stall_ms = 300000;
	d->connect_ms = 10000;
	d->shut_ms = 900000;
	d->body_bytes = 64 << 20;
	d->answer_bytes = 128 << 20;
	if (!limits)
		return 0;
	if (REFUSE_OTHERS(limits, "limits", err, "stall_ms", "connect_ms", "shut_ms", "body_bytes",
			  "answer_bytes") ||
	    get_count(limits, "stall_ms", "limits", 1, &d->stall_ms, err) ||
	    get_count(limits, "answer_bytes", "limits", 1, &d->answer_bytes, err) ||
	    get_count(limits, "connect_ms", "limits", 1, &d->connect_ms, err) ||
	    get_count(limits, "shut_ms", "limits", 0, &d->shut_ms, err))
		return -1;
	return get_count(limits, "body_bytes", "limits", 1, &d->body_bytes, err);
}

static int read_budget(struct setup_budget *b, const json_t *j, struct err *err)
{
	if (!j)
		return 0;
	if (REFUSE_OTHERS(j, "budget", err, "usd", "usd_spent", "tokens", "tokens_spent"))
		return -1;
	*b = (struct setup_budget){
		.usd = json_get_real(j, "usd", 0),
		.usd_spent = json_get_real(j, "usd_spent", 0),
		.tokens = json_get_int(j, "tokens", 0),
		.tokens_spent = json_get_int(j, "tokens_spent", 0),
	};
	if (!(b->usd >= 0) || !(b->usd_spent >= 0) || b->tokens < 0 || b->tokens_spent < 0)
		return err_set(err, ERR_USAGE, 0, "budget: a number is below 0");
	return 0;
}

int setup_read(struct setup *out, const json_t *j, struct err *err)
{
	int64_t v;

	*out = (struct setup){0};
	if (REFUSE_OTHERS(j, "document", err, "v", "secret", "control", "providers", "models",
			  "limits", "budget", "record") ||
	    json_need_int(j, "v", "document", &v, err))
		return -1;
	if (v != 1)
		return err_set(err, ERR_USAGE, 0, "document: version %lld, this program knows 1",
			       (long long)v);
	if (json_object_get(j, "secret")) {
		const char *secret;
		if (json_need_str(j, "secret", "document", &secret, err))
			return -1;
		out->secret = xstrdup(secret);
	}
	out->control = json_get_bool(j, "control", false);
	out->record = json_get_bool(j, "record", false);
	if (read_limits(out, json_object_get(j, "limits"), err) ||
	    read_budget(&out->budget, json_object_get(j, "budget"), err) ||
	    read_providers(out, json_object_get(j, "providers"), err))
		return -1;
	return read_models(out, json_object_get(j, "models"), err);
}

void setup_release(struct setup *d)
{
	for (size_t i = 0; i < d->providers_n; i++) {
		struct upstream *p = &d->providers[i];
		for (size_t k = 0; k < p->keys_n; k++) {
			free(p->keys[k].id);
			free(p->keys[k].key);
		}
		for (size_t k = 0; k < p->sets_n; k++) {
			free(p->sets[k].task);
			free(p->sets[k].keys);
		}
		free(p->keys);
		free(p->sets);
		free(p->name);
		free(p->base_url);
		free(p->key_header);
		free(p->anthropic_version);
		free(p->key_command);
		strv_release(&p->key_command_env);
		for (size_t k = 0; k < API_COUNT; k++)
			free(p->paths[k]);
		strv_release(&p->headers);
	}
	for (size_t i = 0; i < d->models_n; i++)
		free(d->models[i].match);
	free(d->providers);
	free(d->models);
	free(d->secret);
	*d = (struct setup){0};
}

const struct upstream *setup_provider(const struct setup *d, const char *name)
{
	for (size_t i = 0; i < d->providers_n; i++)
		if (strcmp(d->providers[i].name, name) == 0)
			return &d->providers[i];
	return NULL;
}

const struct key_set *setup_keys(const struct upstream *p, const char *task)
{
	for (size_t i = 1; i < p->sets_n; i++)
		if (strcmp(p->sets[i].task, task) == 0)
			return &p->sets[i];
	return &p->sets[0];
}

const struct model_route *setup_model(const struct setup *d, const char *model,
				      const struct upstream *provider)
{
	for (size_t i = 0; i < d->models_n; i++)
		if ((!provider || d->models[i].provider == provider) &&
		    text_glob(d->models[i].match, model))
			return &d->models[i];
	return NULL;
}
