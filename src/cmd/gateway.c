/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/gateway-serve.h"
#include "cmd/options.h"
#include "rollout/gateway-document.h"
#include "rollout/keys.h"

enum { BACKLOG = 1024 };

struct asked {
	const char *listen, *socket, *config;
	struct strv providers;
	bool anywhere;
};

static int parse_address(struct sockaddr_in *out, const struct asked *a, struct err *err)
{
	const char *colon = strrchr(a->listen, ':');
	char host[INET_ADDRSTRLEN] = "", *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : -1;

	if (colon && (size_t)(colon - a->listen) < sizeof host)
		snprintf(host, sizeof host, "%.*s", (int)(colon - a->listen), a->listen);
	*out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (!colon || end == colon + 1 || *end || port < 0 || port > 65535 ||
	    inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &out->sin_addr) != 1)
		return err_set(err, ERR_USAGE, 0,
			       "--listen %s: it must be ADDRESS:PORT, as in 127.0.0.1:8765",
			       a->listen);
	if (ntohl(out->sin_addr.s_addr) >> 24 != 127 && !a->anywhere)
		return err_set(err, ERR_USAGE, 0,
			       "--listen %s: whoever reaches this address could use your keys; "
			       "give --any-address "
			       "as well if that is meant",
			       a->listen);
	return 0;
}

static int listen_tcp(const struct asked *a, struct err *err)
{
	struct sockaddr_in at;
	socklen_t n = sizeof at;
	int one = 1;

	if (parse_address(&at, a, err))
		return -1;
	AUTO(fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
	    bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, BACKLOG) ||
	    getsockname(fd, (struct sockaddr *)&at, &n))
		return err_set(err, ERR_INFRA, errno, "listen on %s", a->listen);
	char host[INET_ADDRSTRLEN];
	printf("listening on http://%s:%d\n", inet_ntop(AF_INET, &at.sin_addr, host, sizeof host),
	       ntohs(at.sin_port));
	return fd_steal(&fd);
}

static bool is_wanted(const struct asked *a, const char *name)
{
	return !a->providers.n || strv_has(&a->providers, name);
}

static void say_left_out(const struct strv *names)
{
	AUTO(buf) struct buf line = BUF_INIT;

	buf_adds(&line, "left out, for want of a key: ");
	for (size_t i = 0; i < names->n; i++)
		buf_addf(&line, "%s%s", i ? ", " : "", names->v[i]);
	if (names->n)
		cmd_warn(line.data);
}

/* Those whose key is found. Without a choice, others are left out and named. */
static int add_providers(json_t *list, const struct asked *a, const struct providers *p,
			 struct err *err)
{
	AUTO(strv) struct strv files = STRV_INIT;
	AUTO(strv) struct strv without = STRV_INIT;

	keys_env_files(&files, a->config);
	for (size_t i = 0; i < p->n; i++) {
		const struct provider *v = &p->list[i];
		if (!is_wanted(a, v->name) || json_object_get(list, v->name))
			continue;
		json_t *keys = keys_of_provider(v, &files, err);
		if (keys)
			json_put(list, v->name, gateway_document_provider(v, keys));
		else if (a->providers.n)
			return -1;
		else
			strv_push(&without, v->name);
	}
	for (size_t i = 0; i < a->providers.n; i++)
		if (!json_object_get(list, a->providers.v[i]))
			return err_set(err, ERR_USAGE, 0,
				       "--provider %s: no providers.toml names it",
				       a->providers.v[i]);
	if (!json_object_size(list)) /* why, for the last one */
		return without.n ? err_wrap(err, "no provider has a key")
				 : err_set(err, ERR_USAGE, 0, "there is no provider");
	say_left_out(&without);
	return 0;
}

static int make_document(json_t **out, const struct asked *a, struct strv *problems,
			 struct err *err)
{
	AUTO(providers) struct providers p = {0};
	json_t *list, *doc;

