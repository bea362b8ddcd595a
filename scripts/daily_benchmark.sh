#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# daily_benchmark.sh: configs/daily_benchmark.toml, once a day. Results are in data/rollouts/daily_benchmark/STAMP; an unfinished
# run is finished first. All that run_nightly_benchmark.sh says of itself holds here: lock, logs, status, baseline, messages.
#
#   30 6 * * * /path/to/repo/scripts/daily_benchmark.sh
set -u
CONFIG=${1:-configs/daily_benchmark.toml}
exec "$(dirname -- "$(readlink -f -- "$0")")/run_nightly_benchmark.sh" "$CONFIG"
