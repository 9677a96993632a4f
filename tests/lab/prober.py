# SPDX-License-Identifier: Apache-2.0
"""The program that runs inside each pod: answers on TCP and UDP ports, and probes others on demand.

Speaks JSON lines on the socket given as file descriptor argv[1]; the listening ports follow. Runs
alone (`python3 -I -S prober.py FD PORT...`): nothing but the standard library, nothing of the lab's.
A probe's outcome is allowed, dropped (no answer in time), refused, or unreachable (an ICMP error or
no route).
"""
import collections
import errno
import itertools
import json
import os
import select
import socket
import struct
import sys
import threading
import time

UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EINVAL,
               errno.EADDRNOTAVAIL}
BLOCK = threading.Lock()
RECEIVED = collections.Counter()  # datagrams by port
PORTS = itertools.cycle(range(10000, 60000))


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def outcome_of(error):
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "dropped"
    if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
        return "refused"
    if error.errno in UNREACHABLE:
        return "unreachable"
    if error.errno == errno.ETIMEDOUT:
        return "dropped"
    return "error %s" % errno.errorcode.get(error.errno, error.errno)


def probe_tcp(request):
    with socket.socket(family_of(request["dst"]), socket.SOCK_STREAM) as sock:
        sock.settimeout(request["timeout"])
        if request.get("source"):
            sock.bind((request["source"], 0))
        sock.connect((request["dst"], request["port"]))
        sock.sendall(b"?")
        return "allowed" if sock.recv(1) else "refused"


def probe_udp(request):
    with socket.socket(family_of(request["dst"]), socket.SOCK_DGRAM) as sock:
        sock.settimeout(request["timeout"])
        if request.get("source"):
            sock.bind((request["source"], 0))
        sock.connect((request["dst"], request["port"]))
        sock.send(b"?")
        sock.recv(64)
        return "allowed"


def seen_as(request):
    """The address under which the other side sees this one."""
    with socket.socket(family_of(request["dst"]), socket.SOCK_STREAM) as sock:
        sock.settimeout(request["timeout"])
        sock.connect((request["dst"], request["port"]))
        sock.sendall(b"w")
        return sock.recv(64).decode()


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def probe_icmp(request):
    """One echo request on a raw socket; an ICMP error about it counts as unreachable."""
    v6 = ":" in request["dst"]
    family, protocol, kind, reply = ((socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129) if v6
                                     else (socket.AF_INET, socket.IPPROTO_ICMP, 8, 0))
    token = os.urandom(8)
    identifier = struct.unpack("!H", token[:2])[0]
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        sock.connect((request["dst"], 0))
        packet = struct.pack("!BBHHH", kind, 0, 0, identifier, 1) + token
        if not v6:  # the kernel fills in the ICMPv6 checksum
            packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
        sock.send(packet)
        deadline = time.monotonic() + request["timeout"]
        while True:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            data = sock.recv(2048)
            if not v6:
                data = data[(data[0] & 15) * 4:]
            if data[0] == reply and data[8:16] == token:
                return "allowed"
            if time.monotonic() >= deadline:
                return "dropped"


