/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * install.h -- where our own files are, installed or in a build folder, found from /proc/self/exe.
 */
#pragma once

/* Absolute path of a helper program ("rollouts-trial", "rollouts-init"): PREFIX/libexec/rollouts/NAME,
 * or beside the running program in a build folder. The caller frees; never NULL, may not exist. */
char *install_libexec(const char *name);
/* Absolute path of a shared file ("agents", "seccomp.bpf"): PREFIX/share/rollouts/NAME, or in a
 * checkout: BUILD/NAME if it exists there, else SOURCE/share/NAME. The caller frees. */
char *install_share(const char *name);
/* "0.1.0+3fa94c01d27b": the version and, where the linker gave it one, the build ID of the running program, by which
 * two builds of one version are told apart. The caller frees. */
char *install_build(void);
