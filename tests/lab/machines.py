# SPDX-License-Identifier: Apache-2.0
"""Machines on one switch: agents that have their resources from a file, and real BIRDs around them."""
from __future__ import annotations

import json
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import programs
from .bird import Bird
from .kernel import CommandFailed, Namespace, veth
from .process import Process
from .registry import Registration
from .resources import Resource


@dataclass(frozen=True)
class BirdText:
    """A whole configuration but for the log and what every BIRD here has; `asn` is its own."""

    router_id: str
    text: str

    def render(self, log: Path) -> str:
        return (f'log "{log}" all;\nrouter id {self.router_id};\nprotocol device {{ scan time 1; }}\n'
                f'protocol direct {{ ipv4; ipv6; interface -"lo", "*"; }}\n{self.text}\n')


def bird_peer(name: str, peer: str, peer_asn: int, asn: int, exports: str = "all",
              more: str = "") -> str:
    return (f"protocol bgp {name} {{ local as {asn}; neighbor {peer} as {peer_asn}; {more}\n"
            "  hold time 9; keepalive time 3; connect delay time 1; connect retry time 1;\n"
            "  error wait time 1, 2; error forget time 2;\n"
            f"  ipv4 {{ import all; export {exports}; }}; }}\n")


def bird_static(*prefixes: str) -> str:
    routes = "".join(f"route {p} unreachable; " for p in prefixes)
    return f"protocol static {{ ipv4; {routes}}}\n"


class FileAgent:
    """margay-agent with --resources; `write` changes the file, and says so."""

    def __init__(self, ns: Namespace, name: str, directory: Path, resources: list[Resource],
                 *arguments: str, env: dict[str, str] | None = None):
        self.ns = ns
        self._file = directory / f"{name}.json"
        self.socket = directory / f"{name}.sock"
        self._save(resources)
        argv = [programs.binary(programs.AGENT_PROGRAM), "--socket", str(self.socket),
                "--resources", str(self._file), *arguments]
        env = {"FELIX_FELIXHOSTNAME": name, "FELIX_HEALTHENABLED": "true",
               "FELIX_PROMETHEUSMETRICSENABLED": "true"} | (env or {})
        self.process = Process(ns, name, argv, directory, env)
        self.process.wait_ready(30)

    def _save(self, resources: list[Resource]) -> None:
        self._file.write_text("\n---\n".join(json.dumps(r) for r in resources))

    def write(self, resources: list[Resource]) -> None:
        self._save(resources)
        self.process.send(signal.SIGHUP)

    def ctl(self, *arguments: str) -> str:
        """What margayctl prints; CommandFailed when it does not like the question."""
        argv = [programs.binary(programs.CTL_PROGRAM), *arguments, "--socket", str(self.socket)]
        return self.ns.run(argv).stdout

    def peers(self) -> dict[str, dict]:
        """What `bgp neighbors` says, by name."""
        return {p["name"]: p for p in json.loads(self.ctl("bgp", "neighbors", "-o", "json"))}

    def all_up(self, count: int) -> bool:
        peers = self.peers().values()
        return len(peers) == count and all(p["state"] == "up" for p in peers)


class Machines:
    """Use as a context manager."""

    def __init__(self) -> None:
        self._registration = Registration()
        self.dir = self._registration.dir
        self._processes: list[Process] = []
        self._namespaces: list[Namespace] = []
        self._switch = self._namespace("switch")
        self._switch.ip("link add br0 type bridge", "link set br0 up")

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *_) -> None:
        try:
            for process in self._processes:
                process.close()
            for ns in reversed(self._namespaces):
                ns.close()
        finally:
            self._registration.close()

    def _namespace(self, name: str) -> Namespace:
        ns = Namespace(f"{self._registration.id}-{name}")
        self._namespaces.append(ns)
        return ns

    def machine(self, name: str, *addresses: str) -> Namespace:
        """On the switch with its eth0."""
        ns = self._namespace(name)
        port = f"p-{name}"[:15]
        veth(self._switch, port, ns, "eth0")
        self._switch.ip(f"link set {port} master br0 up")
        ns.ip("link set eth0 up", *(f"addr add {a} dev eth0" for a in addresses))
        return ns

    def bird(self, ns: Namespace, name: str, config: BirdText) -> Bird:
        bird = Bird(ns, name, self.dir, config)
        self._processes.append(bird.process)
        return bird

    def program(self, ns: Namespace, name: str, argv: list[str]) -> Process:
        process = Process(ns, name, argv, self.dir)
        self._processes.append(process)
        return process

    def agent(self, ns: Namespace, name: str, resources: list[Resource],
              *arguments: str, env: dict[str, str] | None = None) -> FileAgent:
        agent = FileAgent(ns, name, self.dir, resources, *arguments, env=env)
        self._processes.append(agent.process)
        return agent

    def until(self, condition: Callable[[], bool], timeout: float = 30,
              explain: Callable[[], str] = lambda: "") -> None:
        """Until `condition` holds, asked every 50 ms. An OSError or a failed command is a no."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if condition():
                    return
            except (OSError, CommandFailed):
                pass  # not there yet
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout} s: {explain()}\n{self.logs()}")
            select.select([], [], [], 0.05)

    def logs(self) -> str:
        return "\n".join(p.log_tail() for p in self._processes)
