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
expect "$(printf '"say ""hi""",x\n' | "$work/csvcut" -f 2,1)" 'x,"say ""hi"""'
expect "$(printf '"""",y\n' | "$work/csvcut" -f 2)" 'y'
expect "$(printf '"a,""b""",c\n' | "$work/csvcut" -f 2)" 'c'
