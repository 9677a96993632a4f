# SPDX-License-Identifier: Apache-2.0
"""The systemd units: right by systemd's own judgement, and the agent works with what they leave it."""
import re
import subprocess
from pathlib import Path

import pytest
from lab import programs, resources

UNITS = Path(__file__).resolve().parents[2] / "systemd"
# Exposure by `systemd-analyze security`, times ten: 0 is a process that can do nothing, 100 one without
# any protection. Lower it when a unit gets better; never raise it for convenience.
EXPOSURE = {"margay-agent": 22, "margay-typha": 12}
# Everything but the lab's folder read-only, as ProtectSystem=strict makes it, but for /proc.
READ_ONLY = """
mount --make-rprivate / && mount --bind "$0" "$0"
cut -d' ' -f5 /proc/self/mountinfo | while read -r m; do
  case $m in /proc*|/sys*|/dev*|"$0") ;; *) mount -o remount,bind,ro "$m" || exit 1 ;; esac
done && exec "$@"
"""


def setting(unit, name):
    return re.search(rf"^{name}=(.*)$", (UNITS / f"{unit}.service").read_text(), re.M)[1].split()


@pytest.mark.parametrize("unit", EXPOSURE)
def test_systemd_finds_no_fault(unit, tmp_path):
    """The program is put where this checkout has it; everything else is as installed."""
    text = (UNITS / f"{unit}.service").read_text()
    assert f"ExecStart=/usr/sbin/{unit} " in text
    copy = tmp_path / f"{unit}.service"
    copy.write_text(text.replace(f"/usr/sbin/{unit}", programs.binary(unit)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True,
                          text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", EXPOSURE)
def test_exposure_stays_low(unit):
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager",
            f"--threshold={EXPOSURE[unit]}", str(UNITS / f"{unit}.service")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def capabilities(unit):
    return [name.removeprefix("CAP_").lower() for name in setting(unit, "CapabilityBoundingSet")]


def test_the_agent_works_with_what_its_unit_leaves_it(cluster):
    """Exactly its capabilities, no new ones, a file system that cannot be written but /proc/sys."""
    agent = cluster.agents["node-1"]
    keep = ",".join(["-all", *(f"+{name}" for name in capabilities("margay-agent"))])
    agent.stop()
    agent.wrapper = ["unshare", "--mount", "sh", "-c", READ_ONLY, str(cluster.dir), "setpriv",
                     f"--bounding-set={keep}", "--inh-caps=-all", "--ambient-caps=-all",
                     "--no-new-privs"]
    process = agent.start()
    cluster.wait_agent_ready("node-1")
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert int(re.search(r"CapEff:\s+(\w+)", status)[1], 16) == 1 << 12 | 1 << 13 | 1 << 10
    assert re.search(r"NoNewPrivs:\s+1", status)
    with pytest.raises(OSError):
        Path(f"/proc/{process.pid}/root/run/margay-test").touch()
    pod = cluster.add_pod("hardened", "node-1", "always")
    policy = resources.network_policy("hardened", "pool == 'routed'",
                                      ingress=[resources.allow("TCP", [80])])
    cluster.apply(policy)
    cluster.expect(cluster.everyone(src=[pod.name], dst=["always-2", "vxlan-3"])
                   | cluster.paths(["vxlan-2", pod.name], "routed-1")
                   | cluster.paths("vxlan-2", "routed-1", "dropped", "udp"))
    path = f"net/ipv4/conf/{pod.interface}/proxy_arp"
    cluster.nodes["node-1"].ns.sysctl(path, 0)
    cluster.until(lambda: cluster.nodes["node-1"].ns.read_sysctl(path) == "1")
    cluster.delete(policy)
    cluster.delete_pod(pod)
    refused = [line for line in process.log().splitlines() if re.search("denied|permitted|Read-only",
                                                                        line)]
    assert not refused, refused
