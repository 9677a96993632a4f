# SPDX-License-Identifier: Apache-2.0
"""Watches what changes in a namespace's kernel state: rtnetlink and nftables notifications.

Tests wait on these events instead of sleeping, and count them to prove that nothing changed.
"""
from __future__ import annotations

import ipaddress
import json
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .kernel import Namespace

_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33
# link, neigh, v4 address, v4 route, v4 rule, v6 address, v6 route, v6 rule
_ROUTE_GROUPS = (1, 3, 5, 7, 8, 9, 11, 19)
_NFTABLES_GROUP = 7
_ROUTE_KINDS = {16: "link", 20: "address", 24: "route", 28: "neighbour", 32: "rule"}
_NFT_KINDS = {0: "table", 3: "chain", 6: "rule", 9: "set", 12: "element", 15: "generation",
              18: "object", 22: "flowtable"}
_NFT_DELETES = {2: "table", 5: "chain", 8: "rule", 11: "set", 14: "element", 20: "object",
                24: "flowtable"}
_AF_BRIDGE = 7
_NUD_PERMANENT, _NUD_NOARP = 0x80, 0x40


class Overrun(RuntimeError):
    """The kernel dropped notifications: the count would be wrong."""


@dataclass(frozen=True)
class Event:
    """One notification. kind: link address route rule neighbour fdb, or nft-table nft-rule ..."""

    at: float
    kind: str
    deleted: bool
    detail: dict = field(default_factory=dict)

    def __str__(self) -> str:
        words = " ".join(f"{k}={v}" for k, v in self.detail.items())
        return f"{'-' if self.deleted else '+'}{self.kind} {words}".rstrip()


class Monitor:
    """Subscribed from construction on; `events` grows with every wait, drain or quiet.

    A lazy one, for benchmarks, only keeps bytes and their times until `parse` is called.
    """

    def __init__(self, ns: Namespace, nftables: bool = True, routes: bool = True,
                 lazy: bool = False):
        self.events: list[Event] = []
        self._lazy = lazy
        self._raw: list[tuple[float, int, bytes]] = []
        self._sockets: list[socket.socket] = []
        self._permanent: set[str] = set()
        if routes:
            listed = ns.output("ip", "-j", "neighbour", "show", "nud", "permanent")
            self._permanent = {entry["dst"] for entry in json.loads(listed or "[]")}
            self._open(ns, _NETLINK_ROUTE, _ROUTE_GROUPS)
        if nftables:
            self._open(ns, _NETLINK_NETFILTER, (_NFTABLES_GROUP,))

    def _open(self, ns: Namespace, protocol: int, groups: tuple[int, ...]) -> None:
        sock = ns.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 256 << 20)
        sock.bind((0, 0))
        for group in groups:
            sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        sock.setblocking(False)
        self._sockets.append(sock)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def filenos(self) -> list[int]:
        return [sock.fileno() for sock in self._sockets]

    def receive(self, timeout: float) -> list[tuple[float, int, bytes]]:
        """Datagrams as they are, with time and protocol, waiting at most `timeout` for the first.

        Only for those who measure: nothing is kept, `events` does not grow.
        """
        arrived: list[tuple[float, int, bytes]] = []
        ready, _, _ = select.select(self._sockets, [], [], max(0.0, timeout))
        for sock in ready:
            while True:
                try:
                    data = sock.recv(1 << 20)
                except BlockingIOError:
                    break
                except OSError as error:
                    raise Overrun(str(error)) from error
                arrived.append((time.monotonic(), sock.proto, data))
        return arrived

    def _read(self, timeout: float) -> list[Event]:
        """What has arrived, waiting at most `timeout` for the first."""
        arrived = self.receive(timeout)
        self._raw += arrived
        if self._lazy:
            return [Event(at, "unparsed", False) for at, _, _ in arrived[-1:]]
        return self.parse()

    def parse(self) -> list[Event]:
        """Turns what was kept into events; the new ones."""
        fresh: list[Event] = []
        for at, protocol, data in self._raw:
            parse = self._parse_route if protocol == _NETLINK_ROUTE else _parse_nft
            fresh += filter(None, (parse(at, *message) for message in messages(data)))
        self._raw.clear()
        self.events += fresh
        return fresh

    def _parse_route(self, at: float, kind: int, body: bytes) -> Event | None:
        """Leaves out the kernel's own resolving: entries that were never permanent.

        A permanent entry is reported as failed when it goes, so those that stood are remembered.
        """
        event = _parse_route(at, kind, body)
        if event is None or event.kind != "neighbour":
            return event
        address = event.detail["address"]
        if not event.deleted and event.detail.pop("permanent"):
            self._permanent.add(address)
            return event
        if event.deleted and address in self._permanent:
            self._permanent.discard(address)
            event.detail.pop("permanent")
            return event
        return None

    def drain(self) -> list[Event]:
        """Everything that has arrived since the last call, without waiting."""
        return self._read(0)

    def wait(self, match: Callable[[Event], bool], timeout: float = 10) -> Event:
        """The first new event that matches; TimeoutError with what was seen instead."""
        deadline = time.monotonic() + timeout
        seen: list[Event] = []
        while True:
            left = deadline - time.monotonic()
            fresh = self._read(left)
            for event in fresh:
                if match(event):
                    return event
            seen += fresh
            if not fresh and left <= 0:
                listing = "\n  ".join(map(str, seen[-20:]))
                raise TimeoutError(f"no such event in {timeout} s; saw {len(seen)}:\n  {listing}")

    def quiet(self, still: float, timeout: float = 30) -> list[Event]:
        """New events up to the first pause of `still` seconds."""
        deadline = time.monotonic() + timeout
        seen: list[Event] = []
        while fresh := self._read(still):
            seen += fresh
            if time.monotonic() > deadline:
                raise TimeoutError(f"still changing after {timeout} s: {seen[-1]}")
        return seen


