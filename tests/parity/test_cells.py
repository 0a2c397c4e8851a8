"""Custom cells compared with the same cells in Python for `keras.layers.RNN`: outputs, states, gradients."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import pytest
import torch
from keras import ops
from keras.src.backend.common import dtypes
from torch import Tensor

from tests.parity import ledger
from tests.parity.test_shared import graph_of, run

layers = keras.layers


@pytest.fixture(autouse=True)
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    keras.config.set_floatx("float32")


class Cell(layers.Layer):
    """A Keras cell from a step function; its layers are created in the order of ours."""

    def __init__(self, state_size: Any, output_size: Any, parts: dict[str, Any], step: Callable[..., Any]) -> None:
        super().__init__()
        self.state_size, self.output_size, self.parts, self.step = state_size, output_size, parts, step
        for name, part in parts.items():
            setattr(self, name, part)

    def build(self, *_: Any, **__: Any) -> None:
        self.built = True

    def call(self, inputs: Any, states: Any, constants: Any = None, training: bool = False) -> Any:
        more = {} if constants is None else {"constants": constants}
        outputs, after = self.step(self, inputs, states, **more)
        return outputs, after


def by_steps(cell: Any, frames: Sequence[Any], states: list[Any], *constants: Any, mask: Any = None) -> tuple[Any, Any]:
    """Emulates `keras.layers.RNN` with what Keras 3 lacks: constants, several inputs and outputs."""
    more = {"constants": constants} if constants else {}
    found: list[list[Tensor]] = []
    for time, frame in enumerate(frames):
        out, after = cell(frame, states, **more)
        out = list(out) if isinstance(out, tuple) else [out]
        if mask is not None:
            seen = mask[:, time, None]
            out = [torch.where(seen, a, b) for a, b in zip(out, found[-1] if found else [0.0] * len(out), strict=True)]
            after = [torch.where(seen, a, b) for a, b in zip(after, states, strict=True)]
        found.append(out)
        states = after
    return [torch.stack(one, 1) for one in zip(*found, strict=True)], states


PLAIN = """
inputs: {x: [null, 3]}
layers:
  - rnn:
      SETTINGS
      cell:
        inputs: frame
        states: {h: 4}
        layers:
          - dense: {units: 4, inputs: frame, name: a}
          - dense: {units: 4, use_bias: false, inputs: h, name: b}
          - expr: {value: "tanh(a + b)", name: after}
        next: {h: after}
"""


def plain_cell() -> Cell:
    def step(cell: Any, x: Any, states: Any) -> Any:
        h = ops.tanh(cell.a(x) + cell.b(states[0]))
        return h, [h]

    return Cell(4, 4, {"a": layers.Dense(4), "b": layers.Dense(4, use_bias=False)}, step)


def assert_like(graph: Any, ours: dict[str, Tensor], theirs: Callable[[dict[str, Tensor]], Any], weights: Any) -> None:
    """Assert that `theirs` computes what the graph does; `weights()` are Keras's in the order of ours."""
    inputs = [{k: v.detach().clone().requires_grad_(v.is_floating_point()) for k, v in ours.items()} for _ in range(2)]
    theirs(inputs[1])  # makes the weights
    own, others = graph.weights(), weights()
    assert [tuple(w.spec.shape) for w in own] == [tuple(w.shape) for w in others]
    generator = torch.Generator().manual_seed(0)
    for mine, other in zip(own, others, strict=True):
        values = torch.randn(tuple(other.shape), generator=generator, dtype=torch.float64)
        mine.assign(values)
        other.assign(values.numpy())
    got = list(run(graph, inputs[0], training=True).outputs.values())
    expected = keras.tree.flatten(theirs(inputs[1]))
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    for values in (got, expected):
        torch.stack([(v * torch.arange(1.0, v[0].numel() + 1).view(v[0].shape)).sum() for v in values]).sum().backward()
    for a, b in [(i.grad, j.grad) for i, j in zip(inputs[0].values(), inputs[1].values(), strict=True)]:
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    for mine, other in zip(own, others, strict=True):
        if mine.trainable:
            assert mine.tensor.grad is not None
            torch.testing.assert_close(mine.spec.to_keras(mine.tensor.grad), other.value.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"return_sequences": True},
        {"return_state": True},
        {"return_sequences": True, "return_state": True, "go_backwards": True},
        {"go_backwards": True},
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_a_plain_cell_is_keras_s(settings: dict[str, bool], masked: bool) -> None:
    named = ", outputs: [y, h]" if settings.get("return_state") else ""
    written = "".join(f"{key}: true\n      " for key in settings) + named.removeprefix(", ")
    text = PLAIN.replace("SETTINGS", written)
    if named:
        text += "outputs: [y, h]"
    x = torch.randn(5, 7, 3)
    mask = torch.rand(5, 7) > 0.4
    layer = layers.RNN(plain_cell(), **settings)
    if masked:
        text = text.replace("inputs: {x: [null, 3]}", "inputs: {x: [null, 3], seen: [null]}")
        text = text.replace("- rnn:", "- rnn:\n      inputs: x\n      mask: seen")
        assert_like(
            graph_of(text), {"x": x, "seen": mask.double()},
            lambda i: layer(i["x"], mask=mask, training=True), lambda: layer.weights,
        )  # fmt: skip
    else:
        assert_like(graph_of(text), {"x": x}, lambda i: layer(i["x"], training=True), lambda: layer.weights)
    ledger.note("layer", "rnn", f"custom cell, {settings}, masked={masked}")


