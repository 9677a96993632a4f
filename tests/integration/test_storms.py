# SPDX-License-Identifier: Apache-2.0
"""Random storms of changes, kills and damage; afterwards everything is as if nothing had happened.

Only ./test full runs them. MARGAY_SEED repeats one.
"""
import os
import random
import signal

import pytest
from lab import observe
from lab.lab import FAMILIES
from lab.monitor import Monitor
from lab.resources import allow, network_policy

pytestmark = pytest.mark.long
STEPS = 200


@pytest.fixture
def draw():
    seed = int(os.environ.get("MARGAY_SEED", random.randrange(1 << 30)))
    print(f"MARGAY_SEED={seed}")
    return random.Random(seed)


def random_policy(draw, number):
    selector = draw.choice(["pool == 'vxlan'", "on == 'node-1'", "has(colour)", "colour == 'red'"])
    rules = [allow(draw.choice(["TCP", "UDP"]), [draw.choice([80, 8080, "1000:2000"])],
                   source={"selector": draw.choice(["all()", "colour == 'blue'", "pool == 'always'"])},
                   action=draw.choice(["Allow", "Deny", "Pass", "Log"])) for _ in range(draw.randrange(5))]
    return network_policy(f"storm-{number}", selector, ingress=rules, order=draw.randrange(5))


def as_fresh(cluster, name):
    """The kernel's state equals what an agent makes that finds nothing of ours."""
    ns, agent = cluster.nodes[name].ns, cluster.agents[name]
    with Monitor(ns) as monitor:
        monitor.quiet(1.0)
    grown = sorted(observe.kernel_state(ns))
    agent.kill()
    for table in observe.TABLES:
        ns.run(["nft", "delete", "table", "inet", table], check=False)
    for family in FAMILIES:
        for dst, route in observe.own_routes(ns, family).items():
            if route.protocol == observe.PROTOCOL_AGENT:
                kind = "blackhole " if route.kind == "blackhole" else ""
                ns.ip(f"route del {kind}{dst} proto {route.protocol}")
    agent.start()
    cluster.wait_agent_ready(name)
    cluster.until(lambda: sorted(observe.kernel_state(ns)) == grown, 20)


def test_policies_labels_and_endpoints(cluster, draw):
    for step in range(STEPS):
        number = draw.randrange(20)
        pod = cluster.pods[draw.choice(list(cluster.pods))]
        action = draw.randrange(4)
        if action == 0:
            cluster.apply(random_policy(draw, number))
        elif action == 1:
            cluster.ctl("delete", "networkpolicy", f"storm-{number}", "--skip-not-exists")
        elif action == 2:
            cluster.apply(cluster.endpoint(pod, labels=pod.labels
                                           | {"colour": draw.choice(["red", "blue"])}))
        else:
            cluster.delete(cluster.endpoint(pod))
            cluster.apply(cluster.endpoint(pod))
    for name in cluster.nodes:
        as_fresh(cluster, name)
    for number in range(20):
        cluster.ctl("delete", "networkpolicy", f"storm-{number}", "--skip-not-exists")
    cluster.apply(*(cluster.endpoint(pod) for pod in cluster.pods.values()))
    cluster.expect(cluster.everyone(), 30)


def test_kills_damage_and_flapping(cluster, draw):
    for _ in range(STEPS // 4):
        name = draw.choice(list(cluster.nodes))
        ns, agent = cluster.nodes[name].ns, cluster.agents[name]
        action = draw.randrange(5)
        if action == 0:
            agent.kill()
            agent.start()
        elif action == 1:
            cluster.typha.stop(signal.SIGKILL)
            cluster.start_typha()
        elif action == 2:
            ns.run(["nft", "delete", "table", "inet", observe.TABLES[0]], check=False)
        elif action == 3:
            own = [d for d, r in observe.own_routes(ns, 4).items() if r.kind == "unicast"]
            if own:
                ns.run(["ip", "route", "del", draw.choice(own)], check=False)
        else:
            pod = draw.choice([p for p in cluster.pods.values() if p.node.name == name])
            ns.ip(*(f"link set {pod.interface} {state}" for state in ("down", "up") * 5))
    for name in cluster.nodes:
        cluster.wait_agent_ready(name, 30)
    cluster.expect(cluster.everyone(), 30)
