# SPDX-License-Identifier: Apache-2.0
"""The kernel says no, or somebody holds what is ours: said by name, closed where it must be, and
everything else goes on. Large sets hold nothing up."""
import json
import os
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import observe, programs
from lab.lab import ALWAYS, ROUTED, Lab
from lab.monitor import Monitor
from lab.resources import allow, global_policy, network_policy, resource

NODE, LATE_NODE = "node-1", "node-2"
NO_BGP = {"CALICO_NETWORKING_BACKEND": "none"}
LARGE = 300_000  # members


@pytest.fixture(scope="module")
def lab():
    with Lab(racks="ab", plans=(ALWAYS, ROUTED)) as lab:
        lab.put_keys(lab.base_keys())
        lab.start_typha()
        late = lab.node_resource(lab.nodes[LATE_NODE])
        lab.apply(*(item for item in lab.base_resources() if item != late))
        lab.start_agent(NODE, **NO_BGP)
        for name in ("client", "web", "other"):
            lab.add_pod(name, NODE, "routed", {"app": name}, write=False)
        lab.apply(*(lab.endpoint(pod) for pod in lab.pods.values()))
        yield lab


def restart(lab, **env):
    lab.agents[NODE].kill()
    lab.start_agent(NODE, **NO_BGP, **env)


def web_policy(log):
    rules = [allow(action="Log")] if log else []
    return network_policy("web", "app == 'web'", [*rules, allow("TCP", [80])])


def said(lab):
    """What an operator is told: readiness, and `margayctl show policy`."""
    _, readiness = lab.agents[NODE].get("/readiness")
    return readiness, shown(lab)["quarantined"]


def shown(lab):
    return json.loads(lab.agent_ctl(NODE, "show", "policy", "-o", "json"))


def test_a_refused_policy_is_named_and_closes_its_endpoints_only(lab):
    """The kernel lacks `log`: the policy that asks for it is quarantined until it is mended."""
    lab.apply(web_policy(log=False))
    restart(lab, LD_PRELOAD=programs.binary("margay-lacking-kernel.so"), MARGAY_TEST_LACKS="log")
    lab.wait_agent_ready(NODE)
    lab.expect(lab.paths("client", ["web", "other"]), 10)
    lab.apply(web_policy(log=True))
    name = "pi-np/default/web rule 1"
    lab.until(lambda: any(name in q for q in said(lab)[1]), 5, lambda: str(said(lab)))
    assert name in said(lab)[0]
    assert "policy_quarantined" in lab.agents[NODE].process.log()
    lab.expect(lab.paths("client", "web", "dropped") | lab.paths("client", "other"), 5)
    late = lab.add_pod("late", NODE, "routed", {"app": "other"})
    lab.expect(lab.paths("client", "late"), 5)
    lab.delete_pod(late)
    lab.apply(web_policy(log=False))
    lab.until(lambda: said(lab)[1] == [] and name not in said(lab)[0], 5, lambda: str(said(lab)))
    lab.expect(lab.paths("client", ["web", "other"]), 5)


