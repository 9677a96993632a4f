# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments under churn: nothing that was denied gets through, and what stands in
the end is what a fresh node gets from the same input. MARGAY_SEED repeats a run."""
import os
import random
import threading
import time
from ipaddress import ip_network

import pytest
from lab import observe
from lab.lab import CROSS_SUBNET, FAMILIES, ROUTED, Lab
from lab.monitor import Monitor
from lab.resources import allow, block_keys, global_policy, network_policy, resource
from lab.topology import OUTSIDE

NODE = "node-1"
KILLS = 50
OPEN, DENIED = 80, 8080  # of the canary
GHOSTS = 6  # nodes that exist in the store only


@pytest.fixture(scope="module")
def lab():
    with Lab(racks="ab", plans=(CROSS_SUBNET, ROUTED)) as lab:
        lab.start()
        for node in lab.nodes.values():
            for n in range(4 if node.name == NODE else 1):
                lab.add_pod(f"pod-{node.index}-{n}", node.name, "vxlan", {"n": str(n)}, write=False)
        lab.add_pod("canary", NODE, "vxlan", {"role": "canary"}, write=False)
        lab.put_keys({k: v for ghost in ghosts() for k, v in ghost_blocks(ghost).items()})
        lab.apply(network_policy("canary", "role == 'canary'", [allow("UDP", [OPEN])], order=1),
                  *(lab.endpoint(pod) for pod in lab.pods.values()))
        yield lab


def ghosts():
    return range(10, 10 + GHOSTS)


def ghost(n):
    return resource("Node", f"ghost-{n}", {
        "bgp": {"ipv4Address": f"172.31.2.{n}/24", "ipv6Address": f"fd31:0:0:2::{n}/64"},
        "ipv4VXLANTunnelAddr": f"10.65.{n}.1", "vxlanTunnelMACAddr": f"66:04:00:00:01:{n:02x}",
        "ipv6VXLANTunnelAddr": f"fd00:65::{n}:1", "vxlanTunnelMACAddrV6": f"66:06:00:00:01:{n:02x}"})


def ghost_blocks(n):
    return block_keys(ip_network(f"10.65.{n}.0/26"), f"ghost-{n}", 16) \
        | block_keys(ip_network(f"fd00:65::{n}:0/122"), f"ghost-{n}", 16)


class Churn:
    """Changes of every kind, one after another on a thread of its own, until stopped."""

    def __init__(self, lab, draw):
        self.lab, self.draw, self.count = lab, draw, 0
        self.failure = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        if self.failure:
            raise self.failure

    def _run(self):
        try:
            while not self._stop.is_set():
                self.draw.choice((self.policy, self.labels, self.members, self.node, self.pod))()
                self.count += 1
        except Exception as error:
            self.failure = error

    def apply_or_delete(self, item):
        if self.draw.random() < 0.7:
            self.lab.apply(item)
        else:
            self.lab.ctl("delete", item["kind"], item["metadata"]["name"], "--skip-not-exists",
                         *(("-n", "default") if "namespace" in item["metadata"] else ()))

    def policy(self):
        """Any rule but one that would open what the canary denies."""
        draw, number = self.draw, self.draw.randrange(8)
        rules = [allow(draw.choice(["TCP", "UDP"]), [draw.choice([OPEN, 443, "1000:2000"])],
                       source={"selector": draw.choice(["has(colour)", f"colour != 'c{draw.randrange(30)}'"])},
                       action=draw.choice(["Allow", "Deny", "Log"])) for _ in range(draw.randrange(4))]
        selector = draw.choice(["all()", "role == 'canary'", "has(n)", "colour == 'red'"])
        make = draw.choice([network_policy, global_policy])
        self.apply_or_delete(make(f"churn-{number}", selector, rules, order=draw.randrange(2, 9)))

    def labels(self):
        pod = self.draw.choice(list(self.lab.pods.values()))
        colour = {"colour": self.draw.choice(["red", "blue"])}
        self.lab.apply(self.lab.endpoint(pod, labels=pod.labels | colour))

    def members(self):
        nets = [f"192.0.2.{self.draw.randrange(256)}/32" for _ in range(self.draw.randrange(40))]
        self.apply_or_delete(resource("GlobalNetworkSet", f"churn-{self.draw.randrange(4)}",
                                      {"nets": sorted(set(nets))}, labels={"colour": "blue"}))

    def node(self):
        self.apply_or_delete(ghost(self.draw.choice(ghosts())))

    def pod(self):
        pod = self.draw.choice([p for p in self.lab.pods.values() if "n" in p.labels])
        self.lab.delete(self.lab.endpoint(pod))
        self.lab.apply(self.lab.endpoint(pod))


def canary_flows(lab):
    """From a pod beside it, from another node, from outside."""
    canary = lab.pods["canary"]
    dsts = [(canary.address(f), port) for f in (4, 6) for port in (OPEN, DENIED)]
    return {name: lab.fabric.probers[name] for name in ("pod-0-0", "pod-1-0", "tor")}, dsts


def received(lab, port):
    return lab.fabric.probers["canary"].ask(op="received", port=port)


def kill_at_random(lab, draw):
    """Starts the agent and kills it: at the n-th change that it makes in the kernel, or after so
    long if it makes fewer."""
    agent = lab.agents[NODE]
    moment, latest = draw.randrange(60), draw.uniform(0, 0.3)
    with Monitor(lab.nodes[NODE].ns) as monitor:
        agent.start()
        end = time.monotonic() + latest
        while len(monitor.events) < moment and (left := end - time.monotonic()) > 0:
            try:
                monitor.wait(lambda event: True, left)
            except TimeoutError:
                break
        agent.kill()
        return len(monitor.events)


def settled(lab):
    """What stands when the agent is ready, BGP has brought its routes, and nothing has changed for
    a while."""
    ns = lab.nodes[NODE].ns
    lab.wait_agent_ready(NODE, 30)
    for family in FAMILIES:
        lab.until(lambda f=family: OUTSIDE[f == 6] in observe.own_routes(ns, f), 20)
    with Monitor(ns) as monitor:
        monitor.quiet(0.5)
    return observe.canonical_state(ns)


def test_kill_9_at_random_moments_under_churn(lab):
    seed = int(os.environ.get("MARGAY_SEED", random.randrange(1 << 30)))
    print(f"MARGAY_SEED={seed}")
    draw = random.Random(seed)
    probers, dsts = canary_flows(lab)
    lab.expect(lab.paths(list(probers), "canary", protocol="udp", port=OPEN), 20)
    lab.expect(lab.paths(list(probers), "canary", "dropped", protocol="udp", port=DENIED), 20)
    assert received(lab, DENIED) == 0
    for prober in probers.values():
        prober.ask(op="flood", do="start", flow="canary", dsts=dsts)
    lab.agents[NODE].kill()
    with Churn(lab, random.Random(seed + 1)) as churn:
        at = [kill_at_random(lab, draw) for _ in range(KILLS)]
    print(f"killed after so many changes in the kernel: {at}; {churn.count} changes of resources")
    lab.start_agent(NODE)
    grown = settled(lab)
    sent = {name: p.ask(op="flood", do="stop", flow="canary") for name, p in probers.items()}
    assert received(lab, DENIED) == 0, "what is denied got through"
    assert received(lab, OPEN) > KILLS and min(sent.values()) > 1000, sent

    lab.agents[NODE].kill()
    lab.fabric.move_to_fresh_namespace(lab.nodes[NODE])
    lab.start_agent(NODE)
    fresh = settled(lab)
    left, missing = sorted(set(grown) - set(fresh)), sorted(set(fresh) - set(grown))
    assert (left, missing) == ([], []), "left over, missing"
    assert grown == fresh
