# SPDX-License-Identifier: Apache-2.0
"""An agent in the namespace of typha, which no other test looks at: for certificates and stops."""
from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from . import programs
from .certs import Certificate
from .lab import Lab
from .process import Process


class Spare:
    def __init__(self, lab: Lab, certificate: Certificate, env: dict[str, str]):
        self._ns = lab.fabric.typha
        self._socket = lab.dir / "spare.sock"
        argv = [programs.binary(programs.AGENT_PROGRAM), "--socket", str(self._socket)]
        self.process = Process(self._ns, "spare", argv, lab.dir,
                               programs.agent_env("spare", certificate) | env)

    def get(self, path: str) -> tuple[int, str]:
        return programs.http_get(self._ns, programs.HEALTH_PORT, path)

    def show(self, subsystem: str) -> dict:
        done = self._ns.run([programs.binary(programs.CTL_PROGRAM), "show", subsystem, "-o", "json",
                             "--socket", str(self._socket)])
        return json.loads(done.stdout)

    def log(self) -> str:
        return self.process.log()


@contextmanager
def spare_agent(lab: Lab, certificate: Certificate, **env: str) -> Iterator[Spare]:
    agent = Spare(lab, certificate, env)
    try:
        yield agent
    finally:
        agent.process.close()
        lab.fabric.typha.run(["nft", "flush", "ruleset"])
