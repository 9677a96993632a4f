# SPDX-License-Identifier: Apache-2.0
"""Packet filters of other software: what they break is said, and worked around when told to."""
import json
import re
from dataclasses import dataclass

import pytest
from lab import resources
from lab.kernel import CommandFailed
from lab.lab import CROSS_SUBNET, FAMILIES, Lab
from lab.probe import ALLOWED, DROPPED, Probe
from lab.resources import allow, network_policy

ACCEPT = resources.resource("FelixConfiguration", "default", {"foreignDropAction": "Accept"})
OURS = "margay: ForeignDropAction is Accept"
SERVICE = ("10.96.0.10", "fd00:96::10")


@dataclass(frozen=True)
class Software:
    """Drops forwarded packets of both families. `shows`: commands that list where accepts go."""

    present: str
    gone: str
    chains: tuple[str, ...]  # as the agent names them
    shows: tuple[str, ...]


DOCKER = """
for t in iptables-nft ip6tables-nft; do
  $t -P FORWARD DROP; $t -N DOCKER-USER; $t -A DOCKER-USER -j RETURN; $t -I FORWARD -j DOCKER-USER
done"""
LEGACY = "for t in iptables-legacy ip6tables-legacy; do $t -P FORWARD %s; done"
SOFTWARE = {
    "docker": Software(
        DOCKER, "nft 'delete table ip filter; delete table ip6 filter'",
        ("chain FORWARD of table ip filter (iptables-nft, Docker)",
         "chain FORWARD of table ip6 filter (iptables-nft, Docker)"),
        ("iptables-nft -S DOCKER-USER", "ip6tables-nft -S DOCKER-USER")),
    "legacy": Software(
        LEGACY % "DROP", LEGACY % "ACCEPT",
        ("chain FORWARD of legacy table ip filter (iptables-legacy)",
         "chain FORWARD of legacy table ip6 filter (iptables-legacy)"),
        ("iptables-legacy -S FORWARD", "ip6tables-legacy -S FORWARD")),
    "firewalld": Software(
        "nft 'add table inet firewalld; add chain inet firewalld filter_FORWARD "
        "{ type filter hook forward priority filter + 10; }; "
        "add rule inet firewalld filter_FORWARD ct state established,related accept; "
        "add rule inet firewalld filter_FORWARD drop'",
        "nft delete table inet firewalld",
        ("chain filter_FORWARD of table inet firewalld (firewalld)",),
        ("nft list chain inet firewalld filter_FORWARD",)),
}


@pytest.fixture(scope="module")
def pair():
    """Two nodes in different racks, so that pods reach each other through VXLAN; a pod on each and a
    second one on the first."""
    with Lab(racks="ab", plans=(CROSS_SUBNET,)) as lab:
        lab.start()
        for name, node in (("one", "node-1"), ("near", "node-1"), ("far", "node-2")):
            lab.add_pod(name, node, "vxlan", {"app": name})
        lab.expect(paths(lab, ALLOWED))
        yield lab


def paths(lab, outcome):
    return lab.paths("one", ["near", "far"], outcome) | lab.paths("far", "one", outcome)


def sh(lab, command, node="node-1"):
    return lab.nodes[node].ns.output("sh", "-ec", command)


def available(lab, software):
    """The running kernel may have been built without the older tables."""
    if "legacy" not in software.present:
        return
    try:
        sh(lab, "iptables-legacy -S && ip6tables-legacy -S")
    except CommandFailed as error:
        pytest.skip(f"the kernel has no iptables-legacy: {error}")


def ask(lab, *words, node="node-1"):
    agent = lab.agents[node]
    return lab.nodes[node].ns.output(lab.binary("margayctl"), *words, "--socket", str(agent.socket))


def dropping(lab):
    return json.loads(ask(lab, "show", "foreign", "-o", "json"))["dropping"]


