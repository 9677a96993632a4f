# SPDX-License-Identifier: Apache-2.0
"""BIRD 2 in a namespace: configuration from a few facts, and its control socket without birdc."""
from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from pathlib import Path

from .kernel import Namespace
from .process import Process

_BASE = """\
log "{log}" all;
router id {router_id};
protocol device {{ scan time 1; }}
protocol direct {{ ipv4; ipv6; interface -"lo", "*"; }}
protocol kernel {{ scan time 1; graceful restart on; ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol kernel {{ scan time 1; graceful restart on; ipv6 {{ import none; export where source = RTS_BGP; }}; }}
"""
_STATIC = """\
protocol static outside4 {{ ipv4; {v4} }}
protocol static outside6 {{ ipv6; {v6} }}
"""
_PEER = """\
protocol bgp {name} {{
  local {local} as {asn};
  neighbor {peer} as {peer_asn};
  hold time 9; keepalive time 3; graceful restart on;
  connect delay time 1; connect retry time 1; error wait time 1, 2; error forget time 2;
  ipv{family} {{ import {imports}; export {exports}; }};
}}
"""


@dataclass(frozen=True)
class BgpNeighbour:
    name: str
    local: str
    peer: str
    peer_asn: int
    imports: str = "all"
    exports: str = "where source ~ [RTS_STATIC, RTS_BGP]"


@dataclass
class BirdConfig:
    router_id: str
    asn: int
    neighbours: list[BgpNeighbour] = field(default_factory=list)
    announce: list[str] = field(default_factory=list)  # prefixes behind this router

    def render(self, log: Path) -> str:
        text = _BASE.format(log=log, router_id=self.router_id)
        routes = {4: "", 6: ""}
        for prefix in self.announce:
            routes[6 if ":" in prefix else 4] += f"route {prefix} unreachable; "
        text += _STATIC.format(v4=routes[4], v6=routes[6])
        for n in self.neighbours:
            text += _PEER.format(name=n.name, local=n.local, asn=self.asn, peer=n.peer,
                                 peer_asn=n.peer_asn, family=6 if ":" in n.peer else 4,
                                 imports=n.imports, exports=n.exports)
        return text


class Bird:
    """A running bird: `command` asks its control socket, `reconfigure` loads another config."""

    def __init__(self, ns: Namespace, name: str, directory: Path, config: BirdConfig):
        self._dir, self.name = directory, name
        self._conf = directory / f"{name}.conf"
        self._ctl = directory / f"{name}.ctl"
        self._ns = ns
        self._write(config)
        self._start()

    def _start(self, *more: str) -> None:
        self._ctl.unlink(missing_ok=True)
        self.process = Process(self._ns, self.name, ["bird", "-f", "-c", str(self._conf), "-s",
                                                     str(self._ctl), *more], self._dir)
        self.process.wait_path(self._ctl)

    def kill_and_recover(self) -> None:
        """It dies, its kernel routes stay, and its successor says so (RFC 4724)."""
        self.process.close()
        self._start("-R")

    def _write(self, config: BirdConfig) -> None:
        self._conf.write_text(config.render(self._dir / f"{self.name}.bird.log"))

    def reconfigure(self, config: BirdConfig) -> None:
        self._write(config)
        self.command("configure")

    def command(self, line: str, timeout: float = 5) -> str:
        """The text of one command's answer, codes stripped."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            sock.connect(str(self._ctl))
            answers = sock.makefile("r")
            answers.readline()  # 0001 BIRD 2.x ready.
            sock.sendall(line.encode() + b"\n")
            text = []
            for answer in answers:
                text.append(answer[5:].rstrip("\n") if answer[:4].isdigit() else answer[1:].rstrip("\n"))
                if answer[:4].isdigit() and answer[4] == " ":
                    break  # a code followed by a space ends the answer
        return "\n".join(text)

    def established(self) -> set[str]:
        """Names of BGP protocols whose session is up."""
        return {line.split()[0] for line in self.command("show protocols").splitlines()
                if " BGP " in line and line.rstrip().endswith("Established")}

    def routes(self) -> dict[str, list[str]]:
        """Prefix -> next hops of the routes that BIRD chose or holds, over both families."""
        found: dict[str, list[str]] = {}
        prefix = ""
        for line in self.command("show route").splitlines():
            if match := re.match(r"(\S+/\d+)\s", line):
                prefix = match[1]
                found.setdefault(prefix, [])
            if match := re.search(r"\bvia (\S+) on", line):
                found[prefix].append(match[1])
        return found
