# SPDX-License-Identifier: Apache-2.0
"""Breaks between agents and typha: packets that vanish, connections that are reset."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .kernel import Namespace
from .programs import TYPHA_PORT

_TABLE = "inet lab-cut"
VANISH, RESET = "drop", "reject with tcp reset"


@contextmanager
def cut(ns: Namespace, how: str = VANISH, address: str = "") -> Iterator[None]:
    """While inside, nothing passes between `ns` and those who use typha's port in it (on `address`).

    VANISH tells neither side anything; RESET ends connections and refuses new ones.
    """
    to, back = (f"ip daddr {address} ", f"ip saddr {address} ") if address else ("", "")
    silence = f"{back}tcp sport {TYPHA_PORT} drop" if how == VANISH else ""
    ns.run(["nft", "-f", "-"], stdin=f"""table {_TABLE} {{
        chain in {{ type filter hook input priority -300; {to}tcp dport {TYPHA_PORT} {how}; }}
        chain out {{ type filter hook output priority -300; {silence}; }}
    }}""" if silence else f"""table {_TABLE} {{
        chain in {{ type filter hook input priority -300; {to}tcp dport {TYPHA_PORT} {how}; }}
    }}""")
    try:
        yield
    finally:
        ns.run(["nft", "delete", "table", *_TABLE.split()])
