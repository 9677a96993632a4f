# SPDX-License-Identifier: Apache-2.0
"""Three nodes on two subnets, pools with VXLAN CrossSubnet, VXLAN Always and none: who reaches whom."""
import pytest
from lab import observe, resources
from lab.lab import ALWAYS, CROSS_SUBNET, FAMILIES, ROUTED
from lab.observe import PROTOCOL_AGENT, PROTOCOL_BGP, VXLAN_DEVICE
from lab.probe import ALLOWED, DROPPED, REFUSED, Probe
from lab.topology import OUTSIDE_HOST


def test_every_pod_reaches_every_pod(cluster):
    want = cluster.everyone()
    want |= cluster.paths("*", "*", REFUSED, port=7) | cluster.paths("*", "*", REFUSED, "udp", 7)
    assert len(want) == 9 * 8 * 2 * 5
    cluster.expect(want, timeout=20)


def test_pods_and_the_network_behind_the_tor_reach_each_other(cluster):
    cluster.expect(cluster.paths("*", "tor") | cluster.paths("tor", "*")
                   | cluster.paths("tor", "*", protocol="icmp"), timeout=20)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_pool_has_its_own_kind_of_route(cluster, family):
    first = cluster.nodes["node-1"].ns
    same_rack, far = cluster.nodes["node-2"], cluster.nodes["node-3"]
    vxlan = VXLAN_DEVICE[family]

    def route(plan, node):
        return observe.route(first, str(plan.block(node, family)))

    cluster.until(lambda: route(ROUTED, far) is not None)
    near = route(CROSS_SUBNET, same_rack)
    assert (near.dev, near.via, near.protocol) == ("eth0", same_rack.address(family),
                                                   PROTOCOL_AGENT)
    for plan, node in ((CROSS_SUBNET, far), (ALWAYS, same_rack), (ALWAYS, far)):
        tunnelled = route(plan, node)
        assert (tunnelled.dev, tunnelled.protocol) == (vxlan, PROTOCOL_AGENT), (plan, node.name)
        assert tunnelled.via == CROSS_SUBNET.address(node, family, 1)
    assert route(ROUTED, same_rack).via == same_rack.address(family)
    assert route(ROUTED, far).dev == "eth0"
    assert {route(ROUTED, same_rack).protocol, route(ROUTED, far).protocol} == {PROTOCOL_BGP}


@pytest.mark.parametrize("family", FAMILIES)
def test_pods_have_host_routes_and_own_blocks_are_blackholes(cluster, family):
    node = cluster.nodes["node-1"]
    standing = observe.routes(node.ns, family)
    for pod in cluster.pods.values():
        if pod.node is node:
            length = 32 if family == 4 else 128
            assert standing[f"{pod.address(family)}/{length}"].dev == pod.interface
    for plan in cluster.plans.values():
        assert standing[str(plan.block(node, family))].kind == "blackhole"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tunnel_knows_every_other_node(cluster, family):
    node = cluster.nodes["node-1"]
    device = VXLAN_DEVICE[family]
    others = [n for n in cluster.nodes.values() if n is not node]
    macs = {f"66:0{family}:00:00:00:0{n.index + 1}": n for n in others}
    cluster.until(lambda: set(observe.fdb(node.ns, device)) >= set(macs))
    fdb, neighbours = observe.fdb(node.ns, device), observe.neighbours(node.ns, device)
    for mac, other in macs.items():
        assert fdb[mac] == other.address(family)
        assert neighbours[CROSS_SUBNET.address(other, family, 1)] == mac
    own = CROSS_SUBNET.address(node, family, 1)
    assert observe.addresses(node.ns, device) == [f"{own}/{32 if family == 4 else 128}"]


def test_outgoing_nat_hides_pods_of_pools_that_ask_for_it(cluster):
    for family in FAMILIES:
        outside = OUTSIDE_HOST[family == 6]

        def seen(pod):
            return cluster.fabric.probers[pod].ask(op="seen_as", dst=outside, port=80)

        cluster.until(lambda: seen("always-1") == cluster.nodes["node-1"].address(family))
        assert seen("vxlan-1") == cluster.pods["vxlan-1"].address(family)
        peer = cluster.pods["routed-2"].address(family)
        # Inside the pools no address is hidden.
        assert cluster.fabric.probers["always-1"].ask(
            op="seen_as", dst=peer, port=80) == cluster.pods["always-1"].address(family)


def test_a_pod_cannot_send_as_another(cluster):
    pod, other = cluster.pods["vxlan-1"], cluster.pods["vxlan-2"]
    for family in FAMILIES:
        borrowed = f"10.65.1.{50}" if family == 4 else "fd00:65::1:32"
        length = 32 if family == 4 else 128
        pod.ns.ip(f"addr add {borrowed}/{length} dev eth0")
        try:
            target = other.address(family)
            cluster.expect({
                Probe(pod.name, other.name, target, "udp", 80, borrowed): DROPPED,
                Probe(pod.name, other.name, target, "udp", 80, pod.address(family)): ALLOWED})
        finally:
            pod.ns.ip(f"addr del {borrowed}/{length} dev eth0")


def test_the_host_reaches_its_pods_and_pods_reach_it_when_told_so(cluster):
    node = cluster.nodes["node-2"]
    cluster.fabric.add_prober(node.name, node.ns)
    try:
        to_pod = cluster.paths(node.name, "vxlan-2") | cluster.paths(node.name, "routed-2", protocol="icmp")
        to_host = {Probe("vxlan-2", node.name, node.address(f), "tcp", 80): DROPPED
                   for f in FAMILIES}
        cluster.expect(to_pod | to_host)
        for action in ("Accept", "Return"):
            told = resources.resource("FelixConfiguration", "default",
                                      {"defaultEndpointToHostAction": action})
            cluster.apply(told)
            cluster.expect(to_pod | {probe: ALLOWED for probe in to_host})
            cluster.delete(told)
            cluster.expect(to_pod | to_host)
    finally:
        cluster.fabric.probers.pop(node.name).close()
