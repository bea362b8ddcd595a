# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the gateway share: the process with its sockets, attached attempts, raw clients.

Whatever a test makes the gateway write, say or answer is searched for the provider's key at its end, and
whatever reached the provider for tokens.
"""
import contextlib
import fcntl
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import clean_env, wait_for
from models import DIALECTS, KEY

SECRET = "00112233445566778899aabbccddeeff"
PRICE = {"input": 2.0, "cached": 0.5, "cache_write": 2.5, "output": 10.0, "date": "2026-11-01"}
DEADLINE = 60  # seconds for what should take none


def token(run_id, attempt=1, role="agent"):
    name = f"{run_id}.{attempt}.{role}"
    return f"{name}.{hmac.new(SECRET.encode(), name.encode(), hashlib.sha256).hexdigest()}"


def cost(usage, price=None):
    price = price or PRICE
    plain = usage["input"] - usage["cached"] - usage["cache_write"]
    return (plain * price["input"] + usage["cached"] * price["cached"] + usage["cache_write"] * price["cache_write"]
            + usage["output"] * price["output"]) / 1e6


def total(usages):
    """The sums that a state carries, of {input, cached, cache_write, output, reasoning}."""
    names = ("input", "cached", "cache_write", "output", "reasoning")
    return {f"tokens_{name}": sum(usage[name] for usage in usages) for name in names}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=DEADLINE):
        super().__init__("gateway", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = connect(self.path, self.timeout)


def connect(path, timeout=DEADLINE):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(str(path))
    return sock


class Gateway:
    """The gateway process on sockets that outlive it, as its supervisor has them."""

    def __init__(self, program, workdir, document):
        self.program, self.workdir, self.document = program, workdir, document
        self.dir = Path(tempfile.mkdtemp(prefix="gateway-", dir=workdir))
        self.models, self.control = self.dir / "gateway.sock", self.dir / "control.sock"
        self.sockets = [self.listen(self.models, socket.SOCK_STREAM),
                        self.listen(self.control, socket.SOCK_SEQPACKET)]
        self.child, self.events, self.said, self.answers, self.attempts = None, [], b"", [], []
        self.starts, self.env = 0, {}

    def listen(self, path, kind):
        sock = socket.socket(socket.AF_UNIX, kind)
        sock.bind(str(path))
        sock.listen(4096)
        return sock

    # --- the process ---

    def launch(self, document=None):
        """Start it, without waiting."""
        numbers = [fcntl.fcntl(s, fcntl.F_DUPFD, 50) for s in self.sockets]
        script = 'exec 3<&"$1" 4<&"$2"; eval "exec $1<&- $2<&-"; exec "$0"'
        argv = ["/bin/bash", "-c", script, str(self.program), *map(str, numbers)]
        self.errors = open(self.dir / f"stderr-{self.starts}", "wb")
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                      pass_fds=numbers, env=clean_env(self.workdir, None, self.env), cwd="/")
        self.starts += 1
        for number in numbers:
            os.close(number)
        with contextlib.suppress(BrokenPipeError):
            text = document if isinstance(document, str) else json.dumps(document or self.document)
            self.child.stdin.write(text.encode() + b"\n")
            self.child.stdin.flush()
        self.reader = threading.Thread(target=self.read_events, args=(self.child.stdout,), daemon=True)
        self.reader.start()

    def read_events(self, stream):
        for line in stream:
            self.said += line
            self.events.append(json.loads(line))

    def start(self, **changes):
        """Start it and wait until it is ready."""
        self.document.update(changes)
        before = len(self.events)
        self.launch()
        wait_for(lambda: any(e["event"] == "ready" for e in self.events[before:]) or self.child.poll() is not None,
                 DEADLINE)
        assert self.child.poll() is None, self.complaint()
        return self

    def complaint(self):
        return self.said.decode() + (self.dir / f"stderr-{self.starts - 1}").read_text()

    def finish(self):
        """Close its standard input and wait for it to leave; returns the exit status."""
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        return self.wait()

    def wait(self):
        status = self.child.wait(DEADLINE)
        self.reader.join(DEADLINE)
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        self.child.stdout.close()
        self.errors.close()
        return status

    def kill(self):
        self.child.kill()
        self.wait()

    def close(self):
        for attempt in self.attempts:
            attempt.close()
        if self.child and self.child.returncode is None:
            self.finish()
        for sock in self.sockets:
            sock.close()

    def notes(self):
        return [e["text"] for e in self.events if e["event"] == "note"]

    def totals(self):
        """The last totals; None before any."""
        return next((e for e in reversed(self.events) if e["event"] == "totals"), None)

    def memory_kb(self):
        status = Path("/proc", str(self.child.pid), "status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    # --- clients ---

    def attach(self, run_id="20261124T120000-1", number=1, **more):
        attempt = Attempt(self, run_id, number, **more)
        self.attempts.append(attempt)
        return attempt

    def request(self, method, target, headers, body=None, timeout=DEADLINE, chunked=False):
        """One request on a connection of its own: status, headers, body (exact bytes, also of a cut answer), cut."""
        connection = UnixConnection(self.models, timeout)
        try:
            connection.request(method, target, body, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            cut, data = False, b""
            try:
                data = answer.read()
            except (http.client.IncompleteRead, ConnectionResetError) as error:
                cut, data = True, getattr(error, "partial", b"")
            self.answers.append(repr(answer.getheaders()).encode() + data)
            return SimpleNamespace(status=answer.status, headers=answer.headers, body=data, cut=cut)
        finally:
            connection.close()

    def raw(self, data, timeout=DEADLINE, listen=True):
        """Send bytes as they are and return whatever comes until the gateway closes; or leave at once."""
        with connect(self.models, timeout) as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while listen and (piece := sock.recv(65536)):
                    got += piece
        self.answers.append(got)
        return got


class Attempt:
    """A worker's connection, and the agent that has its token."""

    def __init__(self, gateway, run_id, number, provider="fake", model="fake-model", limits=None, replay=None,
                 recording=None, own_token=None, record=True, task=None, role="agent"):
        self.gateway, self.run_id, self.number = gateway, run_id, number
        self.token = token(run_id, number, role) if own_token is None else own_token
        folder = Path(tempfile.mkdtemp(prefix=f"{run_id}.{number}-", dir=gateway.dir))
        self.log_path, self.record_path = folder / "llm.jsonl", folder / "recording"
        self.messages, self.asked = [], 0
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(str(gateway.control))
        doc = {"op": "attach", "token": self.token, "provider": provider, "model": model, "limits": limits or {}}
        if task:
            doc["task"] = task
        files = [open(self.log_path, "ab")]
        if record and gateway.document.get("record"):
            files.append(open(self.record_path, "ab"))
        if replay:
            doc["replay"] = replay
            files.append(open(recording, "rb"))
        try:
            socket.send_fds(self.sock, [json.dumps(doc).encode()], [f.fileno() for f in files])
        finally:
            for file in files:
                file.close()
        self.reply = self.receive()
        self.is_attached = self.reply is not None and self.reply["event"] == "attached"

    def receive(self, timeout=DEADLINE):
        """The next message; None: the gateway closed the connection."""
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            return None
        if not data:
            return None
        self.messages.append(data)
        return json.loads(data)

    def state(self):
        """The state of now: the answer names the question, states that were on their way do not."""
        self.asked += 1
        self.sock.send(json.dumps({"op": "state", "ask": self.asked}).encode())
        while True:
            state = self.receive()
            if state is None:
                raise ConnectionResetError("the gateway closed the control connection")
            assert state["event"] == "state"
            if state.get("ask") == self.asked:
                return state

    def pushed(self, predicate, timeout=DEADLINE):
        """The first state that comes without being asked for, for which PREDICATE holds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            state = self.receive(max(0.01, end - time.monotonic()))
            if predicate(state):
                return state
        raise AssertionError("no such state came")

    def wait(self, predicate, timeout=DEADLINE):
        """The first state for which PREDICATE holds."""
        def look():
            state = self.state()
            return state if predicate(state) else None
        return wait_for(look, timeout, 0.02)

    def lines(self, count=None):
        """The lines of llm.jsonl, once there are COUNT."""
        def read():
            text = self.log_path.read_text()
            return [json.loads(line) for line in text.splitlines()] if text.endswith("\n") or not text else []
        return read() if count is None else wait_for(lambda: len(read()) >= count and read(), DEADLINE)

    def ask(self, dialect="chat", text="hello", stream=False, model="fake-model", body=None, headers=None, target=None,
            timeout=DEADLINE, chunked=False, **more):
        """One model request with the attempt's token; see Gateway.request."""
        dialect = DIALECTS[dialect]
        if body is None:
            body = json.dumps(dialect.document(text, model, stream, **more), ensure_ascii=False).encode()
        send = {**dialect.headers(self.token), **(headers or {})}
        return self.gateway.request("POST", target or dialect.target(model, stream), send, body, timeout, chunked)

    def close(self):
        self.sock.close()


