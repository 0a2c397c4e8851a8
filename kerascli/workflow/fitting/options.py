"""Options of a training run that are given on the command line, not in the config."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascli.runs.record import RunRecord
    from kerascli.training.strategies.group import Group


@dataclass(frozen=True, slots=True)
class Options:
    """Command line options of a training run that are not in its config: device, threads, folder of runs ..."""

    runs_dir: Path = Path("runs")
    """Folder in which the folder of a new run is created."""
    device: str = "auto"
    threads: int | None = None
    """Number of CPU threads; None: one for each usable CPU or, on resume, as many as the run had."""
    folder: Path | None = None
    """Existing folder that becomes the folder of a new run; None: a new folder in `runs_dir`."""
    mode: str | None = None
    """Execution mode of a new run; None: the best one for the machine and the config."""
    pause: Callable[[int], str | None] | None = None
    """Function called after each epoch (from 1) but the last; if it returns a reason, the run is saved and interrupted
    such that it can be resumed. None: it is not."""
    name: str | None = None
    """Name of a new run; None: that in the config."""
    command: Sequence[str] = ()
    """Arguments of the command line, for run.json."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Upper limits of `epochs`, `steps_per_epoch` and `validation_steps` in each phase, for a smoke test."""
    profile: bool = False
    """True to profile the training run: the times of its phases (data, forward ...)."""
    data: Path | None = None
    """Place of the data of a run to resume, if it has moved; or new data to train a run on. None: the run's own."""
    relearn: bool = False
    """True to fit the transforms to the new run's training rows; False to use their fitted state of the earlier run."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Entries of run.json that a new run takes over from the run that it trains on."""
    group: "Group | None" = None
    """Group of the processes that train together; None: this process alone."""
    source_runs: Path | None = None
    """Folder of runs in which `model.init_from` looks up a run; None: `runs_dir`."""
    downloads_weights: bool = True
    """True if missing weights that `model.init_from` names are downloaded; False: random weights, for a smoke test."""


def new_record(options: Options, name: str) -> "RunRecord":
    """Return the folder of a new run: the one that the options name, or a new one in the folder of runs."""
    from kerascli.runs.record import RunRecord

    if options.folder is not None:
        return RunRecord(options.folder)
    return RunRecord.create(options.runs_dir, options.name or name)
