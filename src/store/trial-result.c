/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include "base/json.h"
#include "store/store.h"

const struct result_more result_no_more = {.judge_score = -1};

void trial_result_release(struct trial_result *r)
{
	struct result_more *more = (struct result_more *)r->more;

	if (!more || more == &result_no_more)
		return;
	json_decref(more->judge_votes);
	free(more->custom);
	free(more->measured);
	free(more);
}
