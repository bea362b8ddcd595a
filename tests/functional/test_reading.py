# SPDX-License-Identifier: GPL-3.0-or-later
"""Results taken elsewhere and followed over time: export, history, power, policies, JUnit, Python."""
import csv
import fcntl
import io
import json
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import xml.etree.ElementTree as ET

import pytest

import stored
from conftest import SOURCE
from stored import trial

DAYS = [f"2025082{day}__12-34-56" for day in range(5)]


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


def both(data, new, old, name="bench", stamp=DAYS[0], **how):
    return stored.write(data, [trial(f"t{i:02}", "new", 0, s) for i, s in enumerate(new)] +
                        [trial(f"t{i:02}", "old", 0, s) for i, s in enumerate(old)], name, stamp, **how)


def hostile(data):
    stored.write(data, [trial("=cmd|'x'", "m\x1b1,\"q\"", 0, 1 / 3, reason="a\nb", tags=["x y", "z"], usd=.1, wall=1234, tokens=5),
                        trial("b", "m2", 0, None, outcome="infra_error", reason="no <disk> & \"more\""),
                        trial("b", "m2", 1, 1), trial("c", "m2", 0, state="planned")], runs=False)


def test_rows_are_exact_and_columns_stay(run_cli, data):
    hostile(data)
    lines = [json.loads(line) for line in run_cli("export", "bench", "--format", "jsonl", check=0).stdout.splitlines()]
    table = list(csv.DictReader(io.StringIO(run_cli("export", "bench", "--format", "csv", check=0).stdout)))
    assert len(lines) == len(table) == 4 and all(list(row) == list(table[0]) for row in lines)
    assert lines[0]["score"] == 1 / 3 == float(table[0]["score"]) and lines[0]["task"] == table[0]["task"] == "=cmd|'x'"
    assert lines[0]["model"] == table[0]["model"] == "m\x1b1,\"q\"" and lines[0]["tags"] == ["x y", "z"]
    assert (lines[1]["score"], table[1]["score"], lines[1]["standing"]) == (None, "", "missing")
    assert [row["outcome"] for row in lines] == ["completed", "infra_error", "completed", "not run"]
    assert lines[0]["time_s"] == 1.234 and lines[0]["cost_usd"] == .1 and lines[0]["run_dir"].endswith(f"data/runs/{stored.STAMP}-0")
    flat = [json.loads(line) for line in run_cli("export", "bench", "--format", "parquet-jsonl", check=0).stdout.splitlines()]
    kinds = {key: {type(row[key]) for row in flat} - {type(None)} for key in flat[0]}
    assert all(len(kind) <= 1 and not kind & {list, dict} for kind in kinds.values()) and kinds["score"] == {float}


def test_export_to_a_file_and_wrong_formats(run_cli, workdir, data):
    hostile(data)
    run_cli("export", "bench", "--format", "csv", "--output", "out.csv", check=0)
    assert (workdir / "out.csv").read_text().count("\n") >= 5
    for flags in ([], ["--format", "xml"]):
        assert "one of csv, jsonl, parquet-jsonl, junit" in run_cli("export", "bench", *flags, check=2).stderr


def test_trials_as_junit(run_cli, data):
    hostile(data)
    root = ET.fromstring(run_cli("export", "bench", "--format", "junit", check=0).stdout)
    suites = {s.get("name"): s for s in root}
    s = suites["m2"]
    assert [s.get(k) for k in ("tests", "failures", "errors", "skipped")] == ["3", "0", "1", "1"]
    assert [c[0].tag if len(c) else None for c in s] == ["error", None, "skipped"]
    failed = next(s for n, s in suites.items() if n != "m2")
    assert failed[0][0].get("message") == f"score {1/3:.15g}" and failed.get("failures") == "1"


def test_history_marks_what_changed(run_cli, data):
    for day, (score, served) in enumerate(((.2, "a"), (.9, "a"), (.4, "b"))):
        stored.write(data, [trial(f"t{i}", "m1", 0, score, served=served) for i in range(8)], stamp=DAYS[day],
                     tags=["base"] if day == 1 else ())
    points = json.loads(run_cli("list", "bench", "--history", "--json", check=0).stdout)
    assert [(p["stamp"], p["mean"], p["changed"]) for p in points] == [
        (DAYS[0], pytest.approx(.2), None), (DAYS[1], pytest.approx(.9), None), (DAYS[2], pytest.approx(.4), "model")]
    shown = run_cli("list", "bench", "--history", check=0).stdout
    assert "m1 ▂█▄" in shown and re.search(r"0.900 \| 0\.\d+–0\.\d+ ", shown)
    assert "--history is of one benchmark" in run_cli("list", "--history", check=2).stderr


