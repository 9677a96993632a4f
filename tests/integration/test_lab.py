# SPDX-License-Identifier: Apache-2.0
"""The lab itself, with routes written by hand instead of agents: it sees what is there, and cleans up."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import kernel, registry
from lab.lab import CROSS_SUBNET, Lab
from lab.monitor import Monitor
from lab.probe import DROPPED, REFUSED, ConnectivityError
from lab.process import Process, ProcessFailed


@pytest.fixture(scope="module")
def plain():
    """Two nodes in two racks, a pod on each, no agent."""
    with Lab("ab") as lab:
        lab.fabric.start_birds()
        for node in lab.nodes:
            lab.add_pod(f"p-{node}", node, CROSS_SUBNET.name, write=False)
        lab.fabric.route_statically()
        yield lab


def test_probes_tell_allowed_refused_and_dropped(plain):
    wanted = plain.everyone()
    wanted |= plain.paths("*", "tor") | plain.paths("tor", "*", protocol="udp")
    wanted |= plain.paths("*", "*", REFUSED, port=7) | plain.paths("*", "*", REFUSED, "udp", 7)
    assert len(wanted) == 12 + 4 + 4 + 4 + 4
    plain.expect(wanted)
    node = plain.nodes["node-2"].ns
    node.run(["nft", "-f", "-"], "table inet x { chain f { type filter hook forward priority 0; "
             "tcp dport 80 drop\n}\n}")
    blocked = plain.paths("p-node-1", "p-node-2", DROPPED)
    assert set(plain.expect(blocked).values()) == {DROPPED}
    node.run(["nft", "delete", "table", "inet", "x"])
    plain.expect(plain.paths("p-node-1", "p-node-2"))


def test_a_difference_is_told_readably(plain):
    with pytest.raises(ConnectivityError) as error:
        plain.expect(plain.paths("p-node-1", "p-node-2", DROPPED, families=[6]), timeout=0.1)
    assert "p-node-1 -> p-node-2 tcp/80 v6 (fd00:65::2:2): expected dropped, got allowed" \
        in str(error.value)


def test_the_router_learns_what_the_tor_announces(plain):
    birds = plain.fabric.birds
    with Monitor(plain.fabric.router, nftables=False) as monitor:
        plain.until(lambda: len(birds["router"].established()) == 2)
        config = plain.fabric.tor_config()
        config.announce.append("203.0.113.0/24")
        birds["tor"].reconfigure(config)
        event = monitor.wait(lambda e: e.kind == "route" and e.detail["dst"] == "203.0.113.0/24")
        assert event.detail["via"] == "172.31.1.254" and event.detail["protocol"] == 12
        assert birds["router"].routes()["203.0.113.0/24"] == ["172.31.1.254"]


def test_a_monitor_counts_kernel_changes(plain):
    ns = plain.nodes["node-1"].ns
    with Monitor(ns) as monitor:
        ns.run(["nft", "-f", "-"], "table ip t { set s { type ipv4_addr; elements = { 1.2.3.4, "
               "1.2.3.5 }; }\n chain c { tcp dport 1 accept\n}\n}")
        ns.ip("route add 192.0.2.0/24 via 172.31.1.1 proto 80",
              "neigh add 172.31.1.99 lladdr 02:00:00:00:00:01 dev eth0 nud permanent")
        ns.run(["nft", "delete", "table", "ip", "t"])
        ns.ip("route del 192.0.2.0/24", "neigh del 172.31.1.99 dev eth0")
        seen = monitor.quiet(0.05)
    added = [e for e in seen if e.kind == "nft-element" and not e.deleted]
    assert sum(e.detail["count"] for e in added) == 2
    events = [str(e) for e in seen]
    assert "+nft-rule table=t chain=c" in events and "-nft-table table=t" in events
    for start in ("+route dst=192.0.2.0/24 protocol=80", "-route dst=192.0.2.0/24",
                  "+neighbour address=172.31.1.99", "-neighbour address=172.31.1.99"):
        assert any(e.startswith(start) for e in events), events


def test_a_program_that_ends_early_is_reported_with_its_log(plain):
    process = Process(plain.nodes["node-1"].ns, "broken",
                      ["sh", "-c", "echo something went wrong; exit 3"], plain.dir)
    with pytest.raises(ProcessFailed, match="ended with 3(?s:.*)something went wrong"):
        process.wait_ready()
    process.close()


def test_what_a_killed_runner_left_is_removed_by_the_next(tmp_path):
    script = tmp_path / "runner.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from lab.lab import Lab\n"
        "lab = Lab('a'); lab.fabric.start_birds(); print(lab.dir.name, flush=True)\n"
        "sys.stdin.read()\n")
    tests = str(Path(__file__).resolve().parents[1])
    runner = subprocess.Popen([sys.executable, str(script), tests], stdout=subprocess.PIPE,
                              stdin=subprocess.PIPE, text=True)
    lab_id = runner.stdout.readline().strip()
    inodes = [os.stat(kernel.NETNS_DIR / n).st_ino for n in kernel.namespaces(lab_id)]
    assert len(inodes) == 4 and kernel.processes_in(inodes)
    assert lab_id not in registry.sweep(), "a live lab was swept"
    runner.send_signal(signal.SIGKILL)
    runner.communicate()
    assert lab_id in registry.sweep()
    assert not kernel.namespaces(lab_id) and not kernel.processes_in(inodes)
    assert not (registry.ROOT / lab_id).exists()


def test_an_interrupted_lab_cleans_up():
    with pytest.raises(KeyboardInterrupt):
        with Lab("a") as lab:
            lab_id = lab.dir.name
            raise KeyboardInterrupt
    assert not kernel.namespaces(lab_id) and not (registry.ROOT / lab_id).exists()


def test_certificates_are_what_they_say(plain):
    bad = plain.authority.issue_expired("late", "typha-client")
    good = plain.client_certificate
    verify = ["openssl", "verify", "-CAfile", str(good.ca)]
    kernel.run([*verify, str(good.cert)])
    with pytest.raises(kernel.CommandFailed, match="certificate has expired"):
        kernel.run([*verify, str(bad.cert)])
