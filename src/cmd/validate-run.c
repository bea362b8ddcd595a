/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/validate-run.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "rollout/session.h"

/* A benchmark of FOLDERS, in a file that is gone when it was read. */
static int write_config(char path[static 64], const struct strv *folders, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	AUTO(buf) struct buf text = BUF_INIT;

	snprintf(path, 64, "%.40s/validate-XXXXXX", tmp && strlen(tmp) <= 40 ? tmp : "/tmp");
	AUTO(fd) int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "make a file in %s", tmp ? tmp : "/tmp");
	buf_adds(&text, "name = \"validate\"\n");
	for (size_t i = 0; i < folders->n; i++) {
		char real[PATH_MAX];
		if (!realpath(folders->v[i], real))
			return err_set(err, ERR_USAGE, errno, "%s", folders->v[i]);
		AUTO(json) json_t *name = json_string(real);
		buf_adds(&text, "[[tasks]]\nprepared_dir = ");
		AUTO(free) char *quoted = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
		if (!quoted)
			return err_set(err, ERR_USAGE, 0, "%s: its path is no UTF-8",
				       folders->v[i]);
		buf_adds(&text, quoted);
		buf_adds(&text, "\n");
	}
	return path_write_all(fd, text.data, text.len, err);
}

/* No agent and no judge of the benchmark is started. */
static void leave_out_models(struct config_request *req)
{
	kvs_set(&req->settings, "agent", "nop");
	kvs_set(&req->settings, "rollouts", "1");
	req->grading_only = true;
	req->no_judge = true;
	req->limit = 0;
}

static void on_event(void *arg, const struct listener_event *e)
{
	if (e->kind == LISTENER_REMARK)
		fprintf(stderr, "%s\n", e->text);
}

int validate_tasks(json_t **out, const struct config_request *asked,
		   const struct grade_check_request *request, struct strv *problems,
		   struct err *err)
{
	const struct listener listener = {.tell = on_event};
	struct config_request req = *asked;
	struct inputs in;
	struct session s;

	/* The settings are another's to release: ours are added to a copy. */
	req.settings = (struct kvs){0};
	for (size_t i = 0; i < asked->settings.n; i++)
		kvs_set(&req.settings, asked->settings.v[i].key, asked->settings.v[i].value);
	leave_out_models(&req);
	int rc = inputs_load(&in, &req, NULL, problems, err);
	if (!rc)
		rc = session_create(&s, &in, &req, err);
	inputs_release(&in);
	if (!rc) {
		rc = grade_check_run(&s, &listener, request, out, err);
		session_undo(&s);
		session_close(&s);
	}
	kvs_release(&req.settings);
	return rc;
}

static void add_scores(struct buf *out, const char *name, const json_t *list)
{
	double low = INFINITY, high = -INFINITY;
	size_t i;
	json_t *v;

	json_array_foreach ((json_t *)list, i, v) {
		low = fmin(low, json_is_number(v) ? json_number_value(v) : NAN);
		high = fmax(high, json_is_number(v) ? json_number_value(v) : NAN);
	}
	if (!(low <= high))
		buf_addf(out, ", %s not scored", name);
	else if (low == high)
		buf_addf(out, ", %s %.3f (%zu of %zu)", name, low, json_array_size(list),
			 json_array_size(list));
	else
		buf_addf(out, ", %s %.3f to %.3f", name, low, high);
}

static void add_lines(struct buf *out, const char *dir, const char *what, const json_t *list)
{
	size_t i;
	json_t *line;

	json_array_foreach ((json_t *)list, i, line) {
		text_renders(out, dir, TEXT_TERMINAL_LINE);
		buf_addf(out, ": %s: ", what);
		text_renders(out, json_get_str(line, "text", ""), TEXT_TERMINAL_LINE);
		buf_addc(out, '\n');
	}
}

void validate_print(const json_t *tasks)
{
	AUTO(buf) struct buf out = BUF_INIT;
	size_t i;
	json_t *t;

	json_array_foreach ((json_t *)tasks, i, t) {
		const char *dir = json_get_str(t, "task_dir", "");
		const json_t *seconds = json_object_get(t, "evaluation_seconds");
		size_t n = json_array_size(json_object_get(t, "findings"));
		text_renders(&out, dir, TEXT_TERMINAL_LINE);
		buf_addf(&out, n ? ": %zu finding%s" : ": fine", n, n == 1 ? "" : "s");
		if (json_array_size(json_object_get(t, "oracle")))
			add_scores(&out, "oracle", json_object_get(t, "oracle"));
		add_scores(&out, "nop", json_object_get(t, "nop"));
		buf_addf(&out, ", a grading takes %.2f s (%.2f to %.2f)",
			 json_get_real(seconds, "median", 0), json_get_real(seconds, "min", 0),
			 json_get_real(seconds, "max", 0));
		n = json_object_size(json_object_get(t, "probes"));
		if (n)
			buf_addf(&out, ", %zu probes", n);
		buf_addc(&out, '\n');
		add_lines(&out, dir, "finding", json_object_get(t, "findings"));
		add_lines(&out, dir, "note", json_object_get(t, "notes"));
	}
	fwrite(out.data ? out.data : "", 1, out.len, stdout);
}

static void print_json(const json_t *tasks)
{
	AUTO(json) json_t *doc = json_object();
	AUTO(buf) struct buf out = BUF_INIT;

	json_put_int(doc, "v", 1);
	json_put_int(doc, "findings", (int64_t)grade_check_findings(tasks));
	json_put(doc, "tasks", json_incref((json_t *)tasks));
	json_format(&out, doc, true);
	printf("%s\n", out.data);
}

int cmd_validate_run(struct config_request *req, const struct strv *operands,
		     const struct grade_check_request *request, bool json)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *tasks = NULL;
	bool folders = path_is_dir(AT_FDCWD, operands->v[0]);
	char path[64] = "";
	struct err err;
	int rc = 0;

	AUTO(free) char *file = operand_file(operands->v[0]);
	req->path = file;
	if (!folders && operands->n > 1)
		rc = err_set(&err, ERR_USAGE, 0, "%s: one benchmark file, or task folders",
			     operands->v[1]);
	else if (folders)
		rc = write_config(path, operands, &err);
	if (!rc && folders)
		req->path = path;
	if (!rc)
		rc = validate_tasks(&tasks, req, request, &problems, &err);
	if (*path)
		unlink(path);
	req->path = NULL;
	if (rc)
		return cmd_refuse(&problems, &err);
	if (json)
		print_json(tasks);
	else
		validate_print(tasks);
	return grade_check_findings(tasks) ? 1 : CMD_OK;
}
