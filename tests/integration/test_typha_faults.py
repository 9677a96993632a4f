# SPDX-License-Identifier: Apache-2.0
"""The way between agents and typha breaks in every manner; nothing in the kernel moves for it."""
import json
import shutil
import signal
from contextlib import contextmanager

import pytest
from lab import observe, programs, resources
from lab.cut import RESET, VANISH, cut
from lab.lab import CROSS_SUBNET, Lab
from lab.monitor import Monitor, changes
from lab.process import Process, usage_of
from lab.spare import spare_agent
from lab.topology import TYPHA

DENY = resources.network_policy("closed", "all()", ingress=[])
REPLICA = "172.31.9.11"
BALLAST = 200  # objects of 2 KB, so that a snapshot is much more than what is missed
PATIENCE = "1.5"  # the agents', in seconds; typha gives a sign of life three times as often


@pytest.fixture(scope="module")
def pair():
    """Two nodes with a pod each, whose agents know two typhas; only the first runs."""
    with Lab("ab", plans=(CROSS_SUBNET,)) as lab:
        lab.typha_options = ["--ping-interval", "0.5", "--client-cn", "typha-client,typha-server"]
        lab.fabric.typha.ip(f"addr add {REPLICA}/24 dev eth0")
        lab.fabric.start_birds()
        ballast = [resources.resource("GlobalNetworkSet", f"ballast-{i}",
                                      {"nets": [f"198.18.{i}.{n}/32" for n in range(100)]})
                   for i in range(BALLAST)]
        lab.put_keys(lab.base_keys()
                     | {resources.store_key(b, "globalnetworksets"): json.dumps(b) for b in ballast})
        lab.start_typha()
        lab.apply(*lab.base_resources())
        for node in lab.nodes:
            lab.start_agent(node, FELIX_TYPHAREADTIMEOUT=PATIENCE)
        for node in lab.nodes:
            lab.wait_agent_ready(node)
            lab.add_pod(f"on-{node}", node, CROSS_SUBNET.name)
        lab.expect(lab.everyone())
        yield lab


def sync_of(lab, node):
    return json.loads(lab.agent_ctl(node, "show", "sync", "-o", "json"))


def typha_metrics(lab):
    status, text = programs.http_get(lab.fabric.typha, programs.TYPHA_METRICS_PORT, "/metrics")
    assert status == 200, text
    return {name: float(value) for name, _, value in
            (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))}


def store_revision(lab):
    return typha_metrics(lab)["margay_typha_revision"]


def up_to_date(lab, timeout=15):
    """Every agent is connected and has all that the store has."""
    def settled():
        return all((s := sync_of(lab, n))["connected"] and "staleSince" not in s
                   and s["revision"] == store_revision(lab) for n in lab.nodes)
    lab.until(settled, timeout, lambda: str([sync_of(lab, n) for n in lab.nodes]))


@contextmanager
def nothing_moves(lab):
    """The kernels of all nodes hear of no change, and every pod reaches every other."""
    monitors = {name: Monitor(node.ns) for name, node in lab.nodes.items()}
    states = {name: observe.kernel_state(node.ns) for name, node in lab.nodes.items()}
    try:
        yield
        lab.expect(lab.everyone(), 2)
        for name, monitor in monitors.items():
            moved = changes(monitor.drain())
            assert not moved, f"{name}: {[str(e) for e in moved]}"
            assert observe.kernel_state(lab.nodes[name].ns) == states[name]
    finally:
        for monitor in monitors.values():
            monitor.close()


def says(lab, node, *words):
    """All words are in the readiness detail; the agent is ready all the same, for it forwards."""
    status, body = lab.agents[node].get("/readiness")
    return status == 200 and all(word in body for word in words)


def set_named(name, address="192.0.2.0/24"):
    return resources.resource("GlobalNetworkSet", name, {"nets": [address]})


@pytest.mark.parametrize("how, told", [(VANISH, "silent for"), (RESET, "not connected")],
                         ids=["packets vanish", "connections are reset"])
def test_a_break_is_noticed_and_only_what_was_missed_is_sent_afterwards(pair, how, told):
    up_to_date(pair)
    before = {n: sync_of(pair, n) for n in pair.nodes}
    missed = [set_named(f"missed-{i}") for i in range(3)]
    with nothing_moves(pair):
        with cut(pair.fabric.typha, how):
            for node in pair.nodes:
                pair.until(lambda: says(pair, node, told, "stays in force"), 15)
                assert "WARNING: sync:" in pair.agent_ctl(node, "node", "status")
                assert sync_of(pair, node)["staleSeconds"] > 0
                assert pair.agents[node].metrics()["margay_sync_connected"] == 0
            pair.apply(*missed)
            sent = typha_metrics(pair)
        up_to_date(pair)
    for node in pair.nodes:
        after = sync_of(pair, node)
        assert after["snapshots"] == before[node]["snapshots"]
        assert after["updates"] == before[node]["updates"] + len(missed)
        pair.until(lambda: pair.agents[node].metrics()["margay_sync_stale_seconds"] == 0)
        assert "WARNING: sync:" not in pair.agent_ctl(node, "node", "status")
    received = typha_metrics(pair)
    assert received["margay_typha_resumes_total"] >= sent["margay_typha_resumes_total"] + 2
    snapshot = received["margay_typha_cache_bytes"]
    resent = received["margay_typha_bytes_total"] - sent["margay_typha_bytes_total"]
    print(f"{resent:.0f} bytes sent to {len(pair.nodes)} agents, a snapshot is {snapshot:.0f}")
    assert resent < 8192 < snapshot / 20
    pair.delete(*missed)


