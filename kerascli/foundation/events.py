"""Events (data classes) that training and other long commands yield; `cli/` prints them, `runs/` records them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from kerascli.foundation.profile import Profiled

Logs = Mapping[str, float]


class Began(NamedTuple):
    """Event: the run folder exists and the model is built; `summary` is the table of layers as text."""

    run: str
    summary: str
    resumed: bool = False


class PhaseBegin(NamedTuple):
    """Event: a training phase begins or is resumed, in a fit with several phases."""

    number: int
    of: int
    epochs: int
    trained: int
    """Number of parameters of the model that are trained in the phase that begins."""
    parameters: int
    """Total number of parameters of the model."""
    fresh: bool
    """True if the training phase begins with a new optimizer."""


class EpochBegin(NamedTuple):
    """Event: an epoch begins; epochs are numbered from 1, as in history.csv."""

    epoch: int
    epochs: int
    steps: int


class AppendRow(NamedTuple):
    """Request to append a row to a CSV file in the run folder's logs/."""

    file: str
    row: Logs
    separator: str = ","


class WriteScalars(NamedTuple):
    """Request to append a step's losses and metrics to TensorBoard's event files in a folder of logs/."""

    folder: str
    step: int
    values: Logs


class WriteHistograms(NamedTuple):
    """Request to append histograms of all weights to TensorBoard's event files in a folder of logs/."""

    folder: str
    step: int


class WriteEmbeddings(NamedTuple):
    """Request to write the vectors of embedding layers, and of data rows by a view, for TensorBoard's projector.

    They replace those in the same folder of logs/.
    """

    folder: str
    view: str | None


class Post(NamedTuple):
    """Request to send an HTTP POST request, which is allowed to fail."""

    url: str
    body: bytes
    headers: Mapping[str, str]


class WriteSample(NamedTuple):
    """Request of the callback `name` for a sample (text, image ...) of the current model, in the run
    folder's samples/."""

    name: str
    epoch: int


Record = AppendRow | WriteScalars | WriteHistograms | WriteEmbeddings | Post | WriteSample
"""Request of a callback to write or send something other than a checkpoint."""


class BatchEnd(NamedTuple):
    """Event: a training step ended.

    `logs` is given at most ten times a second, since reading them may wait for the device.
    """

    epoch: int
    step: int
    steps: int
    logs: Logs | None = None
    slots: tuple[str, ...] = ()
    """Names under which checkpoints are to be saved after this training step (such as `best`)."""
    records: tuple[Record, ...] = ()


class Tick(NamedTuple):
    """Event without information, between batches of a validation, at which work may be interrupted."""


class EpochEnd(NamedTuple):
    """Event: an epoch ended, after its validation and its callbacks."""

    epoch: int
    epochs: int
    logs: Logs
    seconds: float
    messages: tuple[str, ...] = ()
    """Messages of callbacks about the epoch, to be printed."""
    slots: tuple[str, ...] = ()
    """Names under which checkpoints are to be saved after this epoch (such as `best`)."""
    records: tuple[Record, ...] = ()


class Saved(NamedTuple):
    """Event: a checkpoint is saved, complete and durable."""

    name: str
    epoch: int
    batch: int
    reason: str


class Stopped(NamedTuple):
    """Event: training ended; `reason` is `completed` or `callback`, and `text` explains it in words."""

    reason: str
    text: str
    epoch: int
    messages: tuple[str, ...] = ()
    """Messages of callbacks at the end of training, to be printed."""


class Evaluated(NamedTuple):
    """Event: a whole split of the data was evaluated; it holds the loss and metrics."""

    split: str
    logs: Logs
    rows: int
    seconds: float
    baselines: Mapping[str, Logs] = MappingProxyType({})
    """Mapping from each baseline (predictions that need no model) to its loss and metrics on the same rows."""


class FoldsEnded(NamedTuple):
    """Event: the runs of all folds of a study have ended, and have their losses and metrics in its folder."""

    study: str
    results: Mapping[str, Logs]
    """Losses and metrics by split and name (`test loss`), and by fold, `mean` or `deviation`."""
    predictions: str
    """Path of the file with the predictions for the rows of all folds."""


class Note(NamedTuple):
    """Event: a message about an automatic choice, with its reason; a warning; or a detail for `--verbose`."""

    text: str
    level: Literal["info", "warning", "detail"] = "info"
    place: str = ""
    """Position in a file that the message is about, such as `config.yaml:12:7`."""
    below: tuple[str, ...] = ()
    """Lines to print below the message, such as the source line with a caret, or a hint."""


Event = (
    Began | PhaseBegin | EpochBegin | BatchEnd | Tick | EpochEnd | Saved | Stopped | Evaluated | FoldsEnded | Note
    | Profiled
)  # fmt: skip
