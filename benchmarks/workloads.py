"""What is trained: five models over the digits, the same for every peer."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIGS = Path(__file__).parent / "configs"
BATCH = 128
EPOCHS = 30
"""Number of epochs of a training run by default."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A model with its data; the config describes it to kerascli, `peers/` to the others."""

    title: str
    config: Path
    rows: int
    """Digits of the training split that are read; the validation is cut off them."""
    quick_rows: int
    shape: tuple[int, ...]
    """Of one input."""
    optimizer: str = "adam"
    validation_split: float = 0.0
    one_hot: bool = False


WORKLOADS = {
    "mnist_mlp": Workload(
        "784-256-128-10 with dropout, rmsprop, batch 128, validation on the last fifth",
        ROOT / "configs" / "mnist_mlp.yaml",
        rows=60_000, quick_rows=16_000, shape=(784,), optimizer="rmsprop", validation_split=0.2, one_hot=True,
    ),
    "wide_mlp": Workload(
        "784-2048-2048-10, adam, batch 128",
        CONFIGS / "wide_mlp.yaml",
        rows=12_800, quick_rows=1_280, shape=(784,),
    ),
    "lstm": Workload(
        "LSTM of 128 units over 28 rows of 28 pixels, adam, batch 128",
        CONFIGS / "lstm.yaml",
        rows=12_800, quick_rows=1_280, shape=(28, 28),
    ),
    "cnn": Workload(
        "two convolutions (32, 64), pooling, dense 128, dropout, adam, batch 128",
        CONFIGS / "cnn.yaml",
        rows=12_800, quick_rows=640, shape=(28, 28, 1),
    ),
    "residual": Workload(
        "four residual blocks of 32 filters with batch normalization, adam, batch 128",
        CONFIGS / "residual.yaml",
        rows=2_560, quick_rows=256, shape=(28, 28, 1),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is asked to train; it travels as JSON on the command line."""

    peer: str
    work: str
    data: str
    """The npz file of `digits`."""
    epochs: int = EPOCHS
    seed: int = 1
    threads: int | None = None
    """Value of kerascli's `--threads`."""

    @property
    def workload(self) -> Workload:
        return WORKLOADS[self.work]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        return cls(**json.loads(text))
