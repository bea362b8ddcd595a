#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollouts program under its older name: python scripts/eval_rollouts.py run configs/bench.toml

For analyses in Python, with this folder on PYTHONPATH:

    from eval_rollouts import load_benchmark, get_task_score
    results = load_benchmark("data/rollouts/bench/20250824")
    print(get_task_score(results, "task_1"))
"""
import json
import os
import pathlib
import shutil
import sys


def load_benchmark(folder):
    """What became of each trial of a rollout, a list of dicts as in its manifest.json.

    FOLDER is data/rollouts/NAME/STAMP. A date in place of the stamp, or another beginning of one, is the latest rollout
    of those, and data/rollouts/NAME the latest of all."""
    folder = pathlib.Path(folder)
    found = [folder] if (folder / "manifest.json").exists() else []
    for top, beginning in ((folder.parent, folder.name), (folder, "")):
        found = found or sorted(m.parent for m in top.glob("*/manifest.json")
                                if "__" in m.parent.name and m.parent.name.startswith(beginning))
    if not found:
        raise FileNotFoundError(f"{folder}: no rollout there")
    return json.loads((found[-1] / "manifest.json").read_text(encoding="utf-8"))["results"]


def get_task_score(results, task, model=None):
    """The mean score of a task, by its id or the name of its folder, of one model or all; None: no trial has one.

    Missing trials are left out, as everywhere."""
    scores = [r["total_score"] for r in results
              if task in (r["task_id"], os.path.basename(r["task_dir"])) and model in (None, r["model"])
              and r["total_score"] is not None and r["outcome"] not in ("infra_error", "cancelled", "replay_diverged")]
    return sum(scores) / len(scores) if scores else None


def main():
    source = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    places = (os.path.join(source, "build", "rollouts"), os.path.join(source, "bin", "rollouts"))
    program = next((p for p in places if os.access(p, os.X_OK)), None) or shutil.which("rollouts")
    if not program:
        sys.exit(f"eval_rollouts.py: no rollouts program: not {places[0]}, not on PATH; run make in {source}")
    os.execv(program, ["rollouts", *sys.argv[1:]])


if __name__ == "__main__":
    main()
