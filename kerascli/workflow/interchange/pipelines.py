"""Pipeline files of runs: write one for a run's preprocessing, and combine one with an imported model."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from kerascli.config.describe import describe
from kerascli.config.run import RunSpec
from kerascli.data.base import Field, file_name
from kerascli.data.pipeline.learned_state import COLUMNS, known_columns
from kerascli.data.pipeline.named_pipeline import NamedPipeline
from kerascli.data.pipeline.pipeline import undone_transforms
from kerascli.data.pipeline.prepare import infer_all, named_pipelines_of
from kerascli.data.section import DataSpec
from kerascli.foundation.errors import ConfigError, Fault, FileRefused, safe_text
from kerascli.foundation.shapes import TensorSpec, is_compatible, show_shape
from kerascli.interop.keras.names import KerasNames
from kerascli.interop.pipeline_files.document import OutputText, foreign_part
from kerascli.interop.pipeline_files.reading import Pipelines, parse_pipelines, refused
from kerascli.interop.pipeline_files.writing import Written, pipeline_bytes
from kerascli.language.component import Invalid
from kerascli.metrics.comparisons import OutputTarget
from kerascli.training.build import Experiment
from kerascli.training.classes import ClassReading, class_reading
from kerascli.workflow.interchange.keras_names import accepted_names, candidates
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.units import inverse_of

_READS_AS = {
    (True, True): "logit", (True, False): "probability", (False, True): "logits", (False, False): "probabilities",
}  # fmt: skip
"""Mapping from (two classes in one number, logits) to the meaning of an output in a pipeline file."""
_PREDICTION_KEYS = ("reads_as", "classes", "positive", "inverse")


def pipelines_of(run: LoadedRun) -> Written:
    """Return the contents of the pipeline file (fitted preprocessing) of a run or of its view (submodel).

    The contents are verified by reading them back. Raises ConfigError, FileRefused.
    """
    if run.data is None or run.takes_arrays or run.has_own_inputs:
        raise ConfigError("--pipeline: the model takes arrays of its own, not rows: there is no pipeline to write")
    spec = _part(run, run.data)
    keys = {named.key(index) for named in named_pipelines_of(spec) for index in range(len(named.pipeline.steps))}
    learned = {key: state for key, state in run.learned.items() if key in {COLUMNS, *keys}}
    written = pipeline_bytes(run.experiment.spec.name, spec, learned, _outputs_of(run))
    parse_pipelines(written.data, "to be written")
    return written


def _part(run: LoadedRun, data: DataSpec) -> DataSpec:
    """Return the `data` section with only the pipelines that the model's inputs and outputs need. Raises
    ConfigError."""
    model, pairs = run.experiment.spec.model, _pairs(run)
    inputs = {each.name: data.inputs[each.name] for each in model.inputs}
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


def _outputs_of(run: LoadedRun) -> dict[str, OutputText]:
    """Return a mapping from each output with a target to how it is converted to predictions (classes, units ...)."""
    return {pair.output: _output(run, pair) for pair in _pairs(run)}


def _output(run: LoadedRun, pair: OutputTarget) -> OutputText:
    inverse = []
    if inverse_of(run, pair) is not None:
        undone = undone_transforms(*target_pipeline(run, pair), run.learned)
        inverse = [each.with_paths(file_name).dump() for each in undone]
    loss = None if pair.loss is None or foreign_part(pair.loss) else pair.loss.dump()
    text = OutputText(
        target=pair.target, loss=loss, reads_as="values", classes=None, positive=None, inverse=inverse
    )  # fmt: skip
    reading = reading_of(run, pair)
    if reading is None:
        return text
    reads_as = _READS_AS[reading.binary, reading.from_logits]
    positive = reading.names[1] if reading.binary else None
    return text.model_copy(update={"reads_as": reads_as, "classes": list(reading.names), "positive": positive})


def reading_of(run: LoadedRun, pair: OutputTarget) -> ClassReading | None:
    """Return the ClassReading (class names ...) of an output of a run's model; None if the output predicts values."""
    shape = [size or 1 for size in run.experiment.spec.built.specs[pair.output].shape]
    return class_reading(torch.empty(1, *shape), run.stages.facts.targets.get(pair.target), pair.loss)


def target_pipeline(run: LoadedRun, pair: OutputTarget) -> tuple[NamedPipeline, list[Field]]:
    """Return (pipeline of an output's target, fields before each step of the pipeline)."""
    assert run.data is not None
    named = next(each for each in named_pipelines_of(run.data) if each.id == ("targets", pair.target))
    return named, infer_all([named], known_columns(run.learned), run.learned)[named.id]


