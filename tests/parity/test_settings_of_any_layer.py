"""Arguments of every Keras layer: `training`, `trainable` and activity penalties."""

import keras
import pytest
import torch

from tests.parity.test_shared import assert_like_keras, graph_of, run

pytestmark = pytest.mark.usefixtures("keras_makes_float64", "graphs_compute_in_float64")

X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("switch", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_runs_as_it_is_called_whatever_the_model_does(switch: bool, training: bool) -> None:
    text = f"inputs: {{x: [4]}}\nlayers: [{{batch_normalization: {{training: {str(switch).lower()}}}}}]"
    theirs = keras.layers.BatchNormalization()
    expected = theirs(X, training=switch)
    outcome = run(graph_of(text), {"x": X}, training=training)
    torch.testing.assert_close(outcome.outputs["batch_normalization"], expected, rtol=1e-9, atol=1e-9)
    assert bool(outcome.updates) == switch


@pytest.mark.parametrize("training", [True, False])
def test_what_is_not_trainable_runs_as_in_inference_and_keeps_its_weights(training: bool) -> None:
    text = """
    inputs: {x: [4]}
    layers: [{dense: {units: 3, trainable: false}}, {batch_normalization: {trainable: false}}, {dense: 2}]
    """
    given = keras.Input([4], name="x")
    hidden = keras.layers.Dense(3, trainable=False)(given)
    normal = keras.layers.BatchNormalization(trainable=False)(hidden)
    model = keras.Model({"x": given}, keras.layers.Dense(2)(normal))
    outcome = assert_like_keras(graph_of(text), model, {"x": X}, training=training, named=False)
    assert not outcome.updates


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_layer_behind_adds_the_penalty_of_an_activity_regularizer(penalty: str) -> None:
    """The error for activity_regularizer in a layer without one suggests this."""
    text = f"inputs: {{x: [2, 2]}}\nlayers: [flatten, {{activity_regularization: {{{penalty}: 0.3}}}}]"
    regularizer = {"l1": keras.regularizers.L1, "l2": keras.regularizers.L2}[penalty](0.3)
    theirs = keras.layers.Flatten(activity_regularizer=regularizer)
    x = X.reshape(6, 2, 2)
    theirs(x)
    (loss,) = run(graph_of(text), {"x": x}, training=True).losses.values()
    torch.testing.assert_close(loss, theirs.losses[0], rtol=1e-6, atol=0)  # Keras holds the factor in float32
