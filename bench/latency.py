# SPDX-License-Identifier: Apache-2.0
"""policy-latency: from the datastore write to the kernel's notification, one change at a time.

The write goes through margay-typha's Store service; its start is the moment before the request is
made, its end the time at which a listener in the agent's namespace has read the last notification
that the change must cause.
"""
from __future__ import annotations

import math
import time
from collections.abc import Iterator

from agent import BenchFailed, Bed, Options, Result, bed_for, note, running_agent
from agent import SPARE_PODS
from changes import Change, member, node, pod, rule
from lab import kernel
from lab.monitor import Monitor
from writer import Writer

_TIMEOUT = 10.0
_PAUSE = 0.005  # seconds of silence between two changes


def kinds(bed: Bed) -> dict[str, tuple[Iterator[Change], bool]]:
    """Changes by name, and whether the one that takes it back is measured, too."""
    found = {"rule": (rule(bed.stored), True), "member": (member(bed.stored, "hot"), True),
             "node": (node(bed.cluster), True),
             "pod": (pod(bed.cluster.spare_pods(SPARE_PODS)), False)}
    if bed.cluster.scale.huge_set:
        found["huge"] = (member(bed.stored, "huge"), True)  # joins the set of 100,000
    return found


def until_seen(monitor: Monitor, writer: Writer, change: Change) -> float:
    """When the last of the notifications came; those that are late are told by the failure."""
    missing = list(change.needles)
    deadline = time.monotonic() + _TIMEOUT
    at = 0.0
    while missing:
        writer.check()
        if time.monotonic() > deadline:
            raise BenchFailed(f"{_TIMEOUT} s after {change.writes[0][0]}: no {missing}")
        for at_datagram, protocol, data in monitor.receive(0.1):
            left = [n for n in missing if not n.in_datagram(protocol, data)]
            at = at_datagram if left != missing else at
            missing = left
    return at


def one(monitor: Monitor, writer: Writer, change: Change) -> float:
    """Milliseconds that it took."""
    while monitor.receive(_PAUSE):
        pass
    writer.start(change.writes)
    seen = until_seen(monitor, writer, change)
    issued = writer.issued()
    writer.done()
    return (seen - issued) * 1000


def percentile(sorted_values: list[float], percent: float) -> float:
    """The smallest value that is not below `percent` of all."""
    return sorted_values[max(0, math.ceil(len(sorted_values) * percent / 100) - 1)]


def summary(name: str, values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"{name}_p{p}_ms": percentile(ordered, p) for p in (50, 95, 99)}


def measure(bed: Bed, ns: kernel.Namespace, writer: Writer, tries: int) -> dict[str, float]:
    found: dict[str, float] = {}
    with Monitor(ns, lazy=True) as monitor:
        for name, (changes, both) in kinds(bed).items():
            values: list[float] = []
            while len(values) < tries:
                values.append(one(monitor, writer, next(changes)))
                back = one(monitor, writer, next(changes))
                values += [back] if both else []
            found |= summary(name, values[:tries])
    return found


def run(options: Options) -> Result:
    result = Result(params={"tries": options.tries})
    with bed_for(options) as bed:
        writer = bed.writer()
        try:
            for number in range(options.runs):
                with bed.node() as ns, running_agent(bed, ns) as process:
                    before = process.usage().cpu_seconds
                    sample = measure(bed, ns, writer, options.tries)
                    sample["cpu_s"] = process.usage().cpu_seconds - before
                    result.ours.append(sample)
                note(f"run {number + 1}: {sample}")
        finally:
            writer.close()
    return result
