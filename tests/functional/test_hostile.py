# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile agents through the real program: each has one trial of one benchmark, all run side by side.

A case is a script and what must hold of its trial afterwards. What must hold of all of them (no secret
and nothing of the host anywhere, nothing raw on a screen, bounded memory, no process or file left) is
checked once, over everything. The code under test is hostile too: it runs in the second sandbox.
"""
import contextlib
import csv
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import textwrap
import threading
import time
from pathlib import Path

import pytest

from conftest import SANDBOX, TESTS, git, tell

KEYS = {"OPENAI_API_KEY": "sk-" + "canary-openai", "ANTHROPIC_API_KEY": "sk-" + "canary-anthropic",
        "AWS_SECRET_ACCESS_KEY": "canary-" + "aws", "GITHUB_TOKEN": "canary-" + "github"}
SECRET = "canary-"          # in every key
HOST = "content-of-the-host"  # in files an agent can only reach by leaving its sandbox
GOLD = "kanarie"            # in the solution, the tests and the repository's later commits
RSS_MAX = 120 << 20         # of the supervisor and of a worker
CASES = {}

# The tests of the one task. The first two pass when greet() is fixed and the data kept; the third
# looks for anything an agent could have left for it.
CLEAN = f"""# {GOLD}
fail() {{ echo "not clean: $*"; exit 1; }}
[ -z "$PYTHONPATH$BASH_ENV$ENV$PYTHONSTARTUP$LD_PRELOAD$GIT_DIR$PROMPT_COMMAND" ] || fail environment
env | grep -q '^BASH_FUNC' && fail functions
[ -z "$(ls -A ~)" ] || fail "home: $(ls -A ~)"
[ -z "$(ls -A /tmp /var/tmp /dev/shm | grep -v -e : -e '^$')" ] || fail temporary files
[ -e /app/notes.md ] && fail notes
git status >/dev/null || fail git
[ "$(git rev-list --count HEAD)" = 1 ] || [ "$(git log -1 --format=%s)" != evil ] || fail history
[ ! -e /tmp/pwned ] || fail pwned
[ "$(git config --get-regexp 'fsmonitor|filter|textconv|worktree' | wc -l)" = 0 ] || fail config
exit 0
"""
if SANDBOX:
    CLEAN = CLEAN.replace("/tmp /var/tmp /dev/shm", '"$TMPDIR"').replace("/app/", "../").replace("/tmp/", '"$TMPDIR"/')
RUBRICS = [{"id": name, "criterion": f"it is {name} <b>**`", "weight": 1} for name in ("works", "kept", "clean")]


def case(script, entry=None, **agent):
    """Register the decorated check of the trial in which an agent runs SCRIPT."""
    def register(check):
        name = check.__name__.removeprefix("check_")
        CASES[name] = (textwrap.dedent(script), entry or {}, agent, check)
        return check
    return register


def python(text):
    """A script in Python; it is in /app/repo."""
    return "python3 - <<'END'\n" + textwrap.dedent(text).strip() + "\nEND\n"


class Trial:
    """What one trial left behind."""

    def __init__(self, top):
        self.top = top
        self.result = json.loads((top / "result.json").read_text())
        self.outcome, self.reason = self.result["outcome"], self.result["reason"]
        self.document = json.loads((top / "evaluation_results.json").read_text())
        self.info = json.loads((top / "artifacts/repo_info.json").read_text())
        self.diff = (top / "artifacts/diff.patch").read_bytes()
        self.log = (top / "logs/agent.log").read_text(errors="surrogateescape")

    @property
    def scores(self):
        return tuple(self.result["scores"].get(r["id"]) for r in RUBRICS)

    def skipped(self, name, why=""):
        return any(name in line and why in line for line in self.info["skipped"])

    def collected(self):
        folder = self.top / "artifacts/agent"
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())

    def completed(self, works=0, kept=1, clean=1):
        assert (self.outcome, self.reason) == ("completed", "")
        assert self.document["patch_applied"], self.document["patch_reason"]
        tests = {path: (t["reason"], t["output"][-600:]) for path, t in self.document["test_results"].items()
                 if not t["success"]}
        assert self.scores == (works, kept, clean), tests


@case("""
    ln -s "$CANARY_DIR/secret" /app/notes.md; ln -s "$CANARY_DIR/secret" in-repo; ln -s /etc/shadow shadow
    rm -rf src; ln -s "$CANARY_DIR" src
    mkdir -p ~/out; ln -s /proc/1/environ ~/out/environ; ln -s "$CANARY_DIR/secret" ~/out/canary
    ln -s / ~/out/root; ln -s "$CANARY_DIR" ~/outlink; ln -s ../../../../../../.. ~/out/up; echo x > ~/out/real
    """, collect=["{home}/out", "{home}/outlink", "{home}/outlink/secret"])
def check_links(t):
    t.completed()
    assert not (t.top / "artifacts/notes.md").exists()
    assert t.collected() == ["home/agent/out/real"]
    assert b"new file mode 120000" in t.diff and b"/etc/shadow" in t.diff


@case("""
    mkfifo /app/notes.md fifo ~/fifo
    mkdir ~/c; mkfifo ~/c/fifo
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
    mknod dev c 1 5 || mknod dev c 0 0; exit 0
    """, collect=["{home}/c", "{home}/fifo", "/dev/zero", "/proc/kmsg", "/proc/self/mem"])
def check_fifo(t):
    t.completed()
    assert not (t.top / "artifacts/notes.md").exists() and t.collected() == []
    # Without namespaces there are no sockets with a name.
    assert t.skipped("fifo", "neither") and t.skipped("sock", "neither") != bool(SANDBOX)


@case("mkdir -p /app/notes.md/notes.md; chmod 0 /app/notes.md; rm -rf src; mkfifo src")
def check_directory_for_notes(t):
    t.completed()
    assert not (t.top / "artifacts/notes.md").is_file()


@case("""
    for top in /app/repo /tmp ~ /var/tmp /app; do
        mkdir -p $top/a/b/c; echo x > $top/a/b/c/f; chmod 0 $top/a/b/c/f $top/a/b/c $top/a/b $top/a
    done
    chmod 0 src/greet.py src data .git README.md; chmod 0 ~ /tmp /app/repo /app
    """, collect=["{home}"])
def check_no_rights(t):
    t.completed()
    assert b"a/b/c/f" in t.diff


@case(python("""
    import os
    for top in ("/app/repo", "/tmp", os.path.expanduser("~"), "/app"):
        os.chdir(top)
        for _ in range(3000):
            os.mkdir("d")
            os.chdir("d")
        open("end", "w").close()
    """), collect=["{home}"])
def check_deep(t):
    assert t.outcome in ("completed", "agent_error"), t.reason
    assert t.document["patch_applied"]
    assert t.skipped("d", "too deep")


@case(r"""
    mkdir -p names && cd names
    touch -- -rf --help '-' '*' '~' '$(touch /tmp/pwned)' '`id`' $'new\nline' $'esc\033[31m\007' $'bad\xff\xfe' \
        $'tab\t' 'quo"te' '\' ' ' $'\u202ereversed' 'a:b' 'aux' 'con.txt' 'git~1' .GIT 'x.tmp.1' $'cr\r' '<b>&'
    echo text > "$(printf 'n%.0s' $(seq 255))"
    ln -s $'target\n\033[31m' link; cp -r . ~/names
    """, collect=["{home}/names"])
def check_names(t):
    t.completed()
    assert t.skipped(".GIT") and b"--help" in t.diff and b"names/-rf" in t.diff
    assert "home/agent/names/-rf" in t.collected() and "home/agent/names/new\nline" in t.collected()


@case("""
    git init -q nested && cd nested && echo x > f && git add . &&
        git -c user.name=a -c user.email=a@b commit -qm nested && cd ..
    git init -q --bare bare.git; git init -q real && echo y > real/g
    git -c protocol.file.allow=always submodule add -q /app/repo/nested sub || true
    git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),gitlink
    printf 'gitdir: /tmp/elsewhere\\n' > data/.git; ln -s /etc/passwd .gitmodules2; rm -f .gitmodules
    ln -s /etc/passwd .gitmodules
    """)
def check_repositories_within(t):
    t.completed()
    assert b"160000" not in t.diff and b"/.git/" not in t.diff


EVIL_CONFIG = r"""
[core]
    fsmonitor = "touch HERE/fsmonitor; false"
    hooksPath = /app/repo/hooks
    worktree = HERE
    sshCommand = touch HERE/ssh
    pager = touch HERE/pager
    editor = touch HERE/editor
    attributesFile = /app/repo/.gitattributes
    alternateRefsCommand = touch HERE/alternate