def said(lab, chains):
    """Everywhere where it has to be said, and nothing else. Policy stays ready."""
    agent = lab.agents["node-1"]
    lab.until(lambda: {d["chain"] for d in dropping(lab)} == set(chains), 45,
              lambda: ask(lab, "show", "foreign"))
    _, readiness = agent.get("/readiness")
    status = ask(lab, "node", "status")
    assert re.search(r"^policy +live +ready", readiness, re.M), readiness
    for drop in dropping(lab):
        assert drop["remedy"]
        for text in (readiness, status):
            assert drop["chain"] in text and drop["remedy"] in text, text
        unsigned = drop["chain"].partition(" (")[0]  # the manager's marks may have come later
        assert f'event=foreign_drop chain="{unsigned}' in agent.process.log()
    assert ("WARNING" in status) == bool(chains), status
    assert agent.metrics()["margay_foreign_drops"] == len(chains)


def ours(lab, software):
    return [sh(lab, show).count(OURS) for show in software.shows]


@pytest.mark.parametrize("name", SOFTWARE)
def test_a_filter_that_appears_is_said_and_worked_around_and_left_as_it_was(pair, name):
    software = SOFTWARE[name]
    available(pair, software)
    said(pair, ())
    sh(pair, software.present)
    try:
        before = [sh(pair, show) for show in software.shows]
        pair.expect(paths(pair, DROPPED))
        said(pair, software.chains)
        pair.apply(ACCEPT)
        pair.expect(paths(pair, ALLOWED))
        said(pair, ())
        assert ours(pair, software) == [2] * len(software.shows)
        pair.delete(ACCEPT)
        pair.expect(paths(pair, DROPPED))
        said(pair, software.chains)
        assert [sh(pair, show) for show in software.shows] == before
    finally:
        pair.ctl("delete", "felixconfiguration", "default", "--skip-not-exists")
        sh(pair, software.gone)
    pair.expect(paths(pair, ALLOWED))
    said(pair, ())
    assert pair.agents["node-1"].process.log().count("event=foreign_drop_gone") >= 1


@pytest.mark.parametrize("name", ["docker", "legacy"])
def test_a_filter_that_was_there_before_the_agent(pair, name):
    software = SOFTWARE[name]
    available(pair, software)
    agent = pair.agents["node-1"]
    agent.stop()
    sh(pair, software.present)
    try:
        agent.start()
        said(pair, software.chains)
        agent.kill()
        agent.start(FELIX_FOREIGNDROPACTION="Accept")
        pair.expect(paths(pair, ALLOWED))
        agent.kill()
        agent.start(FELIX_FOREIGNDROPACTION="Accept")
        pair.until(lambda: agent.metrics()["margay_foreign_accepts"] == len(software.chains))
        assert ours(pair, software) == [2] * len(software.shows), "never twice"
        sh(pair, software.shows[0].replace("-S", "-D") + " 1")
        pair.until(lambda: ours(pair, software)[0] == 2)
        pair.expect(paths(pair, ALLOWED))
    finally:
        agent.kill()
        agent.start()
        pair.until(lambda: not any(ours(pair, software)))
        sh(pair, software.gone)
    said(pair, ())


def test_an_input_filter_that_drops_vxlan(pair):
    far = pair.paths("one", "far", DROPPED) | pair.paths("one", "near")
    sh(pair, "nft 'add table inet host; add chain inet host in { type filter hook input priority 0; "
             "policy drop; }; add rule inet host in ct state established accept; "
             "add rule inet host in iifname lo accept; add rule inet host in meta l4proto icmpv6 accept'")
    try:
        pair.expect(far)
        said(pair, ["chain in of table inet host"])
        assert dropping(pair)[0]["drops"] == ["VXLAN"]
        pair.apply(ACCEPT)
        pair.expect(paths(pair, ALLOWED))
        said(pair, ())
    finally:
        pair.ctl("delete", "felixconfiguration", "default", "--skip-not-exists")
        sh(pair, "nft delete table inet host")


