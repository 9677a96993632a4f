# SPDX-License-Identifier: Apache-2.0
"""One host without typha: the agent owns the SQLite file and offers the Store service itself."""
import json
import signal

import pytest
from lab import programs, resources
from lab.lab import CROSS_SUBNET, Lab
from lab.probe import DROPPED
from lab.process import Process


class SingleHost:
    def __init__(self, lab):
        self.lab = lab
        self.node = lab.nodes["node-1"]
        self.socket = lab.dir / "agent-store.sock"
        self.process = None

    def start(self):
        argv = [programs.binary(programs.AGENT_PROGRAM), "--socket", str(self.lab.dir / "agent.sock"),
                "--datastore", f"sqlite://{self.lab.database}", "--store-socket", str(self.socket)]
        env = {"FELIX_FELIXHOSTNAME": self.node.name, "FELIX_HEALTHENABLED": "true"}
        self.process = Process(self.node.ns, "single", argv, self.lab.dir, env)
        self.process.wait_ready()

    def ctl(self, *arguments, stdin=None):
        argv = [programs.binary(programs.CTL_PROGRAM), *arguments, "--store", f"unix:{self.socket}"]
        return self.node.ns.run(argv, stdin=stdin).stdout

    def apply(self, *items):
        self.ctl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, items)))


@pytest.fixture(scope="module")
def host():
    with Lab("a", plans=(CROSS_SUBNET,)) as lab:
        host = SingleHost(lab)
        lab.put_keys(lab.base_keys())
        host.start()
        host.apply(*(r for r in lab.base_resources() if r["kind"] not in ("BGPPeer", "BGPFilter")))
        for name in ("one", "two"):
            host.apply(lab.endpoint(lab.add_pod(name, "node-1", CROSS_SUBNET.name, {"name": name},
                                                write=False)))
        yield host
        host.process.close()


def test_pods_reach_each_other_and_policy_is_enforced(host):
    host.lab.expect(host.lab.everyone())
    deny = resources.network_policy("closed", "name == 'one'", ingress=[])
    host.apply(deny)
    host.lab.expect(host.lab.paths("two", "one", DROPPED) | host.lab.paths("one", "two"))
    host.ctl("delete", "networkpolicy", "closed")
    host.lab.expect(host.lab.everyone())


def test_everything_is_there_after_a_kill(host):
    host.process.close()
    host.lab.expect(host.lab.everyone(), 2)
    host.start()
    assert "vxlan-v4" in host.ctl("get", "ippool")
    host.lab.expect(host.lab.everyone())


def test_everything_is_there_after_a_restart(host):
    assert host.process.stop() == 0
    host.start()
    assert "vxlan-v4" in host.ctl("get", "ippool")
    host.lab.expect(host.lab.everyone())


def test_a_second_agent_on_the_file_is_refused_and_the_first_named(host):
    argv = [programs.binary(programs.AGENT_PROGRAM), "--socket", str(host.lab.dir / "other.sock"),
            "--datastore", f"sqlite://{host.lab.database}"]
    second = Process(host.lab.fabric.typha, "second", argv, host.lab.dir,
                     {"FELIX_FELIXHOSTNAME": "node-1"})
    try:
        assert second.wait() not in (0, -signal.SIGKILL)
        assert str(host.process.pid) in second.log() and "margay-agent" in second.log()
    finally:
        second.close()
