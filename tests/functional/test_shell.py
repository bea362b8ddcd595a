# SPDX-License-Identifier: GPL-3.0-or-later
"""shell: the sandbox of a trial's grading, opened again."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from conftest import clean_env

WORK = "sed -i s/nmae/name/ src/greet.py; echo mine > made.txt; echo 'x = 1' > conftest.py; chmod 700 made.txt"


@pytest.fixture
def worked(run_cli, make_task, make_bench, agent_script, workdir):
    make_bench({"prepared_dir": make_task("greet", files={".env": "COLOUR=blue\n"}), "model": "m1", "environment_variables": {"OWN": "agents"}},
               agent=agent_script(WORK))
    run_cli("run", "bench.toml", check=0)
    [run] = (workdir / "data/runs").iterdir()
    return run


def left(workdir):
    return sorted(str(p.relative_to(workdir)) for p in (workdir / "data/runs").rglob("*"))


def test_what_the_tests_saw(run_cli, worked, workdir):
    before = left(workdir)
    sh = lambda *words, **how: run_cli("shell", worked.name, *words, **how)
    done = sh("--", "sh", "-c", "pwd; ls; cat src/greet.py test_greet.py; echo $COLOUR ${OWN:-none}; stat -c %a made.txt; git status --short", check=0)
    assert done.stdout.startswith("/app/repo\n") and "'hello ' + name" in done.stdout and "def test_greet" in done.stdout
    assert "made.txt" in done.stdout and "conftest.py" not in done.stdout and "blue none" in done.stdout
    assert done.stderr == "rollouts: conftest.py: changes how pytest runs\n"
    clean = sh("--clean", "--", "sh", "-c", "ls; cat src/greet.py; ls made.txt", check=2)
    assert "nmae" in clean.stdout and "check_data.sh" in clean.stdout and "made.txt" not in clean.stdout and "made.txt" in clean.stderr
    agents = sh("--agent", "--", "sh", "-c", "ls; echo $COLOUR $OWN $ROLLOUTS_MODEL", check=0)
    assert "conftest.py" in agents.stdout and "check_data.sh" not in agents.stdout and "blue agents m1" in agents.stdout
    # What is done inside is gone, the command's status and streams are its own.
    done = sh("--", "sh", "-c", "rm -rf src; touch new; cat; echo oops >&2; exit 7", input="typed\n" * 5000, check=7)
    assert done.stdout == "typed\n" * 5000 and done.stderr.endswith("oops\n")
    assert "src" in sh("--", "ls", check=0).stdout.split()
    assert sh("--", "sh", "-c", "kill -9 $$").returncode == 137
    assert "no-such-program" in sh("--", "no-such-program", check=127).stderr
    assert left(workdir) == before


def test_one_test_as_in_the_grading(run_cli, account, worked):
    assert "1 passed" in run_cli("shell", worked.name, "--test", "test_greet.py", check=0).stdout
    assert "1 failed" in run_cli("shell", worked.name, "--clean", "--test", "test_greet.py", check=1).stdout
    run_cli("shell", worked.name[:-1], "--test", "check_data.sh", check=0)
    assert 'no test "nope.sh"' in run_cli("shell", worked.name, "--test", "nope.sh", check=2).stderr


def test_there_is_no_way_out(run_cli, worked):
    done = run_cli("shell", worked.name, "--agent", "--", "sh", "-c", "env; cat /proc/net/tcp | wc -l; cat /etc/shadow", check=None)
    assert "TOKEN" not in done.stdout and "root:" not in done.stdout


def test_mistakes(run_cli, worked, workdir):
    for flags, words in ((["--clean", "--agent"], "exclude each other"), (["--test", "a", "--agent"], "excludes"), (["--test", "a", "--", "ls"], "excludes")):
        assert words in run_cli("shell", worked.name, *flags, check=2).stderr
    assert "has no run" in run_cli("shell", "1999", check=2).stderr
    assert "has attempts 1 to 1" in run_cli("shell", worked.name, "--attempt", "2", check=2).stderr


def test_what_is_another_than_it_was_is_told(run_cli, worked, workdir):
    [snapshot] = [p for p in (workdir / "data/cache/tasks").iterdir() if p.is_dir() and not p.name.startswith(".")]
    result = json.loads((worked / "result.json").read_text())
    file = worked / "attempts/1/result.json"
    file.write_text(json.dumps({**result, "program": "0.0.9+abc"}))
    os.chmod(snapshot / "app", 0o755)
    (snapshot / "app/more.txt").write_text("x")
    told = run_cli("shell", worked.name, "--", "true", check=0).stderr
    assert "was graded by rollouts 0.0.9+abc; this is " in told and "are not those from then" in told
    snapshot.rename(snapshot.with_name("gone"))
    assert "the snapshot of task greet, is gone" in run_cli("shell", worked.name, "--", "true", check=2).stderr


def test_a_terminal(binary, worked, workdir):
    """Job control, its size, and ^C for the command and not for us."""
    pid, master = pty.fork()
    if not pid:
        os.chdir(workdir)
        os.environ.update(clean_env(workdir, None, None))
        os.execv(binary, [str(binary), "shell", worked.name])
    seen, everything = "", []

    def until(words, seconds=60):
        """What comes from here on, up to WORDS."""
        nonlocal seen
        end = time.monotonic() + seconds
        while not re.search(words, seen) and time.monotonic() < end:
            if select.select([master], [], [], .2)[0]:
                try:
                    seen += os.read(master, 4096).decode(errors="replace")
                except OSError:
                    break
        found = re.search(words, seen)
        assert found, seen
        everything.append(seen[:found.end()])
        seen = seen[found.end():]

    until(r"[$#] ?$")
    os.write(master, b"echo he''re; test -t 0 && test -t 1 && echo ter''minal\r")
    until(r"here\r\n(.*\n)*.*terminal\r\n")
    # It speaks when it runs: what a shell has forked and not yet started would lose the ^C.
    os.write(master, b"sh -c 'echo wai\"\"ting; exec cat'\r")
    until(r"waiting\r\n")
    os.write(master, b"\x03")
    until(r"\^C\r\n(.*\n)*.*[$#] ?$")  # it takes away what was typed and not read
    os.write(master, b"echo status $? al''ive\r")
    until(r"status 130 alive")
    os.write(master, b"exit 5\r")
    until(r"exit")
    _, status = os.waitpid(pid, 0)
    os.close(master)
    assert os.waitstatus_to_exitcode(status) == 5 and "no job control" not in "".join(everything)


def test_an_end_from_outside_leaves_nothing(start_cli, worked, workdir):
    before = left(workdir)
    child = start_cli("shell", worked.name, "--", "sh", "-c", "echo on; sleep 1000", stdout=subprocess.PIPE)
    assert "on" in str(child.stdout.readline())
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 130 and left(workdir) == before
