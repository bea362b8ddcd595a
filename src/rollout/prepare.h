/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * prepare.h -- what is settled before trials may ask models, by run and by resume: who answers and with which key,
 * what it may cost, and which recording answers instead. Writes nothing: a rollout that cannot ask its models would
 * only be in the way.
 */
#pragma once
#include <jansson.h>
#include "config/providers.h"
#include "core/bench.h"
#include "core/trial.h"
#include "sched/sched.h"

/* Borrowed. */
struct prepare_request {
	const struct trial *trials; /* of the plan */
	size_t n;
	const json_t *agents;		/* of the plan, name -> spec */
	const struct sched_item *items; /* what is to be done of them */
	size_t items_n;
	const struct judge *judge;	   /* NULL or without a provider: nobody judges */
	const struct providers *providers; /* NULL: as the files have them now */
	const char *config_path, *data_dir;
	const struct budget *budget; /* NULL: it holds nothing of this back */
	const char *replay;	     /* "NAME@STAMP": whose recordings answer; NULL: none */
	bool replay_or_live;
};

struct prepared {
	json_t *document;  /* for the gateway, without its secret; NULL: nobody here asks a model */
	char **replay;	   /* by trial, the recording that answers, or NULL; NULL: none at all */
	size_t replay_n;   /* trials */
	struct strv notes; /* for people: who answers which model, and the forecast */
};

/* Each key that is missing is a line in PROBLEMS; ERR_USAGE as well when the forecast is above what the budget
 * allows, and for a trial without a recording. OUT must be released in any case. */
int prepare_models(struct prepared *out, const struct prepare_request *q, struct strv *problems,
		   struct err *err) MUST_CHECK;
/* Only what there is to say of the judge and of the cost, without asking for keys: providers are to be given. */
int prepare_tell(struct strv *notes, const struct prepare_request *q, struct err *err) MUST_CHECK;
void prepared_release(struct prepared *p);
