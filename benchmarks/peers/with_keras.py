"""Keras 3 over the backend that KERAS_BACKEND names: `fit` of a `.keras` file, with everything left at its defaults."""

from pathlib import Path
from typing import Any

import keras

from benchmarks.arrays import Columns, load_arrays
from benchmarks.peers import OnEpoch
from benchmarks.workloads import Job

_QUIET: Any = 0
"""Keras's type hint wants a word, its documentation and its code take the number."""


class _Tell(keras.callbacks.Callback):
    def __init__(self, on_epoch: OnEpoch) -> None:
        super().__init__()
        self.on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        assert logs is not None
        self.on_epoch(float(logs["loss"]))


def run(job: Job, on_epoch: OnEpoch) -> None:
    keras.utils.set_random_seed(job.seed)
    splits, batch = load_arrays(job)
    model: Any = keras.models.load_model(Path(job.folder) / "model.keras")  # with its loss, optimizer and metrics
    rows, validation, test = (splits.get(name) for name in ("train", "validation", "test"))
    assert rows is not None
    model.fit(
        _fed(rows.inputs), _fed(rows.targets), batch_size=batch, epochs=job.epochs, verbose=_QUIET,
        callbacks=[_Tell(on_epoch)],
        validation_data=None if validation is None else (_fed(validation.inputs), _fed(validation.targets)),
    )  # fmt: skip
    if test is not None:
        model.evaluate(_fed(test.inputs), _fed(test.targets), batch_size=batch, verbose=_QUIET)


def _fed(columns: Columns) -> Any:
    """One array by itself, several by name."""
    return next(iter(columns.values())) if len(columns) == 1 else columns
