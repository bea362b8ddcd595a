/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/token.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/mem.h"

char *token_make(const char *secret, const char *run_id, int attempt, const char *role)
{
	AUTO(free) char *name = xasprintf("%s.%d.%s", run_id, attempt, role);
	char mac[HASH_HEX];

	hash_hmac(secret, strlen(secret), name, mac);
	return xasprintf("%s.%s", name, mac);
}
