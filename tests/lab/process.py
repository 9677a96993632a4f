# SPDX-License-Identifier: Apache-2.0
"""A long-lived program inside a namespace: log file, readiness, waiting and what it costs."""
from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .kernel import Namespace

_libc = ctypes.CDLL(None, use_errno=True)
_IN_CREATE, _IN_MOVED_TO = 0x100, 0x80


class ProcessFailed(RuntimeError):
    """The program ended, or did not get ready, when it should have."""


@dataclass(frozen=True)
class Usage:
    cpu_seconds: float
    rss_mib: float
    peak_rss_mib: float
    anon_mib: float


class Process:
    """Started at once. `name` names the log file and the socket on which it says READY=1."""

    def __init__(self, ns: Namespace, name: str, argv: list[str], directory: Path,
                 env: dict[str, str] | None = None):
        self.name = name
        self.argv = argv
        self.log_path = directory / f"{name}.log"
        self._notify_path = directory / f"{name}.notify"
        self._notify_path.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._notify.bind(str(self._notify_path))
        self._ready = False
        full = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                "NOTIFY_SOCKET": str(self._notify_path)} | (env or {})
        with open(self.log_path, "ab") as log:
            self._child = ns.spawn(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=full)
        self.pid = self._child.pid
        self.started = time.monotonic()
        self._pidfd = os.pidfd_open(self.pid)

    @property
    def pidfd(self) -> int:
        """Readable when the program has ended."""
        return self._pidfd

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._child.poll()

    def wait_ready(self, timeout: float = 10) -> None:
        """Until it has said READY=1 (sd_notify); ProcessFailed when it ends before."""
        deadline = time.monotonic() + timeout
        while not self._ready:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._notify, self._pidfd], [], [], max(0, left))
            if self._notify in readable:
                self._ready = b"READY=1" in self._notify.recv(4096).split(b"\n")
            elif self._pidfd in readable:
                raise ProcessFailed(f"{self.name} ended with {self._child.wait()} before it was "
                                    f"ready\n{self.log_tail()}")
            elif left <= 0:
                raise ProcessFailed(f"{self.name} not ready in {timeout} s\n{self.log_tail()}")

    def next_notice(self, timeout: float) -> str:
        """The next thing that it tells the service manager."""
        if not select.select([self._notify], [], [], timeout)[0]:
            raise ProcessFailed(f"{self.name} said nothing in {timeout} s\n{self.log_tail()}")
        return self._notify.recv(4096).decode()

    def wait_path(self, path: Path, timeout: float = 10) -> None:
        """Until the program has made `path`: for programs that do not know sd_notify."""
        deadline = time.monotonic() + timeout
        watch = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _libc.inotify_add_watch(watch, os.fsencode(path.parent), _IN_CREATE | _IN_MOVED_TO)
            while not path.exists():
                left = deadline - time.monotonic()
                readable = select.select([watch, self._pidfd], [], [], max(0, left))[0]
                if self._pidfd in readable or not readable:
                    raise ProcessFailed(f"{self.name}: no {path}\n{self.log_tail()}")
                os.read(watch, 1 << 16)
        finally:
            os.close(watch)

    def ends_within(self, seconds: float) -> bool:
        return bool(select.select([self._pidfd], [], [], seconds)[0])

    def wait(self, timeout: float = 10) -> int:
        """Its exit status, negative for a signal."""
        if not self.ends_within(timeout):
            raise ProcessFailed(f"{self.name} still runs after {timeout} s\n{self.log_tail()}")
        return self._child.wait()

    def send(self, number: int) -> None:
        if self.alive:
            self._child.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, timeout: float = 10) -> int:
        """Asks it to end and waits; kills it, and complains, when it does not."""
        self.send(number)
        try:
            return self.wait(timeout)
        except ProcessFailed:
            self._child.kill()
            self._child.wait()
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Kills it if it still runs and frees what watched it. Safe to call again."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
            self._notify.close()
            self._notify_path.unlink(missing_ok=True)

    def usage(self) -> Usage:
        return usage_of(self.pid)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def log_tail(self, lines: int = 40) -> str:
        text = self.log().splitlines()[-lines:]
        return f"--- {self.name}: last lines of {self.log_path}\n" + "\n".join(text)


def cpu_seconds(pid: int) -> float:
    """Of all threads, those that have ended included, in nanoseconds' exactness: what schedstat
    shows of each. The ticks of /proc/<pid>/stat are sampled, and wrong for short work."""
    scheduler_clock = (~pid << 3) | 2  # as clock_getcpuclockid(3) makes it
    return time.clock_gettime(scheduler_clock)


def usage_of(pid: int) -> Usage:
    """CPU time over all threads, memory as the kernel counts it now."""
    status = dict(line.split(":", 1)
                  for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)

    def mib(key: str) -> float:
        return int(status.get(key, "0 kB").split()[0]) / 1024

    return Usage(cpu_seconds(pid), mib("VmRSS"), mib("VmHWM"), mib("RssAnon"))
