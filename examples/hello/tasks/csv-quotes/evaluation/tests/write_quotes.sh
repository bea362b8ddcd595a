#!/bin/bash
# Build in a folder of our own; the repository stays as the agent left it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -O1 -Wall -o "$work/csvcut" main.c csv.c
expect() {
	if [ "$1" != "$2" ]; then
		printf "expected: %q\n     got: %q\n" "$2" "$1"
		exit 1
	fi
}
expect "$(printf '"two\nlines",x\n' | "$work/csvcut" -f 2,1)" "$(printf 'x,"two\nlines"')"
expect "$(printf '"a ""b""";"c;d"\n' | "$work/csvcut" -d ';' -f 1,2)" '"a ""b""";"c;d"'
# What csvcut wrote, csvcut reads again.
input=$(printf '"q""q","l\nl","d,d",plain\n"""",,"",x')
expect "$(printf '%s\n' "$input" | "$work/csvcut" -f 1,2,3,4 | "$work/csvcut" -f 1,2,3,4)" \
	"$(printf '"q""q","l\nl","d,d",plain\n"""",,,x')"
