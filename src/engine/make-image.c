/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/make-image.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/image.h"
#include "engine/client.h"
#include "engine/container.h"
#include "engine/find.h"
#include "engine/look.h"
#include "engine/network-fault.h"
#include "engine/registry.h"
#include "os/fdio.h"

#define SPEC_MAX (1 << 20)
#define LOCK_MS (90 * 60 * 1000)

struct job {
	struct engine *e;
	const char *key;
	const struct image_wish *wish;
	json_t *spec; /* of the context */
	struct image image;
};

void make_image_say(const char *format, ...)
{
	AUTO(buf) struct buf safe = BUF_INIT;
	va_list args;

	va_start(args, format);
	AUTO(free) char *text = xvasprintf(format, args);
	va_end(args);
	text_renders(&safe, text, TEXT_TERMINAL_LINE);
	dprintf(STDOUT_FILENO, "%s\n", safe.data);
}

static const char *name_to_pull(const struct job *j)
{
	return json_get_str(j->spec, "pull", NULL);
}

/* Podman leaves the algorithm out. */
static char *full_id(const char *id)
{
	return xasprintf("%s%s", strchr(id, ':') ? "" : "sha256:", id);
}

/* NULL: the engine does not have it, or *err. The caller frees. */
static char *id_of(struct engine *e, const char *name, struct err *err)
{
	AUTO(free) char *path = xasprintf("/images/%s/json", name);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;
	long status = 0;

	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:@-") !=
		    strlen(name) ||
	    strstr(name, ".."))
		return NULL;
	if (engine_call(e, "GET", path, NULL, ENGINE_CALL_MS, &status, &text, err))
		return NULL;
	if (status != 200 || json_parse(&j, text.data, text.len, "the engine's answer", err))
		return NULL;
	return full_id(json_get_str(j, "Id", ""));
}

/* "NAME=ID" of the images it is built on, as far as the engine has them. */
static int bases_now(const struct job *j, struct strv *out, struct err *err)
{
	const json_t *item;
	size_t at;

	json_array_foreach (json_object_get(j->spec, "bases"), at, item) {
		const char *name = json_string_value(item);
		AUTO(free) char *id = id_of(j->e, name, err);
		if (id)
			strv_pushf(out, "%s=%s", name, id);
		else if (err->kind)
			return -1;
	}
	return 0;
}

static char *bases_label(const struct strv *bases)
{
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < bases->n; i++)
		buf_addf(&text, "%s%s", i ? " " : "", bases->v[i]);
	return xstrdup(text.data ? text.data : "");
}

static bool holds(const struct strv *list, const char *text)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->v[i], text))
			return true;
	return false;
}

/* Whether the record's image is no longer what its name, or its Dockerfile, means. A base that the engine no longer
 * has by name has not moved. */
static int has_moved(const struct job *j, bool *out, struct err *err)
{
	AUTO(strv) struct strv now = STRV_INIT;
	const char *name = name_to_pull(j);

	*out = false;
	if (name) {
		AUTO(free) char *id = id_of(j->e, name, err);
		*out = !id || strcmp(id, j->image.id) != 0;
		return err->kind ? -1 : 0;
	}
	if (bases_now(j, &now, err))
		return -1;
	for (size_t i = 0; i < now.n; i++)
		*out |= !holds(&j->image.bases, now.v[i]);
	return 0;
}

static bool engine_has(const struct job *j, const char *id, struct err *err)
{
	AUTO(free) char *found = id_of(j->e, id, err);

	return found != NULL;
}

/* Whether the record says all that is asked for. */
static bool was_looked_at(const struct job *j)
{
	const char *key;
	json_t *value;

	if (j->image.looked != IMAGE_LOOKED)
		return false;
	for (size_t i = 0; i < j->wish->paths->n; i++)
		if (!json_object_get(j->image.copies, j->wish->paths->v[i]))
			return false;
	json_object_foreach (j->image.copies, key, value) {
		AUTO(free) char *copy = xasprintf(DATA_COPIES "/%s", json_string_value(value));
		if (*json_string_value(value) && !path_exists(AT_FDCWD, copy))
			return false;
	}
	return true;
}

