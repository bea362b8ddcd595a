/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fuzz-config.c -- bytes through the TOML parser, the table of keys and the explanation of what
 * counts. Built with -fsanitize=fuzzer it is a libFuzzer target; by itself it damages the files it
 * is given in every simple way, the same way each time.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/path.h"
#include "config/agent-file.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_benchmark(const char *path)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	const struct config_request req = {.path = path};
	struct err err;
	if (config_explain(&text, &req, &problems, &err) == 0) {
		if (problems.n)
			bug("success with problems: %s", problems.v[0]);
	} else if (!problems.n) {
		bug("failure without a problem: %s", err.msg);
	}
}

static void as_agent(const char *path)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct err err;
	json_t *spec = NULL;
	if (agent_file_read(&spec, path, &problems, &err) == 0 && (!spec || problems.n))
		bug("an agent file is good and bad");
	json_decref(spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(fd) int fd = memfd_create("config", MFD_CLOEXEC);
	struct err err;
	char path[32];
	if (fd < 0 || path_write_all(fd, data, size, &err) < 0)
		bug("memfd: %m");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	as_benchmark(path);
	as_agent(path);
	return 0;
}

#ifndef FUZZER
static const char odd[] = "\"'[]{}=#,.\\\n\r\t \0\xff"
			  "09ae-_+T:Zux";

static void damage(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char kept = text[i];
		LLVMFuzzerTestOneInput((const uint8_t *)text, i);
		text[i] = odd[(i * 7 + n) % (sizeof odd - 1)];
		LLVMFuzzerTestOneInput((const uint8_t *)text, n);
		memmove(text + i, text + i + 1, n - i - 1);
		LLVMFuzzerTestOneInput((const uint8_t *)text, n - 1);
		memmove(text + i + 1, text + i, n - i - 1);
		text[i] = kept;
	}
}

static void nest(char open)
{
	AUTO(buf) struct buf text = BUF_INIT;
	buf_adds(&text, "a = ");
	for (int i = 0; i < 100000; i++)
		buf_adds(&text, open == '[' ? "[" : "{a=");
	LLVMFuzzerTestOneInput((const uint8_t *)text.data, text.len);
}

int main(int argc, char **argv)
{
	nest('[');
	nest('{');
	for (int i = 1; i < argc; i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		struct err err;
		if (path_read(AT_FDCWD, argv[i], 1 << 20, &text, &err) < 0)
			bug("%s", err.msg);
		LLVMFuzzerTestOneInput((const uint8_t *)text.data, text.len);
		damage(text.data, text.len);
	}
	return 0;
}
#endif
