# SPDX-License-Identifier: Apache-2.0
"""A server in typha's place that speaks TLS with a valid certificate, and then nonsense."""
from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable

from .certs import Certificate
from .kernel import Namespace
from .programs import TYPHA_PORT
from .topology import TYPHA

# What it says after the handshake: an HTTP/2 preface, then frames.
_SETTINGS = bytes.fromhex("000000040000000000")


def noise(connection: ssl.SSLSocket) -> None:
    """No protocol at all."""
    connection.sendall(bytes(range(256)) * 64)


def huge_frame(connection: ssl.SSLSocket) -> None:
    """HTTP/2, and a frame that claims 16 MiB."""
    connection.sendall(_SETTINGS + bytes.fromhex("ffffff000000000001") + b"x" * 65536)


def bad_message(connection: ssl.SSLSocket) -> None:
    """HTTP/2 with a good answer's head, whose message is no protobuf."""
    head = bytes.fromhex("88") + b"\x0f\x10\x10application/grpc"  # :status 200, content-type
    headers = len(head).to_bytes(3, "big") + bytes.fromhex("0104") + (1).to_bytes(4, "big") + head
    message = b"\x00" + (64).to_bytes(4, "big") + b"\xff" * 64
    data = len(message).to_bytes(3, "big") + bytes.fromhex("0000") + (1).to_bytes(4, "big") + message
    connection.sendall(_SETTINGS)
    connection.recv(4096)  # the client's preface and its call
    connection.sendall(bytes.fromhex("000000040100000000") + headers + data)


class Impostor:
    """Listens where typha listens; `says` is called for each connection that passes the handshake."""

    def __init__(self, ns: Namespace, certificate: Certificate,
                 says: Callable[[ssl.SSLSocket], None]):
        self._says = says
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.cert, certificate.key)
        self._context.set_alpn_protocols(["h2"])
        self._listener = ns.within(self._listen)
        self._stop = threading.Event()
        self.accepted = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @staticmethod
    def _listen() -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((TYPHA[0], TYPHA_PORT))
        listener.listen(16)
        return listener

    def _serve(self) -> None:
        while not self._stop.is_set():
            if not select.select([self._listener], [], [], 0.1)[0]:
                continue
            plain, _ = self._listener.accept()
            plain.settimeout(2)
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    self._says(connection)
                    self.accepted.release()
                    connection.settimeout(1)
                    while connection.recv(4096):
                        pass
            except OSError:
                continue

    def wait_for_victims(self, count: int, timeout: float = 20) -> None:
        for _ in range(count):
            if not self.accepted.acquire(timeout=timeout):
                raise TimeoutError(f"fewer than {count} connections in {timeout} s")

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()
