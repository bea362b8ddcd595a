/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The backend for where namespaces cannot be had: Landlock for files, TCP and signals, a filter of system calls for the
 * rest, and where root starts it a user for each trial. Nothing is mounted: what an agent works in is the scratch directory
 * by its own path, and the rest of the machine keeps its names. rollouts-init is no PID 1, and knows what is its own by
 * descent. What this sandbox cannot promise is in docs/sandbox.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/fdio.h"
#include "os/user.h"
#include "sandbox/backend-common.h"
#include "sandbox/landlock.h"
#include "sandbox/plain-filter.h"
#include "sandbox/rights.h"

/* The machine's own; nothing of it holds a secret. What is not there is left out. */
static const struct {
	const char *path;
	enum landlock_use use;
} shown[] = {
	{"/usr", LANDLOCK_PROGRAMS},
	{"/bin", LANDLOCK_PROGRAMS},
	{"/sbin", LANDLOCK_PROGRAMS},
	{"/lib", LANDLOCK_PROGRAMS},
	{"/lib32", LANDLOCK_PROGRAMS},
	{"/lib64", LANDLOCK_PROGRAMS},
	{"/libx32", LANDLOCK_PROGRAMS},
	{"/etc/ld.so.cache", LANDLOCK_READ},
	{"/etc/ld.so.conf", LANDLOCK_READ},
	{"/etc/ld.so.conf.d", LANDLOCK_READ},
	{"/etc/alternatives", LANDLOCK_PROGRAMS},
	{"/etc/ssl/certs", LANDLOCK_READ},
	{"/etc/ssl/openssl.cnf", LANDLOCK_READ},
	{"/etc/pki/tls/certs", LANDLOCK_READ},
	{"/etc/pki/ca-trust/extracted", LANDLOCK_READ},
	{"/etc/os-release", LANDLOCK_READ},
	{"/etc/debian_version", LANDLOCK_READ},
	{"/etc/mime.types", LANDLOCK_READ},
	{"/etc/protocols", LANDLOCK_READ},
	{"/etc/services", LANDLOCK_READ},
	{"/etc/passwd", LANDLOCK_READ},
	{"/etc/group", LANDLOCK_READ},
	{"/etc/nsswitch.conf", LANDLOCK_READ},
	{"/etc/hosts", LANDLOCK_READ},
	{"/etc/localtime", LANDLOCK_READ},
	{"/proc", LANDLOCK_READ},
	{"/dev/null", LANDLOCK_DEVICE},
	{"/dev/zero", LANDLOCK_DEVICE},
	{"/dev/full", LANDLOCK_DEVICE},
	{"/dev/random", LANDLOCK_DEVICE},
	{"/dev/urandom", LANDLOCK_DEVICE},
	{"/dev/tty", LANDLOCK_DEVICE},
};

static int allow_path(int ruleset, int abi, const char *path, enum landlock_use use,
		      struct err *err)
{
	AUTO(fd) int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "%s", path);
	return landlock_allow(ruleset, abi, fd, use, err);
}

/* The agent's own places, by the scratch directory: of the same names as in any sandbox. */
static int allow_own(int ruleset, int abi, const char *top, struct err *err)
{
	static const char *const own[] = {"app", "home", "tmp"};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		AUTO(free) char *path = path_join(top, own[i]);
		if (allow_path(ruleset, abi, path, LANDLOCK_OWN, err))
			return -1;
	}
	return 0;
}

