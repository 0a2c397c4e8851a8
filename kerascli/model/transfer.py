"""Transfer of weights between models: by name, or by Net2Net to a wider or deeper model with equal outputs.

Net2Net (Chen, Goodfellow and Shlens, 2015): net2wider duplicates channels of a layer, and the next layer divides the
weight of a channel among its copies; net2deeper adds a layer that is initialized to the identity.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from kerascli.foundation.draws import key_seed
from kerascli.foundation.errors import ConfigError, Fault, Path, suggestion
from kerascli.layers.base import BaseLayer
from kerascli.model.ir.nodes import Model, Node
from kerascli.model.runtime.weights import Weight
from kerascli.parts.initializers import RandomNormal, RandomUniform

TransferMethod = Literal["copy", "net2wider", "net2deeper", "random_pad"]
_PATH: Path = ("model", "init_from")
_PAD_DEVIATION = 0.1
_BY_CHANNEL = frozenset({
    "activation", "dropout", "flatten", "relu",
    *(f"{kind}_pooling_{n}d" for kind in ("max", "average", "global_max", "global_average") for n in (1, 2, 3)),
})  # fmt: skip
"""Names of layers without weights that treat every channel in the same way."""
_WITH_KERNEL = frozenset({"dense", "conv_1d", "conv_2d", "conv_3d"})
_CHANNEL_AXES = {"channels_last": -1, "channels_first": 1}
"""Mapping from a layer's data format to the axis of its channels."""


@dataclass(frozen=True, slots=True)
class LayerSource:
    """Source of a layer's weights: the name of a layer in another model, and the method that adapts its weights."""

    layer: str
    how: TransferMethod = "copy"
    noise: float = 0.05
    """Noise added to the weights of duplicated channels, as a multiple of their standard deviation, so that copies
    learn differently."""


@dataclass(slots=True)
class TransferredWeights:
    """Weights of a source model that a model takes over, by name, and the layers of the model that take none."""

    values: dict[str, Tensor] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    """Names of the layers that take no weights from the source."""


