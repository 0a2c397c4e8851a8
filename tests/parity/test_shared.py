"""Shared layers and nested models compared with Keras's: outputs, gradients, names, updates and losses."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Iterator
from typing import Any

import keras
import pytest
import torch
from keras.src.backend.common import dtypes
from torch import Tensor

from kerascli.config.composition.references import References
from kerascli.config.resolved import dump_model
from kerascli.config.yaml.text import parse_document
from kerascli.foundation import draws
from kerascli.model.inference.build import build
from kerascli.model.runtime.graph import Graph, GraphOutcome
from kerascli.model.runtime.weights import materialize
from tests.support.models import parse_model

layers = keras.layers


@pytest.fixture(autouse=True)
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    keras.config.set_floatx("float32")


def graph_of(text: str) -> Graph:
    """Return a graph with allocated weights, whose dumped model reads back as the same model."""
    document = parse_document(text, "graph")
    model = parse_model(document.data, {}, references=References(document, {}, None))
    assert parse_model(dump_model(model), {}) == model
    graph = Graph(build(model))
    materialize(graph, graph.weights(), seed=1, device=torch.device("cpu"))
    return graph.double()


def run(graph: Graph, inputs: dict[str, Tensor], *, training: bool, seed: int = 0) -> GraphOutcome:
    with draws.using(draws.Draws(seed, "test", 0)):
        return graph.train(training)(inputs)


def assert_like_keras(
    graph: Graph, model: Any, inputs: dict[str, Tensor], *, training: bool = True, named: bool = True
) -> GraphOutcome:
    """Compare weights in order, outputs, gradients, moving statistics and added losses."""
    ours, theirs = graph.weights(), model.weights
    # Keras names the weights of nested models by their layers alone
    if named:
        assert [w.name.split("/")[-2:] for w in ours] == [w.path.split("/")[-2:] for w in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        other.assign(mine.keras().numpy())
    expected = keras.tree.flatten(model(inputs, training=training))
    outcome = run(graph, inputs, training=training)
    got = list(outcome.outputs.values())
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    totals = [sum(v.square().sum() for v in got), sum(v.square().sum() for v in expected)]
    added = [torch.stack([*outcome.losses.values(), torch.zeros(())]).sum(), sum(model.losses, torch.zeros(()))]
    torch.testing.assert_close(*added, rtol=1e-9, atol=1e-9)
    for total, more in zip(totals, added, strict=True):
        (total + more).backward()
    for mine, other in zip(ours, theirs, strict=True):
        if mine.trainable and other.value.grad is not None:
            assert mine.tensor.grad is not None
            torch.testing.assert_close(mine.spec.to_keras(mine.tensor.grad), other.value.grad, rtol=1e-9, atol=1e-9)
        assert mine.trainable == other.trainable
        after = outcome.updates.get(mine.name)
        if after is not None:
            torch.testing.assert_close(after, other.value.detach(), rtol=1e-9, atol=1e-9)
    return outcome


PAIR = {"left": torch.randn(6, 4, 4, 1).double(), "right": torch.randn(6, 4, 4, 1).double() * 3 + 1}


class TestSiamese:
    TEXT = """
    inputs: {left: [4, 4, 1], right: [4, 4, 1]}
    shared:
      tower:
        layers:
          - conv_2d: {filters: 3, kernel_size: 3, activation: tanh}
          - batch_normalization
          - flatten
          - dense: {units: 5, activity_regularizer: {l2: 0.1}, name: features}
      score: {dense: 1}
    layers:
      - tower: {inputs: left, name: a}
      - tower: {inputs: right, name: b}
      - subtract: [a, b]
      - score
    """

    def keras_model(self) -> Any:
        stack = [
            layers.Conv2D(3, 3, activation="tanh", name="conv_2d"),
            layers.BatchNormalization(name="batch_normalization"),
            layers.Flatten(),
            layers.Dense(5, activity_regularizer=keras.regularizers.L2(0.1), name="features"),
        ]
        tower = keras.Sequential([keras.Input([4, 4, 1]), *stack], name="tower")
        left, right = keras.Input([4, 4, 1], name="left"), keras.Input([4, 4, 1], name="right")
        y = layers.Subtract()([tower(left), tower(right)])
        return keras.Model({"left": left, "right": right}, layers.Dense(1, name="score")(y))

    @pytest.mark.parametrize("training", [True, False])
    def test_a_tower_on_two_inputs(self, training: bool) -> None:
        assert_like_keras(graph_of(self.TEXT), self.keras_model(), PAIR, training=training)

    def test_its_weights_are_named_by_what_is_shared_and_counted_once(self) -> None:
        names = [weight.name for weight in graph_of(self.TEXT).weights()]
        assert names[0] == "tower/conv_2d/kernel"
        assert names[-4:] == ["tower/features/kernel", "tower/features/bias", "score/kernel", "score/bias"]
        assert len(set(names)) == len(names) == 10

    def test_the_second_call_goes_on_from_the_statistics_that_the_first_has_left(self) -> None:
        graph, momentum = graph_of(self.TEXT), 0.99
        outcome = run(graph, PAIR, training=True)
        kernel, bias = (w.tensor for w in graph.weights()[:2])
        means = [torch.conv2d(x.permute(0, 3, 1, 2), kernel, bias).tanh().mean((0, 2, 3)) for x in PAIR.values()]
        wanted = momentum * (1 - momentum) * means[0] + (1 - momentum) * means[1]
        got = outcome.updates["tower/batch_normalization/moving_mean"]
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)

    def test_each_call_has_its_own_loss_of_activity(self) -> None:
        assert set(run(graph_of(self.TEXT), PAIR, training=True).losses) == {
            "a.features/activity",
            "b.features/activity",
        }

    def test_a_frozen_tower_is_frozen_as_in_keras(self) -> None:
        model = self.keras_model()
        model.get_layer("tower").trainable = False
        graph = graph_of(self.TEXT.replace("      tower:\n", "      tower:\n        trainable: false\n"))
        ours = {w.name for w in graph.weights() if w.trainable}
        assert ours == {"score/kernel", "score/bias"}
        outcome = run(graph, PAIR, training=True)
        assert outcome.updates == {}
        assert len(model.trainable_weights) == 2


def test_a_shared_embedding_hands_its_masks_to_both_recurrent_layers() -> None:
    graph = graph_of(
        """
        inputs: {story: {shape: [5], dtype: int64}, question: {shape: [3], dtype: int64}}
        shared: {words: {embedding: {input_dim: 7, output_dim: 4, mask_zero: true}}}
        layers:
          - words: story
          - lstm: {units: 3, name: one}
          - words: question
          - lstm: {units: 3, name: two}
          - concatenate: [one, two]
          - dense: 2
        """
    )
    story, question = keras.Input([5], name="story", dtype="int64"), keras.Input([3], name="question", dtype="int64")
    words = layers.Embedding(7, 4, mask_zero=True, name="words")
    one = layers.LSTM(3, name="one")(words(story))
    two = layers.LSTM(3, name="two")(words(question))
    model = keras.Model(
        {"story": story, "question": question}, layers.Dense(2, name="dense")(layers.Concatenate()([one, two]))
    )
    theirs = {w.path.replace("lstm_cell/", ""): w for w in model.weights}
    for weight in graph.weights():
        theirs[weight.name].assign(weight.keras().numpy())
    inputs = {
        "story": torch.tensor([[1, 2, 0, 0, 0], [3, 4, 5, 6, 1]]),
        "question": torch.tensor([[1, 0, 0], [2, 6, 0]]),
    }
    expected, outcome = model(inputs), run(graph, inputs, training=False)
    torch.testing.assert_close(outcome.outputs["dense"], expected, rtol=1e-9, atol=1e-9)
    for value in (expected, outcome.outputs["dense"]):
        value.square().sum().backward()
    for weight in graph.weights():
        grad = theirs[weight.name].value.grad
        assert weight.tensor.grad is not None
        torch.testing.assert_close(weight.spec.to_keras(weight.tensor.grad), grad, rtol=1e-9, atol=1e-9)


def test_a_functional_model_inside_a_stack_with_two_inputs_and_two_outputs() -> None:
    graph = graph_of(
        """
        inputs: {x: [4], y: [4]}
        shared:
          pair:
            inputs: [p, q]
            layers:
              - dense: {units: 3, inputs: p, activation: tanh, name: one}
              - dense: {units: 3, inputs: q, name: two}
              - multiply: {inputs: [one, two], name: both}
            outputs: [both, two]
        layers:
          - pair: {inputs: [x, y], outputs: [u, v]}
          - pair: {inputs: [y, x], name: again, outputs: [_, w]}
          - concatenate: [u, v, w, again.one]
          - dense: 2
        """
    )
    p, q = keras.Input([4]), keras.Input([4])
    one, two = layers.Dense(3, activation="tanh", name="one"), layers.Dense(3, name="two")
    inner = keras.Model([p, q], [layers.Multiply()([a := one(p), b := two(q)]), b, a], name="pair")
    x, y = keras.Input([4], name="x"), keras.Input([4], name="y")
    (u, v, _), (_, w, again) = inner([x, y]), inner([y, x])
    model = keras.Model({"x": x, "y": y}, layers.Dense(2, name="dense")(layers.Concatenate()([u, v, w, again])))
    assert_like_keras(graph, model, {"x": torch.randn(5, 4), "y": torch.randn(5, 4)})


def test_a_model_in_a_model_in_a_model() -> None:
    graph = graph_of(
        """
        inputs: {x: [4]}
        shared:
          outer:
            shared:
              inner: {layers: [{dense: {units: 4, activation: tanh}}, batch_normalization]}
            layers: [inner, {inner: {name: twice}}, {dense: 4}]
        layers: [outer, {outer: {name: more}}, {dense: 1, }]
        """
    )
    stack = [layers.Dense(4, activation="tanh", name="dense"), layers.BatchNormalization(name="batch_normalization")]
    inner = keras.Sequential([keras.Input([4]), *stack], name="inner")
    x = keras.Input([4])
    outer = keras.Model(x, layers.Dense(4, name="dense")(inner(inner(x))), name="outer")
    x = keras.Input([4], name="x")
    model = keras.Model({"x": x}, layers.Dense(1, name="dense")(outer(outer(x))))
    assert_like_keras(graph, model, {"x": torch.randn(6, 4)})
    assert graph.weights()[0].name == "outer/inner/dense/kernel"


def test_a_generator_below_a_frozen_discriminator() -> None:
    graph = graph_of(
        """
        inputs: {z: [3]}
        shared:
          generator: {layers: [{dense: {units: 6, activation: relu}}, {dense: 4}]}
          discriminator:
            trainable: false
            layers: [{dense: {units: 6}}, {leaky_relu: 0.2}, {dense: {units: 1, activation: sigmoid}}]
        layers: [generator, discriminator]
        """
    )
    generator = keras.Sequential(
        [keras.Input([3]), layers.Dense(6, activation="relu", name="dense"), layers.Dense(4, name="dense_1")]
    )
    judge = [
        layers.Dense(6, name="dense"),
        layers.LeakyReLU(0.2),
        layers.Dense(1, activation="sigmoid", name="dense_1"),
    ]
    discriminator = keras.Sequential([keras.Input([4]), *judge])
    discriminator.trainable = False
    z = keras.Input([3], name="z")
    model = keras.Model({"z": z}, discriminator(generator(z)))
    assert_like_keras(graph, model, {"z": torch.randn(6, 3)})


def test_residual_blocks_are_the_layers_that_a_function_would_make() -> None:
    graph = graph_of(
        """
        inputs: {x: [6, 6, 2]}
        blocks:
          residual:
            parameters: {filters: , strides: 1, project: false}
            layers:
              - conv_2d: {filters: $filters, kernel_size: 3, strides: $strides, padding: same, use_bias: false}
              - batch_normalization
              - conv_2d: {filters: $filters, kernel_size: 1, strides: $strides, inputs: input, name: skip,
                  when: $project}
              - add: {inputs: [batch_normalization, skip]}
              - relu
        layers:
          - repeat: {times: 2, layers: [{residual: 2}]}
          - repeat: {each: [3, 4], as: width, layers: [{residual: {filters: $width, strides: 2, project: true}}]}
          - flatten
          - repeat: {times: 2, index: i, layers: [{dense: {units: "$(4 - i)", name: "head_$(i)"}}]}
        """
    )
    numbers = iter(range(9))

    def residual(x: Any, filters: int, strides: int = 1, skip: str | None = None) -> Any:
        number = next(numbers)
        end = f"_{number}" if number else ""
        y = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False, name=f"conv_2d{end}")(x)
        y = layers.BatchNormalization(name=f"batch_normalization{end}")(y)
        x = x if skip is None else layers.Conv2D(filters, 1, strides, name=skip)(x)
        return layers.ReLU()(layers.Add()([y, x]))

    x = keras.Input([6, 6, 2], name="x")
    y = residual(residual(x, 2), 2)
    y = residual(residual(y, 3, 2, "skip"), 4, 2, "skip_1")
    y = layers.Dense(3, name="head_1")(layers.Dense(4, name="head_0")(layers.Flatten()(y)))
    model = keras.Model({"x": x}, y)
    theirs = {w.path: w for w in model.weights}
    assert sorted(theirs) == sorted(w.name for w in graph.weights())
    for weight in graph.weights():
        theirs[weight.name].assign(weight.keras().numpy())
    inputs = {"x": torch.randn(5, 6, 6, 2)}
    expected = model(inputs, training=True)
    got = run(graph, inputs, training=True).outputs["head_1"]
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    for value in (expected, got):
        value.square().sum().backward()
    for weight in graph.weights():
        if weight.trainable:
            grad = theirs[weight.name].value.grad
            assert weight.tensor.grad is not None
            torch.testing.assert_close(weight.spec.to_keras(weight.tensor.grad), grad, rtol=1e-9, atol=1e-9)


def test_calls_draw_numbers_of_their_own() -> None:
    text = """
    inputs: {x: [50]}
    shared: {t: {layers: [{dropout: 0.5}]}}
    layers: [{t: {name: a, inputs: x}}, {t: {name: b, inputs: x}}]
    outputs: [a, b]
    """
    outputs = run(graph_of(text), {"x": torch.ones(20, 50)}, training=True).outputs
    assert not torch.equal(outputs["a"], outputs["b"])
    assert torch.equal(run(graph_of(text), {"x": torch.ones(20, 50)}, training=True).outputs["b"], outputs["b"])


def test_a_call_may_run_as_in_inference() -> None:
    text = "inputs: {x: [50]}\nshared: {t: {layers: [{dropout: 0.5}]}}\nlayers: [{t: {training: false}}]"
    x = torch.ones(4, 50)
    assert torch.equal(run(graph_of(text), {"x": x}, training=True).outputs["t"], x)


def test_a_layer_is_made_for_each_shape_that_it_is_called_on() -> None:
    """Weights are shared; a module's other state, such as the axis of a flattening, is not."""
    text = """
    inputs: {x: [3, 4], y: [5, 2, 4]}
    shared: {t: {layers: [{dense: 4}, {layer_normalization: {axis: -1}}, flatten]}}
    layers: [{t: {inputs: x, name: a}}, {t: {inputs: y, name: b}}]
    outputs: [a, b]
    """
    graph = graph_of(text)
    x, y = torch.randn(2, 3, 4), torch.randn(2, 5, 2, 4)
    stack = keras.Sequential([layers.Dense(4), layers.LayerNormalization()])
    stack.build([None, 3, 4])
    for mine, other in zip(graph.weights(), stack.weights, strict=True):
        other.assign(mine.keras().numpy())
    outputs = run(graph, {"x": x, "y": y}, training=False).outputs
    for name, given in (("a", x), ("b", y)):
        expected = torch.stack([stack(part) for part in given.reshape(2, -1, given.shape[-2], 4)]).flatten(1)
        torch.testing.assert_close(outputs[name], expected, rtol=1e-9, atol=1e-9)
