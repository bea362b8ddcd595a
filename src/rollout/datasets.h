/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * datasets.h -- tasks that are no folder given by the user: of a git repository at a commit, and of the files in which Harbor lists the
 * tasks of data sets. What is fetched lies in DATA/cache/datasets, each commit once, and is read as data: git runs with nothing of
 * anybody else's, and no link in it is followed.
 */
#pragma once
#include "config/config.h"

/* SPEC as config_request.datasets has it; also its form. */
int datasets_find(const struct config_request *req, const char *spec, struct strv *paths,
		  struct strv *shown, struct err *err) MUST_CHECK;
