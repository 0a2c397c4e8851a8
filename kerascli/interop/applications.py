"""Weights of the networks of `kerascli/applications`: files that Keras publishes, or of the same layout."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from kerascli.config.composition.applications import Application
from kerascli.config.composition.references import NO_FACTS, References
from kerascli.config.describe import describe
from kerascli.config.run import RunSpec
from kerascli.config.yaml.document import Document
from kerascli.data.download import Progress, download_file
from kerascli.foundation.disk import storage
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import ConfigError, DataError, FileRefused, counted, safe_text
from kerascli.interop.weight_files import matched_tensors, open_weights, own_layers
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import lasting

CLASSES = Path(__file__).parent / "imagenet_classes.txt"
"""File with the names of ImageNet's 1,000 classes, as torchvision has them, a line each."""
_STATISTICS = {"mean", "variance", "count"}
"""Weights of the layer `normalization` in Keras's files; the networks of kerascli have its numbers as settings."""


def application_spec(network: Application, arguments: Mapping[str, Any], size: int | None = None) -> RunSpec:
    """Return a network as a parsed config without data, for images of `size` pixels (None: as published).

    `arguments` are those of Keras's function. Raises Invalid (config errors).
    """
    sections: dict[str | int, Any] = {"model": network.section(arguments, size)}
    references = References(Document(sections, {}, network.name), {}, NO_FACTS)
    return describe(sections, name=network.name, seed=0, data=None, inputs={}, targets=None, references=references)


def published_weights(network: Application, arguments: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the address of the weights that Keras publishes for a network, and their MD5 or SHA-256 if known.

    Raises ConfigError if there are none.
    """
    if (published := network.weights(arguments)) is None:
        raise ConfigError(f"there are no published weights of {network.name}", hint="weights: FILE, or weights: null")
    return published


def cached_file(address: str) -> Path:
    """Return the path where Keras caches the published file of this address: `$KERAS_HOME/models`, or below
    `~/.keras`."""
    name = address.rpartition("/")[2]
    name = name.lower().replace("-", "_") if name.startswith("NASNet") else name  # so Keras calls it there
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models" / name


def published_file(network: Application, arguments: Mapping[str, Any], progress: Progress | None) -> Path:
    """Return the path of the weights that Keras publishes for a network, which are downloaded if they are not cached.

    Raises ConfigError if there are none, DataError, FileRefused.
    """
    address, digest = published_weights(network, arguments)
    local = cached_file(address)
    storage.make_folder(local.parent)
    hint = f"place the file at '{local}' by hand, or give weights: FILE or null (import NAME --weights FILE)"
    download_file(address, local, digest=digest, shown=address, hint=hint, progress=progress)
    if digest is not None:
        kind = "md5" if len(digest) == 32 else "sha256"
        with open_regular(local) as file:
            own = hashlib.file_digest(file, kind).hexdigest()
        if own != digest:
            text = f"'{safe_text(str(local))}' is not the published file: its {kind.upper()} is {own}, not {digest}"
            raise FileRefused(text, hint="remove the file: it is then downloaded again")
    return local


def application_tensors(network: Application, settings: Mapping[str, Any], path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the weights of a network in a file of Keras by name, and the file's SHA-256. Raises FileRefused.

    `settings` are arguments of Keras's function. Its layers are matched by name if the file has all their names, else
    by order, as Keras does.
    """
    if not path.exists():
        raise DataError(f"there is no file '{safe_text(str(path))}'")
    spec = application_spec(network, settings)
    graph, hint = Graph(spec.built), f"'kerascli explain {network.name}' shows the arguments"
    weights = lasting(graph.weights())
    own = own_layers(spec.model, graph.specs, weights)
    names = list(dict.fromkeys(layer.path[0] for layer in own))
    with open_weights(path) as file:
        layers = {each: group for each, group in file.layers.items() if not file.weight_names(each) <= _STATISTICS}
        by_name = all(name in file.layers for name in names)
        if not by_name and len(layers) != len(names):
            first = safe_text(next(iter(file.layers)))
            text = f"with weights, the first '{first}'; expected {len(names)}, '{names[0]}'"
            text = f"with these arguments: it has {counted(len(layers), 'layer')} {text}"
            raise FileRefused(f"'{file.name}' is not of {network.name} {text}", hint=hint)
        try:
            tensors = matched_tensors(file._replace(layers=layers), own, weights, by_name=by_name)
        except FileRefused as refused:
            raise FileRefused([replace(fault, hint=fault.hint or hint) for fault in refused.faults]) from None
        return tensors, file.digest
