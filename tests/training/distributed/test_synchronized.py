"""`batch_normalization: {synchronized: true}`: statistics and gradients of the whole batch, on 1, 2 and 4 processes."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.support.processes import run_on

IMAGES = """
seed: 3
data:
  source: {blobs: {rows: 67, features: 64, classes: 3}}
  inputs: {x: [{reshape: [8, 8, 1]}]}
  targets: {y: []}
model:
  inputs: {x: [8, 8, 1]}
  layers:
    - batch_normalization: {synchronized: true}
    - conv_2d: {filters: 3, kernel_size: 3, strides: 2, name: left}
    - batch_normalization: {synchronized: true, name: norm_left}
    - conv_2d: {inputs: x, filters: 3, kernel_size: 3, strides: 2, name: right}
    - batch_normalization: {synchronized: true, name: norm_right}
    - add: {inputs: [norm_left, norm_right]}
    - flatten
    - dense: {units: 3, activation: softmax}
compile:
  loss: sparse_categorical_crossentropy
  optimizer: {sgd: {learning_rate: 0.02, momentum: 0.9}}
  jit_compile: false
fit: {epochs: 2, batch_size: 13}
"""
"""A traced model with two branches; the last batch has 2 rows, of which two of four processes have none."""

MASKED = """
seed: 3
data:
  source: {copy_task: {rows: 22, bits: 3, min_length: 1, length: 3}}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - masking: 0
    - batch_normalization: {synchronized: true, momentum: 0.8}
    - lstm: {units: 5, return_sequences: true}
    - batch_normalization: {synchronized: true, renorm: true, renorm_clipping: {rmax: 1.5, dmax: 0.5}}
    - time_distributed: {layer: {batch_normalization: {synchronized: true, momentum: 0.9}}}
    - dense: {units: 3, activation: sigmoid}
compile: {loss: binary_crossentropy, optimizer: {sgd: 0.1}, metrics: [mae], jit_compile: false}
fit: {epochs: 2, batch_size: 9, validation_split: 0.2}
"""
"""An eager model: processes have different numbers of unmasked steps."""

CONFIGS = {"images": IMAGES, "masked": MASKED}
BOUND = 1e-6
"""Difference relative to the largest weight, after 4 to 12 updates in float32."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which all models were trained on 1, 2 and 4 processes."""
    folder = tmp_path_factory.mktemp("synchronized")
    for name, text in CONFIGS.items():
        (folder / f"{name}.yaml").write_text(text)
    for processes in (1, 2, 4):
        options = ("--threads", "1", "--device", "cpu", "--quiet")
        commands = [("train", f"{name}.yaml", "--name", f"{name}-on-{processes}", *options) for name in CONFIGS]
        ended = run_on(processes, folder, *commands)
        assert set(ended.codes) == {0}, ended.text
    return folder


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("name", CONFIGS)
def test_weights_and_moving_statistics_equal_those_of_one_process(folder: Path, name: str, processes: int) -> None:
    one, several = (next((folder / "runs").glob(f"*Z-{name}-on-{count}")) for count in (1, processes))
    wanted, found = load_file(one / "model.safetensors"), load_file(several / "model.safetensors")
    for key, values in wanted.items():
        assert np.abs(found[key] - values).max() <= BOUND * max(1.0, np.abs(values).max()), key
