# SPDX-License-Identifier: Apache-2.0
"""BGP where the mesh is not all there is: ToRs, gateways of two ASs, and reflectors that are no nodes.
The neighbours are real BIRDs; the kernel's tables and BIRD's are the evidence.
"""
import json
import re
import signal

import pytest
from lab import observe, programs, resources
from lab.machines import BirdText, Machines, bird_peer, bird_static
from lab.observe import PROTOCOL_BGP
from lab.programs import http_get

SEED_TABLE = """\
Calico process is running.

IPv4 BGP status
+---------------+-----------+-------+----------+-------------+
| PEER ADDRESS  | PEER TYPE | STATE |  SINCE   |    INFO     |
+---------------+-----------+-------+----------+-------------+
| 10.31.254.253 | global    | up    | HH:MM:SS | Established |
| 10.31.100.100 | global    | up    | HH:MM:SS | Established |
+---------------+-----------+-------+----------+-------------+

IPv6 BGP status
No IPv6 peers found.

"""


@pytest.fixture
def machines():
    with Machines() as machines:
        yield machines


def node(name, address, labels=None, **bgp):
    return resources.resource("Node", name, {"bgp": {"ipv4Address": address} | bgp}, labels=labels)


def peer(name, **spec):
    return resources.resource("BGPPeer", name, {"holdTime": "9s"} | spec)


def pod(on, address):
    """A borrowed address: it is announced by itself."""
    return resources.workload_endpoint(on, f"pod-{on}", "cali" + on, [address], "02:00:00:00:00:01")


def best(bird, prefix):
    """BIRD's whole account of what it chose for the prefix."""
    return bird.command(f"show route {prefix} primary all")


def test_the_example_with_two_tors(machines):
    """Mesh off, bindMode NodeIP, ranges of Services, communities on the pods' range, two eBGP peers
    that keep the next hop: status as calicoctl prints it."""
    own = "10.31.200.11"
    host = machines.machine("node", f"{own}/16")
    spec = [resources.resource("BGPConfiguration", "default", {
                "logSeverityScreen": "Info", "nodeToNodeMeshEnabled": False, "asNumber": 64517,
                "serviceClusterIPs": [{"cidr": "10.33.128.0/18"}],
                "serviceExternalIPs": [{"cidr": "10.33.192.0/18"}], "listenPort": 179,
                "bindMode": "NodeIP",
                "communities": [{"name": "bgp-large-community", "value": "64517:300:100"}],
                "prefixAdvertisements": [{"cidr": "10.33.0.0/17",
                                          "communities": ["bgp-large-community", "64517:120"]}]}),
            resources.resource("BGPPeer", "openwrt-peer", {
                "peerIP": "10.31.254.253", "keepOriginalNextHop": True, "asNumber": 64512}),
            resources.resource("BGPPeer", "tiny-unraid-peer", {
                "peerIP": "10.31.100.100", "keepOriginalNextHop": True, "asNumber": 64516}),
            resources.pool("default", "10.33.0.0/17", "CrossSubnet", blockSize=24),
            node("node", f"{own}/16"), pod("node", "10.33.5.9")]
    agent = machines.agent(host, "node", spec)
    birds = {}
    for name, address, asn in (("openwrt", "10.31.254.253", 64512),
                               ("unraid", "10.31.100.100", 64516)):
        ns = machines.machine(name, f"{address}/16")
        birds[name] = machines.bird(ns, name, BirdText(
            address, bird_static(f"198.51.{asn % 256}.0/24")
            + bird_peer("node", own, 64517, asn, "where source = RTS_STATIC")))
    machines.until(lambda: agent.all_up(2), 30, lambda: agent.ctl("node", "status"))
    status = re.sub(r"\b\d\d:\d\d:\d\d\b", "HH:MM:SS", agent.ctl("node", "status"))
    assert status == SEED_TABLE
    for bird in birds.values():
        machines.until(lambda: bird.routes().keys()
                       >= {"10.33.5.9/32", "10.33.128.0/18", "10.33.192.0/18"})
        assert set(bird.routes()["10.33.5.9/32"]) == {own}
        text = best(bird, "10.33.5.9/32")
        assert "(64517,120)" in text and "(64517, 300, 100)" in text, text
        assert "BGP.as_path: 64517\n" in text
        assert "ommunity" not in best(bird, "10.33.128.0/18")
    # What one ToR announces reaches the kernel, and, outside of the pools, not the other ToR.
    machines.until(lambda: observe.route(host, "198.51.0.0/24") is not None)
    route = observe.route(host, "198.51.0.0/24")
    assert (route.protocol, route.via) == (PROTOCOL_BGP, "10.31.254.253")
    assert "198.51.0.0/24" not in birds["unraid"].routes()
    listening = [line.split()[3] for line in host.output("ss", "-Hltn").splitlines()]
    assert [a for a in listening if a.endswith(":179")] == [f"{own}:179"]


