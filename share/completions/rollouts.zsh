#compdef rollouts
# SPDX-License-Identifier: GPL-3.0-or-later
# zsh completion. Verbs, options and agents come from the program itself, so they are never out of date.

_rollouts_agents()
{
	local -a found=(${(f)"$($program agents 2>/dev/null | sed -n '3,$s/ .*//p')"})
	compadd -- $found
}

_rollouts_verbs()
{
	local -a found=(${(f)"$($program --help 2>/dev/null | sed -n 's/^  \([a-z]*\)  *\(.*\)/\1:\2/p')"})
	_describe command found
}

# The value of the option before the cursor; fails where that takes none, or is no option.
_rollouts_value()
{
	local -a stamps=($data/rollouts/*/*(N/))
	stamps=(${stamps#$data/rollouts/})
	case $words[CURRENT-1] in
	--data-dir|--task) _files -/ ;;
	--config|--policy|--junit|--output|--gateway|--socket) _files ;;
	--sandbox) compadd auto local docker landlock none ;;
	--launcher) compadd local slurm batch example ;;
	--format) compadd csv jsonl parquet-jsonl junit ;;
	--sort) compadd mean spread time cost tokens name ;;
	--tasks) compadd unsolved flaky solved differ ;;
	--by) compadd model label task tag agent served ;;
	--question) compadd tasks-like-these these-tasks ;;
	--cluster) compadd cluster repository none tag: ;;
	--retry) compadd completed timeout budget agent_error infra_error cancelled replay_diverged ;;
	--agent|-a) _rollouts_agents ;;
	--rollout) compadd -- $data/rollouts/$name/*(N/:t) $(cat /dev/null $data/rollouts/$name/*/tags(N)) ;;
	--replay) compadd -- ${stamps/\//@} ;;
	--runs) compadd -- $stamps ;;
	--parallel|-j|--model|-m|--rollouts|-r|--timeout|-t|--env|-e|--only|--limit|--tag|--attempt|--listen|--provider) ;;
	*) return 1 ;;
	esac
	return 0
}

_rollouts_operand()
{
	local -a found
	case $verb in
	run|validate|config|init) _files -g '*.toml' ;;
	shell) compadd -- $data/runs/*(N:t) ;;
	show)
		if (( CURRENT > 3 )); then
			found=(${(f)"$($program help show 2>/dev/null | sed -n '/The parts:/,/^Control/s/^  \([a-z]*\) .*/\1/p')"})
		else
			found=($data/runs/*(N:t))
		fi
		compadd -- $found ;;
	agents) if (( CURRENT > 3 )); then _rollouts_agents; else compadd list install check new; fi ;;
	help) (( CURRENT == 3 )) && _rollouts_verbs ;;
	merge|import|convert) _files -/ ;;
	unpack) _files ;;
	doctor|gateway|models) ;;
	*)
		(( CURRENT > 3 )) && [[ $words[CURRENT-1] != -* ]] && return
		found=($data/rollouts/*(N/:t))
		compadd -- ${found:#temp} ;;
	esac
}

_rollouts()
{
	local program=$words[1] verb=$words[2] name=$words[3] data=data
	integer i
	for ((i = 2; i < CURRENT - 1; i++)); do
		[[ $words[i] == --data-dir ]] && data=$words[i+1]
	done
	if (( CURRENT == 2 )); then
		_rollouts_verbs
	elif _rollouts_value; then
	elif [[ $PREFIX == -* ]]; then
		compadd -- ${(f)"$($program help $verb 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u)"}
	else
		_rollouts_operand
	fi
}

_rollouts "$@"
