"""Values are replaced in the text of a config in place, and its best trial is chosen by its values."""

import math
from pathlib import Path

import pytest

from kerascli.config.sections.space import FloatRange, Parameter, Space
from kerascli.config.sections.tune import Objective
from kerascli.config.yaml.in_place import with_values
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError
from kerascli.language.section import parse_section
from kerascli.studies.folder import Member, TrialFacts, best_trials
from kerascli.studies.sampling import by_epoch, by_fold

TEXT = """\
# first
compile:
  loss: mse                    # the loss
  optimizer:
    adam:
      learning_rate: 0.01      # a rate
fit: {epochs: 3}
model:
  layers:
    - dense: {units: 4}
    - dropout: 0.5   # half
"""


def test_values_are_replaced_and_comments_kept() -> None:
    data = parse_document(TEXT, "").data
    data["compile"]["optimizer"]["adam"]["learning_rate"] = 0.5
    data["compile"]["jit_compile"] = True
    data["fit"]["batch_size"] = 16
    data["model"]["layers"][1]["dropout"] = 0.25
    expected = (
        TEXT.replace("learning_rate: 0.01 ", "learning_rate: 0.5 ")
        .replace("  loss:", "  jit_compile: true  # added\n  loss:")
        .replace("fit: {", "fit: {batch_size: 16, ")
        .replace("dropout: 0.5 ", "dropout: 0.25 ")
    )
    assert with_values(TEXT, data, "added") == expected


def test_a_component_is_replaced_as_a_whole() -> None:
    data = parse_document(TEXT, "").data
    data["compile"]["optimizer"] = {"sgd": {"momentum": 0.9}}
    written = with_values(TEXT, data, "added")
    assert parse_document(written, "").data == data
    assert "# the loss" in written


def test_a_key_is_added_behind_the_anchor_of_its_mapping() -> None:
    written = with_values("fit: &f\n  epochs: 2\n", {"fit": {"epochs": 2, "batch_size": 16}}, "added")
    assert written == "fit: &f\n  batch_size: 16  # added\n  epochs: 2\n"


def test_a_value_below_an_integer_is_replaced() -> None:
    text = "fit: {class_weight: {0: 1, 1: 2.0}}\n"
    written = with_values(text, {"fit": {"class_weight": {0: 1, 1: 3.5}}}, "added")
    assert written == "fit: {class_weight: {0: 1, 1: 3.5}}\n"
    name = "fit.class_weight.1"
    weight = Parameter(name, ("set", name), parse_section(FloatRange, {"range": [1.0, 5.0]}, ()), {})
    assert Space({name: weight}).written(parse_document(text, "c.yaml")) == {name: 2.0}


def test_comments_behind_a_block_stay() -> None:
    text = "a:\n  # one\n  b:\n    c: 1  # c\n\n  # two\n  d: [1]\ne:\n  - f: 2\n  # three\n  - g\n"
    written = with_values(text, {"a": {"b": "x", "d": [1]}, "e": [5, "g"]}, "added")
    assert written == "a:\n  # one\n  b:\n    x  # c\n\n  # two\n  d: [1]\ne:\n  - 5\n  # three\n  - g\n"


def test_keys_are_added_to_an_empty_mapping() -> None:
    assert with_values("fit: {}\n", {"fit": {"a": 1, "b": 2}}, "added") == "fit: {a: 1, b: 2}\n"


@pytest.mark.parametrize("text", ["a: &x 1\nb: *x\n", "a: {c: &x 1}\nb: {c: *x}\n"])
def test_an_anchor_that_is_needed_cannot_be_replaced(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be replaced in place"):
        with_values(text, {**parse_document(text, "").data, "a": 2}, "added")


def test_what_an_alias_repeats_cannot_be_replaced() -> None:
    text = "a: &x {b: 1}\nc: *x\n"
    with pytest.raises(ConfigError, match="cannot be replaced in place"):
        with_values(text, {"a": {"b": 2}, "c": {"b": 1}}, "added")


def test_values_by_epoch_are_the_best_ones_until_then() -> None:
    rows = [
        {"epoch": 1, "v": math.nan},
        {"epoch": 2, "v": 3.0},
        {"epoch": 3, "v": 1.0},
        {"epoch": 4},
        {"epoch": 5, "v": 2.0},
    ]
    assert by_epoch(rows, Objective("v"), "min") == [-math.inf, -3.0, -1.0, -1.0, -1.0]
    assert by_epoch(rows, Objective("v"), "max") == [-math.inf, 3.0, 3.0, 3.0, 3.0]


def test_the_value_of_a_trial_is_that_of_its_best_or_last_epoch(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,v\n1,3.0\n2,1.0\n3,Inf\n4,2.0\n")
    member = Member(tmp_path)
    assert by_fold(member, Objective("v"), "min") == [-1.0]
    assert by_fold(member, Objective("v"), "max") == [3.0]
    assert by_fold(member, Objective("v", last=True), "min") == [-2.0]
    assert by_fold(member, Objective("w"), "min") == [-math.inf]
    (tmp_path / "history.csv").write_text(
        "epoch,v,w\n1,3.0,1.0\n2,1.0,\n3,4.0,5.0\n4,2.0,\n"
    )  # validated in odd epochs
    assert by_fold(member, Objective("w", last=True), "min") == [-5.0]
    assert by_fold(Member(tmp_path / "none"), Objective("v"), "min") == [-math.inf]


def test_the_best_trials_are_the_first_of_equals_and_the_front_of_several_objectives() -> None:
    def trials(*values: list[float]) -> list[TrialFacts]:
        return [TrialFacts(number=n, status="completed", values=v) for n, v in enumerate(values, 1)]

    assert [each.number for each in best_trials(trials([2.0], [1.0], [1.0]), ["min"])] == [2]
    front = best_trials(trials([1.0, 1.0], [2.0, 3.0], [3.0, 2.0], [0.5, 0.5]), ["min", "max"])
    assert [each.number for each in front] == [1, 2, 4]
