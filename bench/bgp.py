# SPDX-License-Identifier: Apache-2.0
"""bgp-*: the speaker inside margay-agent, connected to margay-typha, and another BGP daemon, by
turns under the same load. margay-bgp-load speaks for all their neighbours and measures what it is
told; see bench/bgp/main.cpp for what its numbers mean.
"""
from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import bgp_daemons
from agent import BenchFailed, Options, Result, note
from bgp_daemons import CLUSTER_ID, DAEMONS, ROUTER, Plan, wait_listening
from cluster import LOCAL_NODE, KeyValue
from lab import certs, kernel, programs
from lab.process import Process
from lab.registry import Registration
from lab.resources import pool, resource

_LOAD = "margay-bgp-load"
_TYPHA, _AGENT, _UPLINK = "10.10.255.1", "10.10.0.1", 16
_LOAD_ADDRESS, _NETWORK = "10.20.0.2", 16
_SPEAKERS = "10.20.4"  # /22: as many addresses as a test has speakers
_POOL = "32.0.0.0/4"  # in which everything that is announced lies
_MOST_ON_LINK = 600  # neighbours; the kernel's table of them has room for 1,024
_AS, _OTHER_AS = 64512, 65001
_LIMIT = 90  # seconds for one phase


def speaker(index: int) -> str:
    """Addresses from 10.20.4.1 on, none of which ends in 0 or 255 by accident of its number."""
    return f"10.20.{4 + (index + 1) // 256}.{(index + 1) % 256}"


@dataclass(frozen=True)
class Group:
    """Speakers that do the same, in the words of margay-bgp-load."""

    count: int
    asn: int = _AS
    as_step: int = 0
    more: dict[str, object] = field(default_factory=dict)

    def text(self, first: int) -> str:
        words = {"n": self.count, "address": speaker(first), "as": self.asn,
                 "as_step": self.as_step} | self.more
        return ",".join(k if v is True else f"{k}={v}" for k, v in words.items())

    def peers(self, first: int) -> list[tuple[str, int]]:
        return [(speaker(first + i), self.asn + i * self.as_step) for i in range(self.count)]


@dataclass(frozen=True)
class Scenario:
    groups: tuple[Group, ...]
    reflects: bool = False
    mesh: bool = False  # the speakers are nodes of the cluster
    kernel: bool = False
    length: int = 26
    load: tuple[str, ...] = ()  # more options of margay-bgp-load

    @property
    def plan(self) -> Plan:
        peers: list[tuple[str, int]] = []
        for group in self.groups:
            peers += group.peers(len(peers))
        return Plan(peers, _AS, self.reflects, self.kernel)

    @property
    def announced(self) -> int:
        return sum(int(g.more.get("routes", 0)) * g.count for g in self.groups)

    def load_argv(self, pids: list[int], ns: kernel.Namespace) -> list[str]:
        argv = [programs.binary(_LOAD), "--to", ROUTER, "--as", str(_AS), "--length",
                str(self.length), "--limit", str(_LIMIT)]
        for pid in pids:
            argv += ["--pid", str(pid)]
        first = 0
        for group in self.groups:
            argv += ["--group", group.text(first)]
            first += group.count
        if self.kernel:
            argv += ["--fib", str(ns.path), str(self.announced)]
        return [*argv, *self.load]


def full_table(prefixes: int, sets: int) -> Scenario:
    sender = Group(1, _OTHER_AS, more={"routes": prefixes, "per_update": prefixes // sets,
                                       "attributes": sets, "path": 3, "communities": 4})
    return Scenario((sender, Group(1, _OTHER_AS + 1, more={"expect": prefixes})), length=24)


def best_path(prefixes: int, senders: int = 10) -> Scenario:
    best = _OTHER_AS + senders - 1
    group = Group(senders, _OTHER_AS, 1, {"routes": prefixes, "same": True, "attributes": 1000,
                                          "path": 3, "communities": 2, "each_better": True})
    receiver = Group(1, best + 1, more={"expect": prefixes, "expect_as": best})
    return Scenario((group, receiver), length=24)


