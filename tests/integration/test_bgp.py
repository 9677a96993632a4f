# SPDX-License-Identifier: Apache-2.0
"""Sessions with the mesh and with a real BIRD, routes in both directions, and nodes that leave."""
import json
import signal

import pytest
from lab import observe, resources
from lab.lab import CROSS_SUBNET, FAMILIES, ROUTED, Lab
from lab.monitor import Monitor
from lab.observe import PROTOCOL_BGP
from lab.topology import OUTSIDE, OUTSIDE_HOST, TOR_ASN

HOLD = 3  # seconds, as the lab's BGPConfiguration says


@pytest.fixture(scope="module")
def peers():
    """Three nodes of which tests may take one away."""
    with Lab(plans=(CROSS_SUBNET, ROUTED)) as lab:
        lab.start()
        for node in lab.nodes:
            lab.add_pod(f"on-{node}", node, ROUTED.name)
        yield lab


def status(lab, node):
    """The rows of `margayctl node status`: peer -> the other columns."""
    socket = str(lab.agents[node].socket)
    text = lab.nodes[node].ns.run([lab.binary("margayctl"), "node", "status", "--socket",
                                   socket]).stdout
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in text.splitlines() if line.startswith("|")]
    return text, {row[0]: row[1:] for row in rows if row[0] != "PEER ADDRESS"}


def all_up(lab, node, count):
    def up():
        rows = status(lab, node)[1]
        return len(rows) == count and all(r[-1] == "Established" for r in rows.values())

    lab.until(up, 20, lambda: status(lab, node)[0])


def test_every_session_is_established_and_shown(peers):
    for node in peers.nodes:
        all_up(peers, node, 6)
    text, rows = status(peers, "node-1")
    assert text.startswith("Calico process is running.\n\nIPv4 BGP status\n+---")
    assert "\nIPv6 BGP status\n+---" in text and text.endswith("+\n\n")
    assert rows["172.31.1.12"][:2] == ["node-to-node mesh", "up"]
    assert rows["fd31:0:0:2::13"][:2] == ["node-to-node mesh", "up"]
    assert rows["172.31.1.254"][:2] == ["node specific", "up"]
    sessions = {f"node_{n}_v{f}" for n in (1, 2, 3) for f in FAMILIES}
    peers.until(lambda: peers.fabric.birds["tor"].established() >= sessions)


def test_the_tor_learns_every_block_from_its_owner(peers):
    tor = peers.fabric.birds["tor"]
    want = {str(plan.block(node, f)): node.address(f) for plan in peers.plans.values()
            for node in peers.nodes.values() for f in FAMILIES if plan is ROUTED}
    peers.until(lambda: want.keys() <= tor.routes().keys(), 15, lambda: str(tor.routes()))
    routes = tor.routes()
    for block, owner in want.items():
        assert owner in routes[block], (block, routes[block])


def test_the_tor_learns_vxlan_blocks_from_every_node(peers):
    """Those of others through what the dataplane keeps of them; in the mesh nobody tells of what is
    behind a tunnel."""
    tor, nodes = peers.fabric.birds["tor"], peers.nodes
    want = {str(CROSS_SUBNET.block(owner, f)): {n.address(f) for n in nodes.values()}
            for owner in nodes.values() for f in FAMILIES}

    def have():
        routes = tor.routes()
        return {block: set(routes.get(block, [])) for block in want}

    peers.until(lambda: have() == want, 20, lambda: str(have()))
    socket = str(peers.agents["node-1"].socket)
    mesh = json.loads(nodes["node-1"].ns.run([
        peers.binary("margayctl"), "bgp", "routes", "--advertised", "Mesh_172_31_2_13", "-o", "json",
        "--socket", socket]).stdout)
    hops = {r["prefix"]: r["nextHop"] for r in mesh}
    blocks = {n: str(CROSS_SUBNET.block(node, 4)) for n, node in nodes.items()}
    assert hops[blocks["node-1"]] == nodes["node-1"].address(4)
    assert hops[blocks["node-2"]] == nodes["node-2"].address(4), "on our subnet: by its node"
    assert blocks["node-3"] not in hops


def test_nodes_program_what_the_tor_announces(peers):
    for node in peers.nodes.values():
        for prefix in OUTSIDE:
            peers.until(lambda: observe.route(node.ns, prefix) is not None, 15)
            route = observe.route(node.ns, prefix)
            assert (route.protocol, route.dev) == (PROTOCOL_BGP, "eth0")


