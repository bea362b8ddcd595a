/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * kv.h -- ordered names and values: environments. And which names hold a provider's key.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct kv {
	char *key, *value;
};

struct kvs {
	struct kv *v;
	size_t n, cap;
};

#define KVS_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}

void kvs_set(struct kvs *s, const char *key, const char *value); /* replaces or appends; copies */
const char *kvs_get(const struct kvs *s, const char *key);	 /* borrowed, or NULL */
void kvs_copy(struct kvs *to, const struct kvs *from);		 /* set all of FROM in TO */
bool kvs_equal(const struct kvs *a, const struct kvs *b);	 /* in any order */
void kvs_release(struct kvs *s);
json_t *kvs_to_json(const struct kvs *s); /* new reference; names of keys left out */
void kvs_from_json(struct kvs *s, const json_t *obj);

/* A variable that names a provider key or another credential never enters a sandbox, trial.json or the
 * manifest: *_API_KEY, *_TOKEN, *_SECRET*, *_PASSWORD, AWS_*, GITHUB_PAT and the like. */
bool kv_is_secret(const char *name);

static inline void auto_kvs(struct kvs *s)
{
	kvs_release(s);
}
