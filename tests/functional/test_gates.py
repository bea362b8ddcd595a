# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates without a baseline: --fail-under, --each-task, --confident, and the badge."""
import json
import xml.etree.ElementTree as ET

import pytest

import stored
from stored import trial


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


def of(data, *trials):
    stored.write(data, trials, runs=False)


@pytest.mark.parametrize("scores, under, status, says", [
    ((1, .6), "0.8", 0, "pass: m1: mean 0.800, at least 0.8"),
    ((1, .5999), "0.8", 1, "fail: m1: mean 0.7999 is under 0.8"),
    ((1, .7999999), "0.9", 1, "fail: m1: mean 0.8999999 is under 0.9"),
    ((1, 1), "1", 0, "mean 1.000, at least 1"),
    ((1, .9999), "1", 1, "mean 0.99995 is under 1"),
    ((.1, .2, .3), "0.2", 0, "mean 0.200, at least 0.2"),
    ((0, 0), "0", 0, "pass"),
    ((1, None), ".5", 4, "inconclusive: m1: mean 1.000, at least .5; 1 of 2 trials has no score: rollouts resume"),
    # Whatever is missing, that mean is not reached any more.
    ((0, 0, 0, None), ".5", 1, "fail: m1: mean 0.000 is under .5; 1 of 4 trials has no score"),
    ((None, None), "0", 4, "inconclusive: m1: no score"),
])
def test_the_mean_is_compared_unrounded(run_cli, data, scores, under, status, says):
    of(data, *(trial(f"t{i}", score=s, outcome="infra_error" if s is None else "completed") for i, s in enumerate(scores)))
    done = run_cli("summarize", "bench", "--fail-under", under, check=status)
    assert says in done.stderr and "Aggregates" in done.stdout


def test_what_runs_has_not_passed(run_cli, data):
    of(data, trial("a", score=1), trial("b", state="planned"))
    run_cli("summarize", "bench", "--fail-under", "0.1", check=4)


def test_what_nobody_graded_has_not_passed(run_cli, data):
    of(data, trial("a", score=1), trial("b"))
    assert "1 of 2 trials has no score" in run_cli("summarize", "bench", "--fail-under", "0.1", check=4).stderr


def test_parts_of_a_benchmark(run_cli, data):
    of(data, trial("a", score=1, tags=["easy"]), trial("b", score=.4, tags=["hard", "slow"]), trial("c", score=.5, tags=["hard"]),
       trial("a", "m2", score=.2, tags=["easy"]))
    gate = lambda *words, **how: run_cli("summarize", "bench", *(w for one in words for w in ("--fail-under", one)), **how).stderr
    assert gate("tag:hard=0.45", check=0) == "rollouts: pass: m1, tag hard: mean 0.450, at least 0.45\n"
    assert "fail: m1, tag hard: mean 0.450 is under 0.4501" in gate("tag:hard=0.4501", check=1)
    # Each model has to hold it, and one gate that fails is enough.
    assert "fail: m2, tag easy: mean 0.200" in gate("tag:easy=0.5", check=1)
    assert "fail: m2: mean 0.200 is under 0.3" in gate("0.3", "tag:hard=.1", check=1)
    gate("model:m1=0.6", "task:a=0.1", check=0)
    assert 'no trial of bench 20250824__12-34-56 has the tag "hrad"' in gate("tag:hrad=0.5", check=2)


@pytest.mark.parametrize("words", ["80", "-1", "x", "", "nan", "tag:hard=", "tag=0.5", "size:big=0.5", "tag:hard=1.5"])
def test_mistakes(run_cli, data, words):
    of(data, trial("a", score=1, tags=["hard"]))
    done = run_cli("summarize", "bench", f"--fail-under={words}", check=2)
    assert done.stderr.startswith("rollouts: --fail-under: ") and done.stderr.count("\n") == 1 and not done.stdout


def test_a_mean_over_several_settings_is_nobodys(run_cli, data):
    of(data, trial("a", label="short", score=.2), trial("a", label="long", score=1))
    assert run_cli("summarize", "bench", "--fail-under", "0.5", check=1).stderr.splitlines() == [
        "rollouts: fail: m1, short, nop: mean 0.200 is under 0.5", "rollouts: pass: m1, long, nop: mean 1.000, at least 0.5"]


def test_each_task(run_cli, data):
    of(data, *(trial("a", rollout=r, score=s) for r, s in enumerate((1, .2))), *(trial("b", rollout=r, score=1) for r in range(2)))
    run_cli("summarize", "bench", "--each-task", "0.6", check=0)
    done = run_cli("summarize", "bench", "--each-task", "0.61", check=1)
    assert done.stderr == "rollouts: fail: a: mean 0.600 is under 0.61\nrollouts: pass: b: mean 1.000, at least 0.61\n"
    of_missing = [trial("a", rollout=0, score=1), trial("a", rollout=1, outcome="infra_error")]
    stored.write(data, of_missing, stamp="20250825__12-34-56", runs=False)
    run_cli("summarize", "bench", "--each-task", "0.5", check=4)


def test_confident_is_the_lower_end(run_cli, data):
    of(data, *(trial(f"t{i}", score=float(i % 4 != 0)) for i in range(20)))
    low = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["aggregates"][0]["interval"]["low"]
    run_cli("summarize", "bench", "--fail-under", "0.74", check=0)
    assert "mean 0.750, lower end of the interval 0.5" in run_cli("summarize", "bench", "--fail-under", "0.74", "--confident", check=1).stderr
    run_cli("summarize", "bench", "--fail-under", f"{low - 1e-6}", "--confident", check=0)
    assert "goes with" in run_cli("summarize", "bench", "--confident", check=2).stderr


def test_programs_read_what_they_read_without_a_gate(run_cli, data):
    of(data, trial("a", score=.5))
    for form in ("--json", "--csv", "--markdown"):
        assert run_cli("summarize", "bench", form, "--fail-under", "1", check=1).stdout == run_cli("summarize", "bench", form, check=0).stdout


@pytest.mark.parametrize("score, gate, text, colour", [
    (.9996, [], "99.9%", "#1f6aa5"), (.9996, ["--fail-under", ".5"], "99.9%", "#3a7d1c"),
    (.25, ["--fail-under", ".5"], "25.0%", "#b3261e"), (None, ["--fail-under", ".5"], "no score, 1 missing", "#6b6b6b")])
def test_a_badge(run_cli, data, workdir, score, gate, text, colour):
    of(data, trial("a", score=score, outcome="completed" if score is not None else "infra_error"))
    run_cli("summarize", "bench", *gate, "--badge", "badge.svg")
    svg = (workdir / "badge.svg").read_text()
    assert [t.text for t in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")] == ["bench", text] and colour in svg
