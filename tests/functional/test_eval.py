# SPDX-License-Identifier: GPL-3.0-or-later
"""Grading through the real program: test scripts, scores, documents, and what a test may not do."""
import hashlib
import json

import pytest

from conftest import rubric

PASS, FAIL = "exit 0\n", "exit 1\n"


def test_each_kind_of_script(grade, account):
    tests = [("test_ok.py", "a", "def test_ok():\n    assert True\n"),
             ("checks/ok.sh", "a", "[ \"$BASH_VERSION\" ] && [ $PWD = /app/repo ]\n"),
             ("checks/own", "a", "#!/usr/bin/env python3\nimport sys\nsys.exit(0)\n"),
             ("checks/made.txt", "a", "three\n", {"command": "grep -q three \"$ROLLOUTS_TEST\""})]
    result, doc, top, _ = grade(tests)
    assert result["outcome"] == "completed", result["reason"]
    assert {p: (t["success"], t["runner"]) for p, t in doc["test_results"].items()} == {
        "test_ok.py": (True, "pytest"), "checks/ok.sh": (True, "bash"), "checks/own": (True, "file"),
        "checks/made.txt": (True, "command")}
    assert (result["tests"], result["tests_passed"], result["total_score"]) == (4, 4, 1)
    log = (top / "logs/eval.log").read_text()
    assert "=== test_ok.py (pytest) ===\n" in log and "1 passed" in log


def test_scores_are_weighted_and_untested_rubrics_stay_out(grade):
    tests = [("a.sh", "half", PASS), ("b.sh", "half", FAIL), ("c.sh", "full", PASS)]
    rubrics = [rubric("half", 0.5), rubric("full", 0.25), rubric("none", 0.25)]
    result, doc, _, _ = grade(tests, rubrics=rubrics)
    assert result["total_score"] == doc["total_score"] == pytest.approx(2 / 3)
    assert result["coverage"] == doc["coverage"] == pytest.approx(0.75)
    assert result["scores"] == {"half": 0.5, "full": 1}
    [step] = result["steps"]
    assert (step["name"], step["tests"], step["tests_passed"]) == ("", 3, 2)
    assert step["grades"] == [
        {"id": "half", "kind": "tests", "weight": 0.5, "value": 0.5, "reason": None},
        {"id": "full", "kind": "tests", "weight": 0.25, "value": 1, "reason": None},
        {"id": "none", "kind": None, "weight": 0.25, "value": None, "reason": "nothing scores it"}]
    shown = doc["evaluation"]["rubrics"]
    assert shown["half"] == {"criterion": "The half rubric", "weight": 0.5, "score": 0.5, "max_score": 1.0,
                             "weighted_score": 0.25, "test_count": 2, "tests_passed": 1}
    assert (shown["none"]["score"], shown["none"]["weighted_score"], shown["none"]["test_count"]) == (None, None, 0)


def test_no_test_no_score(grade):
    result, doc, top, _ = grade([], rubrics=[rubric("a")])
    assert result["outcome"] == "completed"
    assert doc["total_score"] is None and doc["coverage"] == 0
    assert "not scored" in (top / "scoring_results.md").read_text()


def test_the_document_says_everything(grade, account):
    result, doc, top, _ = grade([("a.sh", "a", "echo seen; echo heard >&2; exit 4\n")], work="echo x > new.txt")
    assert list(doc)[:5] == ["v", "total_score", "outcome", "reason", "coverage"]
    assert (doc["task_id"], doc["run_id"], doc["outcome"]) == ("graded", top.name, "completed")
    test = doc["test_results"]["a.sh"]
    assert (test["success"], test["exit_code"], test["reason"]) == (False, 4, "exit status 4")
    assert test["output"] == "STDOUT:\nseen\n\n\nSTDERR:\nheard\n"
    assert test["duration_sec"] >= 0
    assert (doc["diff_lines"], doc["patch_applied"]) == (1, True)
    assert doc["agent_metrics"]["time_taken_seconds"] > 0
    assert doc["agent_metrics"]["money_spent_usd"] is None
    assert doc["standard_metrics"]["tests_total"] == 1
    report = (top / "scoring_results.md").read_text()
    assert "## ❌ Overall Score: **0.0%**" in report and "+x" in report
    for name in ["artifacts/diff.patch", "artifacts/repo_info.json", "logs/eval.log"]:
        assert (top / name).exists(), name


