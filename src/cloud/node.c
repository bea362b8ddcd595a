/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Theory of operation. A job of an array finds its trials in one object of the batch, fetches the parcels that they need, and runs rollouts-node
 * (node/node.h) over them. What that says is sent on in objects of their own, whenever there is something and a moment has passed; the end of a
 * trial at once: its archive, then its result, which only one execution can write. Keys of providers come from the environment, where the job
 * definition's secrets are.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "aws/metadata.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/tar.h"
#include "cloud/archive.h"
#include "cloud/cloud.h"
#include "cloud/layout.h"
#include "core/datadir.h"
#include "core/event.h"
#include "os/fdio.h"
#include "os/lines.h"
#include "os/spawn.h"

enum {
	BATCH_MAX = 256 << 20,
	RESULT_MAX = 16 << 20,
	LINE_MAX_BYTES = 16 << 20,
	LINES_KEPT = 256 << 10, /* of a trial's lines, in its result */
	READ_BYTES = 64 << 10,
};

struct cloud_node {
	struct aws aws;
	struct s3 s3;
	const char *batch;
	json_t *spec; /* the whole object; `tasks` of it is ours in trials */
	const json_t *options, *trials;
	int64_t index, attempt; /* of the array; of the job, from 1 */
	char *work;		/* where this job's files are */
	json_t *machine;	/* what it is and costs, told in results */
	json_t *begun;		/* token -> when, wall milliseconds */
	json_t *lines;		/* token -> its lines so far */
	struct buf events;	/* not sent yet */
	int64_t sent_ms;
	int sequence;
	bool failed;
};

static volatile sig_atomic_t stop_pid;
static volatile sig_atomic_t stopped;

static void on_term(int signo)
{
	stopped = 1;
	if (stop_pid > 0)
		kill((pid_t)stop_pid, SIGTERM);
}

static int64_t number_of(const char *variable, int64_t otherwise)
{
	const char *set = getenv(variable);

	return set && *set ? strtoll(set, NULL, 10) : otherwise;
}

static int read_batch(struct cloud_node *n, struct err *err)
{
	AUTO(free)
	char *key = xasprintf(LAYOUT_BATCHES "/%s/%lld.json", n->batch,
			      (long long)(n->index / LAYOUT_TASKS));
	struct s3_object o = {.key = key, .fd = -1, .text = BUF_INIT};

	if (s3_get(&n->s3, &o, 1, err))
		return -1;
	AUTO(buf) struct buf text = o.text;
	if (o.rc)
		return err_set(
			err, ERR_INFRA, 0,
			"%s is not in the bucket: this job was given up, or its objects have "
			"expired",
			key);
	if (json_parse(&n->spec, text.data, text.len, key, err))
		return -1;
	n->options = json_object_get(n->spec, "node");
	n->trials = json_array_get(json_object_get(n->spec, "tasks"),
				   (size_t)(n->index % LAYOUT_TASKS));
	n->s3.sse = json_get_str(n->options, "sse", NULL);
	n->s3.kms_key = json_get_str(n->options, "kms_key", NULL);
	return json_is_array(n->trials) ? 0
					: err_set(err, ERR_INFRA, 0, "%s has no task %lld", key,
						  (long long)n->index);
}

static int fetch_parcel(struct cloud_node *n, int dir_fd, const json_t *input, struct err *err)
{
	const char *sha = json_get_str(input, "sha256", "");
	AUTO(free) char *key = xasprintf(LAYOUT_PARCELS "/%s.tar", sha);
	AUTO(free) char *name = xasprintf("%s.tar", sha);

	if (strspn(sha, "0123456789abcdef") != HASH_HEX - 1 || sha[HASH_HEX - 1])
		return err_set(err, ERR_INFRA, 0, "an input without a hash");
	if (path_exists(dir_fd, name))
		return 0;
	AUTO(fd) int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "create %s", name);
	struct s3_object o = {.key = key, .fd = fd, .text = BUF_INIT};
	if (s3_get(&n->s3, &o, 1, err))
		return -1;
	return o.rc ? err_set(err, ERR_INFRA, 0, "%s is not in the bucket: it has expired", key)
		    : 0;
}

/* Keys that the job definition's secrets put into the environment. */
static void fill_keys(json_t *file)
{
	const char *name;
	json_t *provider, *key;
	size_t i;

	json_object_foreach (json_object_get(json_object_get(file, "document"), "providers"), name,
			     provider) {
		json_t *kept = json_array();
		json_array_foreach (json_object_get(provider, "keys"), i, key) {
			const char *id = json_get_str(key, "id", ""), *value = getenv(id);
			if (value && *value)
				json_array_append_new(
					kept, json_pack("{s:s,s:s}", "id", id, "key", value));
			else
				log_warn("no secret %s in the environment of this job", id);
		}
		json_put(provider, "keys", kept);
	}
}

