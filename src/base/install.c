/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/install.h"
#include <elf.h>
#include <link.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

static char *program_dir(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	if (n < 0)
		return xstrdup("/usr/bin");
	exe[n] = '\0';
	char *slash = strrchr(exe, '/');
	return xstrndup(exe, slash && slash > exe ? (size_t)(slash - exe) : 1);
}

/* The first of the NULL-terminated PATTERNS (each "DIR-suffix", appended to the program's folder) that
 * exists, else the last one. */
static char *first_existing(const char *const *patterns, const char *name)
{
	AUTO(free) char *dir = program_dir();

	for (;; patterns++) {
		char *path = xasprintf("%s%s/%s", dir, *patterns, name);
		/* People are shown it: /usr/share rather than /usr/bin/../share. */
		char *real = realpath(path, NULL);
		if (real)
			free(path);
		if (real || !patterns[1])
			return real ? real : path;
		free(path);
	}
}

char *install_libexec(const char *name)
{
	/* A worker finds its siblings beside itself; the user's program finds them in libexec. */
	static const char *const places[] = {"", "/../libexec/rollouts", NULL};

	return first_existing(places, name);
}

char *install_share(const char *name)
{
	static const char *const places[] = {"", "/../share/rollouts", "/../../share/rollouts",
					     "/../share", NULL};

	return first_existing(places, name);
}

static void find_build_id(struct buf *out, const char *notes, size_t n)
{
	const size_t head = sizeof(ElfW(Nhdr));
	while (n >= head) {
		const ElfW(Nhdr) *note = (const void *)notes;
		size_t name = (note->n_namesz + 3) & ~3U, desc = (note->n_descsz + 3) & ~3U;
		if (name > n - head || desc > n - head - name)
			return;
		const unsigned char *id = (const unsigned char *)notes + head + name;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz >= 6) {
			buf_adds(out, "+");
			for (size_t i = 0; i < 6; i++)
				buf_addf(out, "%02x", id[i]);
			return;
		}
		notes += head + name + desc;
		n -= head + name + desc;
	}
}

/* The first object is the program itself. */
static int look_at_program(struct dl_phdr_info *info, size_t size, void *out)
{
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type == PT_NOTE)
			find_build_id(out, (const char *)(info->dlpi_addr + p->p_vaddr),
				      p->p_memsz);
	}
	return 1;
}

char *install_build(void)
{
	struct buf out = BUF_INIT;
	buf_adds(&out, ROLLOUTS_VERSION);
	dl_iterate_phdr(look_at_program, &out);
	return buf_detach(&out);
}
