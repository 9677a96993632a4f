# SPDX-License-Identifier: Apache-2.0
"""policy-packets: what a connection and a packet cost behind many rules and many policies.

Two nodes, each with a client and a server pod: on one an agent of a single host enforces policy,
on the other the same rules stand in plain chains, one after the other. The last rule is the one
that lets the client in. Connections are opened and reset; packets are those of a datagram flow that
nobody answers, so that each is judged. Rates are per second of CPU time of the load, in which all
work of the kernel on its packets happens.
"""
from __future__ import annotations

import json
import time
from contextlib import ExitStack

from agent import BenchFailed, Options, Result, note, nft_version
from lab import kernel, programs, resources
from lab.process import Process
from lab.registry import Registration

_CLIENT, _SERVER = "10.9.0.1", "10.9.0.2"
_PODS = {"client": (_CLIENT, "02:00:00:00:00:01"), "server": (_SERVER, "02:00:00:00:00:02")}
_RULES, _POLICIES = (1, 10, 100, 1000, 10_000), (1, 100, 500)
_RULES_SMALL, _POLICIES_SMALL = (1, 10), (1, 3)
_RULES_PER_POLICY = 2
_NODE = "bench-node"
_SLICES = 5  # of each measurement; ours and the peer take turns
_TIMEOUT = 60.0
_FIRST_PORT = 9000
_MOST_RULES = 1000  # of one policy; Calico allows 1,024
_LOAD = "margay-packet-load"
Rule = tuple[str, int, int]  # source, first and last port
Policy = list[Rule]
# Resets end connections at once, but not their entries.
_SYSCTLS = {"net/netfilter/nf_conntrack_tcp_timeout_close": 1, "net/ipv4/ip_forward": 1}


def rule(index: int) -> Rule:
    """Single addresses and networks, ports and ranges."""
    address = f"11.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
    net = f"{address}/32" if index % 4 else f"12.{index >> 8 & 255}.{index & 255}.0/24"
    port = 1000 + index % 50
    return net, port, port if index % 5 else port + 9


def policies_of(rules: int, most: int) -> list[Policy]:
    """`rules` rules in policies of at most `most`; the last of all is replaced by the client's."""
    return [[rule(i) for i in range(first, min(first + most, rules))]
            for first in range(0, rules, most)]


def with_client(policies: list[Policy], port: int) -> list[Policy]:
    return [*policies[:-1], [*policies[-1][:-1], (f"{_CLIENT}/32", port, port)]]


class Node:
    """A node with its pods, and nothing yet that filters."""

    def __init__(self, lab: Registration, name: str):
        self.ns = kernel.Namespace(f"{lab.id}-{name}")
        self.pods = {pod: kernel.Namespace(f"{lab.id}-{name}-{pod}") for pod in _PODS}
        for path, value in _SYSCTLS.items():
            self.ns.sysctl(path, value)
        for pod, ns in self.pods.items():
            interface, (address, mac) = f"cali{pod}", _PODS[pod]
            ns.ip(f"link add eth0 address {mac} type veth peer name {interface} "
                  f"address ee:ee:ee:ee:ee:ee netns {self.ns.name}", "link set eth0 up",
                  f"addr add {address}/32 dev eth0", "route add 169.254.1.1 dev eth0 scope link",
                  "neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent",
                  "route add default via 169.254.1.1 dev eth0")
            self.ns.ip(f"link set {interface} up",
                       f"neigh add {address} lladdr {mac} dev {interface} nud permanent")

    def load(self, port: int, mode: str, seconds: float) -> tuple[int, float]:
        argv = [programs.binary(_LOAD), str(self.pods["client"].path), str(self.pods["server"].path),
                _SERVER, str(port), mode, str(seconds)]
        found = json.loads(kernel.run(argv))
        return found["count"], found["cpu_s"]


class Ours(Node):
    def __init__(self, lab: Registration):
        super().__init__(lab, "ours")
        self._socket, self._applied = lab.dir / "store.sock", []
        argv = [programs.binary(programs.AGENT_PROGRAM), "--socket", str(lab.dir / "agent.sock"),
                "--datastore", f"sqlite://{lab.dir / 'store.db'}", "--store-socket",
                str(self._socket)]
        env = {"FELIX_FELIXHOSTNAME": _NODE, "CALICO_NETWORKING_BACKEND": "none"}
        self.process = Process(self.ns, "agent", argv, lab.dir, env)
        self.process.wait_ready(_TIMEOUT)
        self._ctl("apply", [resources.tier(), resources.profile("default"),
                            resources.resource("Node", _NODE, {})])
        self._ctl("apply", [resources.workload_endpoint(
            _NODE, pod, f"cali{pod}", [address], mac, labels={"pod": pod})
            for pod, (address, mac) in _PODS.items()])

    def _ctl(self, verb: str, items: list[resources.Resource]) -> None:
        argv = [programs.binary(programs.CTL_PROGRAM), verb, "-f", "-", "--store",
                f"unix:{self._socket}"]
        self.ns.run(argv, stdin="\n---\n".join(map(json.dumps, items)), timeout=_TIMEOUT)

    def replace(self, policies: list[Policy]) -> None:
        old = self._applied
        self._applied = [resources.network_policy(f"bench-{len(policies)}-{i}", "pod == 'server'", [
            resources.allow("TCP", [f"{first}:{last}"], {"nets": [net]})
            for net, first, last in rules] + udp(i == len(policies) - 1), order=i + 1)
            for i, rules in enumerate(policies)]
        self._ctl("apply", self._applied)
        names = {p["metadata"]["name"] for p in self._applied}
        gone = [p for p in old if p["metadata"]["name"] not in names]
        if gone:
            self._ctl("delete", gone)


