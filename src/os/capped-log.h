/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * capped-log.h -- a log of untrusted output that keeps the first and the last CAP bytes of a stream
 * and states the gap. Nothing of it is kept in memory; the file takes up to twice CAP, three times
 * for a moment at the end. Who writes the stream never holds the file: it could cut it off or fill
 * the disk. What a full disk does not take is left out, and the last line says how much that was.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define CAPPED_LOG_BYTES (16u << 20)

struct capped_log;

/* Creates PATH (0600; must not be a link). CAP, which is not 0, bytes of head and as many of tail are
 * kept. */
int capped_log_open(struct capped_log **out, int dir_fd, const char *path, size_t cap,
		    struct err *err) MUST_CHECK;
int capped_log_add(struct capped_log *log, const void *data, size_t n, struct err *err) MUST_CHECK;
int64_t capped_log_total(const struct capped_log *log); /* bytes offered so far */
/* Puts head, gap and tail in their order, closes, frees, also when that fails. NULL is accepted. */
int capped_log_close(struct capped_log *log, struct err *err) MUST_CHECK;
