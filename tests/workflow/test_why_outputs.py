"""Reasons of models of several outputs and inputs over series and texts, beside closed forms; flattened pictures."""

import csv
from pathlib import Path

import numpy as np
import pytest

from kerascli.foundation.errors import ConfigError
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.rows.command_rows import load_again
from kerascli.workflow.why.by_columns import median_row
from kerascli.workflow.why.explain import Question, explain
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import command, train, write

SERIES = """
seed: 1
data:
  source: {timeseries: {source: {csv: {path: series.csv}}, sequence_length: 4, offset: 3}}
  split: {test: 0.2, order: t_next}
  inputs: {x: [{columns: [a, b]}, normalization]}
  targets: {y_next: [], kind_next: [string_lookup]}
model:
  layers:
    - flatten: {inputs: x, name: flat}
    - dense: {inputs: flat, units: 1, name: y_next}
    - dense: {inputs: flat, units: 2, activation: softmax, name: kind_next}
  outputs: [y_next, kind_next]
compile:
  loss: {y_next: mse, kind_next: sparse_categorical_crossentropy}
  optimizer: {adam: 0.05}
  metrics: {y_next: mae, kind_next: accuracy}
fit: {epochs: 12, batch_size: 32}
"""
TEXTS = """
seed: 1
data:
  source: {csv: {path: texts.csv}}
  split: {test: 0.2}
  shared: {words: {text_vectorization: {max_tokens: 40, output_sequence_length: 6}}}
  inputs: {title: [words], review: [words], age: [{columns: [age]}, normalization]}
  targets: {stars: [], kind: [string_lookup]}
model:
  shared: {vectors: {embedding: {input_dim: 40, output_dim: 5}}}
  inputs: {title: [6], review: [6], age: [1]}
  layers:
    - vectors: {inputs: title, name: of_title}
    - vectors: {inputs: review, name: of_review}
    - global_average_pooling_1d: {inputs: of_title, name: mean_title}
    - global_average_pooling_1d: {inputs: of_review, name: mean_review}
    - concatenate: {inputs: [mean_title, mean_review, age], name: all}
    - dense: {inputs: all, units: 1, name: stars}
    - dense: {inputs: all, units: 2, activation: softmax, name: kind}
  outputs: [stars, kind]
compile:
  loss: {stars: mse, kind: sparse_categorical_crossentropy}
  optimizer: {adam: 0.03}
  metrics: {stars: mae, kind: accuracy}
fit: {epochs: 15, batch_size: 32}
"""
ALONE = {"title: [words], ": "", ", age: [{columns: [age]}, normalization]": "", "title: [6], ": "", ", age: [1]": "",
         "    - concatenate: {inputs: [mean_title, mean_review, age], name: all}\n": "",
    "inputs: all": "inputs: mean_review",
         "    - vectors: {inputs: title, name: of_title}\n": "",
         "    - global_average_pooling_1d: {inputs: of_title, name: mean_title}\n": ""}  # fmt: skip
"""Changes to the texts of two columns and a number so that one text is the only input."""


def trained(folder: Path, name: str, text: str, rows: list[dict[str, object]]) -> LoadedRun:
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return open_run(train(write(folder, text), folder / "runs")[0])


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """A number of the last step of `a` and the last but two of `b`, and a class of the last but one of `b`."""
    a, b = np.random.default_rng(0).normal(size=(2, 400))
    rows = [{"t": t, "a": a[t], "b": b[t], "y": 2 * a[t] - b[t - 2], "kind": "up" if b[t - 1] > 0 else "down"}
            for t in range(400)]  # fmt: skip
    return trained(tmp_path_factory.mktemp("series"), "series.csv", SERIES, rows)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedRun, LoadedRun]:
    """Two models of two outputs, a number by a word of the review and a class by one of the title: one of title, review
    and a number, whose embedding is shared; one of the review alone, which knows nothing of the class."""
    random, folder = np.random.default_rng(1), tmp_path_factory.mktemp("texts")
    words, rows = ["the", "film", "was", "long", "but", "music", "seemed", "quite", "new"], list[dict[str, object]]()
    for _ in range(300):
        superb, funny, age = int(random.integers(2)), int(random.integers(2)), int(random.integers(5, 80))
        title, review = random.choice(words, 3), random.choice(words, 5)
        title[1], review[2] = "comedy" if funny else title[1], "superb" if superb else review[2]
        rows.append({"title": " ".join(title), "review": " ".join(review), "age": age, "stars": 2 * superb + age / 50,
                     "kind": "funny" if funny else "sad"})  # fmt: skip
    alone = TEXTS
    for old, new in ALONE.items():
        alone = alone.replace(old, new)
    both = trained(folder, "texts.csv", TEXTS, rows)
    return both, trained(folder, "texts.csv", alone, rows)


