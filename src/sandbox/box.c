/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/box.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "engine/box.h"
#include "os/fdio.h"
#include "sandbox/processors.h"
#include "sandbox/rootfs-parts.h"

#define GONE_MS 60000
#define WHOLE_PIDS 4096

static void mount(json_t *mounts, const char *from, const char *to, bool writable)
{
	json_t *m = json_object();

	json_put_str(m, "from", from);
	json_put_str(m, "to", to);
	json_put_bool(m, "writable", writable);
	json_array_append_new(mounts, m);
}

static void mount_processors(json_t *mounts, const char *scratch)
{
	AUTO(free) char *list = path_join(scratch, PROCESSORS_LIST);
	AUTO(free) char *info = path_join(scratch, PROCESSORS_INFO);

	for (size_t i = 0; i < ARRAY_SIZE(processors_shown); i++)
		mount(mounts, list, processors_shown[i], false);
	mount(mounts, info, "/proc/cpuinfo", false);
}

/* The same places as in a local sandbox. */
static json_t *mounts_of(const struct sandbox_spec *spec, const char *scratch)
{
	const struct task_layout *l = spec->layout;
	const struct {
		const char *name, *to;
		bool writable, left_out;
	} own[] = {
		{"app", l->app, true, false},
		{"repo", l->repo, true, !spec->baseline},
		{"home", l->home, true, false},
		{"tmp", "/tmp", true, false},
		{"vartmp", "/var/tmp", true, false},
		{"run", "/run", true, false},
		{"passwd", "/etc/passwd", false, false},
		{"group", "/etc/group", false, false},
		{"gitconfig", "/etc/gitconfig", false, false},
		/* With a network the engine's own says more. */
		{"hosts", "/etc/hosts", false, spec->network},
		{"ctl", BOX_CONTROL, false, false},
	};
	AUTO(free) char *init = install_libexec("rollouts-init");
	json_t *out = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		AUTO(free) char *from = path_join(scratch, own[i].name);
		if (!own[i].left_out)
			mount(out, from, own[i].to, own[i].writable);
	}
	mount(out, init, "/.rollouts/init", false);
	for (size_t i = 0; i < spec->caches_n; i++) {
		AUTO(free) char *name = xasprintf(ROOTFS_CACHE, i);
		AUTO(free) char *from = path_join(scratch, name);
		mount(out, from, spec->caches[i].box, true);
	}
	if (processors_are_fewer())
		mount_processors(out, scratch);
	for (size_t i = 0; i < spec->mounts_n; i++)
		mount(out, spec->mounts[i].host, spec->mounts[i].box, false);
	return out;
}

/* Of a container that is the image as it is: PID 1, its way to us, and what an agent brings along. */
static json_t *mounts_of_whole(const struct sandbox_spec *spec, const char *scratch)
{
	AUTO(free) char *init = install_libexec("rollouts-init");
	AUTO(free) char *ctl = path_join(scratch, "ctl");
	json_t *out = json_array();

	mount(out, ctl, BOX_CONTROL, false);
	mount(out, init, "/.rollouts/init", false);
	for (size_t i = 0; i < spec->mounts_n; i++)
		mount(out, spec->mounts[i].host, spec->mounts[i].box, false);
	return out;
}

static void describe_whole(json_t *d, const struct sandbox_spec *spec)
{
	static const char *const capabilities[] = {SANDBOX_CAPABILITIES};
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		json_array_append_new(list, json_string(capabilities[i]));
	json_put(d, "capabilities", list);
	json_put_bool(d, "writable", true);
	json_put_bool(d, "privileges", spec->privileges);
	/* A package manager or a build starts many. */
	if (spec->limits.pids == limits_default.pids)
		json_put_int(d, "pids", WHOLE_PIDS);
}

static void add_limits(json_t *d, const struct limits *l)
{
	int64_t shm_mb = l->memory_mb > 0 ? l->memory_mb / 4 : 256;

	shm_mb = shm_mb < 16 ? 16 : shm_mb > 1024 ? 1024 : shm_mb;
	json_put_int(d, "memory_bytes", l->memory_mb << 20);
	json_put_int(d, "pids", l->pids);
	json_put_real(d, "cpus", limits_cpus_here(l));
	json_put_int(d, "shm_bytes", shm_mb << 20);
}