def test_a_typha_that_is_too_slow_is_left_and_met_again(pair):
    """SIGSTOP: connections stand and new ones are taken by the kernel, but nothing is said."""
    up_to_date(pair)
    snapshots = {n: sync_of(pair, n)["snapshots"] for n in pair.nodes}
    with nothing_moves(pair):
        pair.typha.send(signal.SIGSTOP)
        try:
            for node in pair.nodes:
                pair.until(lambda: says(pair, node, "silent for", "stays in force"), 15)
        finally:
            pair.typha.send(signal.SIGCONT)
        up_to_date(pair, 30)
    assert {n: sync_of(pair, n)["snapshots"] for n in pair.nodes} == snapshots


def copy_of_the_store(lab, name):
    """typha is not running; its write-ahead log has been taken into the file or lies beside it."""
    files = list(lab.dir.glob("store.db*"))
    there = lab.dir / name
    there.mkdir()
    for file in files:
        if file.suffix != ".lock":
            shutil.copy(file, there / file.name)
    return there


def put_back(lab, copy):
    for file in lab.dir.glob("store.db*"):
        if file.suffix != ".lock":
            file.unlink()
    for file in copy.iterdir():
        shutil.copy(file, lab.dir / file.name)


def test_nothing_is_deleted_on_an_older_view_unless_it_was_restored_on_purpose(pair):
    up_to_date(pair)
    assert pair.typha.stop() == 0
    old = copy_of_the_store(pair, "old")
    pair.start_typha()
    pair.apply(DENY)
    pair.expect(pair.everyone("dropped"))
    up_to_date(pair)
    pair.typha.stop(signal.SIGKILL)
    put_back(pair, old)
    states = {n: observe.kernel_state(node.ns) for n, node in pair.nodes.items()}
    pair.start_typha()
    for node in pair.nodes:
        pair.until(lambda: says(pair, node, "older view", "--restored", "stays in force"), 15)
    pair.until(lambda: typha_metrics(pair)["margay_typha_refused_total"] >= 4, 15)
    pair.expect(pair.everyone("dropped"), 2)
    assert {n: observe.kernel_state(node.ns) for n, node in pair.nodes.items()} == states
    assert pair.typha.stop() == 0
    pair.start_typha(True, "--restored")
    pair.expect(pair.everyone(), 30)
    up_to_date(pair)


def load(lab, rounds, size=40_000, count=30):
    """Overwrites `count` values of `size` bytes, `rounds` times; of no kind that agents know."""
    for i in range(rounds):
        lab.put_keys({f"/calico/load/{n}": f"{i}" * size for n in range(count)})


def test_a_client_that_stops_reading_costs_nobody_anything(pair):
    """It is moved to a newer snapshot; typha's memory does not grow with what it has not taken."""
    load(pair, 1)
    with spare_agent(pair, pair.client_certificate) as slow:
        pair.until(lambda: slow.show("sync")["revision"] == store_revision(pair))
        up_to_date(pair)
        before, memory = slow.show("sync"), usage_of(pair.typha.pid).anon_mib
        with nothing_moves(pair):
            slow.process.send(signal.SIGSTOP)
            load(pair, 5)
            up_to_date(pair)  # the others
            grown = usage_of(pair.typha.pid).anon_mib - memory
            slow.process.send(signal.SIGCONT)
            pair.until(lambda: slow.show("sync")["revision"] == store_revision(pair), 30)
        after = slow.show("sync")
        print(f"6 MB written past a client that does not read: typha grew by {grown:.1f} MiB")
        assert grown < 12  # the log of changes, which all clients share, is 6 of them
        assert after["snapshots"] == before["snapshots"] + 1
        # Of what it missed it was sent the last version only.
        assert after["updates"] - before["updates"] < 3 * 30
        assert typha_metrics(pair)["margay_typha_overtaken_total"] >= 1


