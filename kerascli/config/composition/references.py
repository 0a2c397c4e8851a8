"""References in a config (`$name`, `$(expression)`, `$targets.y.num_classes`), and the flags that they name
(`--flag`)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from kerascli.config.yaml.document import Document
from kerascli.config.yaml.scalars import ScalarError, read_scalar
from kerascli.foundation.disk.files import with_tilde
from kerascli.foundation.errors import Fault, Path, Place, plain_name, show, suggestion
from kerascli.language.component import registries
from kerascli.language.expressions import ExpressionError, UnknownName, Value, has_reference, substitute
from kerascli.language.expressions.template import names_referred_to

Flag = str | int | float | bool


class Unknown:
    """Type of `UNKNOWN`, the value of a reference to the data ($inputs.x.shape) before the data has been read."""


UNKNOWN: Final = Unknown()
STAND_IN = 2
"""Placeholder for a size that is unknown until the data is read: a number that passes most checks."""

Facts = Callable[[str], Value | Unknown]
"""Type of a function from the name of a fact of the data (such as `inputs.x.max_length`) to its value, or UNKNOWN if it
is not known yet.

It raises KeyError for an unknown name, with the list of known ones.
"""


def refuse_facts(name: str) -> Value | Unknown:
    """Raise KeyError for every name: the data section cannot refer to facts of the data (`inputs.x.shape`), which it
    determines."""
    raise KeyError(())


def in_template(path: Path) -> bool:
    """Return True if a config path is inside a block or `repeat` of layers, whose variables have a value only where the
    block is used."""
    has_layers = path[:1] == ("model",) or path[:2] == ("fit", "train_step")
    return has_layers and ("blocks" in path or "repeat" in path)


def read_flags(document: Document, assignments: Iterable[str] = ()) -> dict[str, Flag]:
    """Return the values of the config's flags by name; `assignments` are the `name=value` of the options `--flag`.

    Raises ConfigError.
    """
    declared = document.data.get("flags")
    faults: list[Fault] = []
    if declared is not None and not isinstance(declared, dict):
        raise document.error(
            [Fault(f"flags: expected a mapping of names and defaults, got {show(declared)}", ("flags",))]
        )
    names = declared or {}
    set_here: dict[str, tuple[str, Place]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        place = Place(f"--flag {assignment}")
        if not equals:
            faults.append(Fault(f"expected name=value, got '{assignment}'", place=place))
        elif name not in names:
            faults.append(Fault(_undeclared(name, names), place=place))
        elif name in set_here:
            faults.append(Fault(f"the flag '{name}' was given twice", place=place))
        else:
            set_here[name] = (text, place)
    flags: dict[str, Flag] = {}
    for name, written in names.items():
        try:
            default = _default(str(name), written, flags)
            flags[str(name)] = _typed(str(name), default, *set_here[name]) if name in set_here else default
        except _FlagError as error:
            faults.append(_flag_fault(document, str(name), error))
    if faults:
        raise document.error(faults)
    return flags


def idle_flags(document: Document, assignments: Iterable[str]) -> list[Fault]:
    """Return a config error for every `--flag` that no reference in the config uses; call `read_flags` first."""
    used = names_referred_to(document.data)
    return [
        Fault(f"nothing in the config uses the flag '{name}'", place=Place(f"--flag {each}"),
              hint=f"refer to it as ${name}")
        for each in assignments
        if (name := each.partition("=")[0]) not in used
    ]  # fmt: skip


def resolve(
    document: Document,
    flags: Mapping[str, Flag],
    facts: Facts | None = None,
    skip: Callable[[Path], bool] = in_template,
) -> Document:
    """Return the config with its references replaced by values, except at paths for which `skip` returns True.

    `facts` None: no facts of the data are known yet. The paths of placeholders are in `unknown` of the result. Raises
    ConfigError with all errors.
    """
    resolved, faults = try_resolve(document, flags, facts, skip)
    if faults:
        raise document.error(faults)
    return resolved


def try_resolve(
    document: Document,
    flags: Mapping[str, Flag],
    facts: Facts | None = None,
    skip: Callable[[Path], bool] = in_template,
) -> tuple[Document, list[Fault]]:
    """Replace references as `resolve` does, but return the errors; a text with an invalid reference stays as
    written."""
    resolver = _Resolver(document, flags, facts, skip)
    data = resolver.resolve({**document.data, "flags": dict(flags)} if "flags" in document.data else document.data, ())
    unknown = document.unknown | frozenset(resolver.unknown)
    return replace(document, data=data, unknown=unknown), resolver.faults


class References:
    """Resolver of `$` references inside blocks and repeats of layers, to parameters, loop variables, flags or data
    facts."""

    def __init__(self, document: Document, flags: Mapping[str, Flag], facts: Facts | None) -> None:
        self.unknown: list[Path] = []
        """Config paths where a placeholder replaces a fact of the data that is not known yet."""
        self._document = document
        self._flags = flags
        self._facts = facts

    def __call__(
        self, value: Any, path: Path, names: Mapping[str, Value], skip: Callable[[Path], bool]
    ) -> tuple[Any, list[Fault]]:
        """Return the config value at `path` with its references replaced (not at paths for which `skip` returns True),
        and the config errors found.

        `names` are the parameters and variables with their values.
        """
        resolver = _Resolver(self._document, {**self._flags, **names}, self._facts, skip)
        resolved = resolver.resolve(value, path)
        self.unknown += resolver.unknown
        return resolved, resolver.faults


def escape_references(value: Any) -> Any:
    """Return a value with every `$` in its texts doubled, so that a config reads them back as text without
    references."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: escape_references(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [escape_references(item) for item in value]
    return value


