# SPDX-License-Identifier: GPL-3.0-or-later
"""What a score means, through the real program: verdicts, partial credit, and the numbers that tests write."""
import csv
import json

import pytest

PASS = "exit 0\n"
MIXED = """
import pytest

@pytest.fixture
def broken():
    raise RuntimeError("no server")

def test_good(): pass
def test_bad(): assert 1 == 2, "one is not two"
def test_setup(broken): pass
@pytest.mark.skip(reason="no gpu")
def test_left_out(): pass
"""


def metrics(text):
    return f"cat > $ROLLOUTS_METRICS <<'E'\n{text}\nE\n"


def test_pytests_report_is_read(grade):
    result, doc, top, _ = grade([("test_mixed.py", "a", MIXED)])
    test = doc["test_results"]["test_mixed.py"]
    assert (test["outcome"], test["success"], test["credit"], test["reason"]) == ("failed", False, 0, "tests failed")
    assert [test[k] for k in ("passed", "failed", "errors", "skipped")] == [1, 1, 1, 1]
    assert {c["name"]: c["outcome"] for c in test["cases"]} == {
        "test_mixed::test_good": "passed", "test_mixed::test_bad": "failed", "test_mixed::test_setup": "error",
        "test_mixed::test_left_out": "skipped"}
    assert "- ❌ test_mixed::test_bad (failed): " in (top / "scoring_results.md").read_text().replace("\\", "")
    assert "one is not two" in next(c["message"] for c in test["cases"] if c["outcome"] == "failed")
    assert result["total_score"] == 0


@pytest.mark.parametrize("name, content, outcome, credit", [
    ("test_mixed.py", MIXED, "failed", 0.25),
    ("test_ok.py", "import pytest\n@pytest.mark.skip\ndef test_a(): pass\ndef test_b(): pass\n", "passed", 1),
    ("test_skip.py", "import pytest\n@pytest.mark.skip\ndef test_a(): pass\n", "skipped", 0),
    ("test_setup.py", MIXED.replace("assert 1 == 2", "assert 1 == 1"), "error", 0),
    ("a.sh", "echo '{\"x\": {\"success\": true}, \"y\": {\"success\": false}}' > $ROLLOUTS_RESULTS; exit 1\n", "failed", 0.5),
    ("b.sh", "echo '{\"x\": {\"success\": true}, \"y\": {\"success\": false}}' > $ROLLOUTS_RESULTS\n", "failed", 0.5),
    ("c.sh", metrics('{"score": 0.75}'), "failed", 0.75),
    ("d.sh", metrics('{"score": 7.5}'), "passed", 1),
    ("e.sh", metrics('{"score": NaN}') + "exit 1\n", "failed", 0),
    ("f.sh", metrics('{"score": 1}') + "kill -9 $$\n", "error", 0),
], ids=lambda v: v if isinstance(v, str) and "." in v[:12] else None)
def test_partial_credit_is_declared(grade, name, content, outcome, credit):
    result, doc, _, _ = grade([(name, "a", content, {"partial_credit": True})])
    test = doc["test_results"][name]
    assert (test["outcome"], test["credit"], result["total_score"]) == (outcome, credit, credit)


def test_partial_credit_is_true_or_false(grade, run_cli, make_task):
    folder = make_task("wrong", tests=[("a.sh", "a", PASS, {"partial_credit": "yes"})],
                       rubrics=[{"id": "a", "criterion": "c", "weight": 1}])
    assert "partial_credit: must be true or false" in run_cli("validate", str(folder), check=2).stderr


def test_a_run_that_failed_cannot_be_made_to_end_well(grade):
    """A hook of the agent's turns the exit status into 0; the report still tells."""
    hook = "def pytest_sessionfinish(session): session.exitstatus = 0\n"
    _, doc, _, _ = grade([("t/test_a.py", "a", "def test_a(): assert False\n")], work=f"cat > conftest.py <<'E'\n{hook}E")
    test = doc["test_results"]["t/test_a.py"]
    assert not test["success"] and test["outcome"] != "passed", test["reason"]