@pytest.mark.parametrize("zero", [False, True])
def test_outputs_of_masked_steps_are_those_before_or_zero(zero: bool) -> None:
    text = PLAIN.replace("SETTINGS", f"return_sequences: true\n      zero_output_for_mask: {str(zero).lower()}")
    text = text.replace("layers:\n", "layers:\n  - masking: 0.0\n", 1)
    x = torch.randn(4, 6, 3)
    x[0, :2], x[1, 3:], x[2, 2] = 0, 0, 0
    layer = layers.RNN(plain_cell(), return_sequences=True, zero_output_for_mask=zero)
    mask = (x != 0).any(-1)
    assert_like(graph_of(text), {"x": x}, lambda i: layer(i["x"], mask=mask, training=True), lambda: layer.weights)


LSTM = """
inputs: {x: [null, 3], h0: [4], c0: [4]}
layers:
  - rnn:
      inputs: x
      return_sequences: true
      return_state: true
      initial_state: {h: h0, c: c0}
      outputs: [y, h, c]
      cell:
        inputs: frame
        states: {h: 4, c: [4]}
        layers:
          - dense: {units: 16, inputs: frame, name: a}
          - dense: {units: 16, use_bias: false, inputs: h, name: b}
          - expr: {value: "split(a + b, 4, axis=-1)", outputs: [i, f, g, o]}
          - expr: {value: "sigmoid(f) * c + sigmoid(i) * tanh(g)", name: after}
          - expr: {value: "sigmoid(o) * tanh(after)", name: output}
        next: {h: output, c: after}
        outputs: output
outputs: [y, h, c]
"""


def test_an_lstm_that_is_described_is_the_lstm_of_keras_and_ours() -> None:
    graph = graph_of(LSTM)
    given = {"x": torch.randn(3, 6, 3), "h0": torch.randn(3, 4), "c0": torch.randn(3, 4)}
    theirs = layers.LSTM(4, return_sequences=True, return_state=True)

    def weights() -> list[Any]:  # ours stand kernel, bias, recurrent kernel
        kernel, recurrent, bias = theirs.weights
        return [kernel, bias, recurrent]

    def call(i: dict[str, Tensor]) -> Any:
        return theirs(i["x"], initial_state=[i["h0"], i["c0"]], training=True)

    assert_like(graph, given, call, weights)
    ready = graph_of("""
inputs: {x: [null, 3], h0: [4], c0: [4]}
layers:
  - lstm: {units: 4, inputs: x, return_sequences: true, return_state: true, initial_state: [h0, c0], outputs: [y, h, c]}
outputs: [y, h, c]
""")
    for mine, other in zip(ready.weights(), theirs.weights, strict=True):
        mine.assign(other.value.detach())
    a, b = (run(one, given, training=False).outputs for one in (graph, ready))
    for name in ("y", "h", "c"):
        torch.testing.assert_close(a[name], b[name], rtol=1e-9, atol=1e-9)


