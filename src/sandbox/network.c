/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/network.h"
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "sandbox/refusal.h"

static int raise_loopback(struct err *err)
{
	AUTO(fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo)
		       ? err_set(err, ERR_INFRA, errno, "cannot set up a loopback device")
		       : 0;
}

/* Where the kernel has no such switch, a sandbox does without. */
static void set(const char *path, const char *text)
{
	AUTO(fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		log_debug("%s: %s", path, strerror(errno));
}

int network_enter(struct err *err)
{
	if (unshare(CLONE_NEWNET)) {
		err_set(err, ERR_INFRA, errno, "cannot make a network namespace");
		return refusal_explain(err);
	}
	if (raise_loopback(err))
		return refusal_explain(err);
	set("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	/* Ours is the only group of our namespace. */
	set("/proc/sys/net/ipv4/ping_group_range", "0 0");
	return 0;
}
