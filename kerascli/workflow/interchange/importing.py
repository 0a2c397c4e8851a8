"""Import a model saved by Keras as a run: its architecture as a config, its weights as the run's weights."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kerascli.config.composition.extends import read_extended
from kerascli.config.composition.references import escape_references
from kerascli.config.data import config_facts
from kerascli.config.describe import describe, describe_config
from kerascli.config.load import open_config
from kerascli.config.run import resolved, resolved_config
from kerascli.config.yaml.dump import dump_yaml
from kerascli.data.pipeline.learned_state import save_learned
from kerascli.data.pipeline.prepare import no_stages
from kerascli.foundation.errors import Fault, FileRefused
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.objects import Refusals
from kerascli.interop.keras.optimizer_variables import notes_on_names
from kerascli.interop.keras_import.architecture import Architecture, read_architecture
from kerascli.interop.keras_import.model_file import ModelFile, open_model
from kerascli.interop.keras_import.states import beside_data, fit_of_stateful
from kerascli.interop.keras_import.training import optimizer_state, read_compile
from kerascli.interop.keras_import.weights import Pairs, check_shapes, fill, read_weights
from kerascli.interop.pipeline_files.reading import Pipelines, read_pipelines
from kerascli.language.component import Invalid
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import Weight, lasting
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.report.summary import render, summarize
from kerascli.runs.history_writer import Prefix
from kerascli.runs.index import remove
from kerascli.runs.manifest import run_facts
from kerascli.runs.record import RunRecord, check_name, ended
from kerascli.training.build import Experiment, build_experiment
from kerascli.training.checkpoint_files import TRAINING
from kerascli.training.tensor_file import tensor_pieces
from kerascli.workflow.fitting.phases import Phase, data_digests, directions, prepare_phases
from kerascli.workflow.interchange.importing_pipelines import (
    check_answers,
    described_with,
    fitted_to_model,
    sections_with,
)
from kerascli.workflow.interchange.keras_names import name_facts
from kerascli.workflow.loaded import open_run

_PROGRESS: Mapping[str, Any] = {
    "epoch": 0, "batch": 0, "seconds": 0.0, "said": [], "stopped": None, "callbacks": [], "row": {},
    "phase": 0, "first": 0, "history": Prefix().model_dump(),
}  # fmt: skip
"""Training progress in the checkpoint of an imported run, so that further training begins with the first epoch."""

NO_LOSS = "the file has no loss: the run can predict, but cannot be evaluated or trained"
"""Note on an import without a loss."""


@dataclass(frozen=True, slots=True)
class Imported:
    record: RunRecord
    parameters: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Contents of a Keras file: config sections made from it, and the model with its weights; no file is written
    yet."""

    architecture: Architecture
    sections: dict[str, Any]
    experiment: Experiment
    state: dict[str, Tensor] | None
    """Mapping from name to tensor of the optimizer's state (moments ...); None if the Keras file has none."""
    notes: tuple[str, ...]


def import_model(
    path: Path,
    *,
    runs_dir: Path,
    name: str | None = None,
    data: Path | None = None,
    pipeline: Path | None = None,
    compiled: bool = True,
    command: Sequence[str] = (),
) -> Imported:
    """Create a run from a Keras file; `data` is a config with sections `data` and `fit` for further training, or with
    views (submodels).

    `pipeline` is a pipeline file, by which the run takes raw rows. Without `compiled` the file's loss, metrics and
    optimizer are not imported. Raises KerasCliError.
    """
    name = name or name_of_file(path)
    check_name(name)
    if data is not None:
        _check_data(data)
    pipelines = None if pipeline is None else read_pipelines(pipeline)
    with open_model(path) as file:
        loaded = load_file(file, name, compiled=compiled)
        if pipelines is not None:
            pipelines = fitted_to_model(pipelines, loaded.experiment, loaded.architecture.names)
            loaded = _with_pipelines(loaded, pipelines, name)
        record = RunRecord.create(runs_dir, name)
        with kept_if_done(record), record.locked():
            _write(record, file, loaded, data, pipelines, command)
            if pipelines is not None:
                check_answers(open_run(record, device="cpu"), pipelines)
    count = sum(weight.count for weight in lasting(loaded.experiment.weights))
    return Imported(record, count, loaded.notes)


