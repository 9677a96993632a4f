# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of one agent behind margay-typha: first start with a big cluster, and restart.

Ours and the peer take turns, each in a fresh namespace under the same netlink monitor. Typha, its
SQLite file and the certificates are made once and kept.
"""
from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cluster import LOCAL_NODE, Cluster, LocalPod, Scale, node_address
from lab import certs, kernel, observe, programs
from lab.monitor import Event, Monitor, changes
from lab.process import Process, ProcessFailed, usage_of
from lab.registry import Registration
from writer import Writer

_TYPHA_ADDRESS = "10.10.255.1"  # in the nodes' underlay, on no node
SPARE_PODS = 8  # interfaces without an endpoint, for changes
_STILL, _STILL_SMALL = 1.0, 0.2  # seconds without a change that end a measurement
_TIMEOUT = 120.0


class BenchFailed(RuntimeError):
    pass


@dataclass
class Result:
    """One sample per run. Without a peer's name there is none that does the same."""

    peer_name: str = ""
    peer_version: str = ""
    ours: list[dict[str, float]] = field(default_factory=list)
    peer: list[dict[str, float]] = field(default_factory=list)
    params: dict[str, object] = field(default_factory=dict)  # beyond those of every benchmark
    ratios: list[dict[str, float]] = field(default_factory=list)  # likewise, of one run each


@dataclass(frozen=True)
class Options:
    scale: str | Scale
    seed: int
    runs: int
    tries: int  # of each kind of change, in one run
    seconds: float  # of watching, in one run
    peer: str = "bird"  # the daemon beside ours, where there is a choice


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bed:
    """Typha with a loaded store, and node namespaces made one after the other."""

    def __init__(self, scale: str | Scale, seed: int):
        self.cluster = Cluster(scale, seed)
        # Seconds without a change after which an agent is idle.
        self.still = _STILL if self.cluster.scale.nodes > 10 else _STILL_SMALL
        self._registration = Registration()
        self.dir = self._registration.dir
        self._runs = 0
        try:
            self._start_typha()
        except BaseException:
            self._registration.close()
            raise

    def close(self) -> None:
        self._registration.close()

    def _namespace(self, name: str) -> kernel.Namespace:
        return kernel.Namespace(f"{self._registration.id}-{name}")

    def _start_typha(self) -> None:
        authority = certs.Authority(self.dir / "pki")
        self._client = authority.issue("agent", certs.CLIENT_CN)
        self._operator = authority.issue("operator", certs.OPERATOR_CN)
        server = authority.issue("typha", certs.SERVER_CN, (_TYPHA_ADDRESS,))
        self._typha_ns = self._namespace("typha")
        self._pods_ns = self._namespace("pods")
        self._typha_ns.ip("link add br0 type bridge", "link set br0 up",
                          f"addr add {_TYPHA_ADDRESS}/16 dev br0")
        self.stored = dict(self.cluster.keys())
        lines = "".join(f"{k}\t{v}\n" for k, v in self.stored.items())
        database = self.dir / "store.db"
        self._typha_ns.run([programs.binary(programs.STORE_PUT_PROGRAM), "--store",
                            f"sqlite://{database}"], stdin=lines, timeout=_TIMEOUT)
        argv = programs.typha_argv(database, self.dir / "store.sock", server)
        argv[argv.index("--listen") + 1] = f"{_TYPHA_ADDRESS}:{programs.TYPHA_PORT}"
        self._typha = Process(self._typha_ns, "typha", argv, self.dir)
        self._typha.wait_ready(_TIMEOUT)

    @contextmanager
    def node(self) -> Iterator[kernel.Namespace]:
        """A node's namespace with its uplink and its pods' veths, all up."""
        self._runs += 1
        ns = self._namespace(f"run{self._runs}")
        port = f"port{self._runs}"
        kernel.veth(self._typha_ns, port, ns, "eth0")
        self._typha_ns.ip(f"link set {port} master br0 up")
        ns.ip("link set eth0 up", f"addr add {node_address(0)}/16 dev eth0")
        lines = []
        pods = self.pods()
        for index, pod in enumerate(pods):
            lines += [f"link add {pod.interface} type veth peer name p{self._runs}x{index} "
                      f"netns {self._pods_ns.name}", f"link set {pod.interface} up"]
        ns.ip(*lines)
        self._pods_ns.ip(*(f"link set p{self._runs}x{i} up"
                           for i in range(len(pods))))
        try:
            yield ns
        finally:
            ns.close()

    def pods(self) -> list[LocalPod]:
        """Those whose interfaces every node namespace has; the last SPARE_PODS are not stored."""
        return self.cluster.local_pods() + self.cluster.spare_pods(SPARE_PODS)

    def writer(self) -> Writer:
        """A user of the Store service, with mutual TLS as any other."""
        return Writer(self._typha_ns, f"{_TYPHA_ADDRESS}:{programs.TYPHA_PORT}", self._operator,
                      self.dir)

    def start_agent(self, ns: kernel.Namespace, **more: str) -> Process:
        argv = [programs.binary(programs.AGENT_PROGRAM), "--socket", str(self.dir / "agent.sock")]
        # The pools are VXLAN: the nodes need no BGP, and there are none to peer with here.
        env = programs.agent_env(LOCAL_NODE, self._client, _TYPHA_ADDRESS) | {
            "CALICO_NETWORKING_BACKEND": "vxlan"} | more
        return Process(ns, f"agent{self._runs}", argv, self.dir, env)

    def check_complete(self, ns: kernel.Namespace, ruleset: str) -> None:
        """Every policy, set and route that this node must have is in its kernel."""
        words = set(re.findall(r"\d+\.\d+\.\d+\.\d+", ruleset))
        missing = [t for t in self.cluster.tokens() if t not in words]
        standing = observe.routes(ns, 4)
        missing += [b for b in self.cluster.block_routes() if f"{b}/26" not in standing]
        missing += [p.address for p in self.cluster.local_pods()
                    if f"{p.address}/32" not in standing]
        if missing:
            raise BenchFailed(f"the kernel lacks {len(missing)} objects: {missing[:5]} ...")