static json_t *describe(const struct sandbox_spec *spec, uid_t uid, gid_t gid)
{
	AUTO(free) char *root = path_of_fd(spec->root_fd);
	AUTO(free) char *scratch = path_join(root, spec->scratch);
	AUTO(free)
	char *user =
		spec->whole ? xstrdup("0:0") : xasprintf("%u:%u", (unsigned)uid, (unsigned)gid);
	AUTO(free) char *name = xasprintf("rollouts-%s", spec->name);
	AUTO(free) char *host = xasprintf("%.63s", spec->name);
	json_t *d = json_object();
	char data[HASH_HEX];

	hash_once(root, strlen(root), data);
	json_put_str(d, "engine", spec->image->engine);
	json_put_str(d, "name", name);
	json_put_str(d, "image", spec->image->id);
	json_put_str(d, "hostname", host);
	json_put_str(d, "user", user);
	json_put_str(d, "run", spec->run ? spec->run : "");
	json_put_str(d, "bench", spec->bench ? spec->bench : "");
	json_put_str(d, "data", data);
	json_put_int(d, "supervisor", getppid());
	json_put_bool(d, "network", spec->network);
	json_put_bool(d, "untraced", spec->untraced);
	if (!spec->whole)
		json_put_strv(d, "open", &spec->image->closed);
	json_t *overlays = json_pack("[s]", spec->layout->repo);
	for (size_t i = 0; i < spec->caches_n; i++)
		json_array_append_new(overlays, json_string(spec->caches[i].box));
	json_put(d, "overlays", overlays);
	json_put(d, "entry", json_pack("[s, s]", "/.rollouts/init", BOX_CONTROL "/" BOX_SOCKET));
	json_put(d, "mounts",
		 spec->whole ? mounts_of_whole(spec, scratch) : mounts_of(spec, scratch));
	add_limits(d, &spec->limits);
	if (spec->whole)
		describe_whole(d, spec);
	return d;
}

static int tell(struct sandbox_inherited *r, const json_t *message, const int *fds, size_t n,
		struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	text.len = 0;
	char *dumped = json_dumps(message, JSON_COMPACT | JSON_ENCODE_ANY);
	buf_adds(&text, dumped ? dumped : "");
	free(dumped);
	if (text.len > BOX_MESSAGE_MAX)
		return err_set(err, ERR_USAGE, 0,
			       "a container with that many mounts cannot be described");
	return fd_send(r->box, text.data, text.len, fds, n, err) < 0 ? -1 : 0;
}

int box_start(struct sandbox_inherited *r, const struct sandbox_spec *spec, uid_t uid, gid_t gid,
	      struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-docker");
	const char *const argv[] = {program, "box", NULL};
	int ends[2];

	if (access(program, X_OK))
		return err_set(err, ERR_INFRA, errno, "%s (is the installation complete?)",
			       program);
	if (fd_socketpair_seq(ends, err))
		return -1;
	r->box = ends[0];
	AUTO(fd) int theirs = ends[1];
	setsockopt(r->box, SOL_SOCKET, SO_SNDBUF, &(int){2 * BOX_MESSAGE_MAX}, sizeof(int));
	struct spawn spawn = {.argv = argv,
			      .dir_fd = spec->root_fd,
			      .in = theirs,
			      .out = -1,
			      .err = STDERR_FILENO};
	/* A group of its own: it outlives us by what the removal takes, whatever ends us. */
	if (spawn_start(&r->box_process, &spawn, true, err))
		return -1;
	AUTO(json) json_t *description = describe(spec, uid, gid);
	return tell(r, description, NULL, 0, err);
}

int box_ask(struct sandbox_inherited *r, const int *trees, const int *places, size_t n,
	    struct err *err)
{
	AUTO(json) json_t *start = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(start, json_integer(places[i]));
	return tell(r, start, trees, n, err);
}

int box_ask_network(struct sandbox_inherited *r, bool on, struct err *err)
{
	AUTO(json) json_t *word = json_pack("{s:b}", "network", on);

	return tell(r, word, NULL, 0, err);
}

int box_answer(struct sandbox_inherited *r, struct err *err)
{
	AUTO(free) char *text = xmalloc(BOX_MESSAGE_MAX);
	AUTO(json) json_t *j = NULL;
	ssize_t n = fd_recv(r->box, text, BOX_MESSAGE_MAX, NULL, &(size_t){0}, 0, err);

	if (n < 0)
		return -1;
	if (n == 0 || json_parse(&j, text, (size_t)n, "rollouts-docker", err)) {
		err_set(err, ERR_INFRA, 0, "rollouts-docker is gone");
		err->retry = true;
		return -1;
	}
	const char *why = json_get_str(j, "error", NULL);
	if (!why)
		return 0;
	err_set(err, ERR_INFRA, 0, "%s", why);
	err->retry = json_get_bool(j, "retry", false);
	return -1;
}

void box_end(struct sandbox_inherited *r)
{
	struct err err;
	int status;

	if (r->box >= 0)
		close(r->box);
	r->box = -1;
	/* As another user we could not kill it, and need not: it ends by itself. */
	if (r->box_process.pid > 0 &&
	    spawn_wait(&r->box_process, clock_mono_ms() + GONE_MS, &status, &err))
		log_warn("the container of this trial is still being removed: %s", err.msg);
}
