# SPDX-License-Identifier: Apache-2.0
"""Endpoint and interface in every order: right in the end."""
import pytest
from lab import observe
from lab.lab import FAMILIES

PEER = "vxlan-3"


@pytest.fixture
def pod(cluster):
    """A new pod on node-1, unattached and unknown to the store."""
    pod = cluster.add_pod("late", "node-1", "vxlan", attach=False, write=False)
    yield pod
    cluster.delete(cluster.endpoint(pod))
    cluster.fabric.remove_pod(pod)
    cluster.until(lambda: not standing(cluster, pod))


def standing(cluster, pod):
    """Routes of the pod's addresses on its node."""
    ns = cluster.nodes["node-1"].ns
    return [a for a in pod.addresses
            if (r := observe.route(ns, a + ("/128" if ":" in a else "/32"))) and r.dev == pod.interface]


def reached(cluster, pod):
    cluster.expect(cluster.everyone(src=[PEER], dst=[pod.name])
                   | cluster.everyone(src=[pod.name], dst=[PEER, "routed-1"]))
    assert len(standing(cluster, pod)) == len(FAMILIES)


def test_endpoint_before_interface(cluster, pod):
    cluster.apply(cluster.endpoint(pod))
    assert cluster.agents["node-1"].get("/readiness")[0] == 200, "an absent interface is no error"
    cluster.fabric.attach(pod)
    reached(cluster, pod)


def test_interface_before_endpoint(cluster, pod):
    cluster.fabric.attach(pod)
    cluster.apply(cluster.endpoint(pod))
    reached(cluster, pod)


def test_an_interface_without_endpoint_is_closed(cluster, pod):
    cluster.fabric.attach(pod)
    ns = pod.node.ns
    ns.ip(*(f"route add {a} dev {pod.interface}" for a in pod.addresses))
    cluster.expect(cluster.everyone("dropped", src=[pod.name], dst=[PEER]))
    cluster.apply(cluster.endpoint(pod))
    reached(cluster, pod)


def test_an_interface_that_is_renamed(cluster, pod):
    ns = pod.node.ns
    cluster.fabric.attach(pod)
    ns.ip(f"link set {pod.interface} down", f"link set {pod.interface} name cali-other",
          "link set cali-other up")
    cluster.apply(cluster.endpoint(pod))
    ns.ip("link set cali-other down", f"link set cali-other name {pod.interface}",
          f"link set {pod.interface} up")
    reached(cluster, pod)


def test_an_endpoint_whose_interface_changes_its_name(cluster, pod):
    ns = pod.node.ns
    cluster.fabric.attach(pod)
    cluster.apply(cluster.endpoint(pod))
    reached(cluster, pod)
    old = pod.interface
    ns.ip(f"link set {old} down", f"link set {old} name calinew0", "link set calinew0 up")
    moved = cluster.endpoint(pod)
    moved["spec"]["interfaceName"] = "calinew0"
    cluster.apply(moved)
    cluster.expect(cluster.everyone(src=[PEER], dst=[pod.name]))
    ns.ip("link set calinew0 down", f"link set calinew0 name {old}", f"link set {old} up")
    cluster.apply(cluster.endpoint(pod))
    reached(cluster, pod)


@pytest.mark.parametrize("times", [1, 20])
def test_an_interface_that_flaps(cluster, pod, times):
    cluster.fabric.attach(pod)
    cluster.apply(cluster.endpoint(pod))
    pod.node.ns.ip(*(f"link set {pod.interface} {state}"
                     for _ in range(times) for state in ("down", "up")))
    reached(cluster, pod)


def test_an_interface_that_is_deleted_and_made_again(cluster, pod):
    cluster.apply(cluster.endpoint(pod))
    for _ in range(3):
        cluster.fabric.attach(pod)
        cluster.fabric.detach(pod)
    cluster.until(lambda: not standing(cluster, pod))
    cluster.fabric.attach(pod)
    reached(cluster, pod)


def test_an_endpoint_that_is_deleted_and_made_again(cluster, pod):
    cluster.fabric.attach(pod)
    for _ in range(3):
        cluster.apply(cluster.endpoint(pod))
        cluster.delete(cluster.endpoint(pod))
    cluster.until(lambda: not standing(cluster, pod))
    cluster.expect(cluster.everyone("dropped", src=[pod.name], dst=[PEER]))
    cluster.apply(cluster.endpoint(pod))
    reached(cluster, pod)


def test_an_address_that_moves_to_another_pod(cluster, pod):
    cluster.fabric.attach(pod)
    cluster.apply(cluster.endpoint(pod))
    reached(cluster, pod)
    changed = cluster.endpoint(pod)
    changed["spec"]["ipNetworks"] = changed["spec"]["ipNetworks"][:1]
    cluster.apply(changed)
    cluster.until(lambda: len(standing(cluster, pod)) == 1)
    cluster.apply(cluster.endpoint(pod))
    reached(cluster, pod)


def test_an_endpoint_whose_interface_never_comes(cluster, pod):
    cluster.apply(cluster.endpoint(pod))
    cluster.expect(cluster.everyone(src=["vxlan-1"], dst=[PEER]))
    assert cluster.agents["node-1"].get("/readiness")[0] == 200
