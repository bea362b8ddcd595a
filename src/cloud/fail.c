/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include "base/cleanup.h"
#include "base/text.h"
#include "cloud/cloud.h"

int cloud_fail(const struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	text_renders(&text, err->msg, TEXT_TERMINAL_LINE);
	fprintf(stderr, "rollouts: %s\n", text.data);
	return err->kind == ERR_USAGE ? 2 : 3;
}
