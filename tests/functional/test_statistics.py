# SPDX-License-Identifier: GPL-3.0-or-later
"""What the numbers mean, by stored results with scores chosen by hand: clusters, questions, groups, pools, exclusions."""
import fcntl
import json
import math
import re

import pytest

import stored
from stored import trial

OLD, NEW = "20250824__12-34-56", "20250825__12-34-56"


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


def summary(run_cli, *args):
    return json.loads(run_cli("summarize", *args, "--json", check=0).stdout)


def pair(run_cli, *args, check=0):
    return json.loads(run_cli("compare", *args, "--json", check=check).stdout)["comparisons"][0]


def model(out, name="m1"):
    return next(a for a in out["aggregates"] if a["level"] == "model" and a["model"] == name)


def cr2(d, clusters):
    """The mean, its standard error and degrees of freedom, by the closed form for a mean (Bell and McCaffrey)."""
    n, mean = len(d), sum(d) / len(d)
    groups = sorted(set(clusters))
    m = [clusters.count(g) for g in groups]
    s = [sum(x - mean for x, c in zip(d, clusters) if c == g) for g in groups]
    v = sum(si ** 2 / (1 - mi / n) for si, mi in zip(s, m)) / n ** 2
    a = [1 / (n * math.sqrt(1 - mi / n)) for mi in m]
    p = [[a[g] * a[h] * (m[g] * (g == h) - m[g] * m[h] / n) for h in range(len(m))] for g in range(len(m))]
    trace = sum(p[g][g] for g in range(len(m)))
    return mean, math.sqrt(v), trace ** 2 / sum(x * x for row in p for x in row)


def clustered(data, sizes=(7, 5, 4, 3, 3, 2, 2, 1), key="repository"):
    """Two models on tasks of clusters, with differences that clusters share."""
    trials, d, clusters = [], [], []
    for c, size in enumerate(sizes):
        for i in range(size):
            new, old = ((c * 3 + i) % 8) / 8, ((c + i * 2) % 5) / 8
            for name, score in (("new", new), ("old", old)):
                trials.append(trial(f"t{c}{i}", name, 0, score, **{key: f"group{c}"}))
            d.append(new - old)
            clusters.append(c)
    stored.write(data, trials, runs=False)
    return d, clusters


@pytest.mark.parametrize("key", ["repository", "cluster"])
def test_tasks_of_a_cluster_are_one_unit(run_cli, data, key):
    d, clusters = clustered(data, key=key)
    mean, se, df = cr2(d, clusters)
    got = pair(run_cli, "bench")["difference"]
    n, extra = len(d), 1 / 2 / (len(d) * (len(d) - 1))
    assert (got["tasks"], got["units"]) == (n, 8)
    assert got["mean"] == pytest.approx(mean) and got["df"] == pytest.approx(df)
    assert got["se"] == pytest.approx(math.sqrt(se ** 2 + extra), abs=1e-12)
    assert f"{n} paired tasks in 8 clusters" in run_cli("compare", "bench", check=0).stdout
    alone = pair(run_cli, "bench", "--cluster", "none")["difference"]
    assert (alone["units"], alone["df"]) == (n, n - 1)
    shown = run_cli("summarize", "bench", check=0).stdout
    assert f"The {n} tasks are of 8 clusters" in shown


def test_few_repositories_are_no_units_by_themselves(run_cli, data):
    clustered(data, sizes=(9, 8, 7))
    assert pair(run_cli, "bench")["difference"]["units"] == 24
    assert pair(run_cli, "bench", "--cluster", "repository")["difference"]["units"] == 3
    assert "of 3 repositories" in run_cli("summarize", "bench", check=0).stdout
    # But what a task says of itself holds.
    stored.write(data, [trial(f"t{i}", "m1", 0, i % 2, cluster=f"c{i % 3}") for i in range(12)], "said", NEW)
    assert summary(run_cli, "said")["clusters"] == 3


