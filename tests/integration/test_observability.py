# SPDX-License-Identifier: Apache-2.0
"""Probes, metrics, logs and the flags that an operator uses."""
import json
import re
import signal
import socket
import subprocess
from contextlib import contextmanager

import pytest
from lab import observe, programs, resources
from lab.lab import FAMILIES
from lab.programs import TYPHA_HEALTH_PORT, TYPHA_METRICS_PORT, http_get

ROOT = programs.Path(__file__).resolve().parents[2]
BOTH = [programs.AGENT_PROGRAM, programs.TYPHA_PROGRAM]


def test_an_agent_is_live_and_ready_with_reasons(cluster):
    for agent in cluster.agents.values():
        for path in ("/liveness", "/readiness"):
            status, body = agent.get(path)
            assert status == 200 and len(body.splitlines()) > 1, body
        assert agent.get("/nonsense")[0] == 404


def test_typha_is_live_and_ready(cluster):
    for path in ("/liveness", "/readiness"):
        assert http_get(cluster.fabric.typha, TYPHA_HEALTH_PORT, path)[0] == 200
    status, text = http_get(cluster.fabric.typha, TYPHA_METRICS_PORT, "/metrics")
    assert status == 200 and "\nmargay_" in text


def test_metrics_are_in_prometheus_form(cluster):
    status, text = cluster.agents["node-1"].get("/metrics", programs.METRICS_PORT)
    assert status == 200
    typed = set(re.findall(r"^# TYPE (\S+) (?:counter|gauge|histogram|summary)$", text, re.M))
    assert typed
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)", line)
            assert match, line
            float(match[3])
            base = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert match[1] in typed or base in typed, line
            assert match[1].startswith(("margay_", "process_")), line


def counts(cluster, node, name):
    """Of a histogram, by plane."""
    metrics = cluster.agents[node].metrics()
    return {plane: metrics[f'{name}_count{{plane="{plane}"}}'] for plane in ("policy", "routes")}


def test_how_long_a_change_takes_into_the_kernel_is_measured(cluster):
    """Each plane counts the changes that made it write, and no others."""
    name = "margay_datastore_to_kernel_seconds"
    before = counts(cluster, "node-1", name)
    policy = resources.global_policy("counted", "pool == 'routed'", ingress=[resources.allow()])
    for change in (cluster.apply, cluster.delete):
        change(policy)
        before["policy"] += 1
        cluster.until(lambda: counts(cluster, "node-1", name) == before, 5,
                      lambda: f"{counts(cluster, 'node-1', name)}, not {before}")
    cluster.apply(resources.resource("GlobalNetworkSet", "nobody-asks", {"nets": ["192.0.2.0/24"]}))
    cluster.delete(resources.resource("GlobalNetworkSet", "nobody-asks", {}))
    cluster.apply(policy)
    before["policy"] += 1
    cluster.until(lambda: counts(cluster, "node-1", name) == before)
    cluster.delete(policy)
    total = cluster.agents["node-1"].metrics()[f'{name}_sum{{plane="policy"}}']
    assert total > 0


def test_how_long_an_endpoint_takes_is_measured(cluster):
    name = "margay_endpoint_programming_seconds"
    before = counts(cluster, "node-1", name)
    pod = cluster.add_pod("timed", "node-1", "routed")
    after = {plane: count + 1 for plane, count in before.items()}
    cluster.until(lambda: counts(cluster, "node-1", name) == after)
    changed = cluster.endpoint(pod, labels={"new": "label"})
    cluster.apply(changed)
    cluster.delete_pod(pod)
    late = cluster.add_pod("late-link", "node-1", "routed", attach=False)
    cluster.until(lambda: counts(cluster, "node-1", name)["policy"] == after["policy"] + 1)
    assert counts(cluster, "node-1", name)["routes"] == after["routes"], "it has no interface"
    cluster.fabric.attach(late)
    cluster.until(lambda: counts(cluster, "node-1", name)["routes"] == after["routes"] + 1)
    cluster.delete_pod(late)


