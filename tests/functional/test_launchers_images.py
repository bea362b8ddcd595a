# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials in containers of another machine's engine, which has none of their images."""
import json
import os

import pytest

import engines
from conftest import only, put
from test_docker import docker_task  # noqa: F401
from test_launchers import EXAMPLE

pytestmark = pytest.mark.local("starts an engine of its own")


@pytest.fixture(scope="module")
def other():
    if os.geteuid() != 0:
        pytest.skip("a second dockerd needs root")
    with engines.Dockerd() as one:
        yield one


@pytest.fixture
def there(workdir, other):
    """The launcher `there`: the example, with the other engine."""
    put(workdir / "bin/rollouts-launch-there", f"#!/bin/sh\nDOCKER_HOST={other.host} exec {EXAMPLE}\n")
    (workdir / "bin/rollouts-launch-there").chmod(0o755)
    return f"{workdir}/bin:/usr/local/bin:/usr/bin:/bin"


def test_an_image_travels(run_cli, engine, other, there, docker_task, make_bench, rollout, workdir):  # noqa: F811
    """Once, and only where it is lacking; the trial is as it is here."""
    path = make_bench(docker_task(lines="ENV IN_IMAGE=yes\n"), agent="oracle", model="none", launcher="there", rollouts=2, parallel=1)
    run_cli("run", path, env={"DOCKER_HOST": engine.host, "PATH": there}, check=0, timeout=300)
    results = list(rollout().runs.values())
    assert [(r["sandbox"], r["total_score"]) for r in results] == [("docker", 1.0)] * 2
    [image] = {r["image_id"] for r in results}
    assert image in other.client("images", "-q", "--no-trunc")
    data = workdir / "data"
    [travel] = [json.loads(p.read_text()) for p in data.glob("runs/*-0/attempts/1/travel.json")]
    [archive] = [i for i in travel["inputs"] if i.get("image")]
    assert archive["image"] == image
    assert not list(data.glob("cache/images/*.tar"))
    kept = list((data / "launch/there/node/cache/images").glob("*.tar"))
    assert len(kept) == 1
    assert not other.containers()


def test_a_node_without_an_engine(run_cli, engine, docker_task, make_bench, rollout, workdir):  # noqa: F811
    """Is told as what it is, by its trial."""
    put(workdir / "bin/rollouts-launch-there", f"#!/bin/sh\nDOCKER_HOST=unix:///nowhere.sock exec {EXAMPLE}\n")
    (workdir / "bin/rollouts-launch-there").chmod(0o755)
    path = make_bench(docker_task(), agent="nop", model="none", launcher="there", evaluate=False, retries=0)
    done = run_cli("run", path, env={"DOCKER_HOST": engine.host, "PATH": f"{workdir}/bin:/usr/local/bin:/usr/bin:/bin"}, timeout=120)
    assert done.returncode == 1 and not only(rollout())
    assert "its node could not run it: the image of this task" in done.stdout + done.stderr