def test_a_table_that_another_program_owns_is_said_and_taken_when_it_is_free(lab):
    """EPERM for every transaction, as long as the owner lives."""
    ns = lab.nodes[NODE].ns
    lab.agents[NODE].kill()
    ns.run(["nft", "delete", "table", "inet", "margay"])
    owner = ns.spawn(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        owner.stdin.write("add table inet margay { flags owner; }\n")
        owner.stdin.flush()
        lab.until(lambda: "table inet margay {" in observe.ruleset(ns))
        lab.start_agent(NODE, **NO_BGP)
        lab.until(lambda: "not permitted" in lab.agents[NODE].get("/readiness")[1], 10,
                  lambda: str(lab.agents[NODE].get("/readiness")))
        status, body = lab.agents[NODE].get("/readiness")
        assert status != 200 and "margay: " in body, body
    finally:
        owner.stdin.close()
        owner.wait(10)
    lab.wait_agent_ready(NODE, 30)
    lab.expect(lab.paths("client", ["web", "other"]), 10)


def large_set(lab):
    """Its members in pieces that a store takes, and a policy that looks it up."""
    nets = [f"{100 + i // 65536}.{i // 256 % 256}.{i % 256}.1" for i in range(LARGE)]
    piece = 20_000
    return [resource("GlobalNetworkSet", f"large-{at // piece}", {"nets": nets[at:at + piece]},
                     labels={"large": "yes"}) for at in range(0, LARGE, piece)]


def test_no_timer_of_a_live_process_follows_the_wall_clock(lab):
    """The kernel's own word on each timer: CLOCK_MONOTONIC (1) or CLOCK_BOOTTIME (7)."""
    for process in lab.processes().values():
        clocks = [line.split()[1] for info in Path(f"/proc/{process.pid}/fdinfo").iterdir()
                  for line in info.read_text().splitlines() if line.startswith("clockid:")]
        assert clocks and set(clocks) <= {"1", "7"}, process.name


@contextmanager
def waiting_ctl(lab):
    """A margayctl that runs already and applies what is written to it when that is closed."""
    argv = [programs.binary(programs.CTL_PROGRAM), "apply", "-f", "-",
            "--store", f"unix:{lab.store_socket}"]
    with lab.fabric.typha.spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                text=True) as ctl:
        yield ctl.stdin


def test_new_pods_and_nodes_do_not_wait_for_a_large_set(lab):
    """The pod's place in the dispatch, its route, and the node's route, neighbour and FDB entry
    stand while the set is still being filled."""
    pod = lab.add_pod("late", NODE, "routed", {"app": "late"}, write=False)
    news = (lab.endpoint(pod), lab.node_resource(lab.nodes[LATE_NODE]))
    lab.apply(web_policy(log=False), *large_set(lab))
    missing = dict(late_routes(lab, pod))
    seen = {}  # what of it came when
    ns = lab.nodes[NODE].ns
    rounds = []  # when each round of reading began
    with Monitor(ns, routes=False, lazy=True) as policy, Monitor(ns, nftables=False) as routes:
        with waiting_ctl(lab) as late:
            late.write("\n---\n".join(map(json.dumps, news)))
            lab.apply(global_policy("large", "app == 'other'", [
                allow(source={"selector": "large == 'yes'"}), allow("TCP", [80])]))
            policy.wait(lambda event: True)
        deadline = time.monotonic() + 60
        while shown(lab)["pending"] or missing:
            rounds.append(time.monotonic())
            assert rounds[-1] < deadline, (missing, shown(lab))
            for event in routes.drain():
                for name in [n for n, is_it in missing.items() if is_it(event)]:
                    seen[name] = event.at
                    del missing[name]
            policy.drain()
        policy.drain()
        policy.parse()
    elements = [e for e in policy.events if e.kind == "nft-element" and not e.deleted]
    names = [e.detail["name"] for e in elements]
    (large, members), = Counter(names).most_common(1)
    assert members == LARGE
    last = len(names) - 1 - names[::-1].index(large)
    print(f"dispatched to when the set had {names.index('to-workload')} of {LARGE} members")
    assert names.index("to-workload") < last, "the pod came last"
    # Of what was read in a later round nothing stood when the route was read.
    for name, at in seen.items():
        later = min((r for r in rounds if r > at), default=float("inf"))
        assert elements[last].at > later, f"{name} came last"
    lab.expect(lab.paths("client", ["late", "other"]), 10)


def late_routes(lab, pod):
    """How to know each thing that a new pod and a new node need besides policy."""
    node = lab.nodes[LATE_NODE]
    block, tunnel = str(ALWAYS.block(node, 4)), ALWAYS.address(node, 4, 1)
    mac = lab.node_resource(node)["spec"]["vxlanTunnelMACAddr"]

    def is_entry(kind, **detail):
        return lambda e: e.kind == kind and not e.deleted and detail.items() <= e.detail.items()

    yield "the pod's route", is_entry("route", dst=pod.address(4) + "/32")
    yield "the node's route", is_entry("route", dst=block)
    yield "the node's neighbour", is_entry("neighbour", address=tunnel)
    yield "the node's FDB entry", is_entry("fdb", mac=mac)
