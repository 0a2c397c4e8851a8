"""With FSDP, a training on several processes is that of DDP, and resumes on any number of processes, with any of them.

DDP on two processes is the oracle: it draws the same random numbers, and differs by the order of float32 sums.
"""

import csv
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.events import Saved
from kerascli.foundation.world import World
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.record import RunRecord
from kerascli.training.strategies import checks
from kerascli.training.strategies.group import Group
from kerascli.workflow.fitting import part_writer
from kerascli.workflow.fitting.part_writer import PartWriter
from tests.support.processes import Launched, run_on
from tests.training.distributed.ended_runs import run_of, succeeded

GROUPS = """
from kerascli.training.strategies import fsdp
fsdp._GROUP_ELEMENTS = 100
"""
"""Plugin that divides small models into groups, as large ones are."""
HEAD = """
seed: 5
plugins: [groups.py]
data:
  source: {blobs: {rows: 151, features: 20, classes: 3, seed: 1}}
  inputs: {x: [{reshape: [10, 2]}]}
  targets: {y: []}
"""
ATTENTION = f"""{HEAD}
model:
  layers:
    - dense: {{units: 24, name: up}}
    - multi_head_attention: {{num_heads: 3, key_dim: 8, dropout: 0.2, inputs: [up, up], name: attends}}
    - add: {{inputs: [up, attends]}}
    - layer_normalization
    - lstm: {{units: 13, return_sequences: true, recurrent_dropout: 0.1}}
    - dropout: 0.3
    - global_average_pooling_1d
    - dense: {{units: 3, activation: softmax, name: classes}}
compile:
  loss: sparse_categorical_crossentropy
  optimizer: {{sgd: {{learning_rate: 0.05, momentum: 0.9, global_clipnorm: 0.5}}}}
  metrics: [accuracy]
fit:
  epochs: 3
  batch_size: 30
  validation_split: 0.2
  distribute: fsdp
"""
"""Layers of several groups, weights whose parts are uneven or empty; the last batch has one row, in one process."""

SHARED = """
seed: 3
plugins: [groups.py]
data:
  source: {copy_task: {rows: 43, bits: 3, min_length: 1, length: 6}}
  inputs: {x: []}
  targets: {y: []}
model:
  shared: {twice: {dense: 5}}
  layers:
    - masking: 0
    - twice: {name: first}
    - lstm: {units: 4, return_sequences: true}
    - twice: {name: second}
    - batch_normalization
    - dense: {units: 3, activation: sigmoid}
compile:
  loss: binary_crossentropy
  optimizer: {sgd: {learning_rate: 0.1, clipnorm: 0.01, gradient_accumulation_steps: 2, use_ema: true}}
  metrics: [mae]
fit:
  epochs: 3
  batch_size: 9
  validation_split: 0.3
  distribute: {fsdp: {reshard_after_forward: false}}
  callbacks:
    - early_stopping: {monitor: loss, patience: 9, restore_best_weights: true}
    - model_checkpoint: {monitor: loss, save_best_only: true}
"""
"""A layer that is called twice, masks, accumulated gradients clipped one by one, and copies of the weights."""

CONFIGS = {"attention": ATTENTION, "shared": SHARED}
OPTIONS = ("--threads", "1", "--device", "cpu", "--quiet")
BOUND = 1e-5
"""Relative to the largest value: sums of float32 in another order, over fifteen steps."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which all models were trained on two processes with FSDP and with DDP, and one with checkpointing."""
    if checks.torch_version() < checks.FIRST_TORCH:
        pytest.skip("this torch divides no weights on CPUs")
    folder = tmp_path_factory.mktemp("fsdp")
    (folder / "groups.py").write_text(GROUPS)
    for name, text in CONFIGS.items():
        (folder / f"{name}.yaml").write_text(text)
    ddp = ("--set", "fit.distribute=ddp")
    recomputed = ("--set", "fit.distribute={fsdp: {activation_checkpointing: true}}")
    commands = [
        *(("train", f"{name}.yaml", "--name", f"{name}-fsdp", *OPTIONS) for name in CONFIGS),
        *(("train", f"{name}.yaml", "--name", f"{name}-ddp", *OPTIONS, *ddp) for name in CONFIGS),
        ("train", "attention.yaml", "--name", "recomputed", *OPTIONS, *recomputed),
        ("train", "attention.yaml", "--name", "one-group", *OPTIONS, "--set", "plugins=[]"),
        *(("train", "attention.yaml", "--name", name, *OPTIONS, "--epochs", "1") for name in ("here", "there")),
    ]
    succeeded(run_on(2, folder, *commands))
    succeeded(run_on(2, folder, resume(run_of(folder, "here"), 3)))
    return folder


def resume(run: Path, epochs: int) -> tuple[str, ...]:
    return ("train", "--resume", str(run), "--threads", "1", "--quiet", "--set", f"fit.epochs={epochs}")


def history(run: Path) -> list[dict[str, str]]:
    rows = csv.DictReader((run / "history.csv").read_text().splitlines())
    return [{**row, "epoch_seconds": ""} for row in rows]


def assert_near(run: Path, other: Path) -> None:
    """Assert that weights and history of two runs are equal up to rounding."""
    weights, wanted = load_file(run / "model.safetensors"), load_file(other / "model.safetensors")
    assert weights.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(
            weights[name], value, rtol=0, atol=BOUND * max(1.0, np.abs(value).max()), err_msg=name
        )
    for row, expected in zip(history(run), history(other), strict=True):
        for column in row.keys() - {"epoch_seconds"}:
            assert float(row[column]) == pytest.approx(float(expected[column]), rel=BOUND), column


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_training_of_ddp(folder: Path, name: str) -> None:
    assert_near(run_of(folder, f"{name}-fsdp"), run_of(folder, f"{name}-ddp"))


