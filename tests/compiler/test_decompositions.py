"""Operations that are computed by others give torch's numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from kerascli.compiler import compiled_operations
from kerascli.compiler.compiled_operations import COMPILED
from kerascli.compiler.decompositions import TRACED, Decompositions
from kerascli.compiler.tracing import trace

aten = torch.ops.aten
CONVOLUTION, GRADIENTS = aten.convolution.default, aten.convolution_backward.default


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def targets_of(
    function: Callable[..., Any], inputs: Sequence[Tensor], decompositions: Decompositions = TRACED
) -> list[Any]:
    """Check that the graph of a function computes what torch does in float64; return the graph's operations.

    float32 has 6e-8 of a sum's terms; sums of some hundred terms that cancel lose two digits at most.
    """
    code = trace(function, [each.clone() for each in inputs], decompositions)
    found = code(*(each.clone() for each in inputs))
    expected = function(*(each.double() if each.is_floating_point() else each for each in inputs))
    for ours, theirs in zip(as_list(found), as_list(expected), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            torch.testing.assert_close(ours.to(theirs.dtype), theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
    return [node.target for node in code.graph.nodes if node.op == "call_function"]


def as_list(results: Any) -> list[Tensor | None]:
    return [results] if isinstance(results, Tensor) else list(results)


@pytest.mark.parametrize(("shape", "words"), [((256,), 1000), ((64, 50), 7), ((3, 4, 5), 100)])
@pytest.mark.parametrize("width", [1, 8, 64])
def test_gradients_of_embeddings_are_sums_of_rows(shape: tuple[int, ...], words: int, width: int) -> None:
    indices = torch.randint(0, words, shape, generator=torch.Generator().manual_seed(1))
    gradient = some(*shape, 2 * width)[..., width:]  # its rows are not contiguous, as those of a concatenation

    def function(gradient: Tensor, indices: Tensor) -> Tensor:
        return aten.embedding_dense_backward(gradient, indices, words, -1, False)

    assert aten.embedding_dense_backward.default not in targets_of(function, [gradient, indices])
    assert torch.equal(trace(function, [gradient, indices])(gradient, indices), function(gradient, indices))


@pytest.mark.parametrize(("padding", "scaled"), [(3, False), (-1, True)])
def test_gradients_that_leave_rows_out_or_divide_them_stay(padding: int, scaled: bool) -> None:
    inputs = [some(20, 4), torch.arange(20) % 7]
    found = targets_of(lambda x, i: aten.embedding_dense_backward(x, i, 7, padding, scaled), inputs)
    assert found == [aten.embedding_dense_backward.default]


def settings_of(
    rank: int, stride: int = 1, padding: Sequence[int] = (), transposed: bool = False, groups: int = 1
) -> Any:
    outside = [stride - 1 if transposed else 0] * rank
    return [stride] * rank, list(padding) or [0] * rank, [1] * rank, transposed, outside, groups


def gradients_of(
    x: Tensor, weight: Tensor, settings: Any, wants: list[bool]
) -> tuple[Callable[..., Any], list[Tensor]]:
    bias = [x.shape[1] if settings[3] else len(weight)]
    gradient = torch.randn_like(aten.convolution(x, weight, None, *settings))
    return lambda g, x, w: aten.convolution_backward(g, x, w, bias, *settings, wants), [gradient, x, weight]


@pytest.mark.parametrize(
    ("sizes", "kernel", "padding"),
    [((9, 8), (3, 3), (1, 1)), ((9, 8), (3, 2), (0, 1)), ((9,), (3,), (2,)), ((5, 6, 7), (3, 2, 3), (1, 0, 2)),
     ((4, 4), (1, 1), (0, 0)), ((6, 6), (3, 3), (3, 3))],
)  # fmt: skip
@pytest.mark.parametrize("bias", [True, False])
def test_one_filter_is_a_product_of_matrices(sizes: Any, kernel: Any, padding: Any, bias: bool) -> None:
    x, weight, settings = some(3, 40, *sizes), some(1, 40, *kernel, seed=1), settings_of(len(sizes), padding=padding)
    inputs = [x, weight, some(1, seed=2)] if bias else [x, weight]
    convolve = lambda x, weight, bias=None: aten.convolution(x, weight, bias, *settings)  # noqa: E731
    assert CONVOLUTION not in targets_of(convolve, inputs)
    for wants in ([True, True, bias], [False, True, bias], [True, False, bias]):
        assert GRADIENTS not in targets_of(*gradients_of(x, weight, settings, wants))


@pytest.mark.parametrize(
    ("weight", "settings"),
    [((2, 40, 3, 3), settings_of(2)), ((1, 4, 3, 3), settings_of(2)), ((1, 40, 3, 3), settings_of(2, stride=2))],
    ids=["two filters", "few channels", "strides"],
)
def test_other_convolutions_stay(weight: tuple[int, ...], settings: Any) -> None:
    x, kernel = some(3, weight[1], 7, 8), some(*weight, seed=1)
    assert targets_of(lambda x, w: aten.convolution(x, w, None, *settings), [x, kernel]) == [CONVOLUTION]
    assert targets_of(*gradients_of(x, kernel, settings, [True, True, False]))[0] == GRADIENTS


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_has_the_kernel_gradient_of_the_other(stride: int, groups: int) -> None:
    settings = settings_of(2, stride, (1, 0), transposed=True, groups=groups)
    function, inputs = gradients_of(some(3, 6, 5, 4), some(6, 4, 3, 2, seed=1), settings, [True, True, False])
    found = trace(function, inputs)
    calls = [node.args[7] for node in found.graph.nodes if node.target is GRADIENTS]
    assert calls == [True, False]
    targets_of(function, inputs)


def test_a_bias_is_added_after_its_product(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [some(5), some(7, 6), some(6, 5, seed=1)]
    monkeypatch.setattr(compiled_operations, "onednn_is_faster", lambda: False)
    found = targets_of(aten.addmm, inputs, COMPILED)
    assert aten.mm.default in found
    assert aten.addmm.default not in found
    assert aten.addmm.default in targets_of(lambda *args: aten.addmm(*args, beta=0.5), inputs, COMPILED)
    assert aten.addmm.default in targets_of(aten.addmm, [some(7, 5), *inputs[1:]], COMPILED)
    monkeypatch.setattr(compiled_operations, "onednn_is_faster", lambda: True)
    assert aten.addmm.default in targets_of(aten.addmm, inputs, COMPILED)


@pytest.mark.parametrize("shape", [(4, 6, 8, 8), (30, 5), (8, 3, 25), (2, 3, 4, 4, 3)])
def test_batch_normalization_adds_up_blocks(shape: tuple[int, ...]) -> None:
    columns = [some(shape[1], seed=seed).abs() + 0.1 for seed in range(4)]
    x, gradient = some(*shape) + 30, some(*shape, seed=9)

    def normalize(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> list[Tensor]:
        return [*aten.native_batch_norm(x, gamma, beta, mean, variance, True, 0.1, 1e-3), mean, variance]

    assert aten.native_batch_norm.default not in targets_of(normalize, [x, *columns], COMPILED)
    _, center, inverse, *_ = normalize(x, *[each.clone() for each in columns])

    def differentiate(gradient: Tensor, x: Tensor, gamma: Tensor, center: Tensor, inverse: Tensor) -> Any:
        return aten.native_batch_norm_backward(
            gradient, x, gamma, None, None, center, inverse, True, 1e-3, [True, True, True]
        )

    inputs = [gradient, x, columns[0], center, inverse]
    assert aten.native_batch_norm_backward.default not in targets_of(differentiate, inputs, COMPILED)


def test_batch_normalization_of_rows_without_blocks_stays() -> None:
    columns = [some(5, seed=seed).abs() for seed in range(4)]
    function = lambda x, *columns: aten.native_batch_norm(x, *columns, True, 0.1, 1e-3)  # noqa: E731
    assert aten.native_batch_norm.default in targets_of(function, [some(37, 5), *columns], COMPILED)