def _with_pipelines(loaded: _Loaded, pipelines: Pipelines, name: str) -> _Loaded:
    """Return the loaded Keras file with the preprocessing of a pipeline file. Raises FileRefused if the two do not
    fit."""
    sections, notes = sections_with(pipelines, loaded.sections)
    spec = described_with(pipelines, sections, name)
    known = (note for note in loaded.notes if not notes or note != NO_LOSS)
    experiment = replace(loaded.experiment, spec=spec)
    return replace(loaded, sections=sections, experiment=experiment, notes=(*known, *notes))


def name_of_file(path: Path) -> str:
    """Return the name of the run that is made of a file: the file's name, without characters that no run can have."""
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in path.stem)
    return stem.lstrip("._-")[:60] or "imported"


def _check_data(path: Path) -> None:
    """Raise ConfigError if the config of --data has sections that the Keras file defines, or neither the section data
    nor `model.views`."""
    document = read_extended(path)
    model = document.data.get("model", {})
    views = isinstance(model, dict) and list(model) == ["views"]
    for key in ("model", "compile"):
        if key in document.data and not (key == "model" and views):
            hint = "remove it, all but model.views" if key == "model" else "remove it"
            raise document.error([Fault(f"'{key}' comes from the imported file", (key,), "key", hint=hint)])
    if "data" not in document.data and not views:
        raise document.error([Fault("there is no 'data' section for further training", ())])


def load_file(file: ModelFile, name: str, *, compiled: bool) -> _Loaded:
    refusals = Refusals(file.name)
    architecture = read_architecture(file, refusals)
    sections: dict[str, Any] = {"model": architecture.section}
    notes, of_the_model = list(architecture.notes), len(refusals)
    if compiled and file.compile is not None:
        outputs = {keras_name: name for name, keras_name in architecture.names.outputs.items()}
        section = read_compile(file.compile, outputs, refusals)
        if "loss" in section:
            precision = {} if architecture.precision == "float32" else {"precision": architecture.precision}
            sections["compile"] = {**section, **precision}
    if fit := fit_of_stateful(file.model):
        sections["fit"] = fit
    try:
        refusals.check()
    except FileRefused as error:
        if len(refusals) == of_the_model or any(fault.hint for fault in error.faults):
            raise
        way_out = Fault("--no-compile imports the model without them", level="warning")
        raise FileRefused([*error.faults, way_out]) from None
    if "compile" not in sections:
        notes.append(NO_LOSS)
        if architecture.precision != "float32":
            notes.append(f"without a loss it computes in float32, not in {architecture.precision}")
    experiment = _experiment(sections, name, file, architecture)
    state = _take_weights(file, architecture, experiment, notes)
    return _Loaded(architecture, sections, experiment, state, tuple(notes))


def _experiment(sections: Mapping[str, Any], name: str, file: ModelFile, architecture: Architecture) -> Experiment:
    """Build the model of a Keras file; the shapes of the file's arrays are checked before memory is allocated.

    Raises FileRefused, also for faults that the config reader finds in the file's model.
    """
    try:
        spec = describe(sections, name=name, seed=0, data=None, inputs={}, targets=None)
        if file.arrays is not None:
            check_shapes(file.arrays, _pairs(file.arrays, file, architecture, Graph(spec.built).weights()))
        return build_experiment(spec, no_stages(), device=torch.device("cpu"))
    except Invalid as invalid:
        faults = [Fault(f"'{file.name}' cannot be imported: {f.text}", hint=f.hint) for f in invalid.faults[:20]]
        raise FileRefused(faults) from None


def _take_weights(
    file: ModelFile, architecture: Architecture, experiment: Experiment, notes: list[str]
) -> dict[str, Tensor] | None:
    """Load a Keras file's weights into the model; return the state of its optimizer, or None if it has none."""
    if file.arrays is None:
        notes.append("the file has no weights: they are newly initialized")
        return None
    pairs = _pairs(file.arrays, file, architecture, experiment.weights)
    fill(file.arrays, pairs)
    spec = experiment.spec
    if spec.compile is None:
        return None
    optimizer = _optimizer(experiment)
    if optimizer is None:
        return None
    trained = [weight for weight, _ in pairs if weight.trainable]
    places = [(owner.path, owner.prefix) for owner in architecture.owners]
    notes += notes_on_names(spec.compile.optimizer.rule, trained, places, file.model)
    state = None
    if file.keras_3:  # Keras 2 wrote optimizer states in other orders
        own = {name: view.to("meta") for name, view in optimizer.state().items()}
        del optimizer  # only the shapes of its state are needed
        legacy = file.legacy is not None
        state, more = optimizer_state(file.arrays, spec.compile.optimizer, trained, own, legacy=legacy)
        notes += more
    if state is None:
        notes.append("the file has no optimizer state that can be imported: the optimizer starts anew")
    return state


