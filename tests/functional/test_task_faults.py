# SPDX-License-Identifier: GPL-3.0-or-later
"""What would quietly mean something else: tasks told by validate, refused by run or not passed, names, the latest rollout."""
import re

import pytest

from conftest import git, only

RUBRIC = [{"id": "r", "criterion": "it holds", "weight": 1}]
WRONG = re.compile("matches nothing in the start commit|has no directory sources|leaves no file|overlay file .* in the repository")


@pytest.mark.parametrize("path, content, more, told", [
    ("t.sh", "true\r\nfalse\r\n", {}, "t.sh has Windows line ends"),
    ("t.sh", "echo 1\r\nexit 1\r\n", {"command": "sh t.sh"}, "t.sh has Windows line ends"),
    ("check", "#!/bin/sh\r\nexit 1\n", {}, "check has Windows line ends"),
    ("t.sh", "\ufefffalse\n", {}, "byte order mark"),
    ("t.sh", "", {}, "t.sh holds no command"),
    ("check", "#!/bin/sh\n\n  # later\n\t\n", {}, "check holds no command"),
    ("t.py", "# to be written\n", {}, "t.py holds no command"),
    ("data.txt", "x", {"command": " # nothing"}, "command: does nothing"),
])
def test_scripts_that_say_nothing(run_cli, make_task, make_bench, path, content, more, told):
    task = make_task("t", tests=[(path, "r", content, more)], rubrics=RUBRIC)
    assert told in run_cli("validate", task, check=2).stderr
    assert told in run_cli("run", make_bench(task, sandbox="none"), check=2).stderr


def test_scripts_in_other_shapes_are_right(run_cli, make_task):
    tests = [("t.py", "r", "def test():\r\n    assert 1\r\n"), ("data.csv", "r", "a,b\r\n", {"command": "test -s data.csv"}),
             ("empty.txt", "r", "", {"command": "test ! -s empty.txt"})]
    run_cli("validate", make_task("t", tests=tests, rubrics=[{**RUBRIC[0]}]), check=0)


SKIPPED = "import pytest\n\n\n@pytest.mark.skip\ndef test_a():\n    pass\n"


@pytest.mark.local("has nothing to do with where it runs")
def test_a_pytest_that_passes_nothing_does_not_pass(workdir, run_cli, make_repo, make_task, make_bench, rollout):
    files = {"setup.cfg": "[tool:pytest]\naddopts = -q\n", "leave.py": "import os\nos._exit(0)\n"}
    tests = [("a_test.py", "skipped", SKIPPED), ("b_test.py", "left", "import leave\n\n\ndef test_b():\n    assert 0\n"),
             ("c_test.py", "none", "X = 1\n"), ("d_test.py", "some", SKIPPED + "\n\ndef test_d():\n    pass\n")]
    task = make_task("t", make_repo("repo", files, {"x": ""}), tests=tests, gold=False,
                     rubrics=[{"id": t[1], "criterion": "c", "weight": 1} for t in tests])
    assert "c_test.py holds nothing that pytest takes for a test" in run_cli("validate", task, check=0).stdout
    run_cli("run", make_bench(task), check=0)
    result = only(rollout())
    assert result["total_score"] == 0.25, result
    said = (workdir / "data/runs" / result["run_id"] / "evaluation_results.json").read_text()
    for words in "all were skipped", "before pytest could report", "pytest found no tests":
        assert words in said


@pytest.mark.parametrize("repo, left", [
    ({"overrides": {"remove_repo_paths": ["app/[id]/page.tsx"]}}, "app/i/page.tsx app/x[1].c app/x1.c "),
    ({"overrides": {"remove_repo_paths": ["app/x[1].c", "app/[i]/*"]}}, "app/[id]/page.tsx app/x1.c "),
    ({"meta": {"repo": {"sparse_checkout": ["app/[id]"]}}}, "app/[id]/page.tsx "),
    ({"meta": {"repo": {"sparse_checkout": ["app", "!app/[id]/"]}}}, "app/i/page.tsx app/x1.c app/x[1].c "),
])
def test_a_name_is_no_pattern(run_cli, make_repo, make_task, make_bench, rollout, repo, left):
    """app/[id] is the folder of that name, where there is one."""
    files = dict.fromkeys(["app/[id]/page.tsx", "app/i/page.tsx", "app/x[1].c", "app/x1.c"], "x\n")
    want = "\n".join(sorted(left.split()))
    task = make_task("t", make_repo("repo", files), tests=[("t.sh", "r", f"test \"$(git ls-files | LC_ALL=C sort)\" = '{want}'")],
                     rubrics=RUBRIC, gold=False, **repo)
    run_cli("run", make_bench(task), check=0)
    assert only(rollout())["total_score"] == 1


