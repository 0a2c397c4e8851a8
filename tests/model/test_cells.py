"""Custom cells: random draws, shared layers, use in blocks, and written form."""

import torch
from torch import Tensor

from kerascli.model.freezing import trained_layers, with_trainable
from kerascli.model.inference.build import build
from kerascli.model.ir.nodes import Model
from kerascli.model.runtime.graph import Graph
from tests.parity.test_shared import graph_of, run


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def test_dropout_in_a_cell_draws_anew_at_each_step() -> None:
    graph = graph_of("""
inputs: {x: [null, 8]}
layers:
  - rnn:
      return_sequences: true
      cell:
        states: {h: 8}
        layers: [{dropout: 0.5}, {expr: {value: "h + 0 * input", name: same}}]
        next: {h: same}
        outputs: [dropout, same]
      outputs: [y, h]
outputs: [y, h]
""").float()
    y = run(graph, {"x": ones(16, 6, 8)}, training=True).outputs["y"]
    kept = (y != 0).flatten(0, 0).transpose(0, 1).flatten(1)
    assert len({tuple(step.tolist()) for step in kept}) == 6
    assert 0.4 < kept.float().mean() < 0.6
    assert torch.equal(run(graph, {"x": ones(16, 6, 8)}, training=False).outputs["y"], ones(16, 6, 8))


def test_what_is_shared_has_one_set_of_weights_in_a_cell_and_outside() -> None:
    graph = graph_of("""
inputs: {x: [null, 4]}
shared:
  step: {layers: [{dense: {units: 4, name: inner}}, {activation: tanh}]}
layers:
  - rnn:
      name: reader
      cell:
        states: {h: 4}
        layers: [{step: {inputs: h, name: moved}}, {expr: "moved + input"}]
        next: {h: expr}
  - step
""").float()
    assert [weight.name for weight in graph.weights()] == ["step/inner/kernel", "step/inner/bias"]
    x = ones(2, 3, 4)
    weight, bias = (w.keras() for w in graph.weights())
    h = torch.zeros(2, 4)
    for time in range(3):
        h = torch.tanh(h @ weight + bias) + x[:, time]
    outputs = run(graph, {"x": x}, training=True).outputs
    torch.testing.assert_close(next(iter(outputs.values())), torch.tanh(h @ weight + bias))


def test_moving_statistics_in_a_cell_go_on_from_step_to_step() -> None:
    graph = graph_of("""
inputs: {x: [null, 3]}
layers:
  - rnn:
      cell:
        states: {h: 3}
        layers: [{batch_normalization: {momentum: 0.5, name: norm}}, {expr: "norm + h"}]
        next: {h: expr}
""").float()
    x = torch.randn(8, 4, 3)
    updates = run(graph, {"x": x}, training=True).updates
    mean = torch.zeros(3)
    for time in range(4):
        mean = 0.5 * mean + 0.5 * x[:, time].mean(0)
    torch.testing.assert_close(updates["rnn/norm/moving_mean"], mean)


def test_a_cell_in_a_repeat_has_weights_of_its_own_and_repeats_inside() -> None:
    graph = graph_of("""
inputs: {x: [null, 5]}
layers:
  - repeat:
      times: 2
      index: i
      layers:
        - rnn:
            return_sequences: true
            cell:
              states: {h: 5}
              layers:
                - repeat: {times: 2, index: j, layers: [{dense: {units: 5, name: "d$(j)"}}]}
                - expr: "tanh(d1 + h)"
              next: {h: expr}
""")
    names = [weight.name for weight in graph.weights() if weight.spec.name == "kernel"]
    assert names == ["rnn/d0/kernel", "rnn/d1/kernel", "rnn_1/d0/kernel", "rnn_1/d1/kernel"]


def test_an_rnn_that_is_not_trained_freezes_its_cell() -> None:
    graph = graph_of("""
inputs: {x: [null, 5]}
layers:
  - rnn:
      trainable: false
      cell:
        states: {h: {shape: 5, trainable: true}}
        layers: [{dense: {units: 5, name: d}}, {expr: "tanh(d + h)"}]
        next: {h: expr}
""")
    assert [(weight.name, weight.trainable) for weight in graph.weights()] == [
        ("rnn/initial_h", False), ("rnn/d/kernel", False), ("rnn/d/bias", False),
    ]  # fmt: skip


READER = """
inputs: {z: [2, 5, 4]}
shared:
  base: {layers: [{dense: {units: 4, name: d}}]}
  reader:
    layers:
      - rnn:
          name: r
          cell:
            states: {h: {shape: 4, trainable: true}}
            layers: [{base: {inputs: h, name: b}}, {batch_normalization: {inputs: input, name: n}}, {expr: "tanh(n+b)"}]
            next: {h: expr}
layers:
  - LAYERS
outputs: [y]
"""


def test_a_shared_model_with_a_cell_is_called_on_every_step() -> None:
    """The weights, those that the cell shares, and moving statistics equal those of single calls."""
    over = graph_of(READER.replace("LAYERS", "time_distributed: {layer: reader, name: y}")).float()
    calls = """expr: {value: "split(z, 2, axis=1)", outputs: [p, q]}
  - {reshape: {target_shape: [5, 4], inputs: p, name: first}}
  - {reshape: {target_shape: [5, 4], inputs: q, name: second}}
  - {reader: {inputs: first, name: a}}
  - {reader: {inputs: second, name: b}}
  - expr: {value: "stack([a, b], axis=1)", name: y}"""
    each = graph_of(READER.replace("LAYERS", calls)).float()
    assert [weight.name for weight in over.weights()] == [weight.name for weight in each.weights()]
    assert over.weights()[0].name == "reader/r/initial_h"
    for mine, other in zip(over.weights(), each.weights(), strict=True):
        mine.assign(other.keras())
    z = torch.randn(3, 2, 5, 4)
    for training in (False, True):
        found, wanted = (run(graph, {"z": z}, training=training) for graph in (over, each))
        torch.testing.assert_close(found.outputs["y"], wanted.outputs["y"])
        assert found.updates.keys() == wanted.updates.keys()
        torch.testing.assert_close(found.updates, wanted.updates)


def test_layers_of_a_cell_are_frozen_by_name() -> None:
    model = with_trainable(over_steps(READER), {"reader.r.n": False, "base": False})
    names = {weight.name: weight.trainable for weight in Graph(build(model)).weights()}
    assert names == {
        "reader/r/initial_h": True, "base/d/kernel": False, "base/d/bias": False, "reader/r/n/gamma": False,
        "reader/r/n/beta": False, "reader/r/n/moving_mean": False, "reader/r/n/moving_variance": False,
    }  # fmt: skip
    assert trained_layers(model)["reader/r/n"] is False


def over_steps(text: str) -> Model:
    return graph_of(text.replace("LAYERS", "time_distributed: {layer: reader, name: y}")).model
