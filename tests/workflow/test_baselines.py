"""Baselines beside a model, compared with scikit-learn's dummies on the same rows and with closed forms of series."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from sklearn.dummy import DummyClassifier, DummyRegressor

from kerascli.foundation.errors import FileRefused
from kerascli.foundation.events import Evaluated, Event, Note
from kerascli.report.console import evaluation_lines
from kerascli.runs.record import RunRecord
from kerascli.workflow.baselines import no_better
from tests.support.runs_harness import command, edit_facts, train, write

Baselines = dict[str, dict[str, float]]

TABLE = """
seed: 1
data:
  source: {csv: {path: train.csv, test: test.csv}}
  inputs: {x: [{columns: [a, b]}]}
  targets: TARGETS
  sample_weight: WEIGHTS
model: MODEL
compile: COMPILE
fit: {epochs: 1, batch_size: 16}
"""


def table(random: np.random.Generator, rows: int) -> dict[str, list[Any]]:
    """Return columns of a table: numbers, a class of three, a class of two, two labels, weights."""
    a, b = random.normal(size=(2, rows)).round(3).tolist()
    return {
        "a": a,
        "b": b,
        "price": np.exp(random.normal(3, 1, rows)).round(2).tolist(),
        "kind": random.choice(["cat", "dog", "owl"], rows, p=[0.2, 0.5, 0.3]).tolist(),
        "paid": random.choice(["no", "yes"], rows, p=[0.4, 0.6]).tolist(),
        "one": (random.random(rows) < 0.3).astype(int).tolist(),
        "two": (random.random(rows) < 0.7).astype(int).tolist(),
        "weight": random.choice([0.0, 1.0, 2.0], rows).tolist(),
    }


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, dict[str, np.ndarray]]:
    """The columns of train.csv and test.csv, which are written to the test's folder."""
    random = np.random.default_rng(0)
    splits = {"train": table(random, 90), "test": table(random, 53)}
    for name, columns in splits.items():
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        write(tmp_path, "\n".join([*lines, ""]), f"{name}.csv")
    return {name: {key: np.array(column) for key, column in columns.items()} for name, columns in splits.items()}


def run_of(folder: Path, text: str = TABLE, **sections: str) -> tuple[RunRecord, list[Event]]:
    for name, section in {"WEIGHTS": "{}", **sections}.items():
        text = text.replace(name, section)
    return train(write(folder, text), folder / "runs")


def baselines(folder: Path, text: str = TABLE, **sections: str) -> Baselines:
    """Train a config; return its baselines of the test split, which `evaluate` must find again without the data."""
    run, events = run_of(folder, text, **sections)
    (evaluated,) = (event for event in events if isinstance(event, Evaluated))
    shown = json.loads(command("evaluate", run.path, "test", "--json"))["baselines"]
    assert shown == evaluated.baselines == run.facts()["baselines"]["test"]
    return shown


def softmax(units: int, activation: str = "softmax") -> str:
    return f"{{layers: [{{dense: {{units: {units}, activation: {activation}}}}}]}}"


@pytest.mark.parametrize(
    ("pipeline", "loss", "activation"),
    [
        ("string_lookup", "sparse_categorical_crossentropy", "softmax"),
        ("string_lookup", "{sparse_categorical_crossentropy: {from_logits: true}}", "linear"),
        ("string_lookup", "crossentropy", "softmax"),
        ("string_lookup, to_categorical", "categorical_crossentropy", "softmax"),
    ],
)
def test_classes_have_the_frequencies_of_training(
    tmp_path: Path, tables: dict[str, dict[str, np.ndarray]], pipeline: str, loss: str, activation: str
) -> None:
    shown = baselines(
        tmp_path, TARGETS=f"{{kind: [{pipeline}]}}", MODEL=softmax(3, activation),
        COMPILE=f"{{loss: {loss}, optimizer: adam, metrics: [accuracy]}}",
    )  # fmt: skip
    train_rows, test = (tables[name]["kind"] for name in ("train", "test"))
    dummy = DummyClassifier(strategy="prior").fit(train_rows, train_rows)
    assert shown == {
        "majority class dog": {
            "loss": pytest.approx(metrics.log_loss(test, dummy.predict_proba(test)), rel=1e-5),
            "accuracy": pytest.approx(metrics.accuracy_score(test, dummy.predict(test))),
        }
    }


