/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/event.h"
#include "core/result.h"
#include "core/trial.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct result sample_result(void)
{
	struct result r;

	result_init(&r);
	r.run_id = xstrdup("20250824__12-34-56-0");
	memcpy(r.key, HEX64, sizeof r.key);
	r.attempt = 2;
	r.outcome = OUTCOME_TIMEOUT;
	snprintf(r.reason, sizeof r.reason, "timed out after 30 s");
	r.has_judge = true;
	r.judge = (struct model_usage){.calls = 3, .tokens_input = 1000, .money_usd = -1};
	snprintf(r.judge.model_served, sizeof r.judge.model_served, "claude-x");
	r.has_agent = true;
	r.agent.outcome = OUTCOME_TIMEOUT;
	r.agent.metrics.tokens_total = 12345;
	r.agent.metrics.money_usd = 0.00597;
	r.agent.diff_lines = 7;
	memcpy(r.agent.digest, HEX64, sizeof r.agent.digest);
	r.evaluated = r.scored = true;
	r.total_score = 2.0 / 3;
	r.coverage = 0.5;
	struct step_result *step = result_add_step(&r, "build");
	step->tests = 3;
	step->tests_passed = 2;
	score_set(scores_add(&step->scores, "API_KEY", 0.5), "tests", 0.25);
	scores_add(&step->scores, "clear", 0.25)->reason = xstrdup("nothing scores it");
	result_add_phase(&r, "agent", 1234);
	r.tests = 3;
	r.tests_passed = 2;
	r.sandbox = xstrdup("local");
	return r;
}

static void expect_score(const struct score *s, const char *id, const char *kind, double weight,
			 double value)
{
	assert_string_equal(s->id, id);
	if (kind)
		assert_string_equal(s->kind, kind);
	else
		assert_null(s->kind);
	assert_float_equal(s->weight, weight, 0);
	assert_true(s->known);
	assert_float_equal(s->value, value, 0);
	assert_null(s->reason);
}

static void expect_unscored(const struct score *s, const char *id, double weight,
			    const char *reason)
{
	assert_string_equal(s->id, id);
	assert_null(s->kind);
	assert_float_equal(s->weight, weight, 0);
	assert_false(s->known);
	assert_string_equal(s->reason, reason);
}

/* To JSON, to text, back: what the supervisor reads is what the worker meant. */
static void result_survives_its_json(void **state)
{
	struct result r = sample_result(), back;
	AUTO(json) json_t *j = result_to_json(&r);
	AUTO(json) json_t *again = NULL;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err err = {0};

	json_format(&text, j, true);
	assert_int_equal(json_parse(&again, text.data, text.len, "result.json", &err), 0);
	assert_int_equal(result_from_json(&back, again, "result.json", &err), 0);
	assert_string_equal(back.run_id, r.run_id);
	assert_string_equal(back.key, r.key);
	assert_string_equal(back.reason, r.reason);
	assert_int_equal(back.outcome, OUTCOME_TIMEOUT);
	assert_true(back.scored && back.has_agent && back.evaluated && !back.retry);
	assert_float_equal(back.total_score, 2.0 / 3, 1e-12);
	assert_int_equal(back.steps_n, 1);
	assert_string_equal(back.steps[0].name, "build");
	assert_int_equal(back.steps[0].tests_passed, 2);
	assert_int_equal(back.steps[0].scores.n, 2);
	expect_score(&back.steps[0].scores.v[0], "API_KEY", "tests", 0.5, 0.25);
	expect_unscored(&back.steps[0].scores.v[1], "clear", 0.25, "nothing scores it");
	assert_int_equal(back.phases_n, 1);
	assert_string_equal(back.phases[0].name, "agent");
	assert_int_equal(back.phases[0].ms, 1234);
	assert_true(back.has_judge);
	assert_int_equal(back.judge.calls, 3);
	assert_int_equal(back.judge.tokens_input, 1000);
	assert_float_equal(back.judge.money_usd, -1, 0);
	assert_string_equal(back.judge.model_served, "claude-x");
	assert_int_equal(back.agent.metrics.tokens_total, 12345);
	assert_int_equal(back.agent.metrics.tool_calls, -1);
	assert_float_equal(back.agent.metrics.money_usd, 0.00597, 1e-12);
	assert_string_equal(back.sandbox, "local");
	assert_null(back.workspace);
	result_release(&r);
	result_release(&back);
}

