# SPDX-License-Identifier: Apache-2.0
"""What a BGPPeer may ask of a session beyond Calico's fields, seen at real daemons and in the kernel."""
import pytest
from lab import observe, resources
from lab.kernel import veth
from lab.machines import BirdText, Machines, bird_peer, bird_static
from lab.observe import PROTOCOL_BGP
from lab.process import Process

NODE, TOR = {4: "10.20.0.11", 6: "fd20::11"}, {4: "10.20.0.1", 6: "fd20::1"}
POD = {4: "10.65.1.5", 6: "fd65::5"}
OUTSIDE = {4: "198.51.100.0/24", 6: "2001:db8:1::/48"}
LENGTH = {4: 24, 6: 64}
STATICS = "".join(f"protocol static {{ ipv{f}; route {p} unreachable; }}\n"
                  for f, p in OUTSIDE.items())


@pytest.fixture
def machines():
    with Machines() as machines:
        yield machines


def node(*families):
    return resources.resource("Node", "node", {"bgp": {
        f"ipv{f}Address": f"{NODE[f]}/{LENGTH[f]}" for f in families}})


def cluster(peer, families=(4, 6)):
    """A node with a borrowed address of each family, which it announces, and one peer of AS 65010."""
    pods = resources.workload_endpoint("node", "pod", "cali1", list(POD.values()),
                                       "02:00:00:00:00:01")
    return [resources.resource("BGPConfiguration", "default", {"holdTime": "9s"}),
            resources.pool("v4", "10.65.0.0/16"), resources.pool("v6", "fd65::/64"), pods,
            node(*families), resources.resource("BGPPeer", "tor", {"asNumber": 65010} | peer)]


def machine(machines, name, addresses, families=(4, 6)):
    return machines.machine(name, *(f"{addresses[f]}/{LENGTH[f]}" + " nodad" * (f == 6)
                                    for f in families))


def bird_session(over, *channels, more=""):
    return (f"{STATICS}protocol bgp node {{ local as 65010; neighbor {NODE[over]} as 64512; {more}\n"
            "  connect delay time 1; connect retry time 1; error wait time 1, 2;\n"
            + "".join(channels) + "}\n")


def channel(family, more=""):
    return f"  ipv{family} {{ import all; export where source = RTS_STATIC; {more} }};\n"


def told(bird, family):
    return bird.routes().get(POD[family] + ("/128" if family == 6 else "/32"), [])


def test_one_session_carries_both_families(machines):
    """Over IPv4; each family has the next hop of its own on both sides, and stands in the kernel."""
    host, tor = machine(machines, "node", NODE), machine(machines, "tor", TOR)
    agent = machines.agent(host, "node", cluster({"peerIP": TOR[4],
                                                  "addressFamilies": ["IPv4", "IPv6"]}))
    bird = machines.bird(tor, "tor", BirdText(TOR[4], bird_session(4, channel(4), channel(6))))
    machines.until(lambda: agent.all_up(1), 30, lambda: agent.ctl("node", "status"))
    for f, prefix in OUTSIDE.items():
        machines.until(lambda: observe.route(host, prefix) is not None)
        route = observe.route(host, prefix)
        assert (route.protocol, route.via, route.dev) == (PROTOCOL_BGP, TOR[f], "eth0")
        machines.until(lambda: told(bird, f) == [NODE[f]], 20, lambda: str(bird.routes()))
    assert agent.peers()["Global_10_20_0_1"]["families"] == ["IPv4", "IPv6"]
    # One family less is another session; the kernel follows.
    agent.write(cluster({"peerIP": TOR[4], "addressFamilies": ["IPv4"]}))
    machines.until(lambda: observe.route(host, OUTSIDE[6]) is None and agent.all_up(1))
    machines.until(lambda: observe.route(host, OUTSIDE[4]) is not None and not told(bird, 6))


def test_ipv4_through_a_node_without_ipv4(machines):
    """RFC 8950: the node has IPv6 addresses only; IPv4 goes via those, in its kernel too."""
    host, tor = machine(machines, "node", NODE, (6,)), machine(machines, "tor", TOR)
    agent = machines.agent(host, "node", cluster(
        {"peerIP": TOR[6], "addressFamilies": ["IPv4", "IPv6"]}, (6,)),
        env={"CALICO_ROUTER_ID": "hash"})
    channels = channel(4, "extended next hop on; next hop address " + TOR[6] + ";"), channel(6)
    bird = machines.bird(tor, "tor", BirdText(TOR[4], bird_session(6, *channels)))
    machines.until(lambda: agent.all_up(1), 30, lambda: agent.ctl("node", "status"))

    def kernel():
        return host.output("ip", "-4", "route", "show", OUTSIDE[4], "proto", "bird")

    machines.until(lambda: f"via inet6 {TOR[6]} dev eth0" in kernel(), 20, kernel)
    machines.until(lambda: told(bird, 4) == told(bird, 6) == [NODE[6]], 20,
                   lambda: str(bird.routes()))


