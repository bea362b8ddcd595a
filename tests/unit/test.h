/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * test.h -- cmocka with the headers it wants before itself. Each tests/unit/test-NAME.c includes it first.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
