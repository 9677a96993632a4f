# SPDX-License-Identifier: Apache-2.0
"""Resources and IPAM keys in Calico's shape, as plain dictionaries ready for YAML or JSON."""
from __future__ import annotations

import ipaddress
import json
from typing import Any

API = "projectcalico.org/v3"
Resource = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def resource(kind: str, name: str, spec: dict, namespace: str | None = None,
             labels: dict[str, str] | None = None) -> Resource:
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}


def pool(name: str, cidr: str, vxlan: str = "Never", nat_outgoing: bool = False,
         **more: Any) -> Resource:
    block_size = 122 if ":" in cidr else 26
    return resource("IPPool", name, {"cidr": cidr, "vxlanMode": vxlan, "ipipMode": "Never",
                                     "natOutgoing": nat_outgoing, "blockSize": block_size,
                                     "nodeSelector": "all()",
                                     "allowedUses": ["Workload", "Tunnel"]} | more)


def profile(namespace: str, labels: dict[str, str] | None = None) -> Resource:
    """What kube-controllers makes of a namespace: allow all, labels with the pcns. prefix."""
    apply = {"pcns.projectcalico.org/name": namespace}
    apply |= {f"pcns.{k}": v for k, v in (labels or {}).items()}
    return resource("Profile", f"kns.{namespace}", {"ingress": [{"action": "Allow"}],
                                                    "egress": [{"action": "Allow"}],
                                                    "labelsToApply": apply})


def tier(name: str = "default", order: float = 1_000_000, action: str = "Deny") -> Resource:
    return resource("Tier", name, {"order": order, "defaultAction": action})


def network_policy(name: str, selector: str = "all()", ingress: list[dict] | None = None,
                   egress: list[dict] | None = None, namespace: str = "default",
                   order: float = 100) -> Resource:
    return resource("NetworkPolicy", name, _policy(selector, ingress, egress, order), namespace)


def global_policy(name: str, selector: str = "all()", ingress: list[dict] | None = None,
                  egress: list[dict] | None = None, order: float = 100) -> Resource:
    return resource("GlobalNetworkPolicy", name, _policy(selector, ingress, egress, order))


def _policy(selector: str, ingress: list[dict] | None, egress: list[dict] | None,
            order: float) -> dict:
    """A direction that is None is not policed; an empty list denies it."""
    spec: dict[str, Any] = {"selector": selector, "order": order, "types": []}
    for name, rules in (("ingress", ingress), ("egress", egress)):
        if rules is not None:
            spec["types"].append(name.capitalize())
            spec[name] = rules
    return spec


def allow(protocol: str | None = None, ports: list | None = None, source: dict | None = None,
          destination: dict | None = None, action: str = "Allow") -> dict:
    rule: dict[str, Any] = {"action": action}
    if protocol:
        rule["protocol"] = protocol
    destination = dict(destination or {})
    if ports:
        destination["ports"] = ports
    if source:
        rule["source"] = source
    if destination:
        rule["destination"] = destination
    return rule


def workload_endpoint(node: str, pod: str, interface: str, addresses: list[str], mac: str,
                      namespace: str = "default", labels: dict[str, str] | None = None,
                      ports: list[dict] | None = None) -> Resource:
    def dashed(text: str) -> str:
        return text.replace("-", "--")

    all_labels = dict(labels or {}) | {"projectcalico.org/namespace": namespace,
                                       "projectcalico.org/orchestrator": "k8s"}
    networks = [a + ("/128" if ":" in a else "/32") for a in addresses]
    spec: dict[str, Any] = {"orchestrator": "k8s", "node": node, "containerID": f"c-{pod}",
                            "pod": pod, "endpoint": "eth0", "ipNetworks": networks,
                            "profiles": [f"kns.{namespace}"], "interfaceName": interface,
                            "mac": mac}
    if ports:
        spec["ports"] = ports
    return resource("WorkloadEndpoint", f"{dashed(node)}-k8s-{dashed(pod)}-eth0", spec, namespace,
                    all_labels)


def block_keys(network: Network, node: str, used: int = 1) -> dict[str, str]:
    """The block and its affinity, with the first `used` addresses allocated."""
    version = f"ipv{network.version}"
    name = f"{network.network_address}-{network.prefixlen}"
    size = network.num_addresses
    block = {"cidr": str(network), "affinity": f"host:{node}",
             "allocations": [0 if i < used else None for i in range(size)],
             "unallocated": list(range(used, size)),
             "attributes": [{"handle_id": f"lab-{node}", "secondary": {"node": node}}],
             "sequenceNumber": 1, "sequenceNumberForAllocation": {}, "deleted": False}
    return {f"/calico/ipam/v2/assignment/{version}/block/{name}": _json(block),
            f"/calico/ipam/v2/host/{node}/{version}/block/{name}":
                _json({"state": "confirmed", "deleted": False})}


def store_key(res: Resource, plural: str) -> str:
    """The etcd path of a v3 resource."""
    meta = res["metadata"]
    parts = [plural, meta["namespace"], meta["name"]] if "namespace" in meta \
        else [plural, meta["name"]]
    return "/calico/resources/v3/projectcalico.org/" + "/".join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
