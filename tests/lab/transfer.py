# SPDX-License-Identifier: Apache-2.0
"""A TCP connection that one end sends on without pause, and the moment at which its data stops."""
from __future__ import annotations

import select
import socket
import threading
import time

from .topology import Pod

_PIECE = b"x" * 512
_PAUSE = 0.005
_SILENCE = 0.4  # seconds without data that count as the end


class Transfer:
    """Use as a context manager. The client opens; the server sends if `download`."""

    def __init__(self, client: Pod, server: Pod, family: int, port: int, download: bool):
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        address = server.address(family)
        assert address
        self.arrived = 0.0  # when data last did
        self._stop = threading.Event()
        with server.ns.socket(kind, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen()
            listener.settimeout(5)
            ours = client.ns.socket(kind, socket.SOCK_STREAM)
            ours.settimeout(5)
            ours.connect((address, port))
            theirs, _ = listener.accept()
        self._ends = (theirs, ours) if download else (ours, theirs)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
        for end in self._ends:
            end.close()

    def _run(self) -> None:
        sender, receiver = self._ends
        sender.setblocking(False)
        receiver.setblocking(False)
        try:
            while not self._stop.is_set():
                readable, writable, _ = select.select([receiver], [sender], [], 0.05)
                if writable:
                    sender.send(_PIECE)
                if readable and receiver.recv(1 << 16):
                    self.arrived = time.monotonic()
                self._stop.wait(_PAUSE)
        except OSError:
            pass  # reset, or timed out: it has stopped

    def moves_after(self, moment: float) -> bool:
        return self.arrived > moment

    def stopped(self) -> bool:
        return 0 < self.arrived < time.monotonic() - _SILENCE
