/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "config/providers.h"
#include "report/report.h"
#include "report/table.h"

enum { OLD_DAYS = 90 };

static time_t day_of(const char *date)
{
	struct tm tm = {0};

	return strptime(date, "%Y-%m-%d", &tm) ? timegm(&tm) : 0;
}

/* What somebody who is about to spend by this rule ought to know. */
static char *remark_on(const struct model_rule *m, const char *today)
{
	const double age = difftime(day_of(today), day_of(m->price.date)) / 86400;
	const char *next = m->successor ? m->successor : "";
	const char *to = m->successor ? ", successor " : "";

	if (*m->shutdown && strcmp(m->shutdown, today) <= 0)
		return xasprintf("shut down on %s%s%s", m->shutdown, to, next);
	if (*m->price.from && strcmp(m->price.from, today) > 0)
		return xasprintf("from %s on", m->price.from);
	if (*m->price.until && strcmp(m->price.until, today) < 0)
		return xasprintf("until %s", m->price.until);
	if (!m->price.known)
		return xstrdup("no price");
	if (*m->price.date && age > OLD_DAYS)
		return xasprintf("the price is %.0f days old", age);
	if (*m->shutdown)
		return xasprintf("shuts down on %s%s%s", m->shutdown, to, next);
	if (*m->price.until)
		return xasprintf("until %s", m->price.until);
	return xstrdup("");
}

static void add_amount(struct table *t, const struct price *p, double usual, double above)
{
	if (!p->known)
		table_missing(t, NULL);
	else if (p->above_tokens)
		table_textf(t, "%.15g / %.15g", usual, above);
	else
		table_textf(t, "%.15g", usual);
}

static void add_rule(struct table *t, const struct model_rule *m, const char *today)
{
	const struct price *p = &m->price;
	AUTO(free) char *remark = remark_on(m, today);

	table_text(t, m->match);
	table_text(t, m->provider);
	add_amount(t, p, p->usual.input, p->above.input);
	add_amount(t, p, p->usual.cached, p->above.cached);
	add_amount(t, p, p->usual.cache_write, p->above.cache_write);
	add_amount(t, p, p->usual.output, p->above.output);
	if (p->above_tokens)
		table_int(t, p->above_tokens);
	else
		table_missing(t, "");
	table_text(t, p->date);
	table_text(t, remark);
}

static bool is_asked_for(const struct strv *wanted, const char *name)
{
	for (size_t i = 0; i < wanted->n; i++)
		if (text_glob(wanted->v[i], name) || text_glob(name, wanted->v[i]))
			return true;
	return !wanted->n;
}

static void fill_models(struct table *t, const struct providers *p, const struct strv *wanted)
{
	static const char *const names[] = {"model",	    "provider",	   "input",
					    "cached",	    "cache write", "output",
					    "above tokens", "date",	   "remark"};
	char today[PRICE_DATE];

	price_today(today);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		table_column(t, names[i],
			     i < 1	      ? TABLE_WHOLE
			     : i > 1 && i < 7 ? TABLE_RIGHT
					      : TABLE_LEFT);
	for (size_t i = 0; i < p->rules_n; i++)
		if (is_asked_for(wanted, p->rules[i].match))
			add_rule(t, &p->rules[i], today);
}

static void fill_aliases(struct table *t, const struct providers *p, const struct strv *wanted)
{
	table_column(t, "alias", TABLE_WHOLE);
	table_column(t, "model", TABLE_WHOLE);
	for (size_t i = 0; i < p->aliases.n; i++) {
		const struct kv *a = &p->aliases.v[i];
		if (!is_asked_for(wanted, a->key) && !is_asked_for(wanted, a->value))
			continue;
		table_text(t, a->key);
		table_text(t, a->value);
	}
}

static int print(const struct providers *p, const struct strv *wanted, bool json)
{
	AUTO(table) struct table models = {0}, aliases = {0};
	AUTO(buf) struct buf text = BUF_INIT;

	fill_models(&models, p, wanted);
	fill_aliases(&aliases, p, wanted);
	if (json) {
		AUTO(json) json_t *j =
			json_pack("{s:i, s:o, s:o}", "v", 1, "models", table_json(&models),
				  "aliases", table_json(&aliases));
		json_format(&text, j, true);
		buf_addc(&text, '\n');
	} else {
		if (table_rows(&models)) {
			buf_adds(&text,
				 "USD per million tokens; the first rule that matches counts.\n\n");
			table_terminal(&models, report_width(STDOUT_FILENO), &text);
		}
		if (table_rows(&aliases)) {
			buf_adds(&text, text.len ? "\n" : "");
			table_terminal(&aliases, report_width(STDOUT_FILENO), &text);
		}
		if (!text.len)
			buf_adds(&text, "no rule and no alias of that name\n");
	}
	fwrite(text.data, 1, text.len, stdout);
	return CMD_OK;
}

int cmd_models(int argc, char **argv)
{
	bool json = false;
	const char *config = NULL;
	const struct option options[] = {
		{.name = "config",
		 .arg = "CONFIG",
		 .kind = OPTION_STR,
		 .target = &config,
		 .help = "with the providers.toml beside this benchmark"},
		{.name = "json", .kind = OPTION_FLAG, .target = &json, .help = "as JSON"},
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "models",
		.operands = "[NAME...]",
		.max = 64,
		.options = options,
		.summary = "which provider answers which model, at what price",
		.text = "Rules of the benchmark's and of your own providers.toml stand before the "
			"shipped "
			"ones.\nPrices older than 90 days and models that are shut down, or will "
			"be, are "
			"marked.\nNAME is a model or a glob.",
		.examples = "rollouts models\nrollouts models 'claude-*'\nrollouts models gpt-4\n",
	};
	AUTO(strv) struct strv wanted = STRV_INIT;
	AUTO(strv) struct strv issues = STRV_INIT;
	AUTO(providers) struct providers p = {0};
	struct err err;
	int status = cmd_options(&usage, argc, argv, &wanted);

	if (status >= 0)
		return status;
	if (providers_load(&p, config, &issues, &err)) {
		for (size_t i = 0; i < issues.n; i++)
			fprintf(stderr, "rollouts: %s\n", issues.v[i]);
		return cmd_fail(&err);
	}
	return print(&p, &wanted, json);
}
