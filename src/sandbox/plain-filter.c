/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/plain-filter.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

#define NO (SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))
#define TARGETS_MAX 64

static void add(struct buf *b, uint16_t code, uint8_t yes, uint8_t no, uint32_t k)
{
	const struct sock_filter f = {code, yes, no, k};

	buf_add(b, &f, sizeof f);
}

/* CALL with one of VALUES, in its low half the kernel looks at nothing else, as its first argument. */
static void refuse_targets(struct buf *b, int call, const uint32_t *values, size_t n)
{
	/* Not this call: over the load, the comparisons, and the two returns. */
	add(b, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(n + 3), (uint32_t)call);
	add(b, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args[0]));
	for (size_t i = 0; i < n; i++)
		add(b, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(n - i), 0, values[i]);
	add(b, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	add(b, BPF_RET | BPF_K, 0, 0, NO);
}

static void build(struct buf *b, const uint32_t *values, size_t n, bool truncates)
{
	static const int calls[] = {
		SYS_kill,      SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
		SYS_pidfd_open};

	/* Calls of another ABI are refused by the other filter. */
	add(b, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		refuse_targets(b, calls[i], values, n);
#ifdef SYS_truncate
	if (!truncates) {
		add(b, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_truncate);
		add(b, BPF_RET | BPF_K, 0, 0, NO);
	}
#endif
	add(b, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
}

static void add_program(struct buf *out, const struct buf *program)
{
	const uint32_t n = (uint32_t)(program->len / sizeof(struct sock_filter));

	buf_add(out, &n, sizeof n);
	buf_add(out, program->data, program->len);
}

int plain_filter(int filter_fd, const pid_t *pids, size_t pids_n, bool truncates, struct err *err)
{
	AUTO(buf) struct buf fixed = BUF_INIT, own = BUF_INIT, all = BUF_INIT;
	uint32_t values[TARGETS_MAX] = {(uint32_t)-1};
	size_t n = 1;

	for (size_t i = 0; i < pids_n && n + 3 < TARGETS_MAX; i++) {
		const pid_t group = getpgid(pids[i]);
		values[n++] = (uint32_t)pids[i];
		values[n++] = (uint32_t)-pids[i];
		if (group > 0 && group != pids[i])
			values[n++] = (uint32_t)-group;
	}
	if (lseek(filter_fd, 0, SEEK_SET) || path_read_fd(filter_fd, 1 << 20, &fixed, err))
		return err->kind ? -1 : err_set(err, ERR_INFRA, errno, "read a filter");
	build(&own, values, n, truncates);
	add_program(&all, &fixed);
	add_program(&all, &own);
	AUTO(fd) int fd = memfd_create("filters", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "memfd_create");
	return path_write_all(fd, all.data, all.len, err) ? -1 : fd_steal(&fd);
}
