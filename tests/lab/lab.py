# SPDX-License-Identifier: Apache-2.0
"""Lab: a cluster with its fabric, store, agents, pods and resources, and what is expected of it."""
from __future__ import annotations

import ipaddress
import json
import select
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import certs, programs, resources
from .kernel import CommandFailed
from .monitor import Monitor
from .probe import ALLOWED, Probe, settle
from .process import Process
from .programs import Agent
from .registry import Registration
from .resources import Resource
from .topology import NODE_ASN, OUTSIDE_HOST, TOR_ASN, TYPHA, Fabric, Node, Pod, subnet

FAMILIES = (4, 6)
_TUNNEL, _FIRST_POD = 1, 2  # offsets into a node's block


@dataclass(frozen=True)
class PoolPlan:
    """A pair of pools, v4 and v6, and how each node's blocks are cut from them."""

    name: str
    number: int  # 10.<number>.0.0/16 and fd00:<number>::/64
    vxlan: str = "Never"
    nat_outgoing: bool = False
    ipip: str = "Never"  # of the IPv4 pool

    def cidr(self, family: int) -> str:
        return f"10.{self.number}.0.0/16" if family == 4 else f"fd00:{self.number}::/64"

    def block(self, node: Node, family: int) -> resources.Network:
        prefix = f"10.{self.number}.{node.index + 1}.0/26" if family == 4 \
            else f"fd00:{self.number}::{node.index + 1}:0/122"
        return ipaddress.ip_network(prefix)

    def address(self, node: Node, family: int, offset: int) -> str:
        return str(self.block(node, family)[offset])

    def resources(self) -> list[Resource]:
        return [resources.pool(f"{self.name}-v{f}", self.cidr(f), self.vxlan, self.nat_outgoing,
                               ipipMode=self.ipip if f == 4 else "Never") for f in FAMILIES]


CROSS_SUBNET = PoolPlan("vxlan", 65, "CrossSubnet")
ALWAYS = PoolPlan("always", 66, "Always", nat_outgoing=True)
ROUTED = PoolPlan("routed", 67)
IPIP = PoolPlan("ipip", 68, ipip="CrossSubnet")


