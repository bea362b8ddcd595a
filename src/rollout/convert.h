/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * convert.h -- a prepared task as a Harbor task that Harbor's own program runs too, and back. What cannot be said in the other format is
 * named, and nothing is written unless the user takes that loss. The folder of the task stays as it is. Prints nothing.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"

struct convert_request {
	const char *data_dir; /* whose caches have the repository; made where it is missing */
	const char *task;     /* the folder of a task of either format */
	const char *to;	      /* a folder that is not there yet */
	const char *
		image; /* of a prepared task that names none: the image that it is to run in; NULL: none */
	bool lossy; /* what is lost may be lost */
};

/* LOST: what the other format cannot say, a line each; NOTES: how else it differs there. *TO_HARBOR: which way it went. ERR_USAGE, with
 * nothing written, for a loss that is not taken and for a task that cannot be converted. */
int convert_task(bool *to_harbor, const struct convert_request *q, struct strv *lost,
		 struct strv *notes, struct err *err) MUST_CHECK;
