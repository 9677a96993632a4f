# SPDX-License-Identifier: Apache-2.0
"""Bad input is refused by name, and never disturbs what stands."""
import json

import pytest
from lab import observe, resources
from lab.resources import allow, global_policy, network_policy

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
    "an unknown tier": (with_spec("GlobalNetworkPolicy", "x", {"tier": "nowhere"}),
                        ["GlobalNetworkPolicy(x)", "spec.tier", "nowhere"]),
    "a selector beyond its length": (with_spec("GlobalNetworkPolicy", "x", {
        "selector": " || ".join(["a == 'b'"] * 100)}), ["spec.selector", "1024"]),
    "a net of the other family": (with_spec("GlobalNetworkPolicy", "x", {"ingress": [
        {"action": "Allow", "ipVersion": 4, "source": {"nets": ["fd00::/8"]}}]}),
        ["spec.ingress[0].source.nets[0]", "fd00::/8"]),
    "nets of two families": (with_spec("GlobalNetworkPolicy", "x", {"ingress": [
        {"action": "Allow", "source": {"nets": ["10.0.0.0/8"], "notNets": ["fd00::/8"]}}]}),
        ["spec.ingress[0].source.notNets[0]", "fd00::/8"]),
    "a name too long": (with_spec("GlobalNetworkPolicy", "x" * 254, {}), ["metadata.name", "253"]),
    "a tier's name too long": (with_spec("Tier", "x" * 64, {"order": 1}), ["metadata.name", "63"]),
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


def test_a_text_that_is_not_utf8(cluster, tmp_path):
    text = with_spec("GlobalNetworkPolicy", "x", {"selector": "a == 'b'"}).encode()
    (tmp_path / "bad.json").write_bytes(text.replace(b"'b'", b"'\xff'"))
    done = cluster.ctl("apply", "-f", str(tmp_path / "bad.json"), check=False)
    assert done.returncode == 1 and "bad.json: not UTF-8" in done.stderr + done.stdout, done.stderr


def test_a_set_too_large_for_one_resource_is_refused_whole(cluster):
    """And taken as several with one label."""
    nets = [f"20.{i >> 16}.{i >> 8 & 255}.{i & 255}/32" for i in range(100_000)]
    for kind, namespace in (("GlobalNetworkSet", None), ("NetworkSet", "default")):
        text = with_spec(kind, "huge", {"nets": nets}, namespace)
        for command in ("apply", "create"):
            refuse(cluster, text, f"{kind}(", "huge", "1572864", "several sets", command=command)
        gone = cluster.ctl("get", kind, "huge", check=False)
        assert gone.returncode == 1 and "does not exist" in gone.stderr
    halves = [resources.resource("GlobalNetworkSet", f"huge-{i}", {"nets": half})
              for i, half in enumerate((nets[::2], nets[1::2]))]
    cluster.apply(*halves)
    cluster.delete(*halves)


def test_names_at_their_limits(cluster):
    """253 characters of a policy, 63 of its tier and its namespace: enforced like any other."""
    tier = resources.tier("t" * 63, 10)
    policy = global_policy("p" * 253, "pool == 'vxlan'", ingress=[allow("UDP")])
    policy["spec"]["tier"] = "t" * 63
    local = network_policy("n" * 253, namespace="s" * 63, ingress=[allow("TCP", [80])])
    guest = cluster.add_pod("guest", "node-1", "routed", namespace="s" * 63)
    cluster.apply(tier, policy, local)
    try:
        cluster.expect(cluster.paths("routed-2", "vxlan-1", "dropped")
                       | cluster.paths("routed-2", "vxlan-1", protocol="udp")
                       | cluster.paths("routed-2", "guest")
                       | cluster.paths("routed-2", "guest", "dropped", "udp"))
    finally:
        cluster.delete(policy, local)
        cluster.delete(tier)
        cluster.delete_pod(guest)
    cluster.expect(cluster.paths("routed-2", "vxlan-1"))


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


