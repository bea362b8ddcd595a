/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * planfile.h -- plan.json: what a rollout consists of, as resolved when it was started (or extended
 * by `resume --config`). JSON with one trial a line, so that ten thousand trials are read one by
 * one.
 */
#pragma once
#include <jansson.h>
#include <sys/types.h>
#include "base/err.h"
#include "core/trial.h"
#include "store/memory.h"

#define PLANFILE_VERSION 1
#define PLANFILE_CONFIG_MAX (64 << 20) /* bytes of a benchmark file */

struct planfile {
	char *id;	/* of this start and no other (store/owner.h); NULL: an older program's */
	json_t *merged; /* of merged rollouts: {rollout_id, stamp, host, trials} each; NULL: none */
	json_t *imported; /* from elsewhere, where nothing of it can be run: {format, job, id, version, digest}; NULL: it ran here */
	char *name, *stamp;
	char *config;	   /* path as given at `run` */
	char *config_hash; /* of its bytes */
	char *program;	   /* version that made it */
	int parallel;
	bool fail_fast;
	double fail_on_error; /* share of failed trials that pauses a run; 0: none does */
	uid_t uid_base; /* as root, trial i runs as uid_base + i; 0: workers stay who we are */
	struct budget budget;
	char *replay;	       /* "NAME@STAMP": the rollout whose recordings answer; NULL: none */
	int build_timeout_sec; /* of one image; 0: an hour */
	bool allow_emulation;  /* images for another processor will do */
	bool replay_or_live;
	char *gateway;	   /* unix socket, absolute; NULL: none */
	json_t *agents;	   /* agent name -> spec */
	json_t *tools;	   /* of rollout/tools.h; NULL: none */
	json_t *launchers; /* name -> what its program is told (docs/launchers.md); NULL: nothing */
	struct judge judge; /* its provider NULL: no grader asks a model */
	struct trial *trials;
	size_t n;
};

/* Replace plan.json, atomically. */
int planfile_write(const struct planfile *p, int dir_fd, struct err *err) MUST_CHECK;
int planfile_read(struct planfile *out, int dir_fd, const char *where, struct err *err) MUST_CHECK;
/* All but its trials: N is 0. */
int planfile_read_head(struct planfile *out, int dir_fd, const char *where,
		       struct err *err) MUST_CHECK;

/* A trial of a plan that is only looked at. */
struct plan_trial {
	const struct trial_shared *shared; /* of memory */
	uint64_t key;			   /* plan_key_of() its key */
	uint32_t number;		   /* as in trial_status */
	int rollout;
};
/* A number for a trial's key, so that lines about another one are told by it. */
uint64_t plan_key_of(const char *key);
/* HEAD is all but its trials; those are *OUT, owned by the caller. What they point at is in the memory of WORDS. */
int planfile_read_shared(struct planfile *head, struct plan_trial **out, size_t *n,
			 struct words *words, int dir_fd, const char *where,
			 struct err *err) MUST_CHECK;
/* Every file that made trials is kept beside the plan: config.toml, config-2.toml and so on. *FILE, owned by the caller, is the
 * one that holds TEXT. */
int planfile_keep_config(int dir_fd, const char *text, char **file, struct err *err) MUST_CHECK;
void planfile_release(struct planfile *p);

static inline void auto_planfile(struct planfile *p)
{
	planfile_release(p);
}
