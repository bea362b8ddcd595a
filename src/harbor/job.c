/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harbor/job.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"

enum { RESULT_MAX = 64 << 20, TEXT_MAX = 400 };

/* The rows of Harbor's table in which a reward does not count, but for those that its maintainers add by pattern. */
static const struct {
	const char *name;
	struct harbor_policy policy;
} table[] = {
	{"EnvironmentStartTimeoutError", {true, false}},
	{"SandboxBuildFailedError", {true, false}},
	{"AgentSetupTimeoutError", {true, false}},
	{"HealthcheckError", {true, false}},
	{"SandboxLikelyOutOfMemoryError", {true, false}},
	{"MemoryLimitExceededError", {true, false}},
	{"SSHAccessError", {true, false}},
	{"RuntimeRequestError", {true, false}},
	{"AddTestsDirError", {true, false}},
	{"DownloadVerifierDirError", {true, false}},
	{"ApiError", {true, false}},
	{"ApiRateLimitError", {true, false}},
	{"ApiUsageLimitError", {true, false}},
	{"ApiInternalServerError", {true, false}},
	{"ApiOverloadedError", {true, false}},
	{"ApiConnectionClosedError", {true, false}},
	{"ApiResponseStalledError", {true, false}},
	{"UnknownApiError", {true, false}},
	{"NetworkConnectionError", {true, false}},
	{"RateLimitError", {true, false}},
	{"InternalServerError", {true, false}},
	{"ServiceUnavailableError", {true, false}},
	{"APIConnectionError", {true, false}},
	{"APIError", {true, false}},
	{"Timeout", {true, false}},
	{"VerifierTimeoutError", {false, false}},
	{"RewardFileNotFoundError", {false, false}},
	{"RewardFileEmptyError", {false, false}},
	{"VerifierOutputParseError", {false, false}},
	{"UnsupportedModelParametersError", {false, false}},
	{"BadRequestError", {false, false}},
	{"BudgetExceededError", {false, false}},
	{"AgentAuthenticationError", {false, false}},
	{"ModelNotFoundError", {false, false}},
	{"ApiProviderResourceNotFoundError", {false, false}},
	{"AuthenticationError", {false, false}},
	{"PermissionDeniedError", {false, false}},
	{"NotFoundError", {false, false}},
	{"RegradeError", {false, false}},
	{"CancelledError", {false, false}},
	{"MissingExtraError", {false, false}},
	{"NonZeroAgentExitCodeError", {false, true}},
	{"AgentTimeoutError", {false, true}},
	{"ContextWindowExceededError", {false, true}},
	{"OutputTokenExceededError", {false, true}},
	{"ContextLengthExceededError", {false, true}},
	{"OutputLengthExceededError", {false, true}},
	{"AgentSafetyRefusalError", {false, true}},
	{"ContentPolicyViolationError", {false, true}},
};

struct harbor_policy harbor_policy_of(const char *exception)
{
	const size_t n = strlen(exception);

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(exception, table[i].name))
			return table[i].policy;
	if (!strncmp(exception, "GKE", 3) && n > 5 && !strcmp(exception + n - 5, "Error"))
		return (struct harbor_policy){true, false};
	return (struct harbor_policy){true, true};
}

/* Foreign text on one line that misleads nobody; the caller frees. */
static char *harmless(const char *text, size_t max)
{
	AUTO(buf) struct buf out = BUF_INIT;
	const size_t n = strlen(text);

	text_render(&out, text, n > max ? text_cut(text, max) : n, TEXT_TERMINAL_LINE);
	return buf_detach(&out);
}

static char *text_of(const json_t *j, const char *key)
{
	return harmless(json_get_str(j, key, ""), TEXT_MAX);
}

