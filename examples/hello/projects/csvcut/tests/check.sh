#!/bin/sh
# Plain columns, another delimiter, wrong usage.
set -eu
expect() {
	if [ "$1" != "$2" ]; then
		printf 'expected: %s\n     got: %s\n' "$2" "$1"
		exit 1
	fi
}
expect "$(printf 'a,b,c\n1,2,3\n' | ./csvcut -f 2)" "$(printf 'b\n2')"
expect "$(printf 'a;b\n' | ./csvcut -d ';' -f 2,1)" 'b;a'
expect "$(printf '"x,y",z\n' | ./csvcut -f 1)" '"x,y"'
status=0
./csvcut -f 0 </dev/null 2>/dev/null || status=$?
expect "$status" 2
echo ok
