/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether a test.sh fetches what it verifies with. Only commands that stand by themselves count: one that is indented, or has an
 * alternative, may never run.
 */
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "harbor/contract.h"

/* A program, and the word it needs among its arguments; NULL: any. */
static const struct fetcher {
	const char *program, *word;
} fetchers[] = {
	{"uvx", NULL},	     {"npx", NULL},	   {"uv", "run"},	{"uv", "pip"},
	{"uv", "add"},	     {"uv", "sync"},	   {"uv", "tool"},	{"pip", "install"},
	{"pip3", "install"}, {"python", "pip"},	   {"python3", "pip"},	{"apt-get", "install"},
	{"apt", "install"},  {"apk", "add"},	   {"npm", "install"},	{"npm", "ci"},
	{"npm", "i"},	     {"curl", "https://"}, {"curl", "http://"}, {"wget", "https://"},
	{"wget", "http://"}, {"git", "clone"},
};

/* WORD, or what begins with it where it ends in a slash. */
static bool has_word(const char *line, const char *word)
{
	const size_t n = strlen(word);
	const bool open = word[n - 1] == '/';

	for (const char *at = line; (at = strstr(at, word)); at++)
		if ((at == line || strchr(" \t\"'=", at[-1])) &&
		    (open || !at[n] || strchr(" \t;|&", at[n])))
			return true;
	return false;
}

static bool is_elsewhere(const char *line)
{
	static const char *const signs[] = {
		"||",	       "--offline", "--no-index", "command -v", "://localhost",
		"://127.0.0.", "://[::1]",  " -e ",	  "install /",	"install ."};

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (strstr(line, signs[i]))
			return true;
	return strchr(" \t#", *line) || !strncmp(line, "if ", 3);
}

/* Past what may stand before a command's name. */
static const char *command_of(const char *at)
{
	for (;;) {
		at += strspn(at, " \t");
		const size_t n = strcspn(at, " \t");
		const char *equals = memchr(at, '=', n);
		if (strncmp(at, "sudo ", 5) && (!equals || equals == at))
			return at;
		at += n;
	}
}

static const char *fetcher_of(const char *line)
{
	const char *at = line;

	while (*at) {
		const char *command = command_of(at);
		const size_t n = strcspn(command, " \t;|&");
		for (size_t i = 0; i < ARRAY_SIZE(fetchers); i++) {
			const struct fetcher *f = &fetchers[i];
			if (strlen(f->program) == n && !strncmp(command, f->program, n) &&
			    (!f->word || has_word(command + n, f->word)))
				return f->program;
		}
		at = command + strcspn(command, ";|&");
		at += strspn(at, ";|&");
	}
	return NULL;
}

const char *harbor_fetches(const char *script, int *line)
{
	const char *found = NULL;

	*line = 0;
	for (const char *at = script; *at && !found; at += *at == '\n') {
		const size_t n = strcspn(at, "\n");
		AUTO(free) char *one = xstrndup(at, n);
		++*line;
		if (!is_elsewhere(one))
			found = fetcher_of(one);
		at += n;
	}
	return found;
}
