/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The fence: two routing rules of the container's own network namespace for each range: name servers are looked up
 * as ever, all else is prohibited. A socket bound to an interface goes around them, but only to what answers its ARP
 * request on the bridge: an address of this very machine.
 */
#include "engine/inside.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

#define DNS_PORT 53
#define FIRST_RULE 10 /* before the tables of routes, after that of the namespace's own addresses */

static const struct range {
	int family;
	const char *address;
	unsigned char bits;
} ranges[] = {
	{AF_INET, "169.254.0.0", 16},	  /* nearly everybody's */
	{AF_INET, "100.100.100.200", 32}, /* Alibaba's */
	{AF_INET, "168.63.129.16", 32},	  /* Azure's own, beside the usual one */
	{AF_INET6, "fd00:ec2::254", 128}, /* Amazon's */
	{AF_INET6, "fd20:ce::254", 128},  /* Google's */
};

struct message {
	struct nlmsghdr head;
	struct fib_rule_hdr rule;
	char attributes[128];
};

bool inside_possible(void)
{
	return geteuid() == 0;
}

static void add(struct message *m, unsigned short type, const void *data, size_t n)
{
	struct rtattr *a = (struct rtattr *)((char *)m + NLMSG_ALIGN(m->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), data, n);
	m->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->head.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static int ask(int sock, const struct message *m)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char more[512];
	} reply;

	if (send(sock, m, m->head.nlmsg_len, 0) < 0)
		return -errno;
	ssize_t n = recv(sock, &reply, sizeof reply, 0);
	if (n < 0)
		return -errno;
	return n < (ssize_t)NLMSG_LENGTH(sizeof reply.error) || reply.head.nlmsg_type != NLMSG_ERROR
		       ? -EPROTO
		       : reply.error.error;
}

/* 0, or a negative error number. */
static int add_rule(int sock, const struct range *r, bool for_dns)
{
	struct message m = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof m.rule),
				     .nlmsg_type = RTM_NEWRULE,
				     .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE},
			    .rule = {.family = (unsigned char)r->family,
				     .dst_len = r->bits,
				     .table = for_dns ? RT_TABLE_MAIN : RT_TABLE_UNSPEC,
				     .action = for_dns ? FR_ACT_TO_TBL : FR_ACT_PROHIBIT}};
	const struct fib_rule_port_range port = {DNS_PORT, DNS_PORT};
	const uint32_t priority = for_dns ? FIRST_RULE : FIRST_RULE + 1;
	char address[sizeof(struct in6_addr)];

	inet_pton(r->family, r->address, address);
	add(&m, FRA_DST, address, r->family == AF_INET ? 4 : 16);
	add(&m, FRA_PRIORITY, &priority, sizeof priority);
	if (for_dns)
		add(&m, FRA_DPORT_RANGE, &port, sizeof port);
	return ask(sock, &m);
}

/* The engine may count processes otherwise than we do, and what we change must not be the machine's own. */
static int check_process(int pid, const char *id, struct err *err)
{
	AUTO(free) char *path = xasprintf("/proc/%d/cgroup", pid);
	AUTO(buf) struct buf text = BUF_INIT;

	if (pid <= 1 || !*id || path_read(AT_FDCWD, path, 1 << 16, &text, err) ||
	    !strstr(text.data, id))
		return err_retry(err, 0, "process %d is not of the container", pid);
	return 0;
}

/* Descriptors of the namespace NAME of PID and of our own, which must not be the same: that would be the machine's. */
static int open_namespaces(int pid, const char *name, int *there, int *ours, struct err *err)
{
	AUTO(free) char *path = xasprintf("/proc/%d/ns/%s", pid, name);
	AUTO(free) char *own = xasprintf("/proc/self/ns/%s", name);
	struct stat a, b;

	*there = open(path, O_RDONLY | O_CLOEXEC);
	*ours = open(own, O_RDONLY | O_CLOEXEC);
	if (*there < 0 || *ours < 0 || fstat(*there, &a) || fstat(*ours, &b))
		return err_set(err, ERR_INFRA, errno, "%s", path);
	if (a.st_ino == b.st_ino && a.st_dev == b.st_dev)
		return err_set(err, ERR_INFRA, 0, "the container shares the machine's %s namespace",
			       name);
	return 0;
}

