"""Begin with weights that are there already: another run's, or a file's. It acts when a run starts, never on resume."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from kerascli.builder.experiment import Experiment
from kerascli.errors import ConfigError, DataError, FileRefused, KerasCliError, counted, safe_text
from kerascli.files import memory_limit, read_bytes
from kerascli.graph.transfer import Taken, take_by_name, take_mapped
from kerascli.graph.weights import Weight, lasting
from kerascli.interop.model_file import open_model
from kerascli.runs.index import find_run
from kerascli.spec.init_from import InitFrom
from kerascli.spec.load import Config
from kerascli.workflow.importing import load_file


@dataclass(frozen=True, slots=True)
class Begun:
    """Where weights came from, for run.json, and what there is to say."""

    facts: Mapping[str, Any]
    text: str


def init_weights(experiment: Experiment, config: Config, runs_dir: Path) -> Begun | None:
    """Give the model the weights that `model.init_from` names, if it names any. Raises KerasCliError."""
    wanted = experiment.spec.init_from
    if wanted is None:
        return None
    try:
        source, facts = _source(wanted, config.init_folder, runs_dir)
    except KerasCliError as error:
        place = config.document.mark(("model", "init_from", "file" if wanted.file is not None else "run")).value
        raise type(error)([f if f.place else replace(f, place=place) for f in error.faults]) from None
    taken, weights = Taken(), lasting(experiment.weights)
    with config.faults():
        if wanted.map:
            model, seed = experiment.spec.model, experiment.spec.seed
            taken.values = take_mapped(model, weights, source, wanted.takes(), seed=seed)
        if wanted.by_name or not wanted.map:
            rest = [weight for weight in weights if weight.name not in taken.values]
            more = take_by_name(rest, source, all_of_them=not wanted.by_name)
            taken = Taken({**more.values, **taken.values}, more.passed_over)
    if not taken.values:
        raise ConfigError(f"init_from: nothing in {facts['source']} has the name and the shape of a layer here")
    for weight in experiment.weights:
        if weight.name in taken.values:
            weight.assign(taken.values[weight.name])
    return Begun({**facts, "weights": sorted(taken.values)}, _said(weights, taken, str(facts["source"])))


def _said(weights: Sequence[Weight], taken: Taken, source: str) -> str:
    text = f"weights: {len(taken.values)} of {counted(len(weights), 'weight')} from {source}"
    layers = dict.fromkeys(w.name.rpartition("/")[0] for w in weights if w.name not in taken.values)
    new = ", ".join(list(layers)[:8]) + (" ..." if len(layers) > 8 else "")
    return f"{text}; new are those of {new}" if layers else text


def _source(wanted: InitFrom, folder: Path, runs_dir: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights by our names, in Keras's layout, and what tells them from others."""
    if wanted.file is not None:
        path = folder / wanted.file
        return _file(path)
    assert wanted.run is not None
    record = find_run(str(folder / wanted.run) if os.sep in wanted.run else wanted.run, runs_dir)
    data = record.weights()
    return _tensors(data, str(record.path)), {"source": str(record.path), "sha256": hashlib.sha256(data).hexdigest()}


def _file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    name = safe_text(str(path))
    if path.suffix == ".safetensors":
        data = read_bytes(path, memory_limit())
        return _tensors(data, name), {"source": name, "sha256": hashlib.sha256(data).hexdigest()}
    if not path.exists():
        raise DataError(f"there is no file '{name}'")
    with open_model(path) as file:
        if file.arrays is None:
            raise FileRefused(f"'{name}' has a model, but no weights")
        loaded = load_file(file, path.stem, compiled=False)
        weights = {weight.name: weight.keras().clone() for weight in lasting(loaded.experiment.weights)}
        return weights, {"source": name, "sha256": file.digest}


def _tensors(data: bytes, name: str) -> dict[str, Tensor]:
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise FileRefused(f"the weights of '{name}' are damaged: {error}") from None
