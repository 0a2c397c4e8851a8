"""Losses and metrics with list arguments have Keras's values after import and export."""

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import losses, metrics
from keras.src.losses.losses import LossFunctionWrapper  # what a loss of a function is to Keras; it has no other name

from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.keras_import_harness import rows, save, shake

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2

FLAT: list[tuple[Any, list[Any]]] = [
    ("binary_crossentropy", [metrics.F1Score(), metrics.FBetaScore(beta=2.0, threshold=0.4, name="twice")]),
    (losses.Dice(), [metrics.Precision(thresholds=[0.6, 0.3]), metrics.Recall(thresholds=[0.5, 0.2], class_id=1)]),
    (losses.Tversky(alpha=0.2, beta=0.7), [
        metrics.TruePositives(thresholds=[0.2, 0.5, 0.7]), metrics.TrueNegatives(thresholds=[0.5]),
        metrics.FalsePositives(thresholds=[0.9, 0.1]), metrics.FalseNegatives(thresholds=[0.0, 0.5, 1.0]),
    ]),
    (losses.BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.7, gamma=1.5), [
        metrics.R2Score(class_aggregation=None, name="r"),  # pyright: ignore[reportArgumentType]
    ]),
    (LossFunctionWrapper(losses.huber, reduction="sum", delta=0.1), [
        metrics.MeanMetricWrapper(metrics.binary_crossentropy, name="b", label_smoothing=0.3),
    ]),
    (losses.CategoricalFocalCrossentropy(alpha=[0.2, 0.5, 0.3]), [metrics.F1Score(average="weighted")]),  # pyright: ignore[reportArgumentType]
]  # fmt: skip
TWO: Any = (1, 2)
DEEP: list[tuple[Any, list[Any]]] = [
    (losses.Dice(axis=(1, 2)), [metrics.PearsonCorrelation(axis=TWO), metrics.Precision(thresholds=[0.4, 0.6])]),
    (losses.Tversky(axis=[-1]), [metrics.ConcordanceCorrelation(axis=TWO), "binary_accuracy"]),
    (losses.BinaryCrossentropy(axis=TWO), ["mae"]),
]


def _model(deep: bool) -> Any:
    x = keras.Input((4,), name="x")
    y: Any = L.Dense(6 if deep else 3, activation="sigmoid", name="y")(x)
    return keras.Model(x, L.Reshape((2, 3), name="grid")(y) if deep else y)


def _of(logs: Any, name: str) -> list[float]:
    """Return the values of a metric of ours."""
    return [value for column, value in logs.items() if column == name or column.startswith(f"{name}_")]


@pytest.mark.parametrize(
    ("deep", "loss", "wanted"), [(False, *each) for each in FLAT] + [(True, *each) for each in DEEP]
)
def test_values_are_keras_s_after_import_and_after_export(
    deep: bool, loss: Any, wanted: list[Any], tmp_path: Path
) -> None:
    model = _model(deep)
    shake(model)
    model.compile("sgd", loss=loss, metrics=wanted)
    x = rows(model)["x"]
    y = (np.random.default_rng(5).uniform(size=(len(x), *model.output_shape[1:])) < 0.5).astype("float32")
    theirs = model.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)
    np.savez(tmp_path / "rows.npz", allow_pickle=False, **{"x": x, model.output_names[0]: y})  # type: ignore[arg-type]
    record = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record
    run = open_run(record, device="cpu")
    logs = evaluate_rows(run, rows_of(run, str(tmp_path / "rows.npz"), targets=True), "rows").result.logs
    for name, value in theirs.items():
        np.testing.assert_allclose(_of(logs, name), np.ravel(value), atol=1e-5, err_msg=name)
    found = export_run(record, "keras", tmp_path / "back.keras")
    assert found.notes == ()
    back: Any = keras.models.load_model(tmp_path / "back.keras")
    again = back.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)
    assert list(again) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(again[name], value, atol=1e-5, err_msg=name)


def test_settings_that_keras_does_not_write_are_those_that_the_docs_name() -> None:
    needed: dict[str, Any] = {"num_classes": 3, "target_class_ids": [1], "fn": "mse"}
    lost = set()
    for module in (losses, metrics):
        classes = [
            each for name, each in vars(module).items() if inspect.isclass(each) and name not in {"Loss", "Metric"}
        ]
        for each in classes:
            cls: Any = each
            parameters = inspect.signature(cls).parameters.items()
            config = cls(
                **{n: needed.get(n, 0.5) for n, p in parameters if p.default is p.empty and n != "kwargs"}
            ).get_config()
            given = [n for n, _ in parameters if n not in config and n not in {"dtype", "kwargs", "name", "fn"}]
            lost |= {(cls.__name__, name) for name in given}
    assert metrics.AUC(thresholds=[0.5]).get_config()["thresholds"]  # written where it is given
    assert lost - {("AUC", "thresholds")} == {
        ("CosineSimilarity", "axis"), ("Huber", "delta"), ("SparseCategoricalCrossentropy", "axis"),
        ("SparseTopKCategoricalAccuracy", "from_sorted_ids"),
    }  # fmt: skip
