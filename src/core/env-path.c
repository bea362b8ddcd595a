/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/env-path.h"
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"

static const char *current(const struct strv *env)
{
	for (size_t i = env->n; i--;)
		if (!strncmp(env->v[i], "PATH=", 5))
			return env->v[i] + 5;
	return "";
}

void env_path_set(struct strv *env, const char *key, const char *value)
{
	static const char *const names[] = {"${PATH}", "$PATH"};
	AUTO(buf) struct buf text = BUF_INIT;

	if (strcmp(key, "PATH") != 0) {
		strv_setenv(env, key, value);
		return;
	}
	while (*value) {
		size_t n = 0;
		for (int i = 0; i < 2 && !n; i++)
			if (!strncmp(value, names[i], strlen(names[i])))
				n = strlen(names[i]);
		if (n)
			buf_adds(&text, current(env));
		else
			buf_addc(&text, *value);
		value += n ? n : 1;
	}
	strv_setenv(env, key, text.len ? text.data : "");
}

void env_path_first(struct strv *env, const json_t *dirs)
{
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *dir;
	size_t i;

	json_array_foreach (dirs, i, dir)
		if (json_is_string(dir))
			buf_addf(&text, "%s:", json_string_value(dir));
	if (!text.len)
		return;
	buf_adds(&text, current(env));
	strv_setenv(env, "PATH", text.data);
}

void env_path_last(struct strv *env, const json_t *dirs)
{
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *dir;
	size_t i;

	buf_adds(&text, current(env));
	json_array_foreach (dirs, i, dir)
		if (json_is_string(dir))
			buf_addf(&text, "%s%s", text.len ? ":" : "", json_string_value(dir));
	if (json_array_size(dirs))
		strv_setenv(env, "PATH", text.data);
}
