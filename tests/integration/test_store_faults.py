# SPDX-License-Identifier: Apache-2.0
"""The store's disk is full, cannot be written, or its owner is killed in the middle of a write: what
was in force stays, it is said since when, and it goes on when the disk does. Of margay-typha and of
an agent that owns the store of a single host."""
import json
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import observe, programs, resources
from lab.kernel import CommandFailed, run
from lab.lab import CROSS_SUBNET, Lab
from lab.process import Process

OPEN = resources.network_policy("gate", "all()", ingress=[{"action": "Allow"}])
CLOSED = resources.network_policy("gate", "all()", ingress=[])


class Owner:
    """A program that owns a store; margayctl speaks to it through `socket`."""

    def __init__(self, lab, ns, argv, env, health_port):
        self.lab, self.ns, self.env, self.argv = lab, ns, env, argv
        self.health_port = health_port
        self.socket = lab.dir / "owner.sock"
        self.process = None

    def start(self, *wrapper, more=()):
        argv = [*wrapper, *self.argv, *more]
        self.process = Process(self.ns, "owner", argv, self.lab.dir, self.env)
        self.process.wait_ready(20)

    def ctl(self, *arguments, stdin=None, check=True):
        argv = [programs.binary(programs.CTL_PROGRAM), *arguments, "--store", f"unix:{self.socket}"]
        return self.ns.run(argv, stdin=stdin, check=check)

    def apply(self, *items, check=True):
        return self.ctl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, items)), check=check)

    def says(self, *words):
        status, body = programs.http_get(self.ns, self.health_port, "/readiness")
        return status == 200 and all(w in body for w in words)


def single_host(lab):
    node = lab.nodes["node-1"]
    argv = [programs.binary(programs.AGENT_PROGRAM), "--socket", str(lab.dir / "agent.sock"),
            "--datastore", f"sqlite://{lab.database}", "--store-socket", str(lab.dir / "owner.sock")]
    return Owner(lab, node.ns, argv, {"FELIX_FELIXHOSTNAME": node.name,
                                      "FELIX_HEALTHENABLED": "true"}, programs.HEALTH_PORT)


def typha(lab):
    argv = programs.typha_argv(lab.database, lab.dir / "owner.sock", lab.server_certificate)
    return Owner(lab, lab.fabric.typha, [*argv, "--ping-interval", "0.3"], {},
                 programs.TYPHA_HEALTH_PORT)


class DiskLab(Lab):
    """Its database is in a directory of its own, so that it can be on a disk of its own."""

    @property
    def database(self):
        return self.dir / "disk" / "store.db"


@pytest.fixture(scope="module", params=[single_host, typha])
def owner(request):
    with DiskLab("a", plans=(CROSS_SUBNET,)) as lab:
        lab.database.parent.mkdir()
        lab.put_keys(lab.base_keys())
        owner = request.param(lab)
        try:
            owner.start()
            owner.apply(*(r for r in lab.base_resources() if r["kind"] not in ("BGPPeer", "BGPFilter")))
            owner.has_agent = request.param is typha
            if owner.has_agent:
                lab.start_agent("node-1", FELIX_TYPHAREADTIMEOUT="2")
                lab.wait_agent_ready("node-1")
            owner.apply(OPEN, *(lab.endpoint(lab.add_pod(n, "node-1", CROSS_SUBNET.name, write=False))
                                for n in ("one", "two")))
            lab.expect(lab.everyone())
            yield owner
        finally:
            if owner.process:
                owner.process.close()


@pytest.fixture
def small_disk(owner):
    """The owner runs with its directory on a file system of 3 MB, which only it sees."""
    disk = owner.lab.database.parent
    owner.process.stop()
    # A mount namespace of its own: it is gone when the process is.
    script = (f'mkdir "{disk}.real"; mount --make-rprivate / && mount --bind "{disk}" "{disk}.real" '
              f'&& mount -t tmpfs -o size=3m margay-test "{disk}" && cp "{disk}.real"/* "{disk}" '
              '&& exec "$@"')
    owner.start("unshare", "--mount", "sh", "-c", script, "sh")
    owner.lab.expect(owner.lab.everyone())
    yield Path(f"/proc/{owner.process.pid}/root{disk}")
    owner.process.stop()
    Path(f"{disk}.real").rmdir()
    # The file as it was before: agents of typha must be told that this is meant.
    owner.start(more=["--restored"] if owner.has_agent else [])
    owner.lab.expect(owner.lab.everyone())


@contextmanager
def in_force(owner):
    ns = owner.lab.nodes["node-1"].ns
    state = observe.kernel_state(ns)
    yield
    assert owner.process.alive
    owner.lab.expect(owner.lab.everyone(), 2)
    assert observe.kernel_state(ns) == state


