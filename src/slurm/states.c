/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Two sources say what became of a trial: the event files that rollouts-node writes, which are believed first, and Slurm, which is
 * asked of all jobs of this user at once and says why a job never wrote its last line. A shared file system may show
 * a file late, so a task that has ended without a word of its node is waited for a while.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/dir.h"
#include "os/lines.h"
#include "slurm/slurm.h"
#include "core/driver.h"

enum {
	LINE_MAX_BYTES = 16 << 20,
	CHUNK = 1 << 16,
	LATE_MS = 5000,		  /* after an end that was not one in order */
	LATE_IN_ORDER_MS = 90000, /* after one that was: the last lines must be on their way */
	WHY_MS = 15000,		  /* for Slurm to say why it stopped a node */
	MISSED_MAX = 3,		  /* answers of Slurm without a job that it has had */
	EXECUTIONS_MAX = 1000,
	LOG_MAX = 1 << 20,
};

struct hearer {
	struct slurm *s;
	struct batch *b;
	struct task *t;
};

static struct trial_ref *find(const struct task *t, const char *token)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->trials[i].token, token))
			return &t->trials[i];
	return NULL;
}

static void say_ended(const struct batch *b, struct trial_ref *r, const char *how,
		      const char *archive)
{
	r->ended = true;
	if (!r->attached)
		return;
	json_t *m = driver_ended(r->token, how, r->how != NULL, r->committed);
	if (archive) {
		AUTO(free) char *path = xasprintf("%s/out/%s", b->dir, archive);
		json_put_str(m, "archive", path);
	}
	driver_say(m);
}

/* The first end there is counts: an execution that goes on somewhere may bring another. */
static void on_line(void *arg, const char *line, size_t len)
{
	struct hearer *h = arg;
	AUTO(json) json_t *j = json_loadb(line, len, 0, NULL);
	struct trial_ref *r = find(h->t, json_get_str(j, "token", ""));
	const char *ended = json_get_str(j, "ended", NULL);

	if (!r || r->ended || r->how)
		return;
	if (!ended && r->attached) {
		json_put_str(j, "event", "line");
		driver_say(json_incref(j));
	}
	if (!ended)
		return;
	const char *archive = json_get_str(j, "archive", NULL);
	if (archive && strchr(archive, '/'))
		archive = NULL;
	if (json_get_bool(j, "stopped", false) && !r->cancelled) {
		free(r->how);
		free(r->archive);
		r->how = xstrdup(ended);
		r->archive = xstrdup(archive);
		r->committed = json_get_bool(j, "committed", false);
		r->held_ms = clock_mono_ms();
	} else {
		say_ended(h->b, r, ended, archive);
	}
}

/* Those whose node was told to stop, once Slurm has said why, or says nothing. */
static void say_stopped(const struct batch *b, struct task *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct trial_ref *r = &t->trials[i];
		if (r->ended || !r->how ||
		    (t->state != TASK_ENDED && clock_mono_ms() < r->held_ms + WHY_MS))
			continue;
		AUTO(free)
		char *how = xasprintf(
			"%s; %s", r->how,
			t->why ? t->why : "its job was told to stop, and Slurm does not say why");
		say_ended(b, r, how, r->archive);
	}
}

/* Opened anew each time, which makes a network file system ask its server. */
static void read_events(struct hearer *h, size_t execution)
{
	AUTO(free)
	char *path = xasprintf("out/%zu.events.%zu", (size_t)(h->t - h->b->tasks), execution);
	AUTO(fd) int fd = openat(h->b->dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct execution *e = &h->t->executions[execution];
	char chunk[CHUNK];
	ssize_t n;

	if (fd < 0)
		return;
	if (!e->read_bytes)
		buf_reset(&e->begun);
	while ((n = pread(fd, chunk, sizeof chunk, e->read_bytes)) > 0) {
		e->read_bytes += n;
		lines_feed(&e->begun, chunk, (size_t)n, LINE_MAX_BYTES, on_line, h);
	}
}

static bool is_over(const struct task *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->trials[i].ended)
			return false;
	return true;
}

