/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sandbox.h -- one isolated machine for one phase of a trial: a root file system, a workspace and
 * rollouts-init as PID 1. A backend makes the root file system and starts PID 1; exec, put, get, logs,
 * deadlines, stats and the forwarder to the gateway go through PID 1 and are written once.
 *
 * One thread, one foreground exec at a time. All calls block until done, failed, or the deadline.
 * Everything dies with the control socket: nothing survives a SIGKILL of the worker.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/strv.h"
#include "core/bench.h"
#include "core/image.h"
#include "core/limits.h"
#include "core/task-layout.h"
#include "os/capped-log.h"
#include "repo/repo.h"

struct sandbox; /* opaque; a backend embeds it as its first member */

struct sandbox_mount {
	const char *host, *box; /* absolute both; read-only, no set-uid, no devices */
};

enum { SANDBOX_CACHES_MAX = 8, SANDBOX_OVERLAYS_MAX = 1 + SANDBOX_CACHES_MAX };

struct sandbox_inherited; /* see sandbox_inherited_open */

struct sandbox_spec {
	int root_fd;	  /* the data root, also the working directory of the process */
	const char *name; /* host name inside, and the name of a container */
	const struct task_layout *layout; /* the paths inside */
	const char *
		baseline; /* "cache/baselines/KEY": its repo/ becomes layout->repo, writable; NULL: none */
	const char *app; /* "cache/tasks/HASH/app": copied to layout->app, writable; NULL: empty */
	const char *scratch; /* relative to the data root; made by open, removed by close */
	enum workspace_kind workspace;
	const struct sandbox_mount *mounts;
	size_t mounts_n;
	bool plain; /* for "landlock" and "launcher": nothing is mounted, LAYOUT is one of sandbox_plain_layout */
	bool alone; /* for "launcher": nobody else is on the machine */
	/* Folders that are shown and may be written to, as a layer above that goes with the sandbox: HOST never changes. A copy
	 * where that cannot be had. At most SANDBOX_CACHES_MAX. */
	const struct sandbox_mount *caches;
	size_t caches_n;
	bool network; /* of a container: the engine's default bridge beside the forwarder; else refused */
	const char *gateway; /* unix socket on the host, or NULL: no forwarder */
	int gateway_port;    /* 127.0.0.1:PORT inside leads to the gateway */
	/* Files below ROOT_FD that somebody else writes because of what runs in it: they count as its disk. NULL: none. */
	const char *counted[2];
	struct limits limits;
	struct sandbox_inherited *inherited; /* NULL: open everything with the rights we have now */
	const struct image *image;	     /* a container of it; NULL: the host's own programs */
	const char *bench, *run;	     /* for a container's labels; may be NULL */
	/* Of a container: it is the image as it is, written to freely, and its users are those of the image, root with the capabilities that
	 * SANDBOX_CAPABILITIES names. Nothing of LAYOUT is shown in it, there is no diff, and what a command leaves running lives
	 * on: at a deadline only its own tree ends. */
	bool whole;
	bool privileges; /* of a whole one: its programs may gain privileges, as sudo must */
	bool grading;	 /* tests run in it, whose Python looks into no site folder of a user */
	/* No command traces another, or writes to its memory, and /proc is read-only. */
	bool untraced;
	bool bare; /* a local one without what this machine's programs need of /etc: just tried */
	/* Polled while anything blocks: readable, hung up or in error means stop with ERR_CANCELLED. -1: unused. */
	int cancel_fds[2];
};

enum sandbox_at_end {
	SANDBOX_KILL_ALL, /* every process but PID 1 is dead when exec returns */
	SANDBOX_LEAVE,	  /* background processes may go on */
};

/* Somebody outside has a say in how long a command may run. */
struct sandbox_watch {
	int fd; /* polled for reading while the command runs; -1: none */
	/* Called when FD is readable and when the deadline has come; takes in what there is to read, without
	 * blocking for long. Returns the deadline that holds from now on (clock_mono_ms; 0: none): one that is
	 * past ends the command as SANDBOX_TIMED_OUT. */
	int64_t (*deadline)(void *arg);
	void *arg;
};

struct sandbox_exec {
	const char *const *argv; /* argv[0] is looked up in the PATH of ENV */
	const char *const *env; /* "K=V", begun by sandbox_env; what only the image sets is added */
	const char *cwd;
	/* Who runs it: of a container's image, as in a Dockerfile ("app", "1000:100"), which takes a PID 1 that may
	 * become another. NULL or "": who PID 1 is. */
	const char *user;
	const void *input; /* NULL: /dev/null */
	size_t input_len;
	/* Standard input, output and error, given to the command as they are; NULL: what follows says. TERMINAL: they are one, and it
	 * is the command's own. */
	const int *descriptors;
	bool terminal;
	struct capped_log *out, *err; /* may be the same, may be NULL (dropped); borrowed */
	/* Called with each piece as it arrives; STREAM is 1 or 2. May be NULL. */
	void (*on_output)(void *arg, int stream, const char *data, size_t n);
	void *on_output_arg;
	bool joined; /* standard error goes the way of standard output, in the order written: STREAM is 1 */
	int64_t deadline_ms;		   /* clock_mono_ms; 0: none. Then everything is killed */
	const struct sandbox_watch *watch; /* may move the deadline; NULL: nobody. Borrowed */
	enum sandbox_at_end at_end;
};