def invalid_objects(cluster, node):
    """What the agent says is not in effect as it is stored: object -> what is in force instead."""
    shown = cluster.agent_ctl(node, "show", "calc", "-o", "json")
    return {entry["object"]: entry["inForce"] for entry in json.loads(shown)["invalid"]}


def says(cluster, node, *words):
    """All words are in the readiness detail, and the agent is ready all the same."""
    status, body = cluster.agents[node].get("/readiness")
    return status == 200 and all(word in body for word in words)


def test_an_invalid_version_changes_nothing_until_a_restart_and_is_said(cluster):
    """Written past validation, as an older or foreign writer might: the last valid version stays in
    force; an agent that never saw it denies what a policy selects and does without the rest."""
    node = "node-1"
    peer = next(r for r in cluster.peer_resources() if r["kind"] == "BGPPeer")
    sets = resources.resource("GlobalNetworkSet", "friends", {"nets": ["10.67.0.0/16"]})
    cluster.apply(GOOD, sets)
    before = cluster.paths("routed-2", "routed-1") \
        | cluster.paths("vxlan-1", "routed-1", "dropped", "udp") | cluster.everyone(dst=["vxlan-1"])
    cluster.expect(before)
    bad = json.loads(json.dumps([GOOD, sets, peer]))
    bad[0]["spec"]["ingress"] = [{"action": "Perhaps"}]
    bad[1]["spec"]["nets"] = ["ten"]
    bad[2]["spec"]["asNumber"] = "x y"
    kinds = ("networkpolicies", "globalnetworksets", "bgppeers")
    state = observe.kernel_state(cluster.nodes[node].ns)
    cluster.put_keys({resources.store_key(item, kind): json.dumps(item)
                      for item, kind in zip(bad, kinds)}
                     | {"/calico/nonsense": "not json",
                        "/calico/resources/v3/projectcalico.org/nodes/node-9": "{broken"})
    named = [f"NetworkPolicy(default/{GOOD['metadata']['name']})", "GlobalNetworkSet(friends)",
             f"BGPPeer({peer['metadata']['name']})"]
    last_valid = dict.fromkeys(named, "last valid version") | {"Node(node-9)": "nothing"}
    cluster.until(lambda: invalid_objects(cluster, node) == last_valid, 10,
                  lambda: str(invalid_objects(cluster, node)))
    assert says(cluster, node, "3 invalid, last valid version in force", "1 invalid, none in force")
    metrics = cluster.agents[node].metrics()
    assert metrics['margay_resources_invalid{in_force="last_valid"}'] == 3
    assert metrics['margay_resources_invalid{in_force="none"}'] == 1
    assert observe.kernel_state(cluster.nodes[node].ns) == state
    cluster.expect(before, 2)

    cluster.agents[node].stop()
    cluster.start_agent(node)
    cluster.wait_agent_ready(node)
    fresh = {named[0]: "denial of what it selects", named[1]: "nothing", named[2]: "nothing",
             "Node(node-9)": "nothing"}
    assert invalid_objects(cluster, node) == fresh
    assert says(cluster, node, "4 invalid, none in force")
    cluster.expect(cluster.paths("routed-2", "routed-1", "dropped")
                   | cluster.everyone(dst=["vxlan-1"]))

    cluster.delete(GOOD, sets)
    cluster.apply(peer)
    cluster.put_keys({"/calico/resources/v3/projectcalico.org/nodes/node-9":
                      json.dumps(resources.resource("Node", "node-9", {}))})
    cluster.ctl("delete", "node", "node-9")
    for name in cluster.nodes:
        cluster.until(lambda: not invalid_objects(cluster, name), 10)
    cluster.expect(cluster.everyone(dst=["routed-1"]))


def rule_of(**rule):
    return {"ingress": [{"action": "Allow", **rule}]}


