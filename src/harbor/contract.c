/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harbor/contract.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/toml.h"
#include "harbor/schema.h"

struct reading {
	struct strv *issues, *notes, *unknown;
};

/* A document without its places: what is wrong is named by its key. */
static json_t *object_at(json_t *j, const char *key)
{
	json_t *v = json_object_get(j, key);

	return json_is_object(v) ? v : NULL;
}

static json_t *or_null(json_t *v)
{
	return v ? json_incref(v) : json_null();
}

/* KEY_sec of T as milliseconds. */
static void put_ms(json_t *to, const char *key, const json_t *t, const char *from, double fallback)
{
	const json_t *v = json_object_get(t, from);
	const double sec = json_is_number(v) ? json_number_value(v) : fallback;

	json_put_int(to, key, (int64_t)(sec * 1000 + 0.5));
}

static json_t *network_of(const struct reading *r, const json_t *t, const char *where)
{
	const json_t *mode = json_object_get(t, "network_mode"),
		     *hosts = json_object_get(t, "allowed_hosts"),
		     *internet = json_object_get(t, "allow_internet");
	const char *name = json_string_value(mode);

	if (!mode && !hosts && json_is_boolean(internet))
		name = json_is_true(internet) ? "public" : "no-network";
	if (hosts && (!name || strcmp(name, "allowlist")))
		strv_pushf(r->issues,
			   "task.toml: %s.allowed_hosts needs network_mode = \"allowlist\"", where);
	if (!name)
		return json_null();
	json_t *j = json_object();
	json_put_str(j, "mode", name);
	json_put(j, "hosts", hosts ? json_incref((json_t *)hosts) : json_array());
	return j;
}

/* "2G", "512M", "8K" of older tasks as MB; what is no text, as nothing. */
static void put_old_size(const struct reading *r, json_t *env, const json_t *t, const char *key,
			 const char *now)
{
	const json_t *old = json_object_get(t, key);
	const char *text = json_string_value(old);
	static const char units[] = "KMG";
	const double mb[] = {1.0 / 1024, 1, 1024};
	char *end = NULL;

	if (!text) {
		if (old)
			strv_pushf(r->notes,
				   "task.toml: environment.%s is a number without a unit and is "
				   "ignored: write %s",
				   key, now);
		return;
	}
	const double n = strtod(text, &end);
	const char *unit =
		end > text && *end && !end[1] ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (!unit || !(n > 0) || !*unit) {
		strv_pushf(r->issues, "task.toml: environment.%s = \"%s\" is no size (\"2G\")", key,
			   text);
		return;
	}
	const int64_t found = (int64_t)(n * mb[unit - units]);
	const json_t *given = json_object_get(t, now);
	if (json_is_number(given) && (int64_t)json_number_value(given) != found)
		strv_pushf(r->issues, "task.toml: environment.%s contradicts environment.%s", key,
			   now);
	json_put_int(env, now, found);
}

static json_t *health_of(const json_t *t)
{
	const json_t *retries = json_object_get(t, "retries");

	if (!json_is_object(t))
		return json_null();
	json_t *j = json_object();
	json_put_str(j, "command", json_get_str(t, "command", ""));
	put_ms(j, "interval_ms", t, "interval_sec", 5);
	put_ms(j, "timeout_ms", t, "timeout_sec", 30);
	put_ms(j, "start_period_ms", t, "start_period_sec", 0);
	put_ms(j, "start_interval_ms", t, "start_interval_sec", 5);
	json_put_int(j, "retries",
		     json_is_number(retries) ? (int64_t)json_number_value(retries) : 3);
	return j;
}

static json_t *environment_of(const struct reading *r, json_t *t, const char *where)
{
	static const char *const as_they_are[] = {"docker_image", "os",	  "cpus",    "memory_mb",
						  "storage_mb",	  "gpus", "workdir", "skills_dir"};
	json_t *j = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(as_they_are); i++)
		json_put(j, as_they_are[i], or_null(json_object_get(t, as_they_are[i])));
	put_ms(j, "build_timeout_ms", t, "build_timeout_sec", 600);
	json_put(j, "env", object_at(t, "env") ? json_incref(object_at(t, "env")) : json_object());
	put_old_size(r, j, t, "memory", "memory_mb");
	put_old_size(r, j, t, "storage", "storage_mb");
	json_t *network = network_of(r, t, where);
	json_put(j, "network",
		 json_is_null(network) ? json_pack("{s:s, s:[]}", "mode", "public", "hosts")
				       : json_incref(network));
	json_decref(network);
	json_put(j, "healthcheck", health_of(json_object_get(t, "healthcheck")));
	json_t *servers = json_object_get(t, "mcp_servers");
	json_put(j, "mcp_servers", servers ? json_incref(servers) : json_array());
	return j;
}

