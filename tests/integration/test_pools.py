# SPDX-License-Identifier: Apache-2.0
"""Pools changed while packets flow: from VXLAN to none and back, cross-subnet and always."""
import pytest
from lab import observe, resources
from lab.lab import ALWAYS, CROSS_SUBNET, FAMILIES, ROUTED
from lab.observe import PROTOCOL_AGENT, PROTOCOL_BGP, VXLAN_DEVICE


def switch(cluster, plan, mode):
    cluster.apply(*(resources.pool(f"{plan.name}-v{f}", plan.cidr(f), mode, plan.nat_outgoing)
                    for f in FAMILIES))


def wait_for_routes(cluster, plan, to, want):
    """node-1's routes to the plan's blocks on `to` have (device, protocol) `want` per family."""
    ns = cluster.nodes["node-1"].ns

    def arrived():
        for family in FAMILIES:
            route = observe.route(ns, str(plan.block(cluster.nodes[to], family)))
            device, protocol = want
            device = VXLAN_DEVICE[family] if device == "vxlan" else device
            if route is None or (route.dev, route.protocol) != (device, protocol):
                return False
        return True

    cluster.until(arrived, 15, lambda: str([observe.own_routes(ns, f) for f in FAMILIES]))


@pytest.mark.parametrize("plan, mode", [(CROSS_SUBNET, "CrossSubnet"), (ALWAYS, "Always")])
def test_vxlan_to_none_and_back(cluster, plan, mode):
    pods = [f"{plan.name}-{i}" for i in (1, 2, 3)]
    cluster.expect(cluster.everyone(src=pods, dst=pods))
    switch(cluster, plan, "Never")
    wait_for_routes(cluster, plan, "node-3", ("eth0", PROTOCOL_BGP))
    cluster.expect(cluster.everyone(src=pods, dst=pods))
    switch(cluster, plan, mode)
    wait_for_routes(cluster, plan, "node-3", ("vxlan", PROTOCOL_AGENT))
    cluster.expect(cluster.everyone(src=pods, dst=pods))


def test_none_to_vxlan_and_back(cluster):
    pods = [f"routed-{i}" for i in (1, 2, 3)]
    switch(cluster, ROUTED, "Always")
    wait_for_routes(cluster, ROUTED, "node-2", ("vxlan", PROTOCOL_AGENT))
    cluster.expect(cluster.everyone(src=pods, dst=pods))
    switch(cluster, ROUTED, "Never")
    wait_for_routes(cluster, ROUTED, "node-2", ("eth0", PROTOCOL_BGP))
    cluster.expect(cluster.everyone(src=pods, dst=pods))


def test_cross_subnet_to_always_and_back(cluster):
    pods = [f"vxlan-{i}" for i in (1, 2, 3)]
    switch(cluster, CROSS_SUBNET, "Always")
    wait_for_routes(cluster, CROSS_SUBNET, "node-2", ("vxlan", PROTOCOL_AGENT))
    cluster.expect(cluster.everyone(src=pods, dst=pods))
    switch(cluster, CROSS_SUBNET, "CrossSubnet")
    wait_for_routes(cluster, CROSS_SUBNET, "node-2", ("eth0", PROTOCOL_AGENT))
    cluster.expect(cluster.everyone(src=pods, dst=pods))


def test_a_pool_that_overlaps_another_is_refused(cluster):
    wide = resources.pool("wide", "10.64.0.0/13")
    done = cluster.ctl("apply", "-f", "-", stdin=str(wide).replace("'", '"')
                       .replace("True", "true").replace("False", "false"), check=False)
    assert done.returncode == 1
    assert "overlap" in done.stderr and "10.64.0.0/13" in done.stderr, done.stderr
    cluster.expect(cluster.everyone(src=["vxlan-1"], dst=["vxlan-3"]))
