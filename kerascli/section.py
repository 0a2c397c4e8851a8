"""A section of a config as a class: its fields are its keys, each with its type, default, limits and documentation."""

from collections.abc import Mapping
from copy import copy
from functools import cache
from typing import Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError, WithJsonSchema, create_model

from kerascli.errors import Fault, Path, nearest, suggestion
from kerascli.wording import fault_list


class BaseSection(BaseModel):
    """A section, frozen; from its fields come checks, JSON Schema, `explain` and the lists of keys in messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    title: ClassVar[str] = ""
    """What messages call it: "compile", "an update"."""
    key_noun: ClassVar[str] = "key"
    """What messages call a key of it."""
    key_list: ClassVar[str] = ""
    """What a hint says before the list of all keys ("a phase has"); empty: there is no such hint."""


def section_ref(name: str) -> WithJsonSchema:
    """Return the annotation of a field that holds the section `name`, which is read on its own."""
    return WithJsonSchema({"x-section": name})


S = TypeVar("S", bound=BaseSection)


def read_section(
    cls: type[S], written: Mapping[Any, Any], path: Path, title: str | None = None
) -> tuple[S, list[Fault]]:
    """Return what is sound of a section, and its faults with their paths.

    A field that is wrong has its default; so has one that is missing, or None where it has no default: to report
    what is missing is left to the caller. `title` replaces that of the class in messages.
    """
    title = cls.title if title is None else title
    faults = [_unknown(cls, key, (*path, key), title) for key in written if key not in cls.model_fields]
    known = {key: value for key, value in written.items() if key in cls.model_fields}
    lenient = cast("type[S]", _lenient(cls))
    try:
        return lenient.model_validate(known), faults
    except ValidationError as error:
        wrong = {detail["loc"][0] for detail in error.errors()}
        sound = {key: value for key, value in known.items() if key not in wrong}
        return lenient.model_validate(sound), [*faults, *fault_list(error, cls, path)]


def meant_keys(cls: type[BaseSection], written: Mapping[Any, Any]) -> set[str]:
    """Return the keys that unknown ones were probably meant to be."""
    near = (nearest(str(key), cls.model_fields) for key in written if key not in cls.model_fields)
    return {key for key in near if key is not None}


def _unknown(cls: type[BaseSection], key: Any, path: Path, title: str) -> Fault:
    near = suggestion(str(key), cls.model_fields)
    hint = f"{cls.key_list} {', '.join(cls.model_fields)}" if cls.key_list and not near else None
    where = f" in {title}" if title else ""
    return Fault(f"unknown {cls.key_noun} '{key}'{where}{near}", path, "key", hint=hint)


@cache
def _lenient(cls: type[BaseSection]) -> type[BaseSection]:
    """Return the class with None as the default of every field that has none."""
    required = {name: copy(info) for name, info in cls.model_fields.items() if info.is_required()}
    for info in required.values():
        info.default = None
    fields: dict[str, Any] = {name: (info.annotation, info) for name, info in required.items()}
    return create_model(cls.__name__, __base__=cls, **fields) if fields else cls
