# SPDX-License-Identifier: Apache-2.0
"""Connectivity: a prober process in each namespace, probes run all at once, and their comparison."""
from __future__ import annotations

import itertools
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .kernel import Namespace

_PROGRAM = Path(__file__).with_name("prober.py")
ALLOWED, DROPPED, REFUSED, UNREACHABLE = "allowed", "dropped", "refused", "unreachable"
# What a prober listens on; a probe of CLOSED_PORT that gets through is refused.
PORTS = (80, 8080)
CLOSED_PORT = 7


@dataclass(frozen=True, order=True)
class Probe:
    """One attempt: from the prober named `src` to `address`, which belongs to `dst`."""

    src: str
    dst: str
    address: str
    protocol: str = "tcp"
    port: int = 80
    source: str | None = None  # bind to this address first, for spoofing

    @property
    def family(self) -> int:
        return 6 if ":" in self.address else 4

    def __str__(self) -> str:
        port = "" if self.protocol == "icmp" else f"/{self.port}"
        spoof = f" as {self.source}" if self.source else ""
        return f"{self.src} -> {self.dst} {self.protocol}{port} v{self.family} ({self.address}){spoof}"


class ProberFailed(RuntimeError):
    pass


class Prober:
    """The prober process of one namespace."""

    def __init__(self, ns: Namespace, name: str, ports: Iterable[int] = PORTS):
        self.name = name
        self._ids = itertools.count(1)
        self._buffer = b""
        self._mine, theirs = socket.socketpair()
        self._child = ns.spawn([sys.executable, "-I", "-S", str(_PROGRAM), str(theirs.fileno()),
                                *map(str, ports)], pass_fds=[theirs.fileno()],
                               stdin=subprocess.DEVNULL)
        theirs.close()
        self._ready = False

    @property
    def pid(self) -> int:
        return self._child.pid

    def fileno(self) -> int:
        return self._mine.fileno()

    def send(self, **request) -> int:
        request["id"] = next(self._ids)
        self._mine.sendall((json.dumps(request) + "\n").encode())
        return request["id"]

    def receive(self) -> list[dict]:
        """Complete answers that have arrived; blocks for the first bytes."""
        data = self._mine.recv(1 << 16)
        if not data:
            raise ProberFailed(f"prober of {self.name} ended")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def wait_ready(self, timeout: float = 20) -> None:
        if not self._ready:
            self.wait_for(0, timeout)
            self._ready = True

    def wait_for(self, request_id: int, timeout: float, key: str = "result"):
        """The answer to one request; others that arrive meanwhile are dropped."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self], [], [], left)[0]:
                raise ProberFailed(f"prober of {self.name}: no answer in {timeout} s")
            for message in self.receive():
                if message["id"] == request_id and key in message:
                    return message[key]

    def ask(self, **request):
        """One request to its end; `timeout` is that of the attempt itself."""
        self.wait_ready()
        request.setdefault("timeout", 2)
        return self.wait_for(self.send(**request), request["timeout"] + 10)

    def close(self) -> None:
        self._mine.close()
        self._child.kill()
        self._child.wait()


def run_probes(probers: dict[str, Prober], probes: Iterable[Probe],
               timeout: float = 0.4) -> dict[Probe, str]:
    """All probes at the same time; the outcome of each."""
    waiting: dict[tuple[str, int], Probe] = {}
    for probe in probes:
        prober = probers[probe.src]
        prober.wait_ready()
        request_id = prober.send(op=probe.protocol, dst=probe.address, port=probe.port,
                                 source=probe.source, timeout=timeout)
        waiting[probe.src, request_id] = probe
    outcomes: dict[Probe, str] = {}
    deadline = time.monotonic() + timeout + 10
    while waiting:
        left = deadline - time.monotonic()
        busy = [probers[name] for name in {src for src, _ in waiting}]
        ready = select.select(busy, [], [], max(0, left))[0]
        if not ready:
            raise ProberFailed(f"no answer to: {'; '.join(map(str, waiting.values()))}")
        for prober in ready:
            for message in prober.receive():
                probe = waiting.pop((prober.name, message["id"]), None)
                if probe and "result" in message:
                    outcomes[probe] = message["result"]
    return outcomes


def differences(want: dict[Probe, str], have: dict[Probe, str]) -> list[str]:
    """One readable line per probe that came out otherwise."""
    return [f"{probe}: expected {want[probe]}, got {have.get(probe, 'no answer')}"
            for probe in sorted(want) if have.get(probe) != want[probe]]


class ConnectivityError(AssertionError):
    def __init__(self, total: int, lines: list[str]):
        shown = lines[:40] + ([f"... and {len(lines) - 40} more"] if len(lines) > 40 else [])
        super().__init__(f"{len(lines)} of {total} probes not as expected:\n  "
                         + "\n  ".join(shown))
        self.lines = lines


def settle(probers: dict[str, Prober], want: dict[Probe, str], timeout: float,
           wake: Iterable[int] = ()) -> dict[Probe, str]:
    """Repeats the probes that differ until one whole round is as wanted, or raises the difference.

    `wake` are descriptors (netlink monitors) whose readiness starts the next round early.
    """
    deadline = time.monotonic() + timeout
    have: dict[Probe, str] = {}
    todo = list(want)
    while True:
        have |= run_probes(probers, todo)
        wrong = [probe for probe in want if have[probe] != want[probe]]
        if not wrong and len(todo) == len(want):
            return have
        if wrong and time.monotonic() >= deadline:
            raise ConnectivityError(len(want), differences(want, have))
        todo = wrong or list(want)
        if wrong:
            select.select(list(wake), [], [], 0.02)