@pytest.fixture(scope="session")
def gateway_program(build_dir):
    return build_dir / "rollouts-gateway"


def document(url, **more):
    return {"v": 1, "secret": SECRET, "control": True, "record": True,
            "providers": {"fake": {"base_url": url, "apis": list(DIALECTS), "keys": [{"id": "FAKE_KEY", "key": KEY}]}},
            "models": [{"match": "free-*", "provider": "fake", "price": None},
                       {"match": "*", "provider": "fake", "price": PRICE}],
            "limits": {"stall_ms": 30000, "shut_ms": 30000, "body_bytes": 20 << 20}, **more}


@pytest.fixture
def make_gateway(gateway_program, workdir, fake):
    """make_gateway(**members of its document): a Gateway that is not started."""
    made = []

    def make(**more):
        gateway = Gateway(gateway_program, workdir, document(fake.url, **more))
        made.append(gateway)
        return gateway

    yield make
    left = [g for g in made if g.child and g.child.returncode is None]
    for gateway in left:
        with contextlib.suppress(ProcessLookupError):
            command = Path("/proc", str(gateway.child.pid), "cmdline").read_bytes()
            environment = Path("/proc", str(gateway.child.pid), "environ").read_bytes()
            assert KEY.encode() not in command + environment
    for gateway in made:
        gateway.close()
        look_for_keys(gateway)
        look_for_tokens(gateway, fake)
        shutil.rmtree(gateway.dir)


