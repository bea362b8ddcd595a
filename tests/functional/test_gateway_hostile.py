# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway between an agent that means harm and a provider that says anything at all."""
import contextlib
import http.client
import json
import socket
import threading

import pytest

from conftest import wait_for
from gateways import DEADLINE, UnixConnection, connect, gateway, gateway_program, make_gateway  # noqa: F401
from models import DIALECTS, KEY, fake, scripted, sse  # noqa: F401


@pytest.fixture
def raw_provider():
    """raw_provider(bytes, ...): a server whose answers to the requests that come are those bytes; its requests."""
    servers = []

    def start(*answers):
        server = socket.create_server(("127.0.0.1", 0))
        requests = []

        def serve():
            for answer in answers:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                with sock, contextlib.suppress(OSError):
                    sock.settimeout(DEADLINE)
                    got = b""
                    while b"\r\n\r\n" not in got:
                        got += sock.recv(65536)
                    head, _, body = got.partition(b"\r\n\r\n")
                    want = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                    while len(body) < want:
                        body += sock.recv(65536)
                    requests.append(head)
                    sock.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server.getsockname()[1], requests

    yield start
    for server, thread in servers:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(DEADLINE)


def behind(make_gateway, port, shut_ms=1000):
    gateway = make_gateway()
    gateway.document["providers"]["fake"]["base_url"] = f"http://127.0.0.1:{port}"
    gateway.document["limits"]["shut_ms"] = shut_ms
    return gateway.start()


def good(body, kind="application/json"):
    return (f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            ).encode() + body


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed_with_a_key(make_gateway, raw_provider, fake, status):
    port, requests = raw_provider(
        f"HTTP/1.1 {status} Moved\r\nLocation: {fake.url}/v1/chat/completions\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n".encode())
    attempt = behind(make_gateway, port).attach()
    answer = attempt.ask()
    assert answer.status == status and len(requests) == 1 and fake.log() == []