enum sandbox_end {
	SANDBOX_EXITED,	   /* status is the wait status */
	SANDBOX_TIMED_OUT, /* the deadline came */
	SANDBOX_NO_MEMORY, /* the memory ceiling was passed */
	SANDBOX_NO_DISK,   /* the disk ceiling was passed: text says how */
	SANDBOX_NOT_FOUND, /* argv[0] could not be executed: text says why */
};

struct sandbox_exit {
	enum sandbox_end end;
	int status;
	char text[160];
	bool no_folder; /* SANDBOX_NOT_FOUND: it is CWD that cannot be entered */
	int left_running; /* processes that ran on when a SANDBOX_KILL_ALL command had ended, and were killed */
	int64_t wall_ms, cpu_ms, memory_max;
	/* As last measured, which may be before the end of a short command that could not have passed the ceiling
	 * (sandbox_disk_bytes measures); -1: nested too deeply to be measured. */
	int64_t disk_bytes;
};

struct sandbox_stats {
	int64_t memory, memory_max, cpu_ms, disk_bytes;
	int processes;
};

enum sandbox_measure {
	SANDBOX_DISK_SOON, /* start a measurement when it is time; do not wait for it */
	SANDBOX_DISK_LIMIT, /* wait for one if the ceiling may have been passed since the last, at most a moment */
	SANDBOX_DISK_NOW, /* measure and wait for it, at most a second */
};

/* Of root in a whole container, by name. */
#define SANDBOX_CAPABILITIES                                                                       \
	"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",                   \
		"NET_BIND_SERVICE", "SYS_CHROOT"

struct sandbox_backend {
	const char *name; /* as written in the TOML */
	int (*open)(struct sandbox **out, const struct sandbox_spec *spec, struct err *err);
	/* See the wrappers of the same names below. */
	int (*apply)(struct sandbox *s, int patch_fd, int times_fd, char **why, struct err *err);
	int (*stop)(struct sandbox *s, struct err *err);
	int (*diff)(struct sandbox *s, int out_fd, struct repo_diff *out, struct err *err);
	/* Blocks written below the scratch directory, as last measured. */
	int64_t (*disk_bytes)(struct sandbox *s, enum sandbox_measure how);
	int (*network)(struct sandbox *s, bool on, struct err *err); /* NULL: there never is one */
	void (*close)(struct sandbox *s);
};

/* A worker started as root becomes an unprivileged user before it opens a sandbox. What that user could not
 * reach is opened here, before: the init program, the mounts, the gateway's socket (paths under /root, say),
 * and a view of the baseline in which its owner is UID, without which an overlay of files of another user is
 * read-only; for a container, the process that may speak to the engine. Root that may not mount enters namespaces of its
 * own, and SPEC's root_fd is then opened anew. For one sandbox_open each, also when that fails; free in any case: that
 * waits until the container is removed. */
int sandbox_inherited_open(struct sandbox_inherited **out, const struct sandbox_spec *spec,
			   uid_t uid, gid_t gid, struct err *err) MUST_CHECK;
void sandbox_inherited_free(struct sandbox_inherited *r); /* accepts NULL */

/* Start a box from SPEC (its strings are borrowed until close). The caller owns *out. Failure is ERR_INFRA
 * naming what forbids it and the remedy. */
int sandbox_open(struct sandbox **out, const char *backend, const struct sandbox_spec *spec,
		 struct err *err) MUST_CHECK;
/* Whether one of BACKEND ("local", "landlock") starts on this machine at all: below ROOT_FD, as a trial without a repository
 * has it, it is started, used and ended; 50 ms or so, 20 s at most. -1: none does; the message names the cause and the
 * remedy. */
int sandbox_try(int root_fd, const char *backend, struct err *err) MUST_CHECK;
/* "local", or "landlock" where WEAKER allows it and that alone starts: WHY then says why the other does not. Tries them out, in
 * a folder of the machine's. */
const char *sandbox_usual(bool weaker, struct err *why);
/* Find what all local sandboxes below ROOT_FD share, which each would look for otherwise, many at a time. */
void sandbox_warm(int root_fd);
/* As sandbox_try of a local one, with all that a trial's sandbox shows: SCRIPT is run by sh, and OUT gets what it printed, however it ended. Two
 * minutes at most. */
int sandbox_try_script(int root_fd, const char *script, struct buf *out,
		       struct err *err) MUST_CHECK;
/* Apply a patch to the workspace before the first exec, then the times of its files (-1: none): as repo_apply and
 * repo_apply_times. */
int sandbox_apply(struct sandbox *s, int patch_fd, int times_fd, char **why,
		  struct err *err) MUST_CHECK;
