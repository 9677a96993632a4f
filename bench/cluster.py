# SPDX-License-Identifier: Apache-2.0
"""Generated clusters for benchmarks: (key, value) pairs as Calico keeps them in etcd.

Deterministic: the same scale and seed give the same bytes. The node under test is node0. Everything
an agent must put into the kernel can be told from the outside: each policy and each set carries an
address that nothing else has.
"""
from __future__ import annotations

import ipaddress
import json
import random
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

KeyValue = tuple[str, str]
LOCAL_NODE = "node0"
_CREATED = "2026-01-01T00:00:00Z"
_RESOURCES = "/calico/resources/v3/projectcalico.org/"
_POD_NET = ipaddress.ip_network("10.240.0.0/12")
_BLOCKS_PER_NODE, _BLOCK_SIZE = 8, 64
_SET_BASE = int(ipaddress.ip_address("20.0.0.0"))
_HUGE_SET_SIZE, _HUGE_SET_FROM = 5000, 200_000


@dataclass(frozen=True)
class Scale:
    nodes: int
    local: int  # pods on node0
    remote: int  # pods elsewhere
    namespaces: int
    local_namespaces: int  # that pods of node0 are spread over
    policies: int
    rules: int  # per policy, both directions together
    global_policies: int
    network_sets: int
    set_size: int
    huge_set: int = 0  # members of one more set, over several network sets
    mixed_set: bool = False  # of that set: both families, several prefix lengths


SCALES = {
    "S0": Scale(nodes=3, local=2, remote=16, namespaces=2, local_namespaces=2, policies=2, rules=2,
                global_policies=2, network_sets=2, set_size=3),
    "S1": Scale(nodes=100, local=30, remote=3000, namespaces=50, local_namespaces=50, policies=100,
                rules=2, global_policies=10, network_sets=20, set_size=50),
    "S2": Scale(nodes=1000, local=110, remote=20_000, namespaces=500, local_namespaces=100,
                policies=2000, rules=2, global_policies=10, network_sets=50, set_size=200),
    "S3": Scale(nodes=100, local=250, remote=3000, namespaces=50, local_namespaces=50, policies=500,
                rules=10, global_policies=10, network_sets=20, set_size=50, huge_set=100_000),
}


@dataclass(frozen=True)
class LocalPod:
    name: str
    namespace: str
    address: str
    interface: str


def node_address(index: int) -> str:
    return str(ipaddress.ip_address("10.10.0.0") + index + 1)


def node_mac(index: int) -> str:
    return "66:10:00:" + index.to_bytes(3, "big").hex(":")


def block(node: int, index: int = 0) -> str:
    """First address of a node's block; also its tunnel address, for the first."""
    return str(_POD_NET[(node * _BLOCKS_PER_NODE + index) * _BLOCK_SIZE])


def pod_address(node: int, index: int) -> str:
    return str(ipaddress.ip_address(block(node)) + 1 + index)


def policy_token(index: int) -> str:
    return f"198.19.{index >> 8}.{index & 255}"


def set_token(index: int) -> str:
    return f"198.20.0.{index}"


HUGE_SET_TOKEN = "198.20.1.1"