def test_more_prefixes_than_are_allowed_end_the_session_for_a_while(machines):
    host, tor = machine(machines, "node", NODE), machine(machines, "tor", TOR)
    peer = {"peerIP": TOR[4], "maxPrefixes": 2, "maxPrefixesRestartTime": "2s"}
    agent = machines.agent(host, "node", cluster(peer))

    def announcing(*more):
        return BirdText(TOR[4], bird_session(4, channel(4)) + bird_static(*more))

    bird = machines.bird(tor, "tor", announcing("198.51.101.0/24"))
    machines.until(lambda: agent.all_up(1), 30, lambda: agent.ctl("node", "status"))
    machines.until(lambda: observe.route(host, "198.51.101.0/24") is not None)
    bird.reconfigure(announcing("198.51.101.0/24", "198.51.102.0/24"))
    machines.until(lambda: "Maximum number of prefixes" in agent.ctl("bgp", "neighbors"), 20,
                   lambda: agent.ctl("bgp", "neighbors"))
    machines.until(lambda: observe.route(host, "198.51.101.0/24") is None)
    bird.reconfigure(announcing("198.51.101.0/24"))
    machines.until(lambda: agent.all_up(1), 30, lambda: agent.ctl("bgp", "neighbors"))
    machines.until(lambda: observe.route(host, "198.51.101.0/24") is not None)


def test_a_workload_finds_its_node_where_it_was_told(machines):
    """At an address that the agent puts on the workload's interface, and takes away again."""
    gateway, mac = "169.254.1.2", "02:00:00:00:00:01"
    host, pod = machine(machines, "node", NODE), machines.machine("pod")
    veth(host, "cali1", pod, "node")
    host.ip("link set cali1 up")
    pod.ip(f"link set node address {mac} up", f"addr add {POD[4]}/32 dev node",
           f"route add {gateway} dev node")
    configuration = resources.resource("BGPConfiguration", "default", {
        "holdTime": "9s", "localWorkloadPeeringIPV4": gateway})
    objects = [
        configuration, node(4, 6), resources.profile("default"),
        resources.workload_endpoint("node", "pod", "cali1", [POD[4]], mac, labels={"app": "router"}),
        resources.resource("BGPPeer", "pods", {
            "node": "node", "localWorkloadSelector": "app == 'router'", "asNumber": 65100})]
    agent = machines.agent(host, "node", objects,
                           env={"FELIX_DEFAULTENDPOINTTOHOSTACTION": "ACCEPT"})
    more = f"multihop; source address {POD[4]};"
    machines.bird(pod, "pod", BirdText(POD[4], bird_static("198.51.101.0/24") + bird_peer(
        "node", gateway, 64512, 65100, more=more)))
    machines.until(lambda: agent.all_up(1), 30, lambda: agent.ctl("bgp", "neighbors"))
    machines.until(lambda: observe.route(host, "198.51.101.0/24") is not None)
    route = observe.route(host, "198.51.101.0/24")
    assert (route.via, route.dev, route.protocol) == (POD[4], "cali1", PROTOCOL_BGP)
    del configuration["spec"]["localWorkloadPeeringIPV4"]
    agent.write(objects)
    machines.until(lambda: gateway not in host.output("ip", "addr", "show", "dev", "cali1"))


def test_graceful_notifications_are_agreed_on_with_whom_knows_them(machines):
    """RFC 8538 with FRR, which has it switched on."""
    host, tor = machine(machines, "node", NODE), machine(machines, "tor", TOR)
    config = machines.dir / "frr.conf"
    config.write_text(f"""router bgp 65010
 bgp router-id {TOR[4]}
 no bgp ebgp-requires-policy
 bgp graceful-restart
 bgp graceful-restart notification
 neighbor {NODE[4]} remote-as 64512
 neighbor {NODE[4]} timers connect 1
""")
    frr = Process(tor, "frr", ["/usr/lib/frr/bgpd", "-S", "-Z", "-f", str(config), "-i",
                               str(machines.dir / "frr.pid"), "--vty_socket", str(machines.dir)],
                  machines.dir)
    try:
        for wanted in ("Enabled", "Disabled"):
            spec = cluster({"peerIP": TOR[4], "gracefulNotification": wanted})
            if wanted == "Enabled":
                agent = machines.agent(host, "node", spec)
            else:
                agent.write(spec)

            def agreed():
                row = agent.peers()["Global_10_20_0_1"]
                return row["state"] == "up" and row["gracefulRestart"] \
                    and row["gracefulNotification"] == (wanted == "Enabled")

            machines.until(agreed, 30, lambda: str(agent.peers()) + frr.log_tail())
    finally:
        frr.close()
