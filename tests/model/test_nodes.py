"""Weight nodes, updates and targets in formulas compute as custom Keras layers do, eager or traced."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.common import dtypes
from torch import Tensor
from torch.nn import functional as F

from kerascli.config.resolved import dump_model
from kerascli.config.yaml.text import parse_document
from kerascli.foundation import draws
from kerascli.foundation.errors import KerasCliError
from kerascli.foundation.shapes import TensorSpec
from kerascli.model.inference.build import build
from kerascli.model.runtime.graph import Graph, GraphOutcome
from kerascli.model.runtime.summary import summarize
from kerascli.model.runtime.weights import materialize
from kerascli.report.summary import render
from kerascli.runs.index import find_run
from kerascli.workflow.interchange.exporting import export_run
from tests.support.fit_harness import Arrays, Trained, assert_close, prepare, train_keras, weights_of
from tests.support.models import parse_model
from tests.support.runs_harness import go_on, outcome, train, write

# Keras's own doing on the torch backend
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ops: Any = keras.ops
layers: Any = keras.layers
TARGETS = {"y": TensorSpec((2,))}


@pytest.fixture(autouse=True)
def _float32_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    yield
    keras.config.set_floatx("float32")
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def data() -> Arrays:
    random = np.random.default_rng(0)
    return {"x": random.normal(size=(64, 4)).astype("float32"), "y": random.normal(size=(64, 2)).astype("float32")}


def graph_of(text: str, seed: int = 1) -> Graph:
    """Return a graph with allocated weights, whose dumped model reads back as the same model."""
    model = parse_model(parse_document(text, "graph").data, {}, data_targets=TARGETS)
    dumped = dump_model(model)
    assert dump_model(parse_model(dumped, {}, data_targets=TARGETS)) == dumped
    graph = Graph(build(model))
    materialize(graph, graph.weights(), seed=seed, device=torch.device("cpu"))
    return graph


def run(graph: Graph, *, training: bool = False, targets: Any = None, **inputs: Tensor) -> GraphOutcome:
    with draws.using(draws.Draws(0, "test", 0)):
        return graph.train(training)(inputs, targets)


def values(graph: Graph) -> dict[str, Tensor]:
    return {weight.name: weight.keras() for weight in graph.weights()}


def beside_keras(folder: Path, data: Arrays, config: str, model: keras.Model, names: dict[str, str], x: Any) -> Trained:
    """Train both from Keras's initial weights (`names`: ours -> Keras's); compare losses, weights, outputs."""
    ours, theirs = prepare(folder, data, config), weights_of(model)
    for weight in ours.experiment.weights:
        weight.assign(torch.from_numpy(theirs[names.get(weight.name, weight.name)]))
    found, wanted = ours.train(), train_keras(model, x, data["y"], {"epochs": 3, "batch_size": 16})
    assert_close(found.history["loss"], wanted.history["loss"], "loss")
    assert_close(found.evaluated["loss"], wanted.evaluated["loss"], "evaluated")
    assert {names.get(name, name) for name in found.weights} == set(wanted.weights)
    for name, value in found.weights.items():
        assert_close(value, wanted.weights[names.get(name, name)], name)
        assert not np.array_equal(value, theirs[names.get(name, name)]), f"{name} has not changed"
    assert_close(found.predicted["out"], next(iter(wanted.predicted.values())), "out")
    return found


SECTIONS = """
seed: 3
data: {source: {npz: data.npz}, inputs: {x: []}, targets: {y: []}}
compile: {loss: mse, optimizer: {adam: 0.0078125}, jit_compile: JIT}
fit: {epochs: 3, batch_size: 16}
model:
"""

TRAINED = """
  layers:
    - weight: {shape: [4, 3], regularizer: {l2: 0.01}, constraint: max_norm, name: w}
    - weight: {shape: [3], initializer: zeros, name: b}
    - expr: {value: "tanh(x @ w + b)", name: h}
    - dense: {units: 2, name: out}
