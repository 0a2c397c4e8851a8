"""Advice checks of cross-entropies that get another kind of predictions than they take, such as probabilities for
logits, and of a softmax over a single unit, whose result is always 1."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from kerascli.foundation.errors import Fault, Path, Related
from kerascli.layers.activations.rectifiers import Activation as ActivationLayer
from kerascli.layers.activations.softmax import Softmax as SoftmaxLayer
from kerascli.layers.base import BaseLayer
from kerascli.layers.kernels import OutputArguments
from kerascli.layers.wrappers.time_distributed import TimeDistributed
from kerascli.parts.activations import Linear, Softmax, Sparsemax
from kerascli.parts.base import Activation
from kerascli.workflow.advice.case import Case, warning

_SIGMOIDS = frozenset({"sigmoid", "hard_sigmoid", "sparse_sigmoid"})
_SOFTMAXES = frozenset({"softmax", "sparsemax"})
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
_OF_CLASSES = (
    "categorical_crossentropy", "sparse_categorical_crossentropy", "categorical_focal_crossentropy", "crossentropy",
)  # fmt: skip
_UNFIT: Mapping[str, tuple[frozenset[str], str, str]] = {
    **dict.fromkeys(_BINARY, (
        _SOFTMAXES, "an independent probability of each label",
        "use activation: sigmoid; for classes that exclude each other, categorical_crossentropy",
    )),
    **dict.fromkeys(_OF_CLASSES, (
        _SIGMOIDS, "probabilities of classes, which sum to 1",
        "use activation: softmax; for labels that do not exclude each other, binary_crossentropy",
    )),
}  # fmt: skip
"""Mapping from cross-entropy to the activations whose probabilities it does not take, what it takes, and a hint."""

_OTHER = frozenset({
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "hard_silu", "mish", "tanh",
    "hard_tanh", "tanh_shrink", "soft_shrink", "hard_shrink", "softsign", "log_softmax", "log_sigmoid",
})  # fmt: skip
"""Activations whose results may be negative or unbounded, so that they are no probabilities. Activations not listed
(`exponential`, `softplus`) are positive: a cross-entropy over classes, which divides by the sum, turns them into
probabilities."""


def logits(case: Case) -> Iterator[Fault]:
    """Yield a warning for each cross-entropy of `compile` that takes logits but gets probabilities, or the reverse, or
    that takes probabilities of classes but gets those of independent labels, or the reverse.

    Checked are outputs that are the result of a layer's activation.
    """
    built = case.spec.built
    makers = {name: node for node in built.model.nodes for name in node.outputs[:1]}
    for pair in case.spec.pairs:
        loss, node = pair.loss, makers.get(pair.output)
        if loss is None or node is None or loss.component_name not in _UNFIT:
            continue
        shape, activation = built.specs[pair.output].shape, _activation(node.layer)
        if activation is None or getattr(activation, "max_value", None) is not None:  # a relu of 0 to 1
            continue
        from_logits, units = getattr(loss, "from_logits", None), shape[-1] if shape else 1
        if found := _misfit(loss.component_name, from_logits, pair.output, activation.component_name, units):
            related = Related(f"'{node.weights_name}' computes it", node.path)
            text, hint = found
            yield replace(warning(text, _path(case, pair.output), hint, key=False), related=(related,))


def _misfit(loss: str, from_logits: bool | None, output: str, made: str, units: int | None) -> tuple[str, str] | None:
    """Return the text and the hint of a warning about a loss whose predictions are the result of the activation `made`;
    None if they suit it, or the activation says nothing about them.

    `from_logits` is None for a loss without that argument; `units` is the number of predictions in the last axis.
    """
    is_binary = loss in _BINARY or (loss == "crossentropy" and units == 1)
    is_linear = made == Linear.component_name
    suited = "sigmoid" if is_binary else "softmax"
    what = "linear (it has no activation)" if is_linear else f"the result of {made}"
    if from_logits and made in _SIGMOIDS | _SOFTMAXES:
        text = f"'{loss}' with from_logits: true takes logits and applies {suited} itself, but '{output}' is {what}"
        return f"{text} already", "remove from_logits or the activation"
    if not from_logits and made in _OTHER:
        other = ", or set from_logits: true in the loss" if is_linear and from_logits is not None else ""
        return f"'{loss}' takes probabilities, but '{output}' is {what}", f"use activation: {suited}{other}"
    unfit, takes, hint = _UNFIT[loss]
    if not from_logits and made in unfit and units is not None and units > 2:
        return f"'{loss}' takes {takes}, but '{output}' is {what}", hint
    return None


def _path(case: Case, output: str) -> Path:
    """Return the config path of the loss of an output."""
    written = case.config.document.at(("compile", "loss"))
    if isinstance(written, dict) and output in written:
        return ("compile", "loss", output)
    if isinstance(written, list):
        return ("compile", "loss", min(case.spec.model.outputs.index(output), len(written) - 1))
    return ("compile", "loss")


def single_unit_softmax(case: Case) -> Iterator[Fault]:
    """Yield a warning for each layer of the model whose softmax is over a last axis of size 1."""
    hint = "use activation: sigmoid for one unit; softmax needs one unit per class"
    for graph in case.spec.graphs:
        for node in graph.model.nodes:
            activation, spec = _activation(node.layer), graph.specs.get(next(iter(node.outputs), ""))
            if not isinstance(activation, Softmax | Sparsemax) or spec is None:
                continue
            if spec.shape[-1:] == (1,) and activation.axis in {-1, len(spec.shape)}:
                text = f"'{node.weights_name}' is a softmax over one value: the result is always 1"
                yield warning(text, node.path, hint)


def _activation(layer: BaseLayer) -> Activation | None:
    """Return the activation whose result is a layer's output, whatever the layer's input and weights; else None."""
    while isinstance(layer, TimeDistributed):
        layer = layer.layer
    if isinstance(layer, SoftmaxLayer):
        return Softmax(axis=layer.axis) if isinstance(layer.axis, int) else None
    if not isinstance(layer, OutputArguments | ActivationLayer):
        return None
    if not isinstance(layer.activation, Linear | None):
        return layer.activation
    is_free = isinstance(layer, OutputArguments) and getattr(layer, "kernel_constraint", None) is None
    return Linear() if is_free else None
