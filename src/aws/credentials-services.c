/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <sha1.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include "aws/credentials-internal.h"
#include "aws/service.h"
#include "aws/metadata.h"
#include "aws/sigv4.h"
#include "aws/xml.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

enum { ASK_MS = 20000, AGAIN_MS = 500, TRIES = 4, TOKEN_MAX = 1 << 20 };

int64_t credentials_time(const char *text)
{
	struct tm tm = {0};

	if (!text || !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
		return 0;
	return (int64_t)timegm(&tm) * 1000;
}

int credentials_from_json(struct credentials *c, const char *text, size_t len, const char *from,
			  struct err *err)
{
	AUTO(json) json_t *j = json_loadb(text, len, 0, NULL);
	const char *id = json_get_str(j, "AccessKeyId", NULL);
	const char *secret = json_get_str(j, "SecretAccessKey", NULL);
	const char *token = json_get_str(j, "SessionToken", json_get_str(j, "Token", NULL));

	if (!id || !secret)
		return err_set(err, ERR_USAGE, 0, "%s gave no AWS key: %s", from,
			       json_get_str(j, "Message",
					    json_get_str(j, "Code", "no AccessKeyId in it")));
	*c = (struct credentials){
		xstrdup(id), xstrdup(secret), token && *token ? xstrdup(token) : NULL,
		credentials_time(json_get_str(j, "Expiration", NULL)), xstrdup(from)};
	return 0;
}

static int64_t again(void *ctx, struct http_call *c)
{
	return c->tries < TRIES && (!c->status || c->status == 429 || c->status >= 500)
		       ? (int64_t)AGAIN_MS << c->tries
		       : -1;
}

static void ask(struct http *h, struct http_call *c)
{
	c->timeout_ms = ASK_MS;
	c->again = again;
	http_perform(h, &c, 1, 1);
}

/* "HTTP 403", or why there is no answer. */
static const char *said(const struct http_call *c, char text[300])
{
	if (c->status)
		snprintf(text, 300, "HTTP %ld", c->status);
	else
		snprintf(text, 300, "no answer from %s: %s", c->url, c->why);
	return text;
}

static int read_token(struct buf *out, const char *path, struct err *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || path_read_fd(fd, TOKEN_MAX, out, err))
		return err_set(err, ERR_USAGE, 0, "cannot read the token in %s", path);
	while (out->len && strchr("\r\n ", out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	return 0;
}

/* Plain HTTP may carry a key on this machine, and to the services of ECS and EKS beside it. */
static bool is_near(const char *url)
{
	static const char *const hosts[] = {"127.",	     "localhost",      "[::1]",
					    "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
	const char *host = strstr(url, "://");

	if (!strncasecmp(url, "https://", 8))
		return true;
	for (size_t i = 0; host && i < ARRAY_SIZE(hosts); i++) {
		size_t n = strlen(hosts[i]);
		if (!strncmp(host + 3, hosts[i], n) && (!i || strchr(":/", host[3 + n])))
			return true;
	}
	return false;
}

int credentials_container(struct credentials *c, const struct seeker *s, struct err *err)
{
	const char *relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	const char *token = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	const char *file = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	AUTO(http_call) struct http_call call = HTTP_CALL_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	char words[300];

	if ((!relative || !*relative) && (!full || !*full))
		return 1;
	call.url = relative && *relative ? xasprintf("http://169.254.170.2%s", relative)
					 : xstrdup(full);
	if (!is_near(call.url))
		return err_set(
			err, ERR_USAGE, 0,
			"AWS_CONTAINER_CREDENTIALS_FULL_URI: %s is neither https nor of this "
			"machine",
			call.url);
	call.direct = true;
	if (file && *file) {
		if (read_token(&text, file, err))
			return -1;
		token = text.data;
	}
	if (token && *token)
		strv_pushf(&call.headers, "Authorization: %s", token);
	ask(s->http, &call);
	if (call.status != 200)
		return err_set(err, ERR_INFRA, 0, "the container's AWS key: %s",
			       said(&call, words));
	return credentials_from_json(c, call.answer.data, call.answer.len,
				     "the container's service", err);
}

int credentials_instance(struct credentials *c, const struct seeker *s, struct err *err)
{
	AUTO(buf) struct buf role = BUF_INIT, key = BUF_INIT;

	if (metadata_get(&role, s->http, "meta-data/iam/security-credentials/"))
		return 1;
	role.data[strcspn(role.data, "\r\n")] = '\0';
	AUTO(free)
	char *path = xasprintf("meta-data/iam/security-credentials/%s", role.data);
	AUTO(free) char *from = xasprintf("the instance's role %s", role.data);
	if (!*role.data || metadata_get(&key, s->http, path))
		return 1;
	return credentials_from_json(c, key.data, key.len, from, err);
}

/* What `aws sso login` left. */
static json_t *sso_token(const char *named)
{
	const char *home = getenv("HOME");
	char hex[SHA1_DIGEST_STRING_LENGTH];
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	SHA1Data((const uint8_t *)named, strlen(named), hex);
	AUTO(free) char *path = xasprintf("%s/.aws/sso/cache/%s.json", home ? home : "", hex);
	return path_read(AT_FDCWD, path, TOKEN_MAX, &text, &ignored)
		       ? NULL
		       : json_loadb(text.data, text.len, 0, NULL);
}

/* KEY of the session that PROFILE names, or of itself as older files have it. */
static const char *of_sso(const struct profiles *p, const char *profile, const char *key)
{
	const char *session = profiles_get(p, profile, "sso_session");

	return session ? json_get_str(json_object_get(p->sso_sessions, session), key, NULL)
		       : profiles_get(p, profile, key);
}

int credentials_sso(struct credentials *c, const struct seeker *s, const char *profile,
		    struct err *err)
{
	const struct profiles *p = s->profiles;
	const char *session = profiles_get(p, profile, "sso_session");
	const char *url = of_sso(p, profile, "sso_start_url");
	const char *region = of_sso(p, profile, "sso_region");
	const char *account = profiles_get(p, profile, "sso_account_id");
	const char *role = profiles_get(p, profile, "sso_role_name");
	AUTO(http_call) struct http_call call = HTTP_CALL_INIT;
	char words[300];
	bool ignored;

	if (!url || !region || !account || !role)
		return err_set(
			err, ERR_USAGE, 0,
			"AWS profile \"%s\": single sign-on needs sso_start_url, sso_region, "
			"sso_account_id and sso_role_name",
			profile);
	AUTO(json) json_t *token = sso_token(session ? session : url);
	const char *access = json_get_str(token, "accessToken", NULL);
	if (!access || credentials_time(json_get_str(token, "expiresAt", "")) <= clock_wall_ms())
		return err_set(
			err, ERR_USAGE, 0,
			"AWS profile \"%s\": its sign-on %s; run: aws sso login --profile %s",
			profile, access ? "has expired" : "was not made yet", profile);
	AUTO(free) char *base = service_url(p, "sso", region, &ignored);
	AUTO(free) char *role_word = sigv4_encode(role, false);
	AUTO(free) char *account_word = sigv4_encode(account, false);
	call.url = xasprintf("%s/federation/credentials?role_name=%s&account_id=%s", base,
			     role_word, account_word);
	strv_pushf(&call.headers, "x-amz-sso_bearer_token: %s", access);
	ask(s->http, &call);
	if (call.status != 200)
		return err_set(err, call.status / 100 == 4 ? ERR_USAGE : ERR_INFRA, 0,
			       "AWS profile \"%s\": single sign-on gave no key (%s); run: aws sso "
			       "login --profile %s",
			       profile, said(&call, words), profile);
	AUTO(json) json_t *j = json_loadb(call.answer.data, call.answer.len, 0, NULL);
	const json_t *key = json_object_get(j, "roleCredentials");
	*c = (struct credentials){xstrdup(json_get_str(key, "accessKeyId", "")),
				  xstrdup(json_get_str(key, "secretAccessKey", "")),
				  xstrdup(json_get_str(key, "sessionToken", NULL)),
				  json_get_int(key, "expiration", 0),
				  xasprintf("single sign-on of profile \"%s\"", profile)};
	return 0;
}

static void add_field(struct buf *form, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	AUTO(free) char *encoded = sigv4_encode(value, false);
	buf_addf(form, "&%s=%s", name, encoded);
}

struct signer {
	const struct credentials *key;
	const char *region, *body;
};

static void sign(void *ctx, const struct http_call *c, struct strv *headers)
{
	const struct signer *s = ctx;
	char hash[HASH_HEX];

	if (!s->key)
		return;
	hash_once(s->body, strlen(s->body), hash);
	sigv4_sign(&(struct sigv4){s->key->id, s->key->secret, s->key->token, s->region, "sts",
				   clock_wall_ms()},
		   c->method, c->url, hash, headers);
}

/* FORM asked of STS, signed with KEY unless that is NULL. */
static int ask_sts(struct credentials *c, const struct seeker *s, const char *profile,
		   const struct buf *form, const struct credentials *key, struct err *err)
{
	const char *own = profiles_get(s->profiles, profile, "region");
	const char *region = s->region ? s->region : own ? own : "us-east-1";
	struct signer signer = {key, region, form->data};
	AUTO(http_call) struct http_call call = HTTP_CALL_INIT;
	char words[300];
	bool ignored;

	AUTO(free) char *base = service_url(s->profiles, "sts", region, &ignored);
	call.method = "POST";
	call.url = xasprintf("%s/", base);
	call.body = form->data;
	call.body_len = form->len;
	call.sign = sign;
	call.ctx = &signer;
	strv_push(&call.headers, "Content-Type: application/x-www-form-urlencoded");
	ask(s->http, &call);
	const char *text = call.answer.data;
	const size_t n = call.answer.len;
	AUTO(free) char *id = xml_text(text, n, "AccessKeyId");
	AUTO(free) char *secret = xml_text(text, n, "SecretAccessKey");
	AUTO(free) char *token = xml_text(text, n, "SessionToken");
	AUTO(free) char *until = xml_text(text, n, "Expiration");
	AUTO(free) char *why = xml_text(text, n, "Message");
	if (call.status != 200 || !id || !secret)
		return err_set(err, call.status / 100 == 4 ? ERR_USAGE : ERR_INFRA, 0,
			       "AWS role of profile \"%s\": %s", profile ? profile : "",
			       why ? why : said(&call, words));
	*c = (struct credentials){
		STEAL(&id), STEAL(&secret), STEAL(&token), credentials_time(until),
		xasprintf("a role that %s assumed", key ? key->from : "a web identity")};
	return 0;
}

static void add_session(struct buf *form, const struct profiles *p, const char *profile,
			const char *role, const char *session)
{
	AUTO(free) char *name = xasprintf("rollouts-%d", (int)getpid());

	add_field(form, "Version", "2011-06-15");
	add_field(form, "RoleArn", role);
	add_field(form, "RoleSessionName", session && *session ? session : name);
	add_field(form, "DurationSeconds", profiles_get(p, profile, "duration_seconds"));
}

int credentials_assume(struct credentials *c, const struct seeker *s, const char *profile,
		       const struct credentials *base, struct err *err)
{
	const struct profiles *p = s->profiles;
	AUTO(buf) struct buf form = BUF_INIT;

	if (profiles_get(p, profile, "mfa_serial"))
		return err_set(
			err, ERR_USAGE, 0,
			"AWS profile \"%s\" asks for a code (mfa_serial), which a run cannot "
			"wait for; run: eval \"$(aws configure export-credentials --profile "
			"%s --format env)\"",
			profile, profile);
	buf_adds(&form, "Action=AssumeRole");
	add_session(&form, p, profile, profiles_get(p, profile, "role_arn"),
		    profiles_get(p, profile, "role_session_name"));
	add_field(&form, "ExternalId", profiles_get(p, profile, "external_id"));
	return ask_sts(c, s, profile, &form, base, err);
}

int credentials_web_identity(struct credentials *c, const struct seeker *s, const char *profile,
			     struct err *err)
{
	const struct profiles *p = s->profiles;
	const char *file = profile ? profiles_get(p, profile, "web_identity_token_file")
				   : getenv("AWS_WEB_IDENTITY_TOKEN_FILE");
	const char *role = profile ? profiles_get(p, profile, "role_arn") : getenv("AWS_ROLE_ARN");
	const char *session = profile ? profiles_get(p, profile, "role_session_name")
				      : getenv("AWS_ROLE_SESSION_NAME");
	AUTO(buf) struct buf form = BUF_INIT, token = BUF_INIT;

	if (!file)
		return err_set(err, ERR_USAGE, 0, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
	if (read_token(&token, file, err))
		return -1;
	buf_adds(&form, "Action=AssumeRoleWithWebIdentity");
	add_session(&form, p, profile, role, session);
	add_field(&form, "WebIdentityToken", token.data);
	return ask_sts(c, s, profile ? profile : p->chosen, &form, NULL, err);
}
