# SPDX-License-Identifier: GPL-3.0-or-later
"""rollouts gateway: the providers of `run`, served outside of any benchmark."""
import http.client
import json
import signal
import socket
import stat

import pytest

from conftest import wait_for
from gateways import UnixConnection
from models import KEY, fake  # noqa: F401

PROVIDERS = """
[providers.fake]
base_url = "{url}"
key_env = "FAKE_API_KEY"
apis = ["chat"]

[[models]]
match = "fake-*"
provider = "fake"
price = {{ input = 10, output = 100, date = "2026-01-01" }}
"""
BODY = {"model": "fake-one", "messages": [{"role": "user", "content": "hello"}]}
ENV = {"FAKE_API_KEY": KEY}


@pytest.fixture
def provided(workdir, fake):  # noqa: F811
    (workdir / "xdg/rollouts").mkdir(parents=True)
    (workdir / "xdg/rollouts/providers.toml").write_text(PROVIDERS.format(url=fake.url))
    return fake


def ask(conn, body=BODY):
    conn.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json",
                                                                    "Authorization": "Bearer anything"})
    answer = conn.getresponse()
    return answer.status, json.loads(answer.read())


def end(child):
    child.send_signal(signal.SIGINT)
    said = child.stdout.read()
    assert child.wait(60) == 0, said
    assert KEY not in said
    return said


def test_a_tcp_port_is_served_until_interrupted(provided, start_cli):
    child = start_cli("gateway", "--listen", "127.0.0.1:0", env=ENV)
    line = next(line for line in child.stdout if line.startswith("listening on"))
    conn = http.client.HTTPConnection(line.split("//")[1].strip(), timeout=60)
    status, answer = ask(conn)
    assert status == 200 and answer["choices"], answer
    status, answer = ask(conn, {**BODY, "model": "other"})  # no rule names it, but there is one provider
    assert status == 200, answer
    assert end(child).strip().endswith("2 calls, 2100 tokens, $0.0150 and 1 call without a price")


def test_a_unix_socket_is_private_and_removed(provided, start_cli, workdir):
    path = workdir / "models.sock"
    child = start_cli("gateway", "--socket", path, "--provider", "fake", env=ENV)
    wait_for(path.exists)
    assert next(child.stdout).strip() == f"listening on {path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    conn = UnixConnection(path)
    assert ask(conn)[0] == 200
    again = start_cli("gateway", "--socket", path, "--provider", "fake", env=ENV)
    assert again.wait(60) == 2 and "somebody listens there already" in again.stdout.read()
    assert end(child).strip().endswith("1 call, 1050 tokens, $0.0150")
    assert not path.exists()


def test_a_socket_left_behind_is_replaced_and_a_file_is_not(provided, start_cli, run_cli, workdir):
    path = workdir / "models.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
    child = start_cli("gateway", "--socket", path, "--provider", "fake", env=ENV)
    assert next(child.stdout).startswith("listening")
    assert ask(UnixConnection(path))[0] == 200
    end(child)
    path.write_text("mine")
    done = run_cli("gateway", "--socket", path, "--provider", "fake", env=ENV, check=2)
    assert "no socket" in done.stderr and path.read_text() == "mine"


@pytest.mark.parametrize("args, env, why", [
    ((), ENV, "say where to listen"),
    (("--listen", "127.0.0.1:0", "--socket", "s"), ENV, "say where to listen"),
    (("--listen", "8765"), ENV, "must be ADDRESS:PORT"),
    (("--listen", "127.0.0.1:99999"), ENV, "must be ADDRESS:PORT"),
    (("--listen", "0.0.0.0:0"), ENV, "--any-address"),
    (("--listen", "127.0.0.1:0", "--provider", "nobody"), ENV, "no providers.toml names it"),
    (("--listen", "127.0.0.1:0", "--provider", "fake"), {}, "set FAKE_API_KEY"),
    (("--listen", "127.0.0.1:0"), {}, "no provider has a key"),
    (("--socket", "x" * 200, "--provider", "fake"), ENV, "longer than"),
])
def test_mistakes_are_told_in_one_line(provided, run_cli, args, env, why):
    done = run_cli("gateway", *args, env=env, check=2)
    assert why in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == "" and KEY not in done.stderr
