"""Combine an imported Keras model with a pipeline file (preprocessing): names, shapes and classes must agree."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kerascli.config.describe import describe
from kerascli.config.run import RunSpec
from kerascli.foundation.errors import Fault, FileRefused, safe_text
from kerascli.foundation.shapes import TensorSpec, is_compatible, show_shape
from kerascli.interop.keras.names import KerasNames
from kerascli.interop.pipeline_files.document import OutputText
from kerascli.interop.pipeline_files.reading import Pipelines, refused
from kerascli.language.component import Invalid
from kerascli.training.build import Experiment
from kerascli.workflow.interchange.exporting_pipelines import outputs_of
from kerascli.workflow.interchange.keras_names import accepted_names, candidates
from kerascli.workflow.loaded import LoadedRun

_ANSWERS = ("reads_as", "classes", "positive", "inverse")


def fitted_to_model(pipelines: Pipelines, experiment: Experiment, names: KerasNames) -> Pipelines:
    """Return the pipelines of a pipeline file under the model's names of inputs and outputs, in place of Keras's names.

    Raises FileRefused with all inputs and outputs that do not fit.
    """
    model = experiment.spec.model
    given = {each.name: each.spec for each in model.inputs}
    outputs = pipelines.outputs
    accepted = accepted_names(names, given, {name: name for name in model.outputs})
    inputs = _matched("input", {name: accepted[name] for name in given}, pipelines.spec.inputs, pipelines)
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
    found = pipelines.renamed(inputs, targets)
    faults = [fault for name, spec in given.items() if (fault := _misfit(found, name, spec)) is not None]
    if faults:
        raise refused(pipelines.name, faults)
    renamed = {
        answers[name]: text.model_copy(update={"target": targets[text.target]}) for name, text in outputs.items()
    }
    return replace(found, outputs=renamed)


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
    found = candidates(accepted, theirs, accepted)
    pairs = {names[0]: own for own, names in found.items() if len(names) == 1}
    if len(pairs) == len(theirs) == len(accepted):
        return pairs
    own = ", ".join(safe_text(name, 40) for name in (all_outputs or accepted))
    given = ", ".join(safe_text(name, 40) for name in theirs) or "none"
    hint = f"the two must be of the same model; an {noun} may be renamed in the pipeline file"
    raise refused(pipelines.name, [Fault(f"its {noun}s are {given}, those of the model are {own}", hint=hint)])


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

    Where the model's file has no loss, that of the pipeline file is used: outputs are read by it.
    """
    losses = {name: text.loss for name, text in pipelines.outputs.items() if text.loss is not None}
    found = {"data": pipelines.spec.dump(), **sections}
    if "compile" in sections or not losses:
        return found, []
    return {**found, "compile": {"loss": losses}}, ["the loss is that of the pipeline file"]


def described_with(pipelines: Pipelines, sections: Mapping[str, Any], name: str) -> RunSpec:
    """Return the RunSpec (validated config) of an imported model with a pipeline file's pipelines. Raises
    FileRefused."""
    facts = pipelines.stages.facts
    try:
        return describe(
            sections, name=name, seed=0, data=pipelines.spec, inputs=facts.inputs, targets=facts.targets
        )  # fmt: skip
    except Invalid as invalid:
        raise refused(pipelines.name, [Fault(fault.text, hint=fault.hint) for fault in invalid.faults]) from None


def check_answers(run: LoadedRun, pipelines: Pipelines) -> None:
    """Raise FileRefused if an imported run converts outputs to predictions in another way than its pipeline file
    says."""
    found = outputs_of(run)
    for name, text in pipelines.outputs.items():
        for key in _ANSWERS if name in found else ():
            if getattr(found[name], key) != getattr(text, key):
                said, own = (_shown(each, key) for each in (text, found[name]))
                raise FileRefused(
                    f"the pipeline file '{safe_text(pipelines.name)}' says {key}: {said} of the output '{name}', "
                    f"but its targets and the model's loss say {own}",
                )


def _shown(text: OutputText, key: str) -> str:
    return safe_text(str(getattr(text, key)), 80)
