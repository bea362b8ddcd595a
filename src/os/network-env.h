/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * network-env.h -- the variables of the user's environment that a connection to a repository may need: an ssh agent,
 * the home folder with its .netrc and known hosts, proxies, authorities. Everything else stays outside.
 */
#pragma once
#include "base/strv.h"

/* Logins of our own for hosts, a line each: "https://HOST/ " and what HTTP's basic authentication sends. Made by rollout/remotes.c,
 * used by git_env. */
#define NETWORK_ENV_LOGINS "ROLLOUTS_GIT_LOGINS"

/* Add those that are set to ENV as "K=V". */
void network_env_add(struct strv *env);
