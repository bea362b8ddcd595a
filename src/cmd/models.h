/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * models.h -- the keys of providers, and the document the gateway is started with. Keys are looked for when
 * they are needed, live in memory only and are shown to nobody but the gateway.
 *
 * Where a key is looked for: the environment; .env of the task's folder, of the benchmark's folder, of the
 * working directory; key_command. A key of a task's folder serves the trials of that task and no others. A
 * provider that came with a benchmark is given a key of the .env beside its file and no other, since its base
 * URL may lead anywhere.
 */
#pragma once
#include <jansson.h>
#include "base/strv.h"
#include "config/providers.h"
#include "core/trial.h"

/* The .env files that may hold keys for every task, the first one first: of CONFIG_PATH's folder (may be
 * NULL), of the working directory. */
void models_env_files(struct strv *out, const char *config_path);
/* The keys of V, [{id, key}], new reference; an empty list when it is to be sent none. NULL with ERR_USAGE
 * naming where they were looked for. */
json_t *models_keys(const struct provider *v, const struct strv *env_files,
		    struct err *err) MUST_CHECK;
/* A member of the document's providers. Without KEYS they are still to be put there. */
json_t *models_provider(const struct provider *v, json_t *keys_take);
/* The document's models[] for those of PROVIDERS, an object with their names. */
json_t *models_rules(const struct providers *p, const json_t *providers);

/* What the gateway needs to serve TRIALS, without the secret; NULL when none has a provider. Each missing
 * key is a line in PROBLEMS; -1 with ERR_USAGE then. WITH_KEYS false: nothing will be sent to a provider. */
int models_document(json_t **out, const struct providers *p, const char *config_path,
		    const struct trial *trials, size_t n, bool with_keys, struct strv *problems,
		    struct err *err) MUST_CHECK;
/* One line for each model of TRIALS: who answers it, by which name, which agent asks. */
void models_lines(struct strv *out, const struct trial *trials, size_t n);
