#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollouts program under its older name: python scripts/eval_rollouts.py run configs/bench.toml

For analyses in Python, with this folder on PYTHONPATH (share/python/rollouts.py has more):

    from eval_rollouts import load_benchmark, get_task_score
    results = load_benchmark("data/rollouts/bench/20250824")
    print(get_task_score(results, "task_1"))
"""
import os
import shutil
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if __name__ != "__main__":
    sys.path.insert(0, os.path.join(SOURCE, "share", "python"))
    from rollouts import *  # noqa: F401, F403


def main():
    places = (os.path.join(SOURCE, "build", "rollouts"), os.path.join(SOURCE, "bin", "rollouts"))
    program = next((p for p in places if os.access(p, os.X_OK)), None) or shutil.which("rollouts")
    if not program:
        sys.exit(f"eval_rollouts.py: no rollouts program: not {places[0]}, not on PATH; run make in {SOURCE}")
    os.execv(program, ["rollouts", *sys.argv[1:]])


if __name__ == "__main__":
    main()
