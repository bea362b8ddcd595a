/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * hash.h -- SHA-256 (FIPS 180-4, libmd) and HMAC (RFC 2104) over it, as lower-case hex.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sha2.h>

#define HASH_HEX 65 /* bytes of a hex digest and its NUL */

struct hash {
	SHA2_CTX ctx;
};

void hash_init(struct hash *h);
void hash_bytes(struct hash *h, const void *data, size_t n);
/* Feed a string with its length first, so that ("ab","c") and ("a","bc") differ. NULL differs from "". */
void hash_str(struct hash *h, const char *s);
void hash_hex(struct hash *h, char out[HASH_HEX]);
void hash_once(const void *data, size_t n, char out[HASH_HEX]);
void hash_hmac(const void *key, size_t key_len, const char *text, char out[HASH_HEX]);
