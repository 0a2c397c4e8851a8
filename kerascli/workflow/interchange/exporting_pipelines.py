"""Write a run's pipeline file: its preprocessing, and how the model's outputs are converted to predictions."""

import torch

from kerascli.data.base import file_name
from kerascli.data.pipeline.learned_state import COLUMNS, known_columns
from kerascli.data.pipeline.pipeline import undone_transforms
from kerascli.data.pipeline.prepare import infer_all, named_pipelines_of
from kerascli.data.section import DataSpec
from kerascli.foundation.errors import ConfigError
from kerascli.interop.pipeline_files.components import foreign_part
from kerascli.interop.pipeline_files.document import OutputText
from kerascli.interop.pipeline_files.reading import parse_pipelines
from kerascli.interop.pipeline_files.writing import Written, pipeline_bytes
from kerascli.metrics.comparisons import OutputTarget
from kerascli.training.classes import class_reading
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.units import inverse_of


def pipelines_of(run: LoadedRun) -> Written:
    """Return the contents of the pipeline file (fitted preprocessing) of a run or of its view (submodel); they are
    verified by reading them back.

    Raises ConfigError, FileRefused.
    """
    if run.data is None or run.takes_arrays or run.has_own_inputs:
        raise ConfigError("--pipeline: the model takes arrays of its own, not rows: there is no pipeline to write")
    spec = _part(run, run.data)
    keys = {named.key(index) for named in named_pipelines_of(spec) for index in range(len(named.pipeline.steps))}
    learned = {key: state for key, state in run.learned.items() if key in {COLUMNS, *keys}}
    written = pipeline_bytes(run.experiment.spec.name, spec, learned, outputs_of(run))
    parse_pipelines(written.data, "to be written")
    return written


def _part(run: LoadedRun, data: DataSpec) -> DataSpec:
    """Return the `data` section with only the pipelines that the model's inputs and outputs need. Raises
    ConfigError."""
    model, pairs = run.experiment.spec.model, _pairs(run)
    inputs = {given.name: data.inputs[given.name] for given in model.inputs}
    targets = {pair.target: data.targets[pair.target] for pair in pairs}
    weights = {name: pipeline for name, pipeline in data.sample_weight.items() if name in targets}
    pipelines = [*inputs.values(), *targets.values(), *weights.values()]
    used = {step.shared for pipeline in pipelines for step in pipeline.steps}
    shared = {name: transform for name, transform in data.shared.items() if name in used}
    sections = {"shared": shared, "inputs": inputs, "targets": targets, "sample_weight": weights}
    spec = data.model_copy(update={**sections, "where": {}, "split": None, "augment": ()})
    before = {named.id: named.target for named in named_pipelines_of(data)}
    if any(before[named.id] != named.target for named in named_pipelines_of(spec)):
        text = "--pipeline: a target shares a transform with an input that this view does not have"
        raise ConfigError(text, hint="write the pipeline of the whole model: without --view")
    return spec


def _pairs(run: LoadedRun) -> list[OutputTarget]:
    compiled, model = run.experiment.spec.compile, run.experiment.spec.model
    return [pair for pair in compiled.pairs if pair.output in model.outputs] if compiled is not None else []


def outputs_of(run: LoadedRun) -> dict[str, OutputText]:
    """Return a mapping from each output with a target to how it is converted to predictions (classes, units ...)."""
    return {pair.output: _output(run, pair) for pair in _pairs(run)}


def _output(run: LoadedRun, pair: OutputTarget) -> OutputText:
    shape = [size or 1 for size in run.experiment.spec.built.specs[pair.output].shape]
    reading = class_reading(torch.empty(1, *shape), run.stages.facts.targets.get(pair.target), pair.loss)
    inverse = []
    if inverse_of(run, pair) is not None:
        assert run.data is not None
        named = next(each for each in named_pipelines_of(run.data) if each.id == ("targets", pair.target))
        fields = infer_all([named], known_columns(run.learned), run.learned)[named.id]
        inverse = [each.with_paths(file_name).dump() for each in undone_transforms(named, fields, run.learned)]
    reads_as = "values"
    if reading is not None and reading.binary:
        reads_as = "logit" if reading.from_logits else "probability"
    elif reading is not None:
        reads_as = "logits" if reading.from_logits else "probabilities"
    loss = None if pair.loss is None or foreign_part(pair.loss) else pair.loss.dump()
    return OutputText(
        target=pair.target, loss=loss, reads_as=reads_as,
        classes=None if reading is None else list(reading.names),
        positive=None if reading is None or not reading.binary else reading.names[1], inverse=inverse,
    )  # fmt: skip