@pytest.mark.parametrize("keys", [{"overrides": {"remove_repo_paths": ["src/gret.py"]}}, {"overrides": {"remove_repo_paths": ["*.rs"]}},
                                  {"meta": {"repo": {"sparse_checkout": ["src", "!data/*.csv"]}}}, {"meta": {"repo": {"subdir": "sources"}}},
                                  {"meta": {"repo": {"sparse_checkout": ["src"], "subdir": "data"}}},
                                  {"overrides": {"overlay_repo_files": {"src": "x"}}},
                                  {"overrides": {"overlay_repo_files": {"README.md/x": "x"}}}])
def test_what_is_not_there_is_refused(run_cli, workdir, make_task, make_bench, keys):
    """Before anything starts: each trial would end by it."""
    task = make_task("t", **keys)
    bench = make_bench(task)
    for words in ("validate", task), ("validate", bench), ("run", bench):
        said = run_cli(*words, check=2).stderr
        assert "tasks/t: " in said and WRONG.search(said), said
    assert not list(workdir.glob("data/rollouts/*/*"))


def test_paths_of_submodules_are_left_to_the_checkout(run_cli, make_task, make_bench, make_repo, rollout):
    """What is in them is not known before; and a repository without any is looked at."""
    repo, said = make_repo("repo"), {"repo": {"submodules": True}}
    assert "matches nothing" in run_cli("validate", make_task("t", repo, meta=said, overrides={"remove_repo_paths": ["lib/x"]}), check=2).stderr
    git(repo.path, "update-index", "--add", "--cacheinfo", f"160000,{repo.head},lib")
    git(repo.path, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "lib")
    start = git(repo.path, "rev-parse", "HEAD").strip()
    run_cli("validate", make_task("u", repo, start=start, gold=False, meta=said, overrides={"remove_repo_paths": ["lib/x"]}), check=0)


def test_only_prefers_a_name(run_cli, make_task, make_bench, make_repo):
    repo = make_repo("repo")
    tasks = [make_task(name, repo) for name in ("app1", "app[1]", "app2")]
    for only_, count in ("app[1]", 1), ("app[12]", 2), ("app?", 2), ("app*", 3):
        said = run_cli("run", make_bench(*tasks), "--only", only_, "--dry-run", check=0).stdout
        assert len([line for line in said.splitlines() if "app" in line and "nop" in line]) == count, said


def test_folders_at_any_depth(workdir, run_cli, make_task, make_bench, make_repo):
    repo = make_repo("repo")
    for name in "deep/task_a", "deep/x/task_b", "deep/x/y/task_c", "other/task_d":
        make_task(name, repo, meta={"task_id": name.replace("/", "-")})
    said = run_cli("validate", make_bench("tasks/deep/**/task_*"), check=0).stdout
    assert "3 tasks" in said


@pytest.mark.parametrize("cut", [1, 2])
def test_a_gold_diff_that_was_stripped_applies(run_cli, make_repo, make_task, make_bench, rollout, cut):
    """Without its last newline, and without a last line of context that was empty."""
    old, new = ("a\nb\n\n", "a\nc\n\n") if cut == 2 else ("a\nb\n", "a\nc\n")
    repo = make_repo("repo", {"f": old}, {"f": new})
    gold = repo.diff(repo.commits[0], repo.head)
    task = make_task("t", repo, tests=[("t.sh", "r", "grep -q c f")], rubrics=RUBRIC, gold=gold.rstrip())
    run_cli("run", make_bench(task, agent="oracle"), check=0)
    assert only(rollout())["total_score"] == 1