def test_two_classes_have_the_majority_and_an_area_of_one_half(
    tmp_path: Path, tables: dict[str, dict[str, np.ndarray]]
) -> None:
    shown = baselines(
        tmp_path, TARGETS="{paid: [{string_lookup: {positive: 'yes'}}]}", MODEL=softmax(1, "sigmoid"),
        COMPILE="{loss: binary_crossentropy, optimizer: adam, metrics: [accuracy, auc, recall, precision]}",
    )  # fmt: skip
    truth = tables["test"]["paid"] == "yes"
    share = (tables["train"]["paid"] == "yes").mean()
    assert shown == {
        "majority class yes": {
            "loss": pytest.approx(metrics.log_loss(truth, np.full(53, share)), rel=1e-5),
            "accuracy": pytest.approx(truth.mean()),
            "auc": pytest.approx(0.5),
            "recall": 1.0,
            "precision": pytest.approx(truth.mean()),
        }
    }


def test_several_labels_have_the_frequency_of_each(tmp_path: Path, tables: dict[str, dict[str, np.ndarray]]) -> None:
    shown = baselines(
        tmp_path, TARGETS="{tags: [{columns: [one, two]}]}", MODEL=softmax(2, "sigmoid"),
        COMPILE="{loss: binary_crossentropy, optimizer: adam, metrics: [binary_accuracy]}",
    )  # fmt: skip
    truth, known = (np.stack([tables[name]["one"], tables[name]["two"]], 1) for name in ("test", "train"))
    losses = [metrics.log_loss(truth[:, index], np.full(53, known[:, index].mean())) for index in range(2)]
    assert shown["frequency of each label"]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert shown["frequency of each label"]["binary_accuracy"] == pytest.approx((truth == [0, 1]).mean())


def test_numbers_have_the_mean_in_the_scale_of_the_target(
    tmp_path: Path, tables: dict[str, dict[str, np.ndarray]]
) -> None:
    shown = baselines(
        tmp_path, TARGETS="{price: [log, normalization]}", MODEL=softmax(1, "linear"),
        COMPILE="{loss: mse, optimizer: adam, metrics: [mae, r2_score]}",
    )  # fmt: skip
    train_rows, test = (np.log(tables[name]["price"]) for name in ("train", "test"))
    known, truth = ((values - train_rows.mean()) / train_rows.std() for values in (train_rows, test))
    predicted = DummyRegressor().fit(known, known).predict(truth)
    assert shown == {
        "training mean": {
            "loss": pytest.approx(metrics.mean_squared_error(truth, predicted), rel=1e-5),
            "mae": pytest.approx(metrics.mean_absolute_error(truth, predicted), rel=1e-5),
            "r2_score": pytest.approx(metrics.r2_score(truth, predicted), abs=1e-5),
        }
    }


def test_weights_count_in_the_mean_and_in_the_loss(tmp_path: Path, tables: dict[str, dict[str, np.ndarray]]) -> None:
    shown = baselines(
        tmp_path, TARGETS="{price: []}", WEIGHTS="{price: [{columns: weight}]}", MODEL=softmax(1, "linear"),
        COMPILE="{loss: mae, optimizer: adam, weighted_metrics: [mae]}",
    )  # fmt: skip
    known, test = tables["train"], tables["test"]
    dummy = DummyRegressor().fit(known["price"], known["price"], sample_weight=known["weight"])
    errors = metrics.mean_absolute_error(test["price"], dummy.predict(test["price"]), sample_weight=test["weight"])
    assert shown["training mean"]["mae"] == pytest.approx(errors, rel=1e-5)
    assert shown["training mean"]["loss"] == pytest.approx(errors * test["weight"].mean(), rel=1e-5)  # as Keras does


def test_several_outputs_share_a_line(tmp_path: Path, tables: dict[str, dict[str, np.ndarray]]) -> None:
    shown = baselines(
        tmp_path, TARGETS="{kind: [string_lookup], price: [{rescaling: 0.01}]}",
        MODEL="""
  layers:
    - dense: {units: 3, activation: softmax, inputs: x, name: kind}
    - dense: {units: 1, inputs: x, name: price}
  outputs: [kind, price]""",
        COMPILE="""
  loss: {kind: sparse_categorical_crossentropy, price: mse}
  loss_weights: {price: 0.5}
  metrics: {kind: [accuracy]}""",
    )  # fmt: skip
    values = shown["majority class dog, training mean"]
    assert list(values) == ["loss", "kind_loss", "price_loss", "kind_accuracy"]
    assert values["loss"] == pytest.approx(values["kind_loss"] + 0.5 * values["price_loss"], rel=1e-5)
    assert values["kind_accuracy"] == pytest.approx((tables["test"]["kind"] == "dog").mean())


