"""Every function of keras.ops between layers is imported with its arguments, or refused with a reason."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerascli.foundation.errors import FileRefused
from kerascli.language.expressions import parse, walk
from kerascli.language.expressions.tree import Binary, Call, Everything, Index, Items, Literal, Name, Node, Slice, Unary
from kerascli.ops.base import OPS
from kerascli.ops.expression import LEFT_OUT
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.parity.op_cases import CASES
from tests.parity.test_ops import _OPERATORS, given, keras_function
from tests.support.keras_import_harness import arrays, assert_same, save

ops: Any = keras.ops
TENSORS = {k: x.detach().float() if x.is_floating_point() else x for k, x in given().items()}

MORE = [
    "abs(a[:, 1:])", "max_pool(d, 2, data_format='channels_first')", "max_pool(d, [2, 3], 1, 'same', 'channels_first')",
    "average_pool(d, 2, data_format='channels_first')", "average_pool(a, 2)", "average_pool(t3, 2, 1)",
    "adaptive_average_pool(d, (3, 3), data_format='channels_first')", "adaptive_max_pool(a, (2,))",
    "adaptive_average_pool(a, (2,))", "adaptive_max_pool(d, (2, 3))", "conv(a, t3[:, :4, :])",
    "conv(d, reshape(d[0, :2], [2, 3, 8, 2]), padding='same')", "conv(d, reshape(d[0, :2], [3, 2, 8, 2]), 2, 'same')",
    "conv(d, reshape(d[0, :2], [2, 3, 8, 2]), dilation_rate=[1, 2])",
    "conv(d, reshape(d[0, :2], [2, 3, 4, 4]), data_format='channels_first')",
    "depthwise_conv(d, reshape(d[0, :2], [2, 3, 8, 2]), strides=2)",
    "depthwise_conv(a, reshape(b[0, :2], [2, 4, 1]), 1, 'same')",
    "depthwise_conv(d, reshape(d[0, :2], [2, 3, 4, 4]), data_format='channels_first')",
    "separable_conv(d, reshape(d[0, :2], [2, 3, 8, 2]), reshape(d[1, :1], [1, 1, 16, 3]))",
    "separable_conv(d, reshape(d[0, :2], [2, 3, 4, 4]), reshape(d[1, 0], [1, 1, 16, 3]), data_format='channels_first')",
    "depth_to_space(d, 2)", "space_to_depth(d, 2)", "depth_to_space(d, 2, 'channels_first')",
    "space_to_depth(d, 2, 'channels_first')", "svd(m, compute_uv=false)", "svd(m)[0] * 0 + svd(m)[1][:, None]",
    "pinv(s, rcond=0.3)",
    "prod(a, 1, dtype='float32')", "scatter_update(v, [[0, 1], [0, 1], [1, 2]], w, 'add')",
    "scatter_update(v, [[0, 1], [0, 1], [1, 2]], w, reduction='max')",
    "scatter_update(v, [[0, 1], [0, 1], [1, 2]], w, reduction='min')",
    "scatter_update(v, [[0, 1], [0, 1], [-1, 2]], w, reduction='mul')", "isin(i, [1, 2], assume_unique=true)",
    "segment_sum(v, j[:, 0], 4, sorted=false)", "segment_max(v, j[0, :2], 4)[1:4:2]",
    "layer_normalization(a, c[0, 0, :], c[1, 0, :], epsilon=0.01)", "rms_normalization(a, c[0, 0, :])",
    "batch_normalization(a, c[0, 0, :], p[0, 0, :], axis=-1)",
    "batch_normalization(a, w, p[0, :, 0], axis=1, offset=w, scale=w + 1, epsilon=0.1)",
    "one_hot(i, 7, axis=1)", "one_hot(i, 7, dtype='int32')", "multi_hot(i, 7)",
    "dot_product_attention(f, f, f, is_causal=true)",
    "dot_product_attention(f, f, f, flash_attention=false)", "size(a) * a",
    "ndim(w) + w", "split(a, [1, 3], axis=2)[1]",
    "array_split(a, 3, axis=2)[1]", "argpartition(a, 2, axis=None)[2:3]", "sort(a, axis=None)", "get_item(a, 0)",
    "convert_to_tensor(a)", "bitwise_and(i, j)", "digitize(a, w[:1])",
    "moments(a, [1], synchronized=false)[1]", "in_top_k(j[:, 0] - 1, v, 2)", "clip(a, -1, 1)",
    "ctc_loss(j[:, :2] - 1, d[:, :, 0], j[:, 0] * 0 + 1, j[:, 0] * 0 + 4, mask_index=4)", "kron(v, v)",
    "lstsq(m[0], s[0])", "segment_min(v, j[0, :2] - 1, 2)", "segment_prod(v, j[0, :2] - 1, 2)",
]  # fmt: skip
"""Cases that test_ops lacks: arguments that only Keras has, and shapes that Keras knows when building a model."""


def value_of(node: Node, names: dict[str, Any]) -> Any:
    """Evaluate an expression by calls of keras.ops; names are Keras's tensors."""

    def value(part: Node | None) -> Any:
        return None if part is None else value_of(part, names)

    match node:
        case Literal():
            return node.value
        case Name():
            return names[node.name]
        case Unary():
            return -value(node.operand) if node.operator == "-" else value(node.operand)
        case Binary():
            sides = [value(side) for side in (node.left, node.right)]
            return _OPERATORS[node.operator](*(np.array(side) if isinstance(side, list) else side for side in sides))
        case Items():
            found = [value(item) for item in node.items]
            return tuple(found) if node.is_tuple else found
        case Index():
            places = tuple(_place(item, value) for item in node.items)
            of = value(node.value)
            return of[places[0]] if isinstance(of, (list, tuple)) else of[places]
        case Call():
            return keras_function(node.function)(
                *map(value, node.arguments), **{k: value(v) for k, v in node.named.items()}
            )
    left, right = node.operands  # type: ignore[attr-defined]
    return value(left) > value(right)


