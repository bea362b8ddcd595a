/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * service.h -- where a service of AWS is, or of a store that is like S3: its region and its URL.
 */
#pragma once
#include <stdbool.h>
#include "aws/profile.h"

/* AWS_REGION, AWS_DEFAULT_REGION, the profile's `region`. NULL: nobody says. The caller frees. */
char *service_region(const struct profiles *p);
/* The URL of SERVICE ("s3", "batch", "logs", "sts", "iam", "sso", "secretsmanager", "ssm", "ec2", "bedrock-runtime") in REGION without a
 * path, as the user set it (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's) or as AWS has it, with FIPS or both kinds of
 * addresses where AWS_USE_FIPS_ENDPOINT or AWS_USE_DUALSTACK_ENDPOINT say so. *OVERRIDDEN: the user set it. The caller frees. */
char *service_url(const struct profiles *p, const char *service, const char *region,
		  bool *overridden);
/* The region that requests to SERVICE are signed for. Borrowed from REGION, or a literal. */
const char *service_signing_region(const char *service, const char *region);
