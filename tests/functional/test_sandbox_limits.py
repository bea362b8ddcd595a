# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of a sandbox, that nothing survives it, and where it is refused."""
import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import ENGINE, become, clean_env, wait_for
from sandboxes import DAEMONS, PY, Box, box, driver, plain, remove_left, sh, tree  # noqa: F401 (fixtures)


BOMB = "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)"


def test_fork_bomb(box):
    began = time.monotonic()
    done = box.run(("exec", {"argv": [PY, "-c", BOMB], "timeout_ms": 1500}), ("stats", {}), sh("echo alive"),
                   limits={"pids": 200})
    assert done[1]["end"] == "timed_out" and time.monotonic() - began < 15
    assert done[2]["processes"] == 0 and done[3]["out"] == "alive\n"


def test_process_limit_counts_one_sandbox(box):
    count = ("import os, time\nn = 0\ntry:\n    while n < 400:\n        if not os.fork():\n            time.sleep(60)\n"
             "        n += 1\nexcept OSError:\n    pass\nprint(n)")
    with box.start(sh("for i in $(seq 40); do sleep 60 & done; wait"), limits={"pids": 64},
                   scratch="mine/other", name="other") as other:
        wait_for(lambda: len(box.inits()) == 1)
        time.sleep(0.2)
        done = subprocess.run([str(box.driver), str(box.spec([("exec", {"argv": [PY, "-c", count]})],
                                                             limits={"pids": 64}))],
                              stdout=subprocess.PIPE, text=True, env=clean_env(box.workdir, box.account, {}),
                              **become(box.account))
        other.kill()
        other.communicate()
    started = int(json.loads(done.stdout.splitlines()[1])["out"])
    assert 50 <= started <= 64
    wait_for(lambda: box.inits() == [])
    assert (box.mine / "other").exists()  # left by SIGKILL
    remove_left(box, "mine/other")


def test_open_files_and_core_limits(plain):
    done = plain.sh("ulimit -n; ulimit -c; cat /proc/self/oom_score_adj", limits={"files": 100})
    assert done["out"].split() == ["100", "0", "500"]


def test_deadline_ends_every_daemon(box):
    done = box.run(("exec", {"argv": [PY, "-c", DAEMONS + "time.sleep(100)"], "timeout_ms": 700}), ("stats", {}))
    assert done[1]["end"] == "timed_out" and done[1]["wall_ms"] < 5000
    assert done[2]["processes"] == 0


def test_a_watcher_moves_the_deadline(plain):
    """Waiting for quota is not working time: who watches grants more when the deadline comes."""
    done = plain.run(("exec", {"argv": ["sleep", "100"], "timeout_ms": 200, "watch": {"more_ms": 900}}))[1]
    assert done["end"] == "timed_out" and done["asked"] == 2 and 1100 <= done["wall_ms"] < 20000


def test_a_watcher_ends_a_command(plain):
    """No deadline of its own: what a descriptor says ends it."""
    done = plain.run(("exec", {"argv": ["sh", "-c", "sleep 0.1; echo now; sleep 100"],
                               "watch": {"end_on_output": True}}))[1]
    assert done["end"] == "timed_out" and done["out"] == "now\n" and done["wall_ms"] < 20000


def test_the_end_of_a_command_ends_its_daemons(box):
    done = box.run(("exec", {"argv": [PY, "-c", DAEMONS]}), ("stats", {}))
    assert done[1]["end"] == "exited" and done[1]["wall_ms"] < 5000 and done[2]["processes"] == 0


def test_output_without_end(plain):
    done = plain.run(("exec", {"argv": ["yes"], "timeout_ms": 500}))[1]
    assert done["end"] == "timed_out" and done["out_total"] > 1000000


def test_memory_ceiling(box):
    done = box.run(("exec", {"argv": [PY, "-c", "import time\nx = bytearray(400 << 20)\ntime.sleep(30)"],
                             "timeout_ms": 20000}), sh("echo alive"), limits={"memory_mb": 100})
    assert done[1]["end"] == "no_memory" and "limit is 100 MB" in done[1]["text"]
    assert done[1]["memory_max"] > 100 << 20 and done[1]["wall_ms"] < 10000
    assert done[2]["out"] == "alive\n"