/* What the record names is in this engine, and is what is wanted. */
static int is_ready(struct job *j, bool *out, struct err *err)
{
	bool moved = false;

	*out = false;
	if (*j->image.error || !*j->image.id || !was_looked_at(j) ||
	    strcmp(j->image.engine, engine_socket(j->e)) != 0)
		return 0;
	if (name_to_pull(j) ? j->wish->pull : j->wish->pull || j->wish->rebuild)
		return 0;
	if (!engine_has(j, j->image.id, err))
		return err->kind ? -1 : 0;
	if (j->wish->fresh && has_moved(j, &moved, err))
		return -1;
	*out = !moved;
	return 0;
}

char *make_image_find(struct engine *e, const char *key, const char *bases, struct err *err)
{
	AUTO(free) char *filter = xasprintf("{\"label\":[\"" LABEL_IMAGE "=%s\"]}", key);
	AUTO(free) char *escaped = engine_escape(e, filter);
	AUTO(free) char *path = xasprintf("/images/json?filters=%s", escaped);
	AUTO(json) json_t *list = NULL;
	const json_t *item;
	size_t at;

	if (engine_json(e, "GET", path, NULL, ENGINE_CALL_MS, &list, err))
		return NULL;
	json_array_foreach (list, at, item) {
		const json_t *labels = json_object_get(item, "Labels");
		if (!bases || !strcmp(json_get_str(labels, LABEL_BASES, ""), bases))
			return xstrdup(json_get_str(item, "Id", NULL));
	}
	return NULL;
}

static int open_log(const char *key, struct err *err)
{
	AUTO(free) char *path = xasprintf(DATA_IMAGES "/%s.log", key);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	return fd < 0 ? err_set(err, ERR_INFRA, errno, "open %s", path) : fd;
}

static void say_tail(const struct buf *tail)
{
	AUTO(free) char *text = xstrdup(tail->data);
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		make_image_say("  %s", line);
}

static const int pauses_s[] = {2, 15, 60};
#define PAUSE_MAX_S 600 /* whatever the other side asks for */

/* Those that the engine fetches from registries. */
static void names_to_fetch(const struct job *j, struct strv *out)
{
	const json_t *item;
	size_t at;

	if (name_to_pull(j))
		strv_push(out, name_to_pull(j));
	json_array_foreach (json_object_get(j->spec, "bases"), at, item)
		strv_push(out, json_string_value(item));
}

/* How long to wait before try AGAIN; -1: it would not help. */
static int pause_before(const struct job *j, size_t again, const char *tail, const struct err *why)
{
	AUTO(strv) struct strv names = STRV_INIT;

	if (again >= ARRAY_SIZE(pauses_s) || why->kind == ERR_LIMIT || !network_failed(tail))
		return -1;
	int asked = 0;
	const bool refused = network_refused(tail, &asked);
	names_to_fetch(j, &names);
	for (size_t i = 0; refused && !asked && i < names.n; i++)
		asked = registry_retry_after(names.v[i]);
	asked = asked < PAUSE_MAX_S ? asked : PAUSE_MAX_S;
	return asked > pauses_s[again] ? asked : pauses_s[again];
}

/* One line for results: the last that says anything. */
static void add_last_line(const struct buf *tail, struct err *err)
{
	size_t end = tail->len, start;

	while (end && tail->data[end - 1] == '\n')
		end--;
	for (start = end; start && tail->data[start - 1] != '\n'; start--)
		;
	if (start == end)
		return;
	AUTO(free) char *command = xstrdup(err->msg);
	err_set(err, ERR_INFRA, 0, "%s: %.*s", command,
		(int)(end - start < 300 ? end - start : 300), tail->data + start);
}

/* The classic builder knows neither heredocs nor some flags, and does not always say so. */
static void add_buildkit_hint(const struct buf *tail, struct err *err)
{
	static const char *const signs[] = {"requires BuildKit", "requires the BuildKit",
					    "unknown instruction: ", "Unknown flag: "};
	AUTO(free) char *said = xstrdup(err->msg);

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (tail->data && strstr(tail->data, signs[i])) {
			err_set(err, ERR_INFRA, 0,
				"%.300s (a Dockerfile with heredocs, --chmod or --mount needs "
				"BuildKit: "
				"install the buildx plug-in of the docker client)",
				said);
			return;
		}
}