def test_a_test_that_hangs_fails_alone(grade):
    tests = [("a.sh", "a", "sleep 1000 & sleep 1000\n", {"timeout_sec": 1}),
             ("b.sh", "a", "! cat /proc/[0-9]*/comm | grep -qx sleep\n")]
    result, doc, _, _ = grade(tests)
    assert doc["test_results"]["a.sh"]["reason"] == "timed out after 1 s"
    assert doc["test_results"]["a.sh"]["exit_code"] is None
    assert doc["test_results"]["b.sh"]["success"]
    assert (result["outcome"], result["total_score"]) == ("completed", 0.5)


def test_the_benchmarks_eval_timeout_holds(grade):
    result, doc, _, _ = grade([("a.sh", "a", "sleep 1000\n")], eval_timeout_sec=1)
    assert doc["test_results"]["a.sh"]["reason"] == "timed out after 1 s"


def test_pytests_exit_codes(grade):
    tests = [("test_a.py", "a", "def test_a():\n    assert False\n"),
             ("test_b.py", "a", "import broken\n\ndef test_b():\n    pass\n"),
             ("test_c.py", "a", "x = 1\n")]
    result, doc, _, _ = grade(tests, work="echo 'def f(:' > broken.py")
    reasons = [doc["test_results"][p]["reason"] for p in ("test_a.py", "test_b.py", "test_c.py")]
    assert reasons == ["tests failed", "pytest could not collect the tests, or was interrupted",
                       "pytest found no tests"]
    assert (result["outcome"], result["total_score"]) == ("completed", 0)


@pytest.mark.parametrize("test", [
    ("checks/own", "a", "#!/usr/bin/env no-such-tool-at-all\n"),
    ("checks/own", "a", "#!/opt/no/such/interpreter\n"),
    ("checks/own", "a", "x", {"command": "no-such-tool-at-all --check"}),
], ids=["env", "interpreter", "command"])
def test_a_missing_tool_is_no_failed_test(grade, test):
    result, doc, _, _ = grade([test], check=1, retries=2, flags=["--no-preflight"])
    assert result["outcome"] == "infra_error"
    assert (result["attempt"], result["retry"]) == (1, False), "a second attempt would not find it either"
    assert "checks/own" in result["reason"]
    assert result["total_score"] is None and not result["evaluated"]


def test_an_agent_cannot_feign_a_missing_tool(grade):
    """pytest is here, whatever the code under test says: a module that pytest imports says so here."""
    work = "echo 'import sys; print(\"No module named pytest\", file=sys.stderr); sys.exit(1)' > attr.py"
    result, doc, _, _ = grade([("test_a.py", "a", "def test_a():\n    assert True\n")], work=work)
    assert (result["outcome"], result["total_score"]) == ("completed", 0)


def test_tests_are_written_over_whatever_the_agent_left_there(grade, account):
    work = """
        mkdir -p check.sh/in/the/way; touch check.sh/in/the/way/x
        ln -s /tmp elsewhere; echo 'exit 0' > kept.sh; chmod 000 kept.sh
        """
    tests = [("check.sh", "a", "echo real\n"), ("elsewhere/b.sh", "a", "echo real; test ! -L elsewhere\n"),
             ("kept.sh", "a", "echo real; exit 1\n")]
    result, doc, _, _ = grade(tests, work=work)
    assert [t["success"] for t in doc["test_results"].values()] == [True, True, False]
    assert all("real" in t["output"] for t in doc["test_results"].values())


