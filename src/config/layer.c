/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/layer.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

/* A value that many entries share is wrong once. */
static bool is_known(const struct config *c, const char *text)
{
	for (size_t i = 0; i < c->issues_n; i++)
		if (strcmp(c->issues[i].text, text) == 0)
			return true;
	return false;
}

static void add_issue(struct config *c, int line, int col, char *text_take)
{
	if (is_known(c, text_take)) {
		free(text_take);
		return;
	}
	GROW(c->issues, c->issues_n, c->issues_cap);
	c->issues[c->issues_n++] = (struct issue){line, col, text_take};
}

void config_issue(struct config *c, int line, int col, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	AUTO(free) char *text = xvasprintf(fmt, args);
	va_end(args);
	add_issue(c, line, col,
		  line ? xasprintf("%s:%d:%d: %s", c->req->path, line, col, text) : xstrdup(text));
}

void config_whole_issue(struct config *c, int line, int col, const char *text)
{
	add_issue(c, line, col, xstrdup(text));
}

void config_value_issue(struct config *c, enum key_id id, const struct value *v, const char *fmt,
			...)
{
	const struct key *k = &config_keys[id];
	va_list args;
	va_start(args, fmt);
	AUTO(free) char *text = xvasprintf(fmt, args);
	va_end(args);
	if (v->origin == ORIGIN_FLAG)
		config_issue(c, 0, 0, "--%s: %s", k->flag ? k->flag : k->name, text);
	else if (v->origin == ORIGIN_ENVIRONMENT)
		config_issue(c, 0, 0, "SANDBOX_BACKEND in the environment: %s", text);
	else
		config_issue(c, v->line, v->col, "%s: %s", k->name, text);
}

static int compare_issues(const void *a, const void *b)
{
	const struct issue *x = a, *y = b;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->col < y->col ? -1 : x->col > y->col;
}

int config_verdict(struct config *c, struct strv *out, struct err *err)
{
	if (!c->issues_n)
		return 0;
	qsort(c->issues, c->issues_n, sizeof *c->issues, compare_issues);
	for (size_t i = 0; i < c->issues_n; i++)
		strv_push(out, c->issues[i].text);
	return err_set(err, ERR_USAGE, 0, "%s: %zu mistake%s", c->req->path, c->issues_n,
		       c->issues_n == 1 ? "" : "s");
}

static void release_layer(struct layer *l)
{
	for (int i = 0; i < KEY_COUNT_; i++) {
		free(l->values[i].text);
		strv_release(&l->values[i].list);
	}
	for (size_t i = 0; i < l->env_n; i++) {
		free(l->env[i].key);
		free(l->env[i].text);
	}
	free(l->env);
}

void config_release(struct config *c)
{
	struct layer *fixed[] = {&c->flags, &c->environment, &c->defaults, &c->top};
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		release_layer(fixed[i]);
	for (size_t i = 0; i < c->tasks_n; i++)
		release_layer(&c->tasks[i]);
	for (size_t i = 0; i < c->issues_n; i++)
		free(c->issues[i].text);
	free(c->tasks);
	free(c->issues);
	json_decref(c->agents);
	json_decref(c->launchers);
	toml_free(c->root);
	buf_release(&c->text);
}

void config_layers(const struct config *c, const struct layer *task,
		   const struct layer *out[LAYERS])
{
	out[0] = &c->flags;
	out[1] = task;
	out[2] = &c->defaults;
	out[3] = &c->top;
	out[4] = &c->environment;
}

const struct value *config_effective(const struct config *c, const struct layer *task,
				     enum key_id id)
{
	const struct layer *layers[LAYERS];
	config_layers(c, task, layers);
	for (size_t i = 0; i < LAYERS; i++) {
		if (!layers[i] || !layers[i]->values[id].origin)
			continue;
		/* SANDBOX_BACKEND=modal names a launcher, and counts for nothing where a sandbox is named. */
		const struct value *sandbox = layers[i] == &c->environment && id == KEY_LAUNCHER
						      ? config_effective(c, task, KEY_SANDBOX)
						      : NULL;
		return sandbox && sandbox->text && strcmp(sandbox->text, "auto")
			       ? NULL
			       : &layers[i]->values[id];
	}
	return NULL;
}
