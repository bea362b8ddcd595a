# SPDX-License-Identifier: GPL-3.0-or-later
"""Harbor 0.26 itself beside ours, where it is to be had: ROLLOUTS_HARBOR names its program, else it is installed once, from the Python index, by
a Python of 3.12 or later. One engine, one image, one set of tasks: rewards agree, and each reads what the other wrote."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import engines
import harbor

VERSION = "0.26.0"
pytestmark = [pytest.mark.long, pytest.mark.local("runs Harbor and an engine"),
              pytest.mark.skipif(os.geteuid() != 0, reason="only root starts an engine")]
# What both can run offline, on an image that is there: one of each kind of reward, step and verifier.
TASKS = ("plain", "json", "artifacts", "steps", "beyond", "none", "list")
READ = """import json, sys
from pathlib import Path
from harbor.models.job.result import JobResult
from harbor.models.trial.result import TrialResult
from harbor.models.trajectories.trajectory import Trajectory
job = Path(sys.argv[1])
read = {"job": JobResult.model_validate_json((job / "result.json").read_text()).n_total_trials, "trials": {}, "trajectories": 0}
for path in sorted(job.glob("*/result.json")):
    trial = TrialResult.model_validate_json(path.read_text())
    rewards = trial.verifier_result.rewards if trial.verifier_result else None
    read["trials"][trial.task_name] = {"rewards": rewards, "error": trial.exception_info.exception_type if trial.exception_info else None,
                                       "valid": trial.reward_valid}
    path = path.parent / "agent/trajectory.json"
    if path.exists():
        Trajectory.model_validate_json(path.read_text())
        read["trajectories"] += 1
print(json.dumps(read))
"""


def python_of_today():
    for name in ("python3.13", "python3.12", "python3"):
        found = [shutil.which(name), *sorted(Path.home().glob(f".pyenv/versions/{name.removeprefix('python')}*/bin/python"), reverse=True)]
        for program in filter(None, map(str, filter(None, found))):
            if subprocess.run([program, "-c", "import sys, ensurepip; sys.exit(sys.version_info < (3, 12))"], capture_output=True).returncode == 0:
                return program
    return None


@pytest.fixture(scope="module")
def harbor_program():
    given = os.environ.get("ROLLOUTS_HARBOR")
    if given:
        return Path(given)
    python = python_of_today()
    if not python:
        pytest.skip("Harbor needs Python 3.12 or later with venv, which is not here")
    top = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / f"rollouts-tests/harbor-{VERSION}-{sys.platform}"
    program = top / "bin/harbor"
    if not program.exists():
        for words in ([python, "-m", "venv", top], [top / "bin/python", "-m", "pip", "install", "-q", f"harbor=={VERSION}"]):
            done = subprocess.run(words, capture_output=True, text=True, timeout=900)
            if done.returncode:
                shutil.rmtree(top, ignore_errors=True)
                pytest.skip(f"Harbor {VERSION} is not to be had here: {(done.stderr.strip() or '?').splitlines()[-1]}")
    return program


@pytest.fixture(scope="module")
def dockerd():
    with engines.start_dockerd(bridge=True) as engine:
        engine.load(engines.BASE, engines.make_base)
        # Harbor runs nothing in a workdir that the image has not; our containers are given theirs.
        engine.client("run", "--name", "made", engines.BASE, "mkdir", "/srv")
        engine.client("commit", "made", engines.BASE)
        engine.client("rm", "made")
        yield engine


@pytest.fixture
def run_harbor_itself(harbor_program, dockerd, workdir):
    env = {**os.environ, "DOCKER_HOST": dockerd.host, "HARBOR_TELEMETRY": "off", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(workdir)}
    if subprocess.run(["docker", "compose", "version"], env=env, capture_output=True).returncode:
        pytest.skip("docker compose v2, which Harbor calls, is not here (DOCKER_CONFIG may name a folder with its plugin)")

    def run(*args):
        done = subprocess.run([harbor_program, *map(str, args)], env=env, cwd=workdir, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    return run


@pytest.fixture
def read_by_harbor(harbor_program, workdir):
    """What Harbor's own models make of a job's folder."""
    python = harbor_program.resolve().parent / "python"
    if not python.exists():
        python = harbor_program.parent / "venv/bin/python"

    def read(job):
        done = subprocess.run([python, "-c", READ, str(workdir / job)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return read


def ours(run_cli, rollout):
    """{task: rewards} of the first trial of each."""
    return {t["task"]: t for t in map(json.loads, run_cli("export", rollout, "--format", "jsonl", check=0).stdout.splitlines())}


@pytest.mark.parametrize("agent", ["oracle", "nop"])
def test_rewards_agree_and_each_reads_the_other(run_cli, run_harbor_itself, read_by_harbor, dockerd, workdir, agent):
    for name in TASKS:
        harbor.write(workdir / "set", name)
    run_harbor_itself("run", "-p", "set", "-a", agent, "-o", "jobs", "--job-name", "theirs", "-n", 2, "-y", "-q")
    run_cli("run", "--tasks", "set", "-a", agent, "--network", "deny", "-j", 2, env={"DOCKER_HOST": dockerd.host}, timeout=600)
    run_cli("export", "set", "mine", "--format", "harbor", check=0)
    theirs, mine = read_by_harbor("jobs/theirs"), read_by_harbor("mine")
    assert theirs["job"] == mine["job"] == len(TASKS) and set(theirs["trials"]) == set(mine["trials"])
    for name, trial in theirs["trials"].items():
        assert mine["trials"][name]["rewards"] == (trial["rewards"] and pytest.approx(trial["rewards"])), (name, trial)
        assert mine["trials"][name]["valid"] == trial["valid"], (name, trial)
    # Their job here: the same scores as ours.
    run_cli("import", "jobs/theirs", "--name", "imported", check=0)
    here, there = ours(run_cli, "set"), ours(run_cli, "imported")
    assert {t: r["score"] for t, r in there.items()} == {t: r["score"] and pytest.approx(r["score"]) for t, r in here.items()}
