/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * banned.h -- calls with a better alternative become compile errors. Force-included by the build.
 */
#pragma once
#ifndef __cplusplus
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* Macros of glibc where clang compiles with _FORTIFY_SOURCE. */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gmtime localtime ctime    \
	asctime tmpnam mktemp atoi atol atof gets
#endif
