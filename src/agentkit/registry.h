/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * registry.h -- private to agentkit: whether npm gets to where it fetches packages from. npm is asked, since it alone knows
 * the registry, the proxy and the certificates that its user has set.
 */
#pragma once
#include "base/err.h"

/* ERR_INFRA in one line when its registry cannot be reached, or does not answer within 8 s of being asked. A registry that does
 * not know the question was reached. DIR: where npm is started. */
int registry_reach(int dir, struct err *err) MUST_CHECK;
/* What npm wrote before it failed says that there was no network, rather than no package: ERR_INFRA. 0: it does not. */
int registry_network_error(const char *text, struct err *err) MUST_CHECK;
