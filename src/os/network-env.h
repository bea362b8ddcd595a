/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * network-env.h -- the variables of the user's environment that a connection to a repository may need: an ssh agent,
 * the home folder with its .netrc and known hosts, proxies, authorities. Everything else stays outside.
 */
#pragma once
#include "base/strv.h"

/* Add those that are set to ENV as "K=V". */
void network_env_add(struct strv *env);
