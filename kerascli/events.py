"""What work reports while it goes on; the edges print it or write it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Logs = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Began:
    """A run folder is there, the model is built; `summary` is its table as text."""

    run: str
    summary: str
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class EpochBegin:
    """Epochs count from 1, as people do and as history.csv does."""

    epoch: int
    epochs: int
    steps: int


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """A step is done; `logs` is given at most ten times a second, since reading it may wait."""

    epoch: int
    step: int
    steps: int
    logs: Logs | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing new, but a moment at which work may be interrupted (between batches of a validation)."""


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """An epoch is done, validated and decided upon."""

    epoch: int
    epochs: int
    logs: Logs
    seconds: float
    messages: tuple[str, ...] = ()
    """What callbacks had to say."""
    slots: tuple[str, ...] = ()
    """Named slots that are to be kept on disk."""
    rows: tuple[tuple[str, Logs, str], ...] = ()
    """Rows for files in logs/: (file, row, separator)."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint is on disk, complete and durable."""

    name: str
    epoch: int
    batch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Training is over: `completed` or by a `callback`, and in words why."""

    reason: str
    text: str
    epoch: int
    messages: tuple[str, ...] = ()
    """What callbacks had to say at the end."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Loss and metrics over a whole split."""

    split: str
    logs: Logs
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Note:
    """Something chosen for the user, with the reason; or a warning."""

    text: str
    level: Literal["info", "warning"] = "info"


Event = Began | EpochBegin | BatchEnd | Tick | EpochEnd | Saved | Stopped | Evaluated | Note