def test_clusters_by_tag_and_keys_that_do_not_exist(run_cli, data):
    stored.write(data, [trial(f"t{i}", "m1", 0, i % 2, tags=["x", f"lang={'abcdefg'[i % 7]}"]) for i in range(21)])
    assert summary(run_cli, "bench", "--cluster", "tag:lang=")["clusters"] == 7
    for flags, words in ((["--cluster", "x"], "--cluster x: one of"), (["--question", "y"], "one of tasks-like-these"),
                         (["--by", "model,z"], "--by z: of model"), (["--by", "model,model"], "names model twice")):
        refused = run_cli("summarize", "bench", *flags, check=2)
        assert words in refused.stderr and refused.stdout == ""


def test_one_cluster_decides_nothing(run_cli, data):
    clustered(data, sizes=(12,), key="cluster")
    p = pair(run_cli, "bench")
    assert p["verdict"] == "not decided" and p["difference"]["low"] is None
    assert "all tasks are of one cluster" in run_cli("compare", "bench", check=0).stdout


def test_these_tasks_are_another_question(run_cli, data):
    rows = [trial(f"t{i}", m, r, s) for m, scores in (("new", (1, 1, 0, 1)), ("old", (1, 0, 0, 1)))
            for i in range(5) for r, s in enumerate(scores)]
    stored.write(data, rows, runs=False)
    # Every task has the same mean: no spread between tasks, but one between rollouts.
    these, like = (pair(run_cli, "bench", "--question", q)["difference"] for q in ("these-tasks", "tasks-like-these"))
    s2 = lambda p: 4 / 3 * p * (1 - p)
    n, k = 5, 4
    laplace = sum((n * k * p + 1) / (n * k + 2) * (1 - (n * k * p + 1) / (n * k + 2)) for p in (.75, .5))
    assert these["mean"] == pytest.approx(.25)
    assert these["se"] ** 2 == pytest.approx((n * (s2(.75) + s2(.5)) + laplace) / (k * n * (n + 1)))
    assert like["se"] != these["se"]
    shown = run_cli("compare", "bench", "--question", "these-tasks", check=0).stdout
    assert "; these tasks)" in shown and "like these" not in shown
    out = summary(run_cli, "bench", "--question", "these-tasks")
    assert out["question"] == "these tasks" and model(out, "new")["interval"]["low"] > .4
    assert "for these tasks, run again" in run_cli("summarize", "bench", "--question", "these-tasks", check=0).stdout


def test_these_tasks_with_one_rollout_stay_open(run_cli, data):
    stored.write(data, [trial(f"t{i}", m, 0, s) for m, s in (("new", 1), ("old", 0)) for i in range(9)], runs=False)
    p = pair(run_cli, "bench", "--question", "these-tasks")
    assert (p["verdict"], p["undecided_because"]) == ("not decided", "single rollout")
    assert "a single rollout" in run_cli("compare", "bench", "--question", "these-tasks", check=0).stdout


def test_groups_by_anything(run_cli, data):
    stored.write(data, [trial("a", "m1", 0, 1, tags=["x", "y", "x"], served="s1"),
                        trial("b", "m1", 0, 0, tags=["y"], served="s2"),
                        trial("c", "m2", 0, .5, served="s1", label="L")])
    def means(by):
        out = summary(run_cli, "bench", "--by", by)
        return {tuple(a[k] for k in by.split(",")): (a["mean"], a["planned"]) for a in out["aggregates"] if a["level"] == "by"}
    assert means("tag") == {("x",): (1, 1), ("y",): (.5, 2), ("(none)",): (.5, 1)}
    assert means("served") == {("s1",): (.75, 2), ("s2",): (0, 1)}
    assert means("model,tag")[("m1", "y")] == (.5, 2)
    assert means("label") == {("(none)",): (.5, 2), ("L",): (.5, 1)}
    assert means("task") == {("a",): (1, 1), ("b",): (0, 1), ("c",): (.5, 1)}
    shown = run_cli("summarize", "bench", "--by", "model,tag", check=0).stdout
    assert re.search(r"m1 +\| y +\| 0.500", shown) and re.search(r"overall +\| all", shown)
    assert means("agent") == {("nop",): (.5, 3)}


