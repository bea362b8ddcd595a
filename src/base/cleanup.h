/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cleanup.h -- scope-bound ownership. `AUTO(fd) int fd = -1;` closes on every way out of the scope;
 * STEAL() and fd_steal() give the value away. Each AUTO(kind) needs one auto_kind() beside its type.
 */
#pragma once
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AUTO(kind) __attribute__((cleanup(auto_##kind)))

/* Copied by memcpy: reading any pointer variable through a void ** breaks strict aliasing. */
static inline void auto_free(void *var)
{
	void *p;
	memcpy(&p, var, sizeof p);
	free(p);
}

static inline void auto_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline int fd_steal(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#define STEAL(var)                                                                                 \
	__extension__({                                                                            \
		__typeof__(*(var)) taken_ = *(var);                                                \
		*(var) = NULL;                                                                     \
		taken_;                                                                            \
	})
