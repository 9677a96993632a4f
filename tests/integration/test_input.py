# SPDX-License-Identifier: Apache-2.0
"""Bad input is refused by name, and never disturbs what stands."""
import json

import pytest
from lab import resources
from lab.resources import allow, network_policy

GOOD = network_policy("good", "pool == 'routed'", ingress=[allow("TCP", [80])])


def refuse(cluster, text, *words, command="apply"):
    """margayctl ends with 1 and its message has all of `words`."""
    done = cluster.ctl(command, "-f", "-", stdin=text, check=False)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    message = done.stderr + done.stdout
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


def with_spec(kind, name, spec, namespace=None):
    return json.dumps(resources.resource(kind, name, spec, namespace))


@pytest.mark.parametrize("text", [
    "kind: [unclosed", "a: b: c", "{\"kind\": \"Node\",", "\tkind: Node", "kind: Node\n  x: 1\n y: 2",
    "just words", "- 1\n- 2"])
def test_malformed_documents(cluster, text):
    refuse(cluster, text)


def test_an_empty_document_says_so(cluster):
    refuse(cluster, "", "no resources")


CASES = {
    "unknown kind": ('{"apiVersion": "projectcalico.org/v3", "kind": "Foo", "metadata": {"name": "x"}}',
                     ["Foo", "projectcalico.org/v3"]),
    "unknown version": ('{"apiVersion": "projectcalico.org/v9", "kind": "Node", "metadata": {"name": "x"}}',
                        ["projectcalico.org/v9"]),
    "unknown field": (with_spec("BGPPeer", "x", {"peerIPP": "1.2.3.4", "asNumber": 1}), ["peerIPP"]),
    "bad name": (with_spec("IPPool", "X_y", {"cidr": "10.1.0.0/16"}), ["X_y"]),
    "bad address": (with_spec("BGPPeer", "x", {"peerIP": "1.2.3.400", "asNumber": 1}),
                    ["BGPPeer", "1.2.3.400"]),
    "bad AS number": (with_spec("BGPPeer", "x", {"peerIP": "1.2.3.4", "asNumber": 2 ** 32}),
                      ["asNumber", "4294967296"]),
    "bad pool": (with_spec("IPPool", "x", {"cidr": "10.1.0.0/33"}), ["cidr", "10.1.0.0/33"]),
    "bad mode": (with_spec("IPPool", "x", {"cidr": "10.1.0.0/16", "vxlanMode": "Perhaps"}),
                 ["vxlanMode", "Perhaps"]),
    "bad block size": (with_spec("IPPool", "x", {"cidr": "10.1.0.0/16", "blockSize": 12}),
                       ["blockSize", "12"]),
    "bad selector": (with_spec("GlobalNetworkPolicy", "x", {"selector": "role == "}),
                     ["selector", "role == "]),
    "bad action": (with_spec("GlobalNetworkPolicy", "x", {"ingress": [{"action": "Maybe"}]}),
                   ["ingress", "action", "Maybe"]),
    "bad port": (with_spec("GlobalNetworkPolicy", "x", {"ingress": [
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": [70000]}}]}), ["70000"]),
    "port range upside down": (with_spec("GlobalNetworkPolicy", "x", {"ingress": [
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": ["20:10"]}}]}), ["20:10"]),
    "ports without protocol": (with_spec("GlobalNetworkPolicy", "x", {"ingress": [
        {"action": "Allow", "destination": {"ports": [80]}}]}), ["protocol"]),
    "bad net": (with_spec("GlobalNetworkSet", "x", {"nets": ["10.0.0.0/8", "ten"]}), ["nets", "ten"]),
    "bad configuration": (with_spec("FelixConfiguration", "default", {"healthPort": 700000}),
                          ["healthPort", "700000"]),
    "an application-layer match": (with_spec("GlobalNetworkPolicy", "x", {"ingress": [
        {"action": "Allow", "protocol": "TCP", "http": {"methods": ["GET"]}}]}),
        ["spec.ingress[0].http"]),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_by_name(cluster, name):
    text, words = CASES[name]
    refuse(cluster, text, *words)


def test_one_bad_document_does_not_hide_the_others(cluster):
    sets = [resources.resource("GlobalNetworkSet", n, {"nets": ["192.0.2.0/24"]})
            for n in ("first", "third")]
    bad = resources.resource("GlobalNetworkSet", "second", {"nets": ["nonsense"]})
    refuse(cluster, "\n---\n".join(map(json.dumps, [sets[0], bad, sets[1]])), "nonsense")
    names = cluster.ctl("get", "globalnetworkset").stdout
    assert "first" in names and "third" in names and "second" not in names
    cluster.delete(*sets)


def test_lists_and_several_documents(cluster):
    sets = [resources.resource("GlobalNetworkSet", n, {"nets": ["192.0.2.0/24"]}) for n in "abc"]
    listed = {"apiVersion": resources.API, "kind": "GlobalNetworkSetList", "items": sets[1:]}
    cluster.apply(sets[0], listed)
    assert all(f"\n{n}" in cluster.ctl("get", "globalnetworkset").stdout for n in "abc")
    cluster.delete(*sets)


def policy_of(count):
    rules = [allow("TCP", [1 + i % 60_000], source={"nets": [f"192.0.{i % 256}.{i // 256}/32"]})
             for i in range(count - 1)] + [allow("TCP", [80])]
    return network_policy("big", "pool == 'routed'", ingress=rules)


def test_a_policy_with_as_many_rules_as_are_allowed(cluster):
    big = policy_of(1024)
    cluster.apply(big)
    try:
        cluster.expect(cluster.paths("*", ["routed-1"], families=[4])
                       | cluster.paths("vxlan-1", "routed-1", "dropped", "udp"), 30)
    finally:
        cluster.delete(big)
    cluster.expect(cluster.everyone(dst=["routed-1"]), 30)


def test_a_policy_with_ten_thousand_rules(cluster):
    """margayctl refuses it; written past it, it is enforced, and nothing else suffers."""
    big = policy_of(10_000)
    refuse(cluster, json.dumps(big), "spec.ingress", "1024")
    cluster.put_keys({resources.store_key(big, "networkpolicies"): json.dumps(big)})
    try:
        cluster.expect(cluster.paths("vxlan-1", "routed-1", "dropped", "udp")
                       | cluster.everyone(dst=["vxlan-1"]), 30)
        assert all(agent.process.alive for agent in cluster.agents.values())
    finally:
        cluster.delete(big)
    cluster.expect(cluster.everyone(dst=["routed-1"]), 30)


def test_an_invalid_resource_in_the_store_closes_only_what_it_selects(cluster):
    """Written past validation, as an older or foreign writer might: the last valid version stays."""
    cluster.apply(GOOD)
    cluster.expect(cluster.paths("vxlan-1", "routed-1", "dropped", "udp"))
    bad = json.loads(json.dumps(GOOD))
    bad["spec"]["ingress"] = [{"action": "Perhaps"}]
    key = resources.store_key(bad, "networkpolicies")
    cluster.put_keys({key: json.dumps(bad), "/calico/nonsense": "not json",
                      "/calico/resources/v3/projectcalico.org/nodes/node-9": "{broken"})
    cluster.expect(cluster.paths("vxlan-1", "routed-1") | cluster.everyone(dst=["vxlan-1"])
                   | cluster.paths("vxlan-1", "routed-1", "dropped", "udp"))
    assert all(agent.process.alive for agent in cluster.agents.values())
    cluster.delete(GOOD)
    cluster.expect(cluster.everyone(dst=["routed-1"]))
