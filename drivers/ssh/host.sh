#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What the launcher of ssh does on a host, on which this lies beside our programs:
#   host.sh look WHO    what the host is
#   host.sh end JOB     the processes of a trial that was given up, and its folder, go
#
#   programs/HASH/      this file and our programs
#   cache/              of rollouts-node: inputs of trials, for all who use this host
#   jobs/WHO/TOKEN/     a trial (rollouts-node far)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

processes() { # JOB
	for p in /proc/[0-9]*; do
		[ "$(cat "$p/comm" 2>/dev/null)" = rollouts-node ] || continue
		! tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -qF "$1" || echo "${p#/proc/}"
	done
}

if [ "$1" = end ]; then
	for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		left=$(processes "$2")
		[ -n "$left" ] || break
		signal=TERM
		[ $second -lt 15 ] || signal=KILL
		# shellcheck disable=SC2086 # numbers
		kill -$signal $left 2>/dev/null || :
		sleep 1
	done
	rm -rf "$2"
	exit 0
fi
shift

for program in git bwrap; do
	command -v $program >/dev/null || echo "lacks $program"
done
echo "machine $(uname -m)"
echo "processors $(nproc 2>/dev/null || grep -c '^processor' /proc/cpuinfo)"
awk '/^MemTotal:/ { print "memory_mb", int($2 / 1024) }' /proc/meminfo
"$here/rollouts-node" --version
chmod 711 "$top"
mkdir -p "$top/jobs/$1"
echo "disk_mb $(df -Pk "$top" | awk 'NR == 2 { print int($4 / 1024) }')"
# As a trial would have it, in a folder that its user can reach.
mkdir -m 755 "$top/try.$$"
why=$(cd "$top/try.$$" && "$here/rollouts-trial" --try-sandbox 2>&1) || echo "refuses $why" | tr '\n' ' '
echo
rm -rf "$top/try.$$"
touch "$here"
find "$top/programs" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
