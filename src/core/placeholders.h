/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * placeholders.h -- the words in braces that an agent's texts may hold; agent/agent-template.c fills them in.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* A word in braces in TEXT that is nearly a placeholder, and so was meant to be one: it goes to WRONG, of SIZE bytes each, what
 * was meant to RIGHT. After a dollar sign it is a shell's. False: there is none. */
bool placeholder_misspelt(const char *text, char *wrong, char *right, size_t size);
