# SPDX-License-Identifier: GPL-3.0-or-later
"""Where newcomers try it: places that are not a whole machine. Each is made of the kernel's own parts here."""
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import engines
from conftest import SOURCE, become, only, put

pytestmark = [pytest.mark.local("is about the local sandbox"),
              pytest.mark.skipif(os.geteuid() != 0, reason="making these places takes root")]

PID_NAMESPACE = 'exec unshare --pid --fork --kill-child --mount-proc "$@"\n'
DROP = "exec unshare --pid --fork --kill-child --mount-proc setpriv --bounding-set -{} "
PLACES = {  # name: (shell that runs "$@" there, does each trial get a user of its own, are processes limited)
    "pid namespace": (PID_NAMESPACE, True, True),
    "root of a container": (DROP.format("sys_admin") + '"$@"\n', True, True),
    # The machine's root itself may have any number of processes, says the kernel.
    "root without chown": (DROP.format("sys_admin,-chown") + '"$@"\n', False, False),
    "root without dac_override": (DROP.format("sys_admin,-dac_override") + '"$@"\n', False, False),
    "root of a namespace of one user": (
        'exec setpriv --reuid=100000 --regid=100000 --clear-groups unshare --map-root-user "$@"\n', False, True),
    "root of 65536 users": (  # a pod with hostUsers: false, rootless Podman
        'unshare --user sleep 60 & holder=$!\n'
        'while [ "$(readlink /proc/$holder/ns/user)" = "$(readlink /proc/$$/ns/user)" ]; do sleep 0.01; done\n'
        'echo 0 100000 65536 | tee /proc/$holder/uid_map >/proc/$holder/gid_map\n'
        'nsenter --user --target $holder --setuid 0 --setgid 0 unshare --pid --fork --kill-child --mount-proc "$@"\n'
        'status=$?; kill $holder; exit $status\n', False, True),
}
# Fixes the task when it may not have more processes than it should, and no rights over the kernel's switches.
AGENT = """
python3 - <<'EOF' && sed -i s/nmae/name/ src/greet.py
import os, signal, sys
children = []
try:
    while len(children) < int(os.environ["FORKS"]):
        pid = os.fork()
        if not pid:
            signal.pause()
        children.append(pid)
except BlockingIOError:
    pass
for pid in children:
    os.kill(pid, signal.SIGKILL)
sys.exit(len(children) >= 1500 or os.access("/proc/sys/kernel/core_pattern", os.W_OK))
EOF
"""


@pytest.fixture(params=PLACES)
def place(request):
    return PLACES[request.param]


@pytest.fixture
def binary(binary, place, workdir):
    """The program, in that place."""
    put(workdir / "bin/rollouts", f'#!/bin/sh\nset -- {binary} "$@"\n{place[0]}')
    (workdir / "bin/rollouts").chmod(0o755)
    return workdir / "bin/rollouts"


def test_a_trial_is_scored_and_doctor_agrees(run_cli, make_task, make_bench, agent_script, rollout, workdir, place):
    if "100000" in place[0]:
        workdir.chmod(0o777)
    agent = agent_script(AGENT, env={"FORKS": "1500" if place[2] else "1"})
    run_cli("run", make_bench({"prepared_dir": make_task(), "model": "m"}, agent=agent), check=0)
    assert only(rollout()).get("total_score") == 1, only(rollout())
    owner = next((workdir / "data/runs").iterdir()).stat().st_uid
    assert (owner > 1_000_000_000) == place[1], owner
    said = run_cli("doctor", check=0).stdout
    assert re.search("✓ sandbox +starts, runs a command, ends", said), said


@pytest.mark.parametrize("place", [PLACES["pid namespace"]], ids=["pid namespace"])
def test_bubblewrap_that_fails_half_way_ends_the_wait(run_cli, make_task, make_bench, workdir):
    """Its child holds everything open and waits for it, as bubblewrap's does; the error is its own."""
    put(workdir / "path/bwrap", '#!/bin/sh\nsleep 1000 &\necho "bwrap: out of luck" >&2\nexit 1\n')
    (workdir / "path/bwrap").chmod(0o755)
    began = time.monotonic()
    done = run_cli("run", make_bench(make_task(), agent="oracle", retries=0), env={"PATH": f"{workdir}/path:{os.environ['PATH']}"})
    assert time.monotonic() - began < 20
    assert "bwrap: out of luck" in done.stdout + done.stderr, done


HIDDEN = 'exec unshare --pid --fork --kill-child --mount-proc sh -c \'mount --bind /dev/null /proc/timer_list; exec "$@"\' sh "$@"\n'


@pytest.mark.parametrize("place", [(HIDDEN,)], ids=["something below /proc"])
def test_where_none_starts_it_is_said_once_and_nothing_is_left(run_cli, make_task, make_bench, workdir, account):
    """One line with cause and remedy, status 3, no rollout and so nothing to resume."""
    if account:
        put(workdir / "bin/rollouts", (workdir / "bin/rollouts").read_text().replace("unshare", "unshare --map-root-user", 1))
    env = {"container": "docker"}
    done = run_cli("run", make_bench({"prepared_dir": make_task(), "rollouts": 4}, agent="oracle"), env=env, check=3)
    [line] = done.stderr.splitlines()
    assert "no sandbox starts here, see: rollouts doctor" in line and "Operation not permitted; " in line, line
    remedy = "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
    assert remedy in line, line
    assert done.stdout == "" and not any((workdir / "data/runs").iterdir())
    assert [p.name for p in (workdir / "data/rollouts").rglob("*") if p.name != "temp"] == []
    assert remedy in run_cli("doctor", env=env, check=3).stdout


