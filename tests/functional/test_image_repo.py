# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository where the image has it: installed in place, as images of SWE-bench and its kin are."""
import json
import shutil

import pytest

import engines
from conftest import git, only

PACKAGE = {"src/greet.py": "from _speed import times\n\n\ndef greet(name):\n    return 'hello' + name * times\n",
           ".gitignore": "*.egg-info/\nbuild/\n*.so.py\n_speed.py\n__pycache__/\n", "data/numbers.txt": "1\n2\n3\n"}
FIX = {"src/greet.py": "from _speed import times\n\n\ndef greet(name):\n    return 'hello ' + name * times\n"}
# From anywhere but the repository: what is imported is what the image installed.
TEST = ("test_installed.py", "works", "import os\nos.chdir('/')\nfrom greet import greet\n\n\ndef test_greet():\n"
        "    assert greet('you') == 'hello you'\n", {"command": "t=$PWD/$ROLLOUTS_TEST; cd / && python3 -m pytest -q -p no:cacheprovider \"$t\""})
DOCKERFILE = """FROM rollouts-test-base
COPY repo {at}
RUN cd {at} && echo 'times = 1' > src/_speed.py && mkdir -p greet.egg-info && echo 1.0 > greet.egg-info/PKG-INFO \\
    && mkdir -p build/deep && echo old > build/deep/out && echo mine > untracked.txt \\
    && d=$(python3 -c 'import site; print(site.getsitepackages()[0])') && mkdir -p $d && echo {at}/src > $d/greet.pth
WORKDIR {at}/
"""


@pytest.fixture
def image(engine, workdir):
    """image(repo, at): an image that holds REPO there, with what was built in place; its name."""
    made = []

    def make(repo, at="/testbed", more="", ref=None):
        name = f"in-place-{len(made)}:{workdir.name.lower()}"
        folder = workdir / name.replace(":", "-")
        shutil.copytree(repo.path, folder / "repo", symlinks=True)
        if ref:
            git(folder / "repo", "checkout", "--quiet", ref)
        (folder / "Dockerfile").write_text(DOCKERFILE.format(at=at) + more)
        engine.client("build", "-q", "-t", name, str(folder))
        made.append(name)
        return name

    yield make
    for name in made:
        engine.client("rmi", "-f", name, check=False)


@pytest.fixture
def run_docker(run_cli, engine):
    return lambda *args, verb="run", **more: run_cli(verb, *args, env={"DOCKER_HOST": engine.host}, timeout=300, **more)


@pytest.fixture
def task(make_repo, make_task):
    def make(image, repo, meta=None, name="inplace", **more):
        return make_task(name, repo, tests=more.pop("tests", [TEST]), rubrics=[{"id": "works", "criterion": "c", "weight": 1}],
                         meta={"docker_image": image, **(meta or {})}, **more)

    return make


@pytest.fixture
def package(make_repo):
    return make_repo("package", PACKAGE, FIX)


def patch(workdir, result):
    return (workdir / "data/runs" / result["run_id"] / "artifacts/diff.patch").read_text()


@pytest.mark.parametrize("workspace", ["auto", "copy"])
def test_a_right_fix_passes_and_none_fails(run_docker, image, task, package, make_bench, rollout, workspace, workdir):
    folder = task(image(package), package)
    done = run_docker(make_bench({"prepared_dir": folder, "agent": "oracle"}, {"prepared_dir": folder, "agent": "nop"},
                                 defaults={"workspace": workspace}), check=0)
    assert "the repository is where its image has it, /testbed" in done.stdout
    scores = sorted(r["total_score"] for r in rollout().runs.values())
    logs = [path.read_text() for path in (workdir / "data/runs").glob("*/logs/eval.log")]
    assert scores == [0, 1], logs
    for run in (workdir / "data/runs").iterdir():
        trial = json.loads((run / "attempts/1/trial.json").read_text())["trial"]
        assert trial["repo_path"] == "/testbed"


LOOK = """
pwd >&2; git status --porcelain >&2; git log --oneline | wc -l >&2
cat src/_speed.py build/deep/out untracked.txt greet.egg-info/PKG-INFO >&2
cat /app/repo/data/numbers.txt | wc -l >&2
git cat-file -e FIXED && echo LEAK >&2
echo new > build/deep/out; rm greet.egg-info/PKG-INFO; echo more > build/mine; echo changed >> untracked.txt
echo mine > fresh.txt; git add -A; git commit -qm work; cd /; python3 -c 'import greet; print(greet.__file__)' >&2
"""


