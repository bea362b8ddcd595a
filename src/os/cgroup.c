/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/cgroup.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"

#define LEAF "rollouts-supervisor"
#define BOX "rollouts-box-" /* then the process id of its maker */
#define OWN_PROCESSES                                                                              \
	8 /* in a box, beside the commands: bubblewrap, PID 1, and room for a change */
#define LEAVE_TRIES 20
#define LEAVE_PAUSE_US 50000 /* a killed sandbox is gone within milliseconds */

static int write_file(const char *dir, const char *name, const char *text)
{
	AUTO(free) char *path = path_join(dir, name);
	AUTO(fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

static char *read_file(const char *dir, const char *name)
{
	AUTO(free) char *path = path_join(dir, name);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct err ignored;

	if (fd < 0 || path_read_fd(fd, 1 << 16, &text, &ignored))
		return NULL;
	return buf_detach(&text);
}

/* The directory of our own group, or NULL without cgroup v2. The caller frees. */
static char *own_group(void)
{
	AUTO(free) char *text = read_file("/proc/self", "cgroup");
	const char *line = text;

	while (line && strncmp(line, "0::", 3)) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line || access("/sys/fs/cgroup/cgroup.controllers", F_OK))
		return NULL;
	line += 3;
	return xasprintf("/sys/fs/cgroup%.*s", (int)strcspn(line, "\n"), line);
}

static bool has_words(const char *dir, const char *file)
{
	AUTO(free) char *text = read_file(dir, file);

	return text && strstr(text, "memory") && strstr(text, "pids");
}

/* The group whose children may be limited: the parent of the supervisor's leaf, in which we are. */
static char *room(void)
{
	AUTO(free) char *own = own_group();
	char *slash = own ? strrchr(own, '/') : NULL;

	if (!slash || strcmp(slash + 1, LEAF))
		return NULL;
	*slash = '\0';
	return has_words(own, "cgroup.subtree_control") ? STEAL(&own) : NULL;
}

bool cgroup_make_room(void)
{
	AUTO(free) char *there = room();
	AUTO(free) char *own = there ? NULL : own_group();

	if (there)
		return true;
	if (!own || !has_words(own, "cgroup.controllers"))
		return false;
	AUTO(free) char *leaf = path_join(own, LEAF);
	if (mkdir(leaf, 0755) && errno != EEXIST)
		return false;
	if (!write_file(leaf, "cgroup.procs", "0") &&
	    !write_file(own, "cgroup.subtree_control", "+memory +pids")) {
		/* Only wanted: nothing fails without it. */
		(void)!write_file(own, "cgroup.subtree_control", "+cpu");
		return true;
	}
	/* Somebody else's process is in our group: back to where we were. */
	(void)!write_file(own, "cgroup.procs", "0");
	rmdir(leaf);
	return false;
}

/* One that lives may be about to use its group, which is empty until then. */
static bool maker_is_gone(const char *name)
{
	long pid = strtol(name + strlen(BOX), NULL, 10);

	return pid > 0 && pid != getpid() && kill((pid_t)pid, 0) && errno == ESRCH;
}

/* How many groups of sandboxes are left in TOP. */
static int sweep(const char *top)
{
	DIR *d = opendir(top);
	struct dirent *e;
	int left = 0;

	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, BOX, strlen(BOX)))
			left += !maker_is_gone(e->d_name) ||
				unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
	return left;
}

/* A killed supervisor's groups are in its own: ours, when we were started in the same. */
void cgroup_sweep(void)
{
	AUTO(free) char *there = room();
	AUTO(free) char *own = there ? NULL : own_group();

	if (there) {
		(void)sweep(there);
	} else if (own && !sweep(own)) {
		AUTO(free) char *leaf = path_join(own, LEAF);
		rmdir(leaf); /* fails for one in use */
	}
}

static bool alone_in(const char *leaf)
{
	AUTO(free) char *procs = read_file(leaf, "cgroup.procs");

	return procs && strtol(procs, NULL, 10) == getpid() && !procs[strcspn(procs, "\n") + 1];
}

/* The root of the tree takes processes as it is; every other group only without controllers for children. */
static bool go_back(const char *top)
{
	if (!write_file(top, "cgroup.procs", "0"))
		return true;
	(void)!write_file(top, "cgroup.subtree_control", "-cpu");
	(void)!write_file(top, "cgroup.subtree_control", "-memory -pids");
	return !write_file(top, "cgroup.procs", "0");
}

void cgroup_leave_room(void)
{
	AUTO(free) char *top = room();
	AUTO(free) char *leaf = top ? path_join(top, LEAF) : NULL;

	for (int i = 0; top && sweep(top); i++) {
		if (i == LEAVE_TRIES)
			return;
		usleep(LEAVE_PAUSE_US);
	}
	if (top && alone_in(leaf) && go_back(top))
		rmdir(leaf);
}

