/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/judge-reuse.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "core/datadir.h"

enum { VERDICTS_MAX = 256 << 20 };

static bool read_text(const struct eval_job *job, struct buf *text)
{
	struct err ignored;
	char name[24];

	snprintf(name, sizeof name, "../%d", job->attempt->number - 1);
	AUTO(fd)
	int fd = openat(job->run_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && !path_exists(fd, ATTEMPT_EVALUATION) &&
	       !path_read_beneath(fd, ATTEMPT_VERDICTS, VERDICTS_MAX, text, &ignored);
}

void earlier_verdicts_read(struct earlier_verdicts *out, const struct eval_job *job)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const struct judge *judge = &job->attempt->judge;
	struct err ignored;

	*out = (struct earlier_verdicts){.votes = json_array()};
	if (job->attempt->number < 2 || !read_text(job, &text))
		return;
	for (char *line = text.data, *end; *line; line = *end ? end + 1 : end) {
		AUTO(json) json_t *j = NULL;

		end = strchrnul(line, '\n');
		if (json_parse(&j, line, (size_t)(end - line), ATTEMPT_VERDICTS, &ignored))
			continue;
		const char *kind = json_get_str(j, "kind", "");
		if (strcmp(kind, "judge") == 0 &&
		    strcmp(json_get_str(j, "model_id", ""), judge->model_id) == 0)
			snprintf(out->code, sizeof out->code, "%s", json_get_str(j, "code", ""));
		else if (strcmp(kind, "vote") == 0 && json_is_number(json_object_get(j, "score")))
			json_array_append(out->votes, j);
	}
	if (strlen(out->code) != FENCE_CODE - 1)
		*out->code = '\0';
}

void earlier_verdicts_release(struct earlier_verdicts *e)
{
	json_decref(e->votes);
}

static void take(struct judge_vote *v, const json_t *line)
{
	json_t *exchanges = json_object_get(line, "exchanges");
	const char *answer = json_get_str(json_array_get(exchanges, json_array_size(exchanges) - 1),
					  "answer", "");
	AUTO(buf) struct buf why = BUF_INIT;

	judge_form_read(&v->verdict, answer, strlen(answer), v->binary, &why);
	if (v->verdict.kind != VERDICT_SCORE) {
		judge_verdict_release(&v->verdict);
		return;
	}
	v->exchanges = json_incref(exchanges);
	v->reused = true;
	judge_vote_check(v);
}

void earlier_verdicts_take(const struct earlier_verdicts *e, struct judged *d, int votes)
{
	const json_t *line;
	size_t i;

	json_array_foreach (e->votes, i, line) {
		int64_t n = json_get_int(line, "vote", -1);

		if (n >= 0 && n < votes && !d->votes[n].reused &&
		    strcmp(json_get_str(line, "rubric_id", ""), d->rubric->id) == 0 &&
		    strcmp(json_get_str(line, "sha256", ""), d->prompt.hash) == 0)
			take(&d->votes[n], line);
	}
}
