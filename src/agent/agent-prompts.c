/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-prompts.h"
#include <stdio.h>
#include <string.h>
#include "agent/agent-kind.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/image-type.h"

size_t agent_prompts(const struct agent_job *job)
{
	return 1 + job->step->follow_ups.n;
}

const char *agent_prompt_text(const struct agent_job *job)
{
	const char *text =
		job->prompt ? job->step->follow_ups.v[job->prompt - 1] : job->step->instruction;

	return text ? text : "";
}

char *agent_prompt_file(const struct agent_job *job)
{
	return job->prompt ? xasprintf("%s/.rollouts/prompts/%zu.md", job->task->layout.home,
				       job->prompt + 1)
			   : xstrdup(job->task->layout.instructions);
}

/* ---- The spec -------------------------------------------------------------------------------------------------------------- */

/* TEXT with what stands for IMAGE in it; the caller frees. */
static char *image_text(const char *text, const struct agent_image *image, const char *app)
{
	AUTO(buf) struct buf out = BUF_INIT;

	for (; *text; text++) {
		static const char path[] = "{image}", type[] = "{image_type}",
				  data[] = "{image_base64}";
		if (!strncmp(text, path, sizeof path - 1)) {
			buf_addf(&out, "%s/%s", app, image->name);
			text += sizeof path - 2;
		} else if (!strncmp(text, type, sizeof type - 1)) {
			const char *found = image_type(image->data, image->len);
			buf_adds(&out, found ? found : "");
			text += sizeof type - 2;
		} else if (!strncmp(text, data, sizeof data - 1)) {
			base64_encode(&out, image->data, image->len);
			text += sizeof data - 2;
		} else {
			buf_addc(&out, *text);
		}
	}
	return buf_detach(&out);
}

/* The words of ARGS once for each image, and {images}, all of them in the words of `each`. */
static void lay_images(json_t *spec, const struct agent_job *job)
{
	const json_t *how = json_object_get(spec, "images");
	const char *app = job->task->layout.app;
	json_t *args = json_array(), *arg;
	AUTO(buf) struct buf all = BUF_INIT;
	size_t k;

	for (size_t i = 0; i < job->images_n; i++) {
		AUTO(free) char *one =
			image_text(json_get_str(how, "each", ""), &job->images[i], app);
		buf_adds(&all, one);
		json_array_foreach (json_object_get(how, "args"), k, arg) {
			AUTO(free) char *text =
				image_text(json_string_value(arg), &job->images[i], app);
			json_array_append_new(args, json_string(text));
		}
	}
	agent_lay(spec, "argv", args);
	agent_lay(spec, "env", json_object_get(how, "env"));
	agent_lay(spec, "files", json_object_get(how, "files"));
	if (json_object_get(how, "argv"))
		agent_lay(spec, "argv", json_object_get(how, "argv"));
	if (json_object_get(how, "stdin"))
		json_object_set(spec, "stdin", json_object_get(how, "stdin"));
	json_put_strn(spec, "images_text", all.data, all.len);
	json_decref(args);
}

json_t *agent_prompt_spec(const struct agent_job *job)
{
	json_t *spec = json_copy(job->attempt->agent_spec);
	const json_t *next = json_object_get(spec, "follow_up");

	if (!job->prompt) {
		if (job->images_n)
			lay_images(spec, job);
		return spec;
	}
	if (json_object_get(next, "argv"))
		json_object_set(spec, "argv", json_object_get(next, "argv"));
	if (json_object_get(next, "stdin"))
		json_object_set(spec, "stdin", json_object_get(next, "stdin"));
	agent_lay(spec, "argv", json_object_get(next, "args"));
	agent_lay(spec, "env", json_object_get(next, "env"));
	agent_lay(spec, "files", json_object_get(next, "files"));
	return spec;
}

/* ---- What each came to ------------------------------------------------------------------------------------------------------ */

void agent_prompt_begin(struct agent_mark *m, const struct agent_job *job,
			const struct agent_record *out)
{
	*m = (struct agent_mark){.metrics = out->metrics, .start_ms = clock_mono_ms()};
	m->metered = agent_prompts(job) > 1 && job->usage && job->usage(job->usage_arg, &m->usage);
}

static int64_t since(int64_t before, int64_t now)
{
	return now < 0 ? -1 : before < 0 ? now : now - before;
}

