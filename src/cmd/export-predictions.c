/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/export-work.h"
#include "core/datadir.h"
#include "eval/tamper.h"
#include "model/transcript.h"
#include "task/task.h"

enum { FILE_MAX = 512 << 20, TOLD_MAX = 20 };

/* One prediction: what a trial's agent changed, without what is meant for the tests. */
struct prediction {
	const struct summary_row *row;
	json_t *patch; /* a string */
};

/* Those of one model and one rollout of each task: no task is in it twice. */
struct batch {
	char *model,
		*file; /* FILE: the same as a file's name, with the rollout where there are several */
	struct prediction *v;
	size_t n, cap, missing;
};

struct batches {
	const struct export_work *w;
	struct batch *v;
	size_t n, cap;
	struct task task; /* the one looked at last */
	const char *snapshot;
	struct strv gold; /* files that its own solution changes */
	size_t told;
};

char *export_model(const struct summary *s, const struct summary_row *row)
{
	const struct summary_condition *c = &s->conditions[row->condition];
	AUTO(buf) struct buf name = BUF_INIT;

	buf_adds(&name, *c->model ? c->model : c->agent);
	if (*c->model && s->agents_n > 1)
		buf_addf(&name, "+%s", c->agent);
	if (*c->label)
		buf_addf(&name, "+%s", c->label);
	return buf_detach(&name);
}

/* As SWE-bench writes such a name into paths. */
static char *file_name(const char *model, size_t rollout, bool several)
{
	AUTO(buf) struct buf name = BUF_INIT;

	for (; *model; model++)
		if (*model == '/')
			buf_adds(&name, "__");
		else
			buf_addc(&name, isalnum((unsigned char)*model) || strchr("+-._@", *model)
						? *model
						: '_');
	if (name.len && *name.data == '.')
		*name.data = '_';
	if (several)
		buf_addf(&name, ".rollout-%zu", rollout + 1);
	return buf_detach(&name);
}

static struct batch *batch_of(struct batches *all, const struct summary_row *row, size_t rollout,
			      bool several)
{
	AUTO(free) char *model = export_model(all->w->summary, row);
	AUTO(free) char *file = file_name(model, rollout, several);

	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->v[i].file, file) && !strcmp(all->v[i].model, model))
			return &all->v[i];
	GROW(all->v, all->n, all->cap);
	struct batch *b = &all->v[all->n++];
	*b = (struct batch){.model = xstrdup(model), .file = xstrdup(file)};
	return b;
}

static void tell(struct batches *all, const char *text)
{
	if (all->told++ < TOLD_MAX)
		cmd_warn(text);
}

static void load_task(struct batches *all, const char *snapshot)
{
	AUTO(free) char *gold = path_join(snapshot, SNAPSHOT_GOLD);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err err;

	if (all->snapshot && !strcmp(all->snapshot, snapshot))
		return;
	task_release(&all->task);
	strv_release(&all->gold);
	all->snapshot = snapshot;
	if (task_load(&all->task, all->w->root_fd, snapshot, &err)) {
		all->task = (struct task){0};
		AUTO(free)
		char *line =
			xasprintf("%s: files that are its tests' could not be left out", err.msg);
		tell(all, line);
	} else if (all->task.has_gold && !path_read(all->w->root_fd, gold, FILE_MAX, &text, &err) &&
		   text.len) {
		tamper_paths(&all->gold, text.data, text.len);
	}
}

/* What is meant for the tests would be refused, or counted, elsewhere. */
static json_t *patch_of(struct batches *all, const struct summary_row *row, const struct buf *diff)
{
	struct tamper t = {0};
	const struct buf *patch = diff;
	json_t *j = json_object();

	load_task(all, row->status->shared->task_snapshot);
	if (all->task.steps_n && diff->len)
		tamper_look(&t, &all->task.steps[0], &all->gold, diff->data, diff->len);
	if (t.left_out)
		patch = &t.clean;
	for (size_t i = 0; t.left_out && i < t.evidence.n; i++) {
		AUTO(free)
		char *line =
			xasprintf("%s %s: left out of its patch: %s", row->status->shared->task_id,
				  RUN_ID(row->status), t.evidence.v[i]);
		tell(all, line);
	}
	json_put_strn(j, "patch", patch->data ? patch->data : "", patch->len);
	json_t *text = json_incref(json_object_get(j, "patch"));
	json_decref(j);
	tamper_release(&t);
	return text;
}

