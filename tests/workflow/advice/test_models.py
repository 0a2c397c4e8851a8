"""Warnings about models: losses that misinterpret an output, a softmax over one value, settings without effect."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation.errors import Fault
from kerascli.workflow.check import check
from tests.support.runs_harness import write


def warnings(folder: Path, layers: str, loss: str, more: str = "") -> list[Fault]:
    text = f"model:\n  inputs: {{x: [6]}}\n  layers: {layers}\n{more}\ncompile: {{loss: {loss}}}\n"
    return check(write(folder, text), sets=[], flags=[]).warnings


def warned(folder: Path, layers: str, loss: str, more: str = "") -> list[str]:
    return [fault.text for fault in warnings(folder, layers, loss, more)]


SPARSE = "{sparse_categorical_crossentropy: {from_logits: true}}"
BINARY = "{binary_crossentropy: {from_logits: true}}"

TWICE = {
    "softmax": ("[{dense: {units: 3, activation: softmax}}]", SPARSE),
    "sigmoid": ("[{dense: {units: 1, activation: sigmoid}}]", BINARY),
    "hard_sigmoid": ("[{dense: {units: 1, activation: hard_sigmoid}}]", BINARY),
    "a softmax layer": ("[{dense: 3}, softmax]", "{categorical_crossentropy: {from_logits: true}}"),
    "an activation layer": ("[{dense: 3}, {activation: softmax}]", SPARSE),
    "every step": ("[{reshape: [3, 2]}, {time_distributed: {dense: {units: 3, activation: softmax}}}]", SPARSE),
    "focal": ("[{dense: {units: 1, activation: sigmoid}}]", "{binary_focal_crossentropy: {from_logits: true}}"),
}  # fmt: skip

NONE = {
    "linear": ("[{dense: 3}]", "sparse_categorical_crossentropy"),
    "one unit": ("[{dense: 1}]", "binary_crossentropy"),
    "relu": ("[{dense: {units: 3, activation: relu}}]", "categorical_crossentropy"),
    "tanh": ("[{dense: {units: 1, activation: tanh}}]", "binary_crossentropy"),
    "every step": ("[{reshape: [3, 2]}, {time_distributed: {dense: 3}}]", "sparse_categorical_crossentropy"),
    "by the shapes": ("[{dense: 3}]", "crossentropy"),
}  # fmt: skip

UNFIT = {
    "by the shapes": ("[{dense: {units: 3, activation: sigmoid}}]", "crossentropy", "softmax"),
    "labels for classes": ("[{dense: {units: 3, activation: sigmoid}}]", "sparse_categorical_crossentropy", "softmax"),
    "of a layer": ("[{dense: 3}, {activation: hard_sigmoid}]", "categorical_crossentropy", "softmax"),
    "classes for labels": ("[{dense: {units: 3, activation: softmax}}]", "binary_crossentropy", "sigmoid"),
}

FINE = {
    "softmax": ("[{dense: {units: 3, activation: softmax}}]", "sparse_categorical_crossentropy"),
    "sigmoid": ("[{dense: {units: 1, activation: sigmoid}}]", "binary_crossentropy"),
    "logits": ("[{dense: 3}]", SPARSE),
    "one logit": ("[{dense: 1}]", BINARY),
    "tanh as logits": ("[{dense: {units: 1, activation: tanh}}]", BINARY),
    "a logarithm as logits": ("[{dense: {units: 3, activation: log_softmax}}]", SPARSE),
    "exponential": ("[{dense: {units: 3, activation: exponential}}]", "categorical_crossentropy"),
    "softplus": ("[{dense: {units: 3, activation: softplus}}]", "categorical_crossentropy"),
    "a relu of 0 to 1": ("[{dense: {units: 1, activation: {relu: {max_value: 1}}}}]", "binary_crossentropy"),
    "a softmax that is handed on": (
        "[{dense: {units: 3, activation: softmax}}, {activation: linear}]", "categorical_crossentropy",
    ),
    "a gated unit": ("[{reshape: [3, 2]}, {lstm: {units: 3, activation: softmax}}]", SPARSE),
    "held above zero": ("[{dense: {units: 3, kernel_constraint: non_neg}}]", "categorical_crossentropy"),
    "regression": ("[{dense: {units: 3, activation: softmax}}]", "mse"),
    "two classes": ("[{dense: {units: 2, activation: softmax}}]", "binary_crossentropy"),
    "one unit of any loss": ("[{dense: {units: 1, activation: sigmoid}}]", "crossentropy"),
}  # fmt: skip


@pytest.mark.parametrize(("layers", "loss", "activation"), UNFIT.values(), ids=UNFIT)
def test_an_output_that_does_not_suit_the_loss(layers: str, loss: str, activation: str, tmp_path: Path) -> None:
    [fault] = warnings(tmp_path, layers, loss)
    assert " takes " in fault.text
    assert activation in str(fault.hint)


@pytest.mark.parametrize(("layers", "loss"), TWICE.values(), ids=TWICE)
def test_probabilities_under_a_loss_of_logits(layers: str, loss: str, tmp_path: Path) -> None:
    [text] = warned(tmp_path, layers, loss)
    assert "takes logits and applies" in text


@pytest.mark.parametrize(("layers", "loss"), NONE.values(), ids=NONE)
def test_no_probabilities_under_a_loss_of_probabilities(layers: str, loss: str, tmp_path: Path) -> None:
    [text] = warned(tmp_path, layers, loss)
    assert "takes probabilities, but" in text


@pytest.mark.parametrize(("layers", "loss"), FINE.values(), ids=FINE)
def test_outputs_that_their_loss_takes(layers: str, loss: str, tmp_path: Path) -> None:
    assert warned(tmp_path, layers, loss) == []


def test_a_warning_names_both_places_and_the_way_out(tmp_path: Path) -> None:
    [fault] = warnings(tmp_path, "[{dense: {units: 3, name: kind}}]", "sparse_categorical_crossentropy")
    path = tmp_path / "config.yaml"
    assert fault.lines() == [
        f"{path}:5:17: warning: 'sparse_categorical_crossentropy' takes probabilities, but 'kind' is linear "
        "(it has no activation)",
        "  5 | compile: {loss: sparse_categorical_crossentropy}",
        "    |                 ^" + "^" * 30,
        f"  note: 'kind' computes it ({path}:3:13)",
        "  hint: use activation: softmax, or set from_logits: true in the loss",
    ]


def test_of_several_outputs_those_at_fault_are_named(tmp_path: Path) -> None:
    layers = "[{dense: {units: 1, name: a}}, {dense: {units: 3, activation: softmax, inputs: x, name: b}}]"
    loss = f"{{a: binary_crossentropy, b: {SPARSE}}}"
    first, second = warnings(tmp_path, layers, loss, "  outputs: [a, b]")
    assert "'a' is linear" in first.text
    assert "'b' is the result of softmax" in second.text
    assert [fault.place.column for fault in (first, second) if fault.place] == [21, 45]
    assert len(warned(tmp_path, layers, f"[binary_crossentropy, {SPARSE}]", "  outputs: [a, b]")) == 2
    assert warned(tmp_path, layers, "{a: mse, b: sparse_categorical_crossentropy}", "  outputs: [a, b]") == []


@pytest.mark.parametrize(("activation", "count"), [("softmax", 1), ("linear", 0)])
def test_a_shared_model_is_looked_into(activation: str, count: int, tmp_path: Path) -> None:
    more = f"  shared: {{top: {{layers: [{{dense: 4}}, {{dense: {{units: 3, activation: {activation}}}}}]}}}}"
    assert len(warned(tmp_path, "[top]", SPARSE, more)) == count


ONE = {
    "dense": "[{dense: {units: 1, activation: softmax}}]",
    "a layer": "[{dense: 1}, softmax]",
    "an activation": "[{dense: 1}, {activation: softmax}]",
    "every step": "[{reshape: [3, 2]}, {time_distributed: {dense: {units: 1, activation: softmax}}}]",
    "an axis": "[{dense: 6}, {reshape: [6, 1]}, {softmax: {axis: 2}}]",
    "within": "[{dense: {units: 1, activation: softmax}}, {dense: 2}]",
}
SEVERAL = {
    "dense": "[{dense: {units: 2, activation: softmax}}]",
    "another axis": "[{dense: 6}, {reshape: [6, 1]}, {softmax: {axis: 1}}]",
    "of two axes": "[{dense: 6}, {reshape: [6, 1]}, {softmax: {axis: [1, 2]}}]",
    "sigmoid": "[{dense: {units: 1, activation: sigmoid}}]",
    "no final activation": "[{reshape: [3, 2]}, {lstm: {units: 1, activation: softmax}}]",
}


@pytest.mark.parametrize("layers", ONE.values(), ids=ONE)
def test_a_softmax_over_one_value(layers: str, tmp_path: Path) -> None:
    [fault] = warnings(tmp_path, layers, "mse")
    assert "is a softmax over one value: the result is always 1" in fault.text
    assert fault.place is not None
    assert fault.place.line == 3


@pytest.mark.parametrize("layers", SEVERAL.values(), ids=SEVERAL)
def test_a_softmax_over_several_values(layers: str, tmp_path: Path) -> None:
    assert warned(tmp_path, layers, "mse") == []


def test_a_shared_softmax_that_is_called_twice_is_reported_once(tmp_path: Path) -> None:
    more = "  shared: {top: {layers: [{dense: {units: 1, activation: softmax}}]}}"
    layers = "[{top: {inputs: x, name: a}}, {top: {inputs: x, name: b}}, {add: [a, b]}]"
    assert len(warned(tmp_path, layers, "mse", more)) == 1


def test_validate_exits_with_0_and_warns_on_stderr(tmp_path: Path) -> None:
    text = "model: {inputs: {x: [6]}, layers: [{dense: 3}]}\ncompile: {loss: sparse_categorical_crossentropy}\n"
    done = CliRunner().invoke(app, ["validate", str(write(tmp_path, text))])
    assert done.exit_code == 0
    assert done.stderr.startswith(f"{tmp_path}/config.yaml:2:17: warning: 'sparse_categorical_crossentropy' takes")
    assert "warning" not in done.stdout


@pytest.mark.parametrize(
    ("section", "texts"),
    [
        ("fit: {validation_steps: 2}", ["validation_steps has no effect: there is no validation"]),
        ("fit: {validation_steps: 2, validation_split: 0.5}", []),
        ("fit: {validation_freq: 1}", []),
        ("compile: {loss: mse, optimizer: {sgd: {nesterov: true}}}", ["nesterov has no effect without momentum"]),
        ("compile: {loss: mse, optimizer: {sgd: {nesterov: true, momentum: 0.9}}}", []),
        (
            "compile: {loss: mse, optimizer: {adam: {cosine_decay: "
            "{initial_learning_rate: 0.1, decay_steps: 9, warmup_target: 0.5}}}}",
            ["warmup_target has no effect without warmup_steps"],
        ),
    ],
)
def test_a_setting_without_effect(section: str, texts: list[str], tmp_path: Path) -> None:
    compiled = "" if section.startswith("compile") else "compile: {loss: mse}\n"
    config = f"model: {{inputs: {{x: [6]}}, layers: [{{dense: 1}}]}}\n{compiled}{section}\n"
    assert [fault.text for fault in check(write(tmp_path, config), sets=[], flags=[]).warnings] == texts
