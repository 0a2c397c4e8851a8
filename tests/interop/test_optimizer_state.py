"""Every optimizer, with each argument that adds a state, resumes from Keras's files, and in Keras from ours."""

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import optimizers as O

from kerascli.foundation.errors import FileRefused
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.train import resume
from tests.support.keras_import_harness import save

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2

TOLERANCE = 1e-5
"""Tolerance for nine updates in float32 whose operations are in another order."""
FIT: dict[str, Any] = {"batch_size": 4, "shuffle": False, "verbose": 0}
AVERAGE: dict[str, Any] = {"use_ema": True, "ema_momentum": 0.7}
OVERWRITE: dict[str, Any] = {**AVERAGE, "ema_overwrite_frequency": 2}
SUM: dict[str, Any] = {"gradient_accumulation_steps": 2}
SCHEDULE = O.schedules.ExponentialDecay(0.02, 2, 0.5)

SETTINGS: list[tuple[Any, dict[str, Any]]] = [
    (O.Adadelta, {"learning_rate": 0.5}),
    (O.Adadelta, {"learning_rate": 0.5, **AVERAGE, **SUM}),
    (O.Adafactor, {"learning_rate": 0.05}),
    (O.Adafactor, {"learning_rate": SCHEDULE, "relative_step": False}),
    (O.Adafactor, {"learning_rate": 0.05, **OVERWRITE, **SUM}),
    (O.Adagrad, {"learning_rate": 0.05}),
    (O.Adam, {"learning_rate": 0.01}),
    (O.Adam, {"learning_rate": SCHEDULE, "amsgrad": True}),
    (O.Adam, {"learning_rate": 0.01, "amsgrad": True, **AVERAGE, **SUM}),
    (O.AdamW, {"learning_rate": 0.01, "weight_decay": 0.1, "clipnorm": 0.5}),
    (O.AdamW, {"learning_rate": 0.01, "amsgrad": True, **OVERWRITE}),
    (O.Adamax, {"learning_rate": 0.01}),
    (O.Adamax, {"learning_rate": 0.01, **AVERAGE, **SUM}),
    (O.Ftrl, {"learning_rate": 0.05}),
    (O.Ftrl, {"learning_rate": 0.05, "l1_regularization_strength": 0.01, **SUM}),
    (O.Lamb, {"learning_rate": 0.01}),
    (O.Lamb, {"learning_rate": 0.01, **AVERAGE, **SUM}),
    (O.Lion, {"learning_rate": 0.01}),
    (O.Lion, {"learning_rate": 0.01, "weight_decay": 0.1, **AVERAGE}),
    (O.Muon, {"learning_rate": 0.01}),
    (O.Muon, {"learning_rate": 0.01, "exclude_layers": ["y"], "nesterov": False}),
    (O.Muon, {"learning_rate": SCHEDULE, "exclude_layers": ["dense"], **AVERAGE, **SUM}),
    (O.Nadam, {"learning_rate": 0.01}),
    (O.Nadam, {"learning_rate": SCHEDULE, **OVERWRITE}),
    (O.Nadam, {"learning_rate": 0.01, **AVERAGE, **SUM}),
    (O.RMSprop, {"learning_rate": 0.01, "momentum": 0.5}),
    (O.RMSprop, {"learning_rate": 0.01, "momentum": 0.5, "centered": True, **AVERAGE, **SUM}),
    (O.ScheduleFreeAdamW, {"learning_rate": 0.01, "warmup_steps": 5}),
    (O.ScheduleFreeAdamW, {"learning_rate": 0.01, **SUM}),
    (O.SGD, {"learning_rate": 0.05, **AVERAGE, **SUM}),
    (O.SGD, {"learning_rate": SCHEDULE, "momentum": 0.9}),
    (O.SGD, {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "global_clipnorm": 0.5}),
]
"""Optimizer classes with arguments."""
INSIDE: list[tuple[Any, dict[str, Any]]] = [
    (O.Adam, {"learning_rate": 0.01, "amsgrad": True, **OVERWRITE}),
    (O.SGD, {"learning_rate": SCHEDULE, "momentum": 0.9, "clipvalue": 0.5, **SUM}),
    (O.Adafactor, {"learning_rate": 0.05}),
    (O.Muon, {"learning_rate": 0.01, "exclude_layers": ["y"]}),
]
"""Optimizer classes with arguments, to wrap in a LossScaleOptimizer."""


@pytest.fixture(autouse=True)
def _updates_out_of_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy ScheduleFreeAdamW's momentum, which Keras on torch overwrites before the update has used it."""

    def assign_sub(self: Any, variable: Any, value: Any) -> None:
        variable._value = variable.value.detach() - value

    monkeypatch.setattr(O.ScheduleFreeAdamW, "assign_sub", assign_sub)


def _named(value: Any) -> str:
    if isinstance(value, dict):
        texts = {k: "schedule" if v is SCHEDULE else v for k, v in value.items()}
        return ",".join(f"{k}={v}" for k, v in texts.items() if k != "learning_rate" or v == "schedule")
    return value.__name__


