"""The benchmark on a busy machine: it alternates fairly, its busy processes end, ratios are within a round."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import busy
from benchmarks.busy import Goal, goals_of, measure, report
from benchmarks.processes import Epoch
from benchmarks.session import Session
from benchmarks.workloads import Job
from kerascli.foundation.cpus import cpu_quota

FOUND = {
    ("quiet", "before"): [1.0, 2.0, 4.0], ("quiet", "now"): [1.0, 2.1, 4.0], ("quiet", "one thread"): [2.0, 2.0, 2.0],
    ("busy", "before"): [9.0, 9.0, 9.0], ("busy", "now"): [2.0, 8.4, 40.0], ("busy", "one thread"): [4.0, 4.0, 4.0],
}  # fmt: skip


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    assert Goal(("busy", "now"), ("quiet", "now"), 3.0).ratio(FOUND) == 4.0
    assert Goal(("quiet", "now"), ("quiet", "before"), 1.05).held(FOUND)


def test_the_report_says_what_is_held_and_leaves_out_what_was_not_measured() -> None:
    lines = report(FOUND).splitlines()
    assert "| busy, now / quiet, now               |  4.00 |    3.00 |   NO |" in lines
    assert "| quiet, now / quiet, before           |  1.00 |    1.05 |  yes |" in lines
    assert not [line for line in lines if "quota" in line]
    assert len(goals_of(FOUND)) == 4
    assert len(goals_of({**FOUND, ("quota", "now"): [2.0] * 3, ("quota", "before"): [9.0] * 3})) == 6


class _Standing:
    """Candidate that records the order in which it is measured."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self._name, self._diary = name, diary

    def __enter__(self) -> "_Standing":
        return self

    def __exit__(self, *error: object) -> None:
        self._diary.append(f"end {self._name}")

    def wait_ready(self) -> None:
        pass

    def epoch(self) -> Epoch:
        self._diary.append(self._name)
        return Epoch(float(len(self._diary)), 0.0)


def test_everyone_has_a_turn_in_peace_and_one_beside_busy_processes_each_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary: list[str] = []

    @contextmanager
    def loud(count: int) -> Iterator[None]:
        diary.append("(")
        yield
        diary.append(")")

    @contextmanager
    def no_group() -> Iterator[None]:
        yield None

    def worker(
        session: Session, job: Job, env: Mapping[str, str] | None = None, enter: Sequence[str] = ()
    ) -> _Standing:
        return _Standing("before" if env else "one" if job.threads else "now", diary)

    monkeypatch.setattr(busy, "_worker", worker)
    monkeypatch.setattr(busy, "busy", loud)
    monkeypatch.setattr(busy, "quota_of_one_cpu", no_group)
    monkeypatch.setattr(busy, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(Session, "digits", lambda self, rows: tmp_path)
    found = measure(Session(Path(sys.executable), tmp_path, (), (), 2, quick=True))
    order = "before now one / before now one ( before now one ) / now one before ( now one before )"
    assert diary == [*order.replace(" /", "").split(), "end one", "end now", "end before"]
    assert {key: len(each) for key, each in found.items()} == dict.fromkeys(FOUND, 2)


def test_busy_processes_run_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
        started.append(popen(command))
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(busy.subprocess, "Popen", start)
    with busy.busy(2):
        assert [each.poll() for each in started] == [None, None]
    assert [each.poll() for each in started] == [-9, -9]


def test_a_group_with_the_time_of_one_cpu_is_made_where_it_can_be_and_removed(tmp_path: Path) -> None:
    """The CPU quota that kerascli reads inside the group is the kernel's."""
    with busy.quota_of_one_cpu() as group:
        if group is None:
            pytest.skip("no cgroup can be made here")
        code = "from kerascli.foundation.cpus import cpu_quota; print(cpu_quota())"
        enter = ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group)]
        said = subprocess.run([*enter, sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(said) == min(1.0, cpu_quota() or 1.0)
    assert not group.exists()