def fitted_to_model(pipelines: Pipelines, experiment: Experiment, names: KerasNames) -> Pipelines:
    """Return the pipelines of a pipeline file under the model's names of inputs and outputs, in place of Keras's names.

    Raises FileRefused that lists all inputs and outputs that do not match the model.
    """
    model = experiment.spec.model
    specs = {each.name: each.spec for each in model.inputs}
    outputs = pipelines.outputs
    accepted = accepted_names(names, specs, {name: name for name in model.outputs})
    inputs = _matched("input", {name: accepted[name] for name in specs}, pipelines.spec.inputs, pipelines)
    alone = len(outputs) == len(model.outputs) == 1  # they belong together, and the target to them, whatever its name
    if alone:
        answers = dict(zip(outputs, model.outputs, strict=True))
    else:
        theirs = {name: accepted[name] for name in model.outputs if set(accepted[name]) & outputs.keys()}
        answers = _matched("output", theirs, outputs, pipelines, all_outputs=model.outputs)
    wrong = sorted({text.target for text in outputs.values()} ^ pipelines.spec.targets.keys())
    if wrong:
        raise refused(pipelines.name, [Fault(f"the target '{safe_text(wrong[0], 40)}' has no output, or no pipeline")])
    targets = {text.target: text.target if alone else answers[name] for name, text in outputs.items()}
    renamed_file = pipelines.renamed(inputs, targets)
    faults = [fault for name, spec in specs.items() if (fault := _misfit(renamed_file, name, spec)) is not None]
    if faults:
        raise refused(pipelines.name, faults)
    renamed = {
        answers[name]: text.model_copy(update={"target": targets[text.target]}) for name, text in outputs.items()
    }
    return replace(renamed_file, outputs=renamed)


def _matched(
    noun: str,
    accepted: Mapping[str, tuple[str, ...]],
    theirs: Iterable[str],
    pipelines: Pipelines,
    all_outputs: Iterable[str] = (),
) -> dict[str, str]:
    """Return a mapping from each name in a pipeline file to the model's name. Raises FileRefused if a name has no
    counterpart."""
    theirs = list(theirs)
    matches = candidates(accepted, theirs, accepted)
    pairs = {names[0]: own for own, names in matches.items() if len(names) == 1}
    if len(pairs) == len(theirs) == len(accepted):
        return pairs
    own = ", ".join(safe_text(name, 40) for name in (all_outputs or accepted))
    listed = ", ".join(safe_text(name, 40) for name in theirs) or "none"
    hint = f"the two must be of the same model; an {noun} may be renamed in the pipeline file"
    raise refused(pipelines.name, [Fault(f"its {noun}s are {listed}, those of the model are {own}", hint=hint)])


def _misfit(pipelines: Pipelines, name: str, spec: TensorSpec) -> Fault | None:
    """Return an error message if an input's pipeline yields another shape or dtype than the model takes; else None."""
    field = pipelines.stages.facts.inputs[name]
    if not is_compatible(field.shape, spec.shape):
        text = f"its input '{name}' makes rows of shape {show_shape(field.shape)}"
        return Fault(f"{text}, the model takes {show_shape(spec.shape)}")
    if spec.is_integer and not field.is_integer:
        return Fault(f"its input '{name}' makes {field.dtype}, the model takes {spec.dtype}")
    return None


def sections_with(pipelines: Pipelines, sections: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the config sections of an imported model with the `data` section of a pipeline file, and notes to print.

    If the model's file has no loss, that of the pipeline file is used, by which outputs are converted to predictions.
    """
    losses = {name: text.loss for name, text in pipelines.outputs.items() if text.loss is not None}
    combined = {"data": pipelines.spec.dump(), **sections}
    if "compile" in sections or not losses:
        return combined, []
    return {**combined, "compile": {"loss": losses}}, ["the loss is that of the pipeline file"]


def described_with(pipelines: Pipelines, sections: Mapping[str, Any], name: str) -> RunSpec:
    """Return the RunSpec (validated config) of an imported model with a pipeline file's pipelines.

    Raises FileRefused.
    """
    facts = pipelines.stages.facts
    try:
        return describe(
            sections, name=name, seed=0, data=pipelines.spec, inputs=facts.inputs, targets=facts.targets
        )  # fmt: skip
    except Invalid as invalid:
        raise refused(pipelines.name, [Fault(fault.text, hint=fault.hint) for fault in invalid.faults]) from None


def check_predictions(run: LoadedRun, pipelines: Pipelines) -> None:
    """Raise FileRefused if an imported run converts outputs to predictions differently than its pipeline file."""
    outputs = _outputs_of(run)
    for name, text in pipelines.outputs.items():
        for key in _PREDICTION_KEYS if name in outputs else ():
            if getattr(outputs[name], key) != getattr(text, key):
                stated, own = (_shown(each, key) for each in (text, outputs[name]))
                raise FileRefused(
                    f"the pipeline file '{safe_text(pipelines.name)}' says {key}: {stated} of the output '{name}', "
                    f"but its targets and the model's loss say {own}",
                )


def _shown(text: OutputText, key: str) -> str:
    return safe_text(str(getattr(text, key)), 80)
