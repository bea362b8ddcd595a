/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * carried.h -- a data folder that was carried here, by cp, by a CI job, by another user: what its trials need before they go on.
 */
#pragma once
#include "rollout/session.h"

/* Make snapshots that are missing again, from the tasks of CONFIG (NULL: the file that was given to run) when those hash as planned.
 * ERR_USAGE or ERR_INFRA, before anything is started, for what W's trials lack: snapshots that cannot be made, and folders that we
 * may not read or write. */
int carried_prepare(struct session *s, const struct session_work *w, struct err *err) MUST_CHECK;
/* Forget baselines that came here by a copy, which may have lost modes, hidden files and links: they are made again. The
 * store is open for writing. */
int carried_settle(const struct store *store, struct err *err) MUST_CHECK;
/* ERR_INFRA: PATH below the data folder is somebody else's, and what to do about it. */
int carried_refuse(const struct store *store, const char *path, struct err *err) MUST_CHECK;
