/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge check: a judge over examples that people have graded.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/gateway-serve.h"
#include "cmd/judge-report.h"
#include "cmd/options.h"
#include "config/config.h"
#include "eval/gold.h"
#include "eval/judge-ask.h"
#include "rollout/datasets.h"
#include "rollout/gateway-document.h"
#include "rollout/judge.h"

struct request {
	const char *gold, *config, *model, *data_dir;
	int64_t votes;
	bool json;
};

/* The votes on all examples, asked by a thread of its own while this one attends to the gateway. */
struct asking {
	const struct judge *judge;
	struct model_client client;
	struct judge_vote *votes;
	size_t n;
	int done_fd;
};

static void *ask(void *arg)
{
	struct asking *a = arg;
	const uint64_t one = 1;

	judge_ask(a->judge, &a->client, a->votes, a->n);
	if (write(a->done_fd, &one, sizeof one) < 0)
		return NULL;
	return NULL;
}

static json_t *make_document(const struct judge *j, const struct providers *p, const char *config,
			     struct strv *problems, struct err *err)
{
	json_t *doc = NULL;

	if (gateway_document_make(&doc, p, config, NULL, 0, j, true, problems, err))
		return NULL;
	/* One client that this process is itself: no accounts are needed, and nothing is recorded. */
	json_put_bool(doc, "control", false);
	json_put_bool(doc, "record", false);
	return doc;
}

/* A gateway that does not serve answers no thread: it is told to stop waiting. */
static int serve(struct asking *a, int listener, const json_t *document,
		 struct gateway_totals *totals, struct err *err)
{
	const uint64_t one = 1;
	AUTO(fd) int cancel = eventfd(0, EFD_CLOEXEC);
	pthread_t thread;

	a->client.cancel_fds[0] = cancel;
	if (pthread_create(&thread, NULL, ask, a))
		return err_set(err, ERR_INFRA, errno, "start a thread");
	int failed = gateway_serve(totals, listener, document, a->done_fd, err);
	if (failed && write(cancel, &one, sizeof one) < 0)
		return -1; /* which cannot be */
	pthread_join(thread, NULL);
	return failed;
}

/* The gateway's socket in a folder of its own: whoever can write to it spends the user's money. */
static int ask_all(struct asking *a, const json_t *document, struct gateway_totals *totals,
		   struct err *err)
{
	char folder[] = "/tmp/rollouts-judge-XXXXXX";

	if (!mkdtemp(folder))
		return err_set(err, ERR_INFRA, errno, "make a folder below /tmp");
	AUTO(free) char *path = path_join(folder, "socket");
	AUTO(fd) int listener = gateway_listen(path, err);
	int failed = listener < 0;
	if (!failed) {
		a->client.socket_fd = open(path, O_PATH | O_CLOEXEC);
		failed = a->client.socket_fd < 0 ? err_set(err, ERR_INFRA, errno, "open %s", path)
						 : serve(a, listener, document, totals, err);
		close(a->client.socket_fd);
	}
	unlink(path);
	rmdir(folder);
	return failed ? -1 : 0;
}

static int make_prompts(struct judge_prompt *out, const struct judge *j, const struct gold *g,
			struct err *err)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct gold_example *e = &g->v[i];
		unsigned char bytes[FENCE_CODE / 2];
		struct diff_parts parts;
		char code[FENCE_CODE];

		if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
			return err_set(err, ERR_INFRA, errno, "getrandom");
		for (size_t k = 0; k < sizeof bytes; k++)
			snprintf(code + 2 * k, 3, "%02x", bytes[k]);
		diff_parts_read(&parts, e->diff, strlen(e->diff));
		judge_prompt_make(&out[i], j, &e->rubric,
				  &(struct judge_material){.instruction = e->instruction,
							   .diff = &parts,
							   .tests = e->tests,
							   .files = &e->files},
				  code);
		diff_parts_release(&parts);
	}
	return 0;
}