def test_a_regression_fails_the_night(run_cli, data):
    for day, score in enumerate((1, 0, 0)):
        stored.write(data, [trial(f"t{i}", "m1", 0, score) for i in range(12)], stamp=DAYS[day], tags=["base"] if not day else ())
    worse = run_cli("list", "bench", "--fail-on-regression=base", check=1)
    assert "is worse than bench@base by 100.0 points" in worse.stderr and "▁" in worse.stdout
    run_cli("list", "bench", "--fail-on-regression", check=0)
    assert "latest rollout itself" in run_cli("list", "bench", f"--fail-on-regression={DAYS[2]}", check=2).stderr
    stored.write(data, [trial(f"t{i}", "m1", 0, None, outcome="infra_error") for i in range(6)] +
                 [trial(f"t{i}", "m1", 0, 1) for i in range(6, 12)], stamp=DAYS[3])
    # What is missing could hide one.
    run_cli("list", "bench", "--fail-on-regression=base", check=4)


@pytest.mark.parametrize("latest", [[trial(f"u{i}", score=0) for i in range(8)], [trial(f"t{i}") for i in range(8)],
                                    [trial("t0", score=0)]], ids=["other tasks", "nothing graded", "one task"])
def test_nothing_to_compare_is_no_pass(run_cli, data, latest):
    stored.write(data, [trial(f"t{i}", score=1) for i in range(8)], stamp=DAYS[0])
    stored.write(data, latest, stamp=DAYS[1])
    assert "not decided" in run_cli("list", "bench", "--fail-on-regression", check=4).stderr


def test_power_from_a_pilot_of_two_models(run_cli, data):
    a, b = [(1, 1, 0, 1), (0, 0, 0, 1), (1, 1, 1, 1), (0, 0, 0, 0), (1, 0, 1, 0)], \
        [(1, 0, 0, 1), (0, 0, 0, 0), (1, 1, 1, 0), (1, 0, 0, 0), (0, 0, 1, 0)]
    stored.write(data, [trial(f"t{i}", m, r, s, usd=.5) for m, side in (("A", a), ("B", b))
                        for i, runs in enumerate(side) for r, s in enumerate(runs)], runs=False)
    out = json.loads(run_cli("power", "bench", "--json", check=0).stdout)
    d = [(sum(x) - sum(y)) / 4 for x, y in zip(a, b)]
    mean = sum(d) / 5
    s2 = sum((x - mean) ** 2 for x in d) / 4
    var = lambda x: sum((v - sum(x) / 4) ** 2 for v in x) / 3
    within = sum(var(x) + var(y) for x, y in zip(a, b)) / 5
    assert out["variance_of_differences"] == pytest.approx(s2) and out["variance_between_rollouts"] == pytest.approx(within)
    assert out["variance_between_tasks"] == pytest.approx(max(0, s2 - within / 4))
    factor = 4 / 1.6487766  # chi2 quantile of .2 with 4 degrees of freedom
    assert out["factor"] == pytest.approx(factor, rel=1e-5)
    needed = {n["rollouts"]: n["tasks"] for n in out["needed"]}
    assert needed[4] == pytest.approx(7.8488797 * factor * s2 / .05 ** 2, rel=1e-5)
    assert needed[1] == pytest.approx(7.8488797 * factor * (max(0, s2 - within / 4) + within) / .05 ** 2, rel=1e-5)
    cell = next(c for c in out["sizes"] if (c["tasks"], c["rollouts"]) == (100, 3))
    assert cell["cost_usd"] == pytest.approx(2 * 100 * 3 * .5) and 0 < cell["mde"] < .5
    shown = run_cli("power", "bench", "--effect", "0.1", check=0).stdout
    assert "For 10 points:" in shown and "K = 4" in shown and "small pilots" in shown


