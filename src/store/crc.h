/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * crc.h -- CRC-32 as in zlib, gzip and PNG (reflected 0xedb88320): finds damage, not forgery.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint32_t crc32_of(const void *data, size_t n);
