/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/hash.h"
#include <string.h>

void hash_init(struct hash *h)
{
	SHA256Init(&h->ctx);
}

void hash_bytes(struct hash *h, const void *data, size_t n)
{
	SHA256Update(&h->ctx, data, n);
}

void hash_str(struct hash *h, const char *s)
{
	uint64_t len = s ? strlen(s) : UINT64_MAX;
	uint8_t le[8];

	for (int i = 0; i < 8; i++)
		le[i] = (uint8_t)(len >> (8 * i));
	hash_bytes(h, le, sizeof le);
	if (s)
		hash_bytes(h, s, (size_t)len);
}

static void to_hex(const uint8_t *digest, char out[HASH_HEX])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 15];
	}
	out[HASH_HEX - 1] = '\0';
}

void hash_hex(struct hash *h, char out[HASH_HEX])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	SHA256Final(digest, &h->ctx);
	to_hex(digest, out);
}

void hash_once(const void *data, size_t n, char out[HASH_HEX])
{
	struct hash h;

	hash_init(&h);
	hash_bytes(&h, data, n);
	hash_hex(&h, out);
}

void hash_hmac(const void *key, size_t key_len, const char *text, char out[HASH_HEX])
{
	uint8_t block[SHA256_BLOCK_LENGTH] = {0}, digest[SHA256_DIGEST_LENGTH];
	SHA2_CTX ctx;

	if (key_len > sizeof block) {
		SHA256Init(&ctx);
		SHA256Update(&ctx, key, key_len);
		SHA256Final(block, &ctx);
	} else {
		memcpy(block, key, key_len);
	}
	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36;
	SHA256Init(&ctx);
	SHA256Update(&ctx, block, sizeof block);
	SHA256Update(&ctx, (const uint8_t *)text, strlen(text));
	SHA256Final(digest, &ctx);
	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36 ^ 0x5c;
	SHA256Init(&ctx);
	SHA256Update(&ctx, block, sizeof block);
	SHA256Update(&ctx, digest, sizeof digest);
	SHA256Final(digest, &ctx);
	to_hex(digest, out);
}
