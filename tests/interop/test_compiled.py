"""Compiled models with stateful layers predict and train as in Keras, and can be exported again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import layers as L
from keras.src.backend.torch.core import Variable

from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.train import resume
from tests.support.keras_import_harness import save, shake

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2

ROWS, BATCH, STEPS, FEATURES = 12, 4, 5, 3
TOLERANCE = 1e-5
"""Tolerance for a few batches in float32 whose operations are in another order."""
DATA = "data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}\n"


@pytest.fixture(autouse=True)
def _states_out_of_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Copy states before Keras on torch overwrites them, since the backward pass still needs them."""

    def assign(self: Any, value: torch.Tensor) -> None:
        if "state" in self.name and "seed" not in self.name and not self.trainable:
            self._value = torch.nn.Parameter(value.detach().clone(), requires_grad=False)
        else:
            with torch.no_grad():
                self.value.copy_(value)

    monkeypatch.setattr(Variable, "_direct_assign", assign)
    return iter([None])


def recurrent() -> Any:
    x = keras.Input(batch_shape=(BATCH, STEPS, FEATURES), name="x")
    h = L.LSTM(3, stateful=True, return_sequences=True)(x)
    h = L.Bidirectional(L.GRU(2, stateful=True))(h)
    return keras.Model(x, L.Dense(1, name="y")(h))


def with_seeds() -> Any:
    """Seed states of random layers, the first of which come before those of the recurrence."""
    return keras.Sequential(
        [
            keras.Input(batch_shape=(BATCH, STEPS, FEATURES), name="x"),
            L.GaussianNoise(0.3, seed=1),
            L.SimpleRNN(3, stateful=True, return_sequences=True, dropout=0.2, recurrent_dropout=0.2, seed=2),
            L.Dropout(0.3, seed=3),
            L.RNN(L.LSTMCell(2, dropout=0.1), stateful=True),
            L.Dense(1, name="y"),
        ]
    )


def inside_a_model() -> Any:
    x = keras.Input(batch_shape=(BATCH, STEPS, FEATURES), name="x")
    a = keras.Input(batch_shape=(BATCH, STEPS, FEATURES))
    inner = keras.Model(a, L.GRU(3, stateful=True)(a), name="inner")
    return keras.Model(x, L.Dense(1, name="y")(inner(x)))


def data(folder: Path, fit: str = "") -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    rows = {
        "x": generator.normal(size=(ROWS, STEPS, FEATURES)).astype("float32"),
        "y": generator.normal(size=(ROWS, 1)).astype("float32"),
    }
    np.savez(folder / "data.npz", **rows)  # pyright: ignore[reportArgumentType]
    (folder / "data.yaml").write_text(DATA + fit)
    return rows


def predicted(record: RunRecord, folder: Path, x: np.ndarray) -> np.ndarray:
    np.savez(folder / "x.npz", x=x)
    (found,) = predict_run(open_run(record, device="cpu"), str(folder / "x.npz")).outputs.values()
    return found


def from_zeros(model: Any, x: np.ndarray) -> np.ndarray:
    """Return Keras's predictions batch by batch, with states that start from zeros."""
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False) and hasattr(layer, "reset_states"):
            layer.reset_states()
    return model.predict(x, batch_size=BATCH, verbose=0)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("make", [recurrent, with_seeds, inside_a_model])
def test_a_stateful_model_that_was_compiled_predicts_as_keras_there_and_back(
    make: Any, suffix: str, tmp_path: Path
) -> None:
    model = make()
    shake(model)
    model.compile("adam", loss="mse")
    x = data(tmp_path)["x"]
    wanted = from_zeros(model, x)
    assert not np.allclose(wanted[BATCH:], np.concatenate([from_zeros(model, x[i : i + BATCH]) for i in (4, 8)]))
    found = import_model(save(model, tmp_path, suffix), runs_dir=tmp_path / "runs")
    assert found.parameters == model.count_params()
    np.testing.assert_allclose(predicted(found.record, tmp_path, x), wanted, atol=TOLERANCE)
    done = export_run(found.record, suffix[1:], tmp_path / f"back{suffix}")
    assert any("states of stateful layers" in note for note in done.notes)
    back: Any = keras.models.load_model(tmp_path / f"back{suffix}")
    np.testing.assert_allclose(from_zeros(back, x), wanted, atol=TOLERANCE)
    assert back.evaluate(x, wanted, batch_size=BATCH, verbose=0) >= 0  # it is compiled


def test_training_goes_on_as_in_keras_from_the_same_file(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    rows = data(tmp_path, "fit: {epochs: 2}\n")
    model = recurrent()
    model.compile(keras.optimizers.Nadam(0.01), loss="mse")
    fit: dict[str, Any] = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    model.fit(rows["x"], rows["y"], epochs=1, **fit)
    path = save(model, tmp_path, ".keras")
    found = import_model(path, runs_dir=tmp_path / "runs", data=tmp_path / "data.yaml")
    assert found.notes == ()
    for _ in resume(found.record, Options(runs_dir=tmp_path / "runs", device="cpu"), []):
        pass
    loaded: Any = keras.models.load_model(path)  # the file has no states: both begin with zeros
    loaded.fit(rows["x"], rows["y"], epochs=2, **fit)
    own = [w for w in open_run(found.record, device="cpu").experiment.weights if not w.spec.is_state]
    for ours, theirs in zip(own, loaded.weights, strict=True):
        np.testing.assert_allclose(ours.keras().numpy(), theirs.numpy(), atol=TOLERANCE, err_msg=ours.name)
    done = export_run(found.record, "keras", tmp_path / "back.keras")
    assert not [note for note in done.notes if "optimizer" in note]
    back: Any = keras.models.load_model(tmp_path / "back.keras")
    for each in (back, loaded):
        from_zeros(each, rows["x"])
        each.fit(rows["x"], rows["y"], epochs=1, **fit)
    for mine, other in zip(back.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("fit", "text"),
    [
        ("fit: {shuffle: true}\n", "shuffle: the file's model is stateful and needs false, got true"),
        ("fit: {batch_size: 6}\n", "batch_size: the file's model is stateful and needs 4, got 6"),
    ],
)
def test_data_beside_a_stateful_model_say_nothing_else(fit: str, text: str, tmp_path: Path) -> None:
    data(tmp_path, fit)
    model = recurrent()
    model.compile("sgd", loss="mse")
    with pytest.raises(ConfigError, match=text):
        import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs", data=tmp_path / "data.yaml")
    assert not [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]


def test_inputs_without_one_batch_size_are_refused(tmp_path: Path) -> None:
    a = keras.Input(batch_shape=(BATCH, STEPS, FEATURES))
    b = keras.Input((2,))
    model = keras.Model([a, b], L.Concatenate()([L.GRU(2, stateful=True)(a), b]))
    with pytest.raises(FileRefused, match="do not have one batch size"):
        import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs")