@dataclass(frozen=True, slots=True)
class _Widened:
    """Output channels of a layer that has more of them than its source layer: the source's channels, followed by added
    ones."""

    axes: frozenset[int]
    """Numbers of the axis of the channels, counted from the first axis and from the last."""
    copies: Tensor
    """Index, for each added channel, of the source layer's channel that it copies."""
    old: int
    random: bool
    noise: float
    generator: torch.Generator
    positions: int = 1
    """Number of positions (pixels) that `flatten` joined with the channels into one axis; 0: to be computed from the
    next kernel's size."""

    def fits(self, layer: BaseLayer) -> bool:
        """Return whether a layer takes the axis of these channels as its channels, all in one group."""
        return getattr(layer, "groups", 1) == 1 and _channel_axis(layer) in {None, *self.axes}

    def mixed_by(self, layer: BaseLayer) -> bool:
        """Return whether a layer's activation is along an axis (softmax ...), so that copies change its values."""
        return not self.random and hasattr(getattr(layer, "activation", None), "axis")

    def outputs(self, values: Tensor, *, of: str) -> Tensor:
        """Return a weight of the widened layer, whose last axis is the output channels, extended by the added
        channels."""
        new = values.index_select(-1, self.copies)
        if self.random:
            ones = torch.full_like(new, _PAD_DEVIATION)
            new = ones if of == "bias" else self._normal(new.shape, values.dtype) * _PAD_DEVIATION
        return torch.cat([values, new], -1)

    def inputs(self, kernel: Tensor) -> Tensor:
        """Return the next layer's kernel (..., channels, units) extended to the added input channels.

        Copies of a channel divide its weight.
        """
        units = kernel.shape[-1]
        old = kernel.reshape(*kernel.shape[:-2], self.positions, self.old, units)
        counts = torch.bincount(self.copies, minlength=self.old).to(kernel.dtype) + 1
        if self.random:
            new = self._normal((*old.shape[:-2], len(self.copies), units), kernel.dtype) * _PAD_DEVIATION
        else:
            old = old / counts[:, None]
            new = old.index_select(-2, self.copies)
            spread = new.std(correction=0) if new.numel() else 0.0
            new = new + self._normal(new.shape, kernel.dtype) * self.noise * spread
        both = torch.cat([old, new], -2)
        return both.reshape(*kernel.shape[:-2], self.positions * both.shape[-2], units)

    def _normal(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return RandomNormal(stddev=1.0)(tuple(shape), dtype=dtype, generator=self.generator)


def take_mapped(
    model: Model,
    weights: Sequence[Weight],
    source: Mapping[str, Tensor],
    takes: Mapping[str, LayerSource],
    *,
    seed: int,
) -> dict[str, Tensor]:
    """Return new weights, by name, for those layers of a model that `takes` maps to layers of another model.

    `weights` are the model's weights, `source` maps the other model's weights from name to tensor, and `seed` is that
    of the noise of net2wider and of random padding.
    """
    mapped = _Mapped(weights, source, seed)
    layers = {name.replace(".", "/"): replace(take, layer=take.layer.replace(".", "/")) for name, take in takes.items()}
    for name, take in layers.items():
        if take.how != "net2deeper" and not mapped.source_of(take.layer):
            names = {each.rpartition("/")[0] for each in source}
            raise _fault(f"the source has no layer '{take.layer}'{suggestion(take.layer, names)}", _path_of(name))
    for node in model.nodes:
        name = next((each for each in layers if f"{node.weights_name}/".startswith(f"{each}/")), None)
        take = None if name is None else layers[name]
        mapped.add(node, take and replace(take, layer=f"{take.layer}{node.weights_name[len(str(name)) :]}"))
    return mapped.values


def unknown_layers(model: Model, names: Iterable[str]) -> list[Fault]:
    """Return a config error for each layer named in the key `init_from.map` that the model does not have."""
    layers = [node.weights_name.replace("/", ".") for node in model.nodes]
    return [
        Fault(f"init_from: the model has no layer '{name}'{suggestion(name, layers)}", (*_PATH, "map", name), "key")
        for name in names
        if not any(each == name or each.startswith(f"{name}.") for each in layers)
    ]


def take_by_name(
    shapes: Mapping[str, Sequence[int]], source: Mapping[str, Tensor], *, all_of_them: bool, path: Path = _PATH
) -> TransferredWeights:
    """Return the weights in `source` for each layer of a model that has weights of the same names and shapes there.

    `shapes` maps the model's weights to their shapes, `source` names to tensors; errors are at the config path `path`.
    The names of the model's other layers are
    returned as `skipped`. With `all_of_them`, raises ConfigError if there are other layers, or if `source` has weights
    that the model lacks.
    """
    transferred = TransferredWeights()
    layers: dict[str, list[str]] = {}
    for name in shapes:
        layers.setdefault(name.rpartition("/")[0], []).append(name)
    for layer, own in layers.items():
        wrong = next((n for n in own if n not in source or source[n].shape != torch.Size(shapes[n])), None)
        if wrong is None:
            transferred.values |= {name: source[name] for name in own}
        elif not all_of_them:
            transferred.skipped.append(layer)
        elif wrong in source:
            differ = f"{tuple(source[wrong].shape)} in the source, {tuple(shapes[wrong])} here"
            raise _fault(f"'{wrong}' has shape {differ}", path, "by_name: true takes only weights that fit")
        else:
            text = f"the source has no weight '{wrong}'{suggestion(wrong, source)}"
            raise _fault(text, path, "name renamed layers in map, or set by_name: true to take only weights that fit")
    if all_of_them and (more := sorted(set(source) - set(shapes))):
        hint = "by_name: true takes only weights that fit"
        raise _fault(f"the model has no weight '{more[0]}', but the source has", path, hint)
    return transferred


def _path_of(layer: str) -> Path:
    return (*_PATH, "map", layer.replace("/", "."))


def _fault(text: str, path: Path, hint: str | None = None) -> ConfigError:
    return ConfigError([Fault(f"init_from: {text}", path, "key", hint=hint)])


@dataclass(slots=True)
class _Mapped:
    """Collector of weights taken from another model, node by node; it extends the inputs of layers that follow a
    widened layer."""

    _weights: Sequence[Weight]
    _source: Mapping[str, Tensor]
    _seed: int
    values: dict[str, Tensor] = field(default_factory=dict)
    _wide: dict[str, _Widened | str] = field(default_factory=dict)
    """Mapping from tensor name to the tensor's widened channels, or to the name of a node beyond which these cannot
    be followed."""

    def source_of(self, layer: str) -> dict[str, Tensor]:
        """Return the weights of a layer of the source model, by their names in the layer."""
        prefix = f"{layer}/"
        return {name.removeprefix(prefix): value for name, value in self._source.items() if name.startswith(prefix)}

    def add(self, node: Node, take: LayerSource | None) -> None:
        """Add the weights of a node, made from those of the layer `take`; None: its weights are new, or it has none."""
        own = [weight for weight in self._weights if weight.name.startswith(f"{node.weights_name}/")]
        wide = next((self._wide[name] for name in node.inputs if name in self._wide), None)
        if take is None or not own:
            # a layer with new weights takes any number of channels
            wide = None if own or wide is None else self._beyond(node, wide)
        elif take.how == "net2deeper":
            self._store(node, own, _identity(node, own), take)
        else:
            values, wide = self._followed(node, self.source_of(take.layer), wide)
            if take.how != "copy":
                values, wide = self._widened(node, values, own, take)
            self._store(node, own, values, take)
        if wide is not None:
            self._wide.update(dict.fromkeys(node.outputs, wide))

    def _store(self, node: Node, own: list[Weight], values: Mapping[str, Tensor], take: LayerSource) -> None:
        path = _path_of(node.weights_name)
        for weight in own:
            name = weight.name.removeprefix(f"{node.weights_name}/")
            if name not in values:
                text = f"'{take.layer}' has no '{name}', which '{node.name}' needs{suggestion(name, values)}"
                raise _fault(text, path)
            if tuple(values[name].shape) != tuple(weight.spec.shape):
                shapes = f"{tuple(values[name].shape)} in '{take.layer}', {tuple(weight.spec.shape)} here"
                hint = "net2wider and random_pad extend a layer to more units" if take.how == "copy" else None
                raise _fault(f"'{weight.name}' has shape {shapes}", path, hint)
            self.values[weight.name] = values[name]

    def _beyond(self, node: Node, wide: _Widened | str) -> _Widened | str:
        """Return the widened channels behind a layer without weights, or its name if they cannot be followed."""
        if isinstance(wide, str):
            return wide
        kind = node.layer.component_name
        if kind not in _BY_CHANNEL or len(node.inputs) > 1 or not wide.fits(node.layer) or wide.mixed_by(node.layer):
            return f"'{node.name}'"
        if kind == "flatten":
            return replace(wide, positions=0, axes=frozenset({1, -1}))  # known when the next kernel is read
        return replace(wide, axes=frozenset({1, -1})) if getattr(node.layer, "keepdims", True) is False else wide

    def _followed(
        self, node: Node, values: dict[str, Tensor], wide: _Widened | str | None
    ) -> tuple[dict[str, Tensor], _Widened | None]:
        """Return a layer's weights extended to widened input channels, and the channels if the layer's outputs have
        them too, else None."""
        if wide is None:
            return values, None
        kind = node.layer.component_name
        if isinstance(wide, str) or kind not in {*_WITH_KERNEL, "batch_normalization"} or not wide.fits(node.layer):
            where = wide if isinstance(wide, str) else f"'{node.name}'"
            raise _fault(f"widened channels cannot be followed through {where}", _path_of(node.weights_name))
        if kind == "batch_normalization":
            copied = replace(wide, random=False)
            return {name: copied.outputs(value, of=name) for name, value in values.items()}, wide
        if "kernel" not in values:
            return values, None
        kernel = values["kernel"]
        wide = wide if wide.positions else replace(wide, positions=kernel.shape[-2] // wide.old)
        return {**values, "kernel": wide.inputs(kernel)}, None

    def _widened(
        self, node: Node, values: dict[str, Tensor], own: list[Weight], take: LayerSource
    ) -> tuple[dict[str, Tensor], _Widened | str]:
        """Return a layer's weights extended to its number of units, and its output channels."""
        path, kernel = _path_of(node.weights_name), _kernel_shape(node, own)
        if not kernel or "kernel" not in values:
            text = f"{take.how} needs a dense layer or a convolution without groups; '{node.name}' is neither"
            raise _fault(text, path)
        old, new = values["kernel"].shape[-1], kernel[-1]
        if new <= old:
            raise _fault(f"{take.how}: '{node.name}' has {new} units, not more than the {old} of '{take.layer}'", path)
        generator = torch.Generator().manual_seed(key_seed(f"{self._seed}/init_from/{node.weights_name}"))
        places = RandomUniform(minval=0.0, maxval=float(old))((new - old,), dtype=torch.float64, generator=generator)
        copies = places.long().clamp(max=old - 1)
        axis = _channel_axis(node.layer) or -1
        axes = {axis} if len(kernel) == 2 else {axis, axis % -len(kernel) if axis > 0 else axis % len(kernel)}
        wide = _Widened(frozenset(axes), copies, old, take.how == "random_pad", take.noise, generator)
        values = {name: wide.outputs(value, of=name) for name, value in values.items()}
        return values, f"'{node.name}'" if wide.mixed_by(node.layer) else wide


def _kernel_shape(node: Node, own: list[Weight]) -> tuple[int, ...]:
    """Return the shape of the kernel of a dense layer or a convolution without groups; () for any other layer."""
    shapes = [tuple(weight.spec.shape) for weight in own if weight.spec.name == "kernel"]
    whole = node.layer.component_name in _WITH_KERNEL and getattr(node.layer, "groups", 1) == 1
    return shapes[0] if shapes and whole else ()


def _channel_axis(layer: BaseLayer) -> int | None:
    """Return the axis that a layer takes as that of the channels; None: it treats all axes alike."""
    if layer.component_name == "dense":
        return -1
    return _CHANNEL_AXES.get(getattr(layer, "data_format", ""), getattr(layer, "axis", None))


def _identity(node: Node, own: list[Weight]) -> dict[str, Tensor]:
    """Return weights with which a layer computes the identity: the centre of its kernel is the identity matrix, all
    else is zero."""
    shape = _kernel_shape(node, own)
    activation = getattr(getattr(node.layer, "activation", None), "component_name", "linear")
    problem = None
    if len(shape) < 2 or len(set(shape[-2:])) > 1:
        problem = "must be dense or a convolution without groups, with as many units as input channels"
    elif activation not in {"linear", "relu"} or any(size % 2 == 0 for size in shape[:-2]):
        problem = "needs kernels of an odd size, and relu or no activation"
    elif getattr(node.layer, "padding", "valid") != "same" and not set(shape[:-2]) <= {1}:
        problem = "needs padding: same to compute the identity"
    if problem is not None:
        raise _fault(f"net2deeper: '{node.name}' {problem}", _path_of(node.weights_name))
    identity = torch.zeros(shape)
    identity[tuple(size // 2 for size in shape[:-2])] = torch.eye(identity.shape[-1])
    return {w.spec.name: identity if w.spec.name == "kernel" else torch.zeros(w.spec.shape) for w in own}
