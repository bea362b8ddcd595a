/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A prepared task becomes: environment/ with an image that has the repository at its start commit where the task wants it, out of a bundle
 * that lies beside it; tests/test.sh, which runs the task's scripts and weighs what they say as the grader does; solution/solve.sh, which
 * applies the known diff; and prepared/, the task itself, which Harbor ignores and which the way back takes. The verifier has a container
 * of its own, and of the agent's only the repository's folder, since a prepared task is graded by what was done to that.
 */
#include "rollout/convert.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/limits.h"
#include "git/git.h"
#include "repo/repo.h"
#include "store/store.h"
#include "task/task.h"

#define WAY_MS (INT64_C(60) * 60 * 1000)
#define KEPT "prepared"		    /* the task as it was */
#define KEPT_DIGEST "prepared.json" /* {file: SHA-256} of what was made of it */
enum { FILE_MAX = 256 << 20, IMAGE_TIMEOUT_MS = 600000 };

struct conversion {
	const struct convert_request *q;
	struct task task;
	struct store store;
	char *snapshot;
	struct repo_baseline base;
	int to; /* the new folder */
	struct strv *lost, *notes;
	json_t *made; /* {file: SHA-256} */
};

static int put(struct conversion *c, const char *path, const struct buf *text, mode_t mode,
	       struct err *err)
{
	AUTO(free) char *folder = path_folder(path);
	char digest[HASH_HEX];

	hash_once(text->data, text->len, digest);
	json_put_str(c->made, path, digest);
	if (strcmp(folder, ".") != 0 && path_make_dirs(c->to, folder, 0755, err))
		return -1;
	return path_write(c->to, path, text->data, text->len, mode, false, err);
}

static void add_toml_text(struct buf *out, const char *text)
{
	AUTO(json) json_t *j = json_string(text);
	AUTO(free) char *quoted = json_dumps(j, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);

	/* JSON's strings are TOML's but for surrogates, which a task's words hardly have. */
	buf_adds(out, quoted ? quoted : "\"\"");
}

/* --- what would be lost --------------------------------------------------------------------------- */

static bool has_tests(const struct task_step *s, const char *rubric)
{
	for (size_t i = 0; i < s->tests_n; i++)
		if (!strcmp(s->tests[i].rubric_id, rubric))
			return true;
	return false;
}

static void find_losses(struct conversion *c)
{
	const struct task *t = &c->task;
	const struct task_step *s = &t->steps[0];

	for (size_t i = 0; i < s->rubrics_n; i++)
		if (!has_tests(s, s->rubrics[i].id))
			strv_pushf(c->lost,
				   "rubric %s has no tests: a judge would score it, and Harbor "
				   "has none",
				   s->rubrics[i].id);
	for (size_t i = 0; i < s->tests_n; i++)
		if (s->tests[i].partial_credit)
			strv_pushf(c->lost, "test %s has partial credit: there it passes or fails",
				   s->tests[i].path);
	if (t->withheld.n)
		strv_pushf(c->lost, "%s of its .env: a credential, which is not written anywhere",
			   t->withheld.v[0]);
}

static void tell_differences(struct conversion *c)
{
	strv_push(c->notes, "there, limits of time are the task's own: 30 minutes for the agent as "
			    "here, and what "
			    "its tests may take");
	strv_push(c->notes, "there, nobody looks whether the work was meant for the tests, and "
			    "what they measure is "
			    "not kept");
}

/* --- to Harbor ------------------------------------------------------------------------------------ */

static int64_t test_ms(const struct task_test *t)
{
	return t->timeout_ms ? t->timeout_ms : limits_default.eval_timeout_ms;
}

