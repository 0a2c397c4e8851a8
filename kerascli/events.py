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
class PhaseBegin:
    """A phase of a fit that has several begins, or is gone on with."""

    number: int
    of: int
    epochs: int
    trained: int
    """Parameters that it trains ..."""
    parameters: int
    """... of how many there are."""
    fresh: bool
    """Whether its optimizer is a new one."""


@dataclass(frozen=True, slots=True)
class EpochBegin:
    """Epochs count from 1, as people do and as history.csv does."""

    epoch: int
    epochs: int
    steps: int


@dataclass(frozen=True, slots=True)
class AppendRow:
    """Add a row to a CSV file in the run folder's logs/."""

    file: str
    row: Logs
    separator: str = ","


@dataclass(frozen=True, slots=True)
class WriteScalars:
    """Add figures of a step to TensorBoard's files in a folder of logs/."""

    folder: str
    step: int
    values: Logs


@dataclass(frozen=True, slots=True)
class WriteHistograms:
    """Add histograms of all weights to them."""

    folder: str
    step: int


@dataclass(frozen=True, slots=True)
class Post:
    """Send something to a server, which may fail."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WriteSample:
    """Have the callback of that sample make it with the model as it is, and keep it in the run's samples/."""

    name: str
    epoch: int


Record = AppendRow | WriteScalars | WriteHistograms | Post | WriteSample
"""What a callback wants to be written outside of checkpoints."""


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """A step is done; `logs` is given at most ten times a second, since reading it may wait."""

    epoch: int
    step: int
    steps: int
    logs: Logs | None = None
    slots: tuple[str, ...] = ()
    """Named slots that are to be kept on disk."""
    records: tuple[Record, ...] = ()


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
    records: tuple[Record, ...] = ()


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
    place: str = ""
    """Where in a file it stands: `config.yaml:12:7`."""
    below: tuple[str, ...] = ()
    """Lines to show below it: the line of the file, the way out."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One kind of work: the median time of the steps or epochs that had it, its share of all time."""

    name: str
    milliseconds: float
    per: Literal["step", "epoch"]
    times: int
    """How many of them had such work, ..."""
    of: int
    """... of how many that were timed."""
    share: float


@dataclass(frozen=True, slots=True)
class Operation:
    """What torch does under one name in one place (a layer, forward or backward), a step."""

    name: str
    place: str
    calls: float
    milliseconds: float
    share: float


@dataclass(frozen=True, slots=True)
class LayerTime:
    """What a step's operations of one layer take, and their share of those of all layers."""

    name: str
    forward_milliseconds: float
    backward_milliseconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Profiled:
    """Where the time of a training went."""

    tier: str
    """How steps were run: compiled, traced or eager."""
    steps: int
    """All that were trained ..."""
    counted: int
    """... and those whose times are given: not the first one, nor those that torch's profiler slowed."""
    step_milliseconds: float
    once: Mapping[str, float]
    """What happened once, in seconds: it is part of no share."""
    phases: tuple[Phase, ...]
    layers: tuple[LayerTime, ...]
    """The most expensive ones."""
    layers_in: str
    """What they were seen in: steps of the training, or steps run layer by layer before it."""
    operations: tuple[Operation, ...]
    """The most expensive ones."""
    operations_in: str
    """The steps that they were seen in; empty where there are none."""
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    """What could not be measured, and what to bear in mind."""
    files: tuple[str, ...] = ()


Event = Began | PhaseBegin | EpochBegin | BatchEnd | Tick | EpochEnd | Saved | Stopped | Evaluated | Note | Profiled