def test_power_with_less_to_go_by(run_cli, data):
    stored.write(data, [trial(f"t{i}", "m1", r, (i + r) % 2) for i in range(6) for r in range(2)], "one", runs=False)
    assert json.loads(run_cli("power", "one", "--json", check=0).stdout)["source"] == "one model"
    both(data, [1, 0, 1, 1], [0, 0, 1, 0], "single", runs=False)
    out = json.loads(run_cli("power", "single", "--json", check=0).stdout)
    assert {s["rollouts"] for s in out["sizes"]} == {1} and out["variance_between_rollouts"] is None
    stored.write(data, [trial("t", "m1", 0, 1)], "tiny", DAYS[1], runs=False)
    assert "a pilot needs two" in run_cli("power", "tiny", check=2).stderr
    assert "five points are 0.05" in run_cli("power", "one", "--effect", "5", check=2).stderr


def test_power_of_a_plan(run_cli, make_bench, make_task):
    out = json.loads(run_cli("power", make_bench(make_task("one")), "--json", check=0).stdout)
    assert out["source"] == "prior" and out["needed"][0]["tasks"] == pytest.approx(7.8488797 * .281 / .0025, rel=1e-5)


POLICY = """
[[benchmarks]]
candidate = "core"
baseline = "core@base"
margin = 0.05
[[benchmarks]]
candidate = "extra"
baseline = "extra@base"
margin = 0.1
weight = "advise"
"""


def sided(data, name, day, model, scores):
    stored.write(data, [trial(f"t{i:03}", model, 0, s) for i, s in enumerate(scores)], name, DAYS[day], runs=False,
                 tags=["base"] if model == "old" else ())


def test_a_policy_over_several_benchmarks(run_cli, workdir, data):
    scores = [i % 2 for i in range(200)]
    for day, (name, new, old) in enumerate((("core", scores, scores), ("extra", [0] * 30, [1] * 30))):
        sided(data, name, day, "old", old)
        sided(data, name, day + 2, "new", new)
    (workdir / "p.toml").write_text(POLICY)
    out = json.loads(run_cli("compare", "--policy", "p.toml", "--json", check=0).stdout)
    assert [(b["candidate"], b["weight"], b["gate"]) for b in out["benchmarks"]] == [("core", "must", "pass"), ("extra", "advise", "fail")]
    shown = run_cli("compare", "--policy", "p.toml", "--junit", "out.xml", check=0).stdout
    assert "Policy: pass" in shown and "advises" in shown and "is worse than extra@base by 100.0 points" in shown
    assert [s.get("failures") for s in ET.parse(workdir / "out.xml").getroot()] == ["0", "0"]
    (workdir / "p.toml").write_text(POLICY.replace('weight = "advise"', ""))
    assert "Policy: fail" in run_cli("compare", "--policy", "p.toml", "--markdown", "--junit", "out.xml", check=1).stdout
    assert [s.get("failures") for s in ET.parse(workdir / "out.xml").getroot()] == ["0", "1"]


def test_one_failure_of_many_is_corrected_for_their_number(run_cli, workdir, data):
    # Worse by more than the margin, but only just, among many that are equal.
    sided(data, "b0", 0, "old", [1] * 40)
    sided(data, "b0", 1, "new", [0] * 8 + [1] * 32)
    def policy(n):
        (workdir / "p.toml").write_text("".join(f'[[benchmarks]]\ncandidate = "b{i}"\nbaseline = "b{i}@base"\nmargin = 0.06\n'
                                                for i in range(n)))
        return json.loads(run_cli("compare", "--policy", "p.toml", "--json", check=None).stdout)
    alone = policy(1)
    assert (alone["gate"], alone["benchmarks"][0]["corrected"]) == ("fail", False)
    for i in range(1, 9):
        data_of = [j % 2 for j in range(300)]
        for day, model in enumerate(("old", "new")):
            stored.write(data, [trial(f"t{j}", model, 0, s) for j, s in enumerate(data_of)], f"b{i}", f"202509{i}{day}__12-34-56",
                         runs=False, tags=["base"] if model == "old" else ())
    among = policy(9)
    assert (among["gate"], among["benchmarks"][0]["gate"], among["benchmarks"][0]["corrected"]) == ("inconclusive", "inconclusive", True)


def test_policies_that_are_wrong(run_cli, workdir, data):
    for text, words in (("x = 1", "unknown key \"x\""), ("", "no [[benchmarks]]"),
                        ("[[benchmarks]]\ncandidate = 'a'", "baseline is missing"),
                        ("[[benchmarks]]\nmargin = 5", "p.toml:2:10: margin must be"),
                        ("[[benchmarks]]\nweight = 'x'", "weight must be"), ("[", "p.toml:1:")):
        (workdir / "p.toml").write_text(text)
        assert words in run_cli("compare", "--policy", "p.toml", check=2).stderr
    assert "leave out operands" in run_cli("compare", "a", "--policy", "p.toml", check=2).stderr
    assert "usage: rollouts compare" in run_cli("compare", check=2).stderr


