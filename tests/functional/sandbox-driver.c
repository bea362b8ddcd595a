/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sandbox-driver SPEC.json -- opens one sandbox and does what the steps say, printing one JSON line for each:
 * the hand of tests/functional/test_sandbox.py and of bench/docker. With "image", the KEY of a record in cache/images,
 * it is a container. Not installed.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "sandbox/sandbox.h"

struct driver {
	struct sandbox_spec spec;
	struct sandbox *box;
	json_t *doc;
	struct image image;
	struct task_layout layout;
};

static void print(json_t *j_take)
{
	AUTO(buf) struct buf b = BUF_INIT;

	json_format(&b, j_take, false);
	json_decref(j_take);
	buf_addc(&b, '\n');
	if (path_write_all(1, b.data, b.len, &(struct err){0}))
		_exit(9);
}

static json_t *failure(const struct err *err)
{
	json_t *j = json_object();

	json_put_str(j, "error", err->msg);
	json_put_int(j, "kind", err->kind);
	json_put_int(j, "sys", err->sys);
	return j;
}

static const char **strings(const json_t *array)
{
	size_t n = json_array_size(array);
	const char **v = xcalloc(n + 1, sizeof *v);

	for (size_t i = 0; i < n; i++)
		v[i] = json_string_value(json_array_get(array, i));
	return v;
}

struct capture {
	struct buf text[2];
	size_t total[2];
	int ring; /* an eventfd: rung at the first output; -1: none */
};

static void capture(void *arg, int stream, const char *data, size_t n)
{
	struct capture *c = arg;

	if (c->ring >= 0 && eventfd_write(c->ring, 1))
		_exit(9);
	c->total[stream - 1] += n;
	if (c->text[stream - 1].len < 1 << 20)
		buf_add(&c->text[stream - 1], data, n);
}

static json_t *end_to_json(const struct sandbox_exit *e, const struct capture *c)
{
	static const char *const ends[] = {"exited", "timed_out", "no_memory", "no_disk",
					   "not_found"};
	json_t *j = json_object();

	json_put_str(j, "end", ends[e->end]);
	json_put_int(j, "status", e->status);
	json_put_str(j, "text", e->text);
	json_put_int(j, "wall_ms", e->wall_ms);
	json_put_int(j, "cpu_ms", e->cpu_ms);
	json_put_int(j, "memory_max", e->memory_max);
	json_put_int(j, "disk_bytes", e->disk_bytes);
	json_put_strn(j, "out", c->text[0].data, c->text[0].len);
	json_put_strn(j, "err", c->text[1].data, c->text[1].len);
	json_put_int(j, "out_total", (int64_t)c->total[0]);
	return j;
}

/* "watch": {"more_ms": moves the deadline once when it comes, "end_on_output": true}. */
struct watch {
	int64_t more_ms;
	int ring;
	int asked;
};

static int64_t watch_deadline(void *arg)
{
	struct watch *w = arg;
	eventfd_t rung;

	w->asked++;
	if (w->ring >= 0 && !eventfd_read(w->ring, &rung))
		return 1;
	if (!w->more_ms)
		return 1;
	int64_t later = clock_mono_ms() + w->more_ms;
	w->more_ms = 0;
	return later;
}

static json_t *do_exec(struct driver *d, const json_t *step)
{
	static const char *const fallback_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
						   "HOME=/home/agent", NULL};
	const int64_t timeout = json_get_int(step, "timeout_ms", 0);
	const char *log_path = json_get_str(step, "log", NULL);
	const json_t *watched = json_object_get(step, "watch");
	AUTO(fd) int ring = json_get_bool(watched, "end_on_output", false)
				    ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
				    : -1;
	struct watch w = {.more_ms = json_get_int(watched, "more_ms", 0), .ring = ring};
	struct sandbox_watch watch = {.fd = ring, .deadline = watch_deadline, .arg = &w};
	struct capture c = {.text = {BUF_INIT, BUF_INIT}, .ring = ring};
	AUTO(free) const char **argv = strings(json_object_get(step, "argv"));
	AUTO(free) const char **env = strings(json_object_get(step, "env"));
	AUTO(strv) struct strv usual = STRV_INIT;
	struct capped_log *log = NULL;
	struct sandbox_exit end;
	struct err err = {0};
	json_t *out;

	if (log_path &&
	    capped_log_open(&log, d->spec.root_fd, log_path,
			    (size_t)json_get_int(step, "log_cap", CAPPED_LOG_BYTES), &err))
		return failure(&err);
	sandbox_env(d->box, &usual);
	struct sandbox_exec x = {.argv = argv,
				 .env = json_object_get(step, "env")	   ? env
					: d->spec.plain || d->spec.grading ? strv_items(&usual)
									   : fallback_env,
				 .cwd = json_get_str(step, "cwd", "/"),
				 .user = json_get_str(step, "user", NULL),
				 .input = json_get_str(step, "input", NULL),
				 .out = log,
				 .err = log,
				 .on_output = log ? NULL : capture,
				 .on_output_arg = &c,
				 .deadline_ms = timeout ? clock_mono_ms() + timeout : 0,
				 .watch = watched ? &watch : NULL,
				 .at_end = json_get_bool(step, "leave", false) ? SANDBOX_LEAVE
									       : SANDBOX_KILL_ALL};
	x.input_len = x.input ? strlen(x.input) : 0;
	const int64_t times = json_get_int(step, "times", 1), began = clock_mono_ns();
	int failed = 0;
	for (int64_t i = 0; i < times && !failed; i++)
		failed = sandbox_exec(d->box, &x, &end, &err);
	out = failed ? failure(&err) : end_to_json(&end, &c);
	json_put_int(out, "each_us", (clock_mono_ns() - began) / 1000 / times);
	json_put_int(out, "asked", w.asked);
	if (log && capped_log_close(log, &err))
		out = failure(&err);
	buf_release(&c.text[0]);
	buf_release(&c.text[1]);
	return out;
}

