"""Stateful models of Keras come in, compiled or not, and go on from batch to batch as Keras does."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerascli.workflow.importing import import_model
from kerascli.workflow.opened import open_run
from kerascli.workflow.predict import predict_run
from tests.interop.harness import save, shake

L: Any = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2
ROWS = 2


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.LSTM(3, stateful=True),
        lambda: L.Bidirectional(L.GRU(3, stateful=True)),
        lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2)], stateful=True),
    ],
)
def test_a_stateful_model_predicts_what_keras_does(layer: Any, compiled: bool, tmp_path: Path) -> None:
    given = keras.Input((5, 3), batch_size=ROWS, name="x")
    model = keras.Model(given, L.Dense(2)(layer()(given)))
    shake(model, -0.5, 0.5)
    for each in model._flatten_layers():
        for state in keras.tree.flatten(getattr(each, "states", None) or []):
            state.assign(keras.ops.zeros_like(state))
    if compiled:
        model.compile("adam", "mse")
    imported = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs")
    assert any("stateful" in note for note in imported.notes)
    run = open_run(imported.record, device="cpu")
    assert run.experiment.spec.fit.shuffle is False
    x = np.random.default_rng(2).normal(size=(ROWS, 5, 3)).astype("float32")
    np.savez(tmp_path / "x.npz", x=x)
    (ours,) = predict_run(run, str(tmp_path / "x.npz")).outputs.values()
    np.testing.assert_allclose(ours, model.predict(x, verbose=0, batch_size=ROWS), atol=1e-6)