def _place(item: Node, value: Any) -> Any:
    if isinstance(item, Everything):
        return Ellipsis
    return slice(value(item.start), value(item.stop), value(item.step)) if isinstance(item, Slice) else value(item)


def given_to(texts: Sequence[str]) -> dict[str, Any]:
    """Return Keras inputs for the tensors in the expressions."""
    used = {node.name for text in texts for node in walk(parse(text)) if isinstance(node, Name)} | {"w"}
    of = keras.backend.standardize_dtype
    return {k: keras.Input(tuple(x.shape), dtype=of(x.dtype), name=f"in_{k}") for k, x in TENSORS.items() if k in used}


def output(value: Any, like: Any) -> Any:
    """Return a value as an output, broadcast to one row per sample."""
    value = value[0] if isinstance(value, (list, tuple)) else value
    value = ops.real(value) + ops.imag(value) if "complex" in value.dtype else value
    return ops.cast(value, "float32") + ops.reshape(like[:, 0] * 0, (-1, *(1,) * len(value.shape)))


def model_of(texts: Sequence[str]) -> keras.Model:
    """Return a model with an output for each expression."""
    given = given_to(texts)
    row = {name: x[0] for name, x in given.items()}
    outputs = [output(value_of(parse(text), row), given["w"]) for text in texts]
    return keras.Model(list(given.values()), outputs)


def rows_of(model: keras.Model) -> dict[str, Any]:
    return {x.name: TENSORS[x.name.removeprefix("in_")][None].numpy() for x in model.inputs}


_UNWRITTEN = "Keras cannot write it with a tensor as this argument"
_SPEC = "Keras mistakes its shape"
_FORM = "Keras takes another form while a model is made"
_NOT_ON_TORCH = "Keras on torch cannot compute it"
_COMPLEX = "the value is complex, but must be real"
_CONSTANT = "no tensor of the model is in it: a constant, which Keras computes while a model is made"

NOT_COMPARED = {
    "mish(a)": "it is an activation, not an operation", "clip(a, -1, c)": _UNWRITTEN, "a * ndim(a)": _SPEC,
    "trapezoid(w, cumsum(p[0, 0, :3]))": _UNWRITTEN, "digitize(a, [-1.0, 0.0, 0.5])": _FORM,
    "tensordot(a, b, [2, 2])": _FORM, "kron(v, w)": _SPEC, "a[:, ::-1]": _NOT_ON_TORCH, "a[..., 3:0:-2]": _NOT_ON_TORCH,
    "conv(d, reshape(d[0, :2, :, :], [3, 2, 4, 4]))": _FORM, "ctc_loss(j[:, :1], a, [1, 1], [3, 3])": _FORM,
    "ctc_loss(j[:, :2] - 1, d[:, :, 0], [2, 1], [4, 3], mask_index=4)": _FORM, "lstsq(s, m)": _FORM,
    "lstsq(concatenate([m, s], axis=1), concatenate([s, m], axis=1))": _FORM,
    "adaptive_max_pool(a, 2)": _FORM, "adaptive_max_pool(d, [2, 4])": _FORM, "adaptive_average_pool(a, 2)": _FORM,
    "adaptive_average_pool(d, 3)": _FORM, "adaptive_average_pool(d[..., None], [2, 3, 4])": _FORM,
}  # fmt: skip
"""Expressions in the table of test_ops that Keras refuses in a model."""
UNCOMPARED_FUNCTIONS = {"conv_transpose": _NOT_ON_TORCH, "histogram": _NOT_ON_TORCH, "eig": _COMPLEX}


