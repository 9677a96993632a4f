# SPDX-License-Identifier: Apache-2.0
"""Certificates are replaced on disk while both sides run."""
import os
import socket
import ssl

import pytest
from lab import certs, programs
from lab.cut import RESET, cut
from lab.lab import CROSS_SUBNET, Lab
from lab.topology import TYPHA

SIDES = ("server", "client")


class Renewed:
    """The files that typha and the agent were given, whose contents change."""

    def __init__(self, lab):
        self._lab = lab
        self._dir = lab.dir / "renewed"
        self._dir.mkdir()
        self._issued = 0
        self.files = {side: certs.Certificate(self._dir / "ca.crt", self._dir / f"{side}.crt",
                                              self._dir / f"{side}.key") for side in SIDES}

    def write(self, file, content):
        """As a tool does that renews: the new file takes the old one's place at once."""
        fresh = self._dir / "fresh"
        fresh.write_bytes(content)
        os.replace(fresh, file)

    def issue(self, authority, side, expired=False):
        self._issued += 1
        cn = certs.SERVER_CN if side == "server" else certs.CLIENT_CN
        make = authority.issue_expired if expired else authority.issue
        return make(f"{side}-{self._issued}", cn)

    def install(self, side, certificate):
        for kind in ("ca", "key", "cert"):
            self.write(getattr(self.files[side], kind), getattr(certificate, kind).read_bytes())


@pytest.fixture(scope="module")
def lab():
    """One node with a pod; its agent and typha read files that the tests replace."""
    with Lab("a", plans=(CROSS_SUBNET,)) as lab:
        lab.typha_options = ["--ping-interval", "0.2"]  # a reset needs a packet to answer
        lab.renewed = Renewed(lab)
        for side in SIDES:
            lab.renewed.install(side, lab.renewed.issue(lab.authority, side))
        lab.server_certificate = lab.renewed.files["server"]
        lab.client_certificate = lab.renewed.files["client"]
        lab.put_keys(lab.base_keys())
        lab.start_typha()
        lab.apply(*(r for r in lab.base_resources() if r["kind"] not in ("BGPPeer", "BGPFilter")))
        lab.start_agent("node-1")
        lab.wait_agent_ready("node-1")
        yield lab


def connected(lab):
    return lab.agents["node-1"].metrics()["margay_sync_connected"] == 1


def reconnect(lab):
    """Ends the agent's connection, and waits for the next one."""
    with cut(lab.fabric.typha, RESET):
        lab.until(lambda: not connected(lab))
    lab.until(lambda: connected(lab), 20, lambda: lab.agents["node-1"].process.log_tail())


def served(lab):
    """The certificate, as PEM, that typha shows to those who come now."""

    def connect():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection((TYPHA[0], programs.TYPHA_PORT), timeout=5) as plain:
            with context.wrap_socket(plain) as tls:
                return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))

    return lab.fabric.typha.within(connect)


def shows(lab, file):
    return served(lab).split() == file.read_text().split()


def test_a_new_authority_and_new_certificates_on_both_sides(lab):
    """No process is restarted; the authority from before is trusted by nobody any more."""
    pids = lab.typha.pid, lab.agents["node-1"].process.pid
    old = lab.renewed.issue(lab.authority, "client")
    new = certs.Authority(lab.dir / "new-pki", "new")
    for side in SIDES:
        lab.renewed.install(side, lab.renewed.issue(new, side))
    lab.until(lambda: shows(lab, lab.renewed.files["server"].cert))
    reconnect(lab)
    assert (lab.typha.pid, lab.agents["node-1"].process.pid) == pids
    mistrusting = certs.Certificate(new.cert, old.cert, old.key)
    assert lab.remote_ctl("node-1", mistrusting, "get", "nodes", "--request-timeout", "2") \
        .returncode != 0
    lab.authority = new


def garbage(lab, side):
    lab.renewed.write(lab.renewed.files[side].cert, b"-----BEGIN CERTIFICATE-----\nnothing\n")


def expired(lab, side):
    lab.renewed.install(side, lab.renewed.issue(lab.authority, side, expired=True))


def other_key(lab, side):
    key = lab.renewed.issue(lab.authority, side).key
    lab.renewed.write(lab.renewed.files[side].key, key.read_bytes())


def gone(lab, side):
    lab.renewed.files[side].key.unlink()


@pytest.mark.parametrize("spoil, why", [(garbage, "not a PEM certificate"), (expired, "expired on"),
                                        (other_key, "does not belong to"), (gone, "No such file")])
def test_what_cannot_be_used_leaves_the_old_in_force_and_is_said(lab, spoil, why):
    agent = lab.agents["node-1"]
    before = served(lab)
    said = lab.typha.log().count("tls_files_unusable")
    for side in SIDES:
        spoil(lab, side)
    lab.until(lambda: lab.typha.log().count("tls_files_unusable") > said)
    assert why in lab.typha.log().rpartition("tls_files_unusable")[2]
    reconnect(lab)
    assert served(lab) == before
    lab.until(lambda: why in agent.get("/readiness")[1])
    assert agent.get("/readiness")[0] == 200 and "client." in agent.get("/readiness")[1]
    assert why in lab.agent_ctl("node-1", "node", "status")
    for side in SIDES:
        lab.renewed.install(side, lab.renewed.issue(lab.authority, side))
    lab.until(lambda: shows(lab, lab.renewed.files["server"].cert))
    reconnect(lab)
    lab.until(lambda: why not in agent.get("/readiness")[1])
