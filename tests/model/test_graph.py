"""Graphs compute what Keras's functional models compute, and keep their contracts."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.common import dtypes
from torch import Tensor, nn

from kerascli.config.resolved import dump_model
from kerascli.config.yaml.dump import dump_yaml
from kerascli.config.yaml.text import parse_document
from kerascli.foundation import draws
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.losses.regression import MeanSquaredError
from kerascli.model.inference import shape_inference
from kerascli.model.inference.build import build
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.graph import Graph, GraphOutcome
from kerascli.model.runtime.weights import materialize
from tests.support.bounds import cpu_seconds, growth
from tests.support.models import parse_model


@pytest.fixture(autouse=True)
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras on torch casts 64-bit types to 32 bits, unlike on TensorFlow; make it compute in float64."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    keras.config.set_floatx("float32")


def built(text: str, **data_inputs: TensorSpec) -> Built:
    return build(parse_model(parse_document(text, "graph").data, data_inputs))


def graph_of(text: str, seed: int = 1, **data_inputs: TensorSpec) -> Graph:
    """Return a graph with allocated weights, as in a run."""
    graph = Graph(built(text, **data_inputs))
    materialize(graph, graph.weights(), seed=seed, device=torch.device("cpu"))
    return graph.double()


def run(graph: Graph, inputs: dict[str, Tensor], *, training: bool = False, seed: int = 0) -> GraphOutcome:
    with draws.using(draws.Draws(seed, "test", 0)):
        return graph.train(training)(inputs)


def faults(text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        built(text)
    return [fault.text for fault in caught.value.faults]


def give_weights(graph: Graph, model: Any) -> dict[str, Any]:
    """Copy the graph's weights to Keras's model, matched by our names."""
    # Keras keeps the weights of an lstm one level down, in a cell
    theirs = {weight.path.replace("/lstm_cell/", "/"): weight for weight in model.weights}
    assert sorted(theirs) == sorted(weight.name for weight in graph.weights())
    for weight in graph.weights():
        theirs[weight.name].assign(weight.keras().numpy())
    return theirs


def assert_like_keras(graph: Graph, model: Any, inputs: dict[str, Tensor]) -> None:
    """Compare the outputs at inference, and the gradients of their sum."""
    theirs = give_weights(graph, model)
    expected = model(inputs, training=False)
    got = run(graph, inputs).outputs
    assert list(got) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-9, atol=1e-9)
    for outputs in (got, expected):
        torch.stack([value.square().sum() for value in outputs.values()]).sum().backward()
    for weight in graph.weights():
        if weight.trainable:
            assert weight.tensor.grad is not None
            gradient = weight.spec.to_keras(weight.tensor.grad)
            torch.testing.assert_close(gradient, theirs[weight.name].value.grad, rtol=1e-9, atol=1e-9)


FORK = """
inputs: {left: [4], right: [6]}
layers:
  - dense: {units: 5, activation: relu, inputs: left}
  - dense: {units: 5, inputs: right}
  - multiply: {inputs: [dense, dense_1], name: both}
  - dense: {units: 3, activation: softmax, name: kind}
  - concatenate: [both, dense, both]
  - batch_normalization
  - dense: {units: 1, name: size}
