"""Names and calls of other libraries, answered with the line to write in a config."""

from typing import Any

import pytest

from kerascli.config.yaml.text import parse_document
from kerascli.language.component import registries
from kerascli.language.foreign_words import NAMES
from kerascli.language.wording import line_to_write, vector_to_write


@pytest.mark.parametrize(("text", "items"), [("c(length, 2)", "[length, 2]"), ("cc(1)", None), ("c(1", None)])
def test_a_vector_of_r_is_a_list(text: str, items: str | None) -> None:
    assert vector_to_write(text) == items


@pytest.mark.parametrize(
    ("kind", "written", "line"),
    [
        ("layer", "nn.Linear(4, 3)", "dense: {units: ...}"),
        ("layer", "Dense(8, activation='relu')", "dense: {units: ...}"),
        ("layer", "nn.ReLU()", "relu"),
        ("layer", "nn.BatchNorm2d(64)", "batch_normalization"),
        ("optimizer", "adam(lr=0.001)", "adam: {learning_rate: ...}"),
        ("loss", "nn.CrossEntropyLoss(weight=w)", "sparse_categorical_crossentropy: {from_logits: true}"),
    ],
)
def test_a_call_is_answered_with_the_form_of_its_line(kind: str, written: str, line: str) -> None:
    registry = registries()[kind]
    fault = registry.spelled.unknown(written, (), (), registry.positional)
    assert fault.text.endswith("settings are not written in parentheses")
    assert fault.hint == f"write {line}"


@pytest.mark.parametrize(
    ("kind", "foreign", "arguments", "line"),
    [
        ("layer", "Linear", 10, "dense: 10"),
        ("layer", "LayerNorm", 64, "layer_normalization"),
        ("layer", "Linear", {"in_features": 4, "out_features": 3, "bias": False}, "dense: {units: 3, use_bias: false}"),
        ("layer", "ConvTranspose2d", {"out_channels": 4, "kernel_size": 3, "padding": 1},
         "conv_2d_transpose: {filters: 4, kernel_size: 3, padding: same}"),
        ("transform", "SimpleImputer", {"strategy": "median"}, "impute: {strategy: median}"),
    ],
)  # fmt: skip
def test_a_name_is_answered_with_the_line_that_does_the_same(
    kind: str, foreign: str, arguments: Any, line: str
) -> None:
    registry = registries()[kind]
    fault = registry.spelled.unknown(foreign, (foreign,), (), registry.positional, arguments)
    assert fault.hint == f"write {line}"
    registry.parse(parse_document(f"x: [{{{line}}}]" if ":" in line else f"x: [{line}]", "").data["x"][0])


@pytest.mark.parametrize("kind", NAMES)
def test_every_line_that_a_foreign_name_is_answered_with_is_valid(kind: str) -> None:
    registry = registries()[kind]
    for foreign, name in NAMES[kind].items():
        line = line_to_write(name, registry.positional(name), foreign, None)
        written = parse_document(f"x: [{{{line}}}]" if ":" in line else f"x: [{line}]", "").data["x"][0]
        if isinstance(written, dict) and "$" not in line:
            assert registry.parse(written).component_name == name, line
        assert registry.find(name) is not None
