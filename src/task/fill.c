/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/fill.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "git/git.h"
#include "task/source.h"

#define MAX_NAME 200
#define MAX_WEIGHT 1e6
#define MAX_TIMEOUT_SEC (7 * 24 * 3600)

struct fill {
	struct task *t;
	struct task_step *step; /* its only one */
	const struct resolved *r;
	int dir_fd;
	struct issues *m;
};

/* The string of KEY (its member INNER), copied; NULL when absent, empty or misshapen. */
static char *get_string(const struct fill *f, const char *key, const char *inner)
{
	const json_t *from = inner ? json_object_get(f->r->v, key) : f->r->v;
	const char *s = json_get_str(from, inner ? inner : key, NULL);

	return s && *s ? xstrdup(s) : NULL;
}

/* Whether something was written there that is wrong already. */
static bool is_misshapen(const struct fill *f, const char *key, const char *inner)
{
	const json_t *v = json_object_get(f->r->v, key);

	if (inner)
		v = json_object_get(v, inner);
	return v && !json_is_null(v) && !json_is_string(v);
}

static const char *place(const struct fill *f, const char *key, const char *inner,
			 const char *fallback)
{
	return resolved_place(f->r, key, inner, fallback);
}

/* An issue of member KEY of the list item at WHERE. */
static void add_in_item(const struct fill *f, const char *where, const char *key, const char *fmt,
			...) __attribute__((format(printf, 4, 5)));

static void add_in_item(const struct fill *f, const char *where, const char *key, const char *fmt,
			...)
{
	AUTO(free) char *file = xasprintf("%s.%s", where, key);
	char message[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	issues_add(f->m, file, NULL, "%s", message);
}

static bool has_control(const char *s)
{
	for (; *s; s++)
		if (iscntrl((unsigned char)*s))
			return true;
	return false;
}

static void check_name(struct fill *f, const char *where, const char *name)
{
	if (strlen(name) > MAX_NAME || has_control(name))
		issues_add(f->m, where, NULL, "must be one line of at most %d bytes", MAX_NAME);
}

static bool is_blank(const char *s)
{
	return !s[strspn(s, " \t\r\n")];
}

static void fill_names(struct fill *f)
{
	struct task *t = f->t;
	json_t *tags = json_object_get(f->r->v, "tags");

	t->id = get_string(f, "id", NULL);
	t->title = get_string(f, "title", NULL);
	if (t->id)
		check_name(f, place(f, "id", NULL, ""), t->id);
	else if (!is_misshapen(f, "id", NULL))
		issues_add(f->m, TASK_META_FILE, AT(NULL, "task_id"), "is missing");
	if (t->title && (has_control(t->title) || strlen(t->title) > 1000))
		issues_add(f->m, place(f, "title", NULL, ""), NULL,
			   "must be one line of at most 1000 bytes");
	if (!t->title)
		t->title = xstrdup(t->id);
	/* Free of form in other writers' tasks: what is no word is none to choose by. */
	const json_t *difficulty = json_object_get(f->r->v, "difficulty");
	if (json_is_string(difficulty))
		t->difficulty = xstrdup(json_string_value(difficulty));
	else if (json_is_integer(difficulty))
		t->difficulty = xasprintf("%lld", (long long)json_integer_value(difficulty));
	t->cluster = get_string(f, "cluster", NULL);
	if (t->cluster)
		check_name(f, place(f, "cluster", NULL, ""), t->cluster);
	if (json_is_array(tags))
		t->tags = json_deep_copy(tags);
}

static void fill_instruction(struct fill *f)
{
	const char *where = place(f, "instruction", NULL, TASK_META_FILE ": lm.instructions");

	f->step->instruction = get_string(f, "instruction", NULL);
	if (is_misshapen(f, "instruction", NULL))
		return;
	if (!f->step->instruction || is_blank(f->step->instruction))
		issues_add(f->m, where, NULL,
			   "no instruction; write overlay_files/" TASK_INSTRUCTIONS_FILE);
	else if (strlen(f->step->instruction) > TASK_MAX_INSTRUCTION)
		issues_add(f->m, where, NULL, "larger than 1 MiB");
}

/* It goes to the engine's client and into a URL. */
static void fill_image(struct fill *f)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@";
	char *name = get_string(f, "docker_image", NULL);

	f->t->docker_image = name;
	if (name && (!*name || *name == '-' || strlen(name) > 255 || name[strspn(name, allowed)]))
		issues_add(f->m, place(f, "docker_image", NULL, ""), NULL,
			   "is not the name of an image, such as debian:bookworm or "
			   "registry.example/me/image@sha256:...");
}

