"""Settings that FSDP cannot divide among processes are refused by name, by `validate` and before training."""

from pathlib import Path

import pytest

from kerascli.foundation.errors import ConfigError
from kerascli.training.strategies import checks
from kerascli.workflow.check import check

CONFIG = """
data:
  source: {blobs: {rows: 64, features: 4, classes: 3}}
  inputs: {x: []}
  targets: {y: []}
model: {layers: [{dense: {units: 4, name: first}}, {dense: {units: 3, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam}
fit: {batch_size: 16, distribute: fsdp}
"""


@pytest.fixture(autouse=True)
def _on_a_torch_that_divides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "version", lambda name: "2.13.0+cpu")


def lines(folder: Path, *sets: str, processes: int = 2) -> list[str]:
    path = folder / "config.yaml"
    path.write_text(CONFIG)
    return check(path, sets=sets, flags=(), processes=processes).lines


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("fit.shards=4", "shards: with fsdp, gradients are added in no fixed order"),
        ("compile.optimizer=lamb", "the optimizer 'lamb' needs whole weights"),
        ("compile.precision=mixed_float16", "dynamic loss scaling"),
        ("fit.callbacks=[{tensorboard: {histogram_freq: 1}}]", "histogram_freq needs whole weights"),
        ("model.layers.0.dense.kernel_regularizer=l2", "the regularizer of 'kernel' in 'first' needs the whole weight"),
        ("model.layers.0.dense.bias_constraint=non_neg", "the constraint of 'bias' in 'first' needs the whole weight"),
    ],
)
def test_what_fsdp_cannot_divide_is_refused(tmp_path: Path, setting: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        lines(tmp_path, setting)


def test_one_process_divides_nothing(tmp_path: Path) -> None:
    assert lines(tmp_path, "model.layers.0.dense.kernel_regularizer=l2", processes=1)


def test_validate_says_how_a_model_is_divided(tmp_path: Path) -> None:
    found = lines(tmp_path, processes=4)
    assert "  fsdp: each process holds 1/4 of the weights, their gradients and optimizer state" in found


def test_an_old_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "version", lambda name: "2.12.1+cpu")
    with pytest.raises(ConfigError, match=r"fsdp needs torch 2\.13 or newer, not 2\.12"):
        lines(tmp_path)
