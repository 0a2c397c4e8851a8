"""Options of a training run that are given on the command line, not in the config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascli.training.strategies.group import Group


@dataclass(frozen=True, slots=True)
class Options:
    """Command line options of a training run that are not in its config: device, threads, folder of runs ..."""

    runs_dir: Path = Path("runs")
    device: str = "auto"
    threads: int | None = None
    """Number of CPU threads; None: one for each usable CPU or, on resume, as many as the run had."""
    name: str | None = None
    command: Sequence[str] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    """Upper limits of `epochs`, `steps_per_epoch` and `validation_steps` in each phase, for a smoke test."""
    profile: bool = False
    data: Path | None = None
    """Place of the data of a run to resume, if it has moved; or new data to train a run on. None: the run's own."""
    relearn: bool = False
    """True to fit the transforms to these rows; False: their state is kept, to which the weights belong."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Entries of run.json that a new run takes over from the run that it trains on."""
    group: "Group | None" = None
    """Group of the processes that train together; None: this process alone."""
    source_runs: Path | None = None
    """Folder of runs in which `model.init_from` looks up a run; None: `runs_dir`."""
    downloads_weights: bool = True
    """True if missing weights that `model.init_from` names are downloaded; False: random weights, for a smoke test."""
