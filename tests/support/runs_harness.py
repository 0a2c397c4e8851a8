"""Small configs, and helpers to train them in process and as a command."""

import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TypeVar

from safetensors.numpy import load

from kerascli.foundation.events import Event
from kerascli.runs import history
from kerascli.runs.checksums import sealed, unsealed
from kerascli.runs.history import Prefix
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.workflow.bases import open_config
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.train import resume, start

T = TypeVar("T")

# Everything that makes resuming hard: dropout, shuffling, moving statistics, Adam's moments, averaged weights,
# callbacks with a memory.
HARD = """
seed: 5
data:
  source: {blobs: {rows: 640, features: 6, classes: 4, seed: 3, spread: 6.0}}
  inputs: {x: [normalization]}
  targets: {y: []}
model:
  layers:
    - dense: {units: 24, activation: relu}
    - batch_normalization
    - dropout: 0.3
    - dense: {units: 4, activation: softmax}
compile:
  loss: sparse_categorical_crossentropy
  optimizer: {adam: {learning_rate: 0.01, use_ema: true, clipnorm: 1.0}}
  metrics: [accuracy]
fit:
  epochs: 20
  batch_size: 16
  validation_split: 0.2
  callbacks:
    - early_stopping: {monitor: val_loss, patience: 6, restore_best_weights: true}
    - reduce_lr_on_plateau: {monitor: val_loss, factor: 0.5, patience: 1}
    - model_checkpoint: {monitor: val_accuracy, save_best_only: true}
    - csv_logger: {filename: log.csv}
"""

TWO_CLASSES = """
seed: 3
data:
  source: {blobs: {rows: 400, features: 3, classes: 2, seed: 1, spread: 9.0}}
  split: {validation: 0.25, test: 0.25, seed: 1}
  inputs: {x: []}
  targets: {y: []}
model: {layers: [{dense: {units: 1, activation: sigmoid, name: out}}]}
compile: {loss: binary_crossentropy, optimizer: {adam: 0.05}, metrics: [accuracy, auc]}
fit:
  epochs: 3
  batch_size: 32
  validation_data: validation
  callbacks: [{model_checkpoint: {monitor: val_loss, save_best_only: true}}]
"""


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def train(config: Path, runs: Path, sets: Sequence[str] = (), **options: object) -> tuple[RunRecord, list[Event]]:
    """Train a new run to its end; return it with its events."""
    events = list(start(open_config(config, sets=sets, runs_dir=runs), Options(runs_dir=runs, **options)))  # type: ignore[arg-type]
    return find_run("latest", runs), events


def go_on(run: RunRecord, sets: Sequence[str] = ()) -> list[Event]:
    """Resume a run to its end."""
    return list(resume(run, Options(runs_dir=run.path.parent), sets))


def outcome(run: RunRecord) -> tuple[list[dict[str, float]], dict[str, bytes]]:
    """Return what must be bit-identical: history without times, and the weights."""
    rows = [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in run.history()]
    return rows, {name: value.tobytes() for name, value in load(run.weights()).items()}


def edit_facts(run: Path, **changes: object) -> None:
    """Change facts in run.json, with a valid checksum."""
    path = run / "run.json"
    path.write_bytes(sealed({**unsealed(path.read_bytes(), path), **changes}))


def write_rows(run: RunRecord, rows: Sequence[history.Row]) -> None:
    """Write rows to a run's history."""
    run.open_history(history.ordered(name for row in rows for name in row), Prefix())
    run.history_writer.cut()
    for row in rows:
        run.history_writer.append(row)


def kerascli(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a subprocess with one thread."""
    command = [sys.executable, "-m", "kerascli", *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)


def command(*arguments: object) -> str:
    """Run the command in this process and return what it prints to stdout. Raises what ends it with an error."""
    from typer.testing import CliRunner

    from kerascli.cli.commands import app

    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def outcome_of(work: Generator[object, None, T]) -> T:
    """Exhaust a generator; return its value."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
