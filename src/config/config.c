/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/config.h"
#include "config/config-steps.h"

void config_request_release(struct config_request *r)
{
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
