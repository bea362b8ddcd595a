/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "config/agent-copies.h"
#include "config/agent-file-checks.h"
#include "config/agent-layers.h"
#include "config/toml.h"
#include "core/api.h"
#include "core/kv.h"
#include "core/placeholders.h"

#define FILE_MAX_BYTES (4u << 20)

/* A word in braces that is nearly a placeholder was meant to be one. In the text of a program, braces are its own. */
static void check_placeholders(const struct reader *r, const struct toml_node *n)
{
	char wrong[80], right[80];
	if (n->text && placeholder_misspelt(n->text, wrong, right, sizeof wrong))
		file_complain(r, n->line, n->col, "{%s} is no placeholder (did you mean {%s}?)",
			      wrong, right);
}

static void check_template(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (file_expect(r, n, TOML_STRING, name))
		check_placeholders(r, n);
}

static void check_seconds(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (file_expect(r, n, TOML_INT, name) && (n->integer < 1 || n->integer > 86400))
		file_complain(r, n->line, n->col, "%s is from 1 to 86400", name);
}

static void check_bool(const struct reader *r, const struct toml_node *n, const char *name)
{
	(void)file_expect(r, n, TOML_BOOL, name);
}

static void check_day(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (file_expect(r, n, TOML_STRING, name) &&
	    !text_glob("[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]", n->text))
		file_complain(r, n->line, n->col, "\"%s\" is no day as \"2026-01-31\" is", n->text);
}

static void check_strings(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_ARRAY, name))
		return;
	for (size_t i = 0; i < n->n; i++)
		check_template(r, &n->items[i], name);
}

static void check_argv(const struct reader *r, const struct toml_node *n, const char *name)
{
	check_strings(r, n, name);
	if (n->kind == TOML_ARRAY && (!n->n || (n->items[0].text && !*n->items[0].text)))
		file_complain(r, n->line, n->col, "argv must begin with a program");
}

static void check_map(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++)
		check_template(r, &n->items[i], n->items[i].key);
}

/* Names are templates, and so are contents unless they are a program, by their first line or their name. */
static void check_files(const struct reader *r, const struct toml_node *n, const char *name)
{
	static const char *const ends[] = {".sh", ".py", ".js", ".mjs", ".ts", ".rb", ".pl"};
	if (!file_expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *v = &n->items[i], key = {.line = v->key_line,
								 .col = v->key_col,
								 .text = v->key};
		const size_t len = strlen(v->key);
		bool program = v->text && strncmp(v->text, "#!", 2) == 0;
		for (size_t e = 0; e < ARRAY_SIZE(ends); e++)
			program = program || (len > strlen(ends[e]) &&
					      strcmp(v->key + len - strlen(ends[e]), ends[e]) == 0);
		check_placeholders(r, &key);
		if (program)
			file_string(r, v, v->key);
		else
			check_template(r, v, v->key);
	}
}

/* A placeholder stands for the per-trial token, which is worth nothing outside. */
static void check_env(const struct reader *r, const struct toml_node *n, const char *name)
{
	check_map(r, n, name);
	for (size_t i = 0; n->kind == TOML_TABLE && i < n->n; i++) {
		const struct toml_node *v = &n->items[i];
		if (v->text && kv_is_secret(v->key) && !strstr(v->text, "{token}"))
			file_complain(
				r, v->line, v->col,
				"env.%s names a credential, which never enters a sandbox; write "
				"\"{token}\"",
				v->key);
	}
}

static const char *const kinds[] = {"cli", NULL};
static const char *const needs[] = {"", "model", NULL};
static void check_layer(const struct reader *r, const struct toml_node *n, const char *name);

static void check_apis(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_ARRAY, name))
		return;
	if (!n->n)
		file_complain(r, n->line, n->col, "apis must name one API at least");
	for (size_t i = 0; i < n->n; i++)
		file_choice(r, &n->items[i], name, api_names);
}

/* clang-format off */
static const struct member dialect_members[] = {
	{ .name = "args", .check = check_strings },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = NULL },
};
/* clang-format on */

