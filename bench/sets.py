# SPDX-License-Identifier: Apache-2.0
"""set-scale: one set of 100,000 and of 1,000,000 members, single addresses and networks of both
families: to load it, what it takes of memory, and one member more or less.

Loading is the agent's whole start with that set in the datastore, until the kernel's last change; the peer
is `nft -f` of the ruleset that came of it. A change of one member is measured twice: as in policy-latency,
from the request to write it (whole_*, the durable commit and the writer included), and by the agent's own
histogram, from the commit to the kernel's acknowledgement (one_member_*).
"""
from __future__ import annotations

import time
from contextlib import contextmanager
from collections.abc import Iterator
from dataclasses import replace

from agent import Bed, BenchFailed, Options, Result, bed_for, measure_agent, measure_nft, note
from agent import nft_version, running_agent
from cgroup import MemoryCgroup
from changes import member
from cluster import SCALES, Scale
from lab import programs
from lab.monitor import Monitor
from latency import one, percentile

_SIZES, _SIZES_SMALL = (100_000, 1_000_000), (10_000, 20_000)
_TIMEOUT = 10.0
_TO_KERNEL = "margay_datastore_to_kernel_seconds"
_MEMORY_OF = ("bytes_per_member", "kernel_bytes_per_member")


def scale_of(members: int) -> Scale:
    return replace(SCALES["S0"], nodes=12, huge_set=members, mixed_set=True)


@contextmanager
def measured_agent(bed: Bed, name: str) -> Iterator[tuple]:
    """An idle agent on a new node; its namespace and what its cgroup holds."""
    with MemoryCgroup(name) as group, bed.node() as ns:
        with running_agent(bed, ns, started=lambda process: group.add(process.pid),
                           FELIX_PROMETHEUSMETRICSENABLED="true",
                           FELIX_PROMETHEUSMETRICSPORT=str(programs.METRICS_PORT)):
            yield ns, group.usage()


def memory_without(options: Options) -> tuple[int, int]:
    with bed_for(replace(options, scale=scale_of(0))) as bed:
        with measured_agent(bed, "none") as (_, usage):
            return usage


def commit_to_kernel(ns) -> tuple[float, float]:
    """Seconds of all changes so far, and how many there were."""
    samples = programs.metrics_of(ns)
    return tuple(samples[f'{_TO_KERNEL}_{what}{{plane="policy"}}'] for what in ("sum", "count"))


def after(ns, count: float) -> tuple[float, float]:
    """The same when one more is counted, which is after the kernel has told everybody."""
    deadline = time.monotonic() + _TIMEOUT
    while (now := commit_to_kernel(ns))[1] == count:
        if time.monotonic() > deadline:
            raise BenchFailed(f"the agent counts no change in {_TIMEOUT} s")
    return now


def member_times(bed: Bed, ns, tries: int) -> dict[str, float]:
    """Milliseconds of one member in, and out."""
    changes, writer = member(bed.stored, "huge"), bed.writer()
    inside, whole = ([], []), ([], [])
    seconds, count = commit_to_kernel(ns)
    try:
        with Monitor(ns, lazy=True) as monitor:
            for way in (0, 1) * tries:
                whole[way].append(one(monitor, writer, next(changes)))
                before, (seconds, count) = seconds, after(ns, count)
                inside[way].append((seconds - before) * 1000)
    finally:
        writer.close()
    found = {}
    for way, name in enumerate(("in", "out")):
        found[f"one_member_{name}_ms"] = percentile(sorted(inside[way]), 50)
        found[f"whole_{name}_ms"] = percentile(sorted(whole[way]), 50)
    return found | {"one_member_ms": max(found["one_member_in_ms"], found["one_member_out_ms"])}


def one_size(bed: Bed, members: int, base: tuple[int, int], tries: int) -> dict[str, float]:
    with bed.node() as ns:
        found = measure_agent(bed, ns)
        if found["elements"] < members:
            raise BenchFailed(f"only {found['elements']} of {members} members in the kernel")
    sample = {"load_s": found["wall_s"], "load_cpu_s": found["cpu_s"], "rss_mib": found["rss_mib"]}
    with measured_agent(bed, str(members)) as (ns, usage):
        for name, whole, without in zip(_MEMORY_OF, usage, base):
            sample[name] = (whole - without) / members
        return sample | member_times(bed, ns, tries)


def peer_load(bed: Bed) -> dict[str, float]:
    """`nft -f` of the ruleset that an agent has made."""
    ruleset = bed.dir / "ruleset.nft"
    with bed.node() as ns, running_agent(bed, ns):
        text = ns.output("nft", "--stateless", "list", "ruleset")
    ruleset.write_text(text)
    with bed.node() as ns:
        found = measure_nft(ns, ["nft", "-f", str(ruleset)], bed.dir)
    return {"load_s": found["wall_s"], "load_cpu_s": found["cpu_s"], "rss_mib": found["rss_mib"]}


def run(options: Options) -> Result:
    sizes = _SIZES_SMALL if options.scale == "S0" else _SIZES
    result = Result("nft -f", nft_version(), params={"members": list(sizes),
                                                     "tries": options.tries})
    result.ours = [{} for _ in range(options.runs)]
    base = memory_without(options)
    for members in sizes:
        suffix = "" if members == sizes[0] else f"_{members}"
        with bed_for(replace(options, scale=scale_of(members))) as bed:
            for number in range(options.runs):
                sample = one_size(bed, members, base, options.tries)
                result.ours[number] |= {f"{key}{suffix}": value for key, value in sample.items()}
                if not suffix:
                    result.peer.append(peer_load(bed))
                    result.ratios.append({
                        f"load{kind}_vs_nft": sample[f"load{key}"] / result.peer[-1][f"load{key}"]
                        for kind, key in (("", "_s"), ("_cpu", "_cpu_s"))})
                note(f"{members} members, run {number + 1}: {sample}")
    return result
