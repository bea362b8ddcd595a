/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Threads, since what asks a model blocks: they share nothing but the list of votes, and none is left when judge_ask
 * returns, so that whoever forks afterwards has one thread again.
 */
#include "eval/judge-ask.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

enum {
	THREADS = 32,
	STACK_BYTES = 512 << 10,
	WORDS_BYTES = 300, /* of a model's own words in a reason */
	ANSWER_TOKENS = 16384,
};

struct asking {
	const struct judge *judge;
	const struct model_client *client;
	const struct answer_form *form;
	struct judge_vote *votes;
	size_t n;
	atomic_size_t next;
};

static void keep_exchange(struct judge_vote *v, const struct reply *r)
{
	json_t *j = json_object();

	if (r->status)
		json_put_int(j, "status", r->status);
	json_put_strn(j, "answer", r->text.data, r->text.len);
	json_put_str(j, "stopped", r->stuck ? r->stuck : r->cut ? "cut at its output limit" : NULL);
	json_put(j, "input", r->input >= 0 ? json_integer(r->input) : json_null());
	json_put(j, "cached", r->cached >= 0 ? json_integer(r->cached) : json_null());
	json_put(j, "output", r->output >= 0 ? json_integer(r->output) : json_null());
	json_array_append_new(v->exchanges, j);
}

/* A status by which not this request was refused, but whoever asks, or the model. */
static bool is_unreachable(int status)
{
	return status == 401 || status == 402 || status == 403 || status == 404 || status == 407 ||
	       status == 408;
}

/* Why R is no verdict, in WHY; left empty where V has one. */
static void read_reply(struct judge_vote *v, const struct reply *r, struct buf *why)
{
	judge_verdict_release(&v->verdict);
	if (r->stuck)
		buf_addf(why, "the judge did not answer: %s", r->stuck);
	else if (r->refused)
		buf_addf(why, "the judge refused: %.*s",
			 (int)text_cut(r->text.data,
				       r->text.len < WORDS_BYTES ? r->text.len : WORDS_BYTES),
			 r->text.data);
	else if (r->cut)
		buf_adds(why, "the judge's answer was cut at its output limit");
	else if (!r->text.len)
		buf_adds(why, "the judge's answer is empty");
	else {
		AUTO(buf) struct buf wrong = BUF_INIT;
		judge_form_read(&v->verdict, r->text.data, r->text.len, v->binary, &wrong);
		if (v->verdict.kind == VERDICT_INVALID)
			buf_addf(why, "the judge's answer is no verdict: %s", wrong.data);
	}
}

/* Where it said something it is told what was wrong with that; what it did not say cannot be sent back. */
static void ask_again(struct conversation *t, const struct judge_vote *v, const char *why,
		      bool said)
{
	AUTO(free)
	char *order =
		xasprintf("That is not an answer that can be used: %s. Answer again, with the JSON "
			  "object alone.",
			  why);

	if (said) {
		conversation_say(t, order);
		return;
	}
	json_array_clear(t->history);
	conversation_say(t, v->prompt->text.data);
}

static int ask_once(struct conversation *t, const struct model_client *client, struct judge_vote *v,
		    struct buf *why, bool *said, bool *answered)
{
	AUTO(reply) struct reply r = REPLY_INIT;
	int how = conversation_ask(t, client, &r, &v->err);

	*said = *answered = false;
	if (how < 0)
		return -1;
	if (how == ASKED_LATE)
		return err_retry(&v->err, 0, "the judge did not answer in time");
	keep_exchange(v, &r);
	if (how == ASKED_REFUSED && is_unreachable(r.status))
		return err_set(&v->err, ERR_INFRA, 0, "%s", r.stuck);
	read_reply(v, &r, why);
	*said = r.text.len && !r.refused && !r.stuck && !r.cut;
	*answered = !r.status;
	return 0;
}

static void set_reason(struct judge_vote *v, const char *text)
{
	AUTO(buf) struct buf line = BUF_INIT;

	text_renders(&line, text, TEXT_TERMINAL_LINE);
	free(v->reason);
	v->reason = xstrndup(line.data,
			     text_cut(line.data, line.len < WORDS_BYTES ? line.len : WORDS_BYTES));
}

void judge_vote_check(struct judge_vote *v)
{
	const struct judge_control *c = &v->prompt->control;

	v->control_wrong =
		*c->text && v->verdict.kind != VERDICT_INVALID && v->verdict.control != c->is_true;
}

static void ask_vote(struct asking *a, struct judge_vote *v)
{
	const int api = api_find(a->judge->api);
	struct conversation t = {.dialect = dialects[api],
				 .model = a->judge->model_id,
				 .system = xstrdup(judge_system),
				 .form = a->form,
				 .max_output = api == API_ANTHROPIC ? ANSWER_TOKENS : 0,
				 .history = json_array(),
				 .plain = true};
	AUTO(buf) struct buf why = BUF_INIT;
	bool said, answered;

	v->exchanges = json_array();
	conversation_say(&t, v->prompt->text.data);
	v->failed = ask_once(&t, a->client, v, &why, &said, &answered);
	/* A request that is refused as it stands is so the next time. */
	if (!v->failed && why.len && answered) {
		ask_again(&t, v, why.data, said);
		buf_reset(&why);
		v->failed = ask_once(&t, a->client, v, &why, &said, &answered);
	}
	if (!v->failed && why.len)
		set_reason(v, why.data);
	else if (!v->failed && v->verdict.kind == VERDICT_CANNOT_TELL)
		set_reason(v, "the judge says that it cannot tell");
	v->dropped = t.dropped;
	judge_vote_check(v);
	conversation_release(&t);
}

static void *work(void *arg)
{
	struct asking *a = arg;
	size_t i;

	while ((i = atomic_fetch_add(&a->next, 1)) < a->n)
		if (!a->votes[i].reused)
			ask_vote(a, &a->votes[i]);
	return NULL;
}

void judge_ask(const struct judge *j, const struct model_client *client, struct judge_vote *votes,
	       size_t n)
{
	AUTO(json) json_t *schema = judge_form_schema();
	const struct answer_form form = {.name = JUDGE_FORM_NAME,
					 .schema = schema,
					 .effort = j->effort,
					 .temperature = j->temperature,
					 .top_p = j->top_p};
	struct asking a = {.judge = j, .client = client, .form = &form, .votes = votes, .n = n};
	pthread_t threads[THREADS];
	pthread_attr_t attr;
	size_t started = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	while (started < THREADS && started + 1 < n &&
	       !pthread_create(&threads[started], &attr, work, &a))
		started++;
	pthread_attr_destroy(&attr);
	/* This one works as well: were there no other to be had, all would still be asked. */
	work(&a);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

void judge_vote_release(struct judge_vote *v)
{
	judge_verdict_release(&v->verdict);
	free(v->reason);
	json_decref(v->exchanges);
	*v = (struct judge_vote){0};
}