def test_gateways_of_two_autonomous_systems(machines):
    """Gateways peer with some of the nodes: default and external routes reach the kernels of those
    (the mesh passes on what lies in pools), and the gateways learn the cluster's addresses, those of
    single Services from where their endpoints are."""
    names = {"a": "10.20.0.11", "b": "10.20.0.12", "c": "10.20.0.13"}
    gateways = {"gw1": ("10.20.0.1", 65010, "ab", "0.0.0.0/0"),
                "gw2": ("10.20.0.2", 65020, "b", "203.0.113.0/24")}
    service = {"apiVersion": "v1", "kind": "Service",
               "metadata": {"name": "web", "namespace": "shop"},
               "spec": {"type": "NodePort", "clusterIP": "10.96.0.7",
                        "externalTrafficPolicy": "Local"}}
    slices = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
              "metadata": {"name": "web-1", "namespace": "shop",
                           "labels": {"kubernetes.io/service-name": "web"}},
              "endpoints": [{"addresses": ["10.65.1.5"], "nodeName": "a"}]}
    spec = [resources.resource("BGPConfiguration", "default", {
                "asNumber": 64512, "holdTime": "9s",
                "serviceClusterIPs": [{"cidr": "10.96.0.0/16"}]}),
            resources.pool("pods", "10.65.0.0/16"), pod("a", "10.65.1.5"), service, slices]
    spec += [node(n, f"{address}/24") for n, address in names.items()]
    spec += [peer(f"{gw}-{n}", node=n, peerIP=address, asNumber=asn)
             for gw, (address, asn, on, _) in gateways.items() for n in on]
    nodes = {n: machines.machine(n, f"{address}/24") for n, address in names.items()}
    agents = {n: machines.agent(ns, n, spec) for n, ns in nodes.items()}
    birds = {}
    for gw, (address, asn, on, prefix) in gateways.items():
        ns = machines.machine(gw, f"{address}/24")
        birds[gw] = machines.bird(ns, gw, BirdText(address, bird_static(prefix) + "".join(
            bird_peer(f"node_{n}", names[n], 64512, asn, "where source = RTS_STATIC") for n in on)))
    for address, _, on, prefix in gateways.values():
        for n in on:
            machines.until(lambda: observe.route(nodes[n], prefix) is not None)
            route = observe.route(nodes[n], prefix)
            assert (route.protocol, route.via) == (PROTOCOL_BGP, address)
    for gw, (_, _, on, _) in gateways.items():
        machines.until(lambda: birds[gw].routes().keys() >= {"10.96.0.0/16", "10.65.1.5/32"}
                       and set(birds[gw].routes()["10.65.1.5/32"]) == {names[n] for n in on})
    machines.until(lambda: "10.96.0.7/32" in birds["gw1"].routes())
    assert "10.96.0.7/32" not in birds["gw2"].routes(), "the endpoint is on a"

    machines.until(lambda: observe.route(nodes["c"], "10.65.1.5/32") is not None)
    assert observe.route(nodes["c"], "0.0.0.0/0") is None
    operator_view(machines, agents["a"])
    # The endpoint goes: so does the address, and nothing else.
    spec.remove(slices)
    agents["a"].write(spec)
    machines.until(lambda: "10.96.0.7/32" not in birds["gw1"].routes())
    assert "10.96.0.0/16" in birds["gw1"].routes()
    birds["gw1"].process.close()
    machines.until(lambda: not any(observe.route(ns, "0.0.0.0/0") for ns in nodes.values()), 40)


def operator_view(machines, agent):
    """What node a, with two mesh peers and a gateway, tells of itself."""
    table = agent.ctl("bgp", "neighbors")
    assert table.splitlines()[0].split()[:3] == ["NEIGHBOR", "TYPE", "AS"]
    assert re.search(r"^10\.20\.0\.1 +node specific +65010 +up .* 1 +1 +\d+ ", table, re.M), table
    machines.until(lambda: all(p["state"] == "up" for p in agent.peers().values()))
    received = json.loads(agent.ctl("bgp", "routes", "--received", "10.20.0.1", "-o", "json"))
    assert [(r["prefix"], r["nextHop"], r["best"]) for r in received] \
        == [("0.0.0.0/0", "10.20.0.1", True)]
    advertised = json.loads(agent.ctl("bgp", "routes", "--advertised", "Node_10_20_0_1",
                                      "-o", "json"))
    assert {r["prefix"] for r in advertised} == {"10.65.1.5/32", "10.96.0.0/16", "10.96.0.7/32"}
    assert "* 10.65.1.5/32" in agent.ctl("bgp", "routes")
    # Into the mesh goes what comes from the gateway; what comes from the mesh does not.
    why = json.loads(agent.ctl("bgp", "routes", "198.18.0.1", "--explain", "-o", "json"))
    assert why["prefix"] == "0.0.0.0/0" and why["kernel"]["nextHops"] == ["10.20.0.1"]
    told = {p["peer"]: p["why"] for p in why["peers"]}
    assert told["Node_10_20_0_1"] == "it comes from this peer"
    assert "outside of all pools" in told["Mesh_10_20_0_12"]
    assert "10.96.0.7/32" in agent.ctl("bgp", "routes", "10.96.0.7", "--explain")
    failed = agent.ns.run([programs.binary(programs.CTL_PROGRAM), "bgp", "routes", "--explain",
                           "--socket", str(agent.socket)], check=False)
    assert failed.returncode != 0 and "--explain" in failed.stderr
    status, text = http_get(agent.ns, programs.METRICS_PORT, "/metrics")
    assert status == 200
    for line in ('margay_bgp_peer_up{peer="Node_10_20_0_1"} 1',
                 'margay_bgp_peer_state{peer="Node_10_20_0_1"} 6',
                 'margay_bgp_peer_prefixes{peer="Node_10_20_0_1",kind="received"} 1'):
        assert line in text, text


