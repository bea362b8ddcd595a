#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Run benchmarks night after night: finish what was left, run, compare with the tagged baseline, and say something only when
# something changed. For cron and systemd timers; docs/automation.md tells all of it.
#
#   0 2 * * * /path/to/repo/scripts/run_nightly_benchmark.sh [CONFIG...]
#
# Without CONFIG: configs/nightly_benchmark.toml. Settings are variables, here or in configs/nightly.env:
#
#   BENCHMARK_DIR       where configs/ and data/ are (default: the folder above this script)
#   BENCHMARK_PROGRAM   rollouts (default: the one built beside this script, else of PATH)
#   BENCHMARK_DATA      the data folder (default: data)
#   BENCHMARK_BASELINE  the tag to compare with (default: baseline)
#   BENCHMARK_MARGIN    how much worse is too much, 0.05 for five points (default: none, no gate)
#   BENCHMARK_NOTIFY    a command for messages, 'mail -s "$1" me@example.org': the text on its standard input, $1 the subject
#                       (default: they are printed; cron mails that)
#   BENCHMARK_KEEP_LOGS how many logs are kept of each benchmark (default: 30)
#   BENCHMARK_RESUMES   how often what was left is taken up before it is left alone (default: 3)
#   BENCHMARK_ENV       a file with these and with keys, readable by its owner alone (default: configs/nightly.env)
#
# Exit status: 0 nothing to complain of, 1 trials are missing or the gate failed, 2 a mistake, 3 the machine's fault,
# 130 stopped by a signal. That another one is at work is no fault.
set -u

here=$(cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd) || exit 3
# cron gives neither a locale nor much of a PATH; env -i not even a home.
export LC_ALL=C.UTF-8 PATH="${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin"
[ -n "${HOME:-}" ] || HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
export HOME

complain() { # STATUS WORDS...
	local status=$1
	shift
	echo "run_nightly_benchmark.sh: $*" >&2
	exit "$status"
}

dir=${BENCHMARK_DIR:-$(dirname -- "$here")}
cd -- "$dir" || exit 2
settings=${BENCHMARK_ENV:-configs/nightly.env}
if [ -e "$settings" ]; then
	case $(stat -Lc %a -- "$settings") in
	*00) ;;
	*) complain 2 "$settings may be read by others, and may hold keys: chmod 600 $settings" ;;
	esac
	set -a
	# shellcheck source=/dev/null
	. "./${settings#./}" 2>/dev/null || . "$settings" || complain 2 "$settings cannot be read"
	set +a
elif [ -n "${BENCHMARK_ENV:-}" ]; then
	complain 2 "$settings does not exist"
fi
data=${BENCHMARK_DATA:-data}
baseline=${BENCHMARK_BASELINE:-baseline}
margin=${BENCHMARK_MARGIN:-}
keep=${BENCHMARK_KEEP_LOGS:-30}
resumes=${BENCHMARK_RESUMES:-3}
for number in "$keep" "$resumes"; do
	case $number in
	'' | *[!0-9]*) complain 2 "BENCHMARK_KEEP_LOGS and BENCHMARK_RESUMES are numbers, not \"$number\"" ;;
	esac
done
program=${BENCHMARK_PROGRAM:-}
for place in "$here/../build/rollouts" "$here/../bin/rollouts" "$(command -v rollouts)"; do
	[ -n "$program" ] || { [ -x "$place" ] && program=$place; }
