/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/sizes.h"
#include <stddef.h>
#include "base/mem.h"
#include "base/text.h"

/* As their providers state it, in November 2026. Where a longer prompt costs more for all of it, the context ends there. */
static const struct {
	const char *glob;
	struct model_sizes sizes;
} table[] = {
	{"*gpt-6*", {272000, 128000}},
	{"*gpt-5.[456]*", {272000, 128000}},
	{"*gpt-5*", {400000, 128000}},
	{"*gpt-4.1*", {1047576, 32768}},
	{"*gpt-4o*", {128000, 16384}},
	{"*o3*", {200000, 100000}},
	{"*claude-3-*", {200000, 8192}},
	{"*claude-opus-4-[01]*", {200000, 32000}},
	{"*claude-opus-4-2025*", {200000, 32000}},
	{"*claude-*-4-5*", {200000, 64000}},
	{"*claude-sonnet-4-[02]*", {200000, 64000}},
	{"*claude-haiku-5*", {100000, 64000}},
	{"*claude-*", {1000000, 128000}},
	{"*gemini-3.1-pro*", {200000, 65536}},
	{"*gemini-2.5-pro*", {200000, 65536}},
	{"*gemini-*", {1048576, 65536}},
	{"*grok-*", {200000, 64000}},
	{"*deepseek*", {1000000, 384000}},
	{"*kimi-k3*", {1048576, 131072}},
	{"*kimi-k2*", {262144, 65536}},
	{"*glm-4*", {204800, 131072}},
	{"*glm-5*", {1000000, 131072}},
	{"*[Mm]ini[Mm]ax-M3*", {512000, 131072}},
	{"*qwen*", {256000, 65536}},
	{"*mistral-large-4*", {1000000, 65536}},
	{"*", {200000, 32000}},
};

struct model_sizes model_sizes(const char *model)
{
	size_t i = 0;

	while (!text_glob(table[i].glob, model))
		i++;
	return table[i].sizes;
}
