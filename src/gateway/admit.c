/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether a request may be, what it says of itself, and which provider it goes to.
 */
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "gateway/internal.h"
#include "net/decode.h"

void admit_head(struct call *c, const char *method, bool upgrade, const char *token)
{
	AUTO(buf) struct buf key = BUF_INIT;

	snprintf(c->asked.method, sizeof c->asked.method, "%s", method);
	c->asked.endpoint = endpoint_of(method, c->asked.uri, upgrade);
	endpoint_strip_key(c->asked.uri, &c->asked.target, &key);
	if (c->gw->doc.secret || c->gw->doc.control) {
		struct account *a = accounts_find(c->gw, token ? token : key.data);
		if (!a)
			answer_own(c, 401, "the token is not that of a trial that runs now");
		else if (!accounts_join(c, a))
			answer_own(c, 429, "too many requests of this trial are under way");
	}
	explicit_bzero(key.data, key.len);
	if (c->answer.done)
		return;
	if (c->asked.endpoint.kind == ENDPOINT_UPGRADE)
		answer_own(c, 426, "no WebSocket here: send the request by POST");
	else if (c->asked.endpoint.kind == ENDPOINT_METHOD)
		answer_own(c, 405, "this path does not take that method");
	else if (c->asked.endpoint.kind == ENDPOINT_NONE)
		answer_own(c, 404, "the gateway does not pass this path on");
}

static const struct upstream *any_provider(const struct setup *d, unsigned apis)
{
	for (size_t i = 0; i < d->providers_n; i++)
		if (d->providers[i].apis & apis)
			return &d->providers[i];
	return NULL;
}

/* By way of whom C's attempt asks: its own provider, or that of another model that was declared. False: it was refused. */
static bool find_own(struct call *c, const struct upstream **own, const char **model_id)
{
	struct account *a = c->account;
	const char *model = c->asked.names.model;
	char message[320];

	*own = a->provider;
	if (!a->declared || !*model)
		return true;
	const struct account_use *use = accounts_declared(a, model);
	if (use) {
		*own = use->provider;
		*model_id = use->model;
		return true;
	}
	if (!*a->sum.undeclared)
		snprintf(a->sum.undeclared, sizeof a->sum.undeclared, "%s", model);
	snprintf(message, sizeof message,
		 "the benchmark does not declare the model %.200s: this trial may ask %s%s", model,
		 a->model, a->uses_n > 1 ? " and those of its roles" : "");
	answer_own(c, 403, message);
	return false;
}

/* An attempt's token buys nothing but the models that were declared, each by its own provider. */
bool admit_route(struct call *c)
{
	const struct setup *d = &c->gw->doc;
	const struct upstream *own = NULL;
	const char *model = c->asked.names.model;
	if (c->account && !find_own(c, &own, &model))
		return false;
	const struct model_route *rule = setup_model(d, model, own);
	char message[320];

	c->provider = own ? own : rule ? rule->provider : NULL;
	if (rule)
		c->price = &rule->price;
	if (c->asked.endpoint.kind == ENDPOINT_MODELS) {
		if (!c->provider)
			c->provider = any_provider(d, ~0u);
		/* Whose shape it is is the provider's matter; the key goes where that looks for it. */
		while (c->provider && !(c->provider->apis >> c->asked.endpoint.api & 1))
			c->asked.endpoint.api = (c->asked.endpoint.api + 1) % API_COUNT;
	} else if (!c->provider && d->providers_n == 1) {
		c->provider = &d->providers[0];
	}
	if (!c->provider) {
		snprintf(message, sizeof message, "no provider is known for model %s",
			 *c->asked.names.model ? c->asked.names.model : "(none)");
		answer_own(c, 404, message);
		return false;
	}
	if (!(c->provider->apis >> c->asked.endpoint.api & 1)) {
		snprintf(message, sizeof message,
			 "provider %.80s is not set up to answer the %s API", c->provider->name,
			 api_names[c->asked.endpoint.api]);
		answer_own(c, 404, message);
		return false;
	}
	return true;
}

static bool decode(struct call *c)
{
	struct buf plain = BUF_INIT;
	struct err err;
	char message[200];

	if (!c->asked.coding)
		return true;
	if (decode_body(&plain, c->asked.coding, c->asked.body.data, c->asked.body.len,
			(size_t)c->gw->doc.body_bytes, &err)) {
		buf_release(&plain);
		snprintf(message, sizeof message,
			 "the request's body (Content-Encoding: %.30s): %.100s", c->asked.coding,
			 err.msg);
		answer_own(c, err.kind == ERR_LIMIT ? 413 : 415, message);
		return false;
	}
	buf_release(&c->asked.body);
	if (!accounts_hold(c, plain.len)) {
		buf_release(&plain);
		answer_own(c, 503, "the requests under way are too large together");
		return false;
	}
	c->asked.body = plain;
	return true;
}

/* What cannot be read cannot be priced: a limit would mean nothing. */
static bool is_readable(struct call *c)
{
	struct model_request *names = &c->asked.names;
	char message[200];

	if (*names->odd)
		snprintf(message, sizeof message, "the gateway does not pass this request on: %s",
			 names->odd);
	else if (names->background)
		snprintf(message, sizeof message,
			 "the gateway does not pass \"background\": true on: what is fetched later "
			 "cannot be metered; ask without it");
	else
		return true;
	answer_own(c, 400, message);
	return false;
}

bool admit_body(struct call *c)
{
	struct model_request *names = &c->asked.names;

	if (!decode(c))
		return false;
	model_request_read(names, c->asked.endpoint.api, c->asked.body.data, c->asked.body.len);
	if (c->asked.endpoint.kind != ENDPOINT_GENERATE) {
		names->wants_usage = false;
		return true;
	}
	if (c->asked.endpoint.api == API_GEMINI) {
		snprintf(names->model, sizeof names->model, "%.*s",
			 (int)c->asked.endpoint.model_len, c->asked.endpoint.model);
		names->stream = c->asked.endpoint.stream;
	} else if (!*names->model && c->account) {
		/* A server of one model needs no name; it costs what the attempt's own does. */
		snprintf(names->model, sizeof names->model, "%s", c->account->model);
	}
	if (c->asked.endpoint.api != API_GEMINI) {
		c->asked.endpoint.model = names->model;
		c->asked.endpoint.model_len = strlen(names->model);
		c->asked.endpoint.stream = names->stream;
	}
	return is_readable(c);
}