def changes(events: list[Event]) -> list[Event]:
    """Those that change state: no nftables generation marks."""
    return [e for e in events if e.kind != "nft-generation"]


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each netlink message of a datagram."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 16:
            return
        yield kind, data[offset + 16:offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes, offset: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4:offset + length]
        offset += (length + 3) & ~3
    return found


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")


def _address(raw: bytes) -> str:
    return str(ipaddress.ip_address(raw)) if len(raw) in (4, 16) else raw.hex(":")


def _parse_route(at: float, kind: int, body: bytes) -> Event | None:
    name = _ROUTE_KINDS.get(kind & ~3)
    if name is None or kind & 3 > 1:
        return None
    deleted = kind & 3 == 1
    if name == "link":
        (index,) = struct.unpack_from("=i", body, 4)
        flags, change = struct.unpack_from("=II", body, 8)
        attrs = _attributes(body, 16)
        return Event(at, name, deleted, {"name": _text(attrs.get(3, b"")), "index": index,
                                         "up": bool(flags & 1), "change": change})
    if name == "address":
        family, length = struct.unpack_from("=BB", body)
        attrs = _attributes(body, 8)
        return Event(at, name, deleted, {"address": f"{_address(attrs.get(1, b''))}/{length}"})
    if name == "neighbour":
        return _parse_neighbour(at, deleted, body)
    family, length = struct.unpack_from("=BB", body)
    attrs = _attributes(body, 12)
    if name == "rule":
        return Event(at, name, deleted, {"family": family})
    protocol, _, route_type, flags = struct.unpack_from("=BBBI", body, 5)
    if flags & 0x200:  # a cached clone, not a route
        return None
    zero = b"\0" * (4 if family == socket.AF_INET else 16)
    detail = {"dst": f"{_address(attrs.get(1, zero))}/{length}", "protocol": protocol,
              "type": route_type}
    if 5 in attrs:
        detail["via"] = _address(attrs[5])
    if 4 in attrs:
        detail["oif"] = struct.unpack("=i", attrs[4])[0]
    return Event(at, name, deleted, detail)


def _parse_neighbour(at: float, deleted: bool, body: bytes) -> Event | None:
    family, index, state = struct.unpack_from("=BxxxiH", body)
    attrs = _attributes(body, 12)
    detail = {"address": _address(attrs.get(1, b"")), "index": index}
    if 2 in attrs:
        detail["mac"] = attrs[2].hex(":")
    if family == _AF_BRIDGE:
        static = state & (_NUD_PERMANENT | _NUD_NOARP)
        return Event(at, "fdb", deleted, detail) if static or deleted else None
    detail["permanent"] = bool(state & _NUD_PERMANENT)
    return Event(at, "neighbour", deleted, detail)


def _parse_nft(at: float, kind: int, body: bytes) -> Event | None:
    if kind >> 8 != 10:  # NFNL_SUBSYS_NFTABLES
        return None
    message = kind & 0xFF
    deleted = message in _NFT_DELETES
    name = _NFT_DELETES.get(message) or _NFT_KINDS.get(message)
    if name is None:
        return None
    attrs = _attributes(body, 4)
    if name == "generation":
        return Event(at, "nft-generation", False, {"by": _text(attrs.get(3, b""))})
    detail: dict = {"table": _text(attrs.get(1, b""))}
    if name != "table":
        detail["chain" if name == "rule" else "name"] = _text(attrs.get(2 if name != "chain" else 3, b""))
    if name == "element":
        detail["count"] = _count(attrs.get(3, b""))
    return Event(at, f"nft-{name}", deleted, detail)


def _count(data: bytes) -> int:
    total = offset = 0
    while offset + 4 <= len(data):
        (length,) = struct.unpack_from("=H", data, offset)
        if length < 4:
            break
        total += 1
        offset += (length + 3) & ~3
    return total
