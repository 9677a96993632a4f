# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: make them, run commands and programs in them, open sockets in them.

The caller's own namespace is never changed: a child process enters the other namespace between fork
and exec, and a socket is opened by a short-lived thread that enters it for the call.
"""
from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

NETNS_DIR = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(RuntimeError):
    """A command of the lab's own (ip, nft, openssl, ...) that must not fail did."""


def enter(fd: int) -> None:
    """Moves the calling thread into the network namespace open as `fd`."""
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Namespace:
    """One named network namespace. `name` carries the lab's prefix."""

    def __init__(self, name: str):
        self.name = name
        self.path = NETNS_DIR / name
        run(["ip", "netns", "add", name])
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self.inode = os.fstat(self._fd).st_ino
        # No duplicate address detection: addresses of the lab are usable at once.
        self.sysctl("net/ipv6/conf/all/accept_dad", 0)
        self.sysctl("net/ipv6/conf/default/accept_dad", 0)
        self.ip("link set lo up")

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        remove_namespace(self.name)

    def spawn(self, argv: list[str], **kwargs) -> subprocess.Popen:
        """Starts a program in here; it is killed when the lab's process dies."""
        fd = self._fd

        def prepare() -> None:
            enter(fd)
            _die_with_parent()

        return subprocess.Popen(argv, preexec_fn=prepare, start_new_session=True, **kwargs)

    def run(self, argv: list[str], stdin: str | None = None, check: bool = True,
            timeout: float = 30) -> subprocess.CompletedProcess:
        """Runs a command in here to its end and returns what it printed."""
        with self.spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True) as child:
            try:
                out, err = child.communicate(stdin, timeout=timeout)
            except BaseException:
                child.kill()
                raise
        done = subprocess.CompletedProcess(argv, child.returncode, out, err)
        if check and child.returncode != 0:
            raise CommandFailed(f"{self.name}: {' '.join(argv)}: {err.strip() or out.strip()}")
        return done

    def ip(self, *lines: str) -> None:
        """Runs lines of iproute2 commands, without the leading `ip`, in one process."""
        argv = ["ip", "-n", self.name, "-batch", "-"]
        run(argv, stdin="\n".join(lines) + "\n")

    def output(self, *argv: str) -> str:
        return self.run(list(argv)).stdout

    def within(self, call: Callable[[], T]) -> T:
        """The result of `call`, made by a thread that has entered this namespace."""
        result: list[T] = []
        failure: list[BaseException] = []

        def body() -> None:
            try:
                enter(self._fd)
                result.append(call())
            except BaseException as error:  # handed to the caller below
                failure.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return result[0]

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        return self.within(lambda: socket.socket(family, kind, protocol))

    def sysctl(self, path: str, value: int | str) -> None:
        """Writes /proc/sys/<path> as seen from in here; only net/ is per namespace."""
        assert path.startswith("net/"), path
        self.within(lambda: Path("/proc/sys", path).write_text(str(value)))

    def read_sysctl(self, path: str) -> str:
        return self.within(lambda: Path("/proc/sys", path).read_text().strip())


def run(argv: list[str], stdin: str | None = None, timeout: float = 30) -> str:
    """Runs a command in the caller's namespace; its output, or CommandFailed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}"
                            + (f"\ninput:\n{stdin}" if stdin else ""))
    return done.stdout


def remove_namespace(name: str) -> None:
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=30)


def namespaces(prefix: str) -> list[str]:
    if not NETNS_DIR.exists():
        return []
    return sorted(p.name for p in NETNS_DIR.iterdir() if p.name.startswith(prefix))


def processes_in(inodes: Iterable[int]) -> list[int]:
    """Every process whose network namespace is one of `inodes`."""
    wanted = {f"net:[{inode}]" for inode in inodes}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.readlink(entry / "ns/net") in wanted:
                found.append(int(entry.name))
        except OSError:  # gone meanwhile, or a kernel thread
            continue
    return found


def veth(a: Namespace, a_if: str, b: Namespace, b_if: str) -> None:
    """A veth pair with both ends where they belong: it is never in the caller's namespace."""
    a.ip(f"link add {a_if} type veth peer name {b_if} netns {b.name}")
