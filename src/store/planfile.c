// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/planfile.h"
#include <math.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "store/planfile-lines.h"

#define TRIALS_OPEN ",\"trials\":["
#define TRIALS_CLOSE "]}"

static json_t *budget_to_json(const struct budget *b)
{
	json_t *j = json_object();

	json_put_real(j, "usd", b->usd);
	json_put_int(j, "tokens", b->tokens);
	json_put_int(j, "wall_ms", b->wall_ms);
	json_put_real(j, "max_forecast_usd", b->max_forecast_usd);
	if (b->hard != BUDGET_AUTO)
		json_put_bool(j, "hard", b->hard == BUDGET_HARD);
	return j;
}

static void budget_from_json(struct budget *b, const json_t *j)
{
	const json_t *hard = json_object_get(j, "hard");

	*b = (struct budget){.usd = json_get_real(j, "usd", 0),
			     .tokens = json_get_int(j, "tokens", 0),
			     .wall_ms = json_get_int(j, "wall_ms", 0),
			     .max_forecast_usd = json_get_real(j, "max_forecast_usd", 0),
			     .hard = json_is_true(hard)	   ? BUDGET_HARD
				     : json_is_false(hard) ? BUDGET_SOFT
							   : BUDGET_AUTO};
}

static json_t *header(const struct planfile *p)
{
	json_t *j = json_object();

	json_put_int(j, "v", PLANFILE_VERSION);
	if (p->id)
		json_put_str(j, "rollout_id", p->id);
	if (p->merged)
		json_put(j, "merged", json_incref(p->merged));
	if (p->imported)
		json_put(j, "imported", json_incref(p->imported));
	json_put_str(j, "name", p->name);
	json_put_str(j, "stamp", p->stamp);
	json_put_str(j, "config", p->config);
	json_put_str(j, "config_hash", p->config_hash);
	json_put_str(j, "program", p->program);
	json_put_int(j, "parallel", p->parallel);
	json_put_bool(j, "fail_fast", p->fail_fast);
	json_put_real(j, "fail_on_error", p->fail_on_error > 0 ? p->fail_on_error : NAN);
	json_put_int(j, "uid_base", p->uid_base);
	json_put(j, "budget", budget_to_json(&p->budget));
	json_put_str(j, "replay", p->replay);
	json_put_bool(j, "replay_or_live", p->replay_or_live);
	json_put_bool(j, "allow_emulation", p->allow_emulation);
	if (p->build_timeout_sec)
		json_put_int(j, "build_timeout_sec", p->build_timeout_sec);
	json_put_str(j, "gateway", p->gateway);
	json_put(j, "agents", p->agents ? json_incref(p->agents) : json_object());
	json_put(j, "tools", p->tools ? json_incref(p->tools) : json_null());
	json_put(j, "launchers", p->launchers ? json_incref(p->launchers) : json_null());
	json_put(j, "judge", p->judge.provider ? judge_to_json(&p->judge) : json_null());
	return j;
}

int planfile_write(const struct planfile *p, int dir_fd, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *head = header(p);

	json_format(&text, head, false);
	text.data[--text.len] = '\0';
	buf_adds(&text, TRIALS_OPEN "\n");
	for (size_t i = 0; i < p->n; i++) {
		AUTO(json) json_t *trial = trial_to_json(&p->trials[i]);
		json_format(&text, trial, false);
		buf_adds(&text, i + 1 < p->n ? ",\n" : "\n");
	}
	buf_adds(&text, TRIALS_CLOSE "\n");
	if (path_sync_all(dir_fd, err))
		return -1;
	return path_write(dir_fd, ROLLOUT_PLAN, text.data, text.len, 0644, true, err);
}

static int read_header(struct planfile *p, const json_t *j, const char *where, struct err *err)
{
	const char *name, *stamp;
	int64_t version;

	if (json_need_int(j, "v", where, &version, err) ||
	    json_need_str(j, "name", where, &name, err) ||
	    json_need_str(j, "stamp", where, &stamp, err))
		return -1;
	if (version > PLANFILE_VERSION)
		return err_set(err, ERR_USAGE, 0,
			       "%s: version %lld is newer than this program; use a newer rollouts",
			       where, (long long)version);
	p->id = xstrdup(json_get_str(j, "rollout_id", NULL));
	p->merged = json_incref(json_object_get(j, "merged"));
	p->imported = json_incref(json_object_get(j, "imported"));
	p->name = xstrdup(name);
	p->stamp = xstrdup(stamp);
	p->config = xstrdup(json_get_str(j, "config", ""));
	p->config_hash = xstrdup(json_get_str(j, "config_hash", ""));
	p->program = xstrdup(json_get_str(j, "program", ""));
	budget_from_json(&p->budget, json_object_get(j, "budget"));
	p->replay = xstrdup(json_get_str(j, "replay", NULL));
	p->replay_or_live = json_get_bool(j, "replay_or_live", false);
	p->allow_emulation = json_get_bool(j, "allow_emulation", false);
	p->build_timeout_sec = (int)json_get_int(j, "build_timeout_sec", 0);
	p->gateway = xstrdup(json_get_str(j, "gateway", NULL));
	p->parallel = (int)json_get_int(j, "parallel", 1);
	p->fail_fast = json_get_bool(j, "fail_fast", false);
	p->fail_on_error = json_get_real(j, "fail_on_error", 0);
	p->uid_base = (uid_t)json_get_int(j, "uid_base", 0);
	p->agents = json_incref(json_object_get(j, "agents"));
	p->tools = json_is_object(json_object_get(j, "tools"))
			   ? json_incref(json_object_get(j, "tools"))
			   : NULL;
	p->launchers = json_is_object(json_object_get(j, "launchers"))
			       ? json_incref(json_object_get(j, "launchers"))
			       : NULL;
	return judge_from_json(&p->judge, json_object_get(j, "judge"), where, err);
}