static bool has_work(const struct summary_row *row)
{
	const struct trial_status *t = row->status;

	return t->has_result && !trial_excluded(t) &&
	       !outcome_is_missing((enum outcome)t->result.outcome);
}

static int add(struct batches *all, struct batch *b, const struct summary_row *row, struct err *err)
{
	const struct trial_status *t = row->status;
	AUTO(free)
	char *path = datadir_attempt_file(RUN_ID(t), (int)t->result.attempt, ATTEMPT_DIFF);
	AUTO(buf) struct buf diff = BUF_INIT;

	if (path_read_beneath(all->w->root_fd, path, FILE_MAX, &diff, err))
		return err_wrap(err, "the patch of %s", RUN_ID(t));
	GROW(b->v, b->n, b->cap);
	b->v[b->n++] = (struct prediction){row, patch_of(all, row, &diff)};
	return 0;
}

/* Which of the rollouts of a task are taken, before anybody looks at what they scored. */
static int take_cell(struct batches *all, const struct summary_cell *cell, bool several,
		     struct err *err)
{
	const struct summary *s = all->w->summary;
	bool taken = false;

	for (size_t i = 0; i < cell->tally.planned; i++) {
		const struct summary_row *row = &s->rows[cell->first + i];
		if (all->w->pick && taken)
			break;
		struct batch *b = batch_of(all, row, i, several);
		if (!has_work(row)) {
			b->missing += !all->w->pick || i + 1 == cell->tally.planned;
			continue;
		}
		taken = true;
		if (add(all, b, row, err))
			return -1;
	}
	return 0;
}

static void batches_release(struct batches *all)
{
	for (size_t i = 0; i < all->n; i++) {
		for (size_t k = 0; k < all->v[i].n; k++)
			json_decref(all->v[i].v[k].patch);
		free(all->v[i].v);
		free(all->v[i].model);
		free(all->v[i].file);
	}
	free(all->v);
	task_release(&all->task);
	strv_release(&all->gold);
}

static int gather(struct batches *all, struct err *err)
{
	const struct summary *s = all->w->summary;
	bool several = false;

	if (all->w->pick && strcmp(all->w->pick, "first") != 0)
		return err_set(err, ERR_USAGE, 0,
			       "--pick %s: it can only be \"first\": whoever picks by the score "
			       "measures something else",
			       all->w->pick);
	for (size_t i = 0; i < s->cells_n; i++)
		several |= s->cells[i].tally.planned > 1;
	for (size_t i = 0; i < s->cells_n; i++)
		if (take_cell(all, &s->cells[i], several && !all->w->pick, err))
			return -1;
	return 0;
}

static void tell_sums(const struct batches *all)
{
	if (all->told > TOLD_MAX) {
		AUTO(free) char *more =
			xasprintf("and %zu more lines like these", all->told - TOLD_MAX);
		cmd_warn(more);
	}
	for (size_t i = 0; i < all->n; i++) {
		const struct batch *b = &all->v[i];
		AUTO(buf) struct buf line = BUF_INIT;
		buf_addf(&line, "%s: %zu prediction%s", b->file, b->n, b->n == 1 ? "" : "s");
		if (b->missing)
			buf_addf(&line, "; %zu trial%s without a result left out", b->missing,
				 b->missing == 1 ? "" : "s");
		cmd_warn(line.data);
	}
}

static void put_prediction(struct buf *out, const struct batches *all, const struct batch *b,
			   const struct prediction *p)
{
	AUTO(json) json_t *j = json_object();

	json_put_str(j, "instance_id", summary_task_name(all->w->summary, p->row));
	json_put_str(j, "model_name_or_path", b->model);
	json_put(j, "model_patch", json_incref(p->patch));
	json_format(out, j, false);
}

