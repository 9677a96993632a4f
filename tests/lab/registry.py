# SPDX-License-Identifier: Apache-2.0
"""What a lab leaves on the machine while it lives, so that nothing stays when it is gone.

Each lab has /run/margay-lab/<id>/, with a lock held for as long as its process lives, and gives its
namespaces names that begin with `<id>-`. A later run finds directories whose lock is free, left by a
crash or kill -9, and removes the processes, the namespaces and the directory.
"""
from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import kernel

ROOT = Path("/run/margay-lab")
PREFIX = "mgy"


class Registration:
    """The directory and name prefix of one live lab."""

    _count = 0

    def __init__(self) -> None:
        Registration._count += 1
        self.id = f"{PREFIX}{os.getpid()}x{Registration._count}"
        self.dir = ROOT / self.id
        with _root_locked():
            self.dir.mkdir(mode=0o700)
            self._lock = os.open(self.dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        _remove(self.id, self.dir)
        os.close(self._lock)
        with _root_locked():
            pass  # removes the root when this was the last lab


def sweep() -> list[str]:
    """Removes what dead labs left; the ids removed."""
    with _root_locked():
        dead = {d.name for d in ROOT.iterdir() if not _alive(d)}
        # A namespace of ours without a directory: its lab died while it was being removed.
        ids = {match[1] for name in kernel.namespaces(PREFIX)
               if (match := re.match(rf"({PREFIX}\d+x\d+)-", name))}
        dead |= {lab_id for lab_id in ids if not (ROOT / lab_id).exists()}
        for lab_id in dead:
            _remove(lab_id, ROOT / lab_id)
    return sorted(dead)


@contextmanager
def _root_locked() -> Iterator[None]:
    """No other process makes or sweeps labs meanwhile. Afterwards an empty root is gone."""
    while True:
        ROOT.mkdir(mode=0o755, exist_ok=True)
        root = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(root, fcntl.LOCK_EX)
        if ROOT.exists() and os.stat(ROOT).st_ino == os.fstat(root).st_ino:
            break
        os.close(root)  # removed by the one that held the lock: again
    try:
        yield
    finally:
        try:
            ROOT.rmdir()
        except OSError:
            pass  # not empty
        os.close(root)


def _alive(directory: Path) -> bool:
    try:
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def _remove(lab_id: str, directory: Path) -> None:
    names = kernel.namespaces(lab_id + "-")
    inodes = []
    for name in names:
        try:
            inodes.append(os.stat(kernel.NETNS_DIR / name).st_ino)
        except OSError:
            continue
    kill_all(kernel.processes_in(inodes))
    for name in names:
        kernel.remove_namespace(name)
    shutil.rmtree(directory, ignore_errors=True)


def kill_all(pids: list[int]) -> None:
    """Kills and waits, by pidfd, until each is gone (bounded: a stuck one is left to the kernel)."""
    own = os.stat("/proc/self/ns/net").st_ino
    waiting = []
    for pid in pids:
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino == own:
                continue  # the pid was reused by somebody else's process
            fd = os.pidfd_open(pid)
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            waiting.append(fd)
        except (ProcessLookupError, FileNotFoundError, PermissionError):
            continue
    for fd in waiting:
        select.select([fd], [], [], 5)
        os.close(fd)
