/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/image.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/json-fields.h"

enum { IMAGE_JSON_MAX = 4 << 20 };

#define IMAGE(member) JSON_FIELD(struct image, member, FIELD_STR, false)
static const struct json_field fields[] = {
	IMAGE(name),	  IMAGE(engine),  IMAGE(id),	   IMAGE(digest),  IMAGE(error),
	IMAGE(passwd),	  IMAGE(group),	  IMAGE(platform), IMAGE(created), IMAGE(entrypoint),
	IMAGE(gitconfig), IMAGE(workdir), IMAGE(user),
};

char *image_path(const char *key, const char *id)
{
	const char *digits = id ? strchr(id, ':') : NULL;

	return digits ? xasprintf(DATA_IMAGES "/%s.%.12s.json", key, digits + 1)
		      : xasprintf(DATA_IMAGES "/%s.json", key);
}

static void read_list(struct strv *out, const json_t *list)
{
	const json_t *item;
	size_t at;

	json_array_foreach (list, at, item)
		if (json_is_string(item))
			strv_push(out, json_string_value(item));
}

bool image_runs_entry(const struct image *i)
{
	static const char *const interpreters[] = {
		"sh",	"bash", "dash", "ash",	 "zsh", "fish",	   "node",   "ruby",   "irb",
		"perl", "php",	"R",	"julia", "env", "busybox", "python", "ipython"};
	const char *name = i->entry.n == 1 ? path_base(i->entry.v[0]) : "";

	for (size_t k = 0; k < ARRAY_SIZE(interpreters); k++) {
		const size_t n = strlen(interpreters[k]);
		/* With a version: python3.12. */
		if (!strncmp(name, interpreters[k], n) &&
		    !name[n + strspn(name + n, "0123456789.")])
			return false;
	}
	return i->entry.n > 0;
}

const char *image_copy(const struct image *i, const char *path)
{
	const char *key = json_get_str(i->copies, path, "");

	return *key ? key : NULL;
}

int image_read(struct image *out, int root_fd, const char *key, const char *id, struct err *err)
{
	AUTO(free) char *path = image_path(key, id);
	AUTO(json) json_t *j = NULL;
	struct image read = {.env = STRV_INIT, .bases = STRV_INIT};

	if (json_read(&j, root_fd, path, IMAGE_JSON_MAX, err) || json_fields_check(j, path, err))
		return -1;
	if (json_fields_read(&read, fields, ARRAY_SIZE(fields), j, path, err)) {
		image_release(&read);
		return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		char **s = (char **)((char *)&read + fields[i].offset);
		if (!*s)
			*s = xstrdup("");
	}
	read_list(&read.env, json_object_get(j, "env"));
	read_list(&read.bases, json_object_get(j, "bases"));
	read_list(&read.entry, json_object_get(j, "entry"));
	read_list(&read.proxies, json_object_get(j, "proxies"));
	read_list(&read.closed, json_object_get(j, "closed"));
	read.health = json_is_object(json_object_get(j, "health"))
			      ? json_incref(json_object_get(j, "health"))
			      : NULL;
	read.copies = json_incref(json_object_get(j, "copies"));
	read.sudo = json_get_bool(j, "sudo", false);
	read.looked = (int)json_get_int(j, "looked", 0);
	*out = read;
	return 0;
}

int image_write(const struct image *i, int root_fd, const char *key, struct err *err)
{
	AUTO(free) char *own = image_path(key, i->id);
	AUTO(free) char *latest = image_path(key, NULL);
	AUTO(json) json_t *j = json_object();

	json_put_int(j, "v", JSON_FIELDS_VERSION);
	json_fields_write(j, i, fields, ARRAY_SIZE(fields));
	json_put_strv(j, "env", &i->env);
	json_put_strv(j, "bases", &i->bases);
	json_put_strv(j, "entry", &i->entry);
	json_put_strv(j, "proxies", &i->proxies);
	json_put_strv(j, "closed", &i->closed);
	if (i->sudo)
		json_put_bool(j, "sudo", true);
	json_put(j, "health", i->health ? json_incref(i->health) : json_null());
	json_put(j, "copies", i->copies ? json_incref(i->copies) : json_object());
	json_put_int(j, "looked", i->looked);
	if (strcmp(own, latest) && json_write(root_fd, own, j, false, err))
		return -1;
	return json_write(root_fd, latest, j, false, err);
}

void image_release(struct image *i)
{
	for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
		free(*(char **)((char *)i + fields[k].offset));
	strv_release(&i->env);
	strv_release(&i->bases);
	strv_release(&i->entry);
	strv_release(&i->closed);
	strv_release(&i->proxies);
	json_decref(i->health);
	json_decref(i->copies);
	*i = (struct image){.env = STRV_INIT, .bases = STRV_INIT};
}
