# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion. Verbs and options come from the program's own help, so they are never out of date.
_rollouts()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} verb=${COMP_WORDS[1]} data=data words
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ] || { [ "$verb" = help ] && [ "$COMP_CWORD" -eq 2 ]; }; then
		words=$("$program" --help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
		return
	fi
	case $previous in
	--data-dir) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
	--sandbox) mapfile -t COMPREPLY < <(compgen -W "auto local docker none" -- "$current"); return ;;
	esac
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
		mapfile -t COMPREPLY < <(cd "$data/runs" 2>/dev/null && compgen -d -- "$current") ;;
	*)
		mapfile -t COMPREPLY < <(cd "$data/rollouts" 2>/dev/null && compgen -d -X temp -- "$current") ;;
	esac
}
complete -F _rollouts rollouts
