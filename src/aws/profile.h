/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * profile.h -- ~/.aws/config and ~/.aws/credentials (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE) as one: profiles, sessions of
 * single sign-on, endpoints of services.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"

struct profiles {
	json_t *profiles; /* name -> {key: value}; what credentials says goes before what config says */
	json_t *sso_sessions; /* the same */
	json_t *services;     /* name -> {"s3.endpoint_url": value} */
	char *chosen;	      /* AWS_PROFILE, AWS_DEFAULT_PROFILE or "default" */
	bool named;	      /* the user chose it */
};

/* Files that are missing are empty. ERR_USAGE names the file and line of what cannot be read. */
int profiles_read(struct profiles *p, struct err *err) MUST_CHECK;
void profiles_release(struct profiles *p);
static inline void auto_profiles(struct profiles *p)
{
	profiles_release(p);
}
/* The value of KEY in the profile NAME (NULL: the chosen one), NULL where it is not set. Borrowed. */
const char *profiles_get(const struct profiles *p, const char *name, const char *key);
/* A setting as the user has it: the variable ENV, else KEY of the chosen profile; NULL where it is not set. Borrowed. */
const char *profiles_setting(const struct profiles *p, const char *env, const char *key);