/* Pinned now: a later commit there must not change a benchmark half way. */
static int pin(struct fill *f, const char *where, struct err *err)
{
	struct task_repo *repo = &f->t->repo;
	const char *key = repo->start_commit ? "start_commit_sha"
			  : repo->branch     ? "branch"
					     : "git_url";
	struct err why = {0};
	char *id;

	if (!source_pin(&id, repo->git_url, repo->branch, repo->start_commit, &why)) {
		free(repo->start_commit);
		repo->start_commit = id;
		source_look_for_hollow(&f->t->hollow, repo->git_url, id, repo->submodules);
		return 0;
	}
	if (why.kind != ERR_USAGE) {
		*err = why;
		return -1;
	}
	issues_add(f->m, place(f, "repo", key, where), NULL, "%s", why.msg);
	return 0;
}

static int fill_url(struct fill *f, struct err *err)
{
	const char *where = place(f, "repo", "git_url", TASK_META_FILE ": repo.git_url");
	AUTO(free) char *written = get_string(f, "repo", "git_url");
	struct task_repo *repo = &f->t->repo;
	struct err why = {0};
	bool local;

	if (!written) {
		if (!is_misshapen(f, "repo", "git_url"))
			issues_add(f->m, where, NULL, "is missing");
		return 0;
	}
	if (source_resolve(&repo->git_url, &local, written, f->t->dir, &why)) {
		issues_add(f->m, where, NULL, "%s", why.msg);
		return 0;
	}
	if (local)
		return pin(f, where, err);
	if (repo->start_commit && git_is_full_id(repo->start_commit))
		return 0;
	/* Nothing is fetched before the run: what a name or a short id means there is not known
	 * yet. */
	if (repo->start_commit)
		issues_add(f->m, place(f, "repo", "start_commit_sha", where), NULL,
			   "\"%s\" is not a full commit id, which a remote repository needs",
			   repo->start_commit);
	return 0;
}

static void fill_ref(struct fill *f, const char *key, char **out)
{
	const char *why;

	*out = get_string(f, "repo", key);
	/* The older system writes HEAD where no commit was named: the tip of the branch. */
	if (*out && !strcmp(*out, "HEAD"))
		free(STEAL(out));
	why = *out ? source_name_issue(*out) : NULL;
	if (why)
		issues_add(f->m, place(f, "repo", key, TASK_META_FILE), NULL, "\"%s\" %s", *out,
			   why);
}

/* Full ids are compared as text. */
static void lower_id(char *id)
{
	if (id && strlen(id) >= 40 && strspn(id, "0123456789abcdefABCDEF") == strlen(id))
		for (char *p = id; *p; p++)
			*p = (char)tolower((unsigned char)*p);
}

/* Drop a leading "./" and trailing slashes; NULL for what means the whole tree. */
static char *plain_dir(const char *path)
{
	while (path[0] == '.' && path[1] == '/')
		path += 2 + strspn(path + 2, "/");
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	return !len || !strcmp(path, ".") ? NULL : xstrndup(path, len);
}

static void fill_subdir(struct fill *f)
{
	AUTO(free) char *written = get_string(f, "repo", "subdir");

	f->t->repo.subdir = written ? plain_dir(written) : NULL;
	if (!f->t->repo.subdir)
		return;
	AUTO(free) char *why = path_issue(f->t->repo.subdir, "the repository");
	if (why)
		issues_add(f->m, place(f, "repo", "subdir", TASK_META_FILE), NULL, "%s", why);
}

static void fill_path(struct fill *f)
{
	AUTO(free) char *written = get_string(f, "repo", "path");
	AUTO(free) char *path = written ? plain_dir(written) : NULL;
	const char *why = path ? task_layout_set_repo(&f->t->layout, path) : NULL;

	if (why)
		issues_add(f->m, place(f, "repo", "path", TASK_META_FILE), NULL,
			   "the repository cannot be at \"%s\" in the sandbox: %s", path, why);
}