class Scope(Mapping[str, Value]):
    """Mapping from the names that a reference may use (flags, parameters, variables, facts of the data) to their
    values."""

    def __init__(self, names: Mapping[str, Value], facts: Facts | None) -> None:
        self._names = names
        self._facts = facts
        self.used_unknown = False

    def __getitem__(self, name: str) -> Value:
        if "." not in name:
            return self._names[name]
        value = UNKNOWN if self._facts is None else self._facts(name)
        if isinstance(value, Unknown):
            self.used_unknown = True
            return [STAND_IN] if name.endswith(".shape") else STAND_IN
        return value

    def __iter__(self) -> Iterator[str]:
        yield from self._names
        if self._facts is not None:
            try:
                self._facts("")
            except KeyError as error:  # which lists the known names
                yield from _known(error)

    def __len__(self) -> int:
        return len(list(iter(self)))


class _Resolver:
    def __init__(
        self, document: Document, names: Mapping[str, Value], facts: Facts | None, skip: Callable[[Path], bool]
    ) -> None:
        self.document = document
        self.faults: list[Fault] = []
        self.unknown: list[Path] = []
        self._names = dict(names)
        self._facts = facts
        self._skip = skip

    def resolve(self, value: Any, path: Path) -> Any:
        if path == ("flags",) or self._skip(path):
            return value
        if isinstance(value, dict):
            self._check_keys(value, path)
            return {key: self.resolve(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and has_reference(value):
            if "HOME" not in self._names and with_tilde(value) != value and _is_path(path):
                value = with_tilde(value)
            return self._text(value, path) if has_reference(value) else value
        return value

    def _check_keys(self, value: dict[str | int, Any], path: Path) -> None:
        for key in value:
            if isinstance(key, str) and has_reference(key):
                self.faults.append(Fault(f"a key cannot be a reference: '{key}'", (*path, key), "key"))

    def _text(self, text: str, path: Path) -> Value:
        scope = Scope(self._names, self._facts)
        try:
            result = substitute(text, scope)
        except ExpressionError as error:
            if scope.used_unknown:  # it may be valid with the fact itself
                result = STAND_IN
            else:
                place = self.document.point(path, error.column, error.length)
                self.faults.append(Fault(error.text, path, place=place, hint=self._hint(error)))
                return text
        if scope.used_unknown:
            self.unknown.append(path)
        return result

    def _hint(self, error: ExpressionError) -> str | None:
        if not isinstance(error, UnknownName):
            return None
        if error.name.startswith(("inputs.", "targets.")):
            facts = [] if error.meant else [name for name in Scope({}, self._facts) if "." in name]
            listed = f"the data has {', '.join(facts[:6])}" if facts else None
            return _NO_FACTS if self._facts is refuse_facts else listed
        return _DECLARE if not (self._names or error.meant) else None


_NO_FACTS = "facts of the data can be used in model, compile and fit, not in data itself"
_DECLARE = "hyper-parameters are declared with a default: flags: {units: 128}"


def _is_path(path: Path) -> bool:
    """Return True if a config path leads to a field that holds a path: of a source, a transform or `init_from`."""
    key = str(path[-1])
    if path[:1] == ("plugins",):
        return True
    if path[:2] == ("model", "init_from"):
        return key in {"run", "file"}
    for kind in ("source", "transform") if path[:1] == ("data",) else ():
        registry = registries()[kind]
        alone = registry.find(key)
        if any(key in cls.paths for cls in registry) or (alone and alone.first_argument() in alone.paths):
            return True
    return False


class _FlagError(Exception):
    def __init__(
        self,
        text: str,
        place: Place | None = None,
        column: tuple[int, int] | None = None,
        at: Literal["key", "value"] = "value",
    ) -> None:
        super().__init__(text)
        self.text = text
        self.place = place
        self.column = column
        self.at: Literal["key", "value"] = at


def _default(name: str, written: Any, earlier: Mapping[str, Flag]) -> Flag:
    if not name.isidentifier() or not name.isascii():
        plain = f"; write {meant}" if (meant := plain_name(name)) else ""
        text = f"flag '{name}': a name has letters, digits and '_' only, and starts with no digit{plain}"
        raise _FlagError(text, at="key")
    value = written
    if isinstance(written, str) and has_reference(written):
        try:
            value = substitute(written, dict(earlier))
        except ExpressionError as error:
            is_unknown = isinstance(error, UnknownName)
            text = f"no earlier flag '{error.name}'{error.meant}" if is_unknown else error.text
            raise _FlagError(f"flag '{name}': {text}", column=(error.column, error.length)) from None
    if value is None or isinstance(value, (dict, list)):
        raise _FlagError(f"flag '{name}': expected a default (a number, text, true or false), got {show(value)}")
    return value


def _typed(name: str, default: Flag, text: str, place: Place) -> Flag:
    """Convert the text of `--flag name=text` to the type of the flag's default."""
    if isinstance(default, str):
        return text
    try:
        value = read_scalar(text)
    except ScalarError as error:
        raise _FlagError(f"flag {name}: {error.text}", place) from None
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        wanted = {bool: "true or false", int: "an integer", float: "a number"}[type(default)]
        raise _FlagError(f"flag {name}: expected {wanted}, got {show(value)}", place)
    return value  # type: ignore[return-value]


def _flag_fault(document: Document, name: str, error: _FlagError) -> Fault:
    path: Path = ("flags", name)
    place = document.point(path, *error.column) if error.column else error.place
    return Fault(error.text, path, error.at, place)


def _undeclared(name: str, declared: Iterable[Any]) -> str:
    names = [str(each) for each in declared]
    if not names:
        return f"there is no flag '{name}': the config declares none"
    return f"there is no flag '{name}'{suggestion(name, names) or '; it declares ' + ', '.join(names)}"


def _known(error: KeyError) -> list[str]:
    """Return the valid names listed in the KeyError with which a function for facts of the data rejects an unknown
    name."""
    return [str(name) for argument in error.args for name in ([argument] if isinstance(argument, str) else argument)]
