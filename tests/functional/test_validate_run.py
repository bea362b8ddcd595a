# SPDX-License-Identifier: GPL-3.0-or-later
"""Graders are graded: `validate --run` and `run --check`."""
import json
import shutil

import pytest

BAD, GOOD = "import sys\nsys.exit(3)\n", "def double_every_single_number(numbers):\n    return [2 * n for n in numbers]\n\n" \
    "def halve_every_single_number(numbers):\n    return [n / 2 for n in numbers]\n\n" \
    "if __name__ == '__main__':\n    print(double_every_single_number([21]))\n"
CAREFUL = "[ \"$(python3 prog.py)\" = '[42]' ]\n"


def findings(doc):
    return sorted(f["kind"] for f in doc["findings"])


@pytest.fixture
def check(run_cli, make_task, make_repo, workdir):
    """check(test, ..., flags=, status=): `validate --run --json` of a task whose prog.py is to be mended; its document."""
    def run(test, *flags, status, name="graded", **keys):
        repo = make_repo(name, {"prog.py": BAD, "tests/old.sh": "exit 1\n"}, {"prog.py": GOOD})
        folder = make_task(name, repo, tests=[("check.sh", "a", test)], rubrics=[{"id": "a", "criterion": "c", "weight": 1}],
                           **keys)
        done = run_cli("validate", "--run", str(folder), "--json", "-j2", *flags, check=status)
        left = [p.name for p in (workdir / "data/runs").iterdir()] if (workdir / "data/runs").exists() else []
        assert left == [] and list((workdir / "data/rollouts").glob("validate/*")) == [], "nothing of it stays"
        doc = json.loads(done.stdout)
        assert doc["findings"] == sum(len(t["findings"]) for t in doc["tasks"])
        return doc["tasks"][0]

    return run


def test_a_good_task_is_fine(check, run_cli, workdir, account):
    doc = check(CAREFUL, status=0)
    assert (doc["oracle"], doc["nop"], doc["findings"]) == ([1, 1, 1], [0, 0, 0], [])
    assert set(doc["probes"]) == {"exit 0", "conftest.py", "sitecustomize.py", "deleted tests", "prints nan", "prints PASSED"}
    assert set(doc["probes"].values()) == {0}
    assert 0 < doc["evaluation_seconds"]["min"] <= doc["evaluation_seconds"]["median"] <= doc["evaluation_seconds"]["max"]
    shown = run_cli("validate", "--run", str(workdir / "tasks/graded"), "--times", "1", "--no-probes", check=0).stdout
    assert ": fine, oracle 1.000 (1 of 1), nop 0.000 (1 of 1)" in shown


@pytest.mark.parametrize("test, kinds", [
    ("python3 prog.py\n", ["cheat", "cheat", "cheat"]),  # anything that ends well is good enough: exit 0, nan, PASSED
    ("python3 prog.py | grep -q 4\n" "exit 0\n", ["nop"]),
    ("exit 1\n", ["oracle"]),
    (CAREFUL + "python3 -c \"import socket; socket.create_connection(('192.0.2.1', 80), 1)\" 2>/dev/null\n[ $? = 1 ] && " + CAREFUL,
     ["network"]),
    ("echo '{\"x\": NaN}' > $ROLLOUTS_METRICS\n" + CAREFUL, []),
], ids=["exit-status", "always", "never", "network", "nan"])
def test_what_tests_do_wrong_is_found(check, test, kinds):
    doc = check(test, "--times", "1", status=1 if kinds else 0)
    assert findings(doc) == kinds, doc


def test_flaky_tests(check):
    """The name of a sandbox ends in the number of its grading: of the solution's 1, 3 and 5, the second fails."""
    doc = check("n=$(hostname); [ $((${n##*.} % 4)) = 1 ] && " + CAREFUL, "--no-probes", status=1)
    assert set(findings(doc)) == {"flaky"}
    assert any("passes" in f["text"] and "2 of 3 times" in f["text"] for f in doc["findings"])


def test_a_solution_that_lies_about_is_found(check):
    doc = check(CAREFUL, "--times", "1", status=1, files={"overlay_repo_files/docs/answer.txt": GOOD})
    assert findings(doc) == ["reachable"] and "docs/answer.txt" in doc["findings"][0]["text"]


def test_patches_that_are_known_to_be_right_or_wrong(check, workdir, run_cli):
    def patch(folder, name, content):
        lines = content.splitlines()
        (workdir / folder).mkdir(exist_ok=True)
        old = BAD.splitlines()
        (workdir / folder / name).write_text(
            "--- a/prog.py\n+++ b/prog.py\n" + f"@@ -1,{len(old)} +1,{len(lines)} @@\n"
            + "".join(f"-{line}\n" for line in old) + "".join(f"+{line}\n" for line in lines))
    patch("right", "other.patch", "print([42])\n")
    patch("right", "spaced.patch", "print('[ 42 ]')\n")  # the test is stricter than the task
    patch("wrong", "half.patch", "print([41])\n")
    patch("wrong", "constant.patch", "print([42])\n")
    flags = ["--times", "1", "--no-probes", "--correct", "right", "--defective", "wrong"]
    doc = check(CAREFUL, *flags, status=1)
    assert doc["correct"] == {"other.patch": 1, "spaced.patch": 0}
    assert doc["defective"] == {"half.patch": 0, "constant.patch": 1}
    assert findings(doc) == ["correct", "defective"]
    shutil.rmtree(workdir / "right")
    done = run_cli("validate", "--run", str(workdir / "tasks/graded"), *flags, check=2)
    assert "--correct right holds no *.patch" in done.stderr


def test_options_without_run_are_refused(run_cli, make_task):
    assert "--times: only with --run" in run_cli("validate", str(make_task("t")), "--times", "2", check=2).stderr


def test_check_before_a_run_leaves_out_what_fails(run_cli, make_task, make_bench, rollout, check):
    good = make_task("good")
    bad = make_task("bad", tests=[("a.sh", "works", "exit 0\n"), ("b.sh", "kept", "exit 0\n")])
    bench = make_bench({"prepared_dir": good, "agent": "oracle"}, {"prepared_dir": bad, "agent": "oracle"})
    done = run_cli("run", bench.name, "--check", check=1)
    assert [r["task_id"] for r in rollout().manifest["results"]] == ["good"]
    assert "it passes before any work is done" in done.stdout
    assert rollout().manifest["results"][0]["total_score"] == 1
