/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "sched/queue.h"
#include "store/create.h"
#include "store/manifest.h"
#include "store/progress.h"
#include "store/planfile.h"
#include "store/rundir.h"
#include "store-fixture.h"

static void test_names(void **state)
{
	assert_true(store_name_is_valid("my bench-1.2"));
	assert_false(store_name_is_valid("temp"));
	assert_false(store_name_is_valid("a/b"));
	assert_false(store_name_is_valid(".."));
	assert_false(store_name_is_valid(""));
	assert_false(store_name_is_valid("a\nb"));
}

static void test_stamps_are_shared_by_nobody(void **state)
{
	struct rollout_ref a, b, c;
	struct err err;

	assert_int_equal(create_rollout(*state, "one", &a, &err), 0);
	assert_int_equal(create_rollout(*state, "two", &b, &err), 0);
	assert_string_not_equal(a.stamp, b.stamp);
	create_undo(*state, &b);
	assert_int_equal(create_rollout(*state, "two", &c, &err), 0);
	assert_true(strcmp(c.stamp, a.stamp) > 0);
	rollout_ref_release(&a);
	rollout_ref_release(&b);
	rollout_ref_release(&c);
}

static void test_a_claim_without_a_plan_is_no_rollout(void **state)
{
	struct rollout_ref ref, *refs;
	struct err err;
	size_t n;

	assert_int_equal(create_rollout(*state, "one", &ref, &err), 0);
	assert_int_equal(store_list(*state, NULL, &refs, &n, &err), 0);
	assert_int_equal(n, 0);
	free(refs);
	rollout_ref_release(&ref);
}

static void test_find_by_stamp_prefix_and_tag(void **state)
{
	struct rollout_ref first, second, found;
	struct planfile p, q;
	int fd, gd;
	struct err err;
	AUTO(strv) struct strv tags = STRV_INIT;

	make_rollout(*state, "one", 1, &first, &p, &fd);
	make_rollout(*state, "one", 1, &second, &q, &gd);
	strv_push(&tags, "baseline");
	assert_int_equal(store_tags_write(*state, &first, &tags, &err), 0);
	const char *selectors[] = {first.stamp, "baseline", NULL, second.stamp};
	for (size_t i = 0; i < ARRAY_SIZE(selectors); i++) {
		assert_int_equal(store_find(*state, "one", selectors[i], &found, &err), 0);
		assert_string_equal(found.stamp, i < 2 ? first.stamp : second.stamp);
		rollout_ref_release(&found);
	}
	assert_int_equal(store_find(*state, "one", "20", &found, &err), -1);
	assert_non_null(strstr(err.msg, "more than one"));
	assert_int_equal(store_find(*state, "one", "1999", &found, &err), -1);
	assert_non_null(strstr(err.msg, first.stamp));
	assert_int_equal(store_find(*state, "nine", NULL, &found, &err), -1);
	assert_non_null(strstr(err.msg, "one"));
	release_rollout(&first, &p, fd);
	release_rollout(&second, &q, gd);
}

static void test_plan_comes_back(void **state)
{
	struct rollout_ref ref;
	struct planfile p, back;
	struct err err;
	int fd;

	make_rollout(*state, "one", 3, &ref, &p, &fd);
	assert_int_equal(planfile_read(&back, fd, ref.path, &err), 0);
	assert_int_equal(back.n, 3);
	assert_string_equal(back.trials[2].run_id, p.trials[2].run_id);
	assert_string_equal(back.trials[2].key, p.trials[2].key);
	assert_null(back.gateway);
	planfile_release(&back);
	/* Whole or not at all. */
	AUTO(buf) struct buf text = BUF_INIT;
	assert_int_equal(path_read(fd, ROLLOUT_PLAN, 1 << 20, &text, &err), 0);
	assert_int_equal(path_write(fd, ROLLOUT_PLAN, text.data, text.len - 5, 0644, false, &err),
			 0);
	assert_int_equal(planfile_read(&back, fd, ref.path, &err), -1);
	release_rollout(&ref, &p, fd);
}

static json_t *finished(const char *outcome, bool regrade, double score)
{
	AUTO(json) json_t *result = json_object();
	enum outcome o;

	assert_true(outcome_parse(outcome, &o));
	json_put_bool(result, "regrade", regrade);
	if (score >= 0)
		json_put_real(result, "total_score", score);
	return progress_finished(o, result);
}

static bool apply_end(struct trial_progress *m, int attempt, json_t *fields_take)
{
	AUTO(json) json_t *fields = fields_take;

	return progress_apply(m, EVENT_FINISHED, attempt, fields);
}

