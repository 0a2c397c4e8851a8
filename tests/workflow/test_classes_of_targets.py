"""Classes as they are met in practice: few rows of one of them, and one that is called the positive one."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.utils.class_weight import compute_class_weight

from kerascli.foundation.errors import ConfigError, DataError, KerasCliError
from kerascli.language.component import Invalid
from kerascli.runs.index import find_run
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.further_training import train_further
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


GIVEN = np.array([0.5, 4.0, 1.0])


def table(folder: Path, labels: list[str]) -> None:
    rows = [f"{number},{label}" for number, label in enumerate(labels)]
    (folder / "rows.csv").write_text("\n".join(["a,y", *rows, ""]))


def sklearn_weights(labels: list[str]) -> str:
    names = sorted(set(labels))
    weights = compute_class_weight("balanced", classes=np.array(names), y=labels)
    return "{" + ", ".join(f"{name}: {weight!r}" for name, weight in zip(names, weights.tolist(), strict=True)) + "}"


def config(steps: str, units: int, activation: str, loss: str, weights: str = "balanced") -> str:
    return CONFIG.format(steps=steps, units=units, activation=activation, loss=loss, weights=weights)


@pytest.mark.parametrize("weights", ["{0: 1.0, 1: 5.0}", "balanced"])
def test_an_output_without_an_axis_of_units_has_the_weight_of_each_row(tmp_path: Path, weights: str) -> None:
    y = np.arange(40) % 3 == 0
    np.savez(tmp_path / "t.npz", x=np.ones((40, 2), np.float32), y=y.astype(np.int64))
    histories = []
    for keepdims in ("False", "True"):
        text = f"""
            data: {{source: {{npz: t.npz}}, inputs: {{x: []}}, targets: {{y: []}}}}
            model: {{layers: [{{dense: 2}}, {{expr: "sigmoid(sum(dense, axis=-1, keepdims={keepdims}))"}}]}}
            compile: {{loss: binary_crossentropy, optimizer: sgd}}
            fit: {{epochs: 1, class_weight: {weights}}}
            seed: 1
        """
        run, _ = train(write(tmp_path, text), tmp_path / keepdims)
        histories.append([row["loss"] for row in run.history()])
    assert histories[0] == pytest.approx(histories[1], rel=1e-6)  # float32


@pytest.mark.parametrize("form", FORMS)
def test_balanced_weights_are_scikit_learn_s(tmp_path: Path, form: str) -> None:
    labels = ["cat"] * 7 + ["dog"] * 2 + ["owl"]
    table(tmp_path, labels)
    run, _ = train(write(tmp_path, config(*FORMS[form])), tmp_path / "runs")
    assert yaml.safe_load(run.resolved())["fit"]["class_weight"] == "balanced"  # that of other rows is another one
    written = sklearn_weights(labels)
    given, _ = train(write(tmp_path, config(*FORMS[form], written), "b.yaml"), tmp_path / "other")
    assert outcome(run)[1] == outcome(given)[1]


def test_further_training_balances_the_classes_of_its_own_rows(tmp_path: Path) -> None:
    table(tmp_path, ["cat"] * 7 + ["dog"] * 2 + ["owl"])
    first, _ = train(write(tmp_path, config(*FORMS["words"])), tmp_path / "runs")
    labels = ["cat"] * 2 + ["dog"] * 7 + ["owl"] * 3
    table(tmp_path, labels)
    ends = []
    for sets in ([], [f"fit.class_weight={sklearn_weights(labels)}"]):
        list(train_further(first, Options(runs_dir=tmp_path / "more", data=tmp_path / "rows.csv"), sets, None))
        ends.append(outcome(find_run("latest", tmp_path / "more"))[1])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("classes", ["balanced", "{0: 0.5, 1: 4.0}"])
@pytest.mark.parametrize("shape", [(7,), (3, 4)], ids=["steps", "pixels"])
def test_each_step_and_pixel_has_the_weight_of_its_class(tmp_path: Path, shape: tuple[int, ...], classes: str) -> None:
    """Before the first step each loss is log(3): the closed form is the oracle. Keras takes one weight a row."""
    random = np.random.default_rng(1)
    y = random.choice([0, 1, 2, -1], (12, *shape), p=[0.5, 0.2, 0.1, 0.2])
    np.savez(tmp_path / "d.npz", x=random.normal(size=(12, *shape, 2)).astype(np.float32), y=y)
    text = f"""