def test_a_new_announcement_comes_and_goes(peers):
    tor = peers.fabric.birds["tor"]
    monitor = peers.monitor("node-3")
    more = peers.fabric.tor_config()
    more.announce += ["203.0.113.0/24", "2001:db8:203::/48"]
    tor.reconfigure(more)
    for prefix in more.announce[-2:]:
        if observe.route(peers.nodes["node-3"].ns, prefix) is None:
            monitor.wait(lambda e: e.kind == "route" and e.detail["dst"] == prefix
                         and not e.deleted and e.detail["protocol"] == PROTOCOL_BGP)
    tor.reconfigure(peers.fabric.tor_config())
    peers.until(lambda: all(observe.route(peers.nodes["node-3"].ns, p) is None
                            for p in more.announce[-2:]))


def test_a_peer_that_does_not_answer_shows_its_state_and_why(peers):
    nowhere = resources.resource("BGPPeer", "nowhere", {
        "node": "node-1", "peerIP": "172.31.1.254:1790", "asNumber": TOR_ASN})
    peers.apply(nowhere)
    try:
        peers.until(lambda: any("refused" in row[-1] for row in status(peers, "node-1")[1].values()),
                    15, lambda: status(peers, "node-1")[0])
        row = next(r for a, r in status(peers, "node-1")[1].items() if "1790" in a)
        assert row[0] == "node specific" and row[1] == "start"
    finally:
        peers.delete(nowhere)
    all_up(peers, "node-1", 6)


def test_peers_come_and_go_live(peers):
    v4 = next(r for r in peers.peer_resources() if r["metadata"]["name"] == "tor-b-v4")
    peers.delete(v4)
    peers.until(lambda: "172.31.2.254" not in status(peers, "node-3")[1])
    tor = peers.fabric.birds["tor"]
    block = str(ROUTED.block(peers.nodes["node-3"], 4))
    peers.until(lambda: block not in tor.routes())
    peers.apply(v4)
    all_up(peers, "node-3", 6)
    peers.until(lambda: block in tor.routes(), 15)


def test_static_routes_of_the_kernel_are_announced_by_their_node_alone(peers):
    """Inside a pool; what others learn of it they program, and do not announce as theirs."""
    static = {"10.67.200.0/24": "172.31.1.254", "fd00:67::200:0/112": "fd31:0:0:1::254"}
    node, tor = peers.nodes["node-1"], peers.fabric.birds["tor"]
    mine = {prefix: node.address(6 if ":" in prefix else 4) for prefix in static}

    def told():
        return {p: sorted(set(tor.routes().get(p, []))) for p in static}

    node.ns.ip(*(f"route add {p} via {gateway}" for p, gateway in static.items()),
               "route add 198.18.5.0/24 via 172.31.1.254")
    try:
        peers.until(lambda: told() == {p: [a] for p, a in mine.items()}, 20, lambda: str(told()))
        for prefix, gateway in static.items():
            other = peers.nodes["node-2"].ns
            peers.until(lambda: observe.route(other, prefix) is not None, 20)
            route = observe.route(other, prefix)
            assert route.protocol == PROTOCOL_BGP and gateway in str(route)
        assert "198.18.5.0/24" not in tor.routes(), "outside of pools"
        # By the interface that it leads through, and live.
        peers.apply(resources.resource("BGPFilter", "own-blocks", {
            f"exportV{f}": [{"source": "RemotePeers", "action": "Reject"},
                            {"interface": "eth*", "action": "Reject"}] for f in FAMILIES}))
        peers.until(lambda: not any(told().values()), 20, lambda: str(told()))
        assert str(ROUTED.block(node, 4)) in tor.routes()
        peers.apply(peers.peer_resources()[0])
        peers.until(lambda: all(told().values()), 20)
    finally:
        node.ns.ip(*(f"route del {p}" for p in static), "route del 198.18.5.0/24")
    peers.until(lambda: not any(told().values()), 20, lambda: str(told()))
    peers.until(lambda: not any(observe.route(peers.nodes["node-3"].ns, p) for p in static), 20)


def test_the_mesh_is_switched_off_and_on(peers):
    def configuration(mesh):
        return resources.resource("BGPConfiguration", "default", {
            "asNumber": 64512, "nodeToNodeMeshEnabled": mesh, "holdTime": f"{HOLD}s"})

    peers.apply(configuration(False))
    peers.until(lambda: len(status(peers, "node-1")[1]) == 2, 10)
    peers.apply(configuration(True))
    all_up(peers, "node-1", 6)
    peers.expect(peers.everyone(), 20)


