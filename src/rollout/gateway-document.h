/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * gateway-document.h -- the document a gateway process is started with (gateway/gateway.h): providers with their
 * keys, and which model is whose.
 */
#pragma once
#include <jansson.h>
#include "base/buf.h"
#include "base/strv.h"
#include "config/providers.h"
#include "core/trial.h"

/* What the gateway needs to serve TRIALS and JUDGE (NULL: none), without the secret; NULL when none has a provider. Each missing
 * key is a line in PROBLEMS; -1 with ERR_USAGE then. WITH_KEYS false: nothing will be sent to a provider. */
int gateway_document_make(json_t **out, const struct providers *p, const char *config_path,
			  const struct trial *trials, size_t n, const struct judge *judge,
			  bool with_keys, struct strv *problems, struct err *err) MUST_CHECK;
/* A member of the document's providers. Without KEYS they are still to be put there. */
json_t *gateway_document_provider(const struct provider *v, json_t *keys_take);
/* The document's models[] for those of PROVIDERS, an object with their names. */
json_t *gateway_document_models(const struct providers *p, const json_t *providers);

/* Append "; coder: gpt-5 at openai by responses" for each of ROLES. */
void gateway_document_roles(struct buf *line, const json_t *roles);
/* Append an agent's name, and its version, of AGENTS (name -> spec), where its name does not say it. */
void gateway_document_agent(struct buf *line, const json_t *agents, const char *name);
/* One line for each model of TRIALS: who answers it, by which name, which agent asks. AGENTS as above. */
void model_lines(struct strv *out, const struct trial *trials, size_t n, const json_t *agents);
