/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * seccomp-gen FILE [landlock|landlock-tcp] -- writes the sandbox's system call filter. It takes away what has no use in building
 * and testing software and has been the way into the kernel again and again; what is refused returns an
 * error, so that a program can fall back, and never kills. Where no namespaces are ("landlock") it also closes what
 * those would have: sockets of all kinds but what Landlock holds, memory and queues with names, other processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
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

/* Names that the whole machine sees, and what no namespace of one's own is to be had by. */
static const int refused_plain[] = {
	SCMP_SYS(mq_open), SCMP_SYS(msgget), SCMP_SYS(semget), SCMP_SYS(setns), SCMP_SYS(shmget),
};

#define FLAG_FASTOPEN 0x20000000u
#define SOCK_TYPE 0xfu
#define IOCTL_FIOSETOWN 0x8901u
#define IOCTL_SIOCSPGRP 0x8902u

static const uint32_t new_namespaces[] = {
	0x00000080 /* time */, 0x00020000 /* mount */, 0x02000000 /* cgroup */,
	0x04000000 /* UTS */,  0x08000000 /* IPC */,   0x10000000 /* user */,
	0x20000000 /* PID */,  0x40000000 /* net */,
};

static int refuse_masked(scmp_filter_ctx ctx, int call, unsigned arg, uint32_t mask, uint32_t value)
{
	const struct scmp_arg_cmp cmp = {arg, SCMP_CMP_MASKED_EQ, mask, value};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), call, 1, &cmp);
}

/* Landlock knows TCP, and no other protocol of a stream. */
static int refuse_but_tcp(scmp_filter_ctx ctx, int family)
{
	const uint32_t no = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	const int call = SCMP_SYS(socket);
	int rc = 0;

	for (uint32_t type = 0; !rc && type <= SOCK_TYPE; type++)
		if (type != SOCK_STREAM)
			rc = seccomp_rule_add(ctx, no, call, 2,
					      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family),
					      SCMP_A1(SCMP_CMP_MASKED_EQ, SOCK_TYPE, type));
	for (int protocol = 1; !rc && protocol < IPPROTO_TCP; protocol++)
		rc = seccomp_rule_add(ctx, no, call, 2, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family),
				      SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)protocol));
	return rc ? rc
		  : seccomp_rule_add(ctx, no, call, 2, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family),
				     SCMP_A2(SCMP_CMP_GT, IPPROTO_TCP));
}

static int build_sockets(scmp_filter_ctx ctx, bool tcp)
{
	const uint32_t no = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	/* Named sockets of others are as near as one's own: their daemons do what a user asks. Pairs have no name. */
	int rc = seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));

	if (!rc) /* routes and addresses may be asked for */
		rc = seccomp_rule_add(ctx, no, SCMP_SYS(socket), 2,
				      SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_NE, 0));
	if (!tcp) {
		if (!rc)
			rc = seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1,
					      SCMP_A0(SCMP_CMP_EQ, AF_INET));
		return rc ? rc
			  : seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1,
					     SCMP_A0(SCMP_CMP_EQ, AF_INET6));
	}
	if (!rc)
		rc = refuse_but_tcp(ctx, AF_INET);
	if (!rc)
		rc = refuse_but_tcp(ctx, AF_INET6);
	/* Connects without asking Landlock. */
	if (!rc)
		rc = refuse_masked(ctx, SCMP_SYS(sendto), 3, FLAG_FASTOPEN, FLAG_FASTOPEN);
	if (!rc)
		rc = refuse_masked(ctx, SCMP_SYS(sendmsg), 2, FLAG_FASTOPEN, FLAG_FASTOPEN);
	return rc ? rc : refuse_masked(ctx, SCMP_SYS(sendmmsg), 3, FLAG_FASTOPEN, FLAG_FASTOPEN);
}

static int build_plain(scmp_filter_ctx ctx, bool tcp)
{
	static const uint32_t owners[] = {F_SETOWN, F_SETSIG, F_SETOWN_EX};
	int rc = build_sockets(ctx, tcp);

	for (size_t i = 0; !rc && i < sizeof refused_plain / sizeof refused_plain[0]; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused_plain[i], 0);
	for (size_t i = 0; !rc && i < sizeof new_namespaces / sizeof new_namespaces[0]; i++) {
		rc = refuse_masked(ctx, SCMP_SYS(unshare), 0, new_namespaces[i], new_namespaces[i]);
		if (!rc && new_namespaces[i] > 0xff) /* the low byte is a signal there */
			rc = refuse_masked(ctx, SCMP_SYS(clone), 0, new_namespaces[i],
					   new_namespaces[i]);
	}
	/* Its flags lie in memory, where no filter looks; C libraries fall back to clone. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* A descriptor does not tell whom it signals; who tries falls back to kill. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(pidfd_send_signal), 0);
	/* Another's limits. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1,
				      SCMP_A0(SCMP_CMP_NE, 0));
	/* Signals by way of a descriptor that is ready. */
	for (size_t i = 0; !rc && i < sizeof owners / sizeof owners[0]; i++)
		rc = refuse_masked(ctx, SCMP_SYS(fcntl), 1, 0xffffffffu, owners[i]);
	if (!rc)
		rc = refuse_ioctl(ctx, IOCTL_FIOSETOWN);
	return rc ? rc : refuse_ioctl(ctx, IOCTL_SIOCSPGRP);
}

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int fd = argc == 2 || argc == 3
			 ? open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)
			 : -1;

	const bool plain = argc == 3, tcp = plain && !strcmp(argv[2], "landlock-tcp");

	if (!ctx || fd < 0 || build(ctx) || (plain && build_plain(ctx, tcp)) ||
	    seccomp_export_bpf(ctx, fd) || close(fd)) {
		fprintf(stderr, "seccomp-gen: cannot make the filter\n");
		return 1;
	}
	seccomp_release(ctx);
	return 0;
}
