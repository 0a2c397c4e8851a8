"""Elementwise merging layers omit masked values and propagate the mask as Keras does."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerascli.workflow.interchange.exporting import export_run
from tests.support.keras_import_harness import assert_same, predicted

L: Any = keras.layers


def sequences(count: int, *, masked: int) -> tuple[list[Any], list[Any]]:
    inputs = [keras.Input((5, 3), name=f"x{i}") for i in range(count)]
    return inputs, [L.Masking()(x) if i < masked else x for i, x in enumerate(inputs)]


def padded(count: int) -> dict[str, np.ndarray]:
    """Return sequences of different lengths: some steps are masked in one input, some in all."""
    generator = np.random.default_rng(5)
    found = {f"x{i}": generator.normal(size=(4, 5, 3)).astype("float32") for i in range(count)}
    for i, values in enumerate(found.values()):
        values[:, 4 - i % 2 :] = 0
        values[i, 1] = 0
    return found


@pytest.mark.parametrize("name", ["Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"])
@pytest.mark.parametrize("masked", [0, 1, 2])
def test_a_merge_of_masked_sequences_there_and_back(name: str, masked: int, tmp_path: Path) -> None:
    inputs, tensors = sequences(2, masked=masked)
    merged = getattr(L, name)()(tensors)
    model = keras.Model(inputs, [merged, L.GlobalAveragePooling1D()(merged), L.GRU(2)(merged)])
    found = assert_same(model, tmp_path, x=padded(2))
    export_run(found.record, "keras", tmp_path / "again.keras")
    again: Any = keras.models.load_model(tmp_path / "again.keras")
    for mine, other in zip(predicted(again, padded(2)).values(), found.theirs.values(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)


@pytest.mark.parametrize("name", ["Maximum", "Multiply"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1)])
def test_an_input_without_a_mask_may_stand_anywhere(name: str, order: tuple[int, ...], tmp_path: Path) -> None:
    inputs, tensors = sequences(3, masked=2)
    merged = getattr(L, name)()([tensors[i] for i in order])
    assert_same(keras.Model(inputs, merged), tmp_path, x=padded(3))


def test_an_input_of_fewer_axes_loses_its_mask(tmp_path: Path) -> None:
    inputs, (sequence, _) = sequences(2, masked=1)
    row = L.GlobalAveragePooling1D()(inputs[1])
    merged = L.Multiply()([sequence, row])
    assert_same(keras.Model(inputs, [merged, L.GRU(2)(merged)]), tmp_path, x=padded(2))


@pytest.mark.filterwarnings("ignore:Layer 'functional:UserWarning")  # the mask ends there: Keras says so
def test_a_nested_model_sees_the_mask_of_a_concatenation(tmp_path: Path) -> None:
    inputs, tensors = sequences(2, masked=1)
    given = keras.Input((5, 6))
    inner = keras.Model(given, L.GlobalAveragePooling1D()(given))
    joined = L.Concatenate()(tensors)
    assert_same(keras.Model(inputs, [inner(joined), L.GRU(2)(joined)]), tmp_path, x=padded(2))


def test_a_concatenation_in_time_hides_the_steps_that_its_inputs_hide(tmp_path: Path) -> None:
    inputs, tensors = sequences(2, masked=1)
    joined = L.Concatenate(axis=1)(tensors)
    assert_same(keras.Model(inputs, [L.GlobalAveragePooling1D()(joined), L.GRU(2)(joined)]), tmp_path, x=padded(2))
