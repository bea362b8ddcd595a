/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "config/config.h"
#include "doctor/doctor.h"

static void print_line(const char *text)
{
	AUTO(buf) struct buf safe = BUF_INIT;
	text_renders(&safe, text, TEXT_TERMINAL_LINE);
	puts(safe.data);
}

static void print_lines(const struct checks *c)
{
	static const char *const marks[] = {"✓", "–", "✗"};

	for (size_t i = 0; i < c->n; i++) {
		const struct check *k = &c->list[i];
		AUTO(free) char *line =
			xasprintf("%s %-16s %s", marks[k->state], k->name, k->detail);
		print_line(line);
		if (k->remedy) {
			AUTO(free) char *remedy = xasprintf("    %s", k->remedy);
			print_line(remedy);
		}
	}
	puts(checks_passed(c) ? "\nReady to run." : "\nNot ready: see the lines with ✗.");
}

static void print_json(const struct checks *c)
{
	static const char *const states[] = {"ok", "less", "failed"};
	AUTO(json) json_t *doc = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *list = json_array();

	json_put_int(doc, "v", 1);
	for (size_t i = 0; i < c->n; i++) {
		json_t *j = json_object();
		json_put_str(j, "check", c->list[i].name);
		json_put_str(j, "state", states[c->list[i].state]);
		json_put_str(j, "detail", c->list[i].detail);
		json_put_str(j, "remedy", c->list[i].remedy);
		json_array_append_new(list, j);
	}
	json_put_bool(doc, "ready", checks_passed(c));
	json_put(doc, "checks", list);
	json_format(&text, doc, true);
	puts(text.data);
}

int cmd_doctor(int argc, char **argv)
{
	AUTO(checks) struct checks checks = {.scratch = -1};
	const char *data = "data";
	bool json = false, models = false;
	struct config_request config = {.path = NULL};
	struct doctor_launcher launcher = {NULL, NULL};
	const struct option options[] = {
		{.name = "models",
		 .kind = OPTION_FLAG,
		 .target = &models,
		 .help = "also try every key of a model provider: one small call each, and the "
			 "quota left"},
		{.name = "json",
		 .kind = OPTION_FLAG,
		 .target = &json,
		 .help = "the checks as JSON"},
		{.name = "launcher",
		 .arg = "NAME",
		 .kind = OPTION_STR,
		 .target = &launcher.name,
		 .help = "also try a launcher: a job that does nothing goes there and comes back"},
		{.name = "config",
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &config.path,
		 .help = "a benchmark, whose [launcher.NAME] it is tried with"},
		OPTION_DATA_DIR(&data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "doctor",
		.operands = "",
		.options = options,
		.summary = "check what this machine needs to run benchmarks, by using it, with "
			   "remedies",
		.text = "✓ works; – rollouts runs, but without something good; ✗ rollouts does not "
			"run.\n"
			"The exit status is 0 when nothing has ✗, else 3.",
		.examples = "rollouts doctor\nrollouts doctor --models\nrollouts doctor --launcher "
			    "slurm --config "
			    "bench.toml\nrollouts doctor --data-dir "
			    "/fast/data --json\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	AUTO(json) json_t *launchers = NULL;
	if (launcher.name && config.path) {
		if (config_launcher_settings(&launchers, &config, &err))
			return cmd_fail(&err);
		launcher.settings = json_object_get(launchers, launcher.name);
	}
	if (doctor_run(&checks, data, models, launcher.name ? &launcher : NULL, &err))
		cmd_warn(err.msg);
	if (json)
		print_json(&checks);
	else
		print_lines(&checks);
	return checks_passed(&checks) ? CMD_OK : CMD_ENVIRONMENT;
}
