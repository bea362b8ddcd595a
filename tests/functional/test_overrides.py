# SPDX-License-Identifier: GPL-3.0-or-later
"""Task folders and their overrides through the real program: what `validate` says, what a run makes of them."""
import json
import os
import shutil
import stat

import pytest

# Prints every file below /app with its content into the diff: what the agent saw is what we read there.
SPY = """cd /app
find . -path ./repo/.git -prune -o \\( -type f -o -type l \\) -print | LC_ALL=C sort > /tmp/list
while read -r f; do echo "=== $f"; cat "$f"; done < /tmp/list > /tmp/seen
env | LC_ALL=C sort > /tmp/env
git -C repo rev-list --all --count > /tmp/commits
mkdir -p repo/seen && cp /tmp/list /tmp/seen /tmp/env /tmp/commits repo/seen/
pwd > repo/seen/cwd
"""


def seen(workdir, rollout, run=0):
    """{name: text} of the files that the spy wrote, out of the collected patch."""
    row = rollout().manifest["results"][run]
    patch = (workdir / "data" / "runs" / row["run_id"] / "artifacts" / "diff.patch").read_text()
    files, name = {}, None
    for line in patch.splitlines():
        if line.startswith("+++ b/"):
            name = line.removeprefix("+++ b/").removeprefix("seen/")
            files[name] = []
        elif line.startswith("+") and name:
            files[name].append(line[1:])
    return {name: "\n".join(lines) for name, lines in files.items()}


@pytest.fixture
def spy(agent_script):
    return agent_script(SPY, name="spy")


def tree(top):
    """Names, modes, times and contents of everything below TOP."""
    found = {}
    for folder, names, files in os.walk(top):
        for name in [folder] + [os.path.join(folder, n) for n in names + files]:
            info = os.lstat(name)
            content = open(name, "rb").read() if stat.S_ISREG(info.st_mode) else None
            found[name] = (info.st_mode, info.st_mtime_ns, content)
    return found


def read_only(top):
    for folder, _, files in os.walk(top):
        for path in [folder] + [os.path.join(folder, f) for f in files]:
            os.chmod(path, os.stat(path).st_mode & ~0o222)


def test_all_mistakes_in_one_go(run_cli, make_task, make_bench):
    task = make_task(meta={"metadata": {"title": 1}}, overrides={"promt": "x"})
    for word in (task, make_bench(task)):
        done = run_cli("validate", word, check=2)
        said = done.stdout + done.stderr
        assert "tb_meta.json: metadata.title: must be a string" in said
        assert 'overrides.json: unknown key "promt" (did you mean "prompt"?)' in said


@pytest.mark.parametrize("overrides, message", [
    ({"remove_repo_paths": ["../x"]}, 'remove_repo_paths[0]: "../x" leaves the repository'),
    ({"overlay_files": {"../../../../escape.txt": ""}}, '"../../../../escape.txt" leaves /app'),
    ({"overlay_repo_files": {"/etc/cron.d/x": ""}}, '"/etc/cron.d/x" is absolute'),
    ({"inject_files": [{"path": ".git/hooks/pre-commit", "content": ""}]}, "is inside .git"),
    ({"openai": {"api_key": "SECRET"}}, "openai: nothing enforces"),
    ({"rubrics": [{"id": "new", "weight": 1}]}, "add it there or override test_scripts too"),
])
def test_refused_before_anything_is_written(run_cli, workdir, make_task, make_bench, overrides, message):
    bench = make_bench(make_task(overrides=overrides))
    for verb in ("validate", "run"):
        done = run_cli(verb, bench, check=2)
        said = done.stdout + done.stderr
        assert f"overrides.json: " in said and message in said
        assert "SECRET" not in said
    assert not (workdir / "data").exists()
    assert not list(workdir.parent.glob("escape.txt"))