"""


class Affine(layers.Layer):
    def build(self, shape: Any) -> None:
        parts: dict[str, Any] = {"regularizer": keras.regularizers.L2(0.01), "constraint": keras.constraints.MaxNorm()}
        self.w = self.add_weight((4, 3), name="w", **parts)
        self.b = self.add_weight((3,), initializer="zeros", name="b")

    def call(self, x: Any) -> Any:
        return ops.tanh(ops.matmul(x, self.w) + self.b)


@pytest.mark.parametrize("jit", ["false", "true"])
def test_weights_in_formulas_are_trained_as_those_of_a_keras_layer(jit: str, data: Arrays, tmp_path: Path) -> None:
    keras.config.set_floatx("float64")
    x = keras.Input([4])
    model = keras.Model(x, layers.Dense(2, name="out")(Affine(name="affine")(x)))
    model.compile(loss="mse", optimizer=keras.optimizers.Adam(0.0078125))
    config = SECTIONS.replace("JIT", jit) + TRAINED
    beside_keras(tmp_path, data, config, model, {"w/value": "affine/w", "b/value": "affine/b"}, data["x"])


QUANTIZED = """
  layers:
    - weight: {shape: [5, 4], trainable: false, initializer: random_normal, name: codebook}
    - weight: {shape: [5], trainable: false, initializer: ones, name: counts}
    - dense: {units: 4, name: encoded}
    - expr: {value: "argmin(sum(square(encoded[:, None] - codebook), axis=-1), axis=-1)", name: nearest}
    - expr: {value: "one_hot(nearest, 5)", name: hits}
    - expr: {value: "0.9 * counts + 0.1 * sum(hits, axis=0)", name: counted}
    - update: {weight: counts, value: counted}
    - update: {weight: codebook, value: "0.9 * codebook + 0.1 * transpose(hits) @ encoded / counted[:, None]"}
    - expr: {value: "take(codebook, nearest, axis=0)", name: chosen}
    - add_loss: {value: "mean(square(stop_gradient(chosen) - encoded), axis=-1)", weight: 0.25, name: commitment}
    - add_metric: {value: "exp(-sum(counted / sum(counted) * log(counted / sum(counted))))", name: perplexity}
    - expr: {value: "encoded + stop_gradient(chosen - encoded)", name: quantized}
    - dense: {units: 2, name: out}
"""


class Quantizer(layers.Layer):
    def build(self, shape: Any) -> None:
        self.codebook = self.add_weight((5, 4), initializer="random_normal", trainable=False, name="codebook")
        self.counts = self.add_weight((5,), initializer="ones", trainable=False, name="counts")

    def call(self, x: Any, training: bool = False) -> Any:
        nearest = ops.argmin(ops.sum(ops.square(x[:, None] - self.codebook), axis=-1), axis=-1)
        hits = ops.one_hot(nearest, 5, dtype="float64")
        chosen = ops.take(self.codebook, nearest, axis=0)
        if training:
            counted = 0.9 * self.counts + 0.1 * ops.sum(hits, axis=0)
            means = ops.matmul(ops.transpose(hits), ops.stop_gradient(x)) / counted[:, None]
            self.codebook.assign(0.9 * self.codebook + 0.1 * means)
            self.counts.assign(counted)
        self.add_loss(0.25 * ops.mean(ops.square(ops.stop_gradient(chosen) - x)))
        return x + ops.stop_gradient(chosen - x)


@pytest.mark.parametrize("jit", ["false", "true"])
def test_updates_follow_as_assignments_in_a_keras_layer(jit: str, data: Arrays, tmp_path: Path) -> None:
    keras.config.set_floatx("float64")
    x = keras.Input([4])
    y = Quantizer(name="q")(layers.Dense(4, name="encoded")(x))
    model = keras.Model(x, layers.Dense(2, name="out")(y))
    model.compile(loss="mse", optimizer=keras.optimizers.Adam(0.0078125))
    names = {"codebook/value": "q/codebook", "counts/value": "q/counts"}
    found = beside_keras(tmp_path, data, SECTIONS.replace("JIT", jit) + QUANTIZED, model, names, data["x"])
    assert 1 < found.history["perplexity"][-1] <= 5


def test_a_run_with_updates_goes_on_exactly(data: Arrays, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, **data)  # type: ignore[arg-type]
    config = write(tmp_path, SECTIONS.replace("JIT", "false") + QUANTIZED)
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=4"])
    short, _ = train(config, tmp_path / "short", ["fit.epochs=2"])
    go_on(short, ["fit.epochs=4"])
    assert outcome(short) == outcome(whole)


def test_a_run_with_weights_is_exported_where_a_format_has_a_place_for_them(data: Arrays, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, **data)  # type: ignore[arg-type]
    train(write(tmp_path, SECTIONS.replace("JIT", "false") + QUANTIZED), tmp_path / "runs", ["fit.epochs=1"])
    record = find_run("latest", tmp_path / "runs")
    exported = export_run(record, "torch_export", tmp_path / "model.pt2")
    assert exported.difference is not None
    assert exported.difference < 1e-6
    with pytest.raises(KerasCliError, match="'codebook' is a weight without a layer"):
        export_run(record, "keras", tmp_path / "model.keras")


TARGETED = """
  layers:
    - dense: {units: 3, activation: tanh, name: h}
    - dense: {units: 2, name: out}
    - expr: {value: "out - targets.y", name: gap}
    - add_loss: {value: "mean(abs(gap), axis=-1)", name: apart, weight: 0.5}
    - add_metric: {value: "max(abs(targets.y - out), axis=-1)", name: worst}