/* Append what the environment of every command in S begins with, "K=V" each: HOME; TMPDIR, LANG and TERM, where the
 * container's image does not set them; and PATH, which is
 * that of the container's image (it may have its programs where no other system does), else the usual one. */
void sandbox_env(const struct sandbox *s, struct strv *env);
/* Before the next of several scripts: empty the home folder and those of temporary files, but for what is mounted there (and of a
 * home with copied caches nothing). -1 with from_box: what is in the way cannot be removed. */
int sandbox_freshen(struct sandbox *s, struct err *err) MUST_CHECK;
/* The port that leads to the gateway: the spec's, but where a sandbox shares the machine's, and then one that was free. */
int sandbox_gateway_port(const struct sandbox *s);
/* Make L's paths, which begin with "/", those of a sandbox without mounts in SCRATCH below ROOT_FD. */
int sandbox_plain_layout(struct task_layout *l, int root_fd, const char *scratch,
			 struct err *err) MUST_CHECK;
/* PATH without what stands for "/" where a sandbox has no root of its own: the same in all; points into PATH. */
const char *sandbox_inside(const struct sandbox *s, const char *path);
/* Of a weaker kind: which, "Landlock 7, a user of its own"; "" of all others. docs/sandbox.md says what it cannot promise. */
const char *sandbox_isolation(const struct sandbox *s);
/* Run to the end. A non-zero exit is a result. -1: the sandbox itself failed, or ERR_CANCELLED. Here and below an error
 * that commands which ran before can have caused is marked from_box: once an agent has run one, it is not ours. */
int sandbox_exec(struct sandbox *s, const struct sandbox_exec *x, struct sandbox_exit *out,
		 struct err *err) MUST_CHECK;
enum sandbox_service {
	SERVICE_RUNS,
	SERVICE_READY, /* its program has come to run what stands in its arguments as SANDBOX_KEEP_ALIVE */
	SERVICE_ENDED, /* with a status; what it started may run on */
};
/* In a container: a program that does nothing, for ever. An entry point that gets it as its arguments ends in running it. */
#define SANDBOX_KEEP_ALIVE "/.rollouts/init"

/* Start X->argv, the image's entry point, beside the commands that follow: none of their ends ends it. At most once. What
 * it prints goes to LOG_FD, a regular file that it may fill up to the disk ceiling. */
int sandbox_serve(struct sandbox *s, const struct sandbox_exec *x, int log_fd,
		  struct err *err) MUST_CHECK;
/* What became of it. TEXT, of SIZE bytes: why it could not be started; else "". */
int sandbox_service(struct sandbox *s, enum sandbox_service *state, int *status, char *text,
		    size_t size, struct err *err) MUST_CHECK;
/* Write a file inside as the box user, making directories; a component that is a link or a file where a
 * directory is needed is replaced. For tests that may be seen only now. */
int sandbox_put(struct sandbox *s, const char *box_path, const void *data, size_t n, mode_t mode,
		struct err *err) MUST_CHECK;
/* Open a regular file inside for reading (no link followed in any component). The caller owns the returned fd, -1 with
 * err->sys ENOENT when there is none. The content is the agent's: read it bounded. */
int sandbox_get(struct sandbox *s, const char *box_path, struct err *err) MUST_CHECK;
int sandbox_stats(struct sandbox *s, struct sandbox_stats *out, struct err *err) MUST_CHECK;
/* Whether its spec has a network. Of such a one: take it away, so that nothing but loopback is left, or give it back. What runs in it goes on. */
bool sandbox_has_network(const struct sandbox *s);
int sandbox_network(struct sandbox *s, bool on, struct err *err) MUST_CHECK;
/* End PID 1 and everything in the box; the workspace stays readable for diff. Idempotent. */
int sandbox_stop(struct sandbox *s, struct err *err) MUST_CHECK;
/* The agent's patch into OUT_FD, after stop. */
int sandbox_diff(struct sandbox *s, int out_fd, struct repo_diff *out, struct err *err) MUST_CHECK;
/* "overlay" or "copy": what the workspace became; "cgroup" or "watched": what holds the limits. */
const char *sandbox_workspace(const struct sandbox *s);
/* Blocks written below the scratch directory, measured now; -1: nested too deeply. */
int64_t sandbox_disk_bytes(struct sandbox *s);
/* Whether the kernel has killed a process in it for memory. Always false where no group holds the limit. */
bool sandbox_oom_killed(const struct sandbox *s);
/* The home folder of USER ("": who its commands are by themselves) in IMAGE; "/" where it has none. The caller frees. */
char *sandbox_home(const struct image *image, const char *user);
const char *sandbox_limits_held(const struct sandbox *s);
/* rm -rf a scratch directory left behind by a killed worker, with the rights of our own user over what an
 * agent made unreadable. Not to be used while its sandbox runs. A missing one is success. */
int sandbox_remove_scratch(int root_fd, const char *scratch, struct err *err) MUST_CHECK;
/* Stop, remove the scratch directory, free. Never fails; accepts NULL. */
void sandbox_close(struct sandbox *s);
