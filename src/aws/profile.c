/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "aws/profile.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

enum { FILE_MAX_BYTES = 4 << 20 };

static char *strip(char *text)
{
	text += strspn(text, " \t");
	size_t n = strlen(text);
	while (n && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	return text;
}

static json_t *member(json_t *of, const char *name)
{
	json_t *found = json_object_get(of, name);

	if (!found)
		json_object_set_new(of, name, found = json_object());
	return found;
}

/* "[profile a b]" of config, "[a b]" of credentials. NULL: of no use to us. */
static json_t *section(struct profiles *p, char *head, bool is_config)
{
	char *end = strchr(head, ']');

	if (!end)
		return NULL;
	*end = '\0';
	head = strip(head);
	static const char *const kinds[] = {"profile", "sso-session", "services"};
	json_t *const places[] = {p->profiles, p->sso_sessions, p->services};
	for (size_t i = 0; is_config && i < ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i]);
		if (strncmp(head, kinds[i], n) || !isspace((unsigned char)head[n]))
			continue;
		char *name = strip(head + n);
		if (*name == '"' || *name == '\'') {
			name++;
			name[strcspn(name, "\"'")] = '\0';
		}
		return member(places[i], name);
	}
	return !is_config || !strcmp(head, "default") ? member(p->profiles, head) : NULL;
}

/* A comment begins at " #" or " ;" behind a value, as AWS has it. */
static char *value_of(char *text)
{
	for (char *c = text; *c; c++)
		if ((*c == '#' || *c == ';') && c > text && isspace((unsigned char)c[-1])) {
			*c = '\0';
			break;
		}
	return strip(text);
}

static int read_file(struct profiles *p, const char *path, bool is_config, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *at = NULL;
	AUTO(free) char *group = NULL;
	struct err why;
	int number = 0;

	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : err_set(err, ERR_USAGE, errno, "read %s", path);
	if (path_read_fd(fd, FILE_MAX_BYTES, &text, &why))
		return err_set(err, ERR_USAGE, 0, "%s: %s", path, why.msg);
	for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
		const bool nested = isspace((unsigned char)*line);
		char *plain = strip(line);
		number++;
		if (!*plain || *plain == '#' || *plain == ';')
			continue;
		if (*plain == '[') {
			at = section(p, plain + 1, is_config);
			continue;
		}
		char *equals = strchr(plain, '=');
		if (!equals)
			return err_set(err, ERR_USAGE, 0,
				       "%s, line %d: neither [section] nor key = value", path,
				       number);
		*equals = '\0';
		AUTO(free) char *key = xstrdup(strip(plain));
		char *value = value_of(equals + 1);
		if (nested && group) {
			AUTO(free) char *whole = xasprintf("%s.%s", group, key);
			if (at)
				json_put_str(at, whole, value);
			continue;
		}
		free(group);
		group = *value ? NULL : xstrdup(key);
		if (at && *value)
			json_put_str(at, key, value);
	}
	return 0;
}

static char *file_of(const char *variable, const char *name)
{
	const char *set = getenv(variable), *home = getenv("HOME");

	if (set && *set)
		return !strncmp(set, "~/", 2) && home ? path_join(home, set + 2) : xstrdup(set);
	return home && *home ? xasprintf("%s/.aws/%s", home, name) : NULL;
}

int profiles_read(struct profiles *p, struct err *err)
{
	AUTO(free) char *config = file_of("AWS_CONFIG_FILE", "config");
	AUTO(free) char *credentials = file_of("AWS_SHARED_CREDENTIALS_FILE", "credentials");
	const char *name = getenv("AWS_PROFILE"), *older = getenv("AWS_DEFAULT_PROFILE");

	*p = (struct profiles){json_object(), json_object(), json_object(), NULL, false};
	if (!name || !*name)
		name = older;
	p->named = name && *name;
	p->chosen = xstrdup(p->named ? name : "default");
	if ((config && read_file(p, config, true, err)) ||
	    (credentials && read_file(p, credentials, false, err)))
		return -1;
	if (p->named && !json_object_get(p->profiles, p->chosen))
		return err_set(err, ERR_USAGE, 0,
			       "AWS profile \"%s\" (AWS_PROFILE) is in neither %s nor %s",
			       p->chosen, config ? config : "~/.aws/config",
			       credentials ? credentials : "~/.aws/credentials");
	return 0;
}

void profiles_release(struct profiles *p)
{
	json_decref(p->profiles);
	json_decref(p->sso_sessions);
	json_decref(p->services);
	free(p->chosen);
	*p = (struct profiles){0};
}

const char *profiles_get(const struct profiles *p, const char *name, const char *key)
{
	return json_get_str(json_object_get(p->profiles, name ? name : p->chosen), key, NULL);
}

const char *profiles_setting(const struct profiles *p, const char *env, const char *key)
{
	const char *set = env ? getenv(env) : NULL;

	return set && *set ? set : key ? profiles_get(p, NULL, key) : NULL;
}
