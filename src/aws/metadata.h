/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * metadata.h -- the service that an instance of EC2 asks about itself (IMDSv2).
 */
#pragma once
#include "aws/http.h"

/* GET /latest/PATH; the caller releases *OUT. 1: there is no such service here, or it does not have that. */
int metadata_get(struct buf *out, struct http *h, const char *path);
