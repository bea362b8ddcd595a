/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/public-words.h"
#include <ctype.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/login.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/kv.h"
#include "store/exclusions.h"

enum { JOURNAL_MAX = 1 << 30, SECRET_MIN = 8, NAME_MIN = 3 };

/* Names that hosts and users have and code is full of. */
static bool is_common(const char *name)
{
	static const char *const words[] = {"root",	 "user",
					    "agent",	 "main",
					    "test",	 "dev",
					    "host",	 "server",
					    "node",	 "box",
					    "local",	 "master",
					    "build",	 "docker",
					    "data",	 "admin",
					    "linux",	 "debian",
					    "ubuntu",	 "fedora",
					    "app",	 "web",
					    "git",	 "runner",
					    "worker",	 "nobody",
					    "guest",	 "home",
					    "work",	 "laptop",
					    "desktop",	 "localhost",
					    "ci",	 "buildkitsandbox",
					    "vscode",	 "codespace",
					    "container", "sandbox",
					    "python",	 "bench",
					    "rollouts"};

	if (strlen(name) < NAME_MIN)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(words[i], name))
			return true;
	return false;
}

static void add(struct public_words *w, const char *from, const char *to)
{
	if (!from || strlen(from) < 2 || !strcmp(from, to))
		return;
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->v[i].from, from))
			return;
	GROW(w->v, w->n, w->cap);
	w->v[w->n++] = (struct public_word){xstrdup(from), xstrdup(to)};
}

static char *with_sign(const char *path, const char *sign)
{
	AUTO(buf) struct buf b = BUF_INIT;

	for (; *path; path++)
		if (*path == '/')
			buf_adds(&b, sign);
		else
			buf_addc(&b, *path);
	return buf_detach(&b);
}

/* In a URL, and as agents make a file's name of a folder, its slashes are written otherwise. */
static void add_path(struct public_words *w, const char *path, const char *to)
{
	static const char *const signs[] = {"%2F", "%2f", "-"};
	AUTO(free) char *plain = xstrdup(path ? path : "");

	for (size_t n = strlen(plain); n > 1 && plain[n - 1] == '/'; n--)
		plain[n - 1] = '\0';
	if (*plain != '/' || strlen(plain) < 2)
		return;
	add(w, plain, to);
	for (size_t i = 0; i < ARRAY_SIZE(signs) && strchr(plain + 1, '/'); i++) {
		AUTO(free) char *from = with_sign(plain, signs[i]), *into = with_sign(to, signs[i]);
		add(w, from, into);
	}
}

static void add_name(struct public_words *w, const char *name, const char *to)
{
	if (name && *name && !is_common(name))
		add(w, name, to);
}

/* One that is too common a word is replaced where nothing else can be meant. */
static void add_members(struct public_words *w, const char *host)
{
	static const char *const members[] = {"\"host\":", "\"host\": ", "\"name\":", "\"name\": "};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		AUTO(free) char *from = xasprintf("%s\"%s\"", members[i], host);
		AUTO(free) char *to = xasprintf("%s\"host\"", members[i]);
		add(w, from, to);
	}
}

static void add_host(struct public_words *w, const char *host)
{
	if (*host && is_common(host))
		add_members(w, host);
	AUTO(free) char *shorter = xstrndup(host, strcspn(host, "."));

	add_name(w, host, "host");
	/* An address has no shorter form. */
	if (strspn(host, "0123456789.") < strlen(host))
		add_name(w, shorter, "host");
}

/* Where every system has its programs, or a sandbox its files. */
static bool is_everywhere(const char *path)
{
	static const char *const below[] = {"/usr/", "/bin/",  "/sbin/",    "/lib",	  "/etc/",
					    "/opt/", "/proc/", "/sys/",	    "/dev/",	  "/app",
					    "/run/", "/nix/",  "/var/lib/", "/home/agent"};

	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		if (!strncmp(path, below[i], strlen(below[i])))
			return true;
	return false;
}

static bool is_known(const struct public_words *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++) {
		size_t n = strlen(w->v[i].from);
		if (!strncmp(path, w->v[i].from, n) && (!path[n] || path[n] == '/'))
			return true;
	}
	return false;
}

/* A place that the benchmark names: its folder. */
static void add_place(struct public_words *w, const char *path, size_t *number)
{
	if (!path)
		return;
	if (!strncmp(path, "file://", 7))
		path += 7;
	if (*path != '/' || is_everywhere(path) || is_known(w, path))
		return;
	AUTO(free) char *folder = path_folder(path);
	AUTO(free) char *to = xasprintf("/path-%zu", *number + 1);
	if (strcmp(folder, "/") != 0 && is_everywhere(folder))
		return;
	++*number;
	add_path(w, strcmp(folder, "/") ? folder : path, to);
}

