/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stddef.h>
#include <string.h>
#include "base/mem.h"
#include "core/driver-settings.h"
#include "slurm/slurm.h"

/* With another value of these, jobs would not be found again, or hold what they must not. */
static bool is_ours(const char *option)
{
	static const char *const ours[] = {"-M",       "--cluster", "--array",	  "-a",
					   "--output", "--export",  "--job-name", "-J",
					   "--wrap",   "--parsable"};

	for (size_t i = 0; option && i < ARRAY_SIZE(ours); i++)
		if (!strncmp(option, ours[i], strlen(ours[i])))
			return true;
	return false;
}

static const char *check_options(const json_t *value)
{
	size_t i;
	json_t *item;

	json_array_foreach (value, i, item)
		if (is_ours(json_string_value(item)))
			return "must not hold -M, --clusters, --array, --output, --export, "
			       "--job-name, "
			       "--wrap or --parsable: rollouts needs them itself";
		else if (!json_is_string(item) || *json_string_value(item) != '-')
			return "must be a list of options of sbatch, each as one text: "
			       "[\"--exclusive\", \"--reservation=bench\"]";
	return json_is_array(value) ? NULL : "must be a list";
}

static const struct driver_setting table[] = {
#define ROW(name, kind, ...)                                                                       \
	{                                                                                          \
#name, DRIVER_##kind, offsetof(struct settings, name), __VA_ARGS__                 \
	}
	ROW(partition, TEXT),
	ROW(account, TEXT),
	ROW(qos, TEXT),
	ROW(constraint, TEXT),
	ROW(gres, TEXT),
	ROW(time, TEXT),
	ROW(cache, TEXT),
	ROW(setup, TEXT),
	ROW(node, TEXT),
	ROW(options, JSON, .check = check_options),
	ROW(trials_per_job, NUMBER, 1, 10000),
	ROW(side_by_side, NUMBER, 1, 1024),
	ROW(cpus, NUMBER, 1, 4096),
	ROW(memory_mb, NUMBER, 1, 1 << 30),
	ROW(cache_mb, NUMBER, 0, 1 << 30),
	ROW(poll_sec, NUMBER, 1, 3600),
	ROW(requeue, SWITCH),
	ROW(json, SWITCH),
#undef ROW
};

int settings_read(struct settings *s, const json_t *j, struct buf *text)
{
	*s = (struct settings){.trials_per_job = 1,
			       .side_by_side = 1,
			       .cpus = 1,
			       .poll_sec = 2,
			       .cache_mb = 20000};
	if (driver_settings_read(s, table, ARRAY_SIZE(table), j, text))
		return -1;
	if (s->side_by_side > s->trials_per_job) {
		buf_adds(text, "side_by_side: more than trials_per_job");
		return -1;
	}
	return 0;
}

void settings_release(struct settings *s)
{
	driver_settings_release(s, table, ARRAY_SIZE(table));
}
