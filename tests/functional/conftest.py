# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the functional tests: the real binaries, throw-away work directories, task folders.

A test that takes `account` runs once as root and once as an ordinary user when started as root, else
once as whoever we are; run_cli then acts as that account. Every test is followed by a check that it
left no process, no mount and no temporary file behind. Tests of other files run beside it, in processes of
their own: each has its engine and its ordinary user.
"""
import contextlib
import ctypes
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import engines

SOURCE = Path(__file__).resolve().parents[2]
USER_PREFIX = "rollouts-test-"
ENGINE = os.environ.get("ROLLOUTS_TEST_ENGINE")  # a DOCKER_HOST: every task then has a Dockerfile (test_docker_suite.py)
SANDBOX = os.environ.get("ROLLOUTS_TEST_SANDBOX")  # "landlock": every benchmark's, where it says nothing (test_landlock.py)
LONGEST_FIRST = ["test_docker_suite.py", "test_inside_a_container.py", "test_slurm.py", "test_modal.py", "test_ssh.py", "test_landlock.py", "test_hostile.py", "test_real_agents.py", "test_docker.py",
                 "test_docker_tasks.py", "test_engine.py", "test_gateway_quota.py", "test_gateway.py", "test_sandbox_limits.py", "test_automation.py", "test_kill.py"]
PR_SET_CHILD_SUBREAPER = 36
GIT_DATE = 1700000000  # 2023-11-14 22:13:20 UTC: every run makes the same commits


def pytest_configure(config):
    config.addinivalue_line("markers", "local(reason): is about the local sandbox; left out where tests run once more in "
                            "containers (test_docker_suite.py)")
    config.addinivalue_line("markers", "long: only make test-long runs it")
    # A shell starts what it puts into the background with these ignored, and so would everything of ours be.
    # A process of several may ask for this in another thread than its first, where Python refuses it.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    else:
        for number in (signal.SIGINT, signal.SIGQUIT):
            ctypes.CDLL(None).signal(int(number), None)
    # What a killed supervisor leaves becomes our child, so that the leak check finds exactly that.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def pytest_collection_modifyitems(items):
    # Processes (make's JOBS) take whole files, in this order: a long one that came last would be waited for.
    items.sort(key=lambda item: LONGEST_FIRST.index(item.path.name) if item.path.name in LONGEST_FIRST else len(LONGEST_FIRST))
    for item in items:
        mark = item.get_closest_marker("local")
        if ENGINE and mark:
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))


def pytest_generate_tests(metafunc):
    if "account" in metafunc.fixturenames:
        names = ["root"] if ENGINE else ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]
        metafunc.parametrize("account", names, indirect=True)


@pytest.fixture(scope="session")
def ordinary_user():
    """Name of an unprivileged user: a new one when we are root, else ourselves."""
    if os.geteuid() != 0:
        yield pwd.getpwuid(os.geteuid()).pw_name
        return
    remove_stale_users()
    name = USER_PREFIX + str(os.getpid())
    retry(["useradd", "--create-home", "--shell", "/bin/sh", name])
    yield name
    remove_user(name)


@pytest.fixture
def account(request):
    """None: run as we are. Otherwise the name of the user that run_cli becomes."""
    if request.param == "root" or os.geteuid() != 0:
        return None
    return request.getfixturevalue("ordinary_user")


def retry(argv, times=20):
    """The account files are locked while a parallel test session changes them."""
    for left in range(times, 0, -1):
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode == 0:
            return
        if left > 1:
            time.sleep(0.1)
    pytest.exit(f"{argv[0]}: {done.stderr.strip()}", 3)


def remove_user(name):
    retry(["userdel", "--remove", name] if name_exists(name) else ["true"])


def remove_stale_users():
    for entry in pwd.getpwall():
        pid = entry.pw_name.removeprefix(USER_PREFIX)
        if pid != entry.pw_name and not Path("/proc", pid).exists():
            subprocess.run(["userdel", "--remove", entry.pw_name], capture_output=True)


def name_exists(name):
    return any(entry.pw_name == name for entry in pwd.getpwall())


@pytest.fixture(scope="session")
def build_dir():
    return Path(os.environ.get("ROLLOUTS_BUILD", SOURCE / "build")).resolve()


@pytest.fixture(scope="session")
def binary(build_dir, request):
    """The program under test: $ROLLOUTS_BIN or build/rollouts, where every user can run it."""
    path = Path(os.environ.get("ROLLOUTS_BIN", build_dir / "rollouts")).resolve()
    if not path.exists():
        pytest.exit(f"{path} is missing: build first, or set ROLLOUTS_BIN", 3)
    if os.geteuid() != 0 or all(p.stat().st_mode & stat.S_IXOTH for p in path.parents):
        return path
    # A checkout below a private folder: other users run an installed copy.
    top = Path(tempfile.mkdtemp(prefix="rollouts-bin-"))
    request.addfinalizer(lambda: remove_tree(top))
    top.chmod(0o755)
    subprocess.run(["meson", "install", "-C", path.parent, "--no-rebuild", "--quiet",
                    "--destdir", top], check=True)
    return next(top.glob("**/bin/rollouts"))


@pytest.fixture
def workdir(tmp_path_factory):
    """A directory every user may enter, removed whatever is in it."""
    top = Path(tempfile.mkdtemp(prefix="rollouts-test-"))
    top.chmod(0o755)
    (top / "tmp").mkdir()
    (top / "tmp").chmod(0o1777)
    yield top
    remove_tree(top)


def remove_tree(top):
    for folder, names, _ in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(top)


def give_to(user, top):
    entry = pwd.getpwnam(user)
    for folder, names, files in os.walk(top):
        for path in [folder] + [os.path.join(folder, name) for name in names + files]:
            # What a killed run leaves may still be going away.
            with contextlib.suppress(FileNotFoundError):
                if os.lstat(path).st_uid != entry.pw_uid:
                    os.lchown(path, entry.pw_uid, entry.pw_gid)


def clean_env(workdir, user, extra):
    home = pwd.getpwnam(user).pw_dir if user else os.path.expanduser("~")
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home,
           "LANG": "C.UTF-8", "TMPDIR": str(workdir / "tmp"), "XDG_CONFIG_HOME": str(workdir / "xdg")}
    # A sanitizer's settings reach the program; nothing else of the caller's environment does.
    env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
    if ENGINE:
        env["DOCKER_HOST"] = ENGINE
    env.update(extra or {})
    return env


def become(user):
    if not user or os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def tell(done):
    return f"exit status {done.returncode} of {done.args}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"


@pytest.fixture
def run_cli(binary, workdir, request):
    """run_cli(*args, cwd=, user=, env=, check=, input=, timeout=, stdout=): run the program to its end.

    check=N asserts the exit status; the default does not look. `user` defaults to the test's account.
    """
    default = request.getfixturevalue("account") if "account" in request.fixturenames else None

    def run(*args, cwd=None, user=default, env=None, check=None, input=None, timeout=120, **more):
        if user and os.geteuid() == 0:
            give_to(user, workdir)
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        if input is None:
            more.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run([str(binary), *map(str, args)], cwd=cwd or workdir, input=input, text=True,
                              errors="surrogateescape", env=clean_env(workdir, user, env),
                              timeout=timeout, **become(user), **more)
        if check is not None:
            assert done.returncode == int(check), tell(done)
        return done

    return run


@pytest.fixture
def start_cli(binary, workdir, request):
    """As run_cli, but returns the Popen at once; whatever still runs at the end of the test is killed."""
    default = request.getfixturevalue("account") if "account" in request.fixturenames else None
    started = []

    def start(*args, cwd=None, user=default, env=None, **more):
        if user and os.geteuid() == 0:
            give_to(user, workdir)
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.STDOUT)
        more.setdefault("text", True)
        child = subprocess.Popen([str(binary), *map(str, args)], cwd=cwd or workdir,
                                 env=clean_env(workdir, user, env), **become(user), **more)
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.wait()
        for stream in (child.stdout, child.stderr, child.stdin):
            if stream:
                stream.close()


def wait_for(what, timeout=20, interval=0.01):
    """Poll until what() is true and return its value; fail at the timeout."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(interval)
    raise AssertionError("waited in vain")


