/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <unistd.h>
#include "base/json.h"
#include "core/limits.h"

const struct limits limits_default = {
	.timeout_ms = 30 * 60 * 1000,
	.eval_timeout_ms = 10 * 60 * 1000,
	.disk_mb = 10240,
	.diff_mb = 256,
	.pids = 1024,
	.files = 8192,
};

enum { WAIT_MS = 4 * 60 * 60 * 1000, PREPARE_SEC = 900 };

int64_t limits_wall_ms(const struct limits *l)
{
	if (!l->timeout_ms)
		return l->wall_ms;
	if (!l->wall_ms)
		return l->timeout_ms + WAIT_MS;
	return l->wall_ms > l->timeout_ms ? l->wall_ms : l->timeout_ms;
}

int64_t limits_job_sec(const struct limits *l)
{
	int64_t agent = l->timeout_ms > l->wall_ms ? l->timeout_ms : l->wall_ms;
	int64_t tests = l->eval_total_ms ? l->eval_total_ms : 2 * l->eval_timeout_ms;

	return (agent + tests) / 1000 + PREPARE_SEC;
}

double limits_cpus_here(const struct limits *l)
{
	const double there = (double)sysconf(_SC_NPROCESSORS_ONLN);

	return there >= 1 && l->cpus > there ? there : l->cpus;
}

bool limits_equal(const struct limits *a, const struct limits *b)
{
	return a->timeout_ms == b->timeout_ms && a->wall_ms == b->wall_ms &&
	       a->eval_timeout_ms == b->eval_timeout_ms && a->eval_total_ms == b->eval_total_ms &&
	       !(a->cpus < b->cpus || a->cpus > b->cpus) && a->memory_mb == b->memory_mb &&
	       a->disk_mb == b->disk_mb && a->disk_files == b->disk_files &&
	       a->diff_mb == b->diff_mb && a->tokens == b->tokens &&
	       !(a->usd < b->usd || a->usd > b->usd) && a->calls == b->calls &&
	       a->pids == b->pids && a->files == b->files;
}

json_t *limits_to_json(const struct limits *l)
{
	json_t *j = json_object();
	json_put_int(j, "timeout_ms", l->timeout_ms);
	if (l->wall_ms)
		json_put_int(j, "wall_ms", l->wall_ms);
	json_put_int(j, "eval_timeout_ms", l->eval_timeout_ms);
	if (l->eval_total_ms)
		json_put_int(j, "eval_total_ms", l->eval_total_ms);
	json_put_real(j, "cpus", l->cpus);
	json_put_int(j, "memory_mb", l->memory_mb);
	json_put_int(j, "disk_mb", l->disk_mb);
	if (l->disk_files)
		json_put_int(j, "disk_files", l->disk_files);
	json_put_int(j, "diff_mb", l->diff_mb);
	json_put_int(j, "pids", l->pids);
	json_put_int(j, "files", l->files);
	json_put_int(j, "tokens", l->tokens);
	json_put_real(j, "usd", l->usd);
	json_put_int(j, "calls", l->calls);
	return j;
}

void limits_from_json(struct limits *l, const json_t *j)
{
	const struct limits *d = &limits_default;
	*l = (struct limits){
		.timeout_ms = json_get_int(j, "timeout_ms", d->timeout_ms),
		.wall_ms = json_get_int(j, "wall_ms", 0),
		.eval_timeout_ms = json_get_int(j, "eval_timeout_ms", d->eval_timeout_ms),
		.eval_total_ms = json_get_int(j, "eval_total_ms", 0),
		.cpus = json_get_real(j, "cpus", d->cpus),
		.memory_mb = json_get_int(j, "memory_mb", d->memory_mb),
		.disk_mb = json_get_int(j, "disk_mb", d->disk_mb),
		.disk_files = json_get_int(j, "disk_files", 0),
		.diff_mb = json_get_int(j, "diff_mb", d->diff_mb),
		.pids = (int)json_get_int(j, "pids", d->pids),
		.files = (int)json_get_int(j, "files", d->files),
		.tokens = json_get_int(j, "tokens", d->tokens),
		.usd = json_get_real(j, "usd", d->usd),
		.calls = json_get_int(j, "calls", d->calls),
	};
}
