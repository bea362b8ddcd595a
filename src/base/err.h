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
	/* Doing the same again later may help: the machine or a peer was short of something, busy or
	 * gone for the moment. False where somebody has to mend something first (a program that is
	 * missing, a permission). */
	bool retry;
	bool from_box; /* a sandbox is in a state that what ran in it can have made */
	int sys;       /* errno, or 0 */
	char msg[1024];
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* Fill *err; SYS != 0 appends strerror(SYS). An ERR_INFRA is worth a retry when SYS says that the
 * machine was short of something; other errors are not. An ERR_USAGE with such a SYS becomes an ERR_INFRA. Always
 * returns -1. */
int err_set(struct err *err, enum err_kind kind, int sys, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* An ERR_INFRA that is worth a retry whatever SYS is. Always returns -1. */
int err_retry(struct err *err, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Whether it is that the disk, its inodes or a quota are used up: by errno, or by what a program of ours said of it. */
bool err_no_room(const struct err *err);
/* Say of ERR that it comes of the state of a sandbox. Always returns -1. */
int err_from_box(struct err *err);
/* Prefix the message with "FMT: ". Always returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A state the program itself must never reach: print and abort. */
noreturn void bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#if defined(__clang_analyzer__) && !defined(ERR_ITSELF)
/* What the contract says and an analyzer of one file at a time cannot see. */
#define err_set(...) ((void)err_set(__VA_ARGS__), -1)
#define err_retry(...) ((void)err_retry(__VA_ARGS__), -1)
#define err_from_box(...) ((void)err_from_box(__VA_ARGS__), -1)
#define err_wrap(...) ((void)err_wrap(__VA_ARGS__), -1)
#endif
