# SPDX-License-Identifier: Apache-2.0
"""Every live parameter changed while the agent runs: the kernel or the process follows, and returns.

One row a parameter. The rest of the table is checked too: a live parameter without a row fails.
"""
from __future__ import annotations

import contextlib
import difflib
import json
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab import programs
from lab.kernel import run
from lab.lab import ALWAYS, CROSS_SUBNET, FAMILIES, ROUTED, Lab
from lab.monitor import Monitor, changes
from lab.programs import HEALTH_PORT, METRICS_PORT, TYPHA_PORT
from lab.resources import allow, global_policy, resource
from lab.topology import NODE_ASN, TYPHA

PARAMETERS = Path(__file__).resolve().parents[2] / "agent/config/parameters.inc"
NODE = "node-1"
FLOATING, SPOOFED = "198.51.100.77", "198.51.100.128/25"
OTHER_TYPHA_PORT = 5480  # redirected to the real one
STREAM_PORT = 8080
# What the agent keeps, and what the process shows of itself, in one go.
READ = """
nft -j --stateless list ruleset
echo @ links; ip -j -d link show type vxlan
echo @ routes; ip -4 -N -d route; ip -6 -N -d route
echo @ neighbours; ip neigh show nud permanent; bridge fdb show dev vxlan.calico; \
bridge fdb show dev vxlan-v6.calico
echo @ addresses; ip -br addr show dev vxlan.calico; ip -br addr show dev vxlan-v6.calico
echo @ ports; ss -Hltn
echo @ sysctls; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
"""


class World:
    """node-1 with everything on it that some parameter acts on. What is seen is as of look()."""

    def __init__(self, lab: Lab):
        self.lab, self.node = lab, lab.nodes[NODE]
        self.ns = self.node.ns
        self.file = lab.dir / "felix.cfg"
        self.spec = {"healthEnabled": True, "prometheusMetricsEnabled": True}
        certificate = lab.client_certificate
        self.texts = {"FelixHostname": NODE, "TyphaAddr": f"{TYPHA[0]}:{TYPHA_PORT}",
                      "TyphaCAFile": certificate.ca, "TyphaCertFile": certificate.cert,
                      "TyphaKeyFile": certificate.key, "TyphaCN": "typha-server"}
        self.seen: dict[str, str] = {}
        self.notes: dict[str, Any] = {}  # of a row, for itself

    # --- changing

    def set(self, **fields: Any) -> None:
        self.lab.apply(resource("FelixConfiguration", f"node.{NODE}", self.spec | fields))

    def set_bgp(self, **fields: Any) -> None:
        spec = {"asNumber": NODE_ASN, "holdTime": "3s", "serviceClusterIPs": [{"cidr": "10.96.0.0/16"}]}
        self.lab.apply(resource("BGPConfiguration", "default", spec | fields))

    def write_file(self, **texts: Any) -> None:
        lines = (f"{name} = {text}\n" for name, text in (self.texts | texts).items())
        self.file.write_text("".join(lines))

    def set_file(self, **texts: Any) -> None:
        self.write_file(**texts)
        self.lab.agents[NODE].process.send(signal.SIGHUP)

    # --- looking

    def look(self) -> None:
        # `ip` needs the sysctl files of this namespace, which are those of the reading process.
        nft, *parts = self.ns.output("sh", "-c", READ).split("\n@ ")
        named = {name: text for name, _, text in (part.partition("\n") for part in parts)}
        links = [{"name": link["ifname"], "mtu": link["mtu"],
                  **{k: link["linkinfo"]["info_data"].get(k) for k in ("id", "port", "local")}}
                 for link in json.loads(named.pop("links"))]
        self.seen = {name: "\n".join(sorted(filter(None, text.splitlines())))
                     for name, text in named.items()}
        # The kernel drops and learns cached facts by itself.
        self.seen["routes"] = re.sub(r" ?(expires \S+|pref \S+|linkdown)", "", self.seen["routes"])
        self.seen |= {"links": "\n".join(map(str, links)), "nft": _nft_text(nft)}

    def elsewhere(self, name: str) -> Path:
        """A copy of one of Typha's files."""
        return self.lab.dir / f"other-{name}"

    def log_lines(self, event: str) -> int:
        return self.lab.agents[NODE].process.log().count(f"event={event} ") \
            + self.lab.agents[NODE].process.log().count(f"event={event}\n")

    def show(self, subsystem: str) -> Any:
        argv = [self.lab.binary("margayctl"), "show", subsystem, "-o", "json",
                "--socket", str(self.lab.agents[NODE].socket)]
        return json.loads(self.ns.output(*argv))

    def metric(self, name: str) -> float:
        return self.lab.agents[NODE].metrics()[name]

    def until(self, condition: Callable[[], bool], what: str,
              explain: Callable[[], str] = lambda: "") -> None:
        def now() -> bool:
            self.look()
            return condition()

        self.lab.until(now, 15, lambda: f"{what} {explain()}")

    def difference(self, before: dict[str, str]) -> str:
        return "\n".join(line for part in before for line in difflib.unified_diff(
            before[part].splitlines(), self.seen[part].splitlines(), part, part, lineterm="", n=0))

    def barrier(self) -> None:
        """The routes' thread has noticed all that was done to the kernel before: it repairs this."""
        pod = self.lab.pods["nat"]
        route = f"{pod.address(4)} dev {pod.interface}"
        self.ns.ip(f"route del {route}")
        self.until(lambda: route in self.seen["routes"], "the pod's route is back")


