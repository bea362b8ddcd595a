/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One small call with each key there is, through a gateway process of its own, as agents would make it.
 */
#include <fcntl.h>
#include <strings.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "doctor/check.h"
#include "gatewaylink/process.h"
#include "model/conversation.h"
#include "model/endpoint.h"
#include "rollout/gateway-document.h"
#include "rollout/keys.h"

enum { CALL_MS = 60000 };

/* "requests 99/100, tokens 9000/10000": what the provider says is left, in its own words. */
static void add_quota(struct buf *out, const char *head)
{
	for (const char *line = head; line && *line; line = strstr(line, "\r\n")) {
		line += *line == '\r' ? 2 : 0;
		size_t n = strcspn(line, "\r\n");
		AUTO(free) char *name = xstrndup(line, n);
		bool quota = !strncasecmp(name, "x-ratelimit-", 12) ||
			     !strncasecmp(name, "anthropic-ratelimit-", 20);
		if (quota && strcasestr(name, "remaining") && out->len < 400)
			buf_addf(out, ", %s", name + (*name == 'x' || *name == 'X' ? 12 : 20));
	}
}

/* What a provider says of an error, or the beginning of whatever it says. */
static void add_error(struct buf *out, const char *body)
{
	const char *open = strchr(body, '{');
	AUTO(json) json_t *j = open ? json_loads(open, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
	const json_t *error = json_object_get(j, "error");
	const char *text = json_get_str(error, "message", json_string_value(error));

	buf_addf(out, ": %.200s", text ? text : body);
}

static void judge(struct checks *c, const struct provider *v, const char *name, const char *model,
		  const struct http_answer *a)
{
	AUTO(buf) struct buf text = BUF_INIT;

	buf_addf(&text, "%s: %d at ", model, a->status);
	endpoint_url_of(&text, v->base_url, kvs_get(&v->paths, v->apis.v[0]),
			(enum api)api_find(v->apis.v[0]), model);
	if (a->status != 200) {
		add_error(&text, a->body.data);
		check_add(c, CHECK_FAILED, name, NULL, "%s", text.data);
		return;
	}
	add_quota(&text, a->head.data);
	check_add(c, CHECK_OK, name, NULL, "%s", text.data);
}

static void drop_note(void *arg, const char *text)
{
}

static json_t *document(const struct provider *v, const json_t *key)
{
	json_t *doc = json_object(), *providers = json_object(), *models = json_array();
	json_t *keys = json_array();

	if (key)
		json_array_append(keys, (json_t *)key);
	json_put(providers, v->name, gateway_document_provider(v, keys));
	json_array_append_new(
		models, json_pack("{s:s,s:s,s:n}", "match", "*", "provider", v->name, "price"));
	json_put_int(doc, "v", 1);
	json_put_bool(doc, "control", false);
	json_put(doc, "limits", json_pack("{s:i,s:i}", "shut_ms", 3000, "stall_ms", 30000));
	json_put(doc, "providers", providers);
	json_put(doc, "models", models);
	return doc;
}

/* The least that a model answers. */
static int ask(int dir_fd, enum api api, const char *model, struct http_answer *out,
	       struct err *err)
{
	AUTO(fd) int sock = openat(dir_fd, ROLLOUT_GATEWAY_SOCKET, O_PATH | O_CLOEXEC);
	const struct model_client client = {.socket_fd = sock,
					    .deadline_ms = clock_mono_ms() + CALL_MS,
					    .news_fd = -1,
					    .cancel_fds = {-1, -1}};
	struct conversation talk = {.dialect = dialects[api],
				    .model = model,
				    .max_output = 16,
				    .plain = true,
				    .history = json_array()};

	conversation_say(&talk, "Say OK.");
	int rc = conversation_post(&talk, &client, out, err);
	conversation_release(&talk);
	if (!rc && out->late)
		return err_set(err, ERR_LIMIT, 0, "no answer in %d s", CALL_MS / 1000);
	return rc;
}

static int ask_with(struct checks *c, const struct provider *v, const json_t *key,
		    const char *model, struct http_answer *out, struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-gateway");
	AUTO(json) json_t *doc = document(v, key);
	struct gateway_process *p = NULL;
	const struct gateway_spec spec = {.program = program,
					  .dir_fd = c->scratch,
					  .log_fd = STDERR_FILENO,
					  .document = doc,
					  .note = drop_note};

	if (gateway_process_start(&p, &spec, err))
		return -1;
	/* Its name was checked as the file was read. */
	int rc = ask(c->scratch, (enum api)api_find(v->apis.v[0]), model, out, err);
	gateway_process_stop(p);
	return rc;
}

/* A model of V by which a key can be tried: what the file says, else a rule that names one. */
static const char *probe_of(const struct providers *p, const struct provider *v)
{
	for (size_t i = 0; !v->probe && i < p->rules_n; i++)
		if (!strcmp(p->rules[i].provider, v->name) && !strpbrk(p->rules[i].match, "*?["))
			return p->rules[i].match;
	return v->probe;
}

static void check_key(struct checks *c, const struct providers *p, const struct provider *v,
		      const json_t *key)
{
	AUTO(free)
	char *name = xasprintf("%s %s", v->name, key ? json_get_str(key, "id", "") : "(no key)");
	AUTO(http_answer) struct http_answer answer = HTTP_ANSWER_INIT;
	const char *model = probe_of(p, v);
	struct err err;

	if (!model)
		check_add(c, CHECK_LESS, name, "name one: probe = \"MODEL\" in its providers.toml",
			  "not tried: no model to ask is known");
	else if (ask_with(c, v, key, model, &answer, &err))
		check_add(c, CHECK_FAILED, name, NULL, "%s: %s", model, err.msg);
	else
		judge(c, v, name, model, &answer);
}

void check_models(struct checks *c)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(strv) struct strv files = STRV_INIT;
	AUTO(providers) struct providers p = {0};
	struct err err;

	keys_env_files(&files, NULL);
	if (providers_load(&p, NULL, &problems, &err))
		for (size_t i = 0; i < problems.n; i++)
			check_add(c, CHECK_FAILED, "providers", NULL, "%s", problems.v[i]);
	for (size_t i = 0; i < p.n && !problems.n; i++) {
		const struct provider *v = &p.list[i];
		AUTO(json) json_t *keys = keys_of_provider(v, &files, &err);
		if (providers_find(&p, v->name) != v)
			continue; /* hidden by one of an earlier file */
		if (!keys)
			check_add(c, CHECK_LESS, v->name, NULL, "%s", err.msg);
		for (size_t k = 0; k < json_array_size(keys); k++)
			check_key(c, &p, v, json_array_get(keys, k));
		if (keys && !json_array_size(keys))
			check_key(c, &p, v, NULL);
	}
}