/* Programs before there were steps wrote the known scores only. */
static void an_older_result_keeps_its_scores(void **state)
{
	struct result r = sample_result(), back;
	AUTO(json) json_t *j = result_to_json(&r);
	struct err err = {0};

	assert_int_equal(json_object_del(j, "steps"), 0);
	assert_int_equal(result_from_json(&back, j, "result.json", &err), 0);
	assert_int_equal(back.steps_n, 1);
	assert_int_equal(back.steps[0].tests, 3);
	assert_int_equal(back.steps[0].scores.n, 1);
	expect_score(&back.steps[0].scores.v[0], "API_KEY", NULL, 0, 0.25);
	result_release(&r);
	result_release(&back);
}

static void unknown_is_null_not_zero(void **state)
{
	struct agent_record a = {.exit_status = -1, .metrics = agent_metrics_unknown};
	AUTO(json) json_t *j = agent_record_to_json(&a);
	const json_t *m = json_object_get(j, "metrics");

	assert_true(json_is_null(json_object_get(m, "tokens_total")));
	assert_true(json_is_null(json_object_get(m, "money_usd")));
}

static void expect_total(const struct score *v, size_t n, bool known, double value, double coverage)
{
	struct scores s = {.v = (struct score *)v, .n = n};
	struct total_score t = scores_total(&s, SCORING_SCORED);

	assert_int_equal(t.known, known);
	assert_float_equal(t.value, value, 1e-12);
	assert_float_equal(t.coverage, coverage, 1e-12);
}

#define KNOWN(w, x)                                                                                \
	{                                                                                          \
		.weight = (w), .known = true, .value = (x)                                         \
	}
#define UNSCORED(w)                                                                                \
	{                                                                                          \
		.weight = (w)                                                                      \
	}

static void totals_are_weighted_means(void **state)
{
	expect_total((struct score[]){KNOWN(0.4, 0.5), KNOWN(0.6, 1)}, 2, true, 0.8, 1);
	/* What nobody scored is outside the total, not a zero in it. */
	expect_total((struct score[]){KNOWN(0.5, 1), UNSCORED(0.5)}, 2, true, 1, 0.5);
	expect_total((struct score[]){KNOWN(3, 0), KNOWN(1, 1)}, 2, true, 0.25, 1);
	expect_total((struct score[]){UNSCORED(1)}, 1, false, 0, 0);
	expect_total((struct score[]){KNOWN(0, 1)}, 1, false, 0, -1);
	expect_total(NULL, 0, false, 0, -1);
}

static void expect_bounds(const struct score *v, size_t n, double strict, double low, double high)
{
	struct scores s = {.v = (struct score *)v, .n = n};
	struct total_score t = scores_total(&s, SCORING_STRICT);

	assert_float_equal(t.value, strict, 1e-12);
	assert_float_equal(t.low, low, 1e-12);
	assert_float_equal(t.high, high, 1e-12);
}

static void what_is_unscored_bounds_the_total(void **state)
{
	expect_bounds((struct score[]){KNOWN(0.4, 0.5), KNOWN(0.6, 1)}, 2, 0.8, 0.8, 0.8);
	expect_bounds((struct score[]){KNOWN(0.5, 1), UNSCORED(0.5)}, 2, 0.5, 0.5, 1);
	expect_bounds((struct score[]){KNOWN(1, 0.5), UNSCORED(3)}, 2, 0.125, 0.125, 0.875);
	expect_bounds((struct score[]){UNSCORED(1)}, 1, 0, 0, 1);
	expect_bounds(NULL, 0, 0, -1, -1);
}

/* As HealthBench has it: points for what is there, taken away for what should not be. */
static void negative_weights_take_away(void **state)
{
	expect_total((struct score[]){KNOWN(5, 1), KNOWN(5, 0), KNOWN(-2, 1)}, 3, true, 0.3, 1);
	expect_total((struct score[]){KNOWN(5, 1), KNOWN(-5, 0)}, 2, true, 1, 1);
	expect_total((struct score[]){KNOWN(1, 1), KNOWN(-9, 1)}, 2, true, 0, 1);
	expect_total((struct score[]){UNSCORED(5), KNOWN(-5, 0)}, 2, false, 0, 0.5);
	expect_bounds((struct score[]){KNOWN(6, 1), UNSCORED(2), UNSCORED(-4)}, 3, 0.75, 0.25, 1);
}

