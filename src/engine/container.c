/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/container.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "engine/inside.h"
#include "os/fdio.h"

#define START_MS 120000
#define GONE_POLL_MS 20
#define REMOVE_MS 30000
#define OOM_SCORE 500

static char *start_time(int pid)
{
	AUTO(free) char *path = xasprintf("/proc/%d/stat", pid);
	char text[1024];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = '\0';
	const char *at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? xasprintf("%llu", strtoull(at + 1, NULL, 10)) : NULL;
}

/* What the process ids of a label mean: this boot, this PID namespace. */
static char *horizon(void)
{
	struct stat ns = {0};
	char boot[40] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f) {
		if (!fgets(boot, sizeof boot, f))
			boot[0] = '\0';
		fclose(f);
	}
	boot[strcspn(boot, "\n")] = '\0';
	stat("/proc/self/ns/pid", &ns);
	return xasprintf("%s:%llu", boot, (unsigned long long)ns.st_ino);
}

/* "BOOT:PIDNS:PID:STARTED" */
char *container_owner(int pid)
{
	AUTO(free) char *where = horizon();
	AUTO(free) char *since = start_time(pid);

	return xasprintf("%s:%d:%s", where, pid, since ? since : "0");
}

/* Only of what was started within our horizon can we tell; what another boot left is gone for sure. */
static bool owner_is_gone(const char *label)
{
	AUTO(free) char *where = horizon();
	size_t boot = strcspn(where, ":"), len = strlen(where);

	if (!*label)
		return false;
	if (strncmp(label, where, boot + 1))
		return true;
	if (strncmp(label, where, len) || label[len] != ':')
		return false;
	AUTO(free) char *now = container_owner((int)strtol(label + len + 1, NULL, 10));
	return strcmp(now, label) != 0;
}

static json_t *mounts_of(const json_t *description)
{
	json_t *out = json_array();
	const json_t *m;
	size_t at;

	json_array_foreach (json_object_get(description, "mounts"), at, m) {
		json_t *mount = json_object();
		json_put_str(mount, "Type", "bind");
		json_put_str(mount, "Source", json_get_str(m, "from", ""));
		json_put_str(mount, "Target", json_get_str(m, "to", ""));
		json_put_bool(mount, "ReadOnly", !json_get_bool(m, "writable", false));
		json_array_append_new(out, mount);
	}
	return out;
}

static json_t *one_string(const char *text)
{
	return json_pack("[s]", text);
}

static json_t *host_config(const json_t *d)
{
	json_t *host = json_object();
	const int64_t memory = json_get_int(d, "memory_bytes", 0),
		      pids = json_get_int(d, "pids", 0);

	json_put(host, "Mounts", mounts_of(d));
	json_put_str(host, "NetworkMode", json_get_bool(d, "network", false) ? "bridge" : "none");
	json_put_str(host, "IpcMode", "private");
	/* We remove it. An engine that restarts while its containers go on kills those it was to remove by itself. */
	json_put_bool(host, "AutoRemove", false);
	json_put_bool(host, "Init", false);
	json_put_bool(host, "ReadonlyRootfs", !json_get_bool(d, "writable", false));
	json_put(host, "CapDrop", one_string("ALL"));
	if (json_array_size(json_object_get(d, "capabilities")))
		json_put(host, "CapAdd", json_deep_copy(json_object_get(d, "capabilities")));
	if (!json_get_bool(d, "privileges", false))
		json_put(host, "SecurityOpt", one_string("no-new-privileges"));
	/* Docker's own defaults; Podman's are others. */
	json_put(host, "Sysctls",
		 json_pack("{s:s, s:s}", "net.ipv4.ip_unprivileged_port_start", "0",
			   "net.ipv4.ping_group_range", "0 2147483647"));
	if (json_get_bool(d, "untraced", false)) {
		json_put(host, "ReadonlyPaths", one_string("/proc"));
		json_put_int(host, "OomScoreAdj", OOM_SCORE); /* no command can raise its own */
	}
	json_put(host, "LogConfig", json_pack("{s:s}", "Type", "none"));
	json_put_int(host, "ShmSize", json_get_int(d, "shm_bytes", 64 << 20));
	if (memory > 0) {
		json_put_int(host, "Memory", memory);
		json_put_int(host, "MemorySwap", memory);
	}
	if (pids > 0)
		json_put_int(host, "PidsLimit", pids);
	if (json_get_real(d, "cpus", 0) > 0)
		json_put_int(host, "NanoCpus", (int64_t)(json_get_real(d, "cpus", 0) * 1e9));
	return host;
}

static json_t *labels_of(const json_t *d, int owner)
{
	json_t *labels = json_object();
	AUTO(free) char *mine = container_owner(owner);
	AUTO(free) char *started_by = container_owner((int)json_get_int(d, "supervisor", 0));

	json_put_str(labels, LABEL_OWNER, mine);
	json_put_str(labels, LABEL_SUPERVISOR, started_by);
	json_put_str(labels, LABEL_BENCH, json_get_str(d, "bench", ""));
	json_put_str(labels, LABEL_RUN, json_get_str(d, "run", ""));
	json_put_str(labels, LABEL_DATA, json_get_str(d, "data", ""));
	return labels;
}