static void test_marks(void **state)
{
	struct trial_progress m = {0};

	progress_apply(&m, EVENT_STARTED, 1, NULL);
	assert_int_equal(m.state, TRIAL_RUNNING);
	progress_apply(&m, EVENT_AGENT_DONE, 1, NULL);
	assert_true(apply_end(&m, 1, finished("infra_error", false, -1)));
	assert_false(progress_has_result(&m));
	AUTO(json) json_t *goes_on = json_pack("{s:i}", "agent_from", 1);
	progress_apply(&m, EVENT_STARTED, 2, goes_on);
	assert_true(apply_end(&m, 2, finished("completed", false, 0.5)));
	assert_true(progress_has_result(&m));
	assert_int_equal(m.agent_committed, 1);
	/* The first result of an attempt wins, an earlier attempt's comes too late. */
	assert_false(apply_end(&m, 2, finished("completed", false, 0.9)));
	assert_false(apply_end(&m, 1, finished("completed", false, 0.9)));
	assert_true(m.total_score == 0.5);
	/* A grade that failed takes nothing away, one that was made replaces. */
	assert_false(apply_end(&m, 3, finished("infra_error", true, -1)));
	assert_true(m.total_score == 0.5);
	assert_true(apply_end(&m, 4, finished("completed", true, 1)));
	assert_true(m.total_score == 1);
	assert_false(progress_apply(&m, "of a later version", 5, NULL));
	progress_release(&m);

	/* An agent that is started again replaces what was committed, whatever becomes of it. */
	progress_apply(&m, EVENT_STARTED, 9, NULL);
	assert_int_equal(m.agent_committed, 0);
	progress_apply(&m, EVENT_AGENT_DONE, 1, NULL);
	assert_int_equal(m.agent_committed, 0);
	progress_apply(&m, EVENT_AGENT_DONE, 9, NULL);
	assert_int_equal(m.agent_committed, 9);
}

static void test_rollout_reads_running_as_interrupted(void **state)
{
	struct rollout_ref ref;
	struct planfile p;
	struct rollout r;
	struct journal *j;
	struct err err;
	int fd;

	make_rollout(*state, "one", 2, &ref, &p, &fd);
	assert_int_equal(journal_open(&j, fd, &err), 0);
	journal_add(j, EVENT_STARTED, &p.trials[1], 1, NULL);
	assert_int_equal(journal_flush(j, &err), 0);
	assert_int_equal(rollout_load(&r, *state, &ref, &err), 0);
	assert_true(r.live);
	assert_int_equal(r.trials[1].state, TRIAL_RUNNING);
	rollout_release(&r);
	assert_int_equal(journal_close(j, &err), 0);
	assert_int_equal(rollout_load(&r, *state, &ref, &err), 0);
	assert_false(r.live);
	assert_int_equal(r.trials[0].state, TRIAL_PLANNED);
	assert_int_equal(r.trials[1].state, TRIAL_INTERRUPTED);
	assert_int_equal(r.trials[1].attempts, 1);
	assert_false(rollout_is_complete(&r));
	rollout_release(&r);
	release_rollout(&ref, &p, fd);
}

/* What is counted stands before the whole result, which is not parsed then; an older program wrote it there alone. */
static void test_results_are_found_in_old_and_new_lines(void **state)
{
	AUTO(json) json_t *result = json_pack(
		"{s:s,s:s,s:f,s:s,s:{s:{s:i,s:i,s:i,s:f}}}", "outcome", "timeout", "reason",
		"out, \"calls\": of time", "total_score", .25, "task_hash", "abc", "agent",
		"metrics", "tokens_total", 120, "tool_calls", 7, "calls", 3, "money_usd", .5);
	struct rollout_ref ref;
	struct planfile p;
	struct journal *journal;
	struct rollout r;
	struct err err;
	int fd;

	make_rollout(*state, "one", 2, &ref, &p, &fd);
	assert_int_equal(journal_open(&journal, fd, &err), 0);
	journal_add(journal, EVENT_STARTED, &p.trials[0], 1, NULL);
	journal_add(journal, EVENT_FINISHED, &p.trials[0], 1,
		    progress_finished(OUTCOME_TIMEOUT, result));
	journal_add(journal, EVENT_STARTED, &p.trials[1], 1, NULL);
	journal_add(journal, EVENT_FINISHED, &p.trials[1], 1,
		    json_pack("{s:s,s:O}", "outcome", "timeout", "result", result));
	assert_int_equal(journal_close(journal, &err), 0);
	assert_int_equal(rollout_load(&r, *state, &ref, &err), 0);
	for (size_t i = 0; i < 2; i++) {
		const struct trial_result *got = &r.trials[i].result;
		assert_true(r.trials[i].has_result && got->scored);
		assert_int_equal(got->outcome, OUTCOME_TIMEOUT);
		assert_string_equal(got->reason, "out, \"calls\": of time");
		assert_string_equal(got->origin->task_hash, "abc");
		assert_true(got->total_score == .25 && got->money_usd == .5);
		assert_int_equal(got->tokens, 120);
		assert_int_equal(got->tool_calls, 7);
		assert_int_equal(got->calls, 3);
	}
	rollout_release(&r);
	release_rollout(&ref, &p, fd);
}