def test_memory_in_tmpfs_counts_and_is_bounded(plain):
    hog = "head -c 20M /dev/zero > /dev/shm/x; exec " + PY + " -c 'import time; x = b\"x\" * (68 << 20); time.sleep(20)'"
    assert plain.sh(hog, limits={"memory_mb": 80})["end"] == "no_memory"
    done = plain.sh("head -c 100M /dev/zero > /dev/shm/x; wc -c < /dev/shm/x; "
                    "for i in $(seq 20000); do true > /run/$i || break; done; ls /run | wc -l",
                    limits={"memory_mb": 80})
    assert "No space left" in done["err"]
    # The engine counts what a file without content takes as memory.
    assert int(done["out"].split()[0]) == 20 << 20 and 100 < int(done["out"].split()[1]) < (30000 if ENGINE else 1100)


def test_shared_memory_is_not_counted_twice(box):
    share = """
import mmap, os, time
m = mmap.mmap(-1, 60 << 20)
for at in range(0, 60 << 20, 4096):
    m[at] = 1
for _ in range(5):
    if not os.fork():
        sum(m[at] for at in range(0, 60 << 20, 4096))
        time.sleep(3)
        os._exit(0)
time.sleep(3)
"""
    done = box.run(("exec", {"argv": [PY, "-c", share], "timeout_ms": 20000}), limits={"memory_mb": 250})[1]
    assert done["end"] == "exited", done


WRITE = "cd {}; for i in $(seq 40); do head -c 4M /dev/zero > f$i; done; sync; sleep 30"


@pytest.mark.parametrize("place", ["/app", "/tmp", "/home/agent", "/var/tmp"])
def test_disk_ceiling(plain, place):
    done = plain.run(sh(WRITE.format(place), timeout_ms=25000), limits={"disk_mb": 64})[1]
    assert done["end"] == "no_disk" and "limit is 64 MB" in done["text"], done
    assert done["wall_ms"] < 20000


def test_disk_hidden_from_view_is_counted(box):
    hide = "mkdir -p /tmp/" + "/".join(["d"] * 200) + "; cd /tmp; cd " + "/".join(["d"] * 200) + "; " + \
           "for i in $(seq 40); do head -c 4M /dev/zero > f$i; done; sync; cd /; chmod 000 /tmp/d; sleep 30"
    done = box.run(sh(hide, timeout_ms=25000), limits={"disk_mb": 64})[1]
    assert done["end"] == "no_disk", done


def test_a_tree_too_deep_to_measure_is_called_that(plain):
    deep = """
import os, time
for i in range(600):
    os.mkdir("d")
    os.chdir("d")
time.sleep(20)
"""
    done = plain.run(("exec", {"argv": [PY, "-c", "import os; os.chdir('/tmp')" + deep], "timeout_ms": 20000}),
                     limits={"disk_mb": 64})[1]
    assert done["end"] == "no_disk" and "more than 512 levels deep" in done["text"], done


def test_files_without_a_name_and_without_content_are_counted(plain):
    """Neither takes a block that a walk over the tree would find."""
    unlinked = """
import os, time
for i in range(2): # each at once: no look at the disk comes between half of it
    fd = os.open("/var/tmp/x", os.O_CREAT | os.O_RDWR)
    os.unlink("/var/tmp/x")
    os.posix_fallocate(fd, 0, 50 << 20)
    os.write(os.memfd_create("x"), bytes(12 << 20))
os.fork()
time.sleep(20)
"""
    done = plain.run(("exec", {"argv": [PY, "-c", unlinked], "timeout_ms": 15000}), limits={"disk_mb": 64})[1]
    assert done["end"] == "no_disk" and "wrote 100 MB" in done["text"], done
    done = plain.run(("exec", {"argv": [PY, "-c", unlinked.replace("sleep(20)", "sleep(2)")]}), limits={"disk_mb": 110})[1]
    assert done["end"] == "exited", done
    many = "import os, time\nfor i in range(20000): os.mknod(f'/tmp/{i}')\ntime.sleep(50)"
    done = plain.run(("exec", {"argv": [PY, "-c", many], "timeout_ms": 50000}), limits={"disk_mb": 64})[1]
    assert done["end"] == "no_disk", done


