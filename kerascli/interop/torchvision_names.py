"""Map torchvision's tensor names to kerascli's names of weights: `layer1.0.conv1.weight` is `layer1_0_conv1/kernel`."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from torch import Tensor

from kerascli.foundation.errors import ConfigError, Fault, FileRefused, safe_text
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


def refuse_flattened(built: Built, weights: Iterable[Weight], taken: Container[str]) -> None:
    """Raise ConfigError if a dense layer has an imported kernel, but its input is flattened in another order of axes
    than torch's.

    torch flattens images with channels first, Keras with channels last.
    """
    makers = {name: node for node in built.model.nodes for name in node.outputs}
    weighted = {weight.name.rpartition("/")[0] for weight in weights}
    for node in built.model.nodes:
        if node.layer.component_name != "dense" or f"{node.weights_name}/kernel" not in taken:
            continue
        before = list(_before(node, makers, weighted))
        flat = next((place for place, maker in enumerate(before) if _flattens(maker, built)), None)
        if flat is None or (_channels_first(before[flat + 1 :]) and not _channels_first(before[flat : flat + 1])):
            continue
        text = f"init_from: the kernel of '{node.name}' needs channels first, '{before[flat].name}' flattens them last"
        raise ConfigError([Fault(text, node.path, "key", hint=f"put permute: [3, 1, 2] before '{before[flat].name}'")])


def _before(node: Node, makers: Mapping[str, Node], weighted: Container[str]) -> Iterator[Node]:
    """Yield the nodes that lead to a node's first input, from the nearest one back to the first that is a layer with
    weights."""
    maker = makers.get(node.inputs[0])
    while maker is not None:
        yield maker
        if maker.weights_name in weighted or not maker.inputs:
            return
        maker = makers.get(maker.inputs[0])


def _flattens(node: Node, built: Built) -> bool:
    sizes = built.specs[node.inputs[0]].shape if node.inputs else ()
    return node.layer.component_name in {"flatten", "reshape"} and len(sizes) == 3 and set(sizes[:2]) != {1}


def _channels_first(nodes: Sequence[Node]) -> bool:
    kinds = [(node.layer.component_name, getattr(node.layer, "data_format", None)) for node in nodes]
    return any(kind == "permute" or order == "channels_first" for kind, order in kinds)
