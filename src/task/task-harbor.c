/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading a Harbor task folder: task.toml, the instructions, and the trees that go into its containers later. What is built into its
 * image (environment/) is read by context.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "harbor/contract.h"
#include "task/context.h"
#include "task/dockerignore.h"
#include "task/files.h"
#include "task/task-format.h"

enum { TOML_MAX = 4 << 20, INSTRUCTION_MAX = 4 << 20 };

struct harbor_reader {
	struct task *t;
	int dir_fd;
	struct issues *m;
};

static bool read_text(struct harbor_reader *rd, const char *path, size_t max, struct buf *out)
{
	struct err err = {0};

	if (path_read_beneath(rd->dir_fd, path, max, out, &err))
		issues_add(rd->m, path, NULL,
			   err.sys == ENOENT ? "is missing" : "cannot be read: %s", err.msg);
	else if (!text_is_utf8(out->data, out->len) || strlen(out->data) != out->len)
		issues_add(rd->m, path, NULL, "must be UTF-8 text");
	else
		return true;
	return false;
}

static char *read_instruction(struct harbor_reader *rd, const char *path)
{
	AUTO(buf) struct buf text = BUF_INIT;

	return read_text(rd, path, INSTRUCTION_MAX, &text) ? harbor_instruction(text.data)
							   : xstrdup("");
}

/* Where the verifier's own image holds the tests, the folder need not. */
static bool has_own_image(const struct harbor_reader *rd, const json_t *verifier, const char *tests)
{
	AUTO(free) char *dockerfile = xasprintf("%s/Dockerfile", tests);

	return json_is_string(
		       json_object_get(json_object_get(verifier, "environment"), "docker_image")) ||
	       path_exists(rd->dir_fd, dockerfile);
}

/* The first of its scripts that does. */
static void find_fetches(struct harbor_reader *rd, const char *script)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;
	int line;

	if (rd->t->fetches ||
	    path_read_beneath(rd->dir_fd, script, INSTRUCTION_MAX, &text, &ignored))
		return;
	const char *by = harbor_fetches(text.data ? text.data : "", &line);
	if (by)
		rd->t->fetches = xasprintf("%s:%d: %s", script, line, by);
}

static void read_steps(struct harbor_reader *rd)
{
	const json_t *steps = json_object_get(rd->t->harbor, "steps"), *s;
	const json_t *verifier = json_object_get(rd->t->harbor, "verifier");
	size_t n = json_array_size(steps), i;

	rd->t->steps = xcalloc(n ? n : 1, sizeof *rd->t->steps);
	rd->t->steps_n = n ? n : 1;
	find_fetches(rd, "tests/test.sh");
	if (!n) {
		rd->t->steps[0].name = xstrdup("");
		rd->t->steps[0].instruction = read_instruction(rd, "instruction.md");
		if (!path_exists(rd->dir_fd, "tests/test.sh") &&
		    !has_own_image(rd, verifier, "tests"))
			issues_add(rd->m, "tests/test.sh", NULL, "is missing");
	}
	json_array_foreach (steps, i, s) {
		const char *name = json_get_str(s, "name", "");
		AUTO(free) char *instruction = xasprintf("steps/%s/instruction.md", name);
		AUTO(free) char *tests = xasprintf("steps/%s/tests", name);
		AUTO(free) char *script = xasprintf("%s/test.sh", tests);
		find_fetches(rd, script);
		rd->t->steps[i].name = xstrdup(name);
		rd->t->steps[i].instruction = read_instruction(rd, instruction);
		if (!path_exists(rd->dir_fd, script) && !path_exists(rd->dir_fd, "tests/test.sh") &&
		    !has_own_image(rd, json_object_get(s, "verifier"), tests) &&
		    !has_own_image(rd, verifier, "tests"))
			issues_add(rd->m, script, NULL, "is missing");
	}
}

/* As Harbor uploads them: what is packaging, and what a .harborignore (ARG: the patterns) names, stays behind. */
static bool skips(void *arg, const char *path)
{
	const char *name = path_base(path);

	return !strcmp(name, ".harborignore") || !strcmp(name, "__pycache__") ||
	       !strcmp(name, ".DS_Store") || dockerignore_matches(arg, path);
}

/* Only tests and solutions have such a file, those of steps too. */
static void read_ignored(const struct harbor_reader *rd, const char *tree, struct strv *patterns)
{
	static const char *const kinds[] = {"tests", "solution"};
	AUTO(free) char *own = path_join(tree, ".harborignore");

	if (!strcmp(tree, kinds[0]) || !strcmp(tree, kinds[1]))
		dockerignore_read_git(patterns, rd->dir_fd, own, "");
	for (size_t i = 0; !strcmp(tree, "steps") && i < rd->t->steps_n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			AUTO(free) char *below =
				xasprintf("%s/%s/", rd->t->steps[i].name, kinds[k]);
			AUTO(free) char *file = xasprintf("steps/%s.harborignore", below);
			dockerignore_read_git(patterns, rd->dir_fd, file, below);
		}
}

/* Each under its own name, so that a worker finds them in the snapshot as they are in the folder. */
static void read_tree(struct harbor_reader *rd, const char *name)
{
	struct filetree *app = &rd->t->files->app, one = {0};
	AUTO(strv) struct strv patterns = STRV_INIT;

	if (!path_is_dir(rd->dir_fd, name))
		return;
	read_ignored(rd, name, &patterns);
	filetree_scan(&one, rd->dir_fd, name, skips, &patterns, rd->m);
	filetree_graft(app, name, &one);
}