static void add_places_of(struct public_words *w, const json_t *j, size_t *number)
{
	const char *key;
	json_t *v;
	size_t i;

	if (json_is_string(j))
		add_place(w, json_string_value(j), number);
	else if (json_is_array(j))
		json_array_foreach (j, i, v)
			add_places_of(w, v, number);
	else
		json_object_foreach ((json_t *)j, key, v)
			if (strcmp(key, "box") != 0 && strcmp(key, "argv") != 0 &&
			    strcmp(key, "env") != 0 && strcmp(key, "files") != 0 &&
			    strcmp(key, "path") != 0)
				add_places_of(w, v, number);
}

static void add_task(struct public_words *w, const struct store *s, const char *snapshot,
		     size_t *number)
{
	AUTO(free) char *path = path_join(snapshot, SNAPSHOT_TASK);
	AUTO(json) json_t *j = NULL;
	struct err none;

	if (!json_read(&j, s->root_fd, path, JOURNAL_MAX, &none))
		add_place(w, json_get_str(json_object_get(j, "repo"), "git_url", NULL), number);
}

static void add_plan(struct public_words *w, const struct store *s, const struct planfile *p)
{
	const char *last = "";
	size_t number = 0;

	add_place(w, p->config, &number);
	add_place(w, p->gateway, &number);
	add_places_of(w, p->agents, &number);
	add_places_of(w, p->tools, &number);
	for (size_t i = 0; i < p->n; i++) {
		const struct trial *t = &p->trials[i];
		add_place(w, t->task_dir, &number);
		if (strcmp(t->task_snapshot, last) != 0)
			add_task(w, s, t->task_snapshot, &number);
		last = t->task_snapshot;
	}
}

/* Trials of other machines may have been taken in. */
static void add_journal(struct public_words *w, const struct store *s,
			const struct rollout_ref *ref)
{
	static const char member[] = "\"host\":\"";
	AUTO(free) char *path = path_join(ref->path, ROLLOUT_JOURNAL);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(free) char *last = xstrdup("");
	struct err none;

	if (path_read_beneath(s->root_fd, path, JOURNAL_MAX, &text, &none))
		return;
	for (const char *at = text.data; (at = strstr(at, member));) {
		at += strlen(member);
		size_t n = strcspn(at, "\"");
		if (n == strlen(last) && !memcmp(at, last, n))
			continue;
		free(last);
		last = xstrndup(at, n);
		add_host(w, last);
	}
}

static void add_people(struct public_words *w, const struct store *s, const struct rollout_ref *ref)
{
	static const char *const variables[] = {"USER", "LOGNAME", "SUDO_USER"};
	AUTO(exclusions) struct exclusions e = {0};
	struct err none;
	const struct passwd *p = getpwuid(geteuid());

	if (p)
		add_name(w, p->pw_name, "user");
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		add_name(w, getenv(variables[i]), "user");
	AUTO(fd)
	int fd = path_open_beneath(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY, 0, &none);
	if (fd < 0 || exclusions_read(&e, fd, ref->path, &none))
		return;
	for (size_t i = 0; i < e.n; i++)
		add_name(w, e.v[i].by, "user");
}

static void add_folders(struct public_words *w, const struct store *s)
{
	AUTO(free) char *data = path_of_fd(s->root_fd), *cwd = getcwd(NULL, 0);
	const struct passwd *p = getpwuid(geteuid());

	add_path(w, data, "/data");
	add_path(w, s->root, "/data");
	add_path(w, cwd, "/work");
	add_path(w, getenv("PWD"), "/work");
	add_path(w, getenv("HOME"), "/home/user");
	if (p)
		add_path(w, p->pw_dir, "/home/user");
}

static void add_secrets(struct public_words *w)
{
	for (char **e = environ; *e; e++) {
		const char *sign = strchr(*e, '=');
		AUTO(free) char *name = sign ? xstrndup(*e, (size_t)(sign - *e)) : NULL;
		if (name && kv_is_secret(name) && strlen(sign + 1) >= SECRET_MIN)
			strv_push(&w->secrets, sign + 1);
	}
}

static int longest_first(const void *a, const void *b)
{
	const struct public_word *x = a, *y = b;
	size_t n = strlen(x->from), k = strlen(y->from);

	return n == k ? strcmp(x->from, y->from) : n < k ? 1 : -1;
}