def test_pixels_have_the_majority_class_of_all_pixels(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    arrays = {
        f"{name}_{split}": values
        for split, rows in (("train", 20), ("test", 9))
        for name, values in (
            ("image", random.random((rows, 4, 4, 1)).astype("float32")),
            ("mask", random.choice(3, (rows, 4, 4), p=[0.5, 0.2, 0.3])),
        )
    }
    for split in ("train", "test"):
        np.savez(tmp_path / f"{split}.npz", image=arrays[f"image_{split}"], mask=arrays[f"mask_{split}"])
    text = """
data:
  source: {npz: {path: train.npz, test: test.npz}}
  inputs: {image: []}
  targets: {mask: []}
model: {layers: [{conv_2d: {filters: 3, kernel_size: 1, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy]}
fit: {epochs: 1, batch_size: 4}
"""
    shares = np.bincount(arrays["mask_train"].ravel()) / arrays["mask_train"].size
    values = baselines(tmp_path, text)["majority class 0"]
    assert values["loss"] == pytest.approx(-np.log(shares)[arrays["mask_test"]].mean(), rel=1e-5)
    assert values["accuracy"] == pytest.approx((arrays["mask_test"] == 0).mean())


SERIES = """
data:
  source: {timeseries: {source: {csv: {path: train.csv, test: test.csv}}, sequence_length: LENGTH, horizon: HORIZON}}
  inputs: {sold: [], day: [{columns: DAY}, {datetime: {parts: [weekday]}}]}
  targets: {sold_next: [{rescaling: 0.1}]}
model:
  layers:
    - flatten: {inputs: sold, name: a}
    - flatten: {inputs: day, name: b}
    - concatenate: [a, b]
    - dense: {units: HORIZON}
    - reshape: SHAPE
compile: {loss: mse, optimizer: adam, metrics: [mae]}
fit: {epochs: 1, batch_size: 8}
"""


def series(folder: Path, step: str, length: int, horizon: int = 1, day: str = "day") -> tuple[np.ndarray, Baselines]:
    """Train on a made-up series of dates that are `step` apart; return (values of the test, its baselines)."""
    sold = np.random.default_rng(2).integers(10, 99, 100)
    days = np.datetime64("2020-01-01", step[-1]) + np.arange(100) * int(step[:-1])
    for name, rows in (("train", slice(0, 60)), ("test", slice(60, 100))):
        lines = [f"{day},{value}" for day, value in zip(days[rows], sold[rows], strict=True)]
        write(folder, "\n".join(["day,sold", *lines, ""]), f"{name}.csv")
    shape = "[1]" if horizon == 1 else f"[{horizon}, 1]"
    return sold[60:], baselines(folder, SERIES, LENGTH=str(length), HORIZON=str(horizon), DAY=day, SHAPE=shape)


@pytest.mark.parametrize(
    ("step", "season", "name", "horizon", "day"),
    [
        ("1D", 7, "value a week before", 1, "day"),
        ("1D", 7, "value a week before", 9, "day"),
        ("1h", 24, "value a day before", 1, "day_next"),
        ("1M", 12, "value a year before", 1, "day"),
        ("3M", 4, "value a year before", 3, "day_next"),
    ],
)
def test_a_series_has_its_last_value_and_that_of_a_season_before(
    tmp_path: Path, step: str, season: int, name: str, horizon: int, day: str
) -> None:
    sold, shown = series(tmp_path, step, 24, horizon, day)
    assert list(shown) == ["last value", name]
    last = np.arange(23, 40 - horizon)[:, None]  # known rows
    rows = last + 1 + np.arange(horizon)
    for baseline, known in (("last value", last), (name, rows - -(-(rows - last) // season) * season)):
        error = 0.1 * (sold[rows] - sold[known])
        assert shown[baseline]["loss"] == pytest.approx(np.square(error).mean(), rel=1e-5)
        assert shown[baseline]["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)


@pytest.mark.parametrize(("step", "length"), [("1D", 6), ("2D", 28)])
def test_a_season_that_no_window_holds_or_no_step_suggests_is_left_out(tmp_path: Path, step: str, length: int) -> None:
    assert list(series(tmp_path, step, length)[1]) == ["last value"]


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"TARGETS": "{x: [{columns: [a, b]}]}", "MODEL": softmax(2, "linear")}, "the target is the input"),
        ({"TARGETS": "{one: []}", "MODEL": softmax(1, "tanh"), "LOSS": "hinge"}, "no constant is a margin"),
        (
            {
                "TARGETS": "{price: []}",
                "MODEL": softmax(1, "linear"),
                "LOSS": "{expr: 'mean(square(y_true - y_pred), axis=-1)'}",
            },
            "a loss that only the user knows",
        ),
    ],
)
def test_a_model_without_a_meaningful_baseline_has_none(
    tmp_path: Path, tables: dict[str, dict[str, np.ndarray]], sections: dict[str, str], why: str
) -> None:
    sections = {"COMPILE": f"{{loss: {sections.get('LOSS', 'mse')}, optimizer: adam}}", **sections}
    assert baselines(tmp_path, **sections) == {}, why


def test_several_updates_have_none(tmp_path: Path) -> None:
    text = """
data:
  source: {blobs: {rows: 60, features: 4, classes: 3, seed: 1}}
  split: {test: 0.3}
  inputs: {x: []}
model:
  shared: {net: {layers: [{dense: 1}]}}
  layers: [{net: {inputs: x, name: score}}]
fit:
  epochs: 1
  train_step:
    - name: only
      train: net
      optimizer: adam
      layers: [{net: {inputs: x, name: own}}]
      loss: {own: {loss: mse, y_true: 1, y_pred: own}}
"""
    assert baselines(tmp_path, text) == {}


def test_masked_outputs_have_none(tmp_path: Path) -> None:
    ids = np.random.default_rng(3).integers(0, 4, (40, 5))
    for split in ("train", "test"):
        np.savez(tmp_path / f"{split}.npz", ids=ids, tags=ids)
    text = """
data:
  source: {npz: {path: train.npz, test: test.npz}}
  inputs: {ids: []}
  targets: {tags: []}
model:
  layers:
    - embedding: {input_dim: 4, output_dim: 3, mask_zero: true}
    - dense: {units: 4, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam}
fit: {epochs: 1, batch_size: 8}
"""
    assert baselines(tmp_path, text) == {}


def test_a_run_without_means_has_none_and_damaged_means_are_refused(
    tmp_path: Path, tables: dict[str, dict[str, np.ndarray]]
) -> None:
    run, _ = run_of(tmp_path, TARGETS="{price: []}", MODEL=softmax(1, "linear"), COMPILE="{loss: mse}")
    (tmp_path / "train.csv").unlink()  # a file needs none of the training data
    assert "(training mean)" in command("evaluate", run.path, tmp_path / "test.csv")
    edit_facts(run.path, target_means={})
    assert "baseline" not in command("evaluate", run.path, tmp_path / "test.csv")
    edit_facts(run.path, target_means={"dense": "a lot"})
    with pytest.raises(FileRefused, match=r"'target_means\.dense' cannot be the text 'a lot'"):
        command("evaluate", run.path, tmp_path / "test.csv")


def test_a_model_that_is_no_better_is_reported(tmp_path: Path, tables: dict[str, dict[str, np.ndarray]]) -> None:
    sections = {"TARGETS": "{price: []}", "MODEL": softmax(1, "linear"), "COMPILE": "{loss: mse, metrics: [mae]}"}
    notes = [event for event in run_of(tmp_path, **sections)[1] if isinstance(event, Note) and event.level == "warning"]
    assert [note.text for note in notes] == ["on 'test' the model is no better than a baseline: training mean"]
    assert "docs/bad_model.md" in notes[0].below[0]


@pytest.mark.parametrize(
    ("loss", "auc", "expected"), [(0.7, 0.4, True), (0.6, 0.4, False), (0.7, 0.6, False), (float("nan"), 0.5, True)]
)
def test_no_better_means_in_no_loss_or_metric(loss: float, auc: float, expected: bool) -> None:
    evaluated = Evaluated("test", {"loss": loss, "auc": auc}, 9, 0.0, {"majority class a": {"loss": 0.65, "auc": 0.5}})
    assert bool(list(no_better(evaluated, {"loss": "min", "auc": "max"}))) == expected


def test_baselines_are_in_columns_below_the_split() -> None:
    logs, values = {"loss": 0.17422, "mae": 12345.6}, {"loss": 10.5, "mae": 99.0}
    assert evaluation_lines("test", logs, {"last value": values}, "(9 rows)") == [
        "test      loss 0.1742   mae 12,345.6  (9 rows)",
        "baseline  loss 10.5000  mae 99.0000   (last value)",
    ]
    assert evaluation_lines("test", logs, {}, "(9 rows)") == ["test  loss 0.1742  mae 12,345.6  (9 rows)"]
