# SPDX-License-Identifier: GPL-3.0-or-later
"""rollouts compare: stored results with scores chosen by hand, and what is said of them by the real binary."""
import fcntl
import json
import math

import pytest

import stored
from stored import trial

OLD, NEW = "20250824__12-34-56", "20250825__12-34-56"


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


def rows(model, tasks, rollouts=3, **more):
    """TASKS: what each scores in its rollouts, one number for all of them; None: missing."""
    def one(i, r, score):
        score = score[r] if isinstance(score, (list, tuple)) else score
        how = {"outcome": "infra_error", "reason": "no disk"} if score is None else {"score": score}
        return trial(f"t{i:03}", model, r, **how, **more)
    return [one(i, r, score) for i, score in enumerate(tasks) for r in range(rollouts)]


def store(data, trials, **how):
    return stored.write(data, trials, runs=False, **how)


def write(data, new, old, rollouts=3, **how):
    return store(data, rows("new", new, rollouts) + rows("old", old, rollouts), **how)


def said(run_cli, *args, check=0):
    """The JSON of a comparison of two, and what people see."""
    out = json.loads(run_cli("compare", *args, "--json", check=check).stdout)
    return out["comparisons"][0], run_cli("compare", *args, check=check).stdout


def test_every_task_from_three_of_three_to_one_of_three_is_worse(run_cli, data):
    write(data, [(1, 0, 0)] * 10, [1] * 10)
    pair, shown = said(run_cli, "bench", "--margin", "0.05", "--gate", check=1)
    assert (pair["verdict"], pair["gate"]) == ("worse", "fail")
    assert pair["difference"]["mean"] == pytest.approx(-2 / 3)
    assert "new is worse than old by 66.7 points (95 % CI -" in shown
    assert "10 paired tasks, 10 differ; tasks like these)" in shown
    # Regressions with the runs that show them: one that failed and one that did not.
    assert shown.count("-66.7") >= 10 and f"{OLD}-1 " in shown and f"{OLD}-30" in shown


def test_an_improvement_is_reported(run_cli, data):
    write(data, [1] * 10, [(1, 0, 0)] * 10)
    pair, shown = said(run_cli, "bench", "--margin", "0.05", "--gate", check=0)
    assert (pair["verdict"], pair["gate"]) == ("better", "pass")
    assert "new is better than old by 66.7 points" in shown
    # The other one first: the same the other way round.
    pair, shown = said(run_cli, "bench", "old", "new")
    assert pair["verdict"] == "worse" and pair["candidate"] == "old"
    assert said(run_cli, "bench", "--baseline", "new")[0]["candidate"] == "old"


def test_the_numbers(run_cli, data):
    new = [i % 5 / 4 for i in range(25)]
    old = [i % 3 / 4 for i in range(25)]
    write(data, new, old, rollouts=1)
    pair, _ = said(run_cli, "bench")
    d = [a - b for a, b in zip(new, old)]
    n, mean = len(d), sum(d) / len(d)
    variance = sum((x - mean) ** 2 for x in d) / (n - 1)
    got = pair["difference"]
    assert (got["tasks"], got["differing"]) == (n, sum(x != 0 for x in d))
    assert got["mean"] == pytest.approx(mean, abs=1e-12) and got["df"] == pytest.approx(n - 1)
    assert got["se"] == pytest.approx(math.sqrt(variance / n + 0.5 / (n * (n - 1))), abs=1e-12)
    t, power = 2.0638985616280205, 0.8568554572656896  # quantiles of Student's t with 24 degrees of freedom
    assert got["low"] == pytest.approx(mean - t * got["se"], abs=1e-9)
    assert got["high"] == pytest.approx(mean + t * got["se"], abs=1e-9)
    assert got["mde"] == pytest.approx((t + power) * got["se"], abs=1e-6)
    assert pair["tasks_needed"] == pytest.approx(7.8489 * variance / 0.05 ** 2, rel=1e-4)


def test_few_tasks_that_differ_decide_nothing(run_cli, data):
    write(data, [0] * 4 + [1] * 16, [1] * 20)
    pair, shown = said(run_cli, "bench", "--margin", "0.05", "--gate", check=4)
    assert (pair["verdict"], pair["gate"], pair["undecided_because"]) == ("not decided", "inconclusive", "uncertain")
    assert "only 4 tasks differ" in shown and "20 tasks can show " in shown and "would be needed for 5" in shown


