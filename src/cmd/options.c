/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/options.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/plain.h"
#include "core/kv.h"

#define HELP_COLUMN 26

struct parser {
	const struct usage *usage;
	int argc, next;
	char **argv;
	const char **given; /* the value of each option so far */
	struct err *err;
};

static int unknown(const struct parser *p, const char *name)
{
	AUTO(strv) struct strv names = STRV_INIT;
	for (const struct option *o = p->usage->options; o->name; o++)
		strv_push(&names, o->name);
	strv_push(&names, "help");
	const char *near = text_nearest(name, strv_items(&names));
	if (near)
		return err_set(p->err, ERR_USAGE, 0, "unknown option --%s (did you mean --%s?)",
			       name, near);
	return err_set(p->err, ERR_USAGE, 0, "unknown option --%s; see: rollouts help %s", name,
		       p->usage->verb);
}

static const struct option *find_long(const struct usage *u, const char *name, size_t len)
{
	for (const struct option *o = u->options; o->name; o++)
		if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

static const struct option *find_short(const struct usage *u, char c)
{
	for (const struct option *o = u->options; o->name; o++)
		if (o->short_name == c)
			return o;
	return NULL;
}

static int set_int(const struct option *o, const char *value, struct err *err)
{
	char *end;
	errno = 0;
	long long n = strtoll(value, &end, 10);
	bool ranged = o->min || o->max;
	if (errno || end == value || *end)
		return err_set(err, ERR_USAGE, 0, "--%s: \"%s\" is not a whole number", o->name,
			       value);
	if (ranged && (n < o->min || n > o->max))
		return err_set(err, ERR_USAGE, 0,
			       "--%s: %s is out of range (%" PRId64 " to %" PRId64 ")", o->name,
			       value, o->min, o->max);
	*(int64_t *)o->target = n;
	return 0;
}

static int set_kv(const struct option *o, const char *value, struct err *err)
{
	const char *eq = strchr(value, '=');
	if (!eq || eq == value)
		return err_set(err, ERR_USAGE, 0, "--%s: \"%s\" is not of the form NAME=VALUE",
			       o->name, value);
	AUTO(free) char *key = xstrndup(value, (size_t)(eq - value));
	const char *before = kvs_get(o->target, key);
	if (before && strcmp(before, eq + 1) != 0)
		return err_set(err, ERR_USAGE, 0, "--%s %s is given twice, as \"%s\" and as \"%s\"",
			       o->name, key, before, eq + 1);
	kvs_set(o->target, key, eq + 1);
	return 0;
}

static int apply(const struct option *o, const char *value, struct err *err)
{
	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)o->target = true;
		return 0;
	case OPTION_COUNT:
		++*(int *)o->target;
		return 0;
	case OPTION_STR:
		*(const char **)o->target = value;
		return 0;
	case OPTION_STRV:
		strv_push(o->target, value);
		return 0;
	case OPTION_INT:
		return set_int(o, value, err);
	case OPTION_KV:
		return set_kv(o, value, err);
	case OPTION_SETTING:
		kvs_set(o->target, o->setting ? o->setting : o->name, o->arg ? value : "true");
		return 0;
	}
	bug("option kind %d", (int)o->kind);
}

/* The last of two values used to count, in silence: who wrote the first does not know. */
static int check_once(struct parser *p, const struct option *o, const char *value)
{
	const char **given = &p->given[o - p->usage->options];
	bool single = o->kind == OPTION_STR || o->kind == OPTION_INT ||
		      (o->kind == OPTION_SETTING && o->arg);
	if (single && *given && value && !strcmp(*given, value))
		return err_set(p->err, ERR_USAGE, 0, "--%s %s is given twice", o->name, value);
	if (single && *given)
		return err_set(p->err, ERR_USAGE, 0,
			       "--%s is given twice, as \"%s\" and as \"%s\": it takes one value",
			       o->name, *given, value ? value : "");
	*given = value;
	return 0;
}

/* VALUE is what was written together with the option, or NULL. */
static int take(struct parser *p, const struct option *o, const char *value)
{
	if (!o->arg && value)
		return err_set(p->err, ERR_USAGE, 0, "--%s takes no value", o->name);
	if (o->arg && !value && o->without)
		value = o->without;
	if (o->arg && !value) {
		if (p->next >= p->argc)
			return err_set(p->err, ERR_USAGE, 0, "--%s needs a value: --%s %s", o->name,
				       o->name, o->arg);
		value = p->argv[p->next++];
	}
	if (o->arg && !*value && o->kind != OPTION_INT)
		return err_set(p->err, ERR_USAGE, 0,
			       "--%s: the value is empty; give it %s, or leave the option out",
			       o->name, o->arg);
	if (check_once(p, o, value) < 0)
		return -1;
	return apply(o, value, p->err);
}

static int parse_long(struct parser *p, const char *word)
{
	const char *eq = strchrnul(word, '=');
	size_t len = (size_t)(eq - word);
	if (len == 4 && memcmp(word, "help", 4) == 0)
		return 1;
	const struct option *o = find_long(p->usage, word, len);
	if (!o) {
		AUTO(free) char *name = xstrndup(word, len);
		return unknown(p, name);
	}
	return take(p, o, *eq ? eq + 1 : NULL);
}

