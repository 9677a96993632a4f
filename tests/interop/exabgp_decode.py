# SPDX-License-Identifier: Apache-2.0
"""Decodes UPDATE messages with ExaBGP: a line of hex each in, a line each out, in the words of
differential_test.cpp. Four-byte AS numbers, both families, no path identifiers."""
import sys
from unittest.mock import MagicMock

from exabgp.bgp.message import IN, Update
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.open.capability import Negotiated
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


def agreed():
    negotiated = Negotiated(MagicMock())
    negotiated.asn4 = True
    negotiated.addpath = MagicMock()
    negotiated.addpath.receive = lambda afi, safi: False
    negotiated.families = [(AFI.ipv4, SAFI.unicast), (AFI.ipv6, SAFI.unicast)]
    return negotiated


def route(nlri):
    if nlri.action == IN.WITHDRAWN:
        return "-" + nlri.cidr.prefix()
    return "+%s via %s" % (nlri.cidr.prefix(), nlri.nexthop)


def describe(update):
    words = sorted(route(nlri) for nlri in update.nlris)
    words += ["%s %s" % (name, text(update.attributes[code]))
              for code, (name, text) in _WORDS.items() if code in update.attributes]
    return "; ".join(words)


if __name__ == "__main__":
    negotiated = agreed()
    for line in sys.stdin:
        try:
            print(describe(Update.unpack_message(bytes.fromhex(line)[19:], Direction.IN, negotiated)))
        except Exception as error:  # whatever it raises: it does not understand
            print("error %s %s" % (type(error).__name__, error))