static int check(const struct request *q, const struct judge *j, const struct gold *g,
		 const json_t *document, struct err *err)
{
	const size_t n = g->n * (size_t)j->votes;
	AUTO(free) struct judge_prompt *prompts = xcalloc(g->n + 1, sizeof *prompts);
	AUTO(free) struct judge_vote *votes = xcalloc(n + 1, sizeof *votes);
	AUTO(fd) int done = eventfd(0, EFD_CLOEXEC);
	struct asking a = {
		.judge = j,
		.client = {.token = "judge-check", .news_fd = -1, .cancel_fds = {-1, -1}},
		.votes = votes,
		.n = n,
		.done_fd = done};
	struct gateway_totals totals = {0};

	int failed = make_prompts(prompts, j, g, err);
	for (size_t i = 0; i < n; i++)
		votes[i] = (struct judge_vote){.prompt = &prompts[i / (size_t)j->votes],
					       .binary = g->v[i / (size_t)j->votes].rubric.binary};
	failed = failed || ask_all(&a, document, &totals, err);
	for (size_t i = 0; i < n && !failed; i++)
		if (votes[i].failed) {
			*err = votes[i].err;
			failed = err_wrap(err, "the judge");
		}
	if (!failed)
		failed = judge_report(j, g, votes, &totals, q->data_dir, q->json, err);
	for (size_t i = 0; i < g->n; i++)
		judge_prompt_release(&prompts[i]);
	for (size_t i = 0; i < n; i++)
		judge_vote_release(&votes[i]);
	return failed;
}

/* [judge] of the benchmark, if one is named, with what the command line says over it. */
static int choose(struct judge *j, const struct request *q, struct strv *problems, struct err *err)
{
	struct config_request config = {
		.path = q->config, .grading_only = true, .datasets = datasets_find};
	AUTO(providers) struct providers p = {0};
	struct bench bench;

	if (q->config) {
		bench_init(&bench);
		int rc = config_load(&bench, &config, problems, err);
		if (!rc) {
			*j = bench.judge;
			bench.judge = judge_default;
		}
		bench_release(&bench);
		if (rc)
			return -1;
	}
	if (q->model) {
		free(j->model);
		j->model = xstrdup(q->model);
	}
	if (q->votes)
		j->votes = (int)q->votes;
	j->enabled = JUDGE_ON;
	if (!j->model)
		return err_set(
			err, ERR_USAGE, 0,
			"whom to check: give --judge MODEL, or --config FILE with a [judge]");
	return providers_load(&p, q->config, problems, err) || judge_settle(j, &p, err) ? -1 : 0;
}

static int run(const struct request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *document = NULL;
	AUTO(providers) struct providers p = {0};
	struct judge j = judge_default;
	struct gold g = {0};
	struct err err;

	int failed = gold_read(&g, q->gold, &problems, &err) || choose(&j, q, &problems, &err) ||
		     providers_load(&p, q->config, &problems, &err);
	if (!failed) {
		document = make_document(&j, &p, q->config, &problems, &err);
		failed = !document;
	}
	failed = failed || check(q, &j, &g, document, &err);
	gold_release(&g);
	judge_release(&j);
	return !failed ? CMD_OK : problems.n ? cmd_refuse(&problems, &err) : cmd_fail(&err);
}

int cmd_judge(int argc, char **argv)
{
	struct request q = {.data_dir = "data"};
	const struct option options[] = {
		{.name = "judge",
		 .arg = "MODEL",
		 .kind = OPTION_STR,
		 .target = &q.model,
		 .help = "the model to be checked"},
		{.name = "config",
		 .arg = "CONFIG",
		 .kind = OPTION_STR,
		 .target = &q.config,
		 .help = "a benchmark whose [judge] is checked, as it is set there"},
		{.name = "votes",
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &q.votes,
		 .min = 1,
		 .max = 99,
		 .help = "answers to each example"},
		{.name = "json",
		 .kind = OPTION_FLAG,
		 .target = &q.json,
		 .help = "print a JSON document"},
		OPTION_DATA_DIR(&q.data_dir),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "judge",
		.operands = "check GOLD",
		.min = 2,
		.max = 2,
		.summary = "check a judging model against examples that people have graded",
		.text = "GOLD holds one example a line, in JSON: docs/judge.md has its members, "
			"examples/judge a set.\n"
			"What is found is kept in the data folder, and `summarize` corrects by it "
			"the "
			"share of rubrics\n"
			"that this judge, asked in this way, says are met.",
		.options = options,
		.examples =
			"rollouts judge check examples/judge/gold.jsonl --judge claude-sonnet-5\n"
			"rollouts judge check gold.jsonl --config bench.toml --votes 3\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);
	struct err err;

	if (status >= 0)
		return status;
	if (strcmp(operands.v[0], "check") != 0) {
		err_set(&err, ERR_USAGE, 0,
			"unknown \"judge %.40s\"; there is: rollouts judge check GOLD",
			operands.v[0]);
		return cmd_fail(&err);
	}
	q.gold = operands.v[1];
	return run(&q);
}