static int lay_out(struct cloud_node *n, int fd, struct err *err)
{
	size_t i, k;
	json_t *one, *input, *file;
	const char *path;

	if (path_make_dirs(fd, DATA_PARCELS, 0700, err) || path_make_dirs(fd, "out", 0700, err))
		return -1;
	AUTO(fd) int parcels = path_open_beneath(fd, DATA_PARCELS, O_RDONLY | O_DIRECTORY, 0, err);
	if (parcels < 0)
		return -1;
	json_object_foreach (json_object_get(n->spec, "files"), path, file) {
		AUTO(free) char *folder = path_folder(path);
		fill_keys(file);
		if (!path_is_inside(path) || path_make_dirs(fd, folder, 0700, err) ||
		    json_write(fd, path, file, false, err))
			return -1;
	}
	json_array_foreach (n->trials, i, one) {
		const char *dir = json_get_str(one, "dir", "");
		json_put(json_object_get(one, "trial"), "machine", json_incref(n->machine));
		AUTO(free) char *trial = path_join(dir, ATTEMPT_TRIAL);
		AUTO(free) char *travel = path_join(dir, ATTEMPT_TRAVEL);
		if (!path_is_inside(dir) || path_make_dirs(fd, dir, 0700, err) ||
		    json_write(fd, trial, json_object_get(one, "trial"), false, err) ||
		    json_write(fd, travel, json_object_get(one, "travel"), false, err))
			return -1;
		json_array_foreach (json_object_get(json_object_get(one, "travel"), "inputs"), k,
				    input)
			if (fetch_parcel(n, parcels, input, err))
				return -1;
	}
	return 0;
}

static void send_events(struct cloud_node *n)
{
	struct err err;

	n->sent_ms = clock_mono_ms();
	if (!n->events.len)
		return;
	const int64_t now_ms = clock_wall_ms() + n->aws.clock_off_ms;
	AUTO(free)
	char *key = xasprintf(LAYOUT_BATCHES "/%s/events/%013lld-%lld-%lld-%06d.jsonl", n->batch,
			      (long long)now_ms, (long long)n->index, (long long)n->attempt,
			      n->sequence++);
	struct s3_object o = {.key = key, .data = n->events.data, .bytes = n->events.len, .fd = -1};
	if (s3_put(&n->s3, &o, 1, &err))
		log_warn("%s", err.msg);
	else
		buf_reset(&n->events);
}

/* result.json, out of an attempt's archive. NULL: it has none. */
static json_t *read_result(int fd)
{
	struct tar_member m;
	struct err err;
	json_t *found = NULL;

	if (lseek(fd, 0, SEEK_SET))
		return NULL;
	while (!found && tar_read_head(fd, &m, &err) == 1) {
		int64_t size = m.size;
		bool is_it = !strcmp(m.path, "t/" ATTEMPT_RESULT) && size <= RESULT_MAX;
		tar_member_release(&m);
		AUTO(free) char *text = is_it ? xmalloc((size_t)size + 1) : NULL;
		if (is_it && !tar_read(fd, text, (size_t)size, &err))
			found = json_loadb(text, (size_t)size, 0, NULL);
		else if (lseek(fd, size, SEEK_CUR) < 0)
			break;
		if (!found && tar_read_pad(fd, size, &err))
			break;
	}
	return found;
}

/* As its worker reckoned; of one that left no result, from its first line on. */
static json_t *cost_of(const struct cloud_node *n, const char *token, const json_t *result)
{
	const json_t *told = json_object_get(result, "machine");

	if (json_is_object(told))
		return json_incref((json_t *)told);
	json_t *c = json_deep_copy(n->machine);
	int64_t from = json_get_int(n->begun, token, clock_wall_ms());
	double sec = (double)(clock_wall_ms() - from) / 1000;
	double hour = json_get_real(c, "usd_per_hour", -1);

	json_put_real(c, "seconds", sec);
	if (hour >= 0)
		json_put_real(c, "usd", sec / 3600 * hour * json_get_real(c, "share", 1));
	return c;
}

/* Whether Batch begins this job again, so that this end of a trial is not its last. */
static bool goes_on(const struct cloud_node *n, const json_t *end)
{
	return json_get_bool(end, "stopped", false) && !json_get_bool(end, "committed", false) &&
	       n->attempt < json_get_int(n->options, "attempts", 1);
}