def test_with_too_few_tasks_nothing_can_be_shown(run_cli, data):
    """No difference is larger than 100 points."""
    write(data, [1, 0, 0], [0, 1, 0])
    pair, shown = said(run_cli, "bench")
    assert pair["difference"]["mde"] > 1 and "with so few tasks no difference can be shown" in shown and "tasks can show" not in shown
    assert "would be needed for 5" in shown


def test_equal_sides_are_undecided_until_a_margin_calls_them_equivalent(run_cli, data):
    scores = [i % 2 for i in range(120)]
    write(data, scores, scores)
    pair, shown = said(run_cli, "bench")
    assert pair["verdict"] == "not decided" and "120 tasks can show" in shown and pair["flips"] == []
    pair, shown = said(run_cli, "bench", "--margin", "0.05", "--gate")
    assert (pair["verdict"], pair["gate"]) == ("equivalent", "pass")
    # Where five points would have been seen, a larger benchmark is no advice.
    write(data, scores * 5, scores * 5, name="large", stamp=NEW)
    _, large = said(run_cli, "large")
    assert "600 tasks can show 1 point, and less was seen; with --margin" in large and "would be needed" not in large
    assert "are equivalent within 5 points: +0.0" in shown


def test_one_task_says_nothing_of_others(run_cli, data):
    write(data, [0], [1])
    pair, shown = said(run_cli, "bench", "--margin", "0.05", "--gate", check=4)
    assert pair["verdict"] == "not decided" and "one paired task says nothing of others" in shown
    assert pair["difference"]["low"] is None


def test_missing_trials_that_could_change_it(run_cli, data):
    write(data, [None] * 4 + [1] * 5 + [0] * 11, [0] * 20)
    pair, shown = said(run_cli, "bench")
    assert (pair["verdict"], pair["undecided_because"], pair["missing"]) == ("not decided", "missing", 12)
    assert f"12 missing trials could change it; resume: rollouts resume bench --rollout {OLD}" in shown
    assert pair["if_missing_against"]["mean"] == pytest.approx(5 / 20)
    assert pair["if_missing_for"]["mean"] == pytest.approx(9 / 20)


def test_a_verdict_that_missing_trials_cannot_change(run_cli, data):
    write(data, [None] + [1] * 19, [0] * 20)
    pair, _ = said(run_cli, "bench")
    assert pair["verdict"] == "better" and pair["unpaired"] == 1


def test_failures_that_are_lost_do_not_help_a_model(run_cli, data):
    """One that loses what it fails would look better if only scored trials counted."""
    write(data, [None] * 8 + [1] * 12, [0] * 8 + [1] * 4 + [0] * 8)
    assert said(run_cli, "bench", "--missing", "drop")[0]["verdict"] == "better"
    assert said(run_cli, "bench", "--missing", "zero")[0]["difference"]["mean"] == pytest.approx(8 / 20)
    write(data, [None] * 12 + [1] * 18, [1] * 12 + [0] * 8 + [1] * 10, name="lossy", stamp=NEW)
    assert said(run_cli, "lossy", "--missing", "drop")[0]["verdict"] == "better"
    pair, _ = said(run_cli, "lossy")
    assert (pair["verdict"], pair["undecided_because"]) == ("not decided", "missing")


def test_what_runs_still_gets_no_verdict(run_cli, data):
    top = write(data, [1] * 10, [0] * 10)
    with open(top / "events.jsonl") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        pair, shown = said(run_cli, "bench", "--margin", "0.05", "--gate", check=4)
        assert "so far" in shown and "+100.0 points" in shown
        assert (pair["verdict"], pair["gate"]) == ("not decided", "inconclusive")
    assert said(run_cli, "bench")[0]["verdict"] == "better"


def edit_plan(top, change):
    plan = json.loads((top / "plan.json").read_text())
    change(plan)
    trials = ",\n".join(map(json.dumps, plan.pop("trials")))
    (top / "plan.json").write_text(json.dumps(plan)[:-1] + f', "trials":[\n{trials}\n]}}\n')