def test_solving_once_and_each_time(run_cli, data):
    runs = [(1, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0), (1, 1, 1, 1)]
    stored.write(data, [trial(f"t{i}", "m1", r, s, wall=1000 * (i * 4 + r + 1), usd=.25)
                        for i, scores in enumerate(runs) for r, s in enumerate(scores)])
    m = model(summary(run_cli, "bench"))
    n, cs = 4, [2, 1, 0, 4]
    for k in (1, 2, 3, 4):
        at = sum(1 - math.comb(n - c, k) / math.comb(n, k) for c in cs) / 4
        hat = sum(math.comb(c, k) / math.comb(n, k) for c in cs) / 4
        assert m["pass_at"][str(k)]["mean"] == pytest.approx(at)
        assert m["pass_hat"][str(k)]["mean"] == pytest.approx(hat)
        assert m["pass_at"][str(k)]["interval"]["method"] == "wilson"
    assert (m["solved"], m["tasks_never_solved"], m["tasks_sometimes_solved"], m["tasks_always_solved"]) == (7, 1, 2, 1)
    assert (m["time_median_ms"], m["time_p90_ms"]) == (8500, 14500)
    shown = run_cli("summarize", "bench", check=0).stdout
    assert "1 of 4 tasks solved by nobody, 2 sometimes" in shown and "pass^4" in shown
    assert "██··" in shown and "█···" in shown and "····" in shown


def test_the_strip_shows_what_is_missing(run_cli, data):
    stored.write(data, [trial("a", "m1", 0, .99999), trial("a", "m1", 1, None, outcome="infra_error"), trial("a", "m1", 2, 1e-9),
                        trial("a", "m1", 3, .5), trial("a", "m1", 4, 1)])
    assert "▇?▁▄█" in run_cli("summarize", "bench", check=0).stdout
    assert summary(run_cli, "bench")["tasks"][0]["scores"] == [.99999, None, 1e-9, .5, 1]


def test_outcomes_have_a_denominator(run_cli, data):
    stored.write(data, [trial("a", "m1", 0, 1), trial("b", "m1", 0, 0, outcome="timeout", reason="late"),
                        trial("c", "m1", 0, None, outcome="infra_error"), trial("d", "m1", 0, state="planned")])
    assert model(summary(run_cli, "bench"))["outcomes"] == {"completed": 1, "timeout": 1, "infra_error": 1, "not run": 1}
    shown = run_cli("summarize", "bench", check=0).stdout
    assert re.search(r"completed \| timeout \| infra_error \| not run \| of", shown)


def test_rollouts_read_as_one(run_cli, data):
    changed = "1" * 64
    stored.write(data, [trial("a", "m1", 0, 1), trial("b", "m1", 0, 0)], stamp=OLD, tags=["first"])
    stored.write(data, [trial("a", "m1", 0, 0), trial("b", "m1", 0, 1, hash=changed)], stamp=NEW)
    out = summary(run_cli, f"bench@{OLD},{NEW}")
    assert out == summary(run_cli, "bench", "--all") == summary(run_cli, "bench", "--rollout", f"first,{NEW}")
    assert out["pooled"] == [OLD, NEW] and out["planned"] == 4
    tasks = {t["task"]: (t["mean"], t["planned"]) for t in out["tasks"]}
    assert tasks == {"a": (.5, 2), "b": (1, 1), "b@00000000": (0, 1)}
    shown = run_cli("summarize", "bench", "--all", check=0).stdout
    assert "2 rollouts are read as one" in shown and "1 trial of earlier forms stands apart" in shown
    assert run_cli("summarize", f"bench@{OLD},first", check=2).stderr.count("is named twice") == 1
    # Nothing is written of a pool.
    assert not (data / "rollouts/bench" / NEW / "summary.md").exists()


