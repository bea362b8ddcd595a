# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories behind a login, an authority of their own or a proxy: what git needs of the user's environment reaches it."""
import base64
import functools
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import engines
import pytest
from conftest import become, give_to, put, wait_for
from test_gateway_tls import authority  # noqa: F401 (fixture)

RUBRICS = [{"id": "a", "criterion": "The rubric", "weight": 1.0}]
LOGIN = base64.b64encode(b"somebody:s3cret").decode()


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Authorization") == f"Basic {LOGIN}":
            return super().do_GET()
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="private"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def private(workdir, make_repo, authority):  # noqa: F811
    """The URL of a repository that only somebody may read, over https, and the repository."""
    repo = make_repo("secret")
    subprocess.run(["git", "clone", "-q", "--bare", str(repo.path), str(workdir / "www/secret.git")], check=True)
    subprocess.run(["git", "-C", str(workdir / "www/secret.git"), "update-server-info"], check=True)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(workdir / "www")))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.sign())
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/secret.git", repo
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run_private(private, make_task, make_bench, agent_script, run_cli, workdir, authority, account):  # noqa: F811
    """run_private(login=, **environment): the benchmark whose one task is of that repository."""
    url, repo = private
    task = make_task("ta", repo, tests=[("check.sh", "a", "test -f ok\n")], rubrics=RUBRICS, gold=False)
    meta = workdir / "tasks/ta/tb_meta.json"
    doc = json.loads(meta.read_text())
    doc["repo"]["git_url"] = url
    meta.write_text(json.dumps(doc))
    make_bench(task, agent=agent_script("env > env.txt; touch ok\n"), model="m", retries=0)

    def run(login=True, check=0, words=("run", "bench.toml"), **env):
        home = workdir / "home"
        put(home / ".netrc", "machine 127.0.0.1 login somebody password s3cret\n" if login else "")
        (home / ".netrc").chmod(0o600)
        if account:
            give_to(account, workdir)
        trust = {"GIT_SSL_CAINFO": str(authority.pem)}
        return run_cli(*words, env={"HOME": str(home), **trust, **env}, check=check)
    return run


def test_a_login_and_an_authority(run_private, rollout, workdir):
    run_private()
    [row] = rollout().manifest["results"]
    assert row["outcome"] == "completed" and row["total_score"] == 1
    for path in (workdir / "data/runs").rglob("*"):
        if path.is_file():
            assert b"s3cret" not in path.read_bytes() and b"GIT_SSL_CAINFO" not in path.read_bytes(), path


@pytest.mark.parametrize("login, env, said", [
    (False, {}, "could not read Username"),
    (True, {"GIT_SSL_CAINFO": "/etc/hostname"}, "certificate"),
    (True, {"HTTPS_PROXY": "http://127.0.0.1:9"}, "127.0.0.1 port 9"),
])
def test_what_is_missing_is_said(run_private, login, env, said):
    done = run_private(login, check=None, **env)
    assert done.returncode != 0 and said in done.stdout + done.stderr
    if not login:
        assert "put a login for its host into ~/.netrc" in done.stdout + done.stderr


