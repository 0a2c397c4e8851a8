"""Reasons for predictions: planted causes are found, and numbers agree with closed forms, scikit-learn and Captum."""

import csv
import io
import json
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.inspection import permutation_importance as sklearn_importance
from torch.nn.functional import conv2d, interpolate

from kerascli.foundation.errors import ConfigError
from kerascli.report.page.run_page import RunPage
from kerascli.report.reasons import Kind, Reason, Reasons, reasons_file, reasons_text
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.rows.command_rows import load_again
from kerascli.workflow.why import explain as explain_module
from kerascli.workflow.why.by_columns import column_groups
from kerascli.workflow.why.explain import Question, explain
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import command, train, write

TABLE = """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  split: {test: 0.4}
  inputs:
    x: [{columns: [COLUMNS]}, normalization]
  targets: {y: []}
model: {layers: [{dense: UNITS}]}
compile: {loss: mse, optimizer: {adam: 0.05}, metrics: [mae]}
fit: {epochs: 30, batch_size: 64}
"""


def trained(folder: Path, text: str) -> LoadedRun:
    run, _ = train(write(folder, text), folder / "runs")
    return open_run(run)


def table(folder: Path, columns: dict[str, np.ndarray]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    (folder / "rows.csv").write_text(out.getvalue())


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """A linear model of three columns, of which the last has no effect."""
    folder = tmp_path_factory.mktemp("linear")
    random = np.random.default_rng(0)
    a, b, c = random.normal(size=(3, 500)) * [[1.0], [3.0], [2.0]]
    table(folder, {"a": a, "b": b, "c": c, "y": 2 * a - b})
    return trained(folder, TABLE.replace("COLUMNS", "a, b, c").replace("UNITS", "1"))


def test_integrated_gradients_of_a_linear_model_are_its_coefficients(linear: LoadedRun) -> None:
    """Times the distance of each column from the training rows' median: exact, up to float32."""
    reasons = explain(linear, Question(["test"], method="integrated_gradients", rows=50))
    splits = load_again(linear).splits
    x, start = (
        splits["test"].read(slice(0, 50)).inputs["x"],
        np.median(splits["train"].read(slice(0, 300)).inputs["x"], 0),
    )
    kernel = next(weight.tensor for weight in linear.experiment.weights if weight.name.endswith("kernel"))
    values = [each.values for each in reasons.rows]
    np.testing.assert_allclose(values, (x - start) * kernel.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_permutation_importance_agrees_with_scikit_learn(linear: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both shuffle the columns of the same rows, in other orders: means over 30 shuffles differ by their deviation."""
    monkeypatch.setattr("kerascli.workflow.why.by_columns._SHUFFLES", 30)
    reasons = explain(linear, Question(["test"], method="permutation"))
    ours = {name: values for name, *values in reasons.importance}
    rows = load_again(linear).splits["test"].read(slice(0, 200))
    kernel, bias = (weight.tensor.detach().numpy() for weight in linear.experiment.weights)

    class Model:
        def fit(self) -> None: ...

        def score(self, x: np.ndarray, y: np.ndarray) -> float:
            return -float(np.mean((x @ kernel.T[:, 0] + bias - y.reshape(-1)) ** 2))

    theirs: Any = sklearn_importance(Model(), rows.inputs["x"], rows.targets["y"], n_repeats=30, random_state=0)
    for name, mean, deviation in zip("abc", theirs.importances_mean, theirs.importances_std, strict=True):
        value, low, high = ours[name]
        assert value == pytest.approx(mean, abs=3 * deviation / 30**0.5 + 1e-6)
        assert low <= value <= high
    assert [*ours][:2] == ["b", "a"]
    metric = explain(linear, Question(["test"], method="permutation", metric="mae"))
    assert metric.importance[0][0] == "b"


def test_one_cause_among_twenty_columns_is_found(tmp_path: Path) -> None:
    """Also beside one that is correlated with it; of data without a cause the intervals hold zero, but for chance."""
    random = np.random.default_rng(3)
    columns = {f"x{number}": random.normal(size=600) for number in range(20)}
    columns["x7"] = columns["x3"] + random.normal(size=600)
    names = ", ".join(columns)
    table(tmp_path, {**columns, "y": np.sin(columns["x3"])})
    text = TABLE.replace("COLUMNS", names).replace("UNITS", "{units: 16, activation: relu}}, {dense: 1")
    reasons = explain(trained(tmp_path, text), Question(["test"]))
    name, _, low, _ = reasons.importance[0]
    assert name == "x3"
    assert low > 0
    table(tmp_path, {**columns, "y": random.normal(size=600)})
    none = explain(trained(tmp_path, text), Question(["test"]))
    assert sum(low <= 0 <= high for _, _, low, high in none.importance) >= 16  # 19 of 20 are expected


def test_numbers_are_those_of_captum(linear: LoadedRun) -> None:
    """Captum 0.9.0, IntegratedGradients with 64 steps by `riemann_middle`, of a fixed network of two layers."""
    text = """
seed: 1
data: {source: {blobs: {rows: 60, features: 3, classes: 2}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 2, activation: tanh}}, {dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: sgd}
fit: {epochs: 1}
"""
    folder = linear.record.path.parent / "captum"
    folder.mkdir()
    run = trained(folder, text)
    values = [[[0.5, -1.0, 0.25], [1.5, 0.75, -0.5]], [0.1, -0.2], [[1.0, -2.0], [0.5, 1.5]], [0.0, 0.3]]
    with torch.no_grad():
        for weight, value in zip(run.experiment.weights, values, strict=True):
            weight.tensor.copy_(torch.tensor(value))
    from kerascli.data.batches.rows import MemorySplit
    from kerascli.workflow.why.methods import integrated_gradients
    from kerascli.workflow.why.score import score_of

    x = np.array([[1.0, 2.0, -1.0], [0.5, -0.5, 2.0]], np.float32)
    rows = MemorySplit({"x": x}, {}, {}, 2)
    start = MemorySplit({"x": np.array([[0.0, 0.5, 0.25]], np.float32)}, {}, {}, 1)
    score = replace(score_of(run, rows, None, None), classes=torch.tensor([[1], [0]]))
    expected = [[0.13689294, 0.13014667, 0.06467121], [-0.37956825, 0.46556306, 0.4929933]]
    attributions, missing = integrated_gradients(score, start)
    np.testing.assert_allclose(attributions["x"].numpy(), expected, atol=1e-6)
    assert missing < 1e-3


PICTURES = """
seed: 2
data: {source: {npz: {path: rows.npz}}, inputs: {x: []}, targets: {y: []}, split: {test: 0.25}}
model:
  layers:
    - conv_2d: {filters: 6, kernel_size: 3, padding: same, activation: relu}
    - max_pooling_2d: 2
    - conv_2d: {filters: 6, kernel_size: 3, padding: same, activation: relu}
    - global_max_pooling_2d
    - dense: {units: 2, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.01}, metrics: [accuracy]}
fit: {epochs: 8, batch_size: 32}
"""


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """A classifier of noise pictures, of which those of class 1 have a mark in the lower right corner."""
    folder, random = tmp_path_factory.mktemp("marked"), np.random.default_rng(1)
    x, y = random.uniform(0, 0.3, size=(400, 16, 16, 1)).astype(np.float32), random.integers(0, 2, 400)
    x[y == 1, 11:15, 11:15] += 0.7
    np.savez(folder / "rows.npz", x=x, y=y)
    return trained(folder, PICTURES)


@pytest.mark.parametrize("method", ["grad_cam", "occlusion", "integrated_gradients"])
def test_the_marked_corner_of_a_class_is_found(marked: LoadedRun, method: str) -> None:
    reasons = explain(marked, Question(["test"], method=method, class_name="1", rows=30))  # pyright: ignore[reportArgumentType]
    pictures = np.stack([each.picture for each in reasons.rows if each.picture is not None])
    own = pictures[:, 11:15, 11:15].mean((1, 2, 3)) > 0.5
    maps = np.clip(np.stack([each.values for each in reasons.rows])[own], 0, None)
    assert maps[:, 9:, 9:].sum() > 0.6 * maps.sum()  # a fifth of the area, with its edges


def test_a_row_of_several_inputs_says_what_each_has(tmp_path: Path) -> None:
    """Numbers, one-hot words and numbers of words that an embedding reads; the shares add up to the difference."""
    random = np.random.default_rng(4)
    color = random.choice(["red", "green", "blue"], 300)
    town = random.choice(["Bern", "Rome", "Oslo", "Lima"], 300)
    a = random.normal(size=300)
    table(tmp_path, {"a": a, "color": color, "town": town, "y": a + 2 * (color == "red") - (town == "Oslo")})
    run = trained(tmp_path, """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  split: {test: 0.2}
  inputs:
    a: [{columns: [a]}, normalization]
    color: [{string_lookup: {output_mode: one_hot}}]
    town: [string_lookup]
  targets: {y: []}
model:
  inputs: {a: [1], color: $inputs.color.shape, town: []}
  layers:
    - embedding: {inputs: town, input_dim: 5, output_dim: 3, name: places}
    - concatenate: [a, color, places]
    - dense: {units: 16, activation: relu}
    - dense: 1
compile: {loss: mse, optimizer: {adam: 0.02}}
fit: {epochs: 30, batch_size: 32}
""")  # fmt: skip
    reasons = explain(run, Question(["test"], method="integrated_gradients", rows=40))
    columns = reasons.rows[0].names
    assert set(columns) == {"a", "color", "town"}
    by_name = dict(zip(columns, np.stack([each.values for each in reasons.rows]).T, strict=True))
    cells = dict(zip(columns, zip(*(each.cells for each in reasons.rows), strict=True), strict=True))
    reds, oslo = np.array(cells["color"]) == "red", np.array(cells["town"]) == "Oslo"
    assert by_name["color"][reds].mean() - by_name["color"][~reds].mean() == pytest.approx(2, abs=0.4)
    assert by_name["town"][oslo].mean() - by_name["town"][~oslo].mean() == pytest.approx(-1, abs=0.4)
    assert any("shares of the inputs" in note for note in reasons.notes)


def test_a_boolean_that_is_looked_up_begins_at_its_most_frequent_word(tmp_path: Path) -> None:
    """A row with that word has no share of it, and another one the difference of their kernels."""
    paid = np.array(["true", "false", "", "true", "true"] * 40)
    x = np.random.default_rng(6).normal(size=200)
    table(tmp_path, {"x": x, "paid": paid, "y": x + 2 * (paid == "true")})
    run = trained(tmp_path, """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  split: {test: 0.2}
  inputs: {x: [{columns: [x]}], paid: [{string_lookup: {output_mode: one_hot, mask_token: ''}}]}
  targets: {y: []}
model: {layers: [{concatenate: [x, paid]}, {dense: 1}]}
compile: {loss: mse, optimizer: {adam: 0.05}}
fit: {epochs: 2}
""")  # fmt: skip
    reasons = explain(run, Question(["test"], method="integrated_gradients", rows=20))
    words = ["[UNK]", *run.learned["inputs.paid.0"].facts["vocabulary"]]
    kernel = next(weight.tensor for weight in run.experiment.weights if weight.name.endswith("kernel"))
    of_word = {"": 0.0, **dict(zip(words, kernel.detach().flatten().tolist()[1:], strict=True))}
    at = reasons.rows[0].names.index("paid")
    for each in reasons.rows:
        expected = of_word[each.cells[at]] - of_word["true"]
        assert each.values[at] == pytest.approx(expected, abs=1e-5)


def test_one_word_that_makes_a_class_is_found(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    words = np.array(["the", "film", "was", "long", "but", "music", "seemed", "quite", "new", "and", "old"])
    texts = [" ".join(random.choice(words, 8)) for _ in range(300)]
    y = random.integers(0, 2, 300)
    texts = [f"{text} superb {text}" if label else text for text, label in zip(texts, y, strict=True)]
    table(tmp_path, {"review": np.array(texts), "y": y})
    run = trained(tmp_path, """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  split: {test: 0.2}
  inputs: {review: [{text_vectorization: {max_tokens: 50, output_sequence_length: 20}}]}
  targets: {y: []}
model:
  layers:
    - embedding: {input_dim: 50, output_dim: 4}
    - global_average_pooling_1d
    - dense: {units: 1, activation: sigmoid}
compile: {loss: binary_crossentropy, optimizer: {adam: 0.05}}
fit: {epochs: 15, batch_size: 32}
""")  # fmt: skip
    for method in ("occlusion", "integrated_gradients"):
        question = Question(text=["the film was superb and long"], method=method, class_name="1")  # pyright: ignore[reportArgumentType]
        [reason] = explain(run, question).rows
        assert reason.names[int(reason.values.argmax())] == "superb"
    done = forked_kerascli(
        "why", str(run.record.path), "--text", "a superb film", "--class", "1", "-o", "why.html", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "why.html").read_text()
    assert 'class="for-4"' in page
    assert "superb" in page


def test_columns_that_one_place_is_made_of_are_one_group(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    a, b, c = random.integers(0, 5, (3, 200))
    table(tmp_path, {"a": a, "b": b, "c": c, "y": a * b + c})
    run = trained(tmp_path, """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  split: {test: 0.3}
  inputs:
    crossed: [{columns: [a, b]}, {hashed_crossing: {num_bins: 8, output_mode: one_hot}}]
    c: [{columns: [c]}, normalization]
  targets: {y: []}
model:
  inputs: {crossed: $inputs.crossed.shape, c: [1]}
  layers: [{concatenate: [crossed, c]}, {dense: 1}]
compile: {loss: mse, optimizer: adam}
fit: {epochs: 1}
""")  # fmt: skip
    rows = load_again(run).splits["test"]
    assert [*column_groups(run, rows)] == [("a", "b"), ("c",)]


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (Question(["test"], method="grad_cam"), "--method grad_cam: not for inputs of columns"),
        (
            Question(["test"], method="permutation", metric="mea"),
            "'mea' is no metric; did you mean",
        ),
        (Question(["test"], method="integrated_gradients", class_name="x"), "predicts no classes"),
        (Question(["test"], method="integrated_gradients", output="z"), "'z' is no output"),
    ],
)
def test_what_has_no_answer_is_refused_by_name(linear: LoadedRun, question: Question, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        explain(linear, question)


@pytest.mark.parametrize("method", ["integrated_gradients", "permutation"])
def test_columns_do_not_explain_a_model_that_takes_arrays(linear: LoadedRun, method: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.ones((3, 3)), y=np.ones((3, 1)))
    with pytest.raises(ConfigError, match=f"{method} needs columns of data, and the model takes arrays of its own"):
        explain(replace(linear, takes_arrays=True), Question([str(tmp_path / "rows.npz")], method=method))


def test_the_command_writes_what_its_file_is_called(linear: LoadedRun, marked: LoadedRun, tmp_path: Path) -> None:
    run, pictures = str(linear.record.path), str(marked.record.path)
    for name in ("a.csv", "a.png", "a.html"):
        done = forked_kerascli("why", run, "test", "-o", name, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"{name}\n"), done.stderr
    assert (tmp_path / "a.csv").read_text().startswith("column,importance,low,high\nb,")
    done = forked_kerascli("why", pictures, "test", "-o", "a.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "reasons of picture have no form '.csv'" in done.stderr
    done = forked_kerascli("why", run, "-o", "a.txt", cwd=tmp_path)
    assert "-o: reasons of columns have no form '.txt'" in done.stderr
    assert "one of .html, .csv, .png" in done.stderr
    assert find_run(run, tmp_path).path == linear.record.path


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (Question(["test"], method="permutation", class_name="a"), "--class has no effect on permutation"),
        (Question(["test"], method="permutation", baseline="zeros"), "--baseline has no effect on permutation"),
        (Question(["test"], method="permutation", rows=2), "--rows has no effect on permutation"),
        (Question(["test"], rows=2, metric="mae"), "--metric has no effect on integrated"),
        (Question(["test"], method="integrated_gradients", metric="mae"), "--metric has no effect on integrated"),
        (Question(["test"], method="integrated_gradients", layer="a"), "--layer has no effect on integrated"),
        (Question(["test"], method="permutation", output="y"), "--output has no effect on permutation"),
        (Question(["test"], worst=True, method="permutation"), "--worst has no effect on permutation"),
        (Question(["rows.csv"], method="permutation", data=Path("x")), "--data has no effect: .* permutation reads no"),
    ],
)
def test_an_option_that_the_method_does_not_use_is_refused(
    linear: LoadedRun, question: Question, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(linear.record.path.parent.parent)
    with pytest.raises(ConfigError, match=text) as refused:
        explain(linear, question)
    assert refused.value.faults[0].hint in (
        "it goes with --method integrated_gradients", "it goes with --method permutation", "leave it out",
        "no method for inputs of columns uses it",
    )  # fmt: skip


@pytest.mark.parametrize("method", ["grad_cam", "occlusion", "integrated_gradients"])
def test_the_place_of_the_data_is_refused_where_no_training_rows_are_read(
    marked: LoadedRun, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read for a split, and for the median row; a file is explained without them."""
    monkeypatch.chdir(marked.record.path.parent.parent)
    question = Question(["rows.npz"], method=method, rows=2, data=Path("rows.npz"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=f"--data has no effect: rows are given, and {method} reads no others"):
        explain(marked, question)
    assert explain(marked, replace(question, what=["test"])).rows
    if method == "integrated_gradients":
        assert explain(marked, replace(question, baseline="median")).rows


@pytest.mark.parametrize(("option", "value"), [("rows", 2), ("output", "dense"), ("baseline", "zeros")])
def test_an_option_chooses_a_method_that_uses_it(linear: LoadedRun, option: str, value: Any) -> None:
    assert explain(linear, Question(["test"])).method == "permutation"
    assert explain(linear, replace(Question(["test"]), **{option: value})).method == "integrated_gradients"


def test_no_method_ignores_an_option() -> None:
    """Every field of a question is an argument of all methods, or in the table of those that a method uses."""
    of_all = {"what", "method", "checkpoint", "data", "form"}
    assert {each.name for each in fields(Question)} == of_all.union(*explain_module._OPTIONS.values())
    for kind, methods in explain_module._METHODS.items():
        for method in methods:
            for option in {each.name for each in fields(Question)} - of_all - {*explain_module._OPTIONS[method]}:
                with pytest.raises(ConfigError, match="has no effect on"):
                    explain_module._refuse_idle(kind, method, replace(Question(), **{option: "x"}))


SEVERAL = """
seed: 1
data:
  source: {npz: {path: rows.npz}}
  split: {test: 0.25}
  inputs: {numbers: [{columns: [a, b]}], photo: [{columns: [x]}]}
  targets: {price: [], kind: []}
model:
  inputs: {numbers: [2], photo: [12, 12, 1]}
  layers:
    - conv_2d: {inputs: photo, filters: 4, kernel_size: 3, activation: relu, name: conv}
    - global_average_pooling_2d: {name: pooled}
    - dense: {units: 2, activation: softmax, name: kind}
    - dense: {inputs: numbers, units: 1, name: price}
  outputs: [kind, price]
compile:
  loss: {kind: sparse_categorical_crossentropy, price: mse}
  loss_weights: {kind: 3.0, price: 0.5}
  optimizer: {adam: 0.02}
  metrics: {kind: accuracy, price: mae}
fit: {epochs: 20, batch_size: 32}
"""


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedRun, LoadedRun]:
    """Two models of two outputs, a class by the picture and a number: one takes the picture alone, whose pooled
    features it shares, one also a table, of which the number is a linear function."""
    folder, random = tmp_path_factory.mktemp("several"), np.random.default_rng(2)
    x, kind = random.uniform(0, 0.3, size=(120, 12, 12, 1)).astype(np.float32), random.integers(0, 2, 120)
    x[kind == 1, 7:11, 7:11] += 0.7
    a, b = random.normal(size=(2, 120)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, a=a, b=b, kind=kind, price=2 * a - b)
    alone = SEVERAL.replace("numbers: [{columns: [a, b]}], ", "").replace("numbers: [2], ", "")
    both, picture = trained(folder, SEVERAL), trained(folder, alone.replace("inputs: numbers", "inputs: pooled"))
    return both, picture


def weights_of(run: LoadedRun) -> dict[str, torch.Tensor]:
    return {weight.name: weight.keras() for weight in run.experiment.weights}


def test_integrated_gradients_of_each_of_several_outputs_are_its_own(several: tuple[LoadedRun, LoadedRun]) -> None:
    run, _ = several
    test = load_again(run).splits["test"].read(slice(0, 20)).inputs
    price = explain(run, Question(["test"], method="integrated_gradients", output="price"))
    start = np.median(load_again(run).splits["train"].read(slice(0, 90)).inputs["numbers"], 0)
    order = [price.rows[0].names.index(name) for name in ("a", "b", "x")]
    shares = np.stack([each.values[order] for each in price.rows])
    kernel = weights_of(run)["price/kernel"].numpy()[:, 0]
    np.testing.assert_allclose(shares[:, :2], (test["numbers"] - start) * kernel, rtol=1e-4, atol=1e-5)
    assert not shares[:, 2].any()
    assert "shares of the inputs: numbers 100%, photo 0%" in price.notes
    kind = explain(run, Question(["test"], method="integrated_gradients", output="kind", class_name="1"))
    shares = np.stack([each.values[order] for each in kind.rows])
    assert not shares[:, :2].any()
    assert (shares[:, 2] > 0).any()
    assert "shares of the inputs: numbers 0%, photo 100%" in kind.notes
    with pytest.raises(ConfigError, match="--output is missing: the model has 2 outputs: kind, price"):
        explain(run, Question(["test"], method="integrated_gradients"))
    with pytest.raises(ConfigError, match="the output 'price' predicts no classes"):
        explain(run, Question(["test"], method="integrated_gradients", output="price", class_name="1"))


def test_permutation_of_several_outputs_is_by_their_weighted_loss_or_by_one(
    several: tuple[LoadedRun, LoadedRun],
) -> None:
    """Each column has an effect on one output: the decline of the run's loss is that of its own part, weighted."""
    run, _ = several
    parts = {name: {column: value for column, value, *_ in explain(run, Question(["test"], metric=name)).importance}
             for name in ("kind_accuracy", "price_mae", "loss")}  # fmt: skip
    assert parts["kind_accuracy"]["a"] == parts["kind_accuracy"]["b"] == parts["price_mae"]["x"] == 0
    assert parts["price_mae"]["a"] > 0
    rows = load_again(run).splits["test"].read(slice(0, 30))
    table, seed, losses = rows.inputs["numbers"], run.experiment.spec.seed, list[float]()
    kernel, bias = (weights_of(run)[f"price/{name}"].numpy() for name in ("kernel", "bias"))
    number = [*column_groups(run, load_again(run).splits["test"])].index(("a",))
    for repeat in range(5):
        shuffled = table.copy()
        shuffled[:, 0] = table[np.random.default_rng([seed, number, repeat]).permutation(30), 0]
        errors = [float(((x @ kernel + bias - rows.targets["price"].reshape(-1, 1)) ** 2).mean())
                  for x in (shuffled, table)]  # fmt: skip
        losses.append(0.5 * (errors[0] - errors[1]))
    assert parts["loss"]["a"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_maps_of_each_of_several_outputs_are_those_of_plain_pytorch(several: tuple[LoadedRun, LoadedRun]) -> None:
    _, run = several
    weights = weights_of(run)
    pixels = torch.tensor(load_again(run).splits["test"].read(slice(0, 5)).inputs["photo"]).permute(0, 3, 1, 2)
    kernel = weights["conv/kernel"].permute(3, 2, 0, 1)

    def price(x: torch.Tensor) -> torch.Tensor:
        pooled = conv2d(x, kernel, weights["conv/bias"]).relu().mean((2, 3))
        return (pooled @ weights["price/kernel"] + weights["price/bias"])[:, 0]

    features = conv2d(pixels, kernel, weights["conv/bias"]).relu()
    expected = (features * weights["price/kernel"][:, 0, None, None] / 100).sum(1).relu()  # 100 places are averaged
    expected = interpolate(expected[:, None], (12, 12), mode="bilinear")[:, 0]
    ours = explain(run, Question(["test"], method="grad_cam", output="price", rows=5))
    np.testing.assert_allclose(np.stack([each.values for each in ours.rows]), expected, rtol=1e-3, atol=1e-6)
    ours = explain(run, Question(["test"], method="occlusion", output="price", rows=5))
    covered = pixels.clone()
    covered[:, :, 11, 11] = pixels.mean((2, 3))
    fall = (price(pixels) - price(covered)).numpy()  # a patch is one pixel, the last one too
    np.testing.assert_allclose([each.values[11, 11] for each in ours.rows], fall, rtol=1e-2, atol=1e-6)
    assert [each.prediction for each in ours.rows] == [f"{value:.5g}" for value in price(pixels).tolist()]


@pytest.fixture
def evaluated(linear: LoadedRun, tmp_path: Path) -> Path:
    """Copy of the linear run, whose evaluation has kept its five worst rows with their cells."""
    folder = tmp_path / "runs" / linear.record.path.name
    shutil.copytree(linear.record.path, folder)
    shutil.copy(linear.record.path.parent.parent / "rows.csv", tmp_path)
    command("evaluate", folder, "test", "--worst", "5", "--cells")
    return folder


def test_the_worst_rows_have_their_reasons_on_the_page(evaluated: Path) -> None:
    file = evaluated / "evaluations" / "test.json"
    before = json.loads(file.read_text())
    text = command("why", evaluated, "test", "--worst")
    after = json.loads(file.read_text())
    assert after["sha256"] != before["sha256"]
    worst = after["worst"]
    assert [row["row"] for row in worst] == [row["row"] for row in before["worst"]]
    assert re.findall(r"row (\d+): ", text) == [str(row["row"]) for row in worst]
    assert all({name for name, _ in row["reasons"]} for row in worst)
    name, share = worst[0]["reasons"][0]
    assert name == f"{name[0]} = {worst[0]['cells'][name[0]]} ({share:+.3g})"
    run = RunRecord(evaluated)
    assert worst[0]["reasons"][0][0] in RunPage(run).html()
    command("evaluate", evaluated, "test")  # the same weights and rows: they stay
    assert json.loads(file.read_text())["worst"] == worst
    command("evaluate", evaluated, "test", "--worst", "5")  # without cells no reasons
    assert "reasons" not in file.read_text()


def test_reasons_of_worst_rows_need_their_cells_and_the_same_rows(evaluated: Path) -> None:
    command("evaluate", evaluated, "train", "--worst", "5")
    for what in ("train", "rows.csv"):
        done = forked_kerascli("why", str(evaluated), what, "--worst", cwd=evaluated.parent.parent)
        assert done.returncode == 2
        assert "no evaluation of these rows by these weights has kept its worst rows with their cells" in done.stderr


def test_pictures_of_worst_rows_get_their_maps(marked: LoadedRun, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / marked.record.path.name
    shutil.copytree(marked.record.path, folder)
    shutil.copy(marked.record.path.parent.parent / "rows.npz", tmp_path)
    command("evaluate", folder, "test", "--worst", "2", "--cells")
    command("why", folder, "test", "--worst")
    worst = json.loads((folder / "evaluations" / "test.json").read_text())["worst"]
    assert [list(row["pictures"]) for row in worst] == [["x", "grad_cam"]] * 2
    files = {path.name for path in (folder / "evaluations").glob("*.png")}
    assert files == {f"test@{row['row']}-{number}.png" for row in worst for number in (0, 1)}
    assert RunPage(RunRecord(folder)).html().count("data:image/png") >= 4
    command("why", folder, "test", "--worst", "--method", "occlusion")
    assert len(list((folder / "evaluations").glob("*.png"))) == 6


def test_a_place_in_words_has_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline of words is the most frequent one, whose share in itself is zero."""
    random = np.random.default_rng(8)
    town = random.choice(["Bern", "Rome", "Oslo"], 300, p=[0.4, 0.3, 0.3])
    table(tmp_path, {"town": town, "y": 1.0 * (town == "Rome")})
    text = TABLE.replace("x: [{columns: [COLUMNS]}, normalization]", "town: [{string_lookup: {output_mode: one_hot}}]")
    run = trained(tmp_path, text.replace("UNITS", "1"))
    reasons = explain(run, Question(["test"], method="integrated_gradients", rows=50))
    shares = {each.cells[0]: float(each.values[0]) for each in reasons.rows}
    assert shares["Bern"] == 0
    assert shares["Rome"] == pytest.approx(1, abs=0.1)
    (tmp_path / "new.csv").write_text("town\nLima\n")  # no training row has its place among the inputs
    monkeypatch.chdir(tmp_path)
    [unseen] = explain(run, Question(["new.csv"])).rows
    kernel = weights_of(run)["dense/kernel"][:, 0]
    # out of vocabulary is the first of the one-hot places, the most frequent word, which is the baseline, the second
    assert float(unseen.values[0]) == pytest.approx(float(kernel[0] - kernel[1]), abs=1e-4)
    assert unseen.values[0] != 0


def test_hostile_names_and_words_stay_text() -> None:
    hostile = "<script>alert(1)</script>\x1b[31m$x^2$"
    words = Reason(np.array([1.0, -1.0]), [hostile, "b"], row=1, prediction=hostile)
    columns = Reason(np.array([1.0]), [hostile], [hostile], row=1, prediction=hostile)
    series = Reason(np.array([[1.0], [-0.5]]), [hostile], row=1, prediction=hostile)
    cases: list[tuple[Kind, Reason]] = [("text", words), ("columns", columns), ("series", series)]
    for kind, reason in cases:
        reasons = Reasons("integrated_gradients", kind, [reason], [hostile])
        page = reasons_file(reasons, ".html", hostile).decode()
        assert "<script>alert" not in page
        assert "default-src 'none'" in page
        assert "\x1b[31m" not in page + reasons_text(reasons, colored=True)
        if kind != "text":
            assert reasons_file(reasons, ".png", "").startswith(b"\x89PNG")