KUBE_PROXY = {
    "iptables": """
for f in 4 6; do
  [ $f = 4 ] && t=iptables-nft vip={vip4} pod={pod4} to={pod4}:80 || true
  [ $f = 6 ] && t=ip6tables-nft vip={vip6} pod={pod6} to=[{pod6}]:80 || true
  $t -t nat -N KUBE-MARK-MASQ; $t -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
  $t -t nat -N KUBE-SEP; $t -t nat -A KUBE-SEP -s $pod -j KUBE-MARK-MASQ
  $t -t nat -A KUBE-SEP -p tcp -j DNAT --to-destination $to
  $t -t nat -N KUBE-SERVICES; $t -t nat -A KUBE-SERVICES -d $vip -p tcp --dport 80 -j KUBE-SEP
  $t -t nat -A PREROUTING -j KUBE-SERVICES; $t -t nat -A OUTPUT -j KUBE-SERVICES
  $t -t nat -N KUBE-POSTROUTING
  $t -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
  $t -t nat -A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
  $t -t nat -A KUBE-POSTROUTING -j MASQUERADE
  $t -t nat -A POSTROUTING -j KUBE-POSTROUTING
  $t -N KUBE-FORWARD; $t -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
  $t -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
  $t -A FORWARD -j KUBE-FORWARD
done""",
    "nftables": """
for f in ip ip6; do
  [ $f = ip ] && vip={vip4} pod={pod4} to={pod4}:80 || true
  [ $f = ip6 ] && vip={vip6} pod={pod6} to=[{pod6}]:80 || true
  nft -f - <<E
table $f kube-proxy {{
  map service-ips {{
    type $([ $f = ip ] && echo ipv4_addr || echo ipv6_addr) . inet_proto . inet_service : verdict
    elements = {{ $vip . tcp . 80 : goto service }}
  }}
  chain service {{
    $f saddr $pod meta mark set meta mark or 0x4000
    meta l4proto tcp dnat to $to
  }}
  chain services {{ $f daddr . meta l4proto . th dport vmap @service-ips; }}
  chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
  chain nat-output {{ type nat hook output priority -100; jump services; }}
  chain nat-postrouting {{
    type nat hook postrouting priority srcnat;
    meta mark and 0x4000 == 0 return
    meta mark set meta mark xor 0x4000
    masquerade
  }}
  chain filter-forward {{
    type filter hook forward priority -110;
    ct state invalid drop
  }}
}}
E
done""",
}
KUBE_PROXY_GONE = "nft 'delete table ip {0}; delete table ip6 {0}'"


@pytest.mark.parametrize("kind", KUBE_PROXY)
def test_policy_sees_pods_behind_kube_proxys_services(pair, kind):
    """Service addresses are translated before policy; what kube-proxy masquerades, it masquerades,
    and its rules are no reason to warn."""
    names = {f"pod{f}": pair.pods["near"].address(f) for f in FAMILIES}
    names |= {"vip4": SERVICE[0], "vip6": SERVICE[1]}
    sh(pair, KUBE_PROXY[kind].format(**names))

    def to_service(src, outcome):
        return {Probe(src, "near", address): outcome for address in SERVICE}

    in_policy = network_policy("in", "app == 'near'",
                               ingress=[allow("TCP", [80], source={"selector": "app == 'one'"})])
    out_policy = network_policy("out", "app == 'one'", egress=[
        allow("TCP", [80], destination={"selector": "app == 'far'"})])
    try:
        # To itself through the service: only with kube-proxy's masquerade does the answer come back.
        pair.expect(to_service("one", ALLOWED) | to_service("near", ALLOWED))
        pair.apply(in_policy)
        pair.expect(to_service("one", ALLOWED) | to_service("near", DROPPED))
        pair.apply(out_policy)
        pair.expect(to_service("one", DROPPED) | pair.paths("one", "far"))
        pair.delete(in_policy, out_policy)
        pair.expect(to_service("one", ALLOWED) | to_service("near", ALLOWED))
        said(pair, ())
    finally:
        for table in ("nat", "filter") if kind == "iptables" else ("kube-proxy",):
            sh(pair, KUBE_PROXY_GONE.format(table))
        for name in ("in", "out"):
            pair.ctl("delete", "networkpolicy", name, "--skip-not-exists")


def test_the_mask_of_marks_keeps_off_kube_proxys(pair):
    bad = resources.resource("FelixConfiguration", "default", {"nftablesMarkMask": 0xc000})
    done = pair.ctl("apply", "-f", "-", stdin=json.dumps(bad), check=False)
    assert done.returncode != 0 and "0xc000" in done.stderr
    masks = re.findall(r"mark set .*", sh(pair, "nft list table inet margay"))
    assert not any("0x00004000" in m or "0x00008000" in m for m in masks)
