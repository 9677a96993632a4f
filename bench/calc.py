# SPDX-License-Identifier: Apache-2.0
"""calc: what calculation alone costs, in CPU time: 10,000 policies, clusters of three sizes.

An update is a remote pod that gets another label and leaves one set for another, flushed at once.
"""
from __future__ import annotations

import json
import subprocess

from agent import BenchFailed, Options, Result, note
from lab import programs

_PROGRAM = "calc_bench"
_POLICIES, _LOCAL = 10_000, 110
_ENDPOINTS, _SMALL, _LARGE = 100_000, 10_000, 1_000_000


def measure(endpoints: int) -> dict[str, float]:
    done = subprocess.run([programs.binary(_PROGRAM), str(endpoints)], capture_output=True,
                          text=True)
    if done.returncode != 0:
        raise BenchFailed(f"{_PROGRAM} {endpoints}: {done.stderr}")
    return json.loads(done.stdout)


def run(options: Options) -> Result:
    result = Result(params={"policies": _POLICIES, "endpoints": _ENDPOINTS, "local": _LOCAL})
    sizes = (_SMALL,) if options.scale == "S0" else (_SMALL, _LARGE)
    for number in range(options.runs):
        sample = measure(_ENDPOINTS)
        for endpoints in sizes:
            other = measure(endpoints)
            sample |= {f"{key}_{endpoints}": other[key]
                       for key in ("updates_per_s", "json_updates_per_s",
                                   "bytes_per_remote_endpoint")}
        result.ours.append(sample)
        result.ratios.append({f"updates_{_ENDPOINTS}_vs_{n}":
                              sample["updates_per_s"] / sample[f"updates_per_s_{n}"]
                              for n in sizes})
        note(f"run {number + 1}: {sample}")
    return result
