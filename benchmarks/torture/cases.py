"""Options, counts, table and exit code that all scripts share."""

import argparse
import contextlib
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.outcomes import table
from benchmarks.torture.children import one_thread


@dataclass(slots=True)
class Tally:
    """Counts of the outcomes of the cases."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, case: str, found: str, fault: str | None = None) -> None:
        """Count a case by what happened; a `fault` makes it a wrong one."""
        self.counts[found if fault is None else "wrong"] += 1
        if fault is not None:
            self.wrong.append(f"{case}: {fault}")
            print(f"wrong: {case}: {fault}", flush=True)


@dataclass(frozen=True, slots=True)
class Given:
    """Options of a script."""

    cases: int | None
    """Number of cases; None: as many as there are, or the script's own number."""
    whole: int
    """Cases with a process of their own from start to end."""
    luck: random.Random
    control: bool
    folder: Path

    def sample(self, points: list[int]) -> list[int]:
        """Return all points, or as many as there are to be cases."""
        if self.cases is None or self.cases >= len(points):
            return points
        return sorted(self.luck.sample(points, self.cases))


def main(
    title: str,
    torture: Callable[[Given, Tally], None],
    *,
    cases: int | None,
    whole: int,
    arguments: list[str] | None = None,
) -> int:
    """Run a script: its exit code is 1 when a case was wrong, which those of a control must be."""
    parser = argparse.ArgumentParser(description=title)
    every = "all" if cases is None else str(cases)
    parser.add_argument("--cases", type=int, default=cases, help=f"in forked children; default: {every}")
    parser.add_argument("--whole", type=int, default=whole, help=f"as whole processes; default: {whole}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", action="store_true", help="with what is tested broken: some must be wrong")
    given = parser.parse_args(arguments)
    one_thread()
    for number in (signal.SIGINT, signal.SIGHUP):  # which a shell's background job and nohup ignore
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    started = time.monotonic()
    found = Tally()
    with (
        contextlib.suppress(KeyboardInterrupt),  # the table then has the cases so far
        tempfile.TemporaryDirectory(prefix="kerascli-torture-") as folder,
    ):
        asked = Given(given.cases, given.whole, random.Random(given.seed), given.control, Path(folder).resolve())
        torture(asked, found)
    rows = [[name, str(count)] for name, count in sorted(found.counts.items())]
    print(table([title, "cases"], [*rows, ["all", str(sum(found.counts.values()))]]))
    print(f"{time.monotonic() - started:.0f} s, seed {given.seed}{', control' if given.control else ''}")
    if given.control:
        print("the control fails, as it should" if found.wrong else "the control did not fail: nothing is shown")
    return 1 if found.wrong else 0