def _pairs(arrays: Hdf5, file: ModelFile, architecture: Architecture, weights: Sequence[Weight]) -> Pairs:
    pairs = read_weights(arrays, lasting(weights), architecture.owners, legacy=file.legacy)
    missing = {weight.name for weight in lasting(weights)} - {weight.name for weight, _ in pairs}
    if missing:
        raise FileRefused(f"the file has no values for the weight '{min(missing)}'")
    return pairs


def _optimizer(experiment: Experiment) -> FlatOptimizer | None:
    weights = [(w.name, w.tensor, w.spec) for w in experiment.weights if w.trainable]
    trained = [(name, tensor, spec) for name, tensor, spec in weights if isinstance(tensor, nn.Parameter)]
    assert experiment.spec.compile is not None
    return FlatOptimizer(experiment.spec.compile.optimizer, trained) if trained else None


@contextmanager
def kept_if_done(record: RunRecord) -> Iterator[None]:
    """Context manager for writing a run folder: it removes the folder if its block raises an exception."""
    try:
        yield
    except BaseException:
        remove(record)
        raise


def _write(
    record: RunRecord,
    file: ModelFile,
    loaded: _Loaded,
    data: Path | None,
    pipelines: Pipelines | None,
    command: Sequence[str],
) -> None:
    experiment, spec = loaded.experiment, loaded.experiment.spec
    above = {} if data is None else {"extends": os.path.relpath(data, record.path), "name": record.name}
    sections = dict(loaded.sections)
    if data is not None and "fit" in sections:
        sections["fit"] = beside_data(sections["fit"], read_extended(data))
    record.write_config(dump_yaml(escape_references({**above, **sections})))
    phases: list[Phase] = []
    complete = resolved(spec, None if pipelines is None else pipelines.spec.dump())
    learned = {} if pipelines is None else pipelines.learned
    plugins: list[dict[str, str]] = []
    if data is not None:
        config = open_config(record.path / "config.yaml")
        phases = prepare_phases(config) if config.data is not None else []
        specs = [phase.spec for phase in phases] or [describe_config(config, config_facts(config))]
        spec, complete = specs[0], resolved_config(config, specs, record.path)
        plugins = [record.write_plugin(code) for code in config.plugins]
    learned = phases[-1].prepared.learned if phases else learned
    record.write_resolved(dump_yaml(escape_references(complete)))
    record.write_summary(render(summarize(experiment.graph, spec.name)))
    for item, content in save_learned(learned).items() if learned else ():
        record.write_preprocessing(item, content)
    write_weights(record, experiment, loaded.state)
    record.begin({
        **run_facts(), "command": shlex.join(["kerascli", *command]), "config": str(data) if data else None,
        "flags": {}, "seed": spec.seed, "device": None, "threads": None,
        "data": data_digests(phases), "plugins": plugins,
        "directions": directions(phases) if phases else dict(spec.log_names()) if spec.compile else {},
        "imported": {
            "file": file.name, "sha256": file.digest, "keras_version": file.version,
            **name_facts(loaded.architecture.names),
            **({} if pipelines is None else {"pipeline": {"file": pipelines.name, "sha256": pipelines.digest}}),
        },
        **ended("completed", reason="imported"),
    })  # fmt: skip


def write_weights(record: RunRecord, experiment: Experiment, state: dict[str, Tensor] | None) -> None:
    """Write a run's final weights, and a checkpoint from which to train on; `state` is the optimizer's state."""
    record.write_weights(tensor_pieces({w.name: w.keras() for w in lasting(experiment.weights)}))
    if experiment.spec.compile is None:
        return
    optimizer = None if state is not None else _optimizer(experiment)
    state = state if optimizer is None else optimizer.state()
    if state is None:
        return
    tensors = {f"weights/{w.name}": w.keras() for w in experiment.weights}
    tensors |= {f"optimizer/{name}": value for name, value in state.items()}
    step = int(state["iterations"])
    facts = {**_PROGRESS, "step": step}
    record.checkpoints.save(step, {TRAINING: tensor_pieces(tensors)}, facts)
