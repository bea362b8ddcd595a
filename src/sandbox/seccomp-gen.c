/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * seccomp-gen FILE -- writes the sandbox's system call filter. It takes away what has no use in building
 * and testing software and has been the way into the kernel again and again; what is refused returns an
 * error, so that a program can fall back, and never kills.
 */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const int refused[] = {
	SCMP_SYS(add_key),	   SCMP_SYS(bpf),
	SCMP_SYS(io_uring_enter),  SCMP_SYS(io_uring_register),
	SCMP_SYS(io_uring_setup),  SCMP_SYS(keyctl),
	SCMP_SYS(perf_event_open), SCMP_SYS(request_key),
	SCMP_SYS(syslog),	   SCMP_SYS(userfaultfd),
};

static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
#define FAMILY_MAX AF_NETLINK

static bool is_allowed(int family)
{
	for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
		if (families[i] == family)
			return true;
	return false;
}

/* The kernel looks at the low 32 bits of a family; with anything in the high ones it is above FAMILY_MAX
 * here, so nothing slips through. */
static int refuse_families(scmp_filter_ctx ctx, int call)
{
	const uint32_t no = SCMP_ACT_ERRNO(EAFNOSUPPORT);

	for (int family = 0; family < FAMILY_MAX; family++)
		if (!is_allowed(family) &&
		    seccomp_rule_add(ctx, no, call, 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family)))
			return -1;
	return seccomp_rule_add(ctx, no, call, 1, SCMP_A0(SCMP_CMP_GT, FAMILY_MAX));
}

/* Masked, since the kernel ignores the high half of a command and a filter sees all of it. */
static int refuse_ioctl(scmp_filter_ctx ctx, unsigned command)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, command));
}

static int build(scmp_filter_ctx ctx)
{
	/* A call of another ABI (i386, x32) has other numbers: none of the rules below would see it. */
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));

	for (size_t i = 0; !rc && i < sizeof refused / sizeof refused[0]; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	if (!rc)
		rc = refuse_families(ctx, SCMP_SYS(socket));
	if (!rc)
		rc = refuse_families(ctx, SCMP_SYS(socketpair));
	if (!rc)
		rc = refuse_ioctl(ctx, TIOCSTI);
	return rc ? rc : refuse_ioctl(ctx, TIOCLINUX);
}

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int fd = argc == 2 ? open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;

	if (!ctx || fd < 0 || build(ctx) || seccomp_export_bpf(ctx, fd) || close(fd)) {
		fprintf(stderr, "seccomp-gen: cannot make the filter\n");
		return 1;
	}
	seccomp_release(ctx);
	return 0;
}
