"""Every operation gives keras.ops's values, and its gradients, in float64: one table of expressions."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import operator
from collections.abc import Mapping
from typing import Any

import keras
import pytest
import torch
from torch import Tensor

from kerascli.expressions import parse, walk
from kerascli.expressions.tree import Binary, Call, Everything, Index, Items, Literal, Name, Node, Slice, Unary
from kerascli.ops.base import OPS
from kerascli.ops.expression import expression
from tests.parity import ledger


def words(text: str) -> list[str]:
    return text.split()


UNARY = words("""abs negative square exp exp2 expm1 sign floor ceil trunc sin cos tan arctan sinh cosh arcsinh sinc
deg2rad rad2deg erf erfc i0 isnan isinf isfinite isposinf isneginf signbit logical_not stop_gradient cbrt""")
POSITIVE = words("sqrt rsqrt reciprocal log log2 log10 log1p")
SMALL = words("arcsin arccos arctanh erfinv")
ACTIVATIONS = words("""relu relu6 elu celu selu silu sigmoid hard_sigmoid hard_silu hard_tanh hard_shrink soft_shrink
softplus softsign squareplus tanh tanh_shrink log_sigmoid sparse_plus sparse_sigmoid leaky_relu gelu glu
mish exponential linear""")
PAIRS = words("""add subtract multiply divide maximum minimum fmax fmin arctan2 hypot logaddexp logaddexp2
equal not_equal less less_equal greater greater_equal fmod mod floor_divide divide_no_nan isclose heaviside""")

CASES = [
    *(f"{name}(a)" for name in UNARY),
    *(f"{name}(p)" for name in [*POSITIVE, "arccosh"]),
    *(f"{name}(u)" for name in SMALL),
    *(f"{name}(a)" for name in ACTIVATIONS),
    *(f"{name}(a, b)" for name in PAIRS),
    *(f"{name}(a, c)" for name in ("add", "multiply", "maximum", "arctan2", "less")),
    *(f"{name}(a, 0.5)" for name in ("maximum", "minimum", "greater", "fmod")),
    *(f"{name}(i, j)" for name in ("gcd", "lcm", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift")),
    *(f"{name}(i > 2, j > 3)" for name in ("logical_and", "logical_or", "logical_xor")),
    *(f"{name}(a{more})" for name in ("sum", "mean", "var", "std", "max", "min", "prod", "logsumexp", "ptp")
      for more in ("", ", axis=1", ", axis=[0, -1], keepdims=true")),
    *(f"{name}(a > 0{more})" for name in ("all", "any") for more in ("", ", axis=-1, keepdims=True", ", axis=[0, 1]")),
    *(f"{name}(a{more})" for name in ("argmax", "argmin") for more in ("", ", axis=1", ", -1, keepdims=true")),
    *(f"{name}(n{more})" for name in ("nansum", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "nanprod")
      for more in ("", ", axis=1, keepdims=true")),
    "right_shift(i, j)", "bitwise_not(i)", "ldexp(a, j[:, :, None])", "power(p, b)", "power(a, 2)",
    "divide_no_nan(a, floor(c))", "max(a, axis=1, initial=0.5)", "min(a, initial=0.1)",
    "moments(a, [0, 1])[0]", "moments(a, [1], keepdims=true)[1]", "count_nonzero(i, axis=1)", "count_nonzero(i)",
    "norm(a)", "norm(a, axis=-1)", "norm(a, ord=1, axis=1, keepdims=true)", "norm(a, 'fro', axis=[1, 2])",
    "norm(m, ord=2, axis=[1, 2])", "average(a, axis=1)", "average(v, axis=-1, weights=w)",
    "quantile(a, 0.3, axis=1)", "quantile(a, [0.2, 0.7], axis=[1, 2], keepdims=true)", "quantile(a, 0.5)",
    "percentile(a, 30, axis=-1, method='nearest')", "median(a, axis=1)", "median(a)",
    "clip(a, -0.5, 0.5)", "clip(a, -1, c)", "round(a)", "round(a, decimals=2)", "nan_to_num(n, nan=3)",
    "cast(a * 3, 'int32')", "cast(i, 'float64')", "saturate_cast(a * 300, 'uint8')",
    "where(a > b, a, b)", "where(a > 0, a, 0.0)", "select([a > 1, a > 0], [a, b], 5.0)",
    "threshold(a, 0.3, -1)", "relu(a)", "leaky_relu(a, negative_slope=0.4)", "celu(a, alpha=2.0)", "elu(a, 0.5)",
    "gelu(a, approximate=false)", "glu(a, axis=0)", "softmax(a)", "softmax(a, axis=1)", "log_softmax(a, 0)",
    "squareplus(a, b=2)", "soft_shrink(a, 0.2)", "hard_shrink(a, threshold=0.2)",
    # shapes
    "a * shape(a)[1]", "a * ndim(a)", "a * size(a)", "reshape(a, [2, -1])", "reshape(a, [shape(a)[0], 4, 3])",
    "reshape(a, -1)", "ravel(a)", "transpose(a)", "transpose(a, [0, 2, 1])", "swapaxes(a, 1, -1)",
    "moveaxis(a, 0, -1)", "moveaxis(a, [0, 1], [2, 0])", "expand_dims(a, 1)", "expand_dims(a, axis=[0, -1])",
    "squeeze(a[:, :1], 1)", "squeeze(a[:, :1, 2:3])", "broadcast_to(c, [2, 3, 4])", "flip(a)", "flip(a, axis=1)",
    "fliplr(a)", "flipud(a)", "rot90(a)", "rot90(a, k=3, axes=[1, 2])", "roll(a, 2)", "roll(a, [1, -2], axis=[0, 2])",
    "repeat(a, 3, axis=1)", "repeat(a, 2)", "tile(a, [1, 2, 3])", "tile(a, 2)", "pad(a, [[0, 0], [1, 2], [0, 3]])",
    "pad(a, [[0, 0], [0, 0], [1, 2]], mode='reflect')", "pad(a, [[0, 0], [1, 0], [0, 0]], constant_values=2)",
    "concatenate([a, b], axis=-1)", "concatenate([a, b])",
    "append(a, b)", "append(a, b, axis=1)", "stack([a, b])", "stack([a, b], axis=-1)", "hstack([a, b])",
    "vstack([a, b])", "dstack([a, b])", "unstack(a, axis=1)[2]", "unstack(a)[0]", "split(a, 2, axis=-1)[1]",
    "split(a, [1, 3], axis=2)[1]", "array_split(a, 3, axis=2)[0]", "meshgrid(v[:, 0], w)[0]",
    "meshgrid(w, v[:, 0], indexing='ij')[1]", "diag(w)", "diag(m[0], k=1)", "diagonal(m, offset=1, axis1=1, axis2=2)",
    "trace(m, axis1=1, axis2=2)", "trace(m[1])", "tril(m)", "tril(m, k=-1)", "triu(m, 1)",
    "slice(a, [0, 1, 2], [2, 2, 1])", "slice_update(a, [0, 1, 1], b[:, :2, :2])", "depth_to_space(d, 2)",
    "space_to_depth(d, 2)",
    # places
    "take(a, [2, 0, -1], axis=-1)", "take(a, j - 1, axis=1)", "take(a, [3, 5])", "take_along_axis(a, argsort(a), -1)",
    "take_along_axis(a, argsort(a, axis=1), axis=1)", "one_hot(j, 6)", "one_hot(j - 3, 4, axis=1)",
    "one_hot(j, num_classes=5, dtype='int32')", "multi_hot(j, 6)", "sort(a)", "sort(a, axis=1)", "argsort(a, axis=0)",
    "top_k(a, 2)[0]", "top_k(a, k=3)[1]", "in_top_k(j[:, 0] - 1, v, 2)", "cumsum(a, axis=1)", "cumsum(a)",
    "cumprod(a, -1)", "cumprod(a)", "diff(a)", "diff(a, n=2, axis=1)", "trapezoid(a, axis=1)", "trapezoid(a, dx=0.5)",
    "trapezoid(w, cumsum(p[0, 0, :3]))", "searchsorted(sort(w), a)", "searchsorted(sort(w), a, side='right')",
    "digitize(a, [-1.0, 0.0, 0.5])", "scatter([[0, 1], [2, 3]], w[:2], [4, 5])",
    "isin(i, j)", "isin(i, [1, 5], invert=true)",
    "scatter_update(v, [[0, 1], [1, 2]], w[:2])", "extract_sequences(a, 2, 1)",
    # algebra
    "transpose(a, [0, 2, 1]) @ m", "matmul(a, transpose(b, [0, 2, 1]))", "dot(v, transpose(v))", "dot(w, w)",
    "inner(v, w)",
    "vdot(w, sort(w))",
    "outer(v, w)", "tensordot(a, b, axes=[[0, 1], [0, 1]])",
    "tensordot(v, m[0], axes=1)", "tensordot(a, b, [2, 2])", "einsum('ijk,ijk->i', a, b)",
    "einsum('bij,bkj->bik', a, b)",
    "einsum('...j,j->...', v, w)", "kron(v, w)", "cross(v, v + w, axis=-1)", "cdist(a, b)", "det(s)", "slogdet(s)[1]",
    "logdet(s)", "inv(s)", "pinv(s)", "cholesky(s)", "cholesky(s, upper=true)", "solve(s, m)",
    "solve_triangular(tril(s), m, lower=true)", "qr(s)[1]", "vander(stop_gradient(w))",
    "vander(stop_gradient(w), 4, increasing=true)",
    "cholesky_inverse(cholesky(s))", "cholesky_inverse(cholesky(s, upper=true), upper=true)",
    "eigh(s + transpose(s, [0, 2, 1]))[0]",
    "abs(eigh(s + transpose(s, [0, 2, 1]))[1])", "svd(m)[1]", "abs(svd(a, full_matrices=false)[0])",
    # windows and waves
    "max_pool(a, 2)", "max_pool(a, [2], strides=1, padding='same')", "max_pool(d, [2, 3], padding='same')",
    "average_pool(a, 2, padding='same')", "average_pool(d, 2, strides=[1, 2])", "max_pool(d, 3, 2, 'same')",
    "conv(a, transpose(b, [1, 2, 0]))", "conv(d, reshape(d[0, :2, :, :], [2, 3, 8, 2]), padding='same')",
    "conv(d, reshape(d[0, :2, :, :], [3, 2, 8, 2]), strides=2, padding='same')",
    "conv(d, reshape(d[0, :2, :, :], [2, 3, 8, 2]), dilation_rate=[1, 2])",
    "conv(d, reshape(d[0, :2, :, :], [3, 2, 4, 4]))",
    "depthwise_conv(d, reshape(d[0, :2, :, :], [2, 3, 8, 2]), strides=2)",
    "depthwise_conv(a, reshape(b[0, :2], [2, 4, 1]), 1, 'same')",
    "rfft(a)[0]", "rfft(a, 6)[1]", "rfft(a, fft_length=3)[0]", "irfft([a, b])", "irfft([a, b], fft_length=5)",
    # made
    "a + zeros([3, 4])", "a * ones([2, 1, 4], dtype='float64')", "a + full([4], 3)", "a + full([3, 1], 0.5)",
    "zeros_like(a)", "ones_like(a)", "full_like(a, 3)", "a + eye(3, 4, k=1)", "m + identity(3)", "m * tri(3, k=-1)",
    "a * arange(4)", "a * arange(1, 3, 0.5)", "a * linspace(0, 1, 4)", "a + linspace(0, 1, num=4, endpoint=false)",
    "a * logspace(0, 1, 4)", "a * geomspace(1, 8, 4)",
    # networks
    "normalize(a)", "normalize(a, axis=1, order=1)", "normalize(a, order=3)", "layer_normalization(a, axis=-1)",
    "layer_normalization(a, c[0, 0], c[0, 0] + 1, epsilon=0.01)", "rms_normalization(a, c[0, 0])",
    "rms_normalization(a, epsilon=0.1)", "batch_normalization(a, c[0, 0], p[0, 0], axis=-1)",
    "batch_normalization(a, w, square(w) + 1, 1, offset=w, scale=w + 1, epsilon=0.1)",
    "binary_crossentropy(round(u * 0.5 + 0.5), u * 0.4 + 0.5)",
    "binary_crossentropy(round(abs(u)), a, from_logits=true)",
    "categorical_crossentropy(softmax(b), softmax(a))", "categorical_crossentropy(softmax(b), a, from_logits=true)",
    "sparse_categorical_crossentropy(j - 1, softmax(a))",
    "sparse_categorical_crossentropy(j - 1, a, from_logits=true)",
    "dot_product_attention(d, d * 2, d + 1)", "dot_product_attention(d, d * 2, d + 1, is_causal=true, scale=0.3)",
    "dot_product_attention(d, d, d, mask=tri(4) > 0)",
    "ctc_loss(j[:, :1], a, [1, 1], [3, 3])", "ctc_loss(j[:, :2] - 1, d[:, :, 0], [2, 1], [4, 3], mask_index=4)",
    "psnr(a, b, 1.0)",
    # operators and places
    "a + b * 2 - c / 3", "-a ** 2", "p ** 0.5", "2 ** a", "1 / p", "7 // p", "a % 3", "a // b", "+a",
    "a[0]", "a[:, 0]", "a[:, -1]", "a[..., 1]", "a[:, ::-1]", "a[..., 3:0:-2]", "a[:, None, 1:]", "a[:, 1:, ::2]",
    "a[..., None] * w", "i[:, 0] + i[:, 1]", "i / 2", "(a > 0) * b", "a * [1, 2, 3, 4]",
]  # fmt: skip


KERAS_CANNOT = [
    ("sparsemax(a)", "sparsemax(a, axis=-1)"),
    ("sum(sparsemax(a, axis=1), axis=1)", "ones([2, 4])"),
    ("segment_sum(a, j[:, 0], num_segments=4)", "tensordot(transpose(one_hot(j[:, 0], 4)), a, 1)"),
    ("segment_max(v, j[:, 0], 4)[1:4:2]", "v"),
    ("segment_prod(v, j[:, 0], 4)[:3]", "stack([ones([3]), v[0], ones([3])])"),
    ("segment_min(v, [1, 1], 2)[1]", "min(v, axis=0)"),
    ("segment_max(v, [5, -1], 2)", "full([2, 3], -1) / 0.0"),
    ("average(a, axis=1, weights=p)", "sum(a * p, axis=1) / sum(p, axis=1)"),
    ("average(a, weights=p)", "sum(a * p) / sum(p)"),
    ("pad(v, [[0, 0], [2, 1]], mode='symmetric')", "concatenate([v[:, 1::-1], v, v[:, 2:]], axis=1)"),
    ("rms_normalization(a, axis=1)", "a * rsqrt(mean(square(a), axis=1, keepdims=true) + 1e-7)"),
    ("a < 0 and b < 0", "logical_and(a < 0, b < 0)"),
    ("a < 0 or not (b < 0)", "logical_or(a < 0, b >= 0)"),
    ("-1 < a < 1", "abs(a) < 1"),
    ("a * (2 if shape(a)[1] > 2 else 3)", "2 * a"),
    ("7 % p", "7 - p * floor(7 / p)"),
    ("a * batch_size", "a * 2"),
    ("a * sqrt(4) + max(2, 3) * pi", "a * 2 + 3 * pi"),
    ("0.0 if training else a", "a"),
    ("a[:, [2, 0]]", "take(a, [2, 0], axis=1)"),
]
"""What Keras on torch gets wrong or does not have: the same in other words."""


def given() -> dict[str, Tensor]:
    """The tensors that the cases are of; floats ask for gradients."""
    random = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    a, b, c, m = normal(2, 3, 4), normal(2, 3, 4), normal(2, 1, 4), normal(2, 3, 3)
    n = normal(2, 3, 4)
    n[0, 1, 2] = n[1, 0, 0] = float("nan")
    tensors = {
        "a": a, "b": b, "c": c, "p": a.abs() + 1.1, "u": a.tanh(), "n": n, "v": normal(2, 3), "w": normal(3),
        "m": torch.cat([m[..., :3], normal(2, 1, 3)], 1)[:, :3], "s": m @ m.mT + torch.eye(3, dtype=torch.float64),
        "d": normal(2, 4, 6, 8),
        "i": torch.tensor([[3, 0, 5], [1, 6, 2]]), "j": torch.tensor([[1, 2, 3], [3, 1, 2]]),
    }  # fmt: skip
    return {k: x.detach().clone().requires_grad_(x.is_floating_point()) for k, x in tensors.items()}


_OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "@": operator.matmul,
}  # fmt: skip


def keras_value(node: Node, names: Mapping[str, Tensor]) -> Any:
    """The same expression, computed by keras.ops and torch's own operators."""

    def value(part: Node | None) -> Any:
        return None if part is None else keras_value(part, names)

    match node:
        case Literal():
            return node.value
        case Name():
            return names[node.name]
        case Unary():
            return -value(node.operand) if node.operator == "-" else value(node.operand)
        case Binary():
            left, right = (_tensor(value(side)) for side in (node.left, node.right))
            return _OPERATORS[node.operator](left, right)
        case Items():
            return [value(item) for item in node.items]
        case Index():
            return _index(value(node.value), [_place(item, value) for item in node.items])
        case Call():
            function = getattr(keras.ops, node.function, None) or getattr(keras.activations, node.function)
            return function(*map(value, node.arguments), **{k: value(v) for k, v in node.keywords})
    left, right = node.operands  # type: ignore[attr-defined]
    return value(left) > value(right)


