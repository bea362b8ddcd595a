/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/accounts.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "sandbox/sandbox.h"

enum {
	FIELD_NAME,
	FIELD_PASSWORD,
	FIELD_ID,
	FIELD_GROUP_OF_USER,
	FIELD_MEMBERS = 3,
	FIELD_HOME = 5
};

/* The number at TEXT up to one of STOPS or its end; false when there is none. -1 is no id: it means "leave it". */
static bool read_id(const char *text, const char *stops, uint32_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || n >= UINT32_MAX || !strchr(stops, *end))
		return false;
	*out = (uint32_t)n;
	return true;
}

/* Field WHICH of LINE, which ends at a newline or at the end of the text; NULL: there are not so many. */
static const char *field(const char *line, int which)
{
	for (; which; which--) {
		line += strcspn(line, ":\n");
		if (*line++ != ':')
			return NULL;
	}
	return line;
}

/* The line of TEXT whose name, or else whose id, is WANTED; NULL: none. */
static const char *find_line(const char *text, const char *wanted)
{
	const size_t len = strlen(wanted);
	uint32_t id = 0, its;
	const bool number = read_id(wanted, "", &id);
	const char *by_id = NULL, *end;

	for (const char *line = text ? text : ""; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		if (!strncmp(line, wanted, len) && line[len] == ':')
			return line;
		const char *at = number ? field(line, FIELD_ID) : NULL;
		if (!by_id && at && read_id(at, ":\n", &its) && its == id)
			by_id = line;
	}
	return by_id;
}

/* The id in field WHICH of the line of WANTED. */
static bool find_id(const char *text, const char *wanted, int which, uint32_t *out)
{
	const char *line = find_line(text, wanted);
	const char *at = line ? field(line, which) : NULL;

	return at && read_id(at, ":\n", out);
}

int accounts_find(const struct image *image, const char *user, uid_t *uid, gid_t *gid,
		  struct err *err)
{
	const char *colon = strchr(user, ':');
	AUTO(free) char *name = colon ? xstrndup(user, (size_t)(colon - user)) : xstrdup(user);
	const char *group = colon ? colon + 1 : "";
	uint32_t id = 0, group_id = 0;

	if (!find_id(image->passwd, name, FIELD_ID, &id) && !read_id(name, "", &id))
		return err_set(err, ERR_USAGE, 0, "the image has no user \"%.60s\"", name);
	if (!*group)
		find_id(image->passwd, name, FIELD_GROUP_OF_USER, &group_id);
	else if (!find_id(image->group, group, FIELD_ID, &group_id) &&
		 !read_id(group, "", &group_id))
		return err_set(err, ERR_USAGE, 0, "the image has no group \"%.60s\"", group);
	*uid = id;
	*gid = group_id;
	return 0;
}

static bool lists(const char *members, const char *name)
{
	const size_t len = strlen(name);

	for (const char *at = members; *at && *at != '\n';) {
		const size_t n = strcspn(at, ",\n");
		if (n == len && !strncmp(at, name, n))
			return true;
		at += n + (at[n] == ',');
	}
	return false;
}

size_t accounts_groups(const struct image *image, const char *user, uint32_t *out, size_t max)
{
	const char *line = find_line(image->passwd, user), *end;
	size_t n = 0;

	/* Whoever names a group means that one alone. */
	if (!line || strchr(user, ':'))
		return 0;
	AUTO(free) char *name = xstrndup(line, strcspn(line, ":\n"));
	for (line = image->group ? image->group : ""; *line && n < max;
	     line = *end ? end + 1 : end) {
		const char *id = field(line, FIELD_ID), *members = field(line, FIELD_MEMBERS);
		end = strchrnul(line, '\n');
		n += id && members && lists(members, name) && read_id(id, ":\n", &out[n]);
	}
	return n;
}

char *sandbox_home(const struct image *image, const char *user)
{
	const char *who = *user ? user : image->user && *image->user ? image->user : "0";
	AUTO(free) char *name = xstrndup(who, strcspn(who, ":"));
	const char *line = find_line(image->passwd, name);
	const char *home = line ? field(line, FIELD_HOME) : NULL;
	const size_t n = home ? strcspn(home, ":\n") : 0;

	return n ? xstrndup(home, n) : xstrdup("/");
}
