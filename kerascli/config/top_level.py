"""Top level of a config: its sections, and the other top-level keys."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, WithJsonSchema

from kerascli.foundation.errors import plain_name, show
from kerascli.language.component import Invalid
from kerascli.language.section import BaseSection, section_ref
from kerascli.runs.record import NAME

_TEXT = {"type": "string"}
_FLAG = {"anyOf": [_TEXT, {"type": "number"}, {"type": "boolean"}]}
MAX_SEED = 2**53


def _run_name(name: Any) -> Any:
    if name is not None and (not isinstance(name, str) or not NAME.fullmatch(name)):
        plain = f"; write {meant[:100]}" if isinstance(name, str) and (meant := plain_name(name)) else ""
        hint = f"letters, digits, '.', '_' and '-', at most 100{plain}"
        raise Invalid(f"name: expected the name of a run, got {show(name)}", hint=hint)
    return name


def _seed(seed: Any) -> Any:
    if seed is not None and not (type(seed) is int and 0 <= seed < MAX_SEED):
        raise ValueError(f"expected an integer from 0 to 2**53, got {show(seed)}")
    return seed


class ConfigSection(BaseSection):
    """Configuration of one experiment: data, model, compilation and training."""

    key_noun: ClassVar[str] = "section"
    key_list: ClassVar[str] = "a config has"

    extends: Annotated[Any, WithJsonSchema(_TEXT)] = None
    """Path of a base config that this one is merged into: mappings merge, lists are replaced, null deletes a key."""
    plugins: Annotated[Any, WithJsonSchema({"type": "array", "items": _TEXT})] = None
    """Python files that register custom components; their code is run."""
    name: Annotated[str | None, BeforeValidator(_run_name), WithJsonSchema(_TEXT)] = None
    """Name of the run, part of its folder's name; default: the config file's name."""
    seed: Annotated[int | None, BeforeValidator(_seed), WithJsonSchema({"type": "integer", "minimum": 0})] = None
    """Seed of all random numbers; default: drawn at random and recorded in the run."""
    flags: Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": _FLAG})] = None
    """Hyperparameters with their default values, referred to as $name and set with --flag."""
    data: Annotated[Any, section_ref("data")] = None
    """Source of the data, its splits, and a preprocessing pipeline for every input and target."""
    model: Annotated[Any, section_ref("model")]
    """Layers of the model and how they are connected."""
    compile: Annotated[Any, section_ref("compile")] = None
    """Optimizer, losses, metrics and precision."""
    fit: Annotated[Any, section_ref("fit")] = None
    """Epochs, batches, validation and callbacks."""
    tune: Annotated[Any, section_ref("tune")] = None
    """Search of hyperparameters by the command `tune`; `train` does not read it."""


def run_name(path: Path, *, empty: str = "run") -> str:
    """Return the default name of a run (a training's folder), made from the file name of its config or data.

    The name has no suffix, `_` for characters other than letters, digits, `.`, `_` and `-`, and at most 60 characters;
    `empty` is returned if nothing is left.
    """
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in path.stem)
    return stem.lstrip("._-")[:60] or empty
