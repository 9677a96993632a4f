# SPDX-License-Identifier: Apache-2.0
"""Margay's own programs as the lab runs them: where they are, their arguments, their environment."""
from __future__ import annotations

import http.client
import os
from pathlib import Path

from .certs import CLIENT_CN, SERVER_CN, Certificate
from .kernel import Namespace
from .process import Process
from .topology import TYPHA, Node

TYPHA_PORT = 5474
HEALTH_PORT, METRICS_PORT = 9099, 9091
TYPHA_HEALTH_PORT, TYPHA_METRICS_PORT = 9098, 9093
AGENT_PROGRAM, TYPHA_PROGRAM, CTL_PROGRAM = "margay-agent", "margay-typha", "margayctl"
STORE_PUT_PROGRAM = "margay-store-put"


def binary(name: str) -> str:
    """Path of a program of ours: $MARGAY_BIN, or the release build of this checkout."""
    default = Path(__file__).resolve().parents[2] / "build/release/bin"
    path = Path(os.environ.get("MARGAY_BIN") or default) / name
    if not path.exists():
        raise FileNotFoundError(f"{path}: build first (cmake --preset release; ninja -C "
                                "build/release), or run ./test or ./run, which do")
    return str(path)


def typha_argv(database: Path, store_socket: Path, certificate: Certificate) -> list[str]:
    return [binary(TYPHA_PROGRAM), "--datastore", f"sqlite://{database}",
            "--listen", f"{TYPHA[0]}:{TYPHA_PORT}", "--ca-file", str(certificate.ca),
            "--cert-file", str(certificate.cert), "--key-file", str(certificate.key),
            "--client-cn", CLIENT_CN, "--store-socket", str(store_socket)]


def agent_env(hostname: str, certificate: Certificate, address: str = TYPHA[0]) -> dict[str, str]:
    return {"FELIX_FELIXHOSTNAME": hostname,
            "FELIX_TYPHAADDR": f"{address}:{TYPHA_PORT}",
            "FELIX_TYPHACAFILE": str(certificate.ca),
            "FELIX_TYPHACERTFILE": str(certificate.cert),
            "FELIX_TYPHAKEYFILE": str(certificate.key),
            "FELIX_TYPHACN": SERVER_CN,
            "FELIX_HEALTHENABLED": "true",
            "FELIX_HEALTHPORT": str(HEALTH_PORT),
            "FELIX_PROMETHEUSMETRICSENABLED": "true",
            "FELIX_PROMETHEUSMETRICSPORT": str(METRICS_PORT)}


class Agent:
    """The agent of one node: started, stopped and restarted by tests; asked over HTTP."""

    def __init__(self, node: Node, directory: Path, certificate: Certificate):
        self.node, self._dir = node, directory
        self.socket = directory / f"{node.name}.sock"
        self.env = agent_env(node.name, certificate)
        self.arguments: list[str] = []
        self.wrapper: list[str] = []  # a command that becomes the agent
        self.process: Process | None = None

    def start(self, **env: str) -> Process:
        assert self.process is None or not self.process.alive, f"{self.node.name} runs already"
        self.process = Process(self.node.ns, self.node.name,
                               [*self.wrapper, binary(AGENT_PROGRAM), "--socket", str(self.socket),
                                *self.arguments], self._dir, self.env | env)
        return self.process

    def stop(self) -> int:
        assert self.process is not None
        return self.process.stop()

    def kill(self) -> None:
        assert self.process is not None
        self.process.close()

    def get(self, path: str, port: int = HEALTH_PORT) -> tuple[int, str]:
        return http_get(self.node.ns, port, path)

    def metrics(self) -> dict[str, float]:
        return metrics_of(self.node.ns)


def metrics_of(ns: Namespace) -> dict[str, float]:
    """Every sample of the agent in there, by its name with labels."""
    status, text = http_get(ns, METRICS_PORT, "/metrics")
    assert status == 200, text
    samples = (line.rpartition(" ") for line in text.splitlines()
               if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def http_get(ns: Namespace, port: int, path: str, timeout: float = 5) -> tuple[int, str]:
    """Status and body from a server on the namespace's own loopback."""

    def ask() -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    return ns.within(ask)
