/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * model-share.h -- what the calls of one trial to each of several models came to.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>

struct model_share {
	char model[128], provider[64]; /* as it was asked */
	int64_t calls, tokens;
	double usd; /* -1: not known */
};

/* Its own model, and those of its roles (core/roles.h). */
enum { SHARES_MAX = 8 };

struct model_shares {
	struct model_share v[SHARES_MAX];
	int n;
};

/* As metrics of a trial their names are these, with the model's behind them; nothing else may be named so. */
#define SHARE_USD "model_cost_usd."
#define SHARE_TOKENS "model_tokens."

/* A further call; USD -1: it has no price. What has no room is left out. */
void model_shares_add(struct model_shares *s, const char *model, const char *provider,
		      int64_t tokens, double usd);
/* [{model, provider, calls, tokens, usd or null}], new reference, and back. */
json_t *model_shares_to_json(const struct model_shares *s);
void model_shares_from_json(struct model_shares *s, const json_t *list);
