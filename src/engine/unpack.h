/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * unpack.h -- all that is in an image, for somebody who wants its files and no container.
 */
#pragma once
#include "base/err.h"

/* Write the files of IMAGE, "NAME@sha256:..." or an id, to FILE, a new tar archive; it is pulled by the engine's client where the engine here lacks it. The
 * container that is made for it never starts, and is removed. Blocks as long as the network takes. */
int unpack_image(const char *image, const char *file, struct err *err) MUST_CHECK;