static void check_dialects(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *d = &n->items[i];
		const struct toml_node key = {.kind = TOML_STRING,
					      .line = d->key_line,
					      .col = d->key_col,
					      .text = d->key};
		AUTO(free) char *what = xasprintf("[api.%s]", d->key);
		file_choice(r, &key, "an API", api_names);
		if (file_expect(r, d, TOML_TABLE, what))
			file_members(r, d, dialect_members, what);
	}
}

static void check_program(const struct reader *r, const struct toml_node *n, const char *name)
{
	check_strings(r, n, name);
	for (size_t i = 0; n->kind == TOML_ARRAY && i < n->n; i++)
		if (n->items[i].text && !path_is_inside(n->items[i].text))
			file_complain(r, n->items[i].line, n->items[i].col,
				      "\"%s\" is not a path inside the installation",
				      n->items[i].text);
	if (n->kind == TOML_ARRAY && !n->n)
		file_complain(r, n->line, n->col, "%s must begin with a program", name);
}

/* clang-format off */
static const struct member layer_members[] = {
	{ .name = "args", .check = check_strings },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = NULL },
};
static const struct member option_members[] = {
	{ .name = "args", .check = check_strings },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = "choices", .check = check_strings },
	{ .name = "default", .check = file_string },
	{ .name = "join", .check = file_string },
	{ .name = "each", .check = file_string },
	{ .name = "repeat", .check = check_bool },
	{ .name = NULL },
};
static const struct member prompt_members[] = {
	{ .name = "replace", .check = check_layer },
	{ .name = "append", .check = check_layer },
	{ .name = NULL },
};
/* clang-format on */

static void check_layer(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (file_expect(r, n, TOML_TABLE, name))
		file_members(r, n, layer_members, name);
}

/* The values of a variant, and the declarations of those who have options, which are tables. */
static void check_options(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *v = &n->items[i];
		AUTO(free) char *what = xasprintf("[options.%s]", v->key);
		bool ok = file_is_scalar(v);
		for (size_t k = 0; v->kind == TOML_ARRAY && k < v->n; k++)
			ok = (k == 0 || ok) && file_is_scalar(&v->items[k]);
		if (v->kind == TOML_TABLE)
			file_members(r, v, option_members, what);
		else if (!ok)
			file_complain(
				r, v->line, v->col,
				"options.%s must be a string, a number, true, false or a list of "
				"them",
				v->key);
	}
}

static void check_table(const struct reader *r, const struct toml_node *n, const char *name)
{
	(void)file_expect(r, n, TOML_TABLE, name);
}

static const char *const mcp_formats[] = {"json", "toml", "opencode", NULL};

/* clang-format off */
static const struct member mcp_config_members[] = {
	{ .name = "format", .choices = mcp_formats },
	{ .name = "server", .check = check_table },
	{ .name = "args", .check = check_strings },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = NULL },
};
static const struct member server_members[] = {
	{ .name = "command", .check = check_argv },
	{ .name = "url", .check = check_template },
	{ .name = "env", .check = check_env },
	{ .name = NULL },
};
static const struct member service_members[] = {
	{ .name = "argv", .check = check_argv, .required = true },
	{ .name = "ready", .check = check_argv },
	{ .name = "ready_sec", .check = check_seconds },
	{ .name = "log", .check = check_template },
	{ .name = NULL },
};
/* clang-format on */

/* How a session goes on with the next prompt, and how pictures are handed over. */
static const char *const usages[] = {"prompt", "total", NULL};

/* clang-format off */
static const struct member follow_up_members[] = {
	{ .name = "args", .check = check_strings },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = "argv", .check = check_argv },
	{ .name = "stdin", .check = check_template },
	{ .name = "usage", .choices = usages },
	{ .name = NULL },
};
static const struct member images_members[] = {
	{ .name = "args", .check = check_strings },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = "argv", .check = check_strings },
	{ .name = "stdin", .check = check_template },
	{ .name = "each", .check = check_template },
	{ .name = NULL },
};
/* clang-format on */

static void check_follow_up(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (file_expect(r, n, TOML_TABLE, name))
		file_members(r, n, follow_up_members, "[follow_up]");
}

static void check_images(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (file_expect(r, n, TOML_TABLE, name))
		file_members(r, n, images_members, "[images]");
}

static void check_mcp_config(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (file_expect(r, n, TOML_TABLE, name))
		file_members(r, n, mcp_config_members, "[mcp_config]");
}

