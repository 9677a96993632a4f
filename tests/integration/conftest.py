# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests: labs, the guard around every test, logs when one fails."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import guard, registry  # noqa: E402
from lab.lab import ALWAYS, CROSS_SUBNET, ROUTED, Lab  # noqa: E402


def pytest_sessionstart(session):
    registry.sweep()


def pytest_configure(config):
    config.addinivalue_line("markers", "long: storms that only ./test full runs")


def pytest_collection_modifyitems(config, items):
    """Long tests are not part of the suite, rather than skipped: skips are for missing kernel features."""
    if os.environ.get("MARGAY_LONG") != "1":
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(autouse=True)
def host_unchanged():
    with guard.host_unchanged():
        yield


@pytest.fixture(scope="module")
def cluster():
    """Three nodes in two racks, the ToR, and one pod of every kind of pool on each node."""
    with Lab(plans=(CROSS_SUBNET, ALWAYS, ROUTED)) as lab:
        lab.start()
        for node in lab.nodes.values():
            for plan in lab.plans.values():
                lab.add_pod(f"{plan.name}-{node.index + 1}", node.name, plan.name,
                            {"pool": plan.name, "on": node.name}, write=False)
        lab.apply(*(lab.endpoint(pod) for pod in lab.pods.values()))
        yield lab


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in item.funcargs.values():
            if isinstance(value, Lab):
                report.sections.append(("programs of the lab", value.report()))
