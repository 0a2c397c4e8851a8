"""Each of several processes that open a run holds a part of its weights if the config divides them."""

from pathlib import Path

import pytest

from kerascli.foundation.world import World
from kerascli.training.strategies import checks, fsdp
from kerascli.training.strategies.group import Group
from kerascli.workflow.loaded import open_run
from tests.support.runs_harness import train, write

CONFIG = """
data: {source: {blobs: {rows: 20, features: 4, classes: 3}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 3, activation: softmax, kernel_regularizer: REGULARIZER}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam, jit_compile: false}
fit: {epochs: 1, batch_size: 10, distribute: DISTRIBUTE}
"""


@pytest.mark.parametrize(
    ("distribute", "regularizer", "whole", "divided"),
    [
        ("fsdp", "null", False, True),
        ("fsdp", "null", True, False),
        ("fsdp", "l2", False, False),  # refused by FSDP: one process has trained it
        ("ddp", "null", False, False),
    ],
)
def test_weights_are_divided_as_in_training(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    distribute: str,
    regularizer: str,
    whole: bool,
    divided: bool,
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(checks, "version", lambda name: "2.13.0+cpu")
    monkeypatch.setattr(Group, "agree", lambda group, value: [value] * group.world.size)
    monkeypatch.setattr(fsdp, "divide", lambda module, **given: calls.append(given["size"]))
    text = CONFIG.replace("DISTRIBUTE", distribute).replace("REGULARIZER", regularizer)
    record, _ = train(write(tmp_path, text), tmp_path / "runs")
    open_run(record, device="cpu")
    assert not calls
    open_run(record, device="cpu", group=Group(World(1, 2, 1, 2)), whole=whole)
    assert calls == [2] * divided
