"""Stateful layers continue from the previous batch in training, evaluation and after a resume, as in Keras."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.common import dtypes
from keras.src.backend.torch.core import Variable

from kerascli.foundation.errors import ConfigError, DataError
from kerascli.foundation.events import EpochEnd
from kerascli.runs.index import find_run
from kerascli.training.evaluate import EvaluatedBatches, evaluate, predict
from kerascli.training.loop import train as train_steps
from kerascli.training.step import Progress
from kerascli.workflow.fitting.make_trainer import make_trainer
from kerascli.workflow.fitting.plan import make_plan, rows_in_order
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.loaded import open_run
from tests.support.fit_harness import prepare
from tests.support.runs_harness import go_on, outcome, outcome_of, train, write
from tests.workflow.test_resume import leave

# Keras's own doing on the torch backend
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

layers = keras.layers
ROWS, BATCH = 48, 16

CONFIG = """
seed: 3
data: {source: {npz: data.npz}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - LAYER
    - dense: {units: 1, name: out}
compile: {loss: mse, optimizer: {sgd: 0.125}}
fit: {epochs: 3, batch_size: 16, shuffle: false}
"""
FRAMES = "conv_lstm_2d: {filters: 2, kernel_size: 2, stateful: true, name: r}\n    - flatten"


@pytest.fixture(autouse=True)
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def assign(self: Any, value: torch.Tensor) -> None:
        """Copy states before Keras on torch overwrites them, since the backward pass still needs them."""
        if "state" in self.name and not self.trainable:
            self._value = torch.nn.Parameter(value.detach().clone(), requires_grad=False)
        else:
            with torch.no_grad():
                self.value.copy_(value)

    monkeypatch.setattr(Variable, "_direct_assign", assign)
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    torch.set_default_dtype(torch.float32)


def by_keras(model: Any, x: np.ndarray, y: np.ndarray, *, forgets: bool) -> tuple[list[float], float, np.ndarray]:
    """Return Keras's losses of three epochs, an evaluation and predictions."""

    def forget(*_: object) -> None:
        for layer in model.layers:
            reset = getattr(layer, "reset_states", None) or getattr(layer, "reset_state", None)
            if reset is not None:
                reset()

    forget()
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=forget)] if forgets else []
    sizes = {"batch_size": BATCH, "verbose": 0}
    history = model.fit(x, y, epochs=3, shuffle=False, callbacks=callbacks, **sizes).history["loss"]
    forget()
    judgement = model.evaluate(x, y, **sizes)
    forget()
    return history, judgement, model.predict(x, **sizes)


@pytest.mark.parametrize("forgets", [True, False])
@pytest.mark.parametrize(
    ("written", "theirs", "shape"),
    [
        ("lstm: {units: 4, stateful: true, name: r}", lambda: layers.LSTM(4, stateful=True, name="r"), (5, 2)),
        (
            "gru: {units: 4, stateful: true, reset_after: false, go_backwards: true, name: r}",
            lambda: layers.GRU(4, stateful=True, reset_after=False, go_backwards=True, name="r"), (5, 2),
        ),
        (
            "simple_rnn: {units: 4, stateful: true, name: r}",
            lambda: layers.SimpleRNN(4, stateful=True, name="r"), (5, 2),
        ),
        (
            "rnn: {cell: {lstm_cell: 3}, stateful: true, name: r}",
            lambda: layers.RNN(layers.LSTMCell(3), stateful=True, name="r"), (5, 2),
        ),
        (FRAMES, lambda: layers.ConvLSTM2D(2, 2, stateful=True, name="r"), (3, 4, 4, 1)),
        (
            "bidirectional: {layer: {lstm: {units: 3, stateful: true}}, name: r}",
            lambda: layers.Bidirectional(layers.LSTM(3, stateful=True), name="r"), (5, 2),
        ),
    ],
    ids=["lstm", "gru", "simple_rnn", "rnn", "conv_lstm", "bidirectional"],
)  # fmt: skip
def test_a_stateful_layer_trains_evaluates_and_predicts_as_keras_s(
    written: str, theirs: Callable[[], Any], shape: tuple[int, ...], forgets: bool, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, *shape)).astype(np.float32)
    y = random.normal(size=(ROWS, 1)).astype(np.float32)
    given = keras.Input(batch_shape=(BATCH, *shape), name="x")
    inner = theirs()(given)
    model = keras.Model(given, layers.Dense(1, name="out")(layers.Flatten()(inner) if len(shape) > 2 else inner))
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.125))

    config = CONFIG.replace("LAYER", written)
    config = config if forgets else config.replace("shuffle: false", "shuffle: false, reset_states: never")
    ours = prepare(tmp_path, {"x": x, "y": y}, config).experiment
    prepared = prepare(tmp_path, {"x": x, "y": y}, config).prepared
    own = [weight for weight in ours.weights if not weight.spec.is_state]
    kept = [weight for weight in model.weights if "state" not in weight.name]
    assert [tuple(w.spec.shape) for w in own] == [tuple(w.shape) for w in kept]
    for mine, other in zip(own, kept, strict=True):
        mine.assign(other.value.detach())

    history, judgement, outputs = by_keras(model, x, y, forgets=forgets)
    torch.set_default_dtype(torch.float64)
    plan, progress = make_plan(ours, prepared, {}), Progress()
    trainer, _ = make_trainer(ours, plan)
    losses = [progress.row["loss"] for event in train_steps(trainer, plan, progress) if isinstance(event, EpochEnd)]
    assert losses == pytest.approx(history, rel=1e-9)
    for mine, other in zip(own, kept, strict=True):
        torch.testing.assert_close(mine.keras(), other.value.detach(), rtol=1e-9, atol=1e-9)
    states = {w.name: w.tensor.clone() for w in ours.weights if w.spec.is_state}
    rows = rows_in_order(ours, prepared.splits["train"])
    assert states
    assert all(value.abs().max() > 0 for value in states.values())
    for _ in range(2):  # each pass begins anew
        figures = outcome_of(evaluate(ours.module, EvaluatedBatches(rows.epoch(0)), seed=1))
        assert figures["loss"] == pytest.approx(judgement, rel=1e-9)
        (found,) = predict(ours.module, EvaluatedBatches(rows.epoch(0)), seed=1).values()
        np.testing.assert_allclose(found, outputs, rtol=1e-9, atol=1e-9)
    after = {w.name: w.tensor for w in ours.weights if w.spec.is_state}
    torch.testing.assert_close(after, states, rtol=0, atol=0)  # and leaves those of the training alone