def test_a_comparison_as_junit(run_cli, workdir, data):
    both(data, [0] * 12, [1] * 12)
    run_cli("compare", "bench", "--margin", ".05", "--junit", "out.xml", check=0)
    case = ET.parse(workdir / "out.xml").getroot()[0][0]
    assert case.get("name") == "new against old" and case[0].tag == "failure"
    assert "is worse than old by 100.0 points" in case[0].text and "t00: 0.000, was 1.000" in case[0].text


SNIPPET_COMPARE = """
from rollouts import *
# Load multiple benchmark results
benchmarks = {
    "gpt4_v1": load_benchmark("data/rollouts/model_v1/20250820"),
    "gpt4_v2": load_benchmark("data/rollouts/model_v2/20250821"),
    "claude_v1": load_benchmark("data/rollouts/claude_v1/20250822")
}

# Compare performance
for task_name in benchmark_tasks:
    scores = {}
    for model, results in benchmarks.items():
        scores[model] = get_task_score(results, task_name)

    print(f"Task: {task_name}")
    for model, score in scores.items():
        print(f"  {model}: {score}")
"""

SNIPPET_LOAD = """
from rollouts import *
import json
from pathlib import Path

# Load benchmark results
rollout_dir = Path("data/rollouts/your_benchmark/%s")
manifest = json.loads((rollout_dir / "manifest.json").read_text())

# Analyze results
for result in manifest["results"]:
    run_dir = Path(result["run_dir"])
    if (run_dir / "evaluation_results.json").exists():
        eval_data = json.loads((run_dir / "evaluation_results.json").read_text())
        print(f"Task: {result['task_dir']}")
        print(f"Score: {eval_data.get('total_score', 'N/A')}")
        print("---")
"""


