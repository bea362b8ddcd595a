/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * network-env.h -- what a worker gets of the user's environment: little, and the variables that a connection to a repository may
 * need (an ssh agent, the home folder with its .netrc and known hosts, proxies, authorities). Everything else stays outside.
 */
#pragma once
#include "base/strv.h"

/* Logins of our own for hosts, a line each: "https://HOST/ " and what HTTP's basic authentication sends. Made by rollout/remotes.c,
 * used by git_env. */
#define NETWORK_ENV_LOGINS "ROLLOUTS_GIT_LOGINS"

/* Add those that are set to ENV as "K=V". */
void network_env_add(struct strv *env);
/* All that a worker is started with: those, PATH, LANG, TZ, and what a sanitizer in it obeys. */
void worker_env_add(struct strv *env);
