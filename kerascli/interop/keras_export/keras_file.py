"""Write `.keras` and `.h5` files with h5py, without Keras."""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from kerascli.foundation.errors import ConfigError, Fault
from kerascli.interop.keras.hdf5 import need_h5py
from kerascli.interop.keras.places import weights_by_group, weights_by_layer
from kerascli.interop.keras_export.keras_graph import KerasGraph
from kerascli.interop.keras_export.serialized import OF_NETWORKS
from kerascli.interop.keras_export.vocabularies import idf_weights, vocabulary_files
from kerascli.interop.keras_import.calls import MODELS
from kerascli.model.runtime.weights import Weight

KERAS_VERSION = "3.6.0"
"""Version of Keras that exported files state: the oldest one that writes files in the same format."""
_MAX_ATTRIBUTE_BYTES = 64_000
"""Largest size of an HDF5 attribute; longer lists of names are split into several attributes, as in Keras."""
OptimizerGroups = Mapping[str, Sequence[np.ndarray]]
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def archive_bytes(
    graph: KerasGraph, weights: Sequence[Weight], compiled: Mapping[str, Any] | None, state: OptimizerGroups | None
) -> bytes:
    """Return the bytes of a `.keras` file; `state` has the optimizer's variables by HDF5 group, in Keras's order."""
    need_h5py("writing")
    import h5py

    description = graph.description if compiled is None else {**graph.description, "compile_config": compiled}
    saved = {"keras_version": KERAS_VERSION, "date_saved": datetime.now().strftime("%Y-%m-%d@%H:%M:%S")}
    out, arrays = io.BytesIO(), io.BytesIO()
    vocabularies = {name: text.encode() for name, text in vocabulary_files(graph.layers)}  # changes the layers
    with h5py.File(arrays, "w") as file:
        file.create_group("layers")
        for path, own in weights_by_group(graph.owners, weights):
            _write_variables(file, path, map(array, own))
        for path, values in idf_weights(graph.layers):
            file[path] = values
        for path, variables in (state or {}).items():
            _write_variables(file, path, variables)
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in {
            "metadata.json": json.dumps({**graph.metadata, **saved}).encode(),
            "config.json": json.dumps(description).encode(),
            "model.weights.h5": arrays.getvalue(),
            **vocabularies,
        }.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content)
    return out.getvalue()


def legacy_bytes(graph: KerasGraph, weights: Sequence[Weight], compiled: Mapping[str, Any] | None) -> bytes:
    """Return the bytes of an `.h5` file with model and weights. Raises ConfigError for layers that the format cannot
    store.

    The optimizer's state is omitted: Keras 3 cannot resume training from the one that it reads from such files.
    """
    need_h5py("writing")
    import h5py

    if texts := list(_unreadable(graph.description)):
        raise ConfigError([Fault(text, hint="--format keras") for text in texts[:20]])
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.attrs.update(graph.metadata)
        file.attrs["backend"] = "torch"
        file.attrs["keras_version"] = KERAS_VERSION
        description = {key: graph.description[key] for key in ("class_name", "config")}
        file.attrs["model_config"] = json.dumps(_without_modules(description)).encode()
        group = file.create_group("model_weights")
        group.attrs["backend"], group.attrs["keras_version"] = b"torch", KERAS_VERSION.encode()
        _name(group, "layer_names", [node.name for node in graph.layers])
        by_layer = dict(weights_by_layer(graph.owners, weights))
        for node in graph.layers:
            own, layer = by_layer.get(node.name, []), group.create_group(node.name)
            names = [f"{node.name}{weight.name[len(node.ours) :]}" for weight in own]
            _name(layer, "weight_names", names)
            for name, weight in zip(names, own, strict=True):
                layer[name] = array(weight)
        _name(group.create_group("top_level_model_weights"), "weight_names", [])
        if compiled is not None:
            named = {key: compiled["optimizer"][key] for key in ("class_name", "config")}
            others = {key: value for key, value in compiled.items() if key != "optimizer"}
            file.attrs["training_config"] = json.dumps({**others, "optimizer_config": named}).encode()
    return out.getvalue()


def _write_variables(file: Any, path: str, arrays: Iterable[np.ndarray]) -> None:
    group = file.create_group(f"{path}/vars")
    for number, values in enumerate(arrays):
        group[str(number)] = values


def array(weight: Weight) -> np.ndarray:
    """Return the values of a weight as a NumPy array in Keras's layout."""
    return weight.keras().to("cpu").contiguous().numpy()


def _name(group: Any, attribute: str, names: Sequence[str]) -> None:
    data = np.asarray([name.encode() for name in names])
    count = 1
    while any(part.nbytes > _MAX_ATTRIBUTE_BYTES for part in np.array_split(data, count)):
        count += 1
    for number, part in enumerate(np.array_split(data, count)):
        group.attrs[attribute if count == 1 else f"{attribute}{number}"] = part


def _without_modules(value: Any) -> Any:
    """Return a serialized layer or model without its key `module`, as before Keras 3; objects in its config keep their
    `module`."""
    plain = {key: v for key, v in value.items() if key not in {"module", "registered_name"}}
    if value["class_name"] not in MODELS:
        return plain
    layers = [_without_modules(layer) for layer in value["config"]["layers"]]
    return {**plain, "config": {**value["config"], "layers": layers}}


def _unreadable(model: Mapping[str, Any]) -> Iterator[str]:
    """Yield a text on each layer of a serialized model that Keras does not read, or reads wrongly, from `.h5` files."""
    for layer in model["config"]["layers"]:
        config, kind, module = layer["config"], layer["class_name"], layer["module"]
        name, axis = config["name"], config.get("axis")
        if kind in MODELS:
            yield from _unreadable(layer)
        elif ".ops." in module:
            yield f"'{name}' is an operation: .h5 files can store layers only"
        elif isinstance(axis, list) and len(axis) > 1:
            yield f"'{name}': of the axes {axis}, Keras reads only the first from .h5 files"
        elif kind == "GroupQueryAttention" or config.get("score_mode") == "dot" or module in OF_NETWORKS.values():
            yield f"'{name}': Keras cannot read {kind} from .h5 files"