MANY = """
seed: 1
data:
  source: {copy_task: {rows: 64, length: 3, bits: 2}}
  split: {validation: 0.25}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - bidirectional: {layer: {lstm: {units: 6, stateful: true, return_sequences: true}}}
    - gru: {units: 5, stateful: true, return_sequences: true, dropout: 0.2, recurrent_dropout: 0.2}
    - rnn:
        stateful: true
        return_sequences: true
        name: own
        cell:
          states: {h: 4}
          layers:
            - dense: {units: 4, inputs: input, name: a}
            - expr: "tanh(a + h)"
            - dropout: 0.1
          next: {h: dropout}
    - dense: {units: 2, activation: sigmoid}
compile: {loss: binary_crossentropy, optimizer: adam}
fit: {epochs: 4, batch_size: 8, shuffle: false, validation_data: validation, reset_states: never}
"""


@pytest.mark.parametrize("stop_at", [3, 6, 13])
def test_a_stateful_run_goes_on_exactly(tmp_path: Path, stop_at: int) -> None:
    """Six steps are an epoch; the states of a custom cell are saved, too."""
    config = write(tmp_path, MANY)
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=4"])
    leave(config, tmp_path / "left", stop_at)
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(whole)
    names = [w.name for w in open_run(whole, device="cpu").experiment.weights if w.spec.is_state]
    assert names == [
        "bidirectional/forward_lstm/state_0", "bidirectional/forward_lstm/state_1",
        "bidirectional/backward_lstm/state_0", "bidirectional/backward_lstm/state_1", "gru/state_0", "own/state_h",
    ]  # fmt: skip


def test_what_is_remembered_is_not_exported(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, MANY), tmp_path / "runs", ["fit.epochs=1"])
    export_run(run, "safetensors", tmp_path / "model.safetensors")
    from safetensors.numpy import load_file

    assert not [name for name in load_file(tmp_path / "model.safetensors") if "state_" in name]
    with pytest.raises(ConfigError, match="a stateful model cannot be exported as torch_export"):
        export_run(run, "torch_export", tmp_path / "model.pt2")


def test_a_batch_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="batches of 10 rows, but 48 rows leave a last batch of 8"):
        train(write(tmp_path, MANY), tmp_path, ["fit.batch_size=10"])


def test_weights_of_a_stateful_run_begin_another_one_of_other_batches(tmp_path: Path) -> None:
    first, _ = train(write(tmp_path, MANY), tmp_path / "runs", ["fit.epochs=1"])
    text = MANY.replace("model:\n", f"model:\n  init_from: {{run: {first.path}}}\n")
    second, _ = train(write(tmp_path, text), tmp_path / "runs", ["fit.epochs=1", "fit.batch_size=4"])
    taken = second.facts()["init_from"]["weights"]
    assert taken == sorted(w.name for w in open_run(first, device="cpu").experiment.weights if not w.spec.is_state)


def test_phases_of_a_stateful_model_have_batches_of_one_size(tmp_path: Path) -> None:
    text = MANY.replace("fit: {epochs: 4", "fit: {phases: [{epochs: 1}, {epochs: 1, batch_size: 4}]")
    with pytest.raises(ConfigError, match=r"batch_size: must be the same in all phases, since .* is stateful"):
        train(write(tmp_path, text), tmp_path, [])
    run, _ = train(write(tmp_path, text.replace(", batch_size: 4", "")), tmp_path / "runs", [])
    assert len(run.history()) == 2


def test_samples_and_several_updates_are_refused(tmp_path: Path) -> None:
    text = MANY.replace("reset_states: never", "reset_states: never, callbacks: [{heat_map: {}}]")
    with pytest.raises(ConfigError, match="heat_map: 'bidirectional' is stateful"):
        train(write(tmp_path, text), tmp_path, [])
    update = "{name: a, train: own, optimizer: adam, loss: {l: {loss: mse, y_true: y, y_pred: dense}}}"
    text = MANY.replace("compile: {loss: binary_crossentropy, optimizer: adam}\n", "")
    text = text.replace("reset_states: never", f"reset_states: never, train_step: [{update}]")
    with pytest.raises(ConfigError, match="'bidirectional' is stateful, which train_step does not support"):
        train(write(tmp_path, text), tmp_path, [])
