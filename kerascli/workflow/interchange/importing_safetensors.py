"""Import a safetensors file that `export` wrote as a run: its metadata has the model, and it has the weights."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kerascli.config.composition.references import escape_references
from kerascli.config.describe import describe
from kerascli.config.run import resolved
from kerascli.config.yaml.dump import dump_yaml
from kerascli.data.pipeline.learned_state import save_learned
from kerascli.data.pipeline.prepare import no_stages
from kerascli.foundation.disk.files import memory_limit, read_bytes
from kerascli.foundation.errors import Fault, FileRefused, safe_text
from kerascli.interop.keras.names import KerasNames
from kerascli.interop.pipeline_files.reading import Pipelines, read_pipelines
from kerascli.interop.torch_files import model_of_safetensors
from kerascli.language.component import Invalid
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import lasting
from kerascli.report.summary import render, summarize
from kerascli.runs.manifest import run_facts
from kerascli.runs.record import RunRecord, check_name, ended
from kerascli.training.build import Experiment, build_experiment
from kerascli.training.step import assign_weights, refuse_other_weights
from kerascli.training.tensor_file import read_tensors
from kerascli.workflow.interchange.importing import NO_LOSS, Imported, kept_if_done, name_of_file, write_weights
from kerascli.workflow.interchange.importing_pipelines import (
    check_answers,
    described_with,
    fitted_to_model,
    sections_with,
)
from kerascli.workflow.loaded import open_run


def import_safetensors(
    path: Path, *, runs_dir: Path, name: str | None = None, pipeline: Path | None = None, command: Sequence[str] = ()
) -> Imported:
    """Create a run from a safetensors file of `export`; `pipeline` is a pipeline file, by which the run takes raw rows.

    Raises KerasCliError.
    """
    name = name or name_of_file(path)
    check_name(name)
    pipelines = None if pipeline is None else read_pipelines(pipeline)
    data = read_bytes(path, memory_limit())
    tensors = read_tensors(data, str(path))
    sections: dict[str, Any] = {"model": _model_section(data, str(path))}
    experiment = _experiment(sections, name, tensors, str(path))
    notes = [NO_LOSS]
    spec = experiment.spec
    if pipelines is not None:
        pipelines = fitted_to_model(pipelines, experiment, KerasNames({}, {}, {}))
        sections, said = sections_with(pipelines, sections)
        spec, notes = described_with(pipelines, sections, name), said or notes
        experiment.spec = spec
    record = RunRecord.create(runs_dir, name)
    with kept_if_done(record), record.locked():
        record.write_config(dump_yaml(escape_references(sections)))
        complete = resolved(spec, None if pipelines is None else pipelines.spec.dump())
        record.write_resolved(dump_yaml(escape_references(complete)))
        record.write_summary(render(summarize(experiment.graph, spec.name)))
        for item, content in save_learned(pipelines.learned).items() if pipelines is not None else ():
            record.write_preprocessing(item, content)
        write_weights(record, experiment, None)
        record.begin(_facts(experiment, path, data, pipelines, command))
        if pipelines is not None:
            check_answers(open_run(record, device="cpu"), pipelines)
    notes = (*notes, *_non_finite(experiment))
    return Imported(record, sum(weight.count for weight in lasting(experiment.weights)), notes)


def _model_section(data: bytes, name: str) -> dict[str, Any]:
    """Return the `model` section in a safetensors file's metadata. Raises FileRefused if there is none."""
    try:
        found = model_of_safetensors(data)
    except ValueError as error:
        raise FileRefused(f"'{safe_text(name)}' is damaged: {safe_text(str(error), 100)}") from None
    if not isinstance(found, dict):
        hint = "give the config of its model: --config CONFIG loads a file of weights of Keras into it"
        text = f"'{safe_text(name)}' has weights without a model, such as 'kerascli export --format safetensors' writes"
        raise FileRefused(Fault(text, hint=hint))
    if "init_from" in found:
        raise FileRefused(f"'{safe_text(name)}' names other files: init_from of its model")
    return found


def _experiment(sections: Mapping[str, Any], name: str, tensors: Mapping[str, Tensor], file: str) -> Experiment:
    """Build the model with its weights; their shapes are compared before memory is allocated. Raises FileRefused."""
    try:
        spec = describe(sections, name=name, seed=0, data=None, inputs={}, targets=None)
        refuse_other_weights(lasting(Graph(spec.built).weights()), tensors, hint="export the model again")
        experiment = build_experiment(spec, no_stages(), device=torch.device("cpu"))
    except Invalid as invalid:
        shown = safe_text(file)
        faults = [Fault(f"'{shown}' cannot be imported: {each.text}", hint=each.hint) for each in invalid.faults[:20]]
        raise FileRefused(faults) from None
    except RecursionError:
        raise FileRefused(f"'{safe_text(file)}' cannot be imported: its model is nested too deeply") from None
    weights = lasting(experiment.weights)
    for weight in weights:
        found, wanted = tensors[weight.name].dtype, weight.tensor.dtype
        if found != wanted and not (found.is_floating_point and wanted.is_floating_point):
            dtypes = f"{str(found).removeprefix('torch.')}, the model's is {str(wanted).removeprefix('torch.')}"
            text = f"'{safe_text(file)}' cannot be imported: the weight '{safe_text(weight.name, 60)}' is {dtypes}"
            raise FileRefused(Fault(text, hint="export the model again"))
    assign_weights(weights, tensors)
    return experiment


def _non_finite(experiment: Experiment) -> list[str]:
    """Return a note if weights of a model are nan or infinite, else an empty list."""
    floats = [weight for weight in lasting(experiment.weights) if weight.tensor.is_floating_point()]
    bad = [weight.name for weight in floats if not torch.isfinite(weight.tensor).all()]
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return [f"nan or infinite values in the weight '{safe_text(bad[0], 60)}'{more}"] if bad else []


def _facts(
    experiment: Experiment, path: Path, data: bytes, pipelines: Pipelines | None, command: Sequence[str]
) -> dict[str, Any]:
    spec = experiment.spec
    pipeline = {} if pipelines is None else {"pipeline": {"file": pipelines.name, "sha256": pipelines.digest}}
    return {
        **run_facts(), "command": shlex.join(["kerascli", *command]), "config": None, "flags": {}, "seed": spec.seed,
        "device": None, "threads": None, "data": {}, "plugins": [],
        "directions": dict(spec.log_names()) if spec.compile else {},
        "imported": {"file": str(path), "sha256": hashlib.sha256(data).hexdigest(), **pipeline},
        **ended("completed", reason="imported"),
    }  # fmt: skip