def reflector(clients: int, *load: str) -> Scenario:
    group = Group(clients, more={"routes": 8, "expect": 8 * (clients - 1)})
    return Scenario((group,), reflects=True, load=load)


def mesh(nodes: int) -> Scenario:
    return Scenario((Group(nodes, more={"routes": 4}),), mesh=True, kernel=True)


def fib(routes: int) -> Scenario:
    """The pause is for a speaker that keeps the routes of an earlier run until its peers are done."""
    return Scenario((Group(1, more={"routes": routes}),), kernel=True,
                    load=("--idle", "6", "--withdraw", "--raw"))


def idle(sessions: int, seconds: float) -> Scenario:
    return Scenario((Group(sessions),), load=("--idle", str(int(seconds))))


def dial(peers: int) -> Scenario:
    return Scenario((Group(peers),), load=("--at-once", str(peers)))


class Bed:
    """Typha, and namespaces for the machine under test and its neighbours, made for each run."""

    def __init__(self) -> None:
        self._registration = Registration()
        self._dir = self._registration.dir
        self._number = 0
        self._scratch = tempfile.TemporaryDirectory(prefix="margay-bench-")
        Path(self._scratch.name).chmod(0o755)
        authority = certs.Authority(self._dir / "pki")
        self._client = authority.issue("agent", certs.CLIENT_CN)
        self._server = authority.issue("server", certs.SERVER_CN, (_TYPHA,))

    def close(self) -> None:
        self._registration.close()
        self._scratch.cleanup()

    @contextmanager
    def _namespaces(self, scenario: Scenario) -> Iterator[tuple[kernel.Namespace, kernel.Namespace]]:
        self._number += 1
        ours = kernel.Namespace(f"{self._registration.id}-dut{self._number}")
        load = kernel.Namespace(f"{self._registration.id}-load{self._number}")
        try:
            kernel.veth(ours, "eth1", load, "eth0")
            ours.ip("link set eth1 up", f"addr add {ROUTER}/{_NETWORK} dev eth1")
            load.ip("link set eth0 up", f"addr add {_LOAD_ADDRESS}/{_NETWORK} dev eth0",
                    f"route add local {_SPEAKERS}.0/22 dev lo")
            if len(scenario.plan.speakers) > _MOST_ON_LINK:
                ours.ip(f"route add {_SPEAKERS}.0/22 via {_LOAD_ADDRESS}")
            yield ours, load
        finally:
            ours.close()
            load.close()

    def _measure(self, scenario: Scenario, pids: list[int], ours: kernel.Namespace,
                 load: kernel.Namespace) -> dict:
        argv = scenario.load_argv(pids, ours)
        done = load.run(argv, check=False, timeout=4 * _LIMIT)
        try:
            found = json.loads(done.stdout)
        except ValueError as error:
            raise BenchFailed(f"{' '.join(argv)}: {done.stderr}") from error
        found["listen_overflows"] = _listen_overflows(ours)
        if not found["ok"]:
            note(f"not done in time: {json.dumps(found)}\n{done.stderr[-2000:]}")
        return found

    def peer(self, kind: type[bgp_daemons.Daemon], scenario: Scenario) -> tuple[dict, str]:
        """What it took, and its configuration."""
        with self._namespaces(scenario) as (ours, load):
            directory = Path(self._scratch.name) / str(self._number)
            daemon = kind(ours, directory, scenario.plan)
            try:
                wait_listening(ours, daemon.process, 179)
                return self._measure(scenario, daemon.pids, ours, load), daemon.short_text()
            finally:
                daemon.close()

    def ours(self, scenario: Scenario) -> dict:
        with self._namespaces(scenario) as (ours, load):
            typha_ns = kernel.Namespace(f"{self._registration.id}-typha{self._number}")
            kernel.veth(typha_ns, "eth0", ours, "eth0")
            typha_ns.ip("link set eth0 up", f"addr add {_TYPHA}/{_UPLINK} dev eth0")
            ours.ip("link set eth0 up", f"addr add {_AGENT}/{_UPLINK} dev eth0")
            typha = self._start_typha(typha_ns, keys(scenario))
            agent = None
            try:
                agent = self._start_agent(ours)
                wait_listening(ours, agent, 179)
                found = self._measure(scenario, [agent.pid], ours, load)
                if not found["ok"]:
                    raise BenchFailed(agent.log_tail())
                return found
            finally:
                if agent:
                    agent.close()
                typha.close()
                typha_ns.close()

    def _start_typha(self, ns: kernel.Namespace, stored: list[KeyValue]) -> Process:
        database = self._dir / f"store{self._number}.db"
        lines = "".join(f"{key}\t{value}\n" for key, value in stored)
        ns.run([programs.binary(programs.STORE_PUT_PROGRAM), "--store", f"sqlite://{database}"],
               stdin=lines, timeout=60)
        argv = programs.typha_argv(database, self._dir / "store.sock", self._server)
        argv[argv.index("--listen") + 1] = f"{_TYPHA}:{programs.TYPHA_PORT}"
        typha = Process(ns, f"typha{self._number}", argv, self._dir)
        typha.wait_ready(60)
        return typha

    def _start_agent(self, ns: kernel.Namespace) -> Process:
        argv = [programs.binary(programs.AGENT_PROGRAM), "--socket", str(self._dir / "agent.sock")]
        env = programs.agent_env(LOCAL_NODE, self._client, _TYPHA)
        agent = Process(ns, f"agent{self._number}", argv, self._dir, env)
        agent.wait_ready(60)
        return agent