/* A netlink socket of the process's network namespace. It stays one of that when we are back in ours. */
static int socket_there(int pid, struct err *err)
{
	AUTO(fd) int there = -1;
	AUTO(fd) int ours = -1;

	if (open_namespaces(pid, "net", &there, &ours, err))
		return -1;
	if (setns(there, CLONE_NEWNET))
		return err_set(err, ERR_INFRA, errno, "enter the container's network");
	AUTO(fd) int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const int why = errno;
	if (setns(ours, CLONE_NEWNET))
		return err_set(err, ERR_INFRA, errno, "leave the container's network");
	return sock < 0 ? err_set(err, ERR_INFRA, why, "netlink") : fd_steal(&sock);
}

int inside_fence(int pid, const char *id, struct err *err)
{
	if (check_process(pid, id, err))
		return -1;
	AUTO(fd) int sock = socket_there(pid, err);
	if (sock < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		const struct range *r = &ranges[i];
		int failed = add_rule(sock, r, true);
		if (!failed)
			failed = add_rule(sock, r, false);
		/* A kernel without IPv6 has nothing to be kept from. */
		if (failed &&
		    !(r->family == AF_INET6 && (failed == -EAFNOSUPPORT || failed == -EOPNOTSUPP)))
			return err_set(err, ERR_INFRA, -failed, "refuse %s", r->address);
	}
	return 0;
}

/* In a child: with the mounts, the root directory changes as well. WORK returns an exit status, 0 or an error number. */
static int in_mounts(int pid, const char *id, int (*work)(const void *arg), const void *arg,
		     int *why, struct err *err)
{
	AUTO(fd) int there = -1;
	AUTO(fd) int ours = -1;
	int status;

	if (check_process(pid, id, err) || open_namespaces(pid, "mnt", &there, &ours, err))
		return -1;
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(setns(there, CLONE_NEWNS) ? errno : work(arg));
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return err_set(err, ERR_INFRA, errno, "fork");
	*why = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	return 0;
}

struct show {
	int tree;
	const char *path;
};

static int show(const void *arg)
{
	const struct show *s = arg;

	return move_mount(s->tree, "", AT_FDCWD, s->path, MOVE_MOUNT_F_EMPTY_PATH) ? errno : 0;
}

int inside_mount(int pid, const char *id, int tree, const char *path, struct err *err)
{
	const struct show s = {tree, path};
	int why = 0;

	if (in_mounts(pid, id, show, &s, &why, err))
		return -1;
	return why ? err_set(err, ERR_INFRA, why, "mount %s in the container", path) : 0;
}

/* By way of a view of the root of our own, which nobody inside ever sees writable. */
static int open_folders(const void *arg)
{
	const struct strv *paths = arg;
	struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
	int root = open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct err ignored;
	struct stat st;

	if (root < 0 || mount_setattr(root, "", AT_EMPTY_PATH, &attr, sizeof attr))
		return errno;
	for (size_t i = 0; i < paths->n; i++) {
		AUTO(fd)
		int fd = path_open_beneath(root, paths->v[i] + 1, O_RDONLY | O_DIRECTORY, 0,
					   &ignored);
		if (fd >= 0 && !fstat(fd, &st))
			(void)!fchmod(fd, (st.st_mode & 07777) | S_IXOTH);
	}
	return 0;
}

int inside_open_folders(int pid, const char *id, const struct strv *paths, struct err *err)
{
	int why = 0;

	if (in_mounts(pid, id, open_folders, paths, &why, err))
		return -1;
	return why ? err_set(err, ERR_INFRA, why, "open folders of the image to the trial's user")
		   : 0;
}
