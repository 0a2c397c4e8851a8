"""Determine whether tensors in a model hold probabilities or other numbers, from the nodes that compute them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from kerascli.language.expressions.tree import Call, Name
from kerascli.layers.base import BaseLayer
from kerascli.layers.expressions.expr import Expr
from kerascli.model.ir.inner_models import CustomCellRNN
from kerascli.model.ir.nodes import Node
from kerascli.ops.expression import expression
from kerascli.parts.activations import Linear, ReLU
from kerascli.parts.base import Activation

_PROBABILITIES = frozenset({"softmax", "sparsemax", "sigmoid", "hard_sigmoid", "sparse_sigmoid"})
_OTHER = frozenset({
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "hard_silu", "mish", "tanh",
    "hard_tanh", "tanh_shrink", "soft_shrink", "hard_shrink", "softsign", "log_softmax", "log_sigmoid",
    "batch_normalization", "layer_normalization", "group_normalization", "rms_normalization",
})  # fmt: skip
"""Activations and layers whose values may be negative or unbounded, so that they are no probabilities. Activations not
listed (`exponential`, `softplus`) are positive: a cross-entropy over classes, which divides by the sum, turns them into
probabilities."""
NEGATIVE = _OTHER - {"relu", "relu6"}
"""Activations and layers whose results may be negative."""

_ACTIVATIONS = {"softmax": "softmax", "leaky_relu": "leaky_relu", "elu": "elu", "selu": "selu", "prelu": "leaky_relu"}
"""Mapping from layer to the activation that it applies, unless the layer has settings that change its kind."""

_ACTIVATED = (
    "activation", "dense", "einsum_dense", "conv_", "depthwise_conv_", "separable_conv_", "locally_connected_",
    "simple_rnn",
)  # fmt: skip
"""Names of layers, or beginnings of such names, whose output is the result of their activation."""

_HANDED_ON = (
    "flatten", "reshape", "permute", "repeat_vector", "identity", "masking", "activity_regularization", "dropout",
    "spatial_dropout_", "gaussian_dropout", "gaussian_noise", "stochastic_depth", "cropping_", "zero_padding_",
    "up_sampling_",
    "average_pooling_", "max_pooling_", "global_average_pooling_", "global_max_pooling_",
    "adaptive_average_pooling_", "adaptive_max_pooling_",
)  # fmt: skip
"""Names of layers, or beginnings of such names, whose output holds probabilities if and only if their input does."""

_WRAPPERS = frozenset({"time_distributed", "spectral_normalization", "bidirectional"})
_ALIKE = frozenset({"concatenate", "average", "maximum", "minimum"})
"""Names of layers whose output holds probabilities if all inputs do, or other numbers if all inputs do."""


class TensorKind(NamedTuple):
    """Kind of a tensor's values (probabilities or other), by the node and activation that determine it."""

    word: str
    """Name of the activation or layer that determines the kind, such as `softmax`."""
    node: Node

    @property
    def is_probabilities(self) -> bool:
        return self.word in _PROBABILITIES


class Tracer:
    """Finder of the kind of a tensor's values (probabilities or other), from the nodes of the model that compute it."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._made: Mapping[str, tuple[Node, int]] = {
            name: (node, index) for node in nodes for index, name in enumerate(node.outputs) if name != "_"
        }
        self._kinds: dict[str, TensorKind | None] = {}

    def of(self, tensor: str) -> TensorKind | None:
        """Return the kind of the values of the tensor named `tensor`, such as probabilities; None if it is unknown, as
        for a model input."""
        if tensor not in self._kinds:
            made = self._made.get(tensor)
            self._kinds[tensor] = None if made is None else self._result(*made)
        return self._kinds[tensor]

    def _result(self, node: Node, index: int) -> TensorKind | None:
        layer = node.layer
        if isinstance(layer, CustomCellRNN):
            outputs = layer.cell.outputs
            return Tracer(layer.cell.nodes).of(outputs[index]) if index < len(outputs) else None
        if isinstance(layer, Expr) and len(node.outputs) == 1:
            match expression(layer.value).tree:  # a formula that only calls an activation, or names a tensor
                case Call(function=function):
                    return _named(function, node)
                case Name(name=name):
                    return self.of(dict(zip(layer.names(), node.inputs, strict=False)).get(name, name))
        return self._layer(node, layer) if index == 0 else None

    def _layer(self, node: Node, layer: BaseLayer) -> TensorKind | None:
        name, settings = layer.component_name, cast("Any", layer)
        if name in _WRAPPERS and (name != "bidirectional" or settings.merge_mode in {"concat", "ave", None}):
            return self._layer(node, settings.layer)
        if name.startswith(_HANDED_ON) or name in _ALIKE or (name == "activation" and _is_linear(layer)):
            kinds = [self.of(name) for name in node.inputs]
            return kinds[0] if len({each and each.is_probabilities for each in kinds}) == 1 else None
        return _named(_own_activation(name, settings), node)


def _own_activation(name: str, layer: Any) -> str:
    """Return the name of the activation whose result is a layer's output; empty if there is none."""
    if name == "relu":
        return _activated(layer)
    if name in _ACTIVATIONS or name.endswith("_normalization"):
        return _ACTIVATIONS.get(name, name)
    if name.startswith(("lstm", "gru", "conv_lstm_")):  # gates times an activation
        return "tanh" if _activated(layer.activation) == "tanh" else ""
    constrained = getattr(layer, "kernel_constraint", None) is not None
    is_result = name.startswith(_ACTIVATED) and not (constrained and _is_linear(layer))
    return _activated(layer.activation) if is_result else ""


def _is_linear(layer: BaseLayer) -> bool:
    return isinstance(getattr(layer, "activation", None), Linear | None)


def _activated(activation: Activation | BaseLayer | None) -> str:
    """Return the name of an activation; empty if it may return probabilities and other numbers."""
    if activation is None:
        return "linear"
    ceiling, name = getattr(activation, "max_value", None), activation.component_name
    return "" if name == ReLU.component_name and ceiling is not None and ceiling <= 1 else name


def _named(word: str, node: Node) -> TensorKind | None:
    return TensorKind(word, node) if word in _PROBABILITIES | _OTHER else None