/* Patterns name things by components; ".." in one leaves the tree whatever the rest says. Those of
 * a sparse checkout may be negated, and rooted by a slash. */
static const char *pattern_issue(const char *pattern, bool sparse)
{
	if (sparse)
		pattern += *pattern == '!';
	if (sparse)
		pattern += *pattern == '/';
	if (is_blank(pattern))
		return "is empty";
	if (has_control(pattern))
		return "holds a control character";
	if (*pattern == '/')
		return "is absolute, which leaves the repository";
	for (const char *p = pattern; *p;) {
		size_t n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.')
			return "leaves the repository";
		p += n + (p[n] == '/');
	}
	return path_is_inside(pattern) ? NULL : "is not a plain relative path or pattern";
}

static void fill_patterns(struct fill *f, struct strv *out, const json_t *list, const char *where,
			  bool sparse)
{
	size_t i;
	json_t *item;

	json_array_foreach ((json_t *)list, i, item) {
		const char *pattern = json_string_value(item);
		if (!pattern)
			continue;
		while (!sparse && pattern[0] == '.' && pattern[1] == '/')
			pattern += 2;
		const char *why = pattern_issue(pattern, sparse);
		if (why) {
			AUTO(free) char *file = xasprintf("%s[%zu]", where, i);
			issues_add(f->m, file, NULL, "\"%s\" %s", pattern, why);
		}
		strv_push(out, pattern);
	}
}

static int fill_repo(struct fill *f, struct err *err)
{
	struct task_repo *repo = &f->t->repo;
	size_t before = f->m->n;

	fill_ref(f, "branch", &repo->branch);
	fill_ref(f, "start_commit_sha", &repo->start_commit);
	lower_id(repo->start_commit);
	repo->end_commit = get_string(f, "repo", "end_commit_sha");
	fill_subdir(f);
	fill_path(f);
	repo->submodules = json_get_bool(json_object_get(f->r->v, "repo"), "submodules", false);
	fill_patterns(f, &repo->sparse,
		      json_object_get(json_object_get(f->r->v, "repo"), "sparse_checkout"),
		      place(f, "repo", "sparse_checkout", ""), true);
	fill_patterns(f, &repo->remove, json_object_get(f->r->v, "remove_repo_paths"),
		      place(f, "remove_repo_paths", NULL, ""), false);
	/* Names that are wrong in themselves need no looking up. */
	if (f->m->n != before)
		free(STEAL(&repo->start_commit));
	return fill_url(f, err);
}

static void rubric_issues(struct fill *f, const char *where, const struct task_rubric *rubric,
			  const json_t *item, size_t i)
{
	if (!rubric->id)
		add_in_item(f, where, "id", "is missing");
	else
		check_name(f, where, rubric->id);
	const char *scale = json_get_str(item, "scale", NULL);
	const bool points = json_object_get(item, "points");
	if (points && json_object_get(item, "weight"))
		add_in_item(f, where, "points", "stands beside a weight; give one of them");
	else if (!points && !json_is_number(json_object_get(item, "weight")))
		add_in_item(f, where, "weight", "is missing");
	else if (rubric->weight > MAX_WEIGHT || rubric->weight < -MAX_WEIGHT)
		add_in_item(f, where, points ? "points" : "weight", "must be at most %g",
			    MAX_WEIGHT);
	if (scale && strcmp(scale, "binary") != 0 && strcmp(scale, "degrees") != 0)
		add_in_item(f, where, "scale",
			    "is \"%.40s\": write \"binary\" (met or not met) or "
			    "\"degrees\"",
			    scale);
	for (size_t k = 0; rubric->id && k < i; k++)
		if (f->step->rubrics[k].id && !strcmp(f->step->rubrics[k].id, rubric->id))
			add_in_item(f, where, "id", "\"%s\" is a duplicate", rubric->id);
}

static char *item_string(const json_t *item, const char *key)
{
	const char *s = json_get_str(item, key, NULL);

	return s && *s ? xstrdup(s) : NULL;
}

