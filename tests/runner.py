# SPDX-License-Identifier: Apache-2.0
"""./test: configures, builds, runs ctest and pytest, and counts every test case in one line."""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from lab import registry  # noqa: E402  (needs the path above)

# Under a sanitizer a leak, a race or undefined behaviour fails the test that met it.
SANITIZER_ENV = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
                 "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
                 "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"}


# gRPC's archive is not instrumented: ThreadSanitizer does not see the order that its atomics make.
LEFT_OUT = {"tsan": ["--label-exclude", "grpc"]}


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Tally) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def sweep_temporary() -> None:
    """Removes the directories of test programs that were killed (tests/support/temp_dir.h)."""
    for left in Path(tempfile.gettempdir()).glob("margay-test-*-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)


def build(preset: str) -> Path:
    """Configures and builds one preset; the build folder. Ends the run when that fails."""
    subprocess.run(["cmake", "--preset", preset], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    folder = ROOT / "build" / preset
    subprocess.run(["ninja", "-C", str(folder), f"-j{os.cpu_count()}"], check=True)
    return folder


@dataclass
class Case:
    name: str    # GoogleTest's `Suite.test`, or pytest's module and function
    result: str  # passed, failed, skipped
    said: str


def read_junit(path: Path) -> list[Case]:
    """The cases of one report, GoogleTest's or pytest's."""
    cases = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        found = {key: case.find(key) for key in ("failure", "error", "skipped")}
        result, element = next(
            (("skipped" if key == "skipped" else "failed", element)
             for key, element in found.items() if element is not None), ("passed", None))
        if case.get("status") == "notrun":
            result = "skipped"
        said = "" if element is None else element.text or element.get("message", "")
        cases.append(Case(f"{case.get('classname')}.{case.get('name')}", result, said))
    return cases


def count(cases: list[Case], again: Callable[[list[str]], list[Case]]) -> Tally:
    """Counts the cases. Those that failed are run once more, by `again`: neighbours are real daemons
    and the machine may be busy. One that passes then is said to be unstable, which wants mending."""
    failed = [case for case in cases if case.result == "failed"]
    second = {case.name: case for case in again([c.name for c in failed])} if failed else {}
    tally = Tally()
    for case in cases:
        result = case.result
        if result == "failed":
            result = second.get(case.name, case).result
            word = "FAILED  " if result == "failed" else "UNSTABLE"
            print(f"{word} {case.name}\n{_last_lines(case.said)}")
        elif result == "skipped":
            print(f"skipped {case.name}: {case.said}")
        setattr(tally, result, getattr(tally, result) + 1)
    return tally


def _last_lines(text: str | None) -> str:
    return "\n".join("  " + line for line in (text or "").splitlines()[-40:])


def unit(preset: str) -> Tally:
    folder = build(preset)
    print(f"== unit tests ({preset})", flush=True)
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    env = os.environ | SANITIZER_ENV | {"GTEST_OUTPUT": f"xml:{reports}/"}
    summary = reports / "ctest.xml"
    subprocess.run(["ctest", "--test-dir", str(folder), "-j", str(os.cpu_count()), "--quiet",
                    "--output-on-failure", "--timeout", "300", "--no-tests=error",
                    "--output-junit", str(summary), *LEFT_OUT.get(preset, [])], env=env)
    if not summary.exists():
        print("FAILED  ctest wrote no report")
        return Tally(failed=1)
    tally = Tally()
    for case in ElementTree.parse(summary).getroot().iter("testcase"):
        tally.add(_program(case, folder / "tests", reports, env))
    return tally


def long_simulation() -> Tally:
    """1,000 nodes as a mesh and with reflectors, each in one process: ten minutes, 5 GiB."""
    print("== simulation of large clusters", flush=True)
    folder = build("release")
    report = folder / "reports" / "simulation.xml"

    def run(names: list[str]) -> list[Case]:
        report.unlink(missing_ok=True)
        subprocess.run([str(folder / "tests/bgp_speaker_test"), f"--gtest_filter={':'.join(names)}",
                        f"--gtest_output=xml:{report}"], stdout=subprocess.DEVNULL,
                       env=os.environ | {"MARGAY_LONG": "1"})
        if report.exists():
            return [case for case in read_junit(report) if "BigCluster" in case.name]
        return [Case("bgp_speaker_test", "failed", "it wrote no report")]

    return count(run(["*BigCluster*"]), run)


def _program(case: ElementTree.Element, programs: Path, reports: Path, env: dict[str, str]) -> Tally:
    """A test program's cases from its own report; one that crashed, or has none, counts once."""
    name = case.get("name", "?")
    report = reports / f"{name}.xml"
    failed = case.get("status") == "fail"

    def again(names: list[str]) -> list[Case]:
        print(f"again: {name} {' '.join(names)}", flush=True)
        report.unlink()
        subprocess.run(["timeout", "300", str(programs / name), f"--gtest_filter={':'.join(names)}"],
                       env=env, stdout=subprocess.DEVNULL)
        return read_junit(report) if report.exists() else []

    cases = read_junit(report) if report.exists() else []
    tally = count(cases, again)
    if failed and all(c.result != "failed" for c in cases):
        print(f"FAILED  {name} (the program itself)\n{_last_lines(case.findtext('system-out'))}")
        tally.failed += 1
    elif not cases:
        tally.passed += 1
    return tally


def integration(arguments: list[str], long: bool) -> Tally:
    folder = build("release")
    print("== integration tests", flush=True)
    report = folder / "integration.xml"
    env = os.environ | {"MARGAY_BIN": str(folder / "bin"), "MARGAY_LONG": "1" if long else "0",
                        "PYTHONDONTWRITEBYTECODE": "1"}

    def pytest(*more: str) -> list[Case]:
        report.unlink(missing_ok=True)
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rN", f"--junitxml={report}",
                               "-o", f"cache_dir={folder / 'pytest'}",
                               str(ROOT / "tests/integration"), *arguments, *more],
                              env=env, cwd=ROOT)
        if report.exists() and done.returncode in (0, 1):
            return read_junit(report)
        return [Case("pytest", "failed", f"ended with {done.returncode}")]

    return count(pytest(), lambda names: pytest("--last-failed", "--last-failed-no-failures=none"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="./test")
    parser.add_argument("what", nargs="?", default="default",
                        choices=["default", "unit", "integration", "full", "ci"])
    options, rest = parser.parse_known_args()
    if os.geteuid() != 0:
        print("the tests make network namespaces: run as root")
        return 2
    for left in registry.sweep():
        print(f"removed what an earlier run left: {left}")
    sweep_temporary()
    total = Tally()
    try:
        if options.what != "integration":
            total.add(unit("release"))
        if options.what != "unit":
            total.add(integration(rest, long=options.what == "full"))
        if options.what in ("full", "ci"):
            total.add(unit("asan"))
        if options.what == "full":
            total.add(long_simulation())
            total.add(unit("tsan"))
    except subprocess.CalledProcessError as error:
        print(f"FAILED  {' '.join(error.cmd)}")
        total.failed += 1
    except KeyboardInterrupt:
        print("interrupted")
        total.failed += 1
    finally:
        registry.sweep()
    print(total, flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
