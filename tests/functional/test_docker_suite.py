# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the whole program once more, with every task in a container: what holds locally holds there."""
import os
import subprocess
import sys

import pytest

import engines
from conftest import SOURCE

AGAIN = {
    "test_eval.py": "not ordinary and not sixteen",
    "test_overrides.py": "not ordinary and not sixteen",
}


@pytest.mark.skipif(bool(os.environ.get("ROLLOUTS_TEST_ENGINE")), reason="this is that run")
@pytest.mark.parametrize("file", AGAIN)
def test_again_in_containers(file, build_dir):
    engine = engines.start_dockerd()
    try:
        engine.load(engines.BASE, engines.make_base)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SOURCE / "tests/functional" / file, "-k", AGAIN[file]],
            env={**os.environ, "ROLLOUTS_TEST_ENGINE": engine.host, "ROLLOUTS_BUILD": str(build_dir)},
            capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert not engine.containers()
    finally:
        engine.stop()