done
[ -n "$program" ] || complain 3 "no rollouts program: run make in ${here%/*}, or set BENCHMARK_PROGRAM"
[ -x "$program" ] || program=$(command -v -- "$program") || complain 3 "BENCHMARK_PROGRAM ${BENCHMARK_PROGRAM:-} cannot be run"
[ $# -gt 0 ] || set -- configs/nightly_benchmark.toml

child=
stopped=
# What runs is asked to stop in order, and its end is waited for: nothing paid for is lost.
stop() {
	stopped=1
	[ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
trap stop TERM INT HUP

# Run a command, its output into the log; a signal for us is passed on to it.
run() {
	echo "$ ${*}"
	# It holds the lock as well: a script that is killed leaves nobody behind that a second one would meet.
	"$@" 3>&- &
	child=$!
	[ -z "$stopped" ] || stop
	local status
	while :; do
		wait "$child"
		status=$?
		# 128 and more: the wait was ended by a signal, unless the child is gone.
		kill -0 "$child" 2>/dev/null || break
		# Once lets what runs finish, which may take hours; whoever stops us waits for minutes. Twice stops it, in order.
		[ -z "$stopped" ] || { sleep 1; kill -TERM "$child" 2>/dev/null; }
	done
	child=
	[ -z "$stopped" ] || return 130
	return "$status"
}

rollouts() { run "$program" "$@" --data-dir "$data"; }
ask() { "$program" "$@" --data-dir "$data" 9>&-; }

# The values of a member in JSON as rollouts prints it, a member a line.
member() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p"; }

write() { # FILE: standard input, all of it or nothing
	cat >"$1.new" && sync -- "$1.new" && mv -- "$1.new" "$1"
}

status_file() { # STATE
	printf '%s\n' "state=$1" "config=$config" "pid=$$" "begun=$begun" "ended=${2-}" "rollout=$stamp" "exit=$result" "gate=$gate" \
		"verdict=$verdict" "lost=$lost" "log=$log" "report=$report" | write "$state/$name.status"
}

# Where the latest rollout stands: "STAMP STATE", or nothing.
latest() {
	local list
	list=$(ask list "$config" --json --no-disk 2>/dev/null) || return 0
	paste -d ' ' <(printf '%s\n' "$list" | member rollout) <(printf '%s\n' "$list" | member state) | tail -n 1
}

# Take up what an earlier night left, a few times; whether tonight's is done with it.
finish_left() {
	local before tries=0 old
	before=$(latest)
	case ${before#* } in
	interrupted | incomplete) ;;
	*) return 1 ;;
	esac
	old=${before% *}
	[ ! -e "$state/$name.tries" ] || read -r what tries <"$state/$name.tries"
	[ "${what:-}" = "$old" ] || tries=0
	if [ "$tries" -ge "$resumes" ]; then
		echo "$old was taken up $tries times and is still ${before#* }: left alone"
		return 1
	fi
	echo "$old $((tries + 1))" | write "$state/$name.tries"
	rollouts resume "$config" --rollout "$old"
	result=$?
	stamp=$old
	# One of this day is tonight's; an older one was last night's, and tonight's is still to come.
	[ "${old%%__*}" = "$(date -u +%Y%m%d)" ] || [ "$result" -ge 2 ]
}

# Of a comparison as JSON, the tasks that the baseline always solved and the candidate never: few trials show what they do to a
# mean, and that something broke.
lost_tasks() {
	awk '/"flips": \[/ { flips = 1 } /^      \]/ { flips = 0 }
		flips && /"task":/ { sub(/^ *"task": "/, ""); sub(/",$/, ""); task = $0 }
		flips && /"candidate": 0\.0,/ { none = task }
		flips && /"baseline": 1\.0,/ && none == task { print task }'
}

compare() {
	local found
	found=$(ask list "$config" --json --no-disk 2>/dev/null | member rollout | grep -c .)
	if ! ask summarize "$config" --rollout "$baseline" --json >/dev/null 2>"$state/$name.said"; then
		verdict="no baseline"
		echo "nothing to compare with: $(cat "$state/$name.said")"
		baseline_stamp=none
		return
	fi
	baseline_stamp=$(ask list "$config" --json --no-disk | awk -v tag="\"$baseline\"" \
		'/"rollout":/ { gsub(/[",]/, ""); stamp = $2 } index($0, tag) { print stamp }' | tail -n 1)
	if [ "$baseline_stamp" = "$stamp" ] || [ "$found" -lt 2 ]; then
		verdict="is the baseline"
		return
	fi
	local sides=("$config@$stamp" "$config@$baseline")
	ask compare "${sides[@]}" >"$state/$name.compared" 2>&1
	cat "$state/$name.compared"
	verdict=$(ask compare "${sides[@]}" --json 2>/dev/null | member verdict | sort -u | paste -sd ,)
	[ -n "$verdict" ] || verdict="not comparable"
	lost=$(ask compare "${sides[@]}" --json 2>/dev/null | lost_tasks | sort -u | paste -sd , | sed 's/,/, /g')
	[ -n "$margin" ] || return
	ask compare "${sides[@]}" --margin "$margin" --gate >"$state/$name.compared" 2>&1
	case $? in
	0) gate=pass ;;
	1) gate=fail ;;
	4) gate=inconclusive ;;
	*) gate=error ;;
	esac
}

