/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * contract.h -- a Harbor task as data: its task.toml (schemas 1.0 to 1.4 and the deprecated spellings) with every default
 * applied, as one JSON document that travels in the task's snapshot. Times are in milliseconds, sizes in MB, what is not said is null:
 *
 *   name, difficulty, tags[], strategy "mean" | "final", artifacts[{source, destination, exclude[], service}]
 *   agent        {timeout_ms (0: none), user, network}
 *   verifier     {timeout_ms, user, network, env{}, separate, environment (as below), collect[{command, service, timeout_ms, user}]}
 *   solution     {env{}}
 *   environment  {docker_image, build_timeout_ms, os, cpus, memory_mb, storage_mb, gpus, env{}, workdir, skills_dir, network,
 *                healthcheck{command, interval_ms, timeout_ms, start_period_ms, start_interval_ms, retries}, mcp_servers[]}
 *   steps[]      {name, min_reward (number or {key: number}), artifacts, agent, verifier, healthcheck}; empty: a single step
 *
 * A network is {mode "public" | "no-network" | "allowlist", hosts[]}; of an agent, a verifier or a step null: as the environment has it.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/strv.h"

/* Read the text of a task.toml. What is wrong is a line in ISSUES, what is not used one in NOTES; keys that the schema does not have are
 * listed in UNKNOWN ("environment.colour"). NULL when anything is wrong; else a new reference. */
json_t *harbor_contract_read(const char *text, size_t len, struct strv *issues, struct strv *notes,
			     struct strv *unknown);
/* The network of PHASE ("agent", "verifier"; "environment": before either) in STEP of a CONTRACT (NULL: outside of any). Borrowed. */
const json_t *harbor_network(const json_t *contract, const json_t *step, const char *phase);
/* A value of one of its env tables: "${VAR}" and "${VAR:-default}", which must be all of VALUE, are answered by LOOKUP; everything else
 * stands for itself. NULL: *MISSING (borrowed from VALUE, of *LEN bytes) is not set and has no default. The caller frees. */
char *harbor_expand(const char *value, const char *(*lookup)(void *arg, const char *name),
		    void *arg, const char **missing, size_t *len);
/* The program ("uvx") by which SCRIPT, a test.sh, fetches what it verifies with, and the *LINE where; NULL: by none that is known. Goes by words. */
const char *harbor_fetches(const char *script, int *line);
/* The instruction as an agent is given it: without the canary lines at its head. The caller frees. */
char *harbor_instruction(const char *text);
