# SPDX-License-Identifier: Apache-2.0
"""bench/run: picks a benchmark by name, runs it, prints one JSON line."""
from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

import agent
import bgp
import calc
import churn
import foreign
import idle
import latency
import packets
import sets
import writer
from cluster import SCALES
from lab import registry


@dataclass(frozen=True)
class Benchmark:
    run: Callable[[agent.Options], agent.Result]
    scale: str = "S2"
    runs: int = 3
    tries: int = 0
    seconds: float = 0
    cluster: bool = True  # it needs typha and a generated cluster of the scale


BENCHMARKS = {
    "agent-sync": Benchmark(agent.sync),
    "restart": Benchmark(agent.restart),
    "policy-latency": Benchmark(latency.run, tries=500),
    "idle": Benchmark(idle.run, runs=1, seconds=300),
    "foreign-churn": Benchmark(foreign.run, seconds=20),
    "churn": Benchmark(churn.run, scale="S3"),
    "set-scale": Benchmark(sets.run, runs=1, tries=100, cluster=False),
    "policy-packets": Benchmark(packets.run, seconds=1, cluster=False),
    "calc": Benchmark(calc.run, cluster=False),
} | {name: Benchmark(bgp.runner(name), tries=20, seconds=60, cluster=False) for name in bgp.BENCHES}


def median(samples: list[dict[str, float]]) -> dict[str, float]:
    """Field by field; counts stay whole numbers."""
    found = {}
    for key in samples[0] if samples else ():
        value = statistics.median(sample[key] for sample in samples)
        found[key] = int(value) if float(value).is_integer() else round(value, 4)
    return found


def report(name: str, params: dict, seed: int, result: agent.Result) -> dict:
    ours, peer = median(result.ours), median(result.peer)
    ratio = {short: round(ours[key] / peer[key], 3)
             for short, key in (("wall", "wall_s"), ("cpu", "cpu_s"), ("rss", "rss_mib"))
             if peer.get(key) and key in ours} | median(result.ratios)
    named = {"name": result.peer_name, "version": result.peer_version} if result.peer_name else {}
    return {"bench": name, "params": params, "seed": seed, "runs": len(result.ours), "ours": ours,
            "peer": named | peer, "ratio": ratio}


def parse() -> tuple[str, agent.Options]:
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--scale", choices=SCALES)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--tries", type=int, help="changes of each kind in one run")
    parser.add_argument("--seconds", type=float, help="of watching in one run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer", choices=bgp.DAEMONS, default="bird", help="of the bgp benchmarks")
    given = parser.parse_args()
    default = BENCHMARKS[given.name]
    chosen = {key: getattr(default, key) if getattr(given, key) is None else getattr(given, key)
              for key in ("scale", "runs", "tries", "seconds")}
    return given.name, agent.Options(seed=given.seed, peer=given.peer, **chosen)


def main() -> int:
    name, options = parse()
    if os.geteuid() != 0:
        print("benchmarks make network namespaces: run as root", file=sys.stderr)
        return 2
    registry.sweep()
    try:
        result = BENCHMARKS[name].run(options)
    except (agent.BenchFailed, writer.WriteFailed) as error:
        print(f"bench/run {name}: {error}", file=sys.stderr)
        return 1
    params = {"build": "release"}
    if BENCHMARKS[name].cluster:
        params |= {"scale": options.scale, "tls": "mutual", "backend": "vxlan"}
    print(json.dumps(report(name, params | result.params, options.seed, result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
