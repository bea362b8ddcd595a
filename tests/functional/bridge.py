# SPDX-License-Identifier: GPL-3.0-or-later
"""A unix socket that leads to a TCP port, as the gateway's does: tests of agents alone, without a gateway."""
import contextlib
import os
import socket
import threading


class Bridge:
    """Accepts on PATH and passes bytes on to 127.0.0.1:PORT, a thread for each direction."""

    def __init__(self, path, port):
        self.path, self.port, self.connections = path, port, []

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        os.chmod(self.path, 0o666)
        self.listener.listen(128)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                inside, _ = self.listener.accept()
                outside = socket.create_connection(("127.0.0.1", self.port))
                self.connections += [inside, outside]
                for pair in ((inside, outside), (outside, inside)):
                    threading.Thread(target=self.copy, args=pair, daemon=True).start()

    @staticmethod
    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        os.unlink(self.path)