static int set_number(const char *dir, const char *file, int64_t value)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)value);
	return write_file(dir, file, text);
}

static int set_limits(const char *dir, const struct cgroup_limits *l)
{
	char quota[48];

	/* Not memory.oom.group: it would take PID 1 along, and with it what is known of the end. */
	if (l->memory_bytes > 0) {
		if (set_number(dir, "memory.max", l->memory_bytes))
			return -1;
		/* Absent without swap accounting, which only makes the limit stricter. */
		(void)!write_file(dir, "memory.swap.max", "0");
	}
	if (l->pids > 0 && set_number(dir, "pids.max", l->pids + OWN_PROCESSES))
		return -1;
	if (l->cpus > 0) {
		snprintf(quota, sizeof quota, "%lld 100000", (long long)(l->cpus * 100000));
		(void)!write_file(dir, "cpu.max", quota);
	}
	return 0;
}

int cgroup_open(struct cgroup *out, const struct cgroup_limits *limits, struct err *err)
{
	AUTO(free) char *top = room();

	*out = (struct cgroup)CGROUP_INIT;
	if (!top)
		return err_set(err, ERR_INFRA, 0, "no cgroup was delegated to us");
	AUTO(free)
	char *path = xasprintf("%s/" BOX "%d-%lld", top, getpid(), (long long)clock_mono_ns());
	if (mkdir(path, 0755))
		return err_set(err, ERR_INFRA, errno, "make %s", path);
	AUTO(free) char *procs = path_join(path, "cgroup.procs");
	out->path = STEAL(&path);
	out->procs = set_limits(out->path, limits) ? -1 : open(procs, O_WRONLY | O_CLOEXEC);
	if (out->procs >= 0)
		return 0;
	err_set(err, ERR_INFRA, errno, "set the limits of %s", out->path);
	cgroup_release(out);
	return -1;
}

void cgroup_join(const struct cgroup *c)
{
	if (c->procs >= 0)
		(void)!write(c->procs, "0", 1);
}

bool cgroup_is_used(const struct cgroup *c)
{
	AUTO(free) char *text = c->path ? read_file(c->path, "cgroup.events") : NULL;

	return text && strstr(text, "populated 1");
}

static pid_t process_of(int pidfd)
{
	char name[32];

	snprintf(name, sizeof name, "fdinfo/%d", pidfd);
	AUTO(free) char *text = read_file("/proc/self", name);
	const char *at = text ? strstr(text, "\nPid:") : NULL;
	return at ? (pid_t)strtol(at + strlen("\nPid:"), NULL, 10) : -1;
}

/* The path behind MARK in /proc/PID/cgroup, below TOP; NULL unless FILE is there. */
static char *group_at(const char *text, const char *mark, const char *top, const char *file)
{
	const char *at = strstr(text, mark);

	if (!at)
		return NULL;
	at += strlen(mark);
	AUTO(free) char *dir = xasprintf("%s%.*s", top, (int)strcspn(at, "\n"), at);
	AUTO(free) char *known = read_file(dir, file);
	return known ? STEAL(&dir) : NULL;
}

void cgroup_of_process(struct cgroup *out, int pidfd)
{
	const pid_t pid = process_of(pidfd);
	char dir[32];

	cgroup_release(out);
	if (pid <= 0)
		return;
	snprintf(dir, sizeof dir, "/proc/%d", pid);
	AUTO(free) char *text = read_file(dir, "cgroup");
	if (!text)
		return;
	out->foreign = true;
	out->path = group_at(text, "0::", "/sys/fs/cgroup", "memory.events");
	if (!out->path)
		out->path =
			group_at(text, ":memory:", "/sys/fs/cgroup/memory", "memory.oom_control");
}

int64_t cgroup_oom_kills(const struct cgroup *c)
{
	AUTO(free) char *v2 = c->path ? read_file(c->path, "memory.events") : NULL;
	AUTO(free) char *v1 = c->path && !v2 ? read_file(c->path, "memory.oom_control") : NULL;
	const char *text = v2 ? v2 : v1;
	const char *at = text ? strstr(text, "oom_kill ") : NULL;

	return at ? strtoll(at + strlen("oom_kill "), NULL, 10) : 0;
}

int64_t cgroup_memory_peak(const struct cgroup *c)
{
	AUTO(free) char *v2 = c->path ? read_file(c->path, "memory.peak") : NULL;
	AUTO(free) char *v1 =
		c->path && !v2 ? read_file(c->path, "memory.max_usage_in_bytes") : NULL;
	const char *text = v2 ? v2 : v1;

	return text ? strtoll(text, NULL, 10) : 0;
}

void cgroup_release(struct cgroup *c)
{
	if (c->procs >= 0)
		close(c->procs);
	if (c->path && !c->foreign)
		rmdir(c->path);
	free(c->path);
	*c = (struct cgroup)CGROUP_INIT;
}
