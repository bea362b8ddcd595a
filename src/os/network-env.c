/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/network-env.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/mem.h"

static const char *const names[] = {
	"HOME",
	"USER",
	"SSH_AUTH_SOCK",
	"http_proxy",
	"https_proxy",
	"HTTPS_PROXY",
	"all_proxy",
	"ALL_PROXY",
	"no_proxy",
	"NO_PROXY",
	"SSL_CERT_FILE",
	"SSL_CERT_DIR",
	"GIT_SSL_CAINFO",
	"GIT_SSL_CAPATH",
	"GIT_PROXY_SSL_CAINFO",
	NETWORK_ENV_LOGINS,
};

void network_env_add(struct strv *env)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);
		if (value)
			strv_setenv(env, names[i], value);
	}
}

void worker_env_add(struct strv *env)
{
	const char *path = getenv("PATH"), *tz = getenv("TZ");

	strv_setenv(env, "PATH", path && *path ? path : "/usr/local/bin:/usr/bin:/bin");
	strv_setenv(env, "LANG", "C.UTF-8");
	if (tz)
		strv_setenv(env, "TZ", tz);
	/* The worker fetches repositories. It hands nothing of its environment to a sandbox. */
	network_env_add(env);
	/* A sanitizer in the worker obeys the same settings as ours. */
	for (char **e = environ; *e; e++)
		if (strstr(*e, "SAN_OPTIONS="))
			strv_push(env, *e);
}