def udp(wanted: bool) -> list[resources.Resource]:
    """The datagrams' rule: the last of all."""
    return [resources.allow("UDP", None, {"nets": [f"{_CLIENT}/32"]})] if wanted else []


class Plain(Node):
    def __init__(self, lab: Registration):
        super().__init__(lab, "plain")
        self.ns.ip(f"route add {_CLIENT}/32 dev caliclient", f"route add {_SERVER}/32 dev caliserver")

    def replace(self, policies: list[Policy]) -> None:
        lines = ["table inet plain", "delete table inet plain", "table inet plain {"]
        for i, rules in enumerate(policies):
            lines.append(f"chain policy-{i} {{")
            lines += [f"ip saddr {net} tcp dport {first}{f'-{last}' if last > first else ''} accept"
                      for net, first, last in rules]
            lines.append("}")
        lines += ["chain server {", *(f"jump policy-{i}" for i in range(len(policies))),
                  f"ip saddr {_CLIENT} meta l4proto udp accept", "drop", "}",
                  "chain forward { type filter hook forward priority filter;",
                  "ct state established,related accept", "ct state invalid drop",
                  'oifname "caliserver" goto server', "}", "}"]
        self.ns.run(["nft", "-f", "-"], stdin="\n".join(lines).replace("/32 ", " ") + "\n",
                    timeout=_TIMEOUT)


def until_enforced(node: Node, port: int) -> None:
    """The rule for this port is in force; before, a try takes as long as its patience."""
    deadline = time.monotonic() + _TIMEOUT
    while node.load(port, "connect", 0.01)[0] == 0:
        if time.monotonic() > deadline:
            raise BenchFailed(f"port {port} is still closed after {_TIMEOUT} s")


def rates(nodes: list[Node], port: int, seconds: float) -> list[dict[str, float]]:
    """Connections and packets per CPU second of each node; slices by turns."""
    totals = [{"connect": [0, 0.0], "packets": [0, 0.0]} for _ in nodes]
    for _ in range(_SLICES):
        for mode in ("connect", "packets"):
            for node, total in zip(nodes, totals):
                count, cpu = node.load(port, mode, seconds / _SLICES)
                total[mode][0] += count
                total[mode][1] += cpu
    return [{mode: count / cpu for mode, (count, cpu) in total.items()} for total in totals]


def one(nodes: list[Node], sizes: dict[str, list[Policy]], seconds: float,
        first_port: int) -> tuple[dict[str, float], dict[str, float]]:
    samples: list[dict[str, float]] = [{}, {}]
    for number, (name, policies) in enumerate(sizes.items()):
        port = first_port + number
        for node in nodes:
            node.replace(with_client(policies, port))
            until_enforced(node, port)
        for sample, found in zip(samples, rates(nodes, port, seconds)):
            sample |= {f"conn_rate_{name}": found["connect"], f"pps_{name}": found["packets"]}
        note(f"{name}: {found} beside {samples[0][f'conn_rate_{name}']:.0f}")
    return samples[0], samples[1]


def ratios(ours: dict[str, float], plain: dict[str, float]) -> dict[str, float]:
    def quotient(a: dict[str, float], a_key: str, b: dict[str, float], b_key: str) -> float | None:
        return a[a_key] / b[b_key] if a_key in a and b_key in b else None

    found = {f"conn_rate_{n}_vs_1": quotient(ours, f"conn_rate_{n}", ours, "conn_rate_1")
             for n in _RULES[1:]}
    found |= {f"conn_rate_{n}_vs_plain": quotient(ours, f"conn_rate_{n}", plain, f"conn_rate_{n}")
              for n in _RULES}
    found |= {f"conn_rate_{n}_policies_vs_1": quotient(ours, f"conn_rate_{n}_policies", ours,
                                                       "conn_rate_1_policies")
              for n in _POLICIES[1:]}
    found |= {f"conn_rate_{n}_policies_vs_plain":
              quotient(ours, f"conn_rate_{n}_policies", plain, f"conn_rate_{n}_policies")
              for n in _POLICIES}
    return {name: value for name, value in found.items() if value is not None}


def run(options: Options) -> Result:
    small = options.scale == "S0"
    rule_counts, policy_counts = (_RULES_SMALL, _POLICIES_SMALL) if small else (_RULES, _POLICIES)
    sizes = {str(n): policies_of(n, _MOST_RULES) for n in rule_counts}
    sizes |= {f"{n}_policies": policies_of(n * _RULES_PER_POLICY, _RULES_PER_POLICY)
              for n in policy_counts}
    result = Result("nft, plain chains", nft_version(), params={
        "rules": list(rule_counts), "policies": list(policy_counts), "seconds": options.seconds})
    lab = Registration()
    with ExitStack() as stack:
        stack.callback(lab.close)
        ours = Ours(lab)
        stack.callback(ours.process.close)
        nodes = [ours, Plain(lab)]
        for number in range(options.runs):
            first_port = _FIRST_PORT + number * len(sizes)
            our_sample, plain_sample = one(nodes, sizes, options.seconds, first_port)
            result.ours.append(our_sample)
            result.peer.append(plain_sample)
            result.ratios.append(ratios(our_sample, plain_sample))
    return result
