/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * json-pointer.h -- private to agent: RFC 6901 pointers with two additions: "*" stands for every
 * element of an array or object, a negative number counts from an array's end.
 */
#pragma once
#include <jansson.h>

/* Call VISIT for every value POINTER leads to in DOC; returns how many there were. A pointer that
 * is neither "" nor starts with "/" leads nowhere. */
size_t json_pointer_walk(const json_t *doc, const char *pointer,
			 void (*visit)(void *arg, const json_t *v), void *arg);
