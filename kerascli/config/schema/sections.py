"""The sections of a config and the keys beside a layer's settings, as facts for the reference and the editor."""

from dataclasses import dataclass, replace
from typing import get_args

from kerascli.config.schema.settings import Schema, Setting, settings
from kerascli.config.schema.update_settings import update_settings
from kerascli.config.sections.arithmetic import Precision
from kerascli.config.sections.fit import FitSpec
from kerascli.config.sections.init_from import InitFrom
from kerascli.config.sections.phases import SETTINGS
from kerascli.data.section import DataSpec, SplitSpec
from kerascli.layers.base import BaseLayer, CallArgument
from kerascli.model.syntax.written import call_arguments
from kerascli.shapes import DType

NAME_PATTERN = "^[A-Za-z_][A-Za-z0-9_]*$"

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_BOOL: Schema = {"type": "boolean"}
_NULL: Schema = {"type": "null"}
_NODE: Schema = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"}
_NAMES: Schema = {"type": "array", "items": _NODE, "minItems": 1}
_OUTPUTS: Schema = {"anyOf": [_NODE, _NAMES]}
_LAYERS: Schema = {"type": "array", "items": {"x-node": True}, "minItems": 1}
_SHAPE: Schema = {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 1}, _NULL]}}


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
        Section("model", "The layers: a list in which each takes the one before it, or the inputs it names.", _model()),
        Section("model.init_from", "Whose weights a model begins with.", _init_from()),
        Section(
            "model.shared", "A model that is called like a layer; its weights are the same in every call.", _shared()
        ),
        Section("model.views", "A further model over the same weights, to be run after training.", _view()),
        Section("model.blocks", "A template of layers; each use makes new ones.", _block()),
        Section("rnn.cell", "A cell of `rnn` that is described: a small model of one step.", _cell()),
        Section("compile", "What the model is trained towards, how, and in what precision.", _compile()),
        Section("fit", "How long, in what batches, validated on what, watched by whom.", _fit()),
        Section("fit.train_step", "An update of a step: what it changes, how, and by which losses.", update_settings()),
        Section("fit.phases", "One phase: what it changes of fit, compile and data; the rest is theirs.", _phase()),
    )
    return {section.name: section for section in found}


def node_settings(cls: type[BaseLayer]) -> list[Setting]:
    """What may stand beside a layer's settings in `model.layers`: node keys and call arguments."""
    merges = cls.call_form == "several"
    several: Schema = {"type": "array", "items": _NODE}
    inputs = {**several, "minItems": 2} if merges else {"anyOf": [_NODE, several]}
    what = "The nodes that are merged." if merges else "The node it takes; none: the one before."
    keys = [
        Setting("name", _NODE, "What other nodes and the summary call it."),
        *([] if cls.call_form in ("none", "names") else [Setting("inputs", inputs, what, required=merges)]),
        Setting("outputs", {"anyOf": [_NODE, several]}, "A name for every result; '_' drops one."),
        Setting("when", _BOOL, "False: left out, its input is passed on under its name.", default=True),
    ]
    calls = call_arguments(cls).items()
    found = [*keys, *(Setting(name, _of_call(call), _sentence(call.description)) for name, call in calls)]
    return [*map(_by_state, found), _CONSTANTS] if cls.takes_described_cell else found


def _of_call(argument: CallArgument) -> Schema:
    """What a call argument may be."""
    several: Schema = {"type": "array", "items": _NODE}
    kinds: dict[str, list[Schema]] = {"bool": [_BOOL], "tensor": [_NODE], "tensors": [_NODE, several]}
    found = [*kinds[argument.kind], *([{"const": False}] if argument.or_false else [])]
    return found[0] if len(found) == 1 else {"anyOf": found}


_CONSTANTS = Setting(
    "constants",
    {"type": "object", "additionalProperties": _NODE},
    "Of a described cell: tensors that every step sees, by the cell's names for them.",
)


def _by_state(setting: Setting) -> Setting:
    """A described cell has names for its states."""
    if setting.name != "initial_state":
        return setting
    return replace(setting, schema={"anyOf": [*setting.schema["anyOf"], _by_name(_NODE)]})


def input_shape() -> Setting:
    """The key that the first layer alone may have."""
    return Setting("input_shape", _SHAPE, "Of the first layer: the shape of the model's input, without the batch axis.")


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
    return tuple(replace(s, schema=split) if s.name == "split" else s for s in settings(DataSpec, "data"))


def _split() -> tuple[Setting, ...]:
    return tuple(settings(SplitSpec, "split"))


def _fit() -> tuple[Setting, ...]:
    updates: Schema = {"type": "array", "items": {"x-section": "fit.train_step"}, "minItems": 1}
    text = "The updates of a step, each with an optimizer of its own; none: one, by the compile section."
    phases: Schema = {"type": "array", "items": {"x-section": "fit.phases"}, "minItems": 1}
    what = "Fits of the same weights one after the other, each with settings of its own."
    return (*settings(FitSpec, "fit"), Setting("train_step", updates, text), Setting("phases", phases, what))


