/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/image-type.h"
#include <string.h>

const char *image_type(const void *data, size_t len)
{
	if (len >= 8 && !memcmp(data, "\x89PNG\r\n\x1a\n", 8))
		return "image/png";
	if (len >= 3 && !memcmp(data, "\xff\xd8\xff", 3))
		return "image/jpeg";
	if (len >= 6 && (!memcmp(data, "GIF87a", 6) || !memcmp(data, "GIF89a", 6)))
		return "image/gif";
	if (len >= 12 && !memcmp(data, "RIFF", 4) && !memcmp((const char *)data + 8, "WEBP", 4))
		return "image/webp";
	return NULL;
}
