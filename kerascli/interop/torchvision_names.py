"""Map torchvision's tensor names to kerascli's names of weights: `layer1.0.conv1.weight` is `layer1_0_conv1/kernel`."""

import re
from collections.abc import Container, Mapping, Sequence

from torch import Tensor

from kerascli.foundation.errors import ConfigError, Fault, FileRefused, safe_text
from kerascli.layers.base import BaseLayer
from kerascli.model.ir.nodes import Node
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.weights import Weight
from kerascli.model.transfer import LayerSource

_NORMALIZATION = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_OTHERS = {"weight": "kernel", "bias": "bias"}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_COUNTER = "num_batches_tracked"
_AXES = {2: (1, 0), 4: (2, 3, 1, 0)}
"""Mapping from a kernel's rank (2: dense, 4: convolution) to the order of axes that turns torch's layout into Keras's,
for unused kernels."""
_PERMUTED = (3, 1, 2)
"""Dimensions of a `permute` that puts the channels of an image first."""


def config_name(layer: str) -> str:
    """Return a torchvision layer's name as in a config: dots, and the dashes in RegNet's names, become underscores."""
    return re.sub("[.-]", "_", layer)


def to_our_names(
    tensors: Mapping[str, Tensor], weights: Sequence[Weight], takes: Mapping[str, LayerSource], file: str
) -> dict[str, Tensor]:
    """Return torchvision's tensors by kerascli's weight names, in Keras's layout and in float32.

    `takes` are the entries of a `map` in the config; a layer inside a shared model matches by its own name. Raises
    FileRefused for a name that is not valid, and for two tensors of one weight.
    """
    takers: dict[str, list[tuple[str, Weight]]] = {}
    for weight in weights:
        layer, _, name = weight.name.rpartition("/")
        take = takes.get(layer.replace("/", "."))
        key = f"{take.layer if take else layer.rpartition('/')[2]}/{name}"
        takers.setdefault(key, []).append((key if take else weight.name, weight))
    names: set[str] = set()
    renamed: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key.endswith(_COUNTER):
            continue
        if not _NAME.fullmatch(key):
            raise FileRefused(f"'{file}' has a tensor '{safe_text(key, 80)}', which is not a valid name of a weight")
        if (name := _our_name(key, tensors)) in names:
            raise FileRefused(f"'{file}' has two tensors for '{name}'")
        names.add(name)
        for ours, taker in takers.get(name, [(name, None)]):
            renamed[ours] = _in_keras_layout(tensor, taker).float()
    return renamed


def _our_name(key: str, tensors: Mapping[str, Tensor]) -> str:
    layer, _, parameter = key.rpartition(".")
    if not layer or parameter not in _NORMALIZATION:  # `layer_scale` of ConvNeXt: a `weight` node here
        return f"{config_name(key)}/value"
    factor = tensors.get(f"{key.removesuffix(parameter)}weight")
    names = _NORMALIZATION if factor is None or factor.ndim == 1 else _OTHERS
    return f"{config_name(layer)}/{names.get(parameter, parameter)}"


def _in_keras_layout(tensor: Tensor, taker: Weight | None) -> Tensor:
    if tensor.ndim == 3 and tensor.shape[1:] == (1, 1):  # one value per channel
        return tensor.flatten()
    if taker is not None and len(taker.spec.axes or ()) == tensor.ndim:
        return taker.spec.to_keras(tensor)
    axes = _AXES.get(tensor.ndim)
    return tensor if axes is None else tensor.permute(axes)


def refuse_flattened(built: Built, taken: Container[str]) -> None:
    """Raise ConfigError if imported kernels are of dense layers, and the model flattens images with channels last.

    torch flattens images with channels first.
    """
    nodes = built.model.nodes
    if not any(node.layer.component_name == "dense" and f"{node.weights_name}/kernel" in taken for node in nodes):
        return
    makers = {name: node.layer for node in nodes for name in node.outputs}
    in_order = any(_is_channels_first(node.layer) for node in nodes)
    for node in nodes:
        if not _flattens(node, built):
            continue
        moved = _is_channels_first(node.layer)  # a flatten that puts channels last
        if moved or not (in_order or getattr(makers.get(node.inputs[0]), "dims", None) == _PERMUTED):
            text = f"init_from: torch's dense kernels need channels first, '{node.name}' flattens them last"
            hint = "remove its data_format" if moved else f"put permute: [3, 1, 2] before '{node.name}'"
            raise ConfigError([Fault(text, node.path, "key", hint=hint)])


def _is_channels_first(layer: BaseLayer) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def _flattens(node: Node, built: Built) -> bool:
    """Return True if a node makes vectors of images that have several pixels."""
    if node.layer.component_name not in {"flatten", "reshape"}:
        return False
    before, after = (built.specs[name].shape for name in (node.inputs[0], node.outputs[0]))
    return len(before) == 3 and set(before[:2]) != {1} and len(after) == 1