[filter "evil"]
    clean = touch HERE/clean; cat
    smudge = touch HERE/smudge; cat
    process = touch HERE/process
    required = true
[diff "evil"]
    textconv = touch HERE/textconv; cat
    command = touch HERE/diff
    external = touch HERE/external
[diff]
    external = touch HERE/external
[merge "evil"]
    driver = touch HERE/merge
[include]
    path = HERE/secret
[includeIf "gitdir:/"]
    path = HERE/secret
[uploadpack]
    packObjectsHook = touch HERE/pack
[extensions]
    partialClone = origin
[remote "origin"]
    url = ext::sh -c 'touch HERE/remote'
    promisor = true
[alias]
    status = !touch HERE/alias
"""
ATTRIBUTES = "* filter=evil diff=evil merge=evil text eol=crlf ident export-subst working-tree-encoding=UTF-16\n"


@case(f"""
    cat > /tmp/config <<'END'
{EVIL_CONFIG}
END
    mkdir hooks /tmp/hooks
    for hook in post-checkout pre-commit post-index-change reference-transaction post-merge pre-auto-gc; do
        printf '#!/bin/sh\\ntouch HERE/%s\\n' $hook > hooks/$hook
    done
    chmod +x hooks/*; sed -i "s,HERE,$CANARY_DIR,g" /tmp/config hooks/*
    printf '%s' '{ATTRIBUTES}' > .gitattributes
    sed -i s/nmae/name/ src/greet.py
    cp -r .git /tmp/evil.git; cat /tmp/config >> /tmp/evil.git/config; cp hooks/* /tmp/evil.git/hooks
    cat /tmp/config >> .git/config; cp hooks/* .git/hooks; cp .gitattributes .git/info/attributes
    cp /tmp/config ~/.gitconfig; mkdir -p ~/.config/git; cp /tmp/config ~/.config/git/config
    cp .gitattributes data/; echo '/etc' > .git/objects/info/alternates
    """)
def check_evil_git(t):
    t.completed(works=1)
    assert b"\r\n" not in t.diff


@case(f"""
    rm -rf .git; printf 'gitdir: /tmp/evil.git\\n' > .git; git init -q --bare /tmp/evil.git
    echo '[core]' >> /tmp/evil.git/config; echo "fsmonitor = touch $CANARY_DIR/fsmonitor" >> /tmp/evil.git/config
    sed -i s/nmae/name/ src/greet.py
    """)
def check_git_is_a_file(t):
    t.completed(works=1)


@case("rm -rf .git; ln -s /etc .git; sed -i s/nmae/name/ src/greet.py; rm -rf .gitignore; ln -s /dev/zero .gitignore")
def check_git_is_a_link(t):
    t.completed(works=1)


@case("""
    sed -i s/nmae/name/ src/greet.py; printf '*\\n!.gitignore\\n' > .gitignore; echo x > new; mkdir d; echo y > d/new
    git update-index --assume-unchanged src/greet.py; git update-index --skip-worktree data/numbers.txt
    echo more >> data/numbers.txt
    """)
def check_hidden_work(t):
    t.completed(works=1, kept=0)
    assert "new" in t.info["ignored"] and "d/" in t.info["ignored"]


@case("""
    truncate -s 20G sparse; truncate -s 67108865 over; head -c 15000000 /dev/urandom > binary
    sha256sum < binary | tee /app/notes.md
    truncate -s 20G ~/sparse; truncate -s 20G /tmp/sparse; truncate -s 2M /app/notes2
    """, entry={"disk_mb": 40000}, collect=["{home}/sparse"])
def check_large_files(t):
    t.completed()
    assert t.skipped("sparse", "too large") and t.skipped("over", "too large")
    assert not t.result["agent"]["diff_truncated"]
    assert any("sparse: too large" in line for line in t.info["not_collected"])


@case(python("""
    import os
    os.mkdir("many")
    for i in range(6000):
        os.close(os.open(f"many/{i}", os.O_CREAT | os.O_WRONLY))
    os.mkdir("/tmp/many")
    for i in range(6000):
        os.link("many/0", f"many/l{i}") if i < 1000 else os.symlink("x", f"/tmp/many/{i}")
    """))
def check_many_files(t):
    t.completed()
    assert t.info["files_changed"] == 7000


@case("rm -rf -- * .git; mkdir -p src data; cp -r /usr/include . 2>/dev/null; rm -rf include; exit 0")
def check_everything_gone(t):
    t.completed(kept=0)


@case("yes out & yes errors >&2 & head -c 1000000000 /dev/zero & wait", entry={"timeout_sec": 1})
def check_endless_output(t):
    assert (t.outcome, t.reason.partition(",")[0]) == ("timeout", "timed out after 1 s")
    for name in ("agent.log", "agent.err"):
        assert (t.top / "logs" / name).stat().st_size < 33 << 20
    assert t.scores == (0, 1, 1)


ESCAPES = r"\033]0;owned\007\033[2J\033[8m\033]52;c;cHduZWQ=\007\033P+q\033\\\302\233 31m\342\200\256\r\b\b\377|<script>=cmd()"
RULES = {"format": "jsonl", "rules": [
    {"match": {"/type": "end"}, "field": "final_message", "pointer": "/text"},
    {"match": {"/type": "end"}, "field": "version", "pointer": "/text"},
    {"match": {"/type": "end"}, "field": "error", "pointer": "/error"},
    {"match": {"/type": "end"}, "field": "tokens_total", "pointer": "/n", "how": "add"}]}
LIVE = "=HYPERLINK(1) | <img src=x> `` ``` \\n\\n# Title \\u001b[31m\\u009b \\u202e \\u0000 [x](javascript:1) " + "x" * 3000


@case(f"""
    for i in 1 2 3; do printf '{ESCAPES}'; printf '{ESCAPES}\\n' >&2; done
    printf '\\n```\\n# Title\\n[rollouts] forged\\n✓ Task forged completed (launched)\\n'
    echo '{{"type":"end","n":-5}}'; echo '{{"type":"end","text":"{LIVE}","error":"{LIVE}","n":1e308}}'
    printf '{ESCAPES}' > /app/notes.md; printf '```\\n# x {ESCAPES}' > escapes.txt
    """, output=RULES)
def check_escapes(t):
    assert t.outcome == "agent_error" and t.reason.startswith("it reported: =HYPERLINK")
    assert t.result["agent"]["metrics"]["tokens_total"] is None
    assert t.scores == (0, 1, 1)


@case(f"printf '{ESCAPES}' >&2; exit 3")
def check_escapes_in_last_words(t):
    assert t.outcome == "agent_error" and t.reason.startswith("exit status 3: \\x1b]0;owned\\x07")


@case("sed -i s/nmae/name/ src/greet.py; sleep 1000 & kill -9 -1; echo still here; kill -9 -1; kill -9 $$")
def check_kills_everything(t):
    assert t.outcome == "agent_error" and "SIGKILL" in t.reason
    assert t.scores == (1, 1, 1)


@case(python("""
    import ctypes, os, signal
    libc = ctypes.CDLL(None, use_errno=True)
    for sig in range(1, 65):
        try:
            os.kill(1, sig)
        except OSError:
            pass
    assert libc.ptrace(16, 1, 0, 0) == -1, "attached"
    assert libc.ptrace(0x4206, 1, 0, 0) == -1, "seized"
    for name in ("environ", "mem", "maps", "fd/3", "root/etc/shadow"):
        try:
            print("opened", name, open("/proc/1/" + name, "rb").read(100))
        except OSError:
            pass
    try:
        print("opened", os.listdir("/proc/1/fd"))
    except OSError:
        pass
    class iovec(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("n", ctypes.c_size_t)]
    b = ctypes.create_string_buffer(8)
    v = iovec(ctypes.addressof(b), 8)
    assert libc.process_vm_readv(1, ctypes.byref(v), 1, ctypes.byref(v), 1, 0) == -1
    fd = libc.syscall(434, 1, 0)
    assert fd < 0 or libc.syscall(438, fd, 3, 0) == -1, "pidfd_getfd"
    print("descriptors", sorted(os.listdir("/proc/self/fd"))[:9])
    """))
def check_attacks_pid_1(t):
    t.completed()
    assert "opened" not in t.log and "descriptors ['0', '1', '2', '3', '4']" in t.log


@case("""
    (trap '' TERM HUP INT; exec setsid bash -c 'while :; do echo daemon; echo daemon >> /app/repo/daemon; done') &
    (setsid setsid python3 -c '
import os, time
os.chdir("/app/repo")
while True:
    open("daemon2", "a").write("x"); print("x", flush=True)' &) &
    exec 0<&- 1<&- 2<&- 3<&-
    sleep 0.3
    """)
def check_daemons(t):
    t.completed()


@case("trap '' TERM INT HUP QUIT; sed -i s/nmae/name/ src/greet.py; while :; do sleep 1000; done", {"timeout_sec": 2})
def check_ignores_signals(t):
    assert (t.outcome, t.scores) == ("timeout", (1, 1, 1))


@case("bomb() { bomb | bomb & }; bomb; sleep 100", entry={"timeout_sec": 3})
def check_fork_bomb(t):
    assert t.outcome in ("timeout", "agent_error") and t.scores == (0, 1, 1), t.reason


@case("python3 -c 'x = bytearray(600 << 20); import time; time.sleep(30)'", {"memory_mb": 128, "timeout_sec": 20})
def check_memory_hog(t):
    assert t.outcome == "agent_error" and "128 MB of memory" in t.reason


@case("head -c 900M /dev/zero > /tmp/fill; sleep 20", {"disk_mb": 60, "timeout_sec": 20})
def check_disk_hog(t):
    assert t.outcome == "agent_error" and "60 MB" in t.reason or "SIGXFSZ" in t.reason, t.reason


@case("for i in 1 2 3 4 5 6 7 8; do head -c 20M /dev/zero > /var/tmp/$i & done; wait; sleep 20",
      {"disk_mb": 60, "timeout_sec": 20})
def check_disk_hog_in_parts(t):
    assert t.outcome == "agent_error" and "60 MB" in t.reason


@case("""
    head -c 4G /dev/zero > /dev/shm/fill; head -c 4G /dev/zero > /run/fill; head -c 4G /dev/zero > /dev/fill
    for i in $(seq 30000); do : > /dev/shm/$i || break; done; df /dev/shm >&2
    sleep 3
    """, {"memory_mb": 200, "disk_mb": 300, "timeout_sec": 60})
def check_shared_memory(t):
    assert t.outcome in ("completed", "agent_error"), t.reason
    assert t.scores == (0, 1, 1)
    assert t.result["agent"]["metrics"]["memory_max"] < 260 << 20


@case("""
    python3 - <<'END' &
import os, time
for i in range(40):
    fd = os.open("/var/tmp/x", os.O_CREAT | os.O_RDWR); os.unlink("/var/tmp/x"); os.write(fd, bytes(5 << 20))
time.sleep(20)
END
    wait
    """, {"disk_mb": 60, "timeout_sec": 20})
def check_disk_hog_without_names(t):
    assert t.outcome == "agent_error" and "60 MB" in t.reason


@case("""
    unshare -Ur true && echo did; unshare -m true && echo did; mount -t tmpfs x /tmp && echo did; chroot / true && echo did
    umount /app/repo && echo did; mount -o remount,rw / && echo did; sudo -n true && echo did; su -c true && echo did
    nsenter -t 1 -m true && echo did; echo x > /proc/sys/kernel/core_pattern && echo did; touch /usr/x /etc/x /x && echo did
    renice -n -5 $$ && echo did; chown root /app/repo && echo did; setpriv --reuid 0 true && echo did; dmesg && echo did
    exit 0
    """)
def check_privileges(t):
    t.completed()
    assert "did" not in t.log


@case("""
    { env; cat /proc/*/environ /proc/*/cmdline; cat /proc/*/task/*/environ; ls -la /proc/*/fd /app ~ / /run; } 2>/dev/null |
        tr '\\0' '\\n' | tee /app/notes.md; cat /app/notes.md >> environment
    ls -la /home /root /tmp /work /mnt /media /srv /var /etc >> environment 2>&1
    cat /proc/self/mountinfo /proc/mounts >> environment
    """)
def check_reads_the_environment(t):
    t.completed()
    assert "FROM_TASK=kept" in t.log and "TIMEOUT_SEC" not in t.log


@case(f"""
    printf 'kana%s\n' rie > /tmp/word; word="-f /tmp/word"
    cd /app/repo
    {{ git cat-file --batch-all-objects --batch; git log --all -p; git reflog; git fsck --lost-found; git for-each-ref
    }} 2>/dev/null | grep -a $word && echo FOUND git
    timeout 20 grep -rasl $word /app /home /tmp /run /etc /var /.rollouts /dev/shm /mnt /srv /opt 2>/dev/null | grep -v /tmp/word && echo FOUND file
    grep -as $word /proc/*/environ /proc/*/cmdline /proc/self/mountinfo && echo FOUND proc
    find / -xdev -name '*gold*' -newer /etc/hostname 2>/dev/null | head; find /app -name 'diff.patch' -o -name 'evaluation*'
    exit 0
    """)
def check_reads_the_solution(t):
    t.completed()
    assert t.log == ""


@case(python("""
    import os, socket
    port, name = int(os.environ["LISTEN_PORT"]), os.environ["LISTEN_NAME"]
    for family, where in [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port)),
                          (socket.AF_UNIX, "\\0" + name), (socket.AF_UNIX, os.environ["CANARY_DIR"] + "/socket"),
                          (socket.AF_INET, ("8.8.8.8", 53)), (socket.AF_INET, ("169.254.169.254", 80))]:
        try:
            socket.socket(family).connect(where)
            print("connected to", where)
        except OSError as e:
            print("refused", e.errno)
    for family in (socket.AF_PACKET, socket.AF_VSOCK, socket.AF_ALG):
        try:
            socket.socket(family, socket.SOCK_RAW, 0)
            print("connected: a socket of family", family)
        except OSError as e:
            print("refused", e.errno)
    """))
def check_network(t):
    t.completed()
    assert "connected" not in t.log and t.log.count("refused") == 9


@case("""
    ln -s /dev/null test_greet.py; mkdir -p check_data.sh/a/b; echo 'exit 0' > check_data.sh/a/b/c
    mkdir inner; ln -s inner checks; echo 'exit 0' > inner/clean.sh; chmod 0 inner; echo 9 > data/numbers.txt
    """)
def check_tests_paths_are_taken(t):
    t.completed(works=0, kept=0)


@case("""
    echo nothing > checks; rm -rf test_greet.py; ln -s / test_greet.py; ln -s ../../../../tmp check_data.sh
    chmod 0555 . src data
    """)
def check_tests_folder_is_a_file(t):
    t.completed()


@case("""
    printf 'echo evil; exit 0\\n' | tee ~/.bashrc ~/.bash_profile ~/.profile ~/.bash_env > ~/.bash_login
    export BASH_ENV=~/.bash_env PYTHONPATH=/app/repo; greet() { exit 0; }; export -f greet
    site=~/.local/lib/python3.$(python3 -c 'import sys; print(sys.version_info[1])')/site-packages; mkdir -p $site
    printf 'import os; os._exit(0)\\n' | tee $site/usercustomize.py $site/sitecustomize.py > sitecustomize.py
    cp sitecustomize.py usercustomize.py; echo 'import os; os._exit(0)' > $site/evil.pth; cp -r $site /tmp/site
    cp -r ~ homes; mkdir -p bin; printf '#!/bin/sh\\nexit 0\\n' > bin/python3; cp bin/python3 python3; cp bin/python3 bash
    cp bin/python3 test; cp bin/python3 grep; chmod +x bin/* python3 bash test grep
    """)
def check_startup_files(t):
    t.completed()


CODE_UNDER_TEST = """
import os, shutil, signal, sys
def poison():
    if os.path.exists("/dev/shm/ran"): return
    open("/dev/shm/ran", "w").close()
    {attack}
poison()
def greet(name):
    return 'hello ' + name
"""


def hostile_code(attack):
    return "cat > src/greet.py <<'END'\n" + CODE_UNDER_TEST.format(attack=attack) + "END\n"


@case(hostile_code("os.remove('check_data.sh') if os.path.exists('check_data.sh') else 0; os.chmod('.', 0); "
                   "os.chmod('/app', 0); os.chmod(os.path.dirname(os.environ['ROLLOUTS_METRICS']), 0); os.chmod('/tmp', 0)"))
def check_graded_code_takes_rights(t):
    # The test in which it did so fails in its own way; the ones after it are whole.
    assert (t.outcome, t.scores[1]) == ("completed", 1), (t.reason, t.scores)


@case(hostile_code("""
    os.remove('check_data.sh'); os.mkdir('check_data.sh'); top = os.getcwd(); os.chdir('check_data.sh')
    for i in range(500): os.mkdir('d'); os.chdir('d')
    open('f', 'w').close(); os.chdir(top); os.chmod('check_data.sh', 0)
"""))
def check_graded_code_blocks_a_test(t):
    assert (t.outcome, t.scores[:2]) == ("completed", (1, 1)), (t.reason, t.scores)


@case(hostile_code("""
    import json
    for var in ('ROLLOUTS_METRICS', 'ROLLOUTS_RESULTS'):
        top = os.path.dirname(os.environ[var]); up = os.path.dirname(top)
        os.symlink('/etc/passwd', os.environ[var])
        shutil.rmtree(up + '/2', True); os.makedirs(up + '/2')
        for f in ('metrics.json', 'results.json'): os.mkfifo(up + '/2/' + f)
        shutil.rmtree(up + '/3', True); os.symlink('/', up + '/3')
    os.kill(-1, signal.SIGKILL)
"""))
def check_graded_code_and_result_files(t):
    assert t.outcome == "completed" and t.scores == (0, 1, 1), (t.reason, t.scores)


@case(hostile_code(r"""
    out = '{"total_score": 1e999, "a": NaN}'
    open(os.environ['ROLLOUTS_METRICS'], 'w').write('{"\\u001b[31m|`x": 1e308, "total_score": 5, "s": "x", "n": null, '
        '"deep": ' + '[' * 3000 + ']' * 3000 + '}')
    open(os.environ['ROLLOUTS_RESULTS'], 'w').write('{"<b>\\u001b[31m": {"success": true, "message": "```\\n# x\\u0000"}}')
"""))
def check_graded_code_writes_metrics(t):
    t.completed(works=1)
    assert t.document["total_score"] == 1


@case(hostile_code("""
    for top in ('/tmp', '/app/repo', '/var/tmp'):
        for i in range(200):
            if not os.fork():
                try:
                    os.setsid(); signal.signal(15, signal.SIG_IGN)
                    f = open('%s/%d' % (top, i), 'wb')
                    for k in range(100): f.write(bytes(1 << 20))
                finally: os._exit(0)
    signal.pause()
"""), {"disk_mb": 100, "eval_timeout_sec": 8})
def check_graded_code_fills_the_disk(t):
    assert t.outcome == "completed" and t.scores[0] == 0, (t.reason, t.scores)


class Watch(threading.Thread):
    """The largest memory of a process and its direct children, and every command line seen, while it runs."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.over = pid, threading.Event()
        self.supervisor = self.worker = 0
        self.seen = set()

    def high_water(self, pid):
        with contextlib.suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
            return int(found[1]) << 10 if found else 0
        return 0

    def children(self):
        found = []
        for path in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += path.read_text().split()
        return found

    def command_lines(self):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                self.seen.add(path.read_bytes())

    def run(self):
        turn = 0
        while not self.over.wait(0.05):
            turn += 1
            self.supervisor = max(self.supervisor, self.high_water(self.pid))
            for pid in self.children():
                self.worker = max(self.worker, self.high_water(pid))
            if turn % 10 == 0:
                self.command_lines()


@pytest.fixture
def host(workdir):
    """What an agent would find if it got out: a secret file, a folder it could write to, two listeners."""
    top = workdir / "host"
    top.mkdir()
    (top / "secret").write_text(HOST)
    top.chmod(0o777)
    accepted = []
    tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    name = f"rollouts-hostile-{os.getpid()}"
    unix.bind("\0" + name)
    unix.listen()
    for listener in (tcp, unix):
        listener.setblocking(False)
    yield {"CANARY_DIR": str(top), "CANARY_FILE": str(top / "secret"), "LISTEN_NAME": name,
           "LISTEN_PORT": str(tcp.getsockname()[1])}
    for listener in (tcp, unix):
        with contextlib.suppress(BlockingIOError):
            accepted.append(listener.accept())
        listener.close()
    assert not accepted, "an agent reached the host's network"
    assert os.listdir(top) == ["secret"] and (top / "secret").read_text() == HOST


@pytest.fixture
def task(make_task, make_repo):
    repo = make_repo("repo")
    later = {"later.txt": f"{GOLD} in a later commit\n", "src/greet.py": f"# {GOLD}\ndef greet(name):\n    return 'hello ' + name\n"}
    repo.commit(later, f"{GOLD} in a message")
    git(repo.path, "tag", GOLD)
    tests = [(path, rubric, f"# {GOLD}\n{content}") for path, rubric, content in TESTS]
    tests.append(("checks/clean.sh", "clean", CLEAN))
    dotenv = "FROM_TASK=kept\n" + "".join(f"{key}={value}\n" for key, value in KEYS.items())
    return make_task("hostile", repo, tests=tests, rubrics=RUBRICS, files={".env": dotenv},
                     instructions="```\n# Title\n\x1b[31m<script>\n", meta={"metadata": {"title": LIVE_TITLE}})


LIVE_TITLE = "=cmd() | </td><script>x</script> [x](javascript:1) `a` **b**"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]")


def plain(done, what):
    """No control character, and nothing undecodable (a lone surrogate) on a screen."""
    for text in (done.stdout or "", done.stderr or ""):
        bad = CONTROL.search(text) or re.search("[\udc80-\udcff]", text)
        assert not bad, f"{what}: {text[max(0, bad.start() - 80):bad.end() + 20]!r}"


def outside_fences(text):
    """Markdown without its code blocks, where anything may stand."""
    kept, fence = [], None
    for line in text.splitlines():
        mark = re.match("`{3,}", line)
        if fence is None and mark:
            fence = mark[0]
        elif fence is None:
            kept.append(line)
        elif line == fence:
            fence = None
    assert fence is None, "a code block has no end"
    return "\n".join(kept)


def check_report(path):
    text = path.read_text()
    assert not CONTROL.search(text), CONTROL.search(text)
    prose = outside_fences(text)
    titles = [line for line in prose.splitlines() if line.startswith("# ")]
    assert titles == ["# 📊 Scoring Results"], titles
    assert not re.search(r"(?<!\\)<(script|img|b|/td)\b", prose) and not re.search(r"(?<!\\)\]\(javascript", prose), path


def files_below(top):
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def check_everywhere(workdir, watch):
    """No secret, nothing of the host, no solution among what agents did, no file of a sandbox left."""
    for path in files_below(workdir / "data"):
        content = path.read_bytes()
        inside = str(path.relative_to(workdir / "data"))
        assert SECRET.encode() not in content, f"a key in {inside}"
        assert HOST.encode() not in content, f"a host file in {inside}"
        if "/artifacts/" in inside or inside.endswith(("agent.log", "agent.err")):
            assert GOLD.encode() not in content, f"the solution in {inside}"
    assert not any(SECRET.encode() in line for line in watch.seen), "a key in a command line"
    left = list((workdir / "data/runs").glob("*/attempts/*/box*"))
    assert not left, f"left of a sandbox: {left}"
    assert watch.supervisor < RSS_MAX and watch.worker < RSS_MAX, f"{watch.supervisor} {watch.worker}"


def check_documents(workdir, rollout, csv_text):
    for path in [*(workdir / "data/runs").glob("*/scoring_results.md"), rollout.dir / "summary.md"]:
        if path.name == "summary.md":
            assert not CONTROL.search(path.read_text()) and not re.search(r"(?<!\\)<script", path.read_text())
        else:
            check_report(path)
    for row in csv.reader(io.StringIO(csv_text)):
        assert not any(re.match(r"[=+@\t\r]|-\D", cell) for cell in row), row


