# SPDX-License-Identifier: Apache-2.0
"""Memory of a program and of what the kernel keeps for it, by a memory cgroup of its own."""
from __future__ import annotations

import os
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_REMOVAL = 5.0  # seconds until the ended program's charges have let go


class MemoryCgroup:
    """Use as a context manager, around the program's life. Version 1 and 2 of cgroups."""

    def __init__(self, name: str):
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        old = [path for _, controllers, path in lines if "memory" in controllers.split(",")]
        new = [path for _, controllers, path in lines if not controllers]
        self._version = 1 if old else 2
        above = _ROOT / "memory" / old[0].lstrip("/") if old else _ROOT / new[0].lstrip("/")
        self._path = above / f"margay-bench-{os.getpid()}-{name}"

    def __enter__(self) -> MemoryCgroup:
        self._path.mkdir()
        return self

    def __exit__(self, *_) -> None:
        deadline = time.monotonic() + _REMOVAL
        while True:
            try:
                return self._path.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def add(self, pid: int) -> None:
        (self._path / "cgroup.procs").write_text(str(pid))

    def usage(self) -> tuple[int, int]:
        """Bytes: all of it, and the kernel's share."""
        if self._version == 1:
            return self._number("memory.usage_in_bytes"), self._number("memory.kmem.usage_in_bytes")
        stat = dict(line.split() for line in (self._path / "memory.stat").read_text().splitlines())
        return self._number("memory.current"), int(stat["kernel"])

    def _number(self, name: str) -> int:
        return int((self._path / name).read_text())
