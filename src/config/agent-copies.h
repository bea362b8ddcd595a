/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-copies.h -- inside src/config: files that an agent gets as they lie on this machine. In `files`, a value
 * "file:PATH" or "dir:PATH" (relative to FOLDER) is not a text but such a file, or all that is in such a folder.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"

/* Move those of SPEC's `files` to its `copies`: [{path, text or base64, executable}], in a fixed order. What cannot be read, is
 * a link that leads out of its folder, or is more than a spec should carry, is ERR_USAGE. */
int agent_copies_take(json_t *spec, const char *folder, struct err *err) MUST_CHECK;
/* A text that may be written "file:PATH": the caller owns *OUT. */
int agent_text_read(char **out, const char *text, const char *folder, struct err *err) MUST_CHECK;