def collect_failures(workdir, rollout):
    wrong = []
    rows = {row["label"]: row for row in rollout.manifest["results"]}
    assert rows.keys() == CASES.keys()
    for name, (_, _, _, check) in CASES.items():
        try:
            check(Trial(workdir / "data/runs" / rows[name]["run_id"]))
        except (AssertionError, OSError, KeyError, ValueError) as e:
            wrong.append(f"{name}: {rows[name]['outcome']}: {e}")
    return wrong


def test_hostile_agents(start_cli, run_cli, workdir, task, host, make_bench, agent_script, rollout, account):
    (workdir / "out").touch()
    entries = []
    # What is a file here and not in the sandbox would be refused as a variable.
    told = {name: value for name, value in host.items() if name != "CANARY_FILE"}
    for name, (script, entry, agent, _) in CASES.items():
        agent_script(script, name=name.replace("_", "-"), env=told, **agent)
        entries.append({"prepared_dir": task, "agent": name.replace("_", "-"), "model": "acme", "label": name,
                        "timeout_sec": 120, **entry})
    bench = make_bench(*entries, parallel=4, defaults={"eval_timeout_sec": 120})
    verbose = ["-vv"] if account is None else []
    began = time.monotonic()
    with open(workdir / "out", "wb") as out:
        child = start_cli("run", bench.name, *verbose, env=KEYS, stdout=out, stderr=subprocess.STDOUT)
        watch = Watch(child.pid)
        watch.start()
        status = child.wait(timeout=400)
        watch.over.set()
        watch.join()
    screen = (workdir / "out").read_bytes()
    assert b"\x1b" not in screen and b"\x07" not in screen and b"\r" not in screen
    assert status in (0, 1), screen[-3000:].decode(errors="replace")
    r = rollout()
    print(f"{time.monotonic() - began:.1f} s, supervisor {watch.supervisor >> 20} MB, worker {watch.worker >> 20} MB")
    wrong = collect_failures(workdir, r)
    assert not wrong and status == 0, "\n".join(wrong)
    check_everywhere(workdir, watch)
    for row in r.manifest["results"]:
        if "escapes" in row["label"]:
            for part in ([], ["agent"], ["errors"], ["diff"], ["eval"], ["score"], ["worker"]):
                plain(run_cli("show", row["run_id"], *part), f"show {part}")
    for words in (["summarize", "bench"], ["summarize", "bench", "--csv"], ["summarize", "bench", "--json"], ["list"]):
        plain(run_cli(*words), words)
    check_documents(workdir, r, run_cli("summarize", "bench", "--csv=excel").stdout.removeprefix("\ufeff"))


