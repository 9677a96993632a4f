# SPDX-License-Identifier: Apache-2.0
"""The lab's wires: nodes on two underlay subnets, the router between, a ToR, and pods.

    rack a: node-1 node-2 ... --[br-a]-- router --[br-b]-- node-3 ... :rack b
    ToR (real BIRD) has a leg in each rack and a network behind it; typha hangs off the router.
The router runs BIRD too and learns pod blocks from the ToR, so that pods of a pool without
encapsulation reach the other rack as in a routed fabric. IPv4 and IPv6 throughout.
"""
from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .bird import BgpNeighbour, Bird, BirdConfig
from .kernel import Namespace, veth
from .probe import Prober

RACKS = "ab"
TOR_ASN, NODE_ASN = 64700, 64512
OUTSIDE = ("198.51.100.0/24", "2001:db8:100::/48")
OUTSIDE_HOST = ("198.51.100.1", "2001:db8:100::1")
TYPHA = ("172.31.9.10", "fd31:0:0:9::10")
HOST_MAC = "ee:ee:ee:ee:ee:ee"
_HOST_LINK_LOCAL = "fe80::ecee:eeff:feee:eeee"  # what the kernel derives from that MAC


def subnet(rack: str) -> tuple[str, str]:
    """Prefixes, up to the last part, of a rack's two subnets."""
    number = RACKS.index(rack) + 1
    return f"172.31.{number}.", f"fd31:0:0:{number}::"


@dataclass
class Node:
    name: str
    rack: str
    index: int  # from 0; fixes all its addresses
    ns: Namespace

    @property
    def ipv4(self) -> str:
        return subnet(self.rack)[0] + str(11 + self.index)

    @property
    def ipv6(self) -> str:
        return subnet(self.rack)[1] + str(11 + self.index)

    def address(self, family: int) -> str:
        return self.ipv4 if family == 4 else self.ipv6


@dataclass
class Pod:
    name: str
    node: Node
    addresses: list[str]
    ns: Namespace
    namespace: str = "default"
    labels: dict[str, str] = field(default_factory=dict)
    ports: list[dict] | None = None
    mac: str = ""

    @cached_property
    def interface(self) -> str:
        digest = hashlib.sha1(f"{self.namespace}.{self.name}".encode()).hexdigest()
        return "cali" + digest[:11]

    def address(self, family: int) -> str | None:
        return next((a for a in self.addresses if (":" in a) == (family == 6)), None)