class Cluster:
    def __init__(self, scale: str | Scale, seed: int = 1):
        self.scale = SCALES[scale] if isinstance(scale, str) else scale
        self._random = random.Random(seed)

    def local_pods(self) -> list[LocalPod]:
        return [self._local_pod(i) for i in range(self.scale.local)]

    def spare_pods(self, count: int) -> list[LocalPod]:
        """Pods that `keys` leaves out, for changes; node0's blocks have room for them."""
        return [self._local_pod(self.scale.local + i) for i in range(count)]

    def _local_pod(self, index: int) -> LocalPod:
        return LocalPod(f"p{index}", f"ns{index % self.scale.local_namespaces}",
                        pod_address(0, index), f"cali{index:07d}")

    def keys(self) -> list[KeyValue]:
        """Everything, in a fixed order; call once per object: random choices go on from the last."""
        found = list(self._basics())
        found += [self._policy(i) for i in range(self.scale.policies)]
        found += list(self._network_sets())
        found += list(self._global_policies())
        found += list(self._nodes())
        return found + list(self._endpoints())

    def active_policies(self) -> list[int]:
        """Indexes of policies in namespaces that have a pod on node0."""
        used = min(self.scale.local_namespaces, self.scale.local)
        return [i for i in range(self.scale.policies) if i % self.scale.namespaces < used]

    def tokens(self) -> list[str]:
        """Addresses of which each must be in the ruleset once it is complete."""
        found = [policy_token(i) for i in self.active_policies()]
        found += [set_token(i) for i in range(self.scale.network_sets)]
        return found + ([HUGE_SET_TOKEN] if self.scale.huge_set else [])

    def block_routes(self) -> list[str]:
        return [block(i) for i in range(1, self.scale.nodes)]

    # --- resources

    def _basics(self) -> Iterator[KeyValue]:
        yield _resource("ClusterInformation", "clusterinformations", "default",
                        {"clusterGUID": "5719" * 8, "datastoreReady": True})
        yield _resource("FelixConfiguration", "felixconfigurations", "default",
                        {"bpfEnabled": False})
        yield _resource("IPPool", "ippools", "pool1", {
            "cidr": str(_POD_NET), "vxlanMode": "Always", "ipipMode": "Never", "natOutgoing": True,
            "blockSize": 26, "nodeSelector": "all()", "allowedUses": ["Workload", "Tunnel"],
            "assignmentMode": "Automatic"})
        for name, order, action in (("default", 1_000_000, "Deny"), ("kube-admin", 1000, "Pass"),
                                    ("kube-baseline", 10_000_000, "Pass")):
            yield _resource("Tier", "tiers", name, {"order": order, "defaultAction": action},
                            status={})
        for i in range(self.scale.namespaces):
            yield _resource("Profile", "profiles", f"kns.ns{i}", {
                "ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}],
                "labelsToApply": {"pcns.name": f"ns{i}", "pcns.team": f"t{i % 5}"}})

    def _policy(self, index: int) -> KeyValue:
        """Half of the policies name peers by selector, half only by address."""
        draw = random.Random(1_000_003 * index + 7)
        by_selector = index % 2 == 0
        ingress, egress = [], []
        for pair in range((self.scale.rules + 1) // 2):
            make = _token_rules if pair == 0 else _filler_rules
            rule_in, rule_out = make(draw, index, pair, by_selector)
            ingress.append(rule_in)
            egress.append(rule_out)
        if by_selector:
            source = {"selector": f"app == 'a{draw.randrange(20)}'"}
            if index % 10 == 0:
                source["namespaceSelector"] = "all()"
            ingress.append({"action": "Allow", "source": source})
        egress.append({"action": "Allow", "destination": {"nets": [str(_POD_NET)]}})
        spec = {"tier": "default", "order": 100 + index % 7, "selector": "all()",
                "types": ["Ingress", "Egress"], "ingress": ingress, "egress": egress}
        return _policy_resource("NetworkPolicy", "networkpolicies", f"np{index}", spec,
                                f"ns{index % self.scale.namespaces}")

    def _network_sets(self) -> Iterator[KeyValue]:
        labels = max(1, self.scale.global_policies // 2)
        for i in range(self.scale.network_sets):
            first = i * self.scale.set_size
            nets = [_set_member(first + n) for n in range(self.scale.set_size)]
            yield _resource("GlobalNetworkSet", "globalnetworksets", f"gns{i}",
                            {"nets": nets + [f"{set_token(i)}/32"]},
                            labels={"set": f"s{i % labels}"})
        parts = self.scale.huge_set // _HUGE_SET_SIZE
        for i in range(parts):
            first = _HUGE_SET_FROM + i * _HUGE_SET_SIZE
            make = _mixed_member if self.scale.mixed_set else _set_member
            nets = [make(first + n) for n in range(_HUGE_SET_SIZE)]
            if i == parts - 1:
                nets[-1] = f"{HUGE_SET_TOKEN}/32"
            yield _resource("GlobalNetworkSet", "globalnetworksets", f"huge{i}", {"nets": nets},
                            labels={"set": "huge"})

    def _global_policies(self) -> Iterator[KeyValue]:
        hot = [{"action": "Allow", "source": {"selector": "bench == 'hot'"}}]
        if self.scale.huge_set:
            hot.append({"action": "Deny",
                        "source": {"selector": "set == 'huge' || bench == 'huge'"}})
        yield _global_policy("hot", 1, hot)
        dns = [{"action": "Allow", "protocol": "UDP",
                "destination": {"ports": [53], "nets": ["10.96.0.10/32"]}}]
        for i in range(self.scale.global_policies - 1):
            if i % 2 == 0:
                deny = {"action": "Deny", "source": {"selector": f"set == 's{i // 2}'"}}
                yield _global_policy(f"g{i}", 10 + i, [deny])
            else:
                scrape = {"action": "Allow", "protocol": "TCP",
                          "source": {"selector": f"tier == 't{i // 2}'"},
                          "destination": {"ports": [9090 + i]}}
                yield _global_policy(f"g{i}", 10 + i, [scrape], dns)

    def _nodes(self) -> Iterator[KeyValue]:
        scale = self.scale
        local_blocks = min((scale.local + 2 * _BLOCK_SIZE - 1) // _BLOCK_SIZE + 1,
                           _BLOCKS_PER_NODE)
        remote_used = min(_BLOCK_SIZE, scale.remote // (scale.nodes - 1) + 2)
        for node in range(scale.nodes):
            yield _node(node)
            for index in range(local_blocks if node == 0 else 1):
                left = scale.local + 1 - index * _BLOCK_SIZE if node == 0 else remote_used
                yield from _block_keys(node, index, max(0, min(_BLOCK_SIZE, left)))

    def _endpoints(self) -> Iterator[KeyValue]:
        draw, scale = self._random, self.scale
        for pod in self.local_pods():
            yield _endpoint(0, pod, _labels(draw))
        for i in range(scale.remote):
            labels = _labels(draw)
            if i < 10:
                labels["bench"] = "hot"
            node = 1 + i % (scale.nodes - 1)
            pod = LocalPod(f"r{i}", f"ns{draw.randrange(scale.namespaces)}",
                           pod_address(node, i // (scale.nodes - 1)), f"cali{1_000_000 + i:07d}")
            yield _endpoint(node, pod, labels)


def _labels(draw: random.Random) -> dict[str, str]:
    return {"app": f"a{draw.randrange(20)}", "tier": f"t{draw.randrange(5)}"}


def _token_rules(draw: random.Random, index: int, _: int, by_selector: bool) -> tuple[dict, dict]:
    ingress = {"action": "Allow", "protocol": "TCP",
               "source": {"nets": [f"{policy_token(index)}/32"]},
               "destination": {"ports": [80, 443]}}
    egress: dict = {"action": "Allow", "protocol": "TCP",
                    "destination": {"ports": [1000 + draw.randrange(60_000)]}}
    if by_selector:
        egress["destination"]["selector"] = f"app == 'a{draw.randrange(20)}'"
    return ingress, egress


def _filler_rules(draw: random.Random, _: int, pair: int, by_selector: bool) -> tuple[dict, dict]:
    ingress: dict = {"action": "Allow", "protocol": draw.choice(["TCP", "UDP"]),
                     "destination": {"ports": [1000 + draw.randrange(60_000),
                                               f"{200 + pair}:{300 + pair}"]}}
    if by_selector:
        ingress["source"] = {"selector": f"app == 'a{draw.randrange(20)}'"}
    else:
        ingress["source"] = {"nets": [f"21.{pair}.{draw.randrange(256)}.{draw.randrange(256)}/32"]}
    egress = {"action": "Allow", "protocol": "TCP",
              "destination": {"nets": [f"22.{pair}.{draw.randrange(256)}.0/24"],
                              "ports": [draw.randrange(1, 65_535)]}}
    return ingress, egress


def _set_member(number: int) -> str:
    """Never overlapping: 32 addresses apart, by turns a /28 and a single address."""
    address = ipaddress.ip_address(_SET_BASE + number * 32)
    return f"{address}/{32 if number % 2 else 28}"


def _mixed_member(number: int) -> str:
    """Never overlapping: single addresses and networks of several lengths, both families."""
    kind = number % 8
    if kind < 5:
        address = ipaddress.ip_address(_SET_BASE + number * 32)
        return f"{address}/{(32, 28, 32, 27, 30)[kind]}"
    group = f"2001:db8:{number >> 16:x}:{number & 0xffff:x}::"
    return f"{group}{('1/128', '/64', '2/128')[kind - 5]}"


def _uid(name: str, namespace: str | None) -> str:
    text = f"{name}/{namespace or ''}".encode()
    number = (zlib.crc32(text) << 16) ^ zlib.adler32(text)
    return f"00000000-0000-4000-8000-{number & 0xFFFFFFFFFFFF:012x}"


def _resource(kind: str, plural: str, name: str, spec: dict, namespace: str | None = None,
              labels: dict | None = None, annotations: dict | None = None,
              status: dict | None = None) -> KeyValue:
    metadata: dict = {"name": name, "uid": _uid(name, namespace), "creationTimestamp": _CREATED}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    value = {"kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": metadata,
             "spec": spec}
    if status is not None:
        value["status"] = status
    path = f"{namespace}/{name}" if namespace else name
    return f"{_RESOURCES}{plural}/{path}", json.dumps(value, separators=(",", ":"))


def _policy_resource(kind: str, plural: str, name: str, spec: dict,
                     namespace: str | None = None) -> KeyValue:
    """Policies of the default tier are stored with its prefix, and their own name aside."""
    stored = f"default.{name}"
    return _resource(kind, plural, stored, spec, namespace, {"projectcalico.org/tier": "default"},
                     {"projectcalico.org/metadata": json.dumps({"name": stored})})


def _global_policy(name: str, order: int, ingress: list[dict],
                   egress: list[dict] | None = None) -> KeyValue:
    spec = {"tier": "default", "order": order, "selector": "all()",
            "types": ["Ingress"] + (["Egress"] if egress else []), "ingress": ingress}
    if egress:
        spec["egress"] = egress
    return _policy_resource("GlobalNetworkPolicy", "globalnetworkpolicies", name, spec)


def _node(node: int) -> KeyValue:
    name = f"node{node}"
    return _resource("Node", "nodes", name, {
        "bgp": {"ipv4Address": f"{node_address(node)}/16"},
        "ipv4VXLANTunnelAddr": block(node), "vxlanTunnelMACAddr": node_mac(node)},
        labels={"kubernetes.io/hostname": name}, status={})


def node_keys(node: int) -> list[KeyValue]:
    """A node with one block of which one address is used: its tunnel's."""
    return [_node(node), *_block_keys(node, 0, 1)]


def _block_keys(node: int, index: int, used: int) -> Iterator[KeyValue]:
    name, cidr = f"node{node}", block(node, index)
    value = {"cidr": f"{cidr}/26", "affinity": f"host:{name}",
             "allocations": [0 if i < used else None for i in range(_BLOCK_SIZE)],
             "unallocated": list(range(used, _BLOCK_SIZE)),
             "attributes": [{"handle_id": f"h-{name}", "secondary": {"node": name}}]
             if used else [],
             "sequenceNumber": 1, "sequenceNumberForAllocation": {}, "deleted": False}
    yield f"/calico/ipam/v2/assignment/ipv4/block/{cidr}-26", json.dumps(value)
    yield (f"/calico/ipam/v2/host/{name}/ipv4/block/{cidr}-26",
           '{"state":"confirmed","deleted":"false"}')


def local_endpoint(pod: LocalPod) -> KeyValue:
    return _endpoint(0, pod, {"app": "a0", "tier": "t0"})


def policy_key(index: int, namespace: str) -> str:
    return f"{_RESOURCES}networkpolicies/{namespace}/default.np{index}"


def _endpoint(node: int, pod: LocalPod, labels: dict[str, str]) -> KeyValue:
    name = f"node{node}"
    spec = {"orchestrator": "k8s", "node": name, "containerID": f"c{pod.name}", "pod": pod.name,
            "endpoint": "eth0", "ipNetworks": [f"{pod.address}/32"],
            "profiles": [f"kns.{pod.namespace}"], "interfaceName": pod.interface,
            "mac": "ee:ee:ee:ee:ee:ee"}
    all_labels = labels | {"projectcalico.org/namespace": pod.namespace,
                           "projectcalico.org/orchestrator": "k8s"}
    return _resource("WorkloadEndpoint", "workloadendpoints", f"{name}-k8s-{pod.name}-eth0", spec,
                     pod.namespace, all_labels)


def write_lines(keys: list[KeyValue], file) -> None:
    """As margay-store-put reads them."""
    for key, value in keys:
        file.write(f"{key}\t{value}\n")


if __name__ == "__main__":
    write_lines(Cluster(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1).keys(),
                sys.stdout)
