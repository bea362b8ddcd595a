/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * err.h -- errors are values. A function that can fail takes `struct err *err` last, returns 0 or -1,
 * and leaves *err untouched on success. The struct lives on the caller's stack and owns nothing.
 * Only src/cmd prints one, only main exits on one.
 */
#pragma once
#include <stdbool.h>
#include <stdnoreturn.h>

enum err_kind {
	ERR_NONE,
	ERR_USAGE,     /* the user's mistake: exit status 2 */
	ERR_INFRA,     /* the environment's fault: exit status 3 */
	ERR_LIMIT,     /* a stated limit was reached */
	ERR_CANCELLED, /* somebody asked us to stop */
};

struct err {
	enum err_kind kind;
	bool retry; /* worth another try without changing anything */
	int sys;    /* errno, or 0 */
	char msg[1024];
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* Fill *err; SYS != 0 appends strerror(SYS). Always returns -1. */
int err_set(struct err *err, enum err_kind kind, int sys, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Prefix the message with "FMT: ". Always returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A state the program itself must never reach: print and abort. */
noreturn void bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#if defined(__clang_analyzer__) && !defined(ERR_ITSELF)
/* What the contract says and an analyzer of one file at a time cannot see. */
#define err_set(...) ((void)err_set(__VA_ARGS__), -1)
#define err_wrap(...) ((void)err_wrap(__VA_ARGS__), -1)
#endif