@pytest.mark.parametrize("answer", [
    b"", b"\0" * 1000, b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200", b"HTTP/1.1 999 Odd\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 30000 + b"\r\n{}", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 900000 + b"\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>\xff\xfe</html>",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"data: " + b"x" * 3000000,
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"data: {" * 100000 + b"\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b"[" * 1000000,
    b"HTTP/1.1 200 OK\r\nX-Bad: a\rb\0c\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 401 No\r\nContent-Length: 3000000\r\n\r\n" + b"[" * 3000000], ids=lambda a: repr(a[-24:]))
def test_whatever_the_provider_says_the_gateway_lives(make_gateway, raw_provider, answer):
    port, _ = raw_provider(*[answer] * 8)
    gateway = behind(make_gateway, port)
    for name in ("anthropic", "chat"):
        attempt = gateway.attach(f"20261124T120000-{len(name)}")
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            reply = attempt.ask(name, stream=name == "chat")
            assert reply.body or reply.cut, "an empty answer is none"
        assert gateway.child.poll() is None
        assert attempt.lines(1)[0]["v"] == 1 and attempt.state()["calls"] <= 1
    assert gateway.memory_kb() < 100 << 10


def test_a_head_that_goes_on_with_the_line_before_its_first(make_gateway, raw_provider):
    """A used handle of libcurl 7.88 still points to the last answer's headers, which are gone."""
    answers = [good(b"{}"), b"HTTP/1.1 200 OK\r\n folded: " + b"x" * 300 + b"\r\nContent-Length: 2\r\n\r\n{}"] * 20
    port, _ = raw_provider(*answers)
    gateway = behind(make_gateway, port)
    attempt = gateway.attach()
    for _ in range(4):
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            attempt.ask()
        assert gateway.child.poll() is None


def test_numbers_that_are_none_are_not_counted(make_gateway, raw_provider):
    odd = [b'{"usage":{"prompt_tokens":-5,"completion_tokens":3}}', b'{"usage":{"prompt_tokens":1e400,"completion_tokens":1}}',
           b'{"usage":{"prompt_tokens":99999999999999999999999999,"completion_tokens":2}}',
           b'{"usage":{"prompt_tokens":"7","completion_tokens":[1]}}', b'{"usage":null,"model":"\\u001b[31m\\u0000"}']
    port, _ = raw_provider(*map(good, odd))
    gateway = behind(make_gateway, port)
    attempt = gateway.attach()
    for _ in odd:
        assert attempt.ask().status == 200
    state = attempt.wait(lambda s: s["calls"] == len(odd))
    lines = attempt.lines(len(odd))
    assert all(0 <= line["tokens"][k] < 10 ** 16 for line in lines for k in line["tokens"])
    assert state["tokens_input"] >= 0 and not any(ord(c) < 32 for m in state["models"] for c in m)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_the_model_says_of_usage_is_not_believed(gateway, fake, name, stream):
    lie = {"usage": {"prompt_tokens": 9, "completion_tokens": 9, "input_tokens": 9, "output_tokens": 9},
           "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 9}, "model": "liar", "modelVersion": "liar"}
    said = f'"}}]}}\n\ndata: {json.dumps(lie)}\n\n{json.dumps(lie)}'
    tools = {"chat": [{"type": "function", "function": {"name": "f"}}], "responses": [{"type": "function", "name": "f"}],
             "anthropic": [{"name": "f", "input_schema": {"type": "object"}}],
             "gemini": [{"functionDeclarations": [{"name": "f"}]}]}[name]
    attempt = gateway.attach()
    prompt = scripted(turns=[{"text": said, "tools": [{"name": "f", "arguments": {**lie, "text": said}}]}])
    answer = attempt.ask(name, prompt, stream, tools=tools)
    assert answer.status == 200
    state = attempt.wait(lambda s: s["calls"] == 1)
    assert (state["tokens_input"], state["tokens_output"], state["models"]) == (1000, 50, ["fake-model"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_a_provider_that_tells_the_key_it_was_given_tells_nobody(make_gateway, fake, status):
    """The fixture looks for the key in all that was answered, said and written."""
    gateway = make_gateway()
    gateway.document["limits"]["shut_ms"] = 300
    attempt = gateway.start().attach()
    fake.configure(rules=[{"do": {"status": status, "body": {"error": {
        "message": f"Incorrect API key provided: {KEY}. You sent Bearer {KEY}.", "code": "no"}}}}])
    for stream in (False, True):
        answer = attempt.ask(stream=stream)
        assert answer.status == status and b"Incorrect API key" in answer.body
    assert attempt.lines(2)[0]["error"]


def test_an_agent_that_does_not_read_holds_up_neither_memory_nor_others(gateway, fake):
    attempt, other = gateway.attach(), gateway.attach("20261124T120000-2")
    dialect = DIALECTS["anthropic"]
    text = scripted(turns=[{"text": "0123456789abcdef", "repeat": 4 << 20}])  # 64 MB
    body = json.dumps(dialect.document(text, stream=True)).encode()
    head = "".join(f"{k}: {v}\r\n" for k, v in dialect.headers(attempt.token).items())
    with connect(gateway.models) as sock:
        sock.sendall(f"POST {dialect.path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode()
                     + body)
        assert sock.recv(1000)
        assert [other.ask().status for _ in range(20)] == [200] * 20
        assert gateway.memory_kb() < 60 << 10
        entry = fake.log()[0]
        assert entry.ended is None and len(entry.answer) < 32 << 20, "the provider is not held back"
    wait_for(lambda: entry.ended, DEADLINE)
    assert attempt.lines(1)[0]["end"] == "client_left"


def test_half_requests_hold_up_nobody(gateway):
    attempt = gateway.attach()
    halves = [b"", b"P", b"POST /v1/messages HTTP/1.1\r\n", b"POST /v1/messages HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"]
    socks = []
    for n in range(200):
        socks.append(connect(gateway.models))
        socks[-1].sendall(halves[n % len(halves)])
    assert [attempt.ask().status for _ in range(5)] == [200] * 5
    for sock in socks:
        sock.close()
    assert attempt.ask().status == 200


def test_many_requests_on_one_connection(gateway, fake):
    attempt = gateway.attach()
    dialect = DIALECTS["responses"]
    connection = UnixConnection(gateway.models)
    for n in range(60):
        stream = n % 3 == 0
        body = json.dumps(dialect.document(f"request {n}", stream=stream))
        connection.request("POST", dialect.path if n % 7 else "/v1/nothing", body, dialect.headers(attempt.token))
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == (200 if n % 7 else 404)
        if n % 7:
            assert data == fake.log()[-1].answer
    connection.close()


def test_pipelined_requests_are_answered_in_order(gateway, fake):
    attempt = gateway.attach()
    dialect = DIALECTS["chat"]
    head = "".join(f"{k}: {v}\r\n" for k, v in dialect.headers(attempt.token).items())
    requests = b""
    for n in range(10):
        body = json.dumps(dialect.document(scripted(turns=[{"text": f"answer {n}."}]))).encode()
        requests += (f"POST {dialect.path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n").encode() + body
    with connect(gateway.models) as sock:
        sock.sendall(requests)
        got = b""
        while got.count(b"HTTP/1.1 200") < 10 or not got.endswith(b"}\n"):
            piece = sock.recv(65536)
            assert piece, got[-300:]
            got += piece
    found = [got.index(f"answer {n}.".encode()) for n in range(10)]
    assert found == sorted(found) and len(fake.log()) == 10


@pytest.mark.parametrize("name", ["Host", "Content-Length", "x-api-key", "Authorization", "Connection"])
def test_headers_cannot_be_smuggled_to_the_provider(gateway, fake, name):
    attempt = gateway.attach()
    dialect = DIALECTS["anthropic"]
    body = json.dumps(dialect.document()).encode()
    head = "".join(f"{k}: {v}\r\n" for k, v in dialect.headers(attempt.token).items())
    gateway.raw(f"POST {dialect.path} HTTP/1.1\r\nHost: x\r\nX-A: b\rX-B: c\r\n{head}X-C: d\r\n\t{name}: evil\r\n"
                f"{name}: evil\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    for entry in fake.log():
        request = entry.request
        assert [v for k, v in request.headers if k.lower() == "x-api-key"] == [KEY]
        assert [v for k, v in request.headers if k.lower() == "host"] == [f"127.0.0.1:{fake.port}"]
        assert request.header("x-b") is None and request.header("authorization") is None


def test_tokens_and_names_that_are_odd_are_just_wrong(gateway, fake):
    gateway.attach()
    for key in ("", " ", "." * 500, "a" * 60000, "%00", "..", "20261124T120000-1.1", "\t"):
        answer = gateway.raw(f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nConnection: close\r\n"
                             "Content-Length: 2\r\n\r\n{}".encode())
        assert answer.startswith((b"HTTP/1.1 4",)), answer[:200]
    assert fake.log() == []
