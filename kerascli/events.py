"""Events that training and other work yield; `cli/` prints them, `runs/` records them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Logs = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Began:
    """The run folder exists and the model is built; `summary` is the table of layers as text."""

    run: str
    summary: str
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class PhaseBegin:
    """A phase of a fit with several phases begins or is resumed."""

    number: int
    of: int
    epochs: int
    trained: int
    """Number of trainable parameters."""
    parameters: int
    """Number of all parameters."""
    fresh: bool
    """True if the phase begins with a new optimizer."""


@dataclass(frozen=True, slots=True)
class EpochBegin:
    """An epoch begins; epochs count from 1, as in history.csv."""

    epoch: int
    epochs: int
    steps: int


@dataclass(frozen=True, slots=True)
class AppendRow:
    """Append a row to a CSV file in the run folder's logs/."""

    file: str
    row: Logs
    separator: str = ","


@dataclass(frozen=True, slots=True)
class WriteScalars:
    """Append a step's losses and metrics to TensorBoard's event files in a folder of logs/."""

    folder: str
    step: int
    values: Logs


@dataclass(frozen=True, slots=True)
class WriteHistograms:
    """Append histograms of all weights to TensorBoard's event files in a folder of logs/."""

    folder: str
    step: int


@dataclass(frozen=True, slots=True)
class Post:
    """Send an HTTP POST request, which is allowed to fail."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WriteSample:
    """Let the sampling callback of this name make its sample with the current model, for the run's samples/."""

    name: str
    epoch: int


Record = AppendRow | WriteScalars | WriteHistograms | Post | WriteSample
"""Request of a callback to write something other than a checkpoint."""


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """A training step ended; `logs` is given at most ten times a second, since reading them may wait for the device."""

    epoch: int
    step: int
    steps: int
    logs: Logs | None = None
    slots: tuple[str, ...] = ()
    """Named checkpoint slots to save."""
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment at which work may be interrupted, without news: between batches of a validation."""


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """An epoch ended, after its validation and its callbacks."""

    epoch: int
    epochs: int
    logs: Logs
    seconds: float
    messages: tuple[str, ...] = ()
    """Messages of callbacks."""
    slots: tuple[str, ...] = ()
    """Named checkpoint slots to save."""
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint is saved, complete and durable."""

    name: str
    epoch: int
    batch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Training ended: `reason` is `completed` or `callback`, `text` explains it."""

    reason: str
    text: str
    epoch: int
    messages: tuple[str, ...] = ()
    """Messages of callbacks at the end of training."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Loss and metrics over a whole split."""

    split: str
    logs: Logs
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Note:
    """Message about an automatic choice, with its reason; or a warning."""

    text: str
    level: Literal["info", "warning"] = "info"
    place: str = ""
    """Position in a file that the message is about: `config.yaml:12:7`."""
    below: tuple[str, ...] = ()
    """Lines to print below the text: the source line with a caret, a hint."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Kind of work in a profile: median time per step or epoch that contains it, and share of the total time."""

    name: str
    milliseconds: float
    per: Literal["step", "epoch"]
    times: int
    """Number of steps (or epochs) with this work."""
    of: int
    """Number of steps (or epochs) that were timed."""
    share: float


@dataclass(frozen=True, slots=True)
class Operation:
    """Torch operation in a profile: calls and time per step, in one place (a layer, forward or backward)."""

    name: str
    place: str
    calls: float
    milliseconds: float
    share: float


@dataclass(frozen=True, slots=True)
class LayerTime:
    """Time that a step's operations of one layer take, and its share of the time of all layers."""

    name: str
    forward_milliseconds: float
    backward_milliseconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Profiled:
    """Profile of a training: time by kind of work, layer and operation."""

    tier: str
    """Execution mode of the steps: compiled, traced or eager."""
    steps: int
    """Number of training steps."""
    counted: int
    """Number of steps in the times: without the first one, and those that torch's profiler slowed."""
    step_milliseconds: float
    once: Mapping[str, float]
    """Seconds of one-time work, by name; not part of any share."""
    phases: tuple[Phase, ...]
    layers: tuple[LayerTime, ...]
    """The most expensive layers."""
    layers_in: str
    """Steps that the layers were timed in: those of the training, or steps run layer by layer before it."""
    operations: tuple[Operation, ...]
    """The most expensive operations."""
    operations_in: str
    """Steps that the operations were timed in; empty if there are none."""
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    """Remarks on what could not be measured and on the limits of the profile."""
    files: tuple[str, ...] = ()


Event = Began | PhaseBegin | EpochBegin | BatchEnd | Tick | EpochEnd | Saved | Stopped | Evaluated | Note | Profiled
