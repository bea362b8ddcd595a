/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * registry.h -- what only an image's registry knows.
 */
#pragma once

/* The seconds of its Retry-After, which an engine does not hand on: asked for IMAGE's manifest, without credentials. 0: it
 * asks for none now, or does not answer within ten seconds. */
int registry_retry_after(const char *image);
