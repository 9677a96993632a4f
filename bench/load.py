# SPDX-License-Identifier: Apache-2.0
"""Load that other programs put on a node's kernel: routes of a routing daemon, elements of another
nftables table. Raw netlink, one message at a time, at a given pace."""
from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from lab import kernel

_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_NEW_ROUTE, _DEL_ROUTE = 24, 25
_REQUEST, _ACK, _CREATE = 1, 4, 0x400
_PROTOCOL_BGP = 186  # as FRR marks them
_MAIN_TABLE, _UNIVERSE, _NOWHERE, _UNICAST = 254, 0, 255, 1
_NFT, _BATCH_BEGIN, _BATCH_END = 10, 0x10, 0x11
_NEW_ELEMENT, _DEL_ELEMENT = (_NFT << 8) | 12, (_NFT << 8) | 14
_NESTED = 0x8000
_SO_SNDBUFFORCE = 32
_ANOTHER_TABLE = """add table ip kube-proxy
add set ip kube-proxy cluster-ips { type ipv4_addr; }
"""
_BATCH = 500  # messages in one send


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + b"\0" * (-length % 4)


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, sequence, 0) + body


class Routes:
    """Routes of a foreign daemon through `interface`, v4 and v6 by turns."""

    def __init__(self, ns: kernel.Namespace, interface: str, gateway4: str, gateway6: str):
        self._index = ns.within(lambda: socket.if_nametoindex(interface))
        self._gateway = {4: socket.inet_pton(socket.AF_INET, gateway4),
                         6: socket.inet_pton(socket.AF_INET6, gateway6)}
        self._socket = ns.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 4 << 20)

    def close(self) -> None:
        self._socket.close()

    def _route(self, number: int, delete: bool, flags: int = 0) -> bytes:
        family = 6 if number & 1 else 4
        if family == 4:
            dst, length = struct.pack(">I", (100 << 24) + (number >> 1 << 8)), 24
        else:
            dst, length = struct.pack(">IIQ", 0x20010db8, number >> 1, 0), 64
        header = struct.pack("=BBBBBBBBI", socket.AF_INET if family == 4 else socket.AF_INET6,
                             length, 0, 0, _MAIN_TABLE, 0 if delete else _PROTOCOL_BGP,
                             _NOWHERE if delete else _UNIVERSE, 0 if delete else _UNICAST, 0)
        body = header + _attribute(1, dst)
        if not delete:
            body += _attribute(5, self._gateway[family]) + _attribute(
                4, struct.pack("=i", self._index))
            flags |= _CREATE
        return _message(_DEL_ROUTE if delete else _NEW_ROUTE, flags, number, body)

    def fill(self, count: int) -> None:
        """Routes 0 to `count`; returns when the kernel has taken them."""
        for first in range(0, count, _BATCH):
            numbers = range(first, min(first + _BATCH, count))
            last = numbers[-1]
            self._socket.send(b"".join(self._route(n, False, _ACK if n == last else 0)
                                       for n in numbers))
            answer = self._socket.recv(1 << 16)
            (error,) = struct.unpack_from("=i", answer, 16)
            if error:
                raise OSError(-error, "foreign route")

    def changer(self, base: int) -> Callable[[int], None]:
        """Step n adds or takes away one of 1,000 routes beyond `base`."""
        def step(number: int) -> None:
            self._socket.send(self._route(base + number % 1000, number // 1000 % 2 == 1))
        return step


class Elements:
    """Another program's table, whose set changes by one element in each transaction."""

    _TABLE, _SET = b"kube-proxy\0", b"cluster-ips\0"

    def __init__(self, ns: kernel.Namespace):
        ns.run(["nft", "-f", "-"], stdin=_ANOTHER_TABLE)
        self._socket = ns.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)

    def close(self) -> None:
        self._socket.close()

    def step(self, number: int) -> None:
        """Step n adds or takes away one of 1,000 elements."""
        delete = number // 1000 % 2 == 1
        address = struct.pack(">I", (10 << 24) + number % 1000)
        element = _attribute(1 | _NESTED, _attribute(1 | _NESTED, _attribute(1, address)))
        body = struct.pack(">BBH", socket.AF_INET, 0, 0) + _attribute(1, self._TABLE) + _attribute(
            2, self._SET) + _attribute(3 | _NESTED, element)
        mark = struct.pack(">BBH", 0, 0, _NFT)
        self._socket.send(_message(_BATCH_BEGIN, 0, number, mark) + _message(
            _DEL_ELEMENT if delete else _NEW_ELEMENT, 0 if delete else _CREATE, number,
            body) + _message(_BATCH_END, 0, number, mark))


def at_pace(step: Callable[[int], None], per_second: int, seconds: float) -> None:
    """Calls step(0), step(1), ...; one that is late does not delay those after it."""
    start = time.monotonic()
    for number in range(int(per_second * seconds)):
        wait = start + number / per_second - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        step(number)