def _tensor(value: Any) -> Any:
    return torch.tensor(value) if isinstance(value, list) else value


def _place(item: Node, value: Any) -> Any:
    if isinstance(item, Everything):
        return Ellipsis
    if isinstance(item, Slice):
        return slice(value(item.start), value(item.stop), value(item.step))
    return value(item)


def _index(x: Any, places: list[Any]) -> Any:
    if not isinstance(x, Tensor):
        return x[places[0]]
    if not any(isinstance(place, slice) and (place.step or 1) < 0 for place in places):
        return x[tuple(places)]
    numbers = torch.arange(x.numel()).reshape(x.shape).numpy()[tuple(places)]  # NumPy knows negative steps
    return x.reshape(-1)[torch.from_numpy(numbers.copy())]


@pytest.fixture(autouse=True)
def _in_float64():
    torch.set_default_dtype(torch.float64)
    keras.config.set_floatx("float64")
    yield
    torch.set_default_dtype(torch.float32)
    keras.config.set_floatx("float32")


@pytest.mark.filterwarnings("ignore:.*T.* on.*tensors:UserWarning")  # Keras's own use of torch, in count_nonzero
@pytest.mark.parametrize("text", list(dict.fromkeys(CASES)))
def test_an_expression_has_keras_values_and_gradients(text: str) -> None:
    ours_in, theirs_in = given(), given()
    ours = expression(text)(ours_in, ours_in["a"], training=False)
    theirs = keras_value(parse(text), theirs_in)
    compared = ledger.Comparison()
    compared.same(ours.detach().double(), theirs.detach().double())
    assert ours.is_floating_point() == theirs.is_floating_point()
    if ours.requires_grad and theirs.requires_grad:
        cotangent = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5))
        ours.backward(cotangent)
        theirs.backward(cotangent)
        for name, x in theirs_in.items():
            if x.grad is not None:
                mine = ours_in[name].grad
                assert mine is not None
                compared.same(mine, x.grad)
    has_none = any(step in text for step in ("//", "floor_divide", "heaviside"))  # torch's raise when asked
    assert ours.requires_grad == (theirs.requires_grad and not has_none)
    for node, _ in walk(parse(text)):
        if isinstance(node, Call):
            ledger.note("op", node.function, text, compared.gap)