def test_files_and_folders_are_counted(plain):
    """disk_files, for disks with few inodes: while a command runs, and at the end of a short one."""
    many = "import os, time\nfor i in range(3000): os.mknod(f'/tmp/{i}')\ntime.sleep(%d)"
    for sleep in (50, 0):
        done = plain.run(("exec", {"argv": [PY, "-c", many % sleep], "timeout_ms": 50000}), limits={"disk_files": 1000})[1]
        assert done["end"] == "no_disk" and "the limit is 1000 (disk_files)" in done["text"], done
    assert plain.run(("exec", {"argv": [PY, "-c", many % 0]}), limits={"disk_files": 5000})[1]["end"] == "exited"


def test_one_file_is_bounded(plain):
    done = plain.sh("head -c 100M /dev/zero > /tmp/x; wc -c < /tmp/x", limits={"disk_mb": 32})
    assert done["out"] == f"{32 << 20}\n"


def test_cancel(box):
    with box.start(("exec", {"argv": [PY, "-c", DAEMONS + "time.sleep(100)"]}), cancel_on_stdin=True) as child:
        wait_for(box.inits)
        time.sleep(0.3)
        began = time.monotonic()
        out, _ = child.communicate()  # closes stdin
        assert json.loads(out.splitlines()[-1])["kind"] == 4 and time.monotonic() - began < 5
    assert box.inits() == [] and not (box.mine / "scratch").exists()


def comm(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()


def gone(pids):
    def state(pid):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return all(state(pid) in (None, "Z") for pid in pids)


def of_box(box, worker):
    """What runs for a box: below its worker, and in its container."""
    return [*tree(worker), *(pid for init in box.inits() if ENGINE for pid in (init, *tree(init)))]


LOCKED = "mkdir -p /app/repo /tmp/l/m; echo x > /tmp/l/m/n; chmod 000 /tmp/l/m /tmp/l; "


@pytest.mark.parametrize("victim", [
    "worker", "holder", "init", pytest.param("bwrap", marks=pytest.mark.local("no bubblewrap starts a container"))])
def test_kill_9(box, victim):
    steps = [sh(LOCKED), ("exec", {"argv": [PY, "-c", DAEMONS + "time.sleep(100)"]})]
    with box.start(*steps) as child:
        child.stdout.readline(), child.stdout.readline()
        pids = wait_for(lambda: (t := of_box(box, child.pid)) and sum(comm(p) == "python3" for p in t) == 11 and t)
        by_name = {comm(pid): pid for pid in pids}
        # The holder is PID 1 of a namespace: a git of ours would go with it too.
        holder = next(pid for pid in pids if comm(pid) == comm(child.pid))
        assert "NSpid:\t%d\t1\n" % holder in Path(f"/proc/{holder}/status").read_text()
        os.kill({"worker": child.pid, "holder": holder, **by_name}[victim], signal.SIGKILL)
        wait_for(lambda: gone(set(pids) - {holder}))
        out, _ = child.communicate(timeout=30)
    wait_for(lambda: gone(pids))
    if victim == "worker":
        assert (box.mine / "scratch").exists()
        remove_left(box, "mine/scratch")
    else:
        assert json.loads(out.splitlines()[-1])["kind"] == 2  # infra
        assert not (box.mine / "scratch").exists()


def test_mounts_live_in_no_other_namespace(box):
    """While a sandbox runs, nothing of it shows in our mount table."""
    with box.start(("sleep", {"ms": 100000})) as child:
        wait_for(box.inits)
        mounts = Path("/proc/self/mountinfo").read_text()
        assert "overlay-" not in mounts and str(box.data) not in mounts
        child.kill()
    wait_for(lambda: box.inits() == [])
    remove_left(box, "mine/scratch")


def test_many_in_a_row_leave_nothing_open(plain):
    times = 5 if ENGINE else 20
    with plain.start(("exec", {"argv": ["true"]}), repeat=times) as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, out + err
    assert err.splitlines()[-1].endswith("ms at least")
    assert len(out.splitlines()) == times


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try")
def test_never_as_the_hosts_root(driver, workdir):
    box = Box(driver, workdir, None)
    box.by_root = False
    assert "never opened as root" in box.run()[0]["error"]


def test_without_user_namespaces(plain):
    """A refusal names the remedy. The limit is that of a namespace made here, not of the machine."""
    spec = plain.spec([])
    done = subprocess.run(["unshare", "-Ur", "sh", "-c",
                           'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$1"', plain.driver, spec],
                          capture_output=True, text=True, env=clean_env(plain.workdir, plain.account, {}),
                          **become(plain.account))
    error = json.loads(done.stdout)["error"]
    assert "sysctl -w user.max_user_namespaces=15000" in error and "\n" not in error


@pytest.mark.local("no bubblewrap starts a container")
def test_without_bubblewrap(plain):
    error = plain.run(env={"PATH": "/nonexistent"})[0]["error"]
    assert "install the package bubblewrap" in error


@pytest.mark.skipif(os.geteuid() != 0, reason="root's folders are the case")
def test_data_below_an_unsearchable_folder(driver, workdir):
    box = Box(driver, workdir, None)
    make_baseline(box)
    workdir.chmod(0o700)
    try:
        opened, done = box.run(sh("cat /app/repo/a; echo b > /app/repo/a"), baseline="base")
    finally:
        workdir.chmod(0o755)
    assert opened["workspace"] == "overlay" and done["out"] == "a\n" and done["status"] == 0


def git(path, *arguments):
    return subprocess.run(["git", "-C", str(path), "-c", "user.name=a", "-c", "user.email=a@example.org",
                           *arguments], check=True, capture_output=True, text=True).stdout


def make_baseline(box):
    """data/base/repo as src/repo lays it out: a work tree with its .git."""
    repo = box.data / "base/repo"
    (repo / "dir").mkdir(parents=True)
    (repo / "a").write_text("a\n")
    (repo / "dir/b").write_text("b\n")
    git(repo, "init", "-q", "-b", "main")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "baseline")
    head = git(repo, "rev-parse", "HEAD").strip()
    (box.data / "base/meta.json").write_text(json.dumps(
        {"start_commit": head, "baseline_commit": head, "branch": "main", "files": 2, "bytes": 4}))
    return repo


