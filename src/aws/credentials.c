/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "aws/credentials.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include "aws/credentials-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "os/spawn.h"

enum { DEPTH_MAX = 8, PROCESS_MS = 60000, PROCESS_MAX = 1 << 20 };

static int set(struct credentials *c, const char *id, const char *secret, const char *token,
	       const char *from)
{
	*c = (struct credentials){xstrdup(id), xstrdup(secret),
				  token && *token ? xstrdup(token) : NULL, 0, xstrdup(from)};
	return 0;
}

static int from_environment(struct credentials *c, struct err *err)
{
	const char *id = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");

	if ((!id || !*id) && (!secret || !*secret))
		return 1;
	if (!id || !*id || !secret || !*secret)
		return err_set(err, ERR_USAGE, 0,
			       "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: only one of them is "
			       "set");
	set(c, id, secret, getenv("AWS_SESSION_TOKEN"), "the environment");
	c->expires_ms = credentials_time(getenv("AWS_CREDENTIAL_EXPIRATION"));
	return 0;
}

static int from_process(struct credentials *c, const char *command, const char *profile,
			struct err *err)
{
	const char *argv[] = {"/bin/sh", "-c", command, NULL};
	const struct spawn s = {.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = -1};
	AUTO(buf) struct buf out = BUF_INIT, words = BUF_INIT;
	AUTO(free) char *from = xasprintf("credential_process of profile \"%s\"", profile);
	int status;

	if (spawn_run(&s, NULL, 0, PROCESS_MAX, clock_mono_ms() + PROCESS_MS, &out, &words, &status,
		      err))
		return err_wrap(err, "%s", from);
	if (status) {
		char how[48];
		words.data[strcspn(words.data, "\n")] = '\0';
		return err_set(err, ERR_USAGE, 0, "%s: %s%s%s", from,
			       spawn_status_text(status, how), *words.data ? ": " : "", words.data);
	}
	return credentials_from_json(c, out.data, out.len, from, err);
}

static int from_profile(struct credentials *c, const struct seeker *s, const char *profile,
			struct err *err);

/* What the role's profile says the key for asking is: a profile's, or a service's of this place. */
static int base_of_role(struct credentials *base, const struct seeker *s, const char *profile,
			struct err *err)
{
	const char *source = profiles_get(s->profiles, profile, "source_profile");
	const char *kind = profiles_get(s->profiles, profile, "credential_source");
	int rc = 1;

	if (source && strcmp(source, profile) != 0) {
		struct seeker deeper = *s;
		deeper.depth++;
		if (!json_object_get(s->profiles->profiles, source))
			return err_set(err, ERR_USAGE, 0,
				       "AWS profile \"%s\": source_profile \"%s\" does not exist",
				       profile, source);
		rc = from_profile(base, &deeper, source, err);
	} else if (source) { /* its own keys */
		const char *id = profiles_get(s->profiles, profile, "aws_access_key_id");
		const char *secret = profiles_get(s->profiles, profile, "aws_secret_access_key");
		rc = id && secret ? set(base, id, secret,
					profiles_get(s->profiles, profile, "aws_session_token"),
					"its own profile")
				  : 1;
	} else if (kind && !strcmp(kind, "Environment")) {
		rc = from_environment(base, err);
	} else if (kind && !strcmp(kind, "EcsContainer")) {
		rc = credentials_container(base, s, err);
	} else if (kind && !strcmp(kind, "Ec2InstanceMetadata")) {
		rc = credentials_instance(base, s, err);
	}
	if (rc == 1)
		return err_set(err, ERR_USAGE, 0,
			       "AWS profile \"%s\" is to assume a role, and its source_profile or "
			       "credential_source gives no key for that",
			       profile);
	return rc;
}

static int from_profile(struct credentials *c, const struct seeker *s, const char *profile,
			struct err *err)
{
	const struct profiles *p = s->profiles;
	const char *id = profiles_get(p, profile, "aws_access_key_id");
	const char *secret = profiles_get(p, profile, "aws_secret_access_key");
	const char *process = profiles_get(p, profile, "credential_process");

	if (s->depth > DEPTH_MAX)
		return err_set(err, ERR_USAGE, 0,
			       "AWS profile \"%s\": its roles assume one another in a circle",
			       profile);
	if (profiles_get(p, profile, "role_arn")) {
		struct credentials base = {0};
		if (profiles_get(p, profile, "web_identity_token_file"))
			return credentials_web_identity(c, s, profile, err);
		int rc = base_of_role(&base, s, profile, err) ||
			 credentials_assume(c, s, profile, &base, err);
		credentials_release(&base);
		return rc ? -1 : 0;
	}
	if (profiles_get(p, profile, "sso_account_id") ||
	    profiles_get(p, profile, "sso_start_url") || profiles_get(p, profile, "sso_session"))
		return credentials_sso(c, s, profile, err);
	if (id && secret) {
		AUTO(free) char *from = xasprintf("profile \"%s\"", profile);
		return set(c, id, secret, profiles_get(p, profile, "aws_session_token"), from);
	}
	if (id || secret)
		return err_set(err, ERR_USAGE, 0,
			       "AWS profile \"%s\": aws_access_key_id and aws_secret_access_key "
			       "belong together",
			       profile);
	return process ? from_process(c, process, profile, err) : 1;
}

int credentials_find(struct credentials *c, struct http *h, const struct profiles *p,
		     const char *region, struct err *err)
{
	const struct seeker s = {h, p, region, 0};
	int rc = from_environment(c, err);

	if (rc == 1 && getenv("AWS_WEB_IDENTITY_TOKEN_FILE") && getenv("AWS_ROLE_ARN"))
		rc = credentials_web_identity(c, &s, NULL, err);
	if (rc == 1)
		rc = from_profile(c, &s, p->chosen, err);
	if (rc == 1)
		rc = credentials_container(c, &s, err);
	if (rc == 1)
		rc = credentials_instance(c, &s, err);
	if (rc == 1)
		return err_set(err, ERR_USAGE, 0,
			       "there is no AWS key: set AWS_ACCESS_KEY_ID and "
			       "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (profile \"%s\" has none; "
			       "there is no container's and no instance's)",
			       p->chosen);
	return rc;
}

void credentials_release(struct credentials *c)
{
	free(c->id);
	free(c->secret);
	free(c->token);
	free(c->from);
	*c = (struct credentials){0};
}
