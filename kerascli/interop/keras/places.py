"""Map the weights of layers in kerascli to the HDF5 groups and the order in which Keras's files have them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, count
from typing import NamedTuple

from kerascli.interop.keras.names import keras_snake_case
from kerascli.layers.base import BaseLayer
from kerascli.model.runtime.weights import Weight

_RECURRENT = frozenset({"lstm", "gru", "simple_rnn", "conv_lstm_1d", "conv_lstm_2d", "conv_lstm_3d"})
_ATTENTION: Mapping[str, str] = {
    "query": "query_dense", "key": "key_dense", "value": "value_dense", "attention_output": "output_dense",
    "gate": "_gate_dense",
}  # fmt: skip
"""Mapping from kerascli's names of the submodules of `multi_head_attention` to Keras's; those of
`group_query_attention` all begin with an underscore."""
_INNER = {"time_distributed": "layer", "spectral_normalization": "layer", "rnn": "cell"}
"""Mapping from a wrapper to the argument that is the layer in it, after which Keras names its group."""


class Owner(NamedTuple):
    """A layer of a Keras model, read from a file or to be written, that may have weights."""

    path: tuple[str, ...]
    """Keras's names of the nested models around the layer, from the outermost down, and of the layer itself."""
    place: str
    """Path of the HDF5 group with the layer's weights in Keras 3's layout: `layers/dense_1`."""
    prefix: str
    """Prefix of the names of the layer's weights in kerascli."""
    layer: BaseLayer


def by_prefix(weights: Iterable[Weight]) -> Mapping[str, Sequence[Weight]]:
    """Return the weights below each prefix of their names, such as `tower` and `tower/dense` of `tower/dense/bias`."""
    own: defaultdict[str, list[Weight]] = defaultdict(list)
    for weight in weights:
        for prefix in accumulate(weight.name.split("/")[:-1], "{}/{}".format):
            own[prefix].append(weight)
    return own


def weights_by_group(owners: Iterable[Owner], weights: Iterable[Weight]) -> Iterator[tuple[str, list[Weight]]]:
    """Yield (HDF5 group such as `layers/lstm_1/cell`, its weights) in Keras 3's order."""
    own = by_prefix(weights)
    for owner in owners:
        groups: defaultdict[str, list[Weight]] = defaultdict(list)
        for weight in own.get(owner.prefix, ()):
            part = weight.name[len(owner.prefix) + 1 :].rpartition("/")[0]
            groups[keras_place(owner.layer, part)].append(weight)
        for place, group in groups.items():
            if group[0].spec.name == "vector_u":  # spectral_normalization: its layer's kernel is also its own
                inner = groups[_joined(place, "layer")]
                group.insert(0, next(weight for weight in inner if weight.spec.name in {"kernel", "embeddings"}))
            yield _joined(owner.place, place), sorted(group, key=lambda weight: not weight.spec.trainable)


def weights_by_layer(owners: Iterable[Owner], weights: Iterable[Weight]) -> Iterator[tuple[str, list[Weight]]]:
    """Yield (Keras's name of a layer of the whole model, its weights) in the order of formats before Keras 3: trainable
    weights first."""
    own, layers = by_prefix(weights), dict[tuple[str, str], list[Weight]]()
    for owner in owners:
        alone = "" if owner.path[1:] else owner.prefix  # by name, several layers may take the weights of one
        layers.setdefault((owner.path[0], alone), []).extend(own.get(owner.prefix, ()))
    for (name, _), group in layers.items():
        yield name, sorted(group, key=lambda weight: not weight.trainable)


def keras_place(layer: BaseLayer, part: str) -> str:
    """Return Keras's path of a submodule within the HDF5 group of its layer; '' for the layer itself.

    Example: `forward_lstm` of `bidirectional` is `forward_layer/cell`.
    """
    kind = layer.component_name
    head, _, rest = part.partition("/")
    if kind in _RECURRENT:
        return "cell"
    if not head:
        return ""
    if kind == "multi_head_attention":
        return _ATTENTION[head]
    if kind == "group_query_attention":
        return f"_{_ATTENTION[head].removeprefix('_')}"
    if kind == "bidirectional":
        forward = head.startswith("forward_")
        inner = layer.layer if forward else (layer.backward_layer or layer.layer)  # pyright: ignore[reportAttributeAccessIssue]
        return _joined("forward_layer" if forward else "backward_layer", keras_place(inner, rest))
    if (inner := _INNER.get(kind)) is not None:
        return _joined(inner, keras_place(getattr(layer, inner), rest))
    if kind == "stacked_rnn_cells":
        return _joined("cells", head)
    if kind == "pipeline":
        layers = layer.layers  # pyright: ignore[reportAttributeAccessIssue]
        number, _, part = rest.partition("/")
        place = numbered_groups([type(each).__name__ for each in layers])[int(number)]
        return _joined("layers", place, keras_place(layers[int(number)], part))
    return "" if kind.endswith("_cell") else part


def numbered_groups(class_names: Iterable[str]) -> list[str]:
    """Return the names of the HDF5 groups of layers, which Keras 3 numbers by class: `dense`, `dense_1` ..."""
    counts: defaultdict[str, Iterator[int]] = defaultdict(count)
    bases = list(map(keras_snake_case, class_names))
    return [f"{base}_{number}" if (number := next(counts[base])) else base for base in bases]


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)
