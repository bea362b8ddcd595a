# SPDX-License-Identifier: GPL-3.0-or-later
"""eval --predictions: patches that were made elsewhere, graded as trials of the agent import."""
import json

import pytest


WRONG = "diff --git a/src/greet.py b/src/greet.py\n--- a/src/greet.py\n+++ b/src/greet.py\n@@ -1,2 +1,2 @@\n def greet(name):\n-    return 'hello ' + nmae\n+    return 'bye ' + name"
BROKEN = WRONG.replace("def greet(name)", "def other(name)")


@pytest.fixture
def bench(make_task, make_bench, make_repo):
    """Two tasks with the repository they share; the patch that solves either."""
    repo = make_repo("shared")
    make_bench(make_task("one", repo=repo), make_task("two", repo=repo), model="unused", agent="nop")
    return repo.diff(repo.commits[0], repo.head)


def pred(task, patch, model="org/m-1"):
    return {"instance_id": task, "model_name_or_path": model, "model_patch": patch if patch is None or isinstance(patch, str) else patch.decode()}


def scores(rollout):
    return {(r["task_id"], r["model"], r["rollout"]): (r["total_score"], r["outcome"], r["agent"]) for r in rollout.manifest["results"]}


def test_patches_from_elsewhere(run_cli, bench, workdir, rollout):
    rows = [pred("one", bench), pred("two", WRONG), pred("one", bench, "m2"), pred("two", "", "m2"), pred("two", bench, "m2"),
            pred("one", BROKEN, "m3"), pred("two", None), pred("elsewhere", bench)]
    (workdir / "preds.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    done = run_cli("eval", "bench.toml", "--predictions", "preds.jsonl", "-j2", check=0)
    assert 'no task of this benchmark is "elsewhere"' in done.stdout and "without a patch (null), left out: 1" in done.stdout
    assert scores(rollout()) == {("one", "org/m-1", 0): (1.0, "completed", "import"), ("two", "org/m-1", 0): (.4, "completed", "import"),
                                 ("one", "m2", 0): (1.0, "completed", "import"), ("two", "m2", 0): (.4, "completed", "import"),
                                 ("two", "m2", 1): (1.0, "completed", "import"), ("one", "m3", 0): (0.0, "completed", "import")}
    run = next(r for r in rollout().manifest["results"] if r["model"] == "m3")
    assert "does not apply" in (workdir / "data/runs" / run["run_id"] / "logs/eval.log").read_text()
    # A rollout as any other: it is summarized, compared, graded again, and carried on as predictions.
    assert "| 1.000 |" in run_cli("summarize", "bench", check=0).stdout
    run_cli("eval", "bench", check=0)
    assert "up to date" in run_cli("resume", "bench").stdout or run_cli("resume", "bench").returncode == 0
    run_cli("export", "bench", "--format", "predictions", "--pick", "first", "--output", "again", check=0)
    again = {p["instance_id"]: p["model_patch"] for p in map(json.loads, (workdir / "again/org__m-1.jsonl").read_text().splitlines())}
    assert again == {"one": bench.decode(), "two": WRONG + "\n"}


@pytest.mark.parametrize("form", ["list", "object", "one"])
def test_forms_of_the_file(run_cli, bench, workdir, rollout, form):
    rows = [pred("one", bench), pred("two", bench)]
    text = {"list": json.dumps(rows, indent=1), "object": json.dumps({r["instance_id"]: {k: v for k, v in r.items() if k != "instance_id"} for r in rows}),
            "one": json.dumps(rows[0])}[form]
    (workdir / "preds.json").write_text(text)
    done = run_cli("eval", "bench", "--predictions", "preds.json", "--no-preflight", check=0)
    assert [s[0] for s in scores(rollout()).values()] == [1.0] * (1 if form == "one" else 2)
    assert ("tasks that no prediction is of, in no mean: 1 of 2 (two)" in done.stdout) == (form == "one")


def test_mistakes(run_cli, bench, workdir):
    (workdir / "p.jsonl").write_text('{"instance_id": "one"}\n{"instance_id": "two", "model_name_or_path": "m", "model_patch": 5}\nnot json\n')
    done = run_cli("eval", "bench.toml", "--predictions", "p.jsonl", check=2)
    assert [line[:len("p.jsonl:1:")] for line in done.stderr.splitlines()] == ["p.jsonl:1:", "p.jsonl:2:", "p.jsonl:3:"] and not (workdir / "data/rollouts").exists()
    (workdir / "p.jsonl").write_text(json.dumps(pred("nowhere", bench)))
    assert "no prediction is of a task" in run_cli("eval", "bench.toml", "--predictions", "p.jsonl", check=2).stderr
    (workdir / "p.jsonl").write_text("\n")
    assert "holds no prediction" in run_cli("eval", "bench.toml", "--predictions", "p.jsonl", check=2).stderr
    assert "no such file" in run_cli("eval", "bench.toml", "--predictions", "none.jsonl", check=2).stderr.lower()
    assert "a rollout of its own" in run_cli("eval", "bench.toml", "--predictions", "p.jsonl", "--latest", check=2).stderr
