/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The container backend: a mount holder of ours holds the files, an engine (Docker, or Podman's service) the container,
 * rollouts-init is PID 1. It connects back over a socket in a folder that is shown to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "sandbox/box.h"
#include "sandbox/backend-common.h"
#include "sandbox/processors.h"
#include "sandbox/etc.h"
#include "sandbox/rootfs-parts.h"
#include "os/user.h"

#define CONNECT_MS 120000 /* an engine under load takes its time */

static int write_account(int scratch, const char *name, const char *image_text, const char *line,
			 struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	buf_adds(&text, image_text);
	if (text.len && text.data[text.len - 1] != '\n')
		buf_addc(&text, '\n');
	buf_adds(&text, line);
	return path_write(scratch, name, text.data, text.len, 0444, false, err);
}

/* Programs ask for the names of their user and their machine, git for who commits: the image does not know ours. */
static int write_names(int scratch, const struct sandbox_spec *spec, struct err *err)
{
	AUTO(free) char *user = xasprintf("agent:x:%u:%u:agent:%s:/bin/sh\n", (unsigned)geteuid(),
					  (unsigned)getegid(), spec->layout->home);
	AUTO(free) char *group = xasprintf("agent:x:%u:\n", (unsigned)getegid());
	AUTO(free) char *name = xasprintf("%.63s", spec->name);
	AUTO(free) char *hosts = xasprintf(ROOTFS_HOSTS, name);

	return write_account(scratch, "hosts", "", hosts, err) ||
			       write_account(scratch, "gitconfig", ETC_GITCONFIG,
					     spec->image->gitconfig, err) ||
			       write_account(scratch, "passwd", spec->image->passwd, user, err) ||
			       write_account(scratch, "group", spec->image->group, group, err)
		       ? -1
		       : 0;
}

/* Listen on scratch/ctl/s, by way of the folder's descriptor: the path may be longer than a socket's name. */
static int listen_for_init(int scratch, struct err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (mkdirat(scratch, "ctl", 0700))
		return err_set(err, ERR_INFRA, errno, "make directory ctl");
	AUTO(fd) int dir = openat(scratch, "ctl", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (dir < 0 || fd < 0)
		return err_set(err, ERR_INFRA, errno, "make the control socket");
	snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/" BOX_SOCKET, dir);
	/* What init says first brings its process id along. */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof addr) || listen(fd, 1))
		return err_set(err, ERR_INFRA, errno, "make the control socket");
	return fd_steal(&fd);
}

/* The engine says at last that the container runs, or why not. */
static int start_container(struct common_sandbox *k, int64_t deadline_ms, struct err *err)
{
	struct sandbox *s = &k->base;

	if (box_ask(k->inherited, k->trees, k->tree_places, k->trees_n, err) ||
	    channel_wait(&s->channel, k->inherited->box, deadline_ms, err) ||
	    box_answer(k->inherited, err))
		return -1;
	common_close_trees(k);
	return 0;
}

/* Init has connected when the engine answers, or does at once. */
static int accept_init(struct common_sandbox *k, int listener, int64_t deadline_ms, struct err *err)
{
	struct sandbox *s = &k->base;

	if (start_container(k, deadline_ms, err) ||
	    channel_wait(&s->channel, listener, deadline_ms, err))
		return -1;
	int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (sock < 0)
		return err_set(err, ERR_INFRA, errno, "accept the control connection");
	return channel_open(&s->channel, sock, s->spec.cancel_fds, err);
}

/* PID 1 has connected: from here on it is known. */
static int take_init(struct common_sandbox *k, int scratch, int64_t deadline, struct err *err)
{
	struct sandbox *s = &k->base;

	/* Nobody else shall ever be taken for PID 1. */
	unlinkat(scratch, "ctl/" BOX_SOCKET, 0);
	if (channel_hello(&s->channel, deadline, err))
		return -1;
	processors_hand_to(s->channel.pid);
	cgroup_of_process(&k->inherited->group, s->channel.pidfd);
	s->limits_held = k->inherited->group.path ? "cgroup" : "engine";
	return common_start_forwarder(k, err);
}

/* Nothing of ours is in it but PID 1, so there is nothing for a mount holder to hold. */
static int start_whole(struct common_sandbox *k, int scratch, int64_t deadline, struct err *err)
{
	AUTO(fd) int listener = listen_for_init(scratch, err);

	k->base.workspace = "image";
	return listener < 0 || accept_init(k, listener, deadline, err) ||
			       take_init(k, scratch, deadline, err)
		       ? -1
		       : 0;
}

static int start(struct common_sandbox *k, struct err *err)
{
	const int64_t deadline = clock_mono_ms() + CONNECT_MS;
	struct sandbox *s = &k->base;
	AUTO(fd)
	int scratch =
		path_open_beneath(s->spec.root_fd, s->spec.scratch, O_RDONLY | O_DIRECTORY, 0, err);

	if (scratch >= 0 && s->spec.whole)
		return start_whole(k, scratch, deadline, err);
	if (scratch < 0 || write_names(scratch, &s->spec, err) ||
	    (processors_are_fewer() && processors_write(scratch, err)))
		return -1;
	/* A file system of the engine's would belong to root. */
	if (mkdirat(scratch, "run", 0755))
		return err_set(err, ERR_INFRA, errno, "make directory run");
	AUTO(fd) int listener = listen_for_init(scratch, err);
	if (listener < 0 || common_start(k, -1, -1, deadline, err) ||
	    accept_init(k, listener, deadline, err))
		return -1;
	return take_init(k, scratch, deadline, err);
}

static int docker_open(struct sandbox **out, const struct sandbox_spec *spec, struct err *err)
{
	if (!spec->image)
		return err_set(err, ERR_USAGE, 0, "sandbox docker: no image was named");
	if (user_may_change())
		return err_set(err, ERR_INFRA, 0,
			       "a sandbox is never opened as root: become another user first");
	struct common_sandbox *k = common_new(&sandbox_docker, spec, err);
	if (!k)
		return -1;
	k->base.image_env = &spec->image->env;
	if (start(k, err)) {
		const bool late = err->kind == ERR_LIMIT;
		err_wrap(err, "sandbox");
		if (late) {
			err->kind = ERR_INFRA;
			err->retry = true;
		}
		common_close(&k->base);
		return -1;
	}
	*out = &k->base;
	return 0;
}

static int docker_network(struct sandbox *s, bool on, struct err *err)
{
	struct common_sandbox *k = (struct common_sandbox *)s;

	return box_ask_network(k->inherited, on, err) ||
			       channel_wait(&s->channel, k->inherited->box,
					    clock_mono_ms() + CONNECT_MS, err) ||
			       box_answer(k->inherited, err)
		       ? -1
		       : 0;
}

const struct sandbox_backend sandbox_docker = {
	.name = "docker",
	.open = docker_open,
	.apply = common_apply,
	.stop = common_stop,
	.diff = common_diff,
	.disk_bytes = common_disk_bytes,
	.network = docker_network,
	.close = common_close,
};
