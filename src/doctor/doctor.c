/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "doctor/doctor.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/user.h"

/* Where trials will have their scratch folders: in the data folder, or where it would be made. */
static char *make_folder(struct checks *c)
{
	const char *const places[] = {c->data, ".", "/tmp"};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char *path = xasprintf("%s/" DATA_DOCTOR_PREFIX "%d", places[i], (int)getpid());
		if (!mkdir(path, 0755))
			c->scratch = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (c->scratch >= 0)
			return path;
		free(path);
	}
	return NULL;
}

static int make_scratch(struct checks *c, char **path, struct err *err)
{
	static const char *const inside[] = {"lower", "upper", "work", "merged", "tmp"};
	bool root = user_may_change();

	*path = make_folder(c);
	if (!*path)
		return err_set(err, ERR_INFRA, errno, "cannot write in %s, here or in /tmp",
			       c->data);
	for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
		if (mkdirat(c->scratch, inside[i], 0755) ||
		    (root && fchownat(c->scratch, inside[i], USER_NOBODY, USER_NOBODY, 0)))
			return err_set(err, ERR_INFRA, errno, "prepare %s", *path);
	if (path_write(c->scratch, "lower/file", "x", 1, 0644, false, err))
		return -1;
	if (root && (fchown(c->scratch, USER_NOBODY, USER_NOBODY) ||
		     fchownat(c->scratch, "lower/file", USER_NOBODY, USER_NOBODY, 0)))
		return err_set(err, ERR_INFRA, errno, "prepare %s", *path);
	return 0;
}

int doctor_run(struct checks *out, const char *data, bool models,
	       const struct doctor_launcher *launcher, struct err *err)
{
	AUTO(free) char *path = NULL;
	struct err why;

	*out = (struct checks){.data = data, .scratch = -1};
	if (make_scratch(out, &path, &why)) {
		check_add(out, CHECK_FAILED, "scratch space",
			  "choose another place with --data-dir", "%s", why.msg);
	} else {
		check_sandbox(out);
		check_programs(out);
		if (checks_passed(out))
			check_toolchains(out);
		check_machine(out);
		check_rollouts(out);
		if (models)
			check_models(out);
		if (launcher)
			check_launcher(out, launcher->name, launcher->settings);
	}
	if (out->scratch >= 0)
		close(out->scratch);
	out->scratch = -1;
	return path ? path_remove_tree(AT_FDCWD, path, err) : 0;
}
