# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks: the power goes while a benchmark runs, and what the disk has then is a copy of its image, taken in the middle; damage;
file systems on which a task would not be what it is elsewhere."""
import os
import random
import shutil
import subprocess
import time

import pytest

from conftest import remove_tree, wait_for

MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"], "btrfs": ["mkfs.btrfs", "-q", "-f"]}
pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts images"), pytest.mark.local("is about the data folder's file system")]


def system(*argv):
    return subprocess.run(argv, capture_output=True, text=True)


@pytest.fixture(params=[pytest.param("ext4"), pytest.param("xfs", marks=pytest.mark.long),
                        pytest.param("btrfs", marks=pytest.mark.long)])
def disk(request, workdir):
    """An empty file system on a sparse image, and how to mount it or a copy of it at `place`."""
    make = MAKE[request.param]
    if not shutil.which(make[0]):
        pytest.skip(f"{make[0]} is not installed")

    class Disk:
        image, copy, place = workdir / "image", workdir / "copy", workdir / "mnt"

        def mount(self, image):
            # Another process's mount namespace may hold the first a little longer.
            options = "loop,nouuid" if request.param == "xfs" else "loop"
            return system("mount", "-o", options, image, self.place).returncode == 0

        def unmount(self):
            wait_for(lambda: system("umount", self.place) and not os.path.ismount(self.place))

        def cut(self):
            system("cp", "--sparse=always", self.image, self.copy).check_returncode()
    d = Disk()
    d.place.mkdir()
    with open(d.image, "wb") as f:
        f.truncate(8 << 30)
    system(*make, d.image).check_returncode()
    if not d.mount(d.image):
        pytest.skip(f"no {request.param} can be mounted here")
    system("sync", "-f", d.place)
    yield d
    d.unmount()


@pytest.mark.parametrize("seed", range(4))
def test_what_the_disk_has_is_gone_on_with(disk, seed, make_task, make_bench, agent_script, start_cli, run_cli, workdir):
    """Two cuts of a run with a new task, mirror and baseline: afterwards resume, or a second run, comes to the end."""
    agent_script("echo changed >> README.md\nsleep 0.2\n")
    tests = [("quick.sh", "works", "grep -q changed README.md\n")]
    for name in ("one", "two"):
        make_task(name, tests=tests)
    make_bench({"prepared_dir": "tasks/*", "rollouts": 2}, agent="scripted", model="m", sandbox="local", parallel=2)
    data = ["--data-dir", disk.place / "data"]
    moments = random.Random(seed)
    child = start_cli("run", "bench.toml", *data)
    journals = lambda: list(disk.place.glob("data/rollouts/bench/*/events.jsonl"))
    # Before there is a plan there is nothing to go on with; from then on, somewhere until the end.
    wait_for(lambda: journals() or child.poll() is not None)
    at = moments.randrange(1, 24)
    wait_for(lambda: journals()[0].read_bytes().count(b"\n") >= at or child.poll() is not None, timeout=60)
    time.sleep(moments.random() / 10)  # where between two lines is chance
    disk.cut()
    child.communicate(timeout=120)
    disk.unmount()
    assert disk.mount(disk.copy)
    if list(disk.place.glob("data/rollouts/bench/*/plan.json")):
        run_cli("resume", "bench", *data, check=0)
    done = run_cli("run", "bench.toml", *data, check=0)
    assert "All 4 tasks completed!" in done.stdout
    for n in range(len(journals())):
        said = run_cli("summarize", f"bench@{sorted(j.parent.name for j in journals())[n]}", *data, check=0).stdout
        assert "4 scored, 0 missing" in said, said
    run_cli("eval", "bench", *data, check=0)
    remove_tree(disk.place / "data")


@pytest.mark.parametrize("file", ["HEAD", "objects/pack/*.pack", "objects/pack/*.idx", "refs/rollouts/*"])
def test_a_mirror_that_a_disk_damaged_is_fetched_again(file, make_task, make_bench, run_cli, workdir):
    make_bench({"prepared_dir": make_task("one")}, agent="oracle", sandbox="local")
    run_cli("run", "bench.toml", check=0)
    for damaged in workdir.glob("data/cache/mirrors/*.git/" + file):
        damaged.chmod(0o644)
        os.truncate(damaged, damaged.stat().st_size // 2)
    remove_tree(workdir / "data/cache/baselines")
    assert "score 1.000" in run_cli("run", "bench.toml", check=0).stdout


@pytest.mark.parametrize("file", ["task.json", "app/*", "repo/*"])
def test_a_snapshot_that_a_disk_damaged_is_made_again(file, make_task, make_bench, run_cli, workdir):
    make_bench({"prepared_dir": make_task("one", files={"overlay_repo_files/more.txt": "more\n"})}, agent="oracle", sandbox="local")
    run_cli("run", "bench.toml", check=0)
    damaged = next(p for p in workdir.glob("data/cache/tasks/*/" + file) if p.is_file())
    before = damaged.read_bytes()
    os.truncate(damaged, 0)
    run_cli("run", "bench.toml", check=0)
    assert damaged.read_bytes() == before


@pytest.mark.parametrize("how", [lambda text: b"", lambda text: bytes(len(text)), lambda text: text[:-40]])
def test_a_plan_that_a_disk_damaged_is_no_dead_end(how, make_task, make_bench, run_cli, workdir):
    """What is to be done is told; the runs can be read, and other rollouts stand."""
    make_bench({"prepared_dir": make_task("one")}, agent="nop", sandbox="none", evaluate=False)
    run_cli("run", "bench.toml", check=0)
    [plan] = (workdir / "data/rollouts/bench").glob("*/plan.json")
    [run] = (p.name for p in (workdir / "data/runs").iterdir() if p.name[0] != ".")
    plan.write_bytes(how(plan.read_bytes()))
    for words in (["resume", "bench"], ["summarize", "bench"], ["resume", "bench", "--config", "bench.toml"]):
        said = run_cli(*words, check=2).stderr
        assert f"put a copy of it back, or remove rollouts/bench/{plan.parent.name} (its runs stay: rollouts show RUN_ID)" in said, said
    assert "unreadable" in run_cli("list", check=0).stdout
    run_cli("show", run, check=0)
    remove_tree(plan.parent)
    run_cli("run", "bench.toml", check=0)
    run_cli("summarize", "bench", check=0)


@pytest.mark.parametrize("options, said", [("noexec", "no file in it can be run (mounted noexec?)"), ("ro", "Read-only file system")])
def test_a_file_system_that_would_change_scores_is_refused(options, said, make_task, make_bench, run_cli, workdir):
    """Test scripts that may not be run failed here, and counted."""
    make_bench({"prepared_dir": make_task("one")}, agent="oracle", sandbox="local")
    place = workdir / "place"
    (place / "data").mkdir(parents=True)
    system("mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", place).check_returncode()
    (place / "data").mkdir()
    system("mount", "-o", "remount," + options, place).check_returncode()
    try:
        done = run_cli("run", "bench.toml", "--data-dir", "place/data", check=3)
        assert said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
        assert "place" in done.stderr and done.stdout == ""
        doctor = run_cli("doctor", "--data-dir", "place/data")
        assert said in doctor.stdout + doctor.stderr
        assert not list(place.glob("data/rollouts/bench/*"))
    finally:
        system("umount", place)


@pytest.fixture
def small(workdir):
    """A file system that can be made full, in bytes or in inodes, while it is in use, and large again."""
    place = workdir / "small"
    place.mkdir()
    large = {"size": 8 << 30, "nr_inodes": 1000000}
    system("mount", "-t", "tmpfs", "-o", ",".join(f"{k}={v}" for k, v in large.items()), "tmpfs", place).check_returncode()

    def resize(lacking=None):
        st = os.statvfs(place)
        used = {"size": (st.f_blocks - st.f_bfree) * st.f_frsize, "nr_inodes": st.f_files - st.f_ffree}
        options = {lacking: used[lacking]} if lacking else large
        system("mount", "-o", "remount," + ",".join(f"{k}={v}" for k, v in options.items()), place).check_returncode()
    yield place, resize
    wait_for(lambda: system("umount", place) and not os.path.ismount(place))


@pytest.mark.parametrize("lacking", ["nr_inodes", "size"])
def test_no_room_for_an_agents_work_is_waited_out(lacking, small, make_task, make_bench, agent_script, start_cli, workdir):
    """The disk, or its inodes, are used up while the agent works: nobody's work is thrown away or paid for again."""
    place, resize = small
    mark = f"98765{os.getpid()}"
    agent_script(f"head -c 300000 /dev/zero | tr '\\0' x > big.txt; echo changed >> README.md; sleep {mark}; true\n")
    make_bench({"prepared_dir": make_task("one", tests=[("quick.sh", "works", "grep -q changed README.md\n")]), "rollouts": 3},
               agent="scripted", model="m", sandbox="local", parallel=1, retries=1)
    child = start_cli("run", "bench.toml", "--data-dir", place / "data")
    asleep = lambda: system("pgrep", "-x", "-f", f"sleep {mark}").stdout.split()
    waker = lambda: wait_for(lambda: asleep() or child.poll() is not None, timeout=60) and system("kill", *asleep())
    wait_for(asleep, timeout=60)
    resize(lacking)
    waker()
    said = ""
    while "kept back until there is room" not in said:
        line = child.stdout.readline()
        said += line
        assert line, said + "".join(p.read_text() for p in place.glob("data/runs/*/attempts/*/result.json")) + str(system("sh", "-c", f"tail -n 30 {place}/data/rollouts/bench/*/events.jsonl"))
    resize()
    for n in (2, 3):
        wait_for(lambda: len(list(place.glob("data/runs/*/attempts/*"))) == n and asleep(), timeout=60)
        waker()
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0 and "All 3 tasks completed!" in out, out
    assert len(list(place.glob("data/runs/*/attempts/*"))) == 3  # none was tried again


