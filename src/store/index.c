/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/index.h"
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "store/crc.h"
#include "store/index-form.h"
#include "store/journal.h"

/* Files of fewer bytes are read as fast: a few thousand trials, a tenth of a second. */
enum { WORTH_BYTES = 8 << 20 };
enum { PATIENCE_MS = 1000, PAGE = 65536 };
/* A query of a file that somebody else made could be one without an end. */
enum { QUERY_MS = 60000, QUERY_STEPS = 100000 };

/* Whoever did not get in once does not wait again, for each of many rollouts. */
static bool given_up;

/* Tests have small rollouts. */
static int64_t worth_bytes(void)
{
	const char *given = getenv("ROLLOUTS_TEST_INDEX_BYTES");

	return given ? strtoll(given, NULL, 10) : WORTH_BYTES;
}

/* File systems over a network, and in user space: whether a lock there keeps others out is anybody's guess. */
static bool has_locks(int fd)
{
	static const uint32_t without[] = {
		0x6969 /* NFS */,	 0x517b /* SMB */,	  0xff534d42 /* CIFS */,
		0xfe534d42 /* SMB2 */,	 0x01021997 /* 9p */,	  0x65735546 /* FUSE */,
		0x0bd00bd0 /* Lustre */, 0x47504653 /* GPFS */,	  0x00c36400 /* Ceph */,
		0x5346414f /* AFS */,	 0x19830326 /* BeeGFS */, 0x73757245 /* Coda */};
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(without); i++)
		if ((uint32_t)fs.f_type == without[i])
			return false;
	return true;
}

static bool look_at(struct index_file *out, int dir_fd, const char *name)
{
	enum { NS = 1000000000 };
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return false;
	*out = (struct index_file){(int64_t)st.st_dev, (int64_t)st.st_ino, st.st_size,
				   st.st_mtim.tv_sec * NS + st.st_mtim.tv_nsec,
				   st.st_ctim.tv_sec * NS + st.st_ctim.tv_nsec};
	return true;
}

bool index_files_of(struct index_files *out, const struct store *s, int dir_fd)
{
	return !given_up && look_at(&out->plan, dir_fd, ROLLOUT_PLAN) &&
	       look_at(&out->journal, dir_fd, ROLLOUT_JOURNAL) &&
	       out->plan.size + out->journal.size >= worth_bytes() && has_locks(s->root_fd);
}

static int is_late(void *deadline)
{
	return clock_mono_ms() > *(int64_t *)deadline;
}

struct db {
	sqlite3 *handle;
	int64_t deadline;
};

static void auto_db(struct db *db)
{
	sqlite3_close(db->handle);
}

static void auto_query(sqlite3_stmt **query)
{
	sqlite3_finalize(*query);
}

