/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rollouts-cloud cost SETTINGS NAME DATA no: what a run like the last one would come to: its trials' seconds at the price of an instance, the
 * bucket's requests, and what models cost then.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cloud/cloud.h"
#include "core/datadir.h"
#include "store/store.h"

enum { FILE_MAX_BYTES = 16 << 20, REQUESTS = 6 /* of a trial, besides polls */ };

struct sum {
	size_t trials, timed, priced;
	double seconds, usd, models_usd, bytes;
	bool models_known;
};

/* What its node said, or how long its phases took. */
static void add_trial(struct sum *s, const struct store *store, const struct trial_status *t)
{
	AUTO(free)
	char *cloud = datadir_attempt_file(RUN_ID(t), (int)t->result.attempt, ATTEMPT_CLOUD);
	AUTO(free)
	char *result = datadir_attempt_file(RUN_ID(t), (int)t->result.attempt, ATTEMPT_RESULT);
	AUTO(json) json_t *c = NULL;
	AUTO(json) json_t *r = NULL;
	struct err ignored;
	size_t i;
	json_t *one;
	double ms = 0;

	if (!json_read(&c, store->root_fd, cloud, FILE_MAX_BYTES, &ignored)) {
		s->seconds += json_get_real(c, "seconds", 0);
		s->timed++;
	} else if (!json_read(&r, store->root_fd, result, FILE_MAX_BYTES, &ignored)) {
		json_array_foreach (json_object_get(r, "phases"), i, one)
			ms += json_get_real(one, "ms", 0);
		s->seconds += ms / 1000;
		s->timed++;
	}
	if (json_object_get(c, "usd")) {
		s->usd += json_get_real(c, "usd", 0);
		s->priced++;
	}
	if (t->result.money_usd > 0) {
		s->models_usd += t->result.money_usd;
		s->models_known = true;
	}
}

static void print(const struct sum *s, const struct settings *q, const char *name)
{
	const double mean = s->timed ? s->seconds / (double)s->timed : 0;
	const double hours = mean * (double)s->trials / 3600;
	const double requests = (double)s->trials * REQUESTS;

	printf("%zu trials of %s, %.1f s each by the last rollout (%zu known): %.2f hours of %lld "
	       "vCPU\n",
	       s->trials, name, mean, s->timed, hours, (long long)q->vcpus);
	if (s->priced)
		printf("instances      %8.2f USD, as its nodes reckoned for %zu of them\n",
		       s->usd / (double)s->priced * (double)s->trials, s->priced);
	else if (q->price_per_hour > 0)
		printf("instances      %8.2f USD at most: each trial an instance at %.4f USD an "
		       "hour\n",
		       hours * q->price_per_hour, q->price_per_hour);
	else
		printf("instances      unknown: [launcher.batch] price_per_hour or prices is "
		       "needed\n");
	printf("S3 requests    %8.2f USD: about %.0f writes at 0.005 USD a thousand\n",
	       requests * 0.005 / 1000, requests);
	if (s->models_known)
		printf("models         %8.2f USD, as in the last rollout\n", s->models_usd);
	else
		printf("models         nothing that has a price was asked\n");
}

static int reckon(const struct settings *q, const char *name, const char *data, struct err *err)
{
	struct store store;
	struct rollout_ref ref = {0};
	struct rollout r;
	struct sum s = {0};

	if (store_open(&store, data, false, err))
		return -1;
	int rc = store_find(&store, name, NULL, &ref, err);
	if (!rc && !(rc = rollout_load(&r, &store, &ref, err))) {
		s.trials = r.trials_n;
		for (size_t i = 0; i < r.trials_n; i++)
			if (r.trials[i].has_result)
				add_trial(&s, &store, &r.trials[i]);
		print(&s, q, name);
		rollout_release(&r);
	}
	rollout_ref_release(&ref);
	store_close(&store);
	return rc;
}

int cloud_cost(int argc, char **argv)
{
	AUTO(json) json_t *j = argc > 3 ? json_loads(argv[1], 0, NULL) : NULL;
	AUTO(buf) struct buf why = BUF_INIT;
	struct settings s;
	struct err err;

	if (argc < 4)
		return 2;
	int rc = settings_read(&s, j, &why)
			 ? err_set(&err, ERR_USAGE, 0, "[launcher.batch] %s", why.data)
			 : reckon(&s, argv[2], argv[3], &err);
	settings_release(&s);
	return rc ? cloud_fail(&err) : 0;
}
