# SPDX-License-Identifier: Apache-2.0
"""Every benchmark runs to its end at the smallest scale and prints one JSON line with its fields."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PERCENTILES = [f"{kind}_p{p}_ms" for kind in ("rule", "member", "node", "pod") for p in (50, 95, 99)]
COST = ["wall_s", "cpu_s", "rss_mib", "kernel_changes"]

BENCHMARKS = {
    "agent-sync": ([], COST + ["elements", "rules"]),
    "restart": ([], COST),
    "policy-latency": (["--tries", "4"], PERCENTILES),
    "churn": ([], ["add_s", "del_s"]),
    "idle": (["--seconds", "0.5"], ["cpu_pct"]),
    "policy-packets": (["--seconds", "0.1"], ["conn_rate_1", "pps_10", "conn_rate_3_policies"]),
    "set-scale": (["--tries", "2"], ["load_s", "bytes_per_member", "one_member_ms"]),
    "calc": ([], ["updates_per_s", "bytes_per_remote_endpoint"]),
    "bgp-full-table": ([], ["wall_s", "cpu_s", "prefixes_out"]),
    "bgp-rr": (["--tries", "2"], ["wall_s", "down_p99_ms", "up_p99_ms", "cpu_1000_to_500"]),
    "bgp-dial": ([], ["wall_s", "losses"]),
    "foreign-churn": (["--seconds", "0.2"], ["cpu_pct", "nft_cpu_pct", "start_extra_cpu_s"]),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_prints_its_result(name):
    options, fields = BENCHMARKS[name]
    env = os.environ | {"PYTHONPATH": f"{ROOT}/tests:{ROOT}/bench", "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, str(ROOT / "bench/main.py"), name, "--scale", "S0", "--runs", "1"]
    done = subprocess.run(argv + options, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert result["bench"] == name and result["runs"] == 1
    for field in fields:
        value = result["ours"][field]
        assert value >= 0 or "extra" in field, f"{field}: {value}"   # a difference may be any
