# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion. Verbs, options and agents come from the program and its files, so they are never out of date.
_rollouts_agents()
{
	"$1" agents 2>/dev/null | sed -n '3,$s/ .*//p'
}

_rollouts()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} verb=${COMP_WORDS[1]} name=${COMP_WORDS[2]} data=data words i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD - 1; i++)); do
		[ "${COMP_WORDS[i]}" = --data-dir ] && data=${COMP_WORDS[i + 1]}
	done
	if [ "$COMP_CWORD" -eq 1 ] || { [ "$verb" = help ] && [ "$COMP_CWORD" -eq 2 ]; }; then
		words=$("$program" --help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
		return
	fi
	case $previous in
	--data-dir | --task) mapfile -t COMPREPLY < <(compgen -d -S / -- "$current"); compopt -o nospace 2>/dev/null; return ;;
	--config | --policy | --junit | --output | --gateway | --socket) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
	--sandbox) words="auto local docker landlock none" ;;
	--launcher) words="local slurm batch example" ;;
	--format) words="csv jsonl parquet-jsonl junit" ;;
	--sort) words="mean spread time cost tokens name" ;;
	--tasks) words="unsolved flaky solved differ" ;;
	--by) words="model label task tag agent served" ;;
	--question) words="tasks-like-these these-tasks" ;;
	--cluster) words="cluster repository none tag:" ;;
	--retry) words="completed timeout budget agent_error infra_error cancelled replay_diverged" ;;
	--agent | -a) words=$(_rollouts_agents "$program") ;;
	--rollout) words=$(cd "$data/rollouts/$name" 2>/dev/null && { ls; cat ./*/tags 2>/dev/null; }) ;;
	--runs) words=$(cd "$data/rollouts" 2>/dev/null && ls -d ./*/*/ | sed 's,^\./,,; s,/$,,') ;;
	--replay) words=$(cd "$data/rollouts" 2>/dev/null && ls -d ./*/*/ | sed 's,^\./,,; s,/$,,; s,/,@,') ;;
	--parallel | -j | --model | -m | --rollouts | -r | --timeout | -t | --env | -e | --only | --rerun | --limit | --tag | --attempt | --listen | --provider) return ;;
	*) words= ;;
	esac
	if [ -n "$words" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
		return
	fi
	if [[ $current == -* ]]; then
		words=$("$program" help "$verb" 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
		return
	fi
	case $verb in
	run | validate | config | init)
		mapfile -t COMPREPLY < <(compgen -f -X '!*.toml' -- "$current"; compgen -d -S / -- "$current")
		compopt -o nospace 2>/dev/null ;;
	exclude) mapfile -t COMPREPLY < <(cd "$data/runs" 2>/dev/null && compgen -d -- "$current") ;;
	shell) mapfile -t COMPREPLY < <(cd "$data/runs" 2>/dev/null && compgen -d -- "$current") ;;
	show)
		[ "$COMP_CWORD" -gt 2 ] && words=$("$program" help show 2>/dev/null | sed -n '/The parts:/,/^Control/s/^  \([a-z]*\) .*/\1/p')
		[ -n "$words" ] || words=$(cd "$data/runs" 2>/dev/null && ls)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
	agents)
		words="list install check new"
		[ "$COMP_CWORD" -gt 2 ] && words=$(_rollouts_agents "$program")
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
	unpack) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
	merge | import | convert)
		mapfile -t COMPREPLY < <(compgen -d -S / -- "$current")
		compopt -o nospace 2>/dev/null ;;
	doctor | help | gateway | models) ;;
	*)
		[ "$COMP_CWORD" -gt 2 ] && [[ $previous != -* ]] && return
		mapfile -t COMPREPLY < <(cd "$data/rollouts" 2>/dev/null && compgen -d -X temp -- "$current") ;;
	esac
}
complete -F _rollouts rollouts