@pytest.fixture
def python(workdir, run_cli):
    def run(text):
        (workdir / "snippet.py").write_text(text)
        program = re.search(r"\S+", os.environ.get("ROLLOUTS_BUILD", "build"))[0]
        env = {**os.environ, "PYTHONPATH": str(SOURCE / "share/python"), "ROLLOUTS": str((SOURCE / program).resolve() / "rollouts"),
               "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "snippet.py"], cwd=workdir, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout
    return run


def manifest_of(run_cli, data, name, stamp):
    """Excluding a run and taking it back has the program write the manifest."""
    run = f"{stamp}-0"
    run_cli("exclude", run, "--reason", "x", check=0)
    run_cli("exclude", run, "--undo", check=0)


def test_the_snippets_of_the_guide_run_with_one_import_line(run_cli, python, data):
    for day, (name, score) in enumerate((("model_v1", .5), ("model_v2", 1), ("claude_v1", 0))):
        stored.write(data, [trial(f"task_{i}", "m", 0, score) for i in (1, 2)], name, DAYS[day])
        manifest_of(run_cli, data, name, DAYS[day])
    assert python(SNIPPET_COMPARE) == "".join(f"Task: task_{i}\n  gpt4_v1: 0.5\n  gpt4_v2: 1.0\n  claude_v1: 0.0\n" for i in (1, 2))


def test_the_loop_over_a_manifest(run_cli, python, data):
    stored.write(data, [trial("a", "m", 0, 1, tests={})], "your_benchmark", DAYS[0])
    manifest_of(run_cli, data, "your_benchmark", DAYS[0])
    run = data / "runs" / f"{DAYS[0]}-0"
    (run / "evaluation_results.json").symlink_to("attempts/1/evaluation_results.json")
    assert python(SNIPPET_LOAD % DAYS[0]) == "Task: tasks/a\nScore: 1\n---\n"


def test_rows_and_comparisons_in_python(run_cli, python, data):
    both(data, [1] * 12, [0] * 12)
    log = data / "runs" / f"{DAYS[0]}-0/attempts/1/logs/llm.jsonl"
    log.write_text('{"status":200,"usage":{"input":3}}\n')
    out = json.loads(python("""
from rollouts import *
import json
rows = trials("bench")
out = compare("bench", margin=0.05, gate=True)
print(json.dumps([len(rows), {type(v).__name__ for r in rows for v in r.values()} <= {"str", "int", "float", "bool", "NoneType"},
                  out["comparisons"][0]["verdict"], calls("bench"), len(frame(rows))]))
"""))
    assert out[:3] == [24, True, "better"] and out[4] == 24
    assert out[3] == [{"run_id": f"{DAYS[0]}-0", "task": "t00", "model": "new", "attempt": 1, "status": 200, "usage": '{"input": 3}'}]


def test_the_module_is_small_and_of_the_standard_library():
    text = (SOURCE / "share/python/rollouts.py").read_text()
    assert len(text.splitlines()) < 120 and math.isfinite(1)
    assert set(re.findall(r"^import (\w+)", text, re.M)) <= {"json", "os", "pathlib", "shutil", "subprocess"}


def test_what_is_shown_is_what_is(run_cli, data):
    stored.write(data, [trial("a", "m1", 0, .99996), trial("b", "m1", 0, 1), trial("c", "m1", 0, .00001), trial("d", "m1", 0, 0)])
    tasks = run_cli("summarize", "bench", check=0).stdout.split("Per task")[1].split("Trials")[0]
    shown = {line.split()[0]: line for line in tasks.splitlines() if " | " in line}
    assert "0.999 | 0.999" in shown["a"] and "1.000 | 1.000" in shown["b"]
    assert "0.001 | 0.001" in shown["c"] and "0.000 | 0.000" in shown["d"]
    table = {r["task"]: r for r in csv.DictReader(io.StringIO(run_cli("summarize", "bench", "--csv", check=0).stdout))}
    assert [float(table[t]["unit"]) for t in "abcd"] == [.99996, 1, .00001, 0]
    assert "score" in run_cli("show", f"{stored.STAMP}-0", check=0).stdout


def test_the_sentence_of_a_gate_is_true(run_cli, data):
    # The interval ends a hair above the margin: rounded to one digit it would touch it.
    new, old = [.5] * 200, [.5] * 200
    for i in range(100):
        new[i], new[i + 100] = .52, .4
    both(data, new, old, runs=False)
    p = json.loads(run_cli("compare", "bench", "--json", check=0).stdout)["comparisons"][0]["difference"]
    margin = f"{-p['low'] - 1e-5:.7f}"
    shown = run_cli("compare", "bench", "--margin", margin, check=0).stdout
    low = float(re.search(r"CI (-[\d.]+) to", shown)[1])
    assert (low < -100 * float(margin)) == (p["low"] < -float(margin))


def test_choosing_what_is_shown(run_cli, data):
    scores = {"never": (0, 0), "luck": (1, 0), "always": (1, 1), "bad": (.25, .25)}
    stored.write(data, [trial(t, "m1", r, s, wall=1000 * (i + 1), tokens=100 - i, usd=.1 * i)
                        for i, (t, runs) in enumerate(scores.items()) for r, s in enumerate(runs)])
    def ids(*flags):
        return run_cli("summarize", "bench", "--ids", *flags, check=0).stdout.split()
    assert ids() == list(scores) and ids("--sort", "name") == sorted(scores)
    assert ids("--sort", "mean") == ["never", "bad", "luck", "always"]
    assert ids("--sort", "time") == ["bad", "always", "luck", "never"] == ids("--sort", "cost")
    assert ids("--sort", "tokens") == list(scores) and ids("--sort", "spread")[0] == "luck"
    assert ids("--tasks", "unsolved") == ["never", "bad"] and ids("--tasks", "flaky") == ["luck"]
    assert ids("--tasks", "solved") == ["always"] and ids("--tasks", "differ") == []
    assert ids("--failed", "--limit", "2") == ["never", "luck"]
    out = json.loads(run_cli("summarize", "bench", "--tasks", "flaky", "--json", check=0).stdout)
    assert [t["task"] for t in out["tasks"]] == ["luck"] and out["planned"] == 8 and len(out["trials"]) == 2
    assert len(run_cli("summarize", "bench", "--failed", "--csv", check=0).stdout.splitlines()) == 6
    assert "always" not in run_cli("summarize", "bench", "--failed", "--markdown", check=0).stdout
    for flags, words in ((["--sort", "x"], "one of name, mean"), (["--tasks", "x"], "one of unsolved"), (["--json"], "exclude each other")):
        assert words in run_cli("summarize", "bench", "--ids", *flags, check=2).stderr


def test_summary_md_says_what_summarize_says(run_cli, make_bench, make_task, rollout, workdir):
    bench = make_bench({"prepared_dir": make_task("one", tests=[("t.sh", "works", "true")]), "rollouts": 2}, agent="nop")
    run_cli("run", bench.name, check=0)
    path = next((workdir / "data/rollouts/bench").iterdir()) / "summary.md"
    assert ": complete\n" in path.read_text()
    def same():
        before = path.read_text()
        return before == run_cli("summarize", "bench", "--markdown", check=0).stdout == path.read_text()
    assert same()
    run_cli("tag", "bench", "mine", check=0)
    assert "(mine)" in path.read_text() and same()
    run_cli("eval", "bench", check=0)
    assert same()
    run_cli("resume", "bench", check=0)
    assert same()


def test_markdown_fits_where_it_goes(run_cli, data):
    stored.write(data, [trial(f"t{i:03}", "m1", r, int(r if i in (7, 93) else i < 60)) for i in range(120) for r in range(2)])
    whole = run_cli("summarize", "bench", "--markdown", check=0).stdout
    assert "| t119 |" in whole and "| run |" not in whole and "left out" not in whole
    assert f"| {stored.STAMP}-0 |" in run_cli("summarize", "bench", "--markdown", "--trials", check=0).stdout
    for room in (len(whole.encode()) - 1, 5000, 2500):
        for flags in ([], ["--trials"]):
            cut = run_cli("summarize", "bench", "--markdown", "--max-bytes", str(room), *flags, check=0).stdout
            assert room - 250 < len(cut.encode()) <= room
            rows = re.findall(r"^\| (t\d+) \|", cut, re.M)
            assert {"t007", "t093"} <= set(rows) and rows == sorted(rows)
            assert f"{120 - len(rows)} row{'s of tasks are' if len(rows) < 119 else ' of tasks is'} left out" in cut
            assert not [t for t in rows if int(t[1:]) < 60 and t != "t007"] or {f"t{i:03}" for i in range(60, 120)} <= set(rows)
    said = run_cli("summarize", "bench", "--markdown", "--max-bytes", "99", check=2).stderr
    shortest = re.search(r"shortest summary takes (\d+)", said)[1]
    brief = run_cli("summarize", "bench", "--markdown", "--max-bytes", shortest, check=0).stdout
    assert "120 rows of tasks" in brief and "other tables" in brief and "Aggregates" in brief
    assert "goes with --markdown" in run_cli("summarize", "bench", "--max-bytes", "999", check=2).stderr


def test_what_bought_no_result_is_in_what_was_spent(run_cli, data):
    top = stored.write(data, [trial("a", "m1", 0, 1, usd=.5, served="m1"), trial("b", "m1", 0, None, outcome="infra_error", usd=.25)])
    planned = json.loads((data / f"runs/{stored.STAMP}-0/attempts/1/trial.json").read_text())["trial"]
    with open(top / "events.jsonl", "a") as f:
        f.write(stored.line(99, "spent", planned, calls=7, tokens=4321, usd=2.0, unpriced_calls=0))
    shown = run_cli("summarize", "bench", check=0).stdout
    said = re.search(r"^Spent in all: 2.00 USD, 4321 tokens in 7 calls; (.*) of it for judges and for attempts that brought no result", shown, re.M)
    counted = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)
    assert counted["spent_usd"] == 2.0
    assert float(said[1]) == pytest.approx(2 - counted["aggregates"][-1]["money_usd"])


