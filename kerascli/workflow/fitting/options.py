"""Options of a training run that are given on the command line, not in the config."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascli.training.strategies.group import Group


@dataclass(frozen=True, slots=True)
class Options:
    """Command line options of a training run that are not in its config: device, threads, folder of runs ..."""

    runs_dir: Path = Path("runs")
    """Folder in which the folder of a new run is created."""
    device: str = "auto"
    threads: int | None = None
    """Number of CPU threads; None: one for each usable CPU or, on resume, as many as the run had."""
    mode: str | None = None
    """Execution mode of a new run; None: the best one for the machine and the config."""
    pause: Callable[[str], str | None] = lambda at: None
    """Function called after each epoch (`epoch 3`) or fold (`fold 3`) but the last; if it returns a reason, the run is
    saved and interrupted such that it can be resumed."""
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
