/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/http.h"
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#define ANSWER_MAX (16 << 20)
#define OLDEST_API "1.24"
#define NEWEST_API "1.44" /* what this code was written against */
#define TRIED_API "1.52"  /* Docker 29, which still speaks it; one beyond that is asked */

struct engine {
	CURL *curl;
	char *socket, *about;
	char version[16]; /* "v1.41", or "" before it is known */
};

struct answer {
	struct buf *out; /* NULL: dropped */
	bool too_long;
	engine_piece_fn *piece; /* in place of OUT, for an answer of 200 */
	void *arg;
	struct err *err; /* what it said */
	CURL *curl;
	int up; /* what is sent, so many bytes; -1: nothing */
	int64_t up_bytes;
};

static size_t give(char *data, size_t size, size_t n, void *arg)
{
	const struct answer *a = arg;
	ssize_t got = read(a->up, data, size * n);

	return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

static size_t take(char *data, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	long status = 0;

	if (a->piece && !curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status) &&
	    status == 200)
		return a->piece(a->arg, data, size * n, a->err) ? 0 : size * n;
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
	if (a->err && a->err->kind)
		return -1;
	if (a->too_long)
		return err_set(err, ERR_INFRA, 0, "the engine at %s said more than %d MB",
			       e->socket, ANSWER_MAX >> 20);
	if (code == CURLE_OPERATION_TIMEDOUT)
		err_set(err, ERR_INFRA, 0, "the engine at %s does not answer", e->socket);
	else
		err_set(err, ERR_INFRA, 0, "no engine answers at %s: %s", e->socket,
			curl_easy_strerror(code));
	err->retry = true;
	return -1;
}

static int call(struct engine *e, const char *method, const char *path, const json_t *body,
		int64_t timeout_ms, long *status, struct answer *a, struct err *err)
{
	AUTO(free) char *url =
		xasprintf("http://engine%s%s%s", *e->version ? "/" : "", e->version, path);
	AUTO(buf) struct buf text = BUF_INIT;
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");

	if (a->up < 0)
		headers = curl_slist_append(headers, "Content-Type: application/json");
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
	curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, a);
	if (a->up >= 0) {
		headers = curl_slist_append(headers, "Content-Type: application/x-tar");
		curl_easy_setopt(e->curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e->curl, CURLOPT_READFUNCTION, give);
		curl_easy_setopt(e->curl, CURLOPT_READDATA, a);
		curl_easy_setopt(e->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)a->up_bytes);
		curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, headers);
	} else if (body || !strcmp(method, "POST")) {
		curl_easy_setopt(e->curl, CURLOPT_POSTFIELDSIZE, (long)text.len);
		curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, text.data);
		curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, headers);
	}
	CURLcode code = curl_easy_perform(e->curl);
	curl_slist_free_all(headers);
	if (code)
		return explain(e, code, a, err);
	curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, status);
	return 0;
}

int engine_call(struct engine *e, const char *method, const char *path, const json_t *body,
		int64_t timeout_ms, long *status, struct buf *out, struct err *err)
{
	struct answer a = {.out = out, .up = -1};

	return call(e, method, path, body, timeout_ms, status, &a, err);
}

int engine_upload(struct engine *e, const char *path, int fd, int64_t n, int64_t timeout_ms,
		  long *status, struct buf *out, struct err *err)
{
	struct answer a = {.out = out, .up = fd, .up_bytes = n};

	return call(e, "POST", path, NULL, timeout_ms, status, &a, err);
}

int engine_stream(struct engine *e, const char *path, int64_t timeout_ms, long *status,
		  engine_piece_fn *piece, void *arg, struct err *err)
{
	struct answer a = {.piece = piece, .arg = arg, .err = err, .curl = e->curl, .up = -1};

	return call(e, "GET", path, NULL, timeout_ms, status, &a, err);
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
	err_set(err, ERR_INFRA, 0, "the container engine says: %s",
		line.len ? line.data : "nothing");
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

/* What of itself the engine says with every answer: "1.41", and "Docker/20.10.24 (linux)" or "Libpod/4.3.1 (linux)". */
const char *engine_header(struct engine *e, const char *name)
{
	struct curl_header *h = NULL;

	return curl_easy_header(e->curl, name, 0, CURLH_HEADER, -1, &h) ? "" : h->value;
}

static void introduce(struct engine *e)
{
	const char *server = engine_header(e, "Server"), *version = strchr(server, '/');
	const char *name = !strncmp(server, "Libpod/", 7) ? "Podman" : "Docker";
	AUTO(buf) struct buf line = BUF_INIT;
	AUTO(buf) struct buf about = BUF_INIT;

	buf_addf(&line, "%s Engine %.*s", name, version ? (int)strcspn(version + 1, " ") : 1,
		 version ? version + 1 : "?");
	text_renders(&about, line.data, TEXT_TERMINAL_LINE);
	e->about = buf_detach(&about);
}

/* The newest both know. /version would tell as well, but Docker runs several programs to answer it. */
static int negotiate(struct engine *e, int64_t timeout_ms, struct err *err)
{
	AUTO(json) json_t *v = NULL;
	const int theirs = minor(engine_header(e, "Api-Version"));
	int use = theirs < minor(NEWEST_API) ? theirs : minor(NEWEST_API);

	if (theirs < minor(OLDEST_API))
		return err_set(
			err, ERR_INFRA, 0,
			"the engine at %s is too old: it speaks API %d.%d, at least %s is needed",
			e->socket, theirs / 1000, theirs % 1000, OLDEST_API);
	introduce(e);
	if (theirs > minor(TRIED_API)) {
		if (engine_json(e, "GET", "/version", NULL, timeout_ms, &v, err))
			return -1;
		const int least = minor(json_get_str(v, "MinAPIVersion", OLDEST_API));
		use = least > use ? least : use;
	}
	snprintf(e->version, sizeof e->version, "v%d.%d", use / 1000, use % 1000);
	return 0;
}

int engine_open(struct engine **out, const char *socket, int64_t timeout_ms, struct err *err)
{
	AUTO(engine) struct engine *e = xcalloc(1, sizeof *e);
	AUTO(buf) struct buf pong = BUF_INIT;
	long status = 0;

	curl_global_init(CURL_GLOBAL_NOTHING);
	e->curl = curl_easy_init();
	e->socket = xstrdup(socket);
	if (!e->curl)
		return err_set(err, ERR_INFRA, 0, "libcurl does not start");
	if (engine_call(e, "GET", "/_ping", NULL, timeout_ms, &status, &pong, err))
		return -1;
	if (status != 200)
		return refuse(status, &pong, err);
	if (negotiate(e, timeout_ms, err))
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