/* PORT: of the gateway, 0: none. The caller owns the descriptor. */
static int make_ruleset(const struct sandbox *s, int abi, int port, struct err *err)
{
	AUTO(fd) int ruleset = landlock_ruleset(abi, err);

	if (ruleset < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		if (path_exists(AT_FDCWD, shown[i].path) &&
		    allow_path(ruleset, abi, shown[i].path, shown[i].use, err))
			return -1;
	for (size_t i = 0; i < s->spec.mounts_n; i++)
		if (allow_path(ruleset, abi, s->spec.mounts[i].host, LANDLOCK_PROGRAMS, err))
			return err_wrap(err,
					"to be shown in the sandbox, by a path that the users of "
					"trials must be able to go");
	if (allow_own(ruleset, abi, s->top, err))
		return -1;
	if (port && landlock_allow_port(ruleset, (uint16_t)port, err))
		return -1;
	return fd_steal(&ruleset);
}

/* Before anything is confined: what is bound then stays bound. */
static int open_forwarder(struct common_sandbox *k, struct err *err)
{
	struct proto_request req = {.op = PROTO_FORWARD};
	struct proto_reply reply;

	if (channel_call(&k->base.channel, &req, k->inherited->gateway.tree, &reply, NULL, err))
		return -1;
	k->base.spec.gateway_port = reply.status;
	return 0;
}

static int confine(struct common_sandbox *k, int abi, struct err *err)
{
	struct sandbox *s = &k->base;
	const pid_t pids[] = {s->channel.pid, k->holder.pid, getpid(), getppid()};
	const bool gateway = k->inherited->gateway.tree >= 0 && (!abi || abi >= LANDLOCK_TCP);
	struct proto_request req = {.op = PROTO_CONFINE,
				    .flags = (k->inherited->own_user ? 0 : PROTO_SHARED_USER) |
					     (abi ? 0 : PROTO_UNHELD)};
	struct proto_reply reply;

	if (strlen(s->top) >= sizeof req.path)
		return err_set(err, ERR_INFRA, 0, "too long a path: %.100s...", s->top);
	memcpy(req.path, s->top, strlen(s->top) + 1);
	if (gateway && open_forwarder(k, err))
		return -1;
	AUTO(fd) int top = open(s->top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", s->top);
	AUTO(fd)
	int ruleset = abi ? make_ruleset(s, abi, gateway ? s->spec.gateway_port : 0, err)
			  : fcntl(top, F_DUPFD_CLOEXEC, 0);
	AUTO(fd)
	int filter = ruleset < 0 ? -1
				 : plain_filter(k->inherited->seccomp, pids, ARRAY_SIZE(pids),
						!abi || abi >= LANDLOCK_TRUNCATES, err);
	if (filter < 0 || channel_send(&s->channel, &req, (int[]){ruleset, filter, top}, 3, err) ||
	    channel_answer(&s->channel, &req, &reply, NULL, err))
		return -1;
	if (abi)
		snprintf(s->isolation, sizeof s->isolation, "Landlock %d, %s", abi,
			 k->inherited->own_user ? "a user of its own" : "the user of rollouts");
	else
		snprintf(s->isolation, sizeof s->isolation,
			 "no sandbox of ours, a user of its own");
	return 0;
}

static int explain_start(int errors, struct err *err)
{
	char text[256];
	fd_set_nonblock(errors, true);
	ssize_t n = read(errors, text, sizeof text - 1);

	text[n > 0 ? n : 0] = '\0';
	return *text ? err_wrap(err, "%s", text) : -1;
}

/* Nothing is mounted: the way to the data folder must be open to whom the trial runs as. */
static int explain_folder(const struct common_sandbox *k, struct err *err)
{
	if (err->sys != EACCES || !k->inherited->own_user)
		return -1;
	return err_set(err, ERR_INFRA, 0,
		       "%s cannot be reached by the users that trials get here: "
		       "choose another data folder (--data-dir /var/lib/rollouts), or start as an "
		       "ordinary user",
		       k->plain_root);
}

static int start(struct common_sandbox *k, int abi, struct err *err)
{
	const int64_t deadline_ms = clock_mono_ms() + COMMON_START_MS;
	struct sandbox *s = &k->base;

	s->way = rights_way_open(s->spec.root_fd, s->spec.scratch, err);
	if (!s->way)
		return -1;
	if (path_make_dirs(AT_FDCWD, s->spec.layout->home, 0755, err))
		return explain_folder(k, err);
	if (common_start_here(k, explain_start, deadline_ms, err))
		return -1;
	return confine(k, abi, err);
}

/* ABI 0: nothing of Landlock. */
static int open_plain(struct sandbox **out, const struct sandbox_backend *backend,
		      const struct sandbox_spec *spec, int abi, struct err *err)
{
	struct common_sandbox *k = common_new(backend, spec, err);
	if (!k)
		return -1;
	if (start(k, abi, err)) {
		err_wrap(err, "sandbox");
		common_close(&k->base);
		return -1;
	}
	*out = &k->base;
	return 0;
}

static int landlock_open(struct sandbox **out, const struct sandbox_spec *spec, struct err *err)
{
	if (user_may_change())
		return err_set(err, ERR_INFRA, 0,
			       "a sandbox is never opened as root: become another user first");
	if (spec->network || spec->image)
		return err_set(err, ERR_USAGE, 0,
			       "%s needs sandbox = \"docker\": a sandbox of Landlock has none",
			       spec->image ? "an image" : "network = true");
	const int abi = landlock_abi(err);
	return abi ? open_plain(out, &sandbox_landlock, spec, abi, err) : err_wrap(err, "sandbox");
}

/* The machine is a sandbox already, of this phase of this trial: neither namespaces nor Landlock, but one's own user and the filter. */
static int launcher_open(struct sandbox **out, const struct sandbox_spec *spec, struct err *err)
{
	if (user_may_change() || !spec->inherited || !spec->inherited->own_user)
		return err_set(err, ERR_INFRA, 0,
			       "a launcher's sandbox alone needs a user of the trial's own in it");
	return open_plain(out, &sandbox_launcher, spec, 0, err);
}

const struct sandbox_backend sandbox_landlock = {
	.name = "landlock",
	.open = landlock_open,
	.apply = common_apply,
	.stop = common_stop,
	.diff = common_diff,
	.disk_bytes = common_disk_bytes,
	.close = common_close,
};

const struct sandbox_backend sandbox_launcher = {
	.name = "launcher",
	.open = launcher_open,
	.apply = common_apply,
	.stop = common_stop,
	.diff = common_diff,
	.disk_bytes = common_disk_bytes,
	.close = common_close,
};
