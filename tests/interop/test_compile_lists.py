"""Losses and metrics given as lists and mappings in a Keras file have Keras's values after import."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.keras_import_harness import rows, save, shake

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2


def one_output() -> Any:
    x = keras.Input((4,), name="x")
    return keras.Model(x, L.Dense(2, name="a")(x))


def list_of_one_output() -> Any:
    x = keras.Input((4,), name="x")
    return keras.Model(x, [L.Dense(2, name="a")(x)])


def two_outputs() -> Any:
    x = keras.Input((4,), name="x")
    return keras.Model(x, [L.Dense(2, name="a")(x), L.Dense(3, name="b")(x)])


def two_named_outputs() -> Any:
    x = keras.Input((4,), name="x")
    return keras.Model(x, {"a": L.Dense(2, name="a")(x), "b": L.Dense(3, name="b")(x)})


CASES: list[tuple[Any, dict[str, Any]]] = [
    (one_output, {"loss": ["mse"], "metrics": ["mae", keras.metrics.MeanSquaredError()]}),
    (list_of_one_output, {"loss": ["mse"], "metrics": [["mae"]]}),
    (two_outputs, {"loss": ["mse", "mae"], "metrics": [["mae"], ["mse", "mae"]], "loss_weights": [1.0, 0.5]}),
    (two_outputs, {"loss": "mse", "metrics": ["mae", "mse"]}),
    (two_outputs, {"loss": ["mse", "mae"], "metrics": [None, "mse"]}),
    (two_named_outputs, {"loss": {"a": "mse", "b": ["mae"]}, "metrics": {"a": ["mae"], "b": "mse"}}),
]


@pytest.mark.parametrize(("make", "settings"), CASES)
def test_values_of_losses_and_metrics_are_keras_s(make: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    model = make()
    shake(model)
    model.compile("sgd", **settings)
    generator = np.random.default_rng(5)
    x = rows(model)["x"]
    all_of_them = {
        name: generator.normal(size=(len(x), units)).astype("float32") for name, units in (("a", 2), ("b", 3))
    }
    y: dict[str, Any] = dict(list(all_of_them.items())[: len(model.outputs)])
    called: Any = y if make is two_named_outputs else list(y.values())
    wanted = model.evaluate(x, called if len(y) > 1 or make is list_of_one_output else y["a"], verbose=0)
    np.savez(tmp_path / "rows.npz", x=x, **y)
    run = open_run(import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record, device="cpu")
    logs = evaluate_rows(run, rows_of(run, str(tmp_path / "rows.npz"), targets=True), "rows").result.logs
    assert sorted(logs.values()) == pytest.approx(sorted(wanted), abs=1e-5)
