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
# The row a,b, has three fields: the third is empty, there is no fourth.
cat >"$work/count.c" <<'END'
#include "csv.h"
int main(void)
{
	struct csv_row row = {0};
	while (csv_read(stdin, ',', &row) > 0)
		printf("%zu\n", row.n);
	csv_free(&row);
	return 0;
}
END
cc -I. -o "$work/count" "$work/count.c" csv.c
expect "$(printf 'a,b,\n,\n\na\n' | "$work/count" | tr '\n' ' ')" '3 2 1 1 '
expect "$(printf 'a,b,\r\n,,\r\n' | "$work/count" | tr '\n' ' ')" '3 3 '
expect "$(printf 'a,' | "$work/count" | tr '\n' ' ')" '2 '
