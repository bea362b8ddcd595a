/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-layers.h -- inside src/config: an agent that is a variant of another, and what its options and its system prompt come to.
 *
 * In a file `options` holds declarations (a table each: what is given to the agent when somebody sets it) and values (of those that
 * its base declares); `system_prompt` is a text, or the two ways in which one is given. Here they are apart:
 *
 *   option_layers   name -> {args[], env{}, files{}, choices[], default, join, model}
 *   options         name -> text
 *   prompt_layers   "replace", "append" -> {args[], env{}, files{}}
 *   system_prompt   {how: "replace" | "append", text}
 */
#pragma once
#include <jansson.h>
#include "base/err.h"

/* Put apart what stands together in a file that was checked. FOLDER is where "file:" paths begin. */
int agent_put_apart(json_t *spec, const char *folder, struct err *err) MUST_CHECK;
/* OVER, a variant, laid over SPEC, its base: lists and arguments are appended, texts replace texts. */
void agent_lay_over(json_t *spec, const json_t *over);
/* Lay over SPEC what its options and its prompt are given by; refuses those that it does not declare. The declarations are gone
 * then; what {option:NAME} and {system_prompt} stand for stays. `model_options` are those that our own agent's model is asked with. */
int agent_settle(json_t *spec, struct err *err) MUST_CHECK;
