/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * operands.h -- NAME or NAME.toml, whichever a verb needs: people write what is at hand.
 */
#pragma once

/* The benchmark file that OPERAND means: itself, or where there is none, the one of that name with .toml, here or in
 * configs/. "-" is standard input. Owned by the caller. */
char *operand_file(const char *operand);
/* The name of the rollouts that OPERAND means: of a benchmark file what it calls itself, else OPERAND. The same. */
char *operand_name(const char *operand);