def test_no_proxy_is_heard(run_private, rollout):
    run_private(HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
    assert rollout().manifest["results"][0]["total_score"] == 1


def nothing_holds(workdir, *secrets):
    for path in (workdir / "data").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [s for s in secrets if s in content], path


@pytest.mark.parametrize("place", ["environment", ".env", "tasks/ta/.env"])
def test_a_token(run_private, rollout, workdir, place):
    """It opens the repository to git, and neither an agent nor a file sees it."""
    env = {}
    if place == "environment":
        env["GIT_127_0_0_1_TOKEN"] = "somebody:s3cret"
    else:
        put(workdir / place, "GIT_127_0_0_1_TOKEN=somebody:s3cret\n")
    run_private(login=False, **env)
    [row] = rollout().manifest["results"]
    assert row["outcome"] == "completed" and row["total_score"] == 1
    nothing_holds(workdir, b"s3cret", LOGIN.encode(), b"GIT_LOGINS")


def test_a_token_of_another_host_is_not_sent(run_private, workdir):
    put(workdir / ".env", "GIT_127_0_0_2_TOKEN=somebody:s3cret\nGITHUB_TOKEN=s3cret\n")
    assert "could not read Username" in run_private(login=False, check=2).stderr


def test_remotes_are_asked_before_anything_starts(run_private, workdir):
    done = run_private(login=False, check=2)
    assert "GIT_HOST_TOKEN" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list((workdir / "data").glob("r*/*/*/plan.json"))
    online = ("validate", "bench.toml", "--online")
    assert "could not read Username" in run_private(False, 2, online).stderr
    assert "fine: 1 task" in run_private(True, 0, online).stdout
    assert "fine: 1 task" in run_private(False, 0, ("validate", "bench.toml")).stdout


# The user's own home is where ssh looks for its configuration; a test has another.
SSH = """#!/bin/sh
exec /usr/bin/ssh -F {top}/ssh_config "$@"
"""
SSHD = """Port {port}
ListenAddress 127.0.0.1
HostKey {top}/host_key
AuthorizedKeysFile {top}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""


@pytest.fixture
def sshd(private, workdir, ordinary_user):
    """The URL of the same repository behind a real sshd, which lets in who has workdir/ssh/key and says its name in ssh/known."""
    if not Path("/usr/sbin/sshd").exists() or not shutil.which("ssh-agent"):
        engines.unavailable("sshd or ssh-agent is missing: install openssh-server and openssh-client")
    top = workdir / "ssh"
    top.mkdir()
    for name in ("key", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", top / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    put(top / "sshd_config", SSHD.format(top=top, port=port))
    put(top / "ssh_config", f"UserKnownHostsFile {top}/known\nGlobalKnownHostsFile none\n")
    put(workdir / "bin/ssh", SSH.format(top=top))
    (workdir / "bin/ssh").chmod(0o755)
    if os.geteuid() == 0:
        give_to(ordinary_user, top)
        give_to(ordinary_user, workdir / "www")
    # No root's, so it needs nothing of the machine, and whoever logs in is who it runs as.
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", top / "sshd_config"], stdin=subprocess.DEVNULL,
                              stderr=open(top / "log", "w"), **become(ordinary_user))
    try:
        wait_for(lambda: server.poll() is None and "listening on" in (top / "log").read_text())
        known = f"[127.0.0.1]:{port} {(top / 'host_key.pub').read_text()}"
        yield f"ssh://{ordinary_user}@127.0.0.1:{port}{workdir}/www/secret.git", known
    finally:
        server.kill()
        server.wait()


def test_ssh_and_an_agent(run_private, sshd, make_bench, agent_script, rollout, workdir, account):
    """A real agent opens a real sshd to git; neither it nor a key is in the sandbox of an agent or of tests."""
    url, known = sshd
    top = workdir / "ssh"
    meta = workdir / "tasks/ta/tb_meta.json"
    doc = json.loads(meta.read_text())
    doc["repo"]["git_url"] = url
    meta.write_text(json.dumps(doc))
    alone = f"test -z \"$SSH_AUTH_SOCK\" && ! test -e {top}/agent.sock && ! test -e {top}/key\n"
    put(workdir / "tasks/ta/evaluation/tests/check.sh", f"test -f ok && {alone}")
    make_bench(workdir / "tasks/ta", agent=agent_script(f"{alone[:-1]} && touch ok\n"), model="m", retries=0)
    give = become(account)
    if account:
        give_to(account, workdir)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", top / "agent.sock"], stdout=subprocess.DEVNULL, **give)
    try:
        wait_for(lambda: (top / "agent.sock").exists())
        env = {"SSH_AUTH_SOCK": str(top / "agent.sock"), "PATH": f"{workdir}/bin:/usr/local/bin:/usr/bin:/bin"}
        assert "connect to it once with ssh" in run_private(login=False, check=2, **env).stderr
        put(top / "known", known)
        assert "is the key in your ssh agent" in run_private(login=False, check=2, **env).stderr
        # ssh-add takes no key that others may read.
        shutil.copy(top / "key", top / "mine")
        (top / "mine").chmod(0o600)
        if account:
            give_to(account, top)
        subprocess.run(["ssh-add", "-q", top / "mine"], check=True, env={**os.environ, **env}, **give)
        run_private(login=False, **env)
    finally:
        agent.kill()
        agent.wait()
    assert rollout().manifest["results"][0]["total_score"] == 1
    nothing_holds(workdir, (top / "key").read_bytes().split(b"\n")[2])