def reflector(name, address, clients, cluster="1.0.0.1", **more):
    return [resources.resource("BGPConfiguration", "default", {
                "asNumber": 65400, "nodeToNodeMeshEnabled": False}),
            node(name, f"{address}/24", routeReflectorClusterID=cluster)] \
        + [peer(f"client-{c}", peerIP=a, **more) for c, a in clients.items()]


def test_two_reflectors_that_are_no_nodes(machines):
    """rr0 and rr1 of one cluster serve BIRDs from a file; neither touches its kernel. A client that
    loses one keeps its routes. Passwords come from files, and a session without one says so."""
    clients = {"c1": "10.40.0.11", "c2": "10.40.0.12"}
    reflectors = {"rr0": "10.40.0.1", "rr1": "10.40.0.2"}
    passwords = machines.dir / "passwords"
    secret = {"password": {"secretKeyRef": {"name": "bgp", "key": "clients"}}}
    agents, places = {}, {}
    for name, address in reflectors.items():
        places[name] = machines.machine(name, f"{address}/24")
        agents[name] = machines.agent(places[name], name,
                                      reflector(name, address, clients, **secret),
                                      "--no-dataplane", "--bgp-passwords", str(passwords))
    for agent in agents.values():
        rows = agent.peers()
        assert {p["state"] for p in rows.values()} == {"down"}
        reason = next(iter(rows.values()))["lastError"]
        assert reason.startswith("Password not available: ") and str(passwords) in reason
        assert agent.process.log().count("event=bgp_session_failing") == len(clients)
    birds = {}
    for number, (name, address) in enumerate(clients.items(), 1):
        ns = machines.machine(name, f"{address}/24")
        text = bird_static(f"10.65.{number}.0/26")
        for rr, rr_address in reflectors.items():
            text += bird_peer(rr, rr_address, 65400, 65400, "where source = RTS_STATIC",
                              'password "s3cret";')
        birds[name] = machines.bird(ns, name, BirdText(address, text))
    (passwords / "bgp").mkdir(parents=True)
    (passwords / "bgp" / "clients").write_text("s3cret\n")
    for agent in agents.values():
        agent.process.send(signal.SIGHUP)
        machines.until(lambda: agent.all_up(2), 40, lambda: agent.ctl("node", "status"))

    for event in ("bgp_session_failing", "bgp_session_up"):
        assert agents["rr0"].process.log().count(f"event={event}") == len(clients)

    def sources(bird, prefix):
        """The reflectors that a BIRD has the prefix from, and its account of the best."""
        text = bird.command(f"show route {prefix} all")
        return set(re.findall(r"\[(rr\d) ", text)), text

    machines.until(lambda: sources(birds["c2"], "10.65.1.0/26")[0] == set(reflectors), 40,
                   lambda: sources(birds["c2"], "10.65.1.0/26")[1])
    text = sources(birds["c2"], "10.65.1.0/26")[1]
    for fact in ("BGP.next_hop: 10.40.0.11", "BGP.originator_id: 10.40.0.11",
                 "BGP.cluster_list: 1.0.0.1"):
        assert fact in text, text
    assert not observe.routes(places["rr0"], 4).keys() - {"10.40.0.0/24"}
    assert places["rr0"].output("nft", "list", "tables") == ""

    agents["rr0"].process.close()
    machines.until(lambda: sources(birds["c2"], "10.65.1.0/26")[0] >= {"rr1"})
    # One client less in the file: its routes go from the other's table.
    left = {"c2": clients["c2"]}
    agents["rr1"].write(reflector("rr1", reflectors["rr1"], left, **secret))
    machines.until(lambda: "rr1" not in sources(birds["c2"], "10.65.1.0/26")[0])
    machines.until(lambda: agents["rr1"].all_up(1))