/* "app" and 1000 alike are text. */
static json_t *user_of(const json_t *t)
{
	const json_t *v = json_object_get(t, "user");

	if (json_is_integer(v)) {
		AUTO(free) char *text = xasprintf("%lld", (long long)json_integer_value(v));
		return json_string(text);
	}
	return json_is_string(v) ? json_incref((json_t *)v) : json_null();
}

static json_t *agent_of(const struct reading *r, const json_t *t, const char *where)
{
	json_t *j = json_object();

	if (json_is_number(json_object_get(t, "timeout_sec")))
		put_ms(j, "timeout_ms", t, "timeout_sec", 0);
	else
		json_put(j, "timeout_ms", json_null());
	json_put(j, "user", user_of(t));
	json_put(j, "network", network_of(r, t, where));
	return j;
}

static json_t *collect_of(const json_t *list)
{
	json_t *out = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)list, i, item) {
		json_t *j = json_object();
		json_put_str(j, "command", json_get_str(item, "command", ""));
		json_put_str(j, "service", json_get_str(item, "service", "main"));
		put_ms(j, "timeout_ms", item, "timeout_sec", 60);
		json_put(j, "user", user_of(item));
		json_array_append_new(out, j);
	}
	return out;
}

static json_t *verifier_of(const struct reading *r, json_t *t, const char *where)
{
	json_t *j = json_object(), *own = object_at(t, "environment");
	const char *mode = json_get_str(t, "environment_mode", NULL);

	put_ms(j, "timeout_ms", t, "timeout_sec", 600);
	json_put(j, "user", user_of(t));
	json_put(j, "network", network_of(r, t, where));
	json_put(j, "env", object_at(t, "env") ? json_incref(object_at(t, "env")) : json_object());
	if (mode && !strcmp(mode, "shared") && own)
		strv_pushf(r->issues,
			   "task.toml: %s.environment_mode = \"shared\" contradicts "
			   "[%s.environment]",
			   where, where);
	json_put(j, "separate",
		 mode || own ? json_boolean(!mode || !strcmp(mode, "separate")) : json_null());
	AUTO(free) char *below = xasprintf("%s.environment", where);
	json_put(j, "environment", own ? environment_of(r, own, below) : json_null());
	json_put(j, "collect", collect_of(json_object_get(t, "collect")));
	return j;
}

static json_t *artifacts_of(const struct reading *r, const json_t *list, const char *where)
{
	json_t *out = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)list, i, item) {
		const char *source = json_is_string(item) ? json_string_value(item)
							  : json_get_str(item, "source", "");
		const char *to = json_get_str(item, "destination", NULL);
		json_t *j = json_object();
		if (to && (!path_is_inside(to) || !strcmp(to, "manifest.json")))
			strv_pushf(r->issues,
				   "task.toml: %s: destination \"%s\" must be a relative path "
				   "without \"..\", and not manifest.json",
				   where, to);
		json_put_str(j, "source", source);
		json_put(j, "destination", to ? json_string(to) : json_null());
		json_put(j, "exclude",
			 json_is_array(json_object_get(item, "exclude"))
				 ? json_incref(json_object_get(item, "exclude"))
				 : json_array());
		json_put_str(j, "service", json_get_str(item, "service", "main"));
		json_array_append_new(out, j);
	}
	return out;
}

/* Of a folder below steps/ on any system. */
static const char *bad_step_name(const char *name)
{
	const size_t n = strlen(name);

	if (!n || n > 255 || strpbrk(name, "<>:\"/\\|?*") || !strcmp(name, ".") ||
	    !strcmp(name, ".."))
		return "is no name of a folder";
	if (name[n - 1] == '.' || name[n - 1] == ' ')
		return "ends in a dot or a space";
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < 0x20)
			return "has a control character";
	return NULL;
}

static json_t *steps_of(const struct reading *r, const json_t *list)
{
	json_t *out = json_array();
	json_t *t;
	size_t i;

	json_array_foreach ((json_t *)list, i, t) {
		const char *name = json_get_str(t, "name", "");
		const char *why = bad_step_name(name);
		json_t *j = json_object();
		for (size_t k = 0; k < i && !why; k++)
			if (!strcasecmp(name, json_get_str(json_array_get(out, k), "name", "")))
				why = "stands twice";
		if (why)
			strv_pushf(r->issues, "task.toml: steps[%zu].name: \"%s\" %s", i, name,
				   why);
		AUTO(free) char *agent = xasprintf("steps[%zu].agent", i);
		AUTO(free) char *verifier = xasprintf("steps[%zu].verifier", i);
		AUTO(free) char *artifacts = xasprintf("steps[%zu].artifacts", i);
		json_put_str(j, "name", name);
		json_put(j, "min_reward", or_null(json_object_get(t, "min_reward")));
		json_put(j, "artifacts",
			 artifacts_of(r, json_object_get(t, "artifacts"), artifacts));
		json_put(j, "agent", agent_of(r, object_at(t, "agent"), agent));
		json_put(j, "verifier", verifier_of(r, object_at(t, "verifier"), verifier));
		json_put(j, "healthcheck", health_of(json_object_get(t, "healthcheck")));
		json_array_append_new(out, j);
	}
	return out;
}

