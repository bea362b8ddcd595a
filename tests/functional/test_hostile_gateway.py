# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents that use the gateway against their neighbours, the disk and the memory: each attack beside an honest trial."""
import contextlib
import gzip
import json
import os
import socket

import pytest

from conftest import wait_for
from gateways import connect, gateway, gateway_program, make_gateway  # noqa: F401
from models import DIALECTS, KEY, fake  # noqa: F401
from sandboxes import box, driver  # noqa: F401
from test_gateway_hostile import raw_provider  # noqa: F401
from test_models import provided  # noqa: F401
from test_sandbox_forwarder import forwarder, through

MB = 1 << 20


def head(attempt, length, more=""):
    lines = [f"POST {DIALECTS['chat'].target('fake-model', False)} HTTP/1.1", "Host: gateway", f"Content-Length: {length}"]
    lines += [f"{k}: {v}" for k, v in DIALECTS["chat"].headers(attempt.token).items()]
    return ("\r\n".join(lines) + "\r\n" + more + "\r\n").encode()


def peak_kb(gateway):
    with open(f"/proc/{gateway.child.pid}/status", encoding="ascii") as status:
        return int(status.read().split("VmHWM:")[1].split()[0])


# --- the door -------------------------------------------------------------------------------------

def test_only_pid_1_has_the_door(box):
    """Nothing in the sandbox leads to the gateway's socket but the port, whose connections are bounded."""
    def echo(conn):
        while part := conn.recv(65536):
            conn.sendall(part)

    with forwarder(box, echo):
        found = through(box, r"""
import os
def kind(path):
    try:
        return os.stat(path).st_mode & 0o170000 == 0o140000
    except OSError:
        return False
sockets = [os.path.join(top, n) for top in ('/.rollouts', '/run', '/app', '/tmp', '/home/agent', '/var/tmp')
           for top, _, names in os.walk(top) for n in names if kind(os.path.join(top, n))]
inherited = [n for n in os.listdir('/proc/self/fd') if int(n) > 2 and kind('/proc/self/fd/' + n)]
try:
    others = os.listdir('/proc/1/fd')
except OSError:
    others = []
with connect() as s:
    s.sendall(b'x')
    print(json.dumps([sockets, inherited, others, s.recv(1).decode()]))""")
    assert found == [[], [], [], "x"]


# --- disk and memory ------------------------------------------------------------------------------

def test_bodies_that_are_never_finished(make_gateway):
    gateway = make_gateway()
    gateway.document["limits"]["body_bytes"] = MB
    gateway.start()
    bad, good = gateway.attach("20261130T120000-1"), gateway.attach("20261130T120000-2")
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            sock = stack.enter_context(connect(gateway.models))
            sock.sendall(head(bad, MB))
            sock.sendall(b" " * (MB - 4096))
        assert good.ask().status == 200
        assert peak_kb(gateway) < 40 << 10
        # Who wants more than a trial may have is told so, and the trial goes on once it has less.
        assert bad.ask(text="x" * (MB // 2)).status == 503
    wait_for(lambda: bad.ask().status == 200, 30)


def test_a_small_body_that_unpacks_to_a_large_one(make_gateway):
    gateway = make_gateway()
    gateway.document["limits"]["body_bytes"] = 4 * MB
    gateway.start()
    attempt = gateway.attach()
    body = gzip.compress(json.dumps({"model": "fake-model", "pad": "x" * (8 * MB)}).encode())
    for _ in range(8):
        assert attempt.ask(body=body, headers={"Content-Encoding": "gzip"}).status == 413
    assert peak_kb(gateway) < 60 << 10 and attempt.ask().status == 200


def test_refusals_without_end(make_gateway):
    gateway = make_gateway().start()
    attempt = gateway.attach()
    with connect(gateway.models) as sock:
        request = (f"GET /nowhere?{'x' * 8000} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {attempt.token}\r\n\r\n").encode()
        for _ in range(1200):
            sock.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += sock.recv(65536)
            assert answer.startswith(b"HTTP/1.1 404")
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            rest = len(answer.partition(b"\r\n\r\n")[2])
            while rest < length:
                rest += len(sock.recv(65536))
    assert attempt.ask().status == 200
    wait_for(lambda: any(line["status"] == 200 for line in attempt.lines()), 30)
    assert attempt.log_path.stat().st_size < 1000 * 1024 and attempt.record_path.stat().st_size < 100 * 1024
    assert len(attempt.lines()) <= 1001


def test_an_answer_without_end(make_gateway, raw_provider):
    chunk = b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "fake-model", "choices": [
        {"index": 0, "delta": {"content": "word " * 200}, "finish_reason": None}]}).encode() + b"\n\n"
    port, _ = raw_provider(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + chunk * 3000)
    gateway = make_gateway()
    gateway.document["limits"]["answer_bytes"] = 200000
    gateway.document["providers"]["fake"]["base_url"] = f"http://127.0.0.1:{port}"
    gateway.start()
    attempt = gateway.attach()
    answer = attempt.ask(stream=True)
    assert answer.cut and len(answer.body) <= 200000
    line = attempt.lines(1)[0]
    assert line["end"] == "cut" and "longer than 200000 bytes" in line["error"]
    assert attempt.record_path.stat().st_size < 300000


