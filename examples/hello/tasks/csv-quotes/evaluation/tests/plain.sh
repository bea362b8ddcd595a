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
expect "$(printf 'a,b,c\n1,2,3\n' | "$work/csvcut" -f 3,1)" "$(printf 'c,a\n3,1')"
expect "$(printf 'a;b\n"x;y";z\n' | "$work/csvcut" -d ';' -f 1)" "$(printf 'a\n"x;y"')"
expect "$(printf 'a,b\r\nc,d\r\n' | "$work/csvcut" -f 2)" "$(printf 'b\nd')"
expect "$(printf 'a,b' | "$work/csvcut" -f 2)" 'b'
expect "$(printf '' | "$work/csvcut" -f 1)" ''
status=0
"$work/csvcut" -f x </dev/null 2>/dev/null || status=$?
expect "$status" 2
status=0
"$work/csvcut" -f 1 /nonexistent 2>/dev/null || status=$?
expect "$status" 1