def _nft_text(listing: str) -> str:
    """The rules in their order, everything else sorted; without handles."""
    lines, place = [], 0
    for item in json.loads(listing)["nftables"]:
        (kind, body), = item.items()
        if kind == "metainfo":
            continue
        body.pop("handle", None)
        if isinstance(body.get("elem"), list):
            body["elem"].sort(key=str)
        place += 1
        order = f"{place:05} " if kind == "rule" else ""
        lines.append((f"{kind} {body.get('table')} {body.get('chain', body.get('name'))} {order}",
                      json.dumps(body, sort_keys=True)))
    # Chains may be listed in the order they were made: places count within one.
    return "\n".join(re.sub(r" \d{5} $", " ", head) + text for head, text in sorted(lines))


# --- the table ---------------------------------------------------------------------------------

Seen = Callable[[World], bool]


@dataclass(frozen=True)
class Row:
    """`value` of the resource's field, or of the file; `seen` holds once it is in force, not before.

    `meanwhile` is checked while it is in force, `around` from before the change until after its undoing.
    `cuts` says why a flow between two pods of this node may lose packets; without it none is lost.
    """

    value: Any
    seen: Seen
    meanwhile: Callable[[World], None] = lambda world: None
    around: Callable[[World], contextlib.AbstractContextManager] = contextlib.nullcontext
    cuts: str = ""


def there(part: str, *texts: str) -> Seen:
    return lambda world: all(re.search(t, world.seen[part]) for t in texts)


def gone(part: str, text: str) -> Seen:
    return lambda world: not re.search(text, world.seen[part])


def both(*conditions: Seen) -> Seen:
    return lambda world: all(condition(world) for condition in conditions)


def in_force(name: str, value: str) -> Seen:
    return lambda world: any((p["name"], p["value"]) == (name, value)
                             for p in world.show("config")["parameters"])


def sync_shows(condition: Callable[[dict], bool]) -> Seen:
    return lambda world: condition(world.show("sync"))


@contextlib.contextmanager
def reconnects(world: World) -> Iterator[None]:
    """The source is connected anew, only asks for what it missed, and the kernel never hears of it."""
    for name in ("TyphaCAFile", "TyphaCertFile", "TyphaKeyFile"):
        shutil.copy(world.texts[name], world.elsewhere(name))
    before = world.notes["sync"] = world.show("sync")
    with Monitor(world.ns) as monitor:
        yield
        world.until(lambda: (now := world.show("sync"))["connected"]
                    and now["endpoint"] == before["endpoint"]
                    and now["connects"] > before["connects"], "connected as before")
        assert not [str(e) for e in changes(monitor.drain()) if e.deleted]
    assert world.show("sync")["snapshots"] == before["snapshots"]


def connected_again(world: World) -> bool:
    now = world.show("sync")
    return now["connected"] and now["connects"] > world.notes["sync"]["connects"]


def forwarding_stays_off(world: World) -> None:
    world.ns.sysctl("net/ipv4/ip_forward", 0)
    world.barrier()
    assert world.seen["sysctls"].startswith("0"), "the agent has switched it on"