/* The archive as an object; 1: another execution has written one. */
static int send_archive(struct cloud_node *n, const char *file, const char *key, int64_t *bytes,
			json_t **result, struct err *err)
{
	AUTO(free) char *path = xasprintf("%s/out/%s", n->work, file);
	AUTO(free) char *packed = xasprintf("%s.zst", path);
	AUTO(fd) int in = open(path, O_RDONLY | O_CLOEXEC);
	AUTO(fd) int out = open(packed, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct stat st;

	if (in < 0 || out < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	if (archive_compress(out, in, err))
		return -1;
	*result = read_result(in);
	if (fstat(out, &st))
		return err_set(err, ERR_INFRA, errno, "%s", packed);
	*bytes = st.st_size;
	struct s3_object o = {.key = key, .fd = out, .bytes = (size_t)st.st_size, .only_new = true};
	int rc = s3_put(&n->s3, &o, 1, err);
	unlink(packed);
	unlink(path);
	return rc ? rc : o.rc;
}

/* The trial has ended: its archive, its result, then the word that both are there. */
static int send_end(struct cloud_node *n, json_t *end, struct err *err)
{
	const char *token = json_get_str(end, "token", "");
	const char *file = json_get_str(end, "archive", NULL);
	AUTO(free)
	char *where = goes_on(n, end)
			      ? xasprintf(LAYOUT_STOPPED "/%s.%lld", token, (long long)n->attempt)
			      : NULL;
	AUTO(free)
	char *archive = where ? xasprintf("%s.tar.zst", where)
			      : xasprintf(LAYOUT_ARCHIVES "/%s.tar.zst", token);
	AUTO(free)
	char *key =
		where ? xasprintf("%s.json", where) : xasprintf(LAYOUT_RESULTS "/%s.json", token);
	AUTO(json) json_t *result = NULL;
	AUTO(buf) struct buf text = BUF_INIT;
	int64_t bytes = 0;

	if (file && send_archive(n, file, archive, &bytes, &result, err) < 0)
		return -1;
	AUTO(json) json_t *cloud = cost_of(n, token, result);
	AUTO(json) json_t *j = json_copy(end);
	json_put_int(j, "v", 1);
	json_put_str(j, "archive", file ? archive : NULL);
	json_put_int(j, "archive_bytes", bytes);
	json_put(j, "cloud", json_incref(cloud));
	json_put(j, "result", result ? json_incref(result) : json_null());
	json_put_str(j, "lines", json_get_str(n->lines, token, ""));
	json_format(&text, j, false);
	struct s3_object o = {
		.key = key, .data = text.data, .bytes = text.len, .fd = -1, .only_new = true};
	if (s3_put(&n->s3, &o, 1, err))
		return -1;
	if (where)
		return 0;
	json_put(end, "cloud", json_incref(cloud));
	event_add(&n->events, json_incref(end));
	return 0;
}

static void keep_line(struct cloud_node *n, const char *token, const json_t *line)
{
	const char *before = json_get_str(n->lines, token, "");
	AUTO(buf) struct buf text = BUF_INIT;

	if (!json_object_get(n->begun, token))
		json_put_int(n->begun, token, clock_wall_ms());
	if (!strcmp(json_get_str(line, "event", ""), EVENT_OUTPUT))
		return;
	buf_adds(&text, before);
	json_format(&text, line, false);
	buf_addc(&text, '\n');
	if (text.len <= LINES_KEPT)
		json_put_str(n->lines, token, text.data);
}

static void on_line(void *arg, const char *line, size_t len)
{
	struct cloud_node *n = arg;
	json_t *j = json_loadb(line, len, 0, NULL);
	struct err err;

	if (json_object_get(j, "ended")) {
		if (send_end(n, j, &err)) {
			log_warn("%s", err.msg);
			n->failed = true;
		}
		json_decref(j);
		send_events(n);
		return;
	}
	if (json_object_get(j, "line"))
		keep_line(n, json_get_str(j, "token", ""), json_object_get(j, "line"));
	if (j)
		event_add(&n->events, j);
}

/* Until rollouts-node has said its last word. */
static void hear(struct cloud_node *n, int fd)
{
	const int64_t each = json_get_int(n->options, "events_sec", 5) * 1000;
	AUTO(buf) struct buf begun = BUF_INIT;
	char block[READ_BYTES];

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t due = n->events.len ? n->sent_ms + each - clock_mono_ms() : -1;
		int ready = n->events.len && due <= 0 ? 0 : poll(&p, 1, (int)due);
		if (ready == 0) {
			send_events(n);
			continue;
		}
		ssize_t k = read(fd, block, sizeof block);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		lines_feed(&begun, block, (size_t)k, LINE_MAX_BYTES, on_line, n);
	}
	send_events(n);
}

static int run_node(struct cloud_node *n, const char *cache, struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-node");
	AUTO(free) char *out = path_join(n->work, "out");
	AUTO(strv) struct strv argv = STRV_INIT;
	struct child child;
	size_t i;
	json_t *one;
	int pipe[2], status = -1;

	strv_push(&argv, program);
	strv_push(&argv, "run");
	strv_pushf(&argv, "--data=%s", n->work);
	strv_pushf(&argv, "--cache=%s", cache);
	strv_pushf(&argv, "--out=%s", out);
	strv_pushf(&argv, "--cache-mb=%lld", (long long)json_get_int(n->options, "cache_mb", 0));
	strv_pushf(&argv, "--side-by-side=%lld",
		   (long long)json_get_int(n->options, "side_by_side", 1));
	json_array_foreach (n->trials, i, one)
		strv_push(&argv, json_get_str(one, "dir", ""));
	if (fd_pipe(pipe, err))
		return -1;
	AUTO(fd) int from = pipe[0];
	AUTO(fd) int to = pipe[1];
	struct spawn s = {.argv = strv_items(&argv),
			  .dir_fd = AT_FDCWD,
			  .in = -1,
			  .out = to,
			  .err = STDERR_FILENO};
	if (spawn_start(&child, &s, true, err))
		return -1;
	auto_fd(&to);
	to = -1;
	stop_pid = child.pid;
	if (stopped)
		kill(child.pid, SIGTERM);
	hear(n, from);
	if (spawn_wait(&child, 0, &status, err))
		return -1;
	stop_pid = 0;
	return status;
}

static void find_machine(struct cloud_node *n)
{
	static const struct {
		const char *path, *name;
	} asked[] = {{"meta-data/instance-type", "instance_type"},
		     {"meta-data/instance-life-cycle", "life_cycle"},
		     {"meta-data/placement/availability-zone", "zone"}};
	const json_t *prices = json_object_get(n->options, "prices");
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int64_t of_them = json_get_int(n->options, "vcpus", 1);

	n->machine = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		if (metadata_get(&text, n->aws.http, asked[i].path))
			break;
		json_put_str(n->machine, asked[i].name, text.data);
	}
	json_put_str(n->machine, "job", getenv("AWS_BATCH_JOB_ID"));
	json_put_int(n->machine, "job_attempt", n->attempt);
	const char *type = json_get_str(n->machine, "instance_type", "");
	double hour = json_get_real(prices, type, json_get_real(n->options, "price_per_hour", -1));
	/* A trial's part of an instance that others run on as well. */
	json_put_real(n->machine, "share", cpus > of_them ? (double)of_them / (double)cpus : 1.0);
	if (hour >= 0)
		json_put_real(n->machine, "usd_per_hour", hour);
}

