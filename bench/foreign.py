# SPDX-License-Identifier: Apache-2.0
"""foreign-churn: what an agent costs on a node on which others are busy.

A routing daemon's 100,000 routes stand in the main table and 1,000 change every second; another
program changes its nftables table in 1,000 transactions every second.
"""
from __future__ import annotations

import time

from agent import BenchFailed, Bed, Options, Result, bed_for, note, running_agent
from lab.process import Process, cpu_seconds
from load import Elements, Routes, at_pace

_MOST_ROUTES, _ROUTES_PER_NODE = 100_000, 1000
_PER_SECOND = 1000
_GATEWAY4, _GATEWAY6 = "10.10.255.2", "fd00:10::2"


def percent_during(process: Process, step, seconds: float) -> float:
    """Of one core, while the steps come and until what they left behind is worked off."""
    before, started = cpu_seconds(process.pid), time.monotonic()
    at_pace(step, _PER_SECOND, seconds)
    if not process.alive:
        raise BenchFailed(f"the agent ended\n{process.log_tail()}")
    return (cpu_seconds(process.pid) - before) / (time.monotonic() - started) * 100


def count_of(bed: Bed) -> int:
    """Of foreign routes; fewer only beside the smallest cluster, which is there to try things."""
    return min(_MOST_ROUTES, _ROUTES_PER_NODE * bed.cluster.scale.nodes)


def one(bed: Bed, seconds: float) -> dict[str, float]:
    with bed.node() as ns, running_agent(bed, ns) as process:
        alone = cpu_seconds(process.pid)
    with bed.node() as ns:
        ns.ip("addr add fd00:10::1/64 dev eth0 nodad")
        routes = Routes(ns, "eth0", _GATEWAY4, _GATEWAY6)
        elements = Elements(ns)
        try:
            routes.fill(count_of(bed))
            with running_agent(bed, ns) as process:
                beside = cpu_seconds(process.pid)
                found = {"cpu_pct": percent_during(process, routes.changer(count_of(bed)), seconds),
                         "nft_cpu_pct": percent_during(process, elements.step, seconds)}
                found |= {"start_cpu_s": beside, "start_alone_cpu_s": alone,
                          "start_extra_cpu_s": beside - alone,
                          "rss_mib": process.usage().peak_rss_mib}
        finally:
            routes.close()
            elements.close()
    return found


def run(options: Options) -> Result:
    with bed_for(options) as bed:
        result = Result(params={"seconds": options.seconds, "foreign_routes": count_of(bed),
                                "changes_per_second": _PER_SECOND})
        for number in range(options.runs):
            result.ours.append(one(bed, options.seconds))
            note(f"run {number + 1}: {result.ours[-1]}")
    return result