static int write_toml(struct conversion *c, struct err *err)
{
	const struct task *t = &c->task;
	AUTO(buf) struct buf out = BUF_INIT;
	int64_t tests_ms = 60000;
	const json_t *tag;
	size_t i;

	for (i = 0; i < t->steps[0].tests_n; i++)
		tests_ms += test_ms(&t->steps[0].tests[i]);
	buf_adds(&out, "schema_version = \"1.4\"\nartifacts = [");
	add_toml_text(&out, t->layout.repo);
	buf_adds(&out, "]\n\n[metadata]\ntask_id = ");
	add_toml_text(&out, t->id);
	if (t->title) {
		buf_adds(&out, "\ntitle = ");
		add_toml_text(&out, t->title);
	}
	if (t->difficulty) {
		buf_adds(&out, "\ndifficulty = ");
		add_toml_text(&out, t->difficulty);
	}
	if (t->cluster) {
		buf_adds(&out, "\ncluster = ");
		add_toml_text(&out, t->cluster);
	}
	buf_adds(&out, "\ntags = [");
	json_array_foreach (t->tags, i, tag) {
		buf_adds(&out, i ? ", " : "");
		add_toml_text(&out, json_string_value(tag) ? json_string_value(tag) : "");
	}
	buf_addf(&out,
		 "]\n\n[agent]\ntimeout_sec = %lld\n\n[verifier]\nenvironment_mode = "
		 "\"separate\"\ntimeout_sec = %lld\n\n[environment]\nnetwork_mode = "
		 "\"no-network\"\nworkdir = ",
		 (long long)(limits_default.timeout_ms / 1000), (long long)(tests_ms / 1000));
	add_toml_text(&out, t->layout.repo);
	buf_adds(&out, "\n");
	if (t->env.n)
		buf_adds(&out, "\n[environment.env]\n");
	for (i = 0; i < t->env.n; i++) {
		add_toml_text(&out, t->env.v[i].key);
		buf_adds(&out, " = ");
		add_toml_text(&out, t->env.v[i].value);
		buf_addc(&out, '\n');
	}
	return put(c, "task.toml", &out, 0644, err);
}

/* The task's own Dockerfile, or the image, and on top of it what a sandbox here shows. */
static int write_dockerfile(struct conversion *c, struct err *err)
{
	const struct task *t = &c->task;
	const char *image = t->docker_image ? t->docker_image : c->q->image;
	AUTO(buf) struct buf out = BUF_INIT;
	AUTO(free) char *own = path_join(c->q->task, "Dockerfile");

	if (t->has_dockerfile && !t->docker_image) {
		if (path_read(AT_FDCWD, own, FILE_MAX, &out, err))
			return -1;
		buf_addc(&out, '\n');
	} else {
		buf_addf(&out, "FROM %s\n", image);
	}
	buf_addf(
		&out,
		"USER root\n"
		"# git and bash are needed.\n"
		"COPY app/ %s/\n"
		"COPY repo.bundle /tmp/repo.bundle\n"
		"RUN git config --system --add safe.directory '*' && rm -rf '%s' && git clone -q "
		"/tmp/repo.bundle '%s' && git -C '%s' remote remove origin && rm /tmp/repo.bundle\n"
		"WORKDIR %s\n",
		t->layout.app, t->layout.repo, t->layout.repo, t->layout.repo, t->layout.repo);
	return put(c, "environment/Dockerfile", &out, 0644, err);
}

/* All that the start has of its repository, history and branch included. Not from a folder with a file HEAD, which git would take for that. */
static int write_bundle(struct conversion *c, struct err *err)
{
	static const char *const argv[] = {"bundle", "create",	   "-q", "-",
					   "HEAD",   "--branches", NULL};
	AUTO(free) char *repo = path_join(c->base.path, BASELINE_REPO "/.git/objects");
	AUTO(buf) struct buf out = BUF_INIT;
	const char *env[] = {"GIT_DIR=..", NULL};
	AUTO(fd)
	int fd = path_open_beneath(c->store.root_fd, repo, O_RDONLY | O_DIRECTORY, 0, err);
	const struct git_cmd g = {.dir_fd = fd,
				  .argv = argv,
				  .env = env,
				  .max = FILE_MAX,
				  .deadline_ms = clock_mono_ms() + WAY_MS};

	if (fd < 0 || git_must(&g, &out, err))
		return -1;
	return path_make_dirs(c->to, "environment", 0755, err) ||
			       path_write(c->to, "environment/repo.bundle", out.data, out.len, 0644,
					  false, err)
		       ? -1
		       : 0;
}

static int write_environment(struct conversion *c, struct err *err)
{
	AUTO(free) char *app = path_join(c->snapshot, SNAPSHOT_APP);

	if (write_bundle(c, err) || write_dockerfile(c, err))
		return -1;
	if (path_exists(c->store.root_fd, app))
		return path_copy_tree(c->store.root_fd, app, c->to, "environment/app", err);
	return path_make_dirs(c->to, "environment/app", 0755, err);
}

