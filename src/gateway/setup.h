/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * setup.h -- what the gateway was told on its standard input (gateway.h), read and checked.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/strv.h"
#include "model/usage.h"

struct provider_key {
	char *id, *key;
};

/* The keys that some attempts may use, in turn: numbers into the provider's keys. */
struct key_set {
	char *task; /* whose attempts; NULL: everybody else's */
	size_t *keys, keys_n;
};

/* A provider, as this process sends to it. */
struct upstream {
	char *name, *base_url;
	unsigned apis;		   /* bits, 1 << enum api */
	char *paths[API_COUNT];	   /* instead of the usual one; NULL */
	char *key_header;	   /* before and behind "{key}"; NULL: the dialect's own */
	struct provider_key *keys; /* each one once, whoever may use it */
	size_t keys_n;		   /* 0: none is sent */
	char *anthropic_version;   /* in the body, in place of the model; NULL: none */
	char *key_command;	   /* prints the first of them; NULL: they stay as they are */
	struct strv key_command_env;
	int64_t key_ttl_ms;   /* how long what it prints is good, 0: not known */
	int64_t key_got_ms;   /* when it was run: clock_wall_ms */
	struct key_set *sets; /* the first is everybody else's */
	size_t sets_n;
	struct strv headers; /* "Name: value" */
	int max_in_flight;
};

/* Where requests go whose model's name MATCH (a glob) covers, and what they cost there. */
struct model_route {
	char *match;
	const struct upstream *provider;
	struct price price;
};

/* What all attempts together may spend, and what was spent before. */
struct setup_budget {
	double usd, usd_spent; /* usd 0: no such limit, as below */
	int64_t tokens, tokens_spent;
};

struct setup {
	char *secret; /* NULL: any token will do */
	bool control, record;
	struct upstream *providers;
	size_t providers_n;
	struct model_route *models;
	size_t models_n;
	struct setup_budget budget;
	int64_t stall_ms, connect_ms, shut_ms, body_bytes, answer_bytes;
};

/* ERR_USAGE for anything that gateway.h does not say. The caller releases *out, also after a failure. */
int setup_read(struct setup *out, const json_t *j, struct err *err) MUST_CHECK;
void setup_release(struct setup *d);

const struct upstream *setup_provider(const struct setup *d, const char *name); /* NULL: none */
/* Of the attempts of TASK. It is empty when P has keys, but none for them. */
const struct key_set *setup_keys(const struct upstream *p, const char *task);
/* The first rule whose pattern MODEL matches (of PROVIDER, unless that is NULL), or NULL. */
const struct model_route *setup_model(const struct setup *d, const char *model,
				      const struct upstream *provider);
