/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * json-text.h -- private to model: JSON put together by hand where it is written for each call: a tree of
 * jansson's costs more than all the rest of a small call's accounting.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "base/buf.h"
#include "model/usage.h"

/* Each appends KEY, which is JSON already (",\"path\":"), and a value. */
void json_text_string(struct buf *out, const char *key, const char *text); /* not ASCII: ? */
void json_text_number(struct buf *out, const char *key, int64_t v);
void json_text_bool(struct buf *out, const char *key, bool v);
void json_text_usage(struct buf *out, const char *key, const struct token_usage *u);
/* What json_text_usage wrote. */
struct token_usage json_text_usage_read(const json_t *tokens);
