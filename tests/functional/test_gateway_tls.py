# SPDX-License-Identifier: GPL-3.0-or-later
"""How the gateway reaches a provider: TLS with an authority that is known, through a proxy, by HTTP/2."""
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from types import SimpleNamespace

import pytest

from conftest import wait_for
from gateways import DEADLINE, all_at_once, gateway_program, make_gateway, total  # noqa: F401
from models import DIALECTS, KEY, ModelServer, fake, provided, scripted, sse  # noqa: F401


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A certificate authority, and what it signs."""

    def __init__(self, folder):
        self.folder, self.pem = folder, folder / "authority.pem"
        folder.mkdir()
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=A test's authority",
                "-keyout", folder / "authority.key", "-out", self.pem)

    def sign(self, name="IP:127.0.0.1", days=2):
        """The path of a PEM file with a certificate for NAME, and its key."""
        request, key, extra, made = (self.folder / f"server.{end}" for end in ("csr", "key", "ext", "pem"))
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", key, "-out", request)
        extra.write_text(f"subjectAltName={name}\n")
        openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.folder / "authority.key",
                "-CAcreateserial", "-days", days, "-extfile", extra, "-out", made)
        made.write_text(made.read_text() + key.read_text())
        return made


@pytest.fixture
def authority(workdir):
    return Authority(workdir / "authority")


@pytest.fixture
def serve(authority):
    """serve(**as Authority.sign): a fake provider that speaks TLS."""
    with contextlib.ExitStack() as stack:
        def make(**more):
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(authority.sign(**more))
            return stack.enter_context(ModelServer({"keys": [KEY]}, tls))

        yield make


@pytest.fixture
def reach(make_gateway):
    """reach(url, **environment): an attempt at a gateway whose provider is at URL."""
    def make(url, **env):
        gateway = make_gateway()
        gateway.env = {name: str(value) for name, value in env.items()}
        gateway.document["providers"]["fake"]["base_url"] = url
        gateway.document["limits"]["shut_ms"] = 0
        return gateway.start().attach()

    return make


@pytest.mark.parametrize("name", DIALECTS)
def test_a_provider_with_a_certificate_of_a_known_authority_is_asked(serve, reach, authority, name):
    server = serve()
    attempt = reach(server.url, SSL_CERT_FILE=authority.pem)
    more = {"stream_options": {"include_usage": True}} if name == "chat" else {}
    answers = [attempt.ask(name), attempt.ask(name, stream=True, **more)]
    assert [a.status for a in answers] == [200, 200]
    assert [a.body for a in answers] == [e.answer for e in server.log()]
    state = attempt.wait(lambda s: s["calls"] == 2)
    assert {k: state[k] for k in ("tokens_input", "tokens_output")} == {"tokens_input": 2000, "tokens_output": 100}


@pytest.mark.parametrize("wrong", ["another authority", "another name", "nobody's authority", "out of date"])
def test_a_certificate_that_does_not_fit_is_refused(serve, reach, authority, workdir, wrong):
    trusted = Authority(workdir / "other").pem if wrong == "another authority" else authority.pem
    more = {"another name": {"name": "DNS:api.example"}, "out of date": {"days": -1}}.get(wrong, {})
    server = serve(**more)
    attempt = reach(server.url, **({} if wrong == "nobody's authority" else {"SSL_CERT_FILE": trusted}))
    answer = attempt.ask()
    assert answer.status == 503 and server.log() == []
    failed = attempt.wait(lambda s: s.get("failed"))["failed"]
    assert failed["text"].startswith("fake cannot be reached: SSL"), failed
    assert server.url in failed["text"] and "SSL_CERT_FILE" in failed["text"]
    assert failed["retry"] is False


class Proxy:
    """An HTTP proxy that knows CONNECT: keeps what it was told and the bytes that it passed on."""

    def __init__(self, answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
        self.answer, self.heads, self.passed, self.threads = answer, [], bytearray(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.ends = []
        self.start(self.accept)

    def start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.ends.append(sock)
                self.start(self.serve, sock)

    def serve(self, client):
        head = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            self.heads.append(head)
            client.sendall(self.answer)
            if b" 200 " not in self.answer:
                client.close()
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            server = socket.create_connection((host, int(port)))
            self.ends.append(server)
            self.start(self.pump, server, client)
            self.pump(client, server)

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.passed += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.ends:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self.threads:
            thread.join(DEADLINE)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_is_gone_through_and_sees_nothing(serve, reach, authority, variable):
    server = serve()
    with Proxy() as proxy:
        attempt = reach(server.url, SSL_CERT_FILE=authority.pem, **{variable: proxy.url})
        answer = attempt.ask("anthropic", stream=True)
        assert answer.status == 200 and answer.body == server.log()[0].answer
        assert answer.headers["x-request-id"] == "req_1" and "event-stream" in answer.headers["content-type"]
        address = server.url.removeprefix("https://")
        [head] = proxy.heads
        assert head.startswith(f"CONNECT {address} HTTP/1.1\r\n".encode()) and attempt.token.encode() not in head
        assert len(proxy.passed) > len(answer.body)
        assert KEY.encode() not in head + proxy.passed and b"hello" not in proxy.passed


def test_whom_no_proxy_names_is_asked_without(serve, reach, authority):
    server = serve()
    with Proxy() as proxy:
        attempt = reach(server.url, SSL_CERT_FILE=authority.pem, HTTPS_PROXY=proxy.url, NO_PROXY="127.0.0.1")
        assert attempt.ask().status == 200 and not proxy.heads and len(server.log()) == 1


def test_a_proxy_that_refuses_is_told(serve, reach, authority):
    server = serve()
    with Proxy(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as proxy:
        attempt = reach(server.url, SSL_CERT_FILE=authority.pem, HTTPS_PROXY=proxy.url)
        answer = attempt.ask()
        assert answer.status == 503 and server.log() == [] and proxy.heads
        failed = attempt.wait(lambda s: s.get("failed"))["failed"]
        assert failed == {"text": f"fake cannot be reached: the proxy answers 403 (asking {server.url})", "retry": True}


def test_what_a_provider_says_behind_a_proxy_is_its_own_word(serve, reach, authority):
    server = serve()
    server.configure(rules=[{"nth": [1], "do": {"status": 404}}])
    with Proxy() as proxy:
        attempt = reach(server.url, SSL_CERT_FILE=authority.pem, HTTPS_PROXY=proxy.url)
        answer = attempt.ask()
        assert answer.status == 404 and answer.body == server.log()[0].answer
        assert "404" in attempt.wait(lambda s: s.get("failed"))["failed"]["text"]


def test_a_run_finds_its_provider_through_the_users_proxy(serve, authority, provided, run_cli, make_task, make_bench,
                                                          rollout, workdir):
    server = serve()
    env = provided()
    mine = workdir / "xdg/rollouts/providers.toml"
    text = mine.read_text().splitlines()
    mine.write_text("\n".join(f'base_url = "{server.url}"' if line.startswith("base_url") else line for line in text))
    path = make_bench(make_task(instructions=scripted(turns=[{"shell": "env"}, {"text": "Done."}])), agent="bash",
                      model="claude-fake", retries=0)
    with Proxy() as proxy:
        env.update(SSL_CERT_FILE=str(authority.pem), HTTPS_PROXY=proxy.url)
        run_cli("run", path, env=env, check=0, timeout=300)
        assert len(server.log()) == 2 and proxy.heads
    [(run_id, result)] = rollout().runs.items()
    assert result["outcome"] == "completed" and result["agent"]["metrics"]["calls"] == 2
    # What leads out is no business of the sandbox.
    assert "PROXY" not in (workdir / "data/runs" / run_id / "logs/agent.log").read_text()


NGINX = """
{user}
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        location / {{
            proxy_pass {url};
            proxy_http_version 1.1;
            proxy_buffering off;
            add_header x-spoken $server_protocol always;
            add_header x-connection $connection always;
        }}
    }}
}}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def is_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture
def http2(workdir, authority, fake):
    """nginx in front of the fake provider: it speaks HTTP/2, and says so in each answer."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if not program and not os.environ.get("CI"):
        pytest.skip("nginx is not installed: tools/setup test")
    assert program, "nginx is missing: tools/packages.txt has it for the tests"
    folder, port = workdir / "nginx", free_port()
    folder.mkdir()
    text = NGINX.format(user="user root;" if os.geteuid() == 0 else "", dir=folder, port=port, pem=authority.sign(),
                        url=fake.url)
    (folder / "nginx.conf").write_text(text)
    child = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: is_open(port) or child.poll() is not None, DEADLINE)
        assert child.poll() is None, (folder / "error.log").read_text()
        yield SimpleNamespace(url=f"https://127.0.0.1:{port}", pem=authority.pem)
    finally:
        child.kill()
        child.wait()


def curl_knows_http2():
    done = subprocess.run(["curl", "-V"], capture_output=True, text=True, check=False)
    return done.returncode != 0 or "HTTP2" in done.stdout


@pytest.mark.parametrize("name", DIALECTS)
def test_a_provider_that_speaks_http2_is_asked_by_it(http2, reach, fake, name):
    attempt = reach(http2.url, SSL_CERT_FILE=http2.pem)
    prompts = [scripted(turns=[{"text": f"I say {n}. ", "repeat": 50}]) for n in range(4)]
    answers = [attempt.ask(name, prompt, stream=n % 2 == 0) for n, prompt in enumerate(prompts)]
    assert [a.status for a in answers] == [200] * 4 and not any(a.cut for a in answers)
    want = "HTTP/2.0" if curl_knows_http2() else "HTTP/1.1"
    assert {a.headers["x-spoken"] for a in answers} == {want}
    for answer, entry in zip(answers, fake.log()):
        if name != "chat" or json.loads(entry.request.body).get("stream") is None:
            assert answer.body == entry.answer
        else:  # the usage that we asked for is ours
            assert entry.answer.startswith(answer.body[:-len(b"data: [DONE]\n\n")])
    state = attempt.wait(lambda s: s["calls"] == 4)
    assert {k: state[k] for k in total([e.usage for e in fake.log()])} == total([e.usage for e in fake.log()])
    assert state["estimated"] == 0


def test_calls_at_once_share_a_connection_and_a_cut_one_harms_no_other(http2, reach, fake):
    """Twelve streams; one is broken off by the provider, one stays silent and its agent leaves."""
    fake.configure(options={"drip": 0.02}, rules=[{"prompt": "cut me", "do": {"cut_after": 3}}])
    attempt = reach(http2.url, SSL_CERT_FILE=http2.pem)
    assert attempt.ask("anthropic").status == 200  # the connection is there
    texts = ["cut me"] + [f"stream {n}" for n in range(11)]
    answers = all_at_once(*[lambda t=t: attempt.ask("anthropic", t, stream=True) for t in texts])
    assert [a.status for a in answers] == [200] * 12
    assert answers[0].cut and not any(a.cut for a in answers[1:])
    assert all(sse(a.body)[-1]["type"] == "message_stop" for a in answers[1:])
    if curl_knows_http2():
        assert len({a.headers["x-connection"] for a in answers}) <= 2
    state = attempt.wait(lambda s: s["calls"] == 13)
    assert state["estimated"] == 1 and state["tokens_output"] >= 12 * 50
