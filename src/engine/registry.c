/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/registry.h"
#include <curl/curl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

#define ASK_S 10

/* The address of IMAGE's manifest at its registry, as Docker reads a name; the caller frees. */
static char *manifest_url(const char *image)
{
	const char *slash = strchr(image, '/');
	const size_t first = slash ? (size_t)(slash - image) : 0;
	const bool host = first && (memchr(image, '.', first) || memchr(image, ':', first) ||
				    !strncmp(image, "localhost/", 10));
	AUTO(free) char *at = host ? xstrndup(image, first) : xstrdup("registry-1.docker.io");
	AUTO(free)
	char *name = xasprintf("%s%s", host || slash ? "" : "library/", host ? slash + 1 : image);
	char *digest = strchr(name, '@'), *tag = strrchr(name, ':');
	const char *version = "latest";

	if (digest) {
		*digest = '\0';
		version = digest + 1;
	} else if (tag && !strchr(tag, '/')) {
		*tag = '\0';
		version = tag + 1;
	}
	const bool plain = !strncmp(at, "localhost", 9) || !strncmp(at, "127.", 4);
	return xasprintf("http%s://%s/v2/%s/manifests/%s", plain ? "" : "s", at, name, version);
}

int registry_retry_after(const char *image)
{
	CURL *curl = curl_easy_init();
	AUTO(free) char *url = manifest_url(image);
	curl_off_t wait = 0;

	if (!curl)
		return 0;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)ASK_S);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	if (curl_easy_perform(curl) || curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait))
		wait = 0;
	curl_easy_cleanup(curl);
	return wait < 0 ? 0 : wait > INT_MAX ? INT_MAX : (int)wait;
}