static void test_run_directory(void **state)
{
	struct store *s = *state;
	struct attempt a = {.number = 1};
	const struct planfile plan = {.id = (char *)"0123456789abcdef"};
	struct rundir_left left;
	struct err err;
	struct stat st;

	fill_trial(&a.trial, 7, "20250824__12-34-56");
	assert_int_equal(rundir_make(s->root_fd, &a, &err), 0);
	a.number = 2;
	assert_int_equal(rundir_make(s->root_fd, &a, &err), 0);
	assert_int_equal(rundir_make(s->root_fd, &a, &err), -1);
	assert_int_equal(rundir_last_attempt(s->root_fd, a.trial.run_id), 2);
	assert_int_equal(fstatat(s->root_fd, "runs/20250824__12-34-56-7", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_true(path_exists(s->root_fd, "runs/20250824__12-34-56-7/attempts/2/trial.json"));
	rundir_look(s->root_fd, &plan, &a.trial, 2, &left);
	assert_null(left.result);
	assert_false(left.agent_committed);
	trial_release(&a.trial);
}

/* Whoever owns a run directory may put links in it: they lead nowhere. */
static void test_a_link_for_an_attempt_is_not_followed(void **state)
{
	struct store *s = *state;
	struct attempt a = {.number = 1};
	const struct planfile plan = {0};
	struct rundir_left left;
	struct err err;

	fill_trial(&a.trial, 0, "20250824__12-34-56");
	assert_int_equal(rundir_make(s->root_fd, &a, &err), 0);
	assert_int_equal(mkdirat(s->root_fd, "elsewhere", 0700), 0);
	assert_int_equal(
		symlinkat("../../../elsewhere", s->root_fd, "runs/20250824__12-34-56-0/attempts/2"),
		0);
	a.number = 2;
	assert_int_equal(rundir_make(s->root_fd, &a, &err), -1);
	assert_false(path_exists(s->root_fd, "elsewhere/trial.json"));
	assert_int_equal(symlinkat("/etc/passwd", s->root_fd,
				   "runs/20250824__12-34-56-0/attempts/1/result.json"),
			 0);
	rundir_look(s->root_fd, &plan, &a.trial, 1, &left);
	assert_null(left.result);
	trial_release(&a.trial);
}

static void test_manifest_state(void **state)
{
	struct rollout_ref ref;
	struct planfile p;
	struct trial_progress progress[2] = {0};
	struct err err;
	int fd;

	make_rollout(*state, "one", 2, &ref, &p, &fd);
	struct manifest m = {*state, &ref, &p, progress, fd};
	assert_int_equal(manifest_begin(&m, &err), 0);
	assert_int_equal(manifest_write(&m, "incomplete", &err), 0);
	AUTO(free) char *text = manifest_state(*state, &ref);
	assert_string_equal(text, "incomplete");
	AUTO(json) json_t *j = NULL;
	assert_int_equal(json_read(&j, fd, "manifest.json", 1 << 20, &err), 0);
	assert_int_equal(json_array_size(json_object_get(j, "results")), 2);
	release_rollout(&ref, &p, fd);
}

static void test_queue_order(void **state)
{
	struct queue q;
	size_t item;

	queue_init(&q, 2);
	queue_retry(&q, 7, 300);
	queue_retry(&q, 8, 100);
	queue_retry(&q, 9, 200);
	assert_int_equal(queue_next_due(&q), 100);
	assert_true(queue_peek(&q, 50, true, &item));
	assert_int_equal(item, 0);
	assert_false(queue_peek(&q, 50, false, &item));
	static const size_t due[] = {8, 9, 7, 0, 1};
	for (size_t i = 0; i < ARRAY_SIZE(due); i++) {
		assert_true(queue_peek(&q, 1000, true, &item));
		assert_int_equal(item, due[i]);
		queue_pop(&q, 1000);
	}
	assert_true(queue_is_empty(&q, true));
	queue_release(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_stamps_are_shared_by_nobody, store_setup,
						store_teardown),
		cmocka_unit_test_setup_teardown(test_a_claim_without_a_plan_is_no_rollout,
						store_setup, store_teardown),
		cmocka_unit_test_setup_teardown(test_find_by_stamp_prefix_and_tag, store_setup,
						store_teardown),
		cmocka_unit_test_setup_teardown(test_plan_comes_back, store_setup, store_teardown),
		cmocka_unit_test(test_marks),
		cmocka_unit_test_setup_teardown(test_rollout_reads_running_as_interrupted,
						store_setup, store_teardown),
		cmocka_unit_test_setup_teardown(test_results_are_found_in_old_and_new_lines,
						store_setup, store_teardown),
		cmocka_unit_test_setup_teardown(test_run_directory, store_setup, store_teardown),
		cmocka_unit_test_setup_teardown(test_a_link_for_an_attempt_is_not_followed,
						store_setup, store_teardown),
		cmocka_unit_test_setup_teardown(test_manifest_state, store_setup, store_teardown),
		cmocka_unit_test(test_queue_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