def test_pools_are_compared(run_cli, data):
    for day, (name, score) in enumerate((("base", 0), ("base", 0), ("cand", 1), ("cand", 1))):
        rows = [trial(f"t{i}", "m1", 0, (score + (i + day) % 2) / 2) for i in range(12)]
        stored.write(data, rows, name, f"2025082{day}__12-34-56", runs=False)
    p = pair(run_cli, "cand", "base", "--all")
    assert p["verdict"] == "better" and p["difference"]["tasks"] == 12
    assert p["difference"]["mean"] == pytest.approx(.5)
    refused = run_cli("compare", "base@20250820__12-34-56,20250821__12-34-56", "base@20250821__12-34-56", check=2)
    assert "named twice" in refused.stderr


def test_excluded_runs_count_as_missing_everywhere(run_cli, data):
    rows = [trial(f"t{i}", m, 0, s) for m, s in (("new", 1), ("old", 0)) for i in range(12)]
    stored.write(data, rows)
    assert pair(run_cli, "bench")["verdict"] == "better"
    run = f"{OLD}-0"
    done = run_cli("exclude", run, f"{OLD}-13", "--reason", "the mirror was down\x1b[31m", check=0)
    assert done.stdout == f"{run} is excluded and counts as missing\n{OLD}-13 is excluded and counts as missing\n"
    out = summary(run_cli, "bench")
    assert (out["missing"], out["missing_by_outcome"]) == (2, {"excluded": 2})
    assert out["excluded"][0]["run"] == run and out["excluded"][0]["by"] and out["excluded"][0]["time"].startswith("20")
    assert model(out, "new")["with_excluded"] == 1 and model(out, "new")["scored"] == 11
    shown = run_cli("summarize", "bench", check=0).stdout
    assert "\x1b" not in shown and "the mirror was down\\x1b[31m" in shown and "2 trials are excluded by hand" in shown
    p = pair(run_cli, "bench")
    assert (p["excluded"], p["missing"], p["with_excluded"]["tasks"], p["difference"]["tasks"]) == (2, 2, 12, 10)
    assert "2 trials are excluded by hand and counted as missing. With them" in run_cli("compare", "bench", check=0).stdout
    manifest = json.loads((data / "rollouts/bench" / OLD / "manifest.json").read_text())
    assert manifest["results"][0]["excluded"].startswith("the mirror") and manifest["results"][1]["excluded"] is None
    assert "excluded by hand" in (data / "rollouts/bench" / OLD / "summary.md").read_text()
    assert "excluded already, by " in run_cli("exclude", run, "--reason", "again", check=2).stderr
    run_cli("exclude", run, f"{OLD}-13", "--undo", check=0)
    assert summary(run_cli, "bench")["missing"] == 0 and pair(run_cli, "bench")["excluded"] == 0
    assert len((data / "rollouts/bench" / OLD / "excluded.jsonl").read_text().splitlines()) == 4


def test_what_cannot_be_excluded(run_cli, data):
    stored.write(data, [trial()])
    for args, words in (([f"{OLD}-0"], "--reason TEXT is needed"), ([f"{OLD}-7", "--reason", "x"], "has a run"),
                        ([f"{OLD}-0", "--undo"], "is not excluded"), ([f"{OLD}-0", "--reason", "  "], "is needed")):
        refused = run_cli("exclude", *args, check=2)
        assert words in refused.stderr and refused.stdout == ""
    assert not (data / "rollouts/bench" / OLD / "excluded.jsonl").exists()
    # A damaged line is no permission to count what somebody excluded.
    (data / "rollouts/bench" / OLD / "excluded.jsonl").write_text("{\n")
    assert "excluded.jsonl:1" in run_cli("summarize", "bench", check=2).stderr


