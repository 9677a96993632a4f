# SPDX-License-Identifier: Apache-2.0
"""margay-typha late, gone, replaced by nonsense; certificates that are refused; the file's one owner."""
import json
import signal
import socket
import ssl
from contextlib import contextmanager

import pytest
from lab import certs, impostor, observe, programs, resources
from lab.lab import CROSS_SUBNET, Lab
from lab.process import Process
from lab.spare import spare_agent
from lab.topology import TYPHA

DENY = resources.network_policy("closed", "all()", ingress=[])


@pytest.fixture(scope="module")
def pair():
    """Two nodes, one pod each; the agents are started before there is a typha."""
    with Lab("ab", plans=(CROSS_SUBNET,)) as lab:
        lab.fabric.start_birds()
        lab.put_keys(lab.base_keys())
        for node in lab.nodes:
            lab.start_agent(node)
        for node in lab.nodes:
            lab.until(lambda: "typha" in lab.agents[node].get("/readiness")[1]
                      or lab.agents[node].get("/readiness")[0] == 503)
        lab.start_typha()
        lab.apply(*lab.base_resources())
        for node in lab.nodes:
            lab.add_pod(f"on-{node}", node, CROSS_SUBNET.name)
        yield lab


def test_typha_may_start_after_the_agents(pair):
    for node in pair.nodes:
        pair.wait_agent_ready(node)
    pair.expect(pair.everyone(), 30)


