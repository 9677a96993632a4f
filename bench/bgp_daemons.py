# SPDX-License-Identifier: Apache-2.0
"""The BGP daemons that Margay is measured against, each with the configuration that suits it best:
as passive neighbour of many speakers, reflecting between them or not, with the kernel or without.
"""
from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from lab import kernel
from lab.process import Process

ROUTER = "10.20.0.1"  # the machine under test
CLUSTER_ID = "1.0.0.1"


@dataclass(frozen=True)
class Plan:
    """What the machine under test is to be."""

    speakers: list[tuple[str, int]]  # address and AS number of each
    asn: int = 64512
    reflects: bool = False
    kernel: bool = False  # routes go there

    def internal(self, asn: int) -> bool:
        return asn == self.asn


class Daemon:
    """A running daemon. `pids` are all its processes, `text` is its configuration."""

    name, package, file = "", "", ""

    def __init__(self, ns: kernel.Namespace, directory: Path, plan: Plan):
        self._ns, self._dir, self._plan = ns, directory, plan
        directory.mkdir(mode=0o755)
        self.text = self._render()
        config = directory / self.file
        config.write_text(self.text)
        config.chmod(0o600)
        self.processes = self._start(config)

    @property
    def process(self) -> Process:
        return self.processes[-1]

    @property
    def pids(self) -> list[int]:
        return [pid for process in self.processes for pid in _descendants(process.pid)]

    def close(self) -> None:
        for process in self.processes:
            process.close()

    def short_text(self) -> str:
        """Its configuration with one speaker; the others differ in their address."""
        few = Plan(self._plan.speakers[:1], self._plan.asn, self._plan.reflects, self._plan.kernel)
        whole, self._plan = self._plan, few
        try:
            return self._render()
        finally:
            self._plan = whole

    @classmethod
    def version(cls) -> str:
        return kernel.run(["dpkg-query", "-W", "-f", "${Version}", cls.package]).strip()

    def _run(self, name: str, argv: list[str]) -> Process:
        return Process(self._ns, name, argv, self._dir)

    def _render(self) -> str:
        raise NotImplementedError

    def _start(self, config: Path) -> list[Process]:
        raise NotImplementedError


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [found for child in children for found in _descendants(int(child))]


class Bird(Daemon):
    name, package, file = "bird", "bird2", "bird.conf"

    def _render(self) -> str:
        plan = self._plan
        text = [f"router id {ROUTER};", "protocol device { scan time 60; }",
                "protocol direct { ipv4; }"]
        if plan.kernel:
            text.append("protocol kernel { scan time 60; ipv4 { import none; "
                        "export where source = RTS_BGP; }; }")
        for index, (address, asn) in enumerate(plan.speakers):
            client = f" rr client; rr cluster id {CLUSTER_ID};" if plan.reflects else ""
            hop = " next hop keep;" if plan.internal(asn) else ""
            text.append(f"protocol bgp p{index} {{ local {ROUTER} as {plan.asn}; neighbor "
                        f"{address} as {asn}; passive yes; hold time 90;{client} "
                        f"ipv4 {{ import all; export all;{hop} }}; }}")
        return "\n".join(text) + "\n"

    def _start(self, config: Path) -> list[Process]:
        return [self._run("bird", ["bird", "-f", "-c", str(config), "-s",
                                   str(self._dir / "bird.ctl")])]


