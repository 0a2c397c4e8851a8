"""Components (layers, losses ...) and their registries, which turn a name in a config into validated, frozen data.

A component is a layer, loss, optimizer, ... that a config names. Its class is a frozen pydantic model whose fields
are its arguments under Keras's names. The registry of its kind finds it by name and parses its three written
forms: `relu`, `dropout: 0.4`, `dense: {units: 256}`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from operator import methodcaller
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import core_schema

from kerascli.foundation.errors import At, Fault, Path, a_or_an, mapped, nearest, show
from kerascli.language.foreign_words import NOTHING
from kerascli.language.kinds import KINDS, plural
from kerascli.language.wording import fault_list, line_to_write, list_to_write, named_here, number_hint, snake_case


class Component(BaseModel):
    """Base class of the components that a config can name; subclasses are abstract or registered, never both."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    component_name: ClassVar[str] = ""
    """Canonical name of the component (such as `max_pooling_2d`), set at registration."""
    refused: ClassVar[Mapping[str, str]] = {}
    """Mapping from each unsupported argument of Keras's class to the reason; base classes' entries are added."""

    @classmethod
    def reason_against(cls, argument: str) -> str | None:
        """Return the reason why an argument of Keras's class is not supported; None for an unknown argument."""
        reasons = (base.__dict__.get("refused", {}).get(argument) for base in cls.__mro__)
        return next((reason for reason in reasons if reason), None)

    @classmethod
    def first_argument(cls) -> str | None:
        """Return the name of the field that the short form `name: value` of a component sets; None if it has none."""
        return next(iter(cls.model_fields), None)

    @classmethod
    def positional(cls) -> list[str]:
        """Return a component's field names in positional order: the first argument first, inherited ones last."""
        names = list(cls.model_fields)
        start = names.index(first) if (first := cls.first_argument()) in names else 0
        return names[start:] + names[:start]

    def dump(self) -> dict[str, Any] | str:
        """Return the component as configs write it, with all arguments, even defaults; parsing restores it."""
        arguments = {name: plain(getattr(self, name)) for name in type(self).model_fields}
        return {self.component_name: arguments} if arguments else self.component_name


def plain(value: Any, write: Callable[[Any], Any] = methodcaller("dump")) -> Any:
    """Return a value as data for YAML: components in it become what a config writes for them, tuples become lists."""

    def written(each: Any) -> Any:
        if isinstance(each, Component):
            return write(each)
        return each.model_dump() if isinstance(each, BaseModel) else each

    return mapped(value, written)


def changed_arguments(component: Component) -> dict[str, Any]:
    """Return the arguments of a component that differ from their defaults, and those that have no default."""
    return {
        name: getattr(component, name)
        for name, info in type(component).model_fields.items()
        if info.is_required() or getattr(component, name) != info.get_default(call_default_factory=True)
    }


class Invalid(ValueError):
    """Exception for invalid configs that validators may raise; it holds the errors, each with its path in a config."""

    def __init__(
        self, faults: str | Iterable[Fault], path: Path = (), at: At = "value", *, hint: str | None = None
    ) -> None:
        """Create the exception from config errors, or from the message of one, with its config path and hint."""
        self.faults = (Fault(faults, path, at, hint=hint),) if isinstance(faults, str) else tuple(faults)
        super().__init__("; ".join(fault.text for fault in self.faults))

    def below(self, path: Path) -> "Invalid":
        """Return a copy of the exception with `path` put in front of the config path of every error."""
        return Invalid(fault.below(path) for fault in self.faults)


@contextmanager
def collected(faults: list[Fault], path: Path = ()) -> Iterator[None]:
    """Context manager that adds the config errors of an Invalid raised in its block, below `path`, to `faults`."""
    try:
        yield
    except Invalid as invalid:
        faults += invalid.below(path).faults


