/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/accounts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

enum { VERDICTS_MAX = 256 << 20 };

/* What the gateway writes for a role: ended calls, calls under way, the recording. */
static const char *const agent_files[] = {ATTEMPT_CALLS, ATTEMPT_CALLS_OPEN, ATTEMPT_RECORDING},
			 *const judge_files[] = {ATTEMPT_JUDGE_CALLS, ATTEMPT_JUDGE_CALLS_OPEN,
						 ATTEMPT_JUDGE_RECORDING};

static int open_own(const struct work *w, const char *name, int how, struct err *err)
{
	AUTO(fd) int fd = path_open_beneath(w->run_fd, name, O_WRONLY | O_CREAT | how, 0600, err);

	/* Whoever we become will have to read it again. */
	if (fd >= 0 && w->attempt.uid && geteuid() == 0 &&
	    fchown(fd, w->attempt.uid, w->attempt.uid))
		return err_set(err, ERR_INFRA, errno, "give away %s", name);
	return fd_steal(&fd);
}

/* Fill in the connection and the files that the gateway writes for A, and attach. */
static int attach(struct work *w, struct control_attach *a, const char *const files[3],
		  struct control **out, struct err *err)
{
	const struct attempt *at = &w->attempt;
	AUTO(fd) int log = open_own(w, files[0], O_APPEND, err);
	AUTO(fd) int under_way = log < 0 ? -1 : open_own(w, files[1], O_TRUNC, err);
	AUTO(fd) int record = -1;

	if (under_way < 0 || (at->record && (record = open_own(w, files[2], O_APPEND, err)) < 0))
		return -1;
	a->path = at->control;
	a->root_fd = w->root_fd;
	a->log_fd = log;
	a->open_fd = under_way;
	a->record_fd = record;
	return control_open(out, a, err);
}

static int attach_agent(struct work *w, struct err *err)
{
	const struct attempt *at = &w->attempt;
	const struct limits *l = &at->trial.limits;
	AUTO(fd) int replay = -1;

	if (at->replay &&
	    (replay = path_open_beneath(w->root_fd, at->replay, O_RDONLY, 0, err)) < 0)
		return err_wrap(err, "the recording to be replayed");
	struct control_attach a = {
		.token = w->token,
		.task = at->trial.task_dir,
		.provider = at->trial.provider,
		.model = at->trial.model_id,
		.limits = {.tokens = l->tokens, .usd = l->usd, .calls = l->calls},
		.replay_fd = replay,
		.replay_or_live = at->replay_or_live,
		.declared = true,
		.roles = at->trial.roles,
	};
	return attach(w, &a, agent_files, &w->control, err);
}

/* What the fences of the recorded prompts have as their code, without which none of them would be asked again. */
static void read_code(struct work *w, const char *folder)
{
	AUTO(free) char *path = path_join(folder, ATTEMPT_VERDICTS);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;
	struct err ignored;

	if (path_read_beneath(w->root_fd, path, VERDICTS_MAX, &text, &ignored) ||
	    json_parse(&j, text.data, (size_t)(strchrnul(text.data, '\n') - text.data), path,
		       &ignored))
		return;
	snprintf(w->judge_code, sizeof w->judge_code, "%s", json_get_str(j, "code", ""));
}

/* The judge's recording lies beside the agent's. -1 as well where there is none, which is no error. */
static int open_replay(struct work *w, struct err *err)
{
	const char *slash = w->attempt.replay ? strrchr(w->attempt.replay, '/') : NULL;

	if (!slash)
		return -1;
	AUTO(free) char *folder = xstrndup(w->attempt.replay, (size_t)(slash - w->attempt.replay));
	AUTO(free) char *path = path_join(folder, ATTEMPT_JUDGE_RECORDING);
	int fd = path_open_beneath(w->root_fd, path, O_RDONLY, 0, err);
	if (fd >= 0)
		read_code(w, folder);
	return fd;
}

static int attach_judge(struct work *w, struct err *err)
{
	struct err none = {0};
	AUTO(fd) int replay = open_replay(w, &none);
	const struct judge *judge = &w->attempt.judge;
	struct control_attach a = {
		.token = w->judge_token,
		.provider = judge->provider,
		.model = judge->model_id,
		.limits = {.tokens = judge->tokens, .usd = judge->usd, .calls = judge->calls},
		.replay_fd = replay,
		.replay_or_live = w->attempt.replay_or_live,
	};

	return attach(w, &a, judge_files, &w->judge, err);
}

int work_attach(struct work *w, struct err *err)
{
	const struct attempt *at = &w->attempt;

	if (!at->control)
		return 0;
	if (attempt_agent_asks(at) && attach_agent(w, err))
		return err_wrap(err, "gateway");
	if (at->judge.provider && !at->keep_judge && attach_judge(w, err))
		return err_wrap(err, "gateway, for graders");
	return 0;
}

static void leave(struct work *w, struct control **control, const char *under_way)
{
	if (!*control)
		return;
	control_close(STEAL(control));
	/* A gateway that lives brings what is still under way to its end. */
	if (!w->gateway_gone)
		unlinkat(w->run_fd, under_way, 0);
}

void work_leave_agent(struct work *w)
{
	leave(w, &w->control, ATTEMPT_CALLS_OPEN);
}

void work_leave_judge(struct work *w)
{
	leave(w, &w->judge, ATTEMPT_JUDGE_CALLS_OPEN);
}

int work_judged(struct work *w, struct err *err)
{
	struct control_state s = {0};
	struct model_usage *u = &w->result.judge;

	if (!w->judge)
		return 0;
	if (control_state(w->judge, &s, err)) {
		w->gateway_gone = true;
		err->retry = true;
		return err_wrap(err, "while it was graded");
	}
	work_leave_judge(w);
	*u = (struct model_usage){
		.calls = s.calls,
		.estimated = s.estimated,
		.tokens_input = s.tokens_input,
		.tokens_cached = s.tokens_cached,
		.tokens_cache_write = s.tokens_cache_write,
		.tokens_output = s.tokens_output,
		.tokens_reasoning = s.tokens_reasoning,
		.waited_ms = s.waited_ms,
		.money_usd = s.usd,
	};
	snprintf(u->model_served, sizeof u->model_served, "%s", s.models);
	snprintf(u->keys, sizeof u->keys, "%s", s.keys);
	w->result.has_judge = true;
	if (*s.diverged) {
		w->diverged = true;
		return err_set(err, ERR_LIMIT, 0, "the judge: %s", s.diverged);
	}
	if (!*s.failed.text)
		return 0;
	snprintf(w->result.cause, sizeof w->result.cause, CAUSE_PROVIDER);
	w->result.refused = s.failed.refused;
	err_set(err, ERR_INFRA, 0, "could not reach the judge %s: %s",
		w->attempt.judge.model ? w->attempt.judge.model : w->attempt.judge.model_id,
		s.failed.text);
	err->retry = s.failed.retry;
	return -1;
}