@pytest.fixture
def remote(workdir):
    """Stands for a network file system, where the kernel has no server of one: in user space, slow, and its attributes and names
    are three seconds old."""
    if not shutil.which("bindfs") or not os.path.exists("/dev/fuse"):
        pytest.skip("bindfs is not installed, or the kernel has no FUSE")
    behind, place = workdir / "behind", workdir / "remote"
    behind.mkdir()
    place.mkdir()
    options = "attr_timeout=3,entry_timeout=3,negative_timeout=3,allow_other"
    system("bindfs", "-o", options, "--write-rate=20M", "--read-rate=20M", behind, place).check_returncode()
    yield place
    wait_for(lambda: system("umount", place) and not os.path.ismount(place), timeout=60)


@pytest.mark.long
def test_a_data_folder_far_away(remote, make_task, make_bench, agent_script, start_cli, run_cli):
    """A run that is killed there, gone on with, graded again, read, cleaned, and a second one."""
    agent_script("echo changed >> README.md\nsleep 1\n")
    for name in ("one", "two"):
        make_task(name, tests=[("quick.sh", "works", "grep -q changed README.md\n")])
    make_bench({"prepared_dir": "tasks/*", "rollouts": 2}, agent="scripted", model="m", sandbox="local", parallel=2)
    data = ["--data-dir", remote / "data"]
    child = start_cli("run", "bench.toml", *data)
    journals = lambda: list(remote.glob("data/rollouts/bench/*/events.jsonl"))
    wait_for(lambda: journals() and '"phase":"agent"' in journals()[0].read_text() or child.poll() is not None, timeout=120)
    assert child.poll() is None
    child.kill()
    child.wait()
    assert "All" in run_cli("resume", "bench", *data, check=0, timeout=300).stdout
    assert "4 scored, 0 missing" in run_cli("summarize", "bench", *data, check=0).stdout
    run_cli("eval", "bench", *data, check=0, timeout=300)
    run_cli("clean", "--cache", *data, check=0)
    assert "All 4 tasks completed!" in run_cli("run", "bench.toml", *data, check=0, timeout=300).stdout
    assert not (remote / "data/index.db").exists()