static json_t *do_put(struct driver *d, const json_t *step)
{
	const char *text = json_get_str(step, "text", "");
	struct err err = {0};

	if (sandbox_put(d->box, json_get_str(step, "path", ""), text, strlen(text),
			(mode_t)json_get_int(step, "mode", 0644), &err))
		return failure(&err);
	return json_object();
}

static json_t *do_get(struct driver *d, const json_t *step)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err err = {0};
	AUTO(fd) int fd = sandbox_get(d->box, json_get_str(step, "path", ""), &err);

	if (fd < 0 || path_read_fd(fd, 1 << 20, &b, &err))
		return failure(&err);
	json_t *j = json_object();
	json_put_strn(j, "text", b.data, b.len);
	return j;
}

static json_t *do_stats(struct driver *d, const json_t *step)
{
	struct sandbox_stats st;
	struct err err = {0};

	if (sandbox_stats(d->box, &st, &err))
		return failure(&err);
	json_t *j = json_object();
	json_put_int(j, "memory", st.memory);
	json_put_int(j, "memory_max", st.memory_max);
	json_put_int(j, "cpu_ms", st.cpu_ms);
	json_put_int(j, "disk_bytes", st.disk_bytes);
	json_put_int(j, "processes", st.processes);
	return j;
}

static json_t *do_stop(struct driver *d, const json_t *step)
{
	struct err err = {0};

	return sandbox_stop(d->box, &err) ? failure(&err) : json_object();
}

static json_t *do_diff(struct driver *d, const json_t *step)
{
	struct repo_diff diff = {0};
	struct err err = {0};
	AUTO(buf) struct buf b = BUF_INIT;
	AUTO(fd) int fd = memfd_create("patch", MFD_CLOEXEC);

	if (fd < 0 || sandbox_diff(d->box, fd, &diff, &err) || lseek(fd, 0, SEEK_SET) ||
	    path_read_fd(fd, 64 << 20, &b, &err))
		return failure(&err);
	json_t *j = json_object();
	json_put_strn(j, "patch", b.data, b.len);
	json_put_int(j, "files", diff.files);
	json_put_int(j, "ignored", (int64_t)diff.ignored.n);
	json_put_int(j, "skipped", (int64_t)diff.skipped.n);
	repo_diff_release(&diff);
	return j;
}

static json_t *do_apply(struct driver *d, const json_t *step)
{
	struct err err = {0};
	AUTO(free) char *why = NULL;
	AUTO(fd)
	int fd = openat(d->spec.root_fd, json_get_str(step, "patch", ""), O_RDONLY | O_CLOEXEC);

	if (fd < 0 || sandbox_apply(d->box, fd, -1, &why, &err))
		return failure(&err);
	json_t *j = json_object();
	json_put_str(j, "why", why);
	return j;
}

static json_t *do_sleep(struct driver *d, const json_t *step)
{
	poll(NULL, 0, (int)json_get_int(step, "ms", 0));
	return json_object();
}

static const struct {
	const char *name;
	json_t *(*run)(struct driver *d, const json_t *step);
} steps[] = {
	{"exec", do_exec}, {"put", do_put},   {"get", do_get},	   {"stats", do_stats},
	{"stop", do_stop}, {"diff", do_diff}, {"apply", do_apply}, {"sleep", do_sleep},
};

static void run_steps(struct driver *d)
{
	const json_t *step;
	size_t at;

	json_array_foreach (json_object_get(d->doc, "steps"), at, step)
		for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
			if (!strcmp(steps[i].name, json_get_str(step, "op", "")))
				print(steps[i].run(d, step));
}