def stream_udp(request):
    """A new flow every millisecond; when the path opens or closes: `until` is allowed or dropped.

    Flows are new, each from a port not used before, because established ones outlive a policy. Reports
    the monotonic time of the first answer, or when the last flow that was answered was sent, before
    `quiet` seconds without an answer.
    """
    deadline = time.monotonic() + request["timeout"]
    flows = collections.OrderedDict()  # socket -> when it sent
    last_sent = streaming = None
    while time.monotonic() < deadline:
        sock = socket.socket(family_of(request["dst"]), socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            sock.bind(("", next(PORTS)))
            sock.connect((request["dst"], request["port"]))
            sock.send(b"?")
        except OSError:
            pass
        flows[sock] = time.monotonic()
        if len(flows) > 200:
            flows.popitem(last=False)[0].close()
        for answered in select.select(list(flows), [], [], 0.001)[0]:
            try:
                answered.recv(64)
            except OSError:
                continue
            last_sent = max(last_sent or 0, flows.pop(answered))
            answered.close()
            if request["until"] == "allowed":
                return {"at": time.monotonic()}
            if not streaming:
                streaming = True
                answer({"id": request["id"], "streaming": True})
        if last_sent and time.monotonic() - last_sent > request["quiet"]:
            return {"at": last_sent}
    return {"at": None}


def hold_tcp(request, flows={}):
    """Flows that stay open: open one by name, or ask whether it still carries data."""
    if request["do"] == "open":
        sock = socket.socket(family_of(request["dst"]), socket.SOCK_STREAM)
        sock.settimeout(request["timeout"])
        sock.connect((request["dst"], request["port"]))
        flows[request["flow"]] = sock
    sock = flows[request["flow"]]
    sock.settimeout(request["timeout"])
    sock.sendall(b"?")
    return "allowed" if sock.recv(1) else "refused"


def flood_udp(request, floods={}):
    """Sends to each of `dsts` (address and port) every millisecond from "start" to "stop"; the number
    of rounds sent so far.
    """
    if request["do"] == "start":
        flood = floods[request["flow"]] = {"sent": 0, "going": True}
        threading.Thread(target=keep_sending, args=(request["dsts"], flood), daemon=True).start()
    flood = floods[request["flow"]]
    if request["do"] == "stop":
        flood["going"] = False
    return flood["sent"]


def keep_sending(dsts, flood):
    socks = {f: socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6)}
    for sock in socks.values():
        sock.setblocking(False)
    while flood["going"]:
        for dst, port in dsts:
            try:
                socks[family_of(dst)].sendto(b"f", (dst, port))
            except OSError:
                pass  # no route for the moment
        flood["sent"] += 1
        select.select([], [], [], 0.001)


def received_udp(request):
    """How many datagrams have come to a port that this prober listens on."""
    return RECEIVED[request["port"]]


OPERATIONS = {"tcp": probe_tcp, "udp": probe_udp, "icmp": probe_icmp, "stream": stream_udp,
              "hold": hold_tcp, "seen_as": seen_as, "flood": flood_udp, "received": received_udp}


def handle(request):
    try:
        result = OPERATIONS[request["op"]](request)
    except OSError as error:
        result = outcome_of(error)
    answer({"id": request["id"], "result": result})


def answer(message):
    with BLOCK:
        CONTROL.sendall((json.dumps(message) + "\n").encode())


def echo_tcp(listener):
    """All accepted connections on one thread: echo until the other side closes.

    A single "w" is answered with the address that the question came from.
    """
    open_sockets = [listener]
    while True:
        for sock in select.select(open_sockets, [], [])[0]:
            try:
                if sock is listener:
                    open_sockets.append(listener.accept()[0])
                    continue
                data = sock.recv(4096)
                if data:
                    whoami = data == b"w"
                    sock.sendall(sock.getpeername()[0].encode() if whoami else data)
                    continue
            except OSError:
                pass
            open_sockets.remove(sock)
            sock.close()


def echo_udp(sock):
    port = sock.getsockname()[1]
    while True:
        try:
            data, peer = sock.recvfrom(4096)
            with BLOCK:
                RECEIVED[port] += 1
            sock.sendto(data, peer)
        except OSError:
            continue


def listen(port):
    for kind, serve in ((socket.SOCK_STREAM, echo_tcp), (socket.SOCK_DGRAM, echo_udp)):
        for family, wildcard in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            sock = socket.socket(family, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((wildcard, port))
            if kind == socket.SOCK_STREAM:
                sock.listen(128)
            threading.Thread(target=serve, args=(sock,), daemon=True).start()


def main():
    for port in sys.argv[2:]:
        listen(int(port))
    answer({"id": 0, "result": "ready"})
    try:
        for line in CONTROL.makefile("r"):
            threading.Thread(target=handle, args=(json.loads(line),), daemon=True).start()
    except ConnectionError:
        pass  # the lab has closed its end


if __name__ == "__main__":
    CONTROL = socket.socket(fileno=int(sys.argv[1]))
    main()
