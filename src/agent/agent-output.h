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
/* The same of TEXT, the last of its standard error, for rules of that. */
void agent_output_stderr(struct agent_output *o, const char *text);
/* After the last byte: sets what the output told of tokens, tool calls, turns, money, version, final message and what
 * its rules count; leaves the rest of OUT as it is. */
void agent_output_finish(struct agent_output *o, struct agent_record *out);
/* What it said of how it went, borrowed, or NULL: an `error`, a `setup_error`, a `limit`. */
enum agent_said { AGENT_SAID_ERROR, AGENT_SAID_SETUP_ERROR, AGENT_SAID_LIMIT };
const char *agent_output_text(const struct agent_output *o, enum agent_said what);
void agent_output_free(struct agent_output *o);