@pytest.fixture(scope="session")
def landlock():
    """The version of this kernel's Landlock."""
    abi = ctypes.CDLL(None).syscall(444, None, 0, 1)
    if abi < 1:
        engines.unavailable("this kernel has no Landlock")
    return abi


@pytest.fixture(scope="module")
def dockerd():
    """One for all tests that do not kill it, with both images."""
    with engines.start_dockerd() as engine:
        engine.load(engines.BASE, engines.make_base)
        engine.load(engines.BUSYBOX, engines.make_busybox)
        yield engine


@pytest.fixture(scope="session")
def podman():
    with engines.start_podman() as engine:
        engine.load(engines.BASE, engines.make_base)
        yield engine


@pytest.fixture
def engine(dockerd):
    """The engine, and that no container of ours outlives the test."""
    dockerd.check_alive()
    yield dockerd
    dockerd.check_alive()
    wait_for(lambda: not dockerd.containers(), timeout=60)


def git(path, *args, env=None, input=None):
    base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null", "LANG": "C.UTF-8"}
    done = subprocess.run(["git", "-C", str(path), "-c", f"safe.directory={path}", *args],
                          env={**base, **(env or {})}, input=input, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape").strip()


class Repo:
    """A small git repository whose commits have the same SHAs in every run."""

    def __init__(self, path):
        self.path = path
        self.commits = []
        path.mkdir(parents=True)
        git(path, "init", "--quiet", "--initial-branch=main")

    @property
    def head(self):
        return self.commits[-1]

    def commit(self, files=None, message="change", remove=()):
        """Write FILES {path: text, bytes or ("link", target)}, remove REMOVE, commit; returns the SHA."""
        for name, content in (files or {}).items():
            put(self.path / name, content)
        for name in remove:
            git(self.path, "rm", "-r", "--quiet", "--", name)
        git(self.path, "add", "--all", "--force")
        date = f"{GIT_DATE + 60 * len(self.commits)} +0000"
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", "Ann Author"), ("EMAIL", "ann@example.org"), ("DATE", date))}
        git(self.path, "commit", "--quiet", "--allow-empty", "-m", message, env=who)
        self.commits.append(git(self.path, "rev-parse", "HEAD"))
        return self.head

    def diff(self, old, new):
        """Bytes of the patch between two commits, as a gold diff.patch holds them."""
        done = subprocess.run(["git", "-C", str(self.path), "diff", "--binary", "--full-index", old, new],
                              capture_output=True, check=True)
        return done.stdout


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, tuple):
        path.unlink(missing_ok=True)
        path.symlink_to(content[1])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8", errors="surrogateescape")