/* How the grader runs a script. */
static void add_command(struct buf *out, const struct task_test *t)
{
	if (t->command)
		text_shell(out, t->command);
	else if (text_ends_with(t->path, ".py"))
		buf_adds(out, "pytest");
	else if (text_ends_with(t->path, ".sh"))
		buf_adds(out, "bash");
	else
		buf_adds(out, "file");
}

/* Whole numbers only, since bash is all that an image is sure to have: shares of the weights over one denominator. */
static const char run_tests[] =
	"#!/bin/bash\n"
	"# Runs the scripts of a prepared task and weighs what they say (rollouts convert).\n"
	"run() { # NUMBER OF THE RUBRIC, SECONDS, HOW, PATH\n"
	"\tmkdir -p \"$(dirname \"./$4\")\" && cp \"/tests/scripts/$4\" \"./$4\" && chmod 755 "
	"\"./$4\"\n"
	"\tcase $3 in\n"
	"\tpytest) timeout \"$2\" python3 -m pytest -q -- \"$4\" ;;\n"
	"\tbash) timeout \"$2\" bash -- \"$4\" ;;\n"
	"\tfile) timeout \"$2\" \"./$4\" ;;\n"
	"\t*) timeout \"$2\" bash -c \"$3\" ;;\n"
	"\tesac && ok[$1]=$((${ok[$1]:-0} + 1))\n"
	"}\n"
	"share() { # A of B, as a decimal number\n"
	"\tlocal a=$1 s=$(($1 / $2)). i\n"
	"\tfor ((i = 0; i < 15; i++)); do a=$((a % $2 * 10)) s+=$((a / $2)); done\n"
	"\techo $s\n"
	"}\n"
	"ok=()\n";

static const struct task_rubric *rubric_of(const struct task_step *s, const char *id, size_t *at)
{
	for (*at = 0; *at < s->rubrics_n; ++*at)
		if (!strcmp(s->rubrics[*at].id, id))
			return &s->rubrics[*at];
	return NULL;
}

static int64_t count_tests(const struct task_step *s, const char *rubric)
{
	int64_t n = 0;

	for (size_t i = 0; i < s->tests_n; i++)
		n += !strcmp(s->tests[i].rubric_id, rubric);
	return n;
}

/* A number that all counts of tests divide. */
static int64_t common_count(const struct task_step *s)
{
	int64_t all = 1;

	for (size_t i = 0; i < s->rubrics_n; i++) {
		const int64_t n = count_tests(s, s->rubrics[i].id);
		for (int64_t k = 1, first = all; n && all % n; k++)
			all = first * k;
	}
	return all;
}

/* The rubrics' means and their weighted mean, as struct total_score has it. *SUM: of the positive weights. */
static void add_rewards(struct buf *out, const struct task_step *s, int64_t *sum)
{
	const int64_t all = common_count(s);
	AUTO(buf) struct buf weighed = BUF_INIT, said = BUF_INIT;

	*sum = 0;
	for (size_t i = 0; i < s->rubrics_n; i++) {
		const int64_t n = count_tests(s, s->rubrics[i].id);
		const int64_t weight = (int64_t)llround(s->rubrics[i].weight * 1e6) * all;
		AUTO(buf) struct buf key = BUF_INIT;
		if (!n)
			continue;
		*sum += weight > 0 ? weight : 0;
		buf_addf(&weighed, " + %lld * ${ok[%zu]:-0}", (long long)(weight / n), i);
		add_toml_text(&key, s->rubrics[i].id);
		buf_adds(&said, "\techo ");
		text_shell(&said, key.data);
		buf_addf(&said, "\": $(share ${ok[%zu]:-0} %lld),\"\n", i, (long long)n);
	}
	buf_addf(out,
		 "total=$((0%s))\n{\n\techo '{'\n%s\techo \"\\\"reward\\\": $(share "
		 "$((total > 0 ? total : 0)) %lld)}\"\n} >/logs/verifier/reward.json\n",
		 weighed.data, said.data, (long long)*sum);
}

