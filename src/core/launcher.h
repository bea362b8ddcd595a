/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * launcher.h -- launchers by name. "local" runs workers on this machine; every other is a program that speaks the
 * protocol of docs/launchers.md.
 */
#pragma once
#include <stdbool.h>

#define LAUNCHER_LOCAL "local"

/* Small letters, digits and dashes: it becomes part of file names. */
bool launcher_is_name(const char *name);
/* The program of a launcher, absolute; the caller frees: rollouts-launch-NAME beside our own programs, the file launch of
 * drivers/NAME in our shared folder, rollouts-launch-NAME on PATH. NULL: there is none, so there is no such launcher. */
char *launcher_program(const char *name);
