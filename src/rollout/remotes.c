/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/remotes.h"
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/network-env.h"
#include "repo/mirror.h"
#include "repo/peek.h"
#include "rollout/keys.h"
#include "task/dotenv.h"
#include "task/task.h"

#define ASK_MS 30000
enum { LOOKED_MAX = 40 }; /* each is a fetch of trees */

/* "https://HOST[:PORT]/" of a URL that is asked with a token, or NULL. The caller frees. */
static char *web_origin(const char *url)
{
	static const char scheme[] = "https://";
	size_t begin = sizeof scheme - 1;

	if (strncmp(url, scheme, begin) != 0)
		return NULL;
	return xasprintf("%.*s/", (int)(begin + strcspn(url + begin, "/")), url);
}

static bool is_remote(const char *url)
{
	return *url && *url != '/' && strncmp(url, "file:", strlen("file:")) != 0;
}

/* No two hosts have one name. NULL for what is no host's. */
static char *variable_of(const char *origin)
{
	AUTO(buf) struct buf out = BUF_INIT;

	buf_adds(&out, "GIT_");
	for (const char *c = origin + strlen("https://"); *c && *c != '/' && *c != ':'; c++) {
		if (isalnum((unsigned char)*c))
			buf_addc(&out, (char)toupper((unsigned char)*c));
		else if (*c == '.' || *c == '-')
			buf_adds(&out, *c == '.' ? "_" : "__");
		else
			return NULL;
	}
	buf_adds(&out, "_TOKEN");
	return buf_detach(&out);
}

static void names_of(struct strv *out, const char *origin)
{
	static const char *const usual[][2] = {{"https://github.com/", "GITHUB_TOKEN"},
					       {"https://github.com/", "GH_TOKEN"},
					       {"https://gitlab.com/", "GITLAB_TOKEN"}};
	char *own = variable_of(origin);

	if (own)
		strv_take(out, own);
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (!strcmp(origin, usual[i][0]))
			strv_push(out, usual[i][1]);
}

static bool find_token(struct buf *out, const struct strv *names, const struct strv *files,
		       const char *task_dir)
{
	AUTO(free) char *own = task_dir ? path_join(task_dir, ".env") : NULL;

	for (size_t i = 0; i < names->n; i++) {
		const char *value = getenv(names->v[i]);
		if (value && *value)
			buf_adds(out, value);
		for (size_t k = 0; k < files->n && !out->len; k++)
			dotenv_find(AT_FDCWD, files->v[k], names->v[i], out);
		if (!out->len && own)
			dotenv_find(AT_FDCWD, own, names->v[i], out);
		if (out->len)
			return true;
	}
	return false;
}