def a_foreign_route_stays(world: World) -> None:
    """On a workload's interface; the undoing removes it."""
    route = f"203.0.113.7 dev {world.lab.pods['web'].interface}"
    world.ns.ip(f"route add {route} proto 4")
    world.barrier()
    assert route in world.seen["routes"]


def a_missing_route_stays_away(world: World) -> None:
    """The undoing puts it back."""
    route = f"{world.lab.pods['nat'].address(4)} dev"
    world.ns.ip(f"route del {route} {world.lab.pods['nat'].interface}")
    world.until(lambda: world.show("routes")["pending"] > 0, "the missing route is noticed")
    assert route not in world.seen["routes"]


@contextlib.contextmanager
def counted(world: World) -> Iterator[None]:
    world.notes["applies"] = world.metric("margay_policy_applies_total")
    world.notes["lines"] = world.log_lines("config_changed")
    yield


@contextlib.contextmanager
def a_foreign_chain_drops(world: World) -> Iterator[None]:
    world.ns.run(["nft", "table inet foreign { chain forward { "
                  "type filter hook forward priority 10; policy drop; }; }"])
    try:
        yield
    finally:
        world.ns.run(["nft", "delete table inet foreign"])


def says_nothing(world: World) -> None:
    """The line about the change itself would be information."""
    assert world.log_lines("config_changed") == world.notes["lines"]


def applied_by_itself(world: World) -> bool:
    """Two tables, the change itself and two audits."""
    return world.metric("margay_policy_applies_total") >= world.notes["applies"] + 6


def a_silent_change_is_found(world: World) -> None:
    """The kernel tells nobody of this setting: only the audit sees it."""
    path = f"net/ipv6/conf/{world.lab.pods['web'].interface}/accept_ra"
    world.ns.sysctl(path, 1)
    world.until(lambda: world.ns.read_sysctl(path) == "0", "the setting is back")


def a_stranger_is_noticed(world: World) -> bool:
    """Who connects to the BGP port and is no peer is told of at this level only."""
    world.lab.fabric.typha.within(
        lambda: socket.create_connection((world.node.ipv4, 179), timeout=5).close())
    return world.log_lines("bgp_connection_refused") > 0


def sessions_to(port: int, asn: int) -> Seen:
    """Both of the mesh are up."""
    def seen(world: World) -> bool:
        up = [p for p in world.show("bgp")["peers"] if p["type"] == "node-to-node mesh"
              and (p["info"], p["port"], p["remoteAs"]) == ("Established", port, asn)]
        return len(up) == 2
    return seen


def elsewhere(name: str) -> Callable[[World], Any]:
    return lambda world: world.elsewhere(name)


FROM_BGP = there("routes", r"10\.67\.2\.0/26 via .* proto 12 ", r"fd00:67::2:0/122 via .* proto 12 ",
                 r"198\.51\.100\.0/24 via .* proto 12 ", r"2001:db8:100::/48 via .* proto 12 ")

