#!/bin/bash
# The README leads to the documentation, and every relative link leads somewhere.
set -eu
grep -q '](docs/USAGE.md' README.md || { echo 'README.md does not link to docs/USAGE.md'; exit 1; }
broken=0
for file in README.md docs/*.md; do
	for link in $(grep -o '](\([^)#]*\)' "$file" | cut -c3- | grep -v '^[a-z]*:' || true); do
		[ -e "$(dirname "$file")/$link" ] || { echo "$file: broken link: $link"; broken=1; }
	done
done
exit $broken
