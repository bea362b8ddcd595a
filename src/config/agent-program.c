/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-program.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

#define SCRIPT_MAX (1 << 20)
#define INTERPRETERS_MAX 4 /* a script whose interpreter is a script ... */

static int add_interpreter(const struct programs *p, const char *real, int depth, struct err *err);

static bool is_system(const char *path)
{
	static const char *const dirs[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64"};
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (path_is_within(path, dirs[i]))
			return true;
	return false;
}

static char *parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	return !slash || slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

/* A folder that holds a program and not somebody's life: never the home folder, what is above it,
 * or the
 * ~/.local that holds keyrings beside programs. */
static bool is_mountable(const char *dir)
{
	const char *home = getenv("HOME");
	if (strchr(dir + 1, '/') == NULL || is_system(dir))
		return false;
	if (!home || !*home)
		return true;
	AUTO(free) char *local = path_join(home, ".local");
	return !path_is_within(home, dir) && strcmp(dir, local) != 0;
}

/* The folder above LINK's bin/, when REAL is in it too. */
static char *prefix_of_bin(const char *link, const char *real)
{
	AUTO(free) char *dir = parent(link);
	if (strcmp(path_base(dir), "bin") != 0)
		return NULL;
	char *above = parent(dir);
	if (path_is_within(real, above) && is_mountable(above))
		return above;
	free(above);
	return NULL;
}

static char *prefix_of_node(const char *real)
{
	static const char mark[] = "/node_modules/";
	const char *at = strstr(real, mark);
	return at ? xstrndup(real, (size_t)(at - real) + sizeof mark - 2) : NULL;
}

bool program_may_show(const struct programs *p, const char *dir)
{
	return is_mountable(dir) && !(p->hidden && path_is_within(p->hidden, dir));
}

static char *install_prefix(const struct programs *p, const char *link, const char *real)
{
	char *prefix = prefix_of_bin(link, real);
	if (!prefix)
		prefix = prefix_of_node(real);
	if (!prefix)
		prefix = prefix_of_bin(real, real);
	if (!prefix)
		prefix = parent(real);
	if (program_may_show(p, prefix))
		return prefix;
	free(prefix);
	return xstrdup(real);
}

static bool is_mounted(const struct programs *p, const char *path)
{
	size_t i;
	json_t *m;
	json_array_foreach (p->mounts, i, m)
		if (path_is_within(path, json_get_str(m, "host", "")))
			return true;
	return false;
}

static void mount(const struct programs *p, const char *path)
{
	json_t *m = json_object();
	json_put_str(m, "host", path);
	json_put_str(m, "box", path);
	json_array_append_new(p->mounts, m);
}

/* What of DIR belongs to its programs; NULL: all of it does. A folder right below the home folder (~/.cargo, ~/go) holds
 * credentials and sources beside them; deeper down lie installations (~/.rustup/toolchains/NAME). */
static const char *const *parts_of(const char *dir)
{
	static const char *const few[] = {"bin",   "lib",	   "lib64", "libexec",
					  "share", "node_modules", NULL};
	static const char *const more[] = {"bin",	   "lib",     "lib64",	"libexec", "share",
					   "node_modules", "conf",    "jmods",	"include", "src",
					   "pkg",	   "etc",     "test",	"misc",	   "legal",
					   "release",	   "VERSION", "go.env", NULL};
	const char *home = getenv("HOME");
	if (!home || !*home || !path_is_within(dir, home) || strcmp(path_base(dir), "bin") == 0)
		return NULL;
	AUTO(free) char *above = parent(dir);
	return strcmp(above, home) == 0 ? few : more;
}

/* FROM is where the program is looked for: its link, or REAL itself. */
static void mount_installation(const struct programs *p, const char *from, const char *real)
{
	AUTO(free) char *prefix = install_prefix(p, from, real);
	const char *const *parts = parts_of(prefix);
	struct stat st;
	if (!parts || stat(prefix, &st) || !S_ISDIR(st.st_mode) ||
	    strstr(prefix, "/node_modules")) {
		mount(p, prefix);
		return;
	}
	for (; *parts; parts++) {
		AUTO(free) char *path = path_join(prefix, *parts);
		if (stat(path, &st) == 0 && !is_mounted(p, path))
			mount(p, path);
	}
}

static void mount_prefix(const struct programs *p, const char *link, const char *real)
{
	if (is_system(real) || is_mounted(p, real))
		return;
	mount_installation(p, link, real);
	if (!is_mounted(p, real))
		mount_installation(p, real, real);
	if (!is_mounted(p, real))
		mount(p, real);
}

/* As sandboxes have it. */
static bool is_on_every_path(const char *dir)
{
	static const char *const dirs[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					   "/usr/bin",	      "/sbin",		"/bin"};
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (strcmp(dir, dirs[i]) == 0)
			return true;
	return false;
}

static void add_folder(const struct programs *p, const char *program)
{
	AUTO(free) char *dir = parent(program);
	size_t i;
	json_t *known;
	if (is_on_every_path(dir))
		return;
	json_array_foreach (p->path, i, known)
		if (strcmp(json_string_value(known), dir) == 0)
			return;
	json_array_append_new(p->path, json_string(dir));
}

static bool is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *program_on_path(const char *name)
{
	const char *path = getenv("PATH");
	if (!path)
		path = "/usr/local/bin:/usr/bin:/bin";
	while (true) {
		const char *end = strchrnul(path, ':');
		AUTO(free) char *dir = xstrndup(path, (size_t)(end - path));
		char *candidate = path_join(dir, name);
		if (*dir == '/' && is_program(candidate))
			return candidate;
		free(candidate);
		if (!*end)
			return NULL;
		path = end + 1;
	}
}

/* Links are followed in the folder, not in the last component: a name such as "codex" must stay. */
static char *absolute(const char *path)
{
	AUTO(free) char *dir = parent(path);
	AUTO(free) char *real = realpath(dir, NULL);
	return real ? path_join(real, path_base(path)) : NULL;
}

static char *locate(const char *name, const char *folder)
{
	if (!strchr(name, '/'))
		return program_on_path(name);
	AUTO(free) char *path = *name == '/' ? xstrdup(name) : path_join(folder, name);
	return is_program(path) ? absolute(path) : NULL;
}

/* The version manager whose stand-in LINK is, or NULL: a script of its "shims" folder, or a link to the manager itself, which
 * finds the program by files of the home folder that no sandbox has. */
static const char *shim_manager(const char *link, const char *real)
{
	static const char *const managers[] = {"pyenv", "asdf", "mise",	 "rbenv", "nodenv",
					       "goenv", "jenv", "volta", "rustup"};
	AUTO(free) char *dir = parent(link);
	const bool in_shims = strcmp(path_base(dir), "shims") == 0;
	for (size_t i = 0; i < ARRAY_SIZE(managers); i++) {
		const char *name = managers[i], *base = path_base(real);
		const bool is_it = strncmp(base, name, strlen(name)) == 0 &&
				   strcmp(path_base(link), base) != 0;
		if (is_it || (in_shims && strstr(dir, name)))
			return name;
	}
	return in_shims ? "its manager" : NULL;
}

char *program_venv(const char *path)
{
	AUTO(free) char *dir = parent(path);
	AUTO(free) char *above = parent(dir);
	AUTO(free) char *cfg = path_join(above, "pyvenv.cfg");

	return strcmp(path_base(dir), "bin") == 0 && access(cfg, R_OK) == 0 ? STEAL(&above) : NULL;
}

/* Mount the folder that NAMED means, by that name too: a virtual environment's links lead there. */
static void mount_named(const struct programs *p, const char *named)
{
	AUTO(free) char *real = realpath(named, NULL);

	if (!real || is_system(named) || !strcmp(real, named) || is_mounted(p, named))
		return;
	json_t *m = json_object();
	json_put_str(m, "host", real);
	json_put_str(m, "box", named);
	json_array_append_new(p->mounts, m);
}

/* The folder above the one that the line "home = FOLDER" of VENV's pyvenv.cfg names, or NULL. The caller frees. */
static char *venv_base(const char *venv)
{
	AUTO(free) char *cfg = path_join(venv, "pyvenv.cfg");
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	if (path_read(AT_FDCWD, cfg, SCRIPT_MAX, &text, &ignored))
		return NULL;
	for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
		char *equals = strchr(line, '=');
		if (!equals || strncmp(line, "home", 4) != 0 || strcspn(line, " =") != 4)
			continue;
		equals += 1 + strspn(equals + 1, " \t");
		return *equals == '/' ? parent(equals) : NULL;
	}
	return NULL;
}

