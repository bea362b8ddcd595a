/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "aws/service.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

char *service_region(const struct profiles *p)
{
	const char *set = profiles_setting(p, "AWS_REGION", NULL);

	if (!set)
		set = profiles_setting(p, "AWS_DEFAULT_REGION", "region");
	return xstrdup(set);
}

static bool is_on(const struct profiles *p, const char *env, const char *key)
{
	const char *set = profiles_setting(p, env, key);

	return set && !strcasecmp(set, "true");
}

static const char *overriding(const struct profiles *p, const char *service)
{
	AUTO(buf) struct buf env = BUF_INIT, key = BUF_INIT;

	if (is_on(p, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls"))
		return NULL;
	buf_adds(&env, "AWS_ENDPOINT_URL_");
	for (const char *c = service; *c; c++) {
		buf_addc(&env, *c == '-' ? '_' : (char)toupper((unsigned char)*c));
		buf_addc(&key, *c == '-' ? '_' : *c);
	}
	buf_adds(&key, ".endpoint_url");
	const char *set = profiles_setting(p, env.data, NULL);
	if (!set)
		set = profiles_setting(p, "AWS_ENDPOINT_URL", NULL);
	const char *group = profiles_get(p, NULL, "services");
	json_t *of_service =
		group ? json_object_get(json_object_get(p->services, group), key.data) : NULL;
	if (!set)
		set = json_string_value(of_service);
	return set ? set : profiles_get(p, NULL, "endpoint_url");
}

/* Names under which AWS has no endpoint of the usual form, for FIPS and both kinds of addresses alike. */
static const char *host_name(const char *service, const char *region, bool fips, bool dual)
{
	const bool gov = !strncmp(region, "us-gov-", 7);

	if (!strcmp(service, "batch") && fips && !dual)
		return gov ? "batch" : strncmp(region, "cn-", 3) ? "fips.batch" : "batch-fips";
	if (!strcmp(service, "sso"))
		return fips && (!gov || dual) ? "portal.sso-fips" : "portal.sso";
	if (gov && fips && !dual && strcmp(service, "s3") != 0 &&
	    strcmp(service, "secretsmanager") != 0 && strcmp(service, "bedrock-runtime") != 0)
		return service;
	return NULL;
}

char *service_url(const struct profiles *p, const char *service, const char *region,
		  bool *overridden)
{
	const bool fips = is_on(p, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint");
	const bool dual = is_on(p, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint");
	const bool china = !strncmp(region, "cn-", 3), gov = !strncmp(region, "us-gov-", 7);
	const char *set = overriding(p, service), *name = host_name(service, region, fips, dual);
	const char *suffix = china ? "amazonaws.com.cn" : "amazonaws.com";

	*overridden = set != NULL;
	if (set) {
		size_t n = strlen(set);
		while (n && set[n - 1] == '/')
			n--;
		return xstrndup(set, n);
	}
	if (!strcmp(service, "s3"))
		return xasprintf("https://s3%s%s.%s.%s", fips ? "-fips" : "",
				 dual ? ".dualstack" : "", region, suffix);
	if (dual)
		suffix = china ? "api.amazonwebservices.com.cn" : "api.aws";
	if (!strcmp(service, "iam"))
		return gov     ? xasprintf("https://iam.us-gov.%s", suffix)
		       : china ? xasprintf("https://iam.cn-north-1.%s", suffix)
			       : xasprintf("https://iam%s%s.%s", fips ? "-fips" : "",
					   dual ? ".global" : "", suffix);
	if (name)
		return xasprintf("https://%s.%s.%s", name, region, suffix);
	return xasprintf("https://%s%s.%s.%s", service, fips ? "-fips" : "", region, suffix);
}

const char *service_signing_region(const char *service, const char *region)
{
	if (strcmp(service, "iam") != 0)
		return region;
	return !strncmp(region, "cn-", 3)	? "cn-north-1"
	       : !strncmp(region, "us-gov-", 7) ? "us-gov-west-1"
						: "us-east-1";
}
