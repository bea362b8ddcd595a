/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/number.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By the text itself, since the worker links no mathematics. */
const char *number_score(char out[NUMBER_TEXT], double score)
{
	snprintf(out, NUMBER_TEXT, "%.3f", score);
	if (strcmp(out, "1.000") == 0 && score < 1)
		snprintf(out, NUMBER_TEXT, "0.999");
	if (strcmp(out, "0.000") == 0 && score > 0)
		snprintf(out, NUMBER_TEXT, "0.001");
	return out;
}

const char *number_percent(char out[NUMBER_TEXT], double score)
{
	snprintf(out, NUMBER_TEXT, "%.1f%%", 100 * score);
	if (strcmp(out, "100.0%") == 0 && score < 1)
		snprintf(out, NUMBER_TEXT, "99.9%%");
	if (strcmp(out, "0.0%") == 0 && score > 0)
		snprintf(out, NUMBER_TEXT, "0.1%%");
	return out;
}

static int side(double a, double b)
{
	return (a > b) - (a < b);
}

const char *number_points(char out[NUMBER_TEXT], double difference, double margin, int with_sign)
{
	/* What summing in floating point left over is nothing. */
	const double value = difference < 1e-12 && difference > -1e-12 ? 0 : 100 * difference;
	const double edge = 100 * margin;

	for (int digits = 1; digits <= 6; digits++) {
		snprintf(out, NUMBER_TEXT, with_sign ? "%+.*f" : "%.*f", digits, value);
		double shown = strtod(out, NULL);
		if (shown == 0)
			snprintf(out, NUMBER_TEXT, with_sign ? "%+.*f" : "%.*f", digits, 0.0);
		if (side(shown, 0) == side(value, 0) && side(shown, edge) == side(value, edge) &&
		    side(shown, -edge) == side(value, -edge))
			break;
	}
	return out;
}

const char *number_beside(char out[NUMBER_TEXT], double score, double edge)
{
	if (side(score, edge) && score - edge < 1e-12 && edge - score < 1e-12)
		score = edge;
	for (int digits = 3; digits <= 15; digits++) {
		snprintf(out, NUMBER_TEXT, "%.*f", digits, score);
		double shown = strtod(out, NULL);
		if (side(shown, edge) == side(score, edge) && (shown != 1 || score >= 1) &&
		    (shown != 0 || score <= 0))
			break;
	}
	return out;
}

void number_exact(struct buf *out, double value)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf_adds(out, text);
	if (!text[strcspn(text, ".en")])
		buf_adds(out, ".0");
}
