/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-output.h -- reads an agent's standard output while it streams, by the rules of its file
 * (see agent.h). Everything in it is the agent's word: bounded, never trusted, never an error of
 * ours.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "core/result.h"

#define AGENT_LINE_BYTES (16u << 20) /* a longer line (or json document) is left out */

struct agent_output;

/* SPEC is the `output` member, NULL for none; borrowed until free. ERR_USAGE when a rule makes no
 * sense. */
int agent_output_new(struct agent_output **out, const json_t *spec, struct err *err) MUST_CHECK;
void agent_output_add(struct agent_output *o, const char *data, size_t n);
/* After the last byte: sets what the output told of tokens, tool calls, turns, money, version and
 * final message; leaves the rest of OUT as it is. Returns the text of a set `error` field,
 * borrowed, or NULL. */
const char *agent_output_finish(struct agent_output *o, struct agent_record *out);
void agent_output_free(struct agent_output *o);
