"""One small training by each strategy: a single process, data-parallel processes with shards, and FSDP."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerascli.training.strategies import checks
from tests.support.processes import run_on

CONFIG = """
seed: 5
data: {source: {blobs: {rows: 90, features: 6, classes: 3, seed: 1}}, inputs: {x: [normalization]}, targets: {y: []}}
model: {layers: [{dense: {units: 8, activation: relu}}, {dense: {units: 3, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: {sgd: 0.1}, metrics: [accuracy], jit_compile: false}
fit: {epochs: 2, batch_size: 16, validation_split: 0.2}
"""
SHARDS, FSDP = ("--set", "fit.shards=2"), ("--set", "fit.distribute=fsdp")


def trained(processes: int, folder: Path, name: str, *options: str) -> Path:
    """Train the model on a number of processes, and return the path of its weights."""
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    line = ("train", "config.yaml", "--name", name, "--threads", "1", "--device", "cpu", "--quiet", *options)
    ended = run_on(processes, folder, line)
    assert set(ended.codes) == {0}, ended.text
    return next((folder / "runs").glob(f"*Z-{name}")) / "model.safetensors"


def test_shards_give_the_same_bits_on_one_and_two_processes(tmp_path: Path) -> None:
    one, two = trained(1, tmp_path, "shards-on-1", *SHARDS), trained(2, tmp_path, "shards-on-2", *SHARDS)
    assert one.read_bytes() == two.read_bytes()


def test_fsdp_differs_from_one_process_by_rounding_alone(tmp_path: Path) -> None:
    if checks.torch_version() < checks.FIRST_TORCH:
        pytest.skip("this torch divides no weights on CPUs")
    single, fsdp = load_file(trained(1, tmp_path, "single")), load_file(trained(2, tmp_path, "fsdp", *FSDP))
    assert fsdp.keys() == single.keys()
    for name, weight in single.items():
        np.testing.assert_allclose(fsdp[name], weight, rtol=0, atol=1e-5, err_msg=name)