def test_each_answer_has_its_version(run_cli, data):
    both(data, [1, 0, 1], [0, 0, 1])
    for words in (["summarize", "bench"], ["compare", "bench"], ["power", "bench"], ["models"]):
        assert json.loads(run_cli(*words, "--json", check=0).stdout)["v"] == 1, words
    for words in (["list"], ["list", "bench", "--history"]):
        assert {row["v"] for row in json.loads(run_cli(*words, "--json", check=0).stdout)} == {1}, words


def test_notes_and_titles_stay_with_a_rollout(run_cli, data):
    top = stored.write(data, [trial(score=1)])
    run_cli("tag", "bench", "base", "--note", "before *the* \x1b[31mprompt", check=0)
    run_cli("tag", "bench", "--title", "Nightly, small", check=0)
    top.parent.rename(data / "rollouts/renamed")
    shown = run_cli("summarize", "renamed", check=0).stdout
    assert "\nNightly, small\n\n- base: before *the* \\x1b[31mprompt\n" in shown
    assert "Nightly, small" in (data / f"rollouts/renamed/{stored.STAMP}/summary.md").read_text()
    said = json.loads(run_cli("summarize", "renamed", "--json", check=0).stdout)
    assert said["title"] == "Nightly, small" and said["notes"] == {"base": "before *the* \x1b[31mprompt"}
    run_cli("tag", "renamed", "base", "--remove", check=0)
    run_cli("tag", "renamed", "--remove", check=0)
    assert "Nightly" not in run_cli("summarize", "renamed", check=0).stdout
    for words in ([], ["--note", "x"], ["t", "--note", "x", "--remove"], ["--title", "x", "--remove"]):
        assert "say a TAG" in run_cli("tag", "renamed", *words, check=2).stderr