@pytest.mark.parametrize("workspace", ["overlay", "copy"])
def test_the_workspace(box, workspace):
    repo = make_baseline(box)
    before = {p: p.read_bytes() for p in repo.rglob("*") if p.is_file()}
    change = ("set -e; cd /app/repo; echo more >> a; rm dir/b; mkdir new; echo n > new/n; git status --short; "
              "mkdir shut; echo s > shut/s; chmod 000 shut")
    done = box.run(sh(change), ("stats", {}), ("diff", {}), ("stop", {}), sh("true"), ("diff", {}),
                   baseline="base", workspace=workspace)
    assert done[0]["workspace"] == workspace
    assert done[1]["status"] == 0 and done[1]["out"].split() == ["M", "a", "D", "dir/b", "??", "new/"], done[1]
    assert "still runs" in done[3]["error"]  # a diff needs the end of PID 1
    assert "stopped" in done[5]["error"]
    patch = done[6]["patch"]
    assert "+more" in patch and "deleted file" in patch and "new/n" in patch and "shut/s" in patch
    assert before == {p: p.read_bytes() for p in repo.rglob("*") if p.is_file()}


def test_nothing_changed_is_an_empty_diff(box):
    make_baseline(box)
    done = box.run(sh("true"), ("stop", {}), ("diff", {}), baseline="base")
    assert done[3]["patch"] == "" and done[3]["files"] == 0


def test_apply(box):
    make_baseline(box)
    (box.mine / "good.patch").write_text("diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+patched\n")
    (box.mine / "bad.patch").write_text("diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-other\n+patched\n")
    done = box.run(("apply", {"patch": "mine/bad.patch"}), ("apply", {"patch": "mine/good.patch"}),
                   sh("cat /app/repo/a; echo x >> /app/repo/a"), baseline="base")
    assert done[1]["why"]
    assert done[2] == {"why": None}
    assert done[3]["out"] == "patched\n" and done[3]["status"] == 0


def test_an_app_folder_is_a_copy(box):
    app = box.data / "snapshot/app"
    app.mkdir(parents=True)
    (app / "LM_INSTRUCTIONS.md").write_text("do it\n")
    done = box.run(sh("cat /app/LM_INSTRUCTIONS.md; echo x > /app/LM_INSTRUCTIONS.md; echo n > /app/notes.md"),
                   ("get", {"path": "/app/notes.md"}), app="snapshot/app")
    assert done[1]["out"] == "do it\n" and done[1]["status"] == 0 and done[2]["text"] == "n\n"
    assert (app / "LM_INSTRUCTIONS.md").read_text() == "do it\n"
