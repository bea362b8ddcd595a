# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of rollouts for analyses in Python: the standard library will do, pandas is used where it is there.

    from rollouts import *
    results = load_benchmark("data/rollouts/bench/20250824")     # a date will do, or a tag, or no stamp at all
    print(get_task_score(results, "task_1"))
    frame(trials("bench"))                                       # one row per trial: pandas.DataFrame, else a list
    compare("bench@new", "bench@baseline", margin=0.05)["comparisons"][0]["verdict"]
"""
import json
import os
import pathlib
import shutil
import subprocess

__all__ = ["load_benchmark", "get_task_score", "benchmark_tasks", "trials", "calls", "compare", "frame"]
MISSING = ("infra_error", "cancelled", "replay_diverged")


class _Tasks:
    """The tasks of everything that was loaded, in the order they came: iterate over it."""
    def __init__(self):
        self.names = {}

    def __iter__(self):
        return iter(list(self.names))

    def __len__(self):
        return len(self.names)


benchmark_tasks = _Tasks()


def _folder(path):
    """DATA/rollouts/NAME/STAMP, where STAMP may be a date or another beginning of one, a tag, or left out: the latest."""
    path = pathlib.Path(path)
    if (path / "manifest.json").exists():
        return path
    def stamps(top):
        return sorted(m.parent for m in top.glob("*/manifest.json") if "__" in m.parent.name)
    found = [f for f in stamps(path.parent) if f.name.startswith(path.name)
             or (f / "tags").exists() and path.name in (f / "tags").read_text(encoding="utf-8").split()] or stamps(path)
    if not found:
        raise FileNotFoundError(f"{path}: no rollout there")
    return found[-1]


def load_benchmark(folder):
    """What became of each trial: a list of dicts as in manifest.json, run_dir being where it is now; raises where one is gone."""
    top = _folder(folder)
    results = json.loads((top / "manifest.json").read_text(encoding="utf-8"))["results"]
    for r in (r for r in results if r.get("attempts")):  # run folders have always been there, run_path is newer
        r["run_dir"] = os.path.normpath(top / r.get("run_path", f"../../../runs/{r['run_id']}"))
        os.stat(r["run_dir"])
    benchmark_tasks.names.update({r["task_id"]: None for r in results})
    return results


def get_task_score(results, task, model=None):
    """The mean score of a task, by its id or the name of its folder, of one model or all; None: no trial has one.
    Missing and excluded trials are left out, as everywhere."""
    scores = [r["total_score"] for r in results
              if task in (r["task_id"], os.path.basename(r["task_dir"])) and model in (None, r["model"])
              and r["total_score"] is not None and r["outcome"] not in MISSING and not r.get("excluded")]
    return sum(scores) / len(scores) if scores else None


def _run(*args, data_dir=None, statuses=(0,)):
    built = pathlib.Path(__file__).resolve().parents[2] / "build" / "rollouts"
    program = os.environ.get("ROLLOUTS") or (str(built) if os.access(built, os.X_OK) else shutil.which("rollouts"))
    if not program:
        raise FileNotFoundError("no rollouts program: set ROLLOUTS to it, or put it on PATH")
    done = subprocess.run([program, *args, *(["--data-dir", str(data_dir)] if data_dir else [])],
                          capture_output=True, encoding="utf-8")
    if done.returncode not in statuses:
        raise RuntimeError(done.stderr.strip() or f"rollouts {args[0]} ended with status {done.returncode}")
    return done.stdout


def trials(rollout, data_dir=None):
    """One row per trial, with columns that stay (rollouts export): plain values, None where nothing is known.
    ROLLOUT is what the command line takes: NAME, NAME@STAMP, NAME@TAG, a folder."""
    rows = [json.loads(line) for line in _run("export", str(rollout), "--format", "jsonl", data_dir=data_dir).splitlines()]
    names = {name: None for row in rows for name in row["metrics"]}
    for row in rows:
        metrics = row.pop("metrics")
        row["tags"] = " ".join(row["tags"])
        row.update({f"metric.{name}": metrics.get(name) for name in names})
    return rows


def calls(rollout, data_dir=None):
    """One row per model call of each trial's attempts, as logs/llm.jsonl has it, with run_id, task, model and attempt."""
    rows = []
    for trial in trials(rollout, data_dir):
        for log in sorted(pathlib.Path(trial["run_dir"]).glob("attempts/*/logs/llm.jsonl")):
            for line in log.read_text(encoding="utf-8").splitlines():
                head = {"run_id": trial["run_id"], "task": trial["task"], "model": trial["model"],
                        "attempt": int(log.parts[-3])}
                rows.append({**head, **{k: v if not isinstance(v, (dict, list)) else json.dumps(v)
                                        for k, v in json.loads(line).items() if k not in head}})
    return rows


def compare(candidate, *others, data_dir=None, **options):
    """What `rollouts compare --json` says. Options by their names: margin=0.05, question="these-tasks", all=True."""
    flags = [f"--{k.replace('_', '-')}" + ("" if v is True else f"={v}") for k, v in options.items() if v is not False]
    return json.loads(_run("compare", str(candidate), *map(str, others), *flags, "--json", data_dir=data_dir,
                           statuses=(0, 1, 4)))


def frame(rows):
    """ROWS as a pandas.DataFrame where pandas is there, else as they are."""
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows)
