"""Import a model's file as a run (a folder like that of a training), or Keras weights into a config's model."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kerascli.config.composition.extends import read_extended
from kerascli.config.composition.references import escape_references
from kerascli.config.data import config_facts, load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.resolved import resolved, resolved_config
from kerascli.config.run import RunSpec
from kerascli.config.top_level import run_name
from kerascli.config.yaml.dump import dump_yaml
from kerascli.data.base import States
from kerascli.data.pipeline.learned_state import save_learned
from kerascli.data.pipeline.prepare import no_stages
from kerascli.foundation.errors import Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.interop.keras_import.training import beside_data
from kerascli.interop.keras_import.weights import fill
from kerascli.interop.torch_files import Tensors, model_tensors
from kerascli.interop.weight_files import match, open_weights, own_layers
from kerascli.model.runtime.summary import summarize
from kerascli.model.runtime.weights import lasting
from kerascli.report.architecture.drawing import diagram_json
from kerascli.report.summary import render
from kerascli.runs.environment import run_facts
from kerascli.runs.history import Prefix
from kerascli.runs.index import remove
from kerascli.runs.record import RunRecord, check_name, ended
from kerascli.training.build import Experiment, build_experiment
from kerascli.training.checkpoint import progress_facts
from kerascli.training.checkpoint_files import TRAINING
from kerascli.training.step import Progress
from kerascli.training.tensor_file import tensor_pieces
from kerascli.workflow.bases import open_config
from kerascli.workflow.fitting.phase_facts import data_digests, directions
from kerascli.workflow.fitting.phases import Phase, prepare_phases
from kerascli.workflow.interchange.loading import Loaded, changed_inputs, flat_optimizer, load_model
from kerascli.workflow.interchange.text_columns import text_pipelines, with_data


class Imported(NamedTuple):
    record: RunRecord
    parameters: int
    notes: tuple[str, ...]
    tensors: Tensors
    """Inputs and outputs of the model, as the file has them."""


def import_model(
    path: Path,
    *,
    runs_dir: Path,
    name: str | None = None,
    data: Path | None = None,
    compiled: bool = True,
    command: Sequence[str] = (),
) -> Imported:
    """Create a run (the folder of a trained model) from a Keras file.

    `runs_dir` is the folder in which the run is created; its default `name` is that of the file. `data` is a config
    with sections `data` and `fit` for further training, or with views (submodels). Without `compiled` the file's loss,
    metrics and optimizer are not imported. `command` are the command line's arguments, for run.json. Raises
    KerasCliError.
    """
    name = name or run_name(path, empty="imported")
    check_name(name)
    if data is not None:
        _check_data(data)
    loaded = load_model(path, name, compiled=compiled)
    if loaded.texts and data is None and compiled:
        loaded = load_model(path, name, compiled=False)
    with new_run(runs_dir, name) as record:
        loaded = write_model(record, loaded, data, command, {})
    inputs, outputs = model_tensors(loaded.experiment)
    texts = {text.column: TensorSpec(text.shape, "string") for text in loaded.texts.values()}
    tensors = {**texts, **{name: each for name, each in inputs.items() if name not in loaded.texts}}, outputs
    return imported_run(record, loaded.experiment, loaded.notes, tensors)


def import_weights(
    path: Path, config_path: Path, *, runs_dir: Path, name: str | None, by_name: bool, command: Sequence[str] = ()
) -> Imported:
    """Create a run (the folder of a trained model) of a config, with the weights of a Keras file.

    `path` is the Keras file; the other arguments are as in `import_model`. With `by_name` only layers of equal names
    are loaded. Raises KerasCliError.
    """
    if name is not None:
        check_name(name)
    config = open_config(config_path)
    with open_weights(path) as file:
        prepared = None if config.data is None else load_config_data(config)
        rows = prepared and prepared.row_counts
        known = prepared and prepared.facts
        specs = [describe_config(phase, known or config_facts(phase), rows) for phase in config.phases]
        spec = specs[0]
        with config.faults():
            experiment = build_experiment(spec, prepared or no_stages(), device=torch.device("cpu"))
        weights = lasting(experiment.weights)
        if not weights:
            raise config.error([Fault("the model has no weights", ("model",))])
        pairs, left = match(file, own_layers(spec.model, experiment.graph.specs, weights), weights, by_name=by_name)
        fill(file.arrays, pairs)
    with new_run(runs_dir, name or config.name) as record:
        plugins = [record.write_plugin(code) for code in config.plugins]
        record.write_config(config.document.text)
        learned = {} if prepared is None else prepared.learned
        facts = {
            "config": str(config.path), "flags": dict(config.flags), "plugins": plugins,
            "data": {} if prepared is None else dict(prepared.digests),
            "imported": {"file": file.name, "sha256": file.digest},
        }  # fmt: skip
        _write(record, experiment, None, resolved_config(config, specs, record.path), learned)
        _begin(record, spec, command, facts)
    notes = [f"not in the file: {', '.join(left)}; newly initialized"] if left else []
    return imported_run(record, experiment, notes, model_tensors(experiment))


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


@contextmanager
def new_run(runs_dir: Path, name: str) -> Iterator[RunRecord]:
    """Context manager that creates and locks a run folder, and removes it if its block raises an exception."""
    record = RunRecord.create(runs_dir, name)
    try:
        with record.locked():
            yield record
    except BaseException:
        remove(record)
        raise


def imported_run(record: RunRecord, experiment: Experiment, notes: Sequence[str], tensors: Tensors) -> Imported:
    return Imported(record, sum(weight.count for weight in lasting(experiment.weights)), tuple(notes), tensors)


def write_model(record: RunRecord, loaded: Loaded, data: Path | None, command: Sequence[str], states: States) -> Loaded:
    """Write the run of a loaded model, whose preprocessing has the fitted state `states`; return the model, with the
    data that its texts are columns of. The config of `data` is below the sections that are made of the file."""
    if loaded.texts and data is None:
        loaded, states = with_data(loaded, record)
    spec, sections = loaded.experiment.spec, dict(loaded.sections)
    if loaded.texts and data is not None:
        sections = {"data": {"inputs": text_pipelines(loaded, record)}, **sections}
    above = {} if data is None else {"extends": os.path.relpath(data, record.path), "name": record.name}
    if data is not None and "fit" in sections:
        sections["fit"] = beside_data(sections["fit"], read_extended(data))
    record.write_config(dump_yaml(escape_references({**above, **sections})))
    phases: list[Phase] = []
    facts: dict[str, Any] = {"imported": loaded.facts}
    complete = resolved(spec, None if spec.data is None else spec.data.dump())
    if data is not None:
        config = open_config(record.path / "config.yaml")
        phases = prepare_phases(config) if config.data is not None else []
        specs = [phase.spec for phase in phases] or [describe_config(config, config_facts(config))]
        spec, complete = specs[0], resolved_config(config, specs, record.path)
        facts |= {"config": str(data), "plugins": [record.write_plugin(code) for code in config.plugins]}
    if phases:
        states = phases[-1].prepared.learned
        facts |= {"data": data_digests(phases), "directions": directions(phases)}
    loaded = _as_trained(loaded, phases)
    _write(record, loaded.experiment, loaded.state, complete, states)
    _begin(record, spec, command, facts)
    return loaded._replace(notes=(*loaded.notes, *changed_inputs(facts, spec.model)))


def _as_trained(loaded: Loaded, phases: Sequence[Phase]) -> Loaded:
    """Return a loaded model with the weights that the first of the phases trains.

    If they are not those that the file has trained, its optimizer starts anew.
    """
    before = loaded.experiment
    if not phases or phases[0].spec.built.trainable() == before.spec.built.trainable():
        return loaded
    values = {weight.name: weight.keras() for weight in lasting(before.weights)}
    experiment = build_experiment(phases[0].spec, phases[0].prepared, device=torch.device("cpu"))
    for weight in lasting(experiment.weights):
        if weight.name in values:  # LoRA is newly initialized
            weight.take(values[weight.name])
    note = "fit.trainable is not what the file has trained: the optimizer starts anew"
    return loaded._replace(experiment=experiment, state=None, notes=(*loaded.notes, note))


def _write(
    record: RunRecord, experiment: Experiment, state: dict[str, Tensor] | None, config: dict[str, Any], learned: States
) -> None:
    """Write the files of an imported run: config, summary, preprocessing, final weights, and a checkpoint to train on.

    `state` is the optimizer's state; None: it begins anew.
    """
    record.write_resolved(dump_yaml(escape_references(config)))
    record.write_summary(render(summarize(experiment.graph, experiment.spec.name)))
    record.write_diagram(diagram_json(experiment.graph, experiment.spec.name))
    for item, content in save_learned(learned).items() if learned else ():
        record.write_preprocessing(item, content)
    record.write_weights(tensor_pieces({w.name: w.keras() for w in lasting(experiment.weights)}))
    if state is None and (optimizer := flat_optimizer(experiment)) is not None:
        state = optimizer.state()
    if state is None:
        return
    tensors = {f"weights/{w.name}": w.keras() for w in experiment.weights}
    tensors |= {f"optimizer/{name}": value for name, value in state.items()}
    step = int(state["iterations"])
    facts = progress_facts(Progress(step=step), Prefix())  # further training begins with the first epoch
    record.checkpoints.save(step, {TRAINING: tensor_pieces(tensors)}, facts)


def _begin(record: RunRecord, spec: RunSpec, command: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Write run.json, with which an imported run exists; `facts` are its values that differ from the usual ones."""
    record.begin({
        **run_facts(), "command": shlex.join(["kerascli", *command]), "config": None, "flags": {}, "seed": spec.seed,
        "device": None, "threads": None, "data": {}, "plugins": [],
        "directions": dict(spec.log_names()) if spec.compile else {},
        **facts, **ended("completed", reason="imported"),
    })  # fmt: skip
