// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/journal.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/datadir.h"
#include "store/crc.h"

enum {
	SYNC_MS = 200,
	LOCK_MS = 300, /* a reader asking whether we live holds the lock for a moment */
	STACK_BYTES = 64 << 10,
};

struct journal {
	int fd;
	int64_t seq;
	char host[65];
	struct buf pending;
	/* The syncing thread and what it shares with the writer. */
	pthread_t thread;
	bool threaded;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool dirty, stop;
	int sync_errno;
};

static void read_host(char out[65])
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";

	if (gethostname(out, 64))
		memcpy(out, "unknown", 8);
	out[64] = '\0';
	for (char *c = out + strspn(out, plain); *c; c += 1 + strspn(c + 1, plain))
		*c = '_';
}

static int lock(int fd, struct err *err)
{
	int64_t until = clock_mono_ms() + LOCK_MS;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set(err, ERR_INFRA, errno, "lock " ROLLOUT_JOURNAL);
		if (clock_mono_ms() >= until)
			return err_set(
				err, ERR_USAGE, 0,
				"this benchmark is running: another process writes its journal; "
				"wait for it or interrupt it");
		usleep(10000);
	}
	return 0;
}

/* The next line must not continue one that a crash cut short. */
static int mend_tail(struct journal *j, struct err *err)
{
	off_t size = lseek(j->fd, 0, SEEK_END);
	char last;

	if (size < 0 || (size > 0 && pread(j->fd, &last, 1, size - 1) != 1))
		return err_set(err, ERR_INFRA, errno, "read " ROLLOUT_JOURNAL);
	if (size > 0 && last != '\n')
		buf_addc(&j->pending, '\n');
	return 0;
}

/* Until the writer stops us, but at most SYNC_MS, so that lines gather for the next sync. */
static void rest(struct journal *j)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += SYNC_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!j->stop && !pthread_cond_clockwait(&j->wake, &j->mutex, CLOCK_MONOTONIC, &until))
		;
}

static void *sync_loop(void *arg)
{
	struct journal *j = arg;

	pthread_mutex_lock(&j->mutex);
	while (!j->stop) {
		if (!j->dirty) {
			pthread_cond_wait(&j->wake, &j->mutex);
			continue;
		}
		j->dirty = false;
		pthread_mutex_unlock(&j->mutex);
		int failed = fdatasync(j->fd) ? errno : 0;
		pthread_mutex_lock(&j->mutex);
		if (failed)
			j->sync_errno = failed;
		rest(j);
	}
	pthread_mutex_unlock(&j->mutex);
	return NULL;
}

static int start_thread(struct journal *j, struct err *err)
{
	pthread_attr_t attr;
	sigset_t all, old;

	pthread_mutex_init(&j->mutex, NULL);
	pthread_cond_init(&j->wake, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int failed = pthread_create(&j->thread, &attr, sync_loop, j);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (failed)
		return err_set(err, ERR_INFRA, failed, "start the journal's thread");
	j->threaded = true;
	return 0;
}

int journal_open(struct journal **out, int dir_fd, struct err *err)
{
	AUTO(fd)
	int fd = openat(dir_fd, ROLLOUT_JOURNAL,
			O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open " ROLLOUT_JOURNAL);
	if (lock(fd, err))
		return -1;
	struct journal *j = xcalloc(1, sizeof *j);
	j->fd = fd_steal(&fd);
	j->pending = (struct buf)BUF_INIT;
	read_host(j->host);
	if (mend_tail(j, err) || start_thread(j, err)) {
		struct err ignored;
		if (journal_close(j, &ignored))
			return -1;
		return -1;
	}
	*out = j;
	return 0;
}

void journal_continue(struct journal *j, int64_t last_seq)
{
	j->seq = last_seq;
}

static void add_fields(struct buf *line, json_t *fields)
{
	AUTO(buf) struct buf text = BUF_INIT;

	json_format(&text, fields, false);
	if (text.len > 2) {
		buf_addc(line, ',');
		buf_add(line, text.data + 1, text.len - 2);
	}
}

void journal_add(struct journal *j, const char *event, const struct trial *t, int attempt,
		 json_t *fields_take)
{
	AUTO(json) json_t *fields = fields_take;

	if (!j)
		return;
	struct buf *line = &j->pending;
	size_t start = line->len;

	buf_addf(line,
		 "{\"v\":%d,\"seq\":%lld,\"wall\":%lld,\"mono\":%lld,\"host\":\"%s\",\"event\":\"%"
		 "s\"",
		 JOURNAL_VERSION, (long long)++j->seq, (long long)clock_wall_ms(),
		 (long long)clock_mono_ms(), j->host, event);
	if (t)
		buf_addf(line, ",\"trial\":\"%s\",\"run\":\"%s\",\"attempt\":%d,\"step\":0", t->key,
			 t->run_id, attempt);
	if (fields)
		add_fields(line, fields);
	buf_addf(line, ",\"crc\":\"%08x\"}\n", crc32_of(line->data + start, line->len - start));
}

void journal_add_line(struct journal *j, const json_t *line)
{
	AUTO(json) json_t *own = json_copy((json_t *)line);
	AUTO(buf) struct buf text = BUF_INIT;

	json_object_del(own, "crc");
	json_put_int(own, "seq", ++j->seq);
	json_format(&text, own, false);
	text.data[--text.len] = '\0';
	buf_addf(&j->pending, "%s,\"crc\":\"%08x\"}\n", text.data, crc32_of(text.data, text.len));
}

const struct buf *journal_pending(const struct journal *j)
{
	return &j->pending;
}

/* Tell the thread; what went wrong in its last sync. */
static int mark_dirty(struct journal *j)
{
	pthread_mutex_lock(&j->mutex);
	int failed = j->sync_errno;
	if (!j->dirty) {
		j->dirty = true;
		pthread_cond_signal(&j->wake);
	}
	pthread_mutex_unlock(&j->mutex);
	return failed;
}

int journal_flush(struct journal *j, struct err *err)
{
	size_t done = 0;

	while (done < j->pending.len) {
		ssize_t n = write(j->fd, j->pending.data + done, j->pending.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int sys = errno;
			buf_add_tail(&j->pending, "", 0, j->pending.len - done);
			return err_set(err, ERR_INFRA, sys, "write " ROLLOUT_JOURNAL);
		}
		done += (size_t)n;
	}
	buf_reset(&j->pending);
	int failed = done ? mark_dirty(j) : 0;
	return failed ? err_set(err, ERR_INFRA, failed, "sync " ROLLOUT_JOURNAL) : 0;
}

static void stop_thread(struct journal *j)
{
	if (!j->threaded)
		return;
	pthread_mutex_lock(&j->mutex);
	j->stop = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->mutex);
	pthread_join(j->thread, NULL);
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->mutex);
}

int journal_close(struct journal *j, struct err *err)
{
	int status = 0;

	if (!j)
		return 0;
	if (j->threaded) {
		status = journal_flush(j, err);
		stop_thread(j);
		if (!status && fdatasync(j->fd))
			status = err_set(err, ERR_INFRA, errno, "sync " ROLLOUT_JOURNAL);
	}
	buf_release(&j->pending);
	close(j->fd);
	free(j);
	return status;
}

bool journal_is_live(int dir_fd)
{
	AUTO(fd) int fd = openat(dir_fd, ROLLOUT_JOURNAL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
}
