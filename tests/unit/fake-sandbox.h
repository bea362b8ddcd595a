/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fake-sandbox.h -- a sandbox that only remembers: defines the calls of sandbox/sandbox.h which the
 * rooms above it make. What was put can be got again; exec hands out what the test prepared.
 */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/path.h"
#include "core/kv.h"
#include "sandbox/sandbox.h"

struct fake_exec {
	const char *out, *err; /* what it prints; "" or NULL for nothing */
	struct sandbox_exit end;
	const char *writes_path, *writes; /* a file it leaves in the box */
};

struct sandbox {
	struct fake_exec exec[16]; /* by number of the call */
	int execs;
	struct strv argv[16], env[16];
	char *cwd[16], *input[16];
	int64_t deadline_ms[16];
	struct kvs files;
	const char *refuses; /* what apply says */
	struct buf applied;
};

static void fake_release(struct sandbox *s)
{
	for (int i = 0; i < 16; i++) {
		strv_release(&s->argv[i]);
		strv_release(&s->env[i]);
		free(s->cwd[i]);
		free(s->input[i]);
	}
	kvs_release(&s->files);
	buf_release(&s->applied);
}

static void fake_say(const struct sandbox_exec *x, int stream, const char *text)
{
	struct capped_log *log = stream == 1 ? x->out : x->err;
	struct err err;

	/* In small pieces: nobody may count on whole lines. */
	for (size_t n; text && *text; text += n) {
		n = strlen(text) < 7 ? strlen(text) : 7;
		if (x->on_output)
			x->on_output(x->on_output_arg, stream, text, n);
		if (log)
			assert_int_equal(capped_log_add(log, text, n, &err), 0);
	}
}

void sandbox_env(const struct sandbox *s, struct strv *env)
{
	strv_push(env, "HOME=/home/agent");
	strv_push(env, "PATH=/usr/local/sbin:/usr/bin:/bin");
}

int sandbox_exec(struct sandbox *s, const struct sandbox_exec *x, struct sandbox_exit *out,
		 struct err *err)
{
	int i = s->execs++;
	const struct fake_exec *f = &s->exec[i];

	assert_true(i < 16);
	strv_pushv(&s->argv[i], x->argv);
	strv_pushv(&s->env[i], x->env);
	s->cwd[i] = strdup(x->cwd);
	s->input[i] = x->input ? strndup(x->input, x->input_len) : NULL;
	s->deadline_ms[i] = x->deadline_ms;
	fake_say(x, 1, f->out);
	fake_say(x, 2, f->err);
	/* pytest's report, as of one test that passed. */
	for (size_t k = 0; x->argv[k]; k++)
		if (!strncmp(x->argv[k], "--junitxml=", 11))
			kvs_set(&s->files, x->argv[k] + 11,
				"<testsuites><testsuite><testcase "
				"name=\"a\"/></testsuite></testsuites>");
	if (f->writes_path)
		kvs_set(&s->files, f->writes_path, f->writes);
	*out = f->end;
	return 0;
}

int sandbox_put(struct sandbox *s, const char *box_path, const void *data, size_t n, mode_t mode,
		struct err *err)
{
	char *text = strndup(data, n);

	kvs_set(&s->files, box_path, text);
	free(text);
	return 0;
}

int sandbox_get(struct sandbox *s, const char *box_path, struct err *err)
{
	const char *text = kvs_get(&s->files, box_path);
	int fd;

	if (!text)
		return err_set(err, ERR_INFRA, ENOENT, "%s", box_path);
	fd = memfd_create("fake", MFD_CLOEXEC);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

const char *sandbox_inside(const struct sandbox *s, const char *path)
{
	return path;
}

int sandbox_freshen(struct sandbox *s, struct err *err)
{
	return 0;
}

int sandbox_apply(struct sandbox *s, int patch_fd, int times_fd, char **why, struct err *err)
{
	if (!s->applied.data)
		s->applied = (struct buf)BUF_INIT;
	assert_int_equal(path_read_fd(patch_fd, 1 << 20, &s->applied, err), 0);
	if (s->refuses)
		*why = strdup(s->refuses);
	return 0;
}

/* A directory to be an attempt's, with logs/ and artifacts/; removed by run_dir_close. */
struct run_dir {
	char path[32];
	int fd;
};

static struct run_dir run_dir_open(void)
{
	struct run_dir d = {.path = "/tmp/rollouts-unit-XXXXXX"};

	assert_non_null(mkdtemp(d.path));
	d.fd = open(d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(d.fd >= 0);
	assert_int_equal(mkdirat(d.fd, "logs", 0700), 0);
	assert_int_equal(mkdirat(d.fd, "artifacts", 0700), 0);
	return d;
}

static void run_dir_close(struct run_dir *d)
{
	struct err err;

	close(d->fd);
	assert_int_equal(path_remove_tree(AT_FDCWD, d->path, &err), 0);
}

/* The text of a file below the attempt's directory; the caller frees. */
static char *run_dir_text(const struct run_dir *d, const char *path)
{
	struct buf text = BUF_INIT;
	struct err err;

	if (path_read(d->fd, path, 16 << 20, &text, &err))
		fail_msg("%s", err.msg);
	return buf_detach(&text);
}