"""


class Apart(layers.Layer):
    def call(self, given: Any) -> Any:
        self.add_loss(0.5 * ops.mean(ops.abs(given[0] - given[1])))
        return given[0]


@pytest.mark.parametrize("jit", ["false", "true"])
def test_targets_in_formulas_are_those_of_an_endpoint_layer(jit: str, data: Arrays, tmp_path: Path) -> None:
    keras.config.set_floatx("float64")
    x, y = keras.Input([4], name="x"), keras.Input([2], name="y")
    out = layers.Dense(2, name="out")(layers.Dense(3, "tanh", name="h")(x))
    model = keras.Model({"x": x, "y": y}, Apart(name="apart")([out, y]))
    model.compile(loss="mse", optimizer=keras.optimizers.Adam(0.0078125))
    config = SECTIONS.replace("JIT", jit) + TARGETED + "  outputs: out\n"
    found = beside_keras(tmp_path, data, config, model, {}, {"x": data["x"], "y": data["y"]})
    assert_close(found.evaluated["worst"], np.abs(data["y"] - found.predicted["out"]).max(-1).mean(), "worst")


def test_a_formula_over_a_target_trains_as_the_loss_that_it_spells(data: Arrays, tmp_path: Path) -> None:
    alone = TARGETED.replace("abs(gap)", "square(gap)").replace("weight: 0.5", "weight: 1.0") + "  outputs: out\n"
    spelt = SECTIONS.replace("loss: mse, ", "").replace("JIT", "false") + alone
    ours = prepare(tmp_path, data, spelt)
    plain = alone.replace("    - add_loss", "    - add_metric").replace(", weight: 1.0", "")
    other = prepare(tmp_path, data, SECTIONS.replace("JIT", "false") + plain)
    ours, other = ours.train(), other.train()
    assert_close(ours.history["loss"], other.history["loss"], "loss")
    assert_close(ours.predicted["out"], other.predicted["out"], "out")


def test_nodes_that_need_a_target_are_left_out_of_predictions() -> None:
    graph = graph_of("inputs: {x: [4]}" + TARGETED.replace("\n  ", "\n") + "outputs: out")
    x, y = torch.randn(5, 4), torch.randn(5, 2)
    judged, predicted = run(graph, x=x, targets={"y": y}), run(graph, x=x)
    assert torch.equal(judged.outputs["out"], predicted.outputs["out"])
    assert (set(judged.metrics), set(predicted.metrics)) == ({"apart", "worst"}, set())
    torch.testing.assert_close(judged.losses["apart"], 0.5 * (y - judged.outputs["out"]).abs().mean())


SHARED = """
inputs: {a: [3], b: [3]}
shared:
  tower:
    layers:
      - weight: {shape: [3], initializer: ones, trainable: false, name: mean}
      - weight: {shape: [3], name: scale, initializer: random_normal}
      - update: {weight: mean, value: "0.5 * mean + 0.5 * mean(input, axis=0)"}
      - expr: {value: "(input - mean) * scale", name: scaled}
layers:
  - tower: {inputs: a, name: p}
  - tower: {inputs: b, name: q}
  - expr: "p + q + p.mean"
