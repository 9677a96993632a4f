# SPDX-License-Identifier: Apache-2.0
"""Two reflectors of other makes, GoBGP and OpenBGPD, between two nodes: either one may be killed and
come back, and neither the kernel's route nor a packet is lost. (BIRD and FRR in the same role, and
all four beside a reflector of ours: tests/interop/daemons_test.cpp.) Neither restarts gracefully: what
it told goes with it.
"""
import re
import signal

import pytest
from lab import observe, resources
from lab.machines import Machines
from lab.monitor import Monitor
from lab.observe import PROTOCOL_BGP

ASN = 65400
NODES = {"a": "10.40.0.11", "b": "10.40.0.12"}
REFLECTORS = {"gobgp": "10.40.0.1", "openbgpd": "10.40.0.2"}
POD, POD_ROUTE = "10.65.1.5", "10.65.1.5/32"


def gobgp(directory):
    address = REFLECTORS["gobgp"]
    text = f'[global.config]\n as = {ASN}\n router-id = "{address}"\n'
    for client in NODES.values():
        text += (f'[[neighbors]]\n [neighbors.config]\n  neighbor-address = "{client}"\n'
                 f'  peer-as = {ASN}\n [neighbors.timers.config]\n  connect-retry = 1\n'
                 '  hold-time = 9\n  keepalive-interval = 3\n'
                 f' [neighbors.transport.config]\n  local-address = "{address}"\n'
                 ' [neighbors.route-reflector.config]\n  route-reflector-client = true\n'
                 '  route-reflector-cluster-id = "1.0.0.1"\n')
    path = directory / "gobgp.toml"
    path.write_text(text)
    return ["gobgpd", "-f", str(path), "--api-hosts", "127.0.0.1:50051", "--pprof-disable"]


def openbgpd(directory):
    text = (f'AS {ASN}\nrouter-id {REFLECTORS["openbgpd"]}\nholdtime 9\nconnect-retry 1\n'
            'fib-update no\nnexthop qualify via default\n')
    for client in NODES.values():
        text += (f'neighbor {client} {{\n remote-as {ASN}\n route-reflector 1.0.0.1\n'
                 ' announce restart no\n}\n')
    path = directory / "bgpd.conf"
    path.write_text(text + "allow from any\nallow to any\n")
    # Its unit gives it a folder to lock itself into; here that is in a /run of its own.
    return ["unshare", "-m", "sh", "-c", f"mount -t tmpfs none /mnt && cp {path} /mnt/bgpd.conf && "
            "mount -t tmpfs none /run && mkdir /run/openbgpd && "
            "exec /usr/sbin/bgpd -d -f /mnt/bgpd.conf"]


@pytest.fixture
def machines():
    with Machines() as machines:
        yield machines


def node_resources():
    spec = [resources.resource("BGPConfiguration", "default", {
                "asNumber": ASN, "nodeToNodeMeshEnabled": False, "holdTime": "9s"}),
            resources.pool("pods", "10.65.0.0/16"),
            resources.workload_endpoint("a", "pod-a", "calia", [POD], "02:00:00:00:00:01")]
    spec += [resources.resource("Node", n, {"bgp": {"ipv4Address": f"{address}/24"}})
             for n, address in NODES.items()]
    return spec + [resources.resource("BGPPeer", rr, {"peerIP": address, "asNumber": ASN})
                   for rr, address in REFLECTORS.items()]


def test_nodes_lose_one_of_two_reflectors_and_nothing_else(machines):
    places = {name: machines.machine(name, f"{address}/24")
              for name, address in (REFLECTORS | NODES).items()}
    commands = {"gobgp": gobgp(machines.dir), "openbgpd": openbgpd(machines.dir)}
    running = {rr: machines.program(places[rr], rr, command) for rr, command in commands.items()}
    places["a"].ip(f"addr add {POD_ROUTE} dev lo")  # who answers there
    agents = {n: machines.agent(places[n], n, node_resources()) for n in NODES}

    def heard_from():
        """The reflectors whose path to the pod node b has now."""
        table = agents["b"].ctl("bgp", "routes", POD_ROUTE)
        return {rr for rr in REFLECTORS if re.search(rf"\bGlobal_{REFLECTORS[rr]}\b"
                                                     .replace(".", "_"), table)}, table

    def all_well():
        return heard_from()[0] == set(REFLECTORS) and all(a.all_up(2) for a in agents.values())

    machines.until(all_well, 40, lambda: heard_from()[1])
    machines.until(lambda: observe.route(places["b"], POD_ROUTE) is not None)
    route = observe.route(places["b"], POD_ROUTE)
    assert (route.protocol, route.via) == (PROTOCOL_BGP, NODES["a"])
    # Until then no route is taken away, whatever happens.
    machines.until(lambda: '"initialSync": true' in agents["b"].ctl("show", "bgp", "-o", "json"), 40,
                   lambda: agents["b"].ctl("show", "bgp", "-o", "json"))
    with Monitor(places["b"], nftables=False) as monitor:
        ping = machines.program(places["b"], "ping", ["ping", "-q", "-n", "-i", "0.005", POD])
        for rr, address in REFLECTORS.items():
            running[rr].close()
            gone = f"Global_{address}".replace(".", "_")
            machines.until(lambda: all(a.peers()[gone]["state"] != "up" for a in agents.values()))
            running[rr] = machines.program(places[rr], rr, commands[rr])
            machines.until(all_well, 40, lambda: heard_from()[1])
        ping.stop(signal.SIGINT)
        touched = [str(e) for e in monitor.drain()
                   if e.kind == "route" and e.detail["dst"] == POD_ROUTE]
    assert not touched, "the route was never anything but what it is"
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received",
                                        ping.log_tail()).groups())
    assert sent == received > 100, ping.log_tail()