static int prepare(struct cloud_node *n, const char *url, char **cache, struct err *err)
{
	const char *top = getenv("TMPDIR");
	const char *set;

	if (aws_open(&n->aws, NULL, err) || s3_open(&n->s3, &n->aws, url, err) ||
	    read_batch(n, err))
		return -1;
	find_machine(n);
	set = json_get_str(n->options, "cache", NULL);
	*cache = set ? xstrdup(set)
		     : xasprintf("%s/rollouts-node-%u", top && *top ? top : "/tmp",
				 (unsigned)geteuid());
	n->work = path_make_temp_dir("rollouts-job", err);
	if (!n->work)
		return -1;
	AUTO(fd) int fd = open(n->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_set(err, ERR_INFRA, errno, "open %s", n->work) : lay_out(n, fd, err);
}

int cloud_node(int argc, char **argv)
{
	struct cloud_node n = {.index = number_of("AWS_BATCH_JOB_ARRAY_INDEX", 0),
			       .attempt = number_of("AWS_BATCH_JOB_ATTEMPT", 1),
			       .begun = json_object(),
			       .lines = json_object(),
			       .events = BUF_INIT};
	AUTO(free) char *cache = NULL;
	const struct sigaction term = {.sa_handler = on_term};
	struct err err;
	int status = 3;

	if (argc != 3) {
		fputs("usage: rollouts cloud node s3://BUCKET/PREFIX BATCH\n", stderr);
		return 2;
	}
	sigaction(SIGTERM, &term, NULL);
	n.batch = argv[2];
	if (prepare(&n, argv[1], &cache, &err))
		status = cloud_fail(&err);
	else if ((status = run_node(&n, cache, &err)) < 0)
		status = cloud_fail(&err);
	else
		status = n.failed ? 3 : WIFEXITED(status) ? WEXITSTATUS(status) : 3;
	if (n.work)
		auto_temp_dir(&n.work);
	s3_close(&n.s3);
	aws_close(&n.aws);
	json_decref(n.spec);
	json_decref(n.machine);
	json_decref(n.begun);
	json_decref(n.lines);
	buf_release(&n.events);
	return status;
}
