/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/base64.h"
#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i += 3) {
		const size_t left = len - i;
		const uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
				   (left > 2 ? (uint32_t)p[i + 2] : 0);
		buf_addc(out, digits[v >> 18]);
		buf_addc(out, digits[v >> 12 & 63]);
		buf_addc(out, left > 1 ? digits[v >> 6 & 63] : '=');
		buf_addc(out, left > 2 ? digits[v & 63] : '=');
	}
}

static char usual(char letter)
{
	return letter == '-' ? '+' : letter == '_' ? '/' : letter;
}

bool base64_decode(struct buf *out, const char *text)
{
	const size_t len = strlen(text);

	if (len % 4)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		const bool last = i + 4 == len;
		const int pad = !last ? 0 : text[i + 2] == '=' ? 2 : text[i + 3] == '=' ? 1 : 0;
		uint32_t v = 0;
		for (int k = 0; k < 4; k++) {
			const char c = text[i + (size_t)k];
			const char *at = k < 4 - pad ? strchr(digits, usual(c)) : digits;
			if (!at || (k >= 4 - pad && c != '='))
				return false;
			v = v << 6 | (uint32_t)(at - digits);
		}
		buf_addc(out, (char)(v >> 16));
		if (pad < 2)
			buf_addc(out, (char)(v >> 8));
		if (pad < 1)
			buf_addc(out, (char)v);
	}
	return true;
}
