"""Models with shared layers train as Keras's do, eager or traced; they are shown, saved and read back."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.common import dtypes

from kerascli.report.summary import render
from kerascli.workflow.check import spec_of, summary_of
from tests.support.fit_harness import Arrays, assert_close, compare, prepare
from tests.support.runs_harness import write

# Keras's own doing on the torch backend
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

layers = keras.layers

CONFIG = """
seed: 3
data:
  source: {npz: data.npz}
  inputs: {left: [], right: []}
  targets: {y: []}
model:
  shared:
    encoder: {dense: {units: 6, activation: tanh, activity_regularizer: {l2: 0.01}}}
    norm: batch_normalization
  layers:
    - encoder: {inputs: left, name: a}
    - norm: {name: na}
    - encoder: {inputs: right, name: b}
    - norm: {name: nb}
    - subtract: [na, nb]
    - dense: {units: 1, name: out}
compile: {loss: mse, optimizer: {adam: 0.0078125}, metrics: [mae]}
fit: {epochs: 3, batch_size: 16}
"""

AS_MODEL = CONFIG.replace(
    CONFIG[CONFIG.index("  shared:") : CONFIG.index("    - subtract")],
    """  shared:
    tower:
      layers:
        - dense: {units: 6, activation: tanh, activity_regularizer: {l2: 0.01}, name: encoder}
        - batch_normalization: {name: norm}
  layers:
    - tower: {inputs: left, name: na}
    - tower: {inputs: right, name: nb}
""",
)


@pytest.fixture(autouse=True)
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras on torch casts 64-bit types to 32 bits, unlike on TensorFlow; make it compute in float64."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def data() -> Arrays:
    random = np.random.default_rng(0)
    found = {name: random.normal(size=(64, 4)).astype(np.float32) for name in ("left", "right")}
    return {**found, "y": random.normal(size=(64, 1)).astype(np.float32)}


def keras_model() -> keras.Model:
    encoder = layers.Dense(6, activation="tanh", activity_regularizer=keras.regularizers.L2(0.01), name="encoder")
    norm = layers.BatchNormalization(name="norm")
    left, right = keras.Input([4], name="left"), keras.Input([4], name="right")
    y = layers.Subtract()([norm(encoder(left)), norm(encoder(right))])
    model = keras.Model({"left": left, "right": right}, layers.Dense(1, name="out")(y))
    model.compile(loss="mse", optimizer=keras.optimizers.Adam(0.0078125), metrics=["mae"])
    return model


@pytest.mark.parametrize("jit", ["false", "true"])
def test_shared_layers_train_as_in_keras(jit: str, data: Arrays, tmp_path: Path) -> None:
    config = CONFIG.replace("loss: mse,", f"loss: mse, jit_compile: {jit},")
    x = {name: data[name] for name in ("left", "right")}
    compare(tmp_path, data, config, keras_model(), x, data["y"], epochs=3, batch_size=16)


@pytest.mark.parametrize("jit", ["false", "true"])
def test_a_shared_model_trains_as_its_shared_layers(jit: str, data: Arrays, tmp_path: Path) -> None:
    one, other = (
        prepare(tmp_path, data, CONFIG),
        prepare(tmp_path, data, AS_MODEL.replace("mse,", f"mse, jit_compile: {jit},")),
    )
    for mine, theirs in zip(other.experiment.weights, one.experiment.weights, strict=True):
        assert mine.name in {theirs.name, f"tower/{theirs.name}"}
        mine.assign(theirs.keras())
    first, second = one.train(), other.train()
    for name, values in first.history.items():
        assert_close(second.history[name], values, name)
    assert_close(second.predicted["out"], first.predicted["out"], "out")


def test_a_shared_model_has_one_row_however_often_it_is_called(data: Arrays, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, **data)  # type: ignore[arg-type]
    path = write(tmp_path, AS_MODEL)
    found = summary_of(spec_of(path))
    assert [(row.name, row.kind, row.parameters, row.connected_to) for row in found.rows][2] == (
        "tower: na, nb", "model", 4 * 6 + 6 + 4 * 6, ("left", "right"),
    )  # fmt: skip
    assert found.total == sum(row.parameters for row in found.rows)
    expanded = summary_of(spec_of(path), expand=True)
    assert [(row.name, row.parameters) for row in expanded.rows if row.inside] == [("na.encoder", 30), ("na.norm", 24)]
    assert expanded.total == found.total
    assert "  na.encoder (dense)" in render(expanded)
