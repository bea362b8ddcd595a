# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls and builds that fail by the network, or by the fault of who wrote them. What clients print: tests/unit/test-network-fault.c."""
import time

import pytest

import engines
from conftest import only

WORKS = [("t.sh", "works", "true\n", {"command": "sh \"$ROLLOUTS_TEST\""})]


@pytest.fixture(scope="module")
def registry():
    with engines.start_registry() as found:
        yield found


@pytest.fixture
def run_until(start_cli, make_task, make_bench, engine):
    """run_until(words, act, task...): its status and what it says; ACT is called at the first line that has the words."""
    def run(words, act, **task):
        config = make_bench({"prepared_dir": make_task(tests=WORKS, rubrics=[{"id": "works", "criterion": "c", "weight": 1}], **task)}, agent="nop")
        child, said = start_cli("run", config, "--no-preflight", env={"DOCKER_HOST": engine.host}), ""
        for line in child.stdout:
            if words in line and words not in said:
                act(child)
            said += line
        return child.wait(timeout=60), said

    return run


@pytest.mark.parametrize("how, fault, pause", [
    ("docker_image", "429 Too Many Requests\r\nRetry-After: 4", 4), ("FROM", "429 Too Many Requests\r\nRetry-After: 3", 3),
    ("docker_image", "503 Service Unavailable", 2), ("docker_image", "reset", 2)], ids=["429", "429-FROM", "503", "reset"])
def test_what_a_registry_refuses_is_asked_for_again(run_until, engine, registry, rollout, fault, pause, how):
    name = f"me/{fault[:3].lower()}-{how.lower()}:1"
    registry.push(engine, engines.BUSYBOX, name)
    with engines.Faulty(registry, fault) as front:
        image, began = f"{front.host}/{name}", time.monotonic()
        task = {"meta": {"docker_image": image}} if how == "docker_image" else {"files": {"Dockerfile": f"FROM {image}\n"}}
        status, said = run_until("trying again", lambda _: setattr(front, "fault", None), **task)
    verb = "pull" if how == "docker_image" else "build"
    assert status == 0 and f"the network failed (docker {verb}: exit status 1: " in said, said
    assert f"trying again in {pause} s (1 of 3)" in said
    assert only(rollout())["outcome"] == "completed" and time.monotonic() - began >= pause


@pytest.mark.parametrize("step, again", [
    ("RUN curl() { return 7; }; curl -fs http://mirror.example/ || exit $?", True),  # it prints nothing
    ("RUN echo 'Temporary failure resolving mirror.example'; exit 100", True),
    ("RUN echo 'line 3: unexpected EOF while looking for matching'; exit 2", False),
    ("RUN exit 7", False)], ids=["exit status", "words", "syntax", "another's exit status"])
def test_a_step_is_run_again_when_the_network_failed_it(run_until, step, again):
    status, said = run_until("trying again in 2 s (1 of 3)", lambda child: child.terminate(),
                             files={"Dockerfile": f"FROM {engines.BUSYBOX}\n{step}\n"})
    assert status == (130 if again else 1) and ("the network failed" in said) == again, said
