/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * providers.h -- who answers the requests of which model, in which dialects, and at what price: the file
 * providers.toml beside the benchmark, the user's own ($XDG_CONFIG_HOME/rollouts/providers.toml,
 * ~/.config/rollouts/providers.toml) and share/providers.toml. A provider or an alias of an earlier place
 * hides that of a later one; rules for models are tried in the same order, and the first match counts.
 *
 * No key is in here. A base URL that came with a benchmark must not be given a key of the user's: whoever
 * looks for keys has to ask `origin`.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/strv.h"
#include "core/kv.h"
#include "core/price.h"

enum provider_origin {
	PROVIDER_BENCH, /* beside the benchmark file: as trustworthy as that */
	PROVIDER_USER,
	PROVIDER_SHIPPED,
};

struct provider {
	char *name;
	enum provider_origin origin;
	char *place;	     /* "FILE:LINE:COL" */
	char *folder;	     /* of that file, "." for the working directory */
	char *base_url;	     /* without a slash at its end */
	struct strv key_env; /* names of variables, used in turn; none: no key is sent */
	char *key_command; /* for a shell: its first line of output is the key; NULL: none. The user's only */
	int64_t key_ttl_sec; /* how long such a key is good; 0: not known */
	char *key_header;    /* "api-key: {key}", where it is not the dialect's own; NULL */
	struct strv apis;    /* of responses, chat, anthropic, gemini; at least one */
	struct kvs headers;  /* of every request */
	struct kvs paths;    /* api -> path, where it is not the usual one */
	char *anthropic_version; /* in the body of that API, in place of the model: Claude on Vertex; NULL */
	char *probe;		 /* the model a key is tried with (doctor --models); NULL: any */
	int64_t max_in_flight; /* 0: the gateway's own bound */
};

struct model_rule {
	char *match; /* a glob over the name its provider knows */
	char *provider;
	struct price price; /* one that does not hold today hides no later rule */
	enum provider_origin origin;
	char shutdown[PRICE_DATE]; /* the day from which the provider answers it no more; "" */
	char *successor;	   /* what it says to use instead, or NULL */
};

struct providers {
	struct provider *list;
	size_t n, cap;
	struct model_rule *rules;
	size_t rules_n, rules_cap;
	struct kvs aliases;
	size_t own_aliases; /* so many of them, the first, are not shipped */
};

/* CONFIG_PATH: of the benchmark, NULL for none. A file that is not there is no issue. Each issue is a
 * line in ISSUES; -1 with ERR_USAGE when there is any. OUT must be released in any case. */
int providers_load(struct providers *out, const char *config_path, struct strv *issues,
		   struct err *err) MUST_CHECK;
/* The same of the files at PATHS, one for each origin; NULL: none there. */
#define PROVIDER_PLACES (PROVIDER_SHIPPED + 1)
int providers_read(struct providers *out, const char *const paths[PROVIDER_PLACES],
		   struct strv *issues, struct err *err) MUST_CHECK;
void providers_release(struct providers *p);
const struct provider *providers_find(const struct providers *p, const char *name);

/* Where a model leads; everything is borrowed. */
struct route {
	const struct provider *provider;
	const char *model_id; /* MODEL itself, or what its alias stands for */
	const struct price *price;
};

/* A shipped alias is passed over where a rule of the benchmark's or the user's own file knows the name as it stands.
 * ERR_USAGE with the nearest names when nobody answers MODEL, and with its successor when it was shut down. */
int providers_route(const struct providers *p, const char *model, struct route *out,
		    struct err *err) MUST_CHECK;
/* The folder of the user's own files, "" when there is no home; the caller frees. */
char *providers_user_folder(void);

static inline void auto_providers(struct providers *p)
{
	providers_release(p);
}
