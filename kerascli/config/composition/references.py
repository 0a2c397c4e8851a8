"""References in a config (`$name`, `$(expression)`, `$targets.y.num_classes`), and flags: variables set by `--flag`."""

import os
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from kerascli.config.yaml.document import Document
from kerascli.config.yaml.scalars import ScalarError, read_scalar
from kerascli.data.remote.addresses import ENVIRONMENT
from kerascli.foundation.disk.files import in_home, with_tilde
from kerascli.foundation.errors import Fault, Path, Place, mapped, plain_name, show, suggestion
from kerascli.language.component import Invalid, collected, registries
from kerascli.language.expressions import ExpressionError, Value, has_reference, substitute
from kerascli.language.expressions.numbers import Values
from kerascli.language.expressions.template import names_referred_to
from kerascli.language.expressions.tree import UnknownName

Flag = str | int | float | bool


STAND_IN = 2
"""Placeholder for a size that is unknown until the data is read: a number that passes most checks."""

Facts = Mapping[str, Value]
"""Type of a mapping from the name of a fact of the data (such as `inputs.x.max_length`) to its value; None if it is not
known yet."""
NO_FACTS: Final[Facts] = {}
"""Facts that the section `data` may refer to: an empty mapping, since this section determines the facts."""


class OpenFacts(dict[str, Value]):
    """Facts of data that was not read, by name; those of inputs and targets that are not listed are not known yet."""

    def __missing__(self, name: str) -> Value:
        group, _, rest = name.partition(".")
        if group not in ("inputs", "targets") or f"{group}.{rest.partition('.')[0]}.shape" in self:
            raise KeyError(name)
        return None


def in_template(path: Path) -> bool:
    """Return True if a config path is inside a block or `repeat` of layers, which are templates.

    The variables of a template have values only where it is used.
    """
    has_layers = path[:1] == ("model",) or (path[:2] == ("fit", "train_step") and path[3:4] == ("layers",))
    return has_layers and ("blocks" in path or "repeat" in path)


def read_flags(document: Document, assignments: Iterable[str] = ()) -> dict[str, Flag]:
    """Return the values of a config's `flags` (variables of the config) by name: the defaults, or those of `--flag`.

    `assignments` are the arguments `name=value` of the options `--flag`. Raises ConfigError.
    """
    declared = document.data.get("flags")
    faults: list[Fault] = []
    if declared is not None and not isinstance(declared, dict):
        text = f"flags: expected a mapping of names and defaults, got {show(declared)}"
        raise document.error([Fault(text, ("flags",))])
    names = declared or {}
    options: dict[str, tuple[str, Place]] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        place = Place(f"--flag {assignment}")
        if not equals:
            faults.append(Fault(f"expected name=value, got '{assignment}'", place=place))
        elif name not in names:
            known = [str(each) for each in names]
            which = suggestion(name, known) or f"; it declares {', '.join(known)}"
            text = f"there is no flag '{name}'{which if known else ': the config declares none'}"
            faults.append(Fault(text, place=place))
        elif name in options:
            faults.append(Fault(f"the flag '{name}' was given twice", place=place))
        else:
            options[name] = (value, place)
    flags: dict[str, Flag] = {}
    for name, written in names.items():
        with collected(faults):
            default = _default(document, str(name), written, flags)
            flags[str(name)] = _typed(name, default, *options[name]) if name in options else default
    if faults:
        raise document.error(faults)
    return flags


def idle_flags(document: Document, assignments: Sequence[str]) -> Iterator[Fault]:
    """Yield a config error for each option `--flag name=value` whose flag (variable) no reference in the config uses.

    Call `read_flags` first, which checks the options themselves.
    """
    used = names_referred_to(document.data) if assignments else set()
    for each in assignments:
        if (name := each.partition("=")[0]) not in used:
            text = f"nothing in the config uses the flag '{name}'"
            yield Fault(text, place=Place(f"--flag {each}"), hint=f"refer to it as ${name}")


class References:
    """Resolver of the `$` references in a config: replaces each one by its value.

    A reference names a flag (a variable of the config's section `flags`, which `--flag` sets) or a fact of the data
    (`inputs.x.shape`); in a block or `repeat` of layers (templates), it may also name a parameter or loop variable.
    Without `facts`, the data has not been read: placeholders replace its facts.
    """

    def __init__(self, document: Document, flags: Mapping[str, Flag], facts: Facts | None = None) -> None:
        self.unknown: list[Path] = []
        """Config paths where a placeholder replaces a fact of the data that is not known yet."""
        self.document = document
        self.flags = flags
        self.facts = OpenFacts() if facts is None else facts

    def resolve(self, skip: Callable[[Path], bool] = in_template) -> tuple[Document, list[Fault]]:
        """Return (config with each reference, such as `$units`, replaced by its value, config errors).

        A text with an invalid reference is left unchanged, as are values at config paths for which `skip` returns True.
        """
        data = self.document.data
        data, faults = self({**data, "flags": dict(self.flags)} if "flags" in data else data, (), {}, skip)
        return replace(self.document, data=data), faults

    def __call__(self, value: Any, path: Path, names: Values, skip: Callable[[Path], bool]) -> tuple[Any, list[Fault]]:
        """Return (config value with its references replaced, config errors) for a value at the config path `path`.

        `names` maps parameters and loop variables to their values. At paths for which `skip` returns True, nothing is
        replaced.
        """
        resolver = _Resolver(self, names, skip)
        return resolver.resolve(value, path), resolver.faults


def escape_references(value: Any) -> Any:
    """Return a config value with each `$` in its texts doubled, so that it is read back as text."""
    return mapped(value, lambda each: each.replace("$", "$$") if isinstance(each, str) else each)