HELLO = {"README.md": "# hello\n", "src/greet.py": "def greet(name):\n    return 'hello ' + nmae\n",
         "data/numbers.txt": "1\n2\n3\n"}
FIXED = {"src/greet.py": "def greet(name):\n    return 'hello ' + name\n"}


@pytest.fixture
def make_repo(workdir):
    """make_repo(name="repo", *commits): a Repo; the default has a bug (commit 0) and its fix (commit 1).

    Tests start from commits[0]; whatever comes later must never be seen by an agent.
    """
    def make(name="repo", *commits):
        repo = Repo(workdir / "repos" / name)
        for number, files in enumerate(commits or (HELLO, FIXED)):
            repo.commit(files, f"commit {number}")
        return repo

    return make


RUBRICS = [{"id": "works", "criterion": "greet returns the greeting", "weight": 0.6},
           {"id": "kept", "criterion": "the data is left alone", "weight": 0.4}]
TESTS = [("test_greet.py", "works", "import sys\nsys.path.insert(0, 'src')\nfrom greet import greet\n\n\n"
          "def test_greet():\n    assert greet('you') == 'hello you'\n"),
         ("check_data.sh", "kept", "test \"$(wc -l < data/numbers.txt)\" = 3\n")]


def script_entry(test):
    path, rubric, content, *more = test
    return {"path": path, "rubric_id": rubric, "content": content, **(more[0] if more else {})}


