# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the sandbox share: a Box runs sandbox-driver, which does steps in one sandbox.

A test that takes `box` runs twice: as a worker that was started by root and became another user, and as
an ordinary user's worker. One that takes `plain` only as the latter. Where tests run once more in containers
(test_docker_suite.py), a box is a container of the test image, and `box` runs as root's worker alone.
"""
import contextlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import engines
from conftest import ENGINE, become, clean_env, give_to

WORKER_UID = 1_700_000_000 + os.getpid()  # what a worker started by root becomes: ours alone
PY = "/usr/bin/python3"
IMAGE_KEY = "0" * 64
IMAGE_ENV = ["FROM_IMAGE=base"] if ENGINE else []  # beside PATH


@pytest.fixture(scope="session")
def driver(build_dir):
    """The driver and the files of rollouts it needs, where every user can run them."""
    top = Path(tempfile.mkdtemp(prefix="rollouts-driver-"))
    top.chmod(0o755)
    for name in ("sandbox-driver", "rollouts-init", "rollouts-docker", "seccomp.bpf", "seccomp-landlock.bpf",
                 "seccomp-landlock-tcp.bpf"):
        shutil.copy(build_dir / name, top / name)
    if ENGINE:
        record_image(top / "rollouts-docker", top, engines.BASE, ENGINE)
    yield top / "sandbox-driver"
    shutil.rmtree(top)


def record_image(program, data, image, host):
    """cache/images/IMAGE_KEY.json below DATA, as a run would have it."""
    context = data / "cache/contexts" / IMAGE_KEY
    context.mkdir(parents=True)
    (context / "spec.json").write_text(json.dumps({"name": image, "pull": image}))
    subprocess.run([program, "images", IMAGE_KEY], cwd=data, check=True, env={**os.environ, "DOCKER_HOST": host})


class Box:
    """Runs the driver; each step is (operation, {arguments}) or a list of them."""

    def __init__(self, driver, workdir, account):
        self.driver, self.workdir, self.account = driver, workdir, account
        self.by_root = os.geteuid() == 0 and account is None
        self.data = workdir / "data"
        self.mine = self.data / "mine"  # belongs to the worker's user
        self.mine.mkdir(parents=True)
        if ENGINE:
            shutil.copytree(driver.parent / "cache/images", self.data / "cache/images")

    def uid(self):
        return WORKER_UID if self.by_root else pwd.getpwnam(self.account).pw_uid if self.account else os.geteuid()

    def uid_inside(self):
        return self.uid() if ENGINE else 1000

    def inits(self):
        return inits(self.uid())

    def own(self):
        if self.account:
            give_to(self.account, self.data)
        elif self.by_root:
            for path in [self.mine, *self.mine.rglob("*")]:
                os.lchown(path, WORKER_UID, WORKER_UID)

    def spec(self, steps, **more):
        spec = {"root": str(self.data), "scratch": "mine/scratch",
                "steps": [{"op": op, **arguments} for op, arguments in steps], **more}
        if ENGINE:
            spec["image"] = IMAGE_KEY
        if self.by_root:
            spec.setdefault("uid", WORKER_UID)
        self.own()
        path = self.workdir / "spec.json"
        path.write_text(json.dumps(spec))
        return path

    @contextlib.contextmanager
    def start(self, *steps, env=None, **more):
        command = [str(self.driver), str(self.spec(steps, **more))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, cwd="/", env=clean_env(self.workdir, self.account, env),
                              **become(self.account)) as child:
            try:
                yield child
            finally:
                child.kill()

    def run(self, *steps, env=None, timeout=60, **more):
        """[result of opening, result of each step]"""
        with self.start(*steps, env=env, **more) as child:
            out, err = child.communicate(timeout=timeout)
        assert err == "", err
        assert not (self.mine / "scratch").exists(), "the scratch directory was left behind"
        assert self.inits() == [], "PID 1 of a sandbox outlived its worker"
        return [json.loads(line) for line in out.splitlines()]

    def sh(self, script, timeout_ms=30000, **more):
        return self.run(("exec", {"argv": ["sh", "-c", script], "timeout_ms": timeout_ms}), **more)[1]

    def py(self, script, *arguments, timeout_ms=30000, **more):
        """Run Python inside that prints JSON; returns it."""
        step = ("exec", {"argv": [PY, "-c", script, *arguments], "timeout_ms": timeout_ms})
        done = self.run(step, **more)[1]
        assert done.get("status") == 0, done
        return json.loads(done["out"])


def uid_of(status):
    return int(status.split("\nUid:", 1)[1].split()[0])


def tree(pid):
    """All descendants of a process, nearest first."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *tree(child)]
    return found


def inits(uid):
    """PID 1 of each sandbox of a user of this test: others' may be running on the machine, as root as well."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")) if uid else tree(os.getpid()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/.rollouts/init") and \
                    uid_of(Path(f"/proc/{pid}/status").read_text()) == uid:
                found.append(int(pid))
    return found


@pytest.fixture
def box(driver, workdir, account):
    return Box(driver, workdir, account)


@pytest.fixture
def plain(driver, workdir, ordinary_user):
    """A box for what does not depend on who started the worker."""
    return Box(driver, workdir, ordinary_user if os.geteuid() == 0 else None)


def sh(script, **more):
    return "exec", {"argv": ["sh", "-c", script], "timeout_ms": 30000, **more}


def remove_left(box, scratch):
    spec = box.spec([], scratch=scratch, remove=True)
    done = subprocess.run([str(box.driver), str(spec)], stdout=subprocess.PIPE, text=True,
                          env=clean_env(box.workdir, box.account, {}), **become(box.account))
    assert done.stdout == "" and done.returncode == 0, done.stdout
    assert not (box.data / scratch).exists()


# Itself, five children that end at once and stay zombies, and their five daemons.
DAEMONS = """
import os, time
for _ in range(5):
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        os.close(0), os.close(1), os.close(2)
        time.sleep(100)
"""