@pytest.mark.parametrize("place", [(HIDDEN,)], ids=["something below /proc"])
def test_quickstart_asks_the_kernel_first(workdir, place):
    put(workdir / "run", "#!/bin/sh\n" + place[0])
    put(workdir / "bin/perl", "#!/bin/sh\nexit 1\n")  # a kernel without Landlock, where a weaker sandbox would do
    (workdir / "bin/perl").chmod(0o755)
    env = {**os.environ, "PATH": f"{workdir}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["sh", workdir / "run", "make", "-C", SOURCE, "--no-print-directory", "quickstart", f"BUILD={workdir}/build"],
                          capture_output=True, text=True, env=env)
    assert done.returncode != 0 and "no sandbox can start here" in done.stderr and "docs/inside-a-container.md" in done.stderr
    assert not (workdir / "build").exists()


def test_anothers_data_folder_is_one_line(build_dir, workdir, ordinary_user):
    """Which the user may read and not write, as a whole or in part."""
    config = shutil.copytree(SOURCE / "examples/hello", workdir / "hello") / "hello.toml"
    for closed in ("data", "data/runs"):
        for name in ("data", "data/runs", "data/rollouts"):
            (workdir / name).mkdir(exist_ok=True)
            (workdir / name).chmod(0o755 if name == closed else 0o1777)
        done = subprocess.run([build_dir / "rollouts", "run", config, "--data-dir", workdir / "data"], capture_output=True, text=True, **become(ordinary_user))
        place = "it" if closed == "data" else "its runs"
        assert done.stderr == f"rollouts: data folder {workdir}/data (--data-dir names another): write to {place}: Permission denied\n"


def test_a_small_tmp(build_dir, workdir):
    """What does not fit is not left there as half of a file, which every later sandbox would stumble over."""
    room = f"mount -t tmpfs -o size=1m,mode=1777 none {workdir}/tmp && exec \"$@\""
    done = subprocess.run(["unshare", "--mount", "sh", "-c", room, "sh", build_dir / "rollouts", "agents", "check", "bash"], capture_output=True,
                          text=True, env={**os.environ, "TMPDIR": f"{workdir}/tmp"})
    assert "Permission denied" not in done.stderr, done.stderr
    assert done.returncode == 0 or "No space left on device" in done.stderr, done.stderr


@pytest.mark.long
@pytest.mark.parametrize("compiler", ["clang", "gcc"])
def test_other_ways_to_build(workdir, compiler):
    """With clang; and as a packager does, with link-time optimisation and flags of one's own. No warning, and trials run."""
    found = [n for n in (compiler, *(f"{compiler}-{v}" for v in range(14, 25))) if shutil.which(n) and shutil.which(n.replace("clang", "clang++").replace("gcc", "g++"))]
    if not found:
        engines.unavailable(f"there is no {compiler} here")
    env = {**os.environ, "CC": found[0], "CXX": found[0].replace("clang", "clang++").replace("gcc", "g++")}
    if compiler == "gcc":
        env |= {"CFLAGS": "-O2 -D_FORTIFY_SOURCE=3", "CXXFLAGS": "-O2"}
    options = ["-Dunit_tests=disabled", *(["-Db_lto=true"] if compiler == "gcc" else [])]
    for command in (["meson", "setup", *options, workdir / "out of tree", SOURCE], ["ninja", "-C", workdir / "out of tree"]):
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:]
    done = subprocess.run([workdir / "out of tree/rollouts", "run", SOURCE / "examples/hello/hello.toml", "--limit", "2"], cwd=workdir,
                          capture_output=True, text=True)
    assert done.returncode == 0 and "2 tasks completed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("place", [("exec \"$@\"\n",)], ids=["here"])
@pytest.mark.parametrize("what, env, said", [
    ("no git", {"PATH": "{workdir}/path"}, "git is not on PATH: install the package git"),
    ("no TMPDIR", {"TMPDIR": "/nonexistent"}, "make a temporary folder /nonexistent/"),
    ("a folder that cannot be written", {}, "data folder data (--data-dir names another): make directory data: Permission denied"),
])
def test_a_fault_of_the_machine_is_one_line(run_cli, workdir, what, env, said, ordinary_user):
    """Not one for each task, which is not at fault."""
    for name in ("bash", "sh"):
        put(workdir / "path" / name, ("link", f"/bin/{name}"))
    hello = shutil.copytree(SOURCE / "examples/hello", workdir / "hello")
    done = run_cli("run", hello / "hello.toml", user=ordinary_user, env={k: v.format(workdir=workdir) for k, v in env.items()},
                   cwd="/", check=3)
    assert done.stderr.startswith(f"rollouts: {said}") and len(done.stderr.splitlines()) == 1, done.stderr
