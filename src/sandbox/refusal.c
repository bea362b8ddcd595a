/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/refusal.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"

#define PAGE "docs/inside-a-container.md"

/* What a container's engine is asked for. */
enum option { OPTION_FILTER, OPTION_PROC, OPTION_APPARMOR, OPTION_LABEL, OPTIONS };

static const char *const docker_options[OPTIONS] = {"seccomp=unconfined", "systempaths=unconfined",
						    "apparmor=unconfined", "label=disable"};
static const char *const podman_options[OPTIONS] = {"seccomp=unconfined", "unmask=ALL",
						    "apparmor=unconfined", "label=disable"};
static const char *const pod_options[OPTIONS] = {
	"seccompProfile: {type: Unconfined}", "procMount: Unmasked (with hostUsers: false)",
	"appArmorProfile: {type: Unconfined}", "seLinuxOptions: {type: spc_t}"};

static const struct place {
	const char *name, *where, *before, *between, *after;
	const char *const *options;
} places[] = {
	[PLACE_DOCKER] = {"this container", "start it with: docker run", " --security-opt ",
			  " --security-opt ", "", docker_options},
	[PLACE_PODMAN] = {"this container", "start it with: podman run", " --security-opt ",
			  " --security-opt ", "", podman_options},
	[PLACE_KUBERNETES] = {"this pod", "in the container's securityContext:", " ", ", ", "",
			      pod_options},
	[PLACE_DEVCONTAINER] = {"this container", "in devcontainer.json: \"runArgs\":",
				" [\"--security-opt=", "\", \"--security-opt=", "\"]",
				docker_options},
	[PLACE_GITHUB_JOB] = {"this job's container", "in the workflow: container: options:",
			      " --security-opt ", " --security-opt ", "", docker_options},
	[PLACE_CONTAINER] = {"this container", "Docker would be asked with: docker run",
			     " --security-opt ", " --security-opt ", "", docker_options},
};

static void container_text(struct buf *out, const struct refusal *r)
{
	const struct place *p = &places[r->place];
	/* Which of these the container already has cannot be seen, and a new one must be given all. */
	const bool both = r->place != PLACE_PODMAN;
	const bool found[OPTIONS] = {r->filtered, r->proc_hidden, r->apparmor_profile,
				     r->selinux_domain};
	const bool asked[OPTIONS] = {r->filtered || both, r->proc_hidden || both, r->apparmor,
				     r->selinux_domain};
	static const char *const causes[OPTIONS] = {
		"a filter of system calls forbids user namespaces", "parts of /proc are hidden",
		"an AppArmor profile forbids mounts", "SELinux forbids mounts"};
	const char *join = "in ";

	for (size_t i = 0; i < OPTIONS; i++) {
		if (!found[i])
			continue;
		if (*join == 'i')
			buf_addf(out, "in %s ", p->name);
		else
			buf_adds(out, join);
		buf_adds(out, causes[i]);
		join = ", ";
	}
	buf_addf(out, ": %s", p->where);
	join = p->before;
	for (size_t i = 0; i < OPTIONS; i++)
		if (asked[i]) {
			buf_addf(out, "%s%s", join, p->options[i]);
			join = p->between;
		}
	buf_adds(out, p->after);
	/* The container's profile gone, the machine's own restriction is met. */
	if (r->apparmor_restricted)
		buf_adds(out, ", and on the host: sysctl -w "
			      "kernel.apparmor_restrict_unprivileged_userns=0");
	buf_adds(out, " (" PAGE ")");
}

void refusal_text(struct buf *out, const struct refusal *r)
{
	const char *host = r->place == PLACE_MACHINE ? "" : "on the host: ";

	if (r->switched_off)
		buf_addf(out,
			 "user namespaces are switched off here: %ssysctl -w "
			 "kernel.unprivileged_userns_clone=1",
			 host);
	else if (r->none_allowed)
		buf_addf(out,
			 "user namespaces are switched off here: %ssysctl -w "
			 "user.max_user_namespaces=15000",
			 host);
	else if (r->too_many)
		buf_adds(out, "too many user namespaces are in use: raise "
			      "user.max_user_namespaces");
	else if (r->chroot)
		buf_adds(out, "this is a chroot, where the kernel forbids them: use pivot_root "
			      "(systemd-nspawn, bubblewrap) instead");
	else if (r->place != PLACE_MACHINE &&
		 (r->filtered || r->proc_hidden || r->apparmor_profile || r->selinux_domain))
		container_text(out, r);
	else if (r->unmappable && !r->apparmor_restricted)
		buf_adds(out, "root without the capability SETFCAP may not be in a user "
			      "namespace: start as an ordinary user (docker run --user 1000), "
			      "or with --cap-add SETFCAP (" PAGE ")");
	else if (r->apparmor_restricted)
		buf_addf(out,
			 "AppArmor forbids user namespaces to programs without a profile: %s%s"
			 "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
			 *host ? "" : "`make install` adds ours, or: ", host);
	else if (r->proc_hidden)
		buf_adds(out, "something is mounted below /proc, so that no other may be made: "
			      "umount it (see /proc/self/mountinfo)");
	else
		buf_adds(out, "a security module of this kernel may forbid user namespaces, or it "
			      "was built without them (CONFIG_USER_NS): its log tells (dmesg)");
}

