/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/landlock.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"

/* linux/landlock.h of Debian 12 ends with ABI 2. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#endif
#define VERSION_FLAG 1U
#define RULE_PATH 1
#define RULE_PORT 2
#define ABI_KNOWN 7

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_BLOCK = 1 << 11,
	FS_REFER = 1 << 13,
	FS_TRUNCATE = 1 << 14,
	FS_IOCTL_DEV = 1 << 15,
	NET_BIND = 1 << 0,
	NET_CONNECT = 1 << 1,
	SCOPE_ABSTRACT = 1 << 0,
	SCOPE_SIGNAL = 1 << 1,
};

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct __attribute__((packed)) path_attr {
	uint64_t access;
	int32_t parent;
};

struct port_attr {
	uint64_t access, port;
};

static uint64_t fs_rights(int abi)
{
	return (FS_REFER - 1) | (abi >= 2 ? FS_REFER : 0) |
	       (abi >= LANDLOCK_TRUNCATES ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0);
}

int landlock_ruleset(int abi, struct err *err)
{
	const struct ruleset_attr attr = {
		.fs = fs_rights(abi),
		.net = abi >= LANDLOCK_TCP ? NET_BIND | NET_CONNECT : 0,
		.scoped = abi >= LANDLOCK_SIGNALS ? SCOPE_ABSTRACT | SCOPE_SIGNAL : 0,
	};
	/* A kernel refuses a longer struct than it knows unless what is beyond is 0. */
	int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0U);

	return fd < 0 ? err_set(err, ERR_INFRA, errno, "make a Landlock ruleset") : fd;
}

int landlock_abi(struct err *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);
	/* Tests try what an older kernel has. */
	const char *older = getenv("ROLLOUTS_TEST_LANDLOCK_ABI");
	struct err why = {0};

	if (abi <= 0)
		(void)err_set(&why, ERR_INFRA, errno, "this kernel has no Landlock");
	if (older && abi > strtol(older, NULL, 10))
		abi = strtol(older, NULL, 10);
	/* A kernel with parts of later ones may claim what it does not have: it is tried. */
	for (abi = abi > ABI_KNOWN ? ABI_KNOWN : abi; abi > 0; abi--) {
		AUTO(fd) int ruleset = landlock_ruleset((int)abi, &why);
		if (ruleset >= 0)
			return (int)abi;
	}
	*err = why;
	return 0;
}

int landlock_allow(int ruleset, int abi, int fd, enum landlock_use use, struct err *err)
{
	const uint64_t own = fs_rights(abi) & ~(uint64_t)(FS_MAKE_CHAR | FS_MAKE_BLOCK);
	const uint64_t uses[] = {
		[LANDLOCK_READ] = FS_READ_FILE | FS_READ_DIR,
		[LANDLOCK_PROGRAMS] = FS_READ_FILE | FS_READ_DIR | FS_EXECUTE,
		[LANDLOCK_DEVICE] = FS_READ_FILE | FS_WRITE_FILE,
		[LANDLOCK_OWN] = own,
	};
	struct path_attr attr = {.access = uses[use], .parent = fd};
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, ERR_INFRA, errno, "stat");
	if (!S_ISDIR(st.st_mode))
		attr.access &= FS_READ_FILE | FS_WRITE_FILE | FS_EXECUTE;
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH, &attr, 0U))
		return err_set(err, ERR_INFRA, errno, "add a Landlock rule");
	return 0;
}

int landlock_allow_port(int ruleset, uint16_t port, struct err *err)
{
	const struct port_attr attr = {.access = NET_CONNECT, .port = port};

	return syscall(SYS_landlock_add_rule, ruleset, RULE_PORT, &attr, 0U)
		       ? err_set(err, ERR_INFRA, errno, "add a Landlock rule")
		       : 0;
}
