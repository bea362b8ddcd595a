/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The filter of system calls that each command gets, whatever holds the sandbox: what freezes others, or takes from what the
 * sandboxes of one user share; and, where tests run, what could make another process say that they passed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "init/init.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#ifndef ST_RDONLY
#define ST_RDONLY 1
#endif
#define LEASE 1024     /* F_SETLEASE */
#define NOTIFY 1026    /* F_NOTIFY, a lease of a folder */
#define PIPE_SIZE 1031 /* F_SETPIPE_SZ */
#define PIPE_MAX 65536 /* what a pipe has by itself */
#define X32 0x40000000
#define PROGRAM_MAX 96

#define ARG_LOW(n) ((uint32_t)offsetof(struct seccomp_data, args[n]))
#define ARG_HIGH(n) (ARG_LOW(n) + 4) /* both machines below store the low half first */
#define REFUSED (SECCOMP_RET_ERRNO | EPERM)

struct program {
	struct sock_filter at[PROGRAM_MAX];
	unsigned short n;
};

/* What the numbers of system calls mean for programs of one kind. */
struct abi {
	uint32_t arch;
	uint32_t tracing[4], fcntl[2]; /* 0: none */
};

static const struct abi abis[] = {
#ifdef __x86_64__
	{AUDIT_ARCH_X86_64,
	 {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd},
	 {SYS_fcntl}},
	{AUDIT_ARCH_I386, {26, 347, 348, 438}, {55, 221}},
#else
	{AUDIT_ARCH_AARCH64,
	 {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd},
	 {SYS_fcntl}},
	{AUDIT_ARCH_ARM, {26, 376, 377, 438}, {55, 221}},
#endif
};

static void add(struct program *p, unsigned code, unsigned yes, unsigned no, uint32_t k)
{
	p->at[p->n++] = (struct sock_filter){(uint16_t)code, (uint8_t)yes, (uint8_t)no, k};
}

static void load(struct program *p, uint32_t offset)
{
	add(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
}

static void end(struct program *p, uint32_t answer)
{
	add(p, BPF_RET | BPF_K, 0, 0, answer);
}

/* Of what is loaded: it is compared with VALUE, and where that holds (JEQ, JGT, JGE) the ANSWER is given. */
static void end_if(struct program *p, unsigned compare, uint32_t value, uint32_t answer)
{
	add(p, BPF_JMP | BPF_K | compare, 0, 1, value);
	end(p, answer);
}

static void add_fcntl(struct program *p)
{
	load(p, ARG_LOW(1));
	end_if(p, BPF_JEQ, LEASE, REFUSED);
	end_if(p, BPF_JEQ, NOTIFY, REFUSED);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, PIPE_SIZE);
	end(p, SECCOMP_RET_ALLOW);
	load(p, ARG_HIGH(2));
	end_if(p, BPF_JGT, 0, REFUSED);
	load(p, ARG_LOW(2));
	end_if(p, BPF_JGT, PIPE_MAX, REFUSED);
	end(p, SECCOMP_RET_ALLOW);
}

static void add_abi(struct program *p, const struct abi *abi, bool untraced)
{
	load(p, offsetof(struct seccomp_data, arch));
	const unsigned short jump = p->n;
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, abi->arch);
	load(p, offsetof(struct seccomp_data, nr));
	if (abi->arch == AUDIT_ARCH_X86_64) /* a third kind, with the same name */
		end_if(p, BPF_JGE, X32, SECCOMP_RET_ERRNO | ENOSYS);
	for (int i = 0; untraced && i < 4; i++)
		end_if(p, BPF_JEQ, abi->tracing[i], REFUSED);
	for (int i = 0; i < 2 && abi->fcntl[i]; i++) {
		const unsigned short over = p->n;
		add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, abi->fcntl[i]);
		add_fcntl(p);
		p->at[over].jf = (uint8_t)(p->n - over - 1);
	}
	end(p, SECCOMP_RET_ALLOW);
	p->at[jump].jf = (uint8_t)(p->n - jump - 1);
}

/* Whether the memory of others can be written to by a name below /proc: a local sandbox's is read-only, Docker makes it so,
 * Podman does not. */
static bool memory_has_names(void)
{
	struct statfs fs;

	return !confine_is_on() && !statfs("/proc", &fs) && !(fs.f_flags & ST_RDONLY);
}

/* Writing is left to us everywhere but in /proc. */
static int allow_but_proc(int ruleset, uint64_t rights)
{
	DIR *d = opendir("/");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, "proc") || !strcmp(e->d_name, ".") ||
		    !strcmp(e->d_name, ".."))
			continue;
		const int fd = openat(dirfd(d), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		struct __attribute__((packed)) {
			uint64_t allowed;
			int32_t parent;
		} rule = {rights, fd};
		if (fd >= 0) {
			syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 0);
			close(fd);
		}
	}
	if (d)
		closedir(d);
	return d ? 0 : -1;
}

/* Landlock from its second version on: the first would refuse to move files from folder to folder. Where there is none, nothing
 * more can be had. */
static void keep_from_memory(void)
{
	uint64_t rights = 1 << 1 | 1 << 13; /* to write to a file, to move one */

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 2)
		return;
	const int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof rights, 0);
	if (ruleset < 0)
		return;
	if (!allow_but_proc(ruleset, rights))
		syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
}

int filter_command(bool untraced)
{
	struct program p = {.n = 0};

	if (untraced && memory_has_names())
		keep_from_memory();

	for (size_t i = 0; i < sizeof abis / sizeof abis[0]; i++)
		add_abi(&p, &abis[i], untraced);
	end(&p, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = {.len = p.n, .filter = p.at};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
