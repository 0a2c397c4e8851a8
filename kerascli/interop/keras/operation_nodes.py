"""Convert the expression of an `expr` node to Keras operations (classes of keras.ops), one per operation in it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kerascli.interop.keras.graph import Ref, refs
from kerascli.language.expressions import tree as syntax
from kerascli.language.expressions.tree import Node, UnknownName
from kerascli.ops.base import COUNTED, INTEGERS, OPS, Op, Tensors, Value, dtype_of
from kerascli.ops.elementwise import COUNTING
from kerascli.ops.evaluator import TensorEvaluator

_CLASSES = {
    "cdist": "CDist", "searchsorted": "SearchSorted", "exponential": "Exp", "isin": "IsIn", "ctc_loss": "CTCLoss",
    "psnr": "PSNR", "rfft": "RFFT", "irfft": "IRFFT", "svd": "SVD", "fft": "FFT", "fft2": "FFT2", "ifft2": "IFFT2",
    "stft": "STFT",
}  # fmt: skip
"""Mapping from operation to its class in keras.ops, where that is not the operation's name in camel case."""
_ELSEWHERE: Mapping[str, str] = {
    "nn": """
        average_pool binary_crossentropy categorical_crossentropy celu ctc_loss depth_to_space
        dot_product_attention elu fold gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu
        log_sigmoid log_softmax max_pool moments multi_hot normalize one_hot psnr relu relu6 selu sigmoid silu
        soft_shrink softmax softplus softsign space_to_depth sparse_categorical_crossentropy sparse_plus
        sparse_sigmoid sparsemax squareplus tanh_shrink threshold unfold
    """,
    "math": """
        cdist erf erfc erfinv extract_sequences fft fft2 ifft2 in_top_k logdet logsumexp rfft rsqrt
        segment_max segment_min segment_prod segment_sum stft top_k
    """,
    "linalg": """
        cholesky cholesky_inverse det eigh inv lstsq lu_factor matrix_rank norm pinv qr solve solve_triangular svd
    """,
    "core": "cast saturate_cast scatter scatter_update slice slice_update stop_gradient unstack",
}
"""Mapping from a module of keras.ops to the names of its operations; all operations not listed are in the module
`numpy`."""
_NO_CLASS = frozenset({
    "batch_normalization", "layer_normalization", "rms_normalization", "mish", "shape", "size", "ndim", "eye",
    "identity", "ones", "zeros", "tri", "trapezoid", "conv", "depthwise_conv", "irfft", "adaptive_average_pool",
    "adaptive_max_pool", "allclose", "argpartition", "array", "conv_transpose", "copy", "ctc_decode", "dtype",
    "eig", "histogram", "imag", "istft", "polar", "rearrange", "separable_conv", "view", "view_as_complex",
    "view_as_real",
})  # fmt: skip
"""Functions of kerascli's expressions that Keras has no single operation for, so that they are not exported."""
_CALLED = {
    "isclose": {"rtol", "atol"}, "pad": {"constant_values"}, "slice": {"start_indices"},
    "slice_update": {"start_indices"}, "dot_product_attention": {"scale"},
}  # fmt: skip
"""Mapping from an operation to its arguments, other than tensors, that Keras stores in the operation's call instead of
its config."""
_SETTINGS = {"clip": {"x_min", "x_max"}, "psnr": {"max_val"}}
"""Mapping from an operation to its tensors that Keras stores in the operation's config."""
_FIXED = {"relu": {"negative_slope", "max_value", "threshold"}}
"""Mapping from an operation to its arguments that the class in keras.ops does not have."""
_MAKING_BOOLEANS = frozenset({"less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and",
    "logical_or", "logical_not", "logical_xor", "isclose", "isfinite", "isin", "isinf", "isnan"})  # fmt: skip
_TENSORS = (Tensor, Tensor | None, Value, Value | None, Tensors)


class Inexpressible(Exception):
    """Exception: Keras has no operation for a part of an expression; its text names the part."""


AddOperation = Callable[[str, str, Mapping[str, Any], Sequence[Any], Mapping[str, Any]], str]
"""Function that adds a call of a Keras operation, by its class, module in keras.ops, settings, arguments and arguments
by name, and returns its name; the arguments hold tensors (as `Ref`s), numbers, lists and slices."""


