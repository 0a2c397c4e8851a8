"""The work per epoch does not grow with the number of epochs; the columns of history.csv are fixed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kerascli.config.load import open_config
from kerascli.foundation.disk import storage
from kerascli.foundation.events import EpochEnd
from kerascli.runs.index import find_run
from kerascli.workflow.fitting import saver
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.train import start
from tests.support.runs_harness import go_on, train, write
from tests.support.storage_harness import before_operations

CONFIG = """
seed: 1
data: {source: {blobs: {rows: 16, features: 2, classes: 2}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: {sgd: 0.001}, jit_compile: false}
fit:
  epochs: 60
  batch_size: 16
  callbacks:
    - csv_logger: log.csv
    - early_stopping: {monitor: loss, patience: 100}
    - model_checkpoint: {monitor: loss}
"""
"""Config that keeps the checkpoint of every epoch."""


@pytest.fixture(autouse=True)
def save_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save every epoch."""
    monkeypatch.setattr(saver, "EPOCH_SECONDS", -1.0)


def costs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int, int]]:
    """Return for every epoch: file operations, bytes written, files read or folders listed."""
    count = [0, 0, 0]

    def add(name: str, arguments: tuple[Any, ...]) -> None:
        count[0] += 1
        count[1] += len(arguments[1]) if name == "_write" else 0

    def counting(real: Any) -> Any:
        def called(*arguments: Any) -> Any:
            count[2] += 1
            return real(*arguments)

        return called

    before_operations(monkeypatch, add)
    monkeypatch.setattr("kerascli.runs.checkpoint_manifest.read_bytes", counting(_read_bytes()))
    monkeypatch.setattr("kerascli.runs.reading.read_bytes", counting(_read_bytes()))
    monkeypatch.setattr(Path, "iterdir", counting(Path.iterdir))
    for event in start(open_config(write(folder, CONFIG)), Options(runs_dir=folder / "runs")):
        if isinstance(event, EpochEnd):
            yield tuple(count)  # pyright: ignore[reportReturnType]
            count[:] = [0, 0, 0]


def _read_bytes() -> Any:
    from kerascli.runs.reading import read_bytes

    return read_bytes


def test_an_epoch_reads_and_writes_as_much_at_the_end_as_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(costs(tmp_path, monkeypatch))
    (early, early_bytes, early_reads), (late, late_bytes, late_reads) = found[12], found[-2]
    assert (late, late_reads) == (early, early_reads)
    assert late_bytes <= early_bytes + 40  # durations and numbers differ in digits; a byte more each epoch would be 46
    assert sum(each[1] for each in found[20:40]) == pytest.approx(sum(each[1] for each in found[40:60]), rel=0.01)


PHASES = """
seed: 1
data:
  source: {blobs: {rows: 40, features: 2, classes: 2}}
  inputs: {x: []}
  targets: {y: []}
model: {layers: [{dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, jit_compile: false}
fit:
  batch_size: 8
  phases:
    - epochs: 2
    - epochs: 2
      validation_split: 0.2
      validation_freq: 2
      compile: {metrics: [accuracy], loss: sparse_categorical_crossentropy}
"""


def test_the_columns_of_all_phases_are_there_from_the_first_row_on(tmp_path: Path) -> None:
    events = start(open_config(write(tmp_path, PHASES)), Options(runs_dir=tmp_path / "runs"))
    next(event for event in events if isinstance(event, EpochEnd))
    run = find_run("latest", tmp_path / "runs")
    first = (run.path / "history.csv").read_text()
    names = ["epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "epoch_seconds"]
    assert sorted(first.splitlines()[0].split(",")) == sorted(names)
    events.close()  # type: ignore[attr-defined]
    go_on(run)
    text = (run.path / "history.csv").read_text()
    assert text.splitlines()[0] == first.splitlines()[0]
    assert [len(row) for row in run.history()] == [5, 5, 6, 8]


def test_a_log_whose_columns_grow_is_written_anew_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG.replace("epochs: 60", "epochs: 6\n  validation_split: 0.5\n  validation_freq: 3")
    written: list[Path] = []
    real = storage.write_bytes
    monkeypatch.setattr(storage, "write_bytes", lambda path, data: written.append(path) or real(path, data))
    run, _ = train(write(tmp_path, config), tmp_path / "runs")
    log = (run.log("log.csv") or "").splitlines()
    assert log[0] == "epoch,loss,val_loss"
    assert [line.split(",")[0] for line in log[1:]] == ["0", "1", "2", "3", "4", "5"]
    assert [line.endswith(",NA") for line in log[1:]] == [True, True, False, True, True, False]
    assert [path.name for path in written].count("log.csv") == 2