class Frr(Daemon):
    name, package, file = "frr", "frr", "frr.conf"

    def _render(self) -> str:
        plan = self._plan
        text = [f"router bgp {plan.asn}", f" bgp router-id {ROUTER}", " coalesce-time 0",
                " no bgp ebgp-requires-policy", " no bgp default ipv4-unicast",
                " no bgp network import-check"]
        if plan.reflects:
            text.append(f" bgp cluster-id {CLUSTER_ID}")
        kinds = sorted({asn for _, asn in plan.speakers})
        for asn in kinds:
            text += [f" neighbor G{asn} peer-group", f" neighbor G{asn} remote-as {asn}",
                     f" neighbor G{asn} passive", f" neighbor G{asn} advertisement-interval 0",
                     f" neighbor G{asn} timers 30 90"]
        text += [f" neighbor {address} peer-group G{asn}" for address, asn in plan.speakers]
        text.append(" address-family ipv4 unicast")
        for asn in kinds:
            text.append(f"  neighbor G{asn} activate")
            if plan.reflects:
                text.append(f"  neighbor G{asn} route-reflector-client")
        return "\n".join([*text, " exit-address-family"]) + "\n"

    def _start(self, config: Path) -> list[Process]:
        # Its programs run as users of their own.
        for path in (self._dir, config):
            shutil.chown(path, "frr", "frr")
        own = ["--vty_socket", str(self._dir), "-f", str(config)]
        api = ["-z", str(self._dir / "zserv.api")]
        started = []
        if self._plan.kernel:
            (self._dir / "zebra.conf").write_text("")
            started.append(self._run("zebra", ["/usr/lib/frr/zebra", *own[:-1],
                                               str(self._dir / "zebra.conf"), *api, "-i",
                                               str(self._dir / "zebra.pid")]))
            started[0].wait_path(self._dir / "zserv.api")
        more = api if self._plan.kernel else ["-Z"]
        started.append(self._run("bgpd", ["/usr/lib/frr/bgpd", *own, *more, "-i",
                                          str(self._dir / "bgpd.pid")]))
        return started


class Gobgp(Daemon):
    name, package, file = "gobgp", "gobgpd", "gobgp.toml"

    def _render(self) -> str:
        plan = self._plan
        text = ["[global.config]", f"as = {plan.asn}", f'router-id = "{ROUTER}"']
        for address, asn in plan.speakers:
            text += ["[[neighbors]]", "[neighbors.config]", f'neighbor-address = "{address}"',
                     f"peer-as = {asn}", "[neighbors.transport.config]", "passive-mode = true",
                     "[neighbors.timers.config]", "hold-time = 90", "keepalive-interval = 30"]
            if plan.reflects:
                text += ["[neighbors.route-reflector.config]", "route-reflector-client = true",
                         f'route-reflector-cluster-id = "{CLUSTER_ID}"']
        return "\n".join(text) + "\n"

    def _start(self, config: Path) -> list[Process]:
        return [self._run("gobgpd", ["gobgpd", "-f", str(config), "--pprof-disable",
                                     "--api-hosts", "127.0.0.1:50051", "-l", "error"])]


class OpenBgpd(Daemon):
    name, package, file = "openbgpd", "openbgpd", "bgpd.conf"

    def _render(self) -> str:
        plan = self._plan
        text = [f"AS {plan.asn}", f"router-id {ROUTER}", "fib-update no", "holdtime 90",
                f"listen on {ROUTER}", "nexthop qualify via default",
                f'socket "{self._dir}/bgpd.ctl"']
        for address, asn in plan.speakers:
            client = f" route-reflector {CLUSTER_ID}\n" if plan.reflects else ""
            text.append(f"neighbor {address} {{\n remote-as {asn}\n passive\n{client}"
                        " announce IPv4 unicast\n}")
        return "\n".join([*text, "allow from any", "allow to any"]) + "\n"

    def _start(self, config: Path) -> list[Process]:
        # Its unit gives it a folder to lock itself into; here that is one of its own.
        script = ("mount -t tmpfs none /run && mkdir /run/openbgpd && "
                  f"exec /usr/sbin/bgpd -d -f {config}")
        return [self._run("openbgpd", ["unshare", "-m", "sh", "-c", script])]


DAEMONS = {daemon.name: daemon for daemon in (Bird, Frr, Gobgp, OpenBgpd)}


def wait_listening(ns: kernel.Namespace, process: Process, port: int, timeout: float = 60) -> None:
    """Until somebody accepts connections on the port, of which the kernel tells nobody: asked again
    every 20 ms."""
    deadline = time.monotonic() + timeout
    pattern = re.compile(rf"^\s*\d+: \w+:{port:04X} \w+:0000 0A", re.M)
    while not pattern.search(ns.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"]).stdout):
        if process.ends_within(0.02) or time.monotonic() > deadline:
            raise RuntimeError(f"nobody listens on port {port}\n{process.log_tail()}")
