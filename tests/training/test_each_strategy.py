"""One small training by each strategy: a single process, data-parallel processes with shards, and FSDP."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.support.processes import run_on

CONFIG = """
seed: 5
data: {source: {blobs: {rows: 90, features: 6, classes: 3, seed: 1}}, inputs: {x: [normalization]}, targets: {y: []}}
model: {layers: [{dense: {units: 8, activation: relu}}, {dense: {units: 3, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: {sgd: 0.1}, metrics: [accuracy], jit_compile: false}
fit: {epochs: 2, batch_size: 16, validation_split: 0.2}
"""
SHARDS, FSDP = ("--set", "fit.shards=2"), ("--set", "fit.distribute=fsdp")


def command(name: str, *options: str) -> tuple[str, ...]:
    return ("train", "config.yaml", "--name", name, "--threads", "1", "--device", "cpu", "--quiet", *options)


def test_each_strategy_trains_the_same_model(tmp_path: Path) -> None:
    """Shards give the same bits on one and two processes; FSDP differs from one process by rounding alone."""
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    alone = run_on(1, tmp_path, command("single"), command("shards-on-1", *SHARDS))
    divided = run_on(2, tmp_path, command("shards-on-2", *SHARDS), command("fsdp", *FSDP))
    assert {*alone.codes, *divided.codes} == {0}, alone.text + divided.text
    runs = {path.name.partition("Z-")[2]: path for path in (tmp_path / "runs").iterdir()}
    files = {name: path / "model.safetensors" for name, path in runs.items()}
    assert files["shards-on-2"].read_bytes() == files["shards-on-1"].read_bytes()
    single, fsdp = load_file(files["single"]), load_file(files["fsdp"])
    assert fsdp.keys() == single.keys()
    for name, weight in single.items():
        np.testing.assert_allclose(fsdp[name], weight, rtol=0, atol=1e-5, err_msg=name)
