"""A metric with several values has a column for each in all outputs."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerascli.config.data import config_facts
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.base import LOSSES
from kerascli.metrics.base import METRICS
from kerascli.report.plots import panels, plot_history
from kerascli.runs.index import find_run
from tests.support.fit_harness import prepare
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import go_on, outcome, train, write
from tests.workflow.test_resume import leave

FLOWERS = """
seed: 5
data:
  source: {{csv: {{path: flowers.csv}}}}
  inputs: {{x: [columns: [a, b]]}}
  targets: {{kind: [string_lookup, to_categorical]}}
model:
  layers: [{{dense: {{units: 3, activation: softmax}}}}]
compile:
  loss: categorical_crossentropy
  metrics: [f1_score, {{recall: {{thresholds: [0.5, 0.25]}}}}]
  weighted_metrics: [f1_score]
fit: {{epochs: 4, batch_size: 4, validation_split: 0.25, callbacks: [{callbacks}]}}
"""
KINDS = ("iris setosa", "versi,color", "virginica")
VALUES = (
    "f1_score_iris_setosa", "f1_score_versi_color", "f1_score_virginica", "recall_0.5", "recall_0.25",
    "weighted_f1_score_iris_setosa", "weighted_f1_score_versi_color", "weighted_f1_score_virginica",
)  # fmt: skip


def flowers(folder: Path, callbacks: str = "") -> Path:
    """Write a config and a table with three kinds of flowers."""
    random = np.random.default_rng(3)
    lines = [f'{i % 3 + random.normal():.3f},{random.normal() - i % 3:.3f},"{KINDS[i % 3]}"' for i in range(64)]
    write(folder, "\n".join(["a,b,kind", *lines, ""]), "flowers.csv")
    return write(folder, FLOWERS.format(callbacks=callbacks))


def test_columns_are_named_by_class_and_by_threshold_in_the_history_and_when_evaluated(tmp_path: Path) -> None:
    run, _ = train(flowers(tmp_path, "csv_logger: log.csv, tensorboard"), tmp_path / "runs")
    rows = run.history()
    assert list(rows[0])[1:-2] == ["loss", *VALUES, "val_loss", *(f"val_{name}" for name in VALUES)]
    assert panels([("run", rows)]) == ["loss", *VALUES]
    drawn = [axes.get_title(loc="left") for axes in plot_history([("run", rows)], ["loss", "val_recall"]).axes]
    assert drawn == ["loss", "recall_0.5", "recall_0.25"]
    assert set(str(run.log("log.csv")).splitlines()[0].split(",")) == {"epoch", *list(rows[0])[1:-2]}
    evaluated = forked_kerascli("evaluate", str(run.path), "--json", cwd=tmp_path)
    assert list(json.loads(evaluated.stdout)["results"]) == ["loss", *VALUES]


def test_each_column_can_be_watched_and_more_is_better(tmp_path: Path) -> None:
    callbacks = (
        "{early_stopping: {monitor: val_f1_score_virginica, patience: 2}}, "
        "{model_checkpoint: {monitor: val_recall_0.25, save_best_only: true}}, "
        "{reduce_lr_on_plateau: {monitor: f1_score_versi_color}}"
    )
    run, _ = train(flowers(tmp_path, callbacks), tmp_path / "runs")
    assert run.history()
    opened = open_config(flowers(tmp_path, callbacks))
    assert describe_config(opened, config_facts(opened)).log_names()["val_recall_0.25"] == "max"


@pytest.mark.parametrize(
    ("callback", "more"),
    [("early_stopping", ""), ("model_checkpoint", ", save_best_only: true"), ("reduce_lr_on_plateau", "")],
)
def test_to_watch_the_whole_metric_is_one_error_that_lists_its_columns(
    tmp_path: Path, callback: str, more: str
) -> None:
    config = flowers(tmp_path, f"{{{callback}: {{monitor: val_recall{more}}}}}")
    with pytest.raises(ConfigError) as caught:
        train(config, tmp_path / "runs")
    assert [fault.text for fault in caught.value.faults] == [
        "'val_recall' has 2 values; monitor one of its columns: val_recall_0.5, val_recall_0.25"
    ]


@pytest.mark.parametrize("stop_at", [5, 12])
def test_a_run_left_in_an_epoch_or_between_two_goes_on_with_the_same_columns(tmp_path: Path, stop_at: int) -> None:
    config = flowers(tmp_path)
    whole, _ = train(config, tmp_path / "whole")
    leave(config, tmp_path / "left", stop_at)
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(whole)


TWO = """
data:
  source: {npz: data.npz}
  inputs: {x: []}
  targets: {kind: [], size: []}
