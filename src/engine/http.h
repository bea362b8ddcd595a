/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * http.h -- one conversation with a container engine: Docker Engine API requests over its unix socket.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

#define ENGINE_CALL_MS 60000 /* what an engine may take for a call that waits for nothing */

struct engine; /* opaque */

/* SOCKET: its path. Connects and settles on one both sides know. ERR_INFRA with retry when
 * nobody answers; TIMEOUT_MS is for this alone. */
int engine_open(struct engine **out, const char *socket, int64_t timeout_ms,
		struct err *err) MUST_CHECK;
void engine_close(struct engine *e); /* accepts NULL */
const char *engine_socket(const struct engine *e);
/* "Docker Engine 20.10.24", "Podman Engine 4.3.1": borrowed. */
const char *engine_about(const struct engine *e);

/* METHOD PATH ("/containers/create?name=x"; what is variable in it goes through engine_escape), with BODY as JSON
 * unless NULL. 0: the engine answered, *STATUS is its HTTP status, and OUT (may be NULL; at most 16 MB) what it
 * said. -1: it did not, ERR_INFRA with retry. */
int engine_call(struct engine *e, const char *method, const char *path, const json_t *body,
		int64_t timeout_ms, long *status, struct buf *out, struct err *err) MUST_CHECK;
/* The same where only 2xx will do: the engine's own message becomes the error (with retry for 5xx). OUT (may be
 * NULL) is the parsed answer, NULL when it was empty; the caller owns it. */
int engine_json(struct engine *e, const char *method, const char *path, const json_t *body,
		int64_t timeout_ms, json_t **out, struct err *err) MUST_CHECK;
/* GET PATH, an answer of any length: each piece of a 200 goes to PIECE, which fails to end it; other answers are dropped. */
typedef int engine_piece_fn(void *arg, const char *data, size_t n, struct err *err);
int engine_stream(struct engine *e, const char *path, int64_t timeout_ms, long *status,
		  engine_piece_fn *piece, void *arg, struct err *err) MUST_CHECK;
/* POST the N bytes of FD, a tar archive, to PATH. As engine_call. */
int engine_upload(struct engine *e, const char *path, int fd, int64_t n, int64_t timeout_ms,
		  long *status, struct buf *out, struct err *err) MUST_CHECK;
/* A header of the last answer; "" without. Borrowed until the next call. */
const char *engine_header(struct engine *e, const char *name);
/* For a query. The caller frees. */
char *engine_escape(const struct engine *e, const char *text);

static inline void auto_engine(struct engine **e)
{
	engine_close(*e);
}