outputs: [kind, size]
"""


class TestLikeKeras:
    def test_two_inputs_two_outputs_and_tensors_used_twice(self):
        graph = graph_of(FORK)
        left, right = keras.Input([4], name="left"), keras.Input([6], name="right")
        a = keras.layers.Dense(5, activation="relu", name="dense")(left)
        b = keras.layers.Dense(5, name="dense_1")(right)
        both = keras.layers.Multiply()([a, b])
        kind = keras.layers.Dense(3, activation="softmax", name="kind")(both)
        joined = keras.layers.BatchNormalization(name="batch_normalization")(
            keras.layers.Concatenate()([both, a, both])
        )
        size = keras.layers.Dense(1, name="size")(joined)
        model = keras.Model({"left": left, "right": right}, {"kind": kind, "size": size})
        assert_like_keras(graph, model, {"left": torch.randn(7, 4), "right": torch.randn(7, 6)})

    def test_a_chain_is_a_sequential_model_down_to_names_and_order_of_weights(self):
        graph = graph_of(
            """
            layers:
              - dense: {units: 5, input_shape: [4]}
              - batch_normalization
              - dense: 4
              - dense: {units: 2, use_bias: false}
            """
        )
        stack = [
            keras.layers.Dense(5, name="dense"),
            keras.layers.BatchNormalization(name="batch_normalization"),
            keras.layers.Dense(4, name="dense_1"),
            keras.layers.Dense(2, use_bias=False, name="dense_2"),
        ]
        x = keras.Input([4], name="x")
        y = x
        for layer in stack:
            y = layer(y)
        model = keras.Model({"x": x}, {"dense_2": y})
        assert graph.model.is_sequential
        assert [weight.name for weight in graph.weights()] == [weight.path for weight in model.weights]
        assert_like_keras(graph, model, {"x": torch.randn(3, 4)})

    def test_states_of_an_encoder_start_a_decoder(self):
        graph = graph_of(
            """
            inputs: {source: [5, 3], target: [4, 2]}
            layers:
              - lstm: {units: 6, return_state: true, inputs: source, name: encoder, outputs: [_, h, c]}
              - lstm: {units: 6, return_sequences: true, inputs: target, initial_state: [h, c], name: decoder}
            """
        )
        source, target = keras.Input([5, 3], name="source"), keras.Input([4, 2], name="target")
        _, h, c = keras.layers.LSTM(6, return_state=True, name="encoder")(source)
        y = keras.layers.LSTM(6, return_sequences=True, name="decoder")(target, initial_state=[h, c])
        model = keras.Model({"source": source, "target": target}, {"decoder": y})
        assert_like_keras(graph, model, {"source": torch.randn(3, 5, 3), "target": torch.randn(3, 4, 2)})


SCORES = {"return_attention_scores": True}
GROUPED = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
TOKENS = torch.tensor([[1, 2, 3, 0, 0], [4, 0, 2, 1, 0], [0, 0, 1, 1, 1]])


class TestMasks:
    TEXT = """
    inputs: {words: {shape: [5], dtype: int64}}
    layers:
      - embedding: {input_dim: 6, output_dim: 4, mask_zero: true, name: vectors}
      - dropout: 0.5
      - lstm: {units: 3, return_sequences: true, name: memory}
      - dense: {units: 2, name: answer}
    """

    def keras_model(self) -> Any:
        words = keras.Input([5], name="words", dtype="int64")
        y = keras.layers.Embedding(6, 4, mask_zero=True, name="vectors")(words)
        y = keras.layers.LSTM(3, return_sequences=True, name="memory")(keras.layers.Dropout(0.5)(y))
        return keras.Model({"words": words}, {"answer": keras.layers.Dense(2, name="answer")(y)})

    def test_a_mask_flows_from_the_embedding_through_dropout_into_the_lstm_and_out(self):
        graph, model = graph_of(self.TEXT), self.keras_model()
        give_weights(graph, model)
        expected = model({"words": TOKENS})["answer"]
        outcome = run(graph, {"words": TOKENS})
        torch.testing.assert_close(outcome.outputs["answer"], expected, rtol=1e-9, atol=1e-9)
        assert outcome.masks["answer"].tolist() == (TOKENS != 0).tolist()
        assert expected._keras_mask.tolist() == outcome.masks["answer"].tolist()

    def test_each_input_of_an_attention_brings_its_mask_and_that_of_the_query_goes_on(self):
        graph = graph_of(
            """
            inputs: {words: {shape: [5], dtype: int64}, others: {shape: [3], dtype: int64}}
            layers:
              - embedding: {input_dim: 6, output_dim: 4, mask_zero: true, inputs: words, name: source}
              - embedding: {input_dim: 6, output_dim: 4, mask_zero: true, inputs: others, name: target}
              - multi_head_attention: {num_heads: 2, key_dim: 3, inputs: [target, target], use_causal_mask: true,
                  return_attention_scores: true, outputs: [itself, scores]}
              - attention: {inputs: [itself, source], name: both}
            outputs: [both, scores]
            """
        )
        layers = keras.layers
        words, others = keras.Input([5], name="words", dtype="int64"), keras.Input([3], name="others", dtype="int64")
        source = layers.Embedding(6, 4, mask_zero=True, name="source")(words)
        target = layers.Embedding(6, 4, mask_zero=True, name="target")(others)
        attend = layers.MultiHeadAttention(2, 3, name="multi_head_attention")
        itself, scores = attend(target, target, use_causal_mask=True, return_attention_scores=True)
        both = layers.Attention(name="both")([itself, source])
        model = keras.Model({"words": words, "others": others}, {"both": both, "scores": scores})
        inputs = {"words": TOKENS, "others": torch.tensor([[1, 0, 2], [3, 4, 0], [5, 5, 1]])}
        assert_like_keras(graph, model, inputs)
        assert run(graph, inputs).masks["both"].tolist() == (inputs["others"] != 0).tolist()
        ours = [weight.name for weight in graph.weights() if weight.name.startswith("multi")]
        assert ours == [weight.path for weight in attend.weights]

    def test_a_reversed_embedding_makes_no_mask(self):
        text = "inputs: {{x: {}}}\nlayers: [{{reversible_embedding: {{{}, name: y}}}}]"
        table = "input_dim: 6, output_dim: 4, mask_zero: true"
        back = run(graph_of(text.format("[5, 4]", f"{table}, reverse: true")), {"x": torch.randn(2, 5, 4)})
        there = run(graph_of(text.format("{shape: [5], dtype: int64}", table)), {"x": TOKENS})
        assert back.outputs["y"].shape == (2, 5, 6)
        assert back.masks == {}
        assert there.masks["y"].tolist() == (TOKENS != 0).tolist()

    def test_masks_given_by_hand_replace_those_of_the_inputs_of_an_attention(self):
        text = """
        inputs: {{x: [3, 4], y: [5, 4], of_x: [3], of_y: {{shape: [5], dtype: int64}}}}
        layers: [{{attention: {{inputs: [x, y], mask: [{}], name: z}}}}]
        outputs: z
        """
        graph = graph_of(text.format("of_x, of_y"))
        x, y = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
        of_x, of_y = torch.tensor([[1.0, 0, 1], [0, 1, 1]]), torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 1, 1]])
        outcome = run(graph, {"x": x, "y": y, "of_x": of_x, "of_y": of_y})
        expected: Any = keras.layers.Attention()([x, y], mask=[of_x != 0, of_y != 0])
        torch.testing.assert_close(outcome.outputs["z"], expected, rtol=1e-9, atol=1e-9)
        assert outcome.masks["z"].tolist() == (of_x != 0).tolist()
        assert faults(text.format("of_y, of_x")) == [
            "'z' needs a mask of (None, 3) for an input of (None, 3, 4), got (None, 5)"
        ]

    def test_the_mask_of_the_output_is_that_of_the_loss(self):
        graph, model = graph_of(self.TEXT), self.keras_model()
        give_weights(graph, model)
        y_true = torch.randn(3, 5, 2)
        model.compile(loss={"answer": "mse"}, optimizer="sgd")
        expected = model.compute_loss(x=None, y={"answer": y_true}, y_pred=model({"words": TOKENS}))
        outcome = run(graph, {"words": TOKENS})
        got = MeanSquaredError()(y_true, outcome.outputs["answer"], mask=outcome.masks["answer"])
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize(
        ("merge", "layer"), [("add", "Add"), ("concatenate", "Concatenate"), ("average", "Average")]
    )
    def test_masks_are_merged_as_in_keras(self, merge, layer):
        text = f"""
        inputs: {{a: {{shape: [5], dtype: int64}}, b: {{shape: [5], dtype: int64}}}}
        layers:
          - embedding: {{input_dim: 6, output_dim: 4, mask_zero: true, inputs: a, name: one}}
          - embedding: {{input_dim: 6, output_dim: 4, mask_zero: true, inputs: b, name: two}}
          - {merge}: {{inputs: [one, two], name: both}}
        """
        a, b = (keras.Input([5], name=name, dtype="int64") for name in "ab")
        one, two = (keras.layers.Embedding(6, 4, mask_zero=True, name=name)(x) for name, x in (("one", a), ("two", b)))
        model = keras.Model({"a": a, "b": b}, {"both": getattr(keras.layers, layer)(name="both")([one, two])})
        graph = graph_of(text)
        give_weights(graph, model)
        inputs = {"a": TOKENS, "b": TOKENS.flip(1)}
        expected = model(inputs)["both"]
        got = run(graph, inputs)
        torch.testing.assert_close(got.outputs["both"], expected, rtol=1e-9, atol=1e-9)
        assert got.masks["both"].tolist() == expected._keras_mask.tolist()

    def test_a_mask_given_by_hand_wins(self):
        text = "inputs: {x: [5, 3], m: [5]}\nlayers: [{lstm: {units: 4, inputs: x, mask: m}}]"
        graph = graph_of(text)
        x = torch.randn(2, 5, 3)
        m = torch.tensor([[1.0, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
        got = run(graph, {"x": x, "m": m}).outputs["lstm"]
        short = run(graph, {"x": x[:1, :2], "m": m[:1, :2]}).outputs["lstm"]
        torch.testing.assert_close(got[:1], short, rtol=1e-9, atol=1e-9)

    def test_a_layer_that_knows_no_masks_drops_them(self):
        text = """
        inputs: {words: {shape: [5], dtype: int64}}
        layers: [{embedding: {input_dim: 6, output_dim: 4, mask_zero: true}}, flatten, {dense: 2}]
        """
        assert run(graph_of(text), {"words": TOKENS}).masks == {}


class TestSideResults:
    TEXT = """
    inputs: {x: [4]}
    layers:
      - dense: {units: 3, activity_regularizer: {l2: 0.5}, name: body}
      - batch_normalization
    """

    def test_new_moving_averages_come_as_values_and_nothing_is_stored(self):
        graph = graph_of(self.TEXT)
        x = torch.randn(8, 4)
        before = {w.name: w.tensor.clone() for w in graph.weights()}
        outcome = run(graph, {"x": x}, training=True)
        kernel, bias = before["body/kernel"], before["body/bias"]
        hidden = x @ kernel.T + bias
        assert outcome.updates.keys() == {
            "batch_normalization/moving_mean",
            "batch_normalization/moving_variance",
        }
        torch.testing.assert_close(
            outcome.updates["batch_normalization/moving_mean"], 0.01 * hidden.mean(0), rtol=1e-9, atol=1e-9
        )
        torch.testing.assert_close(
            outcome.updates["batch_normalization/moving_variance"],
            0.99 + 0.01 * hidden.var(0, correction=0),
            rtol=1e-9,
            atol=1e-9,
        )
        assert all(torch.equal(w.tensor, before[w.name]) for w in graph.weights())

    def test_penalties_on_activity_are_losses_by_node(self):
        graph = graph_of(self.TEXT)
        x = torch.randn(8, 4)
        weights = {w.name: w.tensor for w in graph.weights()}
        hidden = x @ weights["body/kernel"].T + weights["body/bias"]
        outcome = run(graph, {"x": x}, training=True)
        assert outcome.losses.keys() == {"body/activity"}
        torch.testing.assert_close(outcome.losses["body/activity"], 0.5 * hidden.square().sum() / 8)

    def test_inference_updates_nothing(self):
        assert run(graph_of(self.TEXT), {"x": torch.randn(8, 4)}).updates == {}


class TestShapes:
    @pytest.mark.parametrize(
        ("shape", "layers", "expected"),
        [
            ("[null, 3]", "[{dense: 5}]", (None, 5)),
            ("[null, 3]", "[{lstm: 5}]", (5,)),
            ("[null, 3]", "[{lstm: {units: 5, return_sequences: true}}]", (None, 5)),
            ("[null, null, 3]", "[{conv_2d: {filters: 2, kernel_size: 3}}]", (None, None, 2)),
            ("[null, null, 3]", "[{max_pooling_2d: 2}, {max_pooling_2d: 2}, {max_pooling_2d: 2}]", (None, None, 3)),
            (
                "[null, null, 3]",
                "[{conv_2d: {filters: 2, kernel_size: 7, strides: 2, padding: same}}]",
                (None, None, 2),
            ),
            ("[null, 28, 3]", "[{conv_2d: {filters: 2, kernel_size: 3, strides: 2}}]", (None, 13, 2)),
            ("[null, null, 3]", "[global_average_pooling_2d]", (3,)),
            ("[null, 4]", "[{permute: [2, 1]}]", (4, None)),
            ("[null, 4]", "[flatten]", (None,)),
            ("[null, 4]", "[{reshape: [-1, 2, 2]}]", (None, 2, 2)),
            ("[6, 4]", "[{reshape: [-1, 8]}]", (3, 8)),
        ],
    )
    def test_what_is_not_known_stays_unknown_and_the_rest_is_known(self, shape, layers, expected):
        found = built(f"inputs: {{x: {shape}}}\nlayers: {layers}")
        assert found.specs[found.model.outputs[0]].shape == expected

    def test_shapes_that_are_told_are_those_of_the_tensors(self):
        graph = graph_of(FORK)
        outcome = run(graph, {"left": torch.randn(3, 4), "right": torch.randn(3, 6)})
        for name, value in outcome.outputs.items():
            assert tuple(value.shape[1:]) == graph.specs[name].shape

    def test_one_graph_takes_sequences_of_any_length(self):
        graph = graph_of("inputs: {x: [null, 3]}\nlayers: [{lstm: 4}, {dense: 2}]")
        for length in (1, 5, 17):
            assert run(graph, {"x": torch.randn(2, length, 3)}).outputs["dense"].shape == (2, 2)

    def test_integers_are_cast_for_layers_that_compute(self):
        graph = graph_of("inputs: {x: {shape: [4], dtype: uint8}}\nlayers: [{dense: 2}]")
        x = torch.randint(0, 255, (3, 4), dtype=torch.uint8)
        (weight, bias) = (w.tensor for w in graph.weights())
        torch.testing.assert_close(run(graph, {"x": x}).outputs["dense"], x.double() @ weight.T + bias)


class TestWhen:
    TEXT = """
    inputs: {x: [4]}
    layers:
      - dense: {units: 4, name: body}
      - batch_normalization: {name: norm, when: %s}
      - dense: {units: 2, inputs: norm, name: head}
    """

    def test_a_node_that_is_left_out_passes_its_input_on_under_its_name(self):
        graph = graph_of(self.TEXT % "false")
        assert [node.name for node in graph.model.nodes] == ["body", "head"]
        assert graph.model.nodes[1].inputs == ("body",)

    def test_a_node_whose_when_is_true_is_built(self):
        assert [node.name for node in graph_of(self.TEXT % "true").model.nodes] == ["body", "norm", "head"]

    def test_what_is_left_out_is_still_checked(self):
        text = self.TEXT.replace("batch_normalization: {", "batch_normalization: {momentu: 3, ") % "false"
        assert faults(text) == ["unknown key 'momentu' in batch_normalization; did you mean 'momentum'?"]

    def test_the_node_before_one_that_is_left_out_is_prev(self):
        graph = graph_of("inputs: {x: [4]}\nlayers: [{dense: 3}, {dropout: {rate: 0.5, when: false}}, {dense: 2}]")
        assert graph.model.nodes[1].inputs == ("dense",)


class TestNames:
    def test_automatic_names_count_as_in_keras_and_step_aside(self):
        text = """
        inputs: {x: [4]}
        layers: [{dense: 3}, {dense: 3}, {dense: {units: 3, name: dense_2}}, {dense: 3}, relu, relu]
        """
        names = [node.name for node in built(text).model.nodes]
        assert names == ["dense", "dense_1", "dense_2", "dense_3", "relu", "relu_1"]

    def test_a_layer_may_have_its_own_name(self):
        names = [
            node.name
            for node in built("inputs: {x: [4]}\nlayers: [{dense: {units: 3, name: dense}}, {dense: 3}]").model.nodes
        ]
        assert names == ["dense", "dense_1"]

    def test_two_nodes_cannot_share_a_name_whatever_their_results_are_called(self):
        text = """
        inputs: {x: [4]}
        layers:
          - dense: {units: 3, name: a, outputs: p}
          - dense: {units: 3, name: a, outputs: q}
        """
        assert faults(text) == ["there is a node 'a' already"]

    def test_its_own_name_twice(self):
        text = "inputs: {x: [4]}\nlayers: [{dense: {units: 3, name: dense}}, {dense: {units: 3, name: dense}}]"
        assert faults(text) == ["there is a node 'dense' already"]


class TestWeights:
    def test_first_values_depend_on_the_seed_and_the_name_alone(self):
        alone = graph_of("inputs: {x: [4]}\nlayers: [{dense: {units: 3, name: head}}]", seed=5)
        among = graph_of(
            "inputs: {x: [4]}\nlayers: [{dense: {units: 4, name: body}}, relu, {dense: {units: 3, name: head}}]",
            seed=5,
        )
        other = graph_of("inputs: {x: [4]}\nlayers: [{dense: {units: 3, name: head}}]", seed=6)
        renamed = graph_of("inputs: {x: [4]}\nlayers: [{dense: {units: 3, name: tail}}]", seed=5)
        (kernel,) = (w.tensor for w in alone.weights() if w.name == "head/kernel")
        (same,) = (w.tensor for w in among.weights() if w.name == "head/kernel")
        assert torch.equal(kernel, same)
        assert not torch.equal(kernel, other.weights()[0].tensor)
        assert not torch.equal(kernel, renamed.weights()[0].tensor)

    def test_a_frozen_layer_has_no_trainable_weights(self):
        graph = graph_of("inputs: {x: [4]}\nlayers: [{dense: {units: 3, trainable: false}}, {dense: 2}]")
        assert [w.name for w in graph.weights() if w.trainable] == ["dense_1/kernel", "dense_1/bias"]
        assert [w.tensor.requires_grad for w in graph.weights()] == [False, False, True, True]


class TestDraws:
    def outputs(self, layers: str, *, seed: int = 3) -> Tensor:
        graph = graph_of(f"inputs: {{x: [64]}}\nlayers: {layers}\noutputs: kept")
        return run(graph, {"x": torch.ones(4, 64)}, training=True, seed=seed).outputs["kept"]

    def test_a_node_keeps_its_numbers_when_another_is_added(self):
        alone = self.outputs("[{dropout: {rate: 0.5, name: kept}}]")
        among = self.outputs(
            "[{gaussian_noise: {stddev: 1e-9, name: before}}, {dropout: {rate: 0.5, name: other}},"
            " {add: {inputs: [x, other], name: sum}}, {dropout: {rate: 0.5, name: kept}}]"
        )
        assert torch.equal(alone == 0, among == 0)
        assert (alone == 0).any()

    def test_the_numbers_change_with_the_seed_and_the_name(self):
        alone = self.outputs("[{dropout: {rate: 0.5, name: kept}}]")
        assert not torch.equal(alone, self.outputs("[{dropout: {rate: 0.5, name: kept}}]", seed=4))

    def test_training_beside_a_layer_runs_it_in_that_mode_and_leaves_it_as_it_was(self):
        text = "inputs: {x: [64]}\nlayers: [{dropout: {rate: 0.5, training: %s}}]"
        x = torch.ones(4, 64)
        always = graph_of(text % "true")
        assert (run(always, {"x": x}).outputs["dropout"] == 0).any()
        assert not any(module.training for module in always.modules())
        assert torch.equal(run(graph_of(text % "false"), {"x": x}, training=True).outputs["dropout"], x)


ROUND_TRIPS = [
    FORK,
    TestMasks.TEXT,
    TestWhen.TEXT % "false",
    """
    inputs: {source: [5, 3], target: [4, 2], m: [5]}
    layers:
      - lstm: {units: 6, return_state: true, inputs: source, mask: m, outputs: [_, h, c]}
      - lstm: {units: 6, return_sequences: true, inputs: target, initial_state: [h, c], training: false}
      - dense: {units: 2, kernel_initializer: {random_normal: {stddev: 0.2}}, kernel_regularizer: {l1_l2: {l1: 0.1}}}
    """,
    """
    layers:
      - conv_2d: {filters: 2, kernel_size: [3, 1], input_shape: [null, 8, 1]}
      - global_average_pooling_2d
      - dense: 3
    """,
]


@pytest.mark.parametrize("text", ROUND_TRIPS)
def test_a_model_that_is_written_out_reads_back_as_an_equal_one(text: str) -> None:
    model = parse_model(parse_document(text, "graph").data, {})
    again = parse_model(parse_document(dump_yaml(dump_model(model)), "again").data, {})
    assert again == model
    assert dump_model(again) == dump_model(model)


class TestSize:
    @pytest.mark.parametrize(
        "layers",
        [
            "[{dense: 1000000000000}]",
            "[{dense: 1000000000000}, {dense: 1000000000000}]",
            "[{dense: 9007199254740992}]",
            "[{dense: 40000}, {dense: 60000}]",
        ],
    )
    def test_too_many_parameters_are_refused_before_any_memory_is_taken(self, layers):
        tracemalloc.start()
        (text,) = faults(f"inputs: {{x: [4]}}\nlayers: {layers}")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert "parameters" in text
        assert peak < 50e6

    def test_a_tensor_is_freed_when_nobody_needs_it_any_more(self):
        graph = graph_of("inputs: {x: [4]}\nlayers: [{dense: 4}, {dense: 4}, {dense: 4}, {dense: 4}]")
        alive: list[weakref.ref[Tensor]] = []
        most = 0

        def watch(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            nonlocal most
            alive.append(weakref.ref(output))
            most = max(most, sum(ref() is not None for ref in alive))

        for module in graph.nodes:
            module.register_forward_hook(watch)
        with torch.no_grad():
            outcome = run(graph, {"x": torch.randn(2, 4)})
        gc.collect()
        assert most <= 2  # what a layer is given, and what it makes
        assert sum(ref() is not None for ref in alive) == len(outcome.outputs) == 1

    def test_an_output_is_kept_though_a_later_node_uses_it(self):
        graph = graph_of(
            "inputs: {x: [4]}\nlayers: [{dense: {units: 4, name: a}}, {dense: {units: 4, name: b}}]\noutputs: [a, b]"
        )
        assert list(run(graph, {"x": torch.randn(2, 4)}).outputs) == ["a", "b"]

    def test_three_hundred_layers_are_built_in_seconds_not_minutes(self):
        layers = "\n".join(
            "  - dense: {units: 8, activation: relu}\n  - batch_normalization\n  - dropout: 0.1" for _ in range(100)
        )
        with cpu_seconds():
            graph = Graph(built(f"inputs: {{x: [8]}}\nlayers:\n{layers}"))
        assert len(graph.nodes) == 300

    def test_reading_ten_thousand_nodes_takes_no_quadratic_time(self):
        def parsed(nodes: int) -> str:
            return parse_model({"inputs": {"x": [8]}, "layers": [{"dropout": 0.1}] * nodes}, {}).nodes[-1].name

        assert parsed(10_000) == "dropout_9999"
        assert growth(lambda: parsed(1_000), lambda: parsed(10_000)) < 40  # 10, and 100 if it were quadratic


def test_values_of_numpy_reach_the_graph_as_they_are() -> None:
    """Inputs are cast to the declared dtype directly, not through float32."""
    graph = graph_of("inputs: {x: [3]}\nlayers: [relu]")
    x = np.random.default_rng(0).normal(size=(2, 3)) ** 2
    assert np.array_equal(run(graph, {"x": torch.from_numpy(x)}).outputs["relu"].numpy(), x)


@pytest.mark.parametrize(
    ("name", "config", "call"),
    [
        ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, {}),
        ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "activity_regularizer": "l2"}, {}),
        ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "activity_regularizer": "l1"}, SCORES),
        ("GroupQueryAttention", {**GROUPED, "activity_regularizer": "l2"}, {}),
        ("GroupQueryAttention", {**GROUPED, "activity_regularizer": "l2"}, SCORES),
    ],
)
def test_penalties_of_results_are_those_of_keras(name, config, call):
    inputs = "[x, y]" if "Attention" in name else "x"
    settings = ", ".join(f"{key}: {str(value).lower()}" for key, value in {**config, **call}.items())
    use = "inputs: {x: [3, 4], y: [5, 4]}" if "y" in inputs else "inputs: {x: [3, 4]}"
    graph = graph_of(f"{use}\nlayers: [{{{name}: {{{settings}, inputs: {inputs}, name: z}}}}]\noutputs: z")
    theirs = getattr(keras.layers, name)(**config)
    given = {"x": torch.randn(2, 3, 4), "y": torch.randn(2, 5, 4)}
    xs = [given[key] for key in graph.model.nodes[0].inputs]
    theirs(*xs, **call)
    for weight, other in zip(graph.weights(), theirs.weights, strict=True):
        other.assign(weight.keras().numpy())
    theirs(*xs, **call)
    losses = run(graph, given).losses
    torch.testing.assert_close(sum(losses.values()), sum(theirs.losses), rtol=1e-9, atol=1e-9)


def test_a_call_may_be_called_what_a_tensor_inside_of_it_is_called() -> None:
    text = """
    inputs: {x: [3]}
    shared: {tower: {layers: [{dense: {units: 3, name: a}}, {rescaling: {scale: 2, name: b}}]}}
    layers: [{tower: {inputs: x, name: a}}, {subtract: [a, a.a]}, {add: [subtract, a.b]}]
    """
    graph = graph_of(text)
    x = torch.ones(2, 3)
    outputs = run(graph, {"x": x}).outputs
    dense = x @ graph.weights()[0].keras()
    torch.testing.assert_close(outputs["add"], 2 * dense - dense + 2 * dense)


def test_of_equal_layers_on_equal_tensors_one_is_tried_and_others_are_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []
    run_it = shape_inference._infer_outputs
    monkeypatch.setattr(
        shape_inference, "_infer_outputs", lambda node, *more: tried.append(node.name) or run_it(node, *more)
    )
    found = built("""
    inputs: {x: {shape: [4], dtype: float64}, t: [null, 4]}
    layers:
      - dense: {units: 4, inputs: x, name: a}
      - dense: {units: 4, name: b}
      - dense: {units: 3, name: c}
      - dense: {units: 4, inputs: t, name: d}
      - lstm: {units: 4, inputs: t, name: e}
      - lstm: {units: 4, inputs: t, initial_state: [a, b], name: f}
      - lstm: {units: 4, inputs: t, initial_state: [b, a], name: g}
      - expr: {value: "a + b", name: h}
    outputs: [c, d, e, f, g, h]
    """)
    assert tried == ["a", "c", "d", "e", "f", "h"]
    assert [found.specs[name].whole for name in "bcdg"] == [(None, 4), (None, 3), (None, None, 4), (None, 4)]