static void a_perfect_score_is_exactly_one(void **state)
{
	struct score three[] = {KNOWN(0.1, 1), KNOWN(0.2, 1), KNOWN(0.7, 1)};

	expect_total(three, 3, true, 1, 1);
	assert_true(scores_total(&(struct scores){.v = three, .n = 2}, SCORING_SCORED).value ==
		    1.0);
}

static void expect_refused(const char *member, json_t *value_take, const char *says)
{
	struct result r = sample_result(), back;
	AUTO(json) json_t *j = result_to_json(&r);
	struct err err = {0};

	json_put(j, member, value_take);
	assert_int_equal(result_from_json(&back, j, "result.json", &err), -1);
	assert_int_equal(err.kind, ERR_USAGE);
	assert_non_null(strstr(err.msg, says));
	result_release(&r);
}

static void damaged_results_are_refused(void **state)
{
	expect_refused("v", json_integer(2), "newer rollouts");
	expect_refused("outcome", json_string("splendid"), "splendid");
	expect_refused("total_score", json_real(7.5), "total_score");
	expect_refused("total_score", json_string("1"), "total_score");
	expect_refused("key", json_string("../../etc"), "\"key\"");
	expect_refused("run_id", json_null(), "\"run_id\" is missing");
	expect_refused("attempt", json_integer(1LL << 40), "\"attempt\"");
	expect_refused("scores", json_pack("{s:s}", "a", "high"), "\"scores\"");
	expect_refused("agent", json_pack("{s:i}", "v", 1), "\"agent\"");
}