def _model(dtype: str) -> Any:
    """Return a model with weights of one, two and three axes, and a frozen layer."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4, 1), name="x"),
            L.Conv1D(3, 2, activation="tanh", dtype=dtype),
            L.Flatten(dtype=dtype),
            L.Dense(6, activation="tanh", name="fixed", trainable=False, dtype=dtype),
            L.Dense(5, activation="tanh", dtype=dtype),
            L.Dense(2, name="y", dtype=dtype),
        ]
    )
    generator = np.random.default_rng(4)
    model.set_weights([generator.normal(size=w.shape, scale=0.5) for w in model.get_weights()])
    return model


def _rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    return generator.normal(size=(12, 4, 1)).astype("float32"), generator.normal(size=(12, 2)).astype("float32")


def _trained(optimizer: Any, dtype: str = "float32") -> Any:
    """Return a Keras model after three training steps."""
    model = _model(dtype)
    model.compile(optimizer, loss="mse")
    model.fit(*_rows(), epochs=1, **FIT)
    return model


def _imported(model: Any, folder: Path, suffix: str = ".keras") -> Any:
    x, y = _rows()
    np.savez(folder / "data.npz", x=x, y=y)
    (folder / "data.yaml").write_text(
        "data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}\n"
        "fit: {epochs: 1, batch_size: 4, shuffle: false}\n"
    )
    return import_model(save(model, folder, suffix), runs_dir=folder / "runs", data=folder / "data.yaml")


def _go_on(record: RunRecord, folder: Path) -> None:
    for _ in resume(record, Options(runs_dir=folder / "runs", device="cpu"), []):
        pass


def _assert_same_weights(record: RunRecord, model: Any) -> None:
    for ours, theirs in zip(open_run(record, device="cpu").experiment.weights, model.weights, strict=True):
        np.testing.assert_allclose(ours.keras().numpy(), theirs.numpy(), atol=TOLERANCE, err_msg=ours.name)


def _assert_same_variables(ours: Any, theirs: Any) -> None:
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        if not (isinstance(theirs, O.Adafactor) and other.path.endswith("velocity") and len(other.shape) > 1):
            np.testing.assert_allclose(mine.numpy(), other.numpy(), atol=TOLERANCE, err_msg=other.path)


def _there_and_back(model: Any, folder: Path) -> Any:
    """Train three steps from Keras's file, then three in Keras from ours; return our file's optimizer."""
    found = _imported(model, folder)
    assert found.notes == ()
    assert found.record.checkpoints.newest().step == 3
    _go_on(found.record, folder)
    model.fit(*_rows(), epochs=1, **FIT)
    _assert_same_weights(found.record, model)
    exported = export_run(found.record, "keras", folder / "back.keras")
    assert not [note for note in exported.notes if "optimizer" in note]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="__array__ implementation")
        back: Any = keras.models.load_model(folder / "back.keras")
    for each in (back, model):
        each.fit(*_rows(), epochs=1, **FIT)
    for mine, other in zip(back.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=TOLERANCE)
    return back.optimizer


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=_named)
def test_three_more_steps_are_those_of_keras_there_and_back(
    kind: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    model = _trained(kind(**settings))
    _assert_same_variables(_there_and_back(model, tmp_path), model.optimizer)


@pytest.mark.parametrize(("kind", "settings"), INSIDE, ids=_named)
def test_an_optimizer_inside_a_loss_scale_goes_on_with_it(kind: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    scaled: Any = O.LossScaleOptimizer
    model = _trained(scaled(kind(**settings), initial_scale=64.0, dynamic_growth_steps=5))
    back = _there_and_back(model, tmp_path)  # the scale was doubled after the fifth step
    _assert_same_variables(back, model.optimizer)
    assert float(back.dynamic_scale) == 128.0
    assert int(back.step_counter) == 4


def test_a_product_of_momenta_that_keras_has_lost_is_computed(tmp_path: Path) -> None:
    lost: Any = O.Nadam(0.01)
    model = _trained(lost)
    kept = lost._u_product.numpy()
    lost._u_product.assign(1.0)
    found = _imported(model, tmp_path)
    lost._u_product.assign(kept)
    _go_on(found.record, tmp_path)
    model.fit(*_rows(), epochs=1, **FIT)
    _assert_same_weights(found.record, model)


def test_a_model_that_keras_trained_without_a_loss_scale_begins_with_one(tmp_path: Path) -> None:
    """Keras scales the loss if the model's own policy says so, which a loaded model's does not."""
    found = _imported(_trained(O.Adam(0.01), "mixed_float16"), tmp_path)
    assert found.notes == ("the file has no loss scale: training continues with 32768",)
    assert found.record.checkpoints.newest().step == 3


def test_a_loss_scale_that_cannot_be_is_refused(tmp_path: Path) -> None:
    scaled: Any = O.LossScaleOptimizer(O.SGD(0.01))
    model = _trained(scaled)
    scaled.dynamic_scale.assign(0.0)
    with pytest.raises(FileRefused, match="loss scale is 0"):
        _imported(model, tmp_path)


def test_every_optimizer_of_keras_is_compared() -> None:
    own: set[str] = {name for name, cls in vars(O).items() if isinstance(cls, type) and issubclass(cls, O.Optimizer)}
    others = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}  # the last one is refused by name
    assert own - others == {kind.__name__ for kind, _ in SETTINGS}