def edit_meta(task, change):
    path = task / "tb_meta.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def with_url(url):
    return lambda task, host: edit_meta(task, lambda d: d["repo"].update(git_url=url.format(**host)))


def with_start(commit):
    return lambda task, host: edit_meta(task, lambda d: d["repo"].update(start_commit_sha=commit))


def with_test(path):
    return lambda task, host: edit_meta(task, lambda d: d["evaluation"]["test_scripts"][0].update(path=path))


def with_overrides(overrides):
    return lambda task, host: (task / "overrides.json").write_text(
        overrides if isinstance(overrides, str) else json.dumps(overrides))


def with_link(name, target):
    def change(task, host):
        (task / name).parent.mkdir(parents=True, exist_ok=True)
        (task / name).symlink_to(target.format(**host))
    return change


def with_folder_link(task, host):
    folder = task / "overlay_repo_files"
    folder.rmdir()
    folder.symlink_to(host["CANARY_DIR"])


def with_fifo(name):
    return lambda task, host: os.mkfifo(task / name)


def replaced(name, make):
    def change(task, host):
        (task / name).unlink()
        make(task / name, host)
    return change


REFUSED = {
    "upload pack": with_url("--upload-pack=touch {CANARY_DIR}/pwned"),
    "ext": with_url("ext::sh -c 'touch% {CANARY_DIR}/pwned'"),
    "fd": with_url("fd::7"),
    "ssh option": with_url("ssh://-oProxyCommand=touch%20{CANARY_DIR}%2Fpwned/x"),
    "scp option": with_url("-oProxyCommand=touch {CANARY_DIR}/pwned:x"),
    "scp host option": with_url("a@-oProxyCommand=touch:x"),
    "git protocol": with_url("git://127.0.0.1/x"),
    "http": with_url("http://127.0.0.1/x"),
    "password": with_url("https://me:" + "canary-" + "password@example.org/x"),
    "not a repository": with_url("{CANARY_DIR}"),
    "a plain file": with_url("{CANARY_FILE}"),
    "device": with_url("/dev/zero"),
    "up": with_url("../../../../../../../.."),
    "url is a number": lambda task, host: edit_meta(task, lambda d: d["repo"].update(git_url=7)),
    "start is an option": with_start("--exec=touch"),
    "start is an expression": with_start("HEAD^{/x}"),
    "start is a pattern": with_start(":/fix"),
    "branch is an option": lambda task, host: edit_meta(task, lambda d: d["repo"].update(branch="--all", start_commit_sha=None)),
    "subdir goes up": lambda task, host: edit_meta(task, lambda d: d["repo"].update(subdir="../..")),
    "subdir is absolute": lambda task, host: edit_meta(task, lambda d: d["repo"].update(subdir="/etc")),
    "sparse is an option": lambda task, host: edit_meta(task, lambda d: d["repo"].update(sparse_checkout=["--stdin\n/x"])),
    "test goes up": with_test("../../evil.sh"),
    "test is absolute": with_test("/etc/evil.sh"),
    "test in .git": with_test(".git/hooks/post-checkout"),
    "test in .GIT": with_test("src/.GIT/config"),
    "test with a newline": with_test("a\nb.sh"),
    "id with an escape": lambda task, host: edit_meta(task, lambda d: d.update(task_id="x\x1b[31m")),
    "inject goes up": with_overrides({"inject_files": [{"path": "../evil", "content": "x"}]}),
    "inject absolute": with_overrides({"inject_files": [{"path": "/etc/evil", "content": "x"}]}),
    "inject into .git": with_overrides({"overlay_repo_files": {".git/config": "[core]\nfsmonitor=touch x"}}),
    "overlay goes up": with_overrides({"overlay_files": {"a/../../x": "y"}}),
    "unknown key": with_overrides({"prompt": "x", "inject_file": []}),
    "a key for a model": with_overrides({"openai": {"api_key": "canary-" + "override"}}),
    "not an object": with_overrides("[1, 2]"),
    "deep": with_overrides("[" * 100000 + "]" * 100000),
    "twice": with_overrides('{"prompt": "a", "prompt": "b"}'),
    "NUL": with_overrides('{"prompt": "a\\u0000b"}'),
    "overrides are a link": with_link("overrides.json", "{CANARY_FILE}"),
    "overrides are a FIFO": with_fifo("overrides.json"),
    "meta is a link": replaced("tb_meta.json", lambda p, host: p.symlink_to(host["CANARY_FILE"])),
    "meta is a FIFO": replaced("tb_meta.json", lambda p, host: os.mkfifo(p)),
    "meta is deep": replaced("tb_meta.json", lambda p, host: p.write_text('{"a":' * 100000 + "1" + "}" * 100000)),
    "meta is gigantic": replaced("tb_meta.json", lambda p, host: os.truncate(os.open(p, os.O_CREAT | os.O_WRONLY), 40 << 30)),
    "link out of the overlay": with_link("overlay_repo_files/etc", "{CANARY_DIR}"),
    "link up out of the overlay": with_link("overlay_files/up", "../../../../../../../../etc/passwd"),
    "link to a file in the overlay": with_link("overlay_files/x", "{CANARY_FILE}"),
    "overlay is a link": with_folder_link,
    "FIFO in the overlay": with_fifo("overlay_repo_files/fifo"),
    "FIFO for .env": with_fifo(".env"),
    ".env is a link": with_link(".env", "{CANARY_FILE}"),
    "gold is a link": replaced("overlay_files/diff.patch", lambda p, host: p.symlink_to(host["CANARY_FILE"])),
    "huge overlay": lambda task, host: os.truncate(os.open(task / "overlay_files/huge", os.O_CREAT | os.O_WRONLY), 30 << 30),
    ".git in the overlay": lambda task, host: (task / "overlay_repo_files/.git").mkdir()
                           or (task / "overlay_repo_files/.git/config").write_text("[core]\nfsmonitor=touch x\n"),
}