def test_show_takes_the_attempt_that_counts(run_cli, data):
    top = stored.write(data, [trial(score=1)])
    run = data / f"runs/{stored.STAMP}-0"
    planned = json.loads((run / "attempts/1/trial.json").read_text())["trial"]
    lost = {**json.loads((run / "attempts/1/result.json").read_text()), "attempt": 2, "outcome": "infra_error",
            "reason": "no disk", "regrade": True, "total_score": None, "evaluated": False, "agent": None}
    (run / "attempts/2").mkdir()
    (run / "attempts/2/trial.json").write_text(json.dumps({"v": 1, "trial": planned, "number": 2, "uid": 0}))
    (run / "attempts/2/result.json").write_text(json.dumps(lost))
    with open(top / "events.jsonl", "a") as f:
        f.write(stored.line(98, "started", planned, attempt=2, regrade=True))
        f.write(stored.line(99, "finished", planned, attempt=2, regrade=True, outcome="infra_error", reason="no disk", result=lost))
    shown = run_cli("show", run.name, check=0).stdout
    assert "attempt   1 of 2\n" in shown and "score     1.000" in shown
    assert "later     attempt 2 (only graded) ended as infra_error: no disk\n" in shown
    assert json.loads(run_cli("show", run.name, "result", check=0).stdout)["attempt"] == 1
    assert "attempt   2 of 2\n" in run_cli("show", run.name, "--attempt", "2", check=0).stdout


