/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/compare-case.h"
#include <stdlib.h>
#include "base/mem.h"
#include "cmd/rollout-operand.h"

static int load_operand(struct compare_case *c, const struct compare_how *how, const char *operand,
			struct err *err)
{
	c->rollouts = xreallocarray(c->rollouts, c->rollouts_n + 1, sizeof *c->rollouts);
	if (rollout_operand_load(
		    &c->rollouts[c->rollouts_n],
		    &(struct rollout_operand_how){.data_dir = how->data_dir, .all = how->all},
		    operand, err))
		return -1;
	c->rollouts_n++;
	return 0;
}

static int load(struct compare_case *c, const struct strv *operands, const struct compare_how *how,
		struct err *err)
{
	bool parts = false;

	if (load_operand(c, how, operands->v[0], err))
		return -1;
	for (size_t i = 1; i < operands->n; i++)
		parts |= compare_sides_has(&c->rollouts[0], operands->v[i]);
	for (size_t i = 1; i < operands->n; i++) {
		struct err unfound;
		if (parts)
			strv_push(&c->names, operands->v[i]);
		else if (load_operand(c, how, operands->v[i], &unfound))
			return err_set(err, unfound.kind, 0,
				       "%s (nor has %s such a model, label or agent)", unfound.msg,
				       operands->v[0]);
	}
	return 0;
}

int compare_case_make(struct compare_case *out, const struct strv *operands,
		      const struct compare_how *how, struct err *err)
{
	*out = (struct compare_case){.names = STRV_INIT};
	if (load(out, operands, how, err) ||
	    compare_sides_make(&out->sides, out->rollouts, out->rollouts_n, &out->names,
			       how->baseline, err)) {
		compare_case_release(out);
		return -1;
	}
	compare_make(&out->comparison, &out->sides, out->rollouts, out->rollouts_n, &how->options);
	return 0;
}

void compare_case_release(struct compare_case *c)
{
	if (c->comparison.sides)
		compare_release(&c->comparison);
	compare_sides_release(&c->sides);
	for (size_t i = 0; i < c->rollouts_n; i++)
		rollout_release(&c->rollouts[i]);
	free(c->rollouts);
	strv_release(&c->names);
	*c = (struct compare_case){.names = STRV_INIT};
}
