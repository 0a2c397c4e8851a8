"""Without `shards`, losses, weights and metrics equal one process's up to rounding, with masks and uneven parts."""

import csv
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.support.processes import run_on

MASKED = """
seed: 3
data:
  source: {copy_task: {rows: 43, bits: 3, min_length: 1, length: 6}}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - masking: 0
    - lstm: {units: 5, return_sequences: true}
    - dense: {units: 3, activation: sigmoid}
compile: {loss: LOSS, optimizer: {sgd: 0.1}, metrics: [mae], jit_compile: JIT}
fit: {epochs: 3, batch_size: 9, validation_split: 0.3}
"""
"""The processes have 4 or 5 rows of a batch, with different numbers of unmasked steps; the last batch has 3 rows."""

WEIGHTED = """
seed: 3
data:
  source: {blobs: {rows: 65, features: 4, classes: 3}}
  inputs: {x: [normalization]}
  targets: {y: []}
model: {layers: [{dense: {units: 8, activation: tanh, kernel_regularizer: {l2: 0.01}}}, {dense: 3}, softmax]}
compile:
  loss: {sparse_categorical_crossentropy: {reduction: REDUCTION}}
  optimizer: {adam: {learning_rate: 0.01, clipnorm: 0.5, gradient_accumulation_steps: 2}}
  metrics: [accuracy]
fit: {epochs: 2, batch_size: 32, class_weight: {0: 1.0, 1: 3.0, 2: 0.5}}
"""
"""The last batch has one row, of which process 0 has none."""

TRACED = """
seed: 3
data:
  source: {copy_task: {rows: 17, bits: 3, min_length: 1, length: 6}}
  inputs: {x: []}
  targets: {y: []}
model: {layers: [{masking: 0}, {dense: {units: 3, activation: sigmoid}}]}
compile: {loss: binary_crossentropy, optimizer: {sgd: 0.1}, jit_compile: false}
fit: {epochs: 3, batch_size: 9}
"""
"""Process 0 has 4 rows of both batches, which is another share of each."""

CONFIGS = {
    "masked": MASKED.replace("LOSS", "binary_crossentropy").replace("JIT", "false"),
    "masked-sum": MASKED.replace("LOSS", "{mse: {reduction: sum}}").replace("JIT", "false"),
    "masked-compiled": MASKED.replace("LOSS", "binary_crossentropy").replace("JIT", "true"),
    "traced": TRACED,
    "weighted": WEIGHTED.replace("REDUCTION", "sum_over_batch_size"),
    "weighted-mean": WEIGHTED.replace("REDUCTION", "mean_with_sample_weight"),
}
BOUND = 1e-5
"""Relative to the largest value: sums of float32 in another order, over some tens of steps."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which all models were trained on one process and on two."""
    folder = tmp_path_factory.mktemp("equal")
    for name, text in CONFIGS.items():
        (folder / f"{name}.yaml").write_text(text)
    for processes in (1, 2):
        options = ("--threads", "1", "--device", "cpu", "--quiet")
        commands = [("train", f"{name}.yaml", "--name", f"{name}-on-{processes}", *options) for name in CONFIGS]
        ended = run_on(processes, folder, *commands)
        assert set(ended.codes) == {0}, ended.text
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_results_equal_those_of_one_process(folder: Path, name: str) -> None:
    one, two = (next((folder / "runs").glob(f"*Z-{name}-on-{processes}")) for processes in (1, 2))
    wanted, found = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    for key, values in wanted.items():
        assert np.abs(found[key] - values).max() <= BOUND * max(1.0, np.abs(values).max()), key
    rows = [list(csv.DictReader((run / "history.csv").read_text().splitlines())) for run in (one, two)]
    for wanted_row, found_row in zip(*rows, strict=True):
        for key in wanted_row.keys() - {"epoch_seconds"}:
            assert float(found_row[key]) == pytest.approx(float(wanted_row[key]), rel=BOUND, abs=BOUND), key
