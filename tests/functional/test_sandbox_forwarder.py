# SPDX-License-Identifier: GPL-3.0-or-later
"""No network in a sandbox but the forwarder to the gateway, which is a stub here."""
import os
import socket
import threading

import pytest

from sandboxes import box, driver, plain  # noqa: F401 (fixtures)


def test_no_network(box):
    with socket.create_server(("0.0.0.0", 0)) as tcp, \
            socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as named:
        name = f"rollouts-test-{os.getpid()}"
        abstract.bind("\0" + name)
        abstract.listen()
        named.bind(str(box.workdir / "host.sock"))
        named.listen()
        found = box.py("""
import json, os, socket, sys
def attempt(family, kind, address):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            s.connect(address)
            if kind == socket.SOCK_DGRAM:
                s.send(b'x')
            return 0
    except OSError as e:
        return e.errno or str(e)
port, name, path = sys.argv[1:]
U, I, S, D = socket.AF_UNIX, socket.AF_INET, socket.SOCK_STREAM, socket.SOCK_DGRAM
print(json.dumps({'loopback': attempt(I, S, ('127.0.0.1', int(port))), 'host': attempt(I, S, ('10.0.0.1', int(port))),
  'internet': attempt(I, S, ('192.0.2.1', 80)), 'dns': attempt(I, D, ('192.0.2.1', 53)),
  'abstract': attempt(U, S, '\\0' + name), 'named': attempt(U, S, path),
  'interfaces': [n for _, n in socket.if_nameindex()]}))""",
                       str(tcp.getsockname()[1]), name, str(box.workdir / "host.sock"))
    assert found.pop("interfaces") == ["lo"]
    assert 0 not in found.values(), found
    assert found["loopback"] == found["abstract"] == 111 and found["internet"] == 101


@pytest.mark.local("a container may be given its engine's network: test_docker_tasks.py")
def test_a_gateway_is_the_only_network(plain):
    assert plain.run(network=True)[0]["kind"] == 1


class Gateway:
    """A stub of the gateway's unix socket: HANDLER runs in a thread for each connection."""

    def __init__(self, path, handler):
        self.path, self.handler, self.threads, self.errors = path, handler, [], []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        path.chmod(0o666)
        self.sock.listen(200)
        self.main = threading.Thread(target=self.serve)
        self.main.start()

    def serve(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.one, args=(conn,))
            self.threads.append(thread)
            thread.start()

    def one(self, conn):
        with conn:
            try:
                self.handler(conn)
            except OSError as error:
                self.errors.append(error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.main.join()
        self.sock.close()
        for thread in self.threads:
            thread.join(20)
        assert not any(t.is_alive() for t in self.threads), "a connection was never closed"


def read_all(conn):
    parts = []
    while part := conn.recv(65536):
        parts.append(part)
    return b"".join(parts)


def forwarder(box, handler):
    return Gateway(box.workdir / "gateway.sock", handler)


def through(box, script, *arguments, **more):
    return box.py("import json, socket, sys, time\n"
                  "def connect():\n    return socket.create_connection(('127.0.0.1', 8399), 20)\n"
                  "def read_all(s):\n    parts = []\n    while p := s.recv(65536):\n        parts.append(p)\n"
                  "    return b''.join(parts)\n" + script,
                  *arguments, gateway=str(box.workdir / "gateway.sock"), gateway_port=8399, **more)


def test_forwarder_passes_half_closes(box):
    def upper(conn):
        conn.sendall(read_all(conn).upper())

    with forwarder(box, upper):
        assert through(box, """
with connect() as s:
    s.sendall(b'hello')
    s.shutdown(socket.SHUT_WR)
    print(json.dumps(read_all(s).decode()))""") == "HELLO"


def test_forwarder_streams(box):
    step = threading.Event()

    def drip(conn):
        conn.sendall(b"one\n")
        if step.wait(20):
            conn.sendall(b"two\n")

    def on_line(conn):
        line = conn.recv(10)
        if line == b"go":
            drip(conn)
        else:
            step.set()

    with forwarder(box, on_line):
        # The second piece is only sent after the first one was received: nothing waits for a full buffer.
        assert through(box, """
with connect() as s:
    s.sendall(b'go')
    first = s.recv(100)
    with connect() as other:
        other.sendall(b'release')
        other.recv(1)
    print(json.dumps([first.decode(), read_all(s).decode()]))""") == ["one\n", "two\n"]


def test_forwarder_in_parallel_and_in_bulk(box):
    def echo(conn):
        while part := conn.recv(65536):
            conn.sendall(part)

    with forwarder(box, echo):
        assert through(box, """
import hashlib, threading
bad = []
def one(n):
    data = hashlib.sha256(b'%d' % n).digest() * 40000
    with connect() as s:
        def feed():
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        t = threading.Thread(target=feed)
        t.start()
        if read_all(s) != data:
            bad.append(n)
        t.join()
threads = [threading.Thread(target=one, args=(n,)) for n in range(100)]
[t.start() for t in threads]
[t.join() for t in threads]
print(json.dumps(bad))""") == []


def test_forwarder_tells_the_gateway_that_a_client_left(box):
    left = threading.Event()

    def wait(conn):
        conn.recv(10)
        if conn.recv(10) == b"":
            left.set()

    with forwarder(box, wait):
        through(box, "s = connect(); s.sendall(b'x'); time.sleep(0.1); s.close(); time.sleep(0.1); print(1)")
        assert left.wait(10)


def test_forwarder_passes_an_early_answer(box):
    def refuse(conn):
        conn.recv(10)
        conn.sendall(b"413 too large")

    with forwarder(box, refuse):
        assert through(box, """
with connect() as s:
    s.sendall(b'x' * 10)
    print(json.dumps(read_all(s).decode()))""") == "413 too large"


def test_idle_connections_do_not_close_the_forwarder_for_good(box):
    def echo(conn):
        while part := conn.recv(65536):
            conn.sendall(part)

    with forwarder(box, echo):
        assert through(box, """
idle = [connect() for _ in range(100)]
[s.close() for s in idle]
with connect() as s:
    s.sendall(b'x')
    print(json.dumps(s.recv(1).decode()))""") == "x"


def test_a_dead_gateway_is_a_closed_connection(box):
    path = box.workdir / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        path.chmod(0o666)
    assert through(box, """
with connect() as s:
    print(json.dumps(len(s.recv(10))))""") == 0
    assert box.sh("true", gateway=str(path), gateway_port=8399)["status"] == 0