static void put_batch(struct buf *out, const struct batches *all, const struct batch *b, bool list)
{
	buf_adds(out, list ? "[\n" : "");
	for (size_t i = 0; i < b->n; i++) {
		put_prediction(out, all, b, &b->v[i]);
		buf_adds(out, list && i + 1 < b->n ? ",\n" : "\n");
	}
	buf_adds(out, list ? "]\n" : "");
}

static bool ends(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && !strcmp(text + n - k, end);
}

static int write_in(const char *folder, const char *name, const struct buf *text, struct err *err)
{
	AUTO(free) char *path = path_join(folder, name), *above = path_folder(path);

	return path_make_dirs(AT_FDCWD, above, 0755, err) ||
			       path_write(AT_FDCWD, path, text->data ? text->data : "", text->len,
					  0644, false, err)
		       ? -1
		       : 0;
}

static int write_one(const struct batches *all, struct err *err)
{
	const char *output = all->w->output;
	AUTO(buf) struct buf text = BUF_INIT;

	if (all->n > 1)
		return err_set(err, ERR_USAGE, 0,
			       "%zu files of predictions, one for each model and rollout: --output "
			       "FOLDER%s",
			       all->n, all->w->pick ? "" : ", or --pick first");
	put_batch(&text, all, &all->v[0], output && ends(output, ".json"));
	if (output)
		return path_write(AT_FDCWD, output, text.data, text.len, 0644, false, err);
	if (fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout))
		return err_set(err, ERR_INFRA, 0, "cannot write to standard output");
	return 0;
}

static int write_predictions(const struct batches *all, struct err *err)
{
	const char *output = all->w->output;

	if (!output || ends(output, ".jsonl") || ends(output, ".json"))
		return write_one(all, err);
	for (size_t i = 0; i < all->n; i++) {
		AUTO(free) char *name = xasprintf("%s.jsonl", all->v[i].file);
		AUTO(buf) struct buf text = BUF_INIT;
		put_batch(&text, all, &all->v[i], false);
		if (write_in(output, name, &text, err))
			return -1;
	}
	return 0;
}

int export_predictions(const struct export_work *w, struct err *err)
{
	struct batches all = {.w = w};
	int status = gather(&all, err) || write_predictions(&all, err) ? -1 : 0;

	if (!status)
		tell_sums(&all);
	batches_release(&all);
	return status;
}

static bool is_solved(const struct summary_row *row)
{
	return row->status->result.scored && row->status->result.total_score >= 1;
}

/* Append FILE of the run that P is of; nothing where there is none. */
static void read_file(const struct batches *all, const struct prediction *p, const char *file,
		      struct buf *out)
{
	const struct trial_status *t = p->row->status;
	AUTO(free) char *path = datadir_attempt_file(RUN_ID(t), (int)t->result.attempt, file);
	struct err none;

	if (path_read_beneath(all->w->root_fd, path, FILE_MAX, out, &none))
		buf_reset(out);
}

/* The conversation with the model, else what the agent printed. */
static void trajectory(const struct batches *all, const struct prediction *p, struct buf *out)
{
	AUTO(buf) struct buf recording = BUF_INIT;
	struct err none;

	read_file(all, p, ATTEMPT_RECORDING, &recording);
	if (recording.len && !transcript_make(out, &recording, &none))
		return;
	buf_reset(out);
	read_file(all, p, ATTEMPT_AGENT_LOG, out);
}

static int write_instance(const struct batches *all, const char *folder, const struct prediction *p,
			  struct err *err)
{
	const char *id = summary_task_name(all->w->summary, p->row);
	AUTO(free) char *base = file_name(id, 0, false), *traj = xasprintf("trajs/%s.traj", base);
	AUTO(free) char *logs = xasprintf("%s/logs/%s", folder, base);
	AUTO(buf) struct buf report = BUF_INIT, log = BUF_INIT, said = BUF_INIT;
	AUTO(json) json_t *j = json_object();
	json_t *one = json_object();
	const struct buf patch = {.data = (char *)json_string_value(p->patch),
				  .len = json_string_length(p->patch)};