data: {{source: {{npz: {{path: d.npz}}}}, inputs: {{x: []}}, targets: {{y: []}}}}
model: {{layers: [{{dense: {{units: 3, kernel_initializer: zeros}}}}]}}
compile: {{loss: {{sparse_categorical_crossentropy: {{from_logits: true, ignore_class: -1}}}}, optimizer: sgd}}
fit: {{epochs: 1, batch_size: 12, class_weight: {classes}}}
"""
    run, _ = train(write(tmp_path, text), tmp_path / "runs")
    of_class = compute_class_weight("balanced", classes=np.arange(3), y=y[y >= 0]) if classes == "balanced" else GIVEN
    assert run.history()[0]["loss"] == pytest.approx(np.log(3) * of_class[y[y >= 0]].mean(), rel=1e-6)


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


@pytest.mark.parametrize(
    ("labels", "step", "loss", "weights", "text"),
    [
        ("123", "integer_lookup", "sparse_categorical_crossentropy", "{0: 1.0, 1: 5.0, 2: 25.0}", "no class '0'"),
        ("abc", "string_lookup", "sparse_categorical_crossentropy", "{a: 1.0, 0: 5.0}", "'a' and 0, its index, are"),
    ],
)
def test_weights_without_one_class_each_are_refused(
    tmp_path: Path, labels: str, step: str, loss: str, weights: str, text: str
) -> None:
    table(tmp_path, list(labels))
    with pytest.raises(ConfigError, match=text):
        train(write(tmp_path, config(step, 3, "softmax", loss, weights)), tmp_path / "runs")


@pytest.mark.parametrize("weights", ["balanced", "{0: 2.0}"])
def test_several_labels_at_once_have_no_weights_of_classes(tmp_path: Path, weights: str) -> None:
    np.savez(
        tmp_path / "d.npz", x=np.eye(4, dtype=np.float32), y=np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
    )
    text = """
data: {source: {npz: {path: d.npz}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 3, activation: sigmoid}}]}
compile: {loss: binary_crossentropy}
"""
    with pytest.raises(ConfigError, match="'y' may have several labels at once"):
        train(write(tmp_path, text), tmp_path / "runs", [f"fit.class_weight={weights}"])


def test_binary_crossentropy_of_one_hot_targets_weighs_their_classes(tmp_path: Path) -> None:
    """As in Keras: with a kernel of zeros each element's loss is log(2)."""
    labels = ["cat"] * 7 + ["dog"] * 2 + ["owl"]
    table(tmp_path, labels)
    text = config(FORMS["one-hot"][0], 3, "sigmoid", "binary_crossentropy")
    text = text.replace("activation: sigmoid", "activation: sigmoid, kernel_initializer: zeros")
    run, _ = train(write(tmp_path, text), tmp_path / "runs", ["fit.batch_size=10"])
    assert run.history()[0]["loss"] == pytest.approx(np.log(2), rel=1e-6)  # balanced weights have the mean 1
    given, _ = train(tmp_path / "config.yaml", tmp_path / "b", ["fit.batch_size=10", "fit.class_weight={cat: 3.0}"])
    assert given.history()[0]["loss"] == pytest.approx(np.log(2) * (7 * 3 + 3) / 10, rel=1e-6)


def test_indices_of_classes_whose_names_are_other_numbers_are_indices(tmp_path: Path) -> None:
    table(tmp_path, ["3", "8", "8", "3"])
    runs = [
        train(write(tmp_path, config("integer_lookup", 2, "softmax", "sparse_categorical_crossentropy", weights)),
              tmp_path / name)[0]
        for name, weights in (("a", "{0: 1.0, 1: 3.0}"), ("b", "{3: 1.0, 8: 3.0}"))
    ]  # fmt: skip
    assert outcome(runs[0])[1] == outcome(runs[1])[1]


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