model:
  layers:
    - dense: {units: 3, activation: sigmoid, name: kind, inputs: x}
    - dense: {units: 2, name: size, inputs: x}
  outputs: [kind, size]
compile:
  loss: {kind: binary_crossentropy, size: mse}
  optimizer: {sgd: 0.05}
  metrics:
    kind: [f1_score, {fbeta_score: {beta: 2.0, threshold: 0.4}}, {precision: {thresholds: [0.6, 0.2]}}]
    size: [{r2_score: {class_aggregation: null}}]
fit: {epochs: 2, batch_size: 8}
"""


def test_the_columns_of_two_outputs_are_keras_s_values(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    x, size = random.normal(size=(28, 4)), random.normal(size=(28, 2))
    kind = (random.uniform(size=(28, 3)) < 0.5) * 1.0
    ours = prepare(tmp_path, {"x": x, "kind": kind, "size": size}, TWO)
    quiet: dict[str, Any] = {"verbose": 0}
    keras.utils.set_random_seed(3)
    keras.config.set_floatx("float64")
    try:
        given = keras.Input((4,))
        outputs = {
            "kind": keras.layers.Dense(3, activation="sigmoid", name="kind")(given),
            "size": keras.layers.Dense(2, name="size")(given),
        }
        model = keras.Model(given, outputs)
        metrics = keras.metrics
        model.compile(
            keras.optimizers.SGD(0.05),
            loss={"kind": "binary_crossentropy", "size": "mse"},
            metrics={
                "kind": [
                    metrics.F1Score(), metrics.FBetaScore(beta=2.0, threshold=0.4),
                    metrics.Precision(thresholds=[0.6, 0.2], name="precision"),
                ],
                "size": [metrics.R2Score(class_aggregation=None)],  # pyright: ignore[reportArgumentType]
            },
        )  # fmt: skip
        ours.take_weights(model)
        fitted = model.fit(x, {"kind": kind, "size": size}, shuffle=False, epochs=2, batch_size=8, **quiet)
    finally:
        keras.config.set_floatx("float32")
    got = ours.train().history
    ends = {"kind_f1_score": "012", "kind_fbeta_score": "012", "kind_precision": ("0.6", "0.2"), "size_r2_score": "01"}
    for name, values in ends.items():
        for position, end in enumerate(values):
            wanted = [np.asarray(epoch)[position] for epoch in fitted.history[name]]
            np.testing.assert_allclose(got[f"{name}_{end}"], wanted, rtol=1e-6)  # Keras adds up states in float32
    assert not ends.keys() & got.keys()


def test_an_update_of_its_own_prefixes_its_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, x=np.ones((8, 4)), y=np.eye(2)[[0, 1] * 4])
    text = """
data:
  source: {npz: data.npz}
  inputs: {x: []}
  targets: {y: []}
model:
  layers: [{dense: {units: 2, activation: softmax, name: out}}]
fit:
  epochs: 1
  callbacks: [{early_stopping: {monitor: fit_f1_1, mode: max}}]
  train_step:
    - name: fit
      train: out
      optimizer: adam
      loss: {real: {loss: mse, y_true: targets.y, y_pred: out}}
      metrics: {f1: {metric: f1_score, y_true: targets.y, y_pred: out}}