static void read_task(struct slurm *s, struct batch *b, struct task *t)
{
	struct hearer h = {s, b, t};

	/* A slow first execution is heard beside the one that replaced it. */
	for (size_t k = 0; k < t->executions_n; k++)
		read_events(&h, k);
}

static const char *const ended_states[] = {"COMPLETED", "FAILED",	 "CANCELLED",	"TIMEOUT",
					   "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL",	"DEADLINE",
					   "PREEMPTED", "REVOKED",	 "SPECIAL_EXIT"};
static const char *const running_states[] = {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED",
					     "STOPPED", "RESIZING",   "SIGNALING",   "STAGE_OUT"};
/* Reasons of a job that waits and cannot ever start as it is. */
static const char *const never[] = {"BadConstraints",	       "DependencyNeverSatisfied",
				    "PartitionNodeLimit",      "PartitionTimeLimit",
				    "InvalidAccount",	       "InvalidQOS",
				    "AssocMaxCpuPerJobLimit",  "AssocMaxMemPerJob",
				    "AssocMaxNodePerJobLimit", "AssocMaxWallDurationPerJobLimit",
				    "QOSMaxCpuPerJobLimit",    "QOSMaxMemoryPerJob",
				    "QOSMaxNodePerJobLimit",   "QOSMaxWallDurationPerJobLimit",
				    "QOSUsageThreshold",       "QOSNotAllowed",
				    "AccountNotAllowed",       "launch failed requeued held"};
/* Somebody has to let it go. */
static const char *const held[] = {"JobHeldUser", "JobHeldAdmin"};

static bool is_one_of(const char *const *list, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], word))
			return true;
	return false;
}

#define IS_ONE_OF(list, word) is_one_of(list, ARRAY_SIZE(list), word)

/* What Slurm says of one array task; texts may be "". */
struct report {
	int64_t job;
	size_t index;
	const char *state, *reason, *node, *exit;
};

static bool is_said(const char *text)
{
	return *text && strcmp(text, "None") != 0 && strcmp(text, "(null)") != 0;
}

static void set_why(struct task *t, char *why_take)
{
	free(t->why);
	t->why = why_take;
}

static char *explain(const struct report *r)
{
	AUTO(buf) struct buf text = BUF_INIT;

	buf_addf(&text, "Slurm says %s of job %lld_%zu", r->state, (long long)r->job, r->index);
	if (is_said(r->node))
		buf_addf(&text, " on %s", r->node);
	if (is_said(r->reason))
		buf_addf(&text, " (%s)", r->reason);
	if (is_said(r->exit) && strcmp(r->exit, "0:0") != 0)
		buf_addf(&text, ", exit code %s", r->exit);
	return buf_detach(&text);
}

static void on_waiting(struct task *t, const struct report *r)
{
	if (IS_ONE_OF(never, r->reason)) {
		t->state = TASK_ENDED;
		for (size_t i = 0; i < t->n; i++)
			t->trials[i].cancelled = true;
		set_why(t, xasprintf("Slurm will not start job %lld_%zu as it is: %s",
				     (long long)r->job, r->index, r->reason));
		t->ended_ms = clock_mono_ms() - LATE_MS;
		return;
	}
	if (IS_ONE_OF(held, r->reason) && (!t->why || strcmp(t->why, r->reason) != 0))
		driver_note("job %lld_%zu is held (%s): scontrol release %lld_%zu, or scancel it",
			    (long long)r->job, r->index, r->reason, (long long)r->job, r->index);
	t->state = TASK_QUEUED;
	set_why(t, xstrdup(r->reason));
}

static void say_starting(const struct task *t)
{
	for (size_t i = 0; i < t->n; i++) {
		json_t *m = json_object();
		json_put_str(m, "event", "starting");
		json_put_str(m, "token", t->trials[i].token);
		driver_say(m);
	}
}