def leave(peers, take_away):
    """After `take_away`, node-3's routes are gone from the others' kernels and from the ToR."""
    gone = {str(ROUTED.block(peers.nodes["node-3"], f)) for f in FAMILIES}
    tor = peers.fabric.birds["tor"]
    others = [peers.nodes[n].ns for n in ("node-1", "node-2")]
    peers.until(lambda: all(observe.route(ns, b) for ns in others for b in gone), 20)
    take_away()
    peers.until(lambda: not any(observe.route(ns, b) for ns in others for b in gone), HOLD + 7,
                lambda: str(observe.own_routes(others[0], 4)))
    peers.until(lambda: not gone & tor.routes().keys(), 20)


def come_back(peers):
    all_up(peers, "node-3", 6)
    peers.expect(peers.everyone(), 30)


def test_routes_are_withdrawn_when_a_node_dies(peers):
    """A cut cable: nobody says goodbye, the hold timer ends it."""
    node = peers.nodes["node-3"]
    leave(peers, lambda: peers.fabric.cut_node(node))
    peers.fabric.cut_node(node, up=True)
    # The far side's hold timers run out as well before it dials again.
    come_back(peers)


def test_routes_are_withdrawn_when_a_node_leaves(peers):
    resource = peers.node_resource(peers.nodes["node-3"])
    leave(peers, lambda: peers.delete(resource))
    assert all(len(status(peers, n)[1]) == 4 for n in ("node-1", "node-2"))
    peers.apply(resource)
    come_back(peers)


class Traffic:
    """A packet a millisecond, both ways and in both families, between a pod and beyond the ToR."""

    PORT = 8080

    def __init__(self, lab, pod):
        inside, outside = lab.fabric.probers[pod], lab.fabric.probers["tor"]
        there = [lab.pods[pod].address(f) for f in FAMILIES]
        self._lab = lab
        self._ways = [(outside, inside, there), (inside, outside, list(OUTSIDE_HOST))]
        self._before = [self._received(to) for _, to, _ in self._ways]
        for way in self._ways:
            self._flood(way, "start")

    def _flood(self, way, do):
        sender, _, addresses = way
        return len(addresses) * sender.ask(op="flood", do=do, flow="traffic",
                                           dsts=[(a, self.PORT) for a in addresses])

    def _received(self, prober):
        return prober.ask(op="received", port=self.PORT)

    def lost(self):
        """Ends it; how many packets of each way did not arrive, of how many."""
        for way in self._ways:
            self._flood(way, "stop")
        sent = [self._flood(way, "count") for way in self._ways]

        def missing():
            return [n - self._received(way[1]) + before
                    for n, way, before in zip(sent, self._ways, self._before)]

        try:
            self._lab.until(lambda: not any(missing()), 2)
        except TimeoutError:
            pass
        return missing(), sent


def nothing_lost(traffic):
    lost, sent = traffic.lost()
    assert lost == [0, 0] and min(sent) > 20, (lost, sent)  # an agent is back in a tenth of a second


def test_an_agent_that_restarts_keeps_its_routes_in_the_fabric(peers):
    """Graceful restart: neither the mesh nor the ToR withdraws anything while it is down."""
    agent = peers.agents["node-3"]
    blocks = {str(ROUTED.block(peers.nodes["node-3"], f)) for f in FAMILIES}
    come_back(peers)
    watched = [Monitor(ns, nftables=False) for ns in (peers.nodes["node-1"].ns, peers.fabric.tor)]
    traffic = Traffic(peers, "on-node-3")
    agent.process.stop(signal.SIGTERM)
    peers.expect(peers.everyone(), 2)
    agent.start()
    come_back(peers)
    nothing_lost(traffic)
    for monitor in watched:
        lost = [str(e) for e in monitor.drain()
                if e.kind == "route" and e.deleted and e.detail["dst"] in blocks]
        monitor.close()
        assert not lost


def test_a_tor_that_is_killed_and_recovers_loses_no_packet(peers):
    """The nodes keep what it told them, and its kernel what they told it, until it is back."""
    come_back(peers)
    tor = peers.fabric.birds["tor"]
    before = tor.routes()
    traffic = Traffic(peers, "on-node-3")
    tor.kill_and_recover()
    come_back(peers)
    peers.until(lambda: tor.routes().keys() >= before.keys(), 20, lambda: str(tor.routes()))
    nothing_lost(traffic)