def wait_ready(process: Process, ns: kernel.Namespace, monitor: Monitor) -> float:
    """Collects notifications until /readiness says 200; when that was."""
    try:
        process.wait_ready(_TIMEOUT)
    except ProcessFailed as error:
        raise BenchFailed(str(error)) from error
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        if not process.alive:
            raise BenchFailed(process.log_tail())
        try:
            if programs.http_get(ns, programs.HEALTH_PORT, "/readiness")[0] == 200:
                return time.monotonic()
        except OSError:
            pass
        select.select(monitor.filenos(), [], [], 0.02)
        monitor.drain()
    raise BenchFailed(f"not ready in {_TIMEOUT} s\n{process.log_tail()}")


def counted(events: list[Event]) -> dict[str, float]:
    made = changes(events)
    return {"kernel_changes": len(made),
            "elements": sum(e.detail["count"] for e in made
                            if e.kind == "nft-element" and not e.deleted),
            "rules": sum(1 for e in made if e.kind == "nft-rule" and not e.deleted)}


def measure_agent(bed: Bed, ns: kernel.Namespace) -> dict[str, float]:
    """From the process's start to the last kernel change, or to ready when there was none."""
    with Monitor(ns, lazy=True) as monitor:
        started = time.monotonic()
        process = bed.start_agent(ns)
        try:
            ready = wait_ready(process, ns, monitor)
            monitor.quiet(bed.still, _TIMEOUT)
            usage = process.usage()
        finally:
            process.close()
        monitor.parse()
        made = changes(monitor.events)
        end = made[-1].at if made else ready
        return {"wall_s": end - started, "cpu_s": usage.cpu_seconds,
                "rss_mib": usage.peak_rss_mib, "rss_anon_mib": usage.anon_mib,
                "ready_s": ready - started} | counted(monitor.events)


