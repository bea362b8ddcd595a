/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * junit.h -- private to eval: pytest's own report of a run, JUnit's XML. The code under test could have written it:
 * no entity but the five of XML is known, no document type is read, and what is not whole is no report.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/strv.h"

#define JUNIT_BYTES (32u << 20)

struct junit {
	int passed, failed, errors, skipped;
	int xfailed; /* of the skipped: they failed, as was expected of them */
	/* [{name, outcome, message, duration_sec}]: what did not pass before what did, as far as there is room. */
	json_t *cases;
	int left_out; /* of them */
	/* Files in which tests were told to be skipped, as the report names them; each once, 50 at most. */
	struct strv skipped_in;
};

/* False: TEXT is no whole report. OUT is to be released when true. */
bool junit_parse(struct junit *out, const char *text, size_t n);
void junit_release(struct junit *j);
