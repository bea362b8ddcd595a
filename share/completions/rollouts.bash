# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion. Verbs, options and agents come from the program and its files, so they are never out of date.
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
	--config | --gateway) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
	--sandbox) words="auto local none" ;;
	--retry) words="completed timeout budget agent_error infra_error cancelled replay_diverged" ;;
	--agent | -a) words="nop oracle bash codex claude gemini opencode pi qwen shell $(cd "${XDG_CONFIG_HOME:-$HOME/.config}/rollouts/agents" 2>/dev/null && ls | sed -n 's/\.toml$//p')" ;;
	--rollout) words=$(cd "$data/rollouts/$name" 2>/dev/null && { ls; cat ./*/tags 2>/dev/null; }) ;;
	--runs) words=$(cd "$data/rollouts" 2>/dev/null && ls -d ./*/*/ | sed 's,^\./,,; s,/$,,') ;;
	--parallel | -j | --model | -m | --rollouts | -r | --timeout | -t | --env | -e | --only | --limit | --tag | --attempt) return ;;
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
	show)
		[ "$COMP_CWORD" -gt 2 ] && words="agent errors eval diff notes score result worker transcript llm"
		[ -n "$words" ] || words=$(cd "$data/runs" 2>/dev/null && ls)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
	agents)
		words="list install check"
		[ "$COMP_CWORD" -gt 2 ] && words="bash codex claude gemini opencode pi qwen"
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
	doctor | help) ;;
	*)
		[ "$COMP_CWORD" -gt 2 ] && [[ $previous != -* ]] && return
		mapfile -t COMPREPLY < <(cd "$data/rollouts" 2>/dev/null && compgen -d -X temp -- "$current") ;;
	esac
}
complete -F _rollouts rollouts
