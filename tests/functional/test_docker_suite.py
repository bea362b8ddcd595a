# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the whole once more, with every task and every box in a container: what holds locally holds there.

Chosen is what a sandbox has a part in, and a few of the tests that differ in their task alone. Left out is what no
sandbox has a part in (test_run, test_resume and others have a stand-in for the worker; verbs, reports and configuration
read what a run left; the gateway's tests speak to the gateway), and what is marked `local` in its file, with a reason.
"""
import os
import subprocess
import sys

import pytest

from conftest import ENGINE, SOURCE

ON_DOCKERD = {
    "test_sandbox.py": "", "test_sandbox_forwarder.py": "", "test_sandbox_limits.py": "",
    "test_hostile_kernel.py": "",
    "test_eval.py": "each_kind or hangs or missing_tool or whatever or next or hostile_files or apply or variables",
    "test_overrides.py": "every_override or gold or half_way",
    "test_regrade.py": "corrected or variants or keeps_the_hash",
    "test_kill.py": "", "test_hostile.py": "hostile_agents or wants_to_be_executed", "test_hello.py": "example_tasks", "test_shell.py": "saw", "test_environment.py": "", "test_toolchains.py": "cache_is_seen",
}
ON_PODMAN = {
    "test_sandbox.py": "command or environment or privileges or pid_1 or read_only or put_and_get",
    "test_sandbox_forwarder.py": "half_closes or dead_gateway", "test_sandbox_limits.py": "deadline_ends or kill_9 or copy",
    "test_hostile_kernel.py": "",
    "test_eval.py": "kind_of_script or hostile_files",
}

pytestmark = pytest.mark.skipif(bool(ENGINE), reason="this is that run")


def again(engine, file, choice, build_dir):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", SOURCE / "tests/functional" / file, "-k", choice],
        env={**os.environ, "ROLLOUTS_TEST_ENGINE": engine.host, "ROLLOUTS_BUILD": str(build_dir)},
        capture_output=True, text=True, timeout=900)
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert not engine.containers()


@pytest.mark.parametrize("file", ON_DOCKERD)
def test_again_on_dockerd(dockerd, file, build_dir):
    again(dockerd, file, ON_DOCKERD[file], build_dir)


@pytest.mark.parametrize("file", ON_PODMAN)
def test_again_on_podman(podman, file, build_dir):
    again(podman, file, ON_PODMAN[file], build_dir)