def test_metrics_are_read_after_a_clean_end_only(grade):
    one = metrics('{"standard_metrics": {"lines": 4}, "custom_metrics": {"speed": 1.5, "bad": NaN, "worse": Infinity, "huge": 1e999}}')
    result, doc, _, _ = grade([("a.sh", "a", one), ("b.sh", "a", metrics('{"late": 1}') + "sleep 100\n", {"timeout_sec": 1}),
                               ("c.sh", "a", metrics('{"failed": 1}') + "exit 3\n"),
                               ("test_d.py", "a", "import os\ndef test_d():\n    open(os.environ['ROLLOUTS_METRICS'], 'w').write('{\"py\": 2}')\n"
                                                  "    assert False\n")], work="echo x > new")
    assert result["metrics"] == doc["custom_metrics"] == {"speed": 1.5, "lines": 4, "py": 2}
    assert sorted(result["self_reported"]) == ["lines", "py", "speed"]
    assert sorted(doc["test_results"]["a.sh"]["problems"]) == [
        f'metrics: "{name}" is not a finite number' for name in ("bad", "huge", "worse")]
    for name in ("b.sh", "c.sh"):
        assert doc["test_results"][name]["problems"] == ["metrics: not read, since the test did not end well"]


def test_without_code_of_an_agents_nothing_is_self_reported(grade):
    result, _, _, _ = grade([("a.sh", "a", metrics('{"speed": 1.5}'))])
    assert (result["metrics"], result["self_reported"]) == ({"speed": 1.5}, [])


def test_one_metric_of_two_scripts_is_a_mistake_that_names_both(grade):
    tests = [("a.sh", "a", metrics('{"speed": 1, "own": 2}')), ("b.sh", "a", metrics('{"speed": 2}'))]
    result, doc, _, _ = grade(tests, flags=["--no-preflight"])
    line = 'metrics: "speed" is written by a.sh and by b.sh, so it counts for neither: rename one'
    assert doc["metric_conflicts"] == doc["test_results"]["b.sh"]["problems"] == [line]
    assert result["metrics"] == {"own": 2} and result["total_score"] == 1


def test_and_is_found_before_money_is_spent(run_cli, make_task, make_bench):
    folder = make_task("twice", tests=[(f"{n}.sh", "a", metrics('{"speed": 1}')) for n in "ab"],
                       rubrics=[{"id": "a", "criterion": "c", "weight": 1}])
    done = run_cli("run", make_bench({"prepared_dir": folder, "agent": "nop"}).name, check=2)
    assert "a.sh and by b.sh" in done.stderr


def test_metrics_are_columns(run_cli, make_task, make_bench, agent_script, workdir, rollout):
    """Of summarize, CSV and JSON, of scoring_results.md and show; a name that a column has already gets another one."""
    tests = [("a.sh", "a", """echo '{"speed": '$(wc -l < size)', "task": 9}' > $ROLLOUTS_METRICS\n""")]
    folders = [make_task(name, tests=tests, rubrics=[{"id": "a", "criterion": "c", "weight": 1}]) for name in ("one", "two")]
    bench = make_bench(*({"prepared_dir": f, "models": ["acme-1", "acme-2"], "rollouts": 2} for f in folders),
                       agent=agent_script("seq $((${MODEL#acme-} + 1)) > size"))
    run_cli("run", bench.name, check=0)
    name = rollout().manifest["name"]
    rows = list(csv.DictReader(run_cli("summarize", name, "--csv", check=0).stdout.splitlines()))
    assert len(rows) == 8 and rows[0]["task"] == "one" and rows[0]["custom_task"] == "9"
    assert {r["speed"] for r in rows} <= {"2", "3"} and rows[0]["self_reported"] == "speed task"
    assert float(rows[0]["wall_seconds"]) > float(rows[0]["evaluation_seconds"]) > 0
    assert (rows[0]["files_changed"], rows[0]["oom_killed"], rows[0]["tests_passed"]) == ("1", "0", "1")
    found = json.loads(run_cli("summarize", name, "--json", check=0).stdout)
    overall = next(g for g in found["aggregates"] if g["level"] == "overall")
    assert overall["metrics"]["speed"]["trials"] == 8 and overall["metrics"]["speed"]["self_reported"]
    assert found["tasks"][0]["metrics"]["task"]["mean"] == 9 and found["trials"][0]["custom_task"] == 9
    shown = run_cli("summarize", name, check=0).stdout
    assert "Metrics" in shown and "self-reported" in shown
    sides = json.loads(run_cli("compare", name, "acme-2", "acme-1", "--json", check=0).stdout)["comparisons"][0]["metrics"]
    assert [(m["name"], m["candidate"], m["baseline"], m["difference"]["mean"], m["self_reported"]) for m in sides] == [
        ("speed", 3, 2, 1, True), ("task", 9, 9, 0, True)]
    lines = run_cli("compare", name, "acme-2", "acme-1", check=0).stdout.splitlines()
    assert [c.strip() for c in next(line for line in lines if line.startswith("speed")).split("|")][:4] == [
        "speed (self-reported)", "3", "2", "+1"]
    top = workdir / "data/runs" / rows[0]["run"]
    assert "Custom Metrics" in (top / "scoring_results.md").read_text().replace("\\", "")
    assert " speed (self-reported)" in run_cli("show", rows[0]["run"], check=0).stdout
    standard = json.loads((top / "evaluation_results.json").read_text())["standard_metrics"]
    assert standard["wall_seconds"] > 0 and standard["files_changed"] == 1


