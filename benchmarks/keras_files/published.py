"""Published networks of kerascli by name, with random weights that Keras saved in the format of the published files."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import keras
from keras.src.applications import nasnet
from keras.src.legacy.saving import legacy_h5_format

from benchmarks.keras_files.applications import LEAST_SPREAD, in_float64, least_side, make
from benchmarks.keras_files.round_trip import (
    KerasModel,
    Made,
    Result,
    judged,
    predicted,
    predictions,
    quietly,
    wrong_counts,
)
from benchmarks.keras_files.round_trip import spread as spread_of
from kerascli.config.composition.applications import Application, applications
from kerascli.config.yaml.dump import dump_yaml
from kerascli.workflow.interchange.importing import import_weights

_CLASSES = 10
_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "mobilenet": [{"alpha": 0.25}, {"alpha": 0.75, "depth_multiplier": 2}],
    "mobilenet_v2": [{"alpha": 0.35}, {"alpha": 1.3}],
    "mobilenet_v3_small": [{"alpha": 0.75}, {"minimalistic": True}, {"include_preprocessing": False}],
    "mobilenet_v3_large": [{"alpha": 0.75}, {"alpha": 1.25, "minimalistic": True}],
    "efficientnet_v2_b0": [{"include_preprocessing": False}],
    "efficientnet_v2_s": [{"include_preprocessing": False}],
    "convnext_tiny": [{"include_preprocessing": False}],
}
"""Arguments of some networks besides those that all take."""


def models() -> Iterator[KerasModel]:
    """Yield each network, small ones first, with and without its top, on images even and square, and odd and wide."""
    for network in sorted(applications().values(), key=lambda each: each.network.parameters):
        side = least_side(keras_name(network))
        for height, width in ((side + side % 2, side + side % 2), (side + 13 - side % 2, side + 29 - side % 2)):
            size = f"{height} x {width}"
            yield _case(network, (height, width), f"top, {size}", include_top=True)
            pooling = "avg" if height == width else "max"
            yield _case(network, (height, width), f"no top, {size}", include_top=False, pooling=pooling)
        yield _case(network, (side, side), "no top, not pooled", include_top=False)
        for settings in _SETTINGS.get(network.name, ()):
            text = ", ".join(f"{key} {value}" for key, value in settings.items())
            yield _case(network, (side, side), text, include_top=True, **settings)


def keras_name(network: Application) -> str:
    """Return the name of the function of keras.applications that builds a network."""
    plain = network.name.replace("_", "")
    (name,) = (name for name in dir(keras.applications) if name.lower() == plain and name[0].isupper())
    return name


def builder(name: str) -> Callable[..., Any]:
    """Return the function of Keras that builds a network; NASNetMobile's refuses torch, the one below it does not."""
    if name != "NASNetMobile":
        return getattr(keras.applications, name)
    return partial(
        nasnet.NASNet, penultimate_filters=1056, num_blocks=4, stem_block_filters=32, skip_reduction=False,
        filter_multiplier=2, default_size=224,
    )  # fmt: skip


def _case(network: Application, size: tuple[int, int], text: str, **arguments: Any) -> KerasModel:
    name = keras_name(network)
    maker = partial(make, name, (*size, 3), build=builder(name), **arguments)
    steps = partial(_steps, network, size, arguments)
    exact = partial(in_float64, maker, drawn="normalization")  # settings in kerascli, with all their digits
    return KerasModel(f"{network.name}, {text}", maker, least_spread=LEAST_SPREAD, exact=exact, steps=steps)


def _steps(
    network: Application,
    size: tuple[int, int],
    arguments: dict[str, Any],
    given: KerasModel,
    folder: Path,
    result: Result,
) -> Iterator[Result]:
    """Make, save as Keras 2 did, load into the network of kerascli, count and predict; see `round_trip`."""
    made = given.make()
    inputs = made.inputs or {}
    theirs = predictions(made.model, inputs)
    result = replace(result, spread=spread_of(theirs))
    if spread_of(theirs) < given.least_spread:
        yield replace(result, outcome="failed", detail="outputs do not depend on the input")
    yield (result := replace(result, step="save"))
    weights = saved(made, folder)
    yield (result := replace(result, step="import"))
    top = {"classes": _CLASSES, "classifier_activation": None} if arguments["include_top"] else {}
    model = network.model({**arguments, **top, "weights": str(weights)})
    config = folder / "model.yaml"
    config.write_text(dump_yaml({"model": {"inputs": {"image": [*size, 3]}, **model}}), encoding="utf-8")
    imported = import_weights(weights, config, runs_dir=folder / "runs", name=None, by_name=by_name(network))
    yield (result := replace(result, step="summary"))
    if wrong := wrong_counts(imported, made.model):
        yield replace(result, outcome="differs", detail=wrong)
    yield (result := replace(result, step="predict"))
    yield judged(result, given, made, inputs, partial(predicted, imported, made, inputs, folder / "x.npz"), theirs)


def by_name(network: Application) -> bool:
    """Return True for networks in whose files a layer has weights that is none here: EfficientNet's normalization."""
    return network.name.startswith("efficientnet_b")


def saved(made: Made, folder: Path) -> Path:
    """Save the weights of a model in the format of the published files."""
    path = folder / "weights.h5"
    with h5py.File(path, "w") as file:
        quietly(legacy_h5_format.save_weights_to_hdf5_group, file, made.model)
    return path
