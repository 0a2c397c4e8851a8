"""Base class of the sections of a config; its fields are the keys, with types, defaults, limits and documentation."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cache
from typing import Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError, WithJsonSchema, create_model

from kerascli.foundation.errors import Fault, Path, in_yaml, nearest, suggestion
from kerascli.language.component import Invalid, registries
from kerascli.language.kinds import KINDS
from kerascli.language.wording import fault_list, line_to_write, named_here

Written = Mapping[Any, Any]
"""Type of a mapping as a config has it, with unchecked keys and values."""
_TITLES = frozenset({"", "a phase", *(kind.place[0] for kind in KINDS.values() if kind.place is not None)})


class BaseSection(BaseModel):
    """Section of a config, as a frozen model; checks, JSON Schema, `explain` and messages derive from its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    title: ClassVar[str] = ""
    """Name of the section in error messages, such as "compile" or "an update" (an item of `fit.train_step`)."""
    key_noun: ClassVar[str] = "key"
    """Noun in error messages for a key of the section: "key", or at the top level of a config "section"."""
    key_list: ClassVar[str] = ""
    """Words before the list of all keys in an error's hint (such as "a phase has"); empty: the hint lists no keys."""

    @classmethod
    def component_hint(cls, key: str, value: Any, title: str) -> str | None:
        """Return a hint with the line for a component (`early_stopping: true`) that is written as a key; else None."""
        if title == "compile" and value is None and registries()["metric"].spelled.find(key) is not None:
            return f"a list is written in brackets: metrics: [..., {key}]"  # {metrics: accuracy, auc} has a key 'auc'
        if title not in _TITLES or value is False:
            return None
        for kind, each in sorted(KINDS.items(), key=lambda item: item[0] == "layer"):  # some are transforms, too
            if each.place is None or (kind == "transform" and title != "data"):
                continue
            registry = registries()[kind]
            name, arguments = registry.spelled.find(key), None if value is True else value
            if name is not None:
                written = name if arguments is None else f"{name}: {in_yaml(arguments)}"
            elif foreign := named_here(kind, key):
                written = line_to_write(foreign, registry.positional(foreign), key, arguments)
            else:
                continue
            line = (each.line or each.example).format(f"{{{written}}}" if ": " in written else written)
            section = each.place[0]
            return f"write {line}" if title in {section, "a phase"} else f"write {section}: {{{line}}}"
        return None

    def has(self, key: str) -> bool:
        """Return True if the config sets the key `key` of the section, even to null."""
        return key in self.model_fields_set


def section_ref(name: str) -> WithJsonSchema:
    """Return the annotation of a field that holds the config section `name`, which is parsed separately."""
    return WithJsonSchema({"x-section": name})


S = TypeVar("S", bound=BaseSection)


def read_section(cls: type[S], written: Written, path: Path, title: str | None = None) -> tuple[S, list[Fault]]:
    """Return a config section parsed from its valid keys, and the config errors of its invalid keys.

    An invalid or missing field has its default, or None if it has no default; missing fields are not reported, that is
    left to the caller. `title` replaces the title of the class in messages.
    """
    faults = key_faults(cls, written, path, title)
    try:
        return keys_of(cls, written), faults
    except ValidationError as error:
        wrong = {detail["loc"][0] for detail in error.errors()}
        sound = {key: value for key, value in written.items() if key not in wrong}
        return keys_of(cls, sound), [*faults, *fault_list(error, cls, path)]


def parse_section(cls: type[S], written: Written, path: Path) -> S:
    """Parse a section of a config, which must be valid and complete. Raises Invalid with all config errors."""
    try:
        return cls.model_validate(written)
    except ValidationError as error:
        raise Invalid(fault_list(error, cls, path)) from None


def keys_of(cls: type[S], written: Written) -> S:
    """Parse the known keys of a mapping as a config section, which need not be complete. Raises ValidationError."""
    settings = {key: written[key] for key in key_names(cls) if key in written}
    return cast("type[S]", _lenient(cls)).model_validate(settings)


def meant_keys(cls: type[BaseSection], written: Written) -> set[str]:
    """Return the keys of a section that unknown keys of the mapping `written` probably misspell."""
    names = key_names(cls)
    near = (nearest(str(key), names) for key in written if key not in names)
    return {key for key in near if key is not None}


def key_faults(cls: type[BaseSection], written: Iterable[Any], path: Path, title: str | None = None) -> list[Fault]:
    """Return a config error for every key of the mapping `written` that the section class does not have."""
    title = cls.title if title is None else title
    return unknown_keys(written, key_names(cls), title, path, cls.key_noun, cls.key_list)


def unknown_keys(
    written: Iterable[Any], names: Sequence[str], title: str, path: Path, noun: str = "key", listed: str = ""
) -> list[Fault]:
    """Return a config error for every key that is not in `names`; `title`, `noun` and `listed` are words of the
    message."""
    faults, where = [], f" in {title}" if title else ""
    for key in written:
        if key not in names:
            near = suggestion(str(key), names)
            value = written[key] if isinstance(written, Mapping) else None
            hint = None if near else BaseSection.component_hint(str(key), value, title)
            hint = hint or (f"{listed} {', '.join(names)}" if listed and not near else None)
            faults.append(Fault(f"unknown {noun} '{key}'{where}{near}", (*path, key), "key", hint=hint))
    return faults


@cache
def key_names(cls: type[BaseSection]) -> tuple[str, ...]:
    """Return the names of the keys of a section as a config writes them (field aliases)."""
    return tuple(info.alias or name for name, info in cls.model_fields.items())


@cache
def _lenient(cls: type[BaseSection]) -> type[BaseSection]:
    """Return a copy of a section class in which None is the default of every required field."""
    required = {name: copy(info) for name, info in cls.model_fields.items() if info.is_required()}
    for info in required.values():
        info.default = None
    fields: dict[str, Any] = {name: (info.annotation, info) for name, info in required.items()}
    return create_model(cls.__name__, __base__=cls, __module__=cls.__module__, **fields) if fields else cls