message() {
	echo "Benchmark $name: $1"
	[ -z "$told" ] || echo "Before: $told"
	echo "Now:    $now"
	echo
	if [ -n "$stamp" ]; then
		ask summarize "$config" --rollout "$stamp" 2>/dev/null | sed -n '1,/^$/p;/^Aggregates/,/^$/p'
		[ ! -s "$state/$name.compared" ] || sed -n '/^What differs/,/^$/p;/^Written between/,/^Verdict/{/^Verdict/!p};/^Verdict/,/^$/p;/^Tasks that changed/,/^$/p' "$state/$name.compared"
		[ "$verdict" != "no baseline" ] || echo "Name one to be told of changes: $program tag $config $baseline --rollout $stamp"
		[ "$result" != 1 ] || echo "Finish it: $program resume $config --rollout $stamp --data-dir $data"
	else
		tail -n 20 -- "$log"
	fi
	echo
	echo "Log: $dir/$log"
	[ ! -e "$report" ] || echo "Report: $dir/$report"
}

# Say what changed since the last message; what could not be said is said the next time.
tell() { # SUBJECT
	told=
	[ ! -e "$state/$name.told" ] || told=$(cat "$state/$name.told")
	[ "$now" != "$told" ] || return 0
	if [ -n "${BENCHMARK_NOTIFY:-}" ]; then
		message "$1" | (exec 9>&-; sh -c "$BENCHMARK_NOTIFY" notify "Benchmark $name: $1") || {
			echo "run_nightly_benchmark.sh: BENCHMARK_NOTIFY failed ($?): $BENCHMARK_NOTIFY" >&2
			return 1
		}
	else
		message "$1" >&3
	fi
	echo "$now" | write "$state/$name.told"
}

subject() {
	case $result in
	0) echo "complete; ${gate:+gate: $gate; }$verdict${lost:+; lost: $lost}" ;;
	1) echo "trials are missing; ${gate:+gate: $gate; }$verdict${lost:+; lost: $lost}" ;;
	130) echo "stopped" ;;
	*) echo "did not run (exit status $result)" ;;
	esac
}

night() {
	if ! finish_left && [ -z "$stopped" ]; then
		rollouts run "$config"
		result=$?
		local after
		after=$(latest)
		# One that did not start is none: a mistake, the machine, a provider that refused.
		[ "${after% *}" = "$stamp_before" ] || stamp=${after% *}
	fi
	[ -z "$stopped" ] || result=130
	if [ -n "$stamp" ] && [ "$result" -le 1 ]; then
		compare
		local of=("$config@$stamp")
		[ -n "$baseline_stamp" ] && [ "$baseline_stamp" != none ] && [ "$baseline_stamp" != "$stamp" ] && of+=("$config@$baseline")
		ask report "${of[@]}" -o "$state/$name.html" && report=$state/$name.html
	fi
}

one() { # CONFIG
	config=$1
	name=$(basename -- "$config" .toml)
	state=$data/automation
	{ mkdir -p -- "$state/logs" && chmod 700 "$state"; } || complain 3 "$state cannot be made"
	begun=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	log=$state/logs/$name-$(date -u +%Y%m%dT%H%M%S)-$$.log
	stamp='' result=0 gate='' verdict='' report='' baseline_stamp='' what='' lost=''
	exec 9>>"$state/$name.lock"
	if ! flock -n 9; then
		echo "$begun: another one is at work" >>"$state/logs/$name-skipped.log"
		now="still at work: the one that began at $(sed -n 's/^begun=//p' "$state/$name.status" 2>/dev/null)"
		log=$state/logs/$name-skipped.log
		exec 9>&-
		tell "is still at work, so tonight's did not start"
		return 0
	fi
	rm -f -- "$state/$name.compared" "$state/$name.said"
	status_file running
	stamp_before=$(latest)
	stamp_before=${stamp_before% *}
	{
		echo "$begun: $config"
		night
	} >>"$log" 2>&1
	now="$(subject)${baseline_stamp:+ (baseline: $baseline_stamp)}"
	status_file ended "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
	[ "$result" = 130 ] || tell "$(subject)" || [ "$result" -ne 0 ] || result=3
	# The oldest logs go; names have their time in them, and so their order.
	local logs=("$state/logs/$name-"[0-9]*.log)
	local more=$((${#logs[@]} - keep))
	[ "$more" -le 0 ] || rm -f -- "${logs[@]:0:more}"
	rm -f -- "$state/$name.compared" "$state/$name.said"
	exec 9>&-
	[ "$result" -ne 0 ] || case $gate in fail | error) return 1 ;; esac
	return "$result"
}

exec 3>&1
worst=0
for config; do
	case $config in
	*.toml) ;;
	*) complain 2 "$config: a benchmark file, configs/NAME.toml" ;;
	esac
	[ -e "$config" ] || complain 2 "$dir/$config does not exist"
	one "$config"
	status=$?
	[ "$status" -le "$worst" ] || worst=$status
	[ -z "$stopped" ] || break
done
exit "$worst"