static void long_text_is_cut_at_a_character(void **state)
{
	struct agent_record a;
	struct agent_record from = {.metrics = agent_metrics_unknown};
	AUTO(json) json_t *j = agent_record_to_json(&from);
	char text[600];
	struct err err = {0};

	for (size_t i = 0; i + 2 < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xa9", 3);
	json_put_str(j, "reason", text);
	assert_int_equal(agent_record_from_json(&a, j, "agent.json", &err), 0);
	assert_int_equal(strlen(a.reason), 254);
}

static struct attempt sample_attempt(void)
{
	struct attempt a = {
		.number = 1, .sync = true, .uid = 1234, .gateway = xstrdup("/run/gw.sock")};

	a.trial = (struct trial){.index = 4,
				 .run_id = xstrdup("S-4"),
				 .task_dir = xstrdup("tasks/a"),
				 .task_id = xstrdup("a"),
				 .task_hash = xstrdup(HEX64),
				 .task_snapshot = xstrdup("cache/tasks/x"),
				 .agent = xstrdup("codex"),
				 .model = xstrdup("gpt-5"),
				 .provider = xstrdup("openai"),
				 .api = xstrdup("responses"),
				 .model_id = xstrdup("gpt-5-2025"),
				 .launcher = xstrdup("local"),
				 .seed = -1,
				 .sandbox = SANDBOX_LOCAL,
				 .limits = limits_default,
				 .evaluate = true};
	memcpy(a.trial.key, HEX64, sizeof a.trial.key);
	kvs_set(&a.trial.env, "TIMEOUT_SEC", "1800");
	kvs_set(&a.trial.env, "OPENAI_API_KEY", "sk-leak");
	a.agent_spec = json_pack("{s:[s]}", "argv", "codex");
	a.judge = (struct judge){.provider = xstrdup("anthropic"),
				 .model_id = xstrdup("claude-x"),
				 .calls = 30,
				 .usd = 0.5};
	return a;
}

static void attempt_survives_without_its_secrets(void **state)
{
	struct attempt a = sample_attempt(), back;
	AUTO(json) json_t *j = attempt_to_json(&a);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err err = {0};

	json_format(&text, j, false);
	assert_null(strstr(text.data, "sk-leak"));
	assert_int_equal(attempt_from_json(&back, j, "trial.json", &err), 0);
	assert_string_equal(back.trial.run_id, "S-4");
	assert_string_equal(back.trial.variant, "");
	assert_string_equal(back.trial.provider, "openai");
	assert_string_equal(back.trial.api, "responses");
	assert_string_equal(back.trial.model_id, "gpt-5-2025");
	assert_string_equal(kvs_get(&back.trial.env, "TIMEOUT_SEC"), "1800");
	assert_int_equal(back.trial.limits.timeout_ms, limits_default.timeout_ms);
	assert_int_equal(back.trial.seed, -1);
	assert_int_equal(back.uid, 1234);
	assert_true(back.sync && back.trial.evaluate);
	assert_true(json_equal(back.agent_spec, a.agent_spec));
	assert_string_equal(back.judge.provider, "anthropic");
	assert_string_equal(back.judge.model_id, "claude-x");
	assert_int_equal(back.judge.calls, 30);
	assert_float_equal(back.judge.usd, 0.5, 0);
	attempt_release(&a);
	attempt_release(&back);
}

/* A gateway of the user's own serves every agent, that of the rollout those whose model has a provider. */
static void an_agent_asks_where_somebody_answers(void **state)
{
	struct attempt a = {.gateway = (char *)"g", .trial.provider = (char *)""};

	assert_true(attempt_agent_asks(&a));
	a.control = (char *)"c";
	assert_false(attempt_agent_asks(&a));
	a.trial.provider = (char *)"openai";
	assert_true(attempt_agent_asks(&a));
	a.agent_from = 1;
	assert_false(attempt_agent_asks(&a));
	a.agent_from = 0;
	a.gateway = NULL;
	assert_false(attempt_agent_asks(&a));
}

/* A plan of an earlier version names no provider. */
static void a_trial_without_a_provider_keeps_its_model(void **state)
{
	struct attempt a = sample_attempt();
	struct trial back;
	AUTO(json) json_t *j = trial_to_json(&a.trial);
	struct err err = {0};

	json_object_del(j, "provider");
	json_object_del(j, "api");
	json_object_del(j, "model_id");
	assert_int_equal(trial_from_json(&back, j, "plan.json", &err), 0);
	assert_string_equal(back.provider, "");
	assert_string_equal(back.api, "");
	assert_string_equal(back.model_id, "gpt-5");
	attempt_release(&a);
	trial_release(&back);
}

static void event_is_one_line(void **state)
{
	char line[256];
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	AUTO(buf) struct buf lines = BUF_INIT;
	event_add(&lines, json_pack("{s:s,s:s}", "event", EVENT_NOTE, "text", "two\nlines"));
	event_send(fds[1], &lines);
	assert_int_equal(lines.len, 0);
	close(fds[1]);
	line[read(fds[0], line, sizeof line - 1)] = '\0';
	close(fds[0]);
	assert_string_equal(line, "{\"event\":\"note\",\"text\":\"two\\nlines\"}\n");
}

static void every_outcome_has_a_name(void **state)
{
	for (int o = 0; o < OUTCOME_COUNT_; o++) {
		enum outcome back = OUTCOME_COUNT_;

		assert_true(outcome_parse(outcome_name((enum outcome)o), &back));
		assert_int_equal(back, o);
	}
	assert_true(outcome_is_missing(OUTCOME_INFRA_ERROR));
	assert_false(outcome_is_missing(OUTCOME_TIMEOUT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(result_survives_its_json),
		cmocka_unit_test(an_older_result_keeps_its_scores),
		cmocka_unit_test(totals_are_weighted_means),
		cmocka_unit_test(what_is_unscored_bounds_the_total),
		cmocka_unit_test(negative_weights_take_away),
		cmocka_unit_test(a_perfect_score_is_exactly_one),
		cmocka_unit_test(unknown_is_null_not_zero),
		cmocka_unit_test(damaged_results_are_refused),
		cmocka_unit_test(long_text_is_cut_at_a_character),
		cmocka_unit_test(attempt_survives_without_its_secrets),
		cmocka_unit_test(an_agent_asks_where_somebody_answers),
		cmocka_unit_test(a_trial_without_a_provider_keeps_its_model),
		cmocka_unit_test(event_is_one_line),
		cmocka_unit_test(every_outcome_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
