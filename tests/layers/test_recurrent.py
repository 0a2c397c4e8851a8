"""Recurrent layers beyond Keras's values: fused kernels agree with loops, and dropout has its moments."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from kerascli.compiler.tracing import trace
from kerascli.foundation import draws
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.layers.base import LAYERS, ShapeMismatch
from kerascli.layers.recurrent.base import SequenceModule
from kerascli.layers.recurrent.cell import WeightedRecurrence
from tests.support import layer_harness as harness

NAMES = ["lstm", "gru", "simple_rnn"]
each_name = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def _same_numbers_each_run():
    torch.manual_seed(0)


def made(name: str, config: dict[str, Any], *, dtype: torch.dtype = torch.float32) -> Any:
    module = harness.materialise(
        harness.make(harness.parse(name, {"units": 6, **config}), TensorSpec((9, 4))), dtype=dtype
    )
    assert isinstance(module, SequenceModule)
    assert isinstance(module, WeightedRecurrence)
    return module


class Looped:
    """Arguments of a layer that disable the fused kernel."""

    fused = False

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)


def pair(name: str, config: dict[str, Any]) -> tuple[Any, Any]:
    """Return the fused kernel and the loop over steps, with equal weights."""
    fused, loop = (made(name, config) for _ in range(2))
    assert fused.settings.is_fused
    loop.settings = Looped(loop.settings)
    return fused, loop


@each_name
@pytest.mark.parametrize("masked", [True, False])
def test_fused_kernel_and_loop_agree_in_float32(name, masked):
    fused, loop = pair(name, {"return_sequences": True, "return_state": True})
    mask = torch.rand(5, 9, generator=torch.Generator().manual_seed(2)) < 0.6 if masked else None
    x = torch.randn(5, 9, 4)
    for module in (fused, loop):
        ys = module(x, mask=mask)
        torch.autograd.backward(ys, [torch.ones_like(y) for y in ys])
    for a, b in zip(fused(x, mask=mask), loop(x, mask=mask), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
    for weight, gradient in harness.gradients(fused).items():
        torch.testing.assert_close(gradient, harness.gradients(loop)[weight], atol=1e-5, rtol=1e-4)


EXACT: list[dict[str, Any]] = [{}, {"use_bias": False}, {"go_backwards": True, "return_sequences": True}]
fused_here = pytest.mark.parametrize(
    ("name", "config"),
    [*(("gru", each) for each in EXACT), *(("simple_rnn", each) for each in [*EXACT, {"activation": "relu"}])],
)


@fused_here
def test_gradients_of_the_fused_kernels_are_those_of_finite_differences(name, config):
    module = made(name, {"return_state": True, **config}, dtype=torch.float64)
    x = torch.randn(3, 9, 4, dtype=torch.float64, requires_grad=True)
    h = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, h: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        return functional_call(module, dict(zip(names, weights, strict=True)), (x,), {"initial_state": [h]})

    names, weights = zip(*module.named_parameters(), strict=True)
    assert torch.autograd.gradcheck(run, (x, h, *weights))
    assert torch.autograd.gradgradcheck(run, (x, h, *weights))


@fused_here
def test_a_fused_kernel_is_one_traced_operation(name, config):
    module = made(name, config)
    weights = [weight for _, weight in module.named_parameters()]

    def gradients(x: Tensor) -> Sequence[Tensor]:
        return torch.autograd.grad(module(x).sum(), weights)

    x = torch.randn(3, 9, 4)
    graph = trace(gradients, [x])
    loops = [str(node.target) for node in graph.graph.nodes if f"kerascli.{name}" in str(node.target)]
    assert loops == [f"kerascli.{name}.default", f"kerascli.{name}_backward.default"]
    assert not harness.parse(name, {"units": 6, **config}).loops
    for ours, wanted in zip(graph(x), gradients(x), strict=True):
        assert torch.equal(ours, wanted)


def test_only_cells_with_fused_kernels_run_in_a_traced_layer():
    for cell in ("gru_cell", "lstm_cell", "simple_rnn_cell"):
        assert not LAYERS.parse({"rnn": {cell: 4}}).loops
        assert LAYERS.parse({"rnn": [{cell: 4}, {"gru_cell": {"units": 4, "reset_after": False}}]}).loops
    assert LAYERS.parse({"gru": {"units": 4, "recurrent_dropout": 0.1}}).loops


@each_name
def test_masked_steps_leave_the_state_alone_in_bfloat16(name):
    fused, loop = pair(name, {"return_state": True})
    x, mask = torch.randn(5, 9, 4), torch.arange(9) < torch.tensor([[9], [5], [1], [0], [7]])
    with torch.autocast("cpu", torch.bfloat16):
        for a, b in zip(fused(x.bfloat16(), mask=mask), loop(x.bfloat16(), mask=mask), strict=True):
            torch.testing.assert_close(a.float(), b.float(), atol=0.05, rtol=0.05)


def test_masked_steps_do_not_let_a_relu_grow_without_end():
    """Its state would overflow in masked steps, and infinity times a gradient of zero is nan."""
    module = made("simple_rnn", {"activation": "relu", "recurrent_initializer": "ones"})
    x = torch.rand(2, 400, 4)
    module(x, mask=torch.arange(400).expand(2, -1) < 3).sum().backward()
    assert all(gradient.isfinite().all() for gradient in harness.gradients(module).values())


@each_name
def test_fused_kernel_and_loop_drop_the_same_inputs(name):
    fused, loop = pair(name, {"return_sequences": True, "dropout": 0.5})
    x = torch.randn(5, 9, 4)
    y = harness.call(fused.train(), x)
    torch.testing.assert_close(y, harness.call(loop.train(), x))
    assert not torch.allclose(y, harness.call(fused.eval(), x))


def test_dropout_is_the_same_at_each_step():
    module = made("lstm", {"dropout": 0.5})
    with draws.using(draws.Draws(0, "test", 0)):
        mask = module.dropout_masks(torch.ones(50, 9, 4), 0.5, 1)
    assert mask.shape == (1, 50, 1, 4)
    assert 0.35 < (mask == 0).double().mean() < 0.65


@each_name
@pytest.mark.parametrize("config", [{}, {"dropout": 0.4}, {"dropout": 0.4, "recurrent_dropout": 0.4}])
def test_without_training_nothing_is_dropped(name, config):
    x = torch.randn(3, 9, 4)
    modules = [made(name, settings).eval() for settings in (config, {})]
    torch.testing.assert_close(*(harness.call(module, x) for module in modules))


@pytest.mark.parametrize("name", ["lstm", "simple_rnn"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_recurrent_dropout_keeps_the_mean_of_a_linear_layer(name, dropout):
    """Without gates, which are nonlinear, the expected last state is that without dropout."""
    gates = {"recurrent_activation": None} if name == "lstm" else {}
    config = {"activation": None, **gates, "recurrent_dropout": 0.4, "dropout": dropout, "return_state": True}
    module = made(name, config, dtype=torch.float64)
    x = torch.full((1, 1, 4), 0.1, dtype=torch.float64)
    state = [torch.full((1, 6), value, dtype=torch.float64) for value in ((0.2, 0.0) if name == "lstm" else (0.2,))]
    many = [s.expand(40_000, -1) for s in state]
    *_, got = harness.call(module.train(), x.expand(40_000, -1, -1), initial_state=many)
    *_, expected = harness.call(module.eval(), x, initial_state=state)
    error = got.std(0) / 200
    assert ((got.mean(0) - expected[0]).abs() < 5 * error).all()
    assert (error > 0).all()


def test_each_gate_of_a_conv_lstm_drops_inputs_of_its_own():
    config = {"filters": 2, "kernel_size": 1, "dropout": 0.5, "recurrent_dropout": 0.5, "return_sequences": True}
    layer = harness.parse("conv_lstm_1d", config)
    module: Any = harness.materialise(harness.make(layer, TensorSpec((3, 5, 4)))).train()
    with draws.using(draws.Draws(0, "test", 0)):
        masks = module._dropout_masks(torch.ones(50, 5, 4), 0.5)
    assert masks.shape == (50, 16, 5)
    gates = masks.chunk(4, dim=1)
    assert not torch.equal(gates[0], gates[1])
    assert 0.45 < (masks == 0).double().mean() < 0.55
    x = torch.randn(2, 3, 5, 4)
    assert not torch.allclose(harness.call(module, x), harness.call(module.eval(), x))


def test_a_convolution_in_groups_is_one_for_each_gate():
    """With dropout masks of ones it is the convolution without dropout."""
    layer = harness.parse("conv_lstm_2d", {"filters": 2, "kernel_size": 2, "padding": "same"})
    module: Any = harness.materialise(harness.make(layer, TensorSpec((3, 5, 4, 3))))
    x = torch.randn(2, 3, 5, 4)
    arguments = (module.kernel, module.bias, module.window)
    grouped, whole = (module._convolve(x, masks, *arguments) for masks in (torch.ones(2, 12, 5, 4), None))
    torch.testing.assert_close(grouped, whole)


def test_forget_gates_start_open():
    module = made("lstm", {"bias_initializer": {"constant": 0.5}})
    assert module.bias.tolist() == [0.5] * 6 + [1.0] * 6 + [0.5] * 12


@each_name
def test_mask_goes_on_only_with_a_whole_sequence(name):
    assert harness.parse(name, {"units": 2}).mask == "stop"
    assert harness.parse(name, {"units": 2, "return_sequences": True}).mask == "pass"


def test_a_mask_of_whole_sequences_or_of_parts_of_steps_is_one_of_steps():
    module = made("gru", {"return_sequences": True})
    x, steps = torch.randn(3, 9, 4), torch.rand(3, 9) < 0.5
    parts = torch.stack([steps, torch.zeros_like(steps)], dim=-1)
    torch.testing.assert_close(module(x, mask=parts), module(x, mask=steps))
    whole = torch.tensor([True, False, True])
    torch.testing.assert_close(module(x, mask=whole), module(x, mask=whole.unsqueeze(1).expand(3, 9)))


def test_a_list_of_cells_is_a_stack_of_them():
    short = LAYERS.parse({"rnn": [{"gru_cell": 4}]})
    long = LAYERS.parse({"rnn": {"cell": {"stacked_rnn_cells": {"cells": [{"gru_cell": {"units": 4}}]}}}})
    assert short == long
    assert LAYERS.parse({"rnn": {"gru_cell": 4}}) == LAYERS.parse({"rnn": {"cell": {"gru_cell": 4}}})


def test_the_cells_of_a_stack_have_names_of_their_own():
    layer = harness.parse("rnn", {"cell": [{"gru_cell": 4}, {"lstm_cell": 4}, {"gru_cell": 2}]})
    names = dict(harness.make(layer, TensorSpec((5, 3))).named_parameters())
    owners = {name.rpartition(".")[0] for name in names}
    assert owners == {f"stacked_rnn_cells.{cell}" for cell in ("gru_cell", "lstm_cell", "gru_cell_1")}


def test_a_layer_that_is_not_trainable_freezes_its_cell():
    for frozen in (
        {"cell": {"gru_cell": 4}, "trainable": False},
        {"cell": {"gru_cell": {"units": 4, "trainable": False}}},
    ):
        module = harness.make(harness.parse("rnn", frozen), TensorSpec((5, 3)))
        assert [spec.trainable for _, spec in harness.weights(module)] == [False] * 3


@pytest.mark.parametrize(
    ("written", "texts"),
    [
        ({"rnn": {"dense": 3}}, ["cell: expected a cell (gru_cell, lstm_cell ...), got dense"]),
        ({"rnn": [{"gru_cell": 3}, {"gru": 3}]}, ["cells[1]: expected a cell (gru_cell, lstm_cell ...), got gru"]),
        ({"rnn": {"cell": [{"gru_cell": {"unit": 3}}]}}, ["unknown key 'unit' in gru_cell; did you mean 'units'?"]),
        ({"gru": {"units": 3, "use_cudnn": True, "reset_after": False}}, [
            "use_cudnn: true needs activation tanh, recurrent_activation sigmoid, recurrent_dropout 0, "
            "reset_after true"]),
        ({"conv_lstm_1d": {"filters": 3, "kernel_size": 3, "strides": 2, "dilation_rate": 2}}, [
            "strides and dilation_rate cannot both be above 1"]),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(written, texts):
    with pytest.raises(Invalid) as caught:
        LAYERS.parse(written)
    assert [fault.text for fault in caught.value.faults] == texts


@pytest.mark.parametrize(
    ("name", "config", "shape", "text"),
    [
        ("gru", {"units": 2}, (7,), "needs sequences (steps, features), got (None, 7)"),
        ("gru_cell", {"units": 2}, (7, 3), "needs the features of one step, got (None, 7, 3)"),
        ("rnn", {"cell": {"gru_cell": 2}}, (7,), "needs sequences (steps, features), got (None, 7)"),
        ("rnn", {"cell": {"gru_cell": 2}}, (7, 3, 2), "its gru_cell needs the features of one step, got (None, 3, 2)"),
        ("conv_lstm_2d", {"filters": 2, "kernel_size": 3}, (7, 3, 2),
         "needs sequences of 2-D frames (steps, frame, channels), got (None, 7, 3, 2)"),
        ("conv_lstm_1d", {"filters": 2, "kernel_size": 3}, (7, None, 2),
         "needs frames of known sizes, got (None, 7, None, 2)"),
        ("conv_lstm_1d", {"filters": 2, "kernel_size": 3}, (7, 2, 2),
         "input is 2, a 3 window with padding valid leaves nothing"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_reported(name, config, shape, text):
    with pytest.raises(ShapeMismatch) as caught:
        harness.make(harness.parse(name, config), TensorSpec(shape))
    assert caught.value.fault.text == text


@pytest.mark.parametrize(
    ("name", "config", "given", "text"),
    [
        ("gru", {"units": 2}, [(3, 4)], "needs one initial state of shape (None, 2), got (None, 4)"),
        ("lstm", {"units": 2}, [(3, 2)], "needs two initial states of shape (None, 2), got (None, 2)"),
        ("rnn", {"cell": [{"gru_cell": 2}, {"lstm_cell": 3}]}, [(3, 2)],
         "needs 3 initial states of shape (None, 2), (None, 3), (None, 3), got (None, 2)"),
    ],
)  # fmt: skip
def test_states_that_do_not_fit_are_reported(name, config, given, text):
    module = harness.make(harness.parse(name, config), TensorSpec((9, 4)))
    states: list[Tensor] = [torch.zeros(shape, device="meta") for shape in given]
    with pytest.raises(ShapeMismatch) as caught:
        module(torch.zeros(3, 9, 4, device="meta"), initial_state=states)
    assert caught.value.fault.text == text
