/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/cost.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "core/datadir.h"
#include "model/call-log.h"

enum { LOG_MAX = 1 << 30, TRIAL_MAX = 16 << 20 };

/* As the gateway adds up its totals. */
static void add_log(struct journal_cost *to, const struct session *s, const char *run_id,
		    int attempt, const char *name)
{
	AUTO(free) char *path = datadir_attempt_file(run_id, attempt, name);
	AUTO(buf) struct buf log = BUF_INIT;
	struct call_log_sum sum = {0};
	struct err ignored; /* it never came to a call */

	if (path_read_beneath(s->store.root_fd, path, LOG_MAX, &log, &ignored))
		return;
	call_log_add_up(&sum, log.data, log.len);
	to->calls += sum.calls;
	to->tokens += sum.tokens;
	to->usd += sum.usd;
	to->unpriced_calls += sum.unpriced_calls;
}

/* And what was under way as a gateway was killed, as it was estimated before it was sent. */
static void add_logs(struct journal_cost *to, const struct session *s, const char *run_id,
		     int attempt, const char *ended, const char *under_way)
{
	add_log(to, s, run_id, attempt, ended);
	add_log(to, s, run_id, attempt, under_way);
}

/* An attempt that only grades has taken the log over from the one whose work it is. */
static bool asked_itself(const struct session *s, const char *run_id, int attempt)
{
	AUTO(free) char *path = datadir_attempt_file(run_id, attempt, ATTEMPT_TRIAL);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	if (path_read_beneath(s->store.root_fd, path, TRIAL_MAX, &text, &ignored))
		return false;
	AUTO(json) json_t *j = json_loadb(text.data, text.len, 0, NULL);
	return json_get_int(j, "agent_from", 0) == 0;
}

void cost_of_attempt(struct journal_cost *to, const struct session *s, size_t i, int attempt)
{
	const struct trial *t = &s->plan.trials[i];

	if (*t->provider && (attempt == 1 || asked_itself(s, t->run_id, attempt)))
		add_logs(to, s, t->run_id, attempt, ATTEMPT_CALLS, ATTEMPT_CALLS_OPEN);
	add_logs(to, s, t->run_id, attempt, ATTEMPT_JUDGE_CALLS, ATTEMPT_JUDGE_CALLS_OPEN);
}

static void raise_to(int64_t *to, int64_t n)
{
	*to = *to > n ? *to : n;
}

void cost_raise(struct journal_cost *out, const struct session *s)
{
	struct journal_cost logged = {0};

	for (size_t i = 0; i < s->plan.n; i++)
		for (int a = 1; a <= s->progress[i].attempts; a++)
			cost_of_attempt(&logged, s, i, a);
	raise_to(&out->calls, logged.calls);
	raise_to(&out->tokens, logged.tokens);
	raise_to(&out->unpriced_calls, logged.unpriced_calls);
	if (logged.usd > out->usd)
		out->usd = logged.usd;
}
