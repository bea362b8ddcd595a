/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * keys.h -- the keys of providers. They are looked for when they are needed, live in memory only and are shown to
 * nobody but the gateway.
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

#define KEY_COMMAND_ID "key_command" /* the id of a key that a command printed */

/* The .env files that may hold keys for every task, the first one first: of CONFIG_PATH's folder (may be
 * NULL), of the working directory. */
void keys_env_files(struct strv *out, const char *config_path);
/* The keys of V, [{id, key}], new reference; an empty list when it is to be sent none. NULL with ERR_USAGE
 * naming where they were looked for. May run key_command, at most a minute. */
json_t *keys_of_provider(const struct provider *v, const struct strv *env_files,
			 struct err *err) MUST_CHECK;
/* The keys of V for the task in the folder TASK_DIR (as the benchmark writes it) when its .env has one of them: a
 * new reference, with what V needs besides from ENV_FILES. NULL when the task has none of its own. */
int keys_of_task(json_t **out, const struct provider *v, const char *config_path,
		 const char *task_dir, const struct strv *env_files, struct err *err) MUST_CHECK;
