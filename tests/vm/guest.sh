#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Process 1 of the virtual machine: the checks. The last line says "vm: passed" or "vm: FAILED".
export PATH=/usr/local/bin:/usr/bin:/usr/sbin HOME=/root LANG=C.UTF-8
TOP=/sys/fs/cgroup
failures=0

mount_all() {
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mount -t devtmpfs dev /dev
	mount -t tmpfs tmp /tmp -o mode=1777
	mount -t cgroup2 cgroup $TOP
	busybox insmod /vm/overlay.ko
	busybox sysctl -qw kernel.printk="1 1 1 1"
	echo "+memory +pids +cpu" >$TOP/cgroup.subtree_control
}

check() { # WHAT COMMAND...
	local what=$1
	shift
	if "$@"; then
		echo "ok      $what"
	else
		echo "FAILED  $what"
		failures=$((failures + 1))
	fi
}

# --- groups, and who is started in them --------------------------------------------------------------

new_group() { # NAME [OWNER]
	mkdir -p "$TOP/$1"
	[ -z "${2-}" ] || chown "$2" "$TOP/$1" "$TOP/$1"/cgroup.{procs,threads,subtree_control}
}

inside() { # GROUP USER COMMAND...
	bash -c 'echo $$ >"$0/cgroup.procs" || exit 9; user=$1; shift
		[ "$user" = root ] || exec setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
		exec "$@"' "$TOP/$1" "${@:2}"
}

rollouts_in() { # GROUP USER ARGUMENTS...
	inside "$1" "$2" rollouts "${@:3}" </dev/null
}

bench() { # NAME ENTRY...  -- writes NAME.toml; an entry is LABEL|COMMAND or LABEL|COMMAND|FURTHER KEYS
	printf '%s\n' "${@:2}" | sed 's/|.*//' >"/tmp/$1.labels"
	{
		echo 'parallel = 3'
		printf '[defaults]\nagent = "shell"\nmodel = "none"\nmemory_mb = 64\ntimeout_sec = 60\nretries = 0\n'
		for entry in "${@:2}"; do
			IFS='|' read -r label command keys <<<"$entry"
			printf '[[tasks]]\nprepared_dir = "/vm/task"\nlabel = "%s"\n' "$label"
			printf 'environment_variables = { COMMAND = "%s" }\n%b\n' "$command" "$keys"
		done
	} >"/tmp/$1.toml"
}

# --- what came out -----------------------------------------------------------------------------------

# The runs of a rollout are numbered as the entries of its file are.
run_of() { # LABEL
	local line
	line=$(grep -nx "$1" "/tmp/$bench.labels")
	echo "$data"/runs/*-$((${line%%:*} - 1))
}
value() { # LABEL KEY
	sed -n "s/^ *\"$2\": \"\?\(.*[^\",]\)\"\?,\?\$/\1/p" "$(run_of "$1")/result.json" | head -n 1
}
is() { # LABEL KEY PATTERN
	local got
	got=$(value "$1" "$2")
	# shellcheck disable=SC2053 # a pattern
	[[ $got == $3 ]] || { echo "        $1: $2 is '$got', not $3"; return 1; }
}
between() { # LABEL KEY LEAST MOST
	local got
	got=$(value "$1" "$2")
	[ "${got:-0}" -ge "$3" ] && [ "$got" -le "$4" ] || { echo "        $1: $2 is '$got', not $3..$4"; return 1; }
}
groups_below() { find "$TOP/$1" -mindepth 1 -type d; }
nothing_left() {
	local left
	left=$(groups_below "$1" | grep rollouts)
	[ -z "$left" ] || { echo "$left"; return 1; }
}
no_workers() { ! grep -lqs rollouts-trial /proc/[0-9]*/cmdline; }
within() { # SECONDS COMMAND...
	local until=$((SECONDS + $1))
	until "${@:2}"; do
		[ $SECONDS -lt $until ] || return 1
		sleep 0.1
	done
}