static void take(struct slurm *s, const struct report *r)
{
	struct task *t = NULL;

	for (size_t i = 0; i < s->n && !t; i++)
		if (s->batches[i].job == r->job && r->index < s->batches[i].n)
			t = &s->batches[i].tasks[r->index];
	if (!t)
		return;
	t->seen = true;
	t->missed = 0;
	if (IS_ONE_OF(ended_states, r->state)) {
		if (t->state == TASK_ENDED)
			return;
		bool in_order = !strcmp(r->state, "COMPLETED");
		t->state = TASK_ENDED;
		t->ended_ms = clock_mono_ms() + (in_order ? LATE_IN_ORDER_MS - LATE_MS : 0);
		set_why(t, in_order ? NULL : explain(r));
	} else if (IS_ONE_OF(running_states, r->state)) {
		if (t->state == TASK_QUEUED)
			say_starting(t);
		t->state = TASK_RUNNING;
		t->ended_ms = 0;
		set_why(t, NULL);
	} else if (t->state != TASK_ENDED || t->ended_ms) {
		on_waiting(t, r);
	}
}

/* "123_4", or "123_[4-9%2]" of those that wait as one: each of them. */
static void take_id(struct slurm *s, struct report *r, const char *id)
{
	char *end;

	r->job = strtoll(id, &end, 10);
	if (*end != '_')
		return;
	if (end[1] != '[') {
		r->index = strtoul(end + 1, NULL, 10);
		take(s, r);
		return;
	}
	for (char *at = end + 2; *at && *at != ']' && *at != '%';) {
		size_t from = strtoul(at, &at, 10), to = from, step = 1;
		if (*at == '-')
			to = strtoul(at + 1, &at, 10);
		if (*at == ':')
			step = strtoul(at + 1, &at, 10);
		for (size_t i = from; i <= to && step; i += step) {
			r->index = i;
			take(s, r);
		}
		if (*at == ',')
			at++;
		else if (*at != ']' && *at != '%')
			return;
	}
}

enum { FIELDS = 5 };

/* Up to FIELDS parts of a line, which is cut up; missing ones are "". */
static void split(char *line, char sign, const char *out[FIELDS])
{
	for (int i = 0; i < FIELDS; i++) {
		char *next = line ? strchr(line, sign) : NULL;
		out[i] = line ? line : "";
		if (next)
			*next++ = '\0';
		line = next;
	}
}

static void each_line(struct slurm *s, char *text, bool is_sacct)
{
	for (char *line = text, *next; line && *line; line = next) {
		const char *f[FIELDS];
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		split(line, '|', f);
		char *state = (char *)f[1];
		/* "CANCELLED by 1000" */
		state[strcspn(state, " +")] = '\0';
		struct report r = {.state = state,
				   .exit = is_sacct ? f[2] : "",
				   .reason = is_sacct ? f[4] : f[2],
				   .node = f[3]};
		take_id(s, &r, f[0]);
	}
}

static const char *text_or_first(const json_t *value)
{
	const json_t *one = json_is_array(value) ? json_array_get(value, 0) : value;

	return json_is_string(one) ? json_string_value(one) : "";
}

/* A number, or in newer versions {"set": true, "number": N}. */
static int64_t number(const json_t *value)
{
	const json_t *n = json_is_object(value) ? json_object_get(value, "number") : value;

	if (json_is_object(value) && json_is_false(json_object_get(value, "set")))
		return -1;
	return json_is_integer(n) ? json_integer_value(n) : -1;
}

static bool take_json(struct slurm *s, const struct buf *text)
{
	AUTO(json) json_t *j = json_loadb(text->data, text->len, 0, NULL);
	const json_t *jobs = json_object_get(j, "jobs");
	size_t i;
	json_t *job;

	json_array_foreach (jobs, i, job) {
		int64_t array = number(json_object_get(job, "array_job_id"));
		int64_t index = number(json_object_get(job, "array_task_id"));
		const char *waiting = json_get_str(job, "array_task_string", "");
		AUTO(free)
		char *id = *waiting ? xasprintf("%lld_[%s]", (long long)array, waiting)
				    : xasprintf("%lld_%lld", (long long)array, (long long)index);
		struct report r = {.state = text_or_first(json_object_get(job, "job_state")),
				   .reason = json_get_str(job, "state_reason", ""),
				   .node = json_get_str(job, "nodes", ""),
				   .exit = ""};
		if (array > 0 && (index >= 0 || *waiting))
			take_id(s, &r, id);
	}
	return json_is_array(jobs);
}

