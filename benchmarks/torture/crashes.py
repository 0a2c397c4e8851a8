"""python -m benchmarks.torture.crashes: die at every point of a run's files, and go on from there.

A child process is killed before its n-th file operation, for every n: of a training from its first file to its last,
of a resume, of a resume that makes the run longer. `train --resume` must then end bit-identical to the run that was
never interrupted (weights, history, log, `best`), or say that nothing had begun.
"""

import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.torture import tiny
from benchmarks.torture.cases import Given, Tally, main
from benchmarks.torture.children import Ended, run
from benchmarks.torture.disk import Disk, Fault, die, install, write_in_place
from benchmarks.torture.tiny import TRAIN

LONGER = ("--set", f"fit.epochs={tiny.EPOCHS + 1}")
NEVER = 10**9


@dataclass(frozen=True, slots=True)
class Stage:
    """A command in which a process dies, and what stands before it."""

    name: str
    command: Sequence[str]
    template: Path | None
    """A folder of runs to begin with; None: there is none."""
    sets: Sequence[str] = ()


class Crashes:
    """The stages, and what an uninterrupted run comes to."""

    def __init__(self, folder: Path, *, broken: bool) -> None:
        self.folder = folder
        self.broken = broken
        tiny.write_config(folder)
        self.whole = tiny.outcome(tiny.train_whole(folder))
        self.longer = tiny.outcome(tiny.train_whole(folder, "longer", *LONGER))

    def stages(self) -> list[Stage]:
        """Return all stages; each begins where a run was left."""
        operations = self.operations(Stage("", TRAIN, None))
        left = self._left(Stage("", TRAIN, None), len(operations) * 2 // 3)
        return [
            Stage("train", TRAIN, None),
            Stage("resume", ("train", "--resume", "{run}"), left),
            Stage("extend", ("train", "--resume", "{run}", *LONGER), self.folder / "whole", LONGER),
        ]

    def points(self, stage: Stage) -> list[int]:
        """Return the numbers of all file operations of a stage; of the control, those in the middle of a record."""
        done = self.operations(stage)
        if not self.broken:
            return list(range(1, len(done) + 1))
        return writes_of_run_json(done)

    def die_at(self, stage: Stage, nth: int, tally: Tally) -> None:
        """Die at a point, go on, and compare."""
        case = f"{stage.name}, operation {nth}"
        died, _ = self.run(stage, nth, die)
        found = tiny.the_run(self.folder / "runs")
        expected = self.longer if stage.sets else self.whole
        if died.code == 0 and found is not None:  # there are not always as many operations
            tally.add(case, "after the last operation", compared(found, expected))
        elif died.code != -signal.SIGKILL:
            tally.add(case, "", f"expected to be killed, {died.last_words()}")
        else:
            go_on(case, f"{stage.name}: ", self.folder, expected, tally, *stage.sets)

    def operations(self, stage: Stage) -> list[str]:
        """Return all file operations of a stage."""
        ended, done = self.run(stage, NEVER, die)
        assert ended.code == 0, ended.err
        return done

    def _left(self, stage: Stage, nth: int) -> Path:
        self.run(stage, nth, die)
        return Path(shutil.copytree(self.folder / "runs", self.folder / "left"))

    def run(self, stage: Stage, nth: int, fault: Fault) -> tuple[Ended, list[str]]:
        """Run a stage with a fault at an operation; return how it ended, and its operations if it was not killed."""
        runs, listed = self.folder / "runs", self.folder / "operations"
        shutil.rmtree(runs, ignore_errors=True)
        listed.unlink(missing_ok=True)
        if stage.template is not None:
            shutil.copytree(stage.template, runs)
        command = [part.replace("{run}", str(tiny.the_run(runs))) for part in stage.command]
        disks: list[Disk] = []

        def prepare() -> None:
            tiny.often_saved()
            disks.append(install(fault, nth))
            if self.broken:
                write_in_place()

        ended = run(command, self.folder, prepare, lambda: listed.write_text("\n".join(disks[0].done)) and None)
        return ended, listed.read_text().split("\n") if listed.exists() else []


def go_on(case: str, title: str, folder: Path, expected: dict[str, Any], tally: Tally, *options: str) -> None:
    """Resume the only run in a folder, and count whether it ends as one that was never interrupted."""
    found = tiny.the_run(folder / "runs")
    if found is None:
        tally.add(case, f"{title}nothing had begun")
        return
    began = (found / "run.json").exists()
    resumed = run(["train", "--resume", str(found), *options], folder, tiny.often_saved)
    if resumed.code == 4 and not began and resumed.is_decent and "ended before training began" in resumed.err:
        tally.add(case, f"{title}nothing had begun, and resume says so")
    elif resumed.code != 0 or not resumed.is_decent:
        tally.add(case, "", f"cannot go on, {resumed.last_words()}")
    else:
        tally.add(case, f"{title}bit-identical after a resume", compared(found, expected))


def writes_of_run_json(operations: list[str]) -> list[int]:
    """Return the numbers of the operations at which a writer in place has emptied run.json and not yet written it."""
    pairs = enumerate(pairwise(["", *operations]), start=1)
    return [number for number, pair in pairs if pair == ("_open run.json", "_write")]


def compared(path: Path, expected: dict[str, Any]) -> str | None:
    """Return what is wrong with a run that has ended, or None."""
    from kerascli.foundation.errors import KerasCliError

    try:
        return tiny.difference(tiny.outcome(path), expected)
    except KerasCliError as error:
        return str(error)


def torture(given: Given, tally: Tally) -> None:
    """Die at all points, or a sample of them."""
    crashes = Crashes(given.folder, broken=given.control)
    stages = {stage.name: stage for stage in crashes.stages()}
    points = [(name, nth) for name, stage in stages.items() for nth in crashes.points(stage)]
    for index in given.sample(list(range(len(points)))):
        name, nth = points[index]
        crashes.die_at(stages[name], nth, tally)


if __name__ == "__main__":
    sys.exit(main("crash points", torture, cases=None, whole=0))