@pytest.fixture
def gateway(make_gateway):
    """A gateway that runs, in front of the fake provider."""
    return make_gateway().start()


def look_for_keys(gateway):
    said = [("events", gateway.said)] + [("an answer", a) for a in gateway.answers]
    said += [("a message", m) for attempt in gateway.attempts for m in attempt.messages]
    said += [(str(path), path.read_bytes()) for path in gateway.dir.rglob("*") if path.is_file()]
    found = [name for name, data in said if KEY.encode() in data]
    assert not found, f"the provider's key is in {found}"
    for number in range(gateway.starts):
        text = (gateway.dir / f"stderr-{number}").read_text()
        assert "Sanitizer" not in text and "runtime error" not in text, text


def look_for_tokens(gateway, fake):
    for entry in fake.log():
        request = entry.request
        sent = request.target + repr(request.headers) + request.body.decode("utf-8", "replace")
        for attempt in gateway.attempts:
            assert attempt.token not in sent, f"the token reached the provider in request {request.number}"


def all_at_once(*functions):
    """Run FUNCTIONS in threads of their own; their values, in order. The first failure is raised."""
    values, errors = [None] * len(functions), []

    def run(at, function):
        try:
            values[at] = function()
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return values


def seconds(function):
    """(value, seconds it took)"""
    start = time.monotonic()
    return function(), time.monotonic() - start
