/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/endpoint.h"
#include <ctype.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "model/conversation.h"

static const struct {
	const char *method, *path;
	enum endpoint_kind kind;
	enum api api;
} endpoints[] = {
	{"POST", "/v1/responses", ENDPOINT_GENERATE, API_RESPONSES},
	{"POST", "/v1/chat/completions", ENDPOINT_GENERATE, API_CHAT},
	{"POST", "/v1/messages", ENDPOINT_GENERATE, API_ANTHROPIC},
	{"POST", "/v1/messages/count_tokens", ENDPOINT_COUNT, API_ANTHROPIC},
	{"GET", "/v1/models", ENDPOINT_MODELS, API_CHAT},
};

static const struct {
	const char *verb;
	enum endpoint_kind kind;
	bool stream;
} gemini_verbs[] = {
	{"generateContent", ENDPOINT_GENERATE, false},
	{"streamGenerateContent", ENDPOINT_GENERATE, true},
	{"countTokens", ENDPOINT_COUNT, false},
};

static struct endpoint gemini(const char *method, const char *model, size_t len)
{
	struct endpoint r = {.kind = ENDPOINT_NONE, .api = API_GEMINI};
	const char *colon = memchr(model, ':', len);

	/* A model's name is one path component: nothing leads elsewhere at the provider. */
	if (!colon || colon == model || memchr(model, '/', len))
		return r;
	const char *verb = colon + 1;
	size_t verb_len = len - (size_t)(verb - model);
	for (size_t i = 0; i < sizeof gemini_verbs / sizeof *gemini_verbs; i++) {
		if (strlen(gemini_verbs[i].verb) != verb_len ||
		    memcmp(gemini_verbs[i].verb, verb, verb_len))
			continue;
		r.kind = strcmp(method, "POST") ? ENDPOINT_METHOD : gemini_verbs[i].kind;
		r.stream = gemini_verbs[i].stream;
		r.model = model;
		r.model_len = (size_t)(colon - model);
	}
	return r;
}

struct endpoint endpoint_of(const char *method, const char *uri, bool upgrade)
{
	static const char models[] = "/v1beta/models/";
	struct endpoint r = {.kind = ENDPOINT_NONE, .api = API_CHAT};
	size_t len = strcspn(uri, "?#");

	if (len > sizeof models - 1 && memcmp(uri, models, sizeof models - 1) == 0)
		return gemini(method, uri + sizeof models - 1, len - (sizeof models - 1));
	for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
		if (strlen(endpoints[i].path) != len || memcmp(endpoints[i].path, uri, len))
			continue;
		r.api = endpoints[i].api;
		if (strcmp(method, "GET") == 0 && upgrade)
			r.kind = ENDPOINT_UPGRADE;
		else
			r.kind = strcmp(method, endpoints[i].method) ? ENDPOINT_METHOD
								     : endpoints[i].kind;
	}
	return r;
}

void endpoint_strip_key(const char *uri, struct buf *out, struct buf *key)
{
	const char *query = strchr(uri, '?');

	if (!query) {
		buf_adds(out, uri);
		return;
	}
	buf_add(out, uri, (size_t)(query - uri));
	char before = '?';
	for (const char *p = query + 1;; p++) {
		size_t n = strcspn(p, "&");
		if (strncmp(p, "key=", 4) == 0) {
			buf_reset(key);
			buf_add(key, p + 4, n - 4);
		} else {
			buf_addc(out, before);
			buf_add(out, p, n);
			before = '&';
		}
		p += n;
		if (!*p)
			break;
	}
}

/* "v1", "v4", "v1beta", "v1alpha2" */
static bool is_version(const char *s, size_t len)
{
	size_t i = 1;

	if (len < 2 || s[0] != 'v' || !isdigit((unsigned char)s[1]))
		return false;
	while (i < len && isdigit((unsigned char)s[i]))
		i++;
	while (i < len && islower((unsigned char)s[i]))
		i++;
	while (i < len && isdigit((unsigned char)s[i]))
		i++;
	return i == len;
}

