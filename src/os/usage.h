/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * usage.h -- how much disk a tree takes.
 */
#pragma once
#include <stdint.h>

/* Bytes of the blocks below PATH, itself included; no link is followed, no other file system
 * entered, and what cannot be read is left out. A missing path takes nothing. */
int64_t usage_bytes(int dir_fd, const char *path);
/* "0 B", "12 kB", "3.4 MB": decimal units. */
void usage_human(int64_t bytes, char out[16]);