static void count_calls(struct agent_prompt *p, const struct model_usage *before,
			const struct model_usage *now)
{
	p->calls = since(before->calls, now->calls);
	p->tokens_input = since(before->tokens_input, now->tokens_input);
	p->tokens_cached = since(before->tokens_cached, now->tokens_cached);
	p->tokens_output = since(before->tokens_output, now->tokens_output);
	p->tokens_total = p->tokens_input + p->tokens_output;
	p->money_usd = now->money_usd < 0      ? -1
		       : before->money_usd < 0 ? now->money_usd
					       : now->money_usd - before->money_usd;
}

void agent_prompt_end(const struct agent_mark *m, const struct agent_job *job,
		      struct agent_record *out)
{
	const size_t n = agent_prompts(job);
	struct agent_prompt *p = &out->prompts[job->prompt];
	const struct agent_metrics *a = &m->metrics, *b = &out->metrics;
	struct model_usage now;

	if (n < 2 || n > AGENT_PROMPTS_MAX)
		return;
	out->prompts_n = n;
	*p = (struct agent_prompt){
		.asked = true,
		.outcome = out->outcome,
		.wall_ms = clock_mono_ms() - m->start_ms,
		.calls = -1,
		.tokens_input = since(a->tokens_input, b->tokens_input),
		.tokens_cached = since(a->tokens_cached, b->tokens_cached),
		.tokens_output = since(a->tokens_output, b->tokens_output),
		.tokens_total = since(a->tokens_total, b->tokens_total),
		.tool_calls = since(a->tool_calls, b->tool_calls),
		.turns = since(a->turns, b->turns),
		.money_usd = b->money_usd < 0 || a->money_usd < 0 ? b->money_usd
								  : b->money_usd - a->money_usd,
	};
	if (m->metered && job->usage(job->usage_arg, &now))
		count_calls(p, &m->usage, &now);
	if (out->outcome == OUTCOME_COMPLETED)
		return;
	memcpy(p->reason, out->reason, sizeof p->reason);
	AUTO(free) char *why = xstrdup(out->reason);
	agent_end(out, out->outcome, "prompt %zu of %zu: %s", job->prompt + 1, n, why);
}

static int64_t sum(int64_t a, int64_t b)
{
	return a < 0 ? b : b < 0 ? a : a + b;
}

static void add_counted(struct agent_record *out, const struct agent_record *part)
{
	for (size_t i = 0; i < part->counted_n; i++) {
		size_t k = 0;
		while (k < out->counted_n && strcmp(out->counted[k].name, part->counted[i].name))
			k++;
		if (k < out->counted_n)
			out->counted[k].value += part->counted[i].value;
		else if (k < AGENT_COUNTED_MAX)
			out->counted[out->counted_n++] = part->counted[i];
	}
}

void agent_prompt_add(struct agent_record *out, const struct agent_record *part, bool cumulative)
{
	struct agent_metrics *m = &out->metrics;
	const struct agent_metrics *p = &part->metrics;

	m->tokens_total = cumulative ? p->tokens_total : sum(m->tokens_total, p->tokens_total);
	m->tokens_input = cumulative ? p->tokens_input : sum(m->tokens_input, p->tokens_input);
	m->tokens_cached = cumulative ? p->tokens_cached : sum(m->tokens_cached, p->tokens_cached);
	m->tokens_output = cumulative ? p->tokens_output : sum(m->tokens_output, p->tokens_output);
	m->tool_calls = sum(m->tool_calls, p->tool_calls);
	m->turns = sum(m->turns, p->turns);
	if (m->money_usd >= 0 && p->money_usd >= 0 && !cumulative)
		m->money_usd += p->money_usd;
	else if (p->money_usd >= 0)
		m->money_usd = p->money_usd;
	m->wall_ms = sum(m->wall_ms, p->wall_ms);
	m->cpu_ms = sum(m->cpu_ms, p->cpu_ms);
	m->memory_max = p->memory_max > m->memory_max ? p->memory_max : m->memory_max;
	m->disk_bytes = p->disk_bytes;
	m->left_running = p->left_running;
	out->outcome = part->outcome;
	memcpy(out->reason, part->reason, sizeof out->reason);
	out->exit_status = part->exit_status;
	if (*part->final_message)
		memcpy(out->final_message, part->final_message, sizeof out->final_message);
	if (*part->version)
		memcpy(out->version, part->version, sizeof out->version);
	add_counted(out, part);
}