def test_notes_are_counted_rather_than_said(make_gateway):
    """A disk that is full makes each line of each log fail."""
    gateway = make_gateway(record=False).start()
    attempt = gateway.attach()
    full = gateway.attach("20261130T120000-9")
    os.unlink(full.log_path)
    full.close()
    bad = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with bad, open("/dev/full", "ab") as log:
        bad.connect(str(gateway.control))
        socket.send_fds(bad, [json.dumps({"op": "attach", "token": full.token, "provider": "fake",
                                          "model": "fake-model", "limits": {}}).encode()], [log.fileno()])
        assert json.loads(bad.recv(65536))["event"] == "attached"
        for _ in range(60):
            assert full.ask().status == 200
        assert attempt.ask().status == 200
    assert 1 <= len([n for n in gateway.notes() if "call log" in n]) <= 40


# --- requests in requests -------------------------------------------------------------------------

HEADS = {
    "space before the colon": "Content-Length : 5\r\n", "tab before the colon": "Transfer-Encoding\t: chunked\r\n",
    "no name": ": x\r\n", "a control in a value": "X-A: a\x01b\r\n", "a delete": "X-A: a\x7fb\r\n",
    "a bare CR": "X-A: a\rTransfer-Encoding: chunked\r\n", "brackets in a name": "X(A): b\r\n", "NUL": "X-A: a\0b\r\n",
    "8-bit name": "X-\u00e4: b\r\n", "two lengths": "Content-Length: 1\r\n",
}


@pytest.mark.parametrize("more", HEADS.values(), ids=HEADS)
def test_odd_heads_go_nowhere(gateway, fake, more):
    attempt = gateway.attach()
    body = json.dumps(DIALECTS["chat"].document("hello", "fake-model", False)).encode()
    said = gateway.raw(head(attempt, len(body), more) + body)
    sent = [entry.request for entry in fake.log()]
    assert said.startswith(b"HTTP/1.1 400") or not said or len(sent) == 1, said
    if sent:  # what was mended arrives as one request with one frame
        names = [name.lower() for name, _ in sent[0].headers]
        assert "transfer-encoding" not in names and names.count("content-length") == 1 and len(sent[0].body) == len(body)
    assert attempt.ask().status == 200


def test_a_chunked_body_passes_as_one_with_a_length(gateway, fake):
    attempt = gateway.attach()
    assert attempt.ask(chunked=True, headers={"Transfer-Encoding": "chunked"}).status == 200
    sent = fake.log()[-1].request
    assert "transfer-encoding" not in repr(sent.headers).lower()


@pytest.mark.parametrize("target", ["/v1/chat/completions\x01", "/v1/models?a=b\x7f", "/v1/m\u00f6dels"])
def test_odd_targets_go_nowhere(gateway, fake, target):
    attempt = gateway.attach()
    said = gateway.raw(f"GET {target} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {attempt.token}\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 40") and fake.log() == []


# --- models ---------------------------------------------------------------------------------------

def test_models_without_end(gateway):
    bad, good = gateway.attach("20261130T120000-1"), gateway.attach("20261130T120000-2")
    answers = [bad.ask(model=f"invented-{i}") for i in range(40)]
    assert [a.status for a in answers[15:]].count(400) >= 20 and b"asked for 16 models" in answers[-1].body
    assert good.ask().status == 200
    assert bad.ask(model="invented-0").status == 200


# --- what is kept of calls is the trial's -----------------------------------------------------------

FLOOD = """
import json, os, sys, urllib.request
url, token, model = sys.argv[1:]
for _ in range(500):
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": os.urandom(1 << 20).hex()}]}).encode()
    request = urllib.request.Request(url + "/v1/chat/completions", body, {"Content-Type": "application/json",
                                                                          "Authorization": "Bearer " + token})
    urllib.request.urlopen(request).read()
"""


def test_what_is_recorded_of_calls_counts_as_disk(run_cli, provided, make_bench, make_task, agent_script, rollout):
    agent_script('exec /usr/bin/python3 ~/flood.py "$URL" "$TOKEN" "$NAME"', name="flooder", needs="model",
                 env={"URL": "{gateway_url}", "TOKEN": "{token}", "NAME": "{model}"}, files={"{home}/flood.py": FLOOD})
    run_cli("run", make_bench({"prepared_dir": make_task(instructions="Say something.\n")}, agent="flooder", model="fake-one",
                              disk_mb=24, evaluate=False), env={"FAKE_API_KEY": KEY}, check=None)
    [result] = rollout().runs.values()
    assert result["outcome"] == "agent_error" and "MB to disk, the limit is 24 MB" in result["reason"], result
