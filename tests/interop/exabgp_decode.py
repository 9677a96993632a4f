# SPDX-License-Identifier: Apache-2.0
"""Decodes UPDATE messages with ExaBGP: a line each in, in hex, after a "+" with path identifiers; a
line each out, in the words of differential_test.cpp. Four-byte AS numbers, both families."""
import ipaddress
import sys
from unittest.mock import MagicMock

from exabgp.bgp.message import IN, Update
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.notification import Notify
from exabgp.bgp.message.open.capability import Negotiated
from exabgp.bgp.message.update.attribute import Attribute
from exabgp.configuration.setup import environment
from exabgp.protocol.family import AFI, SAFI

environment.setup("")


def hexes(items):
    return " ".join(sorted(item.pack().hex() if hasattr(item, "pack") else bytes(item).hex()
                           for item in items))


def path(a):
    sets = ["(", *map(str, a.as_set), ")"] if a.as_set else []
    return " ".join(["[", *map(str, a.as_seq), *sets, "]"])


# Type of an attribute -> its name here, and how its value is told.
_WORDS = {1: ("origin", str), 2: ("path", path), 4: ("med", str), 5: ("pref", str),
          6: ("atomic", lambda a: ""), 7: ("aggregator", str),
          8: ("communities", lambda a: hexes(a.communities)), 9: ("originator", str),
          10: ("clusters", str), 16: ("extended", lambda a: hexes(a.communities)),
          32: ("large", lambda a: hexes(a.communities))}


def agreed(path_identifiers):
    negotiated = Negotiated(MagicMock())
    negotiated.asn4 = True
    negotiated.addpath = MagicMock()
    negotiated.addpath.receive = lambda afi, safi: path_identifiers
    negotiated.families = [(AFI.ipv4, SAFI.unicast), (AFI.ipv6, SAFI.unicast)]
    return negotiated


def route(nlri):
    number = nlri.path_info.path_info
    name = str(ipaddress.ip_network(nlri.cidr.prefix(), strict=False)) + (" id %d" % int.from_bytes(number, "big") if number else "")
    return "-" + name if nlri.action == IN.WITHDRAWN else "+%s via %s" % (name, nlri.nexthop)


def describe(update):
    if Attribute.CODE.INTERNAL_TREAT_AS_WITHDRAW in getattr(update, "attributes", ()):
        return "withdraw"
    if not update.nlris:
        return ""
    words = sorted(route(nlri) for nlri in update.nlris)
    words += ["%s %s" % (name, text(update.attributes[code]))
              for code, (name, text) in _WORDS.items() if code in update.attributes]
    return "; ".join(words)


def verdict(line):
    negotiated = agreed(line.startswith("+"))
    try:
        return describe(Update.unpack_message(bytes.fromhex(line.lstrip("+"))[19:], Direction.IN,
                                              negotiated))
    except Notify:
        return "reset"
    except Exception as error:  # whatever it raises: it does not understand
        return "error %s %s" % (type(error).__name__, str(error).replace("\n", " "))


if __name__ == "__main__":
    for line in sys.stdin:
        print(verdict(line.strip()))
