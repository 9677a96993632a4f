# SPDX-License-Identifier: Apache-2.0
"""Policies as packets feel them: selectors, order, actions, ports, nets, sets; all changed live."""
import copy
import time
from contextlib import ExitStack, contextmanager

import pytest
from lab import latency, resources
from lab.lab import FAMILIES
from lab.probe import ALLOWED, DROPPED
from lab.resources import allow, global_policy, network_policy
from lab.transfer import Transfer

TARGET = "vxlan-1"
NEAR, FAR = "routed-1", "vxlan-3"  # a pod of the target's own node, and one behind the tunnel


@contextmanager
def applied(cluster, *items):
    """The items stand inside the block; afterwards everything is open again."""
    cluster.apply(*items)
    try:
        yield
    finally:
        cluster.delete(*items)
    cluster.expect(cluster.paths([NEAR, FAR], TARGET))


def both(cluster, outcome, protocol="tcp", port=80):
    return cluster.paths([NEAR, FAR], TARGET, outcome, protocol, port)


def closed_but(*rules, selector="on == 'node-1' && pool == 'vxlan'", **more):
    return network_policy("under-test", selector, ingress=list(rules), **more)


def test_a_selected_endpoint_accepts_only_what_is_allowed(cluster):
    with applied(cluster, closed_but(allow("TCP", [80]))):
        cluster.expect(both(cluster, ALLOWED) | both(cluster, DROPPED, port=8080)
                       | both(cluster, DROPPED, "udp") | both(cluster, DROPPED, "icmp")
                       | cluster.paths([NEAR, FAR], "vxlan-2", protocol="udp"))


CASES = {
    "port range": (allow("TCP", ["79:81"]), {("tcp", 80): ALLOWED, ("tcp", 8080): DROPPED}),
    "several ports": (allow("TCP", [80, "8000:8100"]), {("tcp", 80): ALLOWED, ("tcp", 8080): ALLOWED}),
    "udp": (allow("UDP", [80]), {("udp", 80): ALLOWED, ("tcp", 80): DROPPED}),
    "protocol by number": (allow(6), {("tcp", 80): ALLOWED, ("udp", 80): DROPPED}),
    "any protocol": (allow(), {("tcp", 80): ALLOWED, ("udp", 80): ALLOWED, ("icmp", 0): ALLOWED}),
    "not that protocol": ({"action": "Allow", "notProtocol": "UDP"},
                          {("tcp", 80): ALLOWED, ("udp", 80): DROPPED}),
    "not that port": (allow("TCP", destination={"notPorts": [8080]}),
                      {("tcp", 80): ALLOWED, ("tcp", 8080): DROPPED}),
    "log goes on": (allow(action="Log"), {("tcp", 80): DROPPED}),
}


@pytest.mark.parametrize("name", CASES)
def test_matches(cluster, name):
    rule, outcomes = CASES[name]
    with applied(cluster, closed_but(rule)):
        want = {}
        for (protocol, port), outcome in outcomes.items():
            want |= both(cluster, outcome, protocol, port)
        cluster.expect(want)


@pytest.mark.parametrize("selector, near, far", [
    ("pool == 'routed'", ALLOWED, DROPPED),
    ("pool != 'routed'", DROPPED, ALLOWED),
    ("on in {'node-2', 'node-3'}", DROPPED, ALLOWED),
    ("on not in {'node-2', 'node-3'}", ALLOWED, DROPPED),
    ("has(pool) && !has(nothing)", ALLOWED, ALLOWED),
    ("pool contains 'oute'", ALLOWED, DROPPED),
    ("pool starts with 'vx'", DROPPED, ALLOWED),
    ("pool ends with 'ed' || on == 'node-3'", ALLOWED, ALLOWED),
    ("all() && !(pool == 'vxlan')", ALLOWED, DROPPED),
    ("projectcalico.org/namespace == 'default'", ALLOWED, ALLOWED),
])
def test_source_selectors(cluster, selector, near, far):
    with applied(cluster, closed_but(allow(source={"selector": selector}))):
        cluster.expect(cluster.paths(NEAR, TARGET, near) | cluster.paths(FAR, TARGET, far))