def test_two_rollouts_and_what_differs_between_them(run_cli, data, workdir):
    store(data, rows("m", [0] * 10), stamp=OLD, tags=["base"])
    top = store(data, rows("m", [1] * 12), stamp=NEW)

    def change(plan):
        plan["program"], plan["config_hash"] = "9.9", "b" * 64
        for planned in plan["trials"]:
            planned["limits"] = {"timeout_ms": 1000}
            if planned["task_id"] == "t003":
                planned["task_hash"] = "1" * 64
    edit_plan(top, change)
    pair, shown = said(run_cli, "bench", "bench@base")
    assert pair["verdict"] == "better" and pair["difference"]["tasks"] == 10 and pair["only_candidate"] == 2
    differs = {d["what"]: d for d in pair["differs"]}
    assert differs["task hash"]["tasks"] == 1 and differs["task hash"]["candidate"] == "1" * 64
    assert differs["timeout_ms"]["candidate"] == "1000" and differs["timeout_ms"]["tasks"] == 10
    lines = shown.splitlines()
    assert lines.index("What differs") < lines.index("Verdict")
    assert "- task hash: 111111111111 against 000000000000 (1 task)" in lines
    assert f"- 2 tasks only in bench@{NEW}: not compared" in lines
    # Named in other ways: folders, the file they came from, the beginning of a stamp.
    for args in ([str(top), f"data/rollouts/bench/{OLD}/"], [f"bench@{NEW}", "bench@20250824"]):
        assert said(run_cli, *args)[0]["difference"] == pair["difference"]
    (workdir / "bench.toml").write_text('[[tasks]]\nprepared_dir = "t"\nagent = "nop"\n')
    assert said(run_cli, "bench.toml", "bench.toml@base")[0]["difference"] == pair["difference"]


def test_models_of_two_rollouts_are_compared_each_with_itself(run_cli, data):
    store(data, rows("a", [0] * 10) + rows("b", [1] * 10), stamp=OLD)
    store(data, rows("a", [1] * 10) + rows("b", [1] * 10) + rows("c", [1] * 10), stamp=NEW)
    out = json.loads(run_cli("compare", "bench", f"bench@{OLD}", "--json", check=0).stdout)
    assert [(p["candidate"], p["verdict"]) for p in out["comparisons"]] == [
        (f"a of bench@{NEW}", "better"), (f"b of bench@{NEW}", "not decided")]
    turned = json.loads(run_cli("compare", "bench", f"bench@{OLD}", "--baseline", NEW, "--json", check=0).stdout)
    assert turned["comparisons"][0]["verdict"] == "worse"


def test_missing_that_count_as_failures_change_tasks(run_cli, data):
    """What decides is what is listed: not a difference of 100 points in which no task differs."""
    write(data, [1] * 10, [None] * 8 + [(1, 1, None)] * 2)
    pair, shown = said(run_cli, "bench", "--missing", "zero")
    assert pair["verdict"] == "better" and "10 paired tasks, 10 differ" in shown
    assert len(pair["flips"]) == 10
    assert "Tasks that changed: 0 worse, 10 better" in shown
    assert sorted(f["baseline"] for f in pair["flips"]) == pytest.approx([0] * 8 + [2 / 3] * 2)
    # The run that is missing shows it: the third of the task.
    assert f"{OLD}-{30 + 8 * 3 + 2}" in shown
    pair, shown = said(run_cli, "bench", "--missing", "drop")
    assert pair["flips"] == [] and "2 paired tasks, 0 differ" in shown


def test_labels_where_there_is_one_model(run_cli, data):
    store(data, rows("m", [1] * 10, label="long") + rows("m", [0] * 10, label="short"))
    pair, shown = said(run_cli, "bench")
    assert (pair["candidate"], pair["baseline"], pair["verdict"]) == ("long", "short", "better")
    assert "Nothing else: the same tasks, limits and sandbox." in shown


