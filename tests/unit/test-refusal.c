/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/refusal.h"
#include "test.h"

static const struct {
	struct refusal r;
	const char *text;
} cases[] = {
	{{.place = PLACE_DOCKER, .filtered = true, .proc_hidden = true},
	 "in this container a filter of system calls forbids user namespaces, parts of /proc are "
	 "hidden: start it with: docker "
	 "run --security-opt seccomp=unconfined --security-opt systempaths=unconfined "
	 "(docs/inside-a-container.md)"},
	/* One of the two was given already: both are to be given again. */
	{{.place = PLACE_DOCKER, .proc_hidden = true},
	 "in this container parts of /proc are hidden: start it with: docker run --security-opt "
	 "seccomp=unconfined "
	 "--security-opt systempaths=unconfined (docs/inside-a-container.md)"},
	{{.place = PLACE_DOCKER, .filtered = true, .apparmor = true, .apparmor_profile = true},
	 "in this container a filter of system calls forbids user namespaces, an AppArmor profile "
	 "forbids mounts: start it with: "
	 "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined "
	 "--security-opt apparmor=unconfined "
	 "(docs/inside-a-container.md)"},
	/* Ubuntu's default profile forbids the mounts, and without it Ubuntu's restriction the namespaces. */
	{{.place = PLACE_DOCKER,
	  .proc_hidden = true,
	  .apparmor = true,
	  .apparmor_profile = true,
	  .apparmor_restricted = true},
	 "in this container parts of /proc are hidden, an AppArmor profile forbids mounts: start "
	 "it with: docker run "
	 "--security-opt seccomp=unconfined --security-opt systempaths=unconfined --security-opt "
	 "apparmor=unconfined, and on "
	 "the host: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 "
	 "(docs/inside-a-container.md)"},
	{{.place = PLACE_PODMAN, .proc_hidden = true, .selinux_domain = true},
	 "in this container parts of /proc are hidden, SELinux forbids mounts: start it with: "
	 "podman run --security-opt unmask=ALL "
	 "--security-opt label=disable (docs/inside-a-container.md)"},
	{{.place = PLACE_KUBERNETES, .filtered = true},
	 "in this pod a filter of system calls forbids user namespaces: in the container's "
	 "securityContext: seccompProfile: {type: "
	 "Unconfined}, procMount: Unmasked (with hostUsers: false) (docs/inside-a-container.md)"},
	{{.place = PLACE_DEVCONTAINER, .filtered = true},
	 "in this container a filter of system calls forbids user namespaces: in "
	 "devcontainer.json: \"runArgs\": "
	 "[\"--security-opt=seccomp=unconfined\", \"--security-opt=systempaths=unconfined\"] "
	 "(docs/inside-a-container.md)"},
	{{.place = PLACE_GITHUB_JOB, .filtered = true},
	 "in this job's container a filter of system calls forbids user namespaces: in the "
	 "workflow: container: options: "
	 "--security-opt seccomp=unconfined --security-opt systempaths=unconfined "
	 "(docs/inside-a-container.md)"},
	{{.place = PLACE_MACHINE, .apparmor_restricted = true},
	 "AppArmor forbids user namespaces to programs without a profile: `make install` adds "
	 "ours, or: sysctl -w "
	 "kernel.apparmor_restrict_unprivileged_userns=0"},
	{{.place = PLACE_DOCKER, .apparmor_restricted = true},
	 "AppArmor forbids user namespaces to programs without a profile: on the host: sysctl -w "
	 "kernel.apparmor_restrict_unprivileged_userns=0"},
	{{.place = PLACE_DOCKER, .switched_off = true, .filtered = true},
	 "user namespaces are switched off here: on the host: sysctl -w "
	 "kernel.unprivileged_userns_clone=1"},
	{{.place = PLACE_MACHINE, .none_allowed = true},
	 "user namespaces are switched off here: sysctl -w user.max_user_namespaces=15000"},
	{{.place = PLACE_DOCKER, .unmappable = true},
	 "root without the capability SETFCAP may not be in a user namespace: start as an ordinary "
	 "user (docker run --user 1000), "
	 "or with --cap-add SETFCAP (docs/inside-a-container.md)"},
};

static void all_that_is_missing_in_the_words_of_the_engine(void **state)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf text = BUF_INIT;
		refusal_text(&text, &cases[i].r);
		assert_string_equal(text.data, cases[i].text);
		/* It must fit behind a cause. */
		assert_true(text.len < sizeof(struct err) - 128);
		buf_release(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_missing_in_the_words_of_the_engine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
