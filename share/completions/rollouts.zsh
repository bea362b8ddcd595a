#compdef rollouts
# SPDX-License-Identifier: GPL-3.0-or-later
# zsh completion. Verbs and options come from the program's own help, so they are never out of date.
_rollouts()
{
	local verb=$words[2]
	local -a found
	if (( CURRENT == 2 )) || [[ $verb == help && CURRENT -eq 3 ]]; then
		found=(${(f)"$($words[1] --help 2>/dev/null | sed -n 's/^  \([a-z]*\)  *\(.*\)/\1:\2/p')"})
		_describe command found
		return
	fi
	if [[ $PREFIX == -* ]]; then
		found=(${(f)"$($words[1] help $verb 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u)"})
		compadd -- $found
		return
	fi
	case $verb in
	run|validate|config|init) _files -g '*.toml' ;;
	show) compadd -- data/runs/*(N:t) ;;
	*)
		found=(data/rollouts/*(N/:t))
		compadd -- ${found:#temp} ;;
	esac
}
_rollouts "$@"