/* False: Slurm does not answer now. */
static bool ask_squeue(struct slurm *s)
{
	AUTO(free) char *user = xasprintf("--user=%u", (unsigned)geteuid());
	/* All: those of partitions that are hidden, too. */
	const char *text[] = {"squeue", "-h",	       "--all", "-t", "all",
			      "-o",	"%i|%T|%r|%N", user,	NULL};
	const char *json[] = {"squeue", "--all", "--json", NULL};
	struct answer a;
	struct err err;

	bool ok = !slurm_ask(&a, s->settings.json ? json : text, &err) && !a.status;
	if (ok && s->settings.json && !take_json(s, &a.out)) {
		driver_note("squeue --json gives no JSON here: asking for text");
		s->settings.json = false;
	} else if (ok && !s->settings.json) {
		each_line(s, a.out.data, false);
	}
	answer_release(&a);
	return ok;
}

/* Of those that squeue no longer has. */
static void ask_sacct(struct slurm *s)
{
	AUTO(buf) struct buf ids = BUF_INIT;
	struct answer a;
	struct err err;

	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->batches[i].n; k++)
			if (!s->batches[i].tasks[k].seen &&
			    s->batches[i].tasks[k].state != TASK_ENDED)
				buf_addf(&ids, "%s%lld_%zu", ids.len ? "," : "",
					 (long long)s->batches[i].job, k);
	if (!ids.len || s->no_sacct)
		return;
	const char *argv[] = {"sacct", "-n",	 "-P",
			      "-X",    "-o",	 "JobID,State,ExitCode,NodeList,Reason",
			      "-j",    ids.data, NULL};
	if (!slurm_ask(&a, argv, &err) && !a.status)
		each_line(s, a.out.data, true);
	else
		s->no_sacct = strstr(a.err.data, "disabled") != NULL;
	answer_release(&a);
}

/* The value of KEY ("JobState=") in a line of scontrol, up to the next space; "": there is none. */
static const char *field_of(const char *line, const char *key, char *out, size_t size)
{
	const char *at = strstr(line, key);

	at = at ? at + strlen(key) : "";
	snprintf(out, size, "%.*s", (int)strcspn(at, " \n"), at);
	return out;
}

/* Of those that no list has: a list may be short of some, where the controller is busy or a site keeps something from its users. The controller
 * itself knows whether there is such a job. */
static void ask_scontrol(struct slurm *s, const struct batch *b)
{
	AUTO(free) char *id = xasprintf("%lld", (long long)b->job);
	const char *argv[] = {"scontrol", "--all", "--oneliner", "show", "job", id, NULL};
	struct answer a;
	struct err err;

	const bool ok = !slurm_ask(&a, argv, &err) && !a.status;
	for (char *line = ok ? a.out.data : NULL, *next; line && *line; line = next) {
		char task[256], state[64], reason[128], node[128], exit[32];
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		else
			next = line + strlen(line);
		struct report r = {.state = field_of(line, " JobState=", state, sizeof state),
				   .reason = field_of(line, " Reason=", reason, sizeof reason),
				   .node = field_of(line, " NodeList=", node, sizeof node),
				   .exit = field_of(line, " ExitCode=", exit, sizeof exit)};
		AUTO(free)
		char *which = xasprintf("%s_[%s]", id,
					field_of(line, " ArrayTaskId=", task, sizeof task));
		take_id(s, &r, which);
	}
	answer_release(&a);
}

static void ask_of_missing(struct slurm *s)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->batches[i].n; k++) {
			const struct task *t = &s->batches[i].tasks[k];
			if (t->seen || t->state == TASK_ENDED)
				continue;
			ask_scontrol(s, &s->batches[i]);
			break;
		}
}

/* What its tasks said last on standard error: why the shell or rollouts-node never came to run a trial. The caller frees; NULL: nothing. */
static char *last_words(const struct batch *b)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	if (path_read(b->dir_fd, "log", LOG_MAX, &text, &ignored))
		return NULL;
	while (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	const char *line = text.len ? strrchr(text.data, '\n') : NULL;
	return text.len ? xasprintf("%.300s", line ? line + 1 : text.data) : NULL;
}