	if (providers_load(&p, a->config, problems, err))
		return -1;
	list = json_object();
	if (add_providers(list, a, &p, err)) {
		json_decref(list);
		return -1;
	}
	doc = json_object();
	json_put_int(doc, "v", 1);
	json_put_bool(doc, "control", false);
	json_put_bool(doc, "record", false);
	json_put(doc, "models", gateway_document_models(&p, list));
	json_put(doc, "providers", list);
	*out = doc;
	return 0;
}

static void print_totals(const struct gateway_totals *t)
{
	if (!t->calls)
		return;
	printf("%lld call%s, %lld tokens, ", (long long)t->calls, t->calls == 1 ? "" : "s",
	       (long long)t->tokens);
	if (t->unpriced_calls == t->calls)
		printf("cost N/A\n");
	else if (t->unpriced_calls)
		printf("$%.4f and %lld call%s without a price\n", t->usd,
		       (long long)t->unpriced_calls, t->unpriced_calls == 1 ? "" : "s");
	else
		printf("$%.4f\n", t->usd);
}

/* Until it is interrupted. */
static int serve(const json_t *document, int listener, struct err *err)
{
	struct gateway_totals totals;
	struct signalfd_siginfo taken;
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &old);
	AUTO(fd) int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	fflush(stdout);
	int failed = gateway_serve(&totals, listener, document, signals, err);
	print_totals(&totals);
	/* Taken, so that it is not still there when signals are let in again. */
	while (read(signals, &taken, sizeof taken) > 0)
		;
	sigprocmask(SIG_SETMASK, &old, NULL);
	return failed;
}

static int run(const struct asked *a)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *document = NULL;
	struct err err;

	if (!a->listen == !a->socket) {
		err_set(&err, ERR_USAGE, 0,
			"say where to listen: either --listen ADDRESS:PORT or --socket PATH");
		return cmd_fail(&err);
	}
	struct sockaddr_in at;
	if (a->listen && parse_address(&at, a, &err))
		return cmd_fail(&err);
	if (make_document(&document, a, &problems, &err))
		return cmd_refuse(&problems, &err);
	AUTO(fd) int listener = a->listen ? listen_tcp(a, &err) : gateway_listen(a->socket, &err);
	if (listener < 0)
		return cmd_fail(&err);
	if (a->socket)
		printf("listening on %s\n", a->socket);
	int failed = serve(document, listener, &err);
	if (a->socket)
		unlink(a->socket);
	return failed ? cmd_fail(&err) : CMD_OK;
}

int cmd_gateway(int argc, char **argv)
{
	struct asked a = {.providers = STRV_INIT};
	const struct option options[] = {
		{.name = "listen",
		 .arg = "ADDRESS:PORT",
		 .kind = OPTION_STR,
		 .target = &a.listen,
		 .help = "a TCP address of this machine; port 0: any that is free"},
		{.name = "socket",
		 .arg = "PATH",
		 .kind = OPTION_STR,
		 .target = &a.socket,
		 .help = "a unix socket instead (mode 0600)"},
		{.name = "provider",
		 .arg = "NAME",
		 .kind = OPTION_STRV,
		 .target = &a.providers,
		 .help = "only this one; repeatable (default: all that have a key)"},
		{.name = "config",
		 .arg = "CONFIG",
		 .kind = OPTION_STR,
		 .target = &a.config,
		 .help = "a benchmark, for the providers.toml and .env beside it"},
		{.name = "any-address",
		 .kind = OPTION_FLAG,
		 .target = &a.anywhere,
		 .help = "allow an address that other machines reach"},
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "gateway",
		.operands = "",
		.summary = "pass model requests on with your keys, outside of any benchmark",
		.text = "Serves the OpenAI, Anthropic and Gemini paths until it is interrupted, "
			"with the providers and\n"
			"prices that `run` uses. Whoever can reach it can spend from your keys: it "
			"asks for no token.\n"
			"A benchmark starts a gateway of its own; this one is for trying an agent "
			"by hand.",
		.examples = "rollouts gateway --listen 127.0.0.1:8765\n"
			    "rollouts gateway --socket /tmp/models.sock --provider anthropic\n",
		.options = options,
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);
	if (status < 0)
		status = run(&a);
	strv_release(&a.providers);
	return status;
}
