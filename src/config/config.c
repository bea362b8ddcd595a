/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/config.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "config/agents.h"
#include "config/config-steps.h"

void config_request_release(struct config_request *r)
{
	strv_release(&r->tasks);
	kvs_release(&r->settings);
	strv_release(&r->models);
	strv_release(&r->only);
	strv_release(&r->exclude);
	kvs_release(&r->env);
	strv_release(&r->tags);
}

/* OUT is to be released in any case. */
static int load(struct config *c, struct bench *out, const struct config_request *req,
		struct strv *issues, struct err *err)
{
	bench_init(out);
	if (config_read(c, req, err) < 0) {
		strv_push(issues, err->msg);
		return -1;
	}
	config_entries(c, out);
	return config_verdict(c, issues, err);
}

int config_load(struct bench *out, const struct config_request *req, struct strv *issues,
		struct err *err)
{
	struct config c;
	int rc = load(&c, out, req, issues, err);

	config_release(&c);
	return rc;
}

int config_launcher_settings(json_t **out, const struct config_request *req, struct err *err)
{
	struct config c;
	int rc = config_read(&c, req, err);

	*out = rc ? NULL : json_incref(c.launchers);
	config_release(&c);
	return rc;
}

static void add_name(struct strv *names, const char *name)
{
	if (strcmp(name, "auto") != 0 && !strv_has(names, name))
		strv_push(names, name);
}

/* What one table names; a model that stands where no agent does is for "auto". */
static void add_names(struct strv *names, const struct layer *l, const char *path)
{
	const struct value *one = &l->values[KEY_AGENT], *many = &l->values[KEY_AGENTS];
	AUTO(strv) struct strv models = STRV_INIT;

	if (one->text)
		add_name(names, one->text);
	for (size_t i = 0; i < many->list.n; i++)
		add_name(names, many->list.v[i]);
	if (many->origin || (one->text && strcmp(one->text, "auto") != 0))
		return;
	if (l->values[KEY_MODEL].text)
		strv_push(&models, l->values[KEY_MODEL].text);
	strv_pushv(&models, strv_items(&l->values[KEY_MODELS].list));
	for (size_t i = 0; i < models.n; i++) {
		AUTO(free) char *name = agent_for_model(models.v[i], path);
		add_name(names, name);
	}
}

int config_agent_names(json_t **variants, struct strv *names, const char *path, struct strv *issues,
		       struct err *err)
{
	const struct config_request req = {.path = path};
	struct config c;
	int rc = config_read(&c, &req, err);

	*variants = NULL;
	if (rc) {
		strv_push(issues, err->msg);
	} else {
		*variants = json_incref(c.agents);
		const bool said = c.top.values[KEY_AGENT].origin ||
				  c.defaults.values[KEY_AGENT].origin ||
				  c.defaults.values[KEY_AGENTS].origin;
		add_names(names, &c.top, path);
		add_names(names, &c.defaults, path);
		for (size_t i = 0; i < c.tasks_n; i++)
			if (!said || c.tasks[i].values[KEY_AGENT].origin ||
			    c.tasks[i].values[KEY_AGENTS].origin)
				add_names(names, &c.tasks[i], path);
		rc = config_verdict(&c, issues, err);
	}
	config_release(&c);
	return rc;
}

int config_explain(struct buf *out, const struct config_request *req, struct strv *issues,
		   struct err *err)
{
	struct config c;
	struct bench b;
	int rc = load(&c, &b, req, issues, err);

	if (rc == 0)
		config_write(out, &c, &b);
	bench_release(&b);
	config_release(&c);
	return rc;
}
