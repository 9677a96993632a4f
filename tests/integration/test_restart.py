# SPDX-License-Identifier: Apache-2.0
"""An agent that restarts, dies or finds its objects deleted: forwarding stays, what is missing returns."""
import signal

import pytest
from lab import observe
from lab.lab import CROSS_SUBNET, FAMILIES
from lab.monitor import Monitor, changes
from lab.resources import allow, network_policy

NODE = "node-1"
POLICY = network_policy("some", "pool == 'vxlan'", ingress=[
    allow("TCP", [80]), allow("UDP"), allow(source={"selector": "pool == 'routed'"})])


@pytest.fixture(scope="module")
def settled(cluster):
    """Everything stands, with a policy that needs sets and rules, and the kernel is quiet."""
    cluster.apply(POLICY)
    cluster.expect(cluster.paths("*", "*"), 20)
    return cluster


def quiet(cluster):
    with Monitor(cluster.nodes[NODE].ns) as monitor:
        monitor.quiet(0.5)


def restart(cluster, number=signal.SIGTERM, while_down=lambda: None):
    """What changed in the kernel between the agent's start and half a second of silence."""
    agent = cluster.agents[NODE]
    agent.process.stop(number) if number == signal.SIGTERM else agent.kill()
    while_down()
    with Monitor(cluster.nodes[NODE].ns) as monitor:
        agent.start()
        cluster.wait_agent_ready(NODE)
        monitor.quiet(0.5)
        return changes(monitor.events)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_changes_nothing(settled, number):
    quiet(settled)
    before = observe.kernel_state(settled.nodes[NODE].ns)
    changed = restart(settled, number)
    assert [str(e) for e in changed] == []
    assert observe.kernel_state(settled.nodes[NODE].ns) == before


def test_sigterm_leaves_forwarding_as_it_is(settled):
    quiet(settled)
    ns = settled.nodes[NODE].ns
    before = observe.kernel_state(ns)
    assert settled.agents[NODE].stop() == 0
    assert observe.kernel_state(ns) == before
    settled.expect(settled.paths(["vxlan-1", "always-1"], "*"), 2)
    settled.start_agent(NODE)
    settled.wait_agent_ready(NODE)


def some_route(cluster):
    block = str(CROSS_SUBNET.block(cluster.nodes["node-3"], 4))
    return observe.route(cluster.nodes[NODE].ns, block)


def some_member(ns):
    """A set of plain addresses with at least one member: table, name, member."""
    for item in observe.nft_objects(ns, "set"):
        for element in item.get("elem", []):
            if isinstance(element, str):
                return item["table"], item["name"], element
    raise AssertionError("no set of addresses with a member")


def some_rule(ns):
    """A rule in a chain that is no base chain, with its table, chain and handle."""
    based = {c["name"] for c in observe.nft_objects(ns, "chain") if "hook" in c}
    return next(r for r in observe.nft_objects(ns, "rule") if r["chain"] not in based)


def delete_rule(ns):
    rule = some_rule(ns)
    ns.run(["nft", "delete", "rule", "inet", rule["table"], rule["chain"], "handle",
            str(rule["handle"])])


def delete_member(ns):
    table, name, member = some_member(ns)
    ns.run(["nft", "delete", "element", "inet", table, name, f"{{ {member} }}"])


def delete_fdb(ns):
    device = observe.VXLAN_DEVICE[4]
    mac, remote = next(iter(sorted(observe.fdb(ns, device).items())))
    ns.run(["bridge", "fdb", "del", mac, "dev", device, "dst", remote])


def test_exactly_what_was_deleted_while_it_was_down_comes_back(settled):
    quiet(settled)
    ns = settled.nodes[NODE].ns
    before = observe.kernel_state(ns)

    def damage():
        delete_rule(ns)
        delete_member(ns)
        delete_fdb(ns)
        ns.ip(f"route del {some_route(settled).dst}")

    changed = restart(settled, while_down=damage)
    assert sorted(observe.kernel_state(ns)) == sorted(before)
    added = sorted(e.kind for e in changed if not e.deleted)
    assert added == ["fdb", "nft-element", "nft-rule", "route"], [str(e) for e in changed]
    assert not [str(e) for e in changed if e.deleted]


def repaired(cluster, damage, kinds):
    """`damage` is undone within a second, and counted."""
    quiet(cluster)
    ns = cluster.nodes[NODE].ns
    before = sorted(observe.kernel_state(ns))
    counted = repairs(cluster)
    with Monitor(ns) as monitor:
        damage(ns)
        for kind in kinds:
            if not any(e.kind == kind and not e.deleted for e in monitor.events):
                monitor.wait(lambda e: e.kind == kind and not e.deleted, 1.0)
        monitor.quiet(0.3)
    assert sorted(observe.kernel_state(ns)) == before
    assert repairs(cluster) > counted, "the repair was not counted"


def repairs(cluster):
    return sum(value for name, value in cluster.agents[NODE].metrics().items()
               if "repair" in name or "foreign" in name)


def test_a_deleted_table_is_repaired(settled):
    repaired(settled, lambda ns: ns.run(["nft", "delete", "table", "inet", "margay"]),
             ["nft-table", "nft-rule"])
    settled.expect(settled.paths(["vxlan-1", "routed-1"], "*"))


def test_a_deleted_rule_is_repaired(settled):
    repaired(settled, delete_rule, ["nft-rule"])


def test_a_deleted_set_member_is_repaired(settled):
    repaired(settled, delete_member, ["nft-element"])


def test_a_deleted_fdb_entry_is_repaired(settled):
    repaired(settled, delete_fdb, ["fdb"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_deleted_route_is_repaired(settled, family):
    block = str(CROSS_SUBNET.block(settled.nodes["node-3"], family))
    repaired(settled, lambda ns: ns.ip(f"route del {block}"), ["route"])


def test_a_deleted_pod_route_is_repaired(settled):
    address = settled.pods["vxlan-1"].address(4)
    repaired(settled, lambda ns: ns.ip(f"route del {address}/32"), ["route"])


def test_a_replaced_rule_is_repaired(settled):
    def replace(ns):
        rule = some_rule(ns)
        ns.run(["nft", "replace", "rule", "inet", rule["table"], rule["chain"], "handle",
                str(rule["handle"]), "counter", "accept"])

    repaired(settled, replace, ["nft-rule"])


def test_a_foreign_table_and_route_are_left_alone(settled):
    ns = settled.nodes[NODE].ns
    ns.run(["nft", "-f", "-"], "table inet other { chain c {\naccept\n}\n}")
    ns.ip("route add 192.0.2.0/24 via 172.31.1.1 proto static")
    try:
        restart(settled)
        assert "table inet other" in observe.ruleset(ns)
        assert observe.route(ns, "192.0.2.0/24") is not None
    finally:
        ns.run(["nft", "delete", "table", "inet", "other"])
        ns.ip("route del 192.0.2.0/24")