static void fill_rubrics(struct fill *f)
{
	const json_t *list = json_object_get(f->r->v, "rubrics");
	const char *from = place(f, "rubrics", NULL, "");
	double sum = 0;
	json_t *item;
	size_t i;

	f->step->rubrics_n = json_array_size(list);
	f->step->rubrics = xcalloc(f->step->rubrics_n + 1, sizeof *f->step->rubrics);
	json_array_foreach ((json_t *)list, i, item) {
		struct task_rubric *rubric = &f->step->rubrics[i];
		json_t *criteria = json_object_get(item, "evaluation_criteria");
		AUTO(free) char *where = xasprintf("%s[%zu]", from, i);
		rubric->id = item_string(item, "id");
		rubric->criterion = xstrdup(json_get_str(item, "criterion", ""));
		/* Points are given, or taken, where a criterion is met: the weight of one that is binary. */
		const bool points = json_object_get(item, "points");
		rubric->weight = json_get_real(item, points ? "points" : "weight", 0);
		rubric->binary =
			strcmp(json_get_str(item, "scale", points ? "binary" : ""), "binary") == 0;
		rubric->criteria = json_is_array(criteria) ? json_deep_copy(criteria) : NULL;
		sum += rubric->weight > 0 ? rubric->weight : 0;
		if (!f->r->bad_shapes)
			rubric_issues(f, where, rubric, item, i);
	}
	if (f->step->rubrics_n && !(sum > 0) && !f->r->bad_shapes)
		issues_add(f->m, from, NULL, "no weight is above 0; give one rubric a weight");
}

static bool has_rubric(const struct task_step *s, const char *id)
{
	for (size_t i = 0; i < s->rubrics_n; i++)
		if (s->rubrics[i].id && !strcmp(s->rubrics[i].id, id))
			return true;
	return false;
}

/* Without "content" a script lies in evaluation/ under its path. */
static void fill_content(struct fill *f, const char *where, struct task_test *test,
			 const json_t *item)
{
	const json_t *content = json_object_get(item, "content");
	AUTO(buf) struct buf text = BUF_INIT;
	struct err err = {0};

	if (json_is_string(content)) {
		test->content_len = json_string_length(content);
		test->content = xmalloc(test->content_len + 1);
		memcpy(test->content, json_string_value(content), test->content_len + 1);
		return;
	}
	AUTO(free) char *path = path_join("evaluation", test->path);
	if (path_read_beneath(f->dir_fd, path, TASK_MAX_TEST, &text, &err)) {
		if (err.sys == ENOENT)
			add_in_item(f, where, "content", "is missing, and so is the file %s", path);
		else
			issues_add(f->m, path, NULL, "cannot be read: %s", err.msg);
	} else if (!text_is_utf8(text.data, text.len)) {
		issues_add(f->m, path, NULL, "must be UTF-8 text");
	}
	test->content_len = text.len;
	test->content = buf_detach(&text);
}

/* Whether TEXT of a shell, or of python, does something: more than blanks and comments. */
static bool does_something(const char *text)
{
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		const char *word = p + strspn(p, " \t\r\f\v");
		if (*word && *word != '\n' && *word != '#')
			return true;
	}
	return false;
}

/* Scripts that would pass whatever an agent did, or fail whatever it did. */
static void content_issues(const struct fill *f, const char *where, const struct task_test *test)
{
	const char *line = strchrnul(test->content, '\n');
	bool interpreted = !strncmp(test->content, "#!", 2);
	bool is_shell = text_ends_with(test->path, ".sh");
	AUTO(free) char *interpreter =
		xstrndup(test->content, interpreted ? (size_t)(line - test->content) : 0);
	bool known = is_shell || text_ends_with(test->path, ".py") || strstr(interpreter, "/sh") ||
		     strstr(interpreter, "bash") || strstr(interpreter, "python");

	if (test->command && !does_something(test->command))
		add_in_item(f, where, "command", "does nothing, so it would always pass");
	if ((interpreted && line > test->content && line[-1] == '\r') ||
	    (is_shell && strstr(test->content, "\r\n")))
		add_in_item(f, where, "content",
			    "%s has Windows line ends (CRLF), which no shell here can read: "
			    "convert it, with dos2unix for example",
			    test->path);
	if ((is_shell || !test->command) && !strncmp(test->content, "\xef\xbb\xbf", 3) &&
	    !text_ends_with(test->path, ".py"))
		add_in_item(f, where, "content",
			    "%s begins with a byte order mark, which no shell here can read",
			    test->path);
	if (!test->command && known && !does_something(test->content))
		add_in_item(f, where, "content", "%s holds no command, only blanks or comments",
			    test->path);
}