"""
    run, _ = train(write(tmp_path, text), tmp_path / "runs")
    assert list(run.history()[0])[1:-2] == ["fit_loss", "fit_real", "fit_f1_0", "fit_f1_1"]
    with pytest.raises(ConfigError, match="'fit_f1' has 2 values; monitor one of its columns: fit_f1_0, fit_f1_1"):
        train(write(tmp_path, text.replace("monitor: fit_f1_1", "monitor: fit_f1")), tmp_path / "runs")


@pytest.mark.parametrize(
    ("written", "units", "classes", "columns"),
    [
        ("f1_score", 3, ("a", "b c", "d/e"), ["f1_score_a", "f1_score_b_c", "f1_score_d_e"]),
        ("f1_score", 2, ("a b", "a/b"), ["f1_score_0", "f1_score_1"]),
        ("f1_score", 2, ("a", "b", "c"), ["f1_score_0", "f1_score_1"]),
        ("f1_score", 2, None, ["f1_score_0", "f1_score_1"]),
        ("f1_score", 1, ("no", "yes"), ["f1_score"]),
        ({"f1_score": "macro"}, 3, ("a", "b", "c"), ["f1_score"]),
        ({"r2_score": {"class_aggregation": None, "name": "r"}}, 2, None, ["r_0", "r_1"]),
        ({"recall": {"thresholds": [0.5, 1.0, 1e-5]}}, 1, None, ["recall_0.5", "recall_1", "recall_1e-05"]),
        ({"recall": {"thresholds": [0.5, 0.5]}}, 1, None, ["recall_0", "recall_1"]),
        ({"recall": {"thresholds": [0.5]}}, 1, None, ["recall"]),
    ],
)
def test_values_are_named_by_class_threshold_or_number(
    written: Any, units: int, classes: tuple[str, ...] | None, columns: list[str]
) -> None:
    metric = METRICS.parse(written)
    assert list(metric.columns(metric.log_name(), TensorSpec((units,)), classes)) == columns


def test_the_number_of_values_must_be_known() -> None:
    said = METRICS.parse("f1_score").check(TensorSpec((None,)), TensorSpec((None,)))
    assert (
        said == "'f1_score' has one value per output unit and needs their number, got an output of shape (None, None)"
    )


@pytest.mark.parametrize(("axis", "said"), [
    (3, "axis 3 is none of the 3 axes of the output (None, 4, 5)"),
    ([1, -4], "axis -4 is none of the 3 axes of the output (None, 4, 5)"),
    ([2, -1], "axis [2, -1] names an axis of the output (None, 4, 5) twice"),
    ([1, 2], None),
])  # fmt: skip
@pytest.mark.parametrize(("registry", "name"), [
    (LOSSES, "binary_crossentropy"), (LOSSES, "dice"), (LOSSES, "categorical_crossentropy"),
    (LOSSES, "cosine_similarity"), (METRICS, "cosine_similarity"), (METRICS, "pearson_correlation"),
    (METRICS, "binary_focal_crossentropy"), (METRICS, "categorical_crossentropy"),
])  # fmt: skip
def test_axes_are_those_of_the_output(registry: Any, name: str, axis: int | list[int], said: str | None) -> None:
    spec = TensorSpec((4, 5))
    assert registry.parse({name: {"axis": axis}}).check(spec, spec) == (said and f"'{name}': {said}")


def test_an_axis_of_classes_that_is_not_there_is_reported() -> None:
    for registry in (LOSSES, METRICS):
        said = registry.parse({"sparse_categorical_crossentropy": {"axis": 5}}).check(TensorSpec(()), TensorSpec((3,)))
        assert said == "'sparse_categorical_crossentropy': axis 5 is none of the 2 axes of the output (None, 3)"


def test_every_metric_of_keras_that_may_have_several_values_is_one_here() -> None:
    """Tries each Keras metric with each of its arguments that takes a list, or null."""
    found = set()
    trials: dict[str, Any] = {"thresholds": [0.3, 0.6], "average": None, "class_aggregation": None}
    for cls in METRICS:
        theirs = getattr(keras.metrics, cls.__name__, None)
        for setting, value in trials.items():
            if theirs is None or setting not in cls.model_fields:
                continue
            metric = theirs(**{setting: value})
            metric.update_state(np.eye(3, dtype="float32"), np.full((3, 3), 0.4, "float32"))
            if metric.result().numel() > 1:
                found.add(cls.component_name)
    several = {
        cls.component_name
        for cls in METRICS
        for setting, value in trials.items()
        if setting in cls.model_fields
        and METRICS.parse({cls.component_name: {setting: value}}).value_names(TensorSpec((3,)), None)
    }
    assert several == found