@pytest.mark.parametrize(("text", "means"), KERAS_CANNOT)
def test_two_ways_to_say_it_have_one_value_and_gradient(text: str, means: str) -> None:
    values, gradients = [], []
    for each in (text, means):
        tensors = given()
        value = expression(each)(tensors, tensors["a"], training=False)
        values.append(value.detach())
        if value.requires_grad:
            value.square().sum().backward()
        gradients.append({name: x.grad for name, x in tensors.items()})
    torch.testing.assert_close(*values, atol=1e-9, rtol=1e-9)
    for name, gradient in gradients[0].items():
        if gradient is not None and gradients[1][name] is not None:
            torch.testing.assert_close(gradient, gradients[1][name], atol=1e-9, rtol=1e-9)


def test_every_operation_has_a_case() -> None:
    called = {
        node.function
        for text in (*CASES, *dict(KERAS_CANNOT))
        for node, _ in walk(parse(text))
        if isinstance(node, Call)
    }
    drawn = {name for name in OPS.names() if name.startswith("random_")}
    assert set(OPS.names()) - drawn - called == set()
    assert len(OPS.names()) >= 230


def test_arguments_and_defaults_are_keras_s() -> None:
    """Names, order and defaults; what Keras has more of is told here."""
    import inspect

    left_out = {
        "one_hot": {"sparse"}, "multi_hot": {"sparse", "kwargs"}, "moments": {"synchronized"}, "prod": {"dtype"},
        "linspace": {"retstep", "axis"}, "logspace": {"axis"}, "geomspace": {"axis"}, "pinv": {"rcond"},
        "cross": {"axisa", "axisb", "axisc"}, "einsum": {"kwargs"}, "layer_normalization": {"kwargs"},
        "dot_product_attention": {"flash_attention", "attn_logits_soft_cap"}, "scatter_update": {"reduction"},
        "svd": {"compute_uv"}, "isin": {"assume_unique"},
        **{name: {"data_format"} for name in words("depth_to_space space_to_depth max_pool average_pool")},
        **{name: {"data_format"} for name in words("conv depthwise_conv")},
        **{f"segment_{kind}": {"sorted"} for kind in ("sum", "max", "min", "prod")},
    }  # fmt: skip
    required = {"num_segments", "x1", "x2", "num_classes"}  # without them a shape would depend on the values
    more = {"relu"}  # takes what the activation takes
    wrong = []
    for name in OPS.names():
        theirs = getattr(keras.ops, name, None)
        if theirs is None or name in more:
            continue
        op = OPS.find(name)
        assert op is not None
        wanted = {n: p.default for n, p in inspect.signature(theirs).parameters.items()}
        wanted = {n: d for n, d in wanted.items() if n not in left_out.get(name, ())}
        mine = {n: p.default for n, p in op.parameters.items()}
        if list(mine)[1:] != list(wanted)[1:] or any(mine[n] != wanted[n] for n in list(mine)[1:] if n not in required):
            wrong.append((name, mine, wanted))
    assert wrong == []
