/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * container.h -- the containers of trials: what they are made of, and that none outlives its worker.
 *
 * A description is a JSON object:
 *   engine, name, image, hostname   strings
 *   user                            "UID:GID"
 *   bench, run, data                for the labels
 *   supervisor                      process id, for its label
 *   entry[]                         PID 1 and its arguments
 *   mounts[]                        {from, to, writable}; a missing `from` is an error
 *   memory_bytes, pids, cpus        limits; 0: none
 *   shm_bytes                       size of /dev/shm
 *   overlays                        where the mounts go that may come with the word to start (box.h)
 *   open[]                          folders that everybody shall be able to enter, where root can see to it
 *   writable, privileges            its own root file system may be written to; its programs may gain privileges (sudo)
 *   capabilities[]                  of root in it; absent: none
 *   network                         true: the engine's default bridge, behind a fence (inside.h); else none
 */
#pragma once
#include "base/strv.h"
#include "engine/http.h"

#define LABEL_OWNER "rollouts.worker" /* whose end is the container's: see container_owner */
#define LABEL_SUPERVISOR "rollouts.supervisor" /* in the same form; for people */
#define LABEL_BENCH "rollouts.bench"
#define LABEL_RUN "rollouts.run"
#define LABEL_DATA "rollouts.data"
#define LABEL_IMAGE "rollouts.image"   /* of an image: the key it was made for */
#define LABEL_FOLDER "rollouts.folder" /* the data folder it was made for first */
#define LABEL_BASES "rollouts.bases"   /* and what it was built on, "NAME=ID ..." */

/* "BOOT:PIDNS:PID:STARTED", for LABEL_OWNER. The caller frees. */
char *container_owner(int pid);
/* Create and start. OWNER: a process id for the label. A container of that name left by a dead owner is removed
 * first. *ID is the caller's. */
int container_start(struct engine *e, const json_t *description, int owner, char **id,
		    struct err *err) MUST_CHECK;
/* Of one that runs: mount TREE (detached) at PATH in it. Needs root. */
int container_mount(struct engine *e, const char *id, int tree, const char *path,
		    struct err *err) MUST_CHECK;
/* Of one that was described with a network and runs: take it away altogether (nothing but loopback is left), or give it back, behind the
 * fence that still stands. What is so already stays. NETWORK, NULL at first and the caller's, remembers which it was. */
int container_network(struct engine *e, const char *id, bool on, char **network,
		      struct err *err) MUST_CHECK;
/* Remove, running or not, with its anonymous volumes, and wait until it is gone: at most DEADLINE. None is
 * success. */
int container_remove(struct engine *e, const char *id, int64_t deadline_ms,
		     struct err *err) MUST_CHECK;
/* Remove every container whose owner is gone. DATA: only of this data root; NULL: of any. Their names are appended
 * to REMOVED (with DRY_RUN: what would be). */
int container_prune(struct engine *e, const char *data, bool dry_run, struct strv *removed,
		    struct err *err) MUST_CHECK;
