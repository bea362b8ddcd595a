/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * refusal.h -- why this machine refuses what sandboxes are made of, and what to change: all of it at once, in the words of
 * the engine that runs the container we are in. docs/inside-a-container.md says the same for people.
 */
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

enum refusal_place {
	PLACE_MACHINE, /* no container that we know of */
	PLACE_DOCKER,
	PLACE_PODMAN,
	PLACE_KUBERNETES,
	PLACE_DEVCONTAINER, /* Codespaces among them */
	PLACE_GITHUB_JOB,
	PLACE_CONTAINER, /* of an unknown engine */
};

struct refusal {
	enum refusal_place place;
	bool switched_off; /* kernel.unprivileged_userns_clone=0, Debian's */
	bool none_allowed; /* user.max_user_namespaces=0 */
	bool too_many;	   /* are in use */
	bool chroot;
	bool unmappable;	  /* root, into a namespace: CAP_SETFCAP is missing */
	bool apparmor_restricted; /* unprivileged user namespaces, as on Ubuntu since 23.10 */
	bool filtered;		  /* user namespaces, by a filter of system calls */
	bool proc_hidden;	  /* something is mounted below /proc, which forbids a new one */
	bool apparmor;		  /* the kernel has it, so that containers get a profile */
	bool apparmor_profile, selinux_domain; /* of the container; they forbid mounts */
};

/* The cause and, after a colon, the remedy. */
void refusal_text(struct buf *out, const struct refusal *r);
/* Find out, and add it to a failure behind "; ". Always returns -1. */
int refusal_explain(struct err *err);
/* The same, where it was UID, our user, that could not be mapped into a namespace. */
int refusal_explain_mapping(uid_t uid, struct err *err);
