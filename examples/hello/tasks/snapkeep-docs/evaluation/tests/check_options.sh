#!/bin/bash
# Each option of the help text stands in the documentation; the program is as it was.
set -eu
test -f docs/USAGE.md || { echo 'docs/USAGE.md is missing'; exit 1; }
git diff --quiet HEAD -- snapkeep || { echo 'snapkeep was changed'; exit 1; }
missing=0
for option in $(./snapkeep -h | sed -n 's/^  \(-[a-z]\) .*/\1/p'); do
	grep -qe "$option\b" docs/USAGE.md || { echo "undocumented: $option"; missing=1; }
done
exit $missing