def test_one_test_cannot_change_the_next(grade):
    tests = [("a.sh", "a", "echo 'exit 0' > b.sh; echo 'exit 0' > /app/repo/c.sh; exit 0\n"),
             ("b.sh", "b", FAIL), ("c.sh", "c", FAIL)]
    result, _, _, _ = grade(tests)
    assert result["scores"] == {"a": 1, "b": 0, "c": 0}


def test_custom_metrics_and_details(grade):
    first = """
import json, os
diff = open(os.environ["ROLLOUTS_DIFF"]).read()
def test_it():
    json.dump({"code_complexity": 3.5, "diff_size": len(diff)}, open(os.environ["ROLLOUTS_METRICS"], "w"))
    json.dump({"case one": {"success": True, "message": "<b>fine</b>"}}, open(os.environ["ROLLOUTS_RESULTS"], "w"))
"""
    second = "echo '{\"custom_metrics\": {\"coverage\": 0.8}, \"standard_metrics\": {}}' > $ROLLOUTS_METRICS\n"
    result, doc, top, _ = grade([("test_a.py", "a", first), ("b.sh", "a", second)], work="echo x > new.txt")
    assert result["total_score"] == 1
    assert doc["custom_metrics"] == {"code_complexity": 3.5, "coverage": 0.8,
                                     "diff_size": (top / "artifacts/diff.patch").stat().st_size}
    assert doc["test_results"]["test_a.py"]["details"] == {"case one": {"success": True, "message": "<b>fine</b>"}}
    assert "- ✅ case one: \\<b\\>fine\\</b\\>\n" in (top / "scoring_results.md").read_text()


HOSTILE = [("link", "ln -s /etc/passwd $ROLLOUTS_METRICS"), ("pipe", "mkfifo $ROLLOUTS_METRICS"),
           ("huge", "truncate -s 1G $ROLLOUTS_METRICS"), ("noise", "head -c 9999 /dev/urandom > $ROLLOUTS_METRICS"),
           ("types", "echo '{\"a\": \"x\", \"b\": [1], \"ok\": 1, \"c\": null}' > $ROLLOUTS_METRICS"),
           ("deep", "python3 -c 'print(\"[\" * 500000)' > $ROLLOUTS_METRICS"),
           ("directory", "mkdir $ROLLOUTS_METRICS; rm -rf $(dirname $ROLLOUTS_RESULTS)")]


def test_hostile_files_are_harmless(grade, account):
    result, doc, top, _ = grade([(f"{name}.sh", "a", text + "\n") for name, text in HOSTILE])
    assert (result["outcome"], result["total_score"]) == ("completed", 1)
    assert doc["custom_metrics"] == {"ok": 1}
    problems = {name: doc["test_results"][f"{name}.sh"].get("problems", []) for name, _ in HOSTILE}
    assert problems["huge"] == ["metrics: too large"]
    assert len(problems["types"]) == 3 and len(problems["noise"]) == 1
    assert "root:" not in (top / "evaluation_results.json").read_text()


def test_much_output_is_cut_in_the_document_and_whole_in_the_log(grade):
    noise = "for i in $(seq 100000); do echo \"line $i of this test\"; done; printf '\\033[2Jend'\n"
    _, doc, top, _ = grade([("a.sh", "a", noise)])
    output = doc["test_results"]["a.sh"]["output"]
    assert len(output) < 11000
    assert "line 1 of" in output and "line 100000 of" in output and "bytes left out" in output
    assert "\x1b" not in output
    assert "line 50000 of this test" in (top / "logs/eval.log").read_text()


