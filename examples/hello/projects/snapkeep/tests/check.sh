#!/bin/sh
# Keeps days, weeks and months; -n removes nothing; -k refuses.
set -eu
here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir 2024-01-31 2024-02-28 2024-03-03 2024-03-04 2024-03-05
test "$("$here/snapkeep" -n -d 2 -w 0 -m 1 .)" = "$(printf 'would remove 2024-01-31\nwould remove 2024-02-28\nwould remove 2024-03-03')"
test "$(ls | wc -l)" -eq 5
"$here/snapkeep" -q -d 1 -w 0 -m 2 .
test "$(echo *)" = "2024-02-28 2024-03-05"
status=0
"$here/snapkeep" -d 0 -w 0 -m 0 . 2>/dev/null || status=$?
test "$status" -eq 4
echo ok
