/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/far-accounts.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

struct far_account {
	char *attach, *asked; /* its messages; asked: one that is not answered yet, NULL: none */
	bool attached;
	json_t *base; /* the state of those before, NULL: there were none */
	json_t *last; /* the last one that the worker was told */
};

void far_account_sent(struct stream *s, const char *text, size_t n)
{
	AUTO(json) json_t *j = json_loadb(text, n, 0, NULL);
	const bool attaches = !strcmp(json_get_str(j, "op", ""), "attach");

	if (!s->account)
		s->account = xcalloc(1, sizeof *s->account);
	char **to = attaches ? &s->account->attach : &s->account->asked;
	free(*to);
	*to = xstrndup(text, n);
}

static const char *const counts[] = {
	"waited_ms",	      "calls",	       "tokens_input",	   "tokens_cached",
	"tokens_cache_write", "tokens_output", "tokens_reasoning", "estimated"};

static void add(json_t *state, const json_t *base)
{
	static const char *const lists[] = {"models", "keys"};
	const double usd = json_get_real(state, "usd", -1), before = json_get_real(base, "usd", -1);

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		json_put_int(state, counts[i],
			     json_get_int(state, counts[i], 0) + json_get_int(base, counts[i], 0));
	if (usd < 0 || before < 0)
		json_put(state, "usd", json_null());
	else
		json_put_real(state, "usd", usd + before);
	if (json_get_bool(base, "answered", false))
		json_put_bool(state, "answered", true);
	if (*json_get_str(base, "limit", "") && !*json_get_str(state, "limit", ""))
		json_put_str(state, "limit", json_get_str(base, "limit", ""));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (!json_array_size(json_object_get(state, lists[i])))
			json_put(state, lists[i], json_copy(json_object_get(base, lists[i])));
}

bool far_account_came(struct stream *s, struct buf *text)
{
	struct far_account *a = s->account;
	AUTO(json) json_t *j = json_loadb(text->data, text->len, 0, NULL);
	AUTO(json) json_t *asked = a && a->asked ? json_loads(a->asked, 0, NULL) : NULL;
	const char *event = json_get_str(j, "event", "");

	if (!a)
		return true;
	if (!strcmp(event, "attached")) {
		const bool again = a->attached;
		a->attached = true;
		return !again;
	}
	if (strcmp(event, "state") != 0)
		return true;
	if (a->base)
		add(j, a->base);
	json_decref(a->last);
	a->last = json_incref(j);
	if (asked && json_get_int(asked, "ask", -1) == json_get_int(j, "ask", -2)) {
		free(a->asked);
		a->asked = NULL;
	}
	buf_reset(text);
	json_format(text, j, false);
	return true;
}

bool far_account_cut(struct stream *s)
{
	struct far_account *a = s->account;

	if (!a || !a->attach || s->ended || s->heard_end)
		return false;
	if (a->last) {
		json_decref(a->base);
		a->base = json_deep_copy(a->last);
	}
	s->on_its_way = 0;
	return true;
}

void far_account_spent(struct stream *s, const char *text, size_t n)
{
	struct far_account *a = s->account;
	AUTO(json) json_t *j = json_loadb(text, n, 0, NULL);

	if (!a || !json_is_object(j))
		return;
	/* How long it waited is known here alone. */
	json_put_int(j, "waited_ms", json_get_int(a->base, "waited_ms", 0));
	json_put_str(j, "limit", json_get_str(a->base, "limit", ""));
	json_decref(a->base);
	a->base = STEAL(&j);
}

void far_account_again(struct stream *s, struct frames *frames)
{
	const struct far_account *a = s->account;

	frames_send(frames, FRAME_OPEN, s->id, "c", 1);
	frames_send(frames, FRAME_DATA, s->id, a->attach, strlen(a->attach));
	if (a->asked)
		frames_send(frames, FRAME_DATA, s->id, a->asked, strlen(a->asked));
}

void far_account_free(struct far_account *a)
{
	if (!a)
		return;
	free(a->attach);
	free(a->asked);
	json_decref(a->base);
	json_decref(a->last);
	free(a);
}
