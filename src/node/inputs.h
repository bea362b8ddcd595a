/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * inputs.h -- what a trial needs of this data folder to run in another one: the snapshot of its task, its baseline, its
 * agent's programs, the attempt that it goes on from. Each is a parcel DATA/cache/parcels/SHA256.tar, made once; which ones an
 * attempt needs says its travel.json:
 *
 *   v        1
 *   token    "RUN_ID.ATTEMPT"
 *   dir      "runs/RUN_ID/attempts/N"
 *   inputs[] {path: where it belongs below a data folder, sha256, bytes, host: the folder of the submitting machine that it was, in
 *            trial.json; absent where it had that path already; image: the id of the image that it is the archive of (node-image.h);
 *            share {sha256, bytes}: of a task's snapshot, what a machine gets on which its agent works and nothing is graded: no test, no rubric, no
 *            solution (but to the oracle)}
 *   keys     of a trial that asks a model: what its gateway is started with, below the data folder (node-gateway.h)
 *   door     instead of keys, where it asks by way of the gateway here (home-models.h)
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"

struct packer {
	int root_fd;  /* the data folder; borrowed */
	bool shares;  /* of snapshots the agent's share as well */
	json_t *made; /* path or host -> {path, sha256, bytes}: what was packed by this process */
};

/* Whether a node so begun (struct node_request, `alone`) gets the agent's share. */
bool inputs_of_agent(const char *alone);
/* Then each share stands in place of the whole. */
void inputs_take_shares(json_t *inputs);
/* Pack what the attempt in DIR needs and write its travel.json, KEYS and DOOR (NULL: none) in it where it asks a model; *OUT is that, owned by the caller. Blocks: fetches the
 * repository of a task that has no baseline yet, writes large files. ERR_USAGE for what cannot travel. */
int inputs_pack(struct packer *p, const char *dir, const char *keys, const char *door, json_t **out,
		struct err *err) MUST_CHECK;