/* The first line, closed so that it is JSON by itself. */
/* It is written whole or not at all, so a disk, or somebody, did that. */
static int damaged(const char *where, const char *how, struct err *err)
{
	AUTO(free) char *folder = path_folder(where);

	return err_set(err, ERR_USAGE, 0,
		       "%s %s: put a copy of it back, or remove %s (its runs stay: rollouts show "
		       "RUN_ID)",
		       where, how, folder);
}

static int take_header(struct planfile *p, char *line, size_t n, const char *where, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;

	buf_add(&text, line, n);
	buf_adds(&text, TRIALS_CLOSE);
	if (json_parse(&j, text.data, text.len, where, err))
		return damaged(where, "is no plan any more", err);
	return read_header(p, j, where, err);
}

int plan_parse_trial(struct trial *out, const struct plan_line *line, struct err *err)
{
	AUTO(json) json_t *j = json_line(line->text, line->n, JSON_DISABLE_EOF_CHECK);

	if (!j) {
		AUTO(free) char *how = xasprintf("has no trial in line %zu", line->index + 2);
		return damaged(line->where, how, err);
	}
	if (trial_from_json(out, j, line->where, err))
		return -1;
	if (out->index == (int)line->index)
		return 0;
	trial_release(out);
	return err_set(err, ERR_USAGE, 0, "%s:%zu: trials are out of order", line->where,
		       line->index + 2);
}

struct whole {
	struct planfile *plan;
	size_t cap;
};

static int take_trial(void *arg, const struct plan_line *line, struct err *err)
{
	struct whole *w = arg;
	struct planfile *p = w->plan;

	GROW(p->trials, p->n, w->cap);
	if (plan_parse_trial(&p->trials[p->n], line, err))
		return -1;
	p->n++;
	return 0;
}

/* FN is NULL: only the head. */
static int read_lines(struct planfile *p, FILE *f, plan_line_fn *fn, void *arg, const char *where,
		      struct err *err)
{
	AUTO(free) char *line = NULL;
	size_t size = 0;
	ssize_t n = getline(&line, &size, f);

	if (n <= 0 || take_header(p, line, (size_t)n, where, err))
		return n <= 0 ? damaged(where, "is empty", err) : -1;
	for (size_t i = 0; fn && (n = getline(&line, &size, f)) > 0; i++) {
		if (!strcmp(line, TRIALS_CLOSE "\n"))
			return 0;
		if (fn(arg, &(struct plan_line){line, (size_t)n, i, where}, err))
			return -1;
	}
	return fn ? damaged(where, "ends too early", err) : 0;
}

int plan_read_lines(struct planfile *out, int dir_fd, plan_line_fn *fn, void *arg,
		    const char *where, struct err *err)
{
	int fd = openat(dir_fd, ROLLOUT_PLAN, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;

	*out = (struct planfile){0};
	if (!f)
		return err_set(err, errno == ENOENT ? ERR_USAGE : ERR_INFRA, errno,
			       "open %s/" ROLLOUT_PLAN, where);
	AUTO(free) char *name = path_join(where, ROLLOUT_PLAN);
	int status = read_lines(out, f, fn, arg, name, err);
	fclose(f);
	if (status)
		planfile_release(out);
	return status;
}

int planfile_read(struct planfile *out, int dir_fd, const char *where, struct err *err)
{
	return plan_read_lines(out, dir_fd, take_trial, &(struct whole){.plan = out}, where, err);
}

int planfile_read_head(struct planfile *out, int dir_fd, const char *where, struct err *err)
{
	return plan_read_lines(out, dir_fd, NULL, NULL, where, err);
}

int planfile_keep_config(int dir_fd, const char *text, char **file, struct err *err)
{
	for (int i = 1;; i++) {
		AUTO(free) char *name =
			i == 1 ? xstrdup(ROLLOUT_CONFIG) : xasprintf("config-%d.toml", i);
		AUTO(buf) struct buf found = BUF_INIT;
		if (!path_exists(dir_fd, name) &&
		    path_write(dir_fd, name, text, strlen(text), 0644, false, err))
			return -1;
		if (path_read(dir_fd, name, PLANFILE_CONFIG_MAX, &found, err))
			return -1;
		if (strcmp(found.data, text) == 0) {
			*file = STEAL(&name);
			return 0;
		}
	}
}

void planfile_release(struct planfile *p)
{
	free(p->id);
	json_decref(p->merged);
	json_decref(p->imported);
	free(p->name);
	free(p->stamp);
	free(p->config);
	free(p->config_hash);
	free(p->program);
	free(p->gateway);
	free(p->replay);
	json_decref(p->agents);
	json_decref(p->tools);
	json_decref(p->launchers);
	judge_release(&p->judge);
	for (size_t i = 0; i < p->n; i++)
		trial_release(&p->trials[i]);
	free(p->trials);
	*p = (struct planfile){0};
}