class Operations(TensorEvaluator):
    """Converter of expression trees to Keras operations; `add` is called with each operation, and returns its name.

    The value of a tree is a `Ref` (a tensor), a number or a list of these. Keras's operations keep the dtypes of
    integers, in which they wrap around: they get casts to int64 before them. Raises Inexpressible.
    """

    tensor_types = (Ref, list)

    def __init__(self, tensors: Mapping[str, Any], dtypes: Mapping[str, str], add: AddOperation) -> None:
        super().__init__(tensors, torch.device("meta"))
        self._dtypes = {tensors[name]: dtype for name, dtype in dtypes.items()}
        """Dtypes of results that are known: of the inputs, of casts, and of comparisons."""
        self._add = add

    def _name(self, node: syntax.Name) -> Any:
        try:
            return super()._name(node)
        except UnknownName:  # `batch_size`, `training`
            raise Inexpressible(f"'{node.name}'") from None

    def _test(self, value: Any, node: syntax.Conditional) -> bool:
        raise Inexpressible("'if'")

    def _item(self, node: syntax.Index, value: Any) -> Any:
        if isinstance(value, list):
            return value[self._whole(node.items[0])]
        if isinstance(node.value, syntax.Call) and has_several(node.value.function):
            return Ref(value.layer, index=self._whole(node.items[0]))
        items = [self._part(item) for item in node.items]
        result = Ref(self._add("GetItem", "numpy", {}, [value, items if len(items) > 1 else items[0]], {}))
        self._dtypes[result] = self._dtypes.get(value, "")
        return result

    def _part(self, item: Node) -> Any:
        if isinstance(item, syntax.Everything):
            return {"class_name": "__ellipsis__", "config": {}}
        if isinstance(item, syntax.Slice):
            parts = {"start": item.start, "stop": item.stop, "step": item.step}
            config = {key: None if part is None else self._whole(part) for key, part in parts.items()}
            if (config["step"] or 1) < 0:
                raise Inexpressible("a negative step, but for flip(x, 1)")
            return {"class_name": "__slice__", "config": config}
        return self.value(item)

    def _whole(self, node: Node) -> int:
        if isinstance(node, syntax.Slice | syntax.Everything):
            raise Inexpressible("a slice of several results")
        if not isinstance(value := self.value(node), int):
            raise Inexpressible("a computed index")
        return value

    def _call(self, node: syntax.Call) -> Any:
        op = OPS.find(node.function)
        if op is None or op.makes or op.name.startswith(("random_", "image.")) or op.name in _NO_CLASS:
            raise Inexpressible(node.function)
        values = {
            name: [self.value(item) for item in argument] if isinstance(argument, list) else self.value(argument)
            for name, argument in op.bind(node.arguments, node.named).items()
        }
        return values["x"] if op.name == "linear" else self._operation(op, values)

    def _run(self, name: str, arguments: Sequence[Any], keywords: Any = None, node: Node | None = None) -> Any:
        op = OPS.find(name)
        assert op is not None
        return self._operation(op, op.bind(arguments, {}))

    def _operation(self, op: Op, values: Mapping[str, Any]) -> Any:
        name = op.alias_of or op.name
        if name != "cast":
            dtypes = INTEGERS if op.keeps_integers and name not in COUNTING else COUNTED
            values = {key: self._wide(value, dtypes) for key, value in values.items()}
        class_name = _CLASSES.get(name) or "".join(word[:1].upper() + word[1:] for word in name.split("_"))
        module = next((module for module, names in _ELSEWHERE.items() if name in names.split()), "numpy")
        result = Ref(self._add(class_name, module, *_arguments(op, name, values)))
        self._dtypes[result] = "bool" if name in _MAKING_BOOLEANS else str(values.get("dtype") or "")
        return result

    def _wide(self, value: Any, dtypes: Collection[torch.dtype]) -> Any:
        """Return a result, or a list with results, cast to int64 if its dtype is known to be one of the given ones."""
        if isinstance(value, list):
            return [self._wide(item, dtypes) for item in value]
        dtype = self._dtypes.get(value) if isinstance(value, Ref) else None
        return self._run("cast", [value, "int64"]) if dtype and dtype_of(dtype) in dtypes else value


def _arguments(op: Op, name: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    """Return an operation's arguments as Keras stores them: its config, and the arguments of its call."""
    settings: dict[str, Any] = {}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    skipped = False
    for key, parameter in op.parameters.items():
        called = key in _CALLED.get(name, ()) or parameter.annotation in _TENSORS
        called = called and key not in _SETTINGS.get(name, ())
        if key not in values:
            skipped = skipped or called
        elif key in _FIXED.get(name, ()):
            raise Inexpressible(f"{name} with '{key}'")
        elif parameter.kind is parameter.VAR_POSITIONAL:
            args += values[key]
        elif called and skipped:
            kwargs[key] = _constant(parameter.annotation, values[key])
        elif called:
            args.append(_constant(parameter.annotation, values[key]))
        elif any(refs(values[key])):
            raise Inexpressible(f"{name} with a computed '{key}'")
        else:
            settings[key] = values[key]
    return settings, args, kwargs


def _constant(annotation: Any, value: Any) -> Any:
    """Return the value of an operation's argument, with a list of numbers for a tensor as an array of Keras's files."""
    if annotation is Tensors or annotation not in _TENSORS or not isinstance(value, list):
        return value
    if any(refs(value)):
        raise Inexpressible("a list with computed numbers")
    dtype = str(torch.tensor(value).dtype).removeprefix("torch.")
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": dtype}}


def has_several(function: str) -> bool:
    """Return True if an operation returns several tensors, of which an index selects one."""
    op = OPS.find(function)
    return op is not None and op.has_several