static int run_client(struct job *j, const struct strv *args, const char *doing, struct err *err)
{
	AUTO(free) char *what = xasprintf("image of %s: %s", j->image.name, doing);
	AUTO(buf) struct buf tail = BUF_INIT;
	AUTO(fd) int log = open_log(j->key, err);

	if (log < 0)
		return -1;
	for (size_t again = 0;; again++) {
		buf_reset(&tail);
		*err = (struct err){0};
		const struct client_job job = {.args = args,
					       .what = what,
					       .log_fd = log,
					       .timeout_ms = j->wish->timeout_ms};
		if (!client_run(j->e, &job, &tail, err))
			return 0;
		const int pause_s = tail.data ? pause_before(j, again, tail.data, err) : -1;
		if (pause_s < 0)
			break;
		add_last_line(&tail, err);
		make_image_say(
			"image of %s: the network failed (%s); trying again in %d s (%zu of %zu)",
			j->image.name, err->msg, pause_s, again + 1, ARRAY_SIZE(pauses_s));
		sleep((unsigned)pause_s);
	}
	if (!tail.data) {
		make_image_say("image of %s: %s", j->image.name, err->msg);
		return -1;
	}
	make_image_say("image of %s: %s; its last lines:", j->image.name, err->msg);
	say_tail(&tail);
	add_last_line(&tail, err);
	add_buildkit_hint(&tail, err);
	return -1;
}

/* The engine's name of the image to use, made if need be. The caller frees. */
static char *pull(struct job *j, const char *name, struct err *err)
{
	AUTO(strv) struct strv args = STRV_INIT;

	if (!j->wish->pull) {
		AUTO(free) char *id = id_of(j->e, name, err);
		if (id || err->kind)
			return STEAL(&id);
	}
	make_image_say("pulling image %s", name);
	strv_pushv(&args, (const char *const[]){"pull", name, NULL});
	return run_client(j, &args, "pulling it", err) ? NULL : xstrdup(name);
}

static void say_kept_out(const struct job *j)
{
	const json_t *list = json_object_get(j->spec, "kept_out");
	const size_t n = json_array_size(list), shown = n < 5 ? n : 5;
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < shown; i++)
		buf_addf(&text, "%s%s", i ? ", " : "", json_string_value(json_array_get(list, i)));
	if (n > shown)
		buf_addf(&text, " and %zu more", n - shown);
	if (n)
		make_image_say("kept out of the image of %s: %s", j->image.name, text.data);
}

static char *build(struct job *j, struct err *err)
{
	AUTO(strv) struct strv args = STRV_INIT;
	AUTO(strv) struct strv bases = STRV_INIT;
	const char *name;
	json_t *value;

	if (bases_now(j, &bases, err))
		return NULL;
	AUTO(free) char *label = bases_label(&bases);
	if (!j->wish->pull && !j->wish->rebuild) {
		char *id = make_image_find(j->e, j->key, label, err);
		if (id || err->kind)
			return id;
	}
	make_image_say("building the image of %s", j->image.name);
	say_kept_out(j);
	strv_pushv(&args, (const char *const[]){"build", "--force-rm", NULL});
	if (j->wish->pull)
		strv_push(&args, "--pull");
	if (j->wish->rebuild)
		strv_push(&args, "--no-cache");
	strv_push(&args, "--label");
	strv_pushf(&args, LABEL_IMAGE "=%s", j->key);
	strv_push(&args, "--label");
	strv_pushf(&args, LABEL_BASES "=%s", label);
	AUTO(free) char *here = getcwd(NULL, 0);
	strv_push(&args, "--label");
	strv_pushf(&args, LABEL_FOLDER "=%s", here ? here : "");
	strv_push(&args, "--tag");
	strv_pushf(&args, "rollouts:%.16s", j->key);
	json_object_foreach (json_object_get(j->spec, "args"), name, value) {
		strv_push(&args, "--build-arg");
		strv_pushf(&args, "%s=%s", name, json_string_value(value));
	}
	strv_pushf(&args, DATA_CONTEXTS "/%s/files", j->key);
	return run_client(j, &args, "building it", err) ? NULL
							: xasprintf("rollouts:%.16s", j->key);
}

