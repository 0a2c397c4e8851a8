"""Optimization passes keep a program's results and change its operations as intended."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx
from torch.nn import functional as F

from kerascli.compiler.constant_folding import fold_constants
from kerascli.compiler.memory_reuse import reuse_memory
from kerascli.compiler.onednn_matmul import use_onednn
from kerascli.compiler.passes import (
    drop_aliases,
    fold_batch_norm,
    fuse_relu,
    simplify,
    simplify_softmax,
)
from kerascli.compiler.program import costly_operations, fits_one_thread
from kerascli.compiler.tracing import trace

aten = torch.ops.aten
NATIVE: Any = torch.native_batch_norm


def noted(function: Callable[..., object], *inputs: Tensor) -> fx.GraphModule:
    return trace(function, inputs)


def tidy(code: fx.GraphModule) -> fx.GraphModule:
    code.graph.eliminate_dead_code()
    code.graph.lint()
    code.recompile()
    return code


def targets(code: fx.GraphModule) -> list[str]:
    return [str(node.target) for node in code.graph.nodes if node.op == "call_function"]


def some(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_aliases_are_dropped() -> None:
    def function(x: Tensor) -> Tensor:
        return (x.t().t().detach() + 1).view(3, 4)

    x = some(3, 4)
    code = noted(function, x)
    drop_aliases(code.graph)
    assert targets(tidy(code)) == ["aten.add.Tensor"]
    torch.testing.assert_close(code(x), function(x), rtol=0, atol=0)


def test_a_permutation_and_its_inverse_are_dropped_and_no_others() -> None:
    code = noted(
        lambda x: (x.permute(2, 0, 1).permute(1, -1, 0) + 1, x.permute(2, 0, 1).permute(2, 0, 1)), some(2, 3, 4)
    )
    drop_aliases(code.graph)
    assert targets(tidy(code)) == ["aten.add.Tensor", *["aten.permute.default"] * 2]


@pytest.mark.parametrize(
    ("function", "rows", "fits"),
    [
        (lambda x, w: F.linear(x, w, w[:, 0]).relu(), 32, True),
        (lambda x, w: F.embedding(torch.arange(32), w), 32, True),
        (lambda x, w: F.linear(x, w, w[:, 0]), 65, False),  # more than 2**18 multiplications
        (lambda x, w: x[:, None] * w, 32, False),  # 2**17 elements
        (lambda x, w: F.conv1d(x[None], w[:32, None, :3].expand(32, 32, 3)), 32, False),
    ],
    ids=["product", "embedding", "large product", "many elements", "convolution"],
)
def test_steps_that_one_thread_runs_are_small(function: Callable[..., object], rows: int, fits: bool) -> None:
    assert fits_one_thread(noted(function, some(rows, 64), some(64, 64)).graph) == fits


def test_a_view_of_another_shape_stays() -> None:
    code = noted(lambda x: x.view(4, 3).t(), some(3, 4))
    drop_aliases(code.graph)
    assert targets(tidy(code)) == ["aten.view.default", "aten.t.default"]


def test_a_sum_keeps_no_axis_that_a_view_removes() -> None:
    """So does the gradient of a bias; a view that only moves axes stays."""

    def function(x: Tensor) -> list[Tensor]:
        rows, both = x.sum([0], keepdim=True), x.sum([0, -1], keepdim=True)
        return [rows.view(4, 5), both.view(4), x.sum([1], keepdim=True).view(5, 3)]

    x = some(3, 4, 5)
    code = noted(function, x)
    drop_aliases(code.graph)
    assert targets(tidy(code)) == ["aten.sum.dim_IntList"] * 3 + ["aten.view.default"]
    for result, expected in zip(code(x), function(x), strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=0)


def test_a_constant_that_is_only_read_is_computed_once() -> None:
    """The gradient of a cross-entropy is scattered into zeros; zeros that an operation writes into stay."""

    def function(x: Tensor, at: Tensor) -> list[Tensor]:
        written = torch.zeros(3, 4)
        written[:, :1].copy_(x[:, :1])
        return [torch.zeros(3, 4).scatter_add(1, at, x), written]

    x, at = some(3, 4), torch.tensor([[1], [0], [3]])
    code = noted(function, x, at)
    fold_constants(code)
    assert [name for name in targets(tidy(code)) if "zeros" in name] == ["aten.zeros.default"]
    for _ in range(2):
        for result, expected in zip(code(x, at), function(x, at), strict=True):
            torch.testing.assert_close(result, expected, rtol=0, atol=0)


def test_what_depends_on_nothing_is_computed_once() -> None:
    def function(x: Tensor) -> Tensor:
        classes = torch.arange(10).view(1, 10) * 2
        return (x.view(-1, 1) == classes).float()

    x = torch.tensor([2, 5, 18])
    code = noted(function, x)
    fold_constants(code)
    assert not any("arange" in name or "mul" in name for name in targets(tidy(code)))
    torch.testing.assert_close(code(x), function(x))


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("shape", [(4, 5), (2, 5, 3)])
def test_probabilities_of_a_softmax_are_not_made_to_sum_to_1_again(shape: tuple[int, ...], axis: int) -> None:
    """Compared with autograd in float64, where the omitted terms are 1e-16."""

    def step(x: Tensor) -> list[Tensor]:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            p = x.softmax(axis)
            loss = -((p / p.sum(axis, keepdim=True)).clamp(1e-7, 1 - 1e-7).log() * weights).sum(axis).mean()
            return [loss, *torch.autograd.grad(loss, [x])]

    x, weights = some(*shape).double(), some(*shape).double().abs()
    code = noted(step, x)
    before = targets(code)
    drop_aliases(code.graph)
    simplify_softmax(code.graph)
    left = targets(tidy(code))
    assert before.count("aten.div.Tensor") - left.count("aten.div.Tensor") == 4
    assert len(before) - len(left) >= 10
    torch.testing.assert_close(code(x), step(x), rtol=1e-12, atol=1e-12)


def test_a_sum_along_another_axis_still_divides() -> None:
    def function(x: Tensor) -> Tensor:
        p = x.softmax(-1)
        return p / p.sum(0, keepdim=True)

    x = some(4, 5)
    code = noted(function, x)
    simplify_softmax(code.graph)
    torch.testing.assert_close(code(x), function(x))
    assert "aten.div.Tensor" in targets(tidy(code))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.rand(3),
        lambda x: x + torch.zeros(2**17)[:3],
        lambda x: torch.zeros(3).add_(x).mul_(2),
    ],
    ids=["random", "large", "written"],
)
def test_what_must_be_made_anew_is_not_kept(function: Callable[[Tensor], Tensor]) -> None:
    """Random numbers, constants too large to keep, and tensors that are written to are not folded."""
    x = some(3)
    code = noted(function, x)
    fold_constants(code)
    tidy(code)
    for each in (x, 2 * x):
        torch.manual_seed(1)
        found = code(each)
        torch.manual_seed(1)
        torch.testing.assert_close(found, function(each))


def test_a_relu_joins_its_convolution() -> None:
    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.relu(F.conv2d(x, weight, bias, stride=2, padding=1, dilation=(1, 2), groups=2))

    inputs = some(2, 4, 9, 11), some(6, 2, 3, 3, seed=1), some(6, seed=2)
    code = noted(function, *inputs)
    fuse_relu(code.graph)
    assert targets(tidy(code)) == ["mkldnn._convolution_pointwise.default"]
    torch.testing.assert_close(code(*inputs), function(*inputs))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch is built without oneDNN")
def test_a_relu_joins_its_convolution_over_channels_that_come_last() -> None:
    """Image layers move the channels back before the activation."""

    def function(x: Tensor, weight: Tensor) -> Tensor:
        return F.relu(F.conv2d(x.movedim(-1, 1), weight).movedim(1, -1)) + 1

    inputs = some(2, 9, 11, 4), some(6, 4, 3, 3, seed=1)
    code = noted(function, *inputs)
    fuse_relu(code.graph)
    found = targets(tidy(code))
    assert "mkldnn._convolution_pointwise.default" in found
    assert "aten.relu.default" not in found
    assert code(*inputs).stride() == function(*inputs).stride()
    torch.testing.assert_close(code(*inputs), function(*inputs))


def test_a_relu_with_a_maximum_joins_its_convolution() -> None:
    inputs = (some(2, 4, 9, 9), some(6, 4, 3, 3, seed=1), some(6, seed=2))
    code = noted(lambda x, w, b: F.hardtanh(F.conv2d(x, w, b), 0.0, 1.5), *inputs)
    fuse_relu(code.graph)
    assert targets(tidy(code)) == ["mkldnn._convolution_pointwise.default"]
    torch.testing.assert_close(code(*inputs), F.conv2d(*inputs).clamp(0, 1.5))


def normalized(y: Tensor, *statistics: Tensor) -> Tensor:
    gamma, beta, mean, variance = statistics
    return torch.batch_norm(y, gamma, beta, mean, variance.square() + 0.1, False, 1.0, 1e-3, False)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("rank", [2, 3])
def test_batch_normalization_by_moving_averages_joins_its_convolution(rank: int, has_bias: bool) -> None:
    def function(x: Tensor, weight: Tensor, bias: Tensor, *statistics: Tensor) -> Tensor:
        convolve: Any = F.conv2d if rank == 2 else F.conv3d
        return normalized(convolve(x, weight, bias if has_bias else None, stride=2, groups=2), *statistics)

    inputs = (some(2, 4, *[7] * rank), some(6, 2, *[3] * rank, seed=1), *(some(6, seed=seed) for seed in range(2, 7)))
    code = noted(function, *inputs)
    fold_batch_norm(code.graph)
    assert "aten.native_batch_norm.default" not in targets(tidy(code))
    torch.testing.assert_close(code(*inputs), function(*inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, *s: (normalized(y := F.conv2d(x, w), *s), y),
        lambda x, w, *s: normalized(F.conv_transpose2d(x, w), *s),
        lambda x, w, *s: normalized(F.relu(F.conv2d(x, w)), *s),
        lambda x, w, *s: NATIVE(F.conv2d(x, w), *s, True, 0.1, 1e-3),
        lambda x, w, *s: torch.autograd.grad(normalized(F.conv2d(x, w.requires_grad_()), *s).sum(), w)[0],
    ],
    ids=["used again", "transposed", "relu before", "training", "gradient"],
)
def test_other_batch_normalization_stays(function: Callable[..., object]) -> None:
    inputs = (some(2, 4, 5, 5), some(4, 4, 3, 3, seed=1), *(some(4, seed=seed) for seed in range(2, 6)))
    code = noted(function, *inputs)
    names = targets(code)
    fold_batch_norm(code.graph)
    assert targets(tidy(code)) == names


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: (F.relu(y := F.conv2d(x, w)), y),
        lambda x, w: (F.relu((y := F.conv2d(x, w)).movedim(1, -1)), y),
        lambda x, w: (F.relu(y := F.conv2d(x, w).movedim(1, -1)), y),
        lambda x, w: F.relu(F.conv2d(x.double(), w.double())),
        lambda x, w: F.relu(F.conv_transpose2d(x, w.transpose(0, 1))),
    ],
    ids=["used twice", "used twice, before", "used twice, behind", "double", "transposed"],
)
def test_a_relu_that_cannot_join_stays(function: Callable[..., object]) -> None:
    inputs = some(2, 4, 9, 9), some(6, 4, 3, 3, seed=1)
    code = noted(function, *inputs)
    fuse_relu(code.graph)
    assert "aten.relu.default" in targets(tidy(code))


def test_a_result_takes_the_place_of_what_nobody_needs() -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        return ((x + y) * 2 - y).tanh()

    inputs = some(5), some(5, seed=1)
    code = noted(function, *inputs)
    reuse_memory(code.graph)
    assert targets(tidy(code)) == ["aten.add.Tensor", "aten.mul_.Tensor", "aten.sub_.Tensor", "aten.tanh_.default"]
    torch.testing.assert_close(code(*inputs), function(*inputs), rtol=0, atol=0)


def test_the_gradient_of_a_relu_is_written_over_the_gradient() -> None:
    def function(x: Tensor, g: Tensor) -> Tensor:
        return aten.threshold_backward(g * 2, x, 0)

    inputs = some(5), some(5, seed=1)
    code = noted(function, *inputs)
    reuse_memory(code.graph)
    assert targets(tidy(code))[-1] == "aten.threshold_backward.grad_input"
    torch.testing.assert_close(code(*inputs), function(*inputs), rtol=0, atol=0)


def test_an_operand_that_is_turned_is_not_written_over() -> None:
    def function(x: Tensor) -> Tensor:
        y = x * 2
        return y + y.t()

    x = some(4, 4)
    code = noted(function, x)
    reuse_memory(code.graph)
    torch.testing.assert_close(tidy(code)(x), function(x), rtol=0, atol=0)


def test_what_lies_behind_a_view_is_reused_once_nothing_else_needs_it() -> None:
    """relu after batch normalization in Keras's axis order takes a view of torch's result."""

    def function(x: Tensor, weight: Tensor) -> list[Tensor]:
        y = torch.native_batch_norm(x.permute(0, 3, 1, 2), weight, weight, None, None, True, 0.1, 1e-3)
        rectified = y[0].permute(0, 2, 3, 1).relu()
        shifted = (rectified * 2).view(2, -1) + 1
        return [rectified, shifted, rectified + y[1]]

    inputs = some(2, 5, 6, 3), some(3)
    code = noted(function, *inputs)
    reuse_memory(code.graph)
    names = targets(tidy(code))
    assert names.count("aten.relu_.default") == 1
    assert names.count("aten.add_.Tensor") == 1
    assert names.count("aten.add.Tensor") == 1  # rectified is returned
    torch.testing.assert_close(code(*inputs), function(*inputs), rtol=0, atol=0)


def test_any_program_computes_the_same_in_reused_memory() -> None:
    """Random programs of elementwise operations and views with several results."""
    for seed in range(100):
        _computes_the_same_in_reused_memory(seed)


def _computes_the_same_in_reused_memory(seed: int) -> None:
    choice = random.Random(seed)
    inputs = [some(4, 4, seed=seed), some(4, 4, seed=seed + 1), some(4, 1, seed=seed + 2)]

    def function(*given: Tensor) -> list[Tensor]:
        choice.seed(seed)
        made = list(given)
        for _ in range(choice.randint(4, 25)):
            made.append(_operation(choice, made))
        return choice.sample(made[3:], choice.randint(1, 3))

    code = noted(function, *inputs)
    expected = function(*inputs)
    before = [x.clone() for x in inputs]
    reuse_memory(code.graph)
    for _ in range(2):  # inputs are not written into
        for result, value in zip(tidy(code)(*inputs), expected, strict=True):
            torch.testing.assert_close(result, value, rtol=0, atol=0, equal_nan=True, msg=lambda m: f"seed {seed}: {m}")
    assert all(torch.equal(x, kept) for x, kept in zip(inputs, before, strict=True)), f"seed {seed}"


def _operation(choice: random.Random, made: list[Tensor]) -> Tensor:
    x, y = choice.choice(made), choice.choice(made)
    kind = choice.randrange(8)
    if kind == 0:
        return x.tanh()
    if kind == 1:
        return x.t() if x.shape == (4, 4) else x.expand(4, 4)
    if kind == 2:
        return x.reshape(-1)[: x.numel()].view(x.shape)
    if kind == 3:
        return aten.threshold_backward(x, x, 0.1)
    if kind == 4:
        return torch.where(x > 0, x, y)
    if kind == 5:
        return x * 0.5
    return x + y if kind == 6 else x * y


@pytest.mark.parametrize("width", [1, 3])
def test_all_passes_keep_what_a_step_computes(width: int) -> None:
    x, y = some(6, 1, 12, 12), torch.tensor([0, 1, 2, 0, 1, 2])
    kernel, bias, dense = some(4, 1, 3, 3, seed=1), some(4, seed=2), some(3, 4 * 25 * width, seed=3)

    def step(*given: Tensor) -> list[Tensor]:
        inputs = [tensor.detach().requires_grad_() for tensor in given]
        z = F.max_pool2d(F.relu(F.conv2d(x, inputs[0], inputs[1])), 2)
        z = torch.cat([z] * width, 1).flatten(1)
        loss = F.cross_entropy(F.linear(z, inputs[2]), y)
        return [loss, *torch.autograd.grad(loss, inputs)]

    code = noted(step, kernel, bias, dense)
    before = costly_operations(code.graph)
    simplify(code, on_cpu=True)
    assert costly_operations(code.graph) <= before
    for found, wanted in zip(code(kernel, bias, dense), step(kernel, bias, dense), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)  # oneDNN's sums have another order


ONEDNN = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch is built without oneDNN")


@ONEDNN
@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x, w, b: F.linear(x, w, b), 0),
        (lambda x, w, b: F.relu(F.linear(x, w, b)), 0),
        (lambda x, w, b: (F.relu(y := F.linear(x, w, b)), y), 1),
        (lambda x, w, b: x @ w.t(), 0),
        (lambda x, w, b: F.linear(x, w, b).t() @ x, 0),
        (lambda x, w, b: F.relu(F.linear(x, w, b)) @ w, 0),
        (lambda x, w, b: x.t() @ F.linear(x, w, b)[:, 40:], 0),
    ],
    ids=["bias", "relu", "relu and not", "no bias", "weight gradient", "input gradient", "slice"],
)
def test_large_products_are_done_by_onednn(function: Callable[..., object], left: int) -> None:
    inputs = some(256, 256), some(512, 256, seed=1), some(512, seed=2)
    code = noted(function, *inputs)
    wanted = code(*inputs)
    use_onednn(code.graph)
    after = targets(tidy(code))
    assert "kerascli.linear.default" in after
    assert not any(name in after for name in ("aten.mm.default", "aten.addmm.default"))
    assert after.count("aten.relu.default") == left
    torch.testing.assert_close(code(*inputs), wanted, rtol=1e-5, atol=1e-3)  # sums of 512 products that are of size 10
    weights = [node.args[1].meta["val"] for node in code.graph.nodes if "linear" in str(node.target)]
    assert all(weight.is_contiguous() or weight.t().is_contiguous() for weight in weights)


@ONEDNN
@pytest.mark.parametrize(
    ("function", "rows", "dtype"),
    [
        (lambda x, w, b: F.linear(x, w, b), 8, torch.float32),
        (lambda x, w, b: F.linear(x, w, b), 256, torch.float64),
        (lambda x, w, b: torch.addmm(b, x, w.t(), beta=2), 256, torch.float32),
        (lambda x, w, b: torch.addmm(b.expand(256, 512), x, w.t()), 256, torch.float32),
    ],
    ids=["small", "double", "scaled bias", "bias of other shape"],
)
def test_other_products_stay(function: Callable[..., Tensor], rows: int, dtype: torch.dtype) -> None:
    inputs = some(rows, 256, dtype=dtype), some(512, 256, seed=1, dtype=dtype), some(512, seed=2, dtype=dtype)
    code = noted(function, *inputs)
    use_onednn(code.graph)
    assert "kerascli.linear.default" not in targets(tidy(code))
    torch.testing.assert_close(code(*inputs), function(*inputs))
