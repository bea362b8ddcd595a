# SPDX-License-Identifier: GPL-3.0-or-later
"""What a score means, through the real program: verdicts, partial credit, and the numbers that tests write."""
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
    result, doc, _, _ = grade([("test_mixed.py", "a", MIXED)])
    test = doc["test_results"]["test_mixed.py"]
    assert (test["outcome"], test["success"], test["credit"], test["reason"]) == ("failed", False, 0, "tests failed")
    assert [test[k] for k in ("passed", "failed", "errors", "skipped")] == [1, 1, 1, 1]
    assert {c["name"]: c["outcome"] for c in test["cases"]} == {
        "test_mixed::test_good": "passed", "test_mixed::test_bad": "failed", "test_mixed::test_setup": "error",
        "test_mixed::test_left_out": "skipped"}
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
