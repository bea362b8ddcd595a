#!/bin/bash
# Each exit status of the program is explained in a section whose heading says "exit".
set -eu
section=$(awk '/^#/ { on = tolower($0) ~ /exit/ } on' docs/USAGE.md)
missing=0
for status in 0 $(grep -o 'exit [1-9]' snapkeep | cut -d' ' -f2 | sort -u); do
	grep -qw "$status" <<<"$section" || { echo "exit status $status is not explained"; missing=1; }
done
exit $missing
