/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/gold.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

enum { GOLD_MAX = 256 << 20, DIFF_MAX = 16 << 20 };

struct reading {
	const char *path;
	struct strv *problems;
	size_t line;
};

static void complain(const struct reading *r, const char *what, const char *why)
{
	strv_pushf(r->problems, "%s:%zu: %s%s%s", r->path, r->line, what, *why ? ": " : "", why);
}

static char *copy(const json_t *j, const char *name)
{
	return xstrdup(json_get_str(j, name, ""));
}

/* Beside the file of examples. */
static char *read_diff_file(const struct reading *r, const char *name)
{
	const char *base = path_base(r->path);
	AUTO(free) char *folder = xstrndup(r->path, (size_t)(base - r->path));
	AUTO(free) char *path = *name == '/' ? xstrdup(name) : xasprintf("%s%s", folder, name);
	struct buf text = BUF_INIT;
	struct err err;

	if (path_read(AT_FDCWD, path, DIFF_MAX, &text, &err))
		complain(r, "diff_file", err.msg);
	return buf_detach(&text);
}

static void take_tests(struct gold_example *e, const json_t *tests)
{
	const char *path;
	json_t *v;

	if (!json_is_object(tests))
		return;
	e->tests = json_object();
	json_object_foreach ((json_t *)tests, path, v)
		json_put(e->tests, path, json_pack("{s:b}", "success", json_is_true(v)));
}

static void take_files(struct gold_example *e, const json_t *files)
{
	struct judge_files *f = &e->files;
	const char *path;
	json_t *v;

	json_object_foreach ((json_t *)files, path, v) {
		if (!json_is_string(v))
			continue;
		GROW(f->v, f->n, f->cap);
		f->v[f->n++] = (struct judge_file){.path = xstrdup(path),
						   .text = xstrdup(json_string_value(v)),
						   .len = strlen(json_string_value(v))};
	}
}

static void take_rubric(const struct reading *r, struct gold_example *e, const json_t *j)
{
	const json_t *criteria = json_object_get(j, "evaluation_criteria");
	const char *scale = json_get_str(j, "scale", "degrees");

	e->rubric = (struct task_rubric){
		.id = xstrdup(e->id),
		.criterion = copy(j, "criterion"),
		.weight = 1,
		.binary = strcmp(scale, "binary") == 0,
		.criteria = json_is_array(criteria) ? json_deep_copy(criteria) : NULL,
	};
	if (!*e->rubric.criterion)
		complain(r, "\"criterion\" is missing", "");
	if (!e->rubric.binary && strcmp(scale, "degrees") != 0)
		complain(r, "\"scale\" is neither \"binary\" nor \"degrees\"", "");
}

static void take(const struct reading *r, struct gold *out, const json_t *j)
{
	const json_t *human = json_object_get(j, "human");
	const char *file = json_get_str(j, "diff_file", NULL);
	AUTO(free) char *number = xasprintf("line %zu", r->line);

	GROW(out->v, out->n, out->cap);
	struct gold_example *e = &out->v[out->n++];
	*e = (struct gold_example){.id = xstrdup(json_get_str(j, "id", number)),
				   .kind = copy(j, "kind"),
				   .instruction = copy(j, "instruction"),
				   .diff = file ? read_diff_file(r, file) : copy(j, "diff"),
				   .human = json_is_true(human) ? 1 : json_number_value(human)};
	take_rubric(r, e, j);
	take_tests(e, json_object_get(j, "tests"));
	take_files(e, json_object_get(j, "files"));
	if (!json_is_boolean(human) &&
	    (!json_is_number(human) || !(e->human >= 0 && e->human <= 1)))
		complain(r, "\"human\" is neither true nor false nor a number from 0 to 1", "");
	if (!file && !json_is_string(json_object_get(j, "diff")))
		complain(r, "there is neither \"diff\" nor \"diff_file\"", "");
}

int gold_read(struct gold *out, const char *path, struct strv *problems, struct err *err)
{
	struct reading r = {.path = path, .problems = problems};
	AUTO(buf) struct buf text = BUF_INIT;
	size_t before = problems->n;

	*out = (struct gold){0};
	if (path_read(AT_FDCWD, path, GOLD_MAX, &text, err)) {
		err->kind = ERR_USAGE;
		return err_wrap(err, "%s", path);
	}
	for (char *line = text.data, *end; *line; line = *end ? end + 1 : end) {
		AUTO(json) json_t *j = NULL;
		struct err why;

		end = strchrnul(line, '\n');
		r.line++;
		if (strspn(line, " \t\r") == (size_t)(end - line))
			continue;
		if (json_parse(&j, line, (size_t)(end - line), "the line", &why))
			complain(&r, why.msg, "");
		else if (!json_is_object(j))
			complain(&r, "not a JSON object", "");
		else
			take(&r, out, j);
	}
	if (problems->n > before)
		return err_set(err, ERR_USAGE, 0, "%s: %zu mistakes", path, problems->n - before);
	return out->n ? 0 : err_set(err, ERR_USAGE, 0, "%s: holds no example", path);
}

void gold_release(struct gold *g)
{
	for (size_t i = 0; i < g->n; i++) {
		struct gold_example *e = &g->v[i];
		free(e->id);
		free(e->kind);
		free(e->instruction);
		free(e->diff);
		free(e->rubric.id);
		free(e->rubric.criterion);
		json_decref(e->rubric.criteria);
		json_decref(e->tests);
		judge_files_release(&e->files);
	}
	free(g->v);
	*g = (struct gold){0};
}
