# SPDX-License-Identifier: Apache-2.0
"""Probes, metrics, logs and the flags that an operator uses."""
import re
import signal
import socket

import pytest
from lab import programs
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
