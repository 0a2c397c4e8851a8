"""Initialize a model's weights from a run, a file or torchvision (`model.init_from`), when a run starts."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from kerascli.config.config import Config
from kerascli.config.sections.init_from import InitFrom
from kerascli.foundation.disk.files import memory_limit, read_bytes
from kerascli.foundation.errors import (
    ConfigError,
    DataError,
    Fault,
    FileRefused,
    KerasCliError,
    counted,
    nearest,
    safe_text,
)
from kerascli.foundation.events import Note
from kerascli.interop.keras_import.model_file import open_model
from kerascli.interop.published import cache_path, published_tensors
from kerascli.interop.torchvision_names import config_name, refuse_flattened, to_our_names
from kerascli.model.runtime.weights import Weight, lasting
from kerascli.model.transfer import LayerSource, TransferredWeights, take_by_name, take_mapped
from kerascli.runs.index import find_run
from kerascli.training.build import Experiment
from kerascli.training.tensor_file import read_tensors
from kerascli.workflow.interchange.loading import load_keras

_OF_TORCH = {".pth", ".pt", ".ckpt", ".bin", ".pkl"}


@dataclass(frozen=True, slots=True)
class InitWeights:
    """Report on the source of a model's initial weights: facts for run.json, and a text to print."""

    facts: Mapping[str, Any]
    text: str


def init_weights(experiment: Experiment, config: Config, runs_dir: Path) -> InitWeights | None:
    """Load the weights that `model.init_from` names into a model; return facts about them, None without `init_from`.

    `runs_dir` is the folder in which a run is looked up by name.
    """
    section = experiment.spec.init_from
    if section is None:
        return None
    try:
        source, facts = _source(section, experiment, config, runs_dir)
    except KerasCliError as error:
        place = config.document.mark(("model", "init_from", section.source)).value
        raise type(error)([f if f.place else replace(f, place=place) for f in error.faults]) from None
    weights = lasting(experiment.weights)
    with config.faults():
        taken = _taken(section, experiment, weights, source)
        if not taken.values:
            raise _nothing(weights, source, str(facts["source"]))
        if section.torchvision is not None:
            refuse_flattened(experiment.spec.built, weights, taken.values)
    for weight in experiment.weights:
        if weight.name in taken.values:
            weight.take(taken.values[weight.name])
    return InitWeights({**facts, "weights": sorted(taken.values)}, _note(weights, taken, str(facts["source"])))


def absent_weights(experiment: Experiment, config: Config) -> list[Note]:
    """Return a warning if `model.init_from` names torchvision weights that are not on this machine; else [].

    A smoke test does not download the weights, and uses random ones.
    """
    section = experiment.spec.init_from
    if section is None or section.torchvision is None or cache_path(section.published).exists():
        return []
    place = config.document.mark(("model", "init_from", "torchvision")).value
    text = f"random weights: torchvision's {section.published.file} is not here, and this test downloads none"
    return [Note(text, "warning", str(place))]


def _takes(section: InitFrom) -> dict[str, LayerSource]:
    """Return `model.init_from.map` as a mapping from layer to source layer; torchvision's layer names are converted."""
    takes = section.takes()
    if section.torchvision is None:
        return takes
    return {here: replace(take, layer=config_name(take.layer)) for here, take in takes.items()}


def _taken(
    section: InitFrom, experiment: Experiment, weights: Sequence[Weight], source: Mapping[str, Tensor]
) -> TransferredWeights:
    own = {weight.name for weight in weights}
    apart = next((name for name in source if name.rpartition("/")[2].startswith("lora_") and name not in own), None)
    if apart is not None:
        hint = "export the run: an exported file has LoRA merged into the kernels"
        text = f"init_from: the source has LoRA that this model lacks: '{safe_text(apart)}'"
        raise ConfigError(Fault(text, ("model", "init_from"), "key", hint=hint))
    weights = [weight for weight in weights if weight.name in source or not weight.spec.is_of_lora]
    taken = TransferredWeights()
    if section.map:
        model, seed = experiment.spec.model, experiment.spec.seed
        taken.values = take_mapped(model, weights, source, _takes(section), seed=seed)
    if section.by_name or not section.map:
        rest = [weight for weight in weights if weight.name not in taken.values]
        more = take_by_name(rest, source, all_of_them=not section.by_name)
        taken = TransferredWeights({**more.values, **taken.values}, more.skipped)
    return taken


def _nothing(weights: Sequence[Weight], source: Mapping[str, Tensor], name: str) -> ConfigError:
    """Return the error for `model.init_from` if no weight of the source fits the model; its hint has similar layer
    names."""
    theirs = list(dict.fromkeys(each.rpartition("/")[0] for each in source))
    ours = dict.fromkeys(weight.name.rpartition("/")[0] for weight in weights)
    near = next(((layer, close) for layer in ours if (close := nearest(layer, theirs))), None)
    hint = f"its layers: {', '.join(theirs[:8])}{' ...' if len(theirs) > 8 else ''}"
    hint = (
        f"its layers have names like '{near[1]}'; '{near[0]}' of this model has another name or shape" if near else hint
    )
    text = f"init_from: no weight of {name} has the name and shape of a weight of this model"
    return ConfigError(Fault(text, ("model", "init_from"), "key", hint=safe_text(hint)))


def _note(weights: Sequence[Weight], taken: TransferredWeights, source: str) -> str:
    text = f"weights: {len(taken.values)} of {counted(len(weights), 'weight')} from {source}"
    layers = dict.fromkeys(w.name.rpartition("/")[0] for w in weights if w.name not in taken.values)
    new = ", ".join(list(layers)[:8]) + (" ..." if len(layers) > 8 else "")
    return f"{text}; newly initialized: {new}" if layers else text


def _source(
    section: InitFrom, experiment: Experiment, config: Config, runs_dir: Path
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return (weights of the source in `model.init_from` by name, in Keras's layout; facts about the source: its name
    and SHA-256)."""
    folder = config.init_folder
    if section.torchvision is not None:
        file = section.published.file
        tensors, digest = published_tensors(section.published, config.progress)
        renamed = to_our_names(tensors, lasting(experiment.weights), _takes(section), file)
        return renamed, {"source": f"torchvision's {file}", "sha256": digest}
    if section.file is not None:
        return _file(folder / section.file)
    assert section.run is not None
    record = find_run(str(folder / section.run) if os.sep in section.run else section.run, runs_dir)
    data = record.weights()
    name = str(record.path) if record.has_checksums else f"{record.path}, a run from before runs had checksums"
    return read_tensors(data, str(record.path)), {"source": name, "sha256": hashlib.sha256(data).hexdigest()}


def _file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    name = safe_text(str(path))
    if path.suffix == ".safetensors":
        data = read_bytes(path, memory_limit())
        return read_tensors(data, name), {"source": name, "sha256": hashlib.sha256(data).hexdigest()}
    if path.suffix in _OF_TORCH:
        hint = "torchvision: resnet18 loads published weights; for others use .keras, .h5 or .safetensors"
        raise FileRefused(f"'{name}' is a pickle file by its suffix, and pickles are never read", hint=hint)
    if not path.exists():
        raise DataError(f"there is no file '{name}'")
    with open_model(path) as file:
        if file.arrays is None:
            raise FileRefused(f"'{name}' has a model, but no weights")
        loaded = load_keras(file, path.stem, compiled=False)
        weights = {weight.name: weight.keras().clone() for weight in lasting(loaded.experiment.weights)}
        return weights, {"source": name, "sha256": file.digest}