def shown(cluster, node, subsystem):
    return json.loads(cluster.agent_ctl(node, "show", subsystem, "-o", "json"))


def test_every_subsystem_shows_what_it_wants_and_has(cluster):
    names = json.loads(cluster.agent_ctl("node-1", "show", "-o", "json"))
    assert set(names) >= {"bgp", "bgp-routes", "calc", "config", "foreign", "policy", "routes", "sync"}
    for name in names:
        state = {}

        def settled(name=name, state=state):
            state.update(shown(cluster, "node-1", name))
            return (state["want"], state["pending"], state["lastError"]) == (state["have"], False, "")

        cluster.until(settled, 10, lambda name=name, state=state: f"{name}: {state}")
        assert list(state)[:4] == ["want", "have", "pending", "lastError"]
        table = cluster.agent_ctl("node-1", "show", name).splitlines()
        assert table[0].split() == ["OBJECT", "WANT", "HAVE"]
        assert {line.split()[0] for line in table[1:1 + len(state["want"])]} == state["want"].keys()
    overview = cluster.agent_ctl("node-1", "show").splitlines()
    assert overview[0].split() == ["SUBSYSTEM", "PENDING", "LASTERROR"]
    for name in names:
        assert any(line.split()[:2] == [name, "no"] for line in overview)


def test_what_policy_and_routes_have_is_what_the_kernel_has(cluster):
    ns = cluster.nodes["node-1"].ns
    have = shown(cluster, "node-1", "policy")["have"]
    assert have["rules"] == len(observe.nft_objects(ns, "rule"))
    assert have["chains"] == len(observe.nft_objects(ns, "chain"))
    have = shown(cluster, "node-1", "routes")["have"]
    assert have["routes"] == sum(len(observe.own_routes(ns, f)) for f in FAMILIES)
    assert have["fdb"] == sum(len(observe.fdb(ns, d)) for d in observe.VXLAN_DEVICE.values())
    assert have["tunnels"] == 2


def test_what_bgp_waits_for_is_shown(cluster):
    nowhere = resources.resource("BGPPeer", "nowhere", {
        "node": "node-1", "peerIP": "172.31.1.254:1790", "asNumber": 64999})
    cluster.apply(nowhere)
    try:
        cluster.until(lambda: "refused" in shown(cluster, "node-1", "bgp")["lastError"])
        state = shown(cluster, "node-1", "bgp")
        assert state["pending"] and state["want"]["establishedPeers"] == 7
        table = cluster.agent_ctl("node-1", "show", "bgp")
        assert "refused" in table
        assert not re.search(r"\b1\d{9}\b", table), "seconds since 1970 are for programs"
    finally:
        cluster.delete(nowhere)


def test_the_agent_answers_root_only(cluster):
    argv = ["setpriv", "--reuid=65534", "--clear-groups", cluster.binary("margayctl"), "show",
            "--socket", str(cluster.agents["node-1"].socket)]
    done = cluster.nodes["node-1"].ns.run(argv, check=False)
    assert done.returncode == 1 and "SUBSYSTEM" not in done.stdout


