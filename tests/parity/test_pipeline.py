"""A pipeline equals its layers, applied one after the other."""

from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src import backend

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Outcome, ShapeMismatch
from tests.parity import ledger
from tests.parity.layers import assert_same, mask_of
from tests.support import layer_harness as harness

RESIZE = {"resizing": {"height": 4, "width": 5}}


@pytest.mark.parametrize(
    ("written", "theirs"),
    [
        ([{"rescaling": 0.1}], lambda: [keras.layers.Rescaling(0.1, dtype="float64")]),
        (
            [RESIZE, {"rescaling": {"scale": 2.0, "offset": 1.0}}, "flatten"],
            lambda: [
                keras.layers.Resizing(4, 5, dtype="float64"),
                keras.layers.Rescaling(2.0, 1.0, dtype="float64"),
                keras.layers.Flatten(dtype="float64"),
            ],
        ),
        (
            [{"center_crop": {"height": 3, "width": 3}}, "auto_contrast"],
            lambda: [keras.layers.CenterCrop(3, 3, dtype="float64"), keras.layers.AutoContrast(dtype="float64")],
        ),
        (
            ["random_flip", RESIZE],
            lambda: [keras.layers.RandomFlip(dtype="float64"), keras.layers.Resizing(4, 5, dtype="float64")],
        ),
    ],
)
def test_it_is_its_layers_one_after_the_other(written, theirs):
    x = torch.tensor(np.random.default_rng(0).uniform(0, 255, (2, 7, 8, 3)))
    module = harness.make(harness.parse("pipeline", {"layers": written}), TensorSpec((7, 8, 3))).eval()
    expected = keras.layers.Pipeline(theirs())(x, training=False)
    compared = ledger.Comparison()
    compared.same(harness.call(module, x), expected)
    ledger.note("layer", "pipeline", f"{len(written)} layers", compared.gap, config={"layers": written})


MASK = mask_of("11100", "00111", "01011", "11111")
masks_end_here = pytest.mark.filterwarnings(
    "ignore:.*was passed an input with a mask:UserWarning"
)  # of Keras: it is so


def their_pipeline(*layers: tuple[Any, int]) -> Any:
    """Return Keras's pipeline of layers in float64, built for a number of features."""
    for layer, features in layers:
        layer.build((4, 5, features))
    return keras.layers.Pipeline([layer for layer, _ in layers])


@masks_end_here
@pytest.mark.parametrize("training", [True, False])
def test_its_first_layer_sees_the_mask_that_it_is_called_with(training):
    parts = [keras.layers.BatchNormalization(dtype="float64"), keras.layers.Dense(2, dtype="float64")]
    theirs = their_pipeline((parts[0], 3), (parts[1], 3))
    written = ["batch_normalization", {"dense": {"units": 2}}]
    assert_same("Pipeline", {"layers": written}, (4, 5, 3), training=training, theirs=theirs, mask=MASK)


@masks_end_here
def test_its_other_layers_see_the_mask_that_comes_along_with_its_input():
    """Keras passes an explicit mask to the first layer only, a mistake; see docs/numbers.md."""
    theirs = their_pipeline(
        (keras.layers.Dense(2, dtype="float64"), 3), (keras.layers.BatchNormalization(dtype="float64"), 2)
    )
    config = {"layers": [{"dense": {"units": 2}}, "batch_normalization"]}
    module = harness.make(harness.parse("pipeline", config), TensorSpec((5, 3)))
    harness.materialise(module, dtype=torch.float64).train()
    harness.set_weights(module, [weight.value.detach().numpy() for weight in theirs.weights])
    x = torch.randn(4, 5, 3, dtype=torch.float64)
    got, alone = harness.call(module, x, mask=MASK), theirs(x, training=True, mask=MASK)
    assert not torch.allclose(got, alone)
    backend.set_keras_mask(x, MASK)
    torch.testing.assert_close(got, theirs(x, training=True), rtol=1e-9, atol=1e-9)


def test_integers_stay_until_a_layer_wants_floats():
    config = {"layers": [{"reshape": [6]}, {"embedding": {"input_dim": 9, "output_dim": 2}}, {"dense": {"units": 3}}]}
    module = harness.materialise(harness.make(harness.parse("pipeline", config), TensorSpec((2, 3), "int64")))
    assert harness.call(module, torch.zeros(4, 2, 3, dtype=torch.long)).shape == (4, 6, 3)


def test_updates_are_those_of_the_layers_weights():
    config = {"layers": [{"dense": {"units": 3}}, "batch_normalization"]}
    module = harness.materialise(harness.make(harness.parse("pipeline", config), TensorSpec((2,)))).train()
    outcome = module(torch.randn(4, 2))
    assert isinstance(outcome, Outcome)
    assert set(outcome.updates) == {"layers/1/moving_mean", "layers/1/moving_variance"}


def test_one_of_its_layers_cannot_be_frozen():
    with pytest.raises(ShapeMismatch, match="freeze dense"):
        harness.make(
            harness.parse("pipeline", {"layers": [{"dense": {"units": 2, "trainable": False}}]}), TensorSpec((4,))
        )


@pytest.mark.parametrize("inner", ["add", {"lstm": {"units": 2, "return_state": True}}, {"masking": 0.0}])
def test_a_layer_that_does_not_fit_in_is_refused(inner):
    with pytest.raises(ShapeMismatch, match="one input and one result"):
        harness.make(harness.parse("pipeline", {"layers": [inner]}), TensorSpec((4, 3)))