def weights_of(run: LoadedRun) -> dict[str, np.ndarray]:
    return {weight.name: weight.keras().detach().numpy() for weight in run.experiment.weights}


def shares_of_a_line(parts: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the closed form of integrated gradients of the logistic function of a sum: each part of the difference of
    the sum from `start` (rows, 1) has that share of the difference of the function."""
    total = parts.reshape(len(parts), -1).sum(1)
    ends = 1 / (1 + np.exp(-(start + total))), 1 / (1 + np.exp(-start))
    return parts * ((ends[0] - ends[1]) / total).reshape(-1, *[1] * (parts.ndim - 1))


def test_steps_and_columns_of_each_output_of_a_series_have_their_closed_form(series: LoadedRun) -> None:
    x = load_again(series).splits["test"].read(slice(0, 20)).inputs["x"]
    start = median_row(series, load_again(series).splits["train"]).inputs["x"]
    weights = weights_of(series)
    number = explain(series, Question(["test"], output="y_next"))
    parts = (x - start) * weights["y_next/kernel"].reshape(4, 2)
    assert number.kind == "series"
    assert number.rows[0].names == ["a", "b"]
    np.testing.assert_allclose([each.values for each in number.rows], parts, atol=1e-5)
    size = np.abs(np.stack([each.values for each in number.rows])).mean(0)
    assert {*map(tuple, np.argwhere(size > 0.1).tolist())} == {(3, 0), (1, 1)}
    kind = explain(series, Question(["test"], output="kind_next", class_name="up"))
    up = (load_again(series).facts.targets["kind_next"].classes or ()).index("up")
    kernel, bias = (weights[f"kind_next/{name}"] @ np.array([1.0, -1.0]) * (-1) ** up for name in ("kernel", "bias"))
    parts = (x - start) * kernel.reshape(4, 2)
    expected = shares_of_a_line(parts, (start.reshape(-1) @ kernel + bias).reshape(()))
    np.testing.assert_allclose([each.values for each in kind.rows], expected, atol=2e-3)
    assert all(each.values.argmax() == 5 for each in kind.rows if each.values.max() > 0.3)  # `b` at step 3


def importance(run: LoadedRun, metric: str) -> dict[str, float]:
    """Return the permutation importance of each column by a metric."""
    return {column: value for column, value, *_ in explain(run, Question(["test"], metric=metric)).importance}


def test_permutation_of_a_series_is_by_the_metric_of_an_output(series: LoadedRun, tmp_path: Path) -> None:
    by_metric = {name: importance(series, name) for name in ("y_next_mae", "kind_next_accuracy")}
    assert by_metric["y_next_mae"]["a"] > by_metric["y_next_mae"]["b"] > 0.3
    assert by_metric["kind_next_accuracy"]["b"] > 0.2 > 5 * abs(by_metric["kind_next_accuracy"]["a"])
    run = series.record.path
    for name in ("a.png", "a.html", "a.csv"):
        assert command("why", run, "test", "--output", "kind_next", "--rows", 2, "-o", tmp_path / name)
    lines = list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))
    assert [line[:3] for line in lines[1:4]] == [["1", "1", "a"], ["1", "1", "b"], ["1", "2", "a"]]
    assert len(lines) == 1 + 2 * 4 * 2


def test_words_of_each_output_have_their_closed_form_by_both_methods(texts: tuple[LoadedRun, LoadedRun]) -> None:
    """The model takes the mean of the vectors of six words, so a word's share is a sixth of the difference between its
    vector and that of padding, times the kernel."""
    _, run = texts
    weights = weights_of(run)
    ids = load_again(run).splits["test"].read(slice(0, 20)).inputs["review"]
    vectors = weights["vectors/embeddings"]
    expected = ((vectors[ids] - vectors[0]) @ weights["stars/kernel"])[:, :5, 0] / 6
    for method in ("occlusion", "integrated_gradients"):
        reasons = explain(run, Question(["test"], output="stars", method=method))  # pyright: ignore[reportArgumentType]
        np.testing.assert_allclose([each.values for each in reasons.rows], expected, atol=1e-5)
        assert [each.names[2] for each in reasons.rows if each.values.max() > 1.5] == ["superb"] * sum(
            "superb" in each.names for each in reasons.rows
        )
    kind = explain(run, Question(["test"], output="kind"))
    assert {each.prediction.split()[0] for each in kind.rows} <= {"funny", "sad"}
    with pytest.raises(ConfigError, match="--output is missing: the model has 2 outputs: stars, kind"):
        explain(run, Question(text=["a superb film"]))
    with pytest.raises(ConfigError, match="texts have no median"):
        explain(run, Question(["test"], output="kind", baseline="median", method="integrated_gradients"))


BAG = """
seed: 1
data:
  source: {csv: {path: bag.csv}}
  inputs: {text: [{text_vectorization: {output_mode: MODE}}]}
  targets: {y: []}
model: {layers: [{dense: {units: 1, name: y}}]}
compile: {loss: mse, optimizer: {adam: 0.05}}
fit: {epochs: 2}
"""


@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf", "frequency"])
def test_the_shares_of_a_bag_of_words_are_of_its_words(mode: str, tmp_path: Path) -> None:
    lines = ["a dull film", "a great film", "great great film", "dull"]
    (tmp_path / "bag.csv").write_text("text,y\n" + "".join(f"{line},{number}\n" for number, line in enumerate(lines)))
    run = open_run(train(write(tmp_path, BAG.replace("MODE", mode)), tmp_path / "runs")[0])
    reasons = explain(run, Question(["train"], method="integrated_gradients"))
    assert [{*each.names} for each in reasons.rows] == [{*line.split()} for line in lines]
    kernel = weights_of(run)["y/kernel"][:, 0]
    values = load_again(run).splits["train"].read(slice(0, 4)).inputs["text"] * kernel
    for own, parts in zip(reasons.rows, values, strict=True):
        np.testing.assert_allclose(own.values, parts[parts != 0], atol=1e-5)


DAYS = """
seed: 1
data:
  source: {timeseries: {source: {csv: {path: days.csv}}, sequence_length: 3}}
  inputs: {n: [], date: [{datetime: {parts: [weekday], cyclic: true}}]}
  targets: {n_next: []}
model: {layers: [{concatenate: [n, date]}, {gru: 2}, {dense: 1}]}
compile: {loss: mse, optimizer: adam}
fit: {epochs: 1}
"""


def test_windows_of_dates_are_replaced_by_the_most_frequent_date_of_each_step(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02d},{day}\n" for day in range(1, 20)]
    (tmp_path / "days.csv").write_text("date,n\n" + "".join(days))
    run, _ = train(write(tmp_path, DAYS), tmp_path / "runs")
    assert "date" in command("why", run.path, "train", "--rows", 2)


def test_inputs_that_share_an_embedding_have_each_their_own_share(texts: tuple[LoadedRun, LoadedRun]) -> None:
    run, _ = texts
    weights, prepared = weights_of(run), load_again(run)
    rows, start = prepared.splits["test"].read(slice(0, 20)), median_row(run, prepared.splits["train"])
    vectors, changes = weights["vectors/embeddings"], list[np.ndarray]()
    for name in ("title", "review"):
        changes.append((vectors[rows.inputs[name]] - vectors[start.inputs[name]]).mean(1))
    changes.append(rows.inputs["age"] - start.inputs["age"])
    kernel = np.split(weights["stars/kernel"][:, 0], [5, 10])
    reasons = explain(run, Question(["test"], output="stars"))
    assert reasons.rows[0].names == ["title", "review", "age"]
    expected = np.stack([change @ own for change, own in zip(changes, kernel, strict=True)], 1)
    np.testing.assert_allclose([each.values for each in reasons.rows], expected, atol=1e-4)
    by_kind = importance(run, "kind_accuracy")
    assert by_kind["title"] > 0.3 > abs(by_kind["review"]) + abs(by_kind["age"])
    with pytest.raises(ConfigError, match="--method occlusion: not for inputs of columns"):
        explain(run, Question(["test"], output="stars", method="occlusion"))


WINDOWS = {
    "inputs: {x: [{columns: [a, b]}, normalization]}": "inputs: {a: [], b: [], t: [{columns: t_next}]}",
    "    - flatten: {inputs: x, name: flat}\n": """
    - flatten: {inputs: a, name: fa}
    - flatten: {inputs: b, name: fb}
    - concatenate: {inputs: [fa, fb], name: flat}
    - expr: {value: "0 * sum(t) + flat", name: seen}
""",
    "inputs: flat, units": "inputs: seen, units",
    "model:\n": "model:\n  inputs: {a: [4, 1], b: [4, 1], t: []}\n",
}
"""Changes to the series so that its columns are inputs of their own, beside a number of the last row."""


def test_windows_beside_other_inputs_show_their_values(series: LoadedRun) -> None:
    folder = series.record.path.parent.parent
    text = SERIES
    for old, new in WINDOWS.items():
        text = text.replace(old, new)
    (folder / "windows").mkdir()
    (folder / "windows/series.csv").write_text((folder / "series.csv").read_text())
    run = open_run(train(write(folder / "windows", text), folder / "windows/runs")[0])
    [reason] = explain(run, Question(["test"], output="y_next", rows=1)).rows
    window = load_again(run).splits["test"].read(slice(0, 1)).inputs["a"].reshape(-1)
    assert reason.cells[reason.names.index("a")] == " ".join(f"{value:.6g}" for value in window)


PICTURES = """
seed: 2
data:
  source: {npz: {path: rows.npz}}
  inputs: {x: [{rescaling: 0.00392156862}, {reshape: [144]}]}
  targets: {y: []}
  split: {test: 0.25}
model: {layers: [{dense: {units: 8, activation: relu}}, {dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.02}, metrics: [accuracy]}
fit: {epochs: 12, batch_size: 32}
"""


def test_pictures_that_the_data_has_flattened_get_their_maps(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    x, y = random.integers(0, 60, size=(200, 12, 12)).astype(np.uint8), random.integers(0, 2, 200)
    x[y == 1, 7:11, 7:11] += 180
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    run = open_run(train(write(tmp_path, PICTURES), tmp_path / "runs")[0])
    reasons = explain(run, Question(["test"], class_name="1"))
    assert (reasons.kind, reasons.method) == ("picture", "integrated_gradients")  # there is no convolution
    for method in ("integrated_gradients", "occlusion"):
        for each in explain(run, Question(["test"], class_name="1", method=method)).rows:  # pyright: ignore[reportArgumentType]
            assert each.picture is not None
            assert each.picture.shape == (12, 12, 1)
            if each.picture[7:11, 7:11].mean() > 0.5:
                shares = np.clip(each.values, 0, None)
                assert shares[6:, 6:].sum() > 0.6 * shares.sum()
    with pytest.raises(ConfigError, match="grad_cam: the model has no convolution over pictures"):
        explain(run, Question(["test"], method="grad_cam"))
    note = "there is one column: --method integrated_gradients shows the shares of its values"
    assert note in explain(run, Question(["test"], method="permutation")).notes
    done = forked_kerascli("why", str(run.record.path), "test", "-o", "why.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "why.html").read_text().count("data:image/png") == 20