	json_put_bool(one, "patch_is_None", false);
	json_put_bool(one, "patch_exists", patch.len > 0);
	json_put_bool(one, "resolved", is_solved(p->row));
	json_put_real(one, "score", p->row->status->result.total_score);
	json_put(j, id, one);
	json_format(&report, j, true);
	buf_addc(&report, '\n');
	read_file(all, p, ATTEMPT_EVAL_LOG, &log);
	trajectory(all, p, &said);
	return write_in(logs, "report.json", &report, err) ||
			       write_in(logs, "patch.diff", &patch, err) ||
			       write_in(logs, "test_output.txt", &log, err) ||
			       write_in(folder, traj, &said, err)
		       ? -1
		       : 0;
}

static int write_results(const struct batches *all, const struct batch *b, const char *folder,
			 struct err *err)
{
	AUTO(json) json_t *j = json_object();
	json_t *solved = json_array(), *none = json_array();
	AUTO(buf) struct buf text = BUF_INIT, readme = BUF_INIT, meta = BUF_INIT;

	for (size_t i = 0; i < b->n; i++) {
		json_t *id = json_string(summary_task_name(all->w->summary, b->v[i].row));
		if (is_solved(b->v[i].row))
			json_array_append(solved, id);
		if (!json_string_length(b->v[i].patch))
			json_array_append(none, id);
		json_decref(id);
	}
	buf_addf(&readme,
		 "# %s\n\n%zu of %zu resolved (a full score), one attempt each.%s\n\nMade from "
		 "the rollout %s %s by rollouts.\n",
		 b->model, json_array_size(solved), b->n,
		 b->missing ? " Trials without a result are left out." : "",
		 all->w->rollout->ref.name, all->w->rollout->ref.stamp);
	AUTO(json) json_t *model = json_string(b->model);
	buf_adds(&meta, "info:\n  name: ");
	AUTO(free) char *quoted = json_dumps(model, JSON_ENCODE_ANY);
	buf_addf(&meta,
		 "%s\n  site: null\n  report: null\n  logo: null\ntags:\n  checked: false\n"
		 "  model:\n  - %s\n  org: null\n  os_model: null\n  os_system: null\n  system:\n"
		 "    attempts: \"1\"\n",
		 quoted, quoted);
	json_put(j, "no_generation", none);
	json_put(j, "no_logs", json_array());
	json_put(j, "resolved", solved);
	json_format(&text, j, true);
	buf_addc(&text, '\n');
	return write_in(folder, "results/results.json", &text, err) ||
			       write_in(folder, "README.md", &readme, err) ||
			       write_in(folder, "metadata.yaml", &meta, err)
		       ? -1
		       : 0;
}

static int write_leaderboard(const struct batches *all, const struct batch *b, struct err *err)
{
	AUTO(free)
	char *folder = xasprintf("%s/%.8s_%s", all->w->output, all->w->rollout->ref.stamp, b->file);
	AUTO(buf) struct buf preds = BUF_INIT;

	put_batch(&preds, all, b, false);
	if (write_in(folder, "all_preds.jsonl", &preds, err))
		return -1;
	for (size_t i = 0; i < b->n; i++)
		if (write_instance(all, folder, &b->v[i], err))
			return -1;
	return write_results(all, b, folder, err);
}

int export_leaderboard(const struct export_work *w, struct err *err)
{
	struct batches all = {.w = w};
	int status;

	if (!w->output)
		return err_set(err, ERR_USAGE, 0, "--format leaderboard needs --output FOLDER");
	status = gather(&all, err);
	for (size_t i = 0; i < all.n && !status; i++)
		status = write_leaderboard(&all, &all.v[i], err);
	if (!status)
		tell_sums(&all);
	batches_release(&all);
	return status;
}