static void give_up(struct batch *b, struct task *t)
{
	AUTO(free) char *unknown =
		xasprintf("Slurm no longer knows job %lld_%zu, and nothing says how it ended",
			  (long long)b->job, (size_t)(t - b->tasks));
	const char *how = t->why		   ? t->why
			  : t->state == TASK_ENDED ? "it ended without a word"
						   : unknown;
	AUTO(free) char *words = t->executions_n ? NULL : last_words(b);
	AUTO(free) char *text = words ? xasprintf("%s; its log ends: %s", how, words) : NULL;

	for (size_t i = 0; i < t->n; i++)
		if (!t->trials[i].ended)
			say_ended(b, &t->trials[i], text ? text : how, NULL);
}

static void look(struct slurm *s, struct batch *b, struct task *t, bool answered)
{
	if (is_over(t))
		return;
	if (answered && !t->seen && t->state != TASK_ENDED && ++t->missed > MISSED_MAX) {
		t->state = TASK_ENDED;
		t->ended_ms = clock_mono_ms();
		set_why(t, NULL);
	}
	if (t->state != TASK_QUEUED)
		read_task(s, b, t);
	say_stopped(b, t);
	if (t->state == TASK_ENDED && !is_over(t) && clock_mono_ms() >= t->ended_ms + LATE_MS)
		give_up(b, t);
}

static void add_executions(struct task *t, size_t n)
{
	if (n <= t->executions_n)
		return;
	t->executions = xreallocarray(t->executions, n, sizeof *t->executions);
	while (t->executions_n < n)
		t->executions[t->executions_n++] = (struct execution){0, BUF_INIT};
}

/* Which event files there are: listed once for all tasks. Looking for one that is not there yet would be a question to the file system for each,
 * and a network file system would go on saying for a minute that it is not there. A task whose node has begun to write has
 * begun, whatever Slurm was last heard to say. */
static void find_events(struct batch *b)
{
	int fd = openat(b->dir_fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *e; d && (e = readdir(d));) {
		char *end, *last;
		const size_t i = strtoul(e->d_name, &end, 10);
		if (end == e->d_name || strncmp(end, ".events.", 8) != 0 || i >= b->n)
			continue;
		const size_t k = strtoul(end + 8, &last, 10);
		if (last == end + 8 || *last || k >= EXECUTIONS_MAX)
			continue;
		add_executions(&b->tasks[i], k + 1);
		if (b->tasks[i].state == TASK_QUEUED) {
			say_starting(&b->tasks[i]);
			b->tasks[i].state = TASK_RUNNING;
		}
	}
}

static bool has_news(const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (!is_over(&b->tasks[i]))
			return true;
	return false;
}

/* What nodes wrote: read each time, which asks Slurm nothing. */
static void read_all(struct slurm *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct batch *b = &s->batches[i];
		if (has_news(b))
			find_events(b);
		for (size_t k = 0; k < b->n; k++) {
			struct task *t = &b->tasks[k];
			if (t->state == TASK_QUEUED || is_over(t))
				continue;
			read_task(s, b, t);
			say_stopped(b, t);
		}
	}
}

/* What Slurm says of them all. */
static void ask_slurm(struct slurm *s)
{
	int64_t start = clock_mono_ms();

	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->batches[i].n; k++)
			s->batches[i].tasks[k].seen = is_over(&s->batches[i].tasks[k]);
	bool answered = ask_squeue(s);
	if (answered) {
		ask_sacct(s);
		ask_of_missing(s);
	}
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->batches[i].n; k++)
			look(s, &s->batches[i], &s->batches[i].tasks[k], answered);
	/* Never more than a tenth of the time: asking of ten thousand jobs takes a while. */
	int64_t cost = clock_mono_ms() - start, pause = s->settings.poll_sec * 1000;
	s->next_poll_ms = start + (cost * 10 > pause ? cost * 10 : pause);
}

void states_poll(struct slurm *s)
{
	if (!s->n)
		return;
	read_all(s);
	if (clock_mono_ms() >= s->next_poll_ms)
		ask_slurm(s);
	batch_cancel(s, false);
}
