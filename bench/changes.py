# SPDX-License-Identifier: Apache-2.0
"""Single changes of a benchmark's cluster: what to write, and what the kernel must then report.

Each kind yields pairs of changes for ever: one, and the one that takes it back.
"""
from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from cluster import Cluster, KeyValue, LocalPod, block, local_endpoint, node_keys, node_mac
from lab.monitor import messages

NEW_ROUTE, DEL_ROUTE, NEW_NEIGHBOUR, DEL_NEIGHBOUR = 24, 25, 28, 29
_NFT = 10 << 8
NEW_RULE, NEW_ELEMENT, DEL_ELEMENT = _NFT | 6, _NFT | 12, _NFT | 14
_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_AF_BRIDGE = 7


@dataclass(frozen=True)
class Needle:
    """A notification of one of these types that carries these bytes."""

    types: frozenset[int]
    token: bytes
    family: int | None = None  # the message's first byte

    def in_datagram(self, protocol: int, data: bytes) -> bool:
        wanted = _NETLINK_NETFILTER if min(self.types) >= _NFT else _NETLINK_ROUTE
        if protocol != wanted or self.token not in data:
            return False
        return any(kind in self.types and self.token in body
                   and self.family in (None, body[0]) for kind, body in messages(data))


@dataclass(frozen=True)
class Change:
    writes: list[KeyValue]  # an empty value deletes
    needles: list[Needle]


def _address(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def _nft(types: set[int], token: bytes) -> Needle:
    return Needle(frozenset(types), token)


def _gone(keys: list[KeyValue]) -> list[KeyValue]:
    return [(key, "") for key, _ in keys]


def with_labels(value: str, labels: dict[str, str]) -> str:
    resource = json.loads(value)
    resource["metadata"]["labels"] |= labels
    return json.dumps(resource, separators=(",", ":"))


def remote_endpoints(stored: dict[str, str]) -> list[KeyValue]:
    """Those on other nodes that do not have the benchmark's own label."""
    return [(key, value) for key, value in stored.items()
            if "/workloadendpoints/" in key and "/node0-k8s-" not in key
            and '"bench"' not in value]


def endpoint_address(value: str) -> bytes:
    return _address(json.loads(value)["spec"]["ipNetworks"][0].split("/")[0])


def rule(stored: dict[str, str]) -> Iterator[Change]:
    """Another source address in the first rule of a policy that applies to a local pod."""
    key = next(k for k in stored if k.endswith("/networkpolicies/ns0/default.np0"))
    policy = json.loads(stored[key])
    number = int(ipaddress.ip_address("198.18.0.0"))
    while True:
        number += 1
        address = str(ipaddress.ip_address(number))
        policy["spec"]["ingress"][0]["source"]["nets"] = [f"{address}/32"]
        yield Change([(key, json.dumps(policy, separators=(",", ":")))],
                     [_nft({NEW_RULE, NEW_ELEMENT}, _address(address))])


def member(stored: dict[str, str], label: str) -> Iterator[Change]:
    """A remote endpoint joins the set of those with bench=<label>, then leaves it."""
    chosen = remote_endpoints(stored)
    assert chosen, "no endpoint to give the label to"
    while True:
        for key, value in chosen:
            token = endpoint_address(value)
            yield Change([(key, with_labels(value, {"bench": label}))],
                         [_nft({NEW_ELEMENT}, token)])
            yield Change([(key, value)], [_nft({DEL_ELEMENT}, token)])


def node(cluster: Cluster) -> Iterator[Change]:
    """A node with a block appears: route, neighbour and FDB entry; and it goes."""
    number = cluster.scale.nodes
    while True:
        keys = node_keys(number)
        tunnel = _address(block(number))
        mac = bytes.fromhex(node_mac(number).replace(":", ""))

        def needles(route: int, neighbour: int) -> list[Needle]:
            return [Needle(frozenset({route}), tunnel, socket.AF_INET),
                    Needle(frozenset({neighbour}), tunnel, socket.AF_INET),
                    Needle(frozenset({neighbour}), mac, _AF_BRIDGE)]

        yield Change(keys, needles(NEW_ROUTE, NEW_NEIGHBOUR))
        yield Change(_gone(keys), needles(DEL_ROUTE, DEL_NEIGHBOUR))


def pod(pods: list[LocalPod]) -> Iterator[Change]:
    """An endpoint whose interface exists: its route and its entry in the dispatch map."""
    while True:
        for spare in pods:
            keys = [local_endpoint(spare)]
            address, name = _address(spare.address), spare.interface.encode() + b"\0"
            yield Change(keys, [Needle(frozenset({NEW_ROUTE}), address, socket.AF_INET),
                                _nft({NEW_ELEMENT}, name)])
            yield Change(_gone(keys), [Needle(frozenset({DEL_ROUTE}), address, socket.AF_INET),
                                       _nft({DEL_ELEMENT}, name)])