def _listen_overflows(ns: kernel.Namespace) -> int:
    names, values = [line.split() for line in ns.output("cat", "/proc/net/netstat").splitlines()
                     if line.startswith("TcpExt:")]
    return int(dict(zip(names[1:], values[1:]))["ListenOverflows"])


def keys(scenario: Scenario) -> list[KeyValue]:
    """The cluster in which our node is what the scenario says."""
    own: dict = {"ipv4Address": f"{ROUTER}/{_NETWORK}"}
    if scenario.reflects:
        own["routeReflectorClusterID"] = CLUSTER_ID
    configuration = {"asNumber": _AS, "nodeToNodeMeshEnabled": scenario.mesh}
    if not scenario.kernel:
        configuration["programClusterRoutes"] = "Disabled"
    made = [resource("Node", LOCAL_NODE, {"bgp": own}), pool("bench", _POOL),
            resource("BGPConfiguration", "default", configuration)]
    for index, (address, asn) in enumerate(scenario.plan.speakers):
        if scenario.mesh:
            bgp = {"ipv4Address": f"{address}/{_NETWORK}"}
            made.append(resource("Node", f"speaker{index}", {"bgp": bgp}))
        else:
            made.append(resource("BGPPeer", f"speaker{index}",
                                 {"peerIP": address, "asNumber": asn}))
    plurals = {"IPPool": "ippools", "Node": "nodes", "BGPPeer": "bgppeers",
               "BGPConfiguration": "bgpconfigurations"}
    ready = ("/calico/resources/v3/projectcalico.org/clusterinformations/default", json.dumps(
        resource("ClusterInformation", "default", {"datastoreReady": True, "clusterType": "bench"})))
    return [ready] + [
        (f"/calico/resources/v3/projectcalico.org/{plurals[r['kind']]}/{r['metadata']['name']}",
         json.dumps(r)) for r in made]


# --- the benchmarks ----------------------------------------------------------------------------

Sample = dict[str, float]


def _announced(found: dict) -> Sample:
    phase = found["announce"]
    return {"wall_s": phase["wall_s"], "cpu_s": phase["cpu_s"], "rss_mib": phase["peak_rss_mib"],
            "prefixes_out": phase["announced"], "updates_out": phase["updates"],
            "load_cpu_s": phase["load_cpu_s"]}


Measure = Callable[[Scenario], dict]


def _sized(options: Options, count: int) -> int:
    """S0 tries a benchmark out in seconds: with a hundredth."""
    return count // 100 if options.scale == "S0" else count


