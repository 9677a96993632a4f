# SPDX-License-Identifier: Apache-2.0
"""One machine without Typha: the agent owns the SQLite file and offers it to margayctl itself."""
import json
import signal
import subprocess

import pytest
from lab import kernel, programs, resources
from lab.monitor import Monitor
from lab.process import Process
from lab.registry import Registration

NODE = "solo"


class SingleHost:
    def __init__(self, registration: Registration):
        self.dir = registration.dir
        self.ns = kernel.Namespace(f"{registration.id}-solo")
        self.ns.ip("link set lo up", "link add eth0 type veth peer name far",
                   "addr add 192.0.2.1/24 dev eth0", "link set eth0 up", "link set far up")
        self.store = self.dir / "store.sock"
        self.agent = self.start("agent")

    def start(self, name: str) -> Process:
        argv = [programs.binary(programs.AGENT_PROGRAM), "--socket", str(self.dir / f"{name}.sock"),
                "--datastore", f"sqlite://{self.dir}/store.db", "--store-socket", str(self.store)]
        env = {"FELIX_FELIXHOSTNAME": NODE, "CALICO_NETWORKING_BACKEND": "none"}
        return Process(self.ns, name, argv, self.dir, env)

    def programmed(self) -> bool:
        return ("10.65.0.2 dev cali0000001" in self.ns.run(["ip", "route"]).stdout
                and "cali0000001" in self.ns.run(["nft", "list", "map", "inet", "margay",
                                                  "from-workload"], check=False).stdout)

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        argv = [programs.binary(programs.CTL_PROGRAM), *arguments, "--store", f"unix:{self.store}"]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def host():
    registration = Registration()
    try:
        single = SingleHost(registration)
        single.agent.wait_ready(10)
        yield single
    finally:
        registration.close()


def test_what_is_applied_through_the_agent_is_in_its_kernel(host):
    host.ns.ip("link add cali0000001 type veth peer name pod", "link set cali0000001 up")
    items = [resources.profile("default"),
             resources.workload_endpoint(NODE, "pod", "cali0000001", ["10.65.0.2"],
                                         "02:00:00:00:00:02")]
    with Monitor(host.ns) as monitor:
        host.ctl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(i) for i in items))
        while not host.programmed():
            monitor.wait(lambda event: True, 5)
    assert "10.65.0.2/32" in host.ctl("get", "workloadendpoint", "-o", "wide")


def test_a_second_agent_is_refused_and_the_first_named(host):
    second = host.start("second")
    try:
        assert second.wait(10) not in (0, -signal.SIGKILL)
        assert str(host.agent.pid) in second.log() and "margay-agent" in second.log()
    finally:
        second.close()
    assert host.agent.alive


def test_what_was_applied_is_there_after_a_restart(host):
    assert host.agent.stop() == 0
    host.agent = host.start("agent")
    host.agent.wait_ready(10)
    assert "10.65.0.2/32" in host.ctl("get", "workloadendpoint", "-o", "wide")
    assert host.programmed()
