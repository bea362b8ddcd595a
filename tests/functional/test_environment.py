# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs expect of the machine they run on: names that resolve, ports, who commits, their files in /etc, limits to be seen."""
import json
import os
import shutil
import stat

import pytest

from conftest import ENGINE, read_rollout
from sandboxes import box, driver, plain, sh  # noqa: F401 (fixtures)

LOCAL = pytest.mark.local("a container has its image's /etc, and /sys of its engine")
NEVER = ("/etc/environment", "/etc/localtime", "/etc/ssl/private", "/etc/default", "/etc/npmrc")


def test_names_resolve(box):
    """The machine's own name as well, and to where a server of the same sandbox listens."""
    found = box.py("""
import json, socket
def ask(name, family):
    return sorted({a[4][0] for a in socket.getaddrinfo(name, 80, family)})
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection((socket.gethostname(), server.getsockname()[1])).close()
print(json.dumps([ask("localhost", socket.AF_INET), ask("localhost", socket.AF_INET6), ask(socket.gethostname(), socket.AF_INET)]))""")
    assert found[:2] == [["127.0.0.1"], ["::1"]] and found[2] == ["127.0.0.1"]
    if not ENGINE:  # in a container as its image's host.conf has it
        assert box.py("import json, socket; print(json.dumps(sorted({a[4][0] for a in socket.getaddrinfo('localhost', 80)})))") == \
            ["127.0.0.1", "::1"]


def test_every_port_may_be_listened_on(box):
    found = box.py("""
import json, socket
def listen(family, address):
    with socket.socket(family) as s:
        s.bind(address)
        s.listen()
        return s.getsockname()[1]
socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
print(json.dumps([listen(socket.AF_INET, ("0.0.0.0", 80)), listen(socket.AF_INET6, ("::1", 443))]))""")
    assert found == [80, 443]


def test_whoever_commits_has_a_name(box):
    """In any repository; and the repository's own settings count before it."""
    done = box.sh("cd /tmp && git init -q a && cd a && git commit -q --allow-empty -m x && git log --format='%an %ae' && "
                  "git config user.name Somebody && git commit -q --allow-empty -m y && git log -1 --format='%an %ae'")
    assert done["out"].splitlines() == ["agent agent@localhost", "Somebody agent@localhost"], done


def test_home_is_the_same_for_agent_and_tests(run_cli, make_task, make_bench, agent_script, workdir):
    task = make_task("home", rubrics=[{"id": "r", "criterion": "c", "weight": 1}], gold=False, files={".env": "HOME=/root\n"},
                     tests=[("t.sh", "r", "[ $HOME = /home/agent ] && [ ~ = /home/agent ] && touch ~/x")])
    run_cli("run", make_bench(task, agent=agent_script("echo $HOME"), model="m"), check=0)
    row = read_rollout(workdir / "data").manifest["results"][-1]
    assert row["total_score"] == 1
    assert (workdir / "data/runs" / row["run_id"] / "logs/agent.log").read_text() == "/home/agent\n"
    assert "note:" in run_cli("validate", task, check=0).stdout
    moved = make_bench(task, environment_variables={"HOME": "/x"}, agent="nop")
    assert "HOME is /home/agent in every sandbox" in run_cli("validate", moved, check=2).stderr


def test_processes_are_limited_by_a_key(run_cli, make_task, make_bench, agent_script, workdir):
    task = make_task("many", tests=[], gold=False)
    count = """python3 - <<'END'
import threading
end, n = threading.Event(), 0
try:
    while n < 200:
        threading.Thread(target=end.wait).start()
        n += 1
except RuntimeError:
    pass
end.set()
print(n)
END"""
    run_cli("run", make_bench(task, agent=agent_script(count), model="m", process_limit=50, evaluate=False), check=0)
    row = read_rollout(workdir / "data").manifest["results"][-1]
    assert 20 <= int((workdir / "data/runs" / row["run_id"] / "logs/agent.log").read_text()) < 50


# --- /etc -----------------------------------------------------------------------------------------

def links_into_etc():
    """Links below /usr whose file in /etc everybody may read."""
    found = []
    for top in ("/usr/lib", "/usr/share", "/usr/local"):
        for folder, names, files in os.walk(top):
            names[:] = [n for n in names if f"{folder}/{n}" not in ("/usr/share/man", "/usr/share/doc", "/usr/share/locale")]
            for path in (f"{folder}/{n}" for n in names + files):
                if os.path.islink(path):
                    target = os.path.realpath(path)
                    first = os.path.normpath(os.path.join(folder, os.readlink(path)))
                    if target.startswith("/etc/") and first.startswith("/etc/") and not first.startswith(NEVER) and \
                            os.path.exists(target) and os.stat(target).st_mode & stat.S_IROTH:
                        found.append(path)
    return found