static void check_mcp(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		AUTO(free) char *what = xasprintf("[mcp.%s]", n->items[i].key);
		if (!file_expect(r, &n->items[i], TOML_TABLE, what))
			continue;
		file_members(r, &n->items[i], server_members, what);
		if (!toml_get(&n->items[i], "command") == !toml_get(&n->items[i], "url"))
			file_complain(r, n->items[i].line, n->items[i].col,
				      "%s needs either command or url", what);
	}
}

static void check_services(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		AUTO(free) char *what = xasprintf("[services.%s]", n->items[i].key);
		if (strpbrk(n->items[i].key, "/ ") || *n->items[i].key == '.')
			file_complain(r, n->items[i].key_line, n->items[i].key_col,
				      "\"%s\" is no name of a service", n->items[i].key);
		if (file_expect(r, &n->items[i], TOML_TABLE, what))
			file_members(r, &n->items[i], service_members, what);
	}
}

/* Commands: a text for a shell, or a list of words. */
static void check_before(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_ARRAY, name))
		return;
	for (size_t i = 0; i < n->n; i++)
		if (n->items[i].kind == TOML_ARRAY)
			check_argv(r, &n->items[i], name);
		else
			check_template(r, &n->items[i], name);
}

static void check_prompt(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (n->kind == TOML_TABLE)
		file_members(r, n, prompt_members, "[system_prompt]");
	else
		file_string(r, n, name);
}

static void check_sha256(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (file_expect(r, n, TOML_STRING, name) &&
	    (strlen(n->text) != 64 || strspn(n->text, "0123456789abcdef") != 64))
		file_complain(r, n->line, n->col, "sha256 is 64 digits of 0-9 and a-f");
}

static void check_image(const struct reader *r, const struct toml_node *n, const char *name)
{
	const char *digest =
		file_expect(r, n, TOML_STRING, name) ? strstr(n->text, "@sha256:") : "";
	const char *digits = digest && *digest ? digest + strlen("@sha256:") : "";

	if (!digest || (*digest && (digest == n->text || strlen(digits) != 64 ||
				    strspn(digits, "0123456789abcdef") != 64)))
		file_complain(r, n->line, n->col,
			      "image is NAME@sha256: and 64 digits, which name one image for ever: "
			      "docker "
			      "inspect --format '{{.RepoDigests}}' NAME");
}

/* clang-format off */
static const struct member install_members[] = {
	{ .name = "version", .check = file_string, .required = true },
	{ .name = "before", .check = check_day },
	{ .name = "npm", .check = check_strings },
	{ .name = "pip", .check = check_strings },
	{ .name = "url", .check = file_string },
	{ .name = "sha256", .check = check_sha256 },
	{ .name = "image", .check = check_image },
	{ .name = "program", .check = check_program, .required = true },
	{ .name = NULL },
};
/* clang-format on */

static void check_install(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_TABLE, name))
		return;
	file_members(r, n, install_members, "[install]");
	const int ways = !!toml_get(n, "npm") + !!toml_get(n, "pip") + !!toml_get(n, "url") +
			 !!toml_get(n, "image");
	if (ways != 1)
		file_complain(r, n->line, n->col,
			      "[install] needs one of npm, pip, url and image, which say what is "
			      "fetched");
	if (toml_get(n, "url") && !toml_get(n, "sha256"))
		file_complain(
			r, n->line, n->col,
			"[install] needs the sha256 of what url names: curl -sL URL | sha256sum");
}

/* What can only be seen with the whole file in view. */
static void check_whole(const struct reader *r, const struct toml_node *root)
{
	const struct toml_node *apis = toml_get(root, "apis"), *api = toml_get(root, "api");
	const struct toml_node *prompt = toml_get(root, "system_prompt"),
			       *more = toml_get(root, "append_system_prompt");
	if (!toml_get(root, "argv") && !toml_get(root, "base"))
		file_complain(
			r, root->line, root->col,
			"an agent has \"argv\", or \"base\", the agent that it is a variant of");
	if (more && prompt && prompt->kind == TOML_STRING)
		file_complain(r, more->line, more->col,
			      "give either system_prompt or append_system_prompt");
	for (size_t i = 0; api && api->kind == TOML_TABLE && i < api->n; i++) {
		const struct toml_node *d = &api->items[i];
		bool listed = false;
		for (size_t j = 0; apis && apis->kind == TOML_ARRAY && j < apis->n; j++)
			listed = listed ||
				 (apis->items[j].text && strcmp(apis->items[j].text, d->key) == 0);
		if (!listed && !toml_get(root, "base"))
			file_complain(r, d->key_line, d->key_col,
				      "[api.%s] is never used: apis does not name it", d->key);
	}
}

