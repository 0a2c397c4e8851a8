"""Where Keras puts the weights of what a layer has inside, by our names of it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from kerascli.interop.names import keras_snake_case
from kerascli.layers.attention.heads import HeadsLayer
from kerascli.layers.base import BaseLayer
from kerascli.layers.preprocessing.pipeline import Pipeline
from kerascli.layers.recurrent.base import Recurrent
from kerascli.layers.recurrent.rnn import RNN, StackedRNNCells
from kerascli.layers.wrappers.bidirectional import Bidirectional
from kerascli.layers.wrappers.spectral_normalization import SpectralNormalization
from kerascli.layers.wrappers.time_distributed import TimeDistributed

_HEADS = {"query": "query", "key": "key", "gate": "gate", "value": "value", "attention_output": "output"}


@dataclass(frozen=True, slots=True)
class Part:
    """Where Keras 3 has a module's weights: below which attributes of the layer, and after how many of others."""

    attributes: str = ""
    repeated: int = 0
    """How many arrays of other parts stand there once more, before its own."""


def parts_of(layer: BaseLayer) -> dict[str, Part]:
    """The parts of a layer by the path of the module; '' is the layer itself."""
    match layer:
        case SpectralNormalization():
            found = {"": Part(repeated=1)}  # the kernel that it divides
        case Recurrent() if not isinstance(layer, RNN | StackedRNNCells):
            found = {"": Part("cell")}
        case HeadsLayer():
            found = {ours: Part(f"{theirs}_dense") for ours, theirs in _HEADS.items()}
        case _:
            found = {"": Part()}
    for ours, theirs, inner in _inner(layer):
        for below, part in parts_of(inner).items():
            attributes = "/".join(filter(None, (theirs, part.attributes)))
            found["/".join(filter(None, (ours, below)))] = Part(attributes, part.repeated)
    return found


def _inner(layer: BaseLayer) -> Iterator[tuple[str, str, BaseLayer]]:
    """Layers in a layer: our name of the module, Keras's attribute, the settings."""
    match layer:
        case TimeDistributed() | SpectralNormalization():
            yield layer.layer.component_name, "layer", layer.layer
        case Bidirectional():
            yield f"forward_{layer.layer.component_name}", "forward_layer", layer.layer
            yield f"backward_{layer.backward.component_name}", "backward_layer", layer.backward
        case RNN():
            yield layer.cell.component_name, "cell", layer.cell
        case StackedRNNCells():
            names = (cell.component_name for cell in layer.cells)
            yield from zip(_numbered(names), _numbered(map(_theirs, layer.cells), "cells/"), layer.cells, strict=True)
        case Pipeline():
            ours = (f"layers/{number}" for number in range(len(layer.layers)))
            yield from zip(ours, _numbered(map(_theirs, layer.layers), "layers/"), layer.layers, strict=True)


def _theirs(layer: BaseLayer) -> str:
    return keras_snake_case(type(layer).__name__)


def _numbered(names: Iterator[str], before: str = "") -> Iterator[str]:
    """dense, dense_1 ..."""
    counts: Counter[str] = Counter()
    for name in names:
        yield f"{before}{name}_{counts[name]}" if counts[name] else f"{before}{name}"
        counts[name] += 1
