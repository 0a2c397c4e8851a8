"""Calls and classes of other libraries, as the line to write in a config."""

import pytest

from kerascli.component import registries
from kerascli.config.yaml.text import parse_document
from kerascli.foreign_calls import ForeignCall, line_to_write, read_call, vector
from kerascli.foreign_words import NAMES


@pytest.mark.parametrize(
    ("text", "name", "positional", "keywords"),
    [
        ("Linear(4, 3)", "Linear", (4, 3), {}),
        ("layer_dense(units = 5L, use_bias = TRUE)", "layer_dense", (), {"units": 5, "use_bias": True}),
        ("nn.Conv2d(3, 4, kernel_size=(3, 5))", "nn.Conv2d", (3, 4), {"kernel_size": [3, 5]}),
        ("x(c(2, 2), [1], 'a, b', name = \"c)\", y = None)", "x", ([2, 2], [1], "a, b"), {"name": "c)", "y": None}),
        ("SGD(lr=1e-3, momentum=.9)", "SGD", (), {"lr": 0.001, "momentum": 0.9}),
        ("ReLU()", "ReLU", (), {}),
    ],
)
def test_a_call_is_read_without_being_evaluated(
    text: str, name: str, positional: tuple[object, ...], keywords: dict[str, object]
) -> None:
    assert read_call(text) == ForeignCall(name, positional, keywords)


@pytest.mark.parametrize("text", ["", "dense", "(3)", "a b(3)", "$(1/255)", "f(1) + 2", "1/255", "f(3"])
def test_what_is_no_call_is_left_alone(text: str) -> None:
    assert read_call(text) is None


def test_a_vector_of_r_is_a_list() -> None:
    assert vector("c(length, 2)") == ["length", 2]
    assert vector("cc(1)") is None


@pytest.mark.parametrize(
    ("kind", "written", "line"),
    [
        ("layer", "nn.Linear(4, 3)", "dense: {units: 3}"),
        ("layer", "Linear(in_features=4, out_features=3, bias=False)", "dense: {units: 3, use_bias: false}"),
        ("layer", "Conv2d(3, 16, 3, padding=1)", "conv_2d: {filters: 16, kernel_size: 3, padding: same}"),
        ("layer", "Dense(8, activation='relu')", "dense: {units: 8, activation: relu}"),
        ("layer", "layer_dropout(0.4)", "dropout: 0.4"),
        ("layer", "nn.ReLU()", "relu"),
        ("layer", "nn.BatchNorm2d(64)", "batch_normalization"),
        ("optimizer", "Adam(lr=0.01, betas=(0.9, 0.99))", "adam: {learning_rate: 0.01, beta_1: 0.9, beta_2: 0.99}"),
        ("loss", "nn.CrossEntropyLoss()", "sparse_categorical_crossentropy: {from_logits: true}"),
        ("transform", "SimpleImputer(strategy='median')", "impute: {strategy: median}"),
    ],
)
def test_a_call_is_answered_with_the_line_that_does_the_same(kind: str, written: str, line: str) -> None:
    registry = registries()[kind]
    assert registry.spelled.unknown(written, (), (), registry.positional).hint == f"write {line}"
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