@contextmanager
def a_table_taken_away(ns):
    """By a program that owns it: every transaction of ours is refused as long as it lives."""
    owner = ns.spawn(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        owner.stdin.write("delete table inet margay; add table inet margay { flags owner; }\n")
        owner.stdin.flush()
        yield
    finally:
        owner.stdin.close()
        owner.wait(10)


def not_up_to_date(cluster, agent):
    """What readiness says, once it says since when and why."""
    cluster.until(lambda: re.search(r"policy.*not up to date for \d+ s, since 20\S+; margay: .*not "
                                    "permitted", agent.get("/readiness")[1]), 5,
                  lambda: str(agent.get("/readiness")))
    return agent.get("/readiness")


def test_applies_that_fail_are_said_with_the_reason_and_since_when(cluster):
    agent = cluster.agents["node-2"]
    with a_table_taken_away(cluster.nodes["node-2"].ns):
        assert not_up_to_date(cluster, agent)[0] == 200, "for a while that is no reason"
        state = shown(cluster, "node-2", "policy")
        assert state["have"]["chains"] < state["want"]["chains"] and state["pending"], state
        assert "not permitted" in state["lastError"] and state["behindSeconds"] > 0
        assert cluster.agents["node-2"].get("/liveness")[0] == 200
    cluster.until(lambda: "not up to date" not in agent.get("/readiness")[1], 20)
    cluster.expect(cluster.paths("vxlan-1", "vxlan-2"))


@pytest.mark.long
def test_applies_that_fail_for_long_end_readiness(cluster):
    agent = cluster.agents["node-2"]
    with a_table_taken_away(cluster.nodes["node-2"].ns):
        not_up_to_date(cluster, agent)
        cluster.until(lambda: agent.get("/readiness")[0] == 503, 20)
        assert agent.get("/readiness")[1].startswith("not ready: policy: not up to date for ")
        assert agent.get("/liveness")[0] == 200
    cluster.wait_agent_ready("node-2")


def test_probes_listen_on_the_loopback_only(cluster):
    node = cluster.nodes["node-1"]
    with pytest.raises(OSError):
        node.ns.within(lambda: socket.create_connection((node.ipv4, programs.HEALTH_PORT), 1).close())


def test_a_stopped_agent_is_not_ready_after_a_while_and_recovers(cluster):
    """SIGSTOP: nothing answers; SIGCONT: everything is as before."""
    agent = cluster.agents["node-3"]
    agent.process.send(signal.SIGSTOP)
    try:
        with pytest.raises(OSError):
            http_get(cluster.nodes["node-3"].ns, programs.HEALTH_PORT, "/readiness", 0.5)
    finally:
        agent.process.send(signal.SIGCONT)
    cluster.wait_agent_ready("node-3")


def test_log_lines_are_structured(cluster):
    lines = cluster.agents["node-1"].process.log().splitlines()
    assert lines
    for line in lines:
        assert re.search(r"\b(level|severity)=|\[(info|warn|error|debug)", line), line


@pytest.mark.parametrize("program", BOTH)
def test_version(cluster, program):
    done = cluster.fabric.typha.run([programs.binary(program), "--version"])
    assert re.search(r"\d+\.\d+\.\d+", done.stdout)


def test_limits_are_those_of_the_documentation(cluster):
    done = cluster.fabric.typha.run([programs.binary(programs.AGENT_PROGRAM), "--limits"])
    assert done.stdout == (ROOT / "docs/limits.md").read_text()


def check_config(cluster, tmp_path, text):
    file = tmp_path / "felix.cfg"
    file.write_text(text)
    return cluster.fabric.typha.run([programs.binary(programs.AGENT_PROGRAM), "--check-config",
                                     "--config", str(file)], check=False)


def test_check_config(cluster, tmp_path):
    good = check_config(cluster, tmp_path, "[global]\nLogSeverityScreen = Warning\n")
    assert good.returncode == 0, good.stderr
    bad = check_config(cluster, tmp_path, "[global]\nHealthPort = nine\n")
    said = bad.stderr + bad.stdout
    assert bad.returncode != 0 and "HealthPort" in said and "nine" in said


def test_a_wrong_flag_is_explained(cluster):
    for program in BOTH:
        done = cluster.fabric.typha.run([programs.binary(program), "--bogus"], check=False)
        assert done.returncode == 2 and "--bogus" in done.stderr


def test_the_service_manager_hears_from_a_live_process(cluster):
    """Type=notify with a watchdog: READY=1 once, WATCHDOG=1 again and again, STOPPING=1."""
    agent = cluster.agents["node-2"]
    agent.stop()
    process = agent.start(WATCHDOG_USEC="200000")
    cluster.wait_agent_ready("node-2")
    heard = [process.next_notice(2) for _ in range(3)]
    assert heard == ["WATCHDOG=1"] * 3
    process.send(signal.SIGTERM)
    while (notice := process.next_notice(2)) != "STOPPING=1":
        assert notice == "WATCHDOG=1"
    assert process.wait() == 0
    agent.start()
    cluster.wait_agent_ready("node-2")