def refused_and_said(owner, words, says):
    done = owner.apply(CLOSED, check=False)
    assert done.returncode == 1 and all(w in done.stderr for w in words), done
    owner.lab.until(lambda: owner.says("no write possible", says, "stays"), 5,
                    lambda: str(programs.http_get(owner.ns, owner.health_port, "/readiness")))
    if not owner.has_agent:
        status = owner.ns.run([programs.binary(programs.CTL_PROGRAM), "node", "status", "--socket",
                               str(owner.lab.dir / "agent.sock")]).stdout
        assert "WARNING: datastore: no write possible since" in status
    assert "vxlan-v4" in owner.ctl("get", "ippool").stdout  # reading goes on


def works_again(owner):
    owner.lab.until(lambda: owner.apply(CLOSED, check=False).returncode == 0)
    owner.lab.expect(owner.lab.everyone("dropped"))
    assert not owner.says("no write possible")
    owner.apply(OPEN)
    owner.lab.expect(owner.lab.everyone())


def test_a_full_disk(owner, small_disk):
    filler = small_disk / "filler"
    with in_force(owner):
        with open(filler, "wb", buffering=0) as file:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(65536))
        refused_and_said(owner, ["disk full"], "disk full")
    filler.unlink()
    works_again(owner)


def test_a_file_that_becomes_read_only(owner):
    """The immutable flag keeps even those out who have the file open."""
    files = [str(f) for f in owner.lab.database.parent.glob("store.db*") if f.suffix != ".lock"]
    try:
        run(["chattr", "+i", *files])
    except CommandFailed as error:
        pytest.skip(f"this file system has no immutable flag: {error}")
    try:
        with in_force(owner):
            refused_and_said(owner, ["store.db"], "store.db")
    finally:
        run(["chattr", "-i", *files])
    works_again(owner)


def test_an_owner_that_starts_on_a_read_only_file_says_so_and_ends(owner):
    """What it was there for goes on without it."""
    disk = owner.lab.database.parent
    owner.process.stop()
    state = observe.kernel_state(owner.lab.nodes["node-1"].ns)
    script = f'mount --make-rprivate / && mount --bind -o ro "{disk}" "{disk}" && exec "$@"'
    failed = Process(owner.ns, "read-only", ["unshare", "--mount", "sh", "-c", script, "sh",
                                             *owner.argv], owner.lab.dir, owner.env)
    try:
        assert failed.wait() == 1
        assert "store.db" in failed.log() and "Read-only file system" in failed.log()
    finally:
        failed.close()
    if owner.has_agent:
        agent = owner.lab.agents["node-1"]
        owner.lab.until(lambda: "stays in force" in agent.get("/readiness")[1])
    assert observe.kernel_state(owner.lab.nodes["node-1"].ns) == state
    owner.lab.expect(owner.lab.everyone(), 2)
    owner.start()
    works_again(owner)


def test_killed_in_the_middle_of_a_write(owner):
    """What was acknowledged is there, what was not may be; the store opens, and nothing moved."""
    for round_ in range(3):
        argv = [programs.binary(programs.STORE_PUT_PROGRAM), "--store", f"unix:{owner.socket}",
                "--each-line"]
        with owner.ns.spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True) as writer:
            lines = "".join(f"/calico/kill/{round_}/{i}\t{'x' * 20_000}\n" for i in range(40))
            writer.stdin.write(lines)
            writer.stdin.flush()
            acknowledged = 0
            for line in writer.stdout:
                acknowledged += line == "done\n"
                if acknowledged == 5 + 3 * round_:
                    owner.process.send(signal.SIGKILL)  # the next write is under way
            writer.stdin.close()
        assert acknowledged < 40
        assert owner.process.wait() == -signal.SIGKILL
        owner.process.close()
        owner.lab.expect(owner.lab.everyone(), 2)
        owner.start()
        held = stored(owner, f"/calico/kill/{round_}/")
        assert held in (acknowledged, acknowledged + 1), (held, acknowledged)
    works_again(owner)


def stored(owner, prefix):
    """How many keys there are, as the file itself says; its owner is stopped for that."""
    owner.process.stop()
    done = run(["/usr/bin/python3", "-c", "import sqlite3, sys; print(sqlite3.connect(sys.argv[1])"
                ".execute('SELECT count(*) FROM keys WHERE key LIKE ?', (sys.argv[2] + '%',))"
                ".fetchone()[0])", str(owner.lab.database), prefix])
    owner.start()
    return int(done)
