"""What the command line decides of a training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """What no config says."""

    runs_dir: Path = Path("runs")
    device: str = "auto"
    threads: int | None = None
    """Threads on the CPU; None: as many as the CPUs that may be used, or as the run that goes on had."""
    name: str | None = None
    command: Sequence[str] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    """For a smoke run: `epochs`, `steps_per_epoch`, `validation_steps` at most; in each phase."""
    profile: bool = False
    known_runs: Path | None = None
    """Where `model.init_from` looks runs up; None: where the new run goes."""
