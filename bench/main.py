# SPDX-License-Identifier: Apache-2.0
"""bench/run: picks a benchmark by name, runs it, prints one JSON line."""
from __future__ import annotations

import argparse
import json
import os
import statistics
import sys

import agent
from cluster import SCALES
from lab import registry

BENCHMARKS = {"agent-sync": agent.sync, "restart": agent.restart}


def median(samples: list[dict[str, float]]) -> dict[str, float]:
    """Field by field; counts stay whole numbers."""
    found = {}
    for key in samples[0]:
        value = statistics.median(sample[key] for sample in samples)
        found[key] = int(value) if float(value).is_integer() else round(value, 4)
    return found


def report(name: str, params: dict, seed: int, result: agent.Result) -> dict:
    ours, peer = median(result.ours), median(result.peer)
    ratio = {short: round(ours[key] / peer[key], 3)
             for short, key in (("wall", "wall_s"), ("cpu", "cpu_s"), ("rss", "rss_mib"))
             if peer.get(key) and key in ours}
    return {"bench": name, "params": params, "seed": seed, "runs": len(result.ours), "ours": ours,
            "peer": {"name": result.peer_name, "version": result.peer_version} | peer,
            "ratio": ratio}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--scale", choices=SCALES, default="S2")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("benchmarks make network namespaces: run as root", file=sys.stderr)
        return 2
    registry.sweep()
    try:
        result = BENCHMARKS[options.name](options.scale, options.seed, options.runs)
    except agent.BenchFailed as error:
        print(f"bench/run {options.name}: {error}", file=sys.stderr)
        return 1
    params = {"scale": options.scale, "build": "release", "tls": "mutual", "backend": "vxlan"}
    print(json.dumps(report(options.name, params, options.seed, result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