class Fabric:
    """Router, ToR and typha's place; nodes and pods are plugged in one by one."""

    def __init__(self, lab_id: str, directory: Path):
        self._id, self._dir = lab_id, directory
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, Pod] = {}
        self.probers: dict[str, Prober] = {}
        self.namespaces: list[Namespace] = []
        self.router = self._namespace("router")
        self.tor = self._namespace("tor")
        self.typha = self._namespace("typha")
        self.birds: dict[str, Bird] = {}
        self._wire_core()

    def _namespace(self, name: str) -> Namespace:
        ns = Namespace(f"{self._id}-{name}")
        self.namespaces.append(ns)
        return ns

    def _wire_core(self) -> None:
        for ns in (self.router, self.tor):
            ns.sysctl("net/ipv4/ip_forward", 1)
            ns.sysctl("net/ipv6/conf/all/forwarding", 1)
        self.tor.ip(f"addr add {OUTSIDE_HOST[0]}/32 dev lo", f"addr add {OUTSIDE_HOST[1]}/128 dev lo")
        for rack in RACKS:
            v4, v6 = subnet(rack)
            self.router.ip(f"link add br-{rack} type bridge", f"link set br-{rack} up",
                           f"addr add {v4}1/24 dev br-{rack}", f"addr add {v6}1/64 dev br-{rack}")
            self._plug(self.tor, rack, "tor", f"rack-{rack}", (f"{v4}254/24", f"{v6}254/64"))
        veth(self.router, "typha", self.typha, "eth0")
        self.router.ip("link set typha up", "addr add 172.31.9.1/24 dev typha",
                       "addr add fd31:0:0:9::1/64 dev typha")
        self.typha.ip("link set eth0 up", f"addr add {TYPHA[0]}/24 dev eth0",
                      f"addr add {TYPHA[1]}/64 dev eth0", "route add default via 172.31.9.1",
                      "route add default via fd31:0:0:9::1")

    def _plug(self, ns: Namespace, rack: str, port: str, interface: str,
              addresses: tuple[str, str]) -> None:
        """One leg of `ns` into a rack's bridge."""
        bridge_port = f"{port}-{rack}"[:15]
        veth(self.router, bridge_port, ns, interface)
        self.router.ip(f"link set {bridge_port} master br-{rack} up")
        ns.ip(f"link set {interface} up", *(f"addr add {a} dev {interface}" for a in addresses))

    def add_node(self, rack: str) -> Node:
        index = len(self.nodes)
        node = Node(f"node-{index + 1}", rack, index, self._namespace(f"node-{index + 1}"))
        v4, v6 = subnet(rack)
        self._plug(node.ns, rack, node.name, "eth0", (f"{node.ipv4}/24", f"{node.ipv6}/64"))
        node.ns.ip(f"route add default via {v4}1", f"route add default via {v6}1")
        self.nodes[node.name] = node
        return node

    def move_to_fresh_namespace(self, node: Node) -> None:
        """The node's uplink and its pods' interfaces go to a namespace where no agent has ever been."""
        old, node.ns = node.ns, self._namespace(f"{node.name}-fresh")
        interfaces = ["eth0", *(p.interface for p in self.pods.values() if p.node is node)]
        old.ip(*(f"link set {i} netns {node.ns.name}" for i in interfaces))
        v4, v6 = subnet(node.rack)
        node.ns.ip(*(f"link set {i} up" for i in interfaces),
                   f"addr add {node.ipv4}/24 dev eth0", f"addr add {node.ipv6}/64 dev eth0",
                   f"route add default via {v4}1", f"route add default via {v6}1")

    def cut_node(self, node: Node, up: bool = False) -> None:
        """Pulls (or plugs) a node's cable at the switch."""
        self.router.ip(f"link set {node.name}-{node.rack} {'up' if up else 'down'}")

    def add_pod(self, name: str, node: Node, addresses: list[str], namespace: str = "default",
                labels: dict[str, str] | None = None, ports: list[dict] | None = None,
                attach: bool = True) -> Pod:
        """A pod's namespace and, unless told not to, its veth as a CNI plugin leaves it."""
        pod = Pod(name, node, addresses, self._namespace(f"pod-{name}"), namespace, labels or {},
                  ports, mac="02:" + ":".join(hashlib.sha1(name.encode()).hexdigest()[i:i + 2]
                                              for i in range(0, 10, 2)))
        self.pods[name] = pod
        if attach:
            self.attach(pod)
        self.add_prober(name, pod.ns)
        return pod

    def attach(self, pod: Pod) -> None:
        node_ns, interface = pod.node.ns, pod.interface
        pod.ns.ip(f"link add eth0 mtu 1450 address {pod.mac} type veth peer name {interface} "
                  f"mtu 1450 address {HOST_MAC} netns {node_ns.name}")
        node_ns.ip(f"link set {interface} up")
        lines = ["link set eth0 up", *(f"addr add {a} dev eth0" for a in pod.addresses)]
        if pod.address(4):
            lines += ["route add 169.254.1.1 dev eth0 scope link",
                      "route add default via 169.254.1.1 dev eth0"]
        if pod.address(6):
            lines += [f"route add default via {_HOST_LINK_LOCAL} dev eth0"]
        pod.ns.ip(*lines)

    def detach(self, pod: Pod) -> None:
        """Deletes the veth, from the pod's side."""
        pod.ns.ip("link del eth0")

    def remove_pod(self, pod: Pod) -> None:
        self.probers.pop(pod.name).close()
        del self.pods[pod.name]
        self.namespaces.remove(pod.ns)
        pod.ns.close()

    def add_prober(self, name: str, ns: Namespace) -> None:
        self.probers[name] = Prober(ns, name)

    def start_birds(self) -> None:
        """The ToR peers with every node, and with the router, which then knows the way to pods."""
        self.birds["tor"] = Bird(self.tor, "tor", self._dir, self.tor_config())
        self.birds["router"] = Bird(self.router, "router", self._dir, self._router_config())

    def tor_config(self) -> BirdConfig:
        config = BirdConfig("172.31.1.254", TOR_ASN, announce=list(OUTSIDE))
        for node in self.nodes.values():
            v4, v6 = subnet(node.rack)
            number = node.index + 1
            # Learnt routes are not reflected between nodes: the nodes' own mesh does that.
            config.neighbours += [
                BgpNeighbour(f"node_{number}_v{f}", local, node.address(f), NODE_ASN,
                             exports="where source = RTS_STATIC")
                for f, local in ((4, v4 + "254"), (6, v6 + "254"))]
        config.neighbours += [BgpNeighbour(f"router_v{f}", p + "254", p + "1", TOR_ASN,
                                           imports="none")
                              for f, p in zip((4, 6), subnet("a"))]
        return config

    def _router_config(self) -> BirdConfig:
        return BirdConfig("172.31.1.1", TOR_ASN, [
            BgpNeighbour(f"tor_v{f}", p + "1", p + "254", TOR_ASN, exports="none")
            for f, p in zip((4, 6), subnet("a"))])

    def route_statically(self) -> None:
        """What agents would do, by hand and without policy: to test the lab itself."""
        for node in self.nodes.values():
            for path in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
                node.ns.sysctl(path, 1)
        for pod in self.pods.values():
            pod.node.ns.sysctl(f"net/ipv4/conf/{pod.interface}/proxy_arp", 1)
            for address in pod.addresses:
                family = 6 if ipaddress.ip_address(address).version == 6 else 4
                pod.node.ns.ip(f"route add {address} dev {pod.interface}")
                via = pod.node.address(family)
                for ns, rack in [(n.ns, n.rack) for n in self.nodes.values() if n is not pod.node] \
                        + [(self.router, pod.node.rack), (self.tor, pod.node.rack)]:
                    hop = via if rack == pod.node.rack else subnet(rack)[family == 6] + "1"
                    ns.ip(f"route add {address} via {hop}")

    def close(self) -> None:
        for prober in self.probers.values():
            prober.close()
        for bird in self.birds.values():
            bird.process.close()
        for ns in reversed(self.namespaces):
            ns.close()
