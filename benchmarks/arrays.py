"""The arrays that the workloads are trained on: random ones, with shapes and types of such data, and digits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.workloads import Job

Columns = dict[str, np.ndarray]


def _pixels(*shape: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda random, rows: random.random((rows, *shape), dtype=np.float32)


def _tokens(steps: int, vocabulary: int, *, least: int | None = None) -> Callable[..., np.ndarray]:
    """Token ids from 1; with `least` rows have so many tokens at least, and zeros at the end."""

    def tokens(random: np.random.Generator, rows: int) -> np.ndarray:
        ids = random.integers(1, vocabulary, (rows, steps), dtype=np.int32)
        lengths = random.integers(least or steps, steps + 1, rows)
        return np.where(np.arange(steps) < lengths[:, None], ids, 0).astype(np.int32)

    return tokens


_INPUTS = {
    "resnet20": _pixels(32, 32, 3),
    "transformer": _tokens(64, 5_000),
    "masked_lstm": _tokens(80, 10_000, least=20),
    "bidirectional_gru": _pixels(100, 16),
    "unet": _pixels(64, 64, 3),
    "separable_cnn": _pixels(32, 32, 3),
    "table": _pixels(10),
    "text_cnn": _tokens(400, 5_000),
    "conv_lstm": _pixels(10, 20, 20, 1),
    "autoencoder": _pixels(28, 28, 1),
    "mlp": _pixels(20),
    "two_lstms": _pixels(50, 32),
    "masked_attention": _tokens(80, 10_000, least=20),
    "densenet": _pixels(32, 32, 3),
    "vae": _pixels(784),
    "gan": _pixels(28, 28, 1),
    "turing_machine": _pixels(21, 9),
}


def write_data(work: str, rows: int, path: Path) -> None:
    """Write the npz file that the work's config reads."""
    random = np.random.default_rng(0)
    if work == "mnist_mlp":
        write_digits(path, rows)
        return
    columns = {"x": _INPUTS[work](random, rows)}
    if work == "table":
        columns |= {f"c{number}": random.integers(0, 1_000, rows, dtype=np.int32) for number in range(10)}
    if work == "turing_machine":
        columns |= {"recall": np.ones((rows, 21), np.float32), "y": np.rint(_pixels(21, 8)(random, rows))}
    elif work == "unet":
        columns["y"] = np.rint(columns["x"][..., :1])
    elif work == "conv_lstm":
        columns["y"] = columns["x"][:, -1]
    elif work in ("autoencoder", "vae"):
        columns["y"] = columns["x"]
    elif work != "gan":
        columns["y"] = random.integers(0, 10, rows).astype(np.int64)
    np.savez(path, **columns)  # pyright: ignore[reportArgumentType]


def write_digits(path: Path, rows: int) -> None:
    """Write the first `rows` digits to train on, and all that are for testing."""
    from kerascli.data.datasets.mnist import idx_bytes, parse_idx

    def array(name: str) -> np.ndarray:
        return parse_idx(idx_bytes(name), name)

    np.savez(
        path,
        x_train=array("train-images-idx3-ubyte")[:rows], y_train=array("train-labels-idx1-ubyte")[:rows],
        x_test=array("t10k-images-idx3-ubyte"), y_test=array("t10k-labels-idx1-ubyte"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arrays:
    """Rows of a split as the model gets them, by the names of its inputs and targets."""

    inputs: Columns
    targets: Columns

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))


def load_arrays(job: Job) -> tuple[dict[str, Arrays], int]:
    """Return the splits that a peer trains on, and the batch size."""
    with np.load(Path(job.folder) / "arrays.npz") as file:
        arrays = {name: file[name] for name in file}
    batch = int(arrays.pop("batch_size"))
    splits: dict[str, Arrays] = {}
    for name, values in arrays.items():
        split, kind, column = name.split("/")
        getattr(splits.setdefault(split, Arrays({}, {})), kind)[column] = values
    return splits, batch
