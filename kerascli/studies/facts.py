"""Facts about a study and about its trials, as the files study.yaml and trial.json have them."""

from collections.abc import Iterable, Sequence
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
    """Arguments of `--set` for all trials, those of `--flag` among them."""
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
    """SHA-256 of each file of the data by its name."""
    tune: dict[str, Any] | None = None
    """Section `tune` of the config; None for a study of the folds of one config."""
    settings: dict[str, Any]
    """The config's other sections, with `extends` and `--set` applied, and the SHA-256 of its plugins."""
    text: str
    """Text of the config's file."""


class TrialFacts(BaseModel):
    """Facts about a trial or a fold: the contents of trial.json, which is written before its training starts."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal[1] = 1
    number: int
    status: Status = "running"
    point: dict[str, int | float] = {}
    """Number of each parameter of the search space, for a choice the index of its item."""
    sets: dict[str, Any] = {}
    """Value of each path as of `--set`."""
    seen: list[int] = []
    """Numbers of the trials that the sampler took into account."""
    kills: int = 0
    """Number of times that its process was killed."""
    values: list[float] = []
    """Value of each objective, once the trial has ended."""
    results: dict[str, dict[str, float]] = {}
    """Losses and metrics of a fold by its final weights, by split; `baseline` is that of 'validation'."""
    epochs: int = 0
    reason: str | None = None
    """Reason why it failed or was pruned."""
    host: str = ""
    processor: str = ""
    mode: str = ""
    ended: str | None = None
    seconds: float = 0.0


def now() -> str:
    """Return the present time as trial files have it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def best_trials(trials: Iterable[TrialFacts], directions: Sequence[str]) -> list[TrialFacts]:
    """Return the completed trials that no other one beats: with one objective the first of the best, else the front."""
    signs = [1.0 if way == "min" else -1.0 for way in directions]
    done = [each for each in trials if each.status == "completed"]
    losses = {each.number: [sign * value for sign, value in zip(signs, each.values, strict=True)] for each in done}
    if len(signs) == 1:
        return sorted(done, key=lambda each: (losses[each.number], each.number))[:1]

    def beats(one: list[float], other: list[float]) -> bool:
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    return [each for each in done if not any(beats(loss, losses[each.number]) for loss in losses.values())]
