/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * api.h -- the API dialects that models are asked in. What each of them looks like is the matter of src/model.
 */
#pragma once

enum api { API_RESPONSES, API_CHAT, API_ANTHROPIC, API_GEMINI };
#define API_COUNT 4

/* As they are written in every file: "responses", "chat", "anthropic", "gemini"; then NULL. */
extern const char *const api_names[API_COUNT + 1];

/* An enum api, or -1. */
int api_find(const char *name);
