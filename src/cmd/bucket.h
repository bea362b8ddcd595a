/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * bucket.h -- s3://BUCKET/PREFIX where a verb that reads takes a rollout or a data folder.
 */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "base/strv.h"

/* Whether the verb WORD takes rollouts, and ARGV names one in a bucket. */
bool bucket_is_meant(const char *word, int argc, char **argv);
/* ARGV with places in buckets replaced by those on this machine that they were brought to; refused for verbs that do more than read.
 * Blocks. */
int bucket_bring(struct strv *out, int argc, char **argv, struct err *err) MUST_CHECK;
