/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * pytest-words.h -- private to eval: what pytest says at its end, in the output of a script that calls it.
 */
#pragma once
#include <stdbool.h>
#include "base/buf.h"

/* Whether OUTPUT has last lines of pytest ("3 skipped in 0.02s", "no tests ran in 0.01s"), and none of them says that
 * something passed or failed. Believed, it can only take a pass away. */
bool pytest_words_say_nothing_ran(const struct buf *output);