def test_a_timeout_on_a_busy_machine_is_flagged_and_tried_again_alone(run_cli, make_task, make_bench, workdir, rollout):
    """The test itself makes the machine busy here."""
    busy = "for i in $(seq $((4 * $(nproc)))); do while :; do :; done & done; sleep 100\n"
    folder = make_task("busy", tests=[("a.sh", "a", busy, {"timeout_sec": 2})], rubrics=[{"id": "a", "criterion": "c", "weight": 1}])
    done = run_cli("run", make_bench({"prepared_dir": folder, "agent": "nop", "eval_retries": 1}).name, "--no-preflight", check=0)
    found = rollout()
    run = found.manifest["results"][0]["run_id"]
    first, second = (json.loads((workdir / f"data/runs/{run}/attempts/{n}/result.json").read_text()) for n in (1, 2))
    assert first["evaluation"]["timed_out_under_load"] and first["evaluation"]["cpu_pressure"] > 0.25
    assert second["regrade"] and not (workdir / f"data/runs/{run}/attempts/3").exists()
    assert "1 grading timed out while the machine was busy" in done.stderr + done.stdout
    assert found.manifest["results"][0]["total_score"] == 0


@pytest.mark.parametrize("skips", ["import unittest\n\ndef answer(): raise unittest.SkipTest('later')\n",
                                   "import pytest\n\ndef answer(): pytest.skip('later')\n",
                                   "import pytest\n\ndef answer(): pytest.xfail('later')\n"], ids=["unittest", "pytest", "xfail"])
@pytest.mark.parametrize("case", [
    "import pytest\nfrom work import answer\n\ndef test_answer(): assert answer() == 42\ndef test_other(): pass\n"
    "@pytest.mark.skip(reason='no gpu')\ndef test_gpu(): assert False\n",
    "import unittest\nfrom work import answer\n\nclass Test(unittest.TestCase):\n    def test_answer(self): self.assertEqual(answer(), 42)\n"
    "    def test_other(self): pass\n"], ids=["functions", "TestCase"])
def test_what_is_tested_does_not_choose_its_tests(grade, skips, case):
    """Skips of the test's own are its business; those of the code under test are failures."""
    result, doc, _, _ = grade([("test_a.py", "a", case)], work=f"cat > work.py <<'E'\n{skips}E\n")
    assert (result["total_score"], doc["test_results"]["test_a.py"]["reason"]) == (0, "a test was skipped by the code under test")


def test_what_a_test_leaves_out_itself_is_its_business(grade):
    """Also where the work has tests of its own that are left out."""
    test = ("import unittest\nfrom work import answer\n\nclass Test(unittest.TestCase):\n    def setUp(self):\n"
            "        if self._testMethodName == 'test_gpu': self.skipTest('no gpu')\n    def test_gpu(self): pass\n"
            "    def test_answer(self): self.assertEqual(answer(), 42)\n")
    result, _, _, _ = grade([("test_a.py", "a", test)], work="echo 'def answer(): return 42' > work.py; mkdir -p tests\n"
                            "printf 'import pytest\\n@pytest.mark.skip\\ndef test_mine(): pass\\n' > tests/test_mine.py\n")
    assert result["total_score"] == 1
