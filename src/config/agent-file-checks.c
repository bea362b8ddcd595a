/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-file-checks.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"

void file_complain(const struct reader *r, int line, int col, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	strv_pushf(r->issues, "%s:%d:%d: %s", r->path, line, col, text);
}

bool file_expect(const struct reader *r, const struct toml_node *n, enum toml_kind kind,
		 const char *name)
{
	if (n->kind == kind)
		return true;
	file_complain(r, n->line, n->col, "%s must be %s, not %s", name, toml_kind_name(kind),
		      toml_kind_name(n->kind));
	return false;
}

void file_string(const struct reader *r, const struct toml_node *n, const char *name)
{
	(void)file_expect(r, n, TOML_STRING, name);
}

void file_choice(const struct reader *r, const struct toml_node *n, const char *name,
		 const char *const *choices)
{
	AUTO(buf) struct buf all = BUF_INIT;
	if (!file_expect(r, n, TOML_STRING, name))
		return;
	for (const char *const *c = choices; *c; c++) {
		if (strcmp(*c, n->text) == 0)
			return;
		buf_addf(&all, "%s\"%s\"", all.len ? ", " : "", *c);
	}
	file_complain(r, n->line, n->col, "%s = \"%s\" is not one of: %s", name, n->text, all.data);
}

bool file_is_scalar(const struct toml_node *n)
{
	return n->kind == TOML_STRING || n->kind == TOML_INT || n->kind == TOML_REAL ||
	       n->kind == TOML_BOOL;
}

static void unknown(const struct reader *r, const struct toml_node *n, const struct member *members,
		    const char *what)
{
	AUTO(strv) struct strv names = STRV_INIT;
	for (; members->name; members++)
		strv_push(&names, members->name);
	const char *near = text_nearest(n->key, strv_items(&names));
	file_complain(r, n->key_line, n->key_col, "unknown key \"%s\" in %s%s%s%s", n->key, what,
		      near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "");
}

void file_members(const struct reader *r, const struct toml_node *table,
		  const struct member *members, const char *what)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct toml_node *n = &table->items[i];
		const struct member *m = members;
		while (m->name && strcmp(m->name, n->key) != 0)
			m++;
		if (!m->name)
			unknown(r, n, members, what);
		else if (m->choices)
			file_choice(r, n, m->name, m->choices);
		else
			m->check(r, n, m->name);
	}
	for (const struct member *m = members; m->name; m++)
		if (m->required && !toml_get(table, m->name))
			file_complain(r, table->line, table->col, "%s has no \"%s\"", what,
				      m->name);
}
