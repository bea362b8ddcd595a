/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * image-type.h -- which kind of picture bytes are: those that models take.
 */
#pragma once
#include <stddef.h>

/* "image/png", "image/jpeg", "image/gif", "image/webp", by how DATA begins; NULL: none of these. */
const char *image_type(const void *data, size_t len);
