/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/providers-file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "config/toml.h"
#include "core/api.h"

#define FILE_MAX_BYTES (1u << 20)
#define PRICE_MAX 1e6

struct reader {
	struct providers *p;
	const char *path;
	enum provider_origin origin;
	struct strv *issues;
};

static void complain(const struct reader *r, const struct toml_node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void complain(const struct reader *r, const struct toml_node *n, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	strv_pushf(r->issues, "%s:%d:%d: %s", r->path, n->line, n->col, text);
}

static bool expect(const struct reader *r, const struct toml_node *n, enum toml_kind kind)
{
	if (n->kind == kind)
		return true;
	complain(r, n, "%s must be %s, not %s", n->key ? n->key : "an item", toml_kind_name(kind),
		 toml_kind_name(n->kind));
	return false;
}

static bool is_plain(const char *text)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return false;
	return *text && strlen(text) <= 1024;
}

/* A string without control characters, or NULL with a complaint. */
static const char *plain(const struct reader *r, const struct toml_node *n)
{
	if (!expect(r, n, TOML_STRING))
		return NULL;
	if (is_plain(n->text))
		return n->text;
	complain(r, n, "%s must be 1 to 1024 bytes without control characters",
		 n->key ? n->key : "an item");
	return NULL;
}

/* One string or a list of them. */
static void take_strings(const struct reader *r, const struct toml_node *n, struct strv *out)
{
	size_t count = n->kind == TOML_ARRAY ? n->n : 1;
	const struct toml_node *items = n->kind == TOML_ARRAY ? n->items : n;

	if (!count)
		complain(r, n, "%s must not be an empty list", n->key);
	for (size_t i = 0; i < count; i++) {
		const char *text = plain(r, &items[i]);
		if (text)
			strv_push(out, text);
	}
}

static void unknown(const struct reader *r, const struct toml_node *n, const char *where,
		    const char *const *names)
{
	const char *near = text_nearest(n->key, names);

	strv_pushf(r->issues, "%s:%d:%d: unknown key \"%s\" in %s%s%s%s", r->path, n->key_line,
		   n->key_col, n->key, where, near ? " (did you mean \"" : "", near ? near : "",
		   near ? "\"?)" : "");
}

static void take_url(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	const char *url = plain(r, n), *host = url ? strstr(url, "://") : NULL;

	if (!url)
		return;
	if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) || !host[3] ||
	    strpbrk(url, "@?# \"\\")) {
		complain(
			r, n,
			"base_url must be http://HOST or https://HOST, with a path if need be, and "
			"hold no user, question mark or blank");
		return;
	}
	size_t len = strlen(url);
	while (url[len - 1] == '/')
		len--;
	free(v->base_url);
	v->base_url = xstrndup(url, len);
}

static bool is_name(const char *s, const char *more)
{
	if (!*s || strlen(s) > 64)
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
		      (*s >= '0' && *s <= '9') || strchr(more, *s)))
			return false;
	return true;
}

static void take_key_env(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	take_strings(r, n, &v->key_env);
	for (size_t i = 0; i < v->key_env.n; i++)
		if (!is_name(v->key_env.v[i], "_"))
			complain(r, n, "key_env must be the name of a variable, not a key");
}

static void take_command(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	const char *text = plain(r, n);

	if (r->origin != PROVIDER_USER) {
		complain(r, n,
			 "key_command may stand in your own configuration only "
			 "(~/.config/rollouts/providers.toml)");
		return;
	}
	free(v->key_command);
	v->key_command = xstrdup(text);
}

static void take_apis(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	take_strings(r, n, &v->apis);
	for (size_t i = 0; i < v->apis.n; i++)
		if (api_find(v->apis.v[i]) < 0)
			complain(r, n,
				 "apis: \"%s\" is not one of: responses, chat, anthropic, gemini",
				 v->apis.v[i]);
}

static void take_headers(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	if (!expect(r, n, TOML_TABLE))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const char *text = plain(r, &n->items[i]);
		if (!is_name(n->items[i].key, "-_"))
			complain(r, &n->items[i], "headers: \"%s\" is not the name of a header",
				 n->items[i].key);
		else if (text)
			kvs_set(&v->headers, n->items[i].key, text);
	}
}

static void take_paths(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	if (!expect(r, n, TOML_TABLE))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const char *text = plain(r, &n->items[i]);
		if (api_find(n->items[i].key) < 0)
			complain(r, &n->items[i],
				 "paths: \"%s\" is not one of: responses, chat, anthropic, gemini",
				 n->items[i].key);
		else if (text && (*text != '/' || strpbrk(text, " #\"\\")))
			complain(r, &n->items[i],
				 "paths: a path begins with \"/\" and holds no blank");
		else if (text)
			kvs_set(&v->paths, n->items[i].key, text);
	}
}