class Names(NamedTuple):
    """Names of all components of one kind, found in any spelling; `keys` maps normalized spellings to these names."""

    kind: str
    prefixes: Sequence[str]
    """Prefixes of the names in R's keras (`layer`, `loss`), without their underscores."""
    keys: dict[str, str]

    def find(self, written: str) -> str | None:
        """Return the canonical name for a name in any spelling, also with the prefix of R's keras; None if unknown."""
        key = _key(written)
        if key not in self.keys:
            key = next((key.removeprefix(p) for p in self.prefixes if key.removeprefix(p) in self.keys), key)
        return self.keys.get(key)

    def suggestion(self, written: str) -> str:
        key = _key(written)
        for prefix in self.prefixes:
            key = key.removeprefix(prefix)
        close = nearest(key, self.keys)
        return f"; did you mean '{self.keys[close]}'?" if close else ""

    def unknown(
        self, written: str, path: Path, all_kinds: Iterable["Names"], fields: "FieldsOf", arguments: Any = None
    ) -> Fault:
        """Return the config error for an unknown name; its hint shows the line to write, or what kind the name is of.

        `arguments` are those written after the name, `fields` is that of this kind.
        """

        def fault(hint: str | None, meant: str = "") -> Fault:
            return Fault(f"there is no {self.kind} '{written}'{meant}", path, "key" if path else "value", hint=hint)

        if written in NOTHING:
            return fault("write null")
        foreign, is_call, rest = written.partition("(") if written.endswith(")") else (written, "", "")
        name = named_here(self.kind, foreign) or self.find(foreign.rpartition(".")[2])
        if name is not None:
            meant = "; settings are not written in parentheses" if is_call else f"; did you mean '{name}'?"
            arguments = arguments if not is_call else None if rest == ")" else ...
            return fault(f"write {line_to_write(name, fields(name), foreign, arguments)}", meant)
        other_kinds = [a_or_an(each.kind) for each in all_kinds if each.find(written)]
        if other_kinds:  # a transform among the layers, an activation for a loss
            where = f"'kerascli explain {written}' shows where it can be used"
            return fault(f"{written} is {' and '.join(other_kinds)}: {where}")
        meant = self.suggestion(written)
        hint = number_hint(written) or list_to_write(self.kind, written, self.find)
        return fault(hint or (None if meant else self._where_to_look(written, path, fields)), meant)

    def _where_to_look(self, written: str, path: Path, fields: "FieldsOf") -> str:
        """Return the hint about a name that is similar to none: as a key, it may be an argument of such components."""
        if path and any(written in fields(each) for each in self.keys.values()):
            return f"{written} is an argument of {plural(self.kind)}, written inside one: NAME: {{{written}: ...}}"
        return f"'kerascli list {plural(self.kind)}' shows all"


FieldsOf = Callable[[str], Sequence[str]]
"""Type of a function from a component's name to the names of its arguments, in positional order."""
C = TypeVar("C", bound=Component)
K = TypeVar("K", bound=type[Any])