def test_hostile_task_folders(run_cli, workdir, make_task, make_repo, make_bench, host):
    """Each is refused in one go, with every mistake on a line of its own, and nothing is written."""
    repo = make_repo("plain")
    wrong = []
    for number, (name, change) in enumerate(REFUSED.items()):
        task = make_task(f"task{number}", repo)
        change(task, host)
        bench = make_bench(task, file=f"bench{number}.toml", sandbox="none", evaluate=False, agent="oracle")
        done = run_cli("run", bench.name, "--data-dir", f"data{number}", timeout=20)
        plain(done, name)
        if done.returncode != 2 or not done.stderr or (workdir / f"data{number}/runs").exists():
            wrong.append(f"{name}: {done.returncode} {done.stderr[-300:]}")
        elif SECRET in done.stderr + done.stdout or HOST in done.stderr or len(done.stderr) > 3000:
            wrong.append(f"{name} says: {done.stderr[:1000]}")
        print(f"{name}: {done.stderr.strip()[:300]}")
    assert not wrong, "\n".join(wrong)


def evil_repository(path, host):
    """A repository whose own configuration wants to be executed, with its first commit's README missing."""
    (path / ".git/config").write_text(
        (path / ".git/config").read_text() + EVIL_CONFIG.replace("HERE", host["CANARY_DIR"])
        .replace("ext::sh -c 'touch ", "/nowhere; touch '").replace("worktree =", "#")
        + f'    uploadpack = touch {host["CANARY_DIR"]}/uploadpack;\n')
    for hook in (path / ".git/hooks").iterdir():
        hook.unlink()
    for hook in ("post-checkout", "pre-receive", "update", "reference-transaction", "post-index-change"):
        (path / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {host['CANARY_DIR']}/{hook}\n")
        (path / ".git/hooks" / hook).chmod(0o755)
    (path / ".git/info/attributes").write_text(ATTRIBUTES)


@pytest.mark.parametrize("missing", [False, True], ids=["whole", "with a hole"])
def test_a_repository_that_wants_to_be_executed(missing, run_cli, workdir, make_repo, make_task, make_bench, host,
                                                rollout, account):
    repo = make_repo("evil")
    repo.commit({".gitattributes": ATTRIBUTES.replace("working-tree-encoding=UTF-16", ""), ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ext::sh\n\tupdate = !touch x\n'})
    task = make_task("evil", repo, start=repo.head, gold=False)
    evil_repository(repo.path, host)
    if missing:
        blob = hashlib.sha1(b"blob 8\0# hello\n").hexdigest()
        (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    bench = make_bench(task, retries=0)
    done = run_cli("run", bench.name)
    result = next(iter(rollout().runs.values()), None)
    if missing:
        assert result["outcome"] == "infra_error", tell(done)
    else:
        assert result["outcome"] == "completed" and result["total_score"] is not None, tell(done)


def test_starts_that_are_no_commit(run_cli, make_repo, make_task, make_bench, rollout):
    repo = make_repo("odd")
    git(repo.path, "-c", "user.name=a", "-c", "user.email=a@b", "tag", "-a", "-m", "x", "v1", repo.commits[0])
    starts = {"blob": git(repo.path, "rev-parse", "HEAD:README.md"), "tree": git(repo.path, "rev-parse", "HEAD^{tree}"),
              "nothing": "0" * 40, "a tag": git(repo.path, "rev-parse", "v1")}
    tasks = [make_task(name, repo, start=start, end=repo.head, gold=False) for name, start in starts.items()]
    done = run_cli("run", make_bench(*tasks, retries=0).name, check=2)
    ends = ("is a blob, not a commit", "is a tree, not a commit", "not in the repository", "is a tag, not a commit")
    assert len(done.stderr.splitlines()) == 4
    for line, start, end in zip(done.stderr.splitlines(), starts.values(), ends):
        assert "repo.start_commit_sha" in line and start in line and line.endswith(end), line


def test_a_name_is_only_ever_a_name(run_cli, make_task, make_bench, rollout):
    task = make_task()
    edit_meta(task, lambda d: d.update(task_id="../../../x"))
    run_cli("run", make_bench(task, retries=0).name, check=0)
    assert [r["outcome"] for r in rollout().runs.values()] == ["completed"]


def test_a_program_beside_the_tasks(run_cli, workdir, make_task, make_bench, rollout):
    """A program is shown with the folder it lies in: that must not be where the solutions are. Beside the benchmark it is shown alone."""
    task = make_task()
    program = task.parent / "work.sh"
    program.write_text('#!/bin/sh\nls -R "${0%/*}"\n')
    program.chmod(0o755)
    (workdir / "agents").mkdir()
    (workdir / "agents/near.toml").write_text('argv = ["../tasks/work.sh"]\n')
    bench = make_bench({"prepared_dir": task, "model": "m"}, agent="near")
    done = run_cli("run", bench.name, check=2)
    assert 'agent "near" would see a task folder' in done.stderr
    assert not (workdir / "data/runs").exists()
    program.rename(workdir / "work.sh")
    (workdir / "agents/near.toml").write_text('argv = ["../work.sh"]\n')
    run_cli("run", bench.name, check=0)
    [run] = rollout().runs
    seen = (workdir / "data/runs" / run / "attempts/1/logs/agent.log").read_text()
    assert "work.sh" in seen and "tasks" not in seen and bench.name not in seen


def test_credentials_are_refused_where_they_are_written(run_cli, make_task, make_bench, workdir):
    task = make_task()
    for entry, args in ([{"environment_variables": KEYS}, []], [{}, ["--env", f"OPENAI_API_KEY={SECRET}x"]]):
        bench = make_bench({"prepared_dir": task, **entry})
        done = run_cli("run", bench.name, *args, check=2)
        assert "OPENAI_API_KEY" in done.stderr and SECRET not in done.stderr
        assert not (workdir / "data").exists()
