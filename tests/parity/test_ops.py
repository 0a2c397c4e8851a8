"""Operations: values and gradients equal keras.ops's in float64, for one table of expressions."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import operator
from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import pytest
import torch
from torch import Tensor

from kerascli.language.expressions import ExpressionError, parse, walk
from kerascli.language.expressions.tree import Binary, Call, Everything, Index, Items, Literal, Name, Node, Slice, Unary
from kerascli.ops.base import OPS
from kerascli.ops.expression import LEFT_OUT, expression
from tests.parity import ledger
from tests.parity.op_cases import CASES, KERAS_CANNOT, words
from tests.support.ties import NoTies


def given() -> dict[str, Tensor]:
    """Return the tensors that the cases use; floats require gradients."""
    random = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    a, b, c, m = normal(2, 3, 4), normal(2, 3, 4), normal(2, 1, 4), normal(2, 3, 3)
    n = normal(2, 3, 4)
    n[0, 1, 2] = n[1, 0, 0] = float("nan")
    tensors = {
        "a": a, "b": b, "c": c, "p": a.abs() + 1.1, "u": a.tanh(), "n": n, "v": normal(2, 3), "w": normal(3),
        "m": torch.cat([m[..., :3], normal(2, 1, 3)], 1)[:, :3], "s": m @ m.mT + torch.eye(3, dtype=torch.float64),
        "d": normal(2, 4, 6, 8), "t": normal(2, 20), "t3": normal(2, 6, 5), "e": normal(3, 2), "f": normal(2, 3, 4, 6),
        "g": normal(2, 8, 6), "rgb": normal(2, 5, 6, 3).sigmoid(),
        "i": torch.tensor([[3, 0, 5], [1, 6, 2]]), "j": torch.tensor([[1, 2, 3], [3, 1, 2]]),
    }  # fmt: skip
    return {k: x.detach().clone().requires_grad_(x.is_floating_point()) for k, x in tensors.items()}


def keras_function(name: str) -> Any:
    """Return the keras.ops function of our name; `image.resize` is in a submodule."""
    owner, _, last = name.rpartition(".")
    module = getattr(keras.ops, owner) if owner else keras.ops
    return getattr(module, last, None) or getattr(keras.activations, last, None)


_OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "@": operator.matmul,
}  # fmt: skip


def keras_value(node: Node, names: Mapping[str, Tensor]) -> Any:
    """Evaluate the expression by keras.ops and torch's operators."""

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
            found = [value(item) for item in node.items]
            return tuple(found) if node.is_tuple else found
        case Index():
            return _index(value(node.value), [_place(item, value) for item in node.items])
        case Call():
            function = keras_function(node.function)
            if node.function in ("image.gaussian_blur", "image.sobel_edges"):  # Keras on torch forgets its default
                function = partial(function, data_format="channels_last")
            return function(*map(value, node.arguments), **{k: value(v) for k, v in node.named.items()})
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
    with NoTies():
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
    flat = ("//", "floor_divide", "heaviside", "nextafter", "histogram")
    has_none = any(step in text for step in flat)  # torch's raise when asked
    assert ours.requires_grad == (theirs.requires_grad and not has_none)
    for node in walk(parse(text)):
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
        node.function for text in (*CASES, *dict(KERAS_CANNOT)) for node in walk(parse(text)) if isinstance(node, Call)
    }
    drawn = {name for name in OPS.names() if name.startswith("random_")}
    assert set(OPS.names()) - drawn - called == {"gradient"}  # Keras has none: tests/training/test_gradients.py
    assert len(OPS.names()) >= 330


def test_arguments_and_defaults_are_keras_s() -> None:
    """Names, order and defaults; arguments that only Keras has are listed here."""
    import inspect

    left_out = {
        "one_hot": {"sparse"}, "multi_hot": {"sparse", "kwargs"}, "moments": {"synchronized"},
        "linspace": {"retstep", "axis"}, "logspace": {"axis"}, "geomspace": {"axis"},
        "einsum": {"kwargs"}, "layer_normalization": {"kwargs"},
        "dot_product_attention": {"flash_attention", "attn_logits_soft_cap"},
        "svd": {"compute_uv"}, "isin": {"assume_unique"}, "ctc_decode": {"beam_width", "top_paths"},
        **{name: {"data_format"} for name in words("max_pool average_pool")},
        **{name: {"data_format"} for name in words("conv depthwise_conv conv_transpose separable_conv")},
        **{name: {"data_format"} for name in words("adaptive_max_pool adaptive_average_pool")},
        **{name: {"data_format"} for name in OPS.names() if name.startswith("image.")},
        **{f"segment_{kind}": {"sorted"} for kind in ("sum", "max", "min", "prod")},
    }  # fmt: skip
    required = {"num_segments", "x1", "x2", "num_classes"}  # without them a shape would depend on the values
    more = {"relu"}  # takes what the activation takes
    wrong = []
    for name in OPS.names():
        theirs = keras_function(name)
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


NOT_OPERATIONS = {"image": "a module", "linalg": "a module", "nn": "a module", "numpy": "a module"}


def test_every_name_of_keras_ops_is_an_operation_or_has_its_reason() -> None:
    def names(module: Any, before: str = "") -> set[str]:
        return {before + name for name in dir(module) if not name.startswith("_")}

    for module in (keras.ops.linalg, keras.ops.nn, keras.ops.numpy):
        assert names(module) <= names(keras.ops)
    unknown = {name for name in names(keras.ops) | names(keras.ops.image, "image.") if OPS.find(name) is None}
    assert unknown == LEFT_OUT.keys() | NOT_OPERATIONS.keys()


def test_what_is_left_out_gives_its_reason_where_it_is_called() -> None:
    for name, reason in LEFT_OUT.items():
        with pytest.raises(ExpressionError) as caught:
            expression(f"2 * {name}(x)")
        assert (caught.value.text, caught.value.column) == (f"{name} is not available in formulas: {reason}", 5)


def test_the_shape_is_known_without_the_values() -> None:
    tensors = given()
    meta = {name: x.to("meta") for name, x in tensors.items()}
    for text in dict.fromkeys([*CASES, *dict(KERAS_CANNOT)]):
        real = expression(text)(tensors, tensors["a"], training=False)
        result = expression(text)(meta, meta["a"], training=False)
        assert (result.shape, result.dtype, result.device.type) == (real.shape, real.dtype, "meta"), text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken_everywhere(dtype: torch.dtype) -> None:
    """Formulas get it in mixed precision; what torch implements only in full precision is computed in it."""
    torch.set_default_dtype(torch.float32)
    tensors = {name: x.detach().to(dtype) if x.is_floating_point() else x for name, x in given().items()}
    for text in [*CASES, *dict(KERAS_CANNOT)]:
        if "@ ones" not in text:  # two dtypes meet in a product
            assert expression(text)(tensors, tensors["a"], training=False) is not None
