/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * layout.h -- what lies below s3://BUCKET/PREFIX, the storage of a launcher in the cloud:
 *
 *   parcels/SHA256.tar                 inputs of trials, by their content (node/inputs.h), each once
 *   batches/BATCH/K.json               trials of the tasks from K * LAYOUT_TASKS on: what a node is told (array.h)
 *   batches/BATCH/events/MS-...jsonl   what nodes said, MS: when, so that only what is new has to be listed
 *   results/RUN_ID.N.json              the end of an attempt, written once: how it ended, what it took, its result.json
 *   archives/RUN_ID.N.tar.zst          its folder
 *   stopped/RUN_ID.N.TRY.json, .tar.zst  of an execution that its engine ended and begins again
 *   rollouts/NAME/STAMP/               plan.json, events.jsonl and the other files of the rollout
 */
#pragma once

#define LAYOUT_PARCELS "parcels"
#define LAYOUT_BATCHES "batches"
#define LAYOUT_RESULTS "results"
#define LAYOUT_ARCHIVES "archives"
#define LAYOUT_STOPPED "stopped"
#define LAYOUT_ROLLOUTS "rollouts"

enum { LAYOUT_TASKS = 50 /* of an array, in one object */ };