static json_t *create_body(const json_t *d, int owner)
{
	json_t *body = json_object();

	json_put_str(body, "Image", json_get_str(d, "image", ""));
	json_put_str(body, "User", json_get_str(d, "user", "65534:65534"));
	json_put_str(body, "Hostname", json_get_str(d, "hostname", "box"));
	json_put_str(body, "WorkingDir", "/");
	/* Spares the engine setting up a network without one, half of its time to start; lo is up all the same. */
	json_put_bool(body, "NetworkDisabled", !json_get_bool(d, "network", false));
	json_put(body, "Entrypoint", json_deep_copy(json_object_get(d, "entry")));
	json_put(body, "Cmd", json_array());
	json_put(body, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE"));
	json_put(body, "Labels", labels_of(d, owner));
	json_put(body, "HostConfig", host_config(d));
	return body;
}

static int create(struct engine *e, const char *path, const json_t *body, char **id, long *status,
		  struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *answer = NULL;

	if (engine_call(e, "POST", path, body, START_MS, status, &text, err))
		return -1;
	if (*status != 201)
		return 0;
	if (json_parse(&answer, text.data, text.len, "the engine's answer", err))
		return -1;
	*id = xstrdup(json_get_str(answer, "Id", ""));
	return 0;
}

/* By its id, or by its name as a path bears it. */
static int inspect(struct engine *e, const char *id, json_t **found, struct err *err)
{
	AUTO(free) char *path = xasprintf("/containers/%s/json", id);

	return engine_json(e, "GET", path, NULL, ENGINE_CALL_MS, found, err);
}

/* The name is taken by what an earlier life of this trial left, whose end we may have to help. */
static int free_name(struct engine *e, const char *name, struct err *err)
{
	AUTO(json) json_t *found = NULL;

	if (inspect(e, name, &found, err))
		return -1;
	const json_t *labels = json_object_get(json_object_get(found, "Config"), "Labels");
	if (!owner_is_gone(json_get_str(labels, LABEL_OWNER, "")))
		return err_set(err, ERR_INFRA, 0,
			       "a container named %s exists and is not ours to remove", name);
	return container_remove(e, json_get_str(found, "Id", name), clock_mono_ms() + REMOVE_MS,
				err);
}

/* An engine whose bridge was switched off starts containers without one, and says nothing. */
static bool has_address(const json_t *settings)
{
	json_t *networks = json_object_get(settings, "Networks"), *n;
	const char *name;

	json_object_foreach (networks, name, n)
		if (*json_get_str(n, "IPAddress", "") || *json_get_str(n, "GlobalIPv6Address", ""))
			return true;
	return false;
}

static int pid_of(const json_t *found)
{
	return (int)json_get_int(json_object_get(found, "State"), "Pid", 0);
}

static int fence(struct engine *e, const char *id, struct err *err)
{
	AUTO(json) json_t *found = NULL;

	if (inspect(e, id, &found, err))
		return -1;
	if (!has_address(json_object_get(found, "NetworkSettings")))
		return err_set(err, ERR_INFRA, 0,
			       "network = true, but the engine's default network is switched off");
	if (!inside_possible())
		return 0;
	return inside_fence(pid_of(found), id, err)
		       ? err_wrap(err, "keep the machine's metadata from a container")
		       : 0;
}

int container_mount(struct engine *e, const char *id, int tree, const char *path, struct err *err)
{
	AUTO(json) json_t *found = NULL;

	return inspect(e, id, &found, err) || inside_mount(pid_of(found), id, tree, path, err) ? -1
											       : 0;
}

/* Folders of the image that hold programs and only its root may enter. */
static int open_folders(struct engine *e, const json_t *d, const char *id, struct err *err)
{
	AUTO(json) json_t *found = NULL;
	AUTO(strv) struct strv paths = STRV_INIT;
	const json_t *item;
	size_t at;

	json_array_foreach (json_object_get(d, "open"), at, item)
		if (json_is_string(item) && *json_string_value(item) == '/')
			strv_push(&paths, json_string_value(item));
	if (!paths.n || !inside_possible())
		return 0;
	if (inspect(e, id, &found, err) || inside_open_folders(pid_of(found), id, &paths, err))
		return -1;
	return 0;
}

int container_start(struct engine *e, const json_t *description, int owner, char **id,
		    struct err *err)
{
	const char *name = json_get_str(description, "name", "");
	AUTO(free) char *safe = engine_escape(e, name);
	AUTO(free) char *path = xasprintf("/containers/create?name=%s", safe);
	AUTO(json) json_t *body = create_body(description, owner);
	long status = 0;

	*id = NULL;
	if (create(e, path, body, id, &status, err))
		return -1;
	/* Podman says 500 where Docker says 409. */
	if (!*id && (status == 409 || status == 500)) {
		struct err ignored;
		/* A rollout in another data folder may have begun in the same second. */
		if (free_name(e, safe, &ignored)) {
			free(path);
			path = xasprintf("/containers/create?name=%s-%.8s", safe,
					 json_get_str(description, "data", ""));
		}
		if (create(e, path, body, id, &status, err))
			return -1;
	}
	/* Once more, for the engine's own words. */
	AUTO(json) json_t *answer = NULL;
	if (!*id) {
		if (engine_json(e, "POST", path, body, START_MS, &answer, err))
			return err_wrap(err, "create container %s", name);
		*id = xstrdup(json_get_str(answer, "Id", ""));
	}
	AUTO(free) char *start = xasprintf("/containers/%s/start", *id);
	if (engine_json(e, "POST", start, NULL, START_MS, NULL, err))
		return err_wrap(err, "start container %s", name);
	if (open_folders(e, description, *id, err))
		return -1;
	return json_get_bool(description, "network", false) ? fence(e, *id, err) : 0;
}

int container_network(struct engine *e, const char *id, bool on, char **network, struct err *err)
{
	AUTO(json) json_t *found = NULL;
	AUTO(json) json_t *body = json_pack("{s:s}", "Container", id);

	if (inspect(e, id, &found, err))
		return -1;
	const json_t *settings = json_object_get(found, "NetworkSettings");
	if (has_address(settings) == on)
		return 0;
	/* Podman's usual one has another name. */
	json_t *all = json_object_get(settings, "Networks");
	const char *name = json_object_iter_key(json_object_iter(all));
	if (!*network)
		*network = xstrdup(name ? name : "bridge");
	AUTO(free) char *safe = engine_escape(e, *network);
	AUTO(free)
	char *path = xasprintf("/networks/%s/%s", safe, on ? "connect" : "disconnect");
	if (engine_json(e, "POST", path, body, START_MS, NULL, err))
		return err_wrap(err, "%s the network of a container", on ? "give back" : "take");
	json_decref(STEAL(&found));
	if (inspect(e, id, &found, err))
		return -1;
	return has_address(json_object_get(found, "NetworkSettings")) == on
		       ? 0
		       : err_set(err, ERR_INFRA, 0,
				 "the engine left a container's network as it was");
}

static int64_t left_ms(int64_t deadline_ms)
{
	const int64_t left = deadline_ms - clock_mono_ms();

	return left > 0 ? left : 1; /* libcurl means "for ever" by 0 */
}

int container_remove(struct engine *e, const char *id, int64_t deadline_ms, struct err *err)
{
	AUTO(free) char *path = xasprintf("/containers/%s?force=1&v=1", id);
	AUTO(free) char *look = xasprintf("/containers/%s/json", id);
	long status = 0;

	for (;;) {
		/* 409: somebody else is removing it. */
		if (engine_call(e, "DELETE", path, NULL, left_ms(deadline_ms), &status, NULL, err))
			return -1;
		if (status == 404 || status == 204)
			return 0;
		if (engine_call(e, "GET", look, NULL, left_ms(deadline_ms), &status, NULL, err))
			return -1;
		if (status == 404)
			return 0;
		if (clock_mono_ms() >= deadline_ms)
			return err_retry(err, 0, "container %.12s does not go away", id);
		poll(NULL, 0, GONE_POLL_MS);
	}
}

static const char *name_of(const json_t *container)
{
	const char *name =
		json_string_value(json_array_get(json_object_get(container, "Names"), 0));

	return name ? name + (*name == '/') : "?";
}

int container_prune(struct engine *e, const char *data, bool dry_run, struct strv *removed,
		    struct err *err)
{
	AUTO(free) char *filter =
		data ? xasprintf("{\"label\":[\"" LABEL_OWNER "\",\"" LABEL_DATA "=%s\"]}", data)
		     : xstrdup("{\"label\":[\"" LABEL_OWNER "\"]}");
	AUTO(free) char *escaped = engine_escape(e, filter);
	AUTO(free) char *path = xasprintf("/containers/json?all=1&filters=%s", escaped);
	AUTO(json) json_t *list = NULL;
	const json_t *c;
	size_t at;

	if (engine_json(e, "GET", path, NULL, ENGINE_CALL_MS, &list, err))
		return -1;
	json_array_foreach (list, at, c) {
		const char *id = json_get_str(c, "Id", "");
		if (!*id ||
		    !owner_is_gone(json_get_str(json_object_get(c, "Labels"), LABEL_OWNER, "")))
			continue;
		if (!dry_run && container_remove(e, id, clock_mono_ms() + REMOVE_MS, err))
			return -1;
		AUTO(buf) struct buf safe = BUF_INIT;
		text_renders(&safe, name_of(c), TEXT_TERMINAL_LINE);
		strv_push(removed, safe.data);
	}
	return 0;
}
