"""A shared model in time_distributed compared with Keras's: outputs, gradients, updates, losses."""

from typing import Any

import keras
import pytest
import torch

from tests.parity.ledger import note
from tests.parity.test_shared import _in_float64, assert_like_keras, graph_of, run  # noqa: F401

layers = keras.layers

CONVOLVES = """
inputs: {frames: [5, 6, 6, 2]}
shared:
  tower:
    layers:
      - conv_2d: {filters: 3, kernel_size: 3, activation: relu}
      - flatten
      - dense: {units: 4, activation: tanh, name: features}
layers:
  - time_distributed: tower
  - lstm: 3
"""


def convolves() -> Any:
    tower = keras.Sequential([
        layers.Input([6, 6, 2]), layers.Conv2D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(4, "tanh"),
    ])  # fmt: skip
    x = keras.Input([5, 6, 6, 2], name="frames")
    return keras.Model({"frames": x}, layers.LSTM(3)(layers.TimeDistributed(tower)(x)))


NORMALIZES = """
inputs: {frames: [5, 4]}
shared:
  tower:
    layers:
      - dense: {units: 3, activity_regularizer: {l2: 0.01}, name: d}
      - batch_normalization: {momentum: 0.9, name: n}
      - relu
layers:
  - time_distributed: {layer: tower, name: t}
"""


def normalizes() -> Any:
    regularizer = keras.regularizers.L2(0.01)
    tower = keras.Sequential([
        layers.Input([4]), layers.Dense(3, activity_regularizer=regularizer, name="d"),
        layers.BatchNormalization(momentum=0.9, name="n"), layers.ReLU(),
    ])  # fmt: skip
    x = keras.Input([5, 4], name="frames")
    return keras.Model({"frames": x}, layers.TimeDistributed(tower, name="t")(x))


READS = """
inputs: {sentences: {shape: [3, 6], dtype: int64}}
shared:
  sentence:
    layers:
      - embedding: {input_dim: 7, output_dim: 4, mask_zero: true}
      - gru: 5
layers:
  - time_distributed: sentence
  - gru: 2
"""


def reads() -> Any:
    words = keras.Input([6], dtype="int64")
    sentence = keras.Model(words, layers.GRU(5)(layers.Embedding(7, 4, mask_zero=True)(words)))
    x = keras.Input([3, 6], dtype="int64", name="sentences")
    return keras.Model({"sentences": x}, layers.GRU(2)(layers.TimeDistributed(sentence)(x)))


MASKED = """
inputs: {x: [5, 4]}
shared:
  tower: {layers: [{dense: {units: 3, activation: tanh}}]}
layers:
  - masking: {mask_value: 0.0}
  - time_distributed: tower
  - lstm: 2
"""


def masked() -> Any:
    tower = keras.Sequential([layers.Input([4]), layers.Dense(3, "tanh")])
    x = keras.Input([5, 4], name="x")
    return keras.Model({"x": x}, layers.LSTM(2)(layers.TimeDistributed(tower)(layers.Masking(0.0)(x))))


TWICE = """
inputs: {frames: [4, 3], one: [3]}
shared:
  tower: {layers: [{dense: {units: 3, activation: tanh, name: d}}, {batch_normalization: {name: n}}]}
layers:
  - time_distributed: {layer: tower, inputs: frames, name: steps}
  - tower: {inputs: one, name: single}
outputs: [single, steps]
"""


def twice() -> Any:
    tower = keras.Sequential([
        layers.Input([3]), layers.Dense(3, "tanh", name="d"), layers.BatchNormalization(name="n"),
    ])  # fmt: skip
    frames, one = keras.Input([4, 3], name="frames"), keras.Input([3], name="one")
    return keras.Model({"frames": frames, "one": one}, [tower(one), layers.TimeDistributed(tower)(frames)])


def _given(name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    match name:
        case "reads":
            return {"sentences": torch.randint(0, 7, (4, 3, 6)) * torch.tensor([1, 1, 1, 1, 0, 0])}
        case "twice":
            return {"frames": torch.randn(4, 4, 3), "one": torch.randn(4, 3)}
        case "masked":
            x = torch.randn(4, 5, 4)
            x[1, 3:] = x[2, :2] = 0
            return {"x": x}
        case "convolves":
            return {"frames": torch.randn(3, 5, 6, 6, 2)}
    return {"frames": torch.randn(4, 5, 4)}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("text", "model"),
    [(CONVOLVES, convolves), (NORMALIZES, normalizes), (READS, reads), (MASKED, masked), (TWICE, twice)],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_model_on_every_step_is_as_in_keras(text: str, model: Any, training: bool) -> None:
    assert_like_keras(graph_of(text), model(), _given(model.__name__), training=training, named=False)
    note("layer", "time_distributed", f"over a model: {model.__name__}, training={training}")


def test_losses_of_inner_layers_are_summed_over_steps() -> None:
    text = NORMALIZES
    frozen = text.replace("      - batch_normalization: {momentum: 0.9, name: n}\n", "")
    for case in (text, frozen):  # step by step, and at once
        graph, x = graph_of(case), torch.randn(4, 5, 4)
        kernel = next(weight.keras() for weight in graph.weights() if weight.name == "tower/d/kernel")
        found = run(graph, {"frames": x}, training=True)
        torch.testing.assert_close(found.losses["t/tower/d/activity"], 0.01 * (x @ kernel).square().sum() / 4)


def test_a_model_on_every_step_has_the_weights_that_its_calls_have() -> None:
    graph = graph_of(TWICE)
    assert [weight.name for weight in graph.weights()] == [
        f"tower/{name}" for name in ("d/kernel", "d/bias", "n/gamma", "n/beta", "n/moving_mean", "n/moving_variance")
    ]
    alone = graph_of(TWICE.replace("steps]", "steps]").replace("[single, steps]", "[steps]").replace(
        "  - tower: {inputs: one, name: single}\n", "").replace(", one: [3]", ""))  # fmt: skip
    assert [weight.name for weight in alone.weights()] == [weight.name for weight in graph.weights()]


def test_a_frozen_model_is_frozen_on_every_step() -> None:
    text = NORMALIZES.replace("  tower:\n", "  tower:\n    trainable: false\n")
    graph = graph_of(text)
    assert not any(weight.trainable for weight in graph.weights())
    assert not run(graph, {"frames": torch.randn(4, 5, 4)}, training=True).updates


def test_a_view_may_call_a_model_on_every_step() -> None:
    text = """
    inputs: {x: [4]}
    shared: {tower: {layers: [{dense: {units: 3, activation: tanh, name: d}}]}}
    layers: [tower]
    views: {steps: {inputs: {s: [5, 4]}, layers: [{time_distributed: {layer: tower, inputs: s}}]}}
    """
    graph = graph_of(text)
    assert [weight.name for weight in graph.weights()] == ["tower/d/kernel", "tower/d/bias"]
