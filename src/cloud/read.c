/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rollouts-cloud read URL FOLDER [RUN_ID|all], pull URL FOLDER: what the verbs that read need of a bucket. One line of JSON says where it is:
 * data, the data folder; name and stamp, where URL says them; names, of the benchmarks that there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cloud/cloud.h"
#include "cloud/layout.h"
#include "cloud/mirror.h"

struct place {
	char *base, *name, *stamp; /* base: s3://BUCKET/PREFIX of a launcher's storage */
};

static void on_any(void *arg, const char *key, int64_t bytes, const char *etag)
{
	*(bool *)arg = true;
}

/* Whether rollouts lie below URL. */
static int has_rollouts(struct aws *a, const char *url, bool *has, struct err *err)
{
	struct s3 s = {0};

	*has = false;
	int rc =
		s3_open(&s, a, url, err) || s3_list(&s, LAYOUT_ROLLOUTS "/", NULL, on_any, has, err)
			? -1
			: 0;
	s3_close(&s);
	return rc;
}

/* s3://BUCKET/PREFIX, and behind it rollouts/, NAME, NAME/STAMP: as many of them as it takes until there are rollouts. */
static int find_place(struct place *p, struct aws *a, const char *url, struct err *err)
{
	AUTO(free) char *left = xstrdup(url);
	char *folder = strstr(left, "/" LAYOUT_ROLLOUTS "/");

	for (size_t n = strlen(left); n > 6 && left[n - 1] == '/'; n--)
		left[n - 1] = '\0';
	if (folder && folder[strlen("/" LAYOUT_ROLLOUTS "/")]) {
		*folder = '\0';
		char *name = folder + strlen("/" LAYOUT_ROLLOUTS "/"), *slash = strchr(name, '/');
		if (slash)
			*slash++ = '\0';
		*p = (struct place){xstrdup(left), xstrdup(name),
				    slash && *slash ? xstrdup(slash) : NULL};
		return 0;
	}
	for (int i = 0; i < 3; i++) {
		bool has;
		if (has_rollouts(a, left, &has, err))
			return -1;
		if (has) {
			p->base = xstrdup(left);
			return 0;
		}
		char *slash = strrchr(left, '/');
		if (i == 2 || slash < left + 6)
			break;
		p->stamp = p->name;
		p->name = xstrdup(slash + 1);
		*slash = '\0';
	}
	return err_set(err, ERR_USAGE, 0, "%s: no rollouts are there", url);
}

static void place_release(struct place *p)
{
	free(p->base);
	free(p->name);
	free(p->stamp);
}

/* Where a mirror of URL is kept: below the user's cache. */
static char *mirror_folder(const char *folder, const char *base)
{
	char hex[HASH_HEX];

	hash_once(base, strlen(base), hex);
	hex[16] = '\0';
	return path_join(folder, hex);
}

static int open_folder(const char *dir, struct err *err)
{
	for (char *copy = xstrdup(dir), *at = copy + 1;; at++) {
		if (*at && *at != '/')
			continue;
		char c = *at;
		*at = '\0';
		if (mkdir(copy, 0700) && errno != EEXIST) {
			err_set(err, ERR_INFRA, errno, "make %s", copy);
			free(copy);
			return -1;
		}
		*at = c;
		if (!c) {
			free(copy);
			break;
		}
	}
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_set(err, ERR_INFRA, errno, "open %s", dir) : fd;
}

static void tell(const struct mirror *m, const struct place *p, size_t archives)
{
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(strv) struct strv names = STRV_INIT;

	for (size_t i = 0; i < m->rollouts.n; i++) {
		AUTO(free)
		char *name = xstrndup(m->rollouts.v[i], strcspn(m->rollouts.v[i], "/"));
		if (!strv_has(&names, name))
			strv_push(&names, name);
	}
	json_put_str(j, "data", m->dir);
	json_put_str(j, "name", p->name);
	json_put_str(j, "stamp", p->stamp);
	json_put_strv(j, "names", &names);
	json_put_strv(j, "rollouts", &m->rollouts);
	json_put_strv(j, "left", &m->left);
	json_put_int(j, "archives", (json_int_t)archives);
	json_format(&text, j, false);
	puts(text.data);
}

static int work(struct mirror *m, struct place *p, struct aws *a, struct s3 *s, char **argv,
		bool pull, struct err *err)
{
	size_t archives = 0;

	if (find_place(p, a, argv[1], err) || s3_open(s, a, p->base, err))
		return -1;
	AUTO(free) char *dir = pull ? xstrdup(argv[2]) : mirror_folder(argv[2], p->base);
	m->dir_fd = open_folder(dir, err);
	m->dir = dir;
	m->s3 = s;
	m->own = !pull;
	m->name = p->name;
	m->stamp = p->stamp;
	if (m->dir_fd < 0 || mirror_update(m, err))
		return -1;
	if ((pull || argv[3]) &&
	    mirror_archives(m, pull || !strcmp(argv[3], "all") ? NULL : argv[3], &archives, err))
		return -1;
	tell(m, p, archives);
	return 0;
}

int cloud_read(int argc, char **argv)
{
	const bool pull = !strcmp(argv[0], "pull");
	struct mirror m = {.dir_fd = -1};
	struct place p = {0};
	struct aws a = {0};
	struct s3 s = {0};
	struct err err = {0};

	if (argc < 3)
		return 2;
	int rc = aws_open(&a, NULL, &err);
	if (!pull)
		a.tries = AWS_TRIES_SHORT;
	rc = rc || work(&m, &p, &a, &s, argv, pull, &err) ? -1 : 0;
	mirror_release(&m);
	auto_fd(&m.dir_fd);
	place_release(&p);
	s3_close(&s);
	aws_close(&a);
	return rc ? cloud_fail(&err) : 0;
}