def test_odd_gold_diffs_are_told(run_cli, make_task, make_repo):
    repo = make_repo("repo")
    assert "diff.patch: is empty" in run_cli("validate", make_task("t", repo, gold=b" \n"), check=0).stdout
    crlf = repo.diff(*repo.commits).replace(b"\n", b"\r\n")
    assert "diff.patch: has Windows line ends" in run_cli("validate", make_task("u", repo, gold=crlf), check=0).stdout


def test_the_latest_was_started_last(workdir, run_cli, make_task, make_bench, rollout):
    """Also where the clock was set back since an earlier one began."""
    bench = make_bench(make_task("t"), sandbox="none", evaluate=False)
    run_cli("run", bench, check=0)
    rollout().dir.rename(workdir / "data/rollouts/bench/20991231__23-59-59")
    run_cli("run", bench, check=0)
    assert sorted(path.name for path in (workdir / "data/rollouts/bench").iterdir()) == ["20991231__23-59-59", "21000101__00-00-00"]
    assert "21000101__00-00-00" in run_cli("summarize", "bench", "--latest", check=0).stdout


@pytest.mark.parametrize("manager", ["pyenv", "asdf"])
def test_a_shim_is_refused(workdir, run_cli, make_task, make_bench, agent_script, manager):
    """It would start nothing in a sandbox; what it stands for is taken."""
    shim, real = workdir / f".{manager}/shims/toolx", workdir / f".{manager}/versions/1/bin/toolx"
    for path, text in (shim, f"#!/bin/sh\nexec {manager} exec toolx\n"), (real, "#!/bin/sh\n"):
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o755)
    bench = make_bench(make_task("t"), agent=agent_script("toolx", requires=["toolx"]), model="m")
    path = f"{shim.parent}:/usr/bin:/bin"
    assert f"{manager} which toolx" in run_cli("run", bench, env={"PATH": path}, check=2).stderr
    run_cli("run", bench, env={"PATH": f"{real.parent}:{path}"}, check=0)


CALLED = "python3 -m pytest -q -p no:cacheprovider /tmp/t_called.py"


@pytest.mark.parametrize("body, call, passes", [
    ("import pytest\n@pytest.mark.skip\ndef test_a(): pass\n", CALLED, False),
    ("import pytest\n@pytest.mark.skip\ndef test_a(): pass\n", CALLED.replace("-q ", ""), False),
    ("def helper(): pass\n", CALLED + " || true", False),
    ("import pytest\n@pytest.mark.skip\ndef test_a(): pass\ndef test_b(): pass\n", CALLED, True),
    ("import pytest\n@pytest.mark.skip\ndef test_a(): pass\n", CALLED + "; echo 'def test_c(): pass' > /tmp/t_called.py; " + CALLED, True),
    ("", "echo '3 skipped in the list'; true", True)])
def test_a_script_whose_pytest_passes_nothing(grade, body, call, passes):
    script = f"cat > /tmp/t_called.py <<'X'\n{body}X\n{call}\n"
    result, document, _, _ = grade([("check.sh", "a", script)])
    assert result["total_score"] == passes
    if not passes:
        [test] = document["test_results"].values()
        assert "skipped all, or found none" in str(test)


def test_validate_reads_the_dockerfile_of_a_folder(run_cli, make_task):
    text = ("FROM debian\nRUN <<ONE cat && 3<<'TWO' cat\nCOPY none /\nONE\nCOPY neither /\nTWO\n"
            "RUN echo $((1<<3))\nADD git@github.com:a/b.git#v1 /b\nADD me@host:b.git /c\nCOPY <<A <<B /d/\nCOPY x /\nA\nCOPY y /\nB\n")
    fine = make_task("fine", files={"Dockerfile": text})
    assert "fine: task fine" in run_cli("validate", fine, check=0).stdout
    lacks = make_task("lacks", files={"Dockerfile": text + "COPY missing.txt /\n"})
    said = run_cli("validate", lacks, check=2).stderr
    assert "Dockerfile" in said and "missing.txt" in said