static void read_trees(struct harbor_reader *rd)
{
	static const char *const names[] = {"tests", "solution", "steps"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		read_tree(rd, names[i]);
	/* Without a Dockerfile nothing brings it into the image. */
	if (rd->t->docker_image && !path_exists(rd->dir_fd, "environment/Dockerfile"))
		read_tree(rd, "environment");
}

static void check_environment(struct harbor_reader *rd)
{
	const json_t *env = json_object_get(rd->t->harbor, "environment");
	const char *os = json_get_str(env, "os", "linux");

	if (!strcmp(os, "windows"))
		issues_add(rd->m, "task.toml", NULL,
			   "environment.os = \"windows\": this machine runs Linux containers only");
	if (json_array_size(json_object_get(env, "mcp_servers")) ||
	    json_is_string(json_object_get(env, "skills_dir")))
		issues_note(&rd->t->notes, "task.toml", NULL,
			    "MCP servers and skills are not handed to agents");
	if (json_get_int(env, "gpus", 0) > 0)
		issues_add(rd->m, "task.toml", NULL,
			   "environment.gpus: containers here are given no GPU");
	if (path_exists(rd->dir_fd, "environment/docker-compose.yaml"))
		issues_add(rd->m, "environment/docker-compose.yaml", NULL,
			   "tasks of several services (docker compose) cannot be run here yet");
	else if (!rd->t->docker_image && !path_exists(rd->dir_fd, "environment/Dockerfile"))
		issues_add(rd->m, "environment", NULL,
			   "has no Dockerfile, and task.toml no environment.docker_image");
}

/* What is not to be had here yet is refused before anything is paid for. */
static void check_verifiers(struct harbor_reader *rd)
{
	const json_t *steps = json_object_get(rd->t->harbor, "steps"), *s;
	const size_t n = json_array_size(steps);
	size_t i;

	/* There are two containers in a trial's life at most, one after the other. */
	json_array_foreach (steps, i, s) {
		const json_t *own = json_object_get(json_object_get(s, "verifier"), "separate");
		const json_t *all =
			json_object_get(json_object_get(rd->t->harbor, "verifier"), "separate");
		if (i + 1 < n && json_is_true(json_is_boolean(own) ? own : all))
			issues_add(rd->m, "task.toml", NULL,
				   "steps[%zu]: only the last step's verifier can have an "
				   "environment of its own here",
				   i);
	}
	if (path_exists(rd->dir_fd, "tests/docker-compose.yaml"))
		issues_add(rd->m, "tests/docker-compose.yaml", NULL,
			   "tasks of several services (docker compose) cannot be run here yet");
}

/* Paths inside. The workspace is the image's WORKDIR where nothing is said; the home is that of the user, once it is known. */
static const struct task_layout layout = {
	.app = "/",
	.repo = "/",
	.instructions = "/.rollouts/instruction.md",
	.notes = "/logs/agent/notes.md",
	.home = "/root",
	.results = "/logs/verifier",
};

static void take_facts(struct harbor_reader *rd)
{
	struct task *t = rd->t;
	const json_t *env = json_object_get(t->harbor, "environment");
	const char *name = json_get_str(t->harbor, "name", NULL);
	const char *image = json_get_str(env, "docker_image", NULL);
	const char *workdir = json_get_str(env, "workdir", NULL);
	const char *user = json_get_str(json_object_get(t->harbor, "agent"), "user", NULL);

	t->id = xstrdup(name ? name : path_base(t->dir));
	t->title = xstrdup(t->id);
	t->difficulty = xstrdup(json_get_str(t->harbor, "difficulty", NULL));
	t->tags = json_incref(json_object_get(t->harbor, "tags"));
	t->repo.git_url = xstrdup("");
	t->docker_image = xstrdup(image);
	t->has_dockerfile = !image && path_exists(rd->dir_fd, "environment/Dockerfile");
	t->has_gold =
		path_exists(rd->dir_fd, "solution/solve.sh") || path_is_dir(rd->dir_fd, "steps");
	if (workdir && (*workdir != '/' || strlen(workdir) >= TASK_PATH_MAX))
		issues_add(rd->m, "task.toml", NULL, "environment.workdir must be absolute");
	else if (workdir)
		snprintf(t->layout.repo, sizeof t->layout.repo, "%s", workdir);
	if (user)
		snprintf(t->layout.agent_user, sizeof t->layout.agent_user, "%s", user);
}

static int read_harbor(struct task *t, const struct task_source *src, int dir_fd, struct issues *m,
		       struct err *err)
{
	struct harbor_reader rd = {.t = t, .dir_fd = dir_fd, .m = m};
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(strv) struct strv wrong = STRV_INIT;

	t->layout = layout;
	if (!read_text(&rd, "task.toml", TOML_MAX, &text))
		return 0;
	t->harbor = harbor_contract_read(text.data, text.len, &wrong, &t->notes, &t->unknown);
	for (size_t i = 0; i < wrong.n; i++)
		issues_line(m, wrong.v[i]);
	if (!t->harbor)
		return 0;
	take_facts(&rd);
	read_steps(&rd);
	check_environment(&rd);
	check_verifiers(&rd);
	read_trees(&rd);
	if (t->has_dockerfile)
		task_context_digest(t, t->files->environment);
	return 0;
}

const struct task_format task_harbor = {.file = "task.toml", .read = read_harbor};