class Lab:
    """Use as a context manager. `tunnels` is the plan from whose blocks VXLAN addresses come."""

    def __init__(self, racks: str = "aab", plans: Iterable[PoolPlan] = (CROSS_SUBNET, ROUTED)):
        self._registration = Registration()
        self.dir = self._registration.dir
        self.plans = {plan.name: plan for plan in plans}
        self.agents: dict[str, Agent] = {}
        self.typha: Process | None = None
        self.typha_options: list[str] = []  # of every start; a later one wins
        self._offsets: dict[tuple[str, str], int] = {}
        self._monitors: list[Monitor] = []
        try:
            self.fabric = Fabric(self._registration.id, self.dir)
            for rack in racks:
                self.fabric.add_node(rack)
            self.fabric.add_prober("tor", self.fabric.tor)
            self._issue_certificates()
        except BaseException:
            self._registration.close()
            raise

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Whatever happens on the way, the registration's end removes all that is left."""
        try:
            for monitor in self._monitors:
                monitor.close()
            for process in self.processes().values():
                process.close()
            self.fabric.close()
        finally:
            self._registration.close()

    # --- programs

    def _issue_certificates(self) -> None:
        self.authority = certs.Authority(self.dir / "pki")
        self.server_certificate = self.authority.issue("typha", certs.SERVER_CN, TYPHA)
        self.client_certificate = self.authority.issue("agent", certs.CLIENT_CN)
        self.operator_certificate = self.authority.issue("operator", certs.OPERATOR_CN)

    @property
    def database(self):
        return self.dir / "store.db"

    @property
    def store_socket(self):
        return self.dir / "store.sock"

    def start_typha(self, ready: bool = True, *more: str) -> Process:
        """`more`: further arguments."""
        argv = programs.typha_argv(self.database, self.store_socket, self.server_certificate)
        argv += [*self.typha_options, *more]
        self.typha = Process(self.fabric.typha, "typha", argv, self.dir)
        if ready:
            self.typha.wait_ready()
        return self.typha

    def start_agent(self, name: str, **env: str) -> Agent:
        node = self.nodes[name]
        agent = self.agents.setdefault(name, Agent(node, self.dir, self.client_certificate))
        agent.start(**env)
        return agent

    def start(self) -> None:
        """Everything, with the base resources in the store, until every node is ready."""
        self.fabric.start_birds()
        self.put_keys(self.base_keys())
        self.start_typha()
        self.apply(*self.base_resources())
        for name in self.nodes:
            self.start_agent(name)
        for name in self.nodes:
            self.wait_agent_ready(name)

    def wait_agent_ready(self, name: str, timeout: float = 20) -> None:
        """Until its /readiness says so: the whole view has been applied to the kernel."""
        agent = self.agents[name]
        process = agent.process
        assert process is not None
        process.wait_ready(timeout)
        self.until(lambda: agent.get("/readiness")[0] == 200, timeout,
                   lambda: f"{name} not ready: {agent.get('/readiness')}\n{process.log_tail()}")

    def processes(self) -> dict[str, Process]:
        found = {name: agent.process for name, agent in self.agents.items()
                 if agent.process is not None}
        if self.typha:
            found["typha"] = self.typha
        return found

    # --- resources

    @property
    def nodes(self) -> dict[str, Node]:
        return self.fabric.nodes

    @property
    def pods(self) -> dict[str, Pod]:
        return self.fabric.pods

    def node_resource(self, node: Node) -> Resource:
        v4, v6 = f"{node.ipv4}/24", f"{node.ipv6}/64"
        spec: dict = {"bgp": {"ipv4Address": v4, "ipv6Address": v6}}
        tunnels = next((p for p in self.plans.values() if p.vxlan != "Never"), None)
        if tunnels:
            number = node.index + 1
            spec |= {"ipv4VXLANTunnelAddr": tunnels.address(node, 4, _TUNNEL),
                     "ipv6VXLANTunnelAddr": tunnels.address(node, 6, _TUNNEL),
                     "vxlanTunnelMACAddr": f"66:04:00:00:00:{number:02x}",
                     "vxlanTunnelMACAddrV6": f"66:06:00:00:00:{number:02x}"}
        ipip = next((p for p in self.plans.values() if p.ipip != "Never"), None)
        if ipip:
            spec["bgp"]["ipv4IPIPTunnelAddr"] = ipip.address(node, 4, _TUNNEL)
        return resources.resource("Node", node.name, spec,
                                  labels={"rack": node.rack, "kubernetes.io/hostname": node.name})

    def peer_resources(self) -> list[Resource]:
        """One eBGP session per node, rack and family to the ToR's leg in that rack.

        Each node tells the ToR of its own blocks only: what it learnt from the mesh, it would announce
        with itself as the way there.
        """
        racks = sorted({node.rack for node in self.nodes.values()})
        learnt = [{"source": "RemotePeers", "action": "Reject"}]
        own = resources.resource("BGPFilter", "own-blocks", {"exportV4": learnt,
                                                             "exportV6": learnt})
        return [own] + [resources.resource("BGPPeer", f"tor-{rack}-v{f}", {
            "nodeSelector": f"rack == '{rack}'", "peerIP": subnet(rack)[f == 6] + "254",
            "asNumber": TOR_ASN, "filters": ["own-blocks"]}) for rack in racks for f in FAMILIES]

    def base_resources(self) -> list[Resource]:
        found = [resources.tier(), resources.profile("default"),
                 resources.resource("BGPConfiguration", "default", {
                     "asNumber": NODE_ASN, "nodeToNodeMeshEnabled": True, "holdTime": "3s"})]
        for plan in self.plans.values():
            found += plan.resources()
        found += [self.node_resource(node) for node in self.nodes.values()]
        return found + self.peer_resources()

    def base_keys(self) -> dict[str, str]:
        """Every node's blocks and affinities, tunnel address included."""
        keys: dict[str, str] = {}
        for plan in self.plans.values():
            for node in self.nodes.values():
                for family in FAMILIES:
                    keys |= resources.block_keys(plan.block(node, family), node.name, used=16)
        return keys

    def add_pod(self, name: str, node: str, plan: str, labels: dict[str, str] | None = None,
                namespace: str = "default", attach: bool = True, write: bool = True,
                ports: list[dict] | None = None) -> Pod:
        """A pod with an address of each family from the node's block, and its WorkloadEndpoint."""
        offset = self._offsets.get((node, plan), _FIRST_POD)
        self._offsets[node, plan] = offset + 1
        on = self.nodes[node]
        addresses = [self.plans[plan].address(on, f, offset) for f in FAMILIES]
        pod = self.fabric.add_pod(name, on, addresses, namespace, labels, ports, attach)
        if write:
            self.apply(self.endpoint(pod))
        return pod

    def endpoint(self, pod: Pod, **changed) -> Resource:
        facts = {"labels": pod.labels, "ports": pod.ports, "namespace": pod.namespace} | changed
        return resources.workload_endpoint(pod.node.name, pod.name, pod.interface, pod.addresses,
                                           pod.mac, **facts)

    def delete_pod(self, pod: Pod) -> None:
        self.ctl("delete", "-f", "-", stdin=json.dumps(self.endpoint(pod)))
        self.fabric.remove_pod(pod)

    # --- the store, through its doors

    @staticmethod
    def binary(name: str) -> str:
        return programs.binary(name)

    def ctl(self, *arguments: str, stdin: str | None = None,
            check: bool = True) -> subprocess.CompletedProcess:
        """margayctl against typha's Store service."""
        argv = [programs.binary(programs.CTL_PROGRAM), *arguments,
                "--store", f"unix:{self.store_socket}"]
        return self.fabric.typha.run(argv, stdin=stdin, check=check)

    def remote_ctl(self, node: str, certificate: certs.Certificate, *arguments: str,
                   stdin: str | None = None) -> subprocess.CompletedProcess:
        """margayctl on a node, against typha's Store service over the network."""
        argv = [programs.binary(programs.CTL_PROGRAM), *arguments,
                "--store", f"{TYPHA[0]}:{programs.TYPHA_PORT}", "--server-cn", certs.SERVER_CN,
                "--ca-file", str(certificate.ca), "--cert-file", str(certificate.cert),
                "--key-file", str(certificate.key)]
        return self.nodes[node].ns.run(argv, stdin=stdin, check=False)

    def agent_ctl(self, node: str, *arguments: str) -> str:
        """margayctl against the local API of a node's agent; what it printed."""
        argv = [programs.binary(programs.CTL_PROGRAM), *arguments,
                "--socket", str(self.agents[node].socket)]
        return self.nodes[node].ns.run(argv).stdout

    def apply(self, *items: Resource) -> None:
        if items:
            self.ctl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(i) for i in items))

    def delete(self, *items: Resource) -> None:
        self.ctl("delete", "-f", "-", stdin="\n---\n".join(json.dumps(i) for i in items))

    def put_keys(self, keys: dict[str, str]) -> None:
        """Raw keys, for what margayctl does not edit (IPAM blocks and affinities), through the
        owner of the file or, before there is one, into the file."""
        running = self.typha is not None and self.typha.alive
        store = f"unix:{self.store_socket}" if running else f"sqlite://{self.database}"
        lines = "".join(f"{key}\t{value}\n" for key, value in keys.items())
        self.fabric.typha.run([programs.binary(programs.STORE_PUT_PROGRAM), "--store", store],
                              stdin=lines)

    # --- expectations

    def paths(self, src: str | Iterable[str], dst: str | Iterable[str], outcome: str = ALLOWED,
              protocol: str = "tcp", port: int = 80,
              families: Iterable[int] = FAMILIES) -> dict[Probe, str]:
        """The probes from every source to every destination ("*": all pods), in each family."""
        wanted: dict[Probe, str] = {}
        for a in self._names(src):
            for b in self._names(dst):
                if a == b:
                    continue
                for family in families:
                    address = OUTSIDE_HOST[family == 6] if b == "tor" \
                        else self.pods[b].address(family)
                    if address:
                        number = 0 if protocol == "icmp" else port
                        wanted[Probe(a, b, address, protocol, number)] = outcome
        return wanted

    def _names(self, which: str | Iterable[str]) -> list[str]:
        if which == "*":
            return list(self.pods)
        return [which] if isinstance(which, str) else list(which)

    def everyone(self, outcome: str = ALLOWED, src: str | Iterable[str] = "*",
                 dst: str | Iterable[str] = "*") -> dict[Probe, str]:
        """TCP, UDP and ICMP between all pods, both families."""
        wanted: dict[Probe, str] = {}
        for protocol in ("tcp", "udp", "icmp"):
            wanted |= self.paths(src, dst, outcome, protocol)
        return wanted

    def expect(self, wanted: dict[Probe, str], timeout: float = 15) -> dict[Probe, str]:
        """Until one whole round of probes is as wanted, or ConnectivityError with the diff."""
        wake = [fd for monitor in self._monitors for fd in monitor.filenos()]
        return settle(self.fabric.probers, wanted, timeout, wake)

    def until(self, condition: Callable[[], bool], timeout: float = 10,
              explain: Callable[[], str] = lambda: "") -> None:
        """Until `condition` holds, asked again every 20 ms: for what sends no event to wait on,
        such as an HTTP answer or BIRD's tables. An OSError or a failed assertion is a no."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if condition():
                    return
            except (OSError, AssertionError, CommandFailed):
                pass  # not there yet
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout} s: {explain()}")
            select.select([], [], [], 0.02)

    def monitor(self, node: str) -> Monitor:
        """Subscribed from now on, until the lab closes."""
        monitor = Monitor(self.nodes[node].ns)
        self._monitors.append(monitor)
        return monitor

    def report(self) -> str:
        """The ends of all logs, for a failed test."""
        return "\n".join(p.log_tail() for p in self.processes().values())
