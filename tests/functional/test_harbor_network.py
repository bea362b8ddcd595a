# SPDX-License-Identifier: GPL-3.0-or-later
"""Who of a Harbor task has a network when, in one container: as the task says for each phase, as far as the user grants it."""
import subprocess

import pytest

import engines
import harbor
from test_harbor import results, run_harbor  # noqa: F401: fixture


@pytest.fixture(scope="module")
def dockerd():
    with engines.start_dockerd(bridge=True) as engine:
        engine.load(engines.BASE, engines.make_base)
        yield engine


LOOK = 'if grep -q eth /proc/net/dev; then echo on; else echo off; fi'
# name: (environment, agent, verifier; None: not said), and what a run in which all is granted finds there
PHASES = {
    "agent": (("no-network", "public", None), "on off"),
    "verifier": (("public", "no-network", None), "off on"),
    "turned": (("public", None, "no-network"), "on off"),
    "neither": (("no-network", None, None), "off off"),
}


@pytest.fixture
def tasks(workdir):
    for name, (modes, _) in PHASES.items():
        said = ["" if m is None else f'network_mode = "{m}"\n' for m in modes]
        files = harbor.task(toml=said[0], limits=f"[agent]\n{said[1]}[verifier]\n{said[2]}", solve=LOOK + " > /srv/agent\n",
                            test=f"echo $(cat /srv/agent) $({LOOK})\npass\n")
        for path, text in files.items():
            (workdir / "set" / name / path).parent.mkdir(parents=True, exist_ok=True)
            (workdir / "set" / name / path).write_text(text)
    return "set"


def seen(workdir):
    return {name: (where / "verifier/test-stdout.txt").read_text().strip() for name, (_, where) in results(workdir).items()}


def test_each_phase_has_its_own(run_harbor, tasks, workdir, dockerd):  # noqa: F811
    run_harbor("--tasks", tasks, "-a", "oracle", "--network", "allow", "-j", 2, check=0)
    assert seen(workdir) == {name: wanted for name, (_, wanted) in PHASES.items()}
    assert dockerd.containers() == {}


def test_consent_is_for_each_of_them(run_harbor, tasks, workdir):  # noqa: F811
    run_harbor("--tasks", tasks, "-a", "oracle", "--network", "deny", "--verifier-network", "allow", "-j", 2, check=0)
    assert seen(workdir) == {"agent": "off off", "verifier": "off on", "turned": "off off", "neither": "off off"}
