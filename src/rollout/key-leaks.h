/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * key-leaks.h -- keys of providers where agents would read them. A name need not tell that a value is a key; the key does.
 */
#pragma once
#include <jansson.h>
#include "rollout/inputs.h"

/* What would bring one of the keys of the gateway's DOCUMENT (NULL: none) into a sandbox, by the environment of the benchmark, of a
 * task or of an agent, is a line in PROBLEMS, and ERR_USAGE. */
int key_leaks_check(const struct inputs *in, const json_t *document, struct strv *problems,
		    struct err *err) MUST_CHECK;