static bool run(struct db *db, const char *sql)
{
	return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* A link in its place would be followed. */
static bool open_db(struct db *db, const struct store *s, int flags)
{
	AUTO(free) char *path = path_join(s->root, DATA_INDEX);
	struct stat st;

	*db = (struct db){.deadline = clock_mono_ms() + QUERY_MS};
	if (fstatat(s->root_fd, DATA_INDEX, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return false;
	if (sqlite3_open_v2(path, &db->handle, flags, NULL) != SQLITE_OK)
		return false;
	sqlite3_busy_timeout(db->handle, PATIENCE_MS);
	sqlite3_progress_handler(db->handle, QUERY_STEPS, is_late, &db->deadline);
	return sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) == SQLITE_OK;
}

static bool prepare(struct db *db, sqlite3_stmt **out, const char *sql)
{
	return sqlite3_prepare_v2(db->handle, sql, -1, out, NULL) == SQLITE_OK;
}

static bool is_whole(sqlite3_stmt *query, int crc_column, const void *data, size_t n)
{
	return data && sqlite3_column_int64(query, crc_column) == (int64_t)crc32_of(data, n);
}

/* Its row, if it is of these FILES; 0: there is none. */
static int64_t find(struct db *db, const struct rollout *r, const struct index_files *files,
		    struct index_head *head)
{
	AUTO(query) sqlite3_stmt *query = NULL;

	if (!prepare(db, &query,
		     "SELECT id, crc, head FROM rollout WHERE path = ? AND files = ?") ||
	    sqlite3_bind_text(query, 1, r->ref.path, -1, SQLITE_STATIC) ||
	    sqlite3_bind_blob(query, 2, files, sizeof *files, SQLITE_STATIC) ||
	    sqlite3_step(query) != SQLITE_ROW)
		return 0;
	const void *data = sqlite3_column_blob(query, 2);
	if (sqlite3_column_bytes(query, 2) != (int)sizeof *head ||
	    !is_whole(query, 1, data, sizeof *head))
		return 0;
	memcpy(head, data, sizeof *head);
	return sqlite3_column_int64(query, 0);
}

static bool take_pieces(struct db *db, int64_t id, struct index_unpacking *u)
{
	AUTO(query) sqlite3_stmt *query = NULL;
	int step;

	if (!prepare(db, &query,
		     "SELECT kind, crc, content FROM piece WHERE rollout = ? "
		     "ORDER BY kind, number") ||
	    sqlite3_bind_int64(query, 1, id))
		return false;
	while ((step = sqlite3_step(query)) == SQLITE_ROW) {
		const void *data = sqlite3_column_blob(query, 2);
		size_t n = (size_t)sqlite3_column_bytes(query, 2);
		if (!n)
			continue;
		if (!is_whole(query, 1, data, n) ||
		    !index_unpack(u, (enum index_kind)sqlite3_column_int(query, 0), data, n))
			return false;
	}
	return step == SQLITE_DONE && index_unpack_end(u);
}

void index_forget(struct rollout *r)
{
	for (size_t i = 0; i < r->trials_n; i++)
		trial_result_release(&r->trials[i].result);
	free(r->trials);
	memory_release(&r->memory);
	r->trials = NULL;
	r->trials_n = 0;
	r->damaged_lines = 0;
	r->cost = (struct journal_cost){0};
}

bool index_get(struct rollout *r, const struct store *s, const struct index_files *files)
{
	AUTO(db) struct db db = {0};
	struct index_unpacking u;
	struct index_head head;
	int64_t id;

	if (!open_db(&db, s, SQLITE_OPEN_READONLY))
		return false;
	id = find(&db, r, files, &head);
	given_up = sqlite3_errcode(db.handle) == SQLITE_BUSY;
	if (!id)
		return false;
	if (index_unpack_begin(&u, r, &head) && take_pieces(&db, id, &u))
		return true;
	index_forget(r);
	return false;
}

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS rollout(id INTEGER PRIMARY KEY, path TEXT UNIQUE, files BLOB, "
	"head BLOB, crc INTEGER);"
	"CREATE TABLE IF NOT EXISTS piece(rollout INTEGER, kind INTEGER, number INTEGER, "
	"crc INTEGER, content BLOB);"
	"CREATE INDEX IF NOT EXISTS by_place ON piece(rollout, kind, number);";

struct putting {
	sqlite3_stmt *insert;
	int64_t id;
	int number;
};

static int put_piece(void *arg, enum index_kind kind, const void *data, size_t n)
{
	struct putting *p = arg;

	sqlite3_reset(p->insert);
	return sqlite3_bind_int64(p->insert, 1, p->id) ||
			       sqlite3_bind_int(p->insert, 2, (int)kind) ||
			       sqlite3_bind_int(p->insert, 3, p->number++) ||
			       sqlite3_bind_int64(p->insert, 4, crc32_of(data, n)) ||
			       sqlite3_bind_blob64(p->insert, 5, data, n, SQLITE_STATIC) ||
			       sqlite3_step(p->insert) != SQLITE_DONE
		       ? -1
		       : 0;
}

static bool drop(struct db *db, const char *path)
{
	static const char *const sql[] = {
		"DELETE FROM piece WHERE rollout IN (SELECT id FROM rollout WHERE path = ?)",
		"DELETE FROM rollout WHERE path = ?"};

	for (size_t i = 0; i < ARRAY_SIZE(sql); i++) {
		AUTO(query) sqlite3_stmt *query = NULL;
		if (!prepare(db, &query, sql[i]) ||
		    sqlite3_bind_text(query, 1, path, -1, SQLITE_STATIC) ||
		    sqlite3_step(query) != SQLITE_DONE)
			return false;
	}
	return true;
}

/* Rollouts that were removed since. */
static bool drop_gone(struct db *db, const struct store *s)
{
	AUTO(query) sqlite3_stmt *query = NULL;
	AUTO(strv) struct strv gone = STRV_INIT;

	if (!prepare(db, &query, "SELECT path FROM rollout"))
		return false;
	while (sqlite3_step(query) == SQLITE_ROW) {
		const char *path = (const char *)sqlite3_column_text(query, 0);
		if (path && (!path_is_inside(path) || !path_exists(s->root_fd, path)))
			strv_push(&gone, path);
	}
	for (size_t i = 0; i < gone.n; i++)
		if (!drop(db, gone.v[i]))
			return false;
	return true;
}

static bool put_head(struct db *db, const struct rollout *r, const struct index_files *files,
		     int64_t id, const struct index_head *head)
{
	AUTO(query) sqlite3_stmt *query = NULL;

	return prepare(db, &query,
		       "INSERT INTO rollout(id, path, files, head, crc) VALUES (?, ?, ?, ?, ?)") &&
	       !sqlite3_bind_int64(query, 1, id) &&
	       !sqlite3_bind_text(query, 2, r->ref.path, -1, SQLITE_STATIC) &&
	       !sqlite3_bind_blob(query, 3, files, sizeof *files, SQLITE_STATIC) &&
	       !sqlite3_bind_blob(query, 4, head, sizeof *head, SQLITE_STATIC) &&
	       !sqlite3_bind_int64(query, 5, crc32_of(head, sizeof *head)) &&
	       sqlite3_step(query) == SQLITE_DONE;
}

static bool next_id(struct db *db, int64_t *out)
{
	AUTO(query) sqlite3_stmt *query = NULL;

	if (!prepare(db, &query,
		     "SELECT 1 + max(coalesce((SELECT max(id) FROM rollout), 0), "
		     "coalesce((SELECT max(rollout) FROM piece), 0))") ||
	    sqlite3_step(query) != SQLITE_ROW)
		return false;
	*out = sqlite3_column_int64(query, 0);
	return *out > 0;
}

static bool put_rollout(struct db *db, const struct rollout *r, const struct store *s,
			const struct index_files *files)
{
	AUTO(query) sqlite3_stmt *insert = NULL;
	struct putting p = {0};
	struct index_head head;

	if (!drop(db, r->ref.path) || !drop_gone(db, s) || !next_id(db, &p.id) ||
	    !prepare(db, &insert,
		     "INSERT INTO piece(rollout, kind, number, crc, content) "
		     "VALUES (?, ?, ?, ?, ?)"))
		return false;
	p.insert = insert;
	return !index_pack(r, &head, put_piece, &p) && put_head(db, r, files, p.id, &head);
}

/* SQLite's word for what went wrong; SQLITE_OK. */
static int put(const struct rollout *r, const struct store *s, const struct index_files *files)
{
	AUTO(db) struct db db = {0};
	char page[64];

	/* It is made by whoever asks first, and made again after any loss: nothing of it needs to be on the disk. */
	snprintf(page, sizeof page, "PRAGMA page_size = %d; PRAGMA synchronous = OFF", PAGE);
	if (!open_db(&db, s, SQLITE_OPEN_READWRITE))
		return SQLITE_CANTOPEN;
	bool done = run(&db, page) && run(&db, "BEGIN IMMEDIATE") && run(&db, schema) &&
		    put_rollout(&db, r, s, files) && run(&db, "COMMIT");
	return done ? SQLITE_OK : sqlite3_errcode(db.handle);
}

/* Of whoever the data folder is of, also when root is the first to ask. */
static bool make_file(const struct store *s)
{
	AUTO(fd)
	int fd = openat(s->root_fd, DATA_INDEX,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
	struct stat dir, st;

	if (fd < 0 || fstat(s->root_fd, &dir) || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return false;
	return st.st_size || st.st_uid == dir.st_uid || geteuid() != 0 ||
	       !fchown(fd, dir.st_uid, dir.st_gid);
}

void index_put(const struct rollout *r, const struct store *s, const struct index_files *files)
{
	AUTO(fd) int fd = openat(s->root_fd, r->ref.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct index_files now;

	if (given_up || fd < 0 || journal_is_live(fd) || !index_files_of(&now, s, fd) ||
	    memcmp(&now, files, sizeof now) != 0 || !make_file(s))
		return;
	int status = put(r, s, files) & 0xff;
	given_up = status == SQLITE_BUSY;
	if (status != SQLITE_CORRUPT && status != SQLITE_NOTADB && status != SQLITE_ERROR)
		return;
	/* Of no use to anybody as it is. */
	unlinkat(s->root_fd, DATA_INDEX, 0);
	unlinkat(s->root_fd, DATA_INDEX "-journal", 0);
	if (make_file(s))
		(void)put(r, s, files);
}
