/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/providers.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/providers-file.h"

#define ALIAS_STEPS 4 /* an alias of an alias is one mistake away from a circle */

char *providers_user_folder(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (xdg && *xdg == '/')
		return xasprintf("%s/rollouts", xdg);
	if (home && *home == '/')
		return xasprintf("%s/.config/rollouts", home);
	return xstrdup("");
}

const struct provider *providers_find(const struct providers *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->list[i].name, name) == 0)
			return &p->list[i];
	return NULL;
}

static int check_rules(const struct providers *p, struct strv *issues, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	size_t before = issues->n;

	for (size_t i = 0; i < p->n; i++)
		strv_push(&names, p->list[i].name);
	for (size_t i = 0; i < p->rules_n; i++) {
		const struct model_rule *m = &p->rules[i];
		if (providers_find(p, m->provider))
			continue;
		const char *near = text_nearest(m->provider, strv_items(&names));
		strv_pushf(issues,
			   "providers.toml: the model rule \"%s\" names the provider \"%s\", "
			   "which is nowhere%s%s%s",
			   m->match, m->provider, near ? " (did you mean \"" : "", near ? near : "",
			   near ? "\"?)" : "");
	}
	return issues->n == before ? 0 : err_set(err, ERR_USAGE, 0, "providers.toml: mistakes");
}

int providers_read(struct providers *out, const char *const paths[PROVIDER_PLACES],
		   struct strv *issues, struct err *err)
{
	int rc = 0;

	*out = (struct providers){0};
	for (int i = 0; i < PROVIDER_PLACES; i++)
		if (paths[i])
			rc |= providers_file_read(out, paths[i], (enum provider_origin)i, issues,
						  err);
	return rc ? -1 : check_rules(out, issues, err);
}

int providers_load(struct providers *out, const char *config_path, struct strv *issues,
		   struct err *err)
{
	const char *slash = config_path ? strrchr(config_path, '/') : NULL;
	AUTO(free) char *user = providers_user_folder();
	AUTO(free) char *mine = xasprintf("%s/providers.toml", user);
	AUTO(free) char *shipped = install_share("providers.toml");
	AUTO(free)
	char *beside = xasprintf("%.*sproviders.toml", slash ? (int)(slash - config_path) + 1 : 0,
				 config_path ? config_path : "");
	const char *const paths[PROVIDER_PLACES] = {
		[PROVIDER_BENCH] = config_path ? beside : NULL,
		[PROVIDER_USER] = *user ? mine : NULL,
		[PROVIDER_SHIPPED] = shipped,
	};

	return providers_read(out, paths, issues, err);
}

static void release_provider(struct provider *v)
{
	free(v->name);
	free(v->place);
	free(v->folder);
	free(v->base_url);
	free(v->key_command);
	free(v->probe);
	free(v->key_header);
	free(v->anthropic_version);
	strv_release(&v->key_env);
	strv_release(&v->apis);
	kvs_release(&v->headers);
	kvs_release(&v->paths);
}

void providers_release(struct providers *p)
{
	for (size_t i = 0; i < p->n; i++)
		release_provider(&p->list[i]);
	for (size_t i = 0; i < p->rules_n; i++) {
		free(p->rules[i].match);
		free(p->rules[i].provider);
		free(p->rules[i].successor);
	}
	free(p->list);
	free(p->rules);
	kvs_release(&p->aliases);
	*p = (struct providers){0};
}

static int nobody(const struct providers *p, const char *model, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(free) char *user = providers_user_folder();

	for (size_t i = 0; i < p->aliases.n; i++)
		strv_push(&names, p->aliases.v[i].key);
	for (size_t i = 0; i < p->rules_n; i++) {
		size_t plain = strcspn(p->rules[i].match, "*?[");
		AUTO(free) char *name = xstrndup(p->rules[i].match, plain);
		if (plain > 3)
			strv_push(&names, name);
	}
	const char *near = text_nearest(model, strv_items(&names));
	return err_set(err, ERR_USAGE, 0,
		       "nobody answers the model \"%s\"%s%s%s: name it in [[models]] of "
		       "%s/providers.toml, or of a providers.toml beside the benchmark",
		       model, near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "",
		       user);
}

/* What NAME stands for, or NULL: for itself. */
static const char *alias_of(const struct providers *p, const char *name)
{
	size_t at = 0;

	while (at < p->aliases.n && strcmp(p->aliases.v[at].key, name))
		at++;
	if (at == p->aliases.n)
		return NULL;
	for (size_t i = 0; at >= p->own_aliases && i < p->rules_n; i++)
		if (p->rules[i].origin != PROVIDER_SHIPPED && text_glob(p->rules[i].match, name))
			return NULL;
	return p->aliases.v[at].value;
}

int providers_route(const struct providers *p, const char *model, struct route *out,
		    struct err *err)
{
	const char *id = model, *next;
	char today[PRICE_DATE];

	price_today(today);
	for (int i = 0; i < ALIAS_STEPS && (next = alias_of(p, id)); i++)
		id = next;
	for (size_t i = 0; i < p->rules_n; i++) {
		const struct model_rule *m = &p->rules[i];
		if (!text_glob(m->match, id) || !price_holds(&m->price, today))
			continue;
		if (*m->shutdown && strcmp(m->shutdown, today) <= 0)
			return err_set(err, ERR_USAGE, 0,
				       "the model \"%s\" was shut down by %s on %s%s%s", id,
				       m->provider, m->shutdown,
				       m->successor ? "; its successor is " : "",
				       m->successor ? m->successor : "");
		*out = (struct route){providers_find(p, m->provider), id, &m->price};
		return 0;
	}
	return nobody(p, model, err);
}