def _functions(text: str) -> set[str]:
    return {node.function for node in walk(parse(text)) if isinstance(node, Call)}


def _is_compared(text: str) -> bool:
    called = _functions(text)
    if (
        text in NOT_COMPARED
        or called & UNCOMPARED_FUNCTIONS.keys()
        or any(name.startswith("image.") for name in called)
    ):
        return False
    return any(isinstance(node, Name) and node.name in TENSORS for node in walk(parse(text)))


COMPARED = [text for text in dict.fromkeys([*MORE, *CASES]) if _is_compared(text)]
_AT_ONCE = 40


@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras's own use of torch
@pytest.mark.parametrize("first", range(0, len(COMPARED), _AT_ONCE))
def test_operations_are_imported_and_give_keras_s_values(first: int, tmp_path: Path) -> None:
    model = model_of(COMPARED[first : first + _AT_ONCE])
    assert_same(model, tmp_path, x=rows_of(model))


@pytest.mark.parametrize("text", [text for text in CASES if text.startswith("conv_transpose(")])
def test_what_keras_on_torch_cannot_compute_in_a_model_gives_the_function_s_value(text: str, tmp_path: Path) -> None:
    """Keras passes the arguments of its transposed convolution in the wrong order there."""
    model = model_of([text])
    run = open_run(import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record, device="cpu")
    (found,) = predict_run(run, str(arrays(run, model, rows_of(model), tmp_path / "x.npz"))).outputs.values()
    np.testing.assert_allclose(found[0], value_of(parse(text), TENSORS).numpy(), atol=1e-5, rtol=1e-5)


NOT_IN_GRAPHS = {
    **dict.fromkeys(["conv_transpose"], "compared above"),
    "histogram": _NOT_ON_TORCH,
    "sparsemax": "Keras on torch gives no distribution",
    **dict.fromkeys(["eig", "polar", "view_as_complex", "view_as_real", "imag", "conj", "conjugate"], _COMPLEX),
    **dict.fromkeys(["bartlett", "blackman", "hamming", "hanning", "kaiser"], _CONSTANT),
}  # fmt: skip
"""Functions without a compared expression; some of them are imported nevertheless."""


def _public() -> set[str]:
    return {n for m in (ops, ops.nn) for n in dir(m) if not n.startswith("_") and callable(getattr(m, n))}


def test_every_function_of_keras_ops_is_compared_or_has_its_reason() -> None:
    compared = {name for text in COMPARED for name in _functions(text)}
    known = [op for op in map(OPS.find, compared) if op is not None]
    compared |= {op.name for op in known} | {op.alias_of for op in known if op.alias_of}
    left = set()
    for name in _public():
        op = OPS.find(name)
        if name not in compared and (op is None or op.alias_of not in compared):
            left.add(name)
    assert left == (LEFT_OUT.keys() & left) | NOT_IN_GRAPHS.keys()


REFUSED = {
    "empty_like(a)": LEFT_OUT["empty_like"],
    "bincount(i, minlength=8)": LEFT_OUT["bincount"],
    "nonzero(a)[0]": LEFT_OUT["nonzero"],
    "unique(w, size=3)": LEFT_OUT["unique"],
    "one_hot(i, 7, sparse=true)": "kerascli has no sparse tensors",
    "moments(a, [1], synchronized=true)": "over several devices",
    "linspace(w, w + 1, 5, axis=1)": "values are laid out along the first axis only",
    "linspace(w, w + 1, 5)": "its 'start' is computed by the model",
    "polar(a, b)": _COMPLEX,
    "view_as_complex(d[..., :2])": _COMPLEX,
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_gives_its_reason(text: str, tmp_path: Path) -> None:
    path = save(model_of([text]), tmp_path, ".keras")
    with pytest.raises(FileRefused) as caught:
        import_model(path, runs_dir=tmp_path / "runs")
    assert REFUSED[text] in str(caught.value)