def test_what_differs_is_told_as_it_was_seen(run_cli, data):
    old = [trial(f"t{i}", "m1", 0, 0, served="m1-0801", version="1.0", program="0.1+aa", image="sha256:" + "a" * 64) for i in range(8)]
    new = [trial(f"t{i}", "m1", 0, 1, served="m1-0901", version="1.1", program="0.1+bb", image="sha256:" + "b" * 64) for i in range(8)]
    stored.write(data, old, stamp=OLD)
    stored.write(data, new, stamp=NEW)
    p = pair(run_cli, "bench", f"bench@{OLD}")
    assert {d["what"] for d in p["differs"]} == {"model that answered", "agent's version", "image as run", "build of rollouts"}
    shown = run_cli("compare", "bench", f"bench@{OLD}", check=0).stdout
    assert "model that answered: m1-0901 against m1-0801 (8 tasks)" in shown


def test_a_flip_shows_the_test_that_failed(run_cli, data):
    def tests(ok, output=""):
        return {"tests/a.sh": {"success": True}, "tests/q.py": {"success": ok, "reason": None if ok else "tests failed", "output": output}}
    noise = "STDOUT:\n....\n>   assert quote('a') == 'b'\nE   AssertionError: assert 'x' == 'b'\x1b[31m\nE   more\nFAILED q.py\nSTDERR:\n"
    stored.write(data, [trial(f"t{i}", "new", 0, 0, tests=tests(False, noise)) for i in range(6)] +
                 [trial(f"t{i}", "old", 0, 1, tests=tests(True)) for i in range(6)])
    shown = run_cli("compare", "bench", check=0).stdout
    assert "t0: tests/q.py: tests failed: AssertionError: assert 'x' == 'b'\\x1b[31m" in shown
    assert f"diff -y <(rollouts show {OLD}-0 diff) <(rollouts show {OLD}-6 diff)" in shown
    flip = pair(run_cli, "bench")["flips"][0]
    assert flip["failed_test"]["test"] == "tests/q.py" and flip["failed_test"]["line"].startswith("AssertionError")


def test_cost_per_solved_of_each_side(run_cli, data):
    stored.write(data, [trial(f"t{i}", "new", 0, 1, usd=.5) for i in range(8)] +
                 [trial(f"t{i}", "old", 0, i % 2, usd=.1) for i in range(8)])
    out = json.loads(run_cli("compare", "bench", "--json", check=0).stdout)
    assert [s["usd_per_solved"] for s in out["sides"]] == [pytest.approx(.5), pytest.approx(.2)]
    assert [s["time_per_trial_ms"] for s in out["sides"]] == [1500, 1500] and out["sides"][0]["tokens_per_trial"] is None


def test_what_still_runs_is_told_so_far(run_cli, data):
    top = stored.write(data, [trial("a", "m1", 0, 1), trial("b", "m1", 0, state="planned")])
    with open(top / "events.jsonl", "rb+") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert summary(run_cli, "bench")["so_far"] and "running, so far" in run_cli("summarize", "bench", check=0).stdout
    assert not summary(run_cli, "bench")["so_far"]


def test_intervals_at_the_edge_and_on_little(run_cli, data):
    """A spread of nothing is no certainty: other harnesses print 0.0 +- 0.0 here, at 25 tasks as at 5,000."""
    for day, (n, score) in enumerate(((25, 0), (25, 1), (500, 0))):
        stored.write(data, [trial(f"t{i}", "m1", 0, score) for i in range(n)], f"edge{day}", f"2025090{day}__12-34-56", runs=False)
    wide = [model(summary(run_cli, f"edge{day}"))["interval"] for day in range(3)]
    assert wide[0]["high"] == pytest.approx(.1332, abs=1e-4) == pytest.approx(1 - wide[1]["low"], abs=1e-4)
    assert wide[2]["high"] < .01
    # The same difference on each of a few tasks has no spread at all, and decides nothing.
    for day, n in enumerate((2, 3, 5)):
        stored.write(data, [trial(f"t{i}", m, 0, s) for m, s in (("new", .9), ("old", .5)) for i in range(n)], f"few{day}",
                     f"2025091{day}__12-34-56", runs=False)
        p = pair(run_cli, f"few{day}", "--margin", "0.05")
        assert (p["verdict"], p["gate"]) == ("not decided", "inconclusive")
