"""An epoch on a machine that is not idle, or has a CPU quota, beside one in peace: python -m benchmarks.busy

Processes with the same training stand by; each trains an epoch in its turn, first in peace, then beside a busy process
for each core. So one run has all that is compared, whatever else the machine does meanwhile; ratios are taken within
a round, and the median of them counts. `before` waits as GNU OpenMP does by itself, `now` as kerascli lets it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks.epochs import SETTLE_SECONDS, in_turn
from benchmarks.outcomes import table
from benchmarks.processes import Worker
from benchmarks.session import Session
from benchmarks.workloads import WORKLOADS, Job
from kerascli.foundation.cpus import affinity

ROUNDS = 7
WORK = "mnist_mlp"
OWN_SPINS = {"GOMP_SPINCOUNT": "300000"}
"""Spin count of libgomp where nothing is set."""

Seconds = Mapping[tuple[str, str], Sequence[float]]
"""(state of the machine, who) -> seconds of every round."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Bound on how many times as long one thing takes as another."""

    what: tuple[str, str]
    beside: tuple[str, str]
    most: float | None
    """None: it is only shown."""

    def ratio(self, found: Seconds) -> float:
        return median(a / b for a, b in zip(found[self.what], found[self.beside], strict=True))

    def held(self, found: Seconds) -> bool:
        return self.most is None or self.ratio(found) <= self.most


GOALS = (
    Goal(("busy", "now"), ("quiet", "now"), 3.0),
    Goal(("quiet", "now"), ("quiet", "before"), 1.05),
    Goal(("quota", "now"), ("quiet", "one thread"), 1.1),
    Goal(("busy", "before"), ("quiet", "before"), None),
    Goal(("busy", "one thread"), ("quiet", "one thread"), None),
    Goal(("quota", "before"), ("quiet", "one thread"), None),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="fewer digits: to see that all works, not to measure")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path(), prefix=".benchmarks-") as folder:
        found = measure(Session(Path(sys.executable), Path(folder).resolve(), (), (), given.rounds, quick=given.quick))
    print(report(found))
    return 0 if all(goal.held(found) for goal in goals_of(found)) else 1


def measure(session: Session) -> Seconds:
    """Measure an epoch of each, in peace and beside busy processes, in every round; a warm-up comes first."""
    rounds, rows = session.rounds or ROUNDS, WORKLOADS[WORK]
    job = session.job("kerascli-eager", WORK, rows=rows.quick_rows if session.quick else rows.rows, epochs=3 * rounds)
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker) for name, worker in _workers(session, job).items()}
        for name, worker in _in_group(session, job, stack).items():
            workers[name] = stack.enter_context(worker)
        for worker in workers.values():
            worker.wait_ready()
            worker.epoch()
        for number in range(rounds):
            for state, who in in_turn(list(workers), number):
                time.sleep(SETTLE_SECONDS)
                found.setdefault((state, who), []).append(workers[state, who].epoch().seconds)
            with busy(affinity()):
                for state, who in in_turn([each for each in workers if each[0] == "quiet"], number):
                    found.setdefault(("busy", who), []).append(workers[state, who].epoch().seconds)
            print(f"round {number + 1} of {rounds}: done", file=sys.stderr)
    return found


def report(found: Seconds) -> str:
    """Return tables of the medians, and of the ratios with their bounds."""
    times = [
        [f"{state}, {who}", f"{median(each):.2f}", f"{min(each):.2f}", f"{max(each):.2f}"]
        for (state, who), each in found.items()
    ]
    ratios = [
        [
            f"{', '.join(goal.what)} / {', '.join(goal.beside)}",
            f"{goal.ratio(found):.2f}",
            "" if goal.most is None else f"{goal.most:.2f}",
            "" if goal.most is None else "yes" if goal.held(found) else "NO",
        ]
        for goal in goals_of(found)
    ]
    tables = table(["seconds an epoch", "median", "min", "max"], times), table(["", "ratio", "at most", "held"], ratios)
    return "\n\n".join(tables)


def goals_of(found: Seconds) -> list[Goal]:
    """Return those whose two sides were measured: a quota needs root, and a system that has quotas."""
    return [goal for goal in GOALS if {goal.what, goal.beside} <= found.keys()]


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run so many processes that do nothing but use a core."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(SETTLE_SECONDS)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def quota_of_one_cpu() -> Iterator[Path | None]:
    """Make a cgroup that has the time of one CPU; None, and the reason on stderr, where none can be made."""
    group = None
    try:
        group = _make_group()
    except OSError as error:
        print(f"no quota is measured: {error}", file=sys.stderr)
    try:
        yield group
    finally:
        if group is not None:
            group.rmdir()


def _make_group() -> Path:
    """Return the folder of the new group. Raises OSError."""
    first = Path("/sys/fs/cgroup/cpu")
    files = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}
    parent, files = (first, files) if first.is_dir() else (first.parent, {"cpu.max": "100000 100000"})
    group = Path(tempfile.mkdtemp(dir=parent, prefix="kerascli-busy-"))
    try:
        for name, text in files.items():
            with (group / name).open("r+") as file:  # the kernel makes it, or it is not to be had
                file.write(text)
    except OSError:
        group.rmdir()
        raise
    return group


def _workers(session: Session, job: Job) -> dict[tuple[str, str], Worker]:
    return {
        ("quiet", "before"): _worker(session, job, OWN_SPINS),
        ("quiet", "now"): _worker(session, job),
        ("quiet", "one thread"): _worker(session, replace(job, threads=1)),
    }


def _in_group(session: Session, job: Job, stack: ExitStack) -> dict[tuple[str, str], Worker]:
    """Return the same under a quota of one CPU; the group is removed with the stack."""
    group = stack.enter_context(quota_of_one_cpu())
    if group is None:
        return {}
    enter = ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group)]
    return {
        ("quota", "before"): _worker(session, replace(job, threads=affinity()), OWN_SPINS, enter),
        ("quota", "now"): _worker(session, job, {}, enter),
    }


def _worker(session: Session, job: Job, env: Mapping[str, str] | None = None, enter: Sequence[str] = ()) -> Worker:
    return Worker([*enter, *session.child("epochs", job.to_json())], {**session.env(job.peer), **(env or {})})


if __name__ == "__main__":
    sys.exit(main())
