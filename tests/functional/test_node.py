# SPDX-License-Identifier: GPL-3.0-or-later
"""rollouts-node by itself: its cache among many jobs, and disks that are full."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import only, put, wait_for
from conformance import node  # noqa: F401
from launching import events
from test_launchers import EXAMPLE

pytestmark = pytest.mark.local("a container does not travel")


@pytest.fixture
def ready(run_cli, make_task, make_bench, workdir):
    """ready(N): attempts of N tasks of 300 kB each, as they were submitted; the data folder."""
    def make(count):
        tasks = [make_task(f"big{i}", files={"overlay_files/blob.bin": os.urandom(300_000)}) for i in range(count)]
        run_cli("run", make_bench(*tasks, name="big", agent="nop", model="none", evaluate=False, launcher="example"), check=0)
        data = workdir / "data"
        return data, [f"runs/{p.name}/attempts/1" for p in sorted((data / "runs").glob("2*"))]

    return make


def run_node(node, data, top, name, *more):  # noqa: F811
    out = top / name
    out.mkdir()
    return subprocess.Popen([node, "run", "--data", data, "--cache", top / "cache", "--out", out, *more], stdout=subprocess.PIPE, text=True)


def kept_bytes(cache):
    return sum(json.loads(p.read_text())["bytes"] for p in (cache / ".inputs").glob("*.json"))


def test_a_cache_of_many_jobs(ready, node, workdir):  # noqa: F811
    """Jobs at the same time in one cache too small for all of them: each ends well, and afterwards it is as small as it was to be."""
    data, attempts = ready(5)
    top = workdir / "there"
    top.mkdir()
    jobs = [run_node(node, data, top, f"out{i}", "--cache-mb", "1", "--side-by-side", "2", *attempts[i:], *attempts[:i]) for i in range(3)]
    for job in jobs:
        out, _ = job.communicate(timeout=120)
        ends = [line for line in map(json.loads, out.splitlines()) if "ended" in line]
        assert job.returncode == 0 and [e["ended"] for e in ends] == ["exit status 0"] * 5, out
    assert kept_bytes(top / "cache") <= 1 << 20
    listed = {json.loads(p.read_text())["path"] for p in (top / "cache/.inputs").glob("*.json")}
    there = {str(p.relative_to(top / "cache")) for kind in ("tasks", "baselines") for p in (top / "cache/cache" / kind).iterdir()}
    assert there <= listed and len(there & listed) < 8
    assert not list((top / "cache/runs").iterdir())


@pytest.fixture
def tiny(workdir):
    """A file system of half a megabyte."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = workdir / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("which, words", [("out", "could not be packed"), ("cache", "its node could not run it")])
def test_a_full_disk(ready, node, workdir, tiny, which, words):  # noqa: F811
    """Of what is shared, of the node: said, and the job goes on to its end; nothing half written has a name."""
    data, attempts = ready(1)
    top = workdir / "there"
    top.mkdir()
    put(tiny / "ballast", b"x" * 480_000)
    (top / which).symlink_to(tiny) if which == "out" else None
    cache, out = (tiny / "cache" if which == "cache" else top / "cache"), (tiny if which == "out" else top / "out")
    out.mkdir(exist_ok=True)
    if which == "out":
        put(tiny / "more", b"x" * (os.statvfs(tiny).f_bavail * 4096))
    done = subprocess.run([node, "run", "--data", data, "--cache", cache, "--out", out, *attempts], capture_output=True, text=True,
                          timeout=60)
    [end] = [line for line in map(json.loads, done.stdout.splitlines()) if "ended" in line]
    assert words in end["ended"] and "No space left" in end["ended"] and end["archive"] is None, end
    assert not list(out.glob("*.tar")) and not list(out.glob(".*.tar*"))


# Between rollouts and the example: an archive is to be seen three seconds after it was told of, as on a network file system.
LATE = r"""#!/usr/bin/env python3
import json, os, subprocess, sys, threading, time
child = subprocess.Popen([os.environ["EXAMPLE"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def show(path):
    time.sleep(3)
    os.rename(path + ".hidden", path)
def back():
    for line in child.stdout:
        message = json.loads(line)
        if message.get("archive"):
            os.rename(message["archive"], message["archive"] + ".hidden")
            threading.Thread(target=show, args=(message["archive"],)).start()
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
threading.Thread(target=back, daemon=True).start()
for line in sys.stdin.buffer:
    child.stdin.write(line)
    child.stdin.flush()
child.stdin.close()
child.wait()
"""


def test_files_that_are_seen_late(run_cli, make_task, make_bench, rollout, workdir):
    put(workdir / "bin/rollouts-launch-late", LATE)
    (workdir / "bin/rollouts-launch-late").chmod(0o755)
    path = make_bench(make_task("late"), name="late", agent="oracle", model="none", launcher="late")
    run_cli("run", path, env={"PATH": f"{workdir}/bin:/usr/bin:/bin", "EXAMPLE": str(EXAMPLE)}, check=0)
    trial = only(rollout("late"))
    assert trial["attempt"] == 1 and trial["total_score"] == 1.0