"""


def test_a_weight_in_a_shared_model_is_one_and_each_call_goes_on_from_the_call_before() -> None:
    graph = graph_of(SHARED)
    assert list(values(graph)) == ["tower/mean/value", "tower/scale/value"]
    a, b = torch.randn(6, 3), torch.randn(6, 3)
    found, scale = run(graph, training=True, a=a, b=b), values(graph)["tower/scale/value"]
    once = 0.5 + 0.5 * a.mean(0)
    torch.testing.assert_close(found.outputs["expr"], (a - 1) * scale + (b - once) * scale + 1)
    torch.testing.assert_close(found.updates["tower/mean/value"], 0.5 * once + 0.5 * b.mean(0))
    assert run(graph, a=a, b=b).updates == {}


def test_each_use_of_a_block_has_weights_of_its_own() -> None:
    text = """
    inputs: {x: [3]}
    blocks: {scale: {layers: [{weight: {shape: [3], name: s}}, {expr: "input * s"}]}}
    layers: [scale, {repeat: {times: 2, layers: [scale]}}]
    """
    graph = graph_of(text)
    assert list(values(graph)) == ["s/value", "s_1/value", "s_2/value"]
    x, product = torch.randn(2, 3), torch.ones(3)
    for scale in values(graph).values():
        product = product * scale
    torch.testing.assert_close(run(graph, x=x).outputs["expr_2"], x * product)


def test_a_layer_takes_the_first_axis_of_a_weight_for_the_samples() -> None:
    text = """
    inputs: {x: [4]}
    shared: {encoder: {layers: [{dense: {units: 3, activation: tanh}}, {batch_normalization: {name: n}}]}}
    layers:
      - weight: {shape: [6, 4], initializer: random_normal, name: pseudo}
      - encoder: {inputs: x, name: z}
      - encoder: {inputs: pseudo, name: prior}
      - expr: {value: "min(sum(square(z[:, None] - prior), axis=-1), axis=-1, keepdims=true)", name: out}
    """
    graph = graph_of(text)
    assert graph.specs["prior"] == TensorSpec((6, 3), batched=False)
    assert graph.specs["out"] == TensorSpec((1,))
    x, w = torch.randn(5, 4), values(graph)
    z, prior = (torch.tanh(t @ w["encoder/dense/kernel"]) / 1.001**0.5 for t in (x, w["pseudo/value"]))
    found = run(graph, x=x).outputs["out"]
    torch.testing.assert_close(found, torch.cdist(z, prior).square().amin(-1, keepdim=True), atol=1e-5, rtol=1e-5)
    (gradient,) = torch.autograd.grad(found.sum(), [graph.weights()[0].tensor])
    assert gradient.shape == (6, 4)
    assert gradient.abs().sum() > 0


def test_a_weight_that_is_not_trained_has_no_gradient_and_is_counted_as_such() -> None:
    text = """
    inputs: {x: [4]}
    layers:
      - weight: {shape: [4], initializer: ones, trainable: false, name: fixed}
      - weight: {shape: [], dtype: int64, trainable: false, name: steps}
      - update: {weight: steps, value: "steps + 1"}
      - expr: "x * fixed"
    """
    graph = graph_of(text)
    assert [weight.trainable for weight in graph.weights()] == [False, False]
    assert run(graph, training=True, x=torch.ones(2, 4)).updates["steps/value"].dtype == torch.int64
    summary = summarize(graph, "m")
    assert (summary.trainable, summary.non_trainable) == (0, 5)
    assert [(row.name, row.output_shape) for row in summary.rows][1:3] == [("fixed", "(4,)"), ("steps", "()")]
    assert "fixed (weight)" in render(summary)


def test_a_sum_over_the_batch_has_no_batch_axis_and_may_have_unsizes_along() -> None:
    text = 'inputs: {x: [null, 3]}\nlayers: [{expr: {value: "mean(x, axis=0)", name: m}}, {expr: "x - m"}]'
    graph = graph_of(text)
    assert graph.specs["m"] == TensorSpec((None, 3), batched=False)
    x = torch.randn(4, 7, 3)
    torch.testing.assert_close(run(graph, x=x).outputs["expr"], x - x.mean(0))


def test_the_size_of_the_batch_is_known_beside_weights() -> None:
    text = """
    inputs: {x: [4]}
    layers:
      - weight: {shape: [3], name: start}
      - expr: {value: "broadcast_to(start, [batch_size, 3])", name: h}
      - gru: {units: 3, inputs: steps, initial_state: [h]}
    """.replace("inputs: {x: [4]}", "inputs: {steps: [5, 2]}")
    graph = graph_of(text)
    assert run(graph, steps=torch.zeros(9, 5, 2)).outputs["gru"].shape == (9, 3)


def test_where_the_largest_values_of_a_pool_were_can_be_written_as_a_formula() -> None:
    """The switches of a what-where autoencoder: the gradient of the pool's sum, as in torch."""
    text = """
    inputs: {x: [6, 6, 2]}
    layers:
      - max_pooling_2d: {pool_size: 2, name: what}
      - up_sampling_2d: {size: 2, name: spread}
      - expr: {value: "cast(equal(x, spread), 'float32')", name: where}
      - up_sampling_2d: {size: 2, inputs: what}
      - multiply: [up_sampling_2d, where]
    outputs: [multiply, where]
    """
    x = torch.randn(3, 6, 6, 2, requires_grad=True)
    pooled, places = F.max_pool2d(x.permute(0, 3, 1, 2), 2, return_indices=True)
    (switches,) = torch.autograd.grad(pooled.sum(), [x])
    found = run(graph_of(text), x=x.detach()).outputs
    assert torch.equal(found["where"], switches)
    assert torch.equal(found["multiply"], F.max_unpool2d(pooled, places, [2, 2]).permute(0, 2, 3, 1))
