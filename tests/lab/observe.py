# SPDX-License-Identifier: Apache-2.0
"""What stands in a namespace's kernel, read with iproute2 and nft: independent of the code under test."""
from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .kernel import Namespace

PROTOCOL_KERNEL = 2
PROTOCOL_AGENT, PROTOCOL_BGP = 80, 12
TABLES = ("margay", "margay-static")
IPIP_DEVICE = "tunl0"
VXLAN_DEVICE = {4: "vxlan.calico", 6: "vxlan-v6.calico"}


@dataclass(frozen=True)
class Route:
    dst: str  # with its length, "default" spelt out as 0.0.0.0/0 or ::/0
    protocol: int
    dev: str = ""
    via: str = ""
    kind: str = "unicast"


def routes(ns: Namespace, family: int) -> dict[str, Route]:
    """The main table by destination."""
    text = ns.output("ip", "-N", "-j", "-details", f"-{family}", "route", "show")
    found = {}
    for entry in json.loads(text or "[]"):
        dst = entry["dst"]
        if dst == "default":
            dst = "0.0.0.0/0" if family == 4 else "::/0"
        elif "/" not in dst:
            dst += "/32" if family == 4 else "/128"
        kind = entry.get("type", "unicast")
        kind = {"1": "unicast", "6": "blackhole", "7": "unreachable"}.get(str(kind), str(kind))
        found[dst] = Route(dst, int(entry.get("protocol", 0)), entry.get("dev", ""),
                           entry.get("gateway", ""), kind)
    return found


def route(ns: Namespace, dst: str) -> Route | None:
    return routes(ns, 6 if ":" in dst else 4).get(dst)


def own_routes(ns: Namespace, family: int) -> dict[str, Route]:
    return {dst: r for dst, r in routes(ns, family).items()
            if r.protocol in (PROTOCOL_AGENT, PROTOCOL_BGP)}


def fdb(ns: Namespace, device: str) -> dict[str, str]:
    """MAC -> remote underlay address."""
    entries = json.loads(ns.output("bridge", "-j", "fdb", "show", "dev", device) or "[]")
    return {e["mac"]: e.get("dst", "") for e in entries}


def neighbours(ns: Namespace, device: str) -> dict[str, str]:
    """Address -> MAC of the permanent entries."""
    entries = json.loads(ns.output("ip", "-j", "neighbour", "show", "dev", device, "nud",
                                   "permanent") or "[]")
    return {e["dst"]: e["lladdr"] for e in entries}


def addresses(ns: Namespace, device: str) -> list[str]:
    """Without link-local ones."""
    links = json.loads(ns.output("ip", "-j", "address", "show", "dev", device))
    return [f"{a['local']}/{a['prefixlen']}" for link in links for a in link["addr_info"]
            if a["scope"] != "link"]


def ruleset(ns: Namespace) -> str:
    """Rules, sets and maps of all tables, without what moves by itself."""
    text = ns.output("nft", "--stateless", "list", "ruleset")
    return re.sub(r"# handle \d+", "", text)


def nft_objects(ns: Namespace, kind: str) -> list[dict]:
    """Objects of one kind (rule, set, map, chain) in our tables, as nft's JSON describes them."""
    listing = json.loads(ns.output("nft", "-j", "-a", "list", "ruleset"))["nftables"]
    return [item[kind] for item in listing
            if kind in item and item[kind].get("table") in TABLES]


def canonical_state(ns: Namespace) -> list[str]:
    """All that an agent keeps, one line each, in an order and a form that depend on nothing but what
    stands: no handles, counters, indices or ages. For comparing two namespaces."""
    lines = _canonical_ruleset(ns)
    for family in (4, 6):
        for entry in _json(ns, "ip", "-N", "-details", f"-{family}", "route", "show"):
            if int(entry.get("protocol", 0)) != PROTOCOL_KERNEL:
                lines.append(f"route {_line(entry)}")
        lines += [f"rule {family} {_line(r)}" for r in _json(ns, "ip", "-N", f"-{family}", "rule")]
        for entry in _json(ns, "ip", f"-{family}", "neighbour", "show", "nud", "permanent"):
            lines.append(f"neighbour {_line(entry)}")
    for link in _json(ns, "ip", "-details", "link", "show", "type", "vxlan"):
        name, data = link["ifname"], link["linkinfo"]["info_data"]
        facts = {k: data.get(k) for k in ("id", "port", "local", "link", "learning")}
        lines.append(f"link {name} {link['mtu']} {link['address']} {link['flags']} {_line(facts)}")
        lines += [f"address {name} {a}" for a in addresses(ns, name)]
        lines += [f"fdb {name} {item}" for item in fdb(ns, name).items()]
    return sorted(lines + _settings(ns))


def _json(ns: Namespace, program: str, *arguments: str) -> list[dict]:
    return json.loads(ns.output(program, "-j", *arguments) or "[]")


def _line(entry: dict) -> str:
    return json.dumps(entry, sort_keys=True)


def _canonical_ruleset(ns: Namespace) -> list[str]:
    """Rules carry their place in their chain; the order of chains, sets and elements means nothing."""
    lines: list[str] = []
    places: dict[tuple, int] = {}
    for item in json.loads(ns.output("nft", "-j", "-s", "list", "ruleset"))["nftables"]:
        (kind, what), = item.items()
        if kind == "metainfo":
            continue
        what.pop("handle", None)
        if kind == "rule":
            chain = what["table"], what["chain"]
            what["place"] = places[chain] = places.get(chain, 0) + 1
        if "elem" in what:
            what["elem"] = sorted(map(_line, what["elem"]))
        lines.append(f"nft {kind} {_line(what)}")
    return lines


def _settings(ns: Namespace) -> list[str]:
    """Forwarding, and every setting of the interfaces that the agent looks after."""
    paths = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]
    lines = [f"sysctl {p} {ns.read_sysctl('net/' + p)}" for p in paths]
    text = ns.run(["grep", "-rs", ".", *(
        f"/proc/sys/net/{family}/{kind}" for family in ("ipv4", "ipv6")
        for kind in ("conf", "neigh"))], check=False).stdout
    ours = re.compile(r"/(cali[0-9a-f]+|vxlan[^/]*\.calico)/")
    return lines + [f"sysctl {line}" for line in text.splitlines() if ours.search(line)]


def kernel_state(ns: Namespace) -> list[str]:
    """Everything that an agent keeps, one line each: for comparing before and after."""
    lines = ruleset(ns).splitlines()
    for family in (4, 6):
        lines += sorted(map(str, routes(ns, family).values()))
        device = VXLAN_DEVICE[family]
        if device in ns.output("ip", "-o", "link", "show"):
            lines += sorted(f"fdb {item}" for item in fdb(ns, device).items())
            lines += sorted(f"neighbour {item}" for item in neighbours(ns, device).items())
            lines += [f"address {device} {a}" for a in addresses(ns, device)]
    return lines
