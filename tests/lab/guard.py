# SPDX-License-Identifier: Apache-2.0
"""Proof that the machine itself is untouched: rules, routes, links and sysctls before and after.

Reads only, in the caller's own namespace.
"""
from __future__ import annotations

import difflib
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Values that the kernel changes by itself.
_VOLATILE = re.compile(r"nf_conntrack_count|/neigh/.*(gc_|retrans)|random|fib_sync_mem|tcp_.*mem"
                       r"|/netfilter/nf_log|stable_secret|ipv6/route/flush|ipv4/route/flush")


def _command(*argv: str) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    # Counters, lifetimes and conntrack-like numbers move without anybody's doing.
    text = re.sub(r"counter packets \d+ bytes \d+|\[\d+:\d+\]|expires \d+sec|_lft \d+sec", "",
                  done.stdout)
    return [f"{' '.join(argv)}: {line.rstrip()}" for line in text.splitlines()
            if not line.startswith("#")]


def _sysctls() -> Iterator[str]:
    for directory, _, files in os.walk("/proc/sys/net"):
        for file in files:
            path = Path(directory, file)
            if _VOLATILE.search(str(path)):
                continue
            try:
                yield f"{path}: {path.read_text().strip()}"
            except OSError:
                continue  # write-only, or needs a value that is not set


def snapshot() -> list[str]:
    lines = _command("nft", "list", "ruleset")
    lines += _command("ip", "-o", "link", "show")
    for family in ("-4", "-6"):
        lines += _command("ip", family, "-o", "address", "show")
        lines += sorted(_command("ip", family, "route", "show", "table", "all"))
        lines += _command("ip", family, "rule", "show")
    return lines + sorted(_sysctls())


def difference(before: list[str], after: list[str]) -> list[str]:
    return [line for line in difflib.unified_diff(before, after, lineterm="", n=0)
            if line[:1] in "+-" and line[:3] not in ("+++", "---")]


@contextmanager
def host_unchanged() -> Iterator[None]:
    before = snapshot()
    yield
    changed = difference(before, snapshot())
    assert not changed, "the machine's own network state changed:\n  " + "\n  ".join(changed)
