"""MNIST for every peer: kerascli's own copy, as an npz file for each number of rows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.workloads import Job


@dataclass(frozen=True, slots=True)
class Digits:
    """Pixels as float32 from 0 to 1 in the workload's shape, classes as int64."""

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    """Without a validation it has no rows."""
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def write_digits(path: Path, rows: int) -> None:
    """The first `rows` digits to train on, and all that are for testing."""
    from kerascli.data.datasets.mnist import idx_bytes, parse_idx

    def array(name: str) -> np.ndarray:
        return parse_idx(idx_bytes(name), name)

    np.savez(
        path,
        x_train=array("train-images-idx3-ubyte")[:rows], y_train=array("train-labels-idx1-ubyte")[:rows],
        x_test=array("t10k-images-idx3-ubyte"), y_test=array("t10k-labels-idx1-ubyte"),
    )  # fmt: skip


def load_digits(job: Job) -> Digits:
    """What a peer trains on; as in Keras the last rows are held out, before any shuffling."""
    with np.load(job.data) as file:
        arrays = {name: file[name] for name in file}
    x, x_test = (_pixels(arrays[name], job.workload.shape) for name in ("x_train", "x_test"))
    y, y_test = (arrays[name].astype(np.int64) for name in ("y_train", "y_test"))
    kept = int(len(x) * (1 - job.workload.validation_split))
    return Digits(x[:kept], y[:kept], x[kept:], y[kept:], x_test, y_test)


def _pixels(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return images.reshape(-1, *shape).astype(np.float32) / np.float32(255)