def measure_nft(ns: kernel.Namespace, argv: list[str], directory: Path) -> dict[str, float]:
    """One run of the nft program, from start to its last kernel change or, without one, its end."""
    with Monitor(ns, lazy=True) as monitor, open(directory / "nft.out", "wb") as out, \
            open(directory / "nft.err", "w+b") as error:
        started = time.monotonic()
        child = ns.spawn(argv, stdout=out, stderr=error)
        pidfd = os.pidfd_open(child.pid)
        peak = 0.0
        while select.select([pidfd, *monitor.filenos()], [], [], 0.005)[0] != [pidfd]:
            monitor.drain()
            peak = max(peak, _peak_rss(child.pid))
        ended = time.monotonic()
        os.close(pidfd)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            error.seek(0)
            raise BenchFailed(f"nft failed: {error.read(500).decode()}")
        monitor.quiet(0.2)
        monitor.parse()
        made = changes(monitor.events)
        return {"wall_s": (made[-1].at if made else ended) - started,
                "cpu_s": usage.ru_utime + usage.ru_stime, "rss_mib": peak} \
            | counted(monitor.events)


def _peak_rss(pid: int) -> float:
    """While it runs: what wait4 tells also counts the memory of the process that forked it."""
    try:
        return usage_of(pid).peak_rss_mib
    except OSError:
        return 0.0


def nft_version() -> str:
    return kernel.run(["nft", "--version"]).split()[1].lstrip("v")


@contextmanager
def bed_for(options: Options) -> Iterator[Bed]:
    note(f"loading {options.scale} into SQLite behind margay-typha")
    try:
        bed = Bed(options.scale, options.seed)
    except (ProcessFailed, kernel.CommandFailed, FileNotFoundError) as error:
        raise BenchFailed(str(error)) from error
    try:
        yield bed
    finally:
        bed.close()


@contextmanager
def running_agent(bed: Bed, ns: kernel.Namespace, started: Callable[[Process], None] | None = None,
                  **env: str) -> Iterator[Process]:
    """An agent that has put everything into the kernel and is idle; `started` sees it at once."""
    with Monitor(ns, lazy=True) as monitor:
        process = bed.start_agent(ns, **env)
        try:
            if started:
                started(process)
            wait_ready(process, ns, monitor)
            monitor.quiet(bed.still, _TIMEOUT)
        except BaseException:
            process.close()
            raise
    try:
        yield process
    finally:
        process.close()


def sync(options: Options) -> Result:
    """First start with an empty kernel; the peer loads our final ruleset with `nft -f`."""
    result = Result("nft -f", nft_version())
    with bed_for(options) as bed:
        ruleset = bed.dir / "ruleset.nft"
        for number in range(options.runs):
            with bed.node() as ns:
                result.ours.append(measure_agent(bed, ns))
                text = ns.output("nft", "--stateless", "list", "ruleset")
                bed.check_complete(ns, text)
            ruleset.write_text(text)
            with bed.node() as ns:
                result.peer.append(measure_nft(ns, ["nft", "-f", str(ruleset)], bed.dir))
            note(f"run {number + 1}: ours {result.ours[-1]}\n       peer {result.peer[-1]}")
    return result


def restart(options: Options) -> Result:
    """Nothing changed meanwhile; the peer only reads what stands, with `nft list ruleset`."""
    result = Result("nft list ruleset", nft_version())
    with bed_for(options) as bed, bed.node() as ns:
        measure_agent(bed, ns)
        for number in range(options.runs):
            result.ours.append(measure_agent(bed, ns))
            result.peer.append(measure_nft(ns, ["nft", "list", "ruleset"], bed.dir))
            note(f"run {number + 1}: ours {result.ours[-1]}\n       peer {result.peer[-1]}")
        bed.check_complete(ns, ns.output("nft", "--stateless", "list", "ruleset"))
    return result