/* A virtual environment is shown whole, its links as they are, with the Python that it was made from. */
static void mount_venv(const struct programs *p, const char *venv, const char *real)
{
	AUTO(free) char *base = venv_base(venv);

	if (!is_mounted(p, venv))
		mount(p, venv);
	mount_prefix(p, real, real);
	if (base)
		mount_named(p, base);
}

static int add_located(const struct programs *p, const char *link, int depth, char **inside,
		       struct err *err)
{
	AUTO(free) char *real = realpath(link, NULL);
	if (!real)
		return err_set(err, ERR_USAGE, errno, "%s", link);
	const char *manager = shim_manager(link, real);
	if (manager)
		return err_set(
			err, ERR_USAGE, 0,
			"%s only stands in for a program that %s chooses, which it cannot in a "
			"sandbox: put the folder of the program itself (%s which %s tells it) "
			"first on PATH, or name it by its whole path",
			link, manager, manager, path_base(link));
	AUTO(free) char *venv = program_venv(link);
	if (venv && program_may_show(p, venv))
		mount_venv(p, venv, real);
	else
		mount_prefix(p, link, real);
	const char *seen = is_system(link) || is_mounted(p, link) ? link : real;
	add_folder(p, seen);
	if (inside)
		*inside = xstrdup(seen);
	return add_interpreter(p, real, depth + 1, err);
}

