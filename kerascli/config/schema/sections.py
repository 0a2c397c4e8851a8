"""The sections of a config and the keys beside a layer's settings, as facts for the reference and the editor."""

from dataclasses import dataclass, replace
from typing import get_args

from kerascli.config.schema.settings import Schema, Setting, first_line, settings
from kerascli.config.sections.compile import CompileSection
from kerascli.config.sections.fit import FitSection, FitSpec
from kerascli.config.sections.init_from import InitFrom
from kerascli.config.sections.phases import SETTINGS, PhaseSection
from kerascli.config.sections.train_step import UpdateSection
from kerascli.config.sections.whole import ConfigSection
from kerascli.data.section import DataSpec, SplitSpec
from kerascli.layers.base import BaseLayer, CallArgument
from kerascli.model.syntax.written import call_arguments
from kerascli.section import BaseSection
from kerascli.shapes import DType

NAME_PATTERN = "^[A-Za-z_][A-Za-z0-9_]*$"

_TEXT: Schema = {"type": "string"}
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
        _section("config", ConfigSection),
        _section("data", DataSpec),
        _section("data.split", SplitSpec),
        Section("model", "The layers: a list in which each takes the one before it, or the inputs it names.", _model()),
        _section("model.init_from", InitFrom),
        Section(
            "model.shared", "A model that is called like a layer; its weights are the same in every call.", _shared()
        ),
        Section("model.views", "A further model over the same weights, to be run after training.", _view()),
        Section("model.blocks", "A template of layers; each use makes new ones.", _block()),
        Section("rnn.cell", "A cell of `rnn` that is described: a small model of one step.", _cell()),
        _section("compile", CompileSection),
        _section("fit", FitSection),
        _section("fit.train_step", UpdateSection),
        Section("fit.phases", first_line(PhaseSection), _phase()),
    )
    return {section.name: section for section in found}


def _section(name: str, cls: type[BaseSection]) -> Section:
    return Section(name, first_line(cls), tuple(settings(cls)))


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


def _phase() -> tuple[Setting, ...]:
    """What a phase may set of `fit`, but for what it says itself."""
    of_fit = (setting for setting in settings(FitSpec) if setting.name in SETTINGS)
    return tuple({setting.name: setting for setting in (*of_fit, *settings(PhaseSection))}.values())


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


def _by_name(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}
