"""The section `tune`: its search space as data, and the config at a point of it."""

from pathlib import Path
from typing import Any

import pytest

from kerascli.config.composition.overrides import config_at, override
from kerascli.config.sections.space import IntRange
from kerascli.config.sections.tune import parse_tune
from kerascli.config.yaml.text import parse_document
from kerascli.language.component import Invalid
from kerascli.workflow.check import check

CONFIG = """
data:
  source: {blobs: {features: 4, classes: 3}}
  inputs: {x: []}
  targets: {y: []}
flags: {units: 16, act: relu}
model:
  layers:
    - dense: {units: $units, activation: $act}
    - dense: {units: 3, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: {learning_rate: 0.01}}, metrics: [accuracy]}
fit: {epochs: 3, validation_split: 0.2}
tune:
  objective: val_accuracy
  trials: 9
  flags: {units: {int: {range: [4, 64], log: true}}, act: [relu, tanh]}
  set:
    compile.optimizer: [sgd, {adam: {learning_rate: {float: {range: [1e-4, 1e-1], log: true, steps: 4}}}}]
    fit.batch_size: [16, 32]
"""
RATE = "compile.optimizer.adam.learning_rate"


def _space() -> Any:
    return parse_tune(parse_document(CONFIG, "c.yaml").data["tune"]).space


def test_parameters_within_a_choice_follow_it() -> None:
    space = _space()
    assert [each.name for each in space.parameters] == ["units", "act", "compile.optimizer", RATE, "fit.batch_size"]
    chosen = space.active(lambda each: each.domain.range[0])
    assert chosen == {"units": 4, "act": 0, "compile.optimizer": 0, "fit.batch_size": 0}
    assert RATE in space.active(lambda each: each.domain.range[1])


def test_a_point_sets_flags_and_paths() -> None:
    point = {"units": 8, "act": 1, "compile.optimizer": 1, RATE: 0.001, "fit.batch_size": 0}
    document = config_at(parse_document(CONFIG, "c.yaml"), _space().values(point))
    assert document.data["flags"] == {"units": 8, "act": "tanh"}
    assert document.at(("compile", "optimizer")) == {"adam": {"learning_rate": 0.001}}
    assert document.at(("fit", "batch_size")) == 16
    assert "tune" not in document.data


def test_relative_paths_of_a_space_are_those_of_the_config() -> None:
    written = parse_document(CONFIG, "c.yaml", folder=Path("/c"))
    assert config_at(written, {"data.source": {"csv": "a.csv"}}).folder_of(("data", "source", "csv")) == Path("/c")


def test_the_config_as_written_is_a_point_as_far_as_it_is_in_the_space() -> None:
    document = parse_document(CONFIG, "c.yaml")
    assert _space().written(document) == {"units": 16, "act": 0, "compile.optimizer": 1, RATE: 0.01}
    assert "units" not in _space().written(override(document, ["flags.units=1000"]))


def test_the_values_of_a_grid_are_round_numbers() -> None:
    rate = next(each for each in _space().parameters if each.name == RATE)
    assert list(rate.domain.grid()) == [0.0001, 0.001, 0.01, 0.1]
    assert list(IntRange(range=(32, 512), log=True, steps=5).grid()) == [32, 64, 128, 256, 512]


@pytest.mark.parametrize(
    ("written", "value"), [("val_loss", ("min",)), ("[val_loss, {accuracy: last}]", ("min", "max"))]
)
def test_directions_are_those_of_the_metrics(written: str, value: tuple[str, ...]) -> None:
    text = CONFIG.replace("objective: val_accuracy", f"objective: {written}")
    assert check(parse_document(text, "c.yaml"), sets=(), flags=()).directions == value


def test_a_column_of_a_metric_of_several_values_has_the_direction_of_the_metric() -> None:
    text = CONFIG.replace("metrics: [accuracy]", "metrics: [f1_score]").replace("val_accuracy", "val_f1_score_0")
    text = text.replace("{y: []}", "{y: [{to_categorical: {num_classes: 3}}]}").replace("loss: sparse_", "loss: ")
    assert check(parse_document(text, "c.yaml"), sets=(), flags=()).directions == ("max",)


@pytest.mark.parametrize(
    ("changes", "path", "text"),
    [
        ({"set": {"units": [1, 2]}}, ("set", "units"), "two parameters are called 'units'"),
        ({"flags": {"u": [1, {"int": {"range": [2, 4]}}]}}, ("flags", "u", 1), "two parameters are called 'u'"),
        ({"flags": {"u": [1]}}, ("flags", "u"), "u: expected a list of at least two choices, got the list [1]"),
        ({"flags": 3}, ("flags",), "flags: expected a mapping, got 3"),
        ({"pruner": {"asha": 3}}, ("pruner", "asha"), "asha: expected a mapping, got 3"),
    ],
)  # fmt: skip
def test_a_fault_of_the_section_is_at_its_place(
    changes: dict[str, Any], path: tuple[str | int, ...], text: str
) -> None:
    written = {"objective": "val_loss", "trials": 3, "flags": {"units": [1, 2]}, **changes}
    with pytest.raises(Invalid) as caught:
        parse_tune(written)
    assert [(fault.path, fault.text) for fault in caught.value.faults] == [(("tune", *path), text)]