struct public_words *public_open(const struct store *s, const struct rollout_ref *ref,
				 const struct planfile *plan, unsigned without,
				 const struct strv *allowed)
{
	struct public_words *w = xcalloc(1, sizeof *w);
	char host[256] = "";

	w->without = without;
	w->digests = json_object();
	strv_pushv(&w->allowed, strv_items(allowed));
	add_folders(w, s);
	add_plan(w, s, plan);
	add_people(w, s, ref);
	if (!gethostname(host, sizeof host - 1))
		add_host(w, host);
	add_journal(w, s, ref);
	add_secrets(w);
	if (w->n)
		qsort(w->v, w->n, sizeof *w->v, longest_first);
	return w;
}

void public_close(struct public_words *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n; i++) {
		free(w->v[i].from);
		free(w->v[i].to);
	}
	free(w->v);
	strv_release(&w->allowed);
	strv_release(&w->secrets);
	json_decref(w->digests);
	free(w);
}

void public_digest(struct public_words *w, const char *old, const char *now)
{
	json_put_str(w->digests, old, now);
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Whether FROM stands at AT as a word of its own: "ann" is not in "channel", /srv/a not in /srv/ab. */
static bool stands_at(const struct buf *text, const char *at, const char *from, size_t n)
{
	const char *end = text->data + text->len;
	const bool before = at == text->data || !is_word(at[-1]) || !is_word(*from) ||
			    (at - 1 > text->data && at[-2] == '\\' && strchr("ntr", at[-1]));

	return before && (at + n == end || !is_word(at[n]));
}

/* Of every system: what stands behind /home/ is a person, but for the agent's own inside a sandbox. */
static size_t home_at(const struct buf *text, const char *at, const char **to)
{
	static const char *const homes[] = {"/home/", "/Users/"};

	for (size_t i = 0; i < ARRAY_SIZE(homes); i++) {
		size_t n = strlen(homes[i]);
		if ((size_t)(text->data + text->len - at) <= n || memcmp(at, homes[i], n) ||
		    (at > text->data && is_word(at[-1])))
			continue;
		size_t k = 0;
		while (is_word(at[n + k]) || at[n + k] == '.' || at[n + k] == '-')
			k++;
		AUTO(free) char *name = xstrndup(at + n, k);
		if (!k || is_common(name))
			return 0;
		*to = "/home/user";
		return n + k;
	}
	return 0;
}

static size_t digest_at(const struct public_words *w, const char *at, size_t left, const char **to)
{
	const size_t n = HASH_HEX - 1;
	char hex[HASH_HEX];

	if (left < n || !isxdigit((unsigned char)*at) || !json_object_size(w->digests))
		return 0;
	memcpy(hex, at, n);
	hex[n] = '\0';
	*to = json_get_str(w->digests, hex, NULL);
	return *to ? n : 0;
}

/* The word at AT: how long it is, and what comes in its place. */
static size_t word_at(const struct public_words *w, const struct buf *text, const char *at,
		      const char **to)
{
	const size_t left = (size_t)(text->data + text->len - at);

	for (size_t i = 0; i < w->n; i++) {
		size_t n = strlen(w->v[i].from);
		if (*at == *w->v[i].from && left >= n && !memcmp(at, w->v[i].from, n) &&
		    stands_at(text, at, w->v[i].from, n)) {
			*to = w->v[i].to;
			return n;
		}
	}
	size_t n = *at == '/' ? home_at(text, at, to) : 0;
	return n ? n : digest_at(w, at, left, to);
}

bool public_words_replace(const struct public_words *w, struct buf *text)
{
	AUTO(buf) struct buf out = BUF_INIT;
	const char *kept, *end, *to = NULL;
	bool first[256] = {['/'] = true};
	bool found = login_blank(text, LOGIN_ALL);

	for (size_t i = 0; i < w->n; i++)
		first[(unsigned char)*w->v[i].from] = true;
	for (const char *hex = "0123456789abcdef"; *hex && json_object_size(w->digests); hex++)
		first[(unsigned char)*hex] = true;
	kept = text->data;
	end = text->data + text->len;
	for (const char *at = kept; at < end;) {
		size_t n = first[(unsigned char)*at] ? word_at(w, text, at, &to) : 0;
		if (!n) {
			at++;
			continue;
		}
		buf_add(&out, kept, (size_t)(at - kept));
		buf_adds(&out, to);
		kept = at += n;
		found = true;
	}
	if (kept > text->data) {
		buf_add(&out, kept, (size_t)(end - kept));
		buf_reset(text);
		buf_add(text, out.data, out.len);
	}
	return found;
}