/* What a published task is called; others run under the name all the same. */
static void check_name(const struct reading *r, const char *name)
{
	const char *slash = strchr(name, '/');
	bool fine =
		slash && slash > name && slash[1] && !strchr(slash + 1, '/') && !strstr(name, "..");

	for (const char *c = name; *c && fine; c++)
		fine = isalnum((unsigned char)*c) ||
		       (c > name && c[-1] != '/' && strchr("._-", *c)) || c == slash;
	if (!fine)
		strv_pushf(r->notes,
			   "task.toml: task.name = \"%s\" is not of the form org/name; Harbor "
			   "itself refuses the task for it",
			   name);
}

static void add_tags(json_t *tags, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)list, i, item)
		if (json_is_string(item))
			json_array_append(tags, (json_t *)item);
}

static json_t *contract_of(const struct reading *r, json_t *doc)
{
	json_t *j = json_object(), *tags = json_array();
	json_t *task = object_at(doc, "task"), *metadata = object_at(doc, "metadata");
	const char *name = json_get_str(task, "name", NULL);
	json_t *env = object_at(object_at(doc, "solution"), "env");

	if (task && !name)
		strv_push(r->issues, "task.toml: [task] has no name");
	if (name)
		check_name(r, name);
	json_put(j, "name", name ? json_string(name) : json_null());
	const char *difficulty = json_get_str(metadata, "difficulty", NULL);
	json_put(j, "difficulty", difficulty ? json_string(difficulty) : json_null());
	add_tags(tags, json_object_get(metadata, "tags"));
	add_tags(tags, json_object_get(task, "keywords"));
	const char *category = json_get_str(metadata, "category", NULL);
	if (category)
		json_array_append_new(tags, json_string(category));
	json_put(j, "tags", tags);
	json_put_str(j, "strategy", json_get_str(doc, "multi_step_reward_strategy", "mean"));
	json_put(j, "artifacts", artifacts_of(r, json_object_get(doc, "artifacts"), "artifacts"));
	json_put(j, "agent", agent_of(r, object_at(doc, "agent"), "agent"));
	json_put(j, "verifier", verifier_of(r, object_at(doc, "verifier"), "verifier"));
	json_put(j, "solution", json_pack("{s:o}", "env", env ? json_incref(env) : json_object()));
	json_put(j, "environment", environment_of(r, object_at(doc, "environment"), "environment"));
	json_put(j, "steps", steps_of(r, json_object_get(doc, "steps")));
	return j;
}

json_t *harbor_contract_read(const char *text, size_t len, struct strv *issues, struct strv *notes,
			     struct strv *unknown)
{
	const struct reading r = {issues, notes, unknown};
	const size_t before = issues->n;
	struct toml_error where;
	struct toml_node *root = toml_parse(text, len, &where);

	if (!root) {
		strv_pushf(issues, "task.toml:%d:%d: %s", where.line, where.col, where.msg);
		return NULL;
	}
	AUTO(json) json_t *read = toml_to_json(root);
	toml_free(root);
	AUTO(json) json_t *doc = harbor_schema_check(read, issues, unknown);
	if (issues->n > before)
		return NULL;
	json_t *j = contract_of(&r, doc);
	if (issues->n == before)
		return j;
	json_decref(j);
	return NULL;
}

static bool is_canary(const char *line, size_t n)
{
	AUTO(free) char *text = NULL;

	while (n && isspace((unsigned char)*line))
		line++, n--;
	while (n && isspace((unsigned char)line[n - 1]))
		n--;
	text = xstrndup(line, n);
	return strcasestr(text, "canary") &&
	       (*text == '#' ||
		(n >= 7 && !strncmp(text, "<!--", 4) && !strcmp(text + n - 3, "-->")));
}

char *harbor_instruction(const char *text)
{
	const char *at = text;

	for (const char *end; *at; at = end + (*end == '\n')) {
		end = strchrnul(at, '\n');
		if (!is_canary(at, (size_t)(end - at)))
			break;
	}
	if (at > text)
		for (const char *end = at; *end && isspace((unsigned char)*end); end++)
			if (*end == '\n')
				at = end + 1;
	return xstrdup(at);
}
