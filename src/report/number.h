/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * number.h -- numbers as text that says nothing untrue: what is not 1 is not shown as 1.000, what is not 0 not as 0.000, and
 * the end of an interval not on the other side of what it is compared with.
 */
#pragma once
#include "base/buf.h"

#define NUMBER_TEXT 32

/* A score in three digits; those next to 0 and 1 stay apart from them. */
const char *number_score(char out[NUMBER_TEXT], double score);
/* A score as a percentage of one digit, "99.9%": only exactly 1 is 100.0%, only 0 is 0.0%. */
const char *number_percent(char out[NUMBER_TEXT], double score);
/* A difference of scores as points of a hundred, with a sign if SIGNED. One digit, or as many as it takes to
 * stand on the right side of 0 and of +-MARGIN (0: none). */
const char *number_points(char out[NUMBER_TEXT], double difference, double margin, int with_sign);
/* A score with at least three digits, and as many as it takes to stand on the right side of EDGE. */
const char *number_beside(char out[NUMBER_TEXT], double score, double edge);
/* The shortest text that reads back as VALUE; never one that looks whole. */
void number_exact(struct buf *out, double value);