/* { header = "api-key" }, and where more than the key stands in it, value = "Token {key}". */
static char *auth_header(const struct reader *r, const struct toml_node *n)
{
	static const char *const names[] = {"header", "value", NULL};
	const char *header = NULL, *value = "{key}";

	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *item = &n->items[i];
		if (strcmp(item->key, "header") == 0)
			header = plain(r, item);
		else if (strcmp(item->key, "value") == 0)
			value = plain(r, item);
		else
			unknown(r, item, "auth", names);
	}
	if (!header || !is_name(header, "-_"))
		complain(r, n, "auth needs header, the name of one, such as \"api-key\"");
	else if (!value || !strstr(value, "{key}"))
		complain(r, n, "auth: value must hold {key}, such as \"Token {key}\"");
	else
		return xasprintf("%s: %s", header, value);
	return NULL;
}

static void take_auth(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	static const struct {
		const char *name, *header;
	} usual[] = {
		{"bearer", "Authorization: Bearer {key}"},
		{"x-api-key", "x-api-key: {key}"},
		{"x-goog-api-key", "x-goog-api-key: {key}"},
	};

	free(v->key_header);
	v->key_header = NULL;
	if (n->kind == TOML_TABLE) {
		v->key_header = auth_header(r, n);
		return;
	}
	for (size_t i = 0; n->kind == TOML_STRING && i < ARRAY_SIZE(usual); i++)
		if (strcmp(n->text, usual[i].name) == 0) {
			v->key_header = xstrdup(usual[i].header);
			return;
		}
	complain(
		r, n,
		"auth must be \"bearer\", \"x-api-key\", \"x-goog-api-key\" or the name of another "
		"header, as { header = \"api-key\" }");
}

static void take_key_ttl(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	if (!expect(r, n, TOML_INT))
		return;
	if (n->integer < 1 || n->integer > 365 * 86400)
		complain(r, n, "key_ttl_sec must be 1 to %d", 365 * 86400);
	else
		v->key_ttl_sec = n->integer;
}

static void take_anthropic_version(const struct reader *r, const struct toml_node *n,
				   struct provider *v)
{
	const char *text = plain(r, n);

	if (text && !is_name(text, "-_."))
		complain(r, n, "anthropic_version is a version such as \"vertex-2023-10-16\"");
	free(v->anthropic_version);
	v->anthropic_version = xstrdup(text);
}

static void take_probe(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	free(v->probe);
	v->probe = xstrdup(plain(r, n));
}

static void take_in_flight(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	if (!expect(r, n, TOML_INT))
		return;
	if (n->integer < 1 || n->integer > 10000)
		complain(r, n, "max_in_flight must be 1 to 10000");
	else
		v->max_in_flight = n->integer;
}

static const struct {
	const char *name;
	void (*take)(const struct reader *r, const struct toml_node *n, struct provider *v);
} provider_keys[] = {
	{"base_url", take_url},
	{"key_env", take_key_env},
	{"key_command", take_command},
	{"apis", take_apis},
	{"headers", take_headers},
	{"max_in_flight", take_in_flight},
	{"probe", take_probe},
	{"paths", take_paths},
	{"auth", take_auth},
	{"key_ttl_sec", take_key_ttl},
	{"anthropic_version", take_anthropic_version},
};

static void read_provider_key(const struct reader *r, const struct toml_node *n, struct provider *v)
{
	const char *names[ARRAY_SIZE(provider_keys) + 1] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(provider_keys); i++) {
		names[i] = provider_keys[i].name;
		if (strcmp(n->key, names[i]) == 0) {
			provider_keys[i].take(r, n, v);
			return;
		}
	}
	unknown(r, n, "a provider", names);
}

