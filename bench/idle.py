# SPDX-License-Identifier: Apache-2.0
"""idle: what an agent costs while nothing happens, audits included."""
from __future__ import annotations

import select
import time

from agent import BenchFailed, Options, Result, bed_for, note, running_agent
from lab.process import Process, cpu_seconds

_AUDITS = {"FELIX_NFTABLESREFRESHINTERVAL": 180.0, "FELIX_ROUTEREFRESHINTERVAL": 90.0}  # defaults


def watch(process: Process, seconds: float) -> float:
    """Percent of one core that it takes."""
    before, started = cpu_seconds(process.pid), time.monotonic()
    ended = select.select([process.pidfd], [], [], seconds)[0]
    if ended:
        raise BenchFailed(f"the agent ended\n{process.log_tail()}")
    return (cpu_seconds(process.pid) - before) / (time.monotonic() - started) * 100


def audits_within(seconds: float) -> dict[str, str]:
    """Refresh intervals so that each audit falls into the time at least once: the default if so."""
    return {name: str(seconds / 2) for name, default in _AUDITS.items() if default >= seconds}


def run(options: Options) -> Result:
    result = Result(params={"seconds": options.seconds})
    with bed_for(options) as bed:
        for number in range(options.runs):
            with bed.node() as ns, running_agent(bed, ns, **audits_within(options.seconds)) as agent:
                percent = watch(agent, options.seconds)
                usage = agent.usage()
                result.ours.append({"cpu_pct": percent, "rss_mib": usage.rss_mib,
                                    "rss_anon_mib": usage.anon_mib})
            note(f"run {number + 1}: {result.ours[-1]}")
    return result
