/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "sandbox/processors.h"
#include "sandbox/rootfs-parts.h"

#define GROUP "sys/fs/cgroup"
#define PERIOD_US 100000 /* the kernel's own */

/* About the machine, not about who is on it. */
static const char *const shown[] = {"/sys/devices/system/cpu", "/sys/devices/system/node",
				    "/sys/kernel/mm/transparent_hugepage"};

/* Every controller is one of cgroup v2. */
static const char cgroups[] = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
			      "cpuset\t0\t1\t1\ncpu\t0\t1\t1\ncpuacct\t0\t1\t1\n"
			      "memory\t0\t1\t1\npids\t0\t1\t1\n";

/* Programs look for a mount of this type in /proc/self/mountinfo. It is made by a process of the sandbox's group with a
 * namespace that begins there, since it shows the group of who mounts it. */
static void mount_group(const struct rootfs *st, const struct sandbox_inherited *inherited)
{
	AUTO(free) char *to = rootfs_at(st, GROUP);
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		cgroup_join(&inherited->group);
		_exit(unshare(CLONE_NEWCGROUP) ||
				      mount("cgroup2", to, "cgroup2",
					    MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL)
			      ? errno
			      : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		log_debug("the sandbox has no mount of a control group: %s",
			  pid < 0 ? strerror(errno) : strerror(WEXITSTATUS(status)));
}

static int write_group(const struct rootfs *st, const char *name, const char *text, struct err *err)
{
	AUTO(free) char *rel = path_join(GROUP, name);

	return rootfs_file(st, rel, text, err);
}

/* The list of processors lies over the machine's. */
static int show_processors(const struct rootfs *st, struct err *err)
{
	AUTO(fd) int dir = open(st->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err why = {0};

	if (dir < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", st->dir);
	if (processors_write(dir, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(processors_shown); i++)
		if (rootfs_bind(st, processors_shown[i] + 1, dir, PROCESSORS_LIST, &why))
			log_debug("%s", why.msg);
	return 0;
}

/* Some are held by a control group and some by us: they are told alike. */
static int write_limits(const struct rootfs *st, const struct limits *l, struct err *err)
{
	AUTO(buf) struct buf cpus = BUF_INIT;
	char memory[32] = "max\n", cpu[48], pids[32] = "max\n";

	processors_list(&cpus);
	if (l->memory_mb > 0)
		snprintf(memory, sizeof memory, "%lld\n", (long long)l->memory_mb << 20);
	if (l->pids > 0)
		snprintf(pids, sizeof pids, "%d\n", l->pids);
	snprintf(cpu, sizeof cpu, "max %d\n", PERIOD_US);
	if (l->cpus > 0)
		snprintf(cpu, sizeof cpu, "%.0f %d\n", l->cpus * PERIOD_US, PERIOD_US);
	const struct {
		const char *name, *text;
	} files[] = {
		{"cgroup.controllers", "cpuset cpu memory pids\n"},
		{"cgroup.type", "domain\n"},
		{"cpu.max", cpu},
		{"cpu.weight", "100\n"},
		{"cpuset.cpus.effective", cpus.data},
		/* A JVM that misses it takes what is free on the machine for its own. */
		{"memory.current", "1048576\n"},
		{"memory.high", "max\n"},
		{"memory.low", "0\n"},
		{"memory.max", memory},
		{"memory.swap.max", l->memory_mb > 0 ? "0\n" : "max\n"},
		{"pids.max", pids},
	};
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (write_group(st, files[i].name, files[i].text, err))
			return -1;
	return 0;
}

int rootfs_sys(const struct rootfs *st, const struct sandbox_spec *spec,
	       const struct sandbox_inherited *inherited, struct err *err)
{
	AUTO(free) char *group = rootfs_at(st, GROUP);

	if (path_make_dirs(AT_FDCWD, group, 0755, err) || rootfs_file(st, "cgroups", cgroups, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		AUTO(free) char *to = rootfs_at(st, shown[i] + 1);
		struct err why = {0};
		if (!path_is_dir(AT_FDCWD, shown[i]))
			continue;
		if (path_make_dirs(AT_FDCWD, to, 0755, err))
			return -1;
		if (rootfs_bind(st, shown[i] + 1, AT_FDCWD, shown[i], &why))
			log_debug("%s", why.msg);
	}
	if (processors_are_fewer() && show_processors(st, err))
		return -1;
	mount_group(st, inherited);
	return rootfs_tmpfs(st, GROUP, "mode=755,size=256k", err) ||
			       write_limits(st, &spec->limits, err)
		       ? -1
		       : 0;
}