class Replica:
    """A second typha, fed by the first; `agents` know both."""

    def __init__(self, lab):
        argv = programs.typha_argv(lab.database, lab.store_socket, lab.server_certificate)
        argv = argv[:argv.index("--store-socket")]
        argv[argv.index("--datastore") + 1] = f"typha://{TYPHA[0]}:{programs.TYPHA_PORT}"
        argv[argv.index("--listen") + 1] = f"{REPLICA}:{programs.TYPHA_PORT}"
        argv += [*lab.typha_options, "--server-cn", "typha-server",
                 "--health-port", "9198", "--metrics-port", "9193"]
        self.process = Process(lab.fabric.typha, "replica", argv, lab.dir)
        self._ns = lab.fabric.typha
        self.process.wait_ready()

    def ready(self):
        return programs.http_get(self._ns, 9198, "/readiness")


@pytest.fixture(scope="module")
def two(pair):
    """From here on the agents know both, and are on the first, which owns the store, or the second."""
    replica = Replica(pair)
    both = f"{TYPHA[0]}:{programs.TYPHA_PORT},{REPLICA}:{programs.TYPHA_PORT}"
    try:
        for node in pair.nodes:
            pair.agents[node].stop()
            pair.start_agent(node, FELIX_TYPHAREADTIMEOUT=PATIENCE, FELIX_TYPHAADDR=both)
        for node in pair.nodes:
            pair.wait_agent_ready(node)
        up_to_date(pair)
        yield replica
    finally:
        replica.process.close()


def endpoint(lab, node):
    return sync_of(lab, node)["endpoint"].rpartition(":")[0]


def all_on(lab, address):
    return all((s := sync_of(lab, n))["connected"] and s["endpoint"].startswith(address)
               for n in lab.nodes)


def test_agents_fail_over_between_two_typhas(pair, two):
    snapshots = {n: sync_of(pair, n)["snapshots"] for n in pair.nodes}
    with nothing_moves(pair):
        # The replica vanishes without a word, then the owner dies, then the owner comes back.
        with cut(pair.fabric.typha, VANISH, REPLICA):
            pair.until(lambda: all_on(pair, TYPHA[0]), 15)
            up_to_date(pair)
        pair.typha.stop(signal.SIGKILL)
        pair.until(lambda: all_on(pair, REPLICA), 15)
        for node in pair.nodes:
            pair.until(lambda: says(pair, node, REPLICA, "cut off", "stays in force"), 15)
        status, body = two.ready()
        assert status == 200 and "not the newest" in body, body
        pair.start_typha()
        up_to_date(pair)
        assert two.ready() == (200, "ready\n")
        assert all_on(pair, REPLICA)
    assert {n: sync_of(pair, n)["snapshots"] for n in pair.nodes} == snapshots
    # What is written to the owner arrives through the replica.
    pair.apply(DENY)
    pair.expect(pair.everyone("dropped"))
    pair.delete(DENY)
    pair.expect(pair.everyone())


def test_an_agent_can_start_while_only_the_replica_is_there(pair, two):
    pair.typha.stop(signal.SIGKILL)
    try:
        pair.agents["node-1"].kill()
        pair.agents["node-1"].start(FELIX_TYPHAREADTIMEOUT=PATIENCE, FELIX_TYPHAADDR=",".join(
            f"{a}:{programs.TYPHA_PORT}" for a in (TYPHA[0], REPLICA)))
        pair.wait_agent_ready("node-1", 30)
        pair.expect(pair.everyone(), 5)
        assert endpoint(pair, "node-1") == REPLICA
    finally:
        pair.start_typha()
    up_to_date(pair)


def typha_peer(lab, node):
    """The address that the agent's connection leads to, as the kernel sees it."""
    lines = lab.nodes[node].ns.output("ss", "-Htn", "state", "established",
                                      f"dport = :{programs.TYPHA_PORT}").splitlines()
    return [line.split()[3].rpartition(":")[0].removeprefix("[::ffff:").strip("[]") for line in lines]


def test_a_name_with_several_addresses_is_as_good_as_a_list(pair, two):
    agent, addresses = pair.agents["node-1"], (TYPHA[0], REPLICA)
    hosts = pair.dir / "hosts"
    hosts.write_text("".join(f"{a} typhas.example\n" for a in addresses))
    agent.stop()
    agent.wrapper = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"',
                     str(hosts)]
    try:
        agent.start(FELIX_TYPHAREADTIMEOUT=PATIENCE,
                    FELIX_TYPHAADDR=f"typhas.example:{programs.TYPHA_PORT}")
        pair.wait_agent_ready("node-1")
        for how in (VANISH, RESET):  # there, and back
            up_to_date(pair)
            before = typha_peer(pair, "node-1")
            assert len(before) == 1 and before[0] in addresses
            with nothing_moves(pair), cut(pair.fabric.typha, how, before[0]):
                others = [a for a in addresses if a != before[0]]
                pair.until(lambda: sync_of(pair, "node-1")["connected"]
                           and others[0] in typha_peer(pair, "node-1"), 40)
        assert sync_of(pair, "node-1")["snapshots"] == 1
    finally:
        agent.kill()
        agent.wrapper = []
        pair.start_agent("node-1", FELIX_TYPHAREADTIMEOUT=PATIENCE)
        pair.wait_agent_ready("node-1")
    up_to_date(pair)
