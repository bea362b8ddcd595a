/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * token.h -- what an attempt shows to the gateway: RUN_ID.ATTEMPT.ROLE and an HMAC, so that whoever holds the secret needs no
 * table of tokens.
 */
#pragma once

/* ROLE is "agent" or "judge". The caller frees. */
char *token_make(const char *secret, const char *run_id, int attempt, const char *role);