static bool same_content(const struct task_test *a, const struct task_test *b)
{
	return a->content && b->content && a->content_len == b->content_len &&
	       !memcmp(a->content, b->content, a->content_len);
}

static const char *twin_issue(const struct fill *f, size_t i)
{
	const struct task_test *test = &f->step->tests[i];

	for (size_t k = 0; k < i; k++) {
		const struct task_test *other = &f->step->tests[k];
		if (!other->path || strcmp(other->path, test->path))
			continue;
		if (!same_content(test, other))
			return "is written by two scripts of different content";
		if (test->rubric_id && other->rubric_id &&
		    !strcmp(test->rubric_id, other->rubric_id))
			return "is there twice for one rubric";
	}
	return NULL;
}

static void test_issues(struct fill *f, const char *where, size_t i, double timeout_sec)
{
	const struct task_test *test = &f->step->tests[i];
	const char *twin = test->path ? twin_issue(f, i) : NULL;

	if (!test->rubric_id)
		add_in_item(f, where, "rubric_id", "is missing");
	else if (!has_rubric(f->step, test->rubric_id))
		add_in_item(
			f, where, "rubric_id",
			"\"%s\" is not a rubric of %s; add it there or override test_scripts too",
			test->rubric_id, place(f, "rubrics", NULL, "the task, which has none"));
	if (twin)
		add_in_item(f, where, "path", "\"%s\" %s", test->path, twin);
	if (timeout_sec > MAX_TIMEOUT_SEC)
		add_in_item(f, where, "timeout_sec", "must be at most %d", MAX_TIMEOUT_SEC);
}

static void fill_test(struct fill *f, const char *where, size_t i, const json_t *item)
{
	struct task_test *test = &f->step->tests[i];
	double timeout_sec = json_get_real(item, "timeout_sec", 0);
	size_t before = f->m->n;

	test->path = item_string(item, "path");
	test->rubric_id = item_string(item, "rubric_id");
	test->command = item_string(item, "command");
	test->partial_credit = json_get_bool(item, "partial_credit", false);
	test->tracing = json_get_bool(item, "tracing", false);
	test->timeout_ms = timeout_sec <= MAX_TIMEOUT_SEC ? (int64_t)(timeout_sec * 1000) : 0;
	AUTO(free) char *why = path_issue(test->path ? test->path : "", "the repository");
	if (why)
		add_in_item(f, where, "path", "%s", test->path ? why : "is missing");
	else
		fill_content(f, where, test, item);
	if (!why && f->m->n == before)
		content_issues(f, where, test);
	if (!f->r->bad_shapes)
		test_issues(f, where, i, timeout_sec);
}

static void fill_tests(struct fill *f)
{
	const json_t *list = json_object_get(f->r->v, "test_scripts");
	const char *from = place(f, "test_scripts", NULL, "");
	json_t *item;
	size_t i;

	f->step->tests_n = json_array_size(list);
	f->step->tests = xcalloc(f->step->tests_n + 1, sizeof *f->step->tests);
	json_array_foreach ((json_t *)list, i, item) {
		AUTO(free) char *where = xasprintf("%s[%zu]", from, i);
		fill_test(f, where, i, item);
	}
}

static void fill_env(struct fill *f)
{
	const json_t *variables = json_object_get(f->r->v, "environment_variables");
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)variables, name, value) {
		AUTO(free) char *number = NULL;
		if (json_is_integer(value))
			number = xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
		if (number || json_is_string(value))
			kvs_set(&f->t->env, name, number ? number : json_string_value(value));
	}
	if (kvs_get(&f->t->env, "HOME"))
		strv_pushf(&f->t->notes,
			   "HOME has no effect: it is %s in every sandbox, for agent and tests",
			   f->t->layout.home);
}

int task_fill(struct task *t, const struct resolved *r, int dir_fd, struct issues *m,
	      struct err *err)
{
	struct fill f = {t, &t->steps[0], r, dir_fd, m};

	fill_names(&f);
	fill_instruction(&f);
	fill_image(&f);
	fill_rubrics(&f);
	fill_tests(&f);
	fill_env(&f);
	return fill_repo(&f, err);
}