ROWS: dict[str, Row] = {
    "AllowIPIPPacketsFromWorkloads": Row(True, gone("nft", "IPIP from a workload")),
    "AllowVXLANPacketsFromWorkloads": Row(True, gone("nft", "VXLAN from a workload")),
    "DefaultEndpointToHostAction": Row("Accept", gone("nft", "DefaultEndpointToHostAction")),
    "DeviceRouteProtocol": Row(99, both(gone("routes", r"proto 80 "),
                                        there("routes", r"dev cali\S+ proto 99 "))),
    "DeviceRouteSourceAddress": Row("172.31.1.11", there("routes", r"dev cali.* src 172\.31\.1\.11")),
    "DeviceRouteSourceAddressIPv6": Row("fd31:0:0:1::11",
                                        there("routes", "dev cali.* src fd31:0:0:1::11")),
    "DisableConntrackInvalidCheck": Row(True, gone("nft", '"invalid"')),
    "ExistingConnections": Row("Cut", there("nft", "cut-flows-4", "cut-flows-6")),
    "ExternalNodesCIDRList": Row(["192.0.2.0/24"], there(
        "nft", r"set margay vxlan-hosts\S+ .*192\.0\.2\.0", r"set margay-static vxlan-hosts\S+ .*192\.0\.2\.0")),
    "FailsafeInboundHostPorts": Row([{"protocol": "tcp", "port": 2222}], there("nft", "2222")),
    "FailsafeOutboundHostPorts": Row([{"protocol": "udp", "port": 2223}], there("nft", "2223")),
    "FloatingIPs": Row("Enabled", there("nft", "floating-dnat", FLOATING)),
    "ForeignDropAction": Row("Accept", there("nft", "rule foreign forward .*ForeignDropAction"),
                             around=a_foreign_chain_drops, cuts="the foreign chain drops"),
    "HealthEnabled": Row(False, gone("ports", f":{HEALTH_PORT} ")),
    "HealthHost": Row("0.0.0.0", there("ports", rf"0\.0\.0\.0:{HEALTH_PORT} ")),
    "HealthPort": Row(9199, both(there("ports", ":9199 "), gone("ports", f":{HEALTH_PORT} "))),
    "IPForwarding": Row("Disabled", in_force("IPForwarding", "Disabled"), forwarding_stays_off,
                        cuts="the test switches forwarding off"),
    "IPv4NormalRoutePriority": Row(2000, both(there("routes", r"dev cali\S+ .*metric 2000"),
                                              gone("routes", r"link metric 1024"))),
    "IPv6NormalRoutePriority": Row(2001, there("routes", r"dev cali\S+ .*metric 2001")),
    "InterfacePrefix": Row("cali,tap", there("nft", r'"tap\*"')),
    "IptablesNATOutgoingInterfaceFilter": Row("eth9", there("nft", '"eth9"')),
    "IpInIpEnabled": Row(True, there("nft", "IPIP from a stranger")),
    "IpInIpMtu": Row(1400, in_force("IpInIpMtu", "1400")),
    "LogPrefix": Row("other", there("nft", '"prefix": "other')),
    "LogSeverityScreen": Row("Warning", in_force("LogSeverityScreen", "Warning"), says_nothing, counted),
    "NATOutgoingAddress": Row("172.31.1.11", there("nft", r'"snat": .*172\.31\.1\.11')),
    "NATOutgoingExclusions": Row("IPPoolsAndHostIPs", there("nft", "nat-postrouting .*@all-hosts")),
    "NATPortRange": Row("30000:31000", there("nft", "30000, 31000")),
    "NftablesFilterDenyAction": Row("Reject", there("nft", '"reject"')),
    "NftablesMarkMask": Row(0xf00000, both(there("nft", f" {0x100000}[,}}]"),
                                           gone("nft", f" {0x10000}[,}}]"))),
    "NftablesRefreshInterval": Row("1s", applied_by_itself, around=counted),
    "ProgramClusterRoutes": Row("Enabled", there("routes", r"10\.67\.2\.0/26 via .* proto 80 ")),
    "PrometheusMetricsEnabled": Row(False, gone("ports", f":{METRICS_PORT} ")),
    "PrometheusMetricsHost": Row("127.0.0.1", there("ports", rf"127\.0\.0\.1:{METRICS_PORT} ")),
    "PrometheusMetricsPort": Row(9191, both(there("ports", ":9191 "),
                                            gone("ports", f":{METRICS_PORT} "))),
    "RemoveExternalRoutes": Row(False, in_force("RemoveExternalRoutes", "false"),
                                a_foreign_route_stays),
    "RouteRefreshInterval": Row("1s", in_force("RouteRefreshInterval", "1"), a_silent_change_is_found),
    "RouteSource": Row("WorkloadIPs", there("routes", r"10\.65\.2\.2 via .* dev vxlan.calico")),
    "RouteSyncDisabled": Row(True, in_force("RouteSyncDisabled", "true"), a_missing_route_stays_away),
    "ServiceLoopPrevention": Row("Reject", there("nft", '"reject"')),
    "VXLANMTU": Row(1400, there("links", "'vxlan.calico', 'mtu': 1400")),
    "VXLANMTUV6": Row(1300, there("links", "'vxlan-v6.calico', 'mtu': 1300")),
    "VXLANPort": Row(4790, there("links", "'port': 4790")),
    "VXLANVNI": Row(5000, there("links", "'id': 5000")),
    "WorkloadSourceSpoofing": Row("Any", there("nft", "source prefix allowed to")),
    # Not of the resource: the file, read again on SIGHUP.
    "TyphaAddr": Row(f"{TYPHA[0]}:{OTHER_TYPHA_PORT}", sync_shows(
        lambda s: s["connected"] and s["endpoint"].endswith(str(OTHER_TYPHA_PORT))), around=reconnects),
    "TyphaCAFile": Row(elsewhere("TyphaCAFile"), connected_again, around=reconnects),
    "TyphaCertFile": Row(elsewhere("TyphaCertFile"), connected_again, around=reconnects),
    "TyphaKeyFile": Row(elsewhere("TyphaKeyFile"), connected_again, around=reconnects),
    "TyphaCN": Row("somebody-else", sync_shows(lambda s: not s["connected"]), around=reconnects),
    "TyphaURISAN": Row("spiffe://lab/typha", connected_again, around=reconnects),
    "TyphaReadTimeout": Row("1s", sync_shows(lambda s: "silent for 1 seconds" in s["error"]),
                            around=reconnects),
}


