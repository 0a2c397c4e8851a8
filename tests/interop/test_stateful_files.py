"""A stateful stack of cells is imported from a Keras file; Keras's own reset_state fails on it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.keras_import_harness import predicted, save, shake

L: Any = keras.layers


def test_a_stateful_stack_of_cells_predicts_what_keras_does(tmp_path: Path) -> None:
    given = keras.Input((5, 3), batch_size=2, name="x")
    stack = L.RNN([L.LSTMCell(3), L.GRUCell(2)], stateful=True)
    model = keras.Model(given, L.Dense(2)(stack(given)))
    shake(model, -0.5, 0.5)
    for state in keras.tree.flatten(stack.states):
        state.assign(keras.ops.zeros_like(state))
    run = open_run(import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record, device="cpu")
    assert run.experiment.spec.fit.shuffle is False
    x = np.random.default_rng(2).normal(size=(2, 5, 3)).astype("float32")
    np.savez(tmp_path / "x.npz", x=x)
    (ours,) = predict_run(run, str(tmp_path / "x.npz")).outputs.values()
    np.testing.assert_allclose(ours, predicted(model, {"x": x})["0"], atol=1e-6)