def _full_table(measure: Measure, options: Options) -> Sample:
    return _announced(measure(full_table(_sized(options, 1_000_000), _sized(options, 100_000))))


def _best_path(measure: Measure, options: Options) -> Sample:
    return _announced(measure(best_path(_sized(options, 100_000))))


def _reflector(measure: Measure, options: Options) -> Sample:
    found = measure(reflector(_sized(options, 500), "--flap", str(options.tries)))
    sample = _announced(found) | {k: v for k, v in found["flap"].items() if k.endswith("_ms")}
    twice = _announced(measure(reflector(_sized(options, 1000))))
    return sample | {"cpu_1000_s": twice["cpu_s"], "wall_1000_s": twice["wall_s"],
                     "cpu_1000_to_500": twice["cpu_s"] / sample["cpu_s"]}


def _mesh(measure: Measure, options: Options) -> Sample:
    return _announced(measure(mesh(_sized(options, 500))))


def _fib(measure: Measure, options: Options) -> Sample:
    """In, out, and the same routes written by nobody but the load tool."""
    found = measure(fib(_sized(options, 100_000)))
    out, raw = found["withdraw"], found["raw"]
    sample = _announced(found)
    return sample | {"out_wall_s": out["wall_s"], "out_cpu_s": out["cpu_s"],
                     "raw_wall_s": raw["add_wall_s"], "raw_out_wall_s": raw["delete_wall_s"],
                     "rate_vs_raw": raw["add_wall_s"] / sample["wall_s"],
                     "out_rate_vs_raw": raw["delete_wall_s"] / out["wall_s"]}


def _idle(measure: Measure, options: Options) -> Sample:
    sessions = _sized(options, 500)
    none = measure(replace(idle(sessions, 1), groups=(Group(1),)))["idle"]["rss_mib"]
    found = measure(idle(sessions, options.seconds))["idle"]
    return {"cpu_s": found["cpu_pct"] * options.seconds / 100, "cpu_pct": found["cpu_pct"],
            "rss_mib": found["rss_mib"],
            "kib_per_session": (found["rss_mib"] - none) * 1024 / sessions}


def _dial(measure: Measure, options: Options) -> Sample:
    found = measure(dial(_sized(options, 1000)))
    phase = found["establish"]
    return {"wall_s": phase["wall_s"], "cpu_s": phase["cpu_s"], "losses": phase["losses"],
            "listen_overflows": found["listen_overflows"]}


BENCHES = {"bgp-full-table": _full_table, "bgp-best-path": _best_path, "bgp-rr": _reflector,
           "bgp-mesh": _mesh, "bgp-fib": _fib, "bgp-idle": _idle, "bgp-dial": _dial}


def _take_turns(name: str, bed: Bed, kind: type[bgp_daemons.Daemon], options: Options,
                result: Result) -> None:
    texts: list[str] = []
    failed = 0

    def peer(scenario: Scenario) -> dict:
        found, text = bed.peer(kind, scenario)
        texts.append(text)
        return found

    for number in range(options.runs):
        result.ours.append(BENCHES[name](bed.ours, options))
        note(f"run {number + 1}: ours {result.ours[-1]}")
        try:
            result.peer.append(BENCHES[name](peer, options))
            note(f"       peer {result.peer[-1]}")
        except KeyError:  # a phase that it did not come to
            failed += 1
    result.params = {"tls": "mutual", "peer_configuration": texts[0]}
    if failed:
        result.params["peer_not_done_in_time"] = failed


def runner(name: str) -> Callable[[Options], Result]:
    def run(options: Options) -> Result:
        kind = DAEMONS[options.peer]
        result = Result(kind.name, kind.version())
        bed = Bed()
        try:
            _take_turns(name, bed, kind, options, result)
        finally:
            bed.close()
        if name == "bgp-fib":
            result.ratios = [{key: ours[key] for key in ("rate_vs_raw", "out_rate_vs_raw")}
                             for ours in result.ours]
        return result

    return run
