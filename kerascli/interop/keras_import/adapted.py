"""Import of adapted statistics, such as a Normalization layer's mean: Keras stores them as weights, kerascli as
arguments of the layer."""

from typing import Any

import numpy as np
import torch

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.objects import short_number
from kerascli.interop.keras_import.model_file import ModelFile
from kerascli.interop.keras_import.reading import Owner
from kerascli.layers.base import BaseLayer
from kerascli.layers.preprocessing.normalization import Normalization
from kerascli.model.runtime.weights import finite_as


def is_adapted(layer: BaseLayer) -> bool:
    """Return True if the layer's mean and variance are stored as weights in the Keras file, not in its config."""
    return isinstance(layer, Normalization) and layer.mean is None


def with_statistics(owner: Owner, model: ModelFile) -> BaseLayer:
    """Return a layer with the mean and variance that the Keras file stores for it as weights. Raises FileRefused."""
    file, legacy = model.arrays, model.legacy
    if file is None:
        text = f"the mean of '{safe_text('/'.join(owner.path))}', adapted to data, is not in the file"
        raise FileRefused(text, hint="import the .keras or .h5 file with the weights")
    datasets = file.datasets()
    found: dict[str, Any] = {}
    for number, name in enumerate(("mean", "variance")):
        path = (
            f"{owner.place}/vars/{number}" if legacy is None else _named(file, f"{legacy}/{owner.path[0]}", owner, name)
        )
        if path not in datasets:
            raise FileRefused(f"the file has no {name} of '{safe_text('/'.join(owner.path))}'")
        values = file.array(path, datasets[path])
        what = f"the {name} of '{safe_text('/'.join(owner.path))}'"
        finite_as(torch.from_numpy(values.astype(np.float64)), torch.float32, what)
        found[name] = short_number(values.tolist())
    return type(owner.layer).model_validate({**dict(owner.layer), **found})


def _named(file: Hdf5, group: str, owner: Owner, name: str) -> str:
    """Return the HDF5 path of a layer's weight named `name` in a file of Keras 2's layout."""
    names = [each.partition(":")[0].split("/") for each in file.texts(group, "weight_names")]
    whole = file.texts(group, "weight_names")
    own = [text for text, parts in zip(whole, names, strict=True) if parts[-2:] == [owner.path[-1], name]]
    return f"{group}/{own[0] if own else name}"