def test_nets_of_both_families(cluster):
    far = cluster.pods[FAR]
    nets = [f"{far.address(4)}/32", f"{far.address(6)}/128"]
    with applied(cluster, closed_but(*(allow(source={"nets": [n]}) for n in nets))):
        cluster.expect(cluster.paths(FAR, TARGET) | cluster.paths(NEAR, TARGET, DROPPED))
    only_v4 = closed_but(allow(source={"nets": ["10.0.0.0/8"], "notNets": [nets[0]]}))
    with applied(cluster, only_v4):
        cluster.expect(cluster.paths(NEAR, TARGET, families=[4])
                       | cluster.paths(NEAR, TARGET, DROPPED, families=[6])
                       | cluster.paths(FAR, TARGET, DROPPED))


def test_icmp_types_and_families(cluster):
    echo = {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8}}
    echo6 = {"action": "Allow", "protocol": "ICMPv6", "icmp": {"type": 128}}
    with applied(cluster, closed_but(echo)):
        cluster.expect(cluster.paths(FAR, TARGET, protocol="icmp", families=[4])
                       | cluster.paths(FAR, TARGET, DROPPED, "icmp", families=[6]))
    with applied(cluster, closed_but(echo6)):
        cluster.expect(cluster.paths(FAR, TARGET, DROPPED, "icmp", families=[4])
                       | cluster.paths(FAR, TARGET, protocol="icmp", families=[6]))


def test_a_lower_order_decides_first(cluster):
    close = global_policy("close", "pool == 'vxlan'", ingress=[allow(action="Deny")], order=20)
    with applied(cluster, close):
        cluster.expect(both(cluster, DROPPED))
        with_open = network_policy("open", "pool == 'vxlan'", ingress=[allow("TCP")], order=10)
        with applied_only(cluster, with_open):
            cluster.expect(both(cluster, ALLOWED) | both(cluster, DROPPED, "udp"))
            later = copy.deepcopy(with_open)
            later["spec"]["order"] = 30
            cluster.apply(later)
            cluster.expect(both(cluster, DROPPED))


@contextmanager
def applied_only(cluster, *items):
    cluster.apply(*items)
    try:
        yield
    finally:
        cluster.delete(*items)


def test_tiers_pass_on(cluster):
    first = resources.tier("first", 10)
    decide = global_policy("first.gate", "pool == 'vxlan'", order=1, ingress=[
        allow("UDP", action="Deny"), allow("TCP", [80], action="Pass")])
    decide["spec"]["tier"] = "first"
    cluster.apply(first)
    try:
        with applied(cluster, decide, closed_but(allow(source={"selector": "pool == 'routed'"}))):
            cluster.expect(both(cluster, DROPPED, "udp") | both(cluster, DROPPED, port=8080)
                           | cluster.paths(NEAR, TARGET) | cluster.paths(FAR, TARGET, DROPPED))
    finally:
        cluster.delete(first)


def test_egress_is_policed_at_the_source(cluster):
    out = network_policy("out", "pool == 'routed' && on == 'node-1'", egress=[
        allow("TCP", [80], destination={"selector": "on == 'node-1'"}), allow("UDP")])
    with applied(cluster, out):
        cluster.expect(cluster.paths(NEAR, TARGET) | cluster.paths(NEAR, TARGET, protocol="udp")
                       | cluster.paths(NEAR, "vxlan-2", DROPPED)
                       | cluster.paths(NEAR, TARGET, DROPPED, "icmp"))


def test_network_sets_are_named_by_label(cluster):
    far = cluster.pods[FAR]
    blocked = resources.resource("GlobalNetworkSet", "blocked", {
        "nets": [f"{far.address(4)}/32", "fd00:65::/96"]}, labels={"list": "blocked"})
    # A namespaced policy's selectors mean its own namespace; global sets are for global policies.
    deny = global_policy("under-test", "pool == 'vxlan' && on == 'node-1'", ingress=[
        allow(source={"selector": "list == 'blocked'"}, action="Deny"), allow()])
    with applied(cluster, deny):
        cluster.expect(both(cluster, ALLOWED))
        with applied_only(cluster, blocked):
            cluster.expect(cluster.paths(FAR, TARGET, DROPPED) | cluster.paths(NEAR, TARGET))


def test_labels_change_membership_live(cluster):
    only_friends = closed_but(allow(source={"selector": "friend == 'yes'"}))
    far = cluster.pods[FAR]
    with applied(cluster, only_friends):
        cluster.expect(both(cluster, DROPPED))
        cluster.apply(cluster.endpoint(far, labels=far.labels | {"friend": "yes"}))
        cluster.expect(cluster.paths(FAR, TARGET) | cluster.paths(NEAR, TARGET, DROPPED))
        cluster.apply(cluster.endpoint(far))
        cluster.expect(both(cluster, DROPPED))