static int write_tests(struct conversion *c, struct err *err)
{
	const struct task_step *s = &c->task.steps[0];
	AUTO(buf) struct buf out = BUF_INIT;
	int64_t sum;

	buf_adds(&out, run_tests);
	buf_adds(&out, "cd ");
	text_shell(&out, c->task.layout.repo);
	buf_adds(&out, " || exit 1\n");
	for (size_t i = 0; i < s->tests_n; i++) {
		const struct task_test *t = &s->tests[i];
		size_t rubric;
		AUTO(free) char *path = path_join("tests/scripts", t->path);
		const struct buf text = {t->content, t->content_len, 0};
		if (!rubric_of(s, t->rubric_id, &rubric))
			continue;
		if (put(c, path, &text, 0755, err))
			return -1;
		buf_addf(&out, "run %zu %lld ", rubric, (long long)(test_ms(t) / 1000));
		add_command(&out, t);
		buf_addc(&out, ' ');
		text_shell(&out, t->path);
		buf_addc(&out, '\n');
	}
	add_rewards(&out, s, &sum);
	if (!sum)
		return err_set(err, ERR_USAGE, 0, "%s: no rubric with tests has a weight above 0",
			       c->q->task);
	return put(c, "tests/test.sh", &out, 0755, err);
}

static int write_solution(struct conversion *c, struct err *err)
{
	AUTO(free) char *gold = path_join(c->snapshot, SNAPSHOT_GOLD);
	AUTO(buf) struct buf diff = BUF_INIT, out = BUF_INIT;

	if (!c->task.has_gold)
		return 0;
	if (path_read_beneath(c->store.root_fd, gold, FILE_MAX, &diff, err))
		return -1;
	buf_adds(&out, "#!/bin/bash\ncd ");
	text_shell(&out, c->task.layout.repo);
	buf_adds(&out, " && git apply --binary --whitespace=nowarn /solution/diff.patch\n");
	return put(c, "solution/diff.patch", &diff, 0644, err) ||
			       put(c, "solution/solve.sh", &out, 0755, err)
		       ? -1
		       : 0;
}

static int keep_original(struct conversion *c, struct err *err)
{
	if (path_copy_tree(AT_FDCWD, c->q->task, c->to, KEPT, err))
		return -1;
	/* Task folders are published. */
	if (c->task.withheld.n && unlinkat(c->to, KEPT "/.env", 0))
		return err_set(err, ERR_INFRA, errno, "remove " KEPT "/.env");
	return json_write(c->to, KEPT_DIGEST, c->made, false, err);
}

static int write_harbor(struct conversion *c, struct err *err)
{
	const char *instruction = c->task.steps[0].instruction;
	AUTO(buf) struct buf text = BUF_INIT;

	buf_adds(&text, instruction ? instruction : "");
	return write_toml(c, err) || put(c, "instruction.md", &text, 0644, err) ||
			       write_environment(c, err) || write_tests(c, err) ||
			       write_solution(c, err) || keep_original(c, err)
		       ? -1
		       : 0;
}

/* What a Dockerfile and a shell's line say as they stand. */
static bool is_plain_path(const char *path)
{
	return !path[strspn(path,
			    "/._-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")];
}

static int check_convertible(const struct conversion *c, struct err *err)
{
	const struct task *t = &c->task;

	if (!t->docker_image && !t->has_dockerfile && !c->q->image)
		return err_set(
			err, ERR_USAGE, 0,
			"%s names no image and has no Dockerfile: here it runs with this machine's "
			"programs, which Harbor cannot; --image NAME says what it is to run in",
			c->q->task);
	if (!t->steps[0].tests_n)
		return err_set(err, ERR_USAGE, 0,
			       "%s has no test scripts: a Harbor task is nothing without",
			       c->q->task);
	if (!is_plain_path(t->layout.repo) || !is_plain_path(t->layout.app))
		return err_set(err, ERR_USAGE, 0, "%s: the path %s is not plain", c->q->task,
			       t->layout.repo);
	return 0;
}

static int take_losses(const struct conversion *c, struct err *err)
{
	if (!c->lost->n || c->q->lossy)
		return 0;
	return err_set(
		err, ERR_USAGE, 0,
		"%s: %zu thing%s would be lost, and nothing was written; --lossy converts it all "
		"the same",
		c->q->task, c->lost->n, c->lost->n == 1 ? "" : "s");
}

static int make_folder(int *fd, const char *to, struct err *err)
{
	if (mkdir(to, 0755))
		return err_set(err, ERR_USAGE, errno, "make the folder %s", to);
	*fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? err_set(err, ERR_INFRA, errno, "open %s", to) : 0;
}

