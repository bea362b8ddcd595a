/* SPDX-License-Identifier: GPL-3.0-or-later */
#define ERR_ITSELF
#include "base/err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool err_no_room(const struct err *err)
{
	return err->sys == ENOSPC || err->sys == EDQUOT || strstr(err->msg, strerror(ENOSPC)) ||
	       strstr(err->msg, strerror(EDQUOT));
}

static bool may_pass(int sys)
{
	switch (sys) {
	case EAGAIN:
	case EBUSY:
	case ECHILD:
	case ECONNABORTED:
	case ECONNREFUSED:
	case ECONNRESET:
	case EDQUOT:
	case EHOSTUNREACH:
	case EINTR:
	case EIO:
	case EMFILE:
	case ENETDOWN:
	case ENETUNREACH:
	case ENFILE:
	case ENOBUFS:
	case ENOLCK:
	case ENOMEM:
	case ENOSPC:
	case EPIPE:
	case ESRCH:
	case ESTALE:
	case ETIMEDOUT:
	case ETXTBSY:
	case EUSERS:
		return true;
	default:
		return false;
	}
}

__attribute__((format(printf, 3, 0))) static void fill(struct err *err, int sys, const char *fmt,
						       va_list ap)
{
	int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);

	err->sys = sys;
	if (sys && n >= 0 && (size_t)n < sizeof err->msg)
		snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s", strerror(sys));
}

/* Whatever file it was: nothing that its user wrote is wrong. */
static bool is_machines(int sys)
{
	return sys == EMFILE || sys == ENFILE || sys == ENOMEM || sys == EIO || sys == ENOSPC ||
	       sys == EDQUOT || sys == ESTALE;
}

int err_set(struct err *err, enum err_kind kind, int sys, const char *fmt, ...)
{
	va_list ap;

	err->kind = kind == ERR_USAGE && is_machines(sys) ? ERR_INFRA : kind;
	err->retry = err->kind == ERR_INFRA && may_pass(sys);
	err->from_box = false;
	va_start(ap, fmt);
	fill(err, sys, fmt, ap);
	va_end(ap);
	return -1;
}

int err_retry(struct err *err, int sys, const char *fmt, ...)
{
	va_list ap;

	err->kind = ERR_INFRA;
	err->retry = true;
	err->from_box = false;
	va_start(ap, fmt);
	fill(err, sys, fmt, ap);
	va_end(ap);
	return -1;
}

int err_from_box(struct err *err)
{
	err->from_box = true;
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char inner[sizeof err->msg];
	va_list ap;

	memcpy(inner, err->msg, sizeof inner);
	va_start(ap, fmt);
	int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof err->msg)
		snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s", inner);
	return -1;
}

noreturn void bug(const char *fmt, ...)
{
	va_list ap;

	fputs("rollouts: bug: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}
