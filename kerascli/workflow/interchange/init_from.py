"""Initialize weights from runs, files or torchvision (`init_from` of a model and its bases) when a run starts."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from kerascli.config.config import Config
from kerascli.config.sections.init_from import INIT_FROM, InitFrom
from kerascli.foundation.disk.files import memory_limit, read_bytes
from kerascli.foundation.errors import ConfigError, DataError, Fault, FileRefused, counted, safe_text
from kerascli.foundation.errors import Path as ConfigPath
from kerascli.foundation.events import Note
from kerascli.interop.applications import application_tensors, cached_file, published_file, published_weights
from kerascli.interop.keras_import.model_file import open_model
from kerascli.interop.published import cache_path, published_tensors
from kerascli.interop.torchvision_names import config_name, refuse_flattened, to_our_names
from kerascli.interop.weight_files import is_weights_only, matched_tensors, open_weights, own_layers
from kerascli.model.runtime.weights import Weight, lasting
from kerascli.model.transfer import LayerSource, TransferredWeights, take_by_name, take_mapped
from kerascli.training.build import Experiment
from kerascli.training.tensor_file import read_tensors
from kerascli.workflow.bases import at_place, run_named
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.interchange.loading import load_keras

Source = tuple[dict[str, Tensor], str, str]
"""Type of (weights by name, in Keras's layout; name of where they are from; its SHA-256)."""
_OF_TORCH = {".pth", ".pt", ".ckpt", ".bin", ".pkl"}


@dataclass(slots=True)
class InitWeights:
    """Report on the sources of a model's initial weights: facts for run.json, and notes to print."""

    facts: dict[str, Any] = field(default_factory=dict)
    """Entries of run.json: `init_from` of the model, and `bases` by name, each with its source and SHA-256."""
    notes: list[Note] = field(default_factory=list)

    def load(self, experiment: Experiment, config: Config, options: Options) -> None:
        """Load the weights that the sections `init_from` of a config name into a model, and report on them.

        `options` has the folder in which a run is looked up by name. Without `options.downloads_weights`, published
        weights that are not on this machine stay random, with a warning.
        """
        self.facts, self.notes = {}, []
        runs_dir = options.source_runs or options.runs_dir
        for path, section in experiment.spec.weight_sources.items():
            base = str(path[2]) if len(path) > 2 else ""
            place = config.document.mark((*path, section.source)).value
            if not options.downloads_weights and (absent := _absent(section)) is not None:
                text = f"random weights: {absent} is not here, and a smoke test downloads none"
                self.notes.append(Note(text, "warning", str(place)))
                continue
            with at_place(place):
                source, name, digest = _source(section, base, experiment, config, config.init_folder(path), runs_dir)
            prefix, weights = f"{base}/" if base else "", lasting(experiment.weights)
            own = {each.name.removeprefix(prefix): each for each in weights if each.name.startswith(prefix)}
            with config.faults():
                taken = _taken(section, experiment, own, source, path)
                if not taken.values:
                    raise _nothing(source, name, path)
                if section.torchvision is not None:
                    refuse_flattened(experiment.spec.built, weights, {f"{prefix}{name}" for name in taken.values})
            for weight, values in taken.values.items():
                own[weight].take(values)
            facts = {"source": name, "sha256": digest, "weights": sorted(taken.values)}
            self.facts |= {"bases": {**self.facts.get("bases", {}), base: facts}} if base else {"init_from": facts}
            self.notes.append(Note(_note(base or "weights", own, taken, name)))

    def changed(self, recorded: Mapping[str, Any]) -> str | None:
        """Return a source whose file is not that of the run with these facts in its run.json; None if there is none."""
        for key, facts in _by_key(self.facts).items():
            if facts["sha256"] != _by_key(recorded).get(key, {}).get("sha256"):
                return str(facts["source"])
        return None


def _by_key(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the facts in run.json about the initial weights of shared models by name, and of the model by ''."""
    return {**facts.get("bases", {}), **({"": facts["init_from"]} if "init_from" in facts else {})}


def _absent(section: InitFrom) -> str | None:
    """Return the name of the published weights file of a section `init_from` that is not on this machine, or None."""
    if section.torchvision is not None and not cache_path(section.torchvision).exists():
        return f"torchvision's {section.torchvision}"
    if section.application is not None and section.path is None:
        file = cached_file(published_weights(*section.network)[0])
        return None if file.exists() else f"Keras's {file.name}"
    return None


def _takes(section: InitFrom) -> dict[str, LayerSource]:
    """Return `model.init_from.map` as a mapping from layer to source layer; torchvision's layer names are converted."""
    takes = section.takes()
    if section.torchvision is None:
        return takes
    return {here: replace(take, layer=config_name(take.layer)) for here, take in takes.items()}


def _taken(
    section: InitFrom, experiment: Experiment, own: Mapping[str, Weight], source: Mapping[str, Tensor], path: ConfigPath
) -> TransferredWeights:
    """Return the values that the section `init_from` at a config path gives the weights `own`, by names in the source.

    A shared model need not take all of them: it may end before its source does.
    """
    _refuse_lora(section, own, source, path)
    own = {name: weight for name, weight in own.items() if name in source or not weight.spec.is_of_lora}
    taken = TransferredWeights()
    if section.map:
        model, seed = experiment.spec.model, experiment.spec.seed
        taken.values = take_mapped(model, list(own.values()), source, _takes(section), seed=seed)
    if section.by_name or not section.map:
        rest = {name: weight.spec.shape for name, weight in own.items() if name not in taken.values}
        wanted = source if path == INIT_FROM else {name: source[name] for name in rest if name in source}
        more = take_by_name(rest, wanted, all_of_them=not section.by_name, path=path)
        taken = TransferredWeights({**more.values, **taken.values}, more.skipped)
    return taken


def _refuse_lora(section: InitFrom, own: Iterable[str], source: Iterable[str], path: ConfigPath) -> None:
    """Raise ConfigError if a source of weights has updates by LoRA in a layer that has none in the model, or in one
    that is taken by another name."""
    names, renamed = set(own), tuple(f"{take.layer}/" for here, take in section.takes().items() if take.layer != here)
    layers = {name.rpartition("/")[0] for name in names}
    for name in (name for name in source if name.rpartition("/")[2].startswith("lora_")):
        if not name.startswith(renamed) and (name in names or name.rpartition("/")[0] not in layers):
            continue
        hint = "export the run: an exported file has LoRA merged into the kernels"
        text = f"init_from: the source has LoRA that this model lacks: '{safe_text(name)}'"
        raise ConfigError(Fault(text, path, "key", hint=hint))


def _nothing(source: Iterable[str], name: str, path: ConfigPath) -> ConfigError:
    """Return the error for a section `init_from` if no weight of the source fits the model."""
    layers = list(dict.fromkeys(each.rpartition("/")[0] for each in source))
    hint = safe_text(f"its layers: {', '.join(layers[:8])}{' ...' if len(layers) > 8 else ''}")
    text = f"init_from: no weight of {name} has the name and shape of a weight of this model"
    return ConfigError(Fault(text, path, "key", hint=hint))


def _note(what: str, own: Mapping[str, Weight], taken: TransferredWeights, source: str) -> str:
    text = f"{what}: {len(taken.values)} of {counted(len(own), 'weight')} from {source}"
    layers = dict.fromkeys(name.rpartition("/")[0] for name in own if name not in taken.values)
    new = ", ".join(list(layers)[:8]) + (" ..." if len(layers) > 8 else "")
    return f"{text}; newly initialized: {new}" if layers else text


def _source(section: InitFrom, base: str, experiment: Experiment, config: Config, folder: Path, runs: Path) -> Source:
    """Return the weights of the source in the section `init_from` of a shared model `base` ('': of the model).

    `folder` is the folder of relative paths.
    """
    if section.torchvision is not None:
        tensors, digest = published_tensors(section.torchvision, config.progress)
        renamed = to_our_names(tensors, lasting(experiment.weights), _takes(section), section.torchvision)
        own = {name.removeprefix(f"{base}/"): each for name, each in renamed.items()}
        return own, f"torchvision's {section.torchvision}", digest
    if section.application is not None:
        network, arguments = section.network
        local = None if section.path is None else folder / section.path
        local = local or published_file(network, arguments, config.progress)
        tensors, digest = application_tensors(network, arguments, local)
        return tensors, safe_text(str(local)), digest
    if section.file is not None:
        path = folder / section.file
        return _weights_only(path, section, base, experiment) if is_weights_only(path) else _file(path)
    assert section.run is not None
    record = run_named(section.run, folder, runs)
    data, name = record.weights(), str(record.path)
    return read_tensors(data, name), name, hashlib.sha256(data).hexdigest()


def _weights_only(path: Path, section: InitFrom, base: str, experiment: Experiment) -> Source:
    """Return the weights of a Keras file that has no model, for the layers of a shared model `base`, or of all."""
    weights = lasting(experiment.weights)
    layers = own_layers(experiment.spec.model, experiment.graph.specs, weights)
    if base:
        inside = [own for own in layers if own.path[0] == base and own.path[1:]]
        layers = [
            own._replace(path=own.path[1:], place=f"layers/{own.place.partition('/layers/')[2]}") for own in inside
        ]
    with open_weights(path) as file:
        tensors = matched_tensors(file, layers, weights, by_name=section.by_name)
        own = {name.removeprefix(f"{base}/"): each for name, each in tensors.items()}
        return own, file.name, file.digest


def _file(path: Path) -> Source:
    name = safe_text(str(path))
    if path.suffix == ".safetensors":
        data = read_bytes(path, memory_limit())
        return read_tensors(data, name), name, hashlib.sha256(data).hexdigest()
    if path.suffix in _OF_TORCH:
        hint = "torchvision: resnet18-f37072fd.pth takes a published file; for others use .keras, .h5 or .safetensors"
        raise FileRefused(f"'{name}' is a pickle file by its suffix, and pickles are never read", hint=hint)
    if not path.exists():
        raise DataError(f"there is no file '{name}'")
    with open_model(path) as file:
        if file.arrays is None:
            raise FileRefused(f"'{name}' has a model, but no weights")
        loaded = load_keras(file, path.stem, compiled=False)
        weights = {weight.name: weight.keras().clone() for weight in lasting(loaded.experiment.weights)}
        return weights, name, file.digest