static int make(struct job *j, struct err *err)
{
	const char *to_pull = name_to_pull(j);
	AUTO(free) char *name = to_pull ? pull(j, to_pull, err) : build(j, err);

	const bool whole = json_get_bool(j->spec, "whole", false);
	if (!name ||
	    (whole ? look_at_whole_image(j->e, name, &j->image, err)
		   : look_at_image(j->e, name, j->wish->paths, &j->image, err)) ||
	    bases_now(j, &j->image.bases, err))
		return -1;
	/* What was built here is in no registry, whatever Podman says. */
	if (!to_pull) {
		free(j->image.digest);
		j->image.digest = xstrdup(j->image.id);
	}
	return 0;
}

static const char *own_processor(void)
{
	static const char *const names[][2] = {
		{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm"}, {"i686", "386"}};
	static struct utsname u;

	if (uname(&u))
		return "";
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(u.machine, names[i][0]))
			return names[i][1];
	return u.machine;
}

/* A 64-bit processor runs the programs of its 32-bit predecessor as well. */
static bool is_foreign(const struct image *i)
{
	const char *slash = strchr(i->platform, '/'), *ours = own_processor();
	const char *theirs = slash ? slash + 1 : "";

	return *theirs && strcmp(theirs, ours) != 0 &&
	       !(!strcmp(ours, "amd64") && !strcmp(theirs, "386")) &&
	       !(!strcmp(ours, "arm64") && !strcmp(theirs, "arm"));
}

static int check_processor(const struct job *j, struct err *err)
{
	const struct image *i = &j->image;

	if (!i->id || !*i->id || !is_foreign(i) || j->wish->emulate)
		return 0;
	return err_set(err, ERR_USAGE, 0,
		       "the image of %s is for %s, and this machine is linux/%s: take one for this "
		       "machine, or run it emulated, many times slower, with --allow-emulation",
		       i->name, i->platform, own_processor());
}

/* "3 days"; NULL: reproducible builds give absurd dates. The caller frees. */
static char *age_of(const struct image *i)
{
	struct tm tm = {0};
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};

	if (sscanf(i->created, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6 ||
	    tm.tm_year < 2000)
		return NULL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	int64_t age = clock_wall_ms() / 1000 - (int64_t)timegm(&tm);
	age = age < 0 ? 0 : age;
	size_t u = 0;
	while (u + 1 < ARRAY_SIZE(units) && age < 2 * units[u].seconds)
		u++;
	const int64_t n = age / units[u].seconds;
	return xasprintf("%lld %s%s", (long long)n, units[u].name, n == 1 ? "" : "s");
}

/* Started by root, a trial opens them (container.h). */
static void tell_closed(const struct image *i)
{
	for (size_t k = 0; geteuid() && k < i->closed.n; k++)
		make_image_say("image of %s: only root may enter %s there, so no trial runs a "
			       "program in it: RUN chmod "
			       "o+x %s in its Dockerfile, or start rollouts as root",
			       i->name, i->closed.v[k], i->closed.v[k]);
}

static void tell(const struct job *j, const char *before)
{
	const struct image *i = &j->image;
	const bool there = i->id && *i->id, moved = there && *before && strcmp(before, i->id) != 0;

	if (!there || (j->wish->quiet && !moved))
		return;
	AUTO(free) char *age = age_of(i);
	AUTO(free) char *made = age ? xasprintf("made %s ago", age) : xstrdup("of unknown age");
	make_image_say("image of %s: %.19s, %s%s%s", i->name, i->id, made,
		       is_foreign(i) ? ", emulated: " : "", is_foreign(i) ? i->platform : "");
	if (i->entry.n)
		make_image_say(
			image_runs_entry(i)
				? "image of %s: its ENTRYPOINT runs beside agent and tests (%.200s)"
				: "image of %s: its ENTRYPOINT (%.200s) is not run: it has no "
				  "program",
			i->name, i->entrypoint);
	tell_closed(i);
	if (moved)
		make_image_say("image of %s: it is another one than the last time, %.19s", i->name,
			       before);
}

/* A rollout that began with an image ends with it. */
static int keep(struct job *j, const char *id, struct err *err)
{
	struct err ignored = {0};

	if (!engine_has(j, id, err))
		return err->kind
			       ? -1
			       : err_set(err, ERR_USAGE, 0,
					 "the image of %s that this rollout runs in (%.19s) is no "
					 "longer in "
					 "the engine at %s: load it again, or start a new rollout",
					 json_get_str(j->spec, "name", "?"), id,
					 engine_socket(j->e));
	if (!image_read(&j->image, AT_FDCWD, j->key, id, &ignored) && was_looked_at(j) &&
	    !strcmp(j->image.engine, engine_socket(j->e)))
		return 0;
	image_release(&j->image);
	j->image.name = xstrdup(json_get_str(j->spec, "name", "?"));
	j->image.engine = xstrdup(engine_socket(j->e));
	if (look_at_image(j->e, id, j->wish->paths, &j->image, err))
		return -1;
	return image_write(&j->image, AT_FDCWD, j->key, err);
}

static int make_anew(struct job *j, struct err *err)
{
	struct err why = {0};

	image_release(&j->image);
	j->image.name = xstrdup(json_get_str(j->spec, "name", "?"));
	j->image.engine = xstrdup(engine_socket(j->e));
	if (make(j, &why)) {
		if (why.kind == ERR_USAGE) {
			*err = why;
			return -1;
		}
		free(j->image.error);
		j->image.error = xstrdup(*why.msg ? why.msg : "it could not be made");
		make_image_say("image of %s: no trial can run in it: %s", j->image.name,
			       j->image.error);
		/* The next run looks again. */
		free(j->image.id);
		j->image.id = xstrdup("");
	}
	return image_write(&j->image, AT_FDCWD, j->key, err);
}

static bool same_list(const struct strv *a, const struct strv *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = !strcmp(a->v[i], b->v[i]);
	return same;
}

/* As they are today. */
static int note_proxies(struct job *j, struct err *err)
{
	AUTO(strv) struct strv now = STRV_INIT;
	AUTO(strv) struct strv withheld = STRV_INIT;

	engine_proxies(engine_socket(j->e), &now, &withheld);
	for (size_t i = 0; i < withheld.n && !j->wish->quiet; i++)
		make_image_say(
			"%s of the engine's client configuration holds a user or a password: no "
			"trial is given it",
			withheld.v[i]);
	if (same_list(&now, &j->image.proxies))
		return 0;
	strv_release(&j->image.proxies);
	j->image.proxies = now;
	now = (struct strv)STRV_INIT;
	return image_write(&j->image, AT_FDCWD, j->key, err);
}

static int make_wanted(struct job *j, const char *id, struct err *err)
{
	struct err ignored = {0};
	bool ready = false;

	if (id) {
		if (keep(j, id, err) || note_proxies(j, err))
			return -1;
		tell(j, "");
		return check_processor(j, err);
	}
	if (!image_read(&j->image, AT_FDCWD, j->key, NULL, &ignored) && is_ready(j, &ready, err))
		return -1;
	AUTO(free) char *before = xstrdup(j->image.id ? j->image.id : "");
	if ((!ready && make_anew(j, err)) || note_proxies(j, err))
		return -1;
	tell(j, before);
	return check_processor(j, err);
}

int make_image(struct engine *e, const char *key, const char *id, const struct image_wish *w,
	       struct err *err)
{
	AUTO(free) char *lock_path = xasprintf(DATA_IMAGES "/%s.lock", key);
	AUTO(free) char *spec_path = xasprintf(DATA_CONTEXTS "/%s/spec.json", key);
	AUTO(json) json_t *spec = NULL;
	struct err busy = {0};

	if (json_read(&spec, AT_FDCWD, spec_path, SPEC_MAX, err))
		return -1;
	AUTO(fd) int lock = fd_lock(AT_FDCWD, lock_path, clock_mono_ms() + 1, &busy);
	if (lock < 0) {
		make_image_say("image of %s: waiting for another run that makes it",
			       json_get_str(spec, "name", "?"));
		lock = fd_lock(AT_FDCWD, lock_path, clock_mono_ms() + w->timeout_ms + LOCK_MS, err);
	}
	if (lock < 0)
		return -1;
	struct job j = {.e = e, .key = key, .wish = w, .spec = spec};
	int rc = make_wanted(&j, id, err);
	image_release(&j.image);
	return rc;
}
