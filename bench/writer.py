# SPDX-License-Identifier: Apache-2.0
"""A user of margay-typha's Store service with a connection that stands: one request, one answer."""
from __future__ import annotations

import subprocess
from pathlib import Path

from cluster import KeyValue
from lab import certs, kernel, programs


class WriteFailed(RuntimeError):
    """The Store service refused a write, or went away."""


class Writer:
    def __init__(self, ns: kernel.Namespace, address: str, certificate: certs.Certificate,
                 directory: Path):
        argv = [programs.binary(programs.STORE_PUT_PROGRAM), "--each-line", "--store", address,
                "--ca-file", str(certificate.ca), "--cert-file", str(certificate.cert),
                "--key-file", str(certificate.key), "--server-cn", certs.SERVER_CN]
        with open(directory / "writer.err", "wb") as log:
            self._child = ns.spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self._error = directory / "writer.err"

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        self._child.stdin.close()
        self._child.stdout.close()

    def check(self) -> None:
        """Fails when it has ended: a write was refused."""
        if self._child.poll() is not None:
            raise WriteFailed(f"the writer ended: {self._error.read_text()}")

    def start(self, pairs: list[KeyValue]) -> None:
        """Sends one request; an empty value deletes. `issued` and `done` must follow."""
        line = "\t".join(part for pair in pairs for part in pair)
        self._child.stdin.write(line.encode() + b"\n")
        self._child.stdin.flush()

    def issued(self) -> float:
        """When the request was made, on the clock of time.monotonic()."""
        word, _, nanoseconds = self._answer().partition(" ")
        assert word == "issued", word
        return int(nanoseconds) / 1e9

    def done(self) -> None:
        """Waits until it is durable."""
        answer = self._answer()
        assert answer == "done", answer

    def put(self, pairs: list[KeyValue]) -> None:
        self.start(pairs)
        self.issued()
        self.done()

    def _answer(self) -> str:
        answer = self._child.stdout.readline().decode().strip()
        if not answer:
            self._child.wait()
            self.check()
        return answer