def test_a_small_model_is_one_group(folder: Path) -> None:
    """All weights are gathered at once, and the sums of two processes' gradients have the same bits."""
    found, wanted = run_of(folder, "one-group"), run_of(folder, "attention-fsdp")
    assert (found / "model.safetensors").read_bytes() == (wanted / "model.safetensors").read_bytes()


def test_activation_checkpointing_changes_no_bit(folder: Path) -> None:
    """The backward pass runs layers again, with the same random numbers."""
    found, wanted = run_of(folder, "recomputed"), run_of(folder, "attention-fsdp")
    assert (found / "model.safetensors").read_bytes() == (wanted / "model.safetensors").read_bytes()


def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(folder: Path) -> None:
    found, wanted = run_of(folder, "here"), run_of(folder, "attention-fsdp")
    assert (found / "model.safetensors").read_bytes() == (wanted / "model.safetensors").read_bytes()
    assert history(found) == history(wanted)


def test_a_run_goes_on_with_other_numbers_of_processes(folder: Path) -> None:
    """On one process, which holds whole weights, then on three; dropout then draws other numbers than on two."""
    run = run_of(folder, "there")
    for epochs, processes in ((2, 1), (3, 3)):
        succeeded(run_on(processes, folder, resume(run, epochs)))
    assert json.loads((run / "run.json").read_text())["earlier_process_counts"] == [2, 1]
    losses = [float(row["loss"]) for row in history(run)]
    assert losses == sorted(losses, reverse=True)


def test_each_process_writes_its_parts_which_evaluate_joins(folder: Path) -> None:
    run = run_of(folder, "shared-fsdp")
    files = RunRecord(run).checkpoints.newest().blobs
    assert list(files) == ["training.safetensors", "part-00000-of-00002.safetensors", "part-00001-of-00002.safetensors"]
    sizes = [len(files[name]) for name in files]
    assert sizes[1] > sizes[0]
    ended = run_on(1, folder, ("evaluate", str(run), "validation", "--checkpoint", "best", *OPTIONS[:4]))
    succeeded(ended)
    best = min(history(run), key=lambda row: float(row["loss"]))
    assert f"loss {float(best['val_loss']):.4f}" in " ".join(ended.text.split())


def test_a_killed_run_goes_on_from_parts_that_all_had_written(folder: Path) -> None:
    """Checkpoints are written while the training goes on; the newest complete one is intact, and resumes exactly."""
    saving = ("--set", "fit.epochs=5", "--set", "fit.callbacks=[{model_checkpoint: {save_freq: 2}}]", "--name")
    train = ("train", "attention.yaml", *OPTIONS, *saving)
    launched = Launched([(*train, "killed")], 2, folder)
    while not any((folder / "runs").glob("*Z-killed/checkpoints/step-00000008.json")):
        assert launched.processes[1].is_alive()
    launched.processes[1].kill()
    ended = launched.wait()
    assert ended.codes == [5, -9], ended.text
    assert "process 1 of 2 ended without a reason" in ended.outputs[0]
    run = run_of(folder, "killed")
    succeeded(run_on(2, folder, resume(run, 5), (*train, "whole")))
    assert (run / "model.safetensors").read_bytes() == (run_of(folder, "whole") / "model.safetensors").read_bytes()


def test_a_signal_saves_the_parts_of_all(folder: Path) -> None:
    """SIGTERM to one process: both save their parts after the same step, also within a validation."""
    launched = Launched(
        [("train", "attention.yaml", *OPTIONS, "--set", "fit.epochs=99", "--name", "stopped")], 2, folder
    )
    while not any((folder / "runs").glob("*Z-stopped/history.csv")):
        assert launched.processes[1].is_alive()
    launched.processes[1].terminate()
    ended = launched.wait()
    assert ended.codes == [143, 143], ended.text
    run = RunRecord(run_of(folder, "stopped"))
    newest = run.checkpoints.newest()
    assert f"step {newest.facts['batch']}" in ended.outputs[0].replace("; saved", "")
    assert run.checkpoints.steps()[-1] == newest.step


class Asked(Group):
    """Second of two processes, whose disk is slow; notes what it tells the other one, which does the same."""

    def __init__(self) -> None:
        super().__init__(World(1, 2))
        self.told: list[Any] = []
        self.may_write = threading.Event()

    def agree(self, value: Any) -> list[Any]:
        self.told.append(value)
        if len(self.told) == 3:
            self.may_write.set()
        return [value, value]


def test_a_process_that_writes_slowly_does_not_count_as_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers until it has written: the others wait for that longer than --timeout."""
    monkeypatch.setattr(part_writer, "_SECONDS_TO_ANSWER", 0.01)
    asked = Asked()

    def contents() -> Iterator[bytes]:
        assert asked.may_write.wait(30)
        yield b"slow"

    monkeypatch.setattr(part_writer, "tensor_pieces", lambda tensors: Pieces(4, contents))
    writer = PartWriter(Checkpoints(tmp_path), {}, asked)
    writer.begin(Saved("step 8", 0, 8, "a test"), {}, {"step": 8}, ())
    assert not writer.finished(wait=False)
    [saved] = writer.finished(wait=True)
    assert saved.name == "step 8"
    *before, own, last = asked.told
    assert (before[:3], own[0], last) == ([None] * 3, 4, None)
