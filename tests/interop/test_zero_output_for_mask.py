"""Recurrent layers with zero_output_for_mask are imported from Keras files and exported again."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerascli.workflow.interchange.exporting import export_run
from tests.support.keras_import_harness import assert_same, predicted, shake

L: Any = keras.layers
ZEROS = {"return_sequences": True, "zero_output_for_mask": True}


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: L.LSTM(3, **ZEROS), (5, 2)),
        (lambda: L.GRU(3, **ZEROS, reset_after=False, go_backwards=True), (5, 2)),
        (lambda: L.SimpleRNN(3, **ZEROS, return_state=True), (5, 2)),
        (lambda: L.LSTM(3, zero_output_for_mask=True), (5, 2)),
        (lambda: L.RNN(L.LSTMCell(3), **ZEROS), (5, 2)),
        (lambda: L.Bidirectional(L.GRU(3, return_sequences=True)), (5, 2)),
        (lambda: L.Bidirectional(L.GRU(3, zero_output_for_mask=True)), (5, 2)),
    ],
)
def test_hidden_steps_give_zeros_there_and_back(layer: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    given = keras.Input(shape, name="x")
    model = keras.Model(given, layer()(L.Masking()(given)))
    shake(model, -0.5, 0.5)
    x = np.random.default_rng(3).normal(size=(4, *shape)).astype("float32")
    x[:2, 3:] = 0
    x[2, 1] = 0
    found = assert_same(model, tmp_path, x={"x": x})
    export_run(found.record, "keras", tmp_path / "again.keras")
    again: Any = keras.models.load_model(tmp_path / "again.keras")
    for mine, other in zip(predicted(again, {again.inputs[0].name: x}).values(), found.theirs.values(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
