/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-prompts.h -- private to agent: the prompts of a session, one after the other, and what each came to.
 */
#pragma once
#include "agent/agent.h"

/* How many there are: the instruction, and the follow-ups. */
size_t agent_prompts(const struct agent_job *job);
/* The text of the one that is asked now. */
const char *agent_prompt_text(const struct agent_job *job);
/* The file that holds it, in the sandbox; the caller frees. */
char *agent_prompt_file(const struct agent_job *job);
/* The spec as it is for the prompt that is asked now, with what hands over its images; a new reference. */
json_t *agent_prompt_spec(const struct agent_job *job);

/* How things stood when a prompt was asked. */
struct agent_mark {
	struct agent_metrics metrics;
	struct model_usage usage;
	bool metered;
	int64_t start_ms;
};
void agent_prompt_begin(struct agent_mark *m, const struct agent_job *job,
			const struct agent_record *out);
/* OUT, which has the outcome and the numbers of the session so far, is told of the prompt that was asked. */
void agent_prompt_end(const struct agent_mark *m, const struct agent_job *job,
		      struct agent_record *out);
/* OUT of the session so far and PART, of the next prompt alone, become one. CUMULATIVE: the tokens of PART are those of the session. */
void agent_prompt_add(struct agent_record *out, const struct agent_record *part, bool cumulative);