# Written past margayctl: spec of a GlobalNetworkPolicy, what is in force instead, and the place.
STANDING = {
    "tierless": ({"tier": "nowhere"}, "the rest of it", "spec.tier"),
    "proxied": (rule_of(protocol="TCP", http={"methods": ["GET"]}), "the rest of it",
                "spec.ingress[0].http"),
    "proxied-denial": ({"ingress": [{"action": "Deny", "http": {"methods": ["GET"]}}]},
                       "denial of what it selects", "spec.ingress[0].http"),
    "portless": (rule_of(destination={"ports": [80]}), "denial of what it selects",
                 "spec.ingress[0].destination.ports"),
    "wrong-family": (rule_of(ipVersion=4, source={"nets": ["fd00::/8"]}),
                     "denial of what it selects", "fd00::/8"),
    "inner-selector": (rule_of(source={"selector": "a =="}), "denial of what it selects",
                       "spec.ingress[0]"),
    "unselectable": ({"selector": "a =="}, "nothing", "spec.selector"),
    "surrogate": ({"selector": "a == '\ud800'"}, "nothing", "malformed JSON"),
}


def test_bad_policies_that_stand_are_named_and_disturb_nothing(cluster):
    node = "node-1"
    cluster.apply(GOOD)
    expected = cluster.paths("routed-2", "routed-1") \
        | cluster.paths("vxlan-1", "routed-1", "dropped", "udp") | cluster.everyone(dst=["vxlan-1"])
    cluster.expect(expected)
    state = observe.kernel_state(cluster.nodes[node].ns)
    written = {}
    for name, (spec, _, _) in STANDING.items():
        item = resources.resource("GlobalNetworkPolicy", name,
                                  {"selector": "pool == 'nowhere'", **spec})
        written[resources.store_key(item, "globalnetworkpolicies")] = json.dumps(item)
    cluster.put_keys(written)
    wanted = {f"GlobalNetworkPolicy({name})": effect for name, (_, effect, _) in STANDING.items()}
    cluster.until(lambda: invalid_objects(cluster, node) == wanted, 10,
                  lambda: str(invalid_objects(cluster, node)))
    shown = json.loads(cluster.agent_ctl(node, "show", "calc", "-o", "json"))["invalid"]
    for entry in shown:
        place = STANDING[entry["object"].split("(")[1][:-1]][2]
        assert place in entry["reason"], entry
    assert says(cluster, node, "6 invalid, none in force", "2 in force but for a part")
    assert cluster.agents[node].metrics()['margay_resources_invalid{in_force="rest"}'] == 2
    assert observe.kernel_state(cluster.nodes[node].ns) == state
    cluster.expect(expected, 2)
    for name in STANDING:
        cluster.ctl("delete", "globalnetworkpolicy", name)
    cluster.delete(GOOD)
    for name in cluster.nodes:
        cluster.until(lambda: not invalid_objects(cluster, name), 10)


def test_a_parameter_stays_as_last_valid(cluster):
    good = resources.resource("FelixConfiguration", "default", {"vxlanPort": 4790})
    bad = json.loads(json.dumps(good))
    bad["spec"] = {"vxlanPort": 70000}

    def port(name):
        shown = json.loads(cluster.agent_ctl(name, "show", "config", "-o", "json"))
        return next(p["value"] for p in shown["parameters"] if p["name"] == "VXLANPort")

    cluster.apply(good)
    cluster.until(lambda: port("node-1") == "4790")
    cluster.put_keys({resources.store_key(bad, "felixconfigurations"): json.dumps(bad)})
    cluster.until(lambda: says(cluster, "node-1", "FelixConfiguration(default)", "70000"))
    assert port("node-1") == "4790"
    cluster.ctl("delete", "felixconfiguration", "default")
    for name in cluster.nodes:
        cluster.until(lambda: port(name) == "4789")
    cluster.expect(cluster.everyone(dst=["vxlan-1"]))