/* "2026-11-30T12:34:56.123456Z", also with "+02:00", or without a zone, which is then taken to be UTC. -1: it is none. */
static int64_t time_of(const json_t *j, const char *key)
{
	const char *text = json_get_str(j, key, "");
	struct tm tm = {0};
	const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	double part = 0;
	int hours, minutes;
	char sign;

	if (!at)
		at = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	if (!at)
		return -1;
	if (*at == '.') {
		char *end;
		part = strtod(at, &end);
		at = end;
	}
	int64_t ms = (int64_t)timegm(&tm) * 1000 + (int64_t)(part * 1000);
	if (sscanf(at, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-'))
		ms -= (sign == '-' ? -1 : 1) * (hours * 60 + minutes) * INT64_C(60000);
	return ms > 0 ? ms : -1;
}

static int64_t span_of(const json_t *result, const char *key)
{
	const json_t *span = json_object_get(result, key);
	const int64_t from = time_of(span, "started_at"), to = time_of(span, "finished_at");

	return from < 0 || to < from ? -1 : to - from;
}

/* {key: number} of a verifier's result, also of one by itself as the first versions had it; NULL: there is none. */
static json_t *rewards_of(const json_t *verifier)
{
	const json_t *rewards = json_object_get(verifier, "rewards"), *v;
	const json_t *only = json_object_get(verifier, "reward");
	const char *key;

	if (json_is_number(only))
		return json_pack("{s:f}", "reward", json_number_value(only));
	if (!json_object_size(rewards))
		return NULL;
	json_t *out = json_object();
	json_object_foreach ((json_t *)rewards, key, v) {
		AUTO(free) char *safe = harmless(key, TEXT_MAX);
		if (json_is_number(v))
			json_put(out, safe, json_incref((json_t *)v));
		else if (json_is_boolean(v))
			json_put_int(out, safe, json_is_true(v));
	}
	if (json_object_size(out))
		return out;
	json_decref(out);
	return NULL;
}

static void take_exception(struct harbor_job_trial *t, const json_t *info)
{
	const char *type = json_get_str(info, "exception_type", "Exception");
	const char *dot = strrchr(type, '.');
	const json_t *policy = json_object_get(info, "policy");

	t->exception = harmless(dot ? dot + 1 : type, TEXT_MAX);
	t->message = text_of(info, "exception_message");
	t->policy = harbor_policy_of(t->exception);
	t->policy.retry = json_get_bool(policy, "should_retry", t->policy.retry);
	t->policy.counts = json_get_bool(policy, "has_valid_reward", t->policy.counts);
}

/* What goes wrong in a step is told there, and not of the trial; so is what its agent used. */
static void take_step(struct harbor_job_trial *t, const json_t *s)
{
	const json_t *info = json_object_get(s, "exception_info");
	json_t *step = json_object(), *rewards = rewards_of(json_object_get(s, "verifier_result"));
	AUTO(free) char *name = text_of(s, "step_name");

	json_put_str(step, "name", name);
	json_put(step, "rewards", rewards ? rewards : json_null());
	if (json_is_object(info)) {
		AUTO(free) char *error = text_of(info, "exception_type");
		AUTO(free) char *why = text_of(info, "exception_message");
		json_put_str(step, "error", error);
		json_put_str(step, "why", why);
	}
	if (json_is_object(info) && !*t->exception) {
		free(t->exception);
		free(t->message);
		take_exception(t, info);
	} else if (json_is_object(info)) {
		t->policy.counts &= harbor_policy_of(json_get_str(step, "error", "")).counts;
	}
	json_array_append_new(t->steps, step);
}

static void add_known(int64_t *sum, int64_t more)
{
	if (more >= 0)
		*sum = more + (*sum < 0 ? 0 : *sum);
}

static void take_steps(struct harbor_job_trial *t, const json_t *steps)
{
	const bool apart = t->tokens_input < 0 && t->tokens_output < 0 && t->usd < 0;
	const bool timed = t->agent_ms < 0;
	const json_t *s;
	size_t i;

	t->steps = json_array();
	json_array_foreach ((json_t *)steps, i, s) {
		const json_t *used = json_object_get(s, "agent_result");
		const double usd = json_get_real(used, "cost_usd", -1);
		take_step(t, s);
		if (apart) {
			add_known(&t->tokens_input, json_get_int(used, "n_input_tokens", -1));
			add_known(&t->tokens_cached, json_get_int(used, "n_cache_tokens", -1));
			add_known(&t->tokens_output, json_get_int(used, "n_output_tokens", -1));
			if (usd >= 0)
				t->usd = usd + (t->usd < 0 ? 0 : t->usd);
		}
		if (timed) {
			add_known(&t->agent_ms, span_of(s, "agent_execution"));
			add_known(&t->verifier_ms, span_of(s, "verifier"));
		}
	}
}

/* "effort=high max_turns=5": what tells two agents of one name and model apart. The caller frees. */
static char *options_of(const json_t *agent)
{
	const json_t *kwargs = json_object_get(agent, "kwargs"), *v;
	AUTO(buf) struct buf out = BUF_INIT;
	const char *key;

	json_object_foreach ((json_t *)kwargs, key, v) {
		AUTO(free) char *text = json_is_string(v) ? xstrdup(json_string_value(v))
							  : json_dumps(v, JSON_ENCODE_ANY);
		buf_addf(&out, "%s%s=%s", out.len ? " " : "", key, text ? text : "?");
	}
	return harmless(out.data, 200);
}

static void take_agent(struct harbor_job_trial *t, const json_t *config, const json_t *info)
{
	const json_t *agent = json_object_get(config, "agent"),
		     *model = json_object_get(info, "model_info");
	const char *name = json_get_str(info, "name", NULL);
	const char *asked = json_get_str(agent, "model_name", NULL);
	const char *import = json_get_str(agent, "import_path", "");

	if (!name)
		name = json_get_str(agent, "name", *import ? import : "unknown");
	t->agent = harmless(name, TEXT_MAX);
	t->agent_version = text_of(info, "version");
	if (!asked && json_is_object(model)) {
		const char *provider = json_get_str(model, "provider", "");
		AUTO(free)
		char *whole = xasprintf("%s%s%s", provider, *provider ? "/" : "",
					json_get_str(model, "name", ""));
		t->model = harmless(whole, TEXT_MAX);
	} else {
		t->model = harmless(asked ? asked : "", TEXT_MAX);
	}
	t->options = options_of(agent);
}

static void take_task(struct harbor_job_trial *t, const json_t *config, const json_t *result)
{
	const json_t *task = json_object_get(config, "task");
	const json_t *id = json_object_get(result, "task_id");
	const char *path = json_get_str(id, "path", json_get_str(task, "path", ""));
	const char *name =
		json_get_str(result, "task_name", json_get_str(task, "name", path_base(path)));
	const char *sum = json_get_str(result, "task_checksum", "");
	const char *engine = json_get_str(json_object_get(config, "environment"), "type", "docker");
	const char *url = json_get_str(id, "git_url", json_get_str(task, "git_url", ""));
	struct hash h;

	t->task = harmless(*name ? name : "unknown", TEXT_MAX);
	AUTO(free) char *place = *url ? xasprintf("%s#%s", url, path) : xstrdup(path);
	t->path = harmless(*place ? place : name, TEXT_MAX);
	t->environment = harmless(engine, 40);
	t->source = text_of(result, "source");
	hash_init(&h);
	hash_str(&h, "harbor");
	hash_str(&h, t->task);
	hash_str(&h, sum);
	hash_hex(&h, t->digest);
}

static void take_usage(struct harbor_job_trial *t, const json_t *result)
{
	const json_t *used = json_object_get(result, "agent_result");

	t->tokens_input = json_get_int(used, "n_input_tokens", -1);
	t->tokens_cached = json_get_int(used, "n_cache_tokens", -1);
	t->tokens_output = json_get_int(used, "n_output_tokens", -1);
	t->usd = json_get_real(used, "cost_usd", -1);
	if (!isfinite(t->usd))
		t->usd = -1;
	t->environment_ms = span_of(result, "environment_setup");
	t->setup_ms = span_of(result, "agent_setup");
	t->agent_ms = span_of(result, "agent_execution");
	t->verifier_ms = span_of(result, "verifier");
	t->began_ms = time_of(result, "started_at");
	t->ended_ms = time_of(result, "finished_at");
}

static void take_trial(struct harbor_job_trial *t, const json_t *config, const json_t *result)
{
	const json_t *info = json_object_get(result, "exception_info");
	const json_t *valid = json_object_get(result, "reward_valid");

	take_task(t, config, result);
	take_agent(t, config, json_object_get(result, "agent_info"));
	take_usage(t, result);
	t->rewards = rewards_of(json_object_get(result, "verifier_result"));
	if (json_is_object(info))
		take_exception(t, info);
	else
		t->exception = xstrdup(""), t->message = xstrdup("");
	take_steps(t, json_object_get(result, "step_results"));
	t->separate = !strcmp(json_get_str(result, "verifier_environment_mode", ""), "separate");
	t->is_valid = json_is_boolean(valid) ? json_is_true(valid)
					     : t->rewards && (!*t->exception || t->policy.counts);
	t->is_valid &= t->rewards != NULL;
}

/* NULL: there is none, or it is cut; *SAID then says which. */
static json_t *read_json(int dir_fd, const char *path, char *said, size_t size)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err err = {0};

	if (path_read_beneath(dir_fd, path, RESULT_MAX, &text, &err)) {
		snprintf(said, size, err.sys == ENOENT ? "left no %s" : "%s cannot be read", path);
		return NULL;
	}
	json_t *j = json_foreign(text.data, text.len);
	if (j && json_is_object(j))
		return j;
	json_decref(j);
	snprintf(said, size, "%s is cut, or no JSON", path);
	return NULL;
}

/* "TASK__1234567" is all that is known of it. */
static void name_by_folder(struct harbor_job_trial *t)
{
	const char *end = strstr(t->folder, "__");

	free(t->task);
	AUTO(free) char *name =
		xstrndup(t->folder, end ? (size_t)(end - t->folder) : strlen(t->folder));
	t->task = harmless(name, TEXT_MAX);
}

/* One that died before it had written anything has this at least. */
static bool has_traces(int fd)
{
	return path_exists(fd, "exception.txt") || path_exists(fd, "trial.log");
}

/* False: FOLDER is no trial. */
static bool read_trial(struct harbor_job *job, int dir_fd, const char *folder)
{
	char said[80] = "", unused[80];
	struct err err;
	AUTO(fd) int fd = path_open_beneath(dir_fd, folder, O_RDONLY | O_DIRECTORY, 0, &err);

	if (fd < 0)
		return false;
	AUTO(json) json_t *config = read_json(fd, "config.json", unused, sizeof unused);
	AUTO(json) json_t *result = read_json(fd, "result.json", said, sizeof said);
	if (!config && !result && !has_traces(fd))
		return false;
	/* A job that lies in another's folder has these files, too. */
	if (json_object_get(result, "stats") || json_object_get(config, "n_concurrent_trials") ||
	    json_object_get(config, "jobs_dir"))
		return false;
	GROW(job->v, job->n, job->cap);
	struct harbor_job_trial *t = &job->v[job->n++];
	*t = (struct harbor_job_trial){.folder = xstrdup(folder)};
	const json_t *own = json_object_get(result, "config");
	take_trial(t, json_is_object(own) ? own : config, result);
	if (!config && !result)
		name_by_folder(t);
	if (!result) {
		free(t->exception);
		free(t->message);
		t->exception = xstrdup("Unfinished");
		t->message = xasprintf("Harbor %s", said);
		t->policy = (struct harbor_policy){true, false};
		t->is_valid = false;
	}
	return true;
}

static int by_condition(const void *a, const void *b)
{
	const struct harbor_job_trial *x = a, *y = b;
	int order = strcmp(x->task, y->task);

	order = order ? order : strcmp(x->agent, y->agent);
	order = order ? order : strcmp(x->model, y->model);
	order = order ? order : strcmp(x->options, y->options);
	if (order)
		return order;
	/* What never began comes last. */
	const uint64_t p = (uint64_t)x->began_ms, q = (uint64_t)y->began_ms;
	return p != q ? (p > q ? 1 : -1) : strcmp(x->folder, y->folder);
}

static void read_head(struct harbor_job *job, int dir_fd)
{
	char said[80];
	AUTO(json) json_t *result = read_json(dir_fd, "result.json", said, sizeof said);
	AUTO(json) json_t *lock = read_json(dir_fd, "lock.json", said, sizeof said);
	const int64_t total = json_get_int(result, "n_total_trials", 0);

	job->id = text_of(result, "id");
	job->version = text_of(json_object_get(lock, "harbor"), "version");
	for (size_t i = 0; i < job->n; i++)
		if (job->v[i].began_ms > 0 &&
		    (!job->began_ms || job->v[i].began_ms < job->began_ms))
			job->began_ms = job->v[i].began_ms;
	/* The job's own is local time without a zone: the trials' are better. */
	if (!job->began_ms)
		job->began_ms = time_of(result, "started_at");
	job->never_started = total > (int64_t)job->n ? total - (int64_t)job->n : 0;
	job->dataset = job->n ? job->v[0].source : NULL;
	for (size_t i = 0; i < job->n; i++)
		if (!job->dataset || strcmp(job->v[i].source, job->dataset) != 0)
			job->dataset = NULL;
	if (job->dataset && !*job->dataset)
		job->dataset = NULL;
}

static int read_folders(struct harbor_job *out, int dir_fd, const char *where, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return err_set(err, ERR_USAGE, errno, "%s cannot be read", where);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			strv_push(&names, e->d_name);
	closedir(d);
	strv_sort(&names);
	for (size_t i = 0; i < names.n; i++)
		read_trial(out, dir_fd, names.v[i]);
	return 0;
}

int harbor_job_read(struct harbor_job *out, int dir_fd, const char *where, struct err *err)
{
	*out = (struct harbor_job){0};
	if (read_folders(out, dir_fd, where, err))
		return -1;
	if (!out->n)
		return err_set(
			err, ERR_USAGE, 0,
			"%s is not the folder of a Harbor job: none of the folders in it has the "
			"config.json or result.json of a trial (jobs/NAME, not jobs)",
			where);
	qsort(out->v, out->n, sizeof *out->v, by_condition);
	read_head(out, dir_fd);
	out->name = xstrdup(where);
	return 0;
}

void harbor_job_release(struct harbor_job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		struct harbor_job_trial *t = &j->v[i];
		char *const owned[] = {t->folder,    t->task,	       t->path,	 t->source,
				       t->agent,     t->agent_version, t->model, t->options,
				       t->exception, t->message};
		for (size_t k = 0; k < ARRAY_SIZE(owned); k++)
			free(owned[k]);
		json_decref(t->rewards);
		json_decref(t->steps);
	}
	free(j->v);
	free(j->name);
	free(j->id);
	free(j->version);
	*j = (struct harbor_job){0};
}
