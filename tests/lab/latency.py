# SPDX-License-Identifier: Apache-2.0
"""How long a change takes until packets feel it, measured by a stream of packets between two pods."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .lab import Lab

_QUIET = 0.3  # seconds without an answer that count as closed


@dataclass(frozen=True)
class Enforcement:
    """Seconds from just before the command was started: to its end, and to the first effect."""

    command: float
    effect: float

    def __str__(self) -> str:
        return f"{self.effect * 1000:.0f} ms (the command itself {self.command * 1000:.0f} ms)"


def closing(lab: Lab, src: str, dst: str, change: Callable[[], None]) -> Enforcement:
    """`change` cuts the open path from `src` to `dst`: until the last answer got through."""
    return _measure(lab, src, dst, change, "dropped")


def opening(lab: Lab, src: str, dst: str, change: Callable[[], None]) -> Enforcement:
    """`change` opens the closed path: until the first answer got through."""
    return _measure(lab, src, dst, change, "allowed")


def _measure(lab: Lab, src: str, dst: str, change: Callable[[], None], until: str) -> Enforcement:
    prober = lab.fabric.probers[src]
    address = lab.pods[dst].address(4) or lab.pods[dst].address(6)
    request = prober.send(op="stream", dst=address, port=80, until=until, quiet=_QUIET, timeout=10)
    if until == "dropped":
        prober.wait_for(request, 5, key="streaming")
    started = time.monotonic()
    change()
    command = time.monotonic() - started
    at = prober.wait_for(request, 15)["at"]
    if at is None:
        raise TimeoutError(f"{src} -> {dst}: never {until} after the change")
    return Enforcement(command, max(0.0, at - started))