data_of() { # NAME OWNER
	data=/data/$1
	bench=${1##*-}
	mkdir -p "$data"
	chown "$2" "$data"
}

run() { # GROUP USER BENCH
	local log="/tmp/${1//\//-}-$3.log"
	data_of "${1//\//-}-$3" "$2"
	local began=$SECONDS
	rollouts_in "$1" "$2" run "/tmp/$3.toml" --data-dir "$data" >"$log" 2>&1
	local status=$?
	echo "# $3 in group $1 as $2: status $status, $((SECONDS - began)) s"
	[ $status -le 1 ] || tail -n 5 "$log"
}

held() { # LABEL
	check "$1: the kernel held it" is "$1" limits_held cgroup
	check "$1: an agent's error" is "$1" outcome agent_error
	check "$1: for its memory" is "$1" reason "*64 MB of memory*"
	check "$1: its peak is recorded" between "$1" memory_max $((40 << 20)) $((65 << 20))
	check "$1: the kernel's kill is told" is "$1" oom_killed true
	check "$1: at once, not at its deadline" between "$1" wall_ms 1 30000
}
unharmed() { # LABEL HELD
	check "$1: completed" is "$1" outcome completed
	check "$1: nothing was killed for memory" is "$1" oom_killed false
	check "$1: graded" is "$1" total_score "1*"
	check "$1: limits $2" is "$1" limits_held "$2"
}

# --- the checks --------------------------------------------------------------------------------------

all_hogs() { # GROUP USER
	run "$1" "$2" hogs
	for label in anonymous memfd shm spread; do held $label; done
	unharmed plain cgroup
	unharmed forks cgroup
	check "forks: stopped at the limit" grep -qE '^(9[0-9][0-9]|10[0-2][0-9]) processes' \
		"$(run_of forks)/logs/agent.log"
	check "spin: timed out" is spin outcome timeout
	check "spin: half a processor" between spin cpu_ms 1000 3400
	check "grader: completed" is grader outcome completed
	check "grader: a test that hogs fails" is grader total_score "0*"
	check "grader: the kernel's kill is told" is grader oom_killed true
	check "grader: for its memory" grep -rqs "used more than 64 MB of memory" \
		"$(run_of grader)/evaluation_results.json"
	check "$1: no group is left" nothing_left "$1"
	check "$1: its controllers are as before" test -z "$(cat "$TOP/$1/cgroup.subtree_control")"
}

killed() { # GROUP USER
	data_of "$1-slow" "$2"
	rollouts_in "$1" "$2" run /tmp/slow.toml --data-dir "$data" >/tmp/slow.log 2>&1 &
	check "$1: boxes are made" within 60 eval '[ -n "$(groups_below '"$1"' | grep rollouts-box)" ]'
	sleep 3
	kill -9 "$(cat "$TOP/$1/rollouts-supervisor/cgroup.procs" | head -n 1)"
	wait $!
	check "$1: the workers of a killed supervisor end" within 30 no_workers
	echo "# left: $(groups_below "$1" | tr '\n' ' ')"
	# Where controllers are on, a process can only be put below.
	rollouts_in "$1/rollouts-supervisor" "$2" resume slow --latest --data-dir "$data" >/tmp/resume.log 2>&1
	echo "# resume: status $?"
	unharmed slow cgroup
	check "$1: after a resume no group is left" nothing_left "$1"
}

# In the root of the tree, where other processes may stay: a later command finds what was left.
killed_then_cleaned() {
	data_of root-slow root
	rollouts run /tmp/slow.toml --data-dir "$data" >/tmp/slow.log 2>&1 &
	check "/: boxes are made" within 60 eval '[ -n "$(groups_below . | grep rollouts-box)" ]'
	sleep 3
	kill -9 $!
	wait $!
	check "/: the workers of a killed supervisor end" within 30 no_workers
	echo "# left: $(groups_below . | grep rollouts | tr '\n' ' ')"
	rollouts clean --data-dir "$data" >/tmp/clean.log 2>&1
	check "/: after a clean no group is left" nothing_left .
	check "/: other controllers are left on" grep -q memory $TOP/cgroup.subtree_control
}

watched() { # GROUP USER
	run "$1" "$2" few
	unharmed plain watched
	check "anonymous: an agent's error" is anonymous outcome agent_error
	check "anonymous: for its memory" is anonymous reason "*64 MB of memory*"
	check "anonymous: not by the kernel" is anonymous oom_killed false
	check "anonymous: watched" is anonymous limits_held watched
	check "$1: no group is left" nothing_left "$1"
}

doctor() { # GROUP USER TEXT
	data_of doctor "$2"
	rollouts_in "$1" "$2" doctor --data-dir "$data" >/tmp/doctor.log 2>&1
	check "doctor in $1: $3" grep -q "cgroup v2.*$3" /tmp/doctor.log
	check "doctor in $1 leaves nothing" nothing_left "$1"
}

write_benches() {
	local hogs=(
		'anonymous|hog anonymous 200; sleep 50' 'memfd|hog memfd 200; sleep 50'
		'shm|head -c 15M /dev/zero >/dev/shm/x; hog memfd 60; sleep 50' 'spread|hog spread 200; sleep 50'
		'plain|echo x >x' 'forks|hog forks|memory_mb = 512' 'grader|echo x >grow'
		'spin|hog spin 60|cpus = 0.5\ntimeout_sec = 6')
	bench hogs "${hogs[@]}"
	bench few "${hogs[0]}" "${hogs[4]}"
	bench slow 'slow|sleep 8; echo x >x' 'slower|sleep 8; echo x >x'
}

checks() {
	write_benches
	new_group mine tester
	new_group roots
	doctor mine tester "delegated: memory, pids"
	all_hogs mine tester
	all_hogs roots root
	killed mine tester
	killed roots root
	killed_then_cleaned
	new_group closed
	doctor closed tester "not delegated"
	watched closed tester
	new_group shared tester
	bash -c "echo \$\$ >$TOP/shared/cgroup.procs; exec sleep 1000" &
	within 10 grep -q . $TOP/shared/cgroup.procs
	doctor shared tester "other processes"
	watched shared tester
	kill $!
	new_group part/of tester
	echo "+pids" >$TOP/part/cgroup.subtree_control
	doctor part/of tester "without memory"
	watched part/of tester
}

mount_all
checks
for log in /tmp/*.log; do
	[ $failures = 0 ] || { echo "--- $log"; tail -n 12 "$log"; }
done
[ $failures = 0 ] && echo "vm: passed" || echo "vm: FAILED ($failures)"
sync
echo o >/proc/sysrq-trigger
sleep 60