def test_one_line_whatever_a_key_holds(run_cli, make_task):
    done = run_cli("validate", make_task(overrides={"a\n\x1b[2Jb": 1}), check=2)
    assert "\x1b" not in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_every_override_reaches_the_agent(run_cli, workdir, rollout, make_repo, make_task, make_bench, spy):
    repo = make_repo("big", {"pkg/a.txt": "a\n", "pkg/dist/x": "x\n", "pkg/e.log": "log\n", "pkg/keep.log/x": "x\n",
                             "docs/d": "d\n", "top": "t\n"}, {"pkg/a.txt": "later\n"})
    task = make_task(repo=repo, tests=[], overrides={
        "prompt": "Another instruction.",
        "overlay_files": {"hints/one.txt": "a hint\n"},
        "overlay_repo_files": {"pkg/added.sh": "#!/bin/sh\necho hi\n"},
        "inject_files": [{"path": "pkg/AGENTS.md", "content": "be good\n"}],
        "remove_repo_paths": ["pkg/dist/", "pkg/*.log/", ".git/"],
        "repo": {"subdir": "pkg"},
        "environment_variables": {"COLOUR": "green", "NUMBER": 7, "MY_API_KEY": "SECRET-KEY"},
    }, files={".env": "COLOUR=red\nSHAPE='a b'\nOPENAI_API_KEY=SECRET-KEY\n"})
    run_cli("run", make_bench(task, agent=spy, model="m", evaluate=False), check=0)
    files = seen(workdir, rollout)
    assert files["list"].splitlines() == [
        "./LM_INSTRUCTIONS.md", "./hints/one.txt", "./repo/pkg/AGENTS.md", "./repo/pkg/a.txt", "./repo/pkg/added.sh",
        "./repo/pkg/e.log", "./tb_meta.json"]
    assert "=== ./LM_INSTRUCTIONS.md\nAnother instruction.=== ./hints/one.txt\na hint\n" in files["seen"]
    assert "=== ./repo/pkg/AGENTS.md\nbe good\n" in files["seen"]
    assert "=== ./repo/pkg/a.txt\na\n" in files["seen"]
    env = files["env"].splitlines()
    assert {"COLOUR=green", "NUMBER=7", "SHAPE=a b"} <= set(env)
    assert not any("KEY" in line for line in env)
    assert files["commits"] == "1"
    everything = "\n".join(files.values())
    for secret in ("SECRET", "later", repo.head):
        assert secret not in everything


def test_nothing_of_the_gold_reaches_the_agent(run_cli, workdir, rollout, make_task, make_bench, spy):
    task = make_task(files={"overlay_files/evaluation/t.py": "SECRET-T", "overlay_files/trace/s.json": "SECRET-S",
                            "overlay_files/box_bootstrap.sh": "SECRET-B", "overlay_files/.env": "SECRET-E",
                            "overlay_files/copy.sh": 'test "$(wc -l < data/numbers.txt)" = 3\n'})
    meta = json.loads((task / "tb_meta.json").read_text())
    run_cli("run", make_bench(task, agent=spy, model="m", evaluate=False), check=0)
    files = seen(workdir, rollout)
    text = "\n".join(files.values())
    assert "./tb_meta.json" in files["list"]
    for secret in ("SECRET", "test_greet", "rubric", "wc -l", meta["repo"]["end_commit_sha"], "hello ' + name"):
        assert secret not in text, secret


def test_precedence_and_switching_off(run_cli, workdir, rollout, make_task, make_bench, spy):
    task = make_task(tests=[], overrides={"prompt": "own", "environment_variables": {"A": "own", "B": "own"}})
    (workdir / "entry.json").write_text(json.dumps({"environment_variables": {"A": "entry"}}))
    entry = {"prepared_dir": task, "label": "entry", "overrides": workdir / "entry.json"}
    off = {"prepared_dir": task, "label": "off", "overrides": workdir / "entry.json", "apply_overrides": False}
    run_cli("run", make_bench(entry, off, agent=spy, model="m", evaluate=False), check=0)
    first, second = seen(workdir, rollout, 0), seen(workdir, rollout, 1)
    assert {"A=entry", "B=own"} <= set(first["env"].splitlines())
    assert "=== ./LM_INSTRUCTIONS.md\nown" in first["seen"]
    assert "own" not in second["env"] and "entry" not in second["env"]
    assert "=== ./LM_INSTRUCTIONS.md\nFix greet()" in second["seen"]


def test_rubrics_alone_keep_the_tests(run_cli, rollout, make_task, make_bench):
    task = make_task(overrides={"rubrics": [{"id": "works", "weight": 3}, {"id": "kept", "weight": 1}]})
    run_cli("run", make_bench(task, agent="nop"), check=0)
    (result,) = rollout().runs.values()
    assert result["total_score"] == pytest.approx(0.25)


def test_a_read_only_folder_sixteen_times_at_once(account, run_cli, rollout, make_task, make_bench):
    task = make_task(overrides={"overlay_repo_files": {"added": "x\n"}, "remove_repo_paths": ["README.md"]})
    bench = make_bench({"prepared_dir": task, "rollouts": 16}, parallel=16, agent="oracle")
    run_cli("validate", bench, check=0)
    read_only(task)
    before = tree(task)
    run_cli("run", bench, check=0)
    assert tree(task) == before
    assert [r["total_score"] for r in rollout().runs.values()] == [1.0] * 16


def test_an_edit_half_way_changes_nothing(run_cli, workdir, rollout, make_task, make_bench, spy):
    task = make_task(tests=[])
    bench = make_bench({"prepared_dir": task, "rollouts": 2}, agent=spy, model="m", evaluate=False)
    run_cli("run", bench, check=0)
    shutil.rmtree(task)
    stamp = rollout().manifest["created_at"]
    # The snapshot is all that a later verb needs.
    run_cli("eval", "bench", "--rollout", stamp, check=0)