static int add_named(const struct programs *p, const char *name, const char *user, int depth,
		     struct err *err)
{
	AUTO(free) char *link = locate(name, "/");
	if (!link)
		return err_set(err, ERR_USAGE, 0, "%s needs \"%s\", which is not on PATH", user,
			       name);
	return add_located(p, link, depth, NULL, err);
}

void program_show(const struct programs *p, const char *path)
{
	if (!is_mounted(p, path))
		mount(p, path);
}

bool program_is_shown(const struct programs *p, const char *path)
{
	static const char *const made[] = {"/dev", "/proc",    "/sys",	     "/etc",
					   "/app", "/var/tmp", "/home/agent"};
	size_t i;
	json_t *m;

	for (i = 0; i < ARRAY_SIZE(made); i++)
		if (path_is_within(path, made[i]))
			return true;
	json_array_foreach (p->mounts, i, m)
		if (path_is_within(path, json_get_str(m, "box", "")))
			return true;
	return is_system(path);
}

char *program_by_env(const char *path)
{
	static const char env[] = "#!/usr/bin/env ";
	char line[256] = "";
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, line, sizeof line - 1) < (ssize_t)sizeof env ||
	    strncmp(line, env, sizeof env - 1) != 0)
		return NULL;
	char *name = line + sizeof env - 1;
	name[strcspn(name, "\r\n")] = '\0';
	return *name && !strpbrk(name, " \t-=/") ? program_on_path(name) : NULL;
}

/* "#!/usr/bin/env [-S] NAME ..." asks for NAME, anything else for the file named. */
static int add_interpreter(const struct programs *p, const char *real, int depth, struct err *err)
{
	char line[256] = "";
	AUTO(fd) int fd = open(real, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
	if (n < 3 || memcmp(line, "#!", 2) != 0 || depth > INTERPRETERS_MAX)
		return 0;
	line[strcspn(line, "\r\n")] = '\0';
	char *rest = line + 2, *word = strsep(&rest, " \t");
	while (word && !*word)
		word = strsep(&rest, " \t");
	if (word && strcmp(path_base(word), "env") == 0)
		do
			word = strsep(&rest, " \t");
		while (word && (!*word || *word == '-' || strchr(word, '=')));
	return word && *word ? add_named(p, word, real, depth, err) : 0;
}

int program_add(const struct programs *p, const char *name, const char *folder, char **inside,
		struct err *err)
{
	AUTO(free) char *link = locate(name, folder);
	if (!link && strchr(name, '/'))
		return err_set(err, ERR_USAGE, 0, "\"%s\" is not a program (looked in %s)", name,
			       *name == '/' ? "that place" : folder);
	if (!link)
		return err_set(err, ERR_USAGE, 0,
			       "program \"%s\" is not on PATH: install it, or choose another agent",
			       name);
	return add_located(p, link, 0, inside, err);
}

/* Of ".../node_modules/@openai/codex/bin/codex.js" the folder is ".../node_modules/@openai/codex". */
static char *package_of(const char *real)
{
	static const char mark[] = "/node_modules/";
	const char *last = NULL;
	for (const char *p = real; (p = strstr(p, mark)); p += sizeof mark - 1)
		last = p + sizeof mark - 1;
	if (!last)
		return NULL;
	const char *end = strchrnul(last, '/');
	if (*last == '@' && *end)
		end = strchrnul(end + 1, '/');
	return xstrndup(real, (size_t)(end - real));
}

char *program_version(const char *path)
{
	AUTO(free) char *real = realpath(path, NULL);
	AUTO(free) char *package = real ? package_of(real) : NULL;
	AUTO(json) json_t *doc = NULL;
	struct err ignored;
	if (!package)
		return NULL;
	AUTO(free) char *file = path_join(package, "package.json");
	if (json_read(&doc, AT_FDCWD, file, 1 << 20, &ignored))
		return NULL;
	return xstrdup(json_get_str(doc, "version", NULL));
}

char *program_digest(const char *path)
{
	AUTO(free) char *real = realpath(path, NULL);
	AUTO(fd) int fd = real && !is_system(real) ? open(real, O_RDONLY | O_CLOEXEC) : -1;
	struct hash h;
	char block[1 << 16];
	ssize_t n;

	if (fd < 0)
		return NULL;
	hash_init(&h);
	while ((n = read(fd, block, sizeof block)) > 0)
		hash_bytes(&h, block, (size_t)n);
	if (n < 0)
		return NULL;
	char *digest = xcalloc(1, HASH_HEX);
	hash_hex(&h, digest);
	return digest;
}