class Registry(Generic[C]):
    """Registry of the components of one kind; imports the kind's packages on first use."""

    def __init__(self, kind: str, base: type[C], packages: tuple[str, ...], prefixes: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.base = base
        self._packages = packages
        self._spelled = Names(kind, list(map(_key, prefixes)), {})
        self._classes: dict[str, type[C]] = {}
        self._aliases: dict[str, tuple[str, ...]] = {}
        self._loaded = False
        self.index: tuple[Names, Mapping[str, str]] | None = None
        """Names of all components of this package, and the module of each: `find` then imports no other modules."""
        if kind not in KINDS or KINDS[kind].home != base.__module__:
            raise TypeError(f"the kind {kind} of {base.__module__} is missing from KINDS: nothing would find it")
        _REGISTRIES[kind] = self

    def register(self, cls: type[C], *, name: str | None = None, aliases: tuple[str, ...] = ()) -> type[C]:
        """Register a class by name and aliases. Raises TypeError if one is taken, or the class lacks methods."""
        name = name or snake_case(cls.__name__)
        if not cls.__module__.startswith("kerascli."):
            self.load()  # a plugin's class may have the name of one that is not imported yet
        for spelling in (name, *aliases):
            other = self._classes.get(self._spelled.keys.setdefault(_key(spelling), name))
            if other is not None:
                raise TypeError(f"two {self.kind}s called '{spelling}': {_full_name(other)} and {_full_name(cls)}")
        if missing := sorted(getattr(cls, "__abstractmethods__", ())):
            raise TypeError(f"the {self.kind} {cls.__name__} lacks {', '.join(f'{each}()' for each in missing)}")
        cls.component_name = name
        self._classes[name] = cls
        self._aliases[name] = aliases
        return cls

    def named(self, *, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[K], K]:
        """Return a decorator that registers a class, which configs can then name."""
        return lambda cls: cast("K", self.register(cast("type[C]", cls), name=name, aliases=aliases))

    def load(self) -> None:
        """Import every module of the kind's packages; later calls do nothing."""
        if self._loaded:
            return
        self._loaded = True
        for package_name in self._packages:
            module = importlib.import_module(package_name)
            for info in pkgutil.walk_packages(getattr(module, "__path__", []), f"{package_name}."):
                importlib.import_module(info.name)

    def __iter__(self) -> Iterator[type[C]]:
        self.load()
        return iter([self._classes[name] for name in sorted(self._classes)])

    def names(self) -> list[str]:
        self.load()
        return sorted(self._classes)

    def aliases(self, name: str) -> tuple[str, ...]:
        return self._aliases[name]

    @property
    def spelled(self) -> Names:
        """Names of all components in the registry, for lookup in any spelling."""
        self.load()
        return self._spelled

    def find(self, name: str) -> type[C] | None:
        """Return the component class for a name in any spelling, also with the prefix of R's keras; None if unknown."""
        if self._loaded or self.index is None:
            return self._classes.get(self.spelled.find(name) or "")
        names, modules = self.index
        if (indexed := names.find(name)) is not None:
            importlib.import_module(modules[indexed])
            if indexed not in self._classes:  # made by another module than that of its class
                self.load()
        return self._classes.get(indexed or self._spelled.find(name) or "")

    def positional(self, name: str) -> list[str]:
        """Return the argument names of the component `name`, in positional order."""
        self.load()
        return self._classes[name].positional()

    def get(self, name: str, path: Path = (), arguments: Any = None) -> type[C]:
        """Return the component class for any spelling of a name. Raises `Invalid`, with `arguments` in the hint."""
        if (cls := self.find(name)) is None:
            kinds = (each.spelled for each in registries().values())
            raise Invalid([self.spelled.unknown(name, path, kinds, self.positional, arguments)])
        return cls

    def parse(self, value: Any) -> C:
        """Parse a component as configs write it: `name`, `name: value` or `name: {argument: value}`. Raises Invalid."""
        if isinstance(value, self.base):
            return value
        name, arguments = split_form(value, self.kind)
        cls = self.get(name, () if isinstance(value, str) else (name,), None if isinstance(value, str) else arguments)
        return self.construct(cls, name, arguments)

    def construct(self, cls: type[C], written: str, arguments: Any) -> C:
        """Create a component from its name in the config, `written`, and the arguments after it. Raises `Invalid`."""
        settings, path = arguments_of(cls, written, arguments)
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            faults = fault_list(error, cls, path)
            if path and settings is not arguments:  # the first argument is written without its name
                faults = (replace(fault, path=path + fault.path[len(path) + 1 :]) for fault in faults)
            if not path:  # a bare name has no key of its own
                faults = (replace(fault, at="value") for fault in faults)
            raise Invalid(faults) from None

    def field(self) -> Any:
        """Return the type annotation of a pydantic field that holds a component of this registry's kind."""
        return _ComponentField(self)


_REGISTRIES: dict[str, Registry[Any]] = {}


@cache
def registries() -> Mapping[str, Registry[Any]]:
    """Return a mapping from every kind (`layer` ...) to its registry, whichever modules have been imported so far."""
    for kind in KINDS.values():
        importlib.import_module(kind.home)
    return dict(sorted(_REGISTRIES.items()))


_NO_ARGUMENTS = object()


def split_form(value: Any, kind: str) -> tuple[str, Any]:
    """Split `name` or `{name: arguments}` into name and arguments. Raises `Invalid` for any other value."""
    if isinstance(value, str):
        return value, _NO_ARGUMENTS
    if isinstance(value, dict) and len(value) == 1:
        [(name, arguments)] = value.items()
        if not isinstance(name, str):
            raise Invalid(f"expected the name of {a_or_an(kind)}, got {show(name)}", (name,), "key")
        return name, arguments
    if isinstance(value, dict) and len(value) > 1:
        first = next(iter(value))
        hint = None
        if value[first] is None:
            hint = f"indent the arguments below '{first}:', or write {first}: {{...}}"
        elif isinstance(value[first], dict) and _REGISTRIES[kind].find(str(list(value)[1])) is None:
            hint = f"arguments are written inside: {first}: {{..., {list(value)[1]}: ...}}"
        text = f"expected one {kind}, got a mapping of {len(value)} keys: {', '.join(map(str, value))}"
        raise Invalid(text, hint=hint)
    raise Invalid(f"expected {a_or_an(kind)} (a name, or name: arguments), got {show(value)}")


def arguments_of(cls: type[Component], written: str, arguments: Any) -> tuple[dict[str, Any], Path]:
    """Return a component's arguments from a config as (keyword arguments, their config path). Raises `Invalid`."""
    first = cls.first_argument()
    path: Path = (written,)
    if arguments is _NO_ARGUMENTS:
        return {}, ()
    if arguments is None:
        text = f"{cls.component_name} has no arguments here"
        alone = not any(field.is_required() for field in cls.model_fields.values())
        hint = f"write '{written}' alone for the defaults" if alone else f"write {written}: {{...}}"
        raise Invalid(text, path, "key", hint=hint)
    if isinstance(arguments, dict):  # or it is the first argument, as in `bidirectional: {lstm: 64}`
        key = next(iter(arguments)) if len(arguments) == 1 else None
        if key is None or key in cls.model_fields or not names_first_argument(cls, key):
            return arguments, path
    if first is None:
        raise Invalid(f"{cls.component_name} takes no arguments, got {show(arguments)}", path)
    return {first: arguments}, path


def names_first_argument(cls: type[Component], key: Any) -> bool:
    """Return True if `key` names a component that the component class `cls` accepts as its first argument."""
    return isinstance(key, str) and any(registry.find(key) is not None for registry in first_registries(cls))


def first_registries(cls: type[Component]) -> list[Registry[Any]]:
    """Return the registries of the kinds of component that the component class `cls` accepts as first argument."""
    if (first := cls.first_argument()) is None:
        return []
    metadata, pending = list(cls.model_fields[first].metadata), [cls.model_fields[first].annotation]
    while pending:
        annotation = pending.pop()
        metadata += getattr(annotation, "__metadata__", ())
        pending += getattr(annotation, "__args__", ())
    return [each.registry for each in metadata if isinstance(each, _ComponentField)]


class _ComponentField:
    """Annotation of a pydantic field that holds a component, which configs write as `name` or `name: arguments`."""

    def __init__(self, registry: Registry[Any]) -> None:
        self.registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.registry.parse)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"x-component": self.registry.kind}


def _key(name: str) -> str:
    return name.lower().replace("_", "")


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
