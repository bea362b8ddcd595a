/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/http.h"
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#define ANSWER_MAX (16 << 20)
#define OLDEST_API "1.24"
#define NEWEST_API "1.43" /* what this code was written against; a newer engine still speaks it */

struct engine {
	CURL *curl;
	char *socket, *about;
	char version[16]; /* "v1.41", or "" before it is known */
};

struct answer {
	struct buf *out; /* NULL: dropped */
	bool too_long;
};

static size_t take(char *data, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;

	if (!a->out)
		return size * n;
	if (a->out->len + size * n > ANSWER_MAX) {
		a->too_long = true;
		return 0;
	}
	buf_add(a->out, data, size * n);
	return size * n;
}

static int explain(const struct engine *e, CURLcode code, const struct answer *a, struct err *err)
{
	if (a->too_long)
		err_set(err, ERR_INFRA, 0, "the engine at %s said more than %d MB", e->socket,
			ANSWER_MAX >> 20);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		err_set(err, ERR_INFRA, 0, "the engine at %s does not answer", e->socket);
	else
		err_set(err, ERR_INFRA, 0, "no engine answers at %s: %s", e->socket,
			curl_easy_strerror(code));
	err->retry = true;
	return -1;
}

int engine_call(struct engine *e, const char *method, const char *path, const json_t *body,
		int64_t timeout_ms, long *status, struct buf *out, struct err *err)
{
	AUTO(free) char *url = xasprintf("http://engine%s%s%s", *e->version ? "/" : "", e->version, path);
	AUTO(buf) struct buf text = BUF_INIT;
	struct answer a = {.out = out};
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");

	headers = curl_slist_append(headers, "Expect:");
	if (body)
		json_format(&text, body, false);
	curl_easy_reset(e->curl);
	curl_easy_setopt(e->curl, CURLOPT_UNIX_SOCKET_PATH, e->socket);
	curl_easy_setopt(e->curl, CURLOPT_URL, url);
	curl_easy_setopt(e->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(e->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e->curl, CURLOPT_NOBODY, strcmp(method, "HEAD") ? 0L : 1L);
	curl_easy_setopt(e->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(e->curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	curl_easy_setopt(e->curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, &a);
	if (body || !strcmp(method, "POST")) {
		curl_easy_setopt(e->curl, CURLOPT_POSTFIELDSIZE, (long)text.len);
		curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, text.data);
		curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, headers);
	}
	CURLcode code = curl_easy_perform(e->curl);
	curl_slist_free_all(headers);
	if (code)
		return explain(e, code, &a, err);
	curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, status);
	return 0;
}

/* {"message": "..."} of Docker; Podman puts the better half into "cause". */
static int refuse(long status, const struct buf *text, struct err *err)
{
	AUTO(json) json_t *j = NULL;
	AUTO(buf) struct buf line = BUF_INIT;
	struct err ignored;
	const char *said = text->data;

	if (!json_parse(&j, text->data, text->len, "answer", &ignored))
		said = json_get_str(j, "message", said);
	text_render(&line, said, strnlen(said, 600), TEXT_TERMINAL_LINE);
	while (line.len && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == ' '))
		line.data[--line.len] = '\0';
	err_set(err, ERR_INFRA, 0, "the container engine says: %s", line.len ? line.data : "nothing");
	err->retry = status >= 500;
	return -1;
}

int engine_json(struct engine *e, const char *method, const char *path, const json_t *body,
		int64_t timeout_ms, json_t **out, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	long status = 0;

	if (out)
		*out = NULL;
	if (engine_call(e, method, path, body, timeout_ms, &status, &text, err))
		return -1;
	if (status < 200 || status > 299)
		return refuse(status, &text, err);
	return out && text.len ? json_parse(out, text.data, text.len, path, err) : 0;
}

static int minor(const char *version)
{
	int major = 0, small = 0;

	return sscanf(version, "%d.%d", &major, &small) == 2 ? major * 1000 + small : 0;
}

/* The newest both know. */
static int negotiate(struct engine *e, const json_t *v, struct err *err)
{
	const char *theirs = json_get_str(v, "ApiVersion", OLDEST_API);
	const char *least = json_get_str(v, "MinAPIVersion", OLDEST_API);
	const char *use = minor(theirs) < minor(NEWEST_API) ? theirs : NEWEST_API;
	AUTO(free) char *safe = NULL;

	if (!minor(theirs) || minor(theirs) < minor(OLDEST_API))
		return err_set(err, ERR_INFRA, 0, "the engine at %s is too old: it speaks API %.16s, at least %s is needed",
			       e->socket, theirs, OLDEST_API);
	if (minor(least) > minor(NEWEST_API))
		use = least;
	safe = xasprintf("v%d.%d", minor(use) / 1000, minor(use) % 1000);
	snprintf(e->version, sizeof e->version, "%s", safe);
	const json_t *part = json_array_get(json_object_get(v, "Components"), 0);
	const char *name = json_get_str(part, "Name", "Engine");
	AUTO(buf) struct buf line = BUF_INIT;
	buf_addf(&line, "%.60s %.40s", strcmp(name, "Engine") ? name : "Docker Engine",
		 json_get_str(v, "Version", "?"));
	AUTO(buf) struct buf about = BUF_INIT;
	text_renders(&about, line.data, TEXT_TERMINAL_LINE);
	e->about = buf_detach(&about);
	return 0;
}

int engine_open(struct engine **out, const char *socket, int64_t timeout_ms, struct err *err)
{
	AUTO(engine) struct engine *e = xcalloc(1, sizeof *e);
	AUTO(json) json_t *v = NULL;

	curl_global_init(CURL_GLOBAL_NOTHING);
	e->curl = curl_easy_init();
	e->socket = xstrdup(socket);
	if (!e->curl)
		return err_set(err, ERR_INFRA, 0, "libcurl does not start");
	if (engine_json(e, "GET", "/version", NULL, timeout_ms, &v, err) || negotiate(e, v, err))
		return -1;
	*out = STEAL(&e);
	return 0;
}

void engine_close(struct engine *e)
{
	if (!e)
		return;
	if (e->curl)
		curl_easy_cleanup(e->curl);
	free(e->socket);
	free(e->about);
	free(e);
}

const char *engine_socket(const struct engine *e)
{
	return e->socket;
}

const char *engine_about(const struct engine *e)
{
	return e->about;
}

char *engine_escape(const struct engine *e, const char *text)
{
	char *escaped = curl_easy_escape(e->curl, text, 0);
	char *copy = xstrdup(escaped ? escaped : "");

	curl_free(escaped);
	return copy;
}