def test_labels_change_selection_live(cluster):
    target = cluster.pods[TARGET]
    with applied(cluster, closed_but(selector="locked == 'yes'")):
        cluster.expect(both(cluster, ALLOWED))
        cluster.apply(cluster.endpoint(target, labels=target.labels | {"locked": "yes"}))
        cluster.expect(both(cluster, DROPPED))
        cluster.apply(cluster.endpoint(target))
        cluster.expect(both(cluster, ALLOWED))


def test_profile_labels_serve_namespace_selectors(cluster):
    friendly = resources.profile("friendly", {"team": "a"})
    cluster.apply(friendly)
    pod = cluster.add_pod("guest", "node-2", "routed", namespace="friendly")
    rule = allow(source={"namespaceSelector": "team == 'a'"})
    with applied(cluster, closed_but(rule)):
        cluster.expect(cluster.paths("guest", TARGET) | both(cluster, DROPPED))
    cluster.delete_pod(pod)
    cluster.delete(friendly)


def test_named_ports(cluster):
    target = cluster.pods[TARGET]
    port = {"name": "web", "protocol": "TCP", "port": 8080}
    with applied(cluster, closed_but(allow("TCP", ["web"]))):
        cluster.expect(both(cluster, DROPPED, port=8080))
        cluster.apply(cluster.endpoint(target, ports=[port]))
        cluster.expect(both(cluster, ALLOWED, port=8080) | both(cluster, DROPPED))
        cluster.apply(cluster.endpoint(target))


def test_open_connections_live_on_when_a_policy_is_applied(cluster):
    prober = cluster.fabric.probers[FAR]
    for family in FAMILIES:
        flow = {"op": "hold", "flow": f"v{family}"}
        address = cluster.pods[TARGET].address(family)
        assert prober.ask(do="open", dst=address, port=80, **flow) == ALLOWED
    with applied(cluster, closed_but(allow("TCP", [80]))):
        cluster.expect(both(cluster, DROPPED, port=8080))
        for family in FAMILIES:
            assert prober.ask(op="hold", do="ask", flow=f"v{family}") == ALLOWED


def test_a_change_is_enforced_within_a_second_of_apply(cluster):
    policy = closed_but()
    cut = latency.closing(cluster, FAR, TARGET, lambda: cluster.apply(policy))
    assert cut.effect < 1 + cut.command, cut
    back = latency.opening(cluster, FAR, TARGET, lambda: cluster.delete(policy))
    assert back.effect < 1 + back.command, back


@contextmanager
def transfers(cluster, ports):
    """One TCP transfer in each direction for each port and family, all of them under way."""
    with ExitStack() as stack:
        found = [stack.enter_context(Transfer(cluster.pods[FAR], cluster.pods[TARGET], family, port,
                                              download))
                 for port in ports for family in FAMILIES for download in (False, True)]
        cluster.until(lambda: all(t.moves_after(0) for t in found))
        yield found


def test_long_transfers_are_cut_within_a_second_when_asked(cluster):
    asked = resources.resource("FelixConfiguration", "default", {"existingConnections": "Cut"})
    node = cluster.nodes["node-1"].ns
    with applied(cluster, asked):
        cluster.until(lambda: "cut-flows-4" in node.output("nft", "list", "sets"))
        with transfers(cluster, [9000]) as denied, transfers(cluster, [9001]) as allowed:
            started = time.monotonic()
            with applied_only(cluster, closed_but(allow("TCP", [9001]))):
                command = time.monotonic() - started
                cluster.until(lambda: all(t.stopped() for t in denied))
                last = max(t.arrived for t in denied) - started
                assert last < 1 + command, (last, command)
                now = time.monotonic()
                cluster.until(lambda: all(t.moves_after(now) for t in allowed))
                # Neither end begins it anew.
                assert all(t.stopped() for t in denied)
    cluster.until(lambda: "cut-flows-4" not in node.output("nft", "list", "sets"))


def test_long_transfers_live_on_unless_asked(cluster):
    with transfers(cluster, [9000]) as under_way:
        with applied(cluster, closed_but(allow("TCP", [80]))):
            cluster.expect(both(cluster, DROPPED, port=8080))
            now = time.monotonic()
            cluster.until(lambda: all(t.moves_after(now) for t in under_way))