static bool is_plain(const char *token)
{
	for (const char *c = token; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
			return false;
	return true;
}

void remotes_login(const struct remotes_task *tasks, size_t n, const char *config_path)
{
	AUTO(strv) struct strv files = STRV_INIT;
	AUTO(json) json_t *seen = json_object();
	AUTO(buf) struct buf logins = BUF_INIT;

	keys_env_files(&files, config_path);
	for (size_t i = 0; i < n; i++) {
		AUTO(strv) struct strv names = STRV_INIT;
		AUTO(free) char *origin = web_origin(tasks[i].git_url);
		struct buf token = BUF_INIT;
		if (!origin || json_object_get(seen, origin))
			continue;
		names_of(&names, origin);
		if (find_token(&token, &names, &files, tasks[i].dir) && is_plain(token.data)) {
			AUTO(free)
			char *login = xasprintf(
				"%s%s",
				strchr(token.data, ':') ? "" : "x-access-token:", token.data);
			json_put_bool(seen, origin, true);
			buf_addf(&logins, "%s ", origin);
			base64_encode(&logins, login, strlen(login));
			buf_addc(&logins, '\n');
			explicit_bzero(login, strlen(login));
			explicit_bzero(token.data, token.len);
		}
		buf_release(&token);
	}
	if (logins.len)
		setenv(NETWORK_ENV_LOGINS, logins.data, 1);
}

static void add_list(struct buf *out, const struct strv *list)
{
	for (size_t i = 0; i < list->n; i++)
		buf_addf(out, "%s\n", list->v[i]);
	buf_addc(out, '\n');
}

/* What its agents will miss is told of one task of each repository; what cannot be taken out of it is each task's own. */
static void look_at_start(const struct remotes_task *t, json_t *looked, struct strv *problems,
			  struct strv *hollow)
{
	const struct task_repo *r = t->repo;
	const char *start = t->start ? t->start : t->branch;
	AUTO(strv) struct strv found = STRV_INIT;
	AUTO(buf) struct buf what = BUF_INIT;
	AUTO(free) char *told = xasprintf("%s %d", t->git_url, r->submodules);
	struct err err;

	buf_addf(&what, "%s\n%s\n", told, r->subdir ? r->subdir : "");
	add_list(&what, &r->sparse);
	add_list(&what, &r->remove);
	if (r->subdir || r->sparse.n || r->remove.n)
		buf_adds(&what, start ? start : "");
	else if (json_object_get(looked, told))
		return;
	if (json_object_get(looked, what.data) || json_object_size(looked) >= LOOKED_MAX)
		return;
	json_put_bool(looked, what.data, true);
	if (peek_at_start(&found, start, r, clock_mono_ms() + ASK_MS, &err))
		strv_pushf(problems, "task \"%s\": %s", t->id, err.msg);
	for (size_t i = 0; !json_object_get(looked, told) && i < found.n; i++)
		strv_pushf(hollow, "task \"%s\": %s", t->id, found.v[i]);
	json_put_bool(looked, told, true);
}

static void ask_one(const struct remotes_task *t, json_t *asked, const char *what, int here,
		    struct strv *problems, struct strv *notes)
{
	AUTO(free) char *id = NULL;
	struct err err = {0};

	if (json_object_get(asked, what))
		return;
	const int64_t deadline_ms = clock_mono_ms() + ASK_MS;
	const int rc = t->branch
			       ? mirror_resolve(&id, here, t->git_url, t->branch, deadline_ms, &err)
			       : mirror_ask(here, t->git_url, deadline_ms, &err);
	json_put_bool(asked, what, !rc);
	if (rc)
		strv_push(err.kind == ERR_USAGE ? problems : notes, err.msg);
}

void remotes_ask(const struct remotes_task *tasks, size_t n, struct strv *problems,
		 struct strv *notes, struct strv *hollow)
{
	AUTO(json) json_t *looked = json_object();
	AUTO(json) json_t *asked = json_object();
	AUTO(fd) int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < n; i++) {
		const struct remotes_task *t = &tasks[i];
		if (t->known || !is_remote(t->git_url))
			continue;
		AUTO(free)
		char *what = xasprintf("%s %s", t->git_url, t->branch ? t->branch : "");
		ask_one(t, asked, what, here, problems, notes);
		if (json_get_bool(asked, what, false))
			look_at_start(t, looked, problems, hollow);
	}
}

/* The remotes of W's trials. */
static size_t collect(const struct session *s, const struct session_work *w, struct task *loaded,
		      struct remotes_task *out)
{
	AUTO(json) json_t *seen = json_object();
	size_t n = 0;
	struct err ignored;

	for (size_t i = 0; i < w->n; i++) {
		const struct trial *t = &s->plan.trials[w->items[i].index];
		const char *snapshot =
			w->items[i].task_snapshot ? w->items[i].task_snapshot : t->task_snapshot;
		if (json_object_get(seen, snapshot))
			continue;
		json_put_bool(seen, snapshot, true);
		if (task_load(&loaded[n], s->store.root_fd, snapshot, &ignored))
			continue;
		const struct task_repo *r = &loaded[n].repo;
		if (!is_remote(r->git_url)) {
			task_release(&loaded[n]);
			continue;
		}
		AUTO(free)
		char *mirror =
			mirror_path(r->git_url, r->start_commit && strlen(r->start_commit) == 64);
		/* Where a commit is named, the branch matters to nobody. */
		out[n] = (struct remotes_task){.git_url = r->git_url,
					       .branch = r->start_commit ? NULL : r->branch,
					       .start = r->start_commit,
					       .dir = t->task_dir,
					       .id = loaded[n].id,
					       .repo = r,
					       .known = r->start_commit &&
							path_exists(s->store.root_fd, mirror)};
		n++;
	}
	return n;
}

int remotes_check(struct session *s, const struct listener *l, const struct session_work *w,
		  struct err *err)
{
	AUTO(strv) struct strv problems = STRV_INIT, notes = STRV_INIT, hollow = STRV_INIT;
	AUTO(free) struct task *loaded = xcalloc(w->n + 1, sizeof *loaded);
	AUTO(free) struct remotes_task *tasks = xcalloc(w->n + 1, sizeof *tasks);
	size_t n = collect(s, w, loaded, tasks);

	remotes_login(tasks, n, w->config ? w->config : s->plan.config);
	remotes_ask(tasks, n, &problems, &notes, &hollow);
	for (size_t i = 0; i < n; i++)
		task_release(&loaded[i]);
	for (size_t i = 0; i < hollow.n; i++)
		listener_say(l, "%s", hollow.v[i]);
	for (size_t i = 0; i < notes.n; i++)
		listener_say(l, "%s; trials that need it will try again", notes.v[i]);
	if (!problems.n)
		return 0;
	for (size_t i = 1; i < problems.n; i++)
		listener_say(l, "%s", problems.v[i]);
	return err_set(err, ERR_USAGE, 0, "%s", problems.v[0]);
}