# Fields of BGPConfiguration.
BGP_ROWS: dict[str, Row] = {
    "asNumber": Row(64513, sessions_to(179, 64513)),
    "listenPort": Row(1790, both(sessions_to(1790, NODE_ASN), there("ports", ":1790 "),
                                 gone("ports", ":179 "))),
    # Next hops in the network of eth0 are looked for elsewhere: the default route leads there too.
    "ignoredInterfaces": Row(["eth*"], there("routes", r"198\.51\.100\.0/24 via 172\.31\.1\.1 ",
                                             "2001:db8:100::/48 via fd31:0:0:1::1 ")),
    "logSeverityScreen": Row("Debug", a_stranger_is_noticed),
}


def effects() -> dict[str, str]:
    """Parameter -> live, start or refused, as the agent documents itself."""
    text = run([programs.binary(programs.AGENT_PROGRAM), "--config-reference"])
    return dict(re.findall(r"^\| (\w+) \| (\w+) \|", text, re.M))


def field_of(name: str) -> str:
    """Of FelixConfiguration; empty when it has none."""
    return re.search(rf'\{{"{name}", "(\w*)"', PARAMETERS.read_text())[1]


# --- the lab -----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def world():
    with Lab("ab", plans=(CROSS_SUBNET, ALWAYS, ROUTED)) as lab:
        lab.fabric.start_birds()
        lab.put_keys(lab.base_keys())
        lab.start_typha()
        world = World(lab)
        lab.apply(*lab.base_resources())
        world.set_bgp()
        world.set()
        world.write_file()
        redirect = (f"add table ip t; add chain ip t c {{ type nat hook prerouting priority -100; }}; "
                    f"add rule ip t c tcp dport {OTHER_TYPHA_PORT} redirect to :{TYPHA_PORT}")
        lab.fabric.typha.run(["nft", redirect])
        world.ns.ip("link add host0 type veth peer name host1", "link set host0 up")
        lab.start_agent("node-2")
        agent = lab.agents[NODE] = programs.Agent(world.node, lab.dir, lab.client_certificate)
        agent.env, agent.arguments = {}, ["--config", str(world.file)]
        agent.start()
        for node in lab.nodes:
            lab.wait_agent_ready(node)
        populate(lab)
        lab.expect(lab.everyone(), 30)
        world.until(lambda: FROM_BGP(world), "routes of BGP")
        yield world


def populate(lab: Lab) -> None:
    for name, node, plan in (("web", NODE, "vxlan"), ("other", NODE, "routed"),
                             ("nat", NODE, "always"), ("far", "node-2", "vxlan"),
                             ("far-routed", "node-2", "routed")):
        lab.add_pod(name, node, plan, {"name": name}, write=False)
    endpoints = [lab.endpoint(pod) for pod in lab.pods.values()]
    endpoints[0]["spec"]["ipNATs"] = [{"internalIP": lab.pods["web"].address(4),
                                       "externalIP": FLOATING}]
    spoofer = lab.endpoint(lab.pods["web"], labels={"name": "spoofer"})
    spoofer["metadata"]["name"] = "node--1-k8s-spoofer-eth0"
    spoofer["spec"] |= {"pod": "spoofer", "interfaceName": "calispoofer", "ipNetworks": ["10.65.1.9/32"],
                        "allowSpoofedSourcePrefixes": [SPOOFED]}
    log = global_policy("log", "name == 'nat'", ingress=[{"action": "Log"}, allow()])
    raw = resource("GlobalNetworkPolicy", "raw", {
        "selector": "has(host)", "order": 10, "doNotTrack": True, "applyOnForward": True,
        "types": ["Ingress", "Egress"], "ingress": [allow()], "egress": [allow()]})
    normal = global_policy("hosts", "has(host)", ingress=[allow()], egress=[allow()])
    host = resource("HostEndpoint", "host0", {"node": NODE, "interfaceName": "host0"},
                    labels={"host": ""})
    lab.apply(*endpoints, spoofer, log, raw, normal, host)


