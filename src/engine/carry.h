/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * carry.h -- images from one engine to another, as the tar archive that both know.
 */
#pragma once
#include "base/err.h"

/* Write the image ID ("sha256:...") of the engine at SOCKET to FD. */
int carry_save(const char *socket, const char *id, int fd, struct err *err) MUST_CHECK;
/* Whether the engine here has ID: 1, 0; -1: there is no engine, or it does not answer. *SOCKET becomes where it is; the caller frees. */
int carry_look(const char *id, char **socket, struct err *err) MUST_CHECK;
/* Have the engine here take FD, which is what carry_save wrote of ID. */
int carry_load(const char *id, int fd, struct err *err) MUST_CHECK;