@pytest.fixture
def make_task(workdir, make_repo):
    """make_task(name, repo, tests=, rubrics=, overrides=, gold=, ...): a prepared task folder.

    tests: list of (path, rubric_id, content[, more keys]). gold: bytes of diff.patch, None: the diff
    from the repo's first to its last commit, False: none. files: {path below the folder: content}.
    meta: merged into tb_meta.json last, one level deep. Without a repo, one is made.
    """
    def make(name="greet", repo=None, tests=None, rubrics=None, overrides=None, gold=None,
             instructions="Fix greet() in src/greet.py.\n", start=None, end=None, files=None, meta=None):
        repo = repo or make_repo(name)
        top = workdir / "tasks" / name
        start, end = start or repo.commits[0], end or repo.head
        tests = [script_entry(t) for t in (TESTS if tests is None else tests)]
        doc = {"task_id": name, "metadata": {"title": f"Task {name}", "tags": ["test"]},
               "repo": {"git_url": str(repo.path), "branch": "main", "start_commit_sha": start,
                        "end_commit_sha": end},
               "lm": {"instructions": instructions},
               "evaluation": {"rubrics": RUBRICS if rubrics is None else rubrics, "test_scripts": tests},
               "sensitivity": {"level": "safe"}}
        for key, value in (meta or {}).items():
            doc[key] = {**doc[key], **value} if isinstance(value, dict) and key in doc else value
        put(top / "tb_meta.json", json.dumps(doc, indent=2))
        put(top / "overlay_files/tb_meta.json", json.dumps(doc, indent=2))
        put(top / "overlay_files/LM_INSTRUCTIONS.md", instructions)
        put(top / "overlay_files/repo_info.json", json.dumps({"start_commit": start, "end_commit": end}))
        put(top / "overlay_files/notes.md", "SECRET-OF-THE-TASK-AUTHOR\n")
        (top / "overlay_repo_files").mkdir()
        for test in tests:
            put(top / "evaluation/tests" / test["path"], test["content"])
        if gold is None:
            gold = repo.diff(start, end)
        if gold is not False:
            put(top / "overlay_files/diff.patch", gold)
        if overrides is not None:
            put(top / "overrides.json", overrides if isinstance(overrides, str) else json.dumps(overrides))
        files = dict(files or {})
        if ENGINE:
            files.setdefault("Dockerfile", "FROM rollouts-test-base\n")
        for path, content in files.items():
            put(top / path, content)
        return top

    return make


def toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value if isinstance(value, (int, float)) else str(value))


def toml_table(items):
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in items.items())


@pytest.fixture
def make_bench(workdir):
    """make_bench(*entries, name="bench", file="bench.toml", defaults={}, ...): write a config, return its path.

    An entry is a task folder or a dict of keys (prepared_dir among them); other keywords are top-level
    keys. The agent is "nop" unless something says otherwise.
    """
    def make(*entries, name="bench", file="bench.toml", defaults=None, **top):
        entries = [e if isinstance(e, dict) else {"prepared_dir": e} for e in entries]
        says_agent = "agent" in top or "agent" in (defaults or {}) or any("agent" in e for e in entries)
        if not says_agent:
            top["agent"] = "nop"
        if SANDBOX:
            top.setdefault("sandbox", SANDBOX)
        text = toml_table({"name": name, **top})
        if defaults:
            text += "\n[defaults]\n" + toml_table(defaults)
        for entry in entries:
            text += "\n[[tasks]]\n" + toml_table(entry)
        put(workdir / file, text)
        return workdir / file

    return make


# Runs the agent's script where its places have other names: these may begin with /tmp, which goes first.
MOVED = r"""
names() { printf 's#\\(^\\|[^[:alnum:]_./-]\\)%s\\b#\\1%s#g;' "$@"; }
sed "$(names /tmp "$TMPDIR" /var/tmp "$TMPDIR" /dev/shm "$TMPDIR" /app/repo "$PWD" /app "${PWD%/repo}" /home/agent "$HOME")" \
    "$HOME/agent.sh" >"$HOME/.moved" && rm "$HOME/agent.sh" && mv "$HOME/.moved" "$HOME/agent.sh" && exec bash "$HOME/agent.sh"
"""