/* clang-format off */
static const struct member agent_members[] = {
	{ .name = "kind", .choices = kinds },
	{ .name = "summary", .check = file_string },
	{ .name = "needs", .choices = needs },
	{ .name = "models", .check = check_strings },
	{ .name = "requires", .check = check_strings },
	{ .name = "shows", .check = check_strings },
	{ .name = "follow_up", .check = check_follow_up },
	{ .name = "images", .check = check_images },
	{ .name = "mcp_config", .check = check_mcp_config },
	{ .name = "mcp", .check = check_mcp },
	{ .name = "services", .check = check_services },
	{ .name = "before", .check = check_before },
	{ .name = "optional_roles", .check = check_strings },
	{ .name = "version", .check = file_string },
	{ .name = "base", .check = file_string },
	{ .name = "argv", .check = check_argv },
	{ .name = "args", .check = check_strings },
	{ .name = "options", .check = check_options },
	{ .name = "system_prompt", .check = check_prompt },
	{ .name = "append_system_prompt", .check = file_string },
	{ .name = "stdin", .check = check_template },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = "collect", .check = check_strings },
	{ .name = "output", .check = file_output },
	{ .name = "apis", .check = check_apis },
	{ .name = "api", .check = check_dialects },
	{ .name = "install", .check = check_install },
	{ .name = NULL },
};
/* clang-format on */

static int read_text(const char *path, struct buf *text, struct err *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "open %s", path);
	if (path_read_fd(fd, FILE_MAX_BYTES, text, err) < 0) {
		err->kind = ERR_USAGE;
		return err_wrap(err, "%s", path);
	}
	return 0;
}

static int take(json_t **out, const struct reader *r, const struct toml_node *root,
		const char *folder, struct err *err)
{
	size_t before = r->issues->n;
	file_members(r, root, agent_members, "an agent file");
	check_whole(r, root);
	if (r->issues->n > before)
		return err_set(err, ERR_USAGE, 0, "%s: mistakes", r->path);
	AUTO(json) json_t *spec = toml_to_json(root);
	if (agent_put_apart(spec, folder, err) || agent_copies_take(spec, folder, err)) {
		file_complain(r, root->line, root->col, "%s", err->msg);
		return -1;
	}
	*out = json_incref(spec);
	return 0;
}

int agent_file_read(json_t **out, const char *path, struct strv *issues, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(free) char *folder = path_folder(path);
	const struct reader r = {path, issues};
	struct toml_error where;
	if (read_text(path, &text, err) < 0)
		return -1;
	struct toml_node *root = toml_parse(text.data, text.len, &where);
	if (!root) {
		file_complain(&r, where.line, where.col, "%s", where.msg);
		return err_set(err, ERR_USAGE, 0, "%s: not TOML", path);
	}
	int rc = take(out, &r, root, folder, err);
	toml_free(root);
	return rc;
}

bool agent_is_around(const char *key)
{
	static const char *const keys[] = {"mcp", "services", "before"};
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

json_t *agent_around_read(const char *path, const struct toml_node *root, struct strv *issues)
{
	const struct reader r = {path, issues};
	json_t *around = json_object();
	for (size_t i = 0; i < root->n; i++) {
		const struct toml_node *n = &root->items[i];
		const struct member *m = agent_members;
		if (!agent_is_around(n->key))
			continue;
		while (strcmp(m->name, n->key) != 0)
			m++;
		m->check(&r, n, m->name);
		json_put(around, n->key, toml_to_json(n));
	}
	return around;
}

int agent_table_read(json_t **out, const char *path, const struct toml_node *table,
		     struct strv *issues, struct err *err)
{
	AUTO(free) char *folder = path_folder(path);
	const struct reader r = {path, issues};
	return take(out, &r, table, folder, err);
}