static int to_harbor(struct conversion *c, const struct task_source *src, struct err *err)
{
	const int64_t deadline_ms = clock_mono_ms() + WAY_MS;
	struct err ignored;

	find_losses(c);
	if (check_convertible(c, err) || take_losses(c, err) ||
	    store_open(&c->store, c->q->data_dir, true, err))
		return -1;
	if (task_snapshot(&c->task, src, c->store.root_fd, &c->snapshot, err) ||
	    repo_baseline_get(&c->base, c->store.root_fd, &c->task, c->snapshot, NULL, deadline_ms,
			      err) ||
	    make_folder(&c->to, c->q->to, err))
		return -1;
	c->made = json_object();
	if (write_harbor(c, err)) {
		if (path_remove_tree(AT_FDCWD, c->q->to, &ignored))
			err_wrap(err, "%s is left half made", c->q->to);
		return -1;
	}
	tell_differences(c);
	return 0;
}

/* --- back ----------------------------------------------------------------------------------------- */

/* What was changed since the task was made of another. */
static int find_changes(struct conversion *c, int from, struct err *err)
{
	AUTO(json) json_t *made = NULL;
	const char *path;
	json_t *digest;

	if (json_read(&made, from, KEPT_DIGEST, FILE_MAX, err))
		return -1;
	json_object_foreach (made, path, digest) {
		AUTO(buf) struct buf text = BUF_INIT;
		char now[HASH_HEX] = "";
		struct err ignored;
		if (!path_read_beneath(from, path, FILE_MAX, &text, &ignored))
			hash_once(text.data, text.len, now);
		if (strcmp(now, json_string_value(digest) ? json_string_value(digest) : "") != 0)
			strv_pushf(c->lost, "%s was changed since it was converted", path);
	}
	return 0;
}

static int refuse_foreign(struct conversion *c, struct err *err)
{
	const json_t *env = json_object_get(c->task.harbor, "environment");

	strv_push(c->lost,
		  "its work is the state of a container: a prepared task is a git repository and "
		  "what was done to it");
	strv_push(c->lost, "its tests judge that container, and write their reward themselves");
	if (c->task.steps_n > 1)
		strv_pushf(c->lost, "%zu steps: a prepared task has one", c->task.steps_n);
	if (json_object_get(env, "healthcheck") &&
	    !json_is_null(json_object_get(env, "healthcheck")))
		strv_push(c->lost, "its health check");
	if (c->task.has_gold)
		strv_push(c->lost, "its solution, a program: a prepared task has a diff");
	return err_set(err, ERR_USAGE, 0,
		       "%s cannot become a prepared task, and need not: it runs here as it is, "
		       "also beside "
		       "prepared tasks in one benchmark",
		       c->q->task);
}

static int to_prepared(struct conversion *c, struct err *err)
{
	struct path_copied told = {.left = INT64_MAX};
	AUTO(fd) int from = open(c->q->task, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (from < 0)
		return err_set(err, ERR_USAGE, errno, "open %s", c->q->task);
	if (!path_exists(from, KEPT_DIGEST) || !path_exists(from, KEPT "/tb_meta.json"))
		return refuse_foreign(c, err);
	if (find_changes(c, from, err) || take_losses(c, err))
		return -1;
	if (path_exists(AT_FDCWD, c->q->to))
		return err_set(err, ERR_USAGE, EEXIST, "make the folder %s", c->q->to);
	return path_copy_files(from, KEPT, AT_FDCWD, c->q->to, &told, err);
}

int convert_task(bool *harbor, const struct convert_request *q, struct strv *lost,
		 struct strv *notes, struct err *err)
{
	AUTO(free) char *dir = xstrdup(q->task);
	AUTO(strv) struct strv issues = STRV_INIT;
	const struct task_source src = {.dir = dir, .apply_overrides = true};
	struct conversion c = {.q = q, .store.root_fd = -1, .to = -1, .lost = lost, .notes = notes};

	for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/'; n--)
		dir[n - 1] = '\0';
	if (task_read(&c.task, &src, &issues, err)) {
		if (issues.n)
			err_set(err, ERR_USAGE, 0, "%s/%s", dir, issues.v[0]);
		return -1;
	}
	*harbor = !c.task.harbor;
	int status = *harbor ? to_harbor(&c, &src, err) : to_prepared(&c, err);
	task_release(&c.task);
	repo_baseline_release(&c.base);
	free(c.snapshot);
	json_decref(c.made);
	auto_fd(&c.to);
	if (c.store.root)
		store_close(&c.store);
	return status;
}
