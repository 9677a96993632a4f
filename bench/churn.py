# SPDX-License-Identifier: Apache-2.0
"""churn: many endpoints at once get the label that makes them members of one set, then lose it."""
from __future__ import annotations

import time

from agent import BenchFailed, Bed, Options, Result, bed_for, note, running_agent
from changes import DEL_ELEMENT, NEW_ELEMENT, endpoint_address, remote_endpoints, with_labels
from cluster import KeyValue
from lab.monitor import Monitor, messages
from writer import Writer

_MEMBERS = 2000
_TIMEOUT = 60.0


def seconds_until_all(monitor: Monitor, writer: Writer, writes: list[KeyValue], kind: int,
                      addresses: set[bytes]) -> float:
    """From the first write to the notification of the last element."""
    missing = set(addresses)
    deadline = time.monotonic() + _TIMEOUT
    writer.start(writes)
    at = 0.0
    while missing:
        writer.check()
        if time.monotonic() > deadline:
            raise BenchFailed(f"{len(missing)} of {len(addresses)} elements are not there after "
                              f"{_TIMEOUT} s")
        for at_datagram, _, data in monitor.receive(0.1):
            found = {token for token in missing if token in data} if has(data, kind) else set()
            at = at_datagram if found else at
            missing -= found
    issued = writer.issued()
    writer.done()
    return at - issued


def has(data: bytes, kind: int) -> bool:
    return any(kind == message for message, _ in messages(data))


def one(bed: Bed, writer: Writer) -> dict[str, float]:
    """The members join the largest set that the cluster has."""
    label = {"bench": "huge" if bed.cluster.scale.huge_set else "hot"}
    chosen = remote_endpoints(bed.stored)[:_MEMBERS]
    addresses = {endpoint_address(value) for _, value in chosen}
    with bed.node() as ns, running_agent(bed, ns) as process, Monitor(ns, routes=False) as monitor:
        before = process.usage().cpu_seconds
        joining = [(key, with_labels(value, label)) for key, value in chosen]
        added = seconds_until_all(monitor, writer, joining, NEW_ELEMENT, addresses)
        while monitor.receive(0.2):
            pass
        removed = seconds_until_all(monitor, writer, chosen, DEL_ELEMENT, addresses)
        return {"add_s": added, "del_s": removed,
                "cpu_s": process.usage().cpu_seconds - before,
                "rss_mib": process.usage().peak_rss_mib}


def run(options: Options) -> Result:
    result = Result(params={"members": _MEMBERS})
    with bed_for(options) as bed:
        writer = bed.writer()
        try:
            for number in range(options.runs):
                result.ours.append(one(bed, writer))
                note(f"run {number + 1}: {result.ours[-1]}")
        finally:
            writer.close()
    return result
