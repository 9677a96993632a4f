# SPDX-License-Identifier: Apache-2.0
"""Plain text tables for ./run: columns, the who-reaches-whom matrix, what processes cost."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from .probe import ALLOWED, Probe
from .process import Process

_LETTERS = {"tcp": "T", "udp": "U", "icmp": "I"}


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    table = [list(header), *(list(map(str, row)) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return "\n".join("   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
                     for row in table)


def cell(outcomes: dict[Probe, str], src: str, dst: str) -> str:
    """`TUI TUI`: TCP, UDP, ICMP over IPv4 and IPv6; a dot where the packet does not get through."""
    parts = []
    for family in (4, 6):
        text = ""
        for protocol, letter in _LETTERS.items():
            found = [o for p, o in outcomes.items()
                     if (p.src, p.dst, p.protocol, p.family) == (src, dst, protocol, family)]
            text += "" if not found else letter if found[0] == ALLOWED else "."
        parts.append(text)
    return " ".join(filter(None, parts)) or "-"


def matrix(want: dict[Probe, str], have: dict[Probe, str]) -> str:
    """One row a source, one column a destination: what was seen and, where it differs, expected."""
    names = list(dict.fromkeys(p.src for p in want)) + [
        d for d in dict.fromkeys(p.dst for p in want) if all(p.src != d for p in want)]
    rows = []
    for src in (n for n in names if any(p.src == n for p in want)):
        row = [src]
        for dst in names:
            seen, expected = cell(have, src, dst), cell(want, src, dst)
            row.append(seen if seen == expected else f"{seen} (expected {expected})")
        rows.append(row)
    return columns(["from \\ to", *names], rows)


def costs(processes: dict[str, Process]) -> str:
    rows = []
    for name, process in processes.items():
        if process.alive:
            usage = process.usage()
            rows.append([name, str(process.pid), f"{usage.cpu_seconds:.2f} s",
                         f"{usage.rss_mib:.1f} MiB", f"{usage.anon_mib:.1f} MiB"])
    return columns(["PROCESS", "PID", "CPU", "RSS", "ANONYMOUS"], rows)
