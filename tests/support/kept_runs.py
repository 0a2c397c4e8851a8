"""Runs whose folders are kept in the repository, such that later versions are held to reading and resuming them.

`python -m tests.support.kept_runs FOLDER` makes the runs of a new format from the configs in a folder, which
`tests/runs/README.md` explains.
"""

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kerascli.foundation.events import BatchEnd, Event
from kerascli.workflow.fitting import saver
from tests.support.processes import Ended, Launched, run_on

KEPT = Path(__file__).parents[1] / "runs"
OPTIONS = ("--threads", "1", "--device", "cpu")


@dataclass(frozen=True, slots=True)
class Kept:
    """Run that is kept: the names of its folder and config, and what its stored predictions and evaluation are of."""

    format: str
    name: str
    rows: str = "validation"
    evaluated: str = "validation"
    processes: int = 1

    def copied(self, to: Path) -> Path:
        """Copy the folder of the format with the run, its configs and data to a new folder, and return that."""
        return shutil.copytree(KEPT / self.format, to, ignore=shutil.ignore_patterns("__pycache__"))


DIVIDED = Kept("format_2", "divided", processes=2)
"""Run whose processes divided the optimizer's state, which later versions do not: it is not resumed."""
FORMAT_2 = [
    Kept("format_2", "table", evaluated="test"),
    Kept("format_2", "function"),
    Kept("format_2", "digits", "digits.npz", "test"),
    Kept("format_2", "words"),
    DIVIDED,
]
PLUGIN = Kept("format_2", "plugin")
"""Run with plugins that import names that later versions have changed: it ends with an error that has the new names."""


def signal_at(number: signal.Signals, epoch: int) -> None:
    """Save after each epoch, and send this process a signal when it has done the second training step of an epoch."""
    real = saver.Saver.record

    def record(self: saver.Saver, event: Event) -> Sequence[Event]:
        if isinstance(event, BatchEnd) and (event.epoch, event.step) == (epoch, 2):
            os.kill(os.getpid(), number)
        return real(self, event)

    saver.EPOCH_SECONDS = -1.0
    saver.Saver.record = record  # type: ignore[method-assign]


def signalled(run: Kept, folder: Path, number: signal.Signals, epoch: int, *command: str) -> Ended:
    """Run a command that trains, with a signal to each of its processes in the middle of an epoch."""
    return Launched([command], run.processes, folder, partial(signal_at, number, epoch)).wait()


def store(run: Kept, folder: Path) -> None:
    """Write the predictions and the evaluation of a run in a folder beside its config."""
    predict = ("predict", run.name, run.rows, *OPTIONS, "-o", f"{run.name}.predictions.csv")
    ended = run_on(1, folder, predict, ("evaluate", run.name, run.evaluated, *OPTIONS, "--json"))
    assert ended.codes == [0], ended.text
    text = ended.outputs[0]
    (folder / f"{run.name}.evaluation.json").write_text(text[text.index("{") : text.rindex("}") + 1] + "\n")


def main(folder: Path) -> None:
    """Train each config of a folder with a SIGTERM in the second of its four epochs, and store what it predicts."""
    for run in (run for run in FORMAT_2 if run != DIVIDED):
        ended = signalled(run, folder, signal.SIGTERM, 2, "train", f"{run.name}.yaml", *OPTIONS)
        assert set(ended.codes) == {143}, ended.text
        store(run, folder)
    for left in [*folder.glob("output-*.txt"), *folder.rglob(".lock")]:
        left.unlink()
    for plots in folder.glob("runs/*/plots"):
        shutil.rmtree(plots)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