def test_hostile_text_in_the_report(grade):
    work = "printf '</details><script>x</script>\\n````\\n# Owned\\n' > '<img src=x>.md'"
    test = ("a.sh", "a", "echo '```'; echo '<script>y</script>'; exit 1\n")
    _, _, top, _ = grade([test], work=work, rubrics=[{**rubric("a"), "criterion": "a | b <i>c</i>\n# no"}])
    fence, outside = None, []
    for line in (top / "scoring_results.md").read_text().splitlines():
        if fence is None and line.startswith("```"):
            fence = line[:len(line) - len(line.lstrip("`"))]
        elif fence is not None and line == fence:
            fence = None
        elif fence is None:
            outside.append(line)
    assert fence is None
    assert not [line for line in outside if "<script" in line or "<img" in line and "\\<img" not in line]
    assert "# Owned" not in outside and "# no" not in outside


def test_a_diff_that_does_not_apply_is_a_recorded_outcome(run_cli, workdir, grade):
    """Made by hand: a diff of ours always applies to the start it was made from."""
    _, _, top, _ = grade([("a.sh", "a", PASS)], work="echo x > new.txt")
    attempt = (top / "result.json").resolve().parent
    patch = b"diff --git a/gone b/gone\n--- a/gone\n+++ b/gone\n@@ -1 +1 @@\n-a\n+b\n"
    record = json.loads((attempt / "agent.json").read_text())
    record.update(digest=hashlib.sha256(patch).hexdigest(), diff_bytes=len(patch))
    (attempt / "agent.json").write_text(json.dumps(record))
    (attempt / "artifacts/diff.patch").write_bytes(patch)
    run_cli("eval", "bench", "--latest", check=0)
    doc = json.loads((top / "evaluation_results.json").read_text())
    assert doc["patch_applied"] is False and "gone" in doc["patch_reason"]
    assert doc["total_score"] == 0
    assert {t["reason"] for t in doc["test_results"].values()} == {"not run: the diff does not apply"}


def test_grading_sees_the_tasks_variables_only(grade):
    check = "test \"$FROM_TASK\" = 1 && test -z \"$FROM_BENCH\" && test -z \"$MODEL\"\n"
    result, _, _, _ = grade([("a.sh", "a", check)], environment_variables={"FROM_BENCH": "1"},
                            task={"overrides": {"environment_variables": {"FROM_TASK": "1"}}})
    assert result["total_score"] == 1


def test_without_evaluation_nothing_is_scored(grade):
    result, doc, _, _ = grade([("a.sh", "a", PASS)], evaluate=False)
    assert (result["outcome"], result["evaluated"], result["total_score"]) == ("completed", False, None)


def test_the_time_of_all_tests_together(grade):
    """What it leaves no time for is not run, and has failed."""
    result, doc, _, took = grade([("a.sh", "a", "exit 0\n"), ("b.sh", "a", "sleep 1000\n"), ("c.sh", "b", "exit 0\n")],
                                 eval_total_timeout_sec=2)
    assert [doc["test_results"][name]["success"] for name in ("a.sh", "b.sh", "c.sh")] == [True, False, False]
    assert doc["test_results"]["b.sh"]["reason"] == "timed out: the tests may take 2 s together"
    assert doc["test_results"]["c.sh"]["reason"].startswith("not run: the time of all tests together (2 s)")
    assert result["total_score"] == 0.25


def test_what_is_not_scored_bounds_the_total(grade):
    scored, doc, _, _ = grade([("a.sh", "a", PASS)], rubrics=[rubric("a"), rubric("b")])
    assert (scored["total_score"], scored["coverage"], scored["score_bounds"]) == (1.0, 0.5, [0.5, 1.0])
    assert doc["score_bounds"] == [0.5, 1.0]


def test_strict_scoring(grade):
    strict, _, _, _ = grade([("a.sh", "a", PASS)], rubrics=[rubric("a"), rubric("b")], scoring="strict")
    assert (strict["total_score"], strict["coverage"], strict["score_bounds"]) == (0.5, 0.5, [0.5, 1.0])
