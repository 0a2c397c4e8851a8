"""The top level of a config: its sections, and what is written beside them."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, WithJsonSchema

from kerascli.component import Invalid
from kerascli.errors import Fault, show
from kerascli.runs.record import NAME
from kerascli.section import BaseSection, meant_keys, read_section, section_ref

_TEXT = {"type": "string"}
_FLAG = {"anyOf": [_TEXT, {"type": "number"}, {"type": "boolean"}]}
MAX_SEED = 2**53


def _run_name(name: Any) -> Any:
    if name is not None and (not isinstance(name, str) or not NAME.fullmatch(name)):
        hint = "letters, digits, '.', '_' and '-', at most 100"
        raise Invalid([Fault(f"name: expected the name of a run, got {show(name)}", hint=hint)])
    return name


def _seed(seed: Any) -> Any:
    if seed is not None and not (type(seed) is int and 0 <= seed < MAX_SEED):
        raise ValueError(f"expected a whole number from 0 to 2**53, got {show(seed)}")
    return seed


class ConfigSection(BaseSection):
    """One file describes one experiment."""

    key_noun: ClassVar[str] = "section"
    key_list: ClassVar[str] = "a config has"

    extends: Annotated[Any, WithJsonSchema(_TEXT)] = None
    """A config that this one is put on top of: mappings merge, lists are replaced."""
    plugins: Annotated[Any, WithJsonSchema({"type": "array", "items": _TEXT})] = None
    """Python files with your own components; they are run."""
    name: Annotated[str | None, BeforeValidator(_run_name), WithJsonSchema(_TEXT)] = None
    """Part of the run folder's name; none: the file's name."""
    seed: Annotated[int | None, BeforeValidator(_seed), WithJsonSchema({"type": "integer", "minimum": 0})] = None
    """All random numbers follow from it; none: drawn, recorded."""
    flags: Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": _FLAG})] = None
    """Hyper-parameters with their defaults, used as $name."""
    data: Annotated[Any, section_ref("data")] = None
    """A source, how it is split, and a pipeline for every input and target."""
    model: Annotated[Any, section_ref("model")]
    """The layers."""
    compile: Annotated[Any, section_ref("compile")] = None
    """Loss, optimizer, metrics, precision."""
    fit: Annotated[Any, section_ref("fit")] = None
    """Epochs, batches, validation, callbacks."""


def config_faults(config: Mapping[Any, Any]) -> list[Fault]:
    """Return what is wrong with a config's keys, its name and its seed; what is in its sections they read."""
    _, faults = read_section(ConfigSection, config, ())
    if "model" not in config and "model" not in meant_keys(ConfigSection, config):
        faults.append(Fault("the config has no 'model' section", (), hint="add model: {layers: [...]}"))
    return faults