static int parse_short(struct parser *p, const char *letters)
{
	for (; *letters; letters++) {
		if (*letters == 'h' && !find_short(p->usage, 'h'))
			return 1;
		const struct option *o = find_short(p->usage, *letters);
		if (!o)
			return err_set(p->err, ERR_USAGE, 0,
				       "unknown option -%c; see: rollouts help %s", *letters,
				       p->usage->verb);
		if (o->arg)
			return take(p, o, letters[1] ? letters + 1 : NULL);
		if (take(p, o, NULL) < 0)
			return -1;
	}
	return 0;
}

static int check_operands(const struct parser *p, const struct strv *operands)
{
	if (operands->n < (size_t)p->usage->min)
		return err_set(p->err, ERR_USAGE, 0, "usage: rollouts %s %s", p->usage->verb,
			       p->usage->operands);
	if (operands->n > (size_t)p->usage->max)
		return err_set(p->err, ERR_USAGE, 0,
			       "one argument too many: \"%s\"; see: rollouts help %s",
			       operands->v[p->usage->max], p->usage->verb);
	return 0;
}

int options_parse(const struct usage *u, int argc, char **argv, struct strv *operands,
		  struct err *err)
{
	size_t n = 0;
	while (u->options[n].name)
		n++;
	AUTO(free) const char **given = xcalloc(n + 1, sizeof *given);
	struct parser p = {u, argc, 1, argv, given, err};
	bool only_operands = false;
	while (p.next < argc) {
		const char *word = argv[p.next++];
		int rc = 0;
		if (only_operands || word[0] != '-' || !word[1])
			strv_push(operands, word);
		else if (strcmp(word, "--") == 0)
			only_operands = true;
		else if (word[1] == '-')
			rc = parse_long(&p, word + 2);
		else
			rc = parse_short(&p, word + 1);
		if (rc)
			return rc;
	}
	return check_operands(&p, operands);
}

static bool is_given(const struct option *o)
{
	switch (o->kind) {
	case OPTION_FLAG:
		return *(const bool *)o->target;
	case OPTION_COUNT:
		return *(const int *)o->target;
	case OPTION_STR:
		return *(const char *const *)o->target;
	case OPTION_STRV:
		return ((const struct strv *)o->target)->n;
	case OPTION_INT:
		return *(const int64_t *)o->target;
	case OPTION_KV:
		return ((const struct kvs *)o->target)->n;
	case OPTION_SETTING:
		return kvs_get(o->target, o->setting ? o->setting : o->name);
	}
	bug("option kind %d", (int)o->kind);
}

const struct option *options_given(const struct option *options)
{
	for (const struct option *o = options; o->name; o++)
		if (is_given(o))
			return o;
	return NULL;
}

static void help_option(const struct option *o, struct buf *out)
{
	size_t start = out->len;
	if (o->short_name)
		buf_addf(out, "  -%c, --%s", o->short_name, o->name);
	else
		buf_addf(out, "      --%s", o->name);
	if (o->arg)
		buf_addf(out, o->without ? "[=%s]" : " %s", o->arg);
	size_t width = out->len - start;
	if (width + 2 > HELP_COLUMN)
		buf_addf(out, "\n%*s", HELP_COLUMN, "");
	else
		buf_addf(out, "%*s", (int)(HELP_COLUMN - width), "");
	buf_addf(out, "%s\n", o->help);
}

static void help_examples(const char *examples, struct buf *out)
{
	buf_adds(out, "\nExamples:\n");
	while (*examples) {
		const char *end = strchrnul(examples, '\n');
		buf_addf(out, "  %.*s\n", (int)(end - examples), examples);
		examples = *end ? end + 1 : end;
	}
}

void options_help(const struct usage *u, struct buf *out)
{
	buf_addf(out, "Usage: rollouts %s%s%s%s\n\n%c%s.\n", u->verb,
		 u->options->name ? " [options]" : "", *u->operands ? " " : "", u->operands,
		 toupper((unsigned char)*u->summary), u->summary + 1);
	if (u->text)
		buf_addf(out, "\n%s\n", u->text);
	if (u->options->name)
		buf_adds(out, "\nOptions:\n");
	for (const struct option *o = u->options; o->name; o++)
		help_option(o, out);
	if (u->examples)
		help_examples(u->examples, out);
}

int csv_check(const char *csv, struct err *err)
{
	if (!csv || csv_is_sheet(csv) || strcmp(csv, "programs") == 0)
		return 0;
	return err_set(err, ERR_USAGE, 0,
		       "--csv=%s: there is --csv (exact, for programs) and --csv=excel", csv);
}

bool csv_is_sheet(const char *csv)
{
	return csv && strcmp(csv, "excel") == 0;
}

/* What it makes a verb print is for programs, or a file as it is. */
static bool is_exact(const char *option)
{
	static const char *const names[] = {"json", "csv", "markdown", "raw"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(option, names[i]) == 0)
			return true;
	return false;
}

int cmd_options(const struct usage *u, int argc, char **argv, struct strv *operands)
{
	struct err err;
	int rc = options_parse(u, argc, argv, operands, &err);
	if (rc < 0)
		return cmd_fail(&err);
	if (rc == 0) {
		for (const struct option *o = u->options; o->name; o++)
			if (is_exact(o->name) && is_given(o))
				plain_exact();
		return -1;
	}
	AUTO(buf) struct buf text = BUF_INIT;
	options_help(u, &text);
	fputs(text.data, stdout);
	return CMD_OK;
}