@pytest.mark.parametrize("workspace", ["auto", "copy"])
def test_what_lies_below_is_there_and_no_work(run_docker, image, task, package, make_bench, agent_script, rollout, workdir, workspace):
    agent = agent_script(LOOK.replace("FIXED", package.head))
    folder = task(image(package), package, tests=[("t.sh", "works", "cat fresh.txt untracked.txt build/deep/out src/_speed.py; pwd\n")])
    run_docker(make_bench({"prepared_dir": folder}, agent=agent, model="m", defaults={"workspace": workspace}), check=0)
    result = only(rollout())
    said = next((workdir / "data/runs").glob("*/logs/agent.err")).read_text().split("\n")
    assert said[:2] == ["/testbed", "1"], said
    assert said[2:7] == ["times = 1", "old", "mine", "1.0", "3"] and "LEAK" not in said
    assert "/testbed/src/greet.py" in said
    text = patch(workdir, result)
    changed = {line.split(" b/")[1] for line in text.splitlines() if line.startswith("diff --git")}
    assert changed == {"fresh.txt", "untracked.txt"}, text
    assert result["total_score"] == 1, result
    log = next((workdir / "data/runs").glob("*/logs/eval.log")).read_text()
    assert "changed" in log and "old" in log and "/testbed" in log
    assert not any(p.startswith("greet.egg-info") for p in result["agent"].get("ignored", [])), result["agent"]


def test_an_ordinary_user_has_it_too(run_docker, image, task, package, make_bench, rollout, ordinary_user):
    folder = task(image(package), package)
    run_docker(make_bench({"prepared_dir": folder, "agent": "oracle"}, {"prepared_dir": folder, "agent": "nop"}), user=ordinary_user, check=0)
    assert sorted(r["total_score"] for r in rollout().runs.values()) == [0, 1]


def test_where_it_cannot_be_is_said(run_docker, image, task, package, make_repo, make_bench, rollout):
    other = make_repo("another", PACKAGE | {"data/numbers.txt": "9\n"}, FIX)
    folder = task(image(other), package)
    done = run_docker(make_bench({"prepared_dir": folder}, agent="nop"), check=0)
    assert "a checkout at its WORKDIR, /testbed, which is not used" in done.stdout and package.commits[0][:12] in done.stdout
    folder = task(image(other), package, name="named", meta={"repo": {"path": "/testbed"}})
    done = run_docker(make_bench({"prepared_dir": folder}, agent="nop", name="named"), check=2)
    assert "repo.path is /testbed" in done.stderr + done.stdout


@pytest.mark.parametrize("path, why", [("/", "absolute"), ("testbed", "absolute"), ("/usr", "system"), ("/home", "agent's home"),
                                       ("/tmp/x", "trial's own"), ("/a/../b", "absolute")])
def test_a_path_that_cannot_be_is_refused(run_docker, task, package, make_bench, path, why):
    folder = task("busybox", package, meta={"repo": {"path": path}})
    done = run_docker(make_bench({"prepared_dir": folder}, agent="nop"), check=2)
    assert why in done.stderr and "repo.path" in done.stderr


@pytest.mark.parametrize("at", ["/app", "/home/package", "/app/src"])
def test_other_places(run_docker, image, task, package, make_bench, rollout, at):
    """Images of SWE-bench Pro hold it at /app, of Multi-SWE-bench at /home/NAME."""
    folder = task(image(package, at), package)
    run_docker(make_bench({"prepared_dir": folder}, agent="oracle"), check=0)
    assert only(rollout())["total_score"] == 1


def test_a_plain_folder_gives_what_is_ignored(run_docker, task, package, make_bench, rollout, engine, workdir, agent_script, make_task):
    """A Dockerfile that installs into /app/repo without a .git: node_modules and its kin show through."""
    agent = agent_script("cat build/kept >&2; ls >&2")
    folder = make_task("plain", package, tests=[], meta={}, files={
        "Dockerfile": "FROM rollouts-test-base\nRUN mkdir -p /app/repo/build /app/repo/other && echo kept > /app/repo/build/kept "
                      "&& echo x > /app/repo/other/x\n"})
    run_docker(make_bench({"prepared_dir": folder}, agent=agent, model="m", evaluate=False), check=0)
    said = next((workdir / "data/runs").glob("*/logs/agent.err")).read_text().split("\n")
    assert said[0] == "kept" and "other" not in said
    assert patch(workdir, only(rollout())) == ""
