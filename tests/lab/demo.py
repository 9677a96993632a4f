# SPDX-License-Identifier: Apache-2.0
"""./run: three nodes, two racks, a real ToR; shows the cluster, checks it, keeps it or ends.

Exit status of `--once`: 0 only if everything that was observed is what was expected.
"""
from __future__ import annotations

import argparse
import shutil
import signal
import sys

from . import latency, resources, tables
from .guard import difference, snapshot
from .lab import CROSS_SUBNET, ROUTED, Lab
from .probe import DROPPED, ConnectivityError, Probe, differences, run_probes
from .registry import sweep

# name, node, pool, role: in each node one pod of each pool
PODS = (("web-1", "node-1", CROSS_SUBNET, "web"), ("db-1", "node-1", ROUTED, "db"),
        ("web-2", "node-2", ROUTED, "web"), ("db-2", "node-2", CROSS_SUBNET, "db"),
        ("web-3", "node-3", CROSS_SUBNET, "web"), ("guest-3", "node-3", ROUTED, "guest"))

# Databases are reached by web pods only, on TCP port 80.
DATABASES = resources.network_policy(
    "databases", "role == 'db'",
    ingress=[resources.allow("TCP", [80], source={"selector": "role == 'web'"})])
# Applied and deleted while packets flow: web-3 is closed to everybody.
CLOSED = resources.network_policy("closed", "name == 'web-3'", ingress=[], order=10)


def expected(lab: Lab) -> dict[Probe, str]:
    want = lab.everyone()
    databases = [n for n, _, _, role in PODS if role == "db"]
    others = [n for n, _, _, role in PODS if role != "web"]
    for protocol in ("udp", "icmp"):
        want |= lab.paths("*", databases, DROPPED, protocol)
    want |= lab.paths(others, databases, DROPPED)
    want |= lab.paths("*", "tor")
    want |= lab.paths("tor", [n for n, _, _, role in PODS if role != "db"])
    return want | lab.paths("tor", databases, DROPPED)


class Demo:
    def __init__(self, lab: Lab):
        self.lab = lab
        self.wrong: list[str] = []

    def run(self) -> None:
        lab = self.lab
        step("starting: router, ToR (BIRD), margay-typha, one margay-agent per node")
        lab.start()
        for name, node, plan, role in PODS:
            lab.add_pod(name, node, plan.name, {"role": role, "name": name}, write=False)
        lab.apply(DATABASES, *(lab.endpoint(pod) for pod in lab.pods.values()))
        self.wait_for_bgp()
        self.show_nodes()
        self.show_resources()
        self.show_reachability()
        self.show_latency()
        step("what the processes cost so far")
        print(tables.costs(lab.processes()))

    def wait_for_bgp(self) -> None:
        nodes = self.lab.nodes.values()
        want = {f"node_{n.index + 1}_v{f}" for n in nodes for f in (4, 6)}
        want |= {"router_v4", "router_v6"}
        tor = self.lab.fabric.birds["tor"]
        try:
            self.lab.until(lambda: tor.established() >= want, 20)
        except TimeoutError:
            self.complain(f"the ToR's sessions are not up: {sorted(want - tor.established())}")

    def node_status(self, name: str) -> str:
        socket = self.lab.agents[name].socket
        node = self.lab.nodes[name].ns
        return node.run([self.lab.binary("margayctl"), "node", "status", "--socket",
                         str(socket)]).stdout

    def show_nodes(self) -> None:
        lab = self.lab
        peers = 2 * (len(lab.nodes) - 1) + 2  # mesh and ToR, in both families
        for node in lab.nodes.values():
            step(f"{node.name}, rack {node.rack}, {node.ipv4}, {node.ipv6}: margayctl node status")
            try:
                lab.until(lambda: self.node_status(node.name).count("Established") == peers, 20)
            except TimeoutError:
                self.complain(f"{node.name}: not all of its {peers} sessions are established")
            print(self.node_status(node.name).rstrip())

    def show_resources(self) -> None:
        for kind, *flags in (("ippool",), ("workloadendpoint", "-A"), ("networkpolicy", "-A")):
            step(f"margayctl get {' '.join([kind, *flags])} -o wide")
            print(self.lab.ctl("get", kind, *flags, "-o", "wide").stdout.rstrip())

    def show_reachability(self) -> None:
        lab, want = self.lab, expected(self.lab)
        step("who reaches whom (TCP port 80, UDP port 80, ICMP; IPv4 and IPv6; . is dropped)")
        try:
            have = lab.expect(want)
        except ConnectivityError:
            have = run_probes(lab.fabric.probers, want)
        print(tables.matrix(want, have))
        wrong = differences(want, have)
        print(f"{len(want) - len(wrong)} of {len(want)} probes as expected")
        for line in wrong:
            self.complain(line)

    def show_latency(self) -> None:
        lab = self.lab
        step("from margayctl to packets")
        try:
            cut = latency.closing(lab, "web-1", "web-3", lambda: lab.apply(CLOSED))
            print(f"margayctl apply of a policy that closes web-3: enforced after {cut}")
            back = latency.opening(lab, "web-1", "web-3", lambda: lab.delete(CLOSED))
            print(f"margayctl delete of it: open again after {back}")
            lab.expect(lab.paths("web-1", "web-3"))
        except (TimeoutError, AssertionError) as error:
            self.complain(str(error))

    def complain(self, what: str) -> None:
        self.wrong.append(what)
        print(f"NOT AS EXPECTED: {what}")


def step(title: str) -> None:
    print(f"\n== {title}", flush=True)


def wait_for_interrupt() -> None:
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run")
    parser.add_argument("--once", action="store_true", help="show, check, tear down, end")
    options = parser.parse_args()
    # A terminated run cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for left in sweep():
        print(f"removed what an earlier run left: {left}")
    before = snapshot()
    wrong: list[str] = []
    try:
        with Lab() as lab:
            demo = Demo(lab)
            try:
                demo.run()
            except Exception as error:
                demo.complain(f"{type(error).__name__}: {error}")
                print(lab.report())
            wrong = demo.wrong
            if not options.once:
                step("the lab stays up until Ctrl-C")
                print(f"ip netns exec {lab.pods['web-1'].ns.name} ping {lab.pods['web-3'].address(4)}"
                      if "web-3" in lab.pods else "")
                print(f"{lab.binary('margayctl')} --store unix:{lab.store_socket} get nodes -o wide",
                      flush=True)
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
                wait_for_interrupt()
    except KeyboardInterrupt:
        print("\ninterrupted")
        return 130
    changed = difference(before, snapshot())
    for line in changed:
        print(f"NOT AS EXPECTED: the machine's own network state changed: {line}")
    print("\nas expected" if not wrong and not changed else
          f"\n{len(wrong) + len(changed)} things are not as expected")
    return 1 if wrong or changed else 0


if __name__ == "__main__":
    if shutil.which("bird") is None:
        sys.exit("bird is missing: ./run installs it")
    sys.exit(main())
