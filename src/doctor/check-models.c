/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One small call with each key there is, through a gateway process of its own, as agents would make it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
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
#include "os/fdio.h"
#include "rollout/gateway-document.h"
#include "rollout/keys.h"

enum {
	CALL_MS = 60000,
	ANSWER_MAX = 256 << 10,
};

/* The least that a dialect answers. */
static const struct ask {
	const char *api, *path, *headers, *body;
} asks[] = {
	{"responses", "/v1/responses", "",
	 "{\"model\":%s,\"input\":\"Say OK.\",\"max_output_tokens\":16}"},
	{"chat", "/v1/chat/completions", "",
	 "{\"model\":%s,\"messages\":[{\"role\":\"user\",\"content\":\"Say OK.\"}],"
	 "\"max_completion_tokens\":16}"},
	{"anthropic", "/v1/messages", "anthropic-version: 2023-06-01\r\n",
	 "{\"model\":%s,\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"Say "
	 "OK.\"}]}"},
	{"gemini", "/v1beta/models/%s:generateContent", "",
	 "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Say OK.\"}]}],"
	 "\"generationConfig\":{\"maxOutputTokens\":1}}"},
};

static void make_request(struct buf *out, const struct ask *ask, const char *model)
{
	AUTO(json) json_t *name = json_string(model);
	AUTO(buf) struct buf quoted = BUF_INIT, body = BUF_INIT, path = BUF_INIT;
	const char *hole = strstr(ask->path, "%s"), *gap = strstr(ask->body, "%s");
	AUTO(json) json_t *list = json_pack("[O]", name);

	json_format(&quoted, list, false);
	buf_add(&path, ask->path, hole ? (size_t)(hole - ask->path) : strlen(ask->path));
	if (hole)
		buf_addf(&path, "%s%s", model, hole + 2);
	buf_add(&body, ask->body, gap ? (size_t)(gap - ask->body) : strlen(ask->body));
	if (gap) {
		buf_add(&body, quoted.data + 1, quoted.len - 2);
		buf_adds(&body, gap + 2);
	}
	buf_addf(out,
		 "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
		 "application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
		 path.data, ask->headers, body.len, body.data);
}

static int connect_to(int dir_fd, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	AUTO(fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/" ROLLOUT_GATEWAY_SOCKET,
		 dir_fd);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof at))
		return err_set(err, ERR_INFRA, errno, "reach the gateway");
	return fd_steal(&fd);
}

static int call(int dir_fd, const struct buf *request, struct buf *answer, struct err *err)
{
	int64_t deadline = clock_mono_ms() + CALL_MS;
	AUTO(fd) int fd = connect_to(dir_fd, err);
	ssize_t n = 1;

	if (fd < 0)
		return -1;
	if (send(fd, request->data, request->len, MSG_NOSIGNAL) != (ssize_t)request->len)
		return err_set(err, ERR_INFRA, errno, "ask the gateway");
	while (n > 0 && answer->len < ANSWER_MAX) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, fd_poll_ms(deadline)) == 0)
			return err_set(err, ERR_LIMIT, 0, "no answer in %d s", CALL_MS / 1000);
		buf_grow(answer, 4096);
		n = read(fd, answer->data + answer->len, 4096);
		answer->len += n > 0 ? (size_t)n : 0;
		answer->data[answer->len] = '\0';
	}
	return 0;
}

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

static void judge(struct checks *c, const char *name, const char *model, const char *answer)
{
	const char *body = strstr(answer, "\r\n\r\n");
	AUTO(buf) struct buf text = BUF_INIT;
	int status = !strncmp(answer, "HTTP/1.", 7) ? (int)strtol(answer + 8, NULL, 10) : 0;

	buf_addf(&text, "%s: %d", model, status);
	if (status != 200) {
		add_error(&text, body ? body + 4 : "no answer");
		check_add(c, CHECK_FAILED, name, NULL, "%s", text.data);
		return;
	}
	AUTO(free) char *head = xstrndup(answer, body ? (size_t)(body - answer) : strlen(answer));
	add_quota(&text, head);
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

static int ask_with(struct checks *c, const struct provider *v, const json_t *key,
		    const char *model, struct buf *answer, struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-gateway");
	AUTO(json) json_t *doc = document(v, key);
	AUTO(buf) struct buf request = BUF_INIT;
	struct gateway_process *p = NULL;
	const struct gateway_spec spec = {.program = program,
					  .dir_fd = c->scratch,
					  .log_fd = STDERR_FILENO,
					  .document = doc,
					  .note = drop_note};

	for (size_t i = 0; i < ARRAY_SIZE(asks); i++)
		if (!strcmp(asks[i].api, v->apis.v[0]))
			make_request(&request, &asks[i], model);
	int rc = gateway_process_start(&p, &spec, err);
	if (!rc)
		rc = call(c->scratch, &request, answer, err);
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
	AUTO(buf) struct buf answer = BUF_INIT;
	const char *model = probe_of(p, v);
	struct err err;

	if (!model)
		check_add(c, CHECK_LESS, name, "name one: probe = \"MODEL\" in its providers.toml",
			  "not tried: no model to ask is known");
	else if (ask_with(c, v, key, model, &answer, &err))
		check_add(c, CHECK_FAILED, name, NULL, "%s: %s", model, err.msg);
	else
		judge(c, name, model, answer.data);
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