@LOCAL
def test_what_programs_have_in_etc_is_there(box):
    links = links_into_etc()
    missing = box.py("import json, os, sys; print(json.dumps([p for p in sys.argv[1:] if not os.access(p, os.R_OK)]))", *links[:2000])
    assert missing == []
    if shutil.which("javac"):
        assert any("/etc/java" in os.readlink(p) for p in links if os.path.islink(p)) or not os.path.isdir("/etc/java-17-openjdk")
    kept = list((box.data / "cache/etc").glob("*.list"))
    assert len(kept) == 1
    box.sh("true")
    assert list((box.data / "cache/etc").glob("*.list")) == kept


@LOCAL
def test_nothing_else_of_etc_is_there(box):
    done = box.sh("cat /etc/shadow /etc/subuid /etc/machine-id /etc/npmrc /etc/environment; ls -d /etc/ssh /etc/sudoers.d; "
                  "find /etc -name '*.key'; grep -c . /etc/passwd; grep -rl '^\\[user\\]' /etc/gitconfig")
    assert done["out"].split() == ["3", "/etc/gitconfig"], done
    for path in box.data.glob("cache/etc/*/*"):
        assert path.name not in ("shadow", "passwd", "npmrc", "ssh", "gitconfig", "environment")


@LOCAL
@pytest.mark.parametrize("program, argv, says", [
    ("perl", ["perl", "-MData::Dumper", "-e", "print 'fine'"], "fine"),
    ("javac", ["sh", "-c", "echo 'class A { public static void main(String[] a) throws Exception { "
                           "System.out.print(java.security.MessageDigest.getInstance(\"SHA-256\").getAlgorithm()); } }' >/tmp/A.java; "
                           "cd /tmp && javac A.java && java -cp . A"], "SHA-256"),
    ("mvn", ["mvn", "-v"], "Apache Maven"), ("fc-match", ["fc-match", "sans"], "."), ("file", ["file", "-b", "/etc/hosts"], "ASCII"),
    ("R", ["R", "-q", "-s", "-e", "cat(1+1)"], "2"), ("php", ["php", "-r", "echo mb_strlen('ü');"], "1"),
    ("convert", ["convert", "-version"], "ImageMagick"),
])
def test_installed_programs_run(plain, program, argv, says):
    if not shutil.which(program, path="/usr/bin"):
        pytest.skip(f"{program} is not installed")
    done = plain.run(("exec", {"argv": argv, "timeout_ms": 60000, "env": ["PATH=/usr/bin:/bin", "HOME=/home/agent"]}))[1]
    assert says in done["out"] and done["status"] == 0, done


# --- limits to be seen ----------------------------------------------------------------------------

@LOCAL
def test_limits_are_seen(box):
    """As one control group, whatever holds them; and of /sys nothing but the processors."""
    out = box.sh("cd /sys/fs/cgroup && cat memory.max cpu.max pids.max; ls /sys /sys/devices /sys/devices/system; nproc; "
                 "python3 -c 'import os; print(os.cpu_count())'; touch x /sys/x || echo read-only; grep -c 'cgroup2' /proc/self/mountinfo",
                 limits={"memory_mb": 300, "cpus": 1.5, "pids": 200})["out"].split()
    assert out[:4] == ["314572800", "150000", "100000", "200"]
    assert "block" not in out and "class" not in out and "net" not in out
    assert out[-4:-2] == [str(len(os.sched_getaffinity(0)))] * 2 and out[-2:] == ["read-only", "1"], out


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one processor")
def test_a_trial_has_the_processors_that_it_reserves(run_cli, make_task, make_bench, agent_script, workdir):
    """However a program counts them, in both phases; and what reserves none has all."""
    count = "nproc; python3 -c 'import os; print(os.cpu_count())'; grep -c ^processor /proc/cpuinfo"
    task = make_task("count", rubrics=[{"id": "r", "criterion": "c", "weight": 1}], gold=False, tests=[("t.sh", "r", count)])
    for keys, n in ({"cpus": 0.5}, 1), ({}, len(os.sched_getaffinity(0))):
        run_cli("run", make_bench(task, agent=agent_script(count), model="m", **keys), check=0)
        run = workdir / "data/runs" / read_rollout(workdir / "data").manifest["results"][-1]["run_id"]
        counted = (run / "logs/agent.log").read_text().split()
        assert counted[0] == str(n) and counted[1:] == ([str(n)] * 2 if keys else counted[1:]), counted
        assert (run / "logs/eval.log").read_text().split("\n")[1:4] == counted


@LOCAL
@pytest.mark.skipif(not shutil.which("java", path="/usr/bin"), reason="java is not installed")
def test_a_jvm_sees_its_limits(plain):
    """And does not think that more is free than there is."""
    source = """public class A { public static void main(String[] a) {
var b = (com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();
System.out.println((b.getTotalMemorySize() >> 20) + " " + (b.getFreeMemorySize() >> 20)); } }"""
    said = plain.sh(f"java -XshowSettings:system -version 2>&1; cd /tmp; echo '{source}' >A.java; ! command -v javac >/dev/null || java A.java",
                    limits={"memory_mb": 512, "cpus": 1})["out"]
    assert "Memory Limit: 512.00M" in said and "Effective CPU Count: 1" in said, said
    if shutil.which("javac", path="/usr/bin"):
        total, free = map(int, said.splitlines()[-1].split())
        assert total == 512 and 0 < free <= 512