static void read_provider(const struct reader *r, const struct toml_node *n)
{
	struct providers *p = r->p;
	struct provider v = {.name = xstrdup(n->key),
			     .origin = r->origin,
			     .place = xasprintf("%s:%d:%d", r->path, n->line, n->col),
			     .folder = path_folder(r->path)};

	if (!is_name(n->key, "_-."))
		complain(r, n,
			 "\"%s\" cannot name a provider: letters, digits, \"_\", \"-\", \".\"",
			 n->key);
	if (expect(r, n, TOML_TABLE)) {
		for (size_t i = 0; i < n->n; i++)
			read_provider_key(r, &n->items[i], &v);
		if (!toml_get(n, "base_url"))
			complain(r, n, "provider \"%s\" has no base_url", n->key);
		if (!toml_get(n, "apis"))
			complain(r, n, "provider \"%s\" has no apis", n->key);
		if (v.key_ttl_sec && !toml_get(n, "key_command"))
			complain(r, toml_get(n, "key_ttl_sec"),
				 "key_ttl_sec goes with key_command, which prints the next key");
	}
	GROW(p->list, p->n, p->cap);
	p->list[p->n++] = v;
}

static double take_amount(const struct reader *r, const struct toml_node *n)
{
	if (n->kind != TOML_INT && n->kind != TOML_REAL)
		complain(r, n, "%s must be a number of USD per million tokens", n->key);
	else if (!(n->real >= 0 && n->real <= PRICE_MAX))
		complain(r, n, "%s must be 0 to %g", n->key, PRICE_MAX);
	else
		return n->real;
	return 0;
}

static void take_date(const struct reader *r, const struct toml_node *n, char out[PRICE_DATE])
{
	const char *date = plain(r, n);

	if (date && !price_date_is_valid(date))
		complain(r, n, "%s must be a date such as \"2026-11-01\"", n->key);
	else if (date)
		snprintf(out, PRICE_DATE, "%s", date);
}

static const char *const rate_names[] = {"input", "cached", "cache_write", "cache_write_1h",
					 "output"};

/* True: N is one of the amounts. */
static bool take_rate(const struct reader *r, const struct toml_node *n, struct price_rates *out)
{
	double *const to[] = {&out->input, &out->cached, &out->cache_write, &out->cache_write_1h,
			      &out->output};

	for (size_t i = 0; i < ARRAY_SIZE(rate_names); i++)
		if (strcmp(rate_names[i], n->key) == 0) {
			*to[i] = take_amount(r, n);
			return true;
		}
	return false;
}

static void complete_rates(const struct reader *r, const struct toml_node *n,
			   struct price_rates *out)
{
	if (out->input < 0 || out->output < 0)
		complain(r, n, "%s needs input and output", n->key);
	else
		price_rates_complete(out);
}

static const struct price_rates no_rates = {-1, -1, -1, -1, -1};

static void take_above(const struct reader *r, const struct toml_node *n, struct price *out)
{
	static const char *const names[] = {"tokens",	      "input",	"cached", "cache_write",
					    "cache_write_1h", "output", NULL};

	if (!expect(r, n, TOML_TABLE))
		return;
	out->above = no_rates;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *item = &n->items[i];
		if (strcmp(item->key, "tokens") == 0 && expect(r, item, TOML_INT))
			out->above_tokens = item->integer;
		else if (strcmp(item->key, "tokens") != 0 && !take_rate(r, item, &out->above))
			unknown(r, item, "above", names);
	}
	if (out->above_tokens < 1)
		complain(r, n,
			 "above needs tokens, the length of a prompt from which on it costs more");
	complete_rates(r, n, &out->above);
}

static void take_services(const struct reader *r, const struct toml_node *n, struct price *out)
{
	if (!expect(r, n, TOML_TABLE))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *item = &n->items[i];
		if ((item->kind != TOML_INT && item->kind != TOML_REAL) || !(item->real >= 0) ||
		    strlen(item->key) >= sizeof out->services->name ||
		    out->services_n == PRICE_SERVICES) {
			complain(r, item, "service: at most %d tiers, each a factor of the price",
				 PRICE_SERVICES);
			continue;
		}
		snprintf(out->services[out->services_n].name, sizeof out->services->name, "%s",
			 item->key);
		out->services[out->services_n++].factor = item->real;
	}
}

static void read_price(const struct reader *r, const struct toml_node *n, struct price *out)
{
	static const char *const names[] = {"input",  "cached", "cache_write", "cache_write_1h",
					    "output", "above",	"service",     "web_search",
					    "date",   "from",	"until",       NULL};

	if (!expect(r, n, TOML_TABLE))
		return;
	out->usual = no_rates;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *item = &n->items[i];
		if (take_rate(r, item, &out->usual))
			continue;
		if (strcmp(item->key, "above") == 0)
			take_above(r, item, out);
		else if (strcmp(item->key, "service") == 0)
			take_services(r, item, out);
		else if (strcmp(item->key, "web_search") == 0)
			out->search = take_amount(r, item);
		else if (strcmp(item->key, "date") == 0)
			take_date(r, item, out->date);
		else if (strcmp(item->key, "from") == 0)
			take_date(r, item, out->from);
		else if (strcmp(item->key, "until") == 0)
			take_date(r, item, out->until);
		else
			unknown(r, item, "a price", names);
	}
	complete_rates(r, n, &out->usual);
	out->known = out->usual.input >= 0 && out->usual.output >= 0;
}