static void read_spec(struct driver *d, struct sandbox_mount *mounts, size_t max)
{
	const json_t *doc = d->doc, *pair;
	struct sandbox_spec *s = &d->spec;
	size_t at;

	s->name = json_get_str(doc, "name", "box");
	d->layout = task_layout_prepared;
	s->layout = &d->layout;
	s->plain = json_get_bool(doc, "plain", false);
	s->untraced = s->grading = json_get_bool(doc, "untraced", false);
	s->baseline = json_get_str(doc, "baseline", NULL);
	s->app = json_get_str(doc, "app", NULL);
	s->scratch = json_get_str(doc, "scratch", "scratch");
	s->network = json_get_bool(doc, "network", false);
	s->gateway = json_get_str(doc, "gateway", NULL);
	s->gateway_port = (int)json_get_int(doc, "gateway_port", 0);
	struct err err = {0};
	if (s->plain && sandbox_plain_layout(&d->layout, s->root_fd, s->scratch, &err))
		print(failure(&err));
	workspace_kind_parse(json_get_str(doc, "workspace", "auto"), &s->workspace);
	limits_from_json(&s->limits, json_object_get(doc, "limits"));
	s->mounts = mounts;
	json_array_foreach (json_object_get(doc, "mounts"), at, pair)
		if (s->mounts_n < max)
			mounts[s->mounts_n++] =
				(struct sandbox_mount){json_string_value(json_array_get(pair, 0)),
						       json_string_value(json_array_get(pair, 1))};
}

static int read_image(struct driver *d, struct err *err)
{
	const char *key = json_get_str(d->doc, "image", NULL);

	if (!key)
		return 0;
	if (image_read(&d->image, d->spec.root_fd, key, NULL, err))
		return -1;
	d->spec.image = &d->image;
	return 0;
}

/* As a worker started by root does. */
static int change_user(struct driver *d, uid_t uid, struct err *err)
{
	if (!uid)
		return 0;
	if (sandbox_inherited_open(&d->spec.inherited, &d->spec, uid, uid, err))
		return -1;
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		return err_set(err, ERR_INFRA, errno, "become %u", uid);
	return 0;
}

static int one_box(struct driver *d, bool quiet)
{
	struct err err = {0};
	const int64_t began = clock_mono_ns();

	if (sandbox_open(&d->box,
			 d->spec.image	 ? "docker"
			 : d->spec.plain ? "landlock"
					 : "local",
			 &d->spec, &err)) {
		print(failure(&err));
		return 1;
	}
	if (!quiet) {
		json_t *j = json_object();
		json_put_str(j, "workspace", sandbox_workspace(d->box));
		json_put_str(j, "limits_held", sandbox_limits_held(d->box));
		json_put_str(j, "isolation", sandbox_isolation(d->box));
		json_put_str(j, "repo", d->layout.repo);
		json_put_int(j, "gateway_port", sandbox_gateway_port(d->box));
		json_put_int(j, "open_us", (clock_mono_ns() - began) / 1000);
		json_put_int(j, "pid", getpid());
		print(j);
	}
	run_steps(d);
	sandbox_close(d->box);
	return 0;
}

int main(int argc, char **argv)
{
	struct driver d = {.spec = {.cancel_fds = {-1, -1}, .limits = limits_default}};
	struct sandbox_mount mounts[16];
	struct err err = {0};

	if (argc != 2 || json_read(&d.doc, AT_FDCWD, argv[1], 1 << 20, &err)) {
		fprintf(stderr, "usage: sandbox-driver SPEC.json\n");
		return 2;
	}
	d.spec.root_fd = open(json_get_str(d.doc, "root", "."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	read_spec(&d, mounts, ARRAY_SIZE(mounts));
	/* A worker's mistake that must do no harm: a descriptor that survives exec. */
	if (json_get_str(d.doc, "leak", NULL) &&
	    open(json_get_str(d.doc, "leak", NULL), O_RDONLY) < 0)
		return 2;
	if (json_get_bool(d.doc, "cancel_on_stdin", false))
		d.spec.cancel_fds[0] = 0;
	if (read_image(&d, &err) || change_user(&d, (uid_t)json_get_int(d.doc, "uid", 0), &err)) {
		print(failure(&err));
		return 1;
	}
	if (json_get_bool(d.doc, "remove", false)) {
		const int failed = sandbox_remove_scratch(d.spec.root_fd, d.spec.scratch, &err);
		if (failed)
			print(failure(&err));
		sandbox_inherited_free(d.spec.inherited);
		json_decref(d.doc);
		return failed != 0;
	}
	const int64_t times = json_get_int(d.doc, "repeat", 1);
	int64_t least = INT64_MAX, all = 0;
	int rc = 0;
	for (int64_t i = 0; i < times && !rc; i++) {
		const int64_t began = clock_mono_ns();
		rc = one_box(&d, times > 1);
		const int64_t took = clock_mono_ns() - began;
		all += took;
		least = took < least ? took : least;
	}
	if (times > 1)
		fprintf(stderr, "%.2f ms each, %.2f ms at least\n",
			(double)all / 1e6 / (double)times, (double)least / 1e6);
	sandbox_inherited_free(d.spec.inherited);
	image_release(&d.image);
	json_decref(d.doc);
	close(d.spec.root_fd);
	return rc;
}
