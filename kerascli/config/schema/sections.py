"""Names, descriptions and keys of a config's sections (`data`, `fit` ...), and the keys of layers in `model.layers`.

The command `explain` prints them, and the JSON Schema of configs, which editors use, is generated from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from pydantic import TypeAdapter

from kerascli.config.schema.settings import Schema, Setting, first_line, settings
from kerascli.config.sections.compile import CompileSection
from kerascli.config.sections.fit import FitSection, FitSpec
from kerascli.config.sections.init_from import InitFrom
from kerascli.config.sections.phases import SETTINGS, PhaseSection
from kerascli.config.sections.train_step import UpdateSection
from kerascli.config.sections.tune import TuneSection
from kerascli.config.top_level import ConfigSection
from kerascli.data.section import DataSpec, SplitSpec
from kerascli.language.section import BaseSection
from kerascli.layers.base import BaseLayer, CallArgument, call_arguments
from kerascli.model.syntax import schema

_BOOL: Schema = {"type": "boolean"}
_NODE: Schema = TypeAdapter(schema.NodeName).json_schema()


@dataclass(frozen=True, slots=True)
class Section:
    """Section of a config as data: name, description, and keys in the order of the reference documentation."""

    name: str
    meaning: str
    """Description of the section, in one sentence."""
    settings: tuple[Setting, ...]
    """Keys of the section, in the order of the reference documentation."""


@cache
def sections() -> Mapping[str, Section]:
    """Return all sections of a config by name; the section of the top level is named `config`."""
    classes: dict[str, type[BaseSection]] = {
        "config": ConfigSection,
        "data": DataSpec,
        "data.split": SplitSpec,
        "model": schema.ModelSection,
        "model.init_from": InitFrom,
        "model.shared": schema.SharedSection,
        "model.shared.base": schema.SharedBase,
        "model.views": schema.ViewSection,
        "model.blocks": schema.BlockSection,
        "rnn.cell": schema.CellSection,
        "compile": CompileSection,
        "fit": FitSection,
        "fit.train_step": UpdateSection,
        "tune": TuneSection,
    }
    by_name = {name: Section(name, first_line(cls), tuple(settings(cls))) for name, cls in classes.items()}
    of_fit = (setting for setting in settings(FitSpec) if setting.name in SETTINGS)  # of those a phase may change
    phase = {setting.name: setting for setting in (*of_fit, *settings(PhaseSection))}
    return {**by_name, "fit.phases": Section("fit.phases", first_line(PhaseSection), tuple(phase.values()))}


def node_settings(cls: type[BaseLayer]) -> list[Setting]:
    """Return the keys of a layer in `model.layers` other than its arguments: `name`, `inputs`, `mask` ..."""
    merges = schema.MergeKeys if cls.call_form == "several" else schema.NodeKeys
    own = schema.RNNKeys if cls.takes_custom_cell else merges
    calls = [Setting(name, _of_call(call), _sentence(call.description)) for name, call in call_arguments(cls).items()]
    keys = {setting.name: setting for setting in (*_keys(schema.NodeKeys), *calls, *_keys(own))}
    if cls.call_form in ("none", "names"):
        del keys["inputs"]
    return list(keys.values())


@cache
def _keys(cls: type[BaseSection]) -> tuple[Setting, ...]:
    return tuple(settings(cls))


def _of_call(argument: CallArgument) -> Schema:
    """Return the JSON Schema of a layer's call argument (`mask`, `training` ...)."""
    several: Schema = {"type": "array", "items": _NODE}
    kinds: dict[str, list[Schema]] = {"bool": [_BOOL], "tensor": [_NODE], "tensors": [_NODE, several]}
    forms = [*kinds[argument.kind], *([{"const": False}] if argument.or_false else [])]
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