static bool is_complete(const char *base)
{
	static const char openai[] = "/openai"; /* Google's, behind its version */
	const char *path = strstr(base, "://");
	size_t len = strlen(base);

	if (!path)
		return false;
	if (len > sizeof openai - 1 && !strcmp(base + len - (sizeof openai - 1), openai)) {
		size_t n = len - (sizeof openai - 1), at = n;
		while (at && base[at - 1] != '/')
			at--;
		if (is_version(base + at, n - at))
			return true;
	}
	const char *last = strrchr(path + 3, '/');
	return last && is_version(last + 1, strlen(last + 1));
}

static void add_own_path(struct buf *out, const char *path, const struct endpoint *e)
{
	static const char model[] = "{model}", verb[] = "{verb}";

	while (*path) {
		if (strncmp(path, model, sizeof model - 1) == 0) {
			buf_add(out, e->model, e->model_len);
			path += sizeof model - 1;
		} else if (strncmp(path, verb, sizeof verb - 1) == 0) {
			buf_adds(out, e->api == API_ANTHROPIC
					      ? e->stream ? "streamRawPredict" : "rawPredict"
				      : e->stream ? "streamGenerateContent"
						  : "generateContent");
			path += sizeof verb - 1;
		} else {
			buf_addc(out, *path++);
		}
	}
}

void endpoint_url(struct buf *out, const char *base, const char *own_path, const struct endpoint *e,
		  const char *target, size_t len)
{
	static const char *const versions[] = {"/v1/", "/v1beta/"};

	buf_adds(out, base);
	if (own_path && e->kind == ENDPOINT_GENERATE) {
		const char *query = memchr(target, '?', len);
		add_own_path(out, own_path, e);
		if (!query)
			return;
		buf_addc(out, strchr(own_path, '?') ? '&' : '?');
		buf_add(out, query + 1, len - (size_t)(query + 1 - target));
		return;
	}
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		size_t n = strlen(versions[i]) - 1; /* the slash stays */
		if (is_complete(base) && len > n && !strncmp(target, versions[i], n + 1)) {
			target += n;
			len -= n;
		}
	}
	buf_add(out, target, len);
}

void endpoint_url_of(struct buf *out, const char *base, const char *own_path, enum api api,
		     const char *model)
{
	const struct endpoint e = {
		.kind = ENDPOINT_GENERATE, .api = api, .model = model, .model_len = strlen(model)};
	AUTO(buf) struct buf target = BUF_INIT;

	add_own_path(&target, dialects[api]->path, &e);
	endpoint_url(out, base, own_path, &e, target.data, target.len);
}

static const struct {
	int status;
	const char *openai, *anthropic, *gemini;
} error_names[] = {
	{400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
	{401, "authentication_error", "authentication_error", "UNAUTHENTICATED"},
	{403, "permission_error", "permission_error", "PERMISSION_DENIED"},
	{404, "not_found_error", "not_found_error", "NOT_FOUND"},
	{405, "invalid_request_error", "invalid_request_error", "UNIMPLEMENTED"},
	{413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"},
	{426, "invalid_request_error", "invalid_request_error", "FAILED_PRECONDITION"},
	{429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"},
	{503, "server_error", "overloaded_error", "UNAVAILABLE"},
	{0, "server_error", "api_error", "INTERNAL"},
};

void endpoint_error(struct buf *out, enum api api, int status, const char *message)
{
	size_t i = 0;
	AUTO(json) json_t *doc = json_object();
	json_t *e = json_object();

	while (error_names[i].status && error_names[i].status != status)
		i++;
	if (api == API_ANTHROPIC)
		json_put_str(doc, "type", "error");
	if (api == API_GEMINI) {
		json_put_int(e, "code", status);
		json_put_str(e, "message", message);
		json_put_str(e, "status", error_names[i].gemini);
	} else if (api == API_ANTHROPIC) {
		json_put_str(e, "type", error_names[i].anthropic);
		json_put_str(e, "message", message);
	} else {
		json_put_str(e, "message", message);
		json_put_str(e, "type", error_names[i].openai);
		json_put(e, "param", json_null());
		json_put(e, "code", json_null());
	}
	json_put(doc, "error", e);
	json_format(out, doc, false);
}
