/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * capped-log.h -- a log of untrusted output that keeps the first and the last CAP bytes of a stream
 * and states the gap. The writer of the stream never holds the file: it could truncate it or fill
 * the disk.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define CAPPED_LOG_BYTES (16u << 20)

struct capped_log;

/* Creates PATH (0600; must not be a link). CAP bytes of head and CAP of tail are kept. */
int capped_log_open(struct capped_log **out, int dir_fd, const char *path, size_t cap,
		    struct err *err) MUST_CHECK;
int capped_log_add(struct capped_log *log, const void *data, size_t n, struct err *err) MUST_CHECK;
int64_t capped_log_total(const struct capped_log *log); /* bytes offered so far */
/* Writes the gap line and the tail, closes. NULL is accepted. */
int capped_log_close(struct capped_log *log, struct err *err) MUST_CHECK;
