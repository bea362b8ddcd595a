# SPDX-License-Identifier: GPL-3.0-or-later
"""A prepared task as a Harbor task, which scores the same work the same, and back as it was."""
import json

import pytest

import engines
from conftest import only

RUBRICS = [{"id": "works", "criterion": "greets", "weight": 3}, {"id": "says", "criterion": "is heard", "weight": 1}]
SCRIPTS = [("tests/test_greet.py", "works", "import sys; sys.path.insert(0, 'src')\nfrom greet import greet\n\n\ndef test():\n    assert greet('A') == 'hello A'\n"),
           ("tests/always.sh", "says", "test \"$PWD\" = /app/repo && test -e /app/more.txt && [ \"$WORD\" = hi ]\n"),
           ("tests/never.sh", "says", "exit 1\n")]


@pytest.fixture
def prepared(make_task):
    def make(**more):
        return make_task("greet", tests=SCRIPTS, rubrics=RUBRICS, files={"overlay_files/more.txt": "m\n", ".env": "WORD=hi\n"},
                         meta={"metadata": {"title": "A \"quoted\" title", "tags": ["py"], "difficulty": "easy"}}, **more)

    return make


def tree(top):
    return {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}


@pytest.mark.local("containers of an engine here")
def test_the_same_work_scores_the_same(run_cli, prepared, workdir, rollout):
    run_cli("convert", prepared(), "as-harbor", "--image", engines.BASE, check=0)
    with engines.start_dockerd() as engine:
        engine.load(engines.BASE, engines.make_base)
        env = {"DOCKER_HOST": engine.host, "DOCKER_BUILDKIT": "0"}
        for agent, score in (("oracle", 0.875), ("nop", 0.125)):
            run_cli("run", "--tasks", "as-harbor", "-a", agent, "--network", "deny", env=env, check=0, timeout=300)
            result = only(rollout("as-harbor"))
            log = (workdir / "data/runs" / result["run_id"] / "latest/verifier/test-stdout.txt").read_text()
            assert result["total_score"] == score, (result["reason"], log)
            assert result["harbor"]["rewards"] == {"works": score // 0.5, "says": 0.5, "reward": score}
            assert result["harbor"]["steps"][0]["verifier"] == "separate"
            # As a prepared task, in this machine's sandbox.
            (workdir / "b.toml").write_text(f'[[tasks]]\nprepared_dir = "tasks/greet"\nagent = "{agent}"\n')
            run_cli("run", "b.toml", check=0)
            assert only(rollout("b"))["total_score"] == score


def test_back_it_is_what_it_was(run_cli, prepared, workdir):
    task = prepared()
    done = run_cli("convert", task, "h", "--image", "some/image", check=0)
    assert "lost: " not in done.stdout and "the Harbor task h written" in done.stdout
    run_cli("convert", "h", "again", check=0)
    assert tree(workdir / "again") == tree(task)
    toml = (workdir / "h/task.toml").read_text()
    assert 'difficulty = "easy"' in toml and '"A \\"quoted\\" title"' in toml and 'network_mode = "no-network"' in toml
    (workdir / "h/instruction.md").write_text("Something else.\n")
    done = run_cli("convert", "h", "third", check=2)
    assert "lost: instruction.md was changed since" in done.stdout and done.stderr.count("\n") == 1 and not (workdir / "third").exists()
    run_cli("convert", "h", "third", "--lossy", check=0)
    assert "File exists" in run_cli("convert", "h", "third", "--lossy", check=2).stderr


def test_what_would_be_lost_is_said_first(run_cli, prepared, make_task, workdir):
    assert "--image NAME" in run_cli("convert", prepared(), "h", check=2).stderr
    judged = make_task("judged", rubrics=[*RUBRICS, {"id": "taste", "criterion": "is nice", "weight": 1}],
                       tests=SCRIPTS)
    done = run_cli("convert", judged, "h", "--image", "x", check=2)
    assert "lost: rubric taste has no tests" in done.stdout and "1 thing would be lost, and nothing was written" in done.stderr
    assert not (workdir / "h").exists()
    run_cli("convert", judged, "h", "--image", "x", "--lossy", check=0)
    run_cli("init", "--task", "foreign", "--format", "harbor", check=0)
    done = run_cli("convert", "foreign", "p", check=2)
    assert done.stdout.count("lost: ") >= 2 and "runs here as it is" in done.stderr and not (workdir / "p").exists()