def _phase() -> tuple[Setting, ...]:
    beside = (
        Setting("compile", {"x-section": "compile"}, "On top of the config's; another one makes a new optimizer."),
        Setting("data", {"x-section": "data"}, "On top of the config's."),
    )
    known = {setting.name: setting for setting in settings(FitSpec, "fit") if setting.name in SETTINGS}
    known["epochs"] = replace(known["epochs"], meaning="How many epochs this phase has.")
    return (*known.values(), *beside)


def _model() -> tuple[Setting, ...]:
    shared: Schema = {"anyOf": [{"x-component": "layer"}, {"x-section": "model.shared"}]}
    begin: Schema = {"x-section": "model.init_from"}
    return (
        Setting("init_from", begin, "Weights to begin with: another run's, a file's, published ones; none: new ones."),
        Setting("inputs", _inputs(), "Shapes without the batch axis; none: the data's."),
        Setting("shared", _by_name(shared), "Layers and models by name, called like layers: one set of weights each."),
        Setting("blocks", _by_name({"x-section": "model.blocks"}), "Templates by name, used like layers."),
        Setting("layers", _LAYERS, "The nodes, from the inputs on.", required=True),
        Setting("outputs", _OUTPUTS, "The nodes that the model returns; none: the last one."),
        Setting("views", _by_name({"x-section": "model.views"}), "Further models over the same weights, by name."),
    )  # fmt: skip


def _view() -> tuple[Setting, ...]:
    return (
        Setting("inputs", _inputs(), "What it is given, with shapes; none: it goes on from the model's nodes."),
        Setting("layers", _LAYERS, "Its own nodes; they call what is shared, and have no weights."),
        Setting("outputs", _OUTPUTS, "The nodes that it returns; none: the last one."),
    )


def _inputs() -> Schema:
    dtypes = [dtype for dtype in get_args(DType) if dtype != "string"]
    declared: Schema = {
        "type": "object",
        "properties": {"shape": _SHAPE, "dtype": {"type": "string", "enum": dtypes}},
        "required": ["shape"],
        "additionalProperties": False,
    }
    return _by_name({"anyOf": [_SHAPE, declared]})


def _init_from() -> tuple[Setting, ...]:
    known = settings(InitFrom, "init_from")
    there: Schema = {"anyOf": [_TEXT, *(s.schema["additionalProperties"] for s in known if s.name == "map")]}
    return tuple(replace(s, schema=_by_name(there)) if s.name == "map" else s for s in known)


def _shared() -> tuple[Setting, ...]:
    shaped: Schema = {"anyOf": [_SHAPE, {"type": "object"}, _NULL]}
    inputs: Schema = {"anyOf": [_NAMES, _by_name(shaped)]}
    shared: Schema = {"anyOf": [{"x-component": "layer"}, {"x-section": "model.shared"}]}
    return (
        Setting("inputs", inputs, "What it is called on, by name; none: one tensor, `input`."),
        Setting("shared", _by_name(shared), "What its layers call."),
        Setting("layers", _LAYERS, "The nodes, from the inputs on.", required=True),
        Setting("outputs", _OUTPUTS, "The nodes that it returns; none: the last one."),
        Setting("trainable", _BOOL, "False: none of its layers is trained.", default=True),
    )  # fmt: skip


def _cell() -> tuple[Setting, ...]:
    size: Schema = {"type": "integer", "minimum": 1}
    sizes: Schema = {"anyOf": [size, {"type": "array", "items": size}]}
    whole: Schema = {
        "type": "object",
        "properties": {"shape": sizes, "initializer": {"x-component": "initializer"}, "trainable": _BOOL},
        "required": ["shape"],
        "additionalProperties": False,
    }
    states = _by_name({"anyOf": [*sizes["anyOf"], whole]})
    return (
        Setting("inputs", _OUTPUTS, "Names for what a step has of each sequence; none: one tensor, `input`."),
        Setting("states", states, "What goes from step to step: sizes, and what it starts from.", required=True),
        Setting("layers", _LAYERS, "What is done at each step.", required=True),
        Setting("next", _by_name(_NODE), "The new value of each state.", required=True),
        Setting("outputs", _OUTPUTS, "What a step gives out; none: the last node."),
    )  # fmt: skip


def _block() -> tuple[Setting, ...]:
    return (
        Setting("parameters", _by_name({}), "Names that its layers use as $name, with defaults; empty: to be given."),
        Setting("inputs", {"anyOf": [_NODE, _NAMES]}, "What it is used on, by name; none: one tensor, `input`."),
        Setting("layers", _LAYERS, "The layers of each use.", required=True),
        Setting("outputs", _OUTPUTS, "The nodes that it returns; none: the last one."),
    )  # fmt: skip


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
