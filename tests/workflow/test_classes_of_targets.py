"""Classes as they are met in practice: few rows of one of them, and one that is called the positive one."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.utils.class_weight import compute_class_weight

from kerascli.foundation.errors import ConfigError, DataError, KerasCliError
from kerascli.language.component import Invalid
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.runs_harness import go_on, outcome, train, write

CONFIG = """
seed: 1
data:
  source: {{csv: {{path: rows.csv}}}}
  inputs: {{x: [{{columns: [a]}}]}}
  targets: {{y: [{steps}]}}
model: {{layers: [{{dense: {{units: {units}, activation: {activation}}}}}]}}
compile: {{loss: {loss}, optimizer: sgd}}
fit: {{epochs: 2, class_weight: {weights}}}
"""
FORMS = {
    "words": ("string_lookup", 3, "softmax", "sparse_categorical_crossentropy"),
    "one-hot": ("{string_lookup: {output_mode: one_hot}}", 3, "softmax", "categorical_crossentropy"),
}


def table(folder: Path, labels: list[str]) -> None:
    rows = [f"{number},{label}" for number, label in enumerate(labels)]
    (folder / "rows.csv").write_text("\n".join(["a,y", *rows, ""]))


def config(steps: str, units: int, activation: str, loss: str, weights: str = "balanced") -> str:
    return CONFIG.format(steps=steps, units=units, activation=activation, loss=loss, weights=weights)


@pytest.mark.parametrize("form", FORMS)
def test_balanced_weights_are_scikit_learn_s_and_recorded(tmp_path: Path, form: str) -> None:
    labels = ["cat"] * 7 + ["dog"] * 2 + ["owl"]
    table(tmp_path, labels)
    run, _ = train(write(tmp_path, config(*FORMS[form])), tmp_path / "runs")
    recorded = yaml.safe_load(run.resolved())["fit"]["class_weight"]
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    assert list(recorded) == ["cat", "dog", "owl"]
    np.testing.assert_allclose(list(recorded.values()), expected, rtol=1e-12)
    written = ", ".join(f"{name}: {weight!r}" for name, weight in recorded.items())
    given, _ = train(write(tmp_path, config(*FORMS[form], f"{{{written}}}"), "b.yaml"), tmp_path / "other")
    assert outcome(run)[1] == outcome(given)[1]


def test_a_resumed_run_has_the_weights_that_it_began_with(tmp_path: Path) -> None:
    table(tmp_path, ["cat", "dog", "dog", "owl"])
    text = config(*FORMS["words"])
    whole, _ = train(write(tmp_path, text), tmp_path / "whole", ["fit.epochs=4"])
    part, _ = train(write(tmp_path, text), tmp_path / "part")
    go_on(part, ["fit.epochs=4"])
    assert outcome(part) == outcome(whole)


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_a_regression_has_no_classes_to_balance(tmp_path: Path, loss: str) -> None:
    (tmp_path / "rows.csv").write_text("a,y\n1,0.5\n2,1.5\n")
    with pytest.raises(ConfigError, match="class_weight: balanced: the target 'y' has no classes") as error:
        train(write(tmp_path, config("", 1, "linear", loss)), tmp_path / "runs")
    assert "data.sample_weight" in str(error.value.faults[0].hint)


@pytest.mark.parametrize("positive", ["fraud", "sound"])
def test_one_unit_predicts_the_positive_class(tmp_path: Path, positive: str) -> None:
    table(tmp_path, ["sound", "fraud", "sound", "sound"])
    step = f"{{string_lookup: {{positive: {positive}}}}}"
    run, _ = train(write(tmp_path, config(step, 1, "sigmoid", "binary_crossentropy", "null")), tmp_path / "runs")
    found = predict_run(open_run(run), "train")
    other = {"fraud": "sound", "sound": "fraud"}[positive]
    assert list(found.columns) == ["class", f"p({other})", f"p({positive})"]
    np.testing.assert_allclose(found.columns[f"p({positive})"], found.outputs["dense"][:, 0])


def test_numbers_may_be_positive_too(tmp_path: Path) -> None:
    table(tmp_path, ["4", "9", "4"])
    step = "{integer_lookup: {positive: 4}}"
    run, _ = train(write(tmp_path, config(step, 1, "sigmoid", "binary_crossentropy", "null")), tmp_path / "runs")
    assert list(predict_run(open_run(run), "train").columns) == ["class", "p(9)", "p(4)"]


@pytest.mark.parametrize(
    ("step", "labels", "text"),
    [
        ("{string_lookup: {positive: fruad}}", "ab", "positive: there is no class 'fruad'; there are 'a', 'b'"),
        ("{string_lookup: {positive: a}}", "abc", "positive: goes with two classes, got 3"),
        ("{string_lookup: {positive: a, vocabulary: [a, b]}}", "ab", "the order of the vocabulary says"),
    ],
)
def test_a_positive_class_that_cannot_be_is_refused(tmp_path: Path, step: str, labels: str, text: str) -> None:
    table(tmp_path, list(labels))
    with pytest.raises((DataError, ConfigError, Invalid), match=text):
        train(write(tmp_path, config(step, 1, "sigmoid", "binary_crossentropy", "null")), tmp_path / "runs")


def test_an_input_has_no_positive_class(tmp_path: Path) -> None:
    table(tmp_path, list("ab"))
    text = config("string_lookup", 1, "sigmoid", "binary_crossentropy", "null")
    text = text.replace("[{columns: [a]}]", "[{columns: y}, {string_lookup: {positive: a}}]")
    with pytest.raises(KerasCliError, match="positive: goes with the lookup of a target"):
        train(write(tmp_path, text), tmp_path / "runs")
