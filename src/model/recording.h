/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * recording.h -- what was said between an agent and its models, as a file of frames (docs/formats.md, recording):
 * written as it passes, read to be answered from again or to be shown. Its text is an agent's and a provider's.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"
#include "model/request-chain.h"
#include "model/usage.h"

/* CHAIN, of this recording, says what need not be stored again, and goes on with this request. */
void recording_put_request(struct buf *out, struct request_chain *chain, int64_t call,
			   const char *method, const char *path, const char *hash,
			   const struct buf *body);
/* LENGTH as the head states it, or -1. HEADERS: a name, a NUL, a value, a NUL each. EVENTS: an event stream. */
void recording_put_head(struct buf *out, int64_t call, int status, int64_t length, bool events,
			const struct buf *headers);
void recording_put_body(struct buf *out, int64_t call, const char *data, size_t n);
/* END as in the call log ("ok", "cut"); MODEL as served, "" unknown. */
void recording_put_end(struct buf *out, int64_t call, const char *end, const char *model,
		       const struct token_usage *tokens, bool estimated);

enum frame_kind { FRAME_REQUEST, FRAME_HEAD, FRAME_BODY, FRAME_END };

struct recording_frame {
	enum frame_kind kind;
	int64_t call;
	off_t at; /* of its bytes in the file */
	int64_t bytes;
	/* A request; its bytes are what PART left to be stored. */
	const char *method, *path, *hash;
	struct request_part part;
	/* A head; its bytes are the headers. */
	int status;
	int64_t length;
	bool events;
	/* An end. */
	const char *end, *model;
	struct token_usage tokens;
	bool estimated;
};

/* Starts as {.fd = descriptor, or -1, .text = the whole of it, where fd is -1}; both are borrowed. */
struct recording_reader {
	int fd;
	const struct buf *text;
	off_t at;
	json_t *head; /* of the frame that was read last */
};

/* 1: *OUT is the next frame, its texts borrowed until the one after it is read. 0: there is no more; what a killed
 * gateway left half written at the end is no frame. -1: ERR_USAGE, the recording is damaged or of another version. */
int recording_read(struct recording_reader *r, struct recording_frame *out,
		   struct err *err) MUST_CHECK;
/* Append the bytes that a frame has AT its place. False: the file changed under us. */
bool recording_read_bytes(const struct recording_reader *r, off_t at, int64_t bytes,
			  struct buf *out) MUST_CHECK;
void recording_release(struct recording_reader *r);