@contextmanager
def without_typha(lab, number=signal.SIGTERM):
    lab.typha.stop(number)
    try:
        yield
    finally:
        lab.start_typha()
        for node in lab.nodes:
            lab.wait_agent_ready(node, 30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_forwarding_stays_while_typha_is_gone(pair, number):
    pair.expect(pair.everyone())
    states = {n.name: observe.kernel_state(n.ns) for n in pair.nodes.values()}
    with without_typha(pair, number):
        pair.expect(pair.everyone(), 2)
        for node in pair.nodes.values():
            assert observe.kernel_state(node.ns) == states[node.name]
            pair.until(lambda: "not connected" in pair.agents[node.name].get("/readiness")[1], 10)
    for node in pair.nodes.values():
        assert observe.kernel_state(node.ns) == states[node.name]


def test_what_changed_while_typha_was_gone_is_caught_up(pair):
    pair.apply(DENY)
    pair.expect(pair.everyone("dropped"))
    pair.agents["node-1"].process.send(signal.SIGSTOP)
    try:
        pair.delete(DENY)
        pair.typha.stop(signal.SIGKILL)
        pair.start_typha()
    finally:
        pair.agents["node-1"].process.send(signal.SIGCONT)
    pair.expect(pair.everyone(), 30)


@pytest.mark.parametrize("says", [impostor.noise, impostor.huge_frame, impostor.bad_message])
def test_nonsense_from_typha_changes_nothing(pair, says):
    pair.expect(pair.everyone())
    states = {n.name: observe.kernel_state(n.ns) for n in pair.nodes.values()}
    with without_typha(pair):
        fake = impostor.Impostor(pair.fabric.typha, pair.server_certificate, says)
        try:
            fake.wait_for_victims(3)
        finally:
            fake.close()
        for node in pair.nodes.values():
            assert pair.agents[node.name].process.alive
            assert observe.kernel_state(node.ns) == states[node.name]
        pair.expect(pair.everyone(), 2)


def refused(lab, certificate):
    """A handshake with typha fails, and the agent says so, before any resource arrives."""

    def connect():
        context = ssl.create_default_context(cafile=str(lab.authority.cert))
        context.check_hostname = False
        context.set_alpn_protocols(["h2"])
        if certificate:
            context.load_cert_chain(certificate.cert, certificate.key)
        with socket.create_connection((TYPHA[0], programs.TYPHA_PORT), timeout=5) as plain:
            with context.wrap_socket(plain) as tls:
                # TLS 1.3: the server's verdict on our certificate comes after our handshake. A
                # server that accepts us sends its HTTP/2 SETTINGS once it has our preface.
                tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
                received = b""
                while chunk := tls.recv(4096):
                    received += chunk
                    if b"\x04\x00" in received:
                        return received
                return b""

    try:
        return lab.fabric.typha.within(connect) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def test_a_good_client_certificate_is_let_in(pair):
    assert not refused(pair, pair.client_certificate)


def test_bad_client_certificates_are_refused(pair):
    stranger = certs.Authority(pair.dir / "other-pki", "other")
    assert refused(pair, None), "no certificate"
    assert refused(pair, stranger.issue("agent", certs.CLIENT_CN)), "another CA's"
    assert refused(pair, pair.authority.issue_expired("late", certs.CLIENT_CN)), "expired"


def test_agents_certificates_only_read_the_store(pair):
    item = resources.resource("GlobalNetworkSet", "remote", {"nets": ["192.0.2.0/24"]})
    text = json.dumps(item)
    assert "node-1" in pair.remote_ctl("node-1", pair.client_certificate, "get", "nodes").stdout
    refusal = pair.remote_ctl("node-1", pair.client_certificate, "apply", "-f", "-", stdin=text)
    assert refusal.returncode == 1 and "--writer-cn" in refusal.stderr, refusal
    assert "remote" not in pair.ctl("get", "globalnetworkset").stdout
    done = pair.remote_ctl("node-1", pair.operator_certificate, "apply", "-f", "-", stdin=text)
    assert done.returncode == 0, done
    pair.delete(item)


@pytest.mark.parametrize("bad", ["another CA's", "expired", "wrong name"])
def test_an_agent_with_a_bad_certificate_gets_nothing(pair, bad, tmp_path):
    if bad == "another CA's":
        certificate = certs.Authority(tmp_path, "stranger").issue("agent", certs.CLIENT_CN)
    elif bad == "expired":
        certificate = pair.authority.issue_expired(f"late-{tmp_path.name}", certs.CLIENT_CN)
    else:
        certificate = pair.authority.issue("misnamed", "somebody-else")
    with spare_agent(pair, certs.Certificate(pair.authority.cert, certificate.cert,
                                             certificate.key)) as agent:
        pair.until(lambda: agent.get("/readiness")[0] == 503)
        pair.until(lambda: "sync" in agent.log() or "typha" in agent.log())
        with pytest.raises(TimeoutError):
            pair.until(lambda: agent.get("/readiness")[0] == 200, 2)
        assert not any(observe.own_routes(pair.fabric.typha, f) for f in (4, 6))


@pytest.mark.parametrize("bad", ["another CA's", "wrong name"])
def test_an_agent_refuses_a_typha_that_is_not_the_one(pair, bad, tmp_path):
    """The agent of a spare namespace trusts another CA, or expects another name."""
    if bad == "another CA's":
        other = certs.Authority(tmp_path, "stranger")
        client = certs.Certificate(other.cert, pair.client_certificate.cert,
                                   pair.client_certificate.key)
        env = {}
    else:
        client, env = pair.client_certificate, {"FELIX_TYPHACN": "another-typha"}
    with spare_agent(pair, client, **env) as agent:
        with pytest.raises(TimeoutError):
            pair.until(lambda: agent.get("/readiness")[0] == 200, 2)


def test_a_second_owner_of_the_file_is_refused_and_the_first_named(pair):
    argv = programs.typha_argv(pair.database, pair.dir / "second.sock", pair.server_certificate)
    argv[argv.index("--listen") + 1] = "127.0.0.1:5499"
    second = Process(pair.nodes["node-1"].ns, "second", argv, pair.dir)
    try:
        assert second.wait(10) not in (0, -signal.SIGKILL)
        assert str(pair.typha.pid) in second.log() and "margay-typha" in second.log()
    finally:
        second.close()
    assert pair.typha.alive
    assert "node-1" in pair.ctl("get", "nodes").stdout


def test_typha_does_not_lose_what_it_acknowledged(pair):
    """Killed in the middle of a storm of writes: every acknowledged one is there afterwards."""
    written = []
    for i in range(10):
        item = resources.resource("GlobalNetworkSet", f"durable-{i}", {"nets": ["192.0.2.0/24"]})
        pair.apply(item)
        written.append(item)
    with without_typha(pair, signal.SIGKILL):
        pass
    names = pair.ctl("get", "globalnetworkset", "-o", "name").stdout
    assert all(f"durable-{i}" in names for i in range(10)), names
    pair.delete(*written)


@pytest.mark.long
def test_typha_gone_for_a_minute(pair):
    with without_typha(pair):
        with pytest.raises(TimeoutError):
            pair.until(lambda: not all(pair.agents[n].process.alive for n in pair.nodes), 60)
        pair.expect(pair.everyone(), 2)
    pair.expect(pair.everyone())