TWO_STATES = """
inputs: {x: [null, 3], memory: [5, 2], start: [4]}
layers:
  - rnn:
      inputs: x
      return_state: true
      initial_state: {h: start}
      constants: {held: memory}
      outputs: [y, h, m]
      cell:
        inputs: frame
        states: {h: 4, m: {shape: [5, 2], initializer: {constant: 0.5}}}
        layers:
          - dense: {units: 2, inputs: held, name: keys}
          - dense: {units: 4, inputs: frame, name: a}
          - dense: {units: 4, use_bias: false, inputs: h, name: b}
          - expr: {value: "tanh(a + b) + mean(m * keys, axis=[1, 2])[:, None]", name: after}
          - expr: {value: "0.9 * m + after[:, None, :2] * held", name: next_m}
        next: {m: next_m, h: after}
        outputs: after
outputs: [y, h, m]
"""


def test_a_cell_with_two_states_and_a_constant_is_keras_s() -> None:
    def step(cell: Any, x: Any, states: Any, constants: Any) -> Any:
        (h, m), (held,) = states, constants
        after = ops.tanh(cell.a(x) + cell.b(h)) + (m * cell.keys(held)).mean((1, 2))[:, None]
        return after, [after, 0.9 * m + after[:, None, :2] * held]

    parts = {"keys": layers.Dense(2), "a": layers.Dense(4), "b": layers.Dense(4, use_bias=False)}
    cell = Cell([4, (5, 2)], 4, parts, step)
    graph = graph_of(TWO_STATES)
    weights = graph.weights()
    assert [w.name for w in weights] == [
        "rnn/initial_m", "rnn/keys/kernel", "rnn/keys/bias", "rnn/a/kernel", "rnn/a/bias", "rnn/b/kernel",
    ]  # fmt: skip
    assert not weights[0].trainable
    initial = keras.Variable(torch.full((5, 2), 0.5).numpy(), trainable=False)

    def call(i: dict[str, Tensor]) -> Any:
        m = ops.broadcast_to(initial.value, (len(i["x"]), 5, 2))
        (outputs,), states = by_steps(cell, i["x"].unbind(1), [i["start"], m], i["memory"])
        return [outputs[:, -1], *states]

    given = {"x": torch.randn(3, 6, 3), "memory": torch.randn(3, 5, 2), "start": torch.randn(3, 4)}
    assert_like(graph, given, call, lambda: [initial, *cell.weights])


def test_a_learned_initial_state_is_a_weight_for_all_samples() -> None:
    text = PLAIN.replace("SETTINGS", "").replace("{h: 4}", "{h: {shape: [4], initializer: ones, trainable: true}}")
    layer = layers.RNN(plain_cell())
    initial = keras.Variable(torch.ones(4).numpy())

    def call(i: dict[str, Tensor]) -> Any:
        return layer(i["x"], initial_state=[ops.broadcast_to(initial.value, (len(i["x"]), 4))], training=True)

    assert_like(graph_of(text), {"x": torch.randn(3, 6, 3)}, call, lambda: [initial, *layer.weights])


DECODER = """
inputs: {x: [null, 3], memory: [5, 4]}
layers:
  - masking: {mask_value: 0.0, inputs: memory, name: known}
  - masking: {mask_value: 0.0, inputs: x, name: target}
  - rnn:
      inputs: target
      return_sequences: true
      constants: {known: known}
      outputs: [y, read]
      cell:
        inputs: frame
        states: {h: 4}
        layers:
          - expr: {value: "h[:, None]", name: query}
          - attention: {inputs: [query, known], use_scale: true, name: found}
          - flatten: {name: context}
          - concatenate: {inputs: [frame, context], name: both}
          - gru_cell: {units: 4, inputs: both, states: [h], outputs: [o, after]}
        next: {h: after}
        outputs: [o, context]
outputs: [y, read]
"""


