# SPDX-License-Identifier: GPL-3.0-or-later
"""A data folder that was carried: by cp, by a CI job, by an artifact store, to another user. It grades and goes on, or one line says why
not."""
import json
import os
import shutil

import pytest
from conftest import give_to, put, read_rollout

pytestmark = pytest.mark.local("about files, not about sandboxes")

ONE = [("check.sh", "a", "test -f ok\n")]
RUBRICS = [{"id": "a", "criterion": "The rubric", "weight": 1.0}]


@pytest.fixture
def ran(run_cli, make_task, make_bench, agent_script, account, workdir):
    """A rollout of ta, which is done, and of tb, whose agent is to be run again by `resume`; returns the data folder."""
    tasks = [make_task(name, tests=ONE, rubrics=RUBRICS) for name in ("ta", "tb")]
    put(tasks[0] / "overlay_repo_files/tool", "echo a program by its mode\n")
    (tasks[0] / "overlay_repo_files/tool").chmod(0o755)
    put(tasks[1] / "overlay_repo_files/.hidden", "x\n")
    agent = agent_script("[ -x tool ] || [ -e .hidden ] || exit 4\ntouch ok\n[ -e ../tb.fails ] && exit 3\nexit 0\n")
    run_cli("run", make_bench(*tasks, agent=agent, model="m"), check=0)
    return workdir / "data"


def owners_lost(data):
    """What `cp -r` by root, and an artifact's download, leave: everything is who unpacked it."""
    for top, folders, files in os.walk(data):
        for name in (*folders, *files):
            os.chown(f"{top}/{name}", os.geteuid(), os.getegid(), follow_symlinks=False)


def links_followed(data):
    """What object stores and `zip -r` leave."""
    shutil.copytree(data, data.with_name("copy"))
    shutil.rmtree(data)
    data.with_name("copy").rename(data)


def as_an_artifact(data):
    """What a CI's artifact store leaves: no modes, no hidden files, no empty folders, and a link is a file that says where it led."""
    shutil.copytree(data, data.with_name("copy"), symlinks=True)
    shutil.rmtree(data)
    data.with_name("copy").rename(data)
    for top, folders, files in os.walk(data, topdown=False):
        for name in (*folders, *files):
            path = f"{top}/{name}"
            if os.path.islink(path):
                target = os.readlink(path)
                os.unlink(path)
                with open(path, "w") as file:
                    file.write(target)
            elif name.startswith("."):
                shutil.rmtree(path) if name in folders else os.unlink(path)
            elif name in files:
                os.chmod(path, 0o644)
            elif not os.listdir(path):
                os.rmdir(path)


def only_results(data):
    shutil.rmtree(data / "cache")


def scores(data):
    return [row["total_score"] for row in read_rollout(data).manifest["results"]]


@pytest.mark.parametrize("carry", [owners_lost, links_followed, as_an_artifact, only_results])
def test_it_grades_and_goes_on(run_cli, ran, account, workdir, carry):
    carry(ran)
    if account:
        give_to(account, ran)
    moved = workdir / "elsewhere"
    ran.rename(moved)
    done = run_cli("eval", "bench", "--data-dir", "elsewhere", check=0)
    assert scores(moved) == [1.0, 1.0], done.stderr
    run_cli("resume", "bench", "--retry", "completed", "--data-dir", "elsewhere", check=0)
    assert scores(moved) == [1.0, 1.0]
    for run in (moved / "runs").iterdir():
        assert json.loads((run / "result.json").read_text())["attempt"] == 3
        assert os.readlink(run / "latest") == "attempts/3"
        assert (run / "artifacts").is_symlink() and (run / "logs").is_symlink()
    with_cache = {p.name for p in (moved / "cache/tasks").iterdir()}
    assert len([name for name in with_cache if len(name) == 64]) == 2


def test_a_snapshot_that_cannot_be_made_again(run_cli, ran, workdir):
    """The task was edited, or the file is elsewhere: one line, before anything runs; --config names the file."""
    only_results(ran)
    (workdir / "bench.toml").rename(workdir / "moved.toml")
    for verb in ("eval", "resume"):
        words = [verb, "bench", *(["--retry", "completed"] if verb == "resume" else [])]
        done = run_cli(*words, check=2)
        assert "bench.toml is not there" in done.stderr and "--config" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    run_cli("eval", "bench", "--config", "moved.toml", check=0)
    only_results(ran)
    meta = next(workdir.glob("**/ta/tb_meta.json"))
    meta.write_text(meta.read_text().replace("The rubric", "Another rubric"))
    done = run_cli("resume", "bench", "--retry", "completed", check=2)
    assert "is not there" in done.stderr
    (workdir / "moved.toml").rename(workdir / "bench.toml")
    done = run_cli("resume", "bench", "--retry", "completed", check=2)
    assert "task ta" in done.stderr and "is not what it was then" in done.stderr
    assert scores(ran) == [1.0, 1.0]


@pytest.fixture
def away(workdir):
    """A folder that run_cli does not give to its user."""
    folder = workdir.with_name(workdir.name + "-away")
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


def test_another_users_folder_is_refused_in_one_line(run_cli, ran, account, away):
    data = away / "data"
    shutil.move(ran, data)
    owners_lost(data)
    if not account:  # root may write anywhere
        run_cli("eval", "bench", "--data-dir", data, check=0)
        return
    again = ["resume", "bench", "--retry", "completed", "--data-dir", data]
    for words in (["eval", "bench", "--data-dir", data], again):
        done = run_cli(*words, check=3)
        assert (f"belongs to root (user 0), and you may not write there: sudo chown -R {account} {data}"
                in done.stderr) and len(done.stderr.splitlines()) == 1
    # The rollout's folder is ours, those of the trials are not.
    give_to(account, data / "rollouts")
    for words in (["eval", "bench", "--data-dir", data], again):
        done = run_cli(*words, check=3)
        assert f"{data}/runs/" in done.stderr and "sudo chown -R" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    give_to(account, data)
    run_cli("eval", "bench", "--data-dir", data, check=0)


def test_doctor_says_what_is_missing(run_cli, ran):
    only_results(ran)
    gone = next((ran / "runs").iterdir())
    shutil.rmtree(gone)
    said = run_cli("doctor").stdout
    assert f"1 run folder missing ({gone.name}); 2 tasks' snapshots missing (ta, ...)" in said
    assert "data: 0 of 1 rollout with all that grading and resume need" in said
