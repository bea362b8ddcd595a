/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agents-new.h -- `agents new`: an agent file to start from.
 */
#pragma once

/* Write agents/NAME.toml and what it starts, as KIND ("python", "cli", "script") has them, and say so. An exit status. */
int agents_new(const char *name, const char *kind);
