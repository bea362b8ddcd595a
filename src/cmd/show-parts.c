/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/call-table.h"
#include "cmd/show.h"
#include "core/datadir.h"
#include "model/transcript.h"

const struct show_part show_parts[SHOW_PARTS] = {
	{.name = "agent",
	 .file = ATTEMPT_AGENT_LOG,
	 .help = "what the agent printed",
	 .none = "the agent printed nothing"},
	{.name = "errors",
	 .file = ATTEMPT_AGENT_ERR,
	 .help = "what the agent printed to standard error",
	 .none = "the agent printed nothing there"},
	{.name = "eval",
	 .file = ATTEMPT_EVAL_LOG,
	 .help = "what the tests printed",
	 .none = "the tests printed nothing"},
	{.name = "diff",
	 .file = ATTEMPT_DIFF,
	 .help = "what the agent changed",
	 .none = "the agent changed nothing"},
	{.name = "notes",
	 .file = ATTEMPT_NOTES,
	 .help = "the agent's notes, else what it said last",
	 .none = "the agent left no notes and said nothing at its end"},
	{.name = "score", .file = ATTEMPT_SCORING, .help = "how it was graded"},
	{.name = "result", .file = ATTEMPT_RESULT, .help = "the result, as JSON", .is_json = true},
	{.name = "worker", .file = ATTEMPT_WORKER_LOG, .help = "messages of the worker"},
	{.name = "transcript",
	 .file = ATTEMPT_RECORDING,
	 .help = "the conversation with the model",
	 .make = transcript_make},
	{.name = "llm",
	 .file = ATTEMPT_CALLS,
	 .help = "each model call: times, tokens, cost",
	 .is_json = true,
	 .make = call_table_make},
};
