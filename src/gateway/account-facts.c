/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the other files ask of one account, and that they changed it; its life is in accounts.c.
 */
#include <string.h>
#include "gateway/internal.h"

struct account_use *accounts_use(const struct account *a, const struct upstream *provider)
{
	size_t i = 0;

	while (i + 1 < a->uses_n && a->uses[i].provider != provider)
		i++;
	return &a->uses[i];
}

const struct account_use *accounts_declared(const struct account *a, const char *model)
{
	static const char google[] = "models/"; /* as its API in OpenAI's dialect has them */

	if (strncmp(model, google, sizeof google - 1) == 0)
		model += sizeof google - 1;
	for (size_t i = 0; i < a->uses_n; i++)
		if (strcmp(a->uses[i].model, model) == 0)
			return &a->uses[i];
	return NULL;
}

int64_t accounts_guess_input(const struct account *a, int64_t tokens)
{
	int64_t more = tokens - a->exact_estimate;

	return a->exact_input ? a->exact_input + (more > 0 ? more : 0) : tokens;
}

void accounts_dirty(struct account *a, bool state, bool files)
{
	struct gateway *gw = a->gw;

	if (state && !a->state_dirty) {
		a->state_dirty = true;
		a->tell_next = gw->tell;
		gw->tell = a;
	}
	if (files && !a->files_dirty) {
		a->files_dirty = true;
		a->write_next = gw->write;
		gw->write = a;
	}
}
