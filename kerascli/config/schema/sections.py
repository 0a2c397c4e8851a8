"""The sections of a config and the keys beside a layer's settings, as facts for the reference and the editor."""

from dataclasses import dataclass, replace
from functools import cache
from typing import get_args

from pydantic import TypeAdapter

from kerascli.config.schema.settings import Schema, Setting, settings, whole_schema
from kerascli.config.schema.update_settings import update_settings
from kerascli.config.sections.arithmetic import Precision
from kerascli.config.sections.fit import FitSpec
from kerascli.config.sections.init_from import InitFrom
from kerascli.config.sections.phases import SETTINGS
from kerascli.data.section import DataSpec, SplitSpec
from kerascli.layers.base import BaseLayer, CallArgument
from kerascli.model.syntax.schema import (
    BlockSection,
    CellSection,
    MergeKeys,
    ModelSection,
    NodeKeys,
    NodeName,
    RNNKeys,
    SharedSection,
    ViewSection,
)
from kerascli.model.syntax.written import call_arguments
from kerascli.section import BaseSection

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_BOOL: Schema = {"type": "boolean"}
_NULL: Schema = {"type": "null"}
_NODE: Schema = TypeAdapter(NodeName).json_schema()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a config: its keys in the order in which the reference shows them."""

    name: str
    meaning: str
    settings: tuple[Setting, ...]


def sections() -> dict[str, Section]:
    """Every section by its name; `config` is the file as a whole."""
    found = (
        Section("config", "One file describes one experiment.", _config()),
        Section("data", "A source, how it is split, and a pipeline for every input and target.", _data()),
        Section("data.split", "Parts of the training rows, drawn at random once.", _split()),
        _of(ModelSection),
        Section("model.init_from", "Whose weights a model begins with.", tuple(settings(InitFrom))),
        _of(SharedSection),
        _of(ViewSection),
        _of(BlockSection),
        _of(CellSection),
        Section("compile", "What the model is trained towards, how, and in what precision.", _compile()),
        Section("fit", "How long, in what batches, validated on what, watched by whom.", _fit()),
        Section("fit.train_step", "An update of a step: what it changes, how, and by which losses.", update_settings()),
        Section("fit.phases", "One phase: what it changes of fit, compile and data; the rest is theirs.", _phase()),
    )
    return {section.name: section for section in found}


def _of(cls: type[BaseSection]) -> Section:
    return Section(whole_schema(cls)["x-section"], cls.__doc__ or "", tuple(settings(cls)))


def node_settings(cls: type[BaseLayer]) -> list[Setting]:
    """What may stand beside a layer's settings in `model.layers`: node keys and call arguments."""
    own = RNNKeys if cls.takes_described_cell else MergeKeys if cls.call_form == "several" else NodeKeys
    calls = [Setting(name, _of_call(call), _sentence(call.description)) for name, call in call_arguments(cls).items()]
    found = {setting.name: setting for setting in (*_keys(NodeKeys), *calls, *_keys(own))}
    if cls.call_form in ("none", "names"):
        del found["inputs"]
    return list(found.values())


@cache
def _keys(cls: type[BaseSection]) -> tuple[Setting, ...]:
    return tuple(settings(cls))


def _of_call(argument: CallArgument) -> Schema:
    """What a call argument may be."""
    several: Schema = {"type": "array", "items": _NODE}
    kinds: dict[str, list[Schema]] = {"bool": [_BOOL], "tensor": [_NODE], "tensors": [_NODE, several]}
    found = [*kinds[argument.kind], *([{"const": False}] if argument.or_false else [])]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _config() -> tuple[Setting, ...]:
    def part(name: str) -> Schema:
        return {"x-section": name}

    flag: Schema = {"anyOf": [_TEXT, _NUMBER, _BOOL]}
    return (
        Setting("extends", _TEXT, "A config that this one is put on top of: mappings merge, lists are replaced."),
        Setting("plugins", {"type": "array", "items": _TEXT}, "Python files with your own components; they are run."),
        Setting("name", _TEXT, "Part of the run folder's name; none: the file's name."),
        Setting("seed", {"type": "integer", "minimum": 0}, "All random numbers follow from it; none: drawn, recorded."),
        Setting("flags", _by_name(flag), "Hyper-parameters with their defaults, used as $name."),
        Setting("data", part("data"), "A source, how it is split, and a pipeline for every input and target."),
        Setting("model", part("model"), "The layers.", required=True),
        Setting("compile", part("compile"), "Loss, optimizer, metrics, precision."),
        Setting("fit", part("fit"), "Epochs, batches, validation, callbacks."),
    )  # fmt: skip


def _data() -> tuple[Setting, ...]:
    split: Schema = {"x-section": "data.split"}
    return tuple(replace(s, schema=split) if s.name == "split" else s for s in settings(DataSpec))


def _split() -> tuple[Setting, ...]:
    return tuple(settings(SplitSpec))


def _fit() -> tuple[Setting, ...]:
    updates: Schema = {"type": "array", "items": {"x-section": "fit.train_step"}, "minItems": 1}
    text = "The updates of a step, each with an optimizer of its own; none: one, by the compile section."
    phases: Schema = {"type": "array", "items": {"x-section": "fit.phases"}, "minItems": 1}
    what = "Fits of the same weights one after the other, each with settings of its own."
    return (*settings(FitSpec), Setting("train_step", updates, text), Setting("phases", phases, what))


def _phase() -> tuple[Setting, ...]:
    beside = (
        Setting("compile", {"x-section": "compile"}, "On top of the config's; another one makes a new optimizer."),
        Setting("data", {"x-section": "data"}, "On top of the config's."),
    )
    known = {setting.name: setting for setting in settings(FitSpec) if setting.name in SETTINGS}
    known["epochs"] = replace(known["epochs"], meaning="How many epochs this phase has.")
    return (*known.values(), *beside)


def _compile() -> tuple[Setting, ...]:
    loss, metric = {"x-component": "loss"}, {"x-component": "metric"}
    metrics: Schema = {"anyOf": [metric, {"type": "array", "items": metric}]}
    numbers = {"type": "array", "items": _NUMBER}
    precision: Schema = {"type": "string", "enum": list(get_args(Precision))}
    jit: Schema = {"anyOf": [_BOOL, {"const": "auto"}]}
    return (
        Setting("optimizer", {"x-component": "optimizer"}, "The rule that changes the weights.", default="rmsprop"),
        Setting("loss", _each(loss, {"type": "array", "items": loss}), "What is made small; may be by output."),
        Setting("loss_weights", _each(_NUMBER, numbers), "What each output's loss counts in the sum.", default=1.0),
        Setting("metrics", _each(*metrics["anyOf"]), "Figures to log, as plain means over the samples."),
        Setting("weighted_metrics", _each(*metrics["anyOf"]), "Figures to log that respect sample and class weights."),
        Setting("precision", precision, "Of the arithmetic.", default="float32"),
        Setting("jit_compile", jit, "Compile the training step; auto: where it pays.", default="auto"),
    )  # fmt: skip


def _each(*forms: Schema) -> Schema:
    """One for all outputs, or one by the name of each."""
    return {"anyOf": [*forms, _by_name({"anyOf": [*forms, _NULL]})]}


def _by_name(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}
