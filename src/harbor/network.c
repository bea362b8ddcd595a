/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "harbor/contract.h"

static const json_t *network_at(const json_t *table)
{
	const json_t *network = json_object_get(table, "network");

	return json_is_object(network) ? network : NULL;
}

const json_t *harbor_network(const json_t *contract, const json_t *step, const char *phase)
{
	const json_t *const said[] = {json_object_get(step, phase),
				      json_object_get(contract, phase)};
	const json_t *found = NULL;

	for (size_t i = 0; i < 2 && !found; i++)
		found = network_at(said[i]);
	/* A verifier's own environment is none of the agent's. */
	for (size_t i = 0; i < 2 && !found && !strcmp(phase, "verifier"); i++)
		found = network_at(json_object_get(said[i], "environment"));
	return found ? found : network_at(json_object_get(contract, "environment"));
}
