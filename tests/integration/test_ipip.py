# SPDX-License-Identifier: Apache-2.0
"""Pods of an IPIP pool over the real device, whoever programs the routes. Needs a kernel with IPIP."""
from __future__ import annotations

import json
import os

import pytest
from lab import resources
from lab.kernel import CommandFailed, Namespace
from lab.lab import IPIP, Lab
from lab.observe import IPIP_DEVICE, PROTOCOL_AGENT, PROTOCOL_BGP, route
from lab.probe import ALLOWED
from lab.topology import OUTSIDE_HOST, subnet

pytestmark = pytest.mark.long  # there is no such kernel in CI

# FelixConfiguration's and BGPConfiguration's programClusterRoutes, and the protocol of the routes.
OWNERS = {"agent": ("EnabledIPIPOnly", "EnabledNoEncapOnly", PROTOCOL_AGENT),
          "bgp": ("Disabled", "Enabled", PROTOCOL_BGP)}
PODS = ["pod-1", "pod-2", "pod-3"]
COUNTERS = f"""table ip count {{
  chain forward {{
    type filter hook forward priority 0
    ip protocol 4 counter comment "tunnelled"
    ip saddr {IPIP.cidr(4)} ip daddr {IPIP.cidr(4)} counter comment "plain"
  }}
}}"""


def need_ipip():
    probe = Namespace(f"ipip-probe-{os.getpid()}")
    try:
        probe.ip("link add probe type ipip local 192.0.2.1 remote 192.0.2.2")
    except CommandFailed:
        pytest.skip("the kernel has no IPIP")
    finally:
        probe.close()


@pytest.fixture(scope="module")
def lab():
    need_ipip()
    with Lab("aab", plans=(IPIP,)) as lab:
        lab.start()
        for name, node in zip(PODS, lab.nodes):
            lab.add_pod(name, node, IPIP.name, {"name": name}, write=False)
        lab.apply(*(lab.endpoint(pod) for pod in lab.pods.values()))
        lab.fabric.router.run(["nft", COUNTERS])
        yield lab


def between_racks(lab):
    """Packets that the router has passed on, by comment."""
    text = lab.fabric.router.output("nft", "-j", "list", "table", "ip", "count")
    rules = [item["rule"] for item in json.loads(text)["nftables"] if "rule" in item]
    return {rule["comment"]: expr["counter"]["packets"]
            for rule in rules for expr in rule["expr"] if "counter" in expr}


def probes(lab):
    found = {}
    for protocol in ("tcp", "udp", "icmp"):
        found |= lab.paths(PODS, PODS, ALLOWED, protocol, families=(4,))
    return found


def ways(lab):
    """How node-1 reaches the blocks of node-2, its neighbour, and of node-3 behind the router."""
    found = []
    for name in ("node-2", "node-3"):
        r = route(lab.nodes["node-1"].ns, str(IPIP.block(lab.nodes[name], 4)))
        found.append(r and (r.dev, r.via, r.protocol))
    return found


@pytest.mark.parametrize("mode", ["CrossSubnet", "Always"])
@pytest.mark.parametrize("owner", OWNERS)
def test_pods_reach_each_other_through_the_tunnel(lab, owner, mode):
    felix, bgp, protocol = OWNERS[owner]
    near, far = lab.nodes["node-2"], lab.nodes["node-3"]
    base = {r["kind"]: r for r in lab.base_resources() if r["metadata"]["name"] == "default"}
    configuration = base["BGPConfiguration"]
    configuration["spec"]["programClusterRoutes"] = bgp
    lab.apply(resources.pool(f"{IPIP.name}-v4", IPIP.cidr(4), ipipMode=mode), configuration,
              resources.resource("FelixConfiguration", "default", {"programClusterRoutes": felix}))
    want = [("eth0" if mode == "CrossSubnet" else IPIP_DEVICE, near.ipv4, protocol),
            (IPIP_DEVICE, far.ipv4, protocol)]
    lab.until(lambda: ways(lab) == want, 20, lambda: f"{ways(lab)}, want {want}")
    before = between_racks(lab)
    lab.expect(probes(lab), 30)
    after = between_racks(lab)
    print(f"{owner} {mode}: the router passed on {after}")
    assert after["tunnelled"] - before["tunnelled"] >= 12, "three protocols, both ways, two pairs"
    assert after["plain"] == before["plain"] == 0


def test_the_device_is_as_the_node_says_and_stays_so(lab):
    node = lab.nodes["node-1"]

    def shape():
        link = json.loads(node.ns.output("ip", "-j", "-d", "addr", "show", "dev", IPIP_DEVICE))[0]
        return (link["linkinfo"]["info_kind"], "UP" in link["flags"], link["mtu"],
                [a["local"] for a in link["addr_info"] if a["family"] == "inet"])

    want = ("ipip", True, 1480, [IPIP.address(node, 4, 1)])
    assert shape() == want
    for disturbance in (f"addr flush dev {IPIP_DEVICE}", f"link set {IPIP_DEVICE} mtu 1300",
                        f"link set {IPIP_DEVICE} down"):
        node.ns.ip(disturbance)
        lab.until(lambda: shape() == want, 20, lambda: f"{shape()}, want {want}")
    lab.expect(probes(lab), 30)


def test_a_stranger_reaches_nobody_through_the_tunnel(lab):
    """The ToR is no node: what it encapsulates is not let in, unless it is said to be one of ours."""
    tor, node, pod = lab.fabric.tor, lab.nodes["node-1"], lab.pods["pod-1"].address(4)
    own = subnet(node.rack)[0] + "254"
    felix = resources.resource("FelixConfiguration", "default", {"programClusterRoutes": "Disabled"})
    tor.ip(f"link add strange type ipip local {own} remote {node.ipv4}", "link set strange up",
           f"route add {pod}/32 dev strange src {OUTSIDE_HOST[0]}")
    ping = ["ping", "-c", "1", "-W", "1", pod]
    try:
        assert tor.run(ping, check=False).returncode == 1
        felix["spec"]["externalNodesList"] = [f"{own}/32"]
        lab.apply(felix)
        lab.until(lambda: tor.run(ping, check=False).returncode == 0, 20)
    finally:
        tor.ip("link del strange")
