"""Facts about a study and about its trials, as the files study.yaml and trial.json have them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["running", "completed", "pruned", "failed"]
FINISHED = frozenset({"completed", "pruned", "failed"})


class StudyFacts(BaseModel):
    """Settings of a study that all its trials have in common: the contents of study.yaml."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal[1] = 1
    config: str
    """Path of the config's file."""
    sets: list[str] = []
    """Arguments of `--set` for all trials."""
    flags: list[str] = []
    """Arguments of `--flag` for all trials."""
    seed: int
    threads: int
    """Number of CPU threads of each trial."""
    device: str
    mode: str | None
    """Execution mode of each trial; None: the space sets it."""
    trials: int
    directions: list[Annotated[str, Field(pattern="min|max")]] = []
    """Better direction of each objective."""
    data: dict[str, str] = {}
    """Digests of the data, once a trial has read it."""
    plugins: dict[str, str] = {}
    """SHA-256 of each plugin by its file name."""
    tune: dict[str, Any] | None = None
    """Section `tune` of the config; None for a study of the folds of one config."""
    settings: dict[str, Any]
    """The config's other sections, with `extends` and `--set` applied."""
    text: str
    """Text of the config's file."""


class TrialFacts(BaseModel):
    """Facts about a trial: the contents of trial.json, which is written before its training starts."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal[1] = 1
    number: int
    status: Status = "running"
    point: dict[str, int | float] = {}
    """Number of each parameter of the search space, for a choice the index of its item."""
    flags: dict[str, Any] = {}
    sets: dict[str, Any] = {}
    seen: list[int] = []
    """Numbers of the trials that the sampler took into account."""
    starts: int = 1
    """Number of times that it was started, without those that a signal ended."""
    values: list[float] = []
    """Value of each objective, once the trial has ended."""
    epochs: int = 0
    reason: str | None = None
    """Reason why it failed or was pruned."""
    host: str = ""
    processor: str = ""
    mode: str = ""
    started: str = ""
    ended: str | None = None
    seconds: float = 0.0


def now() -> str:
    """Return the present time as study and trial files have it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