static void read_rule(const struct reader *r, const struct toml_node *n)
{
	static const char *const names[] = {"match",	"provider",  "price",
					    "shutdown", "successor", NULL};
	AUTO(strv) struct strv globs = STRV_INIT;
	struct model_rule rule = {.origin = r->origin};
	const char *provider = NULL, *successor = NULL;

	if (!expect(r, n, TOML_TABLE))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *item = &n->items[i];
		if (strcmp(item->key, "match") == 0)
			take_strings(r, item, &globs);
		else if (strcmp(item->key, "provider") == 0)
			provider = plain(r, item);
		else if (strcmp(item->key, "price") == 0)
			read_price(r, item, &rule.price);
		else if (strcmp(item->key, "shutdown") == 0)
			take_date(r, item, rule.shutdown);
		else if (strcmp(item->key, "successor") == 0)
			successor = plain(r, item);
		else
			unknown(r, item, "[[models]]", names);
	}
	if (!toml_get(n, "match"))
		complain(r, n, "no match in this [[models]]: add match = \"name*\"");
	if (!toml_get(n, "provider"))
		complain(r, n, "no provider in this [[models]]");
	for (size_t i = 0; provider && i < globs.n; i++) {
		struct providers *p = r->p;
		GROW(p->rules, p->rules_n, p->rules_cap);
		struct model_rule *to = &p->rules[p->rules_n++];
		*to = rule;
		to->match = xstrdup(globs.v[i]);
		to->provider = xstrdup(provider);
		to->successor = successor ? xstrdup(successor) : NULL;
	}
}

static void read_alias(const struct reader *r, const struct toml_node *n)
{
	const char *to = plain(r, n);

	/* An earlier file's stays. */
	if (!to || kvs_get(&r->p->aliases, n->key))
		return;
	kvs_set(&r->p->aliases, n->key, to);
	if (r->origin != PROVIDER_SHIPPED)
		r->p->own_aliases = r->p->aliases.n;
}

static void read_each(const struct reader *r, const struct toml_node *n, enum toml_kind kind,
		      void (*take)(const struct reader *r, const struct toml_node *n))
{
	if (!expect(r, n, kind))
		return;
	for (size_t i = 0; i < n->n; i++)
		take(r, &n->items[i]);
}

static void read_root(const struct reader *r, const struct toml_node *root)
{
	static const struct {
		const char *key;
		enum toml_kind kind;
		void (*take)(const struct reader *r, const struct toml_node *n);
	} parts[] = {
		{"providers", TOML_TABLE, read_provider},
		{"models", TOML_ARRAY, read_rule},
		{"aliases", TOML_TABLE, read_alias},
	};
	const char *names[ARRAY_SIZE(parts) + 1] = {0};

	for (size_t k = 0; k < ARRAY_SIZE(parts); k++)
		names[k] = parts[k].key;
	for (size_t i = 0; i < root->n; i++) {
		size_t k = 0;
		while (k < ARRAY_SIZE(parts) && strcmp(parts[k].key, root->items[i].key) != 0)
			k++;
		if (k < ARRAY_SIZE(parts))
			read_each(r, &root->items[i], parts[k].kind, parts[k].take);
		else
			unknown(r, &root->items[i], "this file", names);
	}
}

int providers_file_read(struct providers *p, const char *path, enum provider_origin origin,
			struct strv *issues, struct err *err)
{
	const struct reader r = {p, path, origin, issues};
	AUTO(buf) struct buf text = BUF_INIT;
	struct toml_error where;
	size_t before = issues->n;
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || path_read_fd(fd, FILE_MAX_BYTES, &text, err)) {
		strv_pushf(issues, "%s: cannot be read: %s", path,
			   fd < 0 ? strerror(errno) : err->msg);
		return err_set(err, ERR_USAGE, 0, "%s: cannot be read", path);
	}
	struct toml_node *root = toml_parse(text.data, text.len, &where);
	if (!root)
		strv_pushf(issues, "%s:%d:%d: %s", path, where.line, where.col, where.msg);
	else
		read_root(&r, root);
	toml_free(root);
	return issues->n == before ? 0 : err_set(err, ERR_USAGE, 0, "%s: mistakes", path);
}