def test_an_attention_decoder_over_a_masked_constant_is_keras_s() -> None:
    """The Keras cell gets the mask as a constant, because masks are not passed to cells in Keras."""

    def step(cell: Any, x: Any, states: Any, constants: Any) -> Any:
        known, seen = constants
        found: Any = cell.attention([states[0][:, None], known], mask=[None, ops.cast(seen, "bool")])[:, 0]
        o, after = cell.gru(ops.concatenate([x, found], -1), states)
        return (o, found), after

    parts = {"attention": layers.Attention(use_scale=True), "gru": layers.GRUCell(4)}
    cell = Cell([4], [4, 4], parts, step)
    x, memory = torch.randn(3, 6, 3), torch.randn(3, 5, 4)
    x[0, 4:], memory[0, 3:], memory[1, 1] = 0, 0, 0
    seen = (memory != 0).any(-1).double()
    mask = (x != 0).any(-1)

    def call(i: dict[str, Tensor]) -> Any:
        return by_steps(cell, i["x"].unbind(1), [torch.zeros(3, 4)], i["memory"], seen, mask=mask)[0]

    assert_like(graph_of(DECODER), {"x": x, "memory": memory}, call, lambda: cell.weights)


SEVERAL = """
inputs: {x: [null, 3], y: [null, 2]}
layers:
  - rnn:
      inputs: [x, y]
      return_sequences: true
      outputs: [p, q]
      cell:
        inputs: [a, b]
        states: {h: 3}
        layers:
          - dense: {units: 3, inputs: b, name: c}
          - expr: {value: "tanh(a * c + h)", name: after}
          - dense: {units: 2, name: d}
        next: {h: after}
        outputs: [d, after]
outputs: [p, q]
"""


def test_several_sequences_and_outputs_are_keras_s() -> None:
    def step(cell: Any, inputs: Any, states: Any) -> Any:
        a, b = inputs
        after = ops.tanh(a * cell.c(b) + states[0])
        return (cell.d(after), after), [after]

    cell = Cell([3], [2, 3], {"c": layers.Dense(3), "d": layers.Dense(2)}, step)

    def call(i: dict[str, Tensor]) -> Any:
        frames = list(zip(i["x"].unbind(1), i["y"].unbind(1), strict=True))
        return by_steps(cell, frames, [torch.zeros(4, 3)])[0]

    given = {"x": torch.randn(4, 5, 3), "y": torch.randn(4, 5, 2)}
    assert_like(graph_of(SEVERAL), given, call, lambda: cell.weights)


WEIGHTS = """
inputs: {x: [null, 3]}
layers:
  - weight: {shape: [4], name: outer, initializer: ones}
  - rnn:
      inputs: x
      return_sequences: true
      constants: {held: outer}
      cell:
        inputs: frame
        states: {h: 4}
        layers:
          - weight: {shape: [3, 4], name: u}
          - weight: {shape: [4, 4], name: v}
          - expr: {value: "tanh(frame @ u + h @ v) * held", name: after}
        next: {h: after}
"""


def test_weights_in_a_cell_and_as_constants_are_those_of_a_cell_s_add_weight() -> None:
    def step(cell: Any, x: Any, states: Any) -> Any:
        h = ops.tanh(x @ cell.u + states[0] @ cell.v) * cell.held
        return h, [h]

    cell = Cell(4, 4, {}, step)
    cell.held, cell.u, cell.v = (cell.add_weight(shape=shape) for shape in ((4,), (3, 4), (4, 4)))
    layer = layers.RNN(cell, return_sequences=True)

    x = torch.randn(5, 7, 3)
    assert_like(graph_of(WEIGHTS), {"x": x}, lambda i: layer(i["x"], training=True), lambda: cell.weights)
    ledger.note("layer", "rnn", "weights in a custom cell")