def test_results_hold_where_the_folder_was_moved(run_cli, make_bench, make_task, workdir):
    """From a notebook's folder, after a move, and never a quiet nothing where a run folder is gone."""
    bench = make_bench({"prepared_dir": make_task("one", tests=[("t.sh", "works", "true")])}, agent="nop")
    run_cli("run", bench.name, check=0)
    (workdir / "data").rename(workdir / "moved")
    (workdir / "notebooks").mkdir()
    code = ("import os; from rollouts import *\nfor r in load_benchmark('../moved/rollouts/bench'):\n"
            "    print(r['run_path'], os.path.exists(r['run_dir'] + '/evaluation_results.json'))")
    def load():
        return subprocess.run([sys.executable, "-c", code], cwd=workdir / "notebooks", capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": str(SOURCE / "share/python"), "PYTHONDONTWRITEBYTECODE": "1"})
    [run] = (workdir / "moved/runs").iterdir()
    assert load().stdout == f"../../../runs/{run.name} True\n"
    top = next((workdir / "moved/rollouts/bench").iterdir())
    assert (top / json.loads((top / "manifest.json").read_text())["results"][0]["run_path"]).samefile(run)
    run.rename(workdir / "gone")
    assert run.name in load().stderr and load().returncode


@pytest.mark.parametrize("score, never", [(.9996, r"1\.000(?!\d)|100\.0(?!\d)|100 ?%"), (.99999, r"1\.000(?!\d)|100\.0(?!\d)|100 ?%"), (.0004, r"\b0\.000(?!\d)|\b0\.0 ?%")])
def test_what_is_nearly_all_is_not_shown_as_all(run_cli, data, score, never):
    """99.96 %: on no screen and in no file, whatever it is a share of."""
    for stamp in DAYS[:2]:
        stored.write(data, [trial(f"t{i}", model, 0, score) for i in range(8) for model in ("m1", "m2")], stamp=stamp)
    of_run = f"{DAYS[1]}-0"
    for words in (["summarize", "bench"], ["summarize", "bench", "--markdown", "--trials"], ["compare", "bench"], ["compare", "bench", "--markdown"], ["list"],
                  ["list", "bench", "--history"], ["show", of_run], ["summarize", "bench", "--fail-under", "0.0001"], ["summarize", "bench", "--by", "task"]):
        done = run_cli(*words)
        numbers = [line for line in (done.stdout + done.stderr).splitlines() if re.search(never, line)]
        # A difference of nothing is 0.000, and what solves nothing solves 0.0 %.
        assert [line for line in numbers if "points" not in line and "solved" not in line and "pass" not in line] == [], words
    [row, *_] = csv.DictReader(io.StringIO(run_cli("summarize", "bench", "--csv", check=0).stdout))
    assert float(row["unit"]) == score
    assert json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["aggregates"][0]["mean"] == pytest.approx(score, abs=1e-12)


def test_jq_reads_what_is_printed(run_cli, data):
    hostile(data)
    jq = lambda text, program, *flags: subprocess.run(["jq", *flags, "-e", program], input=text, capture_output=True, text=True, check=True).stdout.strip()
    summary = run_cli("summarize", "bench", "--json", check=0).stdout
    assert float(jq(summary, '[.trials[] | .unit | numbers] | add')) == pytest.approx(1 + 1 / 3, abs=1e-15) and jq(summary, ".v") == "1"
    rows = run_cli("export", "bench", "--format", "jsonl", check=0).stdout
    assert jq(rows, "map(select(.score == null)) | length", "-s") == "2" and jq(rows, "map(.model) | unique | length", "-s") == "2"
    assert jq(run_cli("list", "--json", check=0).stdout, ".[0].trials") == "4"


def test_csv_for_programs_and_for_spreadsheets(run_cli, data):
    names = ["@cf/meta/llama", "=1+1", "-x", "plain", 'q"uote, and "more"']
    stored.write(data, [trial(f"t{i}", name, 0, 1) for i, name in enumerate(names)])
    exact = run_cli("summarize", "bench", "--csv", check=0).stdout
    assert [r["model"] for r in csv.DictReader(io.StringIO(exact))] == names
    sheet = run_cli("summarize", "bench", "--csv=excel", check=0).stdout
    assert sheet[0] == "\ufeff"
    shown = [r["model"] for r in csv.DictReader(io.StringIO(sheet[1:]))]
    assert shown == ["'@cf/meta/llama", "'=1+1", "'-x", *names[3:]]
    assert run_cli("list", "--csv=excel", check=0).stdout[0] == "\ufeff"
    stored.write(data, [trial(f"t{i}", name, 0, 1) for i, name in enumerate((" =1+1", "\u00a0+1", "\uff1d1+1", "  @x", "plain =1", "1-2"))], "hidden", DAYS[3])
    shown = [r["model"] for r in csv.DictReader(io.StringIO(run_cli("summarize", "hidden", "--csv=excel", check=0).stdout[1:]))]
    assert [name[0] == "'" for name in shown] == [True] * 4 + [False] * 2
    assert "--csv=excel" in run_cli("summarize", "bench", "--csv=tsv", check=2).stderr


def test_what_is_cut_still_differs(binary, data, workdir):
    """On a narrow terminal: names that begin alike, that end alike, and both."""
    names = {"front": [f"a_very_long_name_of_a_repository__django_{i:03}_with_more_words" for i in range(12)],
             "tail": [f"{i:03}_a_very_long_name_of_a_repository_with_many_more_words_in_it_and_on" for i in range(12)],
             "both": [f"a_very_long_name_of_a_repository_with_many_more_words_in_it_x__{i:03}" for i in range(12)]}
    for day, (name, tasks) in enumerate(names.items()):
        stored.write(data, [trial(t, "m1", 0, 1) for t in tasks], name, DAYS[day], runs=False)
        pid, fd = pty.fork()
        if not pid:
            os.environ.update({"TERM": "xterm", "COLUMNS": "80"})
            os.chdir(workdir)
            os.execv(str(binary), ["rollouts", "summarize", name])
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        shown = b""
        while True:
            try:
                chunk = os.read(fd, 65536)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
        os.waitpid(pid, 0)
        rows = [line.split(" | ")[0].strip() for line in shown.decode().split("Per task")[1].split("\r\n")[3:15]]
        assert len(set(rows)) == 12, rows
        lines = [line for line in shown.decode().split("Trials")[1].split("\r\n")[1:] if " | " in line]
        assert max(map(len, lines)) <= 80 and len({line.split(" | ")[0] for line in lines}) == 13, lines
        assert shown.decode().count(DAYS[day]) == 1 and "…-11" in lines[-1] and " lm " not in lines[0]