@pytest.fixture
def agent_script(workdir):
    """agent_script(text, name="scripted", ...): an agent that runs TEXT with bash in /app/repo.

    Writes agents/NAME.toml beside the configs; the script sees $MODEL, $ROLLOUT and $SEED. Other
    keywords become keys of the file (collect=, needs=, ...); env= adds variables. Returns NAME.
    """
    def make(text, name="scripted", env=None, files=None, **keys):
        variables = {"MODEL": "{model}", "ROLLOUT": "{rollout}", "SEED": "{seed}", **(env or {})}
        contents = {"{home}/agent.sh": text, **(files or {})}
        doc = {"argv": ["bash", "-c", MOVED] if SANDBOX else ["bash", "{home}/agent.sh"], **keys}
        put(workdir / "agents" / f"{name}.toml",
            toml_table(doc) + "\n[env]\n" + toml_table(variables) + "\n[files]\n"
            + "".join(f"{json.dumps(k)} = {toml_value(v)}\n" for k, v in contents.items()))
        return name

    return make


def read_rollout(data, name="bench", stamp=None):
    """The (latest) rollout of NAME: manifest, events, runs {run_id: result.json}, dir."""
    folder = data / "rollouts" / name
    stamps = sorted(p.name for p in folder.iterdir() if p.is_dir())
    top = folder / (stamp or stamps[-1])
    manifest = json.loads((top / "manifest.json").read_text())
    # Who reads beside a run may meet a line that is being written.
    events = [json.loads(line) for line in (top / "events.jsonl").read_text().rpartition("\n")[0].splitlines()]
    runs = {}
    for row in manifest["results"]:
        path = data / "runs" / row["run_id"] / "result.json"
        runs[row["run_id"]] = json.loads(path.read_text()) if path.exists() else None
    return SimpleNamespace(dir=top, manifest=manifest, events=events, runs=runs)


def only(rollout):
    """The result of the one trial there is."""
    [result] = rollout.runs.values()
    return result


@pytest.fixture
def rollout(workdir):
    """rollout(name="bench", stamp=None): what the run left below data/."""
    return lambda name="bench", stamp=None: read_rollout(workdir / "data", name, stamp)


def children():
    """What the kernel lists while one of them ends may lack others: an engine of the tests must not be taken for a new process
    because it was missed the first time."""
    own = os.getpid()
    found = []
    for path in Path(f"/proc/{own}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return [pid for pid in found if pid not in engines.LIVING]


def describe(pid):
    with contextlib.suppress(OSError):
        line = Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return f"{pid} {line or Path('/proc', str(pid), 'comm').read_text()}"
    return str(pid)


def reap(pids):
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


@pytest.fixture(autouse=True)
def nothing_left(workdir):
    """Fails the test if a process, a mount or a temporary file outlives it."""
    before = set(children())
    yield
    end = time.monotonic() + 5
    left = set(children()) - before
    while left and time.monotonic() < end:
        time.sleep(0.01)
        reap(left)
        left = set(children()) - before
    names = [describe(pid) for pid in left]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    assert not names, f"processes left behind: {names}"
    # A worker that was found out by a sanitizer after its result was in place ends unnoticed.
    found = [f"{path}: {line}" for path in workdir.glob("**/runs/*/attempts/*/logs/worker.log")
             for line in path.read_text(errors="replace").splitlines()
             if "Sanitizer" in line or "runtime error:" in line]
    assert not found, f"sanitizer reports: {found}"
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(workdir) in line]
    assert not mounts, f"mounts left behind: {mounts}"
    files = [str(p) for p in (workdir / "tmp").rglob("*")]
    assert not files, f"temporary files left behind: {files}"


def rubric(name, weight=1.0):
    return {"id": name, "criterion": f"The {name} rubric", "weight": weight}


@pytest.fixture
def grade(run_cli, workdir, make_task, make_bench, agent_script, rollout):
    """grade(tests, work="", rubrics=, check=0, task=, ...): one trial of a scripted agent, graded."""
    def run(tests, work="true", rubrics=None, check=0, task=None, flags=(), **keys):
        rubrics = rubrics or [rubric(name) for name in dict.fromkeys(t[1] for t in tests)]
        folder = make_task("graded", tests=tests, rubrics=rubrics, **(task or {}))
        bench = make_bench({"prepared_dir": folder, "model": "acme-1", **keys}, agent=agent_script(work))
        done = run_cli("run", bench.name, *flags, check=check)
        top = workdir / "data/runs" / rollout().manifest["results"][0]["run_id"]
        result = json.loads((top / "result.json").read_text())
        path = top / "evaluation_results.json"
        return result, json.loads(path.read_text()) if path.exists() else None, top, done

    return run
