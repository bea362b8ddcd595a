/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * driver-settings.h -- [launcher.NAME] of a benchmark, as the launchers' programs in C read it: a table says of each setting where in
 * the program's own struct it goes, and what it may be.
 */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

enum driver_setting_kind {
	DRIVER_TEXT,   /* char *, owned; never empty */
	DRIVER_NUMBER, /* int64_t, from MIN to MAX */
	DRIVER_AMOUNT, /* double, not negative */
	DRIVER_SWITCH, /* bool */
	DRIVER_JSON,   /* json_t *, owned, once CHECK found nothing wrong */
};

struct driver_setting {
	const char *name;
	enum driver_setting_kind kind;
	size_t offset;
	int64_t min, max;
	/* Of a DRIVER_JSON: why VALUE cannot be; NULL: it can. */
	const char *(*check)(const json_t *value);
};

/* Read J, which may be NULL, into SETTINGS, which has the defaults. -1: TEXT says which setting is wrong, and what to write. */
int driver_settings_read(void *settings, const struct driver_setting *table, size_t n,
			 const json_t *j, struct buf *text) MUST_CHECK;
/* What SETTINGS owns goes; its members are NULL then. */
void driver_settings_release(void *settings, const struct driver_setting *table, size_t n);

/* Of a list of texts. */
const char *driver_check_texts(const json_t *value);