# --- the tests ---------------------------------------------------------------------------------

def test_every_live_parameter_has_a_row():
    assert {name for name, effect in effects().items() if effect == "live"} == ROWS.keys()


class Stream:
    """A packet a millisecond between two pods of this node, in both families, from start to end."""

    def __init__(self, world: World):
        self._lab, self._to = world.lab, world.lab.pods["other"]
        self._before = self._received()
        self._ask("start")

    def _ask(self, do: str) -> int:
        to = [(self._to.address(f), STREAM_PORT) for f in FAMILIES]
        return self._lab.fabric.probers["web"].ask(op="flood", do=do, flow="live", dsts=to)

    def _received(self) -> int:
        return self._lab.fabric.probers["other"].ask(op="received", port=STREAM_PORT)

    def end(self) -> None:
        self._ask("stop")

    def check(self) -> None:
        """Whatever was sent has arrived."""
        def whole() -> bool:
            return self._received() - self._before == len(FAMILIES) * self._ask("count")

        self._lab.until(whole, 2, lambda: f"{self._received() - self._before} packets of twice "
                                          f"{self._ask('count')} have arrived")


def check(world: World, row: Row, change: Callable[[Any], None], undo: Callable[[], None]) -> None:
    value = row.value(world) if callable(row.value) else row.value
    stream = Stream(world)
    try:
        with row.around(world):
            world.look()
            before = dict(world.seen)
            assert not row.seen(world), "the change could not be told from what was before"
            change(value)
            world.until(lambda: row.seen(world), f"{value} in force")
            row.meanwhile(world)
            undo()
            world.until(lambda: world.seen == before, "as before the change",
                        lambda: world.difference(before))
    finally:
        stream.end()
    if not row.cuts:
        stream.check()


@pytest.mark.parametrize("name", ROWS)
def test_live(world, name):
    if field := field_of(name):
        check(world, ROWS[name], lambda value: world.set(**{field: value}), world.set)
    else:
        check(world, ROWS[name], lambda value: world.set_file(**{name: value}), world.set_file)


@pytest.mark.parametrize("field", BGP_ROWS)
def test_live_bgp(world, field):
    check(world, BGP_ROWS[field], lambda value: world.set_bgp(**{field: value}), world.set_bgp)
    world.until(lambda: sessions_to(179, NODE_ASN)(world), "sessions as before")


def test_what_needs_a_restart_is_said_and_changes_nothing(world):
    """FelixHostname says which objects are this node's: another name is another node."""
    assert [name for name, effect in effects().items() if effect == "start"] == ["FelixHostname"]
    world.look()
    before = dict(world.seen)
    agent = world.lab.agents[NODE]
    world.set_file(FelixHostname="node-9")
    world.until(lambda: "restart needed: FelixHostname 'node-1' becomes 'node-9'"
                in agent.get("/readiness")[1], "said in readiness")
    assert agent.get("/readiness")[0] == 200
    assert world.show("config")["restartNeeded"] == [
        {"name": "FelixHostname", "value": "node-1", "configured": "node-9"}]
    assert agent.metrics()["margay_config_waiting_for_restart"] == 1
    assert world.log_lines("config_restart_needed") == 1
    assert world.seen == before
    world.set_file()
    world.until(lambda: world.show("config")["restartNeeded"] == [], "taken back")
    assert "restart needed" not in agent.get("/readiness")[1]


def test_a_connection_that_cannot_work_leaves_the_old_one(world):
    world.set_file(TyphaCN="")
    world.until(lambda: world.log_lines("sync_config_invalid") > 0, "said in the log")
    assert world.show("sync")["connected"]
    world.set_file()