class _Scope(ChainMap[str, Any]):
    """Mapping from the names that a reference may use (flags, parameters, variables; facts of the data) to their
    values."""

    used_unknown = False

    def __getitem__(self, name: str) -> Value:
        names, facts = self.maps
        if "." not in name:
            return names[name]
        if (value := facts[name]) is None:
            self.used_unknown = True
            return [STAND_IN] if name.endswith(".shape") else STAND_IN
        return value


class _Resolver:
    def __init__(self, references: References, names: Values, skip: Callable[[Path], bool]) -> None:
        self.faults: list[Fault] = []
        self._references = references
        self._names = {**references.flags, **names}
        self._skip = skip

    def resolve(self, value: Any, path: Path) -> Any:
        if path == ("flags",) or self._skip(path):
            return value
        if isinstance(value, dict):
            for key in (key for key in value if isinstance(key, str) and has_reference(key)):
                self.faults.append(Fault(f"a key cannot be a reference: '{key}'", (*path, key), "key"))
            return {key: self.resolve(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, (*path, index)) for index, item in enumerate(value)]
        return self._replaced(value, path) if isinstance(value, str) else value

    def _replaced(self, text: str, path: Path) -> Value:
        value: Value = text
        if has_reference(text):
            if "HOME" not in self._names and with_tilde(text) != text and is_path(path):
                text = with_tilde(text)
            if "env" not in self._names and _takes_address(path):
                text = ENVIRONMENT.sub(r"$\g<0>", text)  # kept as text: sources read it when they connect
            value = self._text(text, path) if has_reference(text) else text
        if isinstance(value, str) and _is_initial_file(path):
            return os.path.abspath(self._references.document.folder_of(path) / in_home(value))
        return value

    def _text(self, text: str, path: Path) -> Value:
        references = self._references
        facts: Any = references.facts
        scope = _Scope(self._names, facts)
        try:
            result = substitute(text, scope)
        except ExpressionError as error:
            if not scope.used_unknown:
                place = references.document.point(path, error.column, error.length)
                self.faults.append(Fault(error.text, path, place=place, hint=self._hint(error)))
                return text
            result = STAND_IN  # it may be valid with the fact itself
        if scope.used_unknown:
            references.unknown.append(path)
        return result

    def _hint(self, error: ExpressionError) -> str | None:
        if not isinstance(error, UnknownName):
            return None
        if error.name == "env":
            return "$env.NAME stands for an environment variable in 'path' and 'url' of a data source alone"
        if error.name.startswith(("inputs.", "targets.")):
            if (facts := self._references.facts) is NO_FACTS:
                return "facts of the data can be used in model, compile and fit, not in data itself"
            return f"the data has {', '.join(list(facts)[:6])}" if facts and not error.meant else None
        is_first = not (self._names or error.meant)
        return "hyper-parameters are declared with a default: flags: {units: 128}" if is_first else None


def is_path(path: Path) -> bool:
    """Return True if a config path leads to a field that holds a path: of a source, a transform or `init_from`."""
    key = str(path[-1])
    if path[:1] == ("plugins",):
        return True
    if path[:2] == ("model", "init_from") or (path[:2] == ("model", "shared") and len(path) in (4, 5)):
        return key in {"run", "file", "weights"}
    return path[:1] == ("data",) and any(_with_path(kind, key) for kind in ("source", "transform"))


def _with_path(kind: str, key: str) -> list[type[Any]]:
    """Return the components with a field `key` that holds a path, and the one of that name if its only value is one."""
    registry = registries()[kind]
    alone = registry.find(key)
    own = [cls for cls in registry if key in cls.paths]
    return [*own, alone] if alone is not None and alone.first_argument() in alone.paths else own


def _is_initial_file(path: Path) -> bool:
    """Return True if a config path leads to the path of a file that an initializer of a weight reads."""
    *_, name, kind = ("", "", *map(str, path[:-1] if path[-1] == "path" else path))
    return path[0] == "model" and kind in ("image", "file") and name.endswith("initializer")


def _takes_address(path: Path) -> bool:
    """Return True if a config path leads to a field of a data source that holds a path or an address."""
    return path[:2] == ("data", "source") and any(cls.schemes for cls in _with_path("source", str(path[-1])))


def _default(document: Document, name: str, written: Any, earlier: Mapping[str, Flag]) -> Flag:
    path: Path = ("flags", name)
    if not name.isidentifier() or not name.isascii():
        plain = f"; write {meant}" if (meant := plain_name(name)) else ""
        text = f"flag '{name}': a name has letters, digits and '_' only, and starts with no digit{plain}"
        raise Invalid(text, path, "key")
    value = written
    if isinstance(written, str) and has_reference(written):
        try:
            value = substitute(written, dict(earlier))
        except ExpressionError as error:
            text = f"no earlier flag '{error.name}'{error.meant}" if isinstance(error, UnknownName) else error.text
            place = document.point(path, error.column, error.length)
            raise Invalid([Fault(f"flag '{name}': {text}", path, place=place)]) from None
    if value is None or isinstance(value, (dict, list)):
        text = f"flag '{name}': expected a default (a number, text, true or false), got {show(value)}"
        raise Invalid(text, path)
    return value


def _typed(name: str, default: Flag, text: str, place: Place) -> Flag:
    """Convert the text of `--flag name=text` to the type of the flag's default. Raises Invalid."""
    if isinstance(default, str):
        return text
    try:
        value = read_scalar(text)
    except ScalarError as error:
        raise Invalid([Fault(f"flag {name}: {error.text}", place=place)]) from None
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        expected = {bool: "true or false", int: "an integer", float: "a number"}[type(default)]
        raise Invalid([Fault(f"flag {name}: expected {expected}, got {show(value)}", place=place)])
    return value  # type: ignore[return-value]