def test_many_models_are_corrected_and_ranked(run_cli, data):
    good, fair, poor = [1] * 30, [1] * 10 + [0] * 20, [1] * 2 + [0] * 28
    store(data, rows("poor", poor) + rows("good", good) + rows("fair", fair) + rows("fair2", fair))
    out = json.loads(run_cli("compare", "bench", "--json", check=0).stdout)
    ranks = {s["name"]: (s["rank_best"], s["rank_worst"]) for s in out["sides"]}
    assert ranks["good"] == (1, 1) and ranks["fair"] == ranks["fair2"] and ranks["fair"][0] == 2
    raw = sorted(p["difference"]["p"] for p in out["comparisons"])
    holm, most = [], 0
    for i, p in enumerate(raw):
        most = max(most, min(1, p * (len(raw) - i)))
        holm.append(most)
    assert len(raw) == 6 and sorted(p["p_holm"] for p in out["comparisons"]) == pytest.approx(holm)
    # The tasks that changed are told of each pair.
    shown = run_cli("compare", "bench", check=0).stdout
    assert shown.count("\nTasks that changed, ") == len([p for p in out["comparisons"] if p["flips"]]) > 1
    assert "\nTasks that changed, good against fair: 0 worse, " in shown
    # Each against one: fewer comparisons, and no ranks.
    out = json.loads(run_cli("compare", "bench", "--baseline", "fair", "--json", check=0).stdout)
    assert [p["candidate"] for p in out["comparisons"]] == ["poor", "good", "fair2"]
    assert "rank_best" not in out["sides"][0]


def test_a_difference_that_is_one_of_many_needs_more(run_cli, data):
    six = [1] * 6 + [0] * 24
    trials = rows("a", six, 1) + [t for m in "bcdefgh" for t in rows(m, [0] * 30, 1)]
    store(data, trials)
    out = json.loads(run_cli("compare", "bench", "--json", check=0).stdout)
    assert out["comparisons"][0]["difference"]["p"] < 0.05
    assert out["comparisons"][0]["undecided_because"] == "corrected"
    assert "after Holm's correction for 28 comparisons" in run_cli("compare", "bench").stdout
    assert json.loads(run_cli("compare", "bench", "a", "b", "--json").stdout)["comparisons"][0]["verdict"] == "better"


def test_other_tests_stand_beside_the_verdict(run_cli, data):
    write(data, [1] * 8 + [0] * 2, [0] * 10, rollouts=1)
    for name, p in (("mcnemar", 2 * 0.5 ** 8), ("sign-flip", 2 * 0.5 ** 8), ("t", 0.00020)):
        pair, shown = said(run_cli, "bench", "--test", name)
        assert pair["test"]["p"] == pytest.approx(p, rel=0.05) and "The verdict does not rest on it." in shown
    store(data, rows("new", [0.5] * 8) + rows("old", [0] * 8), name="rubrics", stamp=NEW)
    assert "it needs tasks that are solved or not" in run_cli("compare", "rubrics", "--test", "mcnemar", check=0).stdout


def test_markdown_and_hostile_names(run_cli, data):
    model = "evil\x1b[31m|<b>"
    store(data, rows(model, [1] * 25) + rows("old", [0] * 25))
    for flags in ([], ["--markdown"], ["--json"]):
        assert "\x1b" not in run_cli("compare", "bench", *flags, check=0).stdout
    shown = run_cli("compare", "bench", "--markdown", check=0).stdout
    assert shown.startswith("# ") and "## Verdict" in shown and "<b>" not in shown
    assert "5 more: --flips." in shown and "5 more" not in run_cli("compare", "bench", "--flips").stdout


@pytest.mark.parametrize("args, words", [
    (["bench", "new"], "compared with"),
    (["bench", "new", "od"], 'did you mean "old"'),
    (["bench", "new", "nop"], "share trials"),
    (["bench", "bench"], "named twice"),
    (["bench", "nothing"], "model, label or agent"),
    (["single"], "nothing to compare"),
    (["bench", "--gate"], "--gate needs --margin"),
    (["bench", "--margin", "5"], "five points are 0.05"),
    (["bench", "--margin", "nan"], "five points are 0.05"),
    (["bench", "--missing", "ignore"], "one of bounds, zero, drop"),
    (["bench", "--test", "z"], "one of none, t, sign-flip, mcnemar"),
    (["bench", "--baseline", "x"], "there is: new, old"),
    (["bench", "--json", "--markdown"], "exclude"),
    (["data/rollouts"], "DATA/rollouts/NAME/STAMP"),
    ([], "usage"),
])
def test_mistakes_are_one_line(run_cli, data, args, words):
    write(data, [1, 1], [0, 0])
    store(data, rows("m", [1]), name="single", stamp=NEW)
    done = run_cli("compare", *args, check=2)
    assert done.stderr.count("\n") == 1 and words in done.stderr and not done.stdout
