/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dataset-git.h -- private to datasets: the files of a repository at a commit, as data in DATA/cache/datasets.
 */
#pragma once
#include "config/config.h"

struct dataset_commit {
	char *dir;   /* where its files are, from here */
	char *shown; /* "git+URL@COMMIT", the commit in full and the URL without a password */
};

/* REF: a commit, a branch or a tag; NULL: the head. What is no whole commit is looked up, and a line in REQ's notes says which it was. Blocks
 * while it is fetched. ERR_USAGE for what the repository does not have. */
int dataset_commit_get(struct dataset_commit *out, const struct config_request *req,
		       const char *url, const char *ref, struct err *err) MUST_CHECK;
void dataset_commit_release(struct dataset_commit *c);
