# SPDX-License-Identifier: GPL-3.0-or-later
"""While images are made: who waits for whom, for how long, and what is said of it."""
import json
import os
import shutil
import time

import pytest

import engines
from conftest import only

WORKS = [("t.sh", "works", "true\n", {"command": "sh \"$ROLLOUTS_TEST\""})]


@pytest.fixture
def run_docker(run_cli, engine):
    return lambda *args, **more: run_cli("run", *args, env={"DOCKER_HOST": engine.host}, timeout=300, **more)


@pytest.fixture
def slow(make_task, workdir):
    """slow(seconds): a task whose image takes that long to build, each time."""
    def make(seconds, name="slow", tests=WORKS):
        return make_task(name, tests=tests, rubrics=[{"id": "works", "criterion": "c", "weight": 1}],
                         files={"Dockerfile": f"FROM {engines.BUSYBOX}\nRUN sleep {seconds}; echo {time.time()} > /made\n"})

    return make


@pytest.fixture
def quick(make_task):
    return make_task("quick", tests=WORKS, rubrics=[{"id": "works", "criterion": "c", "weight": 1}], meta={"docker_image": engines.BUSYBOX})


def times(rollout):
    """{event of a run_id: when}"""
    return {(e["event"], e.get("run_id")): e["time"] for e in rollout.events if "time" in e}


def test_a_trial_starts_when_its_own_image_is_ready(run_docker, quick, slow, make_bench, rollout, workdir):
    config = make_bench({"prepared_dir": slow(15)}, {"prepared_dir": quick}, parallel=2, agent="nop")
    done = run_docker(config, check=0)
    assert "1 of 2 images are there; trials of the others start when theirs are" in done.stdout
    lines = done.stdout.splitlines()
    ended = next(i for i, line in enumerate(lines) if "✓" in line and "-1 completed" in line)
    built = next(i for i, line in enumerate(lines) if "image of slow" in line and "sha256" in line)
    assert ended < built, done.stdout
    found = rollout().runs.values()
    assert [r["total_score"] for r in found] == [1, 1] and all(r["image_id"] for r in found)
    plan = (rollout().dir / "plan.json").read_text()
    assert plan.count('"image_id":"sha256:') + plan.count('"image_id": "sha256:') == 2
    assert not list((workdir / "data/runs").glob(".preflight*"))


def test_a_run_that_waits_for_anothers_build_says_so(run_docker, start_cli, slow, make_bench, engine):
    config = make_bench({"prepared_dir": slow(3)}, agent="nop")
    first = start_cli("run", config, "--no-preflight", env={"DOCKER_HOST": engine.host})
    for line in first.stdout:
        if "building the image of slow" in line:
            break
    second = run_docker(config, "--no-preflight", check=0)
    assert "image of slow (Dockerfile): waiting for another run that makes it" in second.stdout
    assert "building" not in second.stdout and first.communicate(timeout=60) and first.returncode == 0


def test_tests_that_cannot_run_in_a_late_image_stop_the_run(run_docker, quick, slow, make_bench, rollout):
    broken = slow(8, "broken", tests=[("t.sh", "works", "no-such-tool --run\n", {"command": "sh \"$ROLLOUTS_TEST\""})])
    done = run_docker(make_bench({"prepared_dir": broken}, {"prepared_dir": quick}, parallel=2, agent="nop"))
    assert done.returncode == 3 and "no-such-tool" in done.stdout + done.stderr, (done.stdout, done.stderr)
    [result] = [r for r in rollout().runs.values() if r]
    assert result["total_score"] == 1 and "broken" not in result["run_id"]


def test_a_build_has_its_time(run_docker, slow, make_bench, rollout):
    done = run_docker(make_bench({"prepared_dir": slow(600)}, agent="nop", build_timeout_sec=3), check=1)
    result = only(rollout())
    assert result["outcome"] == "infra_error" and "took longer than 3 s (build_timeout_sec)" in result["reason"], done.stdout


def test_more_cpus_than_there_are_are_clamped_and_recorded(run_docker, quick, make_bench, rollout):
    done = run_docker(make_bench({"prepared_dir": quick}, agent="nop", cpus=4096), check=0)
    result = only(rollout())
    assert result["outcome"] == "completed" and result["cpus"] == os.cpu_count() and "with what there is" in done.stdout


def test_the_clients_proxies_reach_trials_with_network(make_task, make_bench, agent_script, rollout, run_cli, workdir, engine):
    (workdir / "client").mkdir()
    (workdir / "client/config.json").write_text(json.dumps({"proxies": {"default": {
        "httpProxy": "http://proxy.example:3128", "noProxy": "localhost,10.0.0.0/8", "httpsProxy": "http://me:secret@proxy.example:3128"}}}))
    env = {"DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(workdir / "client")}
    task = make_task("proxied", tests=[], meta={"docker_image": engines.BUSYBOX})
    agent = agent_script("env | grep -i proxy | sort >&2", argv=["sh", "{home}/agent.sh"])
    for network, want in ((False, []), (True, ["HTTP_PROXY=http://proxy.example:3128", "NO_PROXY=localhost,10.0.0.0/8",
                                               "http_proxy=http://proxy.example:3128", "no_proxy=localhost,10.0.0.0/8"])):
        done = run_cli("run", make_bench({"prepared_dir": task}, agent=agent, model="m", evaluate=False, network=network, name=f"n{int(network)}"),
                       env=env, timeout=300)
        assert "httpsProxy of the engine's client configuration holds a user or a password" in done.stdout and "secret" not in done.stdout
        if network and engine.bridge is False:  # an engine without a bridge refuses; what it was to be given stands in the record
            record = json.loads(next((workdir / "data/cache/images").glob("*[0-9a-f].json")).read_text())
            assert sorted(record["proxies"]) == sorted(want)
            continue
        [run] = [p for p in (workdir / "data/runs").iterdir()]
        assert [line for line in (run / "logs/agent.err").read_text().splitlines()] == want


def test_clean_engine_finds_what_gone_data_folders_left(run_docker, slow, quick, make_bench, run_cli, engine, workdir):
    env = {"DOCKER_HOST": engine.host}
    run_docker(make_bench({"prepared_dir": slow(0)}, agent="nop"), "--data-dir", "gone", "--no-preflight", check=0)
    other = slow(0, "other")
    run_docker(make_bench({"prepared_dir": other}, agent="nop"), "--no-preflight", check=0)
    mine, gone = (engine.client("images", "--filter", f"label=rollouts.folder={workdir}/{name}", "--quiet", "--no-trunc") for name in ("data", "gone"))
    assert mine and gone
    shutil.rmtree(workdir / "gone")
    done = run_cli("clean", "--engine", "--dry-run", env=env, check=0)
    assert f"would remove image {gone[:19]} of {workdir}/gone" in done.stdout and mine[:19] not in done.stdout
    run_cli("clean", "--engine", env=env, check=0)
    left = engine.client("images", "--quiet", "--no-trunc").split()
    assert mine in left and gone not in left


@pytest.mark.long
def test_what_is_being_built_is_told_each_minute(run_docker, slow, make_bench):
    done = run_docker(make_bench({"prepared_dir": slow(70)}, agent="nop"), check=0)
    assert "building it: 1 minute by now; it says: " in done.stdout
