/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * gateway.h -- what the gateway process (libexec/rollouts-gateway) is told and what it says. It is the only
 * holder of provider keys. Its parent is the supervisor of a rollout, or `rollouts gateway`.
 *
 * Descriptors, all made by the parent, so that a gateway started again serves the same sockets:
 *   0  standard input: one JSON document (below), then kept open. Its end means: leave now
 *   1  event lines to the parent (below)
 *   3  listening stream socket for model requests: what the forwarder in a sandbox leads to
 *   4  listening SOCK_SEQPACKET socket for workers (control.h); never reachable from a sandbox. Absent
 *      ("control": false) when it stands alone
 *
 * The document on standard input; members not listed are refused:
 *   v           1
 *   secret      hex; tokens are RUN_ID.ATTEMPT.ROLE.HMAC-SHA256(secret, "RUN_ID.ATTEMPT.ROLE") (base/hash.h), with
 *               the text itself as the key, not the bytes it stands for. ROLE is "agent" or "judge" (graders),
 *               each an account of its own. Absent when it stands alone: then any token, or none, will do
 *   control     bool
 *   providers{} NAME -> {
 *     base_url      "https://api.openai.com": what stands before /v1/..., without a slash at the end; one that ends
 *                   in a version is complete (model/endpoint.h)
 *     paths{}       api -> the path it is asked at instead of the usual one
 *     apis[]        of "responses", "chat", "anthropic", "gemini": what it answers
 *     keys[]        {id: a name safe to show ("OPENAI_API_KEY"), key: the secret}; used in turn
 *     task_keys{}   TASK -> keys[]: what the attempts of that task (control.h) use instead, and nobody else. No
 *                   key in either: none is sent (a self-hosted server). A key that stands in several places
 *                   has one quota
 *     key_command   {command: for sh, prints the one key of keys[] anew, env[]: its environment, ttl_ms: how long a key is
 *                   good or 0, got_ms: when that of keys[] was got, since 1970}; absent: the keys stay as they are
 *     anthropic_version  what bodies of the Anthropic API say in place of the model's name, which is in the path then; or absent
 *     key_header    the header that carries a key, "{key}" in it; absent or null: as the dialect has it
 *     headers{}     further request headers
 *     max_in_flight upper bound of the adaptive concurrency, default 256
 *   }
 *   models[]    {match: glob over the model's name as a request names it, provider, price: core/price.h's form, or
 *               null}; first match wins
 *   limits      {stall_ms: no byte from a provider for so long ends a call (default 300000), connect_ms
 *               (10000), shut_ms: how long a provider may stay shut (429, 5xx, refused) before an agent is
 *               told (900000), body_bytes: largest request (64 MB), answer_bytes: largest answer (128 MB)}
 *   budget      {usd, usd_spent, tokens, tokens_spent}: what all attempts may spend, and what was spent before this
 *               process; usd or tokens may be absent. Once it is spent, what an attempt asks is answered as at a limit
 *               of its own; of calls of one attempt at once, those that might pass it wait for the others
 *   record      bool: keep bodies for replay (attached attempts only)
 *
 * Event lines on descriptor 1, one JSON object each:
 *   {"event":"ready"}
 *   {"event":"totals","calls":N,"tokens":N,"usd":N|null,"unpriced_calls":N,"waiting":N}
 *        at most every 200 ms, when something changed: of all attempts since the start of this process;
 *        without calls answered from a recording, which cost nothing. usd leaves unpriced calls out and is
 *        null when all are unpriced. waiting: calls, now
 *   {"event":"note","text":"..."}    for people: a key refused, a provider shut, an alias that moved
 *   {"event":"fatal","text":"..."}   it cannot go on and ends: a bad document, no descriptor
 */
#pragma once

#define GATEWAY_FD_MODELS 3
#define GATEWAY_FD_CONTROL 4