static bool read_text(const char *path, struct buf *out)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct err ignored = {0};

	return fd >= 0 && !path_read_fd(fd, 4 << 20, out, &ignored);
}

static long long sysctl_value(const char *name, long long fallback)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(free) char *path = xasprintf("/proc/sys/%s", name);

	return read_text(path, &text) ? strtoll(text.data, NULL, 10) : fallback;
}

/* Fields of a line: id, parent, device, root, mount point. A chroot's "/" is no mount. */
static void look_at_mounts(struct refusal *r)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char point[4096];

	if (!read_text("/proc/self/mountinfo", &text))
		return;
	r->chroot = true;
	for (const char *line = text.data; *line;
	     line = strchrnul(line, '\n'), line += *line == '\n') {
		if (sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
			continue;
		if (!strcmp(point, "/"))
			r->chroot = false;
		/* Ordinary systems have this one, which hides nothing that counts. */
		else if (!strncmp(point, "/proc/", 6) && strcmp(point, "/proc/sys/fs/binfmt_misc"))
			r->proc_hidden = true;
	}
}

static enum refusal_place find_place(void)
{
	static const struct {
		const char *variable, *file;
		enum refusal_place place;
	} signs[] = {
		{"CODESPACES", NULL, PLACE_DEVCONTAINER},
		{"REMOTE_CONTAINERS", NULL, PLACE_DEVCONTAINER},
		{"KUBERNETES_SERVICE_HOST", NULL, PLACE_KUBERNETES},
		{NULL, "/var/run/secrets/kubernetes.io", PLACE_KUBERNETES},
		{NULL, "/run/.containerenv", PLACE_PODMAN},
		{NULL, "/.dockerenv", PLACE_DOCKER},
		{"container", NULL, PLACE_CONTAINER},
		{NULL, "/run/systemd/container", PLACE_CONTAINER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
		if (signs[i].variable ? !getenv(signs[i].variable) : access(signs[i].file, F_OK))
			continue;
		return signs[i].place == PLACE_DOCKER && getenv("GITHUB_ACTIONS") ? PLACE_GITHUB_JOB
										  : signs[i].place;
	}
	return PLACE_MACHINE;
}

/* In a child: whoever succeeds cannot go back. */
static bool may_unshare(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) ? 1 : 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int explain(struct err *err, bool root_unmapped)
{
	AUTO(buf) struct buf text = BUF_INIT, label = BUF_INIT, enabled = BUF_INIT;
	struct refusal r = {
		.place = find_place(),
		.switched_off = sysctl_value("kernel/unprivileged_userns_clone", 1) == 0,
		.none_allowed = sysctl_value("user/max_user_namespaces", 1) == 0,
		.too_many = err->sys == ENOSPC || err->sys == EUSERS,
		.unmappable = root_unmapped,
		.apparmor_restricted =
			sysctl_value("kernel/apparmor_restrict_unprivileged_userns", 0) == 1,
		.filtered = prctl(PR_GET_SECCOMP) != 0 && !may_unshare(),
	};

	look_at_mounts(&r);
	/* What bubblewrap was refused, though no mount of ours shows why: an engine hides it in a way of its own. */
	const bool hidden_unseen = !r.proc_hidden && strstr(err->msg, "mount proc");
	r.proc_hidden = r.proc_hidden || hidden_unseen;
	if ((r.filtered || hidden_unseen) && r.place == PLACE_MACHINE)
		r.place = PLACE_CONTAINER;
	r.apparmor = read_text("/sys/module/apparmor/parameters/enabled", &enabled) &&
		     *enabled.data == 'Y';
	if (read_text("/proc/self/attr/current", &label)) {
		r.apparmor_profile = strstr(label.data, "(enforce)") != NULL;
		r.selinux_domain = strstr(label.data, ":container_t:") != NULL;
	}
	refusal_text(&text, &r);
	size_t len = strlen(err->msg);
	snprintf(err->msg + len, sizeof err->msg - len, "; %s", text.data);
	return -1;
}

int refusal_explain(struct err *err)
{
	return explain(err, false);
}

int refusal_explain_mapping(uid_t uid, struct err *err)
{
	return explain(err, uid == 0 && err->sys == EPERM);
}
